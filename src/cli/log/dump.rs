//! `slugline log dump`: writes records as JSON lines.

use std::io::Write;
use std::sync::Arc;

use prost::Message;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{DumpArgs, WhichLog, accounts};
use crate::cli::offline::log_folder;
use crate::domain::amendment::{AgentReclassified, LinkForgotten};
use crate::domain::click::view::{ClickView, Field, FieldValue};
use crate::domain::click::{AgentSeen, kind};
use crate::domain::domains::state::DomainState;
use crate::domain::event::{
    Envelope, Event, EventKind, LinkState, UtmPresetDeleted, UtmPresetState,
};
use crate::domain::ids::{
    DomainId, ImportId, LinkId, QrCodeId, ReportId, TokenId, UserId, WorkspaceId,
};
use crate::domain::link::{Gates, Payload};
use crate::domain::plan::credit::CreditKind;
use crate::domain::preset::UtmPresetKind;
use crate::domain::rule::stored::RulesState;
use crate::log::{DiskStorage, LogView, Record};

/// The name of a record kind.
pub(super) fn kind_name(number: u16) -> String {
    let name = match number {
        kind::CLICK => "Click",
        kind::BLOCKED => "Blocked",
        kind::AGENT_SEEN => "AgentSeen",
        kind::LINK_FORGOTTEN => "LinkForgotten",
        kind::AGENT_RECLASSIFIED => "AgentReclassified",
        other => match EventKind::of_number(other) {
            Some(kind) => kind.name(),
            None => return format!("kind {other}"),
        },
    };
    name.to_owned()
}

/// Writes the records of a log.
pub(super) fn dump(args: &DumpArgs, out: &mut impl Write) -> anyhow::Result<()> {
    let folder = log_folder(&args.data_dir, args.log.as_str())?;
    let mut reader = LogView::open(Arc::new(DiskStorage), &folder)?.read_from(args.from);
    while let Some(record) = reader.next_record()? {
        let mut line = match args.log {
            WhichLog::Mutations => mutation_json(&record)?,
            WhichLog::Clicks => click_json(&record)?,
        };
        if let Some(fields) = line.as_object_mut() {
            fields.insert("offset".to_owned(), record.offset.into());
            fields.insert("kind".to_owned(), kind_name(record.kind).into());
        }
        writeln!(out, "{line}")?;
    }
    Ok(())
}

fn mutation_json(record: &Record) -> anyhow::Result<Value> {
    let envelope = Envelope::decode(record.payload.as_ref())?;
    let event = match &envelope.event {
        Some(Event::LinkCreated(link) | Event::LinkChanged(link) | Event::LinkRestored(link)) => {
            link_json(link)?
        }
        Some(Event::LinkDeleted(deleted)) => {
            json!({
                "link": LinkId::from_bytes(&deleted.link)?.to_string(),
                "version": deleted.version,
                "restorable_until_ms": deleted.restorable_until_ms,
            })
        }
        Some(Event::LinkReported(report)) => json!({
            "report": ReportId::from_bytes(&report.id)?.to_string(),
            "link": LinkId::from_bytes(&report.link)?.to_string(),
            "slug": report.slug, "reason": report.reason().as_str(), "text": report.text,
        }),
        Some(Event::ReportResolved(resolved)) => {
            json!({ "report": ReportId::from_bytes(&resolved.report)?.to_string() })
        }
        Some(Event::CampaignCreated(state) | Event::CampaignChanged(state)) => {
            preset_json(UtmPresetKind::Campaign, state)?
        }
        Some(Event::UtmTemplateCreated(state) | Event::UtmTemplateChanged(state)) => {
            preset_json(UtmPresetKind::Template, state)?
        }
        Some(Event::CampaignDeleted(deleted)) => gone_json(UtmPresetKind::Campaign, deleted)?,
        Some(Event::UtmTemplateDeleted(deleted)) => gone_json(UtmPresetKind::Template, deleted)?,
        Some(Event::LinkPurged(purged)) => {
            json!({ "link": LinkId::from_bytes(&purged.link)?.to_string() })
        }
        Some(
            Event::DomainAdded(domain)
            | Event::DomainChanged(domain)
            | Event::DomainVerified(domain),
        ) => domain_json(domain)?,
        Some(Event::DomainRemoved(removed)) => {
            json!({ "domain": DomainId::from_bytes(&removed.domain)?.to_string() })
        }
        Some(event) => accounts::event_json(event)?,
        None => Value::Null,
    };
    let user = UserId::from_bytes(&envelope.user).ok().map(|user| user.to_string());
    let actor = TokenId::from_bytes(&envelope.token).ok().map(|token| token.to_string());
    Ok(json!({
        "at_ms": envelope.at_ms,
        "workspace": WorkspaceId::from_bytes(&envelope.workspace)?.to_string(),
        "actor": actor,
        "user": user,
        "debit": envelope.debit.map(|debit| json!({
            "kind": CreditKind::from_number(debit.kind).map(CreditKind::as_str),
            "amount": debit.amount,
        })),
        "reservation": ImportId::from_bytes(&envelope.reservation).ok().map(|id| id.to_string()),
        "idempotency_key": envelope.idempotency.map(|idempotency| idempotency.key),
        "event": event,
    }))
}

