//! Single clicks.

use std::sync::Arc;

use bytes::Bytes;
use clickhouse::query::BytesCursor;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};
use tokio::sync::OwnedSemaphorePermit;
use uuid::Uuid;

use super::execute::failed;
use super::query::AnalyticsQuery;
use super::{Analytics, AsOf, acquire};
use crate::domain::error::{Result, ServiceError};
use crate::domain::named_enum;
use crate::limits::QUERY_QUEUE_TIMEOUT;
use crate::queries::plan::ReadSnapshot;
use crate::queries::sql;

named_enum! {
    /// An export file format.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    pub enum Format {
        /// Comma-separated values with a header. Text that a spreadsheet would take for a formula is
        /// prefixed with an apostrophe.
        Csv => "csv",
        /// One JSON object per line.
        Ndjson => "ndjson",
        /// Apache Parquet.
        Parquet => "parquet",
        /// Apache Arrow IPC file.
        Arrow => "arrow",
    }
}

impl Format {
    /// The media type.
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Csv => "text/csv; charset=utf-8",
            Self::Ndjson => "application/x-ndjson",
            Self::Parquet => "application/vnd.apache.parquet",
            Self::Arrow => "application/vnd.apache.arrow.file",
        }
    }

    /// The name of the format in ClickHouse.
    const fn in_clickhouse(self) -> &'static str {
        match self {
            Self::Csv => "CSVWithNames",
            Self::Ndjson => "JSONEachRow",
            Self::Parquet => "Parquet",
            Self::Arrow => "Arrow",
        }
    }
}

/// The position of a click in an export.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClickKey {
    /// The offset.
    pub offset: u64,
    /// The link.
    pub link: Uuid,
    /// The time of the click, in milliseconds since the Unix epoch.
    pub at_ms: i64,
}

/// An export that streams from ClickHouse in chunks.
pub struct Export {
    first: Option<Bytes>,
    cursor: BytesCursor,
    /// The query ID in ClickHouse.
    pub id: String,
    _permit: OwnedSemaphorePermit,
}

impl Export {
    /// The next chunk; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<Bytes>> {
        if let Some(first) = self.first.take() {
            return Ok(Some(first));
        }
        self.cursor.next().await.map_err(|error| failed(&error))
    }
}

impl Analytics {
    /// A page of clicks, newest first, optionally only those before an offset. Ignores the query's
    /// metrics and dimensions.
    pub async fn clicks(
        &self,
        query: &AnalyticsQuery,
        before: Option<u64>,
        as_of: AsOf,
    ) -> Result<Vec<Map<String, Json>>> {
        let _permit = acquire(QUERY_QUEUE_TIMEOUT, self.limiter.acquire(query.workspace)).await?;
        let (snapshot, _) = self.snapshot(query, as_of, 0);
        let answer = self.execute(sql::newest(&*self.visible(query)?, before, snapshot)).await?;
        let rows = answer.into_rows().into_iter();
        let named = rows.map(|row| sql::click_columns().map(str::to_owned).zip(row).collect());
        Ok(named.collect())
    }

    /// All clicks as a file, optionally only those after the click at an offset.
    ///
    /// # Errors
    /// `Invalid` if the click does not match the query; else as for any
    /// query.
    pub async fn export(
        &self,
        query: &AnalyticsQuery,
        format: Format,
        after: Option<u64>,
        as_of: AsOf,
    ) -> Result<Export> {
        let (snapshot, _) = self.snapshot(query, as_of, 0);
        let after = match after {
            None => None,
            Some(offset) => Some(self.key(query, offset, snapshot).await?),
        };
        let reading = self.clickhouse.reading().ok_or_else(|| self.unavailable())?;
        let permit =
            acquire(QUERY_QUEUE_TIMEOUT, Arc::clone(&self.exports).acquire_owned()).await?;
        let permit = permit.map_err(ServiceError::internal)?;
        let statement =
            sql::export(&*self.visible(query)?, after.as_ref(), format == Format::Csv, snapshot);
        let id = Uuid::now_v7().to_string();
        let query = statement.query(&reading).with_setting("query_id", &id);
        let cursor = query.fetch_bytes(format.in_clickhouse());
        let mut cursor = cursor.map_err(|error| failed(&error))?;
        // Read the first chunk now, so that a query that fails at once returns an error, not a
        // truncated file.
        let first = cursor.next().await.map_err(|error| failed(&error))?;
        Ok(Export { first, cursor, id, _permit: permit })
    }

    /// The fraction of the rows that ClickHouse has read for an export; `None` if unknown.
    pub async fn progress(&self, export: &str) -> Option<f64> {
        let rows = self.execute(sql::progress(export)).await.ok()?.into_rows();
        rows.first()?.first()?.as_f64()
    }

    async fn key(
        &self,
        query: &AnalyticsQuery,
        offset: u64,
        snapshot: ReadSnapshot,
    ) -> Result<ClickKey> {
        let rows =
            self.execute(sql::key(&*self.visible(query)?, offset, snapshot)).await?.into_rows();
        match rows.first().map(Vec::as_slice) {
            Some([Json::String(link), at_ms]) => {
                let link = Uuid::parse_str(link).ok().zip(at_ms.as_i64());
                let (link, at_ms) = link.ok_or_else(no_such_click)?;
                Ok(ClickKey { offset, link, at_ms })
            }
            _ => Err(no_such_click()),
        }
    }
}

fn no_such_click() -> ServiceError {
    ServiceError::field("after", "must be the offset of a click of this export")
}
