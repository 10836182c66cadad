//! Keeps the engine running, and tells where it is.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::backoff::Backoff;
use super::child::EngineChild;
use super::config::EngineConfig;
use super::endpoint::Endpoint;
use super::error::EngineError;

/// How long a child may take until it answers.
const START_LIMIT: Duration = Duration::from_secs(60);
/// How often a starting child is asked.
const START_POLL: Duration = Duration::from_millis(25);
/// How often a running child is looked at, should the word of its death get lost.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long a dropped engine may take to end by itself.
const DROP_GRACE: Duration = Duration::from_millis(500);

/// What an engine is started with.
#[derive(Debug, Clone)]
pub struct EngineOptions {
    /// The program to run as `EXE engine …`: slugline's own.
    pub exe: PathBuf,
    /// The engine's library, libchdb.
    pub lib: PathBuf,
    /// The folder of the engine's data; made if missing. One engine at a time can use it.
    pub data_dir: PathBuf,
    /// The folder of the engine's configuration, written anew at each start; made if missing.
    pub run_dir: PathBuf,
    /// The engine's settings.
    pub config: EngineConfig,
}

/// A supervised engine: a thread that starts the child process, and starts it again.
///
/// Dropping it stops the engine, by force after half a second.
#[derive(Debug)]
pub struct Engine {
    endpoint: watch::Receiver<Option<Endpoint>>,
    pid: Arc<AtomicU32>,
    events: Sender<Event>,
    thread: Option<JoinHandle<()>>,
}

/// What the supervisor's thread is woken by.
#[derive(Debug)]
enum Event {
    /// A child has closed its standard error, and so is dead or about to be.
    Gone,
    /// The engine is to stop, by force after this time.
    Stop(Duration),
    /// Nothing, in the time waited for.
    Quiet,
}

impl Engine {
    /// Starts to supervise an engine. Returns before the engine is up: see [`Engine::endpoint`].
    ///
    /// # Errors
    ///
    /// [`EngineError::Prepare`] when a folder cannot be made, [`EngineError::Spawn`] when the
    /// thread cannot be started. A child that does not start is logged, and started again.
    pub fn start(options: EngineOptions) -> Result<Self, EngineError> {
        let options = EngineOptions {
            lib: absolute(&options.lib)?,
            data_dir: private_folder(&options.data_dir)?,
            run_dir: private_folder(&options.run_dir)?,
            ..options
        };
        let (publish, endpoint) = watch::channel(None);
        let (events, inbox) = channel();
        let pid = Arc::new(AtomicU32::new(0));
        let supervisor =
            Supervisor { options, publish, pid: Arc::clone(&pid), events: events.clone(), inbox };
        // A thread of its own that lives as long as the engine: the kernel's death signal is
        // sent when the very thread that started the child ends.
        let thread = std::thread::Builder::new()
            .name("engine-supervisor".to_owned())
            .spawn(move || supervisor.supervise())
            .map_err(EngineError::Spawn)?;
        Ok(Self { endpoint, pid, events, thread: Some(thread) })
    }

    /// Where the engine is; `None` while it is down or not up yet.
    pub fn endpoint(&self) -> watch::Receiver<Option<Endpoint>> {
        self.endpoint.clone()
    }

    /// The child's process id; `None` while there is none.
    pub fn pid(&self) -> Option<u32> {
        Some(self.pid.load(Ordering::Relaxed)).filter(|pid| *pid != 0)
    }

    /// Stops the engine: lets it finish what it writes, kills it after `timeout`. Blocks until
    /// it is gone; from async code, call it on a blocking thread.
    pub fn shutdown(mut self, timeout: Duration) {
        self.stop(timeout);
    }

    fn stop(&mut self, grace: Duration) {
        let Some(thread) = self.thread.take() else {
            return;
        };
        // A send or a join that fails finds the thread ended, which is what is wanted.
        let _ = self.events.send(Event::Stop(grace));
        let _ = thread.join();
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.stop(DROP_GRACE);
    }
}

/// The state of the supervisor's thread.
struct Supervisor {
    options: EngineOptions,
    publish: watch::Sender<Option<Endpoint>>,
    pid: Arc<AtomicU32>,
    events: Sender<Event>,
    inbox: Receiver<Event>,
}

