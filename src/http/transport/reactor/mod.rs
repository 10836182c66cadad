//! The reactor: visits of links, answered by threads of their own in front of hyper.
//!
//! Each thread waits for its connections' events with one `poll`. All that came at once is a
//! *group*: each whole request is answered into one buffer, the clicks of all go to the log with
//! one append, and only then are the answers sent. So a click is with the operating system before
//! its answer is, and what an append costs is shared.
//!
//! What is not plainly a visit of a link, however little it differs, is none of its business: the
//! connection is [handed over](Hyper) with all that it has brought, once the answers before it
//! are sent. hyper serves it from there on.
//!
//! Memory is bounded: of a visitor who doesn't take his answers no more requests are read, and
//! those of one read are not answered further than [`ANSWERS_BYTES`].

mod connection;
pub mod head;
pub mod render;

use std::io;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use mio::{Events, Poll, Token, Waker};
use slab::Slab;

use self::connection::{Connection, Ending, INPUT_BYTES, PARTIAL_HEAD_BYTES, ReadOutcome};
use self::head::ParsedHead;
use self::render::Renderer;
use super::connections::Accepted;
use super::hyper::Hyper;
use super::{DRAIN_TIMEOUT, IDLE_PERIOD};
use crate::clicks::ClickBatch;
use crate::http::redirect::{Moment, Redirector};

/// How many events make a group at most: the first of them waits for the last.
const GROUP_EVENTS: usize = 64;
/// Once a connection has so many bytes of answers in a group, its further requests wait.
const ANSWERS_BYTES: usize = 16 << 10;
/// Beyond this capacity the answers' memory is given back after use, in bytes.
const KEPT_BYTES: usize = 256 << 10;
/// The event that isn't a connection's: something was left at the [`Inbox`].
const INBOX: Token = Token(usize::MAX);

/// A thread of the reactor, seen from outside.
pub(super) struct Handle {
    inbox: Arc<Inbox>,
    thread: JoinHandle<()>,
}

/// Where things are left for the thread.
struct Inbox {
    incoming: Mutex<Vec<Accepted>>,
    stops: AtomicBool,
    /// How many connections it has, those at the door included.
    connections: AtomicUsize,
    waker: Waker,
}

impl Handle {
    /// Starts a thread.
    pub(super) fn start(
        number: usize,
        redirector: Arc<Redirector>,
        hyper: Arc<Hyper>,
    ) -> io::Result<Self> {
        let poll = Poll::new()?;
        let inbox = Arc::new(Inbox {
            incoming: Mutex::default(),
            stops: AtomicBool::new(false),
            connections: AtomicUsize::new(0),
            waker: Waker::new(poll.registry(), INBOX)?,
        });
        let reactor = Reactor::new(poll, Arc::clone(&inbox), redirector, hyper);
        let thread = std::thread::Builder::new()
            .name(format!("redirects-{number}"))
            .spawn(move || reactor.run())?;
        Ok(Self { inbox, thread })
    }

    /// How many connections it has.
    pub(super) fn connections(&self) -> usize {
        self.inbox.connections.load(Ordering::Relaxed)
    }

    /// Gives it a connection.
    pub(super) fn serve(&self, accepted: Accepted) {
        self.inbox.connections.fetch_add(1, Ordering::Relaxed);
        let mut incoming = self.inbox.incoming.lock().unwrap_or_else(PoisonError::into_inner);
        incoming.push(accepted);
        // Who left the first one has woken it, and it takes all of them.
        let is_first = incoming.len() == 1;
        drop(incoming);
        if is_first {
            self.wake();
        }
    }

    /// Has it answer what is there and end.
    pub(super) fn stop(&self) {
        self.inbox.stops.store(true, Ordering::Release);
        self.wake();
    }

    /// Waits until it has ended.
    pub(super) fn join(self) {
        if self.thread.join().is_err() {
            tracing::error!("a thread that answers redirects has panicked");
        }
    }

    fn wake(&self) {
        if let Err(error) = self.inbox.waker.wake() {
            tracing::error!(%error, "a thread that answers redirects can't be woken");
        }
    }
}

/// What was answered to a connection in a group.
struct Served {
    key: usize,
    answers: Range<usize>,
}

