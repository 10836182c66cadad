//! For how long things are kept that expire.
//!
//! An event states the deadline that follows from a duration here, so that another duration holds
//! for later events only. The `UNSTATED` durations are those of records that state no deadline:
//! they are what such records meant when they were written, and must never change.

const DAY_MS: u64 = 24 * 3_600 * 1_000;

/// Idempotency key retention.
pub const IDEMPOTENCY_MS: u64 = DAY_MS;
/// The same for records without a deadline.
pub const UNSTATED_IDEMPOTENCY_MS: u64 = DAY_MS;

/// How long a deleted link can be restored.
pub const RESTORABLE_MS: u64 = 30 * DAY_MS;
/// The same for events without a deadline.
pub const UNSTATED_RESTORABLE_MS: u64 = 30 * DAY_MS;