/// How a child's life ended.
enum End {
    /// The engine was told to stop.
    Stopped,
    /// The child died or could not be started; how long it lived.
    Died(Duration),
}

impl Supervisor {
    /// Starts one child after the other, until told to stop.
    fn supervise(self) {
        let mut backoff = Backoff::default();
        loop {
            let end = self.live();
            self.pid.store(0, Ordering::Relaxed);
            self.publish.send_replace(None);
            let End::Died(age) = end else { return };
            let wait = backoff.after(age);
            tracing::info!(wait_ms = wait.as_millis(), "the engine is started again");
            if self.stopped_within(wait) {
                return;
            }
        }
    }

    /// One child's life, from its start to its end.
    fn live(&self) -> End {
        let events = self.events.clone();
        let gone = move || {
            // Nobody listens any more once the engine is stopped.
            let _ = events.send(Event::Gone);
        };
        let child = match EngineChild::spawn(&self.options, gone) {
            Ok(child) => child,
            Err(error) => {
                tracing::error!(%error, "the engine could not be started");
                return End::Died(Duration::ZERO);
            }
        };
        self.pid.store(child.id(), Ordering::Relaxed);
        self.accompany(child)
    }

    /// Waits until the child is up, publishes where it is, and waits for its end.
    fn accompany(&self, mut child: EngineChild) -> End {
        let (mut up, mut gone) = (false, false);
        loop {
            match self.next_event(if up && !gone { LOOK_EVERY } else { START_POLL }) {
                Event::Stop(grace) => {
                    self.publish.send_replace(None);
                    stop(child, grace);
                    return End::Stopped;
                }
                // The word may be that of the child before; if not, this one is reaped soon.
                Event::Gone => gone = true,
                Event::Quiet => gone = false,
            }
            if let Some(status) = child.ended() {
                let (pid, last_lines) = (child.id(), child.last_lines());
                tracing::error!(pid, %status, "the engine ended; its last lines:\n{last_lines}");
                return End::Died(child.age());
            }
            if up {
                continue;
            }
            match child.ready() {
                Ok(()) => {
                    up = true;
                    let (pid, endpoint) = (child.id(), child.endpoint());
                    let ms = child.age().as_millis();
                    tracing::info!(pid, url = endpoint.url, ms, "the engine is up");
                    self.publish.send_replace(Some(endpoint));
                }
                Err(error) if child.age() > START_LIMIT => {
                    let (pid, last_lines) = (child.id(), child.last_lines());
                    tracing::error!(pid, %error, "the engine does not answer and is stopped; its last lines:\n{last_lines}");
                    return End::Died(child.age());
                }
                Err(_) => {}
            }
        }
    }

    /// The next event, waited for no longer than this.
    fn next_event(&self, time: Duration) -> Event {
        match self.inbox.recv_timeout(time) {
            Ok(event) => event,
            Err(RecvTimeoutError::Timeout) => Event::Quiet,
            // Cannot be, since `self` holds a sender; to stop is the safe answer.
            Err(RecvTimeoutError::Disconnected) => Event::Stop(Duration::ZERO),
        }
    }

    /// Waits for this time; whether the engine was told to stop in it.
    fn stopped_within(&self, time: Duration) -> bool {
        let until = Instant::now() + time;
        loop {
            match self.next_event(until.saturating_duration_since(Instant::now())) {
                Event::Stop(_) => return true,
                Event::Quiet => return false,
                Event::Gone => {}
            }
        }
    }
}

/// Stops a child and logs how that went.
fn stop(child: EngineChild, grace: Duration) {
    let pid = child.id();
    match child.stop(grace) {
        Ok(status) if status.success() => tracing::info!(pid, "the engine has stopped"),
        Ok(status) => tracing::warn!(pid, %status, "the engine was stopped by force"),
        Err(error) => tracing::error!(pid, %error, "the engine could not be stopped"),
    }
}

/// A path as it is from any folder: the child runs in another.
fn absolute(path: &Path) -> Result<PathBuf, EngineError> {
    std::path::absolute(path).map_err(EngineError::prepare(path))
}

/// Makes a folder that only this user can look into, if it is missing; its absolute path.
fn private_folder(path: &Path) -> Result<PathBuf, EngineError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(EngineError::prepare(path))?;
    absolute(path)
}
