//! `/api/v1/workspaces/{workspace}/transfer`: the ownership is offered to a member, who accepts.

use axum::Json;
use serde::Deserialize;
use utoipa::ToSchema;

use super::WorkspaceView;
use crate::domain::error::{Result, ServiceError};
use crate::domain::mail::Message;
use crate::domain::workspace::Role;
use crate::domain::workspace::command::WorkspaceCommand;
use crate::http::auth::{Api, actor_in};
use crate::http::body::JsonBody;
use crate::http::native::Changed;
use crate::http::params::Name;

/// The member to whom the ownership is offered.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TransferBody {
    /// The user's ID.
    #[schema(example = "user_01kaj9m3v8e9qrs4t5v6w7x8y9")]
    user: String,
}

/// Offers the ownership of a workspace to a member.
///
/// The offer is valid for 14 days; the owner stays the owner until the member accepts.
#[utoipa::path(
    post, path = "/workspaces/{workspace}/transfer", request_body = TransferBody,
    responses(
        (status = 200, body = Changed<WorkspaceView>),
        (status = 409, description = "The workspace is personal, or the member owns it already."),
    ),
)]
pub async fn offer(
    api: Api,
    Name(workspace): Name,
    body: JsonBody<TransferBody>,
) -> Result<Json<Changed<WorkspaceView>>> {
    let actor = api.in_workspace(&workspace)?;
    let user = body.value.user.parse();
    let user = user.map_err(|_| ServiceError::field("user", "is not the id of a user"))?;
    let offered = api.change_workspace(actor, WorkspaceCommand::OfferOwnership(user)).await?;
    let (services, accounts) = (&api.services, &api.services.accounts);
    let inviter = accounts.profile_of(api.user()?)?.and_then(|profile| profile.name);
    if let Some(email) = accounts.profile_of(user)?.and_then(|profile| profile.email) {
        let link = format!("{}/api/v1/docs/", services.site.base);
        let workspace = offered.0.data.name.clone();
        services.send_mail(&email, Message::OwnershipOffer { workspace, inviter, link });
    }
    Ok(offered)
}

/// Withdraws the offer of the ownership.
///
/// The member declines it in the same way.
#[utoipa::path(
    delete, path = "/workspaces/{workspace}/transfer",
    responses((status = 200, body = Changed<WorkspaceView>)),
)]
pub async fn withdraw(api: Api, Name(workspace): Name) -> Result<Json<Changed<WorkspaceView>>> {
    let actor = api.in_workspace(&workspace)?;
    api.change_workspace(actor, WorkspaceCommand::WithdrawOffer).await
}

/// Accepts the ownership of a workspace.
///
/// The former owner becomes an admin.
#[utoipa::path(
    post, path = "/workspaces/{workspace}/transfer/accept",
    responses(
        (status = 200, body = Changed<WorkspaceView>),
        (status = 410, description = "The offer has expired."),
    ),
)]
pub async fn accept(api: Api, Name(workspace): Name) -> Result<Json<Changed<WorkspaceView>>> {
    let actor = api.in_workspace(&workspace)?;
    let mut accepted = api.change_workspace(actor, WorkspaceCommand::AcceptOwnership).await?;
    let role = actor_in(&api.services, api.user()?, actor.workspace)?.user.map(|(_, role)| role);
    accepted.0.data.role = role.map(Role::as_str);
    accepted.0.data.is_owner = role == Some(Role::Owner);
    Ok(accepted)
}
