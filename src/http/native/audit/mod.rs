//! `/api/v1/audit`: the audit log of the workspace.

use axum::Json;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::routes;
use uuid::Uuid;

use super::admin::timestamp_ms;
use super::iso8601;
use super::links::versions::differences;
use super::page::{CursorParams, Page};
use super::route::Routes;
use crate::domain::action::Action;
use crate::domain::error::Result;
use crate::domain::ids::{
    CampaignId, DomainId, GrantId, ImportId, InvitationId, LinkId, LogoId, QrCodeId, RechargeId,
    ReportId, SessionId, TokenId, UserId, UtmTemplateId, any_id,
};
use crate::domain::token::Ability;
use crate::http::Services;
use crate::http::auth::Api;
use crate::http::params::Params;
use crate::queries::history::{ActorId, AuditFilter, Entry};

pub fn routes() -> Routes {
    Routes::of("history", "audit").route(Ability::AuditRead, routes!(list))
}

/// An entry of the audit log.
#[derive(Debug, Serialize, ToSchema)]
pub struct AuditView {
    /// The offset in the change log.
    offset: u64,
    #[schema(format = DateTime)]
    at: String,
    /// The ID of the token that made the change; null for sessions and the service itself.
    actor: Option<String>,
    /// The ID of the user who made the change; null for machine tokens and the service itself.
    user: Option<String>,
    /// What happened.
    #[schema(value_type = Action, example = "link.changed")]
    action: String,
    /// The ID of the changed resource; null for the workspace itself.
    subject: Option<String>,
    /// The names of the changed fields, if a link was changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    changed: Option<Vec<String>>,
}

/// A page of the audit log.
#[derive(Debug, Serialize, ToSchema)]
pub struct AuditPage {
    data: Vec<AuditView>,
    meta: AuditMeta,
}

/// The position of a response in the audit log.
#[derive(Debug, Serialize, ToSchema)]
pub struct AuditMeta {
    limit: u64,
    /// The `cursor` of the next request; null at the end. With a filter, a response may have fewer
    /// entries than `limit`, or none, and still a cursor.
    next_cursor: Option<String>,
}

/// The ID of what an action is about, with the prefix of its kind.
fn subject_id(action: &str, id: Uuid) -> Option<String> {
    let (noun, _) = action.split_once('.')?;
    Some(match noun {
        _ if matches!(action, "credits.reserved" | "credits.released") => {
            ImportId::new(id).to_string()
        }
        "link" => LinkId::new(id).to_string(),
        "token" => TokenId::new(id).to_string(),
        "report" => ReportId::new(id).to_string(),
        "campaign" => CampaignId::new(id).to_string(),
        "utm_template" => UtmTemplateId::new(id).to_string(),
        "domain" | "qr_defaults" => DomainId::new(id).to_string(),
        "qr_code" => QrCodeId::new(id).to_string(),
        "logo" => LogoId::new(id).to_string(),
        "session" => SessionId::new(id).to_string(),
        "credits" | "payment" => GrantId::new(id).to_string(),
        "recharge" => RechargeId::new(id).to_string(),
        "invitation" => InvitationId::new(id).to_string(),
        "user" | "password" | "two_factor" | "sign_in" | "member" | "ownership" => {
            UserId::new(id).to_string()
        }
        _ => return None,
    })
}

impl AuditView {
    fn new(services: &Services, entry: Entry) -> Result<Self> {
        let Entry { offset, event, changed } = entry;
        let action = event.action.name();
        let subject = event.subject.map(Uuid::from_bytes);
        let subject = subject.and_then(|id| subject_id(&action, id));
        let changed = match changed.map(|both| *both) {
            Some((before, after)) => {
                Some(differences(services, before, after)?.into_keys().collect())
            }
            None => None,
        };
        let actor = event.token.map(|bytes| TokenId::new(Uuid::from_bytes(bytes)).to_string());
        let user = event.user.map(|bytes| UserId::new(Uuid::from_bytes(bytes)).to_string());
        Ok(Self { offset, at: iso8601(event.at_ms), actor, user, action, subject, changed })
    }
}

/// Lists the changes made in the workspace, newest first.
///
/// Covers every change in the log, including those of purged links. Secrets are never included.
#[utoipa::path(
    get, path = "/audit",
    params(
        ("link" = Option<String>, Query, description = "Returns changes of the link with this ID only."),
        ("actor" = Option<String>, Query, description = "Returns changes by the token or the user with this ID only."),
        ("resource" = Option<String>, Query, description = "Returns changes of the resource with this ID only: a link, token, domain, campaign, member, …"),
        ("action" = inline(Option<Action>), Query, description = "Returns this kind of change only."),
        ("from" = Option<String>, Query, description = "The first day or time to return."),
        ("to" = Option<String>, Query, description = "The first day or time not to return."),
        CursorParams,
    ),
    responses((status = 200, body = AuditPage)),
)]
pub async fn list(Api { services, actor }: Api, mut params: Params) -> Result<Json<AuditPage>> {
    let page = Page::take_first(&mut params);
    let before = params.number("cursor", 1, u64::MAX);
    let filter = filter(&mut params);
    params.finish()?;
    let found = services.link_history.audit(actor.workspace, filter, before, page.size()).await?;
    let (entries, next) = found;
    let data = entries.into_iter().map(|entry| AuditView::new(&services, entry));
    let data = data.collect::<Result<_, _>>()?;
    let next_cursor = next.map(|offset| offset.to_string());
    Ok(Json(AuditPage { data, meta: AuditMeta { limit: page.limit, next_cursor } }))
}

fn filter(params: &mut Params) -> AuditFilter {
    let link = params.parsed("link", "is not the id of a link", |text| text.parse().ok());
    let actor = params.parsed("actor", "is not the id of a token or a user", |text| {
        let user = || text.parse().ok().map(ActorId::User);
        text.parse().ok().map(ActorId::Token).or_else(user)
    });
    let subject = params.parsed("resource", "is not an id", any_id);
    let names = || Action::every().map(Action::name).collect::<Vec<_>>().join(", ");
    let action = params.parsed("action", format!("must be one of {}", names()), Action::parse);
    let rule = "must be a day such as 2026-11-21, or a time";
    let timestamp = |text: &str| timestamp_ms(text).filter(|_| text != "all");
    let from_ms = params.parsed("from", rule, timestamp);
    let to_ms = params.parsed("to", rule, timestamp);
    AuditFilter { link, actor, subject, action, from_ms, to_ms }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_subject_has_the_prefix_of_its_kind() {
        // Their subject is the workspace, whose id an entry does not repeat.
        let of_workspace = [
            "workspace",
            "plan",
            "api_calls",
            "subscription",
            // The action is `subscription_past.due`.
            "subscription_past",
            "auto_recharge",
        ];
        for action in Action::every().map(Action::name) {
            let (noun, _) = action.split_once('.').unwrap();
            let id = subject_id(&action, Uuid::nil());
            assert_eq!(id.is_none(), of_workspace.contains(&noun), "{action}");
        }
        let id = |action| subject_id(action, Uuid::nil()).unwrap();
        assert!(id("qr_code.changed").starts_with("qr_") && id("logo.stored").starts_with("logo_"));
    }
}