fn link_json(link: &LinkState) -> anyhow::Result<Value> {
    let rules = link.rules.clone().map(RulesState::into_rules).transpose()?;
    Ok(json!({
        "link": LinkId::from_bytes(&link.id)?.to_string(),
        "version": link.version,
        "reverted_to": link.reverted_to,
        "domain": link.domain,
        "slug": link.slug,
        "destination": link.destination,
        "title": link.title,
        "utm_source": link.utm_source,
        "utm_medium": link.utm_medium,
        "utm_campaign": link.utm_campaign,
        "utm_content": link.utm_content,
        "utm_term": link.utm_term,
        "forward_query": !link.query_dropped,
        "forwarding": link.forwarding.as_ref().map(|forwarding| json!({
            "status": forwarding.status(),
            "path": forwarding.path,
            "canonical": forwarding.canonical,
            "noindex": forwarding.noindex,
        })),
        "payload": link.payload.as_ref().map(Payload::to_json),
        "gates": link.gates.as_ref().map(gates_json),
        "rules": rules.map(|rules| rules.bodies()),
        "preview": link.preview.map(|preview| json!({
            "hidden": preview.hidden, "public_stats": preview.public_stats,
        })),
        "labels": link.labels.as_ref().map(|labels| json!({
            "tags": labels.tags,
            "folder": labels.folder,
            "campaign": labels.campaign().map(|id| id.to_string()),
            "external_id": labels.external_id,
            "notes": labels.notes,
        })),
        "social": link.social.as_ref().map(|social| json!({
            "title": social.title,
            "description": social.description,
            "image": social.image,
            "preview": social.preview,
        })),
        "created_at_ms": link.created_at_ms,
        "updated_at_ms": link.updated_at_ms,
    }))
}

fn preset_json(kind: UtmPresetKind, state: &UtmPresetState) -> anyhow::Result<Value> {
    Ok(json!({
        "id": kind.id(Uuid::from_slice(&state.id)?).to_string(),
        "name": state.name,
        "description": state.description,
        "utm_source": state.utm_source,
        "utm_medium": state.utm_medium,
        "utm_campaign": state.utm_campaign,
        "utm_content": state.utm_content,
        "utm_term": state.utm_term,
        "created_at_ms": state.created_at_ms,
        "updated_at_ms": state.updated_at_ms,
    }))
}

fn gone_json(kind: UtmPresetKind, deleted: &UtmPresetDeleted) -> anyhow::Result<Value> {
    Ok(json!({ "id": kind.id(Uuid::from_slice(&deleted.id)?).to_string() }))
}

