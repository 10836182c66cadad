//! The reactor: its own threads answer visits of links, in front of hyper.
//!
//! Each thread waits for its connections' events with one `poll`. All events of one poll form a
//! *group*: each complete request is answered into one buffer, the clicks of all are appended to
//! the log together, and only then are the answers sent. So a click is written to the operating
//! system before its answer, and the cost of the append is shared.
//!
//! Any other request is [handed over](Hyper) with its connection and all unprocessed input, once
//! the previous answers are sent. hyper serves the connection from there on.
//!
//! Memory is bounded: no further requests are read from a client that does not read its answers,
//! and the requests of one read are answered up to [`ANSWERS_BYTES`].

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
use crate::clicks::ClickBatch;
use crate::http::redirect::{Redirector, RequestTime};
use crate::limits::{DRAIN_TIMEOUT, IDLE_PERIOD};

/// The maximum number of events in a group: the first waits for the last.
const GROUP_EVENTS: usize = 64;
/// After this many bytes of answers in a group, a connection's further requests wait.
const ANSWERS_BYTES: usize = 16 << 10;
/// The answer buffer is shrunk to this capacity after use, in bytes.
const MAX_IDLE_CAPACITY: usize = 256 << 10;
/// The token of the [`Inbox`].
const INBOX: Token = Token(usize::MAX);

/// A handle to a thread of the reactor.
pub(super) struct Handle {
    inbox: Arc<Inbox>,
    thread: JoinHandle<()>,
}

/// Passes connections to the thread.
struct Inbox {
    incoming: Mutex<Vec<Accepted>>,
    is_stopping: AtomicBool,
    /// The number of its connections, including those in the inbox.
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
            is_stopping: AtomicBool::new(false),
            connections: AtomicUsize::new(0),
            waker: Waker::new(poll.registry(), INBOX)?,
        });
        let reactor = Reactor::new(poll, Arc::clone(&inbox), redirector, hyper);
        let thread = std::thread::Builder::new()
            .name(format!("redirects-{number}"))
            .spawn(move || reactor.run())?;
        Ok(Self { inbox, thread })
    }

    /// The number of its connections.
    pub(super) fn connections(&self) -> usize {
        self.inbox.connections.load(Ordering::Relaxed)
    }

    /// Passes it a connection.
    pub(super) fn serve(&self, accepted: Accepted) {
        self.inbox.connections.fetch_add(1, Ordering::Relaxed);
        let mut incoming = self.inbox.incoming.lock().unwrap_or_else(PoisonError::into_inner);
        incoming.push(accepted);
        // The first one wakes the thread, which takes all.
        let is_first = incoming.len() == 1;
        drop(incoming);
        if is_first {
            self.wake();
        }
    }

    /// Lets it answer pending requests and stop.
    pub(super) fn stop(&self) {
        self.inbox.is_stopping.store(true, Ordering::Release);
        self.wake();
    }

    /// Waits until it has stopped.
    pub(super) fn join(self) {
        if self.thread.join().is_err() {
            tracing::error!("a redirect thread panicked");
        }
    }

    fn wake(&self) {
        if let Err(error) = self.inbox.waker.wake() {
            tracing::error!(%error, "cannot wake a redirect thread");
        }
    }
}

