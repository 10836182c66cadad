//! Counts responses by status, for the metrics. Counting takes no lock and allocates nothing.

use std::sync::atomic::{AtomicU64, Ordering};

use axum::http::StatusCode;

/// The statuses that are counted: 100 to 599.
const FIRST_STATUS: u16 = 100;
const STATUSES: usize = 500;

static COUNTS: [[AtomicU64; STATUSES]; Handler::ALL.len()] =
    [const { [const { AtomicU64::new(0) }; STATUSES] }; Handler::ALL.len()];

/// What answers a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handler {
    /// The [redirect path](super::redirect).
    Redirect,
    /// The API, and other products' APIs.
    Api,
    /// Pages, guides and probes.
    Other,
}

impl Handler {
    const ALL: [Self; 3] = [Self::Redirect, Self::Api, Self::Other];

    /// What answers requests of a path that are not redirected.
    pub fn of_path(path: &str) -> Self {
        let is_api = path.starts_with("/api/") || path.starts_with("/compat/");
        if is_api { Self::Api } else { Self::Other }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Redirect => "redirect",
            Self::Api => "api",
            Self::Other => "other",
        }
    }

    /// Counts a response.
    pub fn count(self, status: StatusCode) {
        let at = usize::from(status.as_u16().saturating_sub(FIRST_STATUS));
        if let Some(count) = COUNTS.get(self as usize).and_then(|counts| counts.get(at)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The number of responses by handler and status, of those that occurred.
pub fn counted() -> Vec<(&'static str, u16, u64)> {
    let mut counted = Vec::new();
    for handler in Handler::ALL {
        let counts = COUNTS.get(handler as usize).into_iter().flatten();
        for (status, count) in (FIRST_STATUS..).zip(counts) {
            let count = count.load(Ordering::Relaxed);
            if count > 0 {
                counted.push((handler.as_str(), status, count));
            }
        }
    }
    counted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn responses_are_counted_by_handler_and_status() {
        // Statuses that nothing else in this process has.
        let statuses = [100, 599].map(|status| StatusCode::from_u16(status).unwrap());
        Handler::of_path("/compat/qklnk/api/v1/link").count(statuses[0]);
        Handler::of_path("/api").count(statuses[1]);
        Handler::of_path("/apiary").count(statuses[1]);
        // Beyond what is counted.
        Handler::Redirect.count(StatusCode::from_u16(999).unwrap());
        let counted = counted();
        for expected in [("api", 100, 1), ("other", 599, 2)] {
            assert!(counted.contains(&expected), "{counted:?}");
        }
        assert!(!counted.iter().any(|(_, status, _)| *status == 999));
    }
}
