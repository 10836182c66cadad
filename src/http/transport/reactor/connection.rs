//! A visitor's connection: what it brought and was not read yet, what it was not sent yet.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, Shutdown};
use std::os::fd::OwnedFd;

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

use crate::http::transport::connections::{Accepted, ConnectionPermit};
use crate::http::transport::hyper::HandedOver;

/// How many bytes are read of a connection at once, what it brought before included.
pub(super) const INPUT_BYTES: usize = 32 << 10;
/// A head that is larger than this and not whole yet is for hyper to read, and to refuse.
pub(super) const PARTIAL_HEAD_BYTES: usize = 8 << 10;
/// Beyond this capacity a connection's memory is given back after use, in bytes.
const KEPT_BYTES: usize = 4 << 10;

/// What becomes of a connection once its answers are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// It is closed.
    Close,
    /// hyper has it from there on.
    HandOver,
}

/// What a read brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReadOutcome {
    /// So much that there may be more.
    Plenty,
    /// All that there is at the moment.
    All,
    /// The visitor sends nothing any more.
    End,
}

pub(super) struct Connection {
    stream: TcpStream,
    pub(super) peer: IpAddr,
    /// Read and not answered: the beginning of a head, or what waits for the visitor to take the
    /// answers before it.
    input: Vec<u8>,
    /// Not taken by the visitor yet; of at most one group's answers.
    output: Vec<u8>,
    pub(super) ending: Option<Ending>,
    /// Whether it brought a request, or took some of an answer, since the last look.
    pub(super) is_lively: bool,
    /// Whether an event said that the visitor sends nothing any more, or that the connection is
    /// broken. No other event will: it is read to its end.
    pub(super) is_read_closed: bool,
    permit: ConnectionPermit,
}

impl Connection {
    /// Takes a connection up, to hear of it under `token`.
    pub(super) fn new(accepted: Accepted, registry: &Registry, token: Token) -> io::Result<Self> {
        let mut stream = TcpStream::from_std(accepted.stream);
        registry.register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
        Ok(Self {
            stream,
            peer: accepted.peer,
            input: Vec::new(),
            output: Vec::new(),
            ending: None,
            is_lively: true,
            is_read_closed: false,
            permit: accepted.permit,
        })
    }

    /// Puts what was kept and what can be read at the start of `buffer`, and says how many bytes
    /// that are.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<(usize, ReadOutcome)> {
        let mut filled = self.input.len().min(buffer.len());
        let (kept, _) = buffer.split_at_mut(filled);
        kept.copy_from_slice(self.input.get(..filled).unwrap_or_default());
        self.input.clear();
        let kept = filled;
        while let Some(room) = buffer.get_mut(filled..).filter(|room| !room.is_empty()) {
            let is_short = match self.stream.read(room) {
                Ok(0) => return Ok((filled, ReadOutcome::End)),
                Ok(read) => {
                    filled += read;
                    read < room.len()
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    return Ok((filled, ReadOutcome::All));
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                // What came before the connection broke is read first.
                Err(_broken) if filled > kept => return Ok((filled, ReadOutcome::End)),
                Err(error) => return Err(error),
            };
            // A short read has emptied the socket, and what comes later makes itself heard. An end
            // that was reported together with the data does not: it is read now.
            if is_short && !self.is_read_closed {
                return Ok((filled, ReadOutcome::All));
            }
        }
        Ok((filled, ReadOutcome::Plenty))
    }

    /// Keeps bytes that were read and not answered, for the next [`Self::read`].
    pub(super) fn keep(&mut self, unread: &[u8]) {
        if unread.is_empty() && self.input.capacity() > KEPT_BYTES {
            self.input = Vec::new();
        }
        self.input.extend_from_slice(unread);
    }

    /// Whether the visitor has not taken all of his answers.
    pub(super) const fn has_output(&self) -> bool {
        !self.output.is_empty()
    }

    /// Sends answers, as far as the visitor takes them; the rest is kept.
    pub(super) fn send(&mut self, answers: &[u8]) -> io::Result<()> {
        let sent = if self.has_output() { 0 } else { self.write(answers)? };
        self.output.extend_from_slice(answers.get(sent..).unwrap_or_default());
        Ok(())
    }

    /// Sends more of what was kept.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        let output = std::mem::take(&mut self.output);
        let sent = self.write(&output)?;
        if sent < output.len() {
            self.output = output;
            self.output.drain(..sent);
        }
        self.is_lively |= sent > 0;
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut sent = 0;
        while let Some(rest) = bytes.get(sent..).filter(|rest| !rest.is_empty()) {
            match self.stream.write(rest) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(written) => sent += written,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(sent)
    }

    /// Ends it as its [`Ending`] says: closed, or with somebody else.
    pub(super) fn end(mut self, registry: &Registry) -> Option<HandedOver> {
        if self.ending == Some(Ending::HandOver) {
            registry.deregister(&mut self.stream).ok()?;
            let stream = std::net::TcpStream::from(OwnedFd::from(self.stream));
            return Some(HandedOver {
                stream,
                read: self.input,
                peer: self.peer,
                permit: self.permit,
            });
        }
        // It may be gone already.
        let _told = self.stream.shutdown(Shutdown::Write);
        None
    }
}
