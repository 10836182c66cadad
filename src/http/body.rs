//! Strict parsing of JSON bodies: errors name the field.

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue};
use http_body_util::BodyExt;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use crate::domain::deserialize_error::plain;
use crate::domain::error::{ErrorCode, Result, ServiceError};
use crate::domain::event::Idempotency;
use crate::domain::nearest::nearest;
use crate::limits::{MAX_BODY_BYTES, MAX_BULK_BODY_BYTES};

/// How much of a too large body is read and discarded before the connection is closed.
const MAX_DISCARDED_BYTES: usize = 32 << 20;

const MAX_IDEMPOTENCY_KEY_BYTES: usize = 255;

/// A JSON body and the idempotency key of the request.
pub struct JsonBody<T> {
    /// The parsed body.
    pub value: T,
    /// `Idempotency-Key` with a hash of the request.
    pub idempotency: Option<Idempotency>,
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for JsonBody<T> {
    type Rejection = ServiceError;

    async fn from_request(request: Request, _: &S) -> Result<Self> {
        let (parts, body) = request.into_parts();
        check_content_type(parts.headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes))?;
        let bytes = read(body, MAX_BODY_BYTES).await?;
        let value = parse(&bytes)?;
        Ok(Self { value, idempotency: idempotency(&parts, &bytes)? })
    }
}

/// An unparsed body, of which a signature is verified.
pub struct RawBody(pub Vec<u8>);

impl<S: Send + Sync> FromRequest<S> for RawBody {
    type Rejection = ServiceError;

    async fn from_request(request: Request, _: &S) -> Result<Self> {
        Ok(Self(read(request.into_body(), MAX_BODY_BYTES).await?))
    }
}

/// The unparsed JSON of a bulk request: parsed, it may take many times as much memory.
pub struct BulkBody {
    bytes: Vec<u8>,
    /// `Idempotency-Key` with a hash of the request.
    pub idempotency: Option<Idempotency>,
}

impl<S: Send + Sync> FromRequest<S> for BulkBody {
    type Rejection = ServiceError;

    async fn from_request(request: Request, _: &S) -> Result<Self> {
        let (parts, body) = request.into_parts();
        check_content_type(parts.headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes))?;
        let bytes = read(body, MAX_BULK_BODY_BYTES).await?;
        let idempotency = idempotency(&parts, &bytes)?;
        Ok(Self { bytes, idempotency })
    }
}

impl BulkBody {
    /// Parses the body.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T> {
        parse(&self.bytes)
    }
}

/// Parses one item of a bulk request.
pub fn parse_item<T: DeserializeOwned>(item: &RawValue) -> Result<T> {
    parse(item.get().as_bytes())
}

/// As [`JsonBody`], but the body is optional.
pub struct OptionalBody<T> {
    /// The parsed body, or the default.
    pub value: T,
    /// `Idempotency-Key` with a hash of the request.
    pub idempotency: Option<Idempotency>,
}

impl<T: DeserializeOwned + Default, S: Send + Sync> FromRequest<S> for OptionalBody<T> {
    type Rejection = ServiceError;

    async fn from_request(request: Request, _: &S) -> Result<Self> {
        let (parts, body) = request.into_parts();
        let bytes = read(body, MAX_BODY_BYTES).await?;
        let value = if bytes.is_empty() {
            T::default()
        } else {
            check_content_type(parts.headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes))?;
            parse(&bytes)?
        };
        Ok(Self { value, idempotency: idempotency(&parts, &bytes)? })
    }
}

/// The idempotency key of a request, if any, with a hash of the request.
fn idempotency(parts: &Parts, bytes: &[u8]) -> Result<Option<Idempotency>> {
    let Some(key) = key_of(&parts.headers)? else { return Ok(None) };
    let mut request = Sha256::new_with_prefix(parts.method.as_str());
    request.update(parts.uri.path());
    if let Some(query) = parts.uri.query() {
        request.update("?");
        request.update(query);
    }
    request.update([0]);
    request.update(bytes);
    let request_sha256 = request.finalize().to_vec();
    Ok(Some(Idempotency { key, request_sha256 }))
}

/// The idempotency key of a request, if any.
pub fn key_of(headers: &HeaderMap) -> Result<Option<String>> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    let text =
        value.to_str().ok().filter(|text| (1..=MAX_IDEMPOTENCY_KEY_BYTES).contains(&text.len()));
    let rule = "must be 1 to 255 visible ASCII characters";
    text.map(|text| Some(text.to_owned()))
        .ok_or_else(|| ServiceError::field("Idempotency-Key", rule))
}

/// Reads a body up to its limit. A larger one is read and discarded, up to another limit: a client
/// that is cut off while sending would not see the response.
pub async fn read(mut body: Body, max_bytes: usize) -> Result<Vec<u8>> {
    let (mut bytes, mut total) = (Vec::new(), 0);
    while let Some(frame) = body.frame().await {
        let frame =
            frame.map_err(|_| ServiceError::new(ErrorCode::Invalid, "The body is incomplete."))?;
        let Ok(data) = frame.into_data() else { continue };
        total += data.len();
        if total > MAX_DISCARDED_BYTES {
            break;
        }
        if total <= max_bytes {
            bytes.extend_from_slice(&data);
        }
    }
    if total <= max_bytes {
        return Ok(bytes);
    }
    let detail = format!("The body is larger than {max_bytes} bytes.");
    let problem = ServiceError::new(ErrorCode::TooLarge, detail);
    Err(problem.with_field("body", format!("must not be larger than {max_bytes} bytes")))
}

