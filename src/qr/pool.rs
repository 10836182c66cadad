//! The threads that render.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;

use super::RenderError;
use crate::domain::error::{ErrorCode, ServiceError};
use crate::limits::{RENDER_QUEUE_LEN, RENDER_TIMEOUT};
use crate::log::thread_pool::{PoolError, ThreadPool};

/// Runs renderings, so that they delay no redirects. Cheap to clone.
#[derive(Clone)]
pub struct RenderPool {
    threads: ThreadPool<()>,
    timeout: Duration,
}

/// Whether somebody still waits for a rendering. By default, somebody does forever.
#[derive(Debug, Clone, Default)]
pub struct Wanted(Option<Weak<AtomicBool>>);

/// Why nothing was rendered.
#[derive(Debug)]
pub enum NotRendered {
    /// Too much is waiting.
    Busy,
    /// It had begun, but took too long.
    TooSlow,
    /// A failure of the service.
    Failed(ServiceError),
}

impl Default for RenderPool {
    fn default() -> Self {
        // Half of the processors, for redirects to find one that does not draw: even a thread of
        // the lowest priority keeps its processor for some milliseconds.
        let threads = thread::available_parallelism().map_or(1, |all| all.get().div_ceil(2));
        let threads = ThreadPool::new("rendering", threads, RENDER_QUEUE_LEN);
        Self { threads, timeout: RENDER_TIMEOUT }
    }
}

impl RenderPool {
    /// Runs `work`, which is to ask now and then whether it is still wanted. It is skipped if the
    /// caller has given up by then.
    ///
    /// # Errors
    /// [`NotRendered`]: `Failed` if `work` panicked.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Wanted) -> T + Send + 'static,
    ) -> Result<T, NotRendered> {
        // Dropped with this future.
        let has_begun = Arc::new(AtomicBool::new(false));
        let wanted = Wanted(Some(Arc::downgrade(&has_begun)));
        let done = self.threads.run(self.timeout, move |()| {
            if let Some(has_begun) = wanted.0.as_ref().and_then(Weak::upgrade) {
                has_begun.store(true, Ordering::Relaxed);
            }
            work(&wanted)
        });
        done.await.map_err(|error| match error {
            PoolError::Busy if has_begun.load(Ordering::Relaxed) => NotRendered::TooSlow,
            PoolError::Busy => NotRendered::Busy,
            PoolError::Panicked => {
                NotRendered::Failed(ServiceError::internal("rendering panicked"))
            }
            PoolError::Io(error) => NotRendered::Failed(error.into()),
        })
    }
}

impl Wanted {
    /// # Errors
    /// `Abandoned` if nobody waits anymore.
    pub fn check(&self) -> Result<(), RenderError> {
        match &self.0 {
            Some(waiting) if waiting.strong_count() == 0 => Err(RenderError::Abandoned),
            _ => Ok(()),
        }
    }
}

impl From<NotRendered> for ServiceError {
    fn from(reason: NotRendered) -> Self {
        let message = match reason {
            NotRendered::Busy => "Too many images are waiting to be drawn; please try again.",
            NotRendered::TooSlow => {
                "Drawing the image takes too long; ask for a smaller one, or try again."
            }
            NotRendered::Failed(error) => return error,
        };
        Self::unavailable(ErrorCode::Overloaded, message)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::thread::sleep;

    use tokio::sync::oneshot;

    use super::*;

    fn pool() -> RenderPool {
        RenderPool { threads: ThreadPool::new("test", 1, 1), timeout: Duration::from_secs(2) }
    }

    #[tokio::test]
    async fn work_of_one_who_left_is_abandoned() {
        let ((begin, has_begun), (end, ended)) = (oneshot::channel(), channel());
        let pool = pool();
        let run = pool.run(move |wanted: &Wanted| {
            begin.send(()).unwrap();
            while wanted.check().is_ok() {
                sleep(Duration::from_millis(1));
            }
            end.send(wanted.check()).unwrap();
        });
        tokio::select! {
            done = run => panic!("{done:?}"),
            received = has_begun => received.unwrap(),
        }
        let ended = ended.recv_timeout(Duration::from_secs(5));
        assert_eq!(ended, Ok(Err(RenderError::Abandoned)));
        assert_eq!(Wanted::default().check(), Ok(()));
    }

    #[tokio::test]
    async fn slow_work_is_told_from_a_long_queue() {
        let pool = pool();
        let (release, released) = channel::<()>();
        let slow = pool.run(move |_: &Wanted| released.recv().is_ok());
        let (slow, behind) = tokio::join!(slow, pool.run(|_: &Wanted| ()));
        let message = |reason: NotRendered| ServiceError::from(reason).message;
        assert!(message(slow.unwrap_err()).starts_with("Drawing the image takes too long"));
        assert!(message(behind.unwrap_err()).starts_with("Too many images are waiting"));
        drop(release);
    }
}
