//! `/api/v1/workspaces/{workspace}/invitations`, and `/api/v1/invitations/{token}` for the invited.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::members::MemberView;
use super::user_of;
use crate::commands::accounts::{AccountLink, Invited, LinkPurpose};
use crate::domain::error::{ErrorCode, Result, ServiceError};
use crate::domain::event::InvitationState;
use crate::domain::ids::InvitationId;
use crate::domain::mail::Message;
use crate::domain::token::{Ability, Actor};
use crate::domain::workspace::Role;
use crate::http::Services;
use crate::http::auth::{Api, Session};
use crate::http::body::JsonBody;
use crate::http::native::page::{Page, PageOf, PageParams};
use crate::http::native::schema::AssignableRole;
use crate::http::native::{Data, iso8601};
use crate::http::params::{Name, Params};

/// The maximum number of invitations per request.
const MAX_PER_REQUEST: usize = 10;

/// People to invite.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct InvitationsBody {
    #[schema(min_items = 1, max_items = 10)]
    invitations: Vec<InvitationBody>,
}

/// A person to invite.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct InvitationBody {
    #[schema(example = "grace@example.com")]
    email: String,
    /// `admin`, `member`, `viewer` or `billing`.
    #[schema(value_type = AssignableRole, example = "member")]
    role: String,
}

/// An invitation.
#[derive(Serialize, ToSchema)]
pub struct InvitationView {
    #[schema(example = "inv_01kaj9m3v8e9qrs4t5v6w7x8y9")]
    id: String,
    #[schema(example = "grace@example.com")]
    email: Option<String>,
    /// `admin`, `member`, `viewer` or `billing`.
    #[schema(example = "member")]
    role: &'static str,
    /// The ID of the user who invites; null for machine tokens.
    invited_by: Option<String>,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    expires_at: String,
    /// The link to hand over if mail is not configured; only in the response that creates or
    /// resends the invitation.
    #[serde(skip_serializing_if = "Option::is_none")]
    link: Option<String>,
}

impl InvitationView {
    fn new(invitation: &InvitationState, email: Option<String>, link: Option<String>) -> Self {
        let id = invitation.invitation_id().map(|id| id.to_string());
        Self {
            id: id.unwrap_or_default(),
            email,
            role: Role::from_number(invitation.role).map_or("", Role::as_str),
            invited_by: user_of(&invitation.invited_by),
            created_at: iso8601(invitation.created_at_ms),
            expires_at: iso8601(invitation.expires_at_ms),
            link,
        }
    }

    /// Sends an invitation, or shows its link if mail is not configured.
    fn sent(services: &Services, actor: Actor, to_send: Invited) -> Result<Self> {
        let Invited { invitation, email, token } = to_send;
        let link = services.account_url(LinkPurpose::Invitation, &token);
        if services.mailer.is_none() {
            return Ok(Self::new(&invitation, Some(email), Some(link)));
        }
        let accounts = &services.accounts;
        let workspace = accounts.workspace(actor.workspace)?.unwrap_or_default().name;
        let inviter = match actor.user {
            Some((user, _)) => accounts.profile_of(user)?.and_then(|profile| profile.name),
            None => None,
        };
        let role = Role::from_number(invitation.role).map_or("", Role::as_str).to_owned();
        let expires_at = iso8601(invitation.expires_at_ms);
        let message = Message::Invitation { workspace, inviter, role, link, expires_at };
        services.send_mail(&email, message);
        Ok(Self::new(&invitation, Some(email), None))
    }
}

/// The result of an invitation.
#[derive(Serialize, ToSchema)]
pub struct InvitationResult {
    /// The address in the request.
    email: String,
    /// The invitation; null if there is none.
    invitation: Option<InvitationView>,
    /// Why there is none: the `code` and the `detail` of a problem.
    #[schema(value_type = Option<Object>)]
    error: Option<serde_json::Value>,
}

/// Invites up to 10 people to a workspace.
///
/// Each invitation is valid for 14 days. An address that cannot be invited has an `error` in the
/// response; if it is the only one, the response is that error.
#[utoipa::path(
    post, path = "/workspaces/{workspace}/invitations", request_body = InvitationsBody,
    responses(
        (status = 201, body = Data<Vec<InvitationResult>>),
        (status = 409, description = "The only address is a member's, or is invited already."),
    ),
)]
pub async fn create(
    api: Api,
    Name(workspace): Name,
    body: JsonBody<InvitationsBody>,
) -> Result<(StatusCode, Json<Data<Vec<InvitationResult>>>)> {
    let actor = api.in_workspace(&workspace)?;
    let list = &body.value.invitations;
    if !(1..=MAX_PER_REQUEST).contains(&list.len()) {
        let rule = format!("must be 1 to {MAX_PER_REQUEST} invitations");
        return Err(ServiceError::field("invitations", rule));
    }
    let accounts = &api.services.accounts;
    let given = list.iter().map(|one| (one.email.as_str(), one.role.as_str()));
    let checked = accounts.check_invitations(given)?;
    for (email, _) in &checked {
        api.services.sign_in_limits.mail_to(email)?;
    }
    // Others may have been invited before it.
    let is_of_address =
        |error: &ServiceError| matches!(error.code, ErrorCode::Conflict | ErrorCode::PlanLimit);
    let is_only = checked.len() == 1;
    let mut data = Vec::with_capacity(checked.len());
    for (email, role) in checked {
        let (invitation, error) = match accounts.invite(actor, &email, role).await {
            Ok(invited) => (Some(InvitationView::sent(&api.services, actor, invited)?), None),
            Err(error) if is_of_address(&error) && !is_only => {
                (None, Some(crate::http::problem::item(&error).1))
            }
            Err(error) => return Err(error),
        };
        data.push(InvitationResult { email, invitation, error });
    }
    Ok((StatusCode::CREATED, Json(Data { data })))
}

