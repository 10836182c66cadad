//! Decodes records of the click log to rows for ClickHouse.
//!
//! A click's row borrows its text from the record, so decoding allocates nothing.

use clickhouse::Row;
use prost::Message;
use serde::Serialize;
use uuid::Uuid;

use super::ProjectionError;
use super::corrections::Corrections;
use super::native::Value;
use crate::domain::amendment::{AgentReclassified, LinkForgotten};
use crate::domain::click::AgentSeen;
use crate::domain::click::view::{ClickView, Field, FieldValue};
use crate::domain::country::continent;
use crate::domain::ids::QrCodeId;
use crate::log::RecordRef;

/// A row of `clicks`.
pub struct ClickRow<'a> {
    pub(super) click: ClickView<'a>,
    workspace_id: Uuid,
    link_id: Uuid,
    qr_code: Option<QrCodeId>,
    pub(super) log_offset: u64,
    /// The device and the bot reason, if corrected.
    class: Option<(&'a str, &'a str)>,
}

/// A row of `blocked`.
#[derive(Row, Serialize)]
pub struct BlockedRow<'a> {
    #[serde(with = "clickhouse::serde::uuid")]
    workspace_id: Uuid,
    #[serde(with = "clickhouse::serde::uuid")]
    link_id: Uuid,
    ts: i64,
    log_offset: u64,
    link_version: u32,
    domain: &'a str,
    reason: &'static str,
    visitor_id: u64,
    country: &'a str,
    device: &'static str,
    bot: &'static str,
    referrer: &'a str,
}

/// A row of `agents`.
#[derive(Row, Serialize)]
pub struct AgentRow {
    agent_id: u64,
    user_agent: String,
    browser: String,
    browser_version: String,
    os: String,
    os_version: String,
    device: &'static str,
    bot: &'static str,
    bot_pattern: String,
    pub(super) seen_at: i64,
}

/// A row of `forgotten`.
#[derive(Row, Serialize)]
pub struct ForgottenRow {
    /// The offset in the log.
    pub log_offset: u64,
    /// The workspace.
    #[serde(with = "clickhouse::serde::uuid")]
    pub workspace_id: Uuid,
    #[serde(with = "clickhouse::serde::uuid")]
    pub link_id: Uuid,
    at: i64,
    /// The last deleted version of the link; 0 if the record has none.
    pub through_version: u32,
}

/// A row of `reclassified`.
#[derive(Row, Serialize)]
pub struct ReclassifiedRow {
    /// The offset in the log.
    pub log_offset: u64,
    agent_id: u64,
    since: i64,
    device: &'static str,
    bot: &'static str,
    at: i64,
}

impl<'a> ClickRow<'a> {
    /// Decodes a click; `None` if its link's clicks are removed.
    pub fn decode(
        record: RecordRef<'a>,
        corrections: &'a Corrections,
    ) -> Result<Option<Self>, ProjectionError> {
        let unreadable = || ProjectionError::Unreadable(record.offset);
        let click = ClickView::parse(record.payload).map_err(|_| unreadable())?;
        let id = |bytes| Uuid::from_slice(bytes).map_err(|_| unreadable());
        let (workspace_id, link_id) = (id(click.workspace)?, id(click.link)?);
        if corrections.is_removed(link_id, record.offset, click.link_version) {
            return Ok(None);
        }
        let qr_code = Some(click.qr_code).filter(|bytes| !bytes.is_empty());
        let qr_code = qr_code.map(QrCodeId::from_bytes).transpose().map_err(|_| unreadable())?;
        let class = corrections.class_of(&click, record.offset);
        let log_offset = record.offset;
        Ok(Some(Self { click, workspace_id, link_id, qr_code, log_offset, class }))
    }

    /// The values with their column names.
    pub fn values(&self) -> impl Iterator<Item = (&'static str, Value<'a>)> {
        let own = [
            ("log_offset", Value::UInt64(self.log_offset)),
            ("continent", Value::Text(continent(self.click.country))),
        ];
        let fields = self.click.fields().into_iter();
        fields.filter_map(|field| Some((field.column?, self.value(&field)))).chain(own)
    }

