//! The fields of a request's body, taken by name. Like the products' own servers, dialects ignore
//! unknown fields.

use std::ops::RangeInclusive;

use axum::extract::{FromRequest, Request};
use axum::http::header::CONTENT_TYPE;
use serde_json::{Map, Value};

use crate::domain::error::{Invalid, Result, ServiceError};
use crate::domain::link::Field;
use crate::domain::qr::style::{Color, InvalidColor};
use crate::http::body::read;
use crate::http::params::whole_number;
use crate::limits::MAX_BODY_BYTES;

/// The fields of a body that are not taken yet.
#[derive(Default)]
pub struct Fields {
    values: Map<String, Value>,
    invalid: Invalid,
    /// Whether the body is neither empty nor an object of fields.
    pub is_malformed: bool,
    /// Whether the content type is JSON.
    pub is_json: bool,
}

impl<S: Send + Sync> FromRequest<S> for Fields {
    type Rejection = ServiceError;

    async fn from_request(request: Request, _: &S) -> Result<Self> {
        let (parts, body) = request.into_parts();
        let bytes = read(body, MAX_BODY_BYTES).await?;
        let media_type = parts.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        Ok(Self::parse(media_type.unwrap_or_default(), &bytes))
    }
}

impl Fields {
    fn parse(media_type: &str, bytes: &[u8]) -> Self {
        let essence = media_type.split(';').next().unwrap_or_default().trim();
        let is_json = essence.eq_ignore_ascii_case("application/json");
        if essence.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            return Self { values: form(bytes), ..Self::default() };
        }
        let is_empty = bytes.iter().all(u8::is_ascii_whitespace);
        let values = serde_json::from_slice(bytes).ok();
        let is_malformed = values.is_none() && !is_empty;
        Self { values: values.unwrap_or_default(), is_malformed, is_json, ..Self::default() }
    }

    /// Trims texts, and takes empty ones for null, as Laravel does by default.
    #[must_use]
    pub fn trimmed(mut self) -> Self {
        for value in self.values.values_mut() {
            if let Value::String(text) = value {
                let text = text.trim();
                *value = if text.is_empty() { Value::Null } else { text.into() };
            }
        }
        self
    }

    /// Takes a text.
    pub fn text(&mut self, name: &str) -> Field<String> {
        match self.values.remove(name) {
            None => Field::Absent,
            Some(Value::Null) => Field::Null,
            Some(Value::String(text)) => Field::Value(text),
            Some(_) => self.refuse(name, "must be a string"),
        }
    }

    /// Takes a text that is required.
    pub fn required_text(&mut self, name: &str) -> Field<String> {
        match self.text(name) {
            Field::Value(text) => Field::Value(text),
            Field::Absent | Field::Null if self.is_refused(name) => Field::Absent,
            Field::Absent | Field::Null => self.refuse(name, "is required"),
        }
    }

    /// Takes one of some words.
    pub fn choice(&mut self, name: &str, words: &[&str]) -> Field<String> {
        match self.text(name) {
            Field::Value(text) if !words.contains(&text.as_str()) => {
                self.refuse(name, format!("must be one of {}", words.join(", ")))
            }
            field => field,
        }
    }

    /// Takes a color.
    pub fn color(&mut self, name: &str) -> Field<String> {
        match self.text(name) {
            Field::Value(text) if text.parse::<Color>().is_err() => {
                self.refuse(name, InvalidColor.to_string())
            }
            field => field,
        }
    }

    /// Takes a whole number within bounds, also as a text.
    pub fn number(&mut self, name: &str, bounds: RangeInclusive<u32>) -> Field<u32> {
        let number = match self.values.remove(name) {
            None => return Field::Absent,
            Some(Value::Null) => return Field::Null,
            Some(Value::Number(number)) => number.as_u64(),
            Some(Value::String(text)) => whole_number(&text),
            Some(_) => None,
        };
        let number = number.and_then(|number| u32::try_from(number).ok());
        if let Some(number) = number.filter(|number| bounds.contains(number)) {
            return Field::Value(number);
        }
        let (min, max) = bounds.into_inner();
        self.refuse(name, format!("must be a whole number from {min} to {max}"))
    }

    /// Takes an object.
    pub fn object(&mut self, name: &str) -> Field<Map<String, Value>> {
        match self.values.remove(name) {
            None => Field::Absent,
            Some(Value::Null) => Field::Null,
            Some(Value::Object(fields)) => Field::Value(fields),
            Some(_) => self.refuse(name, "must be an object"),
        }
    }

    /// Takes a list of texts.
    pub fn texts(&mut self, name: &str) -> Field<Vec<String>> {
        let text = |value: Value| match value {
            Value::String(text) => Some(text),
            _ => None,
        };
        match self.values.remove(name) {
            None => Field::Absent,
            Some(Value::Null) => Field::Null,
            Some(Value::Array(values)) => {
                let texts = values.into_iter().map(text).collect::<Option<_>>();
                texts.map_or_else(|| self.refuse(name, "must be a list of strings"), Field::Value)
            }
            Some(_) => self.refuse(name, "must be a list of strings"),
        }
    }

    /// Records what is wrong with a field.
    pub fn refuse<T>(&mut self, name: &str, reason: impl Into<String>) -> Field<T> {
        self.invalid.add(name, reason);
        Field::Absent
    }

    fn is_refused(&self, name: &str) -> bool {
        self.invalid.fields().contains_key(name)
    }

    /// `Ok` if no field was invalid.
    pub fn finish(self) -> Result<()> {
        Ok(self.invalid.into_result()?)
    }
}

