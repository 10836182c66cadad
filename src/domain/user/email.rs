//! Email addresses.

/// The maximum length of an address (RFC 5321, §4.5.3.1.3).
const MAX_LEN: usize = 254;
const MAX_LOCAL_LEN: usize = 64;

/// Normalizes an address for comparison: surrounding spaces are removed and letters are made lower
/// case, in the local part too, which no mail provider of note distinguishes.
///
/// # Errors
/// The rule that the address violates. Only a mail proves that an address exists, so the check is
/// for mistakes: one `@` between a name and a domain with a dot, no spaces, no control characters.
pub fn normalized_email(text: &str) -> Result<String, String> {
    let rule = || "must be an email address such as ada@example.com".to_owned();
    let email = text.trim().to_lowercase();
    let (local, domain) = email.rsplit_once('@').ok_or_else(rule)?;
    let is_allowed = |letter: char| {
        !letter.is_whitespace() && !letter.is_control() && !r#"@,;:<>()[]\""#.contains(letter)
    };
    let has_labels = domain.contains('.') && domain.split('.').all(|label| !label.is_empty());
    let is_valid = (1..=MAX_LOCAL_LEN).contains(&local.len())
        && email.len() <= MAX_LEN
        && has_labels
        && local.chars().chain(domain.chars()).all(is_allowed);
    if is_valid { Ok(email) } else { Err(rule()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_compared_in_lower_case() {
        assert_eq!(normalized_email(" Ada+links@Example.COM "), Ok("ada+links@example.com".into()));
        let long = format!("{}@example.com", "a".repeat(65));
        for wrong in [
            "",
            "ada",
            "@example.com",
            "ada@",
            "ada@host",
            "a b@example.com",
            "a@b@example.com",
            "ada@example..com",
            "ada\r\n@example.com",
            "<ada@example.com>",
            "a,b@example.com",
            &long,
        ] {
            assert!(normalized_email(wrong).is_err(), "{wrong}");
        }
    }
}
