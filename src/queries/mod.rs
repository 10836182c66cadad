//! Questions and their answers, read from the projections. Nothing here changes anything.

pub mod analytics;
pub mod domains;
pub mod exports;
pub mod history;
pub mod links;
pub mod operations;
mod plan;
mod sql;
mod workspace_limiter;
