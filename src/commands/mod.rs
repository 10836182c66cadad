//! The one writer: authorise → limits → decide → append → sync → apply → answer.
//!
//! One thread takes commands off a bounded queue, as many as wait, and makes one group of
//! them: each is decided over the index and the ones before it, their events go to the log
//! with one write and one sync, the index takes them in one batch, and only then are they
//! answered. So there is no lock around slugs or versions, an answered change survives
//! power loss, and whoever got an answer reads his own write.

mod bootstrap;
mod decide;
pub mod secret;

use std::sync::Arc;
use std::thread;

use prost::Message;
use tokio::sync::{mpsc, oneshot};

pub use bootstrap::{Bootstrap, BootstrapError, bootstrap};

use crate::domain::command::{Command, Outcome};
use crate::domain::error::DomainError;
use crate::domain::event::{Envelope, Event, Idempotency, VERSION};
use crate::domain::link::LinkPolicy;
use crate::domain::token::Actor;
use crate::log::{Log, LogError, NewRecord};
use crate::projections::index::{IDEMPOTENCY_MS, Index, IndexError, Pending, Read};
use decide::{Decider, Decision};

/// How many commands may wait; more are told to come back.
const QUEUE_LEN: usize = 4_096;
/// How many commands one group holds at most.
const GROUP_LEN: usize = 1_024;

/// Why a command came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// A rule refused it.
    #[error(transparent)]
    Refused(#[from] DomainError),
    /// Too many commands wait.
    #[error("too many changes are waiting")]
    Overloaded,
    /// The disk has no room for the event.
    #[error("the disk is full")]
    DiskFull,
    /// Changes can't be taken at the moment; the text is for the operator.
    #[error("changes can't be taken: {0}")]
    Unavailable(String),
    /// The index could not be read.
    #[error(transparent)]
    Index(#[from] IndexError),
}

/// What became of a command.
#[derive(Debug)]
pub struct Done {
    /// The thing as it stands now.
    pub outcome: Outcome,
    /// The offset in the mutation log that this answer reflects.
    pub offset: u64,
    /// The request came before, with the same idempotency key: nothing was changed now.
    pub is_replay: bool,
}

struct Submission {
    actor: Actor,
    command: Command,
    idempotency: Option<Idempotency>,
    answer: oneshot::Sender<Result<Done, CommandError>>,
}

/// The way to the writer. Cheap to clone; the writer ends when the last one is gone.
#[derive(Clone)]
pub struct Commands {
    queue: mpsc::Sender<Submission>,
}

impl Commands {
    /// Starts the writer's thread. The handle ends when each [`Commands`] is dropped and the
    /// queue is empty.
    pub fn start(
        log: Arc<Log>,
        index: Arc<Index>,
        policy: LinkPolicy,
    ) -> std::io::Result<(Self, thread::JoinHandle<()>)> {
        let (queue, submissions) = mpsc::channel(QUEUE_LEN);
        let dispatcher = Dispatcher { log, index, policy, failed: None };
        let thread = thread::Builder::new()
            .name("commands".to_owned())
            .spawn(move || dispatcher.run(submissions))?;
        Ok((Self { queue }, thread))
    }

    /// Has a command decided, made durable and applied.
    ///
    /// # Errors
    /// [`CommandError`]; after any but `Unavailable` nothing has changed.
    pub async fn run(
        &self,
        actor: Actor,
        command: Command,
        idempotency: Option<Idempotency>,
    ) -> Result<Done, CommandError> {
        let (answer, answered) = oneshot::channel();
        let submission = Submission { actor, command, idempotency, answer };
        self.queue.try_send(submission).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => CommandError::Overloaded,
            mpsc::error::TrySendError::Closed(_) => stopped(),
        })?;
        answered.await.map_err(|_| stopped())?
    }

    /// How many commands wait in the queue.
    pub fn waiting(&self) -> usize {
        self.queue.max_capacity() - self.queue.capacity()
    }
}

fn stopped() -> CommandError {
    CommandError::Unavailable("the service is shutting down".to_owned())
}

struct Dispatcher {
    log: Arc<Log>,
    index: Arc<Index>,
    policy: LinkPolicy,
    /// Set for good once the log and the index can no longer be held together.
    failed: Option<String>,
}

/// Whoever asked, and what he is told if the log takes the group: the outcome, and whether it is
/// a replay.
type Answer = (oneshot::Sender<Result<Done, CommandError>>, Result<(Outcome, bool), CommandError>);

/// A group on its way: who is to be answered, and with what if the log takes the group.
struct Group {
    pending: Pending,
    events: Vec<(u16, Vec<u8>)>,
    answers: Vec<Answer>,
}

impl Dispatcher {
    fn run(mut self, mut submissions: mpsc::Receiver<Submission>) {
        let mut waiting = Vec::with_capacity(GROUP_LEN);
        while submissions.blocking_recv_many(&mut waiting, GROUP_LEN) > 0 {
            if let Some(reason) = &self.failed {
                for submission in waiting.drain(..) {
                    let refused = CommandError::Unavailable(reason.clone());
                    let _caller_left = submission.answer.send(Err(refused));
                }
            } else {
                self.failed = self.run_group(waiting.drain(..));
            }
        }
    }

