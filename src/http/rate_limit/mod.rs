//! Rate limits.
//!
//! - [`window`] – a sliding window of requests;
//! - [`table`] – a bounded table of windows;
//! - [`limiter`] – the rate limits of plans, by token, user and workspace;
//! - [`usage`] – what a request used of them: the headers of its response.
//!
//! The [attempt limiter](super::attempt_limiter), which counts by address, has such a table too.

pub mod limiter;
pub mod table;
pub mod usage;
pub mod window;

pub use limiter::{Caller, RateLimiter};
pub use table::{WhenFull, WindowTable, WindowUse};
pub use usage::Usage;
pub use window::Quota;
