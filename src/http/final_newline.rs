//! JSON responses end with a newline, so that a shell's prompt is on a line of its own.

use axum::body::{Body, HttpBody};
use axum::http::HeaderValue;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::response::Response;
use http_body_util::BodyExt;

/// Ends the body with a newline if it is JSON that is complete already, not a stream.
pub async fn end_json_with_newline(response: Response) -> Response {
    let is_json = |value: &HeaderValue| {
        let media_type = value.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default();
        media_type.starts_with(b"application/") && media_type.ends_with(b"json")
    };
    let is_json = response.headers().get(CONTENT_TYPE).is_some_and(is_json);
    if !is_json || response.body().size_hint().exact().is_none_or(|length| length == 0) {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let Ok(collected) = body.collect().await else {
        return Response::from_parts(parts, Body::empty());
    };
    // Without a copy if nobody else has the bytes.
    let mut bytes = Vec::from(collected.to_bytes());
    if bytes.last() != Some(&b'\n') {
        bytes.push(b'\n');
    }
    parts.headers.remove(CONTENT_LENGTH);
    Response::from_parts(parts, Body::from(bytes))
}

#[cfg(test)]
mod tests {
    use axum::Json;
    use axum::response::IntoResponse;
    use serde_json::json;

    use super::*;

    async fn ended(response: impl IntoResponse) -> Vec<u8> {
        let response = end_json_with_newline(response.into_response()).await;
        response.into_body().collect().await.unwrap().to_bytes().to_vec()
    }

    #[tokio::test]
    async fn only_json_gets_a_newline() {
        assert_eq!(ended(Json(json!({}))).await, b"{}\n");
        assert_eq!(ended(([(CONTENT_TYPE, "application/problem+json")], "{}")).await, b"{}\n");
        assert_eq!(ended(([(CONTENT_TYPE, "application/json")], "")).await, b"");
        assert_eq!(ended(([(CONTENT_TYPE, "application/json")], "{}\n")).await, b"{}\n");
        assert_eq!(ended("text").await, b"text");
    }
}
