//! Parses a request head, if it may be a visit of a link.

use std::borrow::Cow;
use std::mem::MaybeUninit;
use std::net::IpAddr;

use percent_encoding::{AsciiSet, percent_encode};

use crate::clicks::{Headers, is_named};
use crate::domain::destination::NEVER_RAW;
use crate::http::host;
use crate::http::redirect::RequestHead;

/// The maximum number of headers of a visit here; with more, hyper handles it.
const MAX_LINES: usize = 64;

/// The bytes that are percent-encoded in a target. `#` is left to hyper, which truncates the target
/// there.
pub const NEVER_RAW_IN_TARGET: &AsciiSet = &NEVER_RAW.remove(b'#');

/// The buffer for headers.
pub type Lines<'a> = [MaybeUninit<httparse::Header<'a>>; MAX_LINES];

/// An empty buffer for headers.
pub const fn no_lines<'a>() -> Lines<'a> {
    [const { MaybeUninit::uninit() }; MAX_LINES]
}

/// The parsed start of a connection's input.
#[expect(clippy::large_enum_variant, reason = "it is used once, where it is created")]
pub enum ParsedHead<'a> {
    /// A complete `GET` or `HEAD` without a body, which may be for a link.
    Visit {
        /// The request.
        request: RequestHead<'a>,
        /// Its length in bytes.
        length: usize,
        /// Whether the client wants the connection closed.
        closes: bool,
    },
    /// The head is incomplete.
    Partial,
    /// Anything else, for hyper.
    Other,
}

/// Parses the start of `bytes`.
///
/// Anything unusual is [`ParsedHead::Other`]: this accepts only the simplest requests, with the
/// same parser as hyper.
pub fn read<'a>(bytes: &'a [u8], lines: &'a mut Lines<'a>, peer: IpAddr) -> ParsedHead<'a> {
    let mut parsed = httparse::Request::new(&mut []);
    let length = match parsed.parse_with_uninit_headers(bytes, lines) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return ParsedHead::Partial,
        Err(_) => return ParsedHead::Other,
    };
    let (Some(method), Some(target), Some(1)) = (parsed.method, parsed.path, parsed.version) else {
        return ParsedHead::Other;
    };
    let head = match method {
        "GET" => false,
        "HEAD" => true,
        _ => return ParsedHead::Other,
    };
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    };
    let Some(closes) = plain_request(parsed.headers) else { return ParsedHead::Other };
    if !target.bytes().all(is_plain) {
        return ParsedHead::Other;
    }
    let headers = Headers::of_lines(parsed.headers);
    // An absolute target does not start with a slash: it is left to hyper.
    let request = RequestHead { peer, head, path, query, authority: None, headers };
    ParsedHead::Visit { request, length, closes }
}

/// `bytes` with the first request's target percent-encoded, where it contains raw bytes that are
/// not allowed there, some of which hyper would reject. `None` if there are none, or if this is not
/// a request.
pub fn with_encoded_target(bytes: &[u8]) -> Option<Vec<u8>> {
    let start = bytes.iter().position(|byte| !matches!(byte, b'\r' | b'\n'))?;
    let mut parts = bytes.get(start..)?.splitn(3, |byte| *byte == b' ');
    let (method, target, rest) = (parts.next()?, parts.next()?, parts.next()?);
    // The line ends within the target, or it is not a request line.
    if method.iter().chain(target).any(u8::is_ascii_control) {
        return None;
    }
    match Cow::from(percent_encode(target, NEVER_RAW_IN_TARGET)) {
        Cow::Borrowed(_) => None,
        Cow::Owned(target) => Some([method, target.as_bytes(), rest].join(&b' ')),
    }
}

/// Whether this is the beginning of a request line, whose target can't be encoded yet.
pub fn begins_target(bytes: &[u8]) -> bool {
    let is_request = bytes.starts_with(b"GET /") || bytes.starts_with(b"HEAD /");
    is_request && !bytes.iter().any(u8::is_ascii_control)
}

/// Bytes that are valid in a target; see [`with_encoded_target`] for the others.
const fn is_plain(byte: u8) -> bool {
    byte.is_ascii_graphic()
        && !matches!(byte, b'"' | b'#' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}')
}

