//! A slug: the part of a short link that people read out.

use std::fmt;

/// Letters and digits that nobody confuses when reading aloud or copying: no `0 O o 1 l I i`.
pub const UNAMBIGUOUS: &[u8] = b"23456789abcdefghjkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ";

/// How long a generated slug is while the domain is not crowded.
pub const GENERATED_LEN: usize = 7;

const MAX_LEN: usize = 128;

/// Paths that the service answers itself, now or by design; compared without regard to case.
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

/// 1 to 128 of letters, digits, `-` and `_`; case counts.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Slug(Box<str>);

impl Slug {
    /// Takes a slug that somebody chose.
    ///
    /// # Errors
    /// A sentence that says which rule it breaks.
    pub fn parse(text: &str) -> Result<Self, String> {
        if !Self::is_wellformed(text) {
            return Err("must be 1 to 128 of letters, digits, - and _".to_owned());
        }
        if Self::is_reserved(text) {
            return Err(format!("`{text}` is a path of the service itself"));
        }
        // A path may take a link's id or its slug: the two must never be mistaken.
        if text.parse::<super::ids::LinkId>().is_ok() {
            return Err("must not look like a link's id".to_owned());
        }
        Ok(Self(text.into()))
    }

    /// Whether a path segment could be a slug at all. Cheap; the redirect path asks first.
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

    /// Makes a slug of `len` characters out of random bytes from `fill`.
    pub fn generate(len: usize, mut fill: impl FnMut(&mut [u8])) -> Self {
        let mut text = String::with_capacity(len);
        let mut bytes = [0_u8; 32];
        while text.len() < len {
            fill(&mut bytes);
            // Of 256 values the last few would favour the alphabet's start: they are dropped.
            let fair = 256 - 256 % UNAMBIGUOUS.len();
            let letters = bytes.iter().map(|byte| usize::from(*byte)).filter(|value| *value < fair);
            let letters = letters.map(|value| char::from(UNAMBIGUOUS[value % UNAMBIGUOUS.len()]));
            text.extend(letters.take(len - text.len()));
        }
        Self(text.into())
    }

    /// Takes a slug that stands in the log, whatever today's rules say of it.
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
    fn what_a_slug_may_be() {
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
    fn generated_slugs_are_as_long_as_asked_and_unambiguous() {
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
