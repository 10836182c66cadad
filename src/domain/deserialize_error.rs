//! Messages of serde, in plain words.

/// serde's message about a value of a wrong type, in the words of JSON.
pub fn plain(reason: &str) -> String {
    let wrong = ["invalid type: ", "invalid value: "];
    let wrong = wrong.iter().find_map(|opening| reason.strip_prefix(opening));
    let Some((found, expected)) = wrong.and_then(|text| text.rsplit_once(", expected ")) else {
        return reason.to_owned();
    };
    let expected = match expected {
        "a string" | "a borrowed string" => "a text",
        "a boolean" => "true or false",
        "a sequence" => "a list",
        "a map" => "an object",
        "f32" | "f64" => "a number",
        "u8" => "a whole number from 0 to 255",
        "u16" => "a whole number from 0 to 65535",
        "u32" | "u64" | "usize" => "a whole number of at least 0, without a decimal point",
        "i8" | "i16" | "i32" | "i64" => "a whole number, which may be negative",
        other if other.starts_with("struct ") => "an object",
        other => other,
    };
    let found = match found.split_once(' ') {
        Some(("string", text)) => format!("the text {text}"),
        Some(("integer" | "floating", text)) => {
            format!("the number {}", text.trim_start_matches("point ").trim_matches('`'))
        }
        Some(("boolean", text)) => text.trim_matches('`').to_owned(),
        _ => match found {
            "map" => "an object".to_owned(),
            "sequence" => "a list".to_owned(),
            other => other.to_owned(),
        },
    };
    format!("must be {expected}, not {found}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_have_the_names_of_json() {
        let error = serde_json::from_value::<Vec<u8>>(serde_json::json!({})).unwrap_err();
        assert_eq!(plain(&error.to_string()), "must be a list, not an object");
        assert_eq!(plain("odd"), "odd");
    }
}