    /// Decides, writes, applies and answers a group. Returns a reason to take no more.
    fn run_group(&self, submissions: impl Iterator<Item = Submission>) -> Option<String> {
        let pending = self.index.begin();
        let mut group = Group { pending, events: Vec::new(), answers: Vec::new() };
        for submission in submissions {
            self.decide_into(&mut group, submission);
        }
        let Group { pending, events, answers } = group;
        match self.write(&events) {
            Err(error) => {
                tracing::error!(%error, "changes could not be logged and are refused");
                for (answer, _) in answers {
                    let _caller_left = answer.send(Err(refusal(&error)));
                }
                None
            }
            Ok(offset) => match self.index.commit(pending, offset) {
                Ok(()) => {
                    for (answer, decided) in answers {
                        let done =
                            decided.map(|(outcome, is_replay)| Done { outcome, offset, is_replay });
                        let _caller_left = answer.send(done);
                    }
                    None
                }
                Err(error) => {
                    // The events are logged and will be applied at the next start; until then
                    // nothing can be decided over an index that lacks them.
                    tracing::error!(%error, "the index failed; no change is taken until a restart");
                    for (answer, _) in answers {
                        let _caller_left =
                            answer.send(Err(CommandError::Unavailable(error.to_string())));
                    }
                    Some(format!("the index failed: {error}"))
                }
            },
        }
    }

    fn decide_into(&self, group: &mut Group, submission: Submission) {
        let Submission { actor, command, idempotency, answer } = submission;
        let now_ms = now_ms();
        let decided = self.decide(&group.pending, &actor, command, idempotency.as_ref(), now_ms);
        let decided = decided.and_then(|((event, outcome), is_replay)| {
            if let Some(event) = event {
                let envelope = Envelope {
                    at_ms: now_ms,
                    workspace: actor.workspace.as_bytes().to_vec(),
                    token: actor.token.as_bytes().to_vec(),
                    idempotency,
                    event: Some(event),
                };
                group.pending.apply(&envelope)?;
                let kind = envelope.event.as_ref().map_or(0, Event::kind);
                group.events.push((kind, envelope.encode_to_vec()));
            }
            Ok((outcome, is_replay))
        });
        group.answers.push((answer, decided));
    }

    /// The decision, and whether it was made before under the same idempotency key.
    fn decide(
        &self,
        state: &Pending,
        actor: &Actor,
        command: Command,
        idempotency: Option<&Idempotency>,
        now_ms: u64,
    ) -> Result<(Decision, bool), CommandError> {
        if let Some(sent) = idempotency
            && let Some(before) = state.idempotent(actor.workspace, &sent.key)?
            && before.at_ms.saturating_add(IDEMPOTENCY_MS) > now_ms
        {
            let same = before.idempotency.as_ref().is_some_and(|first| first == sent);
            if !same || !actor.abilities.allows(command.ability()) {
                return Err(DomainError::IdempotencyKeyReused.into());
            }
            return Ok(((None, outcome_of(before, actor)?), true));
        }
        let decider = Decider { state, policy: &self.policy, actor, now_ms };
        Ok((decider.decide(command)?, false))
    }

    fn write(&self, events: &[(u16, Vec<u8>)]) -> Result<u64, LogError> {
        if events.is_empty() {
            return Ok(self.index.applied());
        }
        let parts: Vec<[&[u8]; 1]> =
            events.iter().map(|(_, payload)| [payload.as_slice()]).collect();
        let records: Vec<_> = events
            .iter()
            .zip(&parts)
            .map(|((kind, _), parts)| NewRecord { kind: *kind, version: VERSION, parts })
            .collect();
        let offset = self.log.append(&records)?;
        let started = std::time::Instant::now();
        self.log.sync()?;
        metrics::histogram!("slugline_log_sync_seconds", "log" => "mutations")
            .record(started.elapsed());
        Ok(offset)
    }
}

/// The answer that the first request under an idempotency key got.
fn outcome_of(before: Envelope, actor: &Actor) -> Result<Outcome, CommandError> {
    let unreadable = |error| CommandError::Index(IndexError::Unreadable(error));
    match before.event {
        Some(Event::LinkCreated(state) | Event::LinkChanged(state)) => {
            Ok(Outcome::Link(state.into_link(actor.workspace).map_err(unreadable)?.into()))
        }
        Some(Event::TokenCreated(state)) => {
            Ok(Outcome::Token(state.into_token(actor.workspace).map_err(unreadable)?.into()))
        }
        _ => Ok(Outcome::Gone),
    }
}

fn refusal(error: &LogError) -> CommandError {
    if error.is_full() {
        CommandError::DiskFull
    } else {
        CommandError::Unavailable(error.to_string())
    }
}

/// Milliseconds since the Unix epoch.
pub fn now_ms() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0, |now| u64::try_from(now.as_millis()).unwrap_or(u64::MAX))
}
