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
use super::{Analytics, AnalyticsError, AsOf, PLACE_WAIT, place};
use crate::queries::sql::{self, ReadSnapshot};

/// A kind of file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// Comma-separated values with a header; texts that a spreadsheet would take for formulas
    /// stand behind an apostrophe.
    Csv,
    /// A JSON object a line.
    Ndjson,
    /// Apache Parquet.
    Parquet,
    /// Apache Arrow's IPC file.
    Arrow,
}

impl Format {
    /// Each format there is.
    pub const EVERY: &'static [Self] = &[Self::Csv, Self::Ndjson, Self::Parquet, Self::Arrow];

    /// The format's name on the wire, and the ending of a file's.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Ndjson => "ndjson",
            Self::Parquet => "parquet",
            Self::Arrow => "arrow",
        }
    }

    /// Its media type.
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Csv => "text/csv; charset=utf-8",
            Self::Ndjson => "application/x-ndjson",
            Self::Parquet => "application/vnd.apache.parquet",
            Self::Arrow => "application/vnd.apache.arrow.file",
        }
    }

    /// Its name in ClickHouse.
    const fn in_clickhouse(self) -> &'static str {
        match self {
            Self::Csv => "CSVWithNames",
            Self::Ndjson => "JSONEachRow",
            Self::Parquet => "Parquet",
            Self::Arrow => "Arrow",
        }
    }
}

/// Where a click stands in an export.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClickKey {
    /// Its offset.
    pub offset: u64,
    /// Its link.
    pub link: Uuid,
    /// When it was, in milliseconds since the Unix epoch.
    pub at_ms: i64,
}

/// A file on its way from ClickHouse, piece by piece.
pub struct Export {
    first: Option<Bytes>,
    cursor: BytesCursor,
    /// By which ClickHouse knows it.
    id: String,
    _place: OwnedSemaphorePermit,
}

impl Export {
    /// By which ClickHouse knows it.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The next piece; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<Bytes>, AnalyticsError> {
        if let Some(first) = self.first.take() {
            return Ok(Some(first));
        }
        self.cursor.next().await.map_err(|error| failed(&error))
    }
}

impl Analytics {
    /// A page of clicks, the newest first; those before an offset where one is given. The
    /// question's metrics and dimensions are passed over.
    pub async fn clicks(
        &self,
        query: &AnalyticsQuery,
        before: Option<u64>,
        as_of: AsOf,
    ) -> Result<Vec<Map<String, Json>>, AnalyticsError> {
        let _turn = place(PLACE_WAIT, self.turns.take(query.workspace)).await?;
        let (cut, _) = self.cut(query, as_of, 0);
        let answer = self.ask(sql::newest(&self.seen(query), before, cut)).await?;
        let rows = answer.into_rows().into_iter();
        let named = rows.map(|row| sql::click_columns().map(str::to_owned).zip(row).collect());
        Ok(named.collect())
    }

    /// All clicks as a file; those after a click, by its offset, where one is given.
    ///
    /// # Errors
    /// [`AnalyticsError::NoSuchClick`] where the click is none of them; else as for any question.
    pub async fn export(
        &self,
        query: &AnalyticsQuery,
        format: Format,
        after: Option<u64>,
        as_of: AsOf,
    ) -> Result<Export, AnalyticsError> {
        let (cut, _) = self.cut(query, as_of, 0);
        let after = match after {
            None => None,
            Some(offset) => Some(self.key(query, offset, cut).await?),
        };
        let reading = self.clickhouse.reading().ok_or(AnalyticsError::Away)?;
        let place = place(PLACE_WAIT, Arc::clone(&self.exports).acquire_owned()).await?;
        let place = place.map_err(|error| AnalyticsError::Failed(error.to_string()))?;
        let statement = sql::export(&self.seen(query), after.as_ref(), format == Format::Csv, cut);
        let id = Uuid::now_v7().to_string();
        let query = statement.query(&reading).with_setting("query_id", &id);
        let cursor = query.fetch_bytes(format.in_clickhouse());
        let mut cursor = cursor.map_err(|error| failed(&error))?;
        // A question that fails at once is answered as such, not by a file that breaks off.
        let first = cursor.next().await.map_err(|error| failed(&error))?;
        Ok(Export { first, cursor, id, _place: place })
    }

    /// How much ClickHouse has read for an export, by its id, from 0 to 1; `None` where it doesn't
    /// say.
    pub async fn progress(&self, export: &str) -> Option<f64> {
        let rows = self.ask(sql::progress(export)).await.ok()?.into_rows();
        rows.first()?.first()?.as_f64()
    }

    async fn key(
        &self,
        query: &AnalyticsQuery,
        offset: u64,
        cut: ReadSnapshot,
    ) -> Result<ClickKey, AnalyticsError> {
        let rows = self.ask(sql::key(&self.seen(query), offset, cut)).await?.into_rows();
        match rows.first().map(Vec::as_slice) {
            Some([Json::String(link), at_ms]) => {
                let link = Uuid::parse_str(link).ok().zip(at_ms.as_i64());
                let (link, at_ms) = link.ok_or(AnalyticsError::NoSuchClick)?;
                Ok(ClickKey { offset, link, at_ms })
            }
            _ => Err(AnalyticsError::NoSuchClick),
        }
    }
}
