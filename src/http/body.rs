//! JSON bodies, read strictly: what is wrong is named by its field.

use axum::extract::{FromRequest, Request};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use super::problem::Problem;
use crate::domain::event::Idempotency;

/// The largest body that is read, in bytes.
pub const MAX_BODY_BYTES: usize = 1 << 20;

const MAX_IDEMPOTENCY_KEY_BYTES: usize = 255;

/// A JSON body, and the idempotency key that the request came with.
pub struct JsonBody<T> {
    /// What the body says.
    pub value: T,
    /// `Idempotency-Key`, bound to what the request says.
    pub idempotency: Option<Idempotency>,
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for JsonBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        check_content_type(parts.headers.get(CONTENT_TYPE).map(|value| value.as_bytes()))?;
        let bytes = axum::body::to_bytes(body, MAX_BODY_BYTES).await.map_err(|error| {
            let source = std::error::Error::source(&error);
            if source.is_some_and(|cause| cause.is::<http_body_util::LengthLimitError>()) {
                let detail = format!("The body is larger than {MAX_BODY_BYTES} bytes.");
                Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "PAYLOAD_TOO_LARGE", detail)
            } else {
                Problem::new(StatusCode::BAD_REQUEST, "VALIDATION_ERROR", "The body broke off.")
            }
        })?;
        let value = parse(&bytes)?;
        let idempotency = match parts.headers.get("idempotency-key") {
            None => None,
            Some(key) => {
                let mut request = Sha256::new_with_prefix(parts.method.as_str());
                request.update(parts.uri.path());
                request.update([0]);
                request.update(&bytes);
                let request_sha256 = request.finalize().to_vec();
                Some(Idempotency { key: idempotency_key(key)?, request_sha256 })
            }
        };
        Ok(Self { value, idempotency })
    }
}

fn idempotency_key(value: &HeaderValue) -> Result<String, Problem> {
    let text =
        value.to_str().ok().filter(|text| (1..=MAX_IDEMPOTENCY_KEY_BYTES).contains(&text.len()));
    let rule = "must be 1 to 255 visible ASCII characters";
    text.map(str::to_owned).ok_or_else(|| Problem::field("Idempotency-Key", rule))
}

fn check_content_type(value: Option<&[u8]>) -> Result<(), Problem> {
    let text = value.and_then(|value| std::str::from_utf8(value).ok()).unwrap_or_default();
    let essence = text.split(';').next().unwrap_or_default().trim();
    let is_json = essence.eq_ignore_ascii_case("application/json")
        || (essence.starts_with("application/") && essence.ends_with("+json"));
    if is_json {
        return Ok(());
    }
    let detail = "The body must be JSON, sent with `Content-Type: application/json`.";
    Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UNSUPPORTED_MEDIA_TYPE", detail))
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(Problem::field("body", "is required"));
    }
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        let inner = error.into_inner();
        let reason = reason(&inner.to_string());
        if !inner.is_data() {
            return Problem::field("body", format!("is not valid JSON: {reason}"));
        }
        let name =
            unknown_field(&reason).unwrap_or(if path == "." { "body".to_owned() } else { path });
        Problem::field(name, reason)
    })?;
    json.end().map_err(|error| {
        Problem::field("body", format!("is not valid JSON: {}", reason(&error.to_string())))
    })?;
    Ok(value)
}

/// serde's text without its place, which the field's name replaces.
fn reason(text: &str) -> String {
    text.rsplit_once(" at line ").map_or(text, |(reason, _)| reason).to_owned()
}

/// serde reports an unknown or missing field at the object that should not, or should, hold it.
fn unknown_field(reason: &str) -> Option<String> {
    let rest = reason
        .strip_prefix("unknown field `")
        .or_else(|| reason.strip_prefix("missing field `"))?;
    rest.split_once('`').map(|(name, _)| name.to_owned())
}