/// The answers to a connection in a group.
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
    /// Connections to read without an event.
    ready: Vec<usize>,
    /// The read buffer, used for one connection after another.
    input: Box<[u8]>,
    renderer: Renderer,
    /// The group's clicks and answers, and the connections of the answers.
    clicks: ClickBatch,
    answers: Vec<u8>,
    served: Vec<Served>,
    /// Set when the thread is asked to stop.
    deadline: Option<Instant>,
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
            deadline: None,
        }
    }

    fn run(mut self) {
        let mut events = Events::with_capacity(GROUP_EVENTS);
        let mut idle_check_at = Instant::now() + IDLE_PERIOD;
        while self.deadline.is_none_or(|end| !self.connections.is_empty() && Instant::now() < end) {
            let until = self.deadline.unwrap_or(idle_check_at);
            let wait = if self.ready.is_empty() {
                until.saturating_duration_since(Instant::now())
            } else {
                Duration::ZERO
            };
            if let Err(error) = self.poll.poll(&mut events, Some(wait))
                && error.kind() != io::ErrorKind::Interrupted
            {
                tracing::error!(%error, "cannot poll connections");
                std::thread::sleep(Duration::from_millis(50));
                continue;
            }
            let moment = RequestTime::now();
            self.answer(&events, &moment);
            if moment.at >= idle_check_at {
                idle_check_at = moment.at + IDLE_PERIOD;
                self.end_idle();
            }
        }
        if !self.connections.is_empty() {
            tracing::warn!(
                "some clients did not read their answers in time; closing their connections"
            );
        }
    }

    /// Handles a group: read, answer, log, send.
    fn answer(&mut self, events: &Events, moment: &RequestTime) {
        self.renderer.tick(moment.at_ms);
        for key in std::mem::take(&mut self.ready) {
            self.serve_guarded(key, moment);
        }
        let mut has_incoming = false;
        for event in events {
            if event.token() == INBOX {
                has_incoming = true;
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
        self.redirector.append_clicks(&mut self.clicks, moment);
        self.send();
        if has_visits && let Some(pause) = self.redirector.recorder.pacing.pause() {
            std::thread::sleep(pause);
        }
        if has_incoming {
            self.accept_incoming(moment);
        }
    }

    /// A panic closes only the connection that caused it.
    fn serve_guarded(&mut self, key: usize, moment: &RequestTime) {
        let from = self.answers.len();
        let served = catch_unwind(AssertUnwindSafe(|| self.serve(key, moment)));
        if served.is_err() {
            tracing::error!("answering a request panicked; closing its connection");
            self.answers.truncate(from);
            self.remove(key);
        }
    }

    /// Answers the requests of a connection.
    fn serve(&mut self, key: usize, moment: &RequestTime) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        if connection.has_output() || connection.ending.is_some() {
            return;
        }
        let Ok((filled, outcome)) = connection.read(&mut self.input) else {
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
                    // Parse it again in encoded form; hyper refuses what is too large.
                    Some(bytes) => {
                        encoded = bytes;
                        rest = &encoded;
                        let fits = rest.len() <= INPUT_BYTES;
                        if !fits {
                            connection.ending = Some(Ending::HandOver);
                        }
                        break fits;
                    }
                    None if head::begins_target(rest) => break false,
                    None => {
                        connection.ending = Some(Ending::HandOver);
                        break false;
                    }
                },
            };
            let Some(answer) = self.redirector.answer(&request, moment, &mut self.clicks) else {
                connection.ending = Some(Ending::HandOver);
                break false;
            };
            let closes = closes || self.deadline.is_some();
            self.renderer.render(&answer, request.head, closes, &mut self.answers);
            rest = rest.get(length..).unwrap_or_default();
            connection.is_active = true;
            if closes {
                connection.ending = Some(Ending::Close);
                rest = &[];
                break false;
            }
        };
        if connection.ending.is_none() && !is_full {
            if outcome == ReadOutcome::End || self.deadline.is_some() {
                connection.ending = Some(Ending::Close);
            } else if rest.len() > PARTIAL_HEAD_BYTES {
                connection.ending = Some(Ending::HandOver);
            } else if outcome == ReadOutcome::Plenty {
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

    /// Sends the group's answers, after its clicks are logged.
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
        self.answers.shrink_to(MAX_IDLE_CAPACITY);
    }

    /// Sends kept output; when all is sent, the connection is read again.
    fn flush(&mut self, key: usize) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        match connection.flush() {
            Ok(()) => {
                if !connection.has_output() {
                    // Requests received meanwhile were not read.
                    self.ready.push(key);
                }
                self.finish(key);
            }
            Err(_gone) => self.remove(key),
        }
    }

    /// Ends the connection if it is to end and all output is sent.
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

    /// Accepts the connections in the inbox.
    fn accept_incoming(&mut self, moment: &RequestTime) {
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
                    tracing::warn!(%error, "cannot register a connection");
                    self.inbox.connections.fetch_sub(1, Ordering::Relaxed);
                }
            }
        }
        if self.inbox.is_stopping.load(Ordering::Acquire) && self.deadline.is_none() {
            self.deadline = Some(moment.at + DRAIN_TIMEOUT);
            self.ready = self.connections.iter().map(|(key, _)| key).collect();
        }
    }

    /// Closes connections that were idle for a whole period, or whose clients send a head too
    /// slowly.
    fn end_idle(&mut self) {
        let idle: Vec<_> = self
            .connections
            .iter_mut()
            .filter_map(|(key, connection)| {
                (!std::mem::take(&mut connection.is_active)).then_some(key)
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
