//! Queries over the projections. Nothing here changes state.

pub mod analytics;
pub mod domains;
pub mod history;
pub mod links;
pub mod operations;
mod plan;
pub mod plans;
pub mod qr_codes;
mod sql;
mod workspace_limiter;

pub use workspace_limiter::WorkspaceLimiter;
