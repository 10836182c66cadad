//! Hostile requests to every operation of every dialect: no answer is a failure of the service, and
//! every refusal has the dialect's own form.

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use reqwest::Method;
use reqwest::blocking::Client;
use reqwest::redirect::Policy;
use serde_json::{Value, json};

use crate::harness::{Answer, Options, PATIENCE, Server, TOKEN};

/// The requests per operation.
const CASES: usize = 40;

/// A dialect's base and the fields of all of its errors.
const DIALECTS: &[(&str, &[&str])] = &[
    ("/compat/qklnk/api/v1", &["message"]),
    ("/compat/lynklens/v1", &["status", "message", "data"]),
    ("/compat/shortlink/api/v1", &["message", "statusCode"]),
    ("/compat/linktj", &["error", "code"]),
];

/// A request of a Postman collection.
struct Operation {
    method: Method,
    path: String,
    body: Option<Value>,
}

fn operations(server: &Server, base: &str) -> Vec<Operation> {
    let collection = server.get(&format!("{base}/postman.json")).expect(200).json();
    let items = collection["item"].as_array().unwrap();
    let operation = |item: &Value| {
        let request = &item["request"];
        let parts = request["url"]["path"].as_array().unwrap().iter();
        let parts: Vec<_> = parts.map(|part| part.as_str().unwrap()).collect();
        let body = request["body"]["raw"].as_str();
        Operation {
            method: request["method"].as_str().unwrap().parse().unwrap(),
            path: format!("{base}/{}", parts.join("/")),
            body: body.map(|body| serde_json::from_str(body).unwrap()),
        }
    };
    items.iter().map(operation).collect()
}

/// Texts, numbers and nested values that a field is unlikely to expect.
fn odd_value() -> impl Strategy<Value = Value> {
    proptest::prop_oneof![
        proptest::strategy::Just(Value::Null),
        proptest::bool::ANY.prop_map(Value::from),
        proptest::num::i64::ANY.prop_map(Value::from),
        proptest::num::f64::NORMAL.prop_map(Value::from),
        "\\PC{0,40}".prop_map(Value::from),
        "[\\x00-\\x1f<>&'\"%\\\\]{1,12}".prop_map(Value::from),
        "https?://[a-z0-9.:@/?#%-]{0,60}".prop_map(Value::from),
        "[0-9]{1,25}".prop_map(Value::from),
        proptest::strategy::Just(json!([[], {}, [1, "a"]])),
        proptest::strategy::Just(json!({ "a": { "b": [null] } })),
        proptest::strategy::Just("x".repeat(20_000).into()),
    ]
}

/// One of some numbers.
fn pick(runner: &mut TestRunner, below: usize) -> usize {
    (0..below).new_tree(runner).unwrap().current()
}

fn odd(runner: &mut TestRunner) -> Value {
    odd_value().new_tree(runner).unwrap().current()
}

/// Sends each request on a connection of its own: the service may close one after a hostile request.
fn client() -> Client {
    let client = Client::builder().no_proxy().pool_max_idle_per_host(0).timeout(PATIENCE);
    client.redirect(Policy::none()).build().unwrap()
}

/// A new token with all abilities.
fn token(server: &Server) -> String {
    let request = server.request(Method::POST, "/api/v1/tokens").bearer_auth(TOKEN);
    let created =
        Answer::to(request.json(&json!({ "name": "fuzz", "abilities": ["*"] }))).expect(201).json();
    created["data"]["token"].as_str().unwrap().to_owned()
}