/// Lists the invitations to a workspace, oldest first.
///
/// Expired ones are listed for 30 days.
#[utoipa::path(
    get, path = "/workspaces/{workspace}/invitations", params(PageParams),
    responses((status = 200, body = PageOf<InvitationView>)),
)]
pub async fn list(
    api: Api,
    Name(workspace): Name,
    mut params: Params,
) -> Result<Json<PageOf<InvitationView>>> {
    let page = Page::take(&mut params);
    params.finish()?;
    let actor = api.in_workspace(&workspace)?;
    // The route's ability may be that of another workspace.
    if !actor.abilities.allows(Ability::MembersWrite) {
        let text = "Your role lacks the ability members:write.";
        return Err(ServiceError::new(ErrorCode::Forbidden, text));
    }
    let accounts = &api.services.accounts;
    let invitations = accounts.invitations(actor.workspace)?;
    let view = |one| Ok(InvitationView::new(&one, accounts.invitation_email(&one), None));
    Ok(Json(page.of(invitations, view)?))
}

fn parse(id: &str) -> Result<InvitationId> {
    id.parse().map_err(|_| ServiceError::not_found("invitation"))
}

/// Sends an invitation again.
///
/// It is valid for 14 days from now on. Earlier links of it stay valid, too.
#[utoipa::path(
    post, path = "/workspaces/{workspace}/invitations/{invitation}/resend",
    responses((status = 200, body = Data<InvitationView>)),
)]
pub async fn resend(
    api: Api,
    Path((workspace, id)): Path<(String, String)>,
) -> Result<Json<Data<InvitationView>>> {
    let (actor, id) = (api.in_workspace(&workspace)?, parse(&id)?);
    api.services.sign_in_limits.mail_to(&id.to_string())?;
    let invited = api.services.accounts.resend(actor, id).await?;
    Ok(Json(Data { data: InvitationView::sent(&api.services, actor, invited)? }))
}

/// Revokes an invitation.
#[utoipa::path(
    delete, path = "/workspaces/{workspace}/invitations/{invitation}",
    responses((status = 204, description = "Revoked.")),
)]
pub async fn delete(api: Api, Path((workspace, id)): Path<(String, String)>) -> Result<StatusCode> {
    let (actor, id) = (api.in_workspace(&workspace)?, parse(&id)?);
    api.services.accounts.revoke_invitation(actor, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// An invitation as shown to the invited person.
#[derive(Serialize, ToSchema)]
pub struct InvitationPreview {
    /// The name of the workspace.
    workspace: String,
    /// The invited address.
    email: Option<String>,
    role: &'static str,
    #[schema(format = DateTime)]
    expires_at: String,
}

/// Retrieves an invitation by the token of its link.
#[utoipa::path(
    get, path = "/invitations/{invitation_token}",
    responses(
        (status = 200, body = Data<InvitationPreview>),
        (status = 404, description = "There is no such invitation."),
        (status = 410, description = "The invitation has expired or was accepted."),
    ),
)]
pub async fn get(
    State(services): State<Services>,
    Name(token): Name,
) -> Result<Json<Data<InvitationPreview>>> {
    let accounts = &services.accounts;
    let (workspace, invitation) = accounts.invitation(&AccountLink::parse(&token)?)?;
    let data = InvitationPreview {
        workspace: accounts.workspace(workspace)?.unwrap_or_default().name,
        email: accounts.invitation_email(&invitation),
        role: Role::from_number(invitation.role).map_or("", Role::as_str),
        expires_at: iso8601(invitation.expires_at_ms),
    };
    Ok(Json(Data { data }))
}

/// Accepts an invitation.
///
/// The caller must have the invited address.
#[utoipa::path(
    post, path = "/invitations/{invitation_token}/accept",
    responses(
        (status = 200, body = Data<MemberView>),
        (status = 403, description = "The invitation was sent to another address."),
        (status = 404, description = "There is no such invitation."),
        (status = 409, description = "The caller is a member already."),
        (status = 410, description = "The invitation has expired or was accepted."),
    ),
)]
pub async fn accept(
    State(services): State<Services>,
    session: Session,
    Name(token): Name,
) -> Result<Json<Data<MemberView>>> {
    let accounts = &services.accounts;
    let (_, member) = accounts.accept_invitation(&token, session.user).await?;
    let profile = accounts.profile_of(session.user)?;
    let profile = profile.ok_or_else(|| ServiceError::not_found("user"))?;
    Ok(Json(Data { data: MemberView::new(&member, profile) }))
}
