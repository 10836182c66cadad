//! A visitor's connection: its unprocessed input and unsent output.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, Shutdown};
use std::os::fd::OwnedFd;

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

use crate::http::transport::connections::{Accepted, ConnectionPermit};
use crate::http::transport::hyper::HandedOver;

/// The read buffer's size, including input kept from before.
pub(super) const INPUT_BYTES: usize = 32 << 10;
/// A partial head larger than this is handed over to hyper, which rejects it.
pub(super) const PARTIAL_HEAD_BYTES: usize = 8 << 10;
/// Buffers with more capacity than this are freed after use, in bytes.
const MAX_IDLE_CAPACITY: usize = 4 << 10;

/// What happens to a connection after its answers are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// Closed.
    Close,
    /// Handed over to hyper.
    HandOver,
}

/// The outcome of a read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReadOutcome {
    /// The buffer is full; there may be more.
    Plenty,
    /// Everything available was read.
    All,
    /// The client has closed its side.
    End,
}

pub(super) struct Connection {
    stream: TcpStream,
    pub(super) peer: IpAddr,
    /// Input that is not processed: a partial head, or requests that wait for the client to read
    /// its answers.
    input: Vec<u8>,
    /// Output that is not sent; at most one group's answers.
    output: Vec<u8>,
    pub(super) ending: Option<Ending>,
    /// Whether a request was received or output sent since the last idle check.
    pub(super) is_active: bool,
    /// Whether an event reported that the client closed its side, or that the connection is broken.
    /// There will be no other event, so it is read to its end.
    pub(super) is_read_closed: bool,
    permit: ConnectionPermit,
}

impl Connection {
    /// Registers a connection under `token`.
    pub(super) fn new(accepted: Accepted, registry: &Registry, token: Token) -> io::Result<Self> {
        let mut stream = TcpStream::from_std(accepted.stream);
        registry.register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
        Ok(Self {
            stream,
            peer: accepted.peer,
            input: Vec::new(),
            output: Vec::new(),
            ending: None,
            is_active: true,
            is_read_closed: false,
            permit: accepted.permit,
        })
    }

    /// Reads into `buffer`, after the kept input. Returns the number of bytes in it.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<(usize, ReadOutcome)> {
        let mut filled = self.input.len().min(buffer.len());
        let (kept, _) = buffer.split_at_mut(filled);
        kept.copy_from_slice(self.input.get(..filled).unwrap_or_default());
        self.input.clear();
        let kept = filled;
        while let Some(free) = buffer.get_mut(filled..).filter(|free| !free.is_empty()) {
            let is_short = match self.stream.read(free) {
                Ok(0) => return Ok((filled, ReadOutcome::End)),
                Ok(read) => {
                    filled += read;
                    read < free.len()
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    return Ok((filled, ReadOutcome::All));
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                // Input from before the connection broke is processed first.
                Err(_broken) if filled > kept => return Ok((filled, ReadOutcome::End)),
                Err(error) => return Err(error),
            };
            // A short read has emptied the socket, and later input triggers an event. A close that
            // was reported with the data does not, so it is read now.
            if is_short && !self.is_read_closed {
                return Ok((filled, ReadOutcome::All));
            }
        }
        Ok((filled, ReadOutcome::Plenty))
    }

    /// Keeps unprocessed input for the next [`Self::read`].
    pub(super) fn keep(&mut self, unread: &[u8]) {
        if unread.is_empty() && self.input.capacity() > MAX_IDLE_CAPACITY {
            self.input = Vec::new();
        }
        self.input.extend_from_slice(unread);
    }

    /// Whether there is unsent output.
    pub(super) const fn has_output(&self) -> bool {
        !self.output.is_empty()
    }

    /// Sends answers; what the client does not accept yet is kept.
    pub(super) fn send(&mut self, answers: &[u8]) -> io::Result<()> {
        let sent = if self.has_output() { 0 } else { self.write(answers)? };
        self.output.extend_from_slice(answers.get(sent..).unwrap_or_default());
        Ok(())
    }

    /// Sends kept output.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        let output = std::mem::take(&mut self.output);
        let sent = self.write(&output)?;
        if sent < output.len() {
            self.output = output;
            self.output.drain(..sent);
        }
        self.is_active |= sent > 0;
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

    /// Closes or hands over the connection, according to its [`Ending`].
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
        // The client may have closed it already.
        let _told = self.stream.shutdown(Shutdown::Write);
        None
    }
}
