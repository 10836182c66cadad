//! Errors of ShortLink: `{"message", "statusCode"}`.

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::domain::error::{ErrorCode, ServiceError};
use crate::http::dialects::messages;

/// Renders an error.
pub fn render(error: &ServiceError) -> (StatusCode, Value) {
    let status = messages::status(error.code);
    let mut message = error.message.to_string();
    if error.code == ErrorCode::Invalid && !error.fields.is_empty() {
        // The error's own message has slugline's names of the fields.
        let fields = error.fields.iter();
        let each = fields.map(|(name, reasons)| format!("{name} {}", reasons.join(", ")));
        message = each.collect::<Vec<_>>().join("; ");
    }
    (status, json!({ "message": message, "statusCode": status.as_u16() }))
}
