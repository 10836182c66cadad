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
mod dispatcher;
#[cfg(test)]
mod domain_tests;
mod domains;
mod import;
mod labels;
mod passwords;
mod restore;
pub mod secret;
#[cfg(test)]
mod tests;
mod tokens;

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

/// For how long a wish's key is known, in milliseconds.
pub use crate::domain::retention::IDEMPOTENCY_MS;
pub use bootstrap::{Bootstrap, BootstrapError, bootstrap};
pub use passwords::Passwords;

use crate::domain::command::{Command, Outcome};
use crate::domain::error::DomainError;
use crate::domain::event::Idempotency;
use crate::domain::link::LinkPolicy;
use crate::domain::token::Actor;
use crate::log::Log;
use crate::projections::index::{Index, IndexError};
use dispatcher::Dispatcher;

/// How many commands [`Commands::run_all`] takes at once.
pub const MAX_BULK: usize = 1_000;
/// How many requests for many things are read and decided at once: they hold memory.
const BULK_AT_ONCE: usize = 4;
/// How many commands may wait in the queue.
const QUEUE_LEN: usize = 4_096;
/// How long a command waits for a place in it: some thousand clients at once are normal.
const PLACE_WAIT: Duration = Duration::from_secs(5);

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

/// A command, and the key under which a repetition of it is known.
#[derive(Debug)]
pub struct Wish {
    /// What is asked for.
    pub command: Command,
    /// `None`: a repetition is a wish of its own.
    pub idempotency: Option<Idempotency>,
}

/// What becomes of the decisions over wishes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// They are logged, and stand.
    Commit,
    /// They are forgotten: the answers say what would become of the wishes.
    Rehearse,
}

/// One result for each wish, in their order.
type Results = Vec<Result<Done, CommandError>>;

struct Submission {
    actor: Actor,
    mode: Mode,
    wishes: Vec<Wish>,
    answer: oneshot::Sender<Results>,
}

/// The way to the writer. Cheap to clone; the writer ends when the last one is gone.
#[derive(Clone)]
pub struct Commands {
    queue: mpsc::Sender<Submission>,
    passwords: Passwords,
    bulk_turns: Arc<Semaphore>,
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
        let dispatcher = Dispatcher::new(log, index, policy);
        let thread = thread::Builder::new()
            .name("commands".to_owned())
            .spawn(move || dispatcher.run(submissions))?;
        let bulk_turns = Arc::new(Semaphore::new(BULK_AT_ONCE));
        Ok((Self { queue, passwords: Passwords::default(), bulk_turns }, thread))
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
        let wishes = vec![Wish { command, idempotency }];
        let mut results = self.submit(actor, wishes, Mode::Commit).await?;
        results.pop().unwrap_or_else(|| Err(stopped()))
    }

    /// The same for up to [`MAX_BULK`] commands, decided one after the other and made durable
    /// together: each has its own result, whatever becomes of the others.
    ///
    /// # Errors
    /// [`CommandError`] where none of them was decided.
    pub async fn run_all(
        &self,
        actor: Actor,
        mut wishes: Vec<Wish>,
        mode: Mode,
    ) -> Result<Results, CommandError> {
        match mode {
            Mode::Commit => self.passwords.hash_in_all(&mut wishes).await?,
            Mode::Rehearse => passwords::pretend_in_all(&mut wishes),
        }
        self.submit(actor, wishes, mode).await
    }

    async fn submit(
        &self,
        actor: Actor,
        wishes: Vec<Wish>,
        mode: Mode,
    ) -> Result<Results, CommandError> {
        let (answer, answered) = oneshot::channel();
        let submission = Submission { actor, mode, wishes, answer };
        match tokio::time::timeout(PLACE_WAIT, self.queue.send(submission)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Err(stopped()),
            Err(_) => return Err(CommandError::Overloaded),
        }
        answered.await.map_err(|_| stopped())
    }

    /// A turn of somebody with many wishes, to be held while they are read and decided.
    ///
    /// # Errors
    /// [`CommandError::Overloaded`] when others have theirs for some seconds.
    pub async fn bulk_turn(&self) -> Result<OwnedSemaphorePermit, CommandError> {
        let turn = tokio::time::timeout(PLACE_WAIT, Arc::clone(&self.bulk_turns).acquire_owned());
        match turn.await {
            Ok(Ok(turn)) => Ok(turn),
            Ok(Err(_)) | Err(_) => Err(CommandError::Overloaded),
        }
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

/// Milliseconds since the Unix epoch.
pub fn now_ms() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0, |now| u64::try_from(now.as_millis()).unwrap_or(u64::MAX))
}