struct Reactor {
    poll: Poll,
    inbox: Arc<Inbox>,
    redirector: Arc<Redirector>,
    hyper: Arc<Hyper>,
    connections: Slab<Connection>,
    /// Connections that are to be read though no event will say so.
    ready: Vec<usize>,
    /// Where requests are read to, one connection after the other.
    input: Box<[u8]>,
    renderer: Renderer,
    /// The group's clicks, answers, and whose they are.
    clicks: ClickBatch,
    answers: Vec<u8>,
    served: Vec<Served>,
    /// Set when it was told to stop.
    ends_at: Option<Instant>,
}

impl Reactor {
    fn new(poll: Poll, inbox: Arc<Inbox>, redirector: Arc<Redirector>, hyper: Arc<Hyper>) -> Self {
        Self {
            poll,
            inbox,
            redirector,
            hyper,
            connections: Slab::new(),
            ready: Vec::new(),
            input: vec![0; INPUT_BYTES].into_boxed_slice(),
            renderer: Renderer::default(),
            clicks: ClickBatch::default(),
            answers: Vec::new(),
            served: Vec::new(),
            ends_at: None,
        }
    }

    fn run(mut self) {
        let mut events = Events::with_capacity(GROUP_EVENTS);
        let mut looks_at = Instant::now() + IDLE_PERIOD;
        while self.ends_at.is_none_or(|end| !self.connections.is_empty() && Instant::now() < end) {
            let until = self.ends_at.unwrap_or(looks_at);
            let wait = if self.ready.is_empty() {
                until.saturating_duration_since(Instant::now())
            } else {
                Duration::ZERO
            };
            if let Err(error) = self.poll.poll(&mut events, Some(wait))
                && error.kind() != io::ErrorKind::Interrupted
            {
                tracing::error!(%error, "connections can't be waited for");
                std::thread::sleep(Duration::from_millis(50));
                continue;
            }
            let moment = Moment::now();
            self.answer(&events, &moment);
            if moment.at >= looks_at {
                looks_at = moment.at + IDLE_PERIOD;
                self.end_idle();
            }
        }
        if !self.connections.is_empty() {
            tracing::warn!("some visitors did not take their answers in time and were cut off");
        }
    }

    /// A group: read, answered, logged, sent.
    fn answer(&mut self, events: &Events, moment: &Moment) {
        self.renderer.tick(moment.at_ms);
        for key in std::mem::take(&mut self.ready) {
            self.serve_guarded(key, moment);
        }
        let mut has_mail = false;
        for event in events {
            if event.token() == INBOX {
                has_mail = true;
                continue;
            }
            let key = event.token().0;
            let Some(connection) = self.connections.get_mut(key) else { continue };
            connection.is_read_closed |= event.is_read_closed() || event.is_error();
            if connection.has_output() {
                if event.is_writable() || event.is_error() {
                    self.flush(key);
                }
            } else if event.is_readable() || connection.is_read_closed {
                self.serve_guarded(key, moment);
            }
        }
        let has_visits = self.clicks.clicks() > 0;
        self.redirector.settle(&mut self.clicks, moment);
        self.send();
        if has_visits && let Some(pause) = self.redirector.recorder.pacing.pause() {
            std::thread::sleep(pause);
        }
        if has_mail {
            self.open_inbox(moment);
        }
    }

    /// A panic ends the connection that it happened for, and no other.
    fn serve_guarded(&mut self, key: usize, moment: &Moment) {
        let from = self.answers.len();
        let served = catch_unwind(AssertUnwindSafe(|| self.serve(key, moment)));
        if served.is_err() {
            tracing::error!("answering a request panicked; its connection is closed");
            self.answers.truncate(from);
            self.remove(key);
        }
    }

