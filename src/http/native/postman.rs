//! The API's Postman collection, generated from its OpenAPI document.

use axum::Router;
use serde_json::{Map, Value};

use super::openapi;
use crate::http::postman::{Request, collection, serve};
use crate::http::{Audience, Services};

/// How deep examples of bodies are nested.
const MAX_DEPTH: usize = 4;

/// `/postman.json`, below the API's prefix.
pub fn router(services: &Services, audience: Audience) -> Router<Services> {
    let base = format!("{}/api/v1", services.site.base);
    let made = move || {
        let document = serde_json::json!(openapi::document(audience));
        collection("slugline", &base, requests(&document))
    };
    Router::new().route("/postman.json", serve(made))
}

fn requests(document: &Value) -> Vec<Request> {
    let paths = document["paths"].as_object().into_iter().flatten();
    let operations = paths.flat_map(|(path, item)| {
        let operations = item.as_object().into_iter().flatten();
        operations.map(move |(method, operation)| (path, method, operation))
    });
    let request = |(path, method, operation): (&String, &String, &Value)| Request {
        folder: operation["tags"][0].as_str().map(str::to_owned),
        name: text(&operation["summary"]).trim_end_matches('.').to_owned(),
        method: method.to_uppercase(),
        path: path.clone(),
        query: required_parameters(document, operation),
        body: body(document, operation),
    };
    operations.filter(|(.., operation)| operation.is_object()).map(request).collect()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// The object that a reference names, or the value itself.
fn resolved<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    let Some(reference) = value["$ref"].as_str() else { return value };
    document.pointer(reference.trim_start_matches('#')).unwrap_or(&Value::Null)
}

fn required_parameters(document: &Value, operation: &Value) -> Vec<(String, String)> {
    let parameters = operation["parameters"].as_array().into_iter().flatten();
    let parameters = parameters.map(|parameter| resolved(document, parameter));
    let required = parameters.filter(|one| one["in"] == "query" && one["required"] == true);
    let pair = |one: &Value| (text(&one["name"]).to_owned(), text(&one["example"]).to_owned());
    required.map(pair).collect()
}

fn body(document: &Value, operation: &Value) -> Option<String> {
    let schema = operation.pointer("/requestBody/content/application~1json/schema")?;
    let example = example(document, schema, 0).unwrap_or_else(|| Map::new().into());
    serde_json::to_string_pretty(&example).ok()
}

/// The example of a schema: its own, or those of its properties.
fn example(document: &Value, schema: &Value, depth: usize) -> Option<Value> {
    let schema = resolved(document, schema);
    if let Some(example) = schema.get("example").or_else(|| schema["examples"].get(0)) {
        return Some(example.clone());
    }
    if depth == MAX_DEPTH {
        return None;
    }
    let properties = schema["properties"].as_object()?.iter();
    let found = properties
        .filter_map(|(name, one)| Some((name.clone(), example(document, one, depth + 1)?)));
    Some(Value::Object(found.collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_are_requests_with_examples() {
        let document = serde_json::json!(openapi::document(Audience::All));
        let requests = requests(&document);
        assert!(requests.len() > 100, "{}", requests.len());
        let create = requests.iter().find(|one| one.path == "/links" && one.method == "POST");
        let create = create.unwrap();
        assert_eq!(create.folder.as_deref(), Some("links"));
        assert_eq!(create.name, "Creates a link");
        let body: Value = serde_json::from_str(create.body.as_deref().unwrap()).unwrap();
        assert_eq!(body["destination"], "https://example.com/page");
        let reclassify =
            requests.iter().find(|one| one.path == "/admin/reclassify" && one.method == "POST");
        assert_eq!(reclassify.unwrap().query, [("since".to_owned(), "2026-11-21".to_owned())]);
    }
}
