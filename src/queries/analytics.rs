//! Clicks, counted: over time, by what they have in common, by link.
//!
//! Bots are kept in the data and left out of the counts unless asked for. Unique visitors are
//! exact; a visitor is the same one for as long as the key of the hash lives (a day, by
//! default), so over several days somebody who comes daily counts once a day.

use std::collections::HashMap;
use std::time::Duration;

use clickhouse::Row;
use jiff::Timestamp;
use serde::Deserialize;
use uuid::Uuid;

use super::sql;
use super::window::Window;
use crate::domain::ids::{LinkId, WorkspaceId};
pub use crate::projections::clickhouse::AsOf;
use crate::projections::clickhouse::{ClickHouse, Reading};

/// How long an answer may take, ClickHouse's own limit included.
const TIMEOUT: Duration = Duration::from_secs(25);
/// How long a link's own counts may keep an answer waiting that is not about analytics.
const COUNTS_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a question waits for what it wants to be counted.
const FRESHNESS_TIMEOUT: Duration = Duration::from_secs(10);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AnalyticsError {
    /// ClickHouse is away; the clicks wait in the log.
    #[error("analytics are not available at the moment")]
    Away,
    /// What was to be counted was not in time.
    #[error("the analytics did not reach offset {wanted} in time; they are at {reached}")]
    Behind {
        /// The offset that was asked for.
        wanted: u64,
        /// The offset that is counted.
        reached: u64,
    },
    /// ClickHouse refused the question; the text is for the operator.
    #[error("analytics failed: {0}")]
    Failed(String),
}

/// Which visitors count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Bots {
    /// Humans.
    #[default]
    Exclude,
    /// All.
    Include,
    /// Bots.
    Only,
}

impl Bots {
    /// Each choice there is.
    pub const EVERY: &'static [Self] = &[Self::Exclude, Self::Include, Self::Only];

    /// The choice's name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Exclude => "exclude",
            Self::Include => "include",
            Self::Only => "only",
        }
    }
}

/// What clicks can have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "they say it themselves")]
pub enum Dimension {
    Country,
    City,
    Device,
    Browser,
    OperatingSystem,
    Referrer,
}

/// Which clicks are counted.
#[derive(Debug, Clone, Copy)]
pub struct Scope {
    /// Whose.
    pub workspace: WorkspaceId,
    /// Of one link, or of all.
    pub link: Option<LinkId>,
    /// Since when; `None`: ever.
    pub from: Option<Timestamp>,
    /// Of whom.
    pub bots: Bots,
    /// Up to and with this offset of the click log: an answer is of one moment, and the same
    /// whenever it is asked for again.
    pub through: u64,
}

/// Clicks and who made them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Row, Deserialize)]
pub struct Counts {
    /// How many clicks.
    pub clicks: u64,
    /// How many visitors, each counted once.
    pub visitors: u64,
}

#[derive(Row, Deserialize)]
struct Bucket {
    bucket: i64,
    clicks: u64,
}

#[derive(Row, Deserialize)]
struct Share {
    value: String,
    clicks: u64,
}

#[derive(Row, Deserialize)]
struct LinkClicks {
    #[serde(with = "clickhouse::serde::uuid")]
    link_id: Uuid,
    clicks: u64,
}

#[derive(Row, Deserialize)]
struct LinkCounts {
    #[serde(with = "clickhouse::serde::uuid")]
    link_id: Uuid,
    clicks: u64,
    visitors: u64,
}

/// Reads of clicks.
#[derive(Clone)]
pub struct Analytics {
    clickhouse: ClickHouse,
}

impl Analytics {
    /// Over this ClickHouse.
    pub const fn new(clickhouse: ClickHouse) -> Self {
        Self { clickhouse }
    }

    /// What an answer reflects that is asked for now, after a wait for `min_offset`.
    ///
    /// An offset that one of the logs has stands for all that both logs had up to it: one that
    /// came with a change (`changes` is how far these are) needs no more clicks than there are.
    /// An offset that neither log has yet is waited for.
    ///
    /// # Errors
    /// [`AnalyticsError::Behind`] after ten seconds.
    pub async fn as_of(
        &self,
        min_offset: Option<u64>,
        changes: u64,
    ) -> Result<AsOf, AnalyticsError> {
        if let Some(wanted) = min_offset {
            let clicks = self.clickhouse.log_end();
            let wanted_clicks = if wanted <= changes { wanted.min(clicks) } else { wanted };
            if self.clickhouse.reading().is_none() {
                return Err(AnalyticsError::Away);
            }
            if !self.clickhouse.reached(wanted_clicks, FRESHNESS_TIMEOUT).await {
                let reached = self.clickhouse.as_of().offset;
                return Err(AnalyticsError::Behind { wanted, reached });
            }
        }
        Ok(self.clickhouse.as_of())
    }

