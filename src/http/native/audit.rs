//! `/api/v1/audit`: who did what in the workspace, and when.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::admin::moment_ms;
use super::iso8601;
use super::page::Page;
use super::versions::differences;
use crate::domain::action::Action;
use crate::domain::ids::{CampaignId, LinkId, ReportId, TokenId, UtmTemplateId};
use crate::http::Services;
use crate::http::auth::{AuditRead, Can};
use crate::http::params::Params;
use crate::http::problem::{Problem, ProblemBody};
use crate::queries::history::{AuditFilter, Entry};

/// Something that happened in the workspace.
#[derive(Debug, Serialize, ToSchema)]
pub struct AuditView {
    /// Where in the log of changes it is.
    offset: u64,
    at: String,
    /// The token that did it; null for the service itself.
    actor: Option<String>,
    #[schema(example = "link.changed")]
    action: String,
    /// The id of what it happened to; null for the workspace itself.
    subject: Option<String>,
    /// Of a change: the names of the fields that are not what they were.
    #[serde(skip_serializing_if = "Option::is_none")]
    changed: Option<Vec<String>>,
}

/// A part of the audit.
#[derive(Debug, Serialize, ToSchema)]
pub struct AuditPage {
    data: Vec<AuditView>,
    meta: AuditMeta,
}

/// Where in the audit an answer stands.
#[derive(Debug, Serialize, ToSchema)]
pub struct AuditMeta {
    limit: u64,
    /// To be sent as `cursor`; null at the end. Where what is asked for is rare, an answer may have
    /// fewer entries than `limit`, or none, and still a cursor.
    next_cursor: Option<String>,
}

impl AuditView {
    fn new(services: &Services, entry: Entry) -> Result<Self, Problem> {
        let Entry { offset, event, changed } = entry;
        let action = event.action.name();
        let subject = event.subject.map(Uuid::from_bytes);
        let subject = subject.map(|id| match action.split('.').next() {
            Some("link") => LinkId::new(id).to_string(),
            Some("token") => TokenId::new(id).to_string(),
            Some("report") => ReportId::new(id).to_string(),
            Some("campaign") => CampaignId::new(id).to_string(),
            Some("utm_template") => UtmTemplateId::new(id).to_string(),
            _ => id.to_string(),
        });
        let changed = match changed.map(|both| *both) {
            Some((before, after)) => {
                Some(differences(services, before, after)?.into_keys().collect())
            }
            None => None,
        };
        let actor = event.actor.map(|bytes| TokenId::new(Uuid::from_bytes(bytes)).to_string());
        Ok(Self { offset, at: iso8601(event.at_ms), actor, action, subject, changed })
    }
}

/// See what was done in the workspace, newest first.
///
/// Each change that the log holds, those of purged links too. Secrets are never in it.
#[utoipa::path(
    get, path = "/audit", tag = "history",
    params(
        ("link" = Option<String>, Query, description = "Only what happened to this link, by its id"),
        ("actor" = Option<String>, Query, description = "Only what this token did, by its id"),
        ("action" = Option<String>, Query, description = "Only this, such as `link.created`"),
        ("from" = Option<String>, Query, description = "Not before this day or moment"),
        ("to" = Option<String>, Query, description = "Before this day or moment"),
        ("limit" = Option<u64>, Query, description = "1 to 100; 20 when absent"),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the answer before"),
    ),
    responses(
        (status = 200, body = AuditPage),
        (status = 400, body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn list(
    State(services): State<Services>,
    actor: Can<AuditRead>,
    mut params: Params,
) -> Result<Json<AuditPage>, Problem> {
    let page = Page::take_first(&mut params);
    let before = params.number("cursor", 1, u64::MAX);
    let filter = filter(&mut params);
    params.finish()?;
    let found = services.histories.audit(actor.workspace, filter, before, page.size()).await?;
    let (entries, next) = found;
    let data = entries.into_iter().map(|entry| AuditView::new(&services, entry));
    let data = data.collect::<Result<_, _>>()?;
    let next_cursor = next.map(|offset| offset.to_string());
    Ok(Json(AuditPage { data, meta: AuditMeta { limit: page.limit, next_cursor } }))
}

fn filter(params: &mut Params) -> AuditFilter {
    let link = params.parsed("link", "is no link's id", |text| text.parse().ok());
    let actor = params.parsed("actor", "is no token's id", |text| text.parse().ok());
    let names = || Action::every().map(Action::name).collect::<Vec<_>>().join(", ");
    let action = params.parsed("action", format!("must be one of {}", names()), Action::parse);
    let rule = "must be a day such as 2026-11-21, or a moment";
    let moment = |text: &str| moment_ms(text).filter(|_| text != "all");
    let from_ms = params.parsed("from", rule, moment);
    let to_ms = params.parsed("to", rule, moment);
    AuditFilter { link, actor, action, from_ms, to_ms }
}
