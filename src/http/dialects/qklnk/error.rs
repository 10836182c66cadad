//! Errors of qklnk: `{"message", "errors"?}`.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::domain::error::{ErrorCode, ServiceError};
use crate::http::dialects::messages;

/// Renders an error.
pub fn render(error: &ServiceError) -> (StatusCode, Value) {
    let (status, message) = messages::laravel(error);
    if error.code == ErrorCode::Invalid {
        // Fields keep the underscores in their names.
        let sentences = |(name, reasons): (&String, &Vec<String>)| {
            let of_field = reasons.iter().map(|reason| messages::sentence(name, reason));
            (name.clone(), of_field.collect::<Vec<_>>())
        };
        let errors: BTreeMap<_, _> = error.fields.iter().map(sentences).collect();
        return (status, json!({ "message": "Validation failed", "errors": errors }));
    }
    (status, json!({ "message": message }))
}