    /// Clicks by bucket of the window, newest first; empty buckets have 0.
    pub async fn clicks(
        &self,
        scope: &Scope,
        window: Window,
        now: Timestamp,
    ) -> Result<Vec<(String, u64)>, AnalyticsError> {
        let starts =
            window.starts(now).map_err(|error| AnalyticsError::Failed(error.to_string()))?;
        let scope = Scope { from: starts.last().copied(), ..*scope };
        let rows = self
            .ask(|reading| sql::clicks_by_time(reading, &scope, window.unit).fetch_all::<Bucket>())
            .await?;
        let counted: HashMap<_, _> = rows.into_iter().map(|row| (row.bucket, row.clicks)).collect();
        let filled = starts.into_iter().map(|start| {
            let clicks = counted.get(&start.as_second()).copied().unwrap_or(0);
            (window.unit.label(start), clicks)
        });
        Ok(filled.collect())
    }

    /// All clicks in scope, and who made them.
    pub async fn totals(&self, scope: &Scope) -> Result<Counts, AnalyticsError> {
        self.ask(|reading| sql::totals(reading, scope).fetch_one::<Counts>()).await
    }

    /// Clicks by what they have in common, most first. An empty value is an unknown one.
    pub async fn breakdown(
        &self,
        scope: &Scope,
        dimension: Dimension,
        size: u16,
    ) -> Result<Vec<(String, u64)>, AnalyticsError> {
        let rows = self
            .ask(|reading| sql::breakdown(reading, scope, dimension, size).fetch_all::<Share>())
            .await?;
        Ok(rows.into_iter().map(|row| (row.value, row.clicks)).collect())
    }

    /// The links with the most clicks.
    pub async fn top_links(
        &self,
        scope: &Scope,
        size: u16,
    ) -> Result<Vec<(LinkId, u64)>, AnalyticsError> {
        let rows = self
            .ask(|reading| sql::top_links(reading, scope, size).fetch_all::<LinkClicks>())
            .await?;
        Ok(rows.into_iter().map(|row| (LinkId::new(row.link_id), row.clicks)).collect())
    }

    /// The counts of some links; those never clicked are not in it. `None` while ClickHouse is
    /// away: a link can be read and changed without its counts.
    pub async fn counts(
        &self,
        workspace: WorkspaceId,
        links: &[LinkId],
    ) -> Option<HashMap<LinkId, Counts>> {
        let through = self.clickhouse.as_of().offset;
        let scope = Scope { workspace, link: None, from: None, bots: Bots::Exclude, through };
        let ids: Vec<_> = links.iter().map(|link| link.uuid().to_string()).collect();
        let asked =
            self.ask(|reading| sql::counts(reading, &scope, &ids).fetch_all::<LinkCounts>());
        let rows = tokio::time::timeout(COUNTS_TIMEOUT, asked).await.ok()?.ok()?;
        let each = rows.into_iter().map(|row| {
            let counts = Counts { clicks: row.clicks, visitors: row.visitors };
            (LinkId::new(row.link_id), counts)
        });
        Some(each.collect())
    }

    async fn ask<T, F>(&self, question: impl FnOnce(&Reading) -> F) -> Result<T, AnalyticsError>
    where
        F: Future<Output = Result<T, clickhouse::error::Error>>,
    {
        let reading = self.clickhouse.reading().ok_or(AnalyticsError::Away)?;
        match tokio::time::timeout(TIMEOUT, question(&reading)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(clickhouse::error::Error::Network(_) | clickhouse::error::Error::TimedOut))
            | Err(_) => Err(AnalyticsError::Away),
            Ok(Err(error)) => {
                tracing::error!(%error, "an analytics question failed");
                Err(AnalyticsError::Failed(error.to_string()))
            }
        }
    }
}
