//! Postman collections (format v2.1), generated from the declarations of routes.

use std::sync::{Arc, OnceLock};

use axum::body::Bytes;
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::routing::{MethodRouter, get};
use serde_json::{Value, json};

use super::Services;

const SCHEMA: &str = "https://schema.getpostman.com/json/collection/v2.1.0/collection.json";

/// A request of a collection.
pub struct Request {
    /// The folder that contains it, if any.
    pub folder: Option<String>,
    /// The name.
    pub name: String,
    /// The method.
    pub method: String,
    /// The path below the base URL, with parameters in braces: `/links/{slug}`.
    pub path: String,
    /// The query parameters.
    pub query: Vec<(String, String)>,
    /// The JSON body.
    pub body: Option<String>,
}

/// Serves a collection, which is made once, at the first request.
pub fn serve(make: impl Fn() -> Value + Clone + Send + Sync + 'static) -> MethodRouter<Services> {
    let body = Arc::new(OnceLock::<Bytes>::new());
    get(async move || {
        let body = body.get_or_init(|| make().to_string().into()).clone();
        ([(CONTENT_TYPE, HeaderValue::from_static("application/json"))], body)
    })
}

/// A collection of requests below a base URL. Its variables `base_url` and `token` are to be set by
/// the user.
pub fn collection(name: &str, base_url: &str, requests: Vec<Request>) -> Value {
    let mut items: Vec<Value> = Vec::new();
    for request in requests {
        let (folder, item) = (request.folder.clone(), item(request));
        let Some(folder) = folder else {
            items.push(item);
            continue;
        };
        let found = items.iter_mut().find(|item| item["name"] == *folder);
        match found.and_then(|folder| folder["item"].as_array_mut()) {
            Some(inside) => inside.push(item),
            None => items.push(json!({ "name": folder, "item": [item] })),
        }
    }
    json!({
        "info": { "name": name, "schema": SCHEMA },
        "auth": {
            "type": "bearer",
            "bearer": [{ "key": "token", "value": "{{token}}", "type": "string" }],
        },
        "variable": [
            { "key": "base_url", "value": base_url, "type": "string" },
            { "key": "token", "value": "", "type": "string" },
        ],
        "item": items,
    })
}

fn item(request: Request) -> Value {
    let Request { name, method, path, query, body, .. } = request;
    let parts = path.split('/').filter(|part| !part.is_empty());
    // Postman writes path parameters with a colon.
    let parts =
        parts.map(|part| match part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) {
            Some(parameter) => format!(":{parameter}"),
            None => part.to_owned(),
        });
    let parts: Vec<_> = parts.collect();
    let parameters: Vec<_> = parts
        .iter()
        .filter_map(|part| part.strip_prefix(':'))
        .map(|name| json!({ "key": name, "value": "" }))
        .collect();
    let pairs: Vec<_> =
        query.iter().map(|(key, value)| json!({ "key": key, "value": value })).collect();
    let texts: Vec<_> = query.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let question = if texts.is_empty() { "" } else { "?" };
    let raw = format!("{{{{base_url}}}}/{}{question}{}", parts.join("/"), texts.join("&"));
    let mut url = json!({ "raw": raw, "host": ["{{base_url}}"], "path": parts });
    if !pairs.is_empty() {
        url["query"] = pairs.into();
    }
    if !parameters.is_empty() {
        url["variable"] = parameters.into();
    }
    let mut headers = vec![json!({ "key": "Accept", "value": "application/json" })];
    let mut request = json!({ "method": method, "url": url });
    if let Some(body) = body {
        headers.push(json!({ "key": "Content-Type", "value": "application/json" }));
        request["body"] =
            json!({ "mode": "raw", "raw": body, "options": { "raw": { "language": "json" } } });
    }
    request["header"] = headers.into();
    json!({ "name": name, "request": request, "response": [] })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_in_folders_with_parameters() {
        let request = |folder: Option<&str>, path: &str, body: Option<&str>| Request {
            folder: folder.map(str::to_owned),
            name: format!("at {path}"),
            method: "POST".to_owned(),
            path: path.to_owned(),
            query: vec![("days".to_owned(), "7".to_owned())],
            body: body.map(str::to_owned),
        };
        let requests = vec![
            request(Some("Links"), "/links/{slug}", Some("{}")),
            request(None, "/user", None),
            request(Some("Links"), "/links", None),
        ];
        let found = collection("x", "https://sho.rt/api/v1", requests);
        assert_eq!(found["item"][0]["item"][1]["name"], "at /links");
        let first = &found["item"][0]["item"][0]["request"];
        assert_eq!(first["url"]["raw"], "{{base_url}}/links/:slug?days=7");
        assert_eq!(first["url"]["variable"][0]["key"], "slug");
        assert_eq!(first["body"]["raw"], "{}");
        assert_eq!(found["item"][1]["request"]["body"], Value::Null);
        assert_eq!(found["variable"][0]["value"], "https://sho.rt/api/v1");
    }
}
