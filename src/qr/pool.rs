//! The threads that render.

use std::pin::pin;
use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time;

use super::RenderError;
use crate::domain::error::{ErrorCode, ServiceError};
use crate::limits::{RENDER_QUEUE_LEN, RENDER_TIMEOUT};
use crate::log::thread_pool::{PoolError, ThreadPool};

/// Runs renderings, so that they delay no redirects. Cheap to clone.
#[derive(Clone)]
pub struct RenderPool {
    threads: ThreadPool<()>,
    /// Of the wait in the queue, and again of the work.
    timeout: Duration,
}

/// Tells work whether its caller still waits. The default is never cancelled.
#[derive(Debug, Clone, Default)]
pub struct CancellationToken(Option<Weak<()>>);

/// What the threads do for a request.
#[derive(Debug, Clone, Copy)]
pub enum RenderTask {
    /// Draws an image.
    Draw,
    /// Checks whether scanners would read a code.
    Check,
    /// Decodes a logo.
    ReadLogo,
}

/// Why the pool did not finish some work.
#[derive(Debug)]
pub enum RenderPoolError {
    /// Too much is waiting.
    Busy,
    /// It took too long since it began.
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
    /// One thread and a queue of one.
    #[cfg(test)]
    pub fn small() -> Self {
        Self { threads: ThreadPool::new("test", 1, 1), timeout: RENDER_TIMEOUT }
    }

    /// Runs `work`, which should check the token now and then. It is skipped if the caller has given
    /// up by then.
    ///
    /// # Errors
    /// [`RenderPoolError`]: `Failed` if `work` panicked.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&CancellationToken) -> T + Send + 'static,
    ) -> Result<T, RenderPoolError> {
        // Dropped with this future.
        let caller = Arc::new(());
        let token = CancellationToken(Some(Arc::downgrade(&caller)));
        let (report_start, started) = oneshot::channel();
        // Timed below: the pool's own timeout would include the wait in the queue.
        let mut done = pin!(self.threads.run(Duration::MAX, move |()| {
            // The caller may give up meanwhile.
            let _ = report_start.send(());
            work(&token)
        }));
        tokio::select! {
            biased;
            done = &mut done => return done.map_err(RenderPoolError::from),
            waited = time::timeout(self.timeout, started) => {
                // Dropped unsent if the work never runs: then `done` says why.
                waited.map(drop).map_err(|_elapsed| RenderPoolError::Busy)?;
            }
        }
        let done = time::timeout(self.timeout, done).await;
        done.map_err(|_elapsed| RenderPoolError::TooSlow)?.map_err(RenderPoolError::from)
    }
}

impl From<PoolError> for RenderPoolError {
    fn from(error: PoolError) -> Self {
        match error {
            PoolError::Busy => Self::Busy,
            PoolError::Panicked => Self::Failed(ServiceError::internal("rendering panicked")),
            PoolError::Io(error) => Self::Failed(error.into()),
        }
    }
}

impl CancellationToken {
    /// The caller has given up.
    #[cfg(test)]
    pub const fn cancelled() -> Self {
        Self(Some(Weak::new()))
    }

    /// # Errors
    /// `Cancelled` if the caller has given up.
    pub fn check(&self) -> Result<(), RenderError> {
        match &self.0 {
            Some(waiting) if waiting.strong_count() == 0 => Err(RenderError::Cancelled),
            _ => Ok(()),
        }
    }
}

impl RenderPoolError {
    /// The error of a request for this task.
    pub fn into_error(self, task: RenderTask) -> ServiceError {
        let message = match (self, task) {
            (Self::Busy, _) => "Too many images are waiting to be drawn; please try again.",
            (Self::TooSlow, RenderTask::Draw) => {
                "Drawing the image takes too long; ask for a smaller one, or try again."
            }
            (Self::TooSlow, RenderTask::Check) => {
                "Checking the QR code takes too long; please try again."
            }
            (Self::TooSlow, RenderTask::ReadLogo) => {
                "Reading the logo takes too long; use a smaller picture, or try again."
            }
            (Self::Failed(error), _) => return error,
        };
        ServiceError::unavailable(ErrorCode::Overloaded, message)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::thread::sleep;
    use std::time::Instant;

    use super::*;

    fn pool() -> RenderPool {
        RenderPool { timeout: Duration::from_secs(2), ..RenderPool::small() }
    }

    #[tokio::test]
    async fn work_is_cancelled_with_its_caller() {
        let ((begin, has_begun), (end, ended)) = (oneshot::channel(), channel());
        let pool = pool();
        let run = pool.run(move |token: &CancellationToken| {
            begin.send(()).unwrap();
            while token.check().is_ok() {
                sleep(Duration::from_millis(1));
            }
            end.send(token.check()).unwrap();
        });
        tokio::select! {
            done = run => panic!("{done:?}"),
            received = has_begun => received.unwrap(),
        }
        let ended = ended.recv_timeout(Duration::from_secs(5));
        assert_eq!(ended, Ok(Err(RenderError::Cancelled)));
        assert_eq!(CancellationToken::default().check(), Ok(()));
    }

    #[tokio::test]
    async fn slow_work_is_told_from_a_long_queue() {
        let pool = pool();
        let (release, released) = channel::<()>();
        let slow = pool.run(move |_: &CancellationToken| released.recv().is_ok());
        let (slow, behind) = tokio::join!(slow, pool.run(|_: &CancellationToken| ()));
        let message = |reason: RenderPoolError| reason.into_error(RenderTask::Draw).message;
        assert!(message(slow.unwrap_err()).starts_with("Drawing the image takes too long"));
        assert!(message(behind.unwrap_err()).starts_with("Too many images are waiting"));
        drop(release);
        let message = RenderPoolError::TooSlow.into_error(RenderTask::ReadLogo).message;
        assert!(message.starts_with("Reading the logo takes too long"), "{message}");
    }

    #[tokio::test]
    async fn the_wait_in_the_queue_does_not_count_as_slow_work() {
        let threads = ThreadPool::new("test", 1, 2);
        let (pool, started) = (RenderPool { threads, ..pool() }, Instant::now());
        // For 70 % of the timeout in the queue, then for 60 % at work.
        let until = |percent: u32| {
            move |_: &CancellationToken| {
                while started.elapsed() < Duration::from_secs(2) * percent / 100 {
                    sleep(Duration::from_millis(1));
                }
            }
        };
        let (first, second) = tokio::join!(pool.run(until(70)), pool.run(until(130)));
        assert!(first.is_ok() && second.is_ok(), "{first:?} {second:?}");
    }
}
