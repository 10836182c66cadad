//! Events of workspaces, users and tokens as JSON. Hashes of secrets and sealed values are left
//! out.

use serde_json::{Value, json};
use uuid::Uuid;

use super::{billing, qr_codes};
use crate::domain::event::{Event, InvitationState, SessionState, TokenState, UserState};
use crate::domain::ids::{InvitationId, SessionId, TokenId, UserId};
use crate::domain::workspace::Role;

/// The fields of an event.
pub(super) fn event_json(event: &Event) -> anyhow::Result<Value> {
    Ok(match event {
        Event::WorkspaceCreated(created) => {
            json!({ "name": created.name, "owner": user(&created.owner) })
        }
        Event::WorkspaceRenamed(renamed) => json!({ "name": renamed.name }),
        Event::WorkspaceDeleted(deleted) => json!({ "purged_at_ms": deleted.purged_at_ms }),
        Event::WorkspaceRestored(_) | Event::WorkspacePurged(_) => json!({}),
        Event::OwnershipOffered(offered) => {
            json!({ "user": user(&offered.user), "expires_at_ms": offered.expires_at_ms })
        }
        Event::OwnershipTransferred(transferred) => json!({ "user": user(&transferred.user) }),
        Event::MemberAdded(member) | Event::MemberChanged(member) => {
            json!({ "user": user(&member.user), "role": role(member.role) })
        }
        Event::MemberRemoved(removed) => json!({ "user": user(&removed.user) }),
        Event::InvitationSent(invitation) => invitation_json(invitation)?,
        Event::InvitationRevoked(revoked) => {
            json!({ "invitation": InvitationId::from_bytes(&revoked.invitation)?.to_string() })
        }
        Event::TokenCreated(token) | Event::TokenChanged(token) | Event::TokenRotated(token) => {
            token_json(token)?
        }
        Event::TokenRevoked(revoked) => {
            json!({ "token": TokenId::from_bytes(&revoked.token)?.to_string() })
        }
        Event::UserCreated(state)
        | Event::UserChanged(state)
        | Event::PasswordChanged(state)
        | Event::TwoFactorEnabled(state)
        | Event::TwoFactorDisabled(state)
        | Event::UserBlocked(state)
        | Event::UserUnblocked(state) => user_json(state),
        Event::UserDeleted(deleted) => json!({ "user": user(&deleted.user) }),
        Event::SessionStarted(session) => session_json(session)?,
        Event::SessionEnded(ended) => json!({
            "session": SessionId::from_bytes(&ended.session)?.to_string(),
            "user": user(&ended.user),
        }),
        Event::SignInFailed(failed) => json!({ "user": user(&failed.user) }),
        Event::QrCodeCreated(_)
        | Event::QrCodeChanged(_)
        | Event::QrCodeDeleted(_)
        | Event::LogoStored(_)
        | Event::LogoDeleted(_)
        | Event::QrDefaultsChanged(_) => qr_codes::event_json(event)?,
        event => billing::event_json(event)?,
    })
}

fn user(bytes: &[u8]) -> Option<String> {
    Uuid::from_slice(bytes).ok().map(|id| UserId::new(id).to_string())
}

fn role(number: u32) -> Option<&'static str> {
    Role::from_number(number).map(Role::as_str)
}

fn token_json(token: &TokenState) -> anyhow::Result<Value> {
    Ok(json!({
        "token": TokenId::from_bytes(&token.id)?.to_string(),
        "user": token.user.as_deref().and_then(user),
        "name": token.name,
        "abilities": token.abilities,
        "prefix": token.prefix,
        "disabled": token.is_disabled,
        "networks": token.networks,
        "expires_at_ms": token.expires_at_ms,
    }))
}

fn user_json(state: &UserState) -> Value {
    json!({
        "user": user(&state.id),
        "role": state.role().as_str(),
        "verified": state.is_verified,
        "blocked": state.is_blocked,
        "has_password": state.password.is_some(),
        "two_factor": state.has_two_factor(),
    })
}

fn session_json(session: &SessionState) -> anyhow::Result<Value> {
    Ok(json!({
        "session": SessionId::from_bytes(&session.id)?.to_string(),
        "user": user(&session.user),
        "browser": session.is_browser(),
        "client": session.client,
        "expires_at_ms": session.expires_at_ms,
    }))
}

fn invitation_json(invitation: &InvitationState) -> anyhow::Result<Value> {
    Ok(json!({
        "invitation": InvitationId::from_bytes(&invitation.id)?.to_string(),
        "role": role(invitation.role),
        "invited_by": user(&invitation.invited_by),
        "expires_at_ms": invitation.expires_at_ms,
    }))
}
