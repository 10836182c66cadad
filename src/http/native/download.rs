//! Downloads of the files of exports.

use std::path::PathBuf;

use axum::body::Body;
use axum::extract::Request;
use axum::http::Response;
use axum::response::IntoResponse;
use tower::ServiceExt;
use tower_http::services::ServeFile;

use super::links::export::attachment;
use crate::domain::error::{ErrorCode, Result, ServiceError};

/// The file of an export, or the requested range of it. `path` is absent if the export is not done,
/// `error` is why it failed.
pub async fn download(
    (path, error): (Option<PathBuf>, Option<&str>),
    request: Request,
    (media_type, name): (&'static str, &str),
) -> Result<Response<Body>> {
    let Some(path) = path else {
        let detail = match error {
            Some(error) => format!("The export has failed: {error}."),
            None => "The export is not done yet.".to_owned(),
        };
        return Err(ServiceError::new(ErrorCode::Conflict, detail));
    };
    let Ok(served) = ServeFile::new(path).oneshot(request).await;
    Ok(attachment(served.into_response(), media_type, name))
}
