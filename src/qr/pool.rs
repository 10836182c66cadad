//! The threads that render.

use crate::domain::error::{ErrorCode, Result, ServiceError};
use crate::limits::{RENDER_QUEUE_LEN, RENDER_THREADS, RENDER_TIMEOUT};
use crate::log::thread_pool::{PoolError, ThreadPool};

/// Runs renderings, so that they delay no redirects. Cheap to clone.
#[derive(Clone)]
pub struct RenderPool(ThreadPool<()>);

impl Default for RenderPool {
    fn default() -> Self {
        Self(ThreadPool::new("rendering", RENDER_THREADS, RENDER_QUEUE_LEN))
    }
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
        self.0.run(RENDER_TIMEOUT, |()| work()).await.map_err(|error| match error {
            PoolError::Busy => {
                let message = "Too many images are waiting to be drawn; please try again.";
                ServiceError::unavailable(ErrorCode::Overloaded, message)
            }
            PoolError::Panicked => ServiceError::internal("rendering panicked"),
            PoolError::Io(error) => error.into(),
        })
    }
}
