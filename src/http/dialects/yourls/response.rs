//! Responses of YOURLS. `simple` is the text of the format of that name.

use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use serde_json::{Map, Value, json};

use crate::http::dialects::links::ShownLink;
use crate::http::dialects::time::formatted;

/// A new link.
pub fn created(shown: &ShownLink) -> Value {
    let (url, title) = (shown.destination(), title(shown));
    let (keyword, date) = (shown.link.slug.as_str(), time(shown));
    json!({
        "url": { "keyword": keyword, "url": url, "title": title, "date": date, "ip": "" },
        "status": "success",
        "code": "",
        "message": format!("{url} added to database"),
        "title": title,
        "shorturl": shown.short_url,
        "errorCode": "",
        "statusCode": "200",
        "simple": shown.short_url,
    })
}

/// The destination of a link.
pub fn expanded(shown: &ShownLink) -> Value {
    json!({
        "keyword": shown.link.slug.as_str(),
        "shorturl": shown.short_url,
        "longurl": shown.destination(),
        "title": title(shown),
        "message": "success",
        "statusCode": "200",
        "simple": shown.destination(),
    })
}

/// A link with its clicks, if they are known.
pub fn counted(shown: &ShownLink) -> Option<Value> {
    Some(json!({
        "shorturl": shown.short_url,
        "url": shown.destination(),
        "title": title(shown),
        "timestamp": time(shown),
        "ip": "",
        "clicks": shown.clicks()?,
    }))
}

/// Links with their clicks: `link_1`, `link_2`, …
pub fn numbered(shown: &[ShownLink]) -> Option<Value> {
    let numbered = |(at, shown)| Some((format!("link_{}", at + 1), counted(shown)?));
    shown.iter().enumerate().map(numbered).collect::<Option<Map<_, _>>>().map(Value::Object)
}

/// Statistics.
pub fn stats(mut stats: Value) -> Value {
    stats["message"] = "success".into();
    stats["statusCode"] = "200".into();
    stats["simple"] = "Need either XML or JSON format for stats".into();
    stats
}

fn title(shown: &ShownLink) -> &str {
    shown.link.fields.title.as_deref().unwrap_or(shown.destination())
}

fn time(shown: &ShownLink) -> String {
    formatted(shown.link.created_at_ms, "%Y-%m-%d %H:%M:%S")
}

/// Writes an answer, whose status is among its fields, in a format.
pub fn write(
    mut response: Response,
    mut value: Value,
    format: &str,
    callback: Option<&str>,
) -> Response {
    let simple = value.as_object_mut().and_then(|fields| fields.remove("simple"));
    if let Some(callback) = callback {
        value["callback"] = callback.into();
    }
    let (media_type, body) = match format {
        "json" => ("application/json; charset=UTF-8", json(&value)),
        "jsonp" => {
            let body = format!("{}({})", callback.unwrap_or_default(), json(&value));
            ("application/javascript; charset=UTF-8", body)
        }
        "xml" => {
            let body =
                format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{}\n", xml("root", &value));
            ("application/xml; charset=UTF-8", body)
        }
        _ => {
            let text = simple.as_ref().unwrap_or(&value["message"]).as_str();
            ("text/plain; charset=UTF-8", text.unwrap_or_default().to_owned())
        }
    };
    let code = value.get("statusCode").and_then(Value::as_str);
    let status = code.and_then(|code| code.parse().ok()).unwrap_or(StatusCode::OK);
    *response.status_mut() = status;
    *response.body_mut() = body.into();
    // It is that of the body before.
    response.headers_mut().remove(CONTENT_LENGTH);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}

/// The fields of an object; `link_10` comes after `link_9`.
fn in_order(fields: &Map<String, Value>) -> Vec<(&String, &Value)> {
    let mut fields: Vec<_> = fields.iter().collect();
    fields.sort_by_key(|(name, _)| name.len());
    fields
}

/// A value as JSON, whose objects have their fields in order: clients list links as they come.
fn json(value: &Value) -> String {
    match value {
        Value::Object(fields) => {
            let field = |(name, value): (&String, &Value)| {
                format!("{}:{}", Value::from(name.as_str()), json(value))
            };
            let fields: Vec<_> = in_order(fields).into_iter().map(field).collect();
            format!("{{{}}}", fields.join(","))
        }
        other => other.to_string(),
    }
}

fn xml(name: &str, value: &Value) -> String {
    let inner = match value {
        Value::Object(fields) => {
            in_order(fields).into_iter().map(|(name, value)| xml(name, value)).collect()
        }
        Value::String(text) => {
            // The others cannot be represented (XML 1.0 §2.2).
            let is_char =
                |letter| matches!(letter, '\t' | '\n' | '\r' | ' '..='\u{fffd}' | '\u{10000}'..);
            let text = text.replace(|letter| !is_char(letter), "");
            text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
        }
        other => other.to_string(),
    };
    format!("<{name}>{inner}</{name}>")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_listed_in_order() {
        let links = json!({ "link_10": { "title": "a\"" }, "link_9": 1 });
        assert_eq!(super::json(&links), r#"{"link_9":1,"link_10":{"title":"a\""}}"#);
        let links = json!({ "link_10": "a\u{fffe}<b>\u{1}", "link_9": 1 });
        let written = "<root><link_9>1</link_9><link_10>a&lt;b&gt;</link_10></root>";
        assert_eq!(xml("root", &links), written);
    }
}
