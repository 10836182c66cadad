//! The limit of open files, and the number of connections that it allows.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The maximum number of connections, whatever the limit: each may have half a head of 32 KiB in
/// memory.
const MAX_CONNECTIONS: u64 = 32_768;
/// The files reserved for logs, index, engine, imports, exports and outgoing requests: a quarter of
/// the limit, within these bounds.
const RESERVE: std::ops::RangeInclusive<u64> = 256..=1_024;
/// Limits below this are too low for both.
const LOW: u64 = 1_024;

/// Raises the soft limit to the hard limit, and returns it.
pub fn raise_limit() -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    if let Err(error) = raised {
        tracing::warn!(%error, "cannot raise the limit of open files");
    }
    let limit = if raised.is_ok() { maximum } else { current };
    // `None` means unlimited.
    let limit = limit.unwrap_or(u64::MAX);
    if limit < LOW {
        tracing::warn!(limit, "the limit of open files is low; raise it to {LOW} or more");
    }
    limit
}

/// The number of connections for a limit of open files.
pub fn connections(limit: u64) -> usize {
    let reserve = (limit / 4).clamp(*RESERVE.start(), *RESERVE.end());
    let connections = limit.saturating_sub(reserve).max(limit / 4).min(MAX_CONNECTIONS);
    usize::try_from(connections).unwrap_or(usize::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_room_for_files() {
        assert_eq!(connections(u64::MAX), 32_768);
        assert_eq!(connections(65_536), 32_768);
        assert_eq!(connections(20_000), 18_976);
        assert_eq!(connections(4_096), 3_072);
        assert_eq!(connections(1_024), 768);
        assert_eq!(connections(256), 64);
    }
}
