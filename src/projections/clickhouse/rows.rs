//! Decodes records of the click log to rows for ClickHouse.
//!
//! A click's row borrows its text from the record, so decoding allocates nothing.

use clickhouse::Row;
use prost::Message;
use serde::Serialize;
use uuid::Uuid;

use super::ProjectionError;
use super::batches::Visit;
use super::corrections::Corrections;
use super::native::Value;
use crate::domain::amendment::{AgentReclassified, LinkForgotten};
use crate::domain::click::AgentSeen;
use crate::domain::click::view::ClickView;
use crate::domain::country::continent;
use crate::log::RecordRef;

/// A row of `clicks`.
pub struct ClickRow<'a> {
    workspace_id: Uuid,
    link_id: Uuid,
    pub(super) ts: i64,
    pub(super) log_offset: u64,
    link_version: u32,
    domain: &'a str,
    agent_id: u64,
    visitor_id: u64,
    country: &'a str,
    region: &'a str,
    pub(super) city: &'a str,
    browser: &'a str,
    browser_version: &'a str,
    os: &'a str,
    os_version: &'a str,
    device: &'a str,
    bot: &'a str,
    head: bool,
    prefetch: bool,
    referrer: &'a str,
    referrer_url: &'a str,
    language: &'a str,
    continent: &'static str,
    destination: &'a str,
    utm_source: &'a str,
    utm_medium: &'a str,
    utm_campaign: &'a str,
    utm_content: &'a str,
    utm_term: &'a str,
    qr: bool,
    rule: &'a str,
    variant: &'a str,
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
        let class = (click.device().as_str(), click.bot().as_str());
        let (device, bot) = corrections.class_of(&click, record.offset).unwrap_or(class);
        Ok(Some(Self {
            workspace_id,
            link_id,
            ts: click.at_ms.cast_signed(),
            log_offset: record.offset,
            link_version: click.link_version,
            domain: click.domain,
            agent_id: click.agent,
            visitor_id: click.visitor,
            country: click.country,
            region: click.region,
            city: click.city,
            browser: click.browser,
            browser_version: click.browser_version,
            os: click.os,
            os_version: click.os_version,
            device,
            bot,
            head: click.head,
            prefetch: click.prefetch,
            referrer: click.referrer,
            referrer_url: click.referrer_url,
            language: click.language,
            continent: continent(click.country),
            destination: click.destination,
            utm_source: click.utm_source,
            utm_medium: click.utm_medium,
            utm_campaign: click.utm_campaign,
            utm_content: click.utm_content,
            utm_term: click.utm_term,
            qr: click.qr,
            rule: click.rule,
            variant: click.variant,
        }))
    }

    /// The values with their column names.
    pub const fn values(&self) -> [(&'static str, Value<'a>); 32] {
        [
            ("workspace_id", Value::Uuid(self.workspace_id)),
            ("link_id", Value::Uuid(self.link_id)),
            ("ts", Value::Time(self.ts)),
            ("log_offset", Value::UInt64(self.log_offset)),
            ("link_version", Value::UInt32(self.link_version)),
            ("domain", Value::Text(self.domain)),
            ("agent_id", Value::UInt64(self.agent_id)),
            ("visitor_id", Value::UInt64(self.visitor_id)),
            ("country", Value::Text(self.country)),
            ("region", Value::Text(self.region)),
            ("city", Value::Text(self.city)),
            ("browser", Value::Text(self.browser)),
            ("browser_version", Value::Text(self.browser_version)),
            ("os", Value::Text(self.os)),
            ("os_version", Value::Text(self.os_version)),
            ("device", Value::Text(self.device)),
            ("bot", Value::Text(self.bot)),
            ("head", Value::Bool(self.head)),
            ("prefetch", Value::Bool(self.prefetch)),
            ("referrer", Value::Text(self.referrer)),
            ("referrer_url", Value::Text(self.referrer_url)),
            ("language", Value::Text(self.language)),
            ("continent", Value::Text(self.continent)),
            ("destination", Value::Text(self.destination)),
            ("utm_source", Value::Text(self.utm_source)),
            ("utm_medium", Value::Text(self.utm_medium)),
            ("utm_campaign", Value::Text(self.utm_campaign)),
            ("utm_content", Value::Text(self.utm_content)),
            ("utm_term", Value::Text(self.utm_term)),
            ("qr", Value::Bool(self.qr)),
            ("rule", Value::Text(self.rule)),
            ("variant", Value::Text(self.variant)),
        ]
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
