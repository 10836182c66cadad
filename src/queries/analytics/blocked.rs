//! Visits that a link's gate blocked. They are counted apart from clicks.

use serde_json::Value as Json;

use super::query::AnalyticsQuery;
use super::{Analytics, AsOf, acquire};
use crate::domain::error::{Result, ServiceError};
use crate::limits::QUERY_QUEUE_TIMEOUT;
use crate::queries::sql;

/// The visits that one kind of gate blocked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blocked {
    /// The gate: the wire name of a [`Block`](crate::domain::link::Block).
    pub reason: String,
    /// Visits by humans.
    pub visits: u64,
    /// Visits by bots.
    pub bots: u64,
}

impl Analytics {
    /// The blocked visits that match a query, up to the offset of `as_of`, the most frequent reason
    /// first. Ignores the query's metrics and dimensions.
    ///
    /// # Errors
    /// If ClickHouse is unavailable or rejects the query.
    pub async fn blocked(&self, query: &AnalyticsQuery, as_of: AsOf) -> Result<Vec<Blocked>> {
        let _permit = acquire(QUERY_QUEUE_TIMEOUT, self.limiter.acquire(query.workspace)).await?;
        let (snapshot, _) = self.snapshot(query, as_of, 0);
        let rows = self.execute(sql::blocked(&*self.visible(query)?, snapshot)).await?.into_rows();
        let read = |row: Vec<Json>| match row.as_slice() {
            [Json::String(reason), visits, bots] => Some(Blocked {
                reason: reason.clone(),
                visits: visits.as_u64()?,
                bots: bots.as_u64()?,
            }),
            _ => None,
        };
        let odd = || ServiceError::internal("unexpected row of blocked visits");
        rows.into_iter().map(|row| read(row).ok_or_else(odd)).collect()
    }
}
