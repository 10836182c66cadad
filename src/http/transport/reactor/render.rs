//! Renders an answer as an HTTP/1.1 response.

use std::fmt::Write as _;
use std::time::{Duration, UNIX_EPOCH};

use axum::http::StatusCode;

use crate::http::redirect::{Answer, CACHE_CONTROL, REFERRER_POLICY};

/// Renders answers; the `Date` is formatted once a second. [`Self::tick`] must be called first.
#[derive(Default)]
pub struct Renderer {
    second: u64,
    /// The headers after `Location` and the answer's own; the same within a second.
    tail: String,
}

impl Renderer {
    /// Sets the time, in milliseconds since the Unix epoch.
    pub fn tick(&mut self, now_ms: u64) {
        let second = now_ms / 1_000;
        if second != self.second || self.tail.is_empty() {
            self.second = second;
            let date = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(second));
            self.tail = format!(
                "cache-control: {CACHE_CONTROL}\r\nreferrer-policy: {REFERRER_POLICY}\r\n\
                 x-content-type-options: nosniff\r\ndate: {date}\r\n"
            );
        }
    }

    /// Appends a response. `head` omits the body; `closes` adds `Connection: close`.
    pub fn render(&self, answer: &Answer, head: bool, closes: bool, out: &mut Vec<u8>) {
        if answer.status == StatusCode::FOUND {
            out.extend_from_slice(b"HTTP/1.1 302 Found\r\n");
        } else {
            let reason = answer.status.canonical_reason().unwrap_or_default();
            put(out, format_args!("HTTP/1.1 {} {reason}\r\n", answer.status.as_str()));
        }
        if let Some(location) = answer.location() {
            line(out, b"location", location.as_bytes());
        }
        for (name, value) in &answer.headers {
            line(out, name.as_str().as_bytes(), value.as_bytes());
        }
        out.extend_from_slice(self.tail.as_bytes());
        if closes {
            out.extend_from_slice(b"connection: close\r\n");
        }
        if answer.page.is_empty() {
            out.extend_from_slice(b"content-length: 0\r\n\r\n");
            return;
        }
        put(out, format_args!("content-length: {}\r\n\r\n", answer.page.len()));
        if !head {
            out.extend_from_slice(&answer.page);
        }
    }
}

fn line(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    for part in [name, b": ", value, b"\r\n"] {
        out.extend_from_slice(part);
    }
}

fn put(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    let mut formatted = String::new();
    // Writing to a string cannot fail.
    let _fits = formatted.write_fmt(text);
    out.extend_from_slice(formatted.as_bytes());
}

#[cfg(test)]
mod tests {
    use axum::body::Bytes;
    use axum::http::{HeaderValue, header};

    use super::*;
    use crate::http::redirect::Location;

    fn rendered(answer: &Answer, head: bool, closes: bool) -> String {
        let mut renderer = Renderer::default();
        renderer.tick(1_781_725_900_999);
        let mut out = Vec::new();
        renderer.render(answer, head, closes, &mut out);
        String::from_utf8_lossy(&out).into_owned()
    }

    #[test]
    fn an_answer_is_rendered_whole() {
        let answer = Answer {
            status: StatusCode::FOUND,
            location: Location::Address("https://e.com/".to_owned()),
            headers: Vec::new(),
            page: Bytes::new(),
        };
        assert_eq!(
            rendered(&answer, false, false),
            "HTTP/1.1 302 Found\r\nlocation: https://e.com/\r\n\
             cache-control: private, no-store\r\n\
             referrer-policy: strict-origin-when-cross-origin\r\n\
             x-content-type-options: nosniff\r\n\
             date: Wed, 17 Jun 2026 19:51:40 GMT\r\ncontent-length: 0\r\n\r\n"
        );
    }

    #[test]
    fn a_page_is_not_sent_to_a_head() {
        let answer = Answer {
            status: StatusCode::GONE,
            location: Location::None,
            headers: vec![(header::CONTENT_TYPE, HeaderValue::from_static("text/html"))],
            page: Bytes::from_static(b"<p>gone"),
        };
        let whole = rendered(&answer, false, true);
        assert!(whole.starts_with("HTTP/1.1 410 Gone\r\ncontent-type: text/html\r\n"), "{whole}");
        assert!(
            whole.ends_with("connection: close\r\ncontent-length: 7\r\n\r\n<p>gone"),
            "{whole}"
        );
        let head = rendered(&answer, true, true);
        assert_eq!(format!("{head}<p>gone"), whole);
    }
}