    fn value(&self, field: &Field<'a>) -> Value<'a> {
        match (field.value, self.class) {
            (FieldValue::Text(_), Some((device, _))) if field.name == "device" => {
                Value::Text(device)
            }
            (FieldValue::Text(_), Some((_, bot))) if field.name == "bot" => Value::Text(bot),
            (FieldValue::Time(at_ms), _) => Value::Time(at_ms.cast_signed()),
            (FieldValue::Number(number) | FieldValue::Hash(number), _) => Value::UInt64(number),
            (FieldValue::Short(number), _) => Value::UInt32(number),
            (FieldValue::Id(_), _) if field.name == "link" => Value::Uuid(self.link_id),
            (FieldValue::Id(_), _) if field.name == "qr_code" => Value::QrCode(self.qr_code),
            (FieldValue::Id(_), _) => Value::Uuid(self.workspace_id),
            (FieldValue::Text(text), _) => Value::Text(text),
            (FieldValue::Bool(flag), _) => Value::Bool(flag),
        }
    }
}

impl<'a> BlockedRow<'a> {
    /// Decodes a blocked visit; `None` if its link's clicks are removed.
    pub fn decode(
        record: RecordRef<'a>,
        corrections: &Corrections,
    ) -> Result<Option<Self>, ProjectionError> {
        let unreadable = || ProjectionError::Unreadable(record.offset);
        let visit = ClickView::parse(record.payload).map_err(|_| unreadable())?;
        let id = |bytes| Uuid::from_slice(bytes).map_err(|_| unreadable());
        let (workspace_id, link_id) = (id(visit.workspace)?, id(visit.link)?);
        if corrections.is_removed(link_id, record.offset, visit.link_version) {
            return Ok(None);
        }
        Ok(Some(Self {
            workspace_id,
            link_id,
            ts: visit.at_ms.cast_signed(),
            log_offset: record.offset,
            link_version: visit.link_version,
            domain: visit.domain,
            reason: visit.block().as_str(),
            visitor_id: visit.visitor,
            country: visit.country,
            device: visit.device().as_str(),
            bot: visit.bot().as_str(),
            referrer: visit.referrer,
        }))
    }
}

impl AgentRow {
    /// Decodes a user agent.
    pub fn decode(record: RecordRef<'_>) -> Result<Self, ProjectionError> {
        let agent = AgentSeen::decode(record.payload);
        let agent = agent.map_err(|_| ProjectionError::Unreadable(record.offset))?;
        Ok(Self {
            agent_id: agent.id,
            device: agent.device().as_str(),
            bot: agent.bot().as_str(),
            user_agent: agent.user_agent,
            browser: agent.browser,
            browser_version: agent.browser_version,
            os: agent.os,
            os_version: agent.os_version,
            bot_pattern: agent.bot_pattern,
            seen_at: agent.at_ms.cast_signed(),
        })
    }
}

impl ForgottenRow {
    /// Decodes a link deletion.
    pub fn decode(record: RecordRef<'_>) -> Result<Self, ProjectionError> {
        let unreadable = || ProjectionError::Unreadable(record.offset);
        let forgotten = LinkForgotten::decode(record.payload).map_err(|_| unreadable())?;
        let id = |bytes: &[u8]| Uuid::from_slice(bytes).map_err(|_| unreadable());
        Ok(Self {
            log_offset: record.offset,
            workspace_id: id(&forgotten.workspace)?,
            link_id: id(&forgotten.link)?,
            at: forgotten.at_ms.cast_signed(),
            through_version: forgotten.through_version.unwrap_or(0),
        })
    }

    /// A row that repeats the deletion of a late click's link, at the offset of the click.
    pub const fn again(click: &Visit, at_ms: u64, through_version: u32) -> Self {
        Self {
            log_offset: click.offset,
            workspace_id: click.workspace,
            link_id: click.link,
            at: at_ms.cast_signed(),
            through_version,
        }
    }

    /// The time of the deletion, in milliseconds since the Unix epoch.
    pub const fn at_ms(&self) -> u64 {
        self.at.cast_unsigned()
    }
}

impl ReclassifiedRow {
    /// Decodes a reclassification.
    pub fn decode(record: RecordRef<'_>) -> Result<Self, ProjectionError> {
        let agent = AgentReclassified::decode(record.payload);
        let agent = agent.map_err(|_| ProjectionError::Unreadable(record.offset))?;
        Ok(Self {
            log_offset: record.offset,
            agent_id: agent.agent,
            since: agent.since_ms.cast_signed(),
            device: agent.device().as_str(),
            bot: agent.bot().as_str(),
            at: agent.at_ms.cast_signed(),
        })
    }
}

/// The link of a visit.
#[derive(Debug, Clone, Copy)]
pub struct Visit {
    pub workspace: Uuid,
    pub link: Uuid,
    pub offset: u64,
    pub link_version: u32,
}

impl Visit {
    pub fn of(record: RecordRef<'_>) -> Result<Self, ProjectionError> {
        let unreadable = || ProjectionError::Unreadable(record.offset);
        let click = ClickView::parse(record.payload).map_err(|_| unreadable())?;
        let id = |bytes| Uuid::from_slice(bytes).map_err(|_| unreadable());
        Ok(Self {
            workspace: id(click.workspace)?,
            link: id(click.link)?,
            offset: record.offset,
            link_version: click.link_version,
        })
    }
}
