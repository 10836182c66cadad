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

/// Whether somebody still waits for a rendering. By default, somebody does forever.
#[derive(Debug, Clone, Default)]
pub struct Wanted(Option<Weak<()>>);

/// What the threads do for a request.
#[derive(Debug, Clone, Copy)]
pub enum Work {
    /// Draws an image.
    Drawing,
    /// Checks whether scanners would read a code.
    Checking,
    /// Decodes a logo.
    ReadingLogo,
}

/// Why nothing was rendered.
#[derive(Debug)]
pub enum NotRendered {
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
        let caller = Arc::new(());
        let wanted = Wanted(Some(Arc::downgrade(&caller)));
        let (begin, has_begun) = oneshot::channel();
        // Timed below: the pool's own timeout would include the wait in the queue.
        let mut done = pin!(self.threads.run(Duration::MAX, move |()| {
            // The caller may give up meanwhile.
            let _ = begin.send(());
            work(&wanted)
        }));
        tokio::select! {
            biased;
            done = &mut done => return done.map_err(NotRendered::from),
            begun = time::timeout(self.timeout, has_begun) => {
                // Dropped unsent if the work never runs: then `done` says why.
                begun.map(drop).map_err(|_elapsed| NotRendered::Busy)?;
            }
        }
        let done = time::timeout(self.timeout, done).await;
        done.map_err(|_elapsed| NotRendered::TooSlow)?.map_err(NotRendered::from)
    }
}

impl From<PoolError> for NotRendered {
    fn from(error: PoolError) -> Self {
        match error {
            PoolError::Busy => Self::Busy,
            PoolError::Panicked => Self::Failed(ServiceError::internal("rendering panicked")),
            PoolError::Io(error) => Self::Failed(error.into()),
        }
    }
}

impl Wanted {
    /// Nobody waits.
    #[cfg(test)]
    pub const fn abandoned() -> Self {
        Self(Some(Weak::new()))
    }

    /// # Errors
    /// `Abandoned` if nobody waits anymore.
    pub fn check(&self) -> Result<(), RenderError> {
        match &self.0 {
            Some(waiting) if waiting.strong_count() == 0 => Err(RenderError::Abandoned),
            _ => Ok(()),
        }
    }
}

impl NotRendered {
    /// The error of a request for this work.
    pub fn into_error(self, work: Work) -> ServiceError {
        let message = match (self, work) {
            (Self::Busy, _) => "Too many images are waiting to be drawn; please try again.",
            (Self::TooSlow, Work::Drawing) => {
                "Drawing the image takes too long; ask for a smaller one, or try again."
            }
            (Self::TooSlow, Work::Checking) => {
                "Checking the QR code takes too long; please try again."
            }
            (Self::TooSlow, Work::ReadingLogo) => {
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
        let message = |reason: NotRendered| reason.into_error(Work::Drawing).message;
        assert!(message(slow.unwrap_err()).starts_with("Drawing the image takes too long"));
        assert!(message(behind.unwrap_err()).starts_with("Too many images are waiting"));
        drop(release);
        let message = NotRendered::TooSlow.into_error(Work::ReadingLogo).message;
        assert!(message.starts_with("Reading the logo takes too long"), "{message}");
    }

    #[tokio::test]
    async fn the_wait_in_the_queue_does_not_count_as_slow_work() {
        let threads = ThreadPool::new("test", 1, 2);
        let (pool, started) = (RenderPool { threads, ..pool() }, Instant::now());
        // For 70 % of the timeout in the queue, then for 60 % at work.
        let until = |percent: u32| {
            move |_: &Wanted| {
                while started.elapsed() < Duration::from_secs(2) * percent / 100 {
                    sleep(Duration::from_millis(1));
                }
            }
        };
        let (first, second) = tokio::join!(pool.run(until(70)), pool.run(until(130)));
        assert!(first.is_ok() && second.is_ok(), "{first:?} {second:?}");
    }
}
