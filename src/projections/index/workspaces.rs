//! Workspaces, their members and invitations in the index.

use prost::Message;

use super::encoding::number;
use super::read::{Read, ReadRanges};
use super::state::{State, add_to};
use super::{Index, IndexError, keys};
use crate::domain::error::Unreadable;
use crate::domain::event::{Event, InvitationState, MemberState, OwnershipOffered};
use crate::domain::ids::{InvitationId, UserId, WorkspaceId};
use crate::domain::plan::AssignedPlan;
use crate::domain::plan::credit::CreditKind;
use crate::domain::retention::EXPIRED_INVITATION_MS;
use crate::domain::workspace::Role;
use crate::domain::workspace::state::{WorkspaceState, user_id};

const TIME_BYTES: usize = 8;

/// Reads workspaces, members and invitations.
pub trait ReadWorkspaces: Read {
    /// A workspace, which may be deleted.
    fn workspace(&self, id: WorkspaceId) -> Result<Option<WorkspaceState>, IndexError> {
        let value = self.get(&keys::workspace(id))?;
        let workspace = value.map(|value| WorkspaceState::decode(value.as_slice())).transpose();
        workspace.map_err(|error| self.report_damage(error.into()))
    }

    /// A member of a workspace.
    fn member(&self, id: WorkspaceId, user: UserId) -> Result<Option<MemberState>, IndexError> {
        let value = self.get(&keys::member_of(id, user))?;
        let member = value.map(|value| MemberState::decode(value.as_slice())).transpose();
        member.map_err(|error| self.report_damage(error.into()))
    }

    /// A user's role in a workspace.
    fn role(&self, id: WorkspaceId, user: UserId) -> Result<Option<Role>, IndexError> {
        let member = self.member(id, user)?;
        Ok(member.and_then(|member| Role::from_number(member.role)))
    }

    /// An invitation to a workspace, which may have expired.
    fn invitation(
        &self,
        workspace: WorkspaceId,
        id: InvitationId,
    ) -> Result<Option<InvitationState>, IndexError> {
        let value = self.get(&keys::invitation(workspace, id))?;
        let invitation = value.map(|value| decode_invitation(&value)).transpose();
        invitation.map_err(|error| self.report_damage(error))
    }

    /// All workspaces, oldest first.
    fn workspaces(&self) -> Result<Vec<(WorkspaceId, WorkspaceState)>, IndexError>
    where
        Self: ReadRanges,
    {
        let rows = self.rows(keys::WORKSPACES)?.into_iter();
        let workspaces = rows.map(|(key, value)| {
            Ok((workspace_id(&key)?, WorkspaceState::decode(value.as_slice())?))
        });
        let workspaces = workspaces.collect::<Result<_, IndexError>>();
        workspaces.map_err(|error| self.report_damage(error))
    }

    /// The plans that workspaces have, other than as the default one, and how many have each.
    fn plans(&self) -> Result<Vec<(String, u64)>, IndexError>
    where
        Self: ReadRanges,
    {
        let rows = self.rows(keys::PLAN_COUNTS)?.into_iter();
        let plans = rows.map(|(key, value)| {
            let plan = String::from_utf8_lossy(&key[keys::PLAN_COUNTS.len()..]).into_owned();
            (plan, number(&value))
        });
        Ok(plans.filter(|(_, workspaces)| *workspaces > 0).collect())
    }

    /// The workspaces that a user is a member of, oldest first.
    fn workspaces_of(&self, user: UserId) -> Result<Vec<WorkspaceId>, IndexError>
    where
        Self: ReadRanges,
    {
        let rows = self.rows(&keys::workspaces_of(user))?.into_iter();
        let workspaces = rows.map(|(key, _)| workspace_id(&key)).collect::<Result<_, _>>();
        workspaces.map_err(|error| self.report_damage(error))
    }

    /// A workspace's members, in the order in which their accounts were created.
    fn members(&self, workspace: WorkspaceId) -> Result<Vec<MemberState>, IndexError>
    where
        Self: ReadRanges,
    {
        let rows = self.rows(&keys::members_of(workspace))?.into_iter();
        let members = rows.map(|(_, value)| MemberState::decode(value.as_slice()));
        let members = members.collect::<Result<_, _>>();
        members.map_err(|error| self.report_damage(error.into()))
    }