/// Whether the connection is to be closed. `None` unless there is exactly one host, and no header
/// that requires more than a plain response: a body, another protocol, an interim response.
fn plain_request(lines: &[httparse::Header<'_>]) -> Option<bool> {
    let (mut closes, mut has_host) = (false, false);
    for line in lines {
        let name = line.name;
        if is_named(name, b"host") {
            if has_host || !host::is_wellformed(line.value) {
                return None;
            }
            has_host = true;
        } else if is_named(name, b"connection") {
            if line.value.eq_ignore_ascii_case(b"close") {
                closes = true;
            } else if !line.value.eq_ignore_ascii_case(b"keep-alive") {
                return None;
            }
        } else if is_named(name, b"expect")
            || is_named(name, b"upgrade")
            || is_named(name, b"content-length")
            || is_named(name, b"transfer-encoding")
        {
            return None;
        }
    }
    has_host.then_some(closes)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const PEER: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    /// `visit`, `close`, `partial` or `other`.
    fn front(text: &str) -> &'static str {
        match read(text.as_bytes(), &mut no_lines(), PEER) {
            ParsedHead::Visit { closes: false, .. } => "visit",
            ParsedHead::Visit { closes: true, .. } => "close",
            ParsedHead::Partial => "partial",
            ParsedHead::Other => "other",
        }
    }

    #[test]
    fn a_visit_is_read_with_all_that_matters() {
        let text = "HEAD /spring?a=1&b=%20 HTTP/1.1\r\nHost: x\r\nUser-Agent: me \r\n\r\nGET";
        let mut lines = no_lines();
        let ParsedHead::Visit { request, length, closes } = read(text.as_bytes(), &mut lines, PEER)
        else {
            panic!("no visit");
        };
        assert_eq!((length, closes), (text.len() - 3, false));
        assert_eq!(
            (request.head, request.path, request.query),
            (true, "/spring", Some("a=1&b=%20"))
        );
        assert_eq!(request.headers.user_agent, Some(&b"me"[..]));
    }

    #[test]
    fn anything_unusual_is_left_to_hyper() {
        for (text, expected) in [
            ("GET /a HTTP/1.1\r\nHost: x\r\n\r\n", "visit"),
            ("\r\nGET /a HTTP/1.1\r\nHost: x\r\n\r\n", "visit"),
            ("GET /a HTTP/1.1\r\nHost: x\r\nConnection: Keep-Alive\r\n\r\n", "visit"),
            ("GET /a HTTP/1.1\r\nHost: x\r\nconnection: CLOSE\r\n\r\n", "close"),
            (
                "GET /a HTTP/1.1\r\nHost: x\r\nAccept: */*\r\nConnection: close\r\nA: b\r\n\r\n",
                "close",
            ),
            ("GET /a HTTP/1.1\r\nHost: x\r\n", "partial"),
            ("GE", "partial"),
            ("", "partial"),
            ("POST /a HTTP/1.1\r\nHost: x\r\n\r\n", "other"),
            ("GET /a HTTP/1.0\r\nHost: x\r\n\r\n", "other"),
            ("GET /a HTTP/2.0\r\nHost: x\r\n\r\n", "other"),
            ("GET /a HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", "other"),
            ("GET /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", "other"),
            ("GET /a HTTP/1.1\r\nHost: x\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n", "other"),
            ("GET /a HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, close\r\n\r\n", "other"),
            ("GET /a HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n\r\n", "other"),
            ("GET /a?#b HTTP/1.1\r\nHost: x\r\n\r\n", "other"),
            ("GET /a?b=<c> HTTP/1.1\r\nHost: x\r\n\r\n", "other"),
            ("GET /a?b=ü HTTP/1.1\r\nHost: x\r\n\r\n", "other"),
            ("GET /a HTTP/1.1\r\n\r\n", "other"),
            ("GET /a HTTP/1.1\r\nHost: x\r\nHOST: x\r\n\r\n", "other"),
            ("GET /a HTTP/1.1\r\nHost: x y\r\n\r\n", "other"),
            ("GET /a HTTP/1.1\r\nHost:\r\n\r\n", "other"),
            ("GET /a HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", "visit"),
            ("hello\r\n\r\n", "other"),
            ("GET /a HTTP/1.1\r\nHost: x\r\nBad Header: x\r\n\r\n", "other"),
        ] {
            assert_eq!(front(text), expected, "{text}");
        }
        let many = "A: b\r\n".repeat(MAX_LINES + 1);
        assert_eq!(front(&format!("GET /a HTTP/1.1\r\nHost: x\r\n{many}\r\n")), "other");
    }

    #[test]
    fn a_target_is_encoded_and_nothing_else_is() {
        let head = b"\r\nGET /\xe4?a=\"<b>\"|%3C#\xc3\xbc HTTP/1.1\r\nX: <\xe4>\r\n\r\n<next>";
        assert_eq!(
            with_encoded_target(head).as_deref(),
            Some(&b"GET /%E4?a=%22%3Cb%3E%22%7C%3C#%C3%BC HTTP/1.1\r\nX: <\xe4>\r\n\r\n<next>"[..])
        );
        for untouched in [
            &b"GET /a?b=%3C#c HTTP/1.1\r\n\r\n"[..],
            b"GET /a?b=<",
            b"GET /a?b=<\r\nX: y z",
            b"GET\r\n /a?b=< HTTP/1.1",
            b"GET /a?b=<\x00 HTTP/1.1\r\n\r\n",
            b"\r\n",
            b"",
        ] {
            assert_eq!(with_encoded_target(untouched), None, "{untouched:?}");
        }
    }
}
