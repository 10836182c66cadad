//! Parses the head of a response: the subset of HTTP/1.1 that both servers use.

use std::str;

use anyhow::{Context as _, bail, ensure};

/// The parts of a response that the generator needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Bytes up to the end of the blank line.
    pub length: usize,
    /// Bytes of the body.
    pub body: usize,
    /// The server will close the connection.
    pub closes: bool,
}

const BLANK_LINE: &[u8] = b"\r\n\r\n";

/// 301, 302, 303, 307 or 308: other servers differ from slugline, which answers 302 here.
fn is_redirect(head: &[u8]) -> bool {
    let status = head.strip_prefix(b"HTTP/1.1 30").and_then(<[u8]>::first);
    matches!(status, Some(b'1' | b'2' | b'3' | b'7' | b'8'))
}

/// Reads the head at the start of `bytes`; `None` while its blank line is yet to come.
///
/// Anything but a redirect is an error: a benchmark that counted other answers would measure them.
pub fn read(bytes: &[u8]) -> anyhow::Result<Option<Head>> {
    let Some(end) = find(bytes, BLANK_LINE) else {
        return Ok(None);
    };
    let head = &bytes[..end];
    if !is_redirect(head) {
        bail!(
            "expected a redirect, got: {}",
            String::from_utf8_lossy(&bytes[..bytes.len().min(600)])
        );
    }
    let mut body = 0;
    let mut closes = false;
    for line in head.split(|byte| *byte == b'\n').skip(1) {
        // Few headers matter, and the first letter rules out most of the others.
        match line.first() {
            Some(b'c' | b'C') => {}
            Some(b't' | b'T') => {
                ensure!(
                    value(line, b"transfer-encoding").is_none(),
                    "a chunked response to a redirect"
                );
                continue;
            }
            _ => continue,
        }
        if let Some(length) = value(line, b"content-length") {
            body = str::from_utf8(length)?.parse().context("a content-length that is no number")?;
        } else if let Some(connection) = value(line, b"connection") {
            closes = connection.eq_ignore_ascii_case(b"close");
        }
    }
    Ok(Some(Head { length: end + BLANK_LINE.len(), body, closes }))
}

/// Where `wanted` starts; it begins with a carriage return, which is rare in a head.
fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    let mut from = 0;
    while let Some(place) = bytes[from..].iter().position(|byte| *byte == b'\r') {
        let place = from + place;
        if bytes[place..].starts_with(wanted) {
            return Some(place);
        }
        from = place + 1;
    }
    None
}

/// The value of a header line, if it has this name.
fn value<'line>(line: &'line [u8], name: &[u8]) -> Option<&'line [u8]> {
    let (start, rest) = line.split_at_checked(name.len())?;
    if !start.eq_ignore_ascii_case(name) {
        return None;
    }
    Some(rest.strip_prefix(b":")?.trim_ascii())
}