/// The fields of a form; `name[]` and `name[0]` are entries of a list, as PHP reads them.
fn form(bytes: &[u8]) -> Map<String, Value> {
    let mut values = Map::new();
    for (name, value) in form_urlencoded::parse(bytes) {
        let value = Value::from(value.into_owned());
        let list = name.split_once('[').filter(|(_, rest)| rest.ends_with(']'));
        match list.map(|(list, _)| values.entry(list).or_insert_with(|| Value::Array(Vec::new()))) {
            Some(Value::Array(entries)) => entries.push(value),
            Some(_) => {}
            None => {
                values.insert(name.into_owned(), value);
            }
        }
    }
    values
}

/// Renames the fields of an error: from slugline's names to those of a dialect.
pub fn renamed(mut error: ServiceError, names: &[(&str, &str)]) -> ServiceError {
    for (native, own) in names {
        if let Some(reasons) = error.fields.remove(*native) {
            error.fields.entry((*own).to_owned()).or_default().extend(reasons);
        }
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_objects_or_forms() {
        let json = "application/json; charset=utf-8";
        let fields = |media_type, body: &str| Fields::parse(media_type, body.as_bytes()).trimmed();
        let mut found = fields(json, r#"{"a": " x ", "b": "", "c": 1, "odd": true}"#);
        assert!(found.is_json && !found.is_malformed);
        assert_eq!(found.required_text("a"), Field::Value("x".to_owned()));
        assert_eq!(found.text("b"), Field::Null);
        assert_eq!((found.text("c"), found.text("d")), (Field::Absent, Field::Absent));
        assert_eq!(found.required_text("e"), Field::Absent);
        let error = found.finish().unwrap_err();
        let reasons: Vec<_> = error.fields.into_iter().collect();
        let reason = |text: &str| vec![text.to_owned()];
        let expected = [("c", reason("must be a string")), ("e", reason("is required"))];
        assert_eq!(reasons, expected.map(|(name, reasons)| (name.to_owned(), reasons)));
        let mut form = fields("application/x-www-form-urlencoded", "a=1&b=c+d");
        assert_eq!(form.text("b"), Field::Value("c d".to_owned()));
        let mut form = fields("application/x-www-form-urlencoded", "a[]=x&a[1]=y&b=1&b[]=2");
        assert_eq!(form.texts("a"), Field::Value(vec!["x".to_owned(), "y".to_owned()]));
        assert_eq!(form.text("b"), Field::Value("1".to_owned()));
        let mut qr = fields(
            json,
            r##"{"w": "x", "v": "z", "c": "#abc", "d": "red", "n": 7, "m": "9",
            "o": 10, "p": -1, "q": 7.5, "r": [], "s": null}"##,
        );
        assert_eq!(qr.choice("w", &["x", "y"]), Field::Value("x".to_owned()));
        assert_eq!(qr.choice("v", &["x", "y"]), Field::Absent);
        assert_eq!(qr.color("c"), Field::Value("#abc".to_owned()));
        assert_eq!(qr.color("d"), Field::Absent);
        assert_eq!(
            (qr.number("n", 7..=9), qr.number("m", 7..=9)),
            (Field::Value(7), Field::Value(9))
        );
        for name in ["o", "p", "q", "r"] {
            assert_eq!(qr.number(name, 7..=9), Field::Absent, "{name}");
        }
        assert_eq!((qr.number("s", 7..=9), qr.number("t", 7..=9)), (Field::Null, Field::Absent));
        let refused = qr.finish().unwrap_err().fields;
        assert_eq!(refused["v"], ["must be one of x, y"]);
        assert_eq!(refused["o"], ["must be a whole number from 7 to 9"]);
        assert_eq!(refused.into_keys().collect::<String>(), "dopqrv");
        for (body, is_malformed) in [("", false), (" ", false), ("{", true), ("[]", true)] {
            assert_eq!(fields(json, body).is_malformed, is_malformed, "{body}");
        }
    }

    #[test]
    fn fields_of_errors_have_the_names_of_the_dialect() {
        let error = ServiceError::field("destination", "is required");
        let error = renamed(error.with_field("slug", "is taken"), &[("destination", "long_url")]);
        assert_eq!(error.fields.into_keys().collect::<Vec<_>>(), ["long_url", "slug"]);
    }
}
