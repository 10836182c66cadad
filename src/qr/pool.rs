//! The threads that render.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::{io, thread};

use tokio::sync::oneshot;

use crate::domain::error::{ErrorCode, Result, ServiceError};
use crate::limits::{RENDER_QUEUE_LEN, RENDER_THREADS, RENDER_TIMEOUT};
use crate::log::lowest_priority;

type Job = Box<dyn FnOnce() + Send>;

/// Runs renderings on threads of the lowest priority, so that redirects come first, behind a queue
/// of bounded length. Cheap to clone; the first use starts the threads, and they end when the last
/// clone is dropped.
#[derive(Clone, Default)]
pub struct RenderPool {
    queue: Arc<Mutex<Option<SyncSender<Job>>>>,
}

impl RenderPool {
    /// Runs `work`. It is skipped if the caller has given up by then.
    ///
    /// # Errors
    /// `Overloaded` if too much is waiting, `Internal` if `work` panicked.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T> {
        let (reply, replied) = oneshot::channel();
        let job = Box::new(move || {
            if !reply.is_closed() {
                // The caller may give up meanwhile.
                let _ = reply.send(work());
            }
        });
        self.queue()?.try_send(job).map_err(|_full| overloaded())?;
        match tokio::time::timeout(RENDER_TIMEOUT, replied).await {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(_)) => Err(ServiceError::internal("rendering panicked")),
            Err(_) => Err(overloaded()),
        }
    }

    fn queue(&self) -> io::Result<SyncSender<Job>> {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(queue) = &*queue {
            return Ok(queue.clone());
        }
        let (jobs, waiting) = sync_channel(RENDER_QUEUE_LEN);
        let waiting = Arc::new(Mutex::new(waiting));
        for _ in 0..RENDER_THREADS {
            let waiting = Arc::clone(&waiting);
            thread::Builder::new()
                .name("rendering".to_owned())
                .spawn(move || work_off(&waiting))?;
        }
        Ok(queue.insert(jobs).clone())
    }
}

/// Runs jobs until the last [`RenderPool`] is dropped.
fn work_off(waiting: &Mutex<Receiver<Job>>) {
    lowest_priority();
    loop {
        let job = waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = job else { return };
        // The panic's message and location are on standard error.
        let _panicked = catch_unwind(AssertUnwindSafe(job));
    }
}

fn overloaded() -> ServiceError {
    let message = "Too many images are waiting to be drawn; please try again.";
    ServiceError::unavailable(ErrorCode::Overloaded, message)
}
