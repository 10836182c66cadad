//! The rate limits of plans.

use std::time::Instant;

use siphasher::sip::SipHasher13;
use uuid::Uuid;

use super::table::{WhenFull, WindowTable, WindowUse};
use super::usage::Usage;
use super::window::Quota;
use crate::domain::ids::{UserId, WorkspaceId};
use crate::domain::plan::rate::{RateClass, RateLimit, RateScope};

/// The maximum number of windows: a million tokens, and as many users and workspaces.
const CAPACITY: usize = 1 << 21;

/// Who makes a request, as far as it matters for rate limits.
#[derive(Debug, Clone, Copy)]
pub struct Caller {
    /// The workspace, whose plan has the limits.
    pub workspace: WorkspaceId,
    /// The user; `None` for a machine token.
    pub user: Option<UserId>,
    /// The token, or the session of a request without one.
    pub credential: Uuid,
    /// The dialect, if its requests count separately.
    pub dialect: &'static str,
}

impl Caller {
    /// The caller of a dialect whose requests count separately.
    #[must_use]
    pub const fn in_dialect(self, dialect: &'static str) -> Self {
        Self { dialect, ..self }
    }

    /// What requests of a scope have in common.
    fn subject(&self, scope: RateScope) -> Uuid {
        match scope {
            RateScope::Token => self.credential,
            RateScope::User => self.user.map_or(self.credential, UserId::uuid),
            RateScope::Workspace => self.workspace.uuid(),
        }
    }
}

/// Counts requests in the windows of plans.
///
/// Windows belong to a workspace: what its plan limits is counted separately from the same user's
/// requests in other workspaces. They are kept in memory only. If the table is full, further
/// callers are not limited.
pub struct RateLimiter {
    key: [u8; 16],
    started: Instant,
    table: WindowTable,
}

impl Default for RateLimiter {
    fn default() -> Self {
        let table = WindowTable::new(CAPACITY, WhenFull::Allow);
        Self { key: rand::random(), started: Instant::now(), table }
    }
}

impl RateLimiter {
    /// Counts a request of a class against all limits that apply to it, or, if one is reached,
    /// against none. `None` if no limit applies. A limit keeps its count if only its number of
    /// requests changes.
    pub fn take(
        &self,
        limits: &[RateLimit],
        class: RateClass,
        caller: &Caller,
        now: Instant,
    ) -> Option<Usage> {
        let applies = |limit: &&RateLimit| limit.class.is_none_or(|only| only == class);
        let limits: Vec<_> = limits.iter().filter(applies).copied().collect();
        if limits.is_empty() {
            return None;
        }
        let group = self.hash(caller.workspace.as_bytes());
        let mut uses: Vec<_> = limits.iter().map(|limit| self.window(*limit, caller)).collect();
        let now_ms = now.saturating_duration_since(self.started).as_millis();
        let now_ms = u64::try_from(now_ms).unwrap_or(u64::MAX);
        let wait_ms = self.table.take(group, &mut uses, now_ms).err();
        Some(Usage { limits, uses, wait_ms })
    }

    /// The number of windows.
    pub fn windows(&self) -> usize {
        self.table.len()
    }

    fn window(&self, limit: RateLimit, caller: &Caller) -> WindowUse {
        let mut hashed = [0; 35];
        hashed[..3].copy_from_slice(&[
            limit.scope as u8,
            limit.class.map_or(u8::MAX, |class| class as u8),
            limit.window as u8,
        ]);
        hashed[3..19].copy_from_slice(caller.workspace.as_bytes());
        hashed[19..].copy_from_slice(caller.subject(limit.scope).as_bytes());
        let window_ms = limit.window.seconds() * 1_000;
        let mut key = self.hash(&hashed);
        if !caller.dialect.is_empty() {
            key ^= self.hash(caller.dialect.as_bytes());
        }
        WindowUse::of(key, Quota { requests: limit.requests, window_ms })
    }

    fn hash(&self, bytes: &[u8]) -> u64 {
        SipHasher13::new_with_key(&self.key).hash(bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::domain::plan::rate::RateWindow;

    fn limit(scope: RateScope, class: Option<RateClass>, requests: u32) -> RateLimit {
        RateLimit { scope, class, requests, window: RateWindow::Minute }
    }

    fn caller(workspace: u128, user: Option<u128>, credential: u128) -> Caller {
        Caller {
            workspace: WorkspaceId::new(Uuid::from_u128(workspace)),
            user: user.map(|user| UserId::new(Uuid::from_u128(user))),
            credential: Uuid::from_u128(credential),
            dialect: "",
        }
    }

    /// How many requests pass at a time, at most 100.
    fn passing(
        limiter: &RateLimiter,
        limits: &[RateLimit],
        class: RateClass,
        caller: &Caller,
        after: Duration,
    ) -> usize {
        let now = limiter.started + after;
        let pass = |_: &usize| {
            let used = limiter.take(limits, class, caller, now);
            used.is_none_or(|used| used.wait_ms.is_none())
        };
        (0..100).take_while(pass).count()
    }

    #[test]
    fn requests_count_by_scope() {
        let limits = |scope| [limit(scope, None, 3)];
        let standard = RateClass::Standard;
        for (scope, also_counted) in [
            (RateScope::Token, [false, false, false]),
            (RateScope::User, [true, false, false]),
            (RateScope::Workspace, [true, true, false]),
        ] {
            let limiter = RateLimiter::default();
            let count =
                |caller| passing(&limiter, &limits(scope), standard, &caller, Duration::ZERO);
            assert_eq!(count(caller(1, Some(2), 3)), 3, "{scope:?}");
            let others = [caller(1, Some(2), 4), caller(1, None, 5), caller(6, Some(2), 3)];
            let passed = others.map(count);
            assert_eq!(passed, also_counted.map(|is| if is { 0 } else { 3 }), "{scope:?}");
        }
    }

    #[test]
    fn a_class_has_a_limit_of_its_own_within_that_of_all() {
        let limiter = RateLimiter::default();
        let heavy = Some(RateClass::Heavy);
        let limits = [limit(RateScope::Token, None, 5), limit(RateScope::Token, heavy, 2)];
        let who = caller(1, Some(2), 3);
        let count = |class, after| passing(&limiter, &limits, class, &who, after);
        assert_eq!(count(RateClass::Heavy, Duration::ZERO), 2);
        // The refused one counts for neither.
        assert_eq!(count(RateClass::Standard, Duration::ZERO), 3);
        assert_eq!(count(RateClass::Standard, Duration::from_millis(59_999)), 0);
        assert_eq!(count(RateClass::Standard, Duration::from_secs(60)), 5);
        assert_eq!(count(RateClass::Heavy, Duration::from_secs(60)), 0);
        assert!(limiter.take(&limits[1..], RateClass::Standard, &who, limiter.started).is_none());
    }

    #[test]
    fn a_changed_number_of_requests_keeps_the_count() {
        let limiter = RateLimiter::default();
        let who = caller(1, None, 3);
        let count = |requests| {
            let limits = [limit(RateScope::Token, None, requests)];
            passing(&limiter, &limits, RateClass::Standard, &who, Duration::ZERO)
        };
        assert_eq!([count(5), count(8), count(2), count(9)], [5, 3, 0, 1]);
    }
}
