//! The one writer: authorise → limits → decide → append → sync → apply → answer.
//!
//! One thread takes commands off a bounded queue, as many as wait, and makes one group of
//! them: each is decided over the index and the ones before it, their events go to the log
//! with one write and one sync, the index takes them in one batch, and only then are they
//! answered. So there is no lock around slugs or versions, an answered change survives
//! power loss, and whoever got an answer reads his own write.
//!
//! A command that finds the queue full waits for a place, some seconds at most, before it is
//! told that there is none.
//!
//! Where the index does not take what the log has synced, it is repaired from the log at once,
//! and the group is answered as if nothing had been. Where that fails too, nothing can be decided
//! over an index that lacks those events: the group is told that it is not known what became of
//! it, and the groups after it are refused until a repair works, which they try themselves. No
//! restart is needed. A full disk does not come to that: the index goes on in memory, and it is
//! the log that refuses.

mod bootstrap;
mod decide;
#[cfg(test)]
mod domain_tests;
mod domains;
mod order;
mod passwords;
mod past;
pub mod secret;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use prost::Message;
use tokio::sync::{mpsc, oneshot};

pub use bootstrap::{Bootstrap, BootstrapError, bootstrap};
pub use passwords::Passwords;

use crate::domain::command::{Command, Outcome};
use crate::domain::error::DomainError;
use crate::domain::event::{Envelope, Event, Idempotency, VERSION};
use crate::domain::link::LinkPolicy;
use crate::domain::preset::PresetKind;
use crate::domain::token::Actor;
use crate::log::{Log, LogError, NewRecord};
use crate::projections::index::{IDEMPOTENCY_MS, Index, IndexError, Pending, Read};
use decide::{Decider, Decision};

/// How many commands may wait in the queue.
const QUEUE_LEN: usize = 4_096;
/// How long a command waits for a place in it: some thousand clients at once are normal.
const PLACE_WAIT: Duration = Duration::from_secs(5);
/// How many commands one group holds at most.
const GROUP_LEN: usize = 1_024;
/// How long after a failed repair of the index the next one is tried, at the earliest.
const REPAIR_EVERY: Duration = Duration::from_millis(500);
/// How often at most it is said that changes can't be logged.
const COMPLAIN_EVERY: Duration = Duration::from_secs(10);

/// Why a command came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// A rule refused it.
    #[error(transparent)]
    Refused(#[from] DomainError),
    /// Too many commands wait, and have for some seconds.
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
    passwords: Passwords,
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
        let dispatcher = Dispatcher { log, index, policy, failure: None, complained_at: None };
        let thread = thread::Builder::new()
            .name("commands".to_owned())
            .spawn(move || dispatcher.run(submissions))?;
        Ok((Self { queue, passwords: Passwords::default() }, thread))
    }

    /// Has a command decided, made durable and applied.
    ///
    /// # Errors
    /// [`CommandError`]; after any but `Unavailable` nothing has changed.
    pub async fn run(
        &self,
        actor: Actor,
        mut command: Command,
        idempotency: Option<Idempotency>,
    ) -> Result<Done, CommandError> {
        self.passwords.hash_in(&mut command).await?;
        let (answer, answered) = oneshot::channel();
        let submission = Submission { actor, command, idempotency, answer };
        match tokio::time::timeout(PLACE_WAIT, self.queue.send(submission)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Err(stopped()),
            Err(_) => return Err(CommandError::Overloaded),
        }
        answered.await.map_err(|_| stopped())?
    }

    /// What compares passwords.
    pub const fn passwords(&self) -> &Passwords {
        &self.passwords
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
    /// Set while the index lacks events that the log has.
    failure: Option<Failure>,
    /// When it was last said that changes can't be logged.
    complained_at: Option<Instant>,
}

/// Why the index could not be repaired.
struct Failure {
    tried_at: Instant,
    reason: String,
}

impl Failure {
    fn new(error: &IndexError) -> Self {
        Self { tried_at: Instant::now(), reason: format!("the index failed: {error}") }
    }

    fn refusal(&self) -> CommandError {
        CommandError::Unavailable(self.reason.clone())
    }
}

