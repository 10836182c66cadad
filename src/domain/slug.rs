//! Slugs: the paths of short links.

use std::fmt;

/// Letters and digits that are not easily confused: no `0 O o 1 l I i`.
pub const UNAMBIGUOUS: &[u8] = b"23456789abcdefghjkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ";

/// The length of generated slugs while the domain has enough free ones.
pub const GENERATED_LEN: usize = 7;

const MAX_LEN: usize = 128;

/// Current or planned paths of the service; compared regardless of case.
const RESERVED: &[&str] = &[
    "admin",
    "api",
    "app",
    "assets",
    "auth",
    "compat",
    "dashboard",
    "docs",
    "favicon",
    "health",
    "healthz",
    "l",
    "livez",
    "login",
    "logout",
    "metrics",
    "openapi",
    "qr",
    "readyz",
    "robots",
    "settings",
    "signup",
    "sitemap",
    "static",
    "status",
    "well-known",
];

/// 1 to 128 letters, digits, `-` and `_`; case-sensitive.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Slug(Box<str>);

impl Slug {
    /// Validates a chosen slug.
    ///
    /// # Errors
    /// A message that names the violated rule.
    pub fn parse(text: &str) -> Result<Self, String> {
        if !Self::is_wellformed(text) {
            return Err("must be 1 to 128 letters, digits, - and _".to_owned());
        }
        if Self::is_reserved(text) {
            return Err(format!("`{text}` is a path of the service itself"));
        }
        // A path accepts a link's id or its slug, so a slug must not look like an id.
        if text.parse::<super::ids::LinkId>().is_ok() {
            return Err("must not look like a link's id".to_owned());
        }
        Ok(Self(text.into()))
    }

    /// Whether a path segment can be a slug. A cheap check for the redirect path.
    pub fn is_wellformed(text: &str) -> bool {
        (1..=MAX_LEN).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    }

    /// Whether it is a path of the service itself.
    pub fn is_reserved(text: &str) -> bool {
        RESERVED.iter().any(|word| word.eq_ignore_ascii_case(text))
    }

    /// The slug's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Generates a slug of `len` characters from random bytes supplied by `fill`.
    pub fn generate(len: usize, mut fill: impl FnMut(&mut [u8])) -> Self {
        let mut text = String::with_capacity(len);
        let mut bytes = [0_u8; 32];
        while text.len() < len {
            fill(&mut bytes);
            // Reject the last few of the 256 values to avoid modulo bias.
            let fair = 256 - 256 % UNAMBIGUOUS.len();
            let letters = bytes.iter().map(|byte| usize::from(*byte)).filter(|value| *value < fair);
            let letters = letters.map(|value| char::from(UNAMBIGUOUS[value % UNAMBIGUOUS.len()]));
            text.extend(letters.take(len - text.len()));
        }
        Self(text.into())
    }

    /// A slug from the log, which is not validated again.
    pub fn from_log(text: &str) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for Slug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slugs_are_validated() {
        for good in ["a", "Launch-2026", "_x_", "9", &"a".repeat(128), "apis", "link_1"] {
            assert!(Slug::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "a b", "ü", "a/b", "a.b", "a\n", "API", "livez", &"a".repeat(129)] {
            assert!(Slug::parse(bad).is_err(), "{bad}");
        }
        let id = crate::domain::ids::LinkId::new(uuid::Uuid::from_u128(1)).to_string();
        assert!(Slug::parse(&id).is_err(), "a link's id is no slug");
    }

    #[test]
    fn generated_slugs_have_the_requested_length_and_are_unambiguous() {
        let mut byte = 0_u8;
        for len in [1, GENERATED_LEN, 40] {
            let slug = Slug::generate(len, |bytes| {
                for place in bytes {
                    byte = byte.wrapping_add(37);
                    *place = byte;
                }
            });
            assert_eq!(slug.as_str().len(), len);
            assert!(slug.as_str().bytes().all(|letter| UNAMBIGUOUS.contains(&letter)));
        }
    }
}
