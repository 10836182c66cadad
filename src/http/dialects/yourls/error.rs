//! Errors of YOURLS: `{"message", "errorCode", "statusCode"}`, with `status` and `code` for a URL
//! that is not shortened.

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::domain::error::{ErrorCode, Result, ServiceError};
use crate::domain::link::{Field, LinkInput};
use crate::http::dialects::messages;

const NOT_FOUND: &str = "Error: short URL not found";

/// Renders an error.
pub fn render(error: &ServiceError) -> (StatusCode, Value) {
    let message = match error.code {
        ErrorCode::Unauthenticated => "Please log in",
        ErrorCode::NotFound => NOT_FOUND,
        _ => error.message.as_ref(),
    };
    let status = match messages::status(error.code) {
        StatusCode::UNAUTHORIZED => StatusCode::FORBIDDEN,
        StatusCode::CONFLICT => StatusCode::BAD_REQUEST,
        status => status,
    };
    let code = status.as_str();
    (status, json!({ "message": message, "errorCode": code, "statusCode": code }))
}

/// The answer to the expansion of an unknown keyword.
pub fn unknown(keyword: &str) -> Value {
    json!({
        "keyword": keyword,
        "message": NOT_FOUND,
        "errorCode": "404",
        "statusCode": "404",
        "simple": "not found",
    })
}

/// The answer to a URL or a keyword that cannot be used.
///
/// # Errors
/// Any other error.
pub fn refused(error: ServiceError, input: &LinkInput) -> Result<Value> {
    let (code, status, message) = match (error.fields.get("destination"), &input.slug) {
        (Some(reasons), _) if reasons.iter().any(|reason| reason.contains("this service")) => {
            ("error:noloop", "400", "URL is a short URL".to_owned())
        }
        (Some(reasons), _) => {
            let message = format!("Missing or malformed URL: it {}", reasons.join(", "));
            ("error:nourl", "400", message)
        }
        (None, Field::Value(keyword)) if error.fields.contains_key("slug") => {
            let message = format!("Short URL {keyword} already exists in database or is reserved");
            ("error:keyword", "200", message)
        }
        _ => return Err(error),
    };
    Ok(json!({
        "status": "fail",
        "code": code,
        "message": message,
        "errorCode": "400",
        "statusCode": status,
        "simple": "",
    }))
}
