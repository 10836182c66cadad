//! Threads for long computations that users cause, such as hashing passwords and drawing images.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;

use super::worker::lowest_priority;

/// How long a thread without work keeps its state.
const KEEP_STATE: Duration = Duration::from_secs(10);

pub(crate) type Work<S> = Box<dyn FnOnce(&mut S) + Send>;

/// Why work was not done.
#[derive(Debug)]
pub enum PoolError {
    /// Too much is waiting, or the work took too long.
    Busy,
    /// The work panicked.
    Panicked,
    /// The threads cannot be started.
    Io(io::Error),
}

/// Runs work on threads of the lowest priority, so that redirects come first, behind a queue of
/// bounded length. Each thread has a state, such as memory that is used again. Cheap to clone; the
/// first use starts the threads, and they end when the last clone is dropped.
pub struct ThreadPool<S> {
    name: &'static str,
    threads: usize,
    queue_len: usize,
    queue: Arc<Mutex<Option<SyncSender<Work<S>>>>>,
}

impl<S> Clone for ThreadPool<S> {
    fn clone(&self) -> Self {
        Self { queue: Arc::clone(&self.queue), ..*self }
    }
}

impl<S: Default + 'static> ThreadPool<S> {
    /// A pool of so many threads, with a queue of so many places.
    pub fn new(name: &'static str, threads: usize, queue_len: usize) -> Self {
        Self { name, threads, queue_len, queue: Arc::default() }
    }

    /// Runs `work`. It is skipped if the caller has given up by then.
    ///
    /// # Errors
    /// [`PoolError`], `Busy` after the timeout.
    pub async fn run<T: Send + 'static>(
        &self,
        timeout: Duration,
        work: impl FnOnce(&mut S) -> T + Send + 'static,
    ) -> Result<T, PoolError> {
        let (reply, replied) = oneshot::channel();
        let work = Box::new(move |state: &mut S| {
            if !reply.is_closed() {
                // The caller may give up meanwhile.
                let _ = reply.send(work(state));
            }
        });
        let queue = self.queue().map_err(PoolError::Io)?;
        queue.try_send(work).map_err(|_full| PoolError::Busy)?;
        // Only the threads hold the queue while the work is waited for.
        drop(queue);
        match tokio::time::timeout(timeout, replied).await {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(_)) => Err(PoolError::Panicked),
            Err(_) => Err(PoolError::Busy),
        }
    }

    pub(crate) fn queue(&self) -> io::Result<SyncSender<Work<S>>> {
        let mut queue = lock(&self.queue);
        if let Some(queue) = &*queue {
            return Ok(queue.clone());
        }
        let (work, waiting) = sync_channel(self.queue_len);
        let waiting = Arc::new(Mutex::new(waiting));
        for _ in 0..self.threads {
            let waiting = Arc::clone(&waiting);
            thread::Builder::new().name(self.name.to_owned()).spawn(move || work_off(&waiting))?;
        }
        Ok(queue.insert(work).clone())
    }
}

/// Does work until the last [`ThreadPool`] is dropped.
fn work_off<S: Default>(waiting: &Mutex<Receiver<Work<S>>>) {
    lowest_priority();
    let mut state = S::default();
    loop {
        let work = lock(waiting).recv_timeout(KEEP_STATE);
        match work {
            Ok(work) => {
                // The panic's message and location are on standard error.
                let _panicked = catch_unwind(AssertUnwindSafe(|| work(&mut state)));
            }
            Err(RecvTimeoutError::Timeout) => state = S::default(),
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
