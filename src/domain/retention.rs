//! Retention periods.
//!
//! Events store the deadline computed from a duration here, so a changed duration applies only to
//! later events. The `UNSTATED` durations apply to records without a deadline: they are the
//! durations at the time of writing and must never change.

const DAY_MS: u64 = 24 * 3_600 * 1_000;

/// Idempotency key retention.
pub const IDEMPOTENCY_MS: u64 = DAY_MS;
/// The same for records without a deadline.
pub const UNSTATED_IDEMPOTENCY_MS: u64 = DAY_MS;

/// How long a deleted link can be restored.
pub const RESTORABLE_MS: u64 = 30 * DAY_MS;
/// The same for events without a deadline.
pub const UNSTATED_RESTORABLE_MS: u64 = 30 * DAY_MS;

/// How long a deleted workspace can be restored before its data is purged.
pub const WORKSPACE_RESTORABLE_MS: u64 = 30 * DAY_MS;
/// How long an invitation can be accepted.
pub const INVITATION_MS: u64 = 14 * DAY_MS;
/// How long an expired invitation is remembered, so that its link says that it has expired.
pub const EXPIRED_INVITATION_MS: u64 = 30 * DAY_MS;
/// How long an offered ownership can be accepted.
pub const OWNERSHIP_OFFER_MS: u64 = 14 * DAY_MS;
/// How long a browser's session lasts without a request.
pub const SESSION_IDLE_MS: u64 = 7 * DAY_MS;
/// How long a session lasts at most.
pub const SESSION_MS: u64 = 30 * DAY_MS;
/// How long the previous secret of a rotated token can stay valid.
pub const MAX_ROTATION_OVERLAP_MS: u64 = 30 * DAY_MS;