/// Whoever asked, and what he is told if the log takes the group.
type Answer = (oneshot::Sender<Result<Done, CommandError>>, Result<Done, CommandError>);

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
            self.failure = match self.failure.take() {
                Some(failure) => self.try_again(failure),
                None if self.index.has_given_up() => self.repair(),
                None => None,
            };
            if let Some(failure) = &self.failure {
                for submission in waiting.drain(..) {
                    let _caller_left = submission.answer.send(Err(failure.refusal()));
                }
            } else {
                self.failure = self.run_group(waiting.drain(..));
            }
        }
    }

    /// Repairs the index, unless that has only just failed. Returns what still stands in the way.
    fn try_again(&self, failure: Failure) -> Option<Failure> {
        if failure.tried_at.elapsed() < REPAIR_EVERY {
            return Some(failure);
        }
        self.repair()
    }

    fn repair(&self) -> Option<Failure> {
        match self.index.repair(&self.log) {
            Ok(()) => {
                tracing::info!("the index is repaired; changes are taken");
                None
            }
            Err(error) => Some(Failure::new(&error)),
        }
    }

    /// Says that changes are refused, but not for each group: a full disk refuses many.
    fn complain(&mut self, error: &LogError) {
        if self.complained_at.is_none_or(|at| at.elapsed() >= COMPLAIN_EVERY) {
            self.complained_at = Some(Instant::now());
            tracing::error!(
                error = error as &dyn std::error::Error,
                "changes can't be logged and are refused"
            );
        }
    }

    /// Decides, writes, applies and answers a group. Returns why to take no more for now.
    fn run_group(&mut self, submissions: impl Iterator<Item = Submission>) -> Option<Failure> {
        let pending = self.index.begin();
        let mut group = Group { pending, events: Vec::new(), answers: Vec::new() };
        for submission in submissions {
            self.decide_into(&mut group, submission);
        }
        let Group { pending, events, answers } = group;
        let offset = match self.write(&events, &pending) {
            Ok(offset) => offset,
            Err(error) => {
                self.complain(&error);
                for (answer, _) in answers {
                    let _caller_left = answer.send(Err(refusal(&error)));
                }
                return None;
            }
        };
        if let Err(error) = self.apply(pending, offset) {
            // The events are logged and will be applied by the repair that works; until then
            // nothing can be decided over an index that lacks them.
            tracing::error!(%error, "the index failed; no change is taken until it is repaired");
            let failure = Failure::new(&error);
            for (answer, _) in answers {
                let _caller_left = answer.send(Err(failure.refusal()));
            }
            return Some(failure);
        }
        for (answer, decided) in answers {
            let _caller_left = answer.send(decided);
        }
        None
    }

    /// Brings the index to the offset, by what is pending or else from the log.
    fn apply(&self, pending: Pending, offset: u64) -> Result<(), IndexError> {
        let Err(error) = self.index.commit(pending, offset) else { return Ok(()) };
        tracing::warn!(%error, "the index failed and is repaired from the log");
        self.index.repair(&self.log)
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
                    token: actor.in_log(),
                    idempotency,
                    event: Some(event),
                };
                group.pending.apply(&envelope)?;
                let kind = envelope.event.as_ref().map_or(0, Event::kind);
                group.events.push((kind, envelope.encode_to_vec()));
            }
            // Offsets are dense, and nobody else writes: what the log will call this event, or the
            // last one before it where nothing changes.
            let offset = group.pending.over() + group.events.len() as u64;
            Ok(Done { outcome, offset, is_replay })
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

    /// The offset that the group reflects, once its events are durable.
    fn write(&self, events: &[(u16, Vec<u8>)], pending: &Pending) -> Result<u64, LogError> {
        if events.is_empty() {
            return Ok(pending.over());
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
        Some(
            Event::LinkCreated(state) | Event::LinkChanged(state) | Event::LinkRestored(state),
        ) => Ok(Outcome::Link(state.into_link(actor.workspace).map_err(unreadable)?.into())),
        Some(Event::CampaignCreated(state) | Event::CampaignChanged(state)) => {
            let preset = state.into_preset(PresetKind::Campaign, actor.workspace);
            Ok(Outcome::Preset(preset.map_err(unreadable)?.into()))
        }
        Some(Event::UtmTemplateCreated(state) | Event::UtmTemplateChanged(state)) => {
            let preset = state.into_preset(PresetKind::Template, actor.workspace);
            Ok(Outcome::Preset(preset.map_err(unreadable)?.into()))
        }
        Some(Event::TokenCreated(state)) => {
            Ok(Outcome::Token(state.into_token(actor.workspace).map_err(unreadable)?.into()))
        }
        Some(
            Event::DomainAdded(state) | Event::DomainChanged(state) | Event::DomainVerified(state),
        ) => Ok(Outcome::Domain(state.into_domain(actor.workspace).map_err(unreadable)?.into())),
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
