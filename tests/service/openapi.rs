//! The OpenAPI document: complete, consistent, and accurate.

use std::collections::BTreeSet;
use std::process::Command;

use regex::Regex;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Answer, Options, Server, shared};

/// An operation of the description, with a path that names nothing that exists.
pub struct Operation {
    pub id: String,
    pub method: String,
    pub path: String,
    /// The path with its parameters.
    pub template: String,
    pub ability: String,
}

/// Values of the parameters of paths.
pub const PARAMETERS: &[(&str, &str)] = &[
    ("link", "nothing-here"),
    ("external_id", "nothing-here"),
    ("campaign", "camp_00000000000000000000000000"),
    ("template", "utm_00000000000000000000000000"),
    ("token", "tok_00000000000000000000000000"),
    ("export", "exp_00000000000000000000000000"),
    ("qr_export", "qrexp_00000000000000000000000000"),
    ("report", "rep_00000000000000000000000000"),
    ("qr_code", "qr_00000000000000000000000000"),
    ("version", "1"),
    ("logo", "logo_00000000000000000000000000"),
    ("import", "imp_00000000000000000000000000"),
    ("domain", "nowhere.example"),
    ("workspace", "ws_00000000000000000000000000"),
    ("user", "user_00000000000000000000000000"),
    ("session", "sess_00000000000000000000000000"),
    ("invitation", "inv_00000000000000000000000000"),
    ("invitation_token", "nothing-here"),
    ("which", "source"),
    ("projection", "analytics"),
];

fn document(server: &Server) -> Value {
    server.get("/api/v1/openapi.json").expect(200).json()
}

/// Each operation that the service describes.
pub fn operations(server: &Server) -> Vec<Operation> {
    let document = document(server);
    let each = described(&document).map(|(method, path, operation)| {
        let template = path.to_owned();
        let path = PARAMETERS.iter().fold(template.clone(), |path, (name, value)| {
            path.replace(&format!("{{{name}}}"), value)
        });
        assert!(!path.contains('{'), "{path} has a parameter without a value");
        let text = |name: &str| operation[name].as_str().unwrap().to_owned();
        let (id, ability) = (text("operationId"), text("x-ability"));
        Operation { id, method: method.to_uppercase(), path, template, ability }
    });
    let operations: Vec<_> = each.collect();
    assert!(operations.len() > 70, "{}", operations.len());
    operations
}

fn described(document: &Value) -> impl Iterator<Item = (&String, &String, &Value)> {
    let paths = document["paths"].as_object().unwrap().iter();
    paths.flat_map(|(path, item)| {
        let operations = item.as_object().unwrap().iter();
        operations.map(move |(method, operation)| (method, path, operation))
    })
}

/// The target of a reference, or the value itself.
fn resolved<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    let Some(to) = value["$ref"].as_str() else { return value };
    let found = document.pointer(to.strip_prefix('#').unwrap());
    found.unwrap_or_else(|| panic!("{to} leads nowhere"))
}

fn is_text(value: &Value) -> bool {
    value.as_str().is_some_and(|text| !text.trim().is_empty())
}

#[test]
fn each_operation_is_described() {
    let document = document(&shared());
    let tags: BTreeSet<_> =
        document["tags"].as_array().unwrap().iter().map(|tag| tag["name"].as_str()).collect();
    assert!(document["tags"].as_array().unwrap().iter().all(|tag| is_text(&tag["description"])));
    let form = Regex::new("^[a-z]+(_[a-z0-9]+)+$").unwrap();
    let (mut ids, mut used) = (BTreeSet::new(), BTreeSet::new());
    for (method, path, operation) in described(&document) {
        let id = operation["operationId"].as_str().unwrap();
        assert!(form.is_match(id), "{id}");
        assert!(ids.insert(id), "{id} is the id of two operations");
        assert!(is_text(&operation["summary"]), "{id}");
        assert!(is_text(&operation["description"]), "{id}");
        assert_eq!(operation["tags"].as_array().unwrap().len(), 1, "{id}");
        used.insert(operation["tags"][0].as_str());
        let none = Vec::new();
        let parameters = operation["parameters"].as_array().unwrap_or(&none);
        let mut names = BTreeSet::new();
        for parameter in parameters {
            let parameter = resolved(&document, parameter);
            assert!(is_text(&parameter["description"]), "{id}: {parameter}");
            assert!(parameter["schema"].is_object(), "{id}: {parameter}");
            let name = (parameter["in"].as_str().unwrap(), parameter["name"].as_str().unwrap());
            assert!(names.insert(name), "{id}: {parameter}");
        }
        for parameter in path.split(['{', '}']).skip(1).step_by(2) {
            assert!(names.contains(&("path", parameter)), "{id} does not describe {parameter}");
        }
        let may_be_slug = path.contains("{link}") || path.contains("{qr_code}");
        let is_qualified = names.contains(&("query", "domain")) || path.ends_with("/restore");
        assert!(is_qualified || !may_be_slug, "{id} does not describe the domain of a slug");
        assert!(["get", "put", "post", "patch", "delete"].contains(&method.as_str()));
        responses_are_described(&document, operation, id);
    }
    assert_eq!(tags, used);
}

