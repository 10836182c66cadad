//! The input of a connection for hyper: bytes that were read before come first, and targets are
//! percent-encoded where hyper would reject them.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::body::Bytes;
use percent_encoding::percent_encode;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::reactor::head::NEVER_RAW_IN_TARGET;

/// The read size while targets are encoded.
const READ_BYTES: usize = 4 << 10;

/// A stream with a prefix.
pub(super) struct Prefixed<S> {
    stream: S,
    /// These come before the stream's own bytes.
    first: Bytes,
    encoder: Encoder,
}

/// Encodes the targets of requests one after another, until one may have a body: only the parser
/// knows where that ends.
#[derive(Default)]
struct Encoder {
    position: Position,
    /// The start of the current line in lower case; of a header line, its name and more.
    line: Vec<u8>,
    has_body: bool,
}

/// Where the next byte belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Position {
    #[default]
    Method,
    Target,
    /// The rest of the head.
    Head,
    /// Nothing more is encoded.
    Done,
}

/// The headers of a request that may have a body, or change the protocol.
const BODY_HEADERS: [&[u8]; 3] = [b"content-length:", b"transfer-encoding:", b"upgrade:"];
/// The length of the longest of them.
const LINE_BYTES: usize = BODY_HEADERS[1].len();

impl<S> Prefixed<S> {
    /// `first`, which begins with a request, then the bytes of `stream`.
    pub(super) fn new(first: &[u8], stream: S) -> Self {
        let mut encoder = Encoder::default();
        Self { stream, first: encoder.encode(first), encoder }
    }
}

impl Encoder {
    /// The next bytes as hyper should read them.
    fn encode(&mut self, bytes: &[u8]) -> Bytes {
        let mut encoded = Vec::with_capacity(bytes.len());
        for byte in bytes {
            self.push(*byte, &mut encoded);
        }
        encoded.into()
    }

    /// Appends `byte` to `encoded`, or its encoding.
    fn push(&mut self, byte: u8, encoded: &mut Vec<u8>) {
        self.position = match (self.position, byte) {
            (Position::Method, b' ') => Position::Target,
            // Empty lines may precede a request.
            (Position::Method, b'\r' | b'\n') => Position::Method,
            (Position::Target, b' ') => Position::Head,
            (Position::Method | Position::Target, _) if byte.is_ascii_control() => Position::Done,
            (Position::Target, _) => {
                let bytes = [byte];
                return encoded
                    .extend(percent_encode(&bytes, NEVER_RAW_IN_TARGET).flat_map(str::bytes));
            }
            (Position::Head, b'\n') => self.end_line(),
            (unchanged, _) => {
                if self.line.len() < LINE_BYTES && byte != b'\r' {
                    self.line.push(byte.to_ascii_lowercase());
                }
                unchanged
            }
        };
        encoded.push(byte);
    }

    /// The position after a line of the head.
    fn end_line(&mut self) -> Position {
        let is_last = self.line.is_empty();
        self.has_body |= BODY_HEADERS.iter().any(|name| self.line.starts_with(name));
        self.line.clear();
        match (is_last, self.has_body) {
            (false, _) => Position::Head,
            (true, false) => Position::Method,
            (true, true) => Position::Done,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Prefixed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.first.is_empty() {
            if this.encoder.position == Position::Done {
                return Pin::new(&mut this.stream).poll_read(context, buffer);
            }
            let mut bytes = [0; READ_BYTES];
            let mut read = ReadBuf::new(&mut bytes);
            ready!(Pin::new(&mut this.stream).poll_read(context, &mut read))?;
            this.first = this.encoder.encode(read.filled());
        }
        let length = this.first.len().min(buffer.remaining());
        buffer.put_slice(&this.first.split_to(length));
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Prefixed<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn targets_are_encoded_and_nothing_else_is() {
        let sent = b"\r\nGET /\xe4?a=\"<b>\"%3C#\xc3\xbc HTTP/1.1\r\nX: <\xe4>\r\n\r\n\
            GET /<\" HTTP/1.1\nUpgrade-Insecure-Requests: 1\n\n\
            POST /<? HTTP/1.1\r\ncontent-LENGTH: 9\r\n\r\nGET /<\" HTTP";
        let expected = b"\r\nGET /%E4?a=%22%3Cb%3E%22%3C#%C3%BC HTTP/1.1\r\nX: <\xe4>\r\n\r\n\
            GET /%3C%22 HTTP/1.1\nUpgrade-Insecure-Requests: 1\n\n\
            POST /%3C? HTTP/1.1\r\ncontent-LENGTH: 9\r\n\r\nGET /<\" HTTP";
        for piece in [1, 2, 3, 7, 1 << 10] {
            let (mut client, server) = tokio::io::duplex(piece);
            let writing = async {
                client.write_all(sent).await.unwrap();
                drop(client);
            };
            let (mut read, mut stream) = (Vec::new(), Prefixed::new(b"", server));
            let ((), received) = tokio::join!(writing, stream.read_to_end(&mut read));
            received.unwrap();
            assert_eq!(read.escape_ascii().to_string(), expected.escape_ascii().to_string());
        }
        for unchanged in [&b"GET /\x00\""[..], b"GET\0 /\"", b"\r\n", b""] {
            let mut read = Vec::new();
            Prefixed::new(b"", unchanged).read_to_end(&mut read).await.unwrap();
            assert_eq!(read, unchanged);
        }
    }

    #[tokio::test]
    async fn nothing_is_encoded_after_a_request_that_may_have_a_body() {
        for header in ["Content-Length: 9", "TRANSFER-ENCODING: chunked", "Upgrade: h2c"] {
            let sent = format!("GET / HTTP/1.1\r\n{header}\r\n\r\nGET /<\" HTTP");
            let mut read = String::new();
            Prefixed::new(b"", sent.as_bytes()).read_to_string(&mut read).await.unwrap();
            assert_eq!(read, sent);
        }
    }

    #[tokio::test]
    async fn the_prefix_comes_first() {
        let mut read = Vec::new();
        let mut stream = Prefixed::new(b"GET /\"", &b"\" HTTP"[..]);
        stream.read_to_end(&mut read).await.unwrap();
        assert_eq!(read, b"GET /%22%22 HTTP");
    }
}
