//! Errors of Lynklens: `{"status": false, "message", "data": [], "errors"?}`.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::domain::error::{ErrorCode, ServiceError};
use crate::domain::qr::style::InvalidColor;
use crate::http::dialects::messages;

/// Renders an error.
pub fn render(error: &ServiceError) -> (StatusCode, Value) {
    let (mut status, message) = messages::laravel(error);
    match error.code {
        // To Laravel, a value that is taken is invalid.
        ErrorCode::Conflict => status = StatusCode::UNPROCESSABLE_ENTITY,
        ErrorCode::PlanLimit => status = StatusCode::TOO_MANY_REQUESTS,
        _ => {}
    }
    let is_validation = matches!(error.code, ErrorCode::Invalid | ErrorCode::Conflict);
    if !is_validation || error.fields.is_empty() {
        return (status, json!({ "status": false, "message": message, "data": [] }));
    }
    let sentences = |(field, reasons): (&String, &Vec<String>)| {
        let of_field = reasons.iter().map(|reason| sentence(field, reason));
        (field.clone(), of_field.collect::<Vec<_>>())
    };
    let errors: BTreeMap<_, _> = error.fields.iter().map(sentences).collect();
    let message = "An error occurred";
    (status, json!({ "status": false, "message": message, "data": [], "errors": errors }))
}

/// A message about a field, as Laravel words it: `The long url field is required.`
fn sentence(field: &str, reason: &str) -> String {
    let name = field.replace('_', " ");
    if reason == "is taken" {
        return format!("The {name} has already been taken.");
    }
    if reason == InvalidColor.to_string() {
        return format!("The {name} field must be a valid hexadecimal color.");
    }
    if reason.starts_with("must be one of ") {
        return format!("The selected {name} is invalid.");
    }
    match reason.strip_prefix("must be a whole number from ") {
        Some(bounds) => {
            format!("The {name} field must be between {}.", bounds.replace(" to ", " and "))
        }
        None => messages::sentence(&name, reason),
    }
}
