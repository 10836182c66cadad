//! Requests of YOURLS: parameters of the query or of a form.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, COOKIE};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method};

use crate::domain::error::{ErrorCode, Result, ServiceError};
use crate::domain::link::{Field, LinkInput};
use crate::http::body::read;
use crate::http::params::{Params, whole_number};

/// The path of all actions.
pub const SCRIPT: &str = "/yourls-api.php";
/// The actions, each of them the last segment of a route's path.
const ACTIONS: [&str; 6] = ["shorturl", "expand", "url-stats", "stats", "db-stats", "version"];
/// A form becomes a query, and URIs are not longer.
const MAX_FORM_BYTES: usize = 64 << 10;

/// The longest name of a callback.
const MAX_CALLBACK_BYTES: usize = 128;

/// Parameters by name.
pub type Values = BTreeMap<String, String>;

/// The parameters of a request: those of a form have precedence.
pub async fn values(parts: &Parts, body: Body) -> Result<Values> {
    let query = parts.uri.query().unwrap_or_default();
    let mut values: Values = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    if parts.method == Method::POST {
        let media_type = parts.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let body = read(body, MAX_FORM_BYTES).await?;
        match media_type.and_then(|value| value.split_once("boundary=")) {
            Some((_, boundary)) => values.extend(multipart(boundary.trim_matches('"'), &body)),
            None => values.extend(form_urlencoded::parse(&body).into_owned()),
        }
    }
    let is_name = |text: &String| {
        text.len() <= MAX_CALLBACK_BYTES
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_$.".contains(&byte))
    };
    let callbacks = ["callback", "jsonp"].into_iter().filter_map(|name| values.get(name));
    if !callbacks.into_iter().all(is_name) {
        return Err(ServiceError::new(ErrorCode::Invalid, "Invalid callback parameter"));
    }
    Ok(values)
}

/// The fields of a form as PHP's curl sends an array.
fn multipart(boundary: &str, body: &[u8]) -> Vec<(String, String)> {
    let text = String::from_utf8_lossy(body);
    let field = |part: &str| {
        let (head, value) = part.split_once("\r\n\r\n")?;
        let (name, _) = head.split_once(" name=\"")?.1.split_once('"')?;
        Some((name.to_owned(), value.strip_suffix("\r\n")?.to_owned()))
    };
    text.split(&format!("--{boundary}")).filter_map(field).collect()
}

/// A request to the route of the action, with its token in a header.
pub fn routed(mut parts: Parts, mut values: Values) -> Result<Request> {
    // Other sites can cause such requests, so a browser's session does not count.
    parts.headers.remove(COOKIE);
    if let Some(token) = take_token(&mut values)? {
        parts.headers.insert(AUTHORIZATION, token);
    }
    let invalid = |message| ServiceError::new(ErrorCode::Invalid, message);
    let action = values.get("action").filter(|action| ACTIONS.contains(&action.as_str()));
    let action = action.ok_or_else(|| invalid("Unknown or missing \"action\" parameter"))?;
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(&values).finish();
    let uri = format!("{SCRIPT}/{action}?{query}").parse();
    parts.uri = uri.map_err(|_| ServiceError::new(ErrorCode::TooLarge, "The URI is too long."))?;
    if parts.method == Method::POST {
        parts.method = Method::GET;
    }
    Ok(Request::from_parts(parts, Body::empty()))
}

/// Takes the credential, as an `Authorization` header.
fn take_token(values: &mut Values) -> Result<Option<HeaderValue>> {
    let mut take = |name| values.remove(name).filter(|text| !text.is_empty());
    let message = match (take("signature"), take("timestamp"), take("username"), take("password")) {
        (Some(token), None, ..) => match HeaderValue::try_from(format!("Bearer {token}")) {
            Ok(header) => return Ok(Some(header)),
            Err(_) => "The signature is not an API token.",
        },
        (Some(_), Some(_), ..) => {
            "Signatures with a timestamp are not supported: send an API token."
        }
        (None, _, None, None) => return Ok(None),
        _ => "Usernames and passwords are not supported: send an API token as the signature.",
    };
    Err(ServiceError::new(ErrorCode::InvalidCredential, message))
}

/// A link to create.
pub fn link_input(mut params: Params) -> LinkInput {
    let mut text = |name| match params.text(name) {
        Some(text) if !text.is_empty() => Field::Value(text),
        _ => Field::Absent,
    };
    let with_scheme = |url: String| {
        Some(if has_scheme(url.trim()) { url } else { format!("http://{}", url.trim()) })
    };
    LinkInput {
        destination: text("url").try_map(with_scheme),
        slug: text("keyword"),
        title: text("title"),
        ..LinkInput::default()
    }
}

/// Whether a URL begins with a scheme (RFC 3986), rather than with a host and a port.
fn has_scheme(url: &str) -> bool {
    let is_of_scheme = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    url.split_once(':').is_some_and(|(scheme, rest)| {
        let is_wellformed = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
            && scheme.bytes().all(is_of_scheme);
        is_wellformed
            && (rest.starts_with("//") || !rest.starts_with(|first: char| first.is_ascii_digit()))
    })
}

/// The keyword of a short URL, or the keyword itself.
pub fn keyword(mut params: Params) -> String {
    let short_url = params.text("shorturl").unwrap_or_default();
    short_url.rsplit('/').next().unwrap_or_default().to_owned()
}

/// A number, which is 0 if it is none.
pub fn number(params: &mut Params, name: &'static str) -> usize {
    let number = params.text(name).and_then(|text| whole_number(&text)).unwrap_or_default();
    usize::try_from(number).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_with_a_port_is_no_scheme() {
        for url in ["https://x.example/a", "mailto:ada@example.com", "javascript:alert(1)"] {
            assert!(has_scheme(url), "{url}");
        }
        for url in ["x.example", "x.example:8080/a", "x.example/login?next=https://y.example"] {
            assert!(!has_scheme(url), "{url}");
        }
    }
}