    /// A workspace's invitations, oldest first; some may have expired.
    fn invitations(&self, workspace: WorkspaceId) -> Result<Vec<InvitationState>, IndexError>
    where
        Self: ReadRanges,
    {
        let rows = self.rows(&keys::invitations_of(workspace))?.into_iter();
        let invitations =
            rows.map(|(_, value)| decode_invitation(&value)).collect::<Result<_, _>>();
        invitations.map_err(|error| self.report_damage(error))
    }
}

impl<R: Read + ?Sized> ReadWorkspaces for R {}

fn workspace_id(key: &[u8]) -> Result<WorkspaceId, IndexError> {
    let id = keys::last_id(key).and_then(|bytes| WorkspaceId::from_bytes(&bytes).ok());
    id.ok_or(IndexError::Broken("a workspace's key"))
}

fn decode_invitation(value: &[u8]) -> Result<InvitationState, IndexError> {
    Ok(InvitationState::decode(value.get(TIME_BYTES..).unwrap_or_default())?)
}

/// The memberships of all users.
pub fn all_memberships(index: &Index) -> Result<Vec<(UserId, WorkspaceId)>, IndexError> {
    let rows = index.rows(keys::MEMBERSHIPS)?.into_iter();
    let membership = |key: Vec<u8>| {
        let user = key.get(1..17).and_then(|bytes| UserId::from_bytes(bytes).ok());
        let user = user.ok_or(IndexError::Broken("the key of a user's workspace"))?;
        Ok((user, workspace_id(&key)?))
    };
    rows.map(|(key, _)| membership(key)).collect()
}

/// The invitations to all workspaces.
pub fn all_invitations(index: &Index) -> Result<Vec<InvitationState>, IndexError> {
    let rows = index.rows(keys::INVITATIONS)?.into_iter();
    rows.map(|(_, value)| decode_invitation(&value)).collect()
}

/// Folds an event of a workspace.
pub fn fold<S: State>(
    state: &mut S,
    workspace: WorkspaceId,
    at_ms: u64,
    event: &Event,
) -> Result<(), IndexError> {
    match event {
        Event::WorkspaceCreated(created) => {
            create(state, workspace, at_ms, (created.name.clone(), &created.owner))
        }
        Event::WorkspaceRenamed(renamed) => {
            change(state, workspace, |state| state.name.clone_from(&renamed.name))
        }
        Event::WorkspaceDeleted(deleted) => delete(state, workspace, deleted.purged_at_ms),
        Event::WorkspaceRestored(_) => change(state, workspace, |state| state.purged_at_ms = None),
        Event::WorkspacePurged(_) => {
            if let Some(WorkspaceState { owner, plan, .. }) = state.workspace(workspace)? {
                count_plans(state, [plan, None])?;
                if !owner.is_empty() {
                    remove_member(state, workspace, user_id(&owner)?)?;
                }
            }
            state.remove(keys::credits(workspace));
            state.remove(keys::subscription(workspace));
            for kind in CreditKind::EVERY {
                state.remove(keys::auto_recharge(workspace, *kind));
            }
            state.remove(keys::workspace(workspace));
            Ok(())
        }
        Event::OwnershipOffered(offered) => {
            let offer = (!offered.user.is_empty()).then(|| offered.clone());
            change(state, workspace, |state| state.offer = offer)
        }
        Event::OwnershipTransferred(transferred) => {
            transfer(state, workspace, at_ms, &transferred.user)
        }
        Event::MemberAdded(member) | Event::MemberChanged(member) => {
            if let Ok(id) = InvitationId::from_bytes(&member.invitation) {
                state.remove(keys::invitation(workspace, id));
            }
            insert_member(state, workspace, member)
        }
        Event::MemberRemoved(removed) => remove_member(state, workspace, user_id(&removed.user)?),
        Event::InvitationSent(invitation) => {
            let key = keys::invitation(workspace, invitation.invitation_id()?);
            let until_ms = invitation.expires_at_ms.saturating_add(EXPIRED_INVITATION_MS);
            state.put(keys::expiry(until_ms, &key), Vec::new());
            let mut value = until_ms.to_be_bytes().to_vec();
            value.extend(invitation.encode_to_vec());
            state.put(key, value);
            Ok(())
        }
        Event::InvitationRevoked(revoked) => {
            let id = InvitationId::from_bytes(&revoked.invitation);
            let id = id.map_err(|_| Unreadable("invitation id"))?;
            state.remove(keys::invitation(workspace, id));
            Ok(())
        }
        _ => Err(IndexError::Broken("an event that is not of a workspace")),
    }
}