const RATE_LIMIT_HEADERS: [&str; 5] = [
    "X-RateLimit-Limit",
    "X-RateLimit-Remaining",
    "X-RateLimit-Reset",
    "RateLimit-Policy",
    "RateLimit",
];

fn responses_are_described(document: &Value, operation: &Value, id: &str) {
    let responses = operation["responses"].as_object().unwrap();
    assert!(responses.keys().any(|status| status.starts_with('2')), "{id}");
    for status in ["401", "403", "429"] {
        let is_open = operation["x-ability"] == "public" && status == "401";
        assert!(is_open || responses.contains_key(status), "{id} does not describe {status}");
    }
    // They say no more than that a mail may have been sent.
    let mails =
        ["auth_sign_up", "auth_forgot_password", "user_change_email", "user_send_verification"];
    for (status, response) in responses {
        let response = resolved(document, response);
        assert!(is_text(&response["description"]), "{id} {status}");
        let is_public = operation["x-ability"] == "public";
        let is_limited = !is_public && (status == "429" || status.starts_with('2'));
        for name in RATE_LIMIT_HEADERS.iter().filter(|_| is_limited) {
            let header = resolved(document, &response["headers"][name]);
            assert!(is_text(&header["description"]), "{id} {status}: {name}");
            assert!(header["schema"].is_object(), "{id} {status}: {name}");
        }
        let retries = ["429", "503"].contains(&status.as_str());
        assert!(!retries || response["headers"]["Retry-After"].is_object(), "{id} {status}");
        if status.as_str() >= "400" {
            let problem = &response["content"]["application/problem+json"]["schema"];
            assert_eq!(problem["$ref"], "#/components/schemas/Problem", "{id} {status}");
        } else if !(["204", "304"].contains(&status.as_str())
            || status == "202" && mails.contains(&id))
        {
            assert!(response["content"].is_object(), "{id} {status}");
        }
    }
}

#[test]
fn each_reference_leads_somewhere() {
    let document = document(&shared());
    let mut open = vec![&document];
    let mut references = 0;
    while let Some(value) = open.pop() {
        if value["$ref"].is_string() {
            resolved(&document, value);
            references += 1;
        }
        match value {
            Value::Object(fields) => open.extend(fields.values()),
            Value::Array(items) => open.extend(items),
            _ => {}
        }
    }
    assert!(references > 500, "{references}");
}

/// The examples in the document are valid request bodies.
#[test]
fn examples_of_bodies_are_accepted() {
    let server = Options::links_only().start();
    let document = document(&server);
    let mut tried = 0;
    for (method, path, operation) in described(&document) {
        let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
        let schema = resolved(&document, schema);
        let example = example(&document, schema);
        if example.is_null() || path.contains("/admin/") {
            continue;
        }
        let path = PARAMETERS.iter().fold(path.to_owned(), |path, (name, value)| {
            path.replace(&format!("{{{name}}}"), value)
        });
        let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
        let answer = Answer::to(server.api().request(method, &path).json(&example));
        // Resources named in examples, such as campaigns, need not exist.
        if answer.status == 400 {
            let errors = answer.json()["errors"].clone();
            let is_unknown = |rule: &Value| {
                let rule = rule[0].as_str().unwrap();
                let types =
                    ["the text", "the number", "an object", "a list", "null", "true", "false"];
                let is_of_wrong_type = types.iter().any(|of| rule.contains(&format!(", not {of}")));
                let known = ["is not a field here", "is not valid JSON", "is required"];
                is_of_wrong_type || known.iter().any(|known| rule.contains(known))
            };
            let is_unreadable = errors.as_object().unwrap().values().any(is_unknown);
            assert!(!is_unreadable, "{path}: {errors} in {example}");
        }
        // Analytics are off here.
        let is_read = answer.status < 500 || answer.status == 503;
        assert!(answer.status != 415 && is_read, "{path}: {}", answer.text);
        tried += 1;
    }
    assert!(tried > 12, "{tried}");
}

/// The example of a schema, or one made of its fields' examples; null where these are not enough.
fn example(document: &Value, schema: &Value) -> Value {
    if !schema["example"].is_null() {
        return schema["example"].clone();
    }
    let Some(fields) = schema["properties"].as_object() else { return Value::Null };
    let mut whole = json!({});
    for (name, field) in fields {
        let value = &resolved(document, field)["example"];
        if !value.is_null() {
            whole[name] = value.clone();
        }
    }
    let required = schema["required"].as_array().into_iter().flatten();
    let is_whole = required.filter_map(Value::as_str).all(|name| whole.get(name).is_some());
    if is_whole { whole } else { Value::Null }
}

/// The command prints what the service serves, and needs no service for it.
#[test]
fn the_command_prints_the_document() {
    let printed = Command::new(env!("CARGO_BIN_EXE_slugline")).arg("openapi").output().unwrap();
    assert!(printed.status.success());
    let printed: Value = serde_json::from_slice(&printed.stdout).unwrap();
    assert_eq!(printed, document(&shared()));
    assert_eq!(printed["openapi"], "3.1.0");
    assert!(is_text(&printed["info"]["license"]["identifier"]));
}