fn check_content_type(value: Option<&[u8]>) -> Result<()> {
    let text = value.and_then(|value| std::str::from_utf8(value).ok()).unwrap_or_default();
    let essence = text.split(';').next().unwrap_or_default().trim();
    let is_json = essence.eq_ignore_ascii_case("application/json")
        || (essence.starts_with("application/") && essence.ends_with("+json"));
    if is_json {
        return Ok(());
    }
    let detail = "The body must be JSON, sent with `Content-Type: application/json`.";
    let problem = ServiceError::new(ErrorCode::UnsupportedFormat, detail);
    Err(problem.with_field("Content-Type", "must be application/json"))
}

/// Parses a part of a body.
pub fn parse_value<T: DeserializeOwned>(value: serde_json::Value) -> Result<T> {
    if !value.is_object() {
        return Err(ServiceError::field("body", "must be a JSON object"));
    }
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().to_string();
        field_error(path, &reason(&error.into_inner().to_string()))
    })
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    let not_json = |error: &serde_json::Error| {
        ServiceError::field("body", format!("is not valid JSON: {}", reason(&error.to_string())))
    };
    // serde would accept a list for a struct, field by field.
    match bytes.iter().find(|byte| !byte.is_ascii_whitespace()) {
        None => return Err(ServiceError::field("body", "is required")),
        Some(b'{') => {}
        Some(_) => return Err(ServiceError::field("body", "must be a JSON object")),
    }
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        let inner = error.into_inner();
        if inner.is_data() {
            field_error(path, &reason(&inner.to_string()))
        } else {
            not_json(&inner)
        }
    })?;
    json.end().map_err(|error| not_json(&error))?;
    Ok(value)
}

/// serde's message without the position, which the field name replaces.
fn reason(text: &str) -> String {
    text.rsplit_once(" at line ").map_or(text, |(reason, _)| reason).to_owned()
}

/// serde reports unknown and missing fields at the object that contains them.
fn field_error(path: String, reason: &str) -> ServiceError {
    let inside = |name: &str| {
        match path.strip_suffix(name) {
            // The path of an unknown field already ends with its name.
            Some(above) if above.is_empty() || above.ends_with('.') => path.clone(),
            _ if path == "." => name.to_owned(),
            _ => format!("{path}.{name}"),
        }
    };
    if let Some((name, expected)) = quoted(reason, "unknown field `") {
        // The odd parts are names, in backticks.
        let names: Vec<_> = expected.split('`').skip(1).step_by(2).collect();
        let rule = match (nearest(name, names.iter().copied()), names.as_slice()) {
            (Some(meant), _) => format!("is not a field here; did you mean `{meant}`?"),
            (None, []) => "is not a field here: there are none".to_owned(),
            (None, names) => format!("is not a field here: {}", names.join(", ")),
        };
        return ServiceError::field(inside(name), rule);
    }
    if let Some((name, _)) = quoted(reason, "missing field `") {
        return ServiceError::field(inside(name), "is required");
    }
    let name = if path == "." { "body".to_owned() } else { path };
    ServiceError::field(name, plain(reason))
}

fn quoted<'a>(reason: &'a str, opening: &str) -> Option<(&'a str, &'a str)> {
    reason.strip_prefix(opening)?.split_once('`')
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code, reason = "only parsed")]
    struct Body {
        name: String,
        list: Option<Vec<u8>>,
        parts: Option<Vec<Part>>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code, reason = "only parsed")]
    struct Part {
        size: u8,
    }

    #[test]
    fn what_is_wrong_is_named_by_its_field() {
        for (json, field) in [
            ("", "body"),
            ("{", "body"),
            ("[\"a\"]", "body"),
            ("{\"name\":\"a\"} x", "body"),
            ("{\"name\":1}", "name"),
            ("{}", "name"),
            ("{\"name\":\"a\",\"odd\":1}", "odd"),
            ("{\"name\":\"a\",\"list\":[1,\"x\"]}", "list[1]"),
            ("{\"name\":\"a\",\"parts\":[{\"size\":1},{\"size\":1,\"odd\":1}]}", "parts[1].odd"),
            ("{\"name\":\"a\",\"parts\":[{}]}", "parts[0].size"),
        ] {
            let error = parse::<Body>(json.as_bytes()).unwrap_err();
            assert_eq!(error.fields.keys().collect::<Vec<_>>(), [field], "{json}");
            assert_eq!(error.code, ErrorCode::Invalid);
        }
        assert!(parse::<Body>(b" {\"name\":\"a\"} ").is_ok());
        for (json, reason) in [
            ("{\"name\":1}", "must be a text, not the number 1"),
            ("{\"name\":{}}", "must be a text, not an object"),
            ("{\"name\":\"a\",\"list\":\"x\"}", "must be a list, not the text \"x\""),
            ("{\"name\":\"a\",\"lists\":[]}", "is not a field here; did you mean `list`?"),
            ("{\"name\":\"a\",\"odd\":1}", "is not a field here: name, list, parts"),
        ] {
            let error = parse::<Body>(json.as_bytes()).unwrap_err();
            assert_eq!(error.fields.values().next().unwrap(), &[reason], "{json}");
        }
    }
}
