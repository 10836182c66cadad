//! Compares an answer with a documented one, field by field and type by type.

use serde_json::Value;

/// How an answer differs from a documented one. Values may differ, but not the fields, their types,
/// and the form of dates. A documented field `...` stands for any others, and a documented list
/// `["..."]` for any. Fields in `nullable` may be null.
pub fn differences(documented: &Value, found: &Value, nullable: &[String]) -> Vec<String> {
    let mut differences = Vec::new();
    compare(documented, found, "", nullable, &mut differences);
    differences
}

/// The value at a path such as `data.links.0.id`.
pub fn at<'a>(value: &'a Value, path: &str) -> &'a Value {
    path.split('.').filter(|name| !name.is_empty()).fold(value, |value, name| {
        name.parse::<usize>().map_or_else(|_| &value[name], |index| &value[index])
    })
}

fn compare(
    documented: &Value,
    found: &Value,
    path: &str,
    nullable: &[String],
    differences: &mut Vec<String>,
) {
    let mut differ = |text: String| differences.push(format!("`{path}` {text}"));
    match (documented, found) {
        (_, Value::Null) if nullable.iter().any(|name| name == path) => {}
        (Value::Object(documented), Value::Object(found)) => {
            let is_open = documented.contains_key("...");
            for name in found.keys().filter(|name| !is_open && !documented.contains_key(*name)) {
                differ(format!("has `{name}`, which is not documented"));
            }
            for (name, value) in documented.iter().filter(|(name, _)| *name != "...") {
                let inner = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                match found.get(name) {
                    Some(found) => compare(value, found, &inner, nullable, differences),
                    None => differences.push(format!("`{path}` lacks `{name}`")),
                }
            }
        }
        (Value::Array(documented), Value::Array(found)) => {
            let Some(one) = documented.first().filter(|one| **one != "...") else { return };
            if found.is_empty() {
                differ("is empty".to_owned());
            }
            for (at, found) in found.iter().enumerate() {
                compare(one, found, &format!("{path}.{at}"), nullable, differences);
            }
        }
        (Value::String(documented), Value::String(found)) => {
            if is_date(documented) && pattern(documented) != pattern(found) {
                differ(format!("is {found}, not of the form {documented}"));
            }
        }
        (Value::Number(documented), Value::Number(found)) => {
            // A documented fraction may happen to be whole.
            if !documented.is_f64() && found.is_f64() {
                differ(format!("is {found}, not a whole number"));
            }
        }
        (Value::Bool(_), Value::Bool(_)) | (Value::Null, Value::Null) => {}
        (documented, found) => differ(format!("is {found}, not like {documented}")),
    }
}

fn is_date(text: &str) -> bool {
    pattern(text).starts_with("9999-99-99")
}

fn pattern(text: &str) -> String {
    text.chars().map(|letter| if letter.is_ascii_digit() { '9' } else { letter }).collect()
}

#[test]
fn fields_and_types_are_compared() {
    use serde_json::json;
    let documented = json!({ "a": 1, "b": [{ "c": "x" }], "d": "2026-01-02", "e": 1.5 });
    let same = json!({ "a": 2, "b": [{ "c": "y" }, { "c": "z" }], "d": "2027-12-31", "e": 2 });
    assert!(differences(&documented, &same, &[]).is_empty());
    let other = json!({ "a": "1", "b": [{ "c": null, "f": 1 }], "d": "2026-01-02T00:00:00Z" });
    let found = differences(&documented, &other, &["b.0.c".to_owned()]);
    assert_eq!(found.len(), 4, "{found:?}");
    let open = json!({ "a": 1, "...": "..." });
    assert!(differences(&open, &same, &[]).is_empty());
    assert_eq!(differences(&json!([1]), &json!([]), &[]), ["`` is empty"]);
    assert_eq!(at(&same, "b.1.c"), "z");
}
