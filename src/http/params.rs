//! Strict parsing of paths and query strings: each parameter is taken by name, and unknown ones are
//! rejected.

use std::collections::BTreeMap;

use crate::domain::error::{Invalid, Result, ServiceError};
use crate::domain::nearest::hint;
use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;

/// The name in a request's path: the ID or slug of a link, the ID of a token.
pub struct Name(pub String);

impl<S: Send + Sync> FromRequestParts<S> for Name {
    type Rejection = ServiceError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        // Invalid UTF-8 cannot be a name.
        let name = Path::<String>::from_request_parts(parts, state).await;
        name.map(|Path(name)| Self(name)).map_err(|_| ServiceError::not_found("thing"))
    }
}

/// The parameters of a request that are not taken yet.
#[derive(Clone)]
pub struct Params {
    values: BTreeMap<String, Vec<String>>,
    /// The names of those that may be given.
    taken: Vec<&'static str>,
    /// One that is ignored if nothing takes it.
    optional: Option<&'static str>,
    invalid: Invalid,
}

impl<S: Send + Sync> FromRequestParts<S> for Params {
    type Rejection = ServiceError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        let rest = parts.extensions.remove::<Self>();
        Ok(rest.unwrap_or_else(|| Self::parse(parts.uri.query().unwrap_or_default())))
    }
}

impl Params {
    fn parse(query: &str) -> Self {
        let mut params = Self {
            values: BTreeMap::new(),
            taken: Vec::new(),
            optional: None,
            invalid: Invalid::default(),
        };
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            params.values.entry(name.into_owned()).or_default().push(value.into_owned());
        }
        params
    }

    /// Takes a parameter's text.
    pub fn text(&mut self, name: &'static str) -> Option<String> {
        self.taken.push(name);
        let mut texts = self.values.remove(name)?;
        if texts.len() > 1 {
            self.refuse(name, "must not be given twice");
        }
        texts.pop()
    }

    /// Ignores a parameter unless it is taken.
    pub const fn ignore(&mut self, name: &'static str) {
        self.optional = Some(name);
    }

    /// Takes the texts of a parameter that may be repeated and may contain several texts, separated
    /// by commas.
    pub fn texts(&mut self, name: &'static str) -> Vec<String> {
        self.taken.push(name);
        let texts = self.values.remove(name).unwrap_or_default();
        texts.iter().flat_map(|text| text.split(',')).map(|text| text.trim().to_owned()).collect()
    }

    /// Takes `true` or `false`.
    pub fn flag(&mut self, name: &'static str) -> Option<bool> {
        self.choice(name, &[true, false], |is_set| if is_set { "true" } else { "false" })
    }

    /// Takes an ISO 8601 timestamp with an offset, in milliseconds since the Unix epoch.
    pub fn timestamp(&mut self, name: &'static str) -> Option<u64> {
        let text = self.text(name)?;
        let at = text.parse::<jiff::Timestamp>().ok();
        let at = at.and_then(|at| u64::try_from(at.as_millisecond()).ok());
        if at.is_none() {
            self.refuse(name, "must be a timestamp such as 2027-01-31T18:00:00Z");
        }
        at
    }

    /// Takes an integer within bounds, and within those of the format `int64`.
    pub fn number(&mut self, name: &'static str, min: u64, max: u64) -> Option<u64> {
        let max = max.min(i64::MAX.unsigned_abs());
        let text = self.text(name)?;
        let number = whole_number(&text).filter(|number| (min..=max).contains(number));
        if number.is_none() {
            self.refuse(name, format!("must be a whole number from {min} to {max}"));
        }
        number
    }

    /// Takes a parameter with a parser; `rule` is the error message.
    pub fn parsed<T>(
        &mut self,
        name: &'static str,
        rule: impl Into<String>,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let text = self.text(name)?;
        let parsed = parse(&text);
        if parsed.is_none() {
            self.refuse(name, rule);
        }
        parsed
    }

    /// Records that a parameter is missing, unless it already has an error.
    pub fn require(&mut self, name: &str) {
        if !self.invalid.fields().contains_key(name) {
            self.refuse(name, "is required");
        }
    }

    /// Takes one of some words.
    pub fn choice<T: Copy>(
        &mut self,
        name: &'static str,
        every: &[T],
        word: impl Fn(T) -> &'static str,
    ) -> Option<T> {
        let text = self.text(name);
        self.invalid.choice(name, text.as_deref(), every, word)
    }

    /// Records an error of a parameter.
    pub fn refuse(&mut self, name: &str, reason: impl Into<String>) {
        self.invalid.add(name, reason);
    }

    /// `Ok` if no parameter that was taken is invalid.
    pub fn finish_known(self) -> Result<()> {
        Ok(self.invalid.into_result()?)
    }

    /// `Ok` if all parameters were taken and none was invalid.
    pub fn finish(mut self) -> Result<()> {
        let left = self.values.keys().filter(|name| Some(name.as_str()) != self.optional);
        let left: Vec<_> = left.cloned().collect();
        for name in left {
            let hint = hint(&name, self.taken.iter().copied());
            self.refuse(&name, format!("is not a parameter of this path{hint}"));
        }
        Ok(self.invalid.into_result()?)
    }
}

/// Refuses parameters with other names than these.
pub fn check_names(query: &str, known: &[String]) -> Result<()> {
    let mut invalid = Invalid::default();
    for name in Params::parse(query).values.keys().filter(|name| !known.contains(name)) {
        let hint = hint(name, known.iter().map(String::as_str));
        invalid.add(name, format!("is not a parameter of this path{hint}"));
    }
    Ok(invalid.into_result()?)
}

/// A number in decimal digits, without a sign; the maximum if it is larger.
pub fn whole_number(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_parameters_are_taken_and_the_others_named() {
        let mut params = Params::parse(
            "page=2&limit=1000&offset=9223372036854775808&unit=year&odd=1&page=3&tag=a,b&tag=c&on=true&off=false&maybe=1\
             &from=1970-01-01T00:00:01Z&until=today",
        );
        assert_eq!(params.number("page", 1, 10), Some(3));
        assert_eq!(params.number("limit", 1, 100), None);
        assert_eq!(params.number("offset", 1, u64::MAX), None);
        assert_eq!(params.choice("unit", &["day"], |word| word), None);
        assert_eq!(params.text("absent"), None);
        assert_eq!(params.texts("tag"), ["a", "b", "c"]);
        assert_eq!((params.flag("on"), params.flag("off")), (Some(true), Some(false)));
        assert_eq!(params.timestamp("from"), Some(1_000));
        assert_eq!((params.flag("maybe"), params.timestamp("until")), (None, None));
        let wrong: Vec<_> = params.invalid.fields().keys().cloned().collect();
        assert_eq!(wrong, ["limit", "maybe", "offset", "page", "unit", "until"]);
        assert!(params.finish().is_err());
        assert!(Params::parse("").finish().is_ok());
    }
}
