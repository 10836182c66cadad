//! Visits that a gate of their link stopped: counted apart, and nowhere else.

use serde_json::Value as Json;

use super::query::AnalyticsQuery;
use super::{Analytics, AnalyticsError, AsOf, PLACE_WAIT, place};
use crate::queries::sql;

/// The visits that one kind of gate stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blocked {
    /// Which gate: a [`Block`](crate::domain::link::Block)'s word.
    pub reason: String,
    /// How many visits of humans.
    pub visits: u64,
    /// How many of bots.
    pub bots: u64,
}

impl Analytics {
    /// The visits that gates stopped of what a question is about, up to the offset of `as_of`; the
    /// most frequent reason first. Its metrics and dimensions are passed over.
    ///
    /// # Errors
    /// Where ClickHouse is away or refuses the question.
    pub async fn blocked(
        &self,
        query: &AnalyticsQuery,
        as_of: AsOf,
    ) -> Result<Vec<Blocked>, AnalyticsError> {
        let _turn = place(PLACE_WAIT, self.turns.take(query.workspace)).await?;
        let (cut, _) = self.cut(query, as_of, 0);
        let rows = self.ask(sql::blocked(&self.seen(query), cut)).await?.into_rows();
        let read = |row: Vec<Json>| match row.as_slice() {
            [Json::String(reason), visits, bots] => Some(Blocked {
                reason: reason.clone(),
                visits: visits.as_u64()?,
                bots: bots.as_u64()?,
            }),
            _ => None,
        };
        let odd = || AnalyticsError::Failed("a row of blocked visits is odd".to_owned());
        rows.into_iter().map(|row| read(row).ok_or_else(odd)).collect()
    }
}
