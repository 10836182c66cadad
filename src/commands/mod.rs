//! The single writer: authorize → limits → decide → append → sync → apply → answer.
//!
//! One thread takes all waiting commands off a bounded queue as a batch. Each is decided against
//! the index and the ones before it; their events are logged with one write and one sync, and
//! applied to the index in one batch; only then are they answered. So slugs and versions need no
//! locks, an acknowledged change survives power loss, and clients read their own writes.
//!
//! A command that finds the queue full waits for some seconds before it is refused.
//!
//! If the index fails to apply synced events, it is repaired from the log at once, and the batch is
//! answered normally. If the repair fails too, nothing can be decided against an index that lacks
//! those events: the outcome of the batch is reported as unknown, and later batches are refused
//! until a repair succeeds, which they attempt themselves. No restart is needed. A full disk does
//! not lead to this: the index continues in memory, and the log refuses the changes.

pub mod accounts;
mod billing;
#[cfg(test)]
mod billing_tests;
mod bootstrap;
mod decide;
mod dispatcher;
#[cfg(test)]
mod domain_tests;
mod domains;
mod import;
mod labels;
mod passwords;
mod plan_limits;
mod qr_codes;
#[cfg(test)]
mod qr_codes_tests;
mod recharges;
#[cfg(test)]
mod recharges_tests;
#[cfg(test)]
mod reservations_tests;
mod restore;
pub mod secret;
mod subscriptions;
#[cfg(test)]
mod subscriptions_tests;
#[cfg(test)]
mod tests;
mod tokens;
mod users;
#[cfg(test)]
mod users_tests;
mod workspaces;
#[cfg(test)]
mod workspaces_tests;

use std::sync::Arc;
use std::thread;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

/// Retention of idempotency keys, in milliseconds.
pub use crate::domain::retention::IDEMPOTENCY_MS;
pub use bootstrap::{Bootstrap, BootstrapError, bootstrap};

use crate::domain::command::{Command, Outcome};
use crate::domain::error::{ErrorCode, Result, ServiceError};
use crate::domain::event::Idempotency;
use crate::domain::link::LinkPolicy;
use crate::domain::plan::catalogue::Catalogues;
use crate::domain::token::Actor;
use crate::identity::Passwords;
use crate::limits::{BULK_CONCURRENCY, COMMAND_QUEUE_LEN, COMMAND_QUEUE_TIMEOUT};
use crate::log::Log;
use crate::projections::index::Index;
use dispatcher::Dispatcher;

/// Maximum number of commands per [`Commands::run_all`].
pub const MAX_BULK: usize = 1_000;

/// What the operator's files say about commands.
#[derive(Debug, Clone, Default)]
pub struct Policies {
    /// What links may be.
    pub links: LinkPolicy,
    /// The plans.
    pub plans: Catalogues,
}

/// The result of a command.
#[derive(Debug)]
pub struct CommandResult {
    /// The affected object in its current state.
    pub outcome: Outcome,
    /// The offset in the mutation log that this result reflects.
    pub offset: u64,
    /// Whether this is a replay of an earlier request with the same idempotency key.
    pub is_replay: bool,
}

/// A command with an optional idempotency key.
#[derive(Debug)]
pub struct CommandRequest {
    /// The command.
    pub command: Command,
    /// Without one, a repeated request is executed again.
    pub idempotency: Option<Idempotency>,
}

/// What happens with the decided commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// They are logged and applied.
    Commit,
    /// The same, unless one is refused or replayed: then none is.
    CommitAll,
    /// They are discarded: the results show what would happen.
    DryRun,
}

/// One result per command, in order.
type Results = Vec<Result<CommandResult>>;

struct Submission {
    actor: Actor,
    mode: Mode,
    requests: Vec<CommandRequest>,
    reply: oneshot::Sender<Results>,
}

/// A handle to the writer. Cheap to clone; the writer ends when the last one is dropped.
#[derive(Clone)]
pub struct Commands {
    queue: mpsc::Sender<Submission>,
    passwords: Passwords,
    bulk_permits: Arc<Semaphore>,
}

