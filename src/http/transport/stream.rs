//! The input of a connection for hyper: bytes that were read before come first, and the first
//! target is percent-encoded where hyper would reject it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::body::Bytes;
use percent_encoding::percent_encode;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::reactor::head::NEVER_RAW_IN_TARGET;

/// The read size until the target is complete.
const READ_BYTES: usize = 4 << 10;

/// A stream with a prefix.
pub(super) struct Prefixed<S> {
    stream: S,
    /// These come before the stream's own bytes.
    first: Bytes,
    encoding: Encoding,
}

/// The part of the first request line that the next byte belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Method,
    Target,
    /// Nothing more is encoded: only the parser knows where a later request starts.
    Done,
}

impl<S> Prefixed<S> {
    /// `first`, then the bytes of `stream`, unchanged.
    pub(super) fn new(first: Vec<u8>, stream: S) -> Self {
        Self { stream, first: first.into(), encoding: Encoding::Done }
    }

    /// The bytes of `stream`, with the first request's target encoded.
    pub(super) fn with_encoded_target(stream: S) -> Self {
        Self { stream, first: Bytes::new(), encoding: Encoding::Method }
    }
}

impl Encoding {
    /// Appends `byte` to `encoded` as hyper should read it.
    fn push(&mut self, byte: u8, encoded: &mut Vec<u8>) {
        *self = match (*self, byte) {
            (Self::Method, b' ') => Self::Target,
            // Empty lines may precede a request.
            (Self::Method, b'\r' | b'\n') => Self::Method,
            (Self::Target, b' ') => Self::Done,
            _ if byte.is_ascii_control() => Self::Done,
            (Self::Target, _) => {
                let bytes = [byte];
                return encoded
                    .extend(percent_encode(&bytes, NEVER_RAW_IN_TARGET).flat_map(str::bytes));
            }
            (unchanged, _) => unchanged,
        };
        encoded.push(byte);
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
            if this.encoding == Encoding::Done {
                return Pin::new(&mut this.stream).poll_read(context, buffer);
            }
            let mut bytes = [0; READ_BYTES];
            let mut read = ReadBuf::new(&mut bytes);
            ready!(Pin::new(&mut this.stream).poll_read(context, &mut read))?;
            let mut encoded = Vec::with_capacity(read.filled().len());
            for byte in read.filled() {
                this.encoding.push(*byte, &mut encoded);
            }
            this.first = encoded.into();
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
    #![allow(clippy::unwrap_used)]
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn the_first_target_is_encoded_and_nothing_else_is() {
        let sent =
            b"\r\nGET /\xe4?a=\"<b>\"%3C#\xc3\xbc HTTP/1.1\r\nX: <\xe4>\r\n\r\nGET /<\" HTTP";
        let expected =
            b"\r\nGET /%E4?a=%22%3Cb%3E%22%3C#%C3%BC HTTP/1.1\r\nX: <\xe4>\r\n\r\nGET /<\" HTTP";
        for piece in [1, 2, 3, 7, 1 << 10] {
            let (mut client, server) = tokio::io::duplex(piece);
            let writing = async {
                client.write_all(sent).await.unwrap();
                drop(client);
            };
            let (mut read, mut stream) = (Vec::new(), Prefixed::with_encoded_target(server));
            let ((), received) = tokio::join!(writing, stream.read_to_end(&mut read));
            received.unwrap();
            assert_eq!(read.escape_ascii().to_string(), expected.escape_ascii().to_string());
        }
        for unchanged in [&b"GET /\x00\""[..], b"GET\0 /\"", b"\r\n", b""] {
            let mut read = Vec::new();
            Prefixed::with_encoded_target(unchanged).read_to_end(&mut read).await.unwrap();
            assert_eq!(read, unchanged);
        }
    }

    #[tokio::test]
    async fn the_prefix_comes_first() {
        let mut read = Vec::new();
        let mut stream = Prefixed::new(b"GET /\"".to_vec(), &b"\" HTTP"[..]);
        stream.read_to_end(&mut read).await.unwrap();
        assert_eq!(read, b"GET /\"\" HTTP");
    }
}