/// Gates as JSON. Of the password, only whether there is one.
fn gates_json(gates: &Gates) -> Value {
    json!({
        "disabled": gates.disabled,
        "archived": gates.archived,
        "starts_at_ms": gates.starts_at_ms,
        "expires_at_ms": gates.expires_at_ms,
        "expired_url": gates.expired_url,
        "max_clicks": gates.limit.map(|limit| limit.max),
        "max_clicks_bots": gates.limit.map(|limit| limit.counts_bots),
        "limited_since_version": gates.limit.map(|limit| limit.since_version),
        "has_password": gates.password().is_some(),
    })
}

fn domain_json(domain: &DomainState) -> anyhow::Result<Value> {
    Ok(json!({
        "domain": DomainId::from_bytes(&domain.id)?.to_string(),
        "hostname": domain.hostname,
        "challenge": domain.challenge,
        "verified_at_ms": domain.verified_at_ms,
        "is_default": domain.is_default,
        "root_redirect": domain.root_redirect,
        "not_found_redirect": domain.not_found_redirect,
        "case_insensitive": domain.case_insensitive,
        "apple_app_site_association": domain.apple_app_site_association,
        "assetlinks": domain.assetlinks,
        "created_at_ms": domain.created_at_ms,
        "updated_at_ms": domain.updated_at_ms,
    }))
}

/// A click as JSON. 64-bit hashes are strings, because many JSON parsers round large numbers.
fn click_json(record: &Record) -> anyhow::Result<Value> {
    match record.kind {
        kind::AGENT_SEEN => {
            let agent = AgentSeen::decode(record.payload.as_ref())?;
            return Ok(json!({
                "at_ms": agent.at_ms,
                "agent": format!("{:016x}", agent.id),
                "user_agent": agent.user_agent,
                "browser": agent.browser, "browser_version": agent.browser_version,
                "os": agent.os, "os_version": agent.os_version,
                "device": agent.device().as_str(),
                "bot": agent.bot().as_str(), "bot_pattern": agent.bot_pattern,
            }));
        }
        kind::LINK_FORGOTTEN => {
            let forgotten = LinkForgotten::decode(record.payload.as_ref())?;
            return Ok(json!({
                "at_ms": forgotten.at_ms,
                "workspace": WorkspaceId::from_bytes(&forgotten.workspace)?.to_string(),
                "link": LinkId::from_bytes(&forgotten.link)?.to_string(),
                "through_version": forgotten.through_version,
            }));
        }
        kind::AGENT_RECLASSIFIED => {
            let agent = AgentReclassified::decode(record.payload.as_ref())?;
            return Ok(json!({
                "at_ms": agent.at_ms,
                "agent": format!("{:016x}", agent.agent),
                "since_ms": agent.since_ms,
                "device": agent.device().as_str(),
                "bot": agent.bot().as_str(), "bot_pattern": agent.bot_pattern,
            }));
        }
        kind::CLICK | kind::BLOCKED => {}
        // Written by a newer version: only the kind is known.
        _ => return Ok(json!({})),
    }
    let fields = ClickView::parse(record.payload.as_ref())?.fields();
    let json = |Field { name, value, .. }: Field<'_>| {
        let value = match value {
            FieldValue::Time(number) | FieldValue::Number(number) => number.into(),
            FieldValue::Short(number) => number.into(),
            FieldValue::Hash(hash) => format!("{hash:016x}").into(),
            FieldValue::Id(id) if name == "link" => LinkId::from_bytes(id)?.to_string().into(),
            FieldValue::Id(id) if name == "qr_code" => {
                QrCodeId::from_bytes(id).ok().map(|id| id.to_string()).into()
            }
            FieldValue::Id(id) => WorkspaceId::from_bytes(id)?.to_string().into(),
            FieldValue::Text(text) => text.into(),
            FieldValue::Bool(flag) => flag.into(),
        };
        Ok((name.to_owned(), value))
    };
    fields.into_iter().map(json).collect::<anyhow::Result<_>>().map(Value::Object)
}