impl Commands {
    /// Starts the writer thread, which ends when every [`Commands`] is dropped and the queue is
    /// empty.
    pub fn start(
        log: Arc<dyn Log>,
        index: Arc<Index>,
        policies: Policies,
    ) -> std::io::Result<(Self, thread::JoinHandle<()>)> {
        let (queue, submissions) = mpsc::channel(COMMAND_QUEUE_LEN);
        let dispatcher = Dispatcher::new(log, index, policies);
        let thread = thread::Builder::new()
            .name("commands".to_owned())
            .spawn(move || dispatcher.run(submissions))?;
        let bulk_permits = Arc::new(Semaphore::new(BULK_CONCURRENCY));
        Ok((Self { queue, passwords: Passwords::default(), bulk_permits }, thread))
    }

    /// Decides a command, makes it durable and applies it.
    ///
    /// # Errors
    /// After any but [`ErrorCode::ChangesUnavailable`], nothing has changed.
    pub async fn run(
        &self,
        actor: Actor,
        command: Command,
        idempotency: Option<Idempotency>,
    ) -> Result<CommandResult> {
        self.run_after(actor, None, command, idempotency).await
    }

    /// The same after another command that it needs, which changes nothing by itself: not if the
    /// command is refused, nor if it is replayed.
    pub async fn run_after(
        &self,
        actor: Actor,
        first: Option<Command>,
        mut command: Command,
        idempotency: Option<Idempotency>,
    ) -> Result<CommandResult> {
        passwords::hash_in(&self.passwords, &mut command).await?;
        let mode = if first.is_some() { Mode::CommitAll } else { Mode::Commit };
        let first = first.map(|command| CommandRequest { command, idempotency: None });
        let requests = first.into_iter().chain([CommandRequest { command, idempotency }]);
        let results = self.submit(actor, requests.collect(), mode).await?;
        results.into_iter().reduce(Result::and).unwrap_or_else(|| Err(stopped()))
    }

    /// Runs up to [`MAX_BULK`] commands, decided in order and made durable together. Each has its own
    /// result, independent of the others.
    ///
    /// # Errors
    /// If none of them was decided.
    pub async fn run_all(
        &self,
        actor: Actor,
        mut requests: Vec<CommandRequest>,
        mode: Mode,
    ) -> Result<Results> {
        match mode {
            Mode::Commit | Mode::CommitAll => {
                passwords::hash_in_all(&self.passwords, &mut requests).await?;
            }
            Mode::DryRun => passwords::set_placeholders(&mut requests),
        }
        self.submit(actor, requests, mode).await
    }

    async fn submit(
        &self,
        actor: Actor,
        requests: Vec<CommandRequest>,
        mode: Mode,
    ) -> Result<Results> {
        let (reply, replied) = oneshot::channel();
        let submission = Submission { actor, mode, requests, reply };
        match tokio::time::timeout(COMMAND_QUEUE_TIMEOUT, self.queue.send(submission)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Err(stopped()),
            Err(_) => return Err(overloaded()),
        }
        replied.await.map_err(|_| stopped())
    }

    /// A permit for a bulk request, to be held while it is parsed and decided.
    ///
    /// # Errors
    /// [`ErrorCode::Overloaded`] if none is free for some seconds.
    pub async fn bulk_permit(&self) -> Result<OwnedSemaphorePermit> {
        let permit = tokio::time::timeout(
            COMMAND_QUEUE_TIMEOUT,
            Arc::clone(&self.bulk_permits).acquire_owned(),
        );
        match permit.await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) | Err(_) => Err(overloaded()),
        }
    }

    /// The password hasher.
    pub const fn passwords(&self) -> &Passwords {
        &self.passwords
    }

    /// Number of submissions in the queue.
    pub fn waiting(&self) -> usize {
        self.queue.max_capacity() - self.queue.capacity()
    }
}

fn overloaded() -> ServiceError {
    let message = "Too many changes are waiting; please try again.";
    ServiceError::unavailable(ErrorCode::Overloaded, message)
}

fn stopped() -> ServiceError {
    ServiceError::changes_unavailable("the service is shutting down")
}

/// Milliseconds since the Unix epoch.
pub fn now_ms() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0, |now| u64::try_from(now.as_millis()).unwrap_or(u64::MAX))
}
