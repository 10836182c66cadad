//! Supervises the engine's child process and publishes its endpoint.

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
use super::config::EngineOptions;
use super::endpoint::Endpoint;
use super::error::EngineError;

/// How long a child may take to accept queries.
const START_LIMIT: Duration = Duration::from_secs(60);
/// How often to probe a starting child.
const START_POLL: Duration = Duration::from_millis(25);
/// How often to check a running child, in case the event of its death is lost.
const CHECK_EVERY: Duration = Duration::from_secs(1);
/// How long a dropped engine may take to stop.
const DROP_GRACE: Duration = Duration::from_millis(500);

/// A supervised engine: a thread starts the child process and restarts it.
///
/// Dropping it stops the engine, by force after half a second.
#[derive(Debug)]
pub struct Engine {
    endpoint: watch::Receiver<Option<Endpoint>>,
    pid: Arc<AtomicU32>,
    events: Sender<Event>,
    thread: Option<JoinHandle<()>>,
}

/// Events for the supervisor's thread.
#[derive(Debug)]
enum Event {
    /// A child has closed its standard error, and is dead or about to be.
    ChildExited,
    /// Stop the engine, by force after this time.
    Stop(Duration),
    /// No event within the time.
    Timeout,
}

impl Engine {
    /// Starts supervising an engine. Returns before the engine is up: see [`Engine::endpoint`].
    ///
    /// # Errors
    ///
    /// [`EngineError::Prepare`] if a folder cannot be created, [`EngineError::Spawn`] if the thread
    /// cannot be started. A child that fails to start is logged and restarted.
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
        // A thread that lives as long as the engine: the kernel sends the death signal when the
        // thread that started the child ends.
        let thread = std::thread::Builder::new()
            .name("engine-supervisor".to_owned())
            .spawn(move || supervisor.supervise())
            .map_err(EngineError::Spawn)?;
        Ok(Self { endpoint, pid, events, thread: Some(thread) })
    }

    /// The engine's endpoint; `None` while it is down or starting.
    pub fn endpoint(&self) -> watch::Receiver<Option<Endpoint>> {
        self.endpoint.clone()
    }

    /// The child's process ID; `None` while there is no child.
    pub fn pid(&self) -> Option<u32> {
        Some(self.pid.load(Ordering::Relaxed)).filter(|pid| *pid != 0)
    }

    /// Stops the engine: lets it finish its writes, kills it after `timeout`. Blocks until it has
    /// exited; from async code, call it on a blocking thread.
    pub fn shutdown(mut self, timeout: Duration) {
        self.stop(timeout);
    }

    fn stop(&mut self, grace: Duration) {
        let Some(thread) = self.thread.take() else {
            return;
        };
        // If the send or the join fails, the thread has already ended.
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

/// How a child ended.
enum Exit {
    /// The engine was stopped.
    Stopped,
    /// The child died or could not be started; how long it lived.
    Died(Duration),
}

impl Supervisor {
    /// Runs one child after another, until stopped.
    fn supervise(self) {
        let mut backoff = Backoff::default();
        loop {
            let end = self.run_child();
            self.pid.store(0, Ordering::Relaxed);
            self.publish.send_replace(None);
            let Exit::Died(age) = end else { return };
            let wait = backoff.after(age);
            tracing::info!(wait_seconds = wait.as_secs_f64(), "restarting the engine");
            if self.stopped_within(wait) {
                return;
            }
        }
    }

    /// Runs one child from start to exit.
    fn run_child(&self) -> Exit {
        let events = self.events.clone();
        let gone = move || {
            // The receiver is gone once the engine is stopped.
            let _ = events.send(Event::ChildExited);
        };
        let child = match EngineChild::spawn(&self.options, gone) {
            Ok(child) => child,
            Err(error) => {
                tracing::error!(%error, "cannot start the engine");
                return Exit::Died(Duration::ZERO);
            }
        };
        self.pid.store(child.id(), Ordering::Relaxed);
        self.supervise_child(child)
    }

    /// Waits until the child is up, publishes its endpoint, and waits for its exit.
    fn supervise_child(&self, mut child: EngineChild) -> Exit {
        let (mut up, mut gone) = (false, false);
        loop {
            match self.next_event(if up && !gone { CHECK_EVERY } else { START_POLL }) {
                Event::Stop(grace) => {
                    self.publish.send_replace(None);
                    stop(child, grace);
                    return Exit::Stopped;
                }
                // The event may be that of the previous child; if not, this one is reaped soon.
                Event::ChildExited => gone = true,
                Event::Timeout => gone = false,
            }
            if let Some(status) = child.ended() {
                let (pid, last_lines) = (child.id(), child.last_lines());
                tracing::error!(pid, %status, "the engine exited; its last lines:\n{last_lines}");
                return Exit::Died(child.age());
            }
            if up {
                continue;
            }
            match child.ready() {
                Ok(()) => {
                    up = true;
                    let (pid, endpoint) = (child.id(), child.endpoint());
                    let took_seconds = child.age().as_secs_f64();
                    tracing::info!(pid, url = endpoint.url, took_seconds, "the engine is up");
                    self.publish.send_replace(Some(endpoint));
                }
                Err(error) if child.age() > START_LIMIT => {
                    let (pid, last_lines) = (child.id(), child.last_lines());
                    tracing::error!(pid, %error, "the engine does not respond; stopping it; its last lines:\n{last_lines}");
                    return Exit::Died(child.age());
                }
                Err(_) => {}
            }
        }
    }

    /// The next event, or [`Event::Timeout`] after this time.
    fn next_event(&self, time: Duration) -> Event {
        match self.inbox.recv_timeout(time) {
            Ok(event) => event,
            Err(RecvTimeoutError::Timeout) => Event::Timeout,
            // Impossible, since `self` holds a sender; stopping is the safe choice.
            Err(RecvTimeoutError::Disconnected) => Event::Stop(Duration::ZERO),
        }
    }

    /// Waits for this time; whether the engine was stopped meanwhile.
    fn stopped_within(&self, time: Duration) -> bool {
        let until = Instant::now() + time;
        loop {
            match self.next_event(until.saturating_duration_since(Instant::now())) {
                Event::Stop(_) => return true,
                Event::Timeout => return false,
                Event::ChildExited => {}
            }
        }
    }
}

/// Stops a child and logs the result.
fn stop(child: EngineChild, grace: Duration) {
    let pid = child.id();
    match child.stop(grace) {
        Ok(status) if status.success() => tracing::info!(pid, "the engine has stopped"),
        Ok(status) => tracing::warn!(pid, %status, "the engine was killed"),
        Err(error) => tracing::error!(pid, %error, "cannot stop the engine"),
    }
}

/// An absolute path: the child runs in another folder.
fn absolute(path: &Path) -> Result<PathBuf, EngineError> {
    std::path::absolute(path).map_err(EngineError::prepare(path))
}

/// Creates a folder that only this user can access, if missing. Returns its absolute path.
fn private_folder(path: &Path) -> Result<PathBuf, EngineError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(EngineError::prepare(path))?;
    absolute(path)
}