/// A hostile variant of an operation.
fn send(
    (server, client, token): (&Server, &Client, &str),
    operation: &Operation,
    slug: &str,
    runner: &mut TestRunner,
) -> Answer {
    let segment =
        |part: &str, runner: &mut TestRunner| match (part.strip_prefix(':'), pick(runner, 3)) {
            (None, _) => part.to_owned(),
            (Some(_), 0) => slug.to_owned(),
            (Some(_), 1) => "1".to_owned(),
            (Some(_), _) => {
                let text = odd(runner).to_string();
                let text: String = text.chars().take(60).collect();
                percent_encoding::utf8_percent_encode(&text, percent_encoding::NON_ALPHANUMERIC)
                    .to_string()
            }
        };
    let path: Vec<_> = operation.path.split('/').map(|part| segment(part, runner)).collect();
    let names = [
        "page", "limit", "offset", "days", "unit", "units", "size", "period", "team_id", "format",
        "x",
    ];
    let mut query = form_urlencoded::Serializer::new(String::new());
    for _ in 0..pick(runner, 3) {
        let value = odd(runner);
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let text: String = text.chars().take(200).collect();
        query.append_pair(names[pick(runner, names.len())], &text);
    }
    let target = format!("{}?{}", path.join("/"), query.finish());
    let url = format!("{}{target}", server.base);
    let mut request = client.request(operation.method.clone(), url);
    if pick(runner, 10) > 0 {
        request = request.bearer_auth(token);
    }
    if let Some(example) = &operation.body {
        let mut body = example.clone();
        if let Some(fields) = body.as_object_mut() {
            for name in ["link_slug", "link_id"] {
                fields.entry(name).and_modify(|value| *value = slug.into());
            }
            for value in fields.values_mut() {
                if pick(runner, 2) == 0 {
                    *value = odd(runner);
                }
            }
        }
        let text = match pick(runner, 12) {
            0 => "{\"a\":".to_owned(),
            1 => odd(runner).to_string(),
            2 => String::new(),
            _ => body.to_string(),
        };
        let types = ["application/json", "text/plain", "application/x-www-form-urlencoded"];
        let media_type = types[pick(runner, 12).saturating_sub(9).min(2)];
        request = request.header("content-type", media_type).body(text);
    }
    Answer::to(request)
}

#[test]
fn no_request_of_a_dialect_is_a_failure_and_each_refusal_has_its_form() {
    let server = Options::links_only().start();
    let (mut runner, client) = (TestRunner::default(), client());
    for (base, fields) in DIALECTS {
        for operation in operations(&server, base) {
            // The rate limits are each token's.
            let is_qr = operation.path.contains("/qr");
            let token = if is_qr { token(&server) } else { TOKEN.to_owned() };
            for _ in 0..CASES {
                let slug = server.link().slug;
                if operation.path.contains("/qr-codes/:slug") {
                    let create = server.request(Method::POST, &format!("{base}/qr-codes"));
                    let create = create.bearer_auth(&token).json(&json!({ "link_slug": slug }));
                    Answer::to(create).expect(201);
                }
                let answer = send((&server, &client, &token), &operation, &slug, &mut runner);
                let named = format!("{} {}: {answer:?}", operation.method, operation.path);
                // Without a ClickHouse, analytics are unavailable; only conversions are missing.
                let is_missing = answer.status == 501 && operation.path.ends_with("/events/record");
                let is_known = answer.status == 503 || is_missing;
                assert!(answer.status < 500 || is_known, "{named}");
                if answer.status >= 400 {
                    let body = answer.json();
                    assert!(fields.iter().all(|field| body.get(field).is_some()), "{named}");
                    assert!(body.get("request_id").is_none(), "the native form: {named}");
                }
            }
        }
        for (method, path) in [(Method::GET, "/missing"), (Method::POST, "/missing/x")] {
            let request = server.request(method, &format!("{base}{path}"));
            let answer = Answer::to(request).expect(404);
            assert!(fields.iter().all(|field| answer.json().get(field).is_some()), "{answer:?}");
        }
        let path = operations(&server, base)[0].path.clone();
        let answer = Answer::to(server.request(Method::TRACE, &path)).expect(405);
        assert!(fields.iter().all(|field| answer.json().get(field).is_some()), "{answer:?}");
    }
}
