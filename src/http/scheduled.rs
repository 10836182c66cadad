//! The interface to periodic tasks that a request can start at once.

use std::future::Future;
use std::pin::Pin;

use crate::domain::error::Result;

/// Starts periodic tasks.
pub trait ScheduledTasks: Send + Sync {
    /// Ends subscriptions and removes credits whose time is over. Returns how many there were.
    fn renew(&self) -> Pin<Box<dyn Future<Output = Result<u64>> + Send + '_>>;
}