    /// Answers what a connection has brought.
    fn serve(&mut self, key: usize, moment: &Moment) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        if connection.has_output() || connection.ending.is_some() {
            return;
        }
        let Ok((filled, brought)) = connection.read(&mut self.input) else {
            self.remove(key);
            return;
        };
        let from = self.answers.len();
        let encoded;
        let mut rest = self.input.get(..filled).unwrap_or_default();
        let is_full = loop {
            if self.answers.len() - from > ANSWERS_BYTES {
                break true;
            }
            let mut lines = head::no_lines();
            let (request, length, closes) = match head::read(rest, &mut lines, connection.peer) {
                ParsedHead::Visit { request, length, closes } => (request, length, closes),
                ParsedHead::Partial => break false,
                ParsedHead::Other => match head::with_encoded_target(rest) {
                    // Read once more, as if it had come encoded.
                    Some(bytes) if bytes.len() <= INPUT_BYTES => {
                        encoded = bytes;
                        rest = &encoded;
                        break true;
                    }
                    _ => {
                        connection.ending = Some(Ending::HandOver);
                        break false;
                    }
                },
            };
            let Some(answer) = self.redirector.answer(&request, moment, &mut self.clicks) else {
                connection.ending = Some(Ending::HandOver);
                break false;
            };
            let closes = closes || self.ends_at.is_some();
            self.renderer.render(&answer, request.head, closes, &mut self.answers);
            rest = rest.get(length..).unwrap_or_default();
            connection.is_lively = true;
            if closes {
                connection.ending = Some(Ending::Close);
                rest = &[];
                break false;
            }
        };
        if connection.ending.is_none() && !is_full {
            if brought == ReadOutcome::End || self.ends_at.is_some() {
                connection.ending = Some(Ending::Close);
            } else if rest.len() > PARTIAL_HEAD_BYTES {
                connection.ending = Some(Ending::HandOver);
            } else if brought == ReadOutcome::Plenty {
                self.ready.push(key);
            }
        } else if is_full {
            self.ready.push(key);
        }
        connection.keep(rest);
        let answers = from..self.answers.len();
        if connection.ending.is_some() || !answers.is_empty() {
            self.served.push(Served { key, answers });
        }
    }

    /// Sends the group's answers, now that its clicks are logged.
    fn send(&mut self) {
        let mut served = std::mem::take(&mut self.served);
        for Served { key, answers } in served.drain(..) {
            let Some(connection) = self.connections.get_mut(key) else { continue };
            let answers = self.answers.get(answers).unwrap_or_default();
            match connection.send(answers) {
                Ok(()) => self.finish(key),
                Err(_gone) => self.remove(key),
            }
        }
        self.served = served;
        self.answers.clear();
        self.answers.shrink_to(KEPT_BYTES);
    }

    /// Sends more of what a visitor has not taken; if that was all, he may go on.
    fn flush(&mut self, key: usize) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        match connection.flush() {
            Ok(()) => {
                if !connection.has_output() {
                    // What he has sent meanwhile was not read.
                    self.ready.push(key);
                }
                self.finish(key);
            }
            Err(_gone) => self.remove(key),
        }
    }

    /// Ends the connection if it is to end and all is sent.
    fn finish(&mut self, key: usize) {
        let Some(connection) = self.connections.get(key) else { return };
        if connection.ending.is_some() && !connection.has_output() {
            self.remove(key);
        }
    }

    fn remove(&mut self, key: usize) {
        let Some(connection) = self.connections.try_remove(key) else { return };
        self.inbox.connections.fetch_sub(1, Ordering::Relaxed);
        if let Some(handed_over) = connection.end(self.poll.registry()) {
            self.hyper.serve(handed_over);
        }
    }

    /// Takes up what was left at the door.
    fn open_inbox(&mut self, moment: &Moment) {
        let incoming = {
            let mut incoming = self.inbox.incoming.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *incoming)
        };
        for incoming in incoming {
            let entry = self.connections.vacant_entry();
            let token = Token(entry.key());
            match Connection::new(incoming, self.poll.registry(), token) {
                Ok(connection) => drop(entry.insert(connection)),
                Err(error) => {
                    tracing::warn!(%error, "a connection can't be waited for");
                    self.inbox.connections.fetch_sub(1, Ordering::Relaxed);
                }
            }
        }
        if self.inbox.stops.load(Ordering::Acquire) && self.ends_at.is_none() {
            self.ends_at = Some(moment.at + DRAIN_TIMEOUT);
            self.ready = self.connections.iter().map(|(key, _)| key).collect();
        }
    }

    /// Ends the connections that have been idle for a whole period, or whose clients send a head
    /// drop by drop.
    fn end_idle(&mut self) {
        let idle: Vec<_> = self
            .connections
            .iter_mut()
            .filter_map(|(key, connection)| {
                (!std::mem::take(&mut connection.is_lively)).then_some(key)
            })
            .collect();
        for key in idle {
            if let Some(connection) = self.connections.get_mut(key) {
                connection.ending = Some(Ending::Close);
            }
            self.remove(key);
        }
    }
}
