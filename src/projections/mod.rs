//! Folds of the log, each with an offset of its own: drop one and it rebuilds.
//!
//! | projection | follows | holds | when it is away |
//! |---|---|---|---|
//! | [`index`] | mutations, in step with the writer | links, slugs, tokens, in sled | nothing works: it is rebuilt at the start |
//! | [`clickhouse`] | clicks, at its own pace | clicks and user agents, in ClickHouse | analytics say so; the log is the queue |

pub mod clickhouse;
pub mod index;
