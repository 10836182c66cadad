//! Folds of the log, each with an offset of its own: drop one and it rebuilds.
//!
//! | projection | follows | holds | when it is away |
//! |---|---|---|---|
//! | [`index`] | mutations, in step with the writer | links, slugs, tokens, in a sorted file and sled | it is repaired from the log, at the start or while serving |
//! | [`clickhouse`] | clicks, at its own pace | clicks and user agents, in ClickHouse | analytics say so; the log is the queue |

pub mod clickhouse;
pub mod index;

/// As the engine's own.
#[cfg(target_os = "linux")]
const NICENESS: i32 = 10;

/// Lets redirects go before this thread when there is more to do than there are processors.
/// Linux counts this by thread; elsewhere it is the whole process's, and is left alone.
pub fn stand_back() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::nice(NICENESS) {
        tracing::debug!(%error, "the thread keeps its full share");
    }
}