/// Creates a workspace, with its owner as a member if it has one.
pub(super) fn create<S: State>(
    state: &mut S,
    workspace: WorkspaceId,
    at_ms: u64,
    (name, owner): (String, &[u8]),
) -> Result<(), IndexError> {
    let owner = owner.to_vec();
    let created = WorkspaceState { name, owner, created_at_ms: at_ms, ..WorkspaceState::default() };
    state.put(keys::workspace(workspace), created.encode_to_vec());
    if created.owner.is_empty() {
        return Ok(());
    }
    insert_owner(state, workspace, at_ms, &created.owner)
}

/// Marks a workspace as deleted.
pub(super) fn delete<S: State>(
    state: &mut S,
    workspace: WorkspaceId,
    purged_at_ms: u64,
) -> Result<(), IndexError> {
    change(state, workspace, |state| state.purged_at_ms = Some(purged_at_ms))
}

pub(super) fn change<S: State>(
    state: &mut S,
    workspace: WorkspaceId,
    change: impl FnOnce(&mut WorkspaceState),
) -> Result<(), IndexError> {
    if let Some(mut found) = state.workspace(workspace)? {
        let before = found.plan.clone();
        change(&mut found);
        state.put(keys::workspace(workspace), found.encode_to_vec());
        count_plans(state, [before, found.plan])?;
    }
    Ok(())
}

/// Counts that a workspace had a plan before a change, and has one after it.
fn count_plans<S: State>(
    state: &mut S,
    plans: [Option<AssignedPlan>; 2],
) -> Result<(), IndexError> {
    let [before, after] = plans.map(|plan| plan.map(|plan| keys::plan_count(&plan.id)));
    if before == after {
        return Ok(());
    }
    before.map_or(Ok(()), |plan| add_to(state, plan, -1))?;
    after.map_or(Ok(()), |plan| add_to(state, plan, 1))
}

fn insert_owner<S: State>(
    state: &mut S,
    workspace: WorkspaceId,
    at_ms: u64,
    user: &[u8],
) -> Result<(), IndexError> {
    let before = state.member(workspace, user_id(user)?)?;
    let joined_at_ms = before.map_or(at_ms, |member| member.joined_at_ms);
    let role = Role::Owner as u32;
    let owner = MemberState { user: user.to_vec(), role, joined_at_ms, invitation: Vec::new() };
    insert_member(state, workspace, &owner)
}

fn transfer<S: State>(
    state: &mut S,
    workspace: WorkspaceId,
    at_ms: u64,
    user: &[u8],
) -> Result<(), IndexError> {
    let former = state.workspace(workspace)?.map(|found| found.owner).unwrap_or_default();
    if !former.is_empty()
        && let Some(member) = state.member(workspace, user_id(&former)?)?
    {
        let demoted = MemberState { role: Role::Admin as u32, ..member };
        insert_member(state, workspace, &demoted)?;
    }
    insert_owner(state, workspace, at_ms, user)?;
    change(state, workspace, |state| {
        state.owner = user.to_vec();
        state.offer = None::<OwnershipOffered>;
    })
}

fn insert_member<S: State>(
    state: &mut S,
    workspace: WorkspaceId,
    member: &MemberState,
) -> Result<(), IndexError> {
    let user = user_id(&member.user)?;
    if state.member(workspace, user)?.is_none() {
        change(state, workspace, |state| state.members += 1)?;
        state.put(keys::workspace_of(user, workspace), Vec::new());
    }
    state.put(keys::member_of(workspace, user), member.encode_to_vec());
    Ok(())
}

fn remove_member<S: State>(
    state: &mut S,
    workspace: WorkspaceId,
    user: UserId,
) -> Result<(), IndexError> {
    if state.member(workspace, user)?.is_some() {
        state.remove(keys::member_of(workspace, user));
        state.remove(keys::workspace_of(user, workspace));
        change(state, workspace, |state| {
            state.members = state.members.saturating_sub(1);
            // Otherwise the user could accept it after joining again.
            state.offer.take_if(|offer| offer.user == user.as_bytes());
        })?;
    }
    Ok(())
}
