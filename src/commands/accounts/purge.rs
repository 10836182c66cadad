//! Removes what is due: the data of deleted workspaces, and what is left of people who are gone.
//!
//! Each step can be repeated, so an interrupted purge is continued by the next one.

use std::collections::HashSet;

use uuid::Uuid;

use super::Accounts;
use crate::commands::{CommandRequest, MAX_BULK, Mode, now_ms};
use crate::domain::command::{Command, DomainRef, LinkRef};
use crate::domain::error::{ErrorCode, Result};
use crate::domain::ids::{LinkId, UserId, WorkspaceId};
use crate::domain::preset::UtmPresetKind;
use crate::domain::qr::command::QrCommand;
use crate::domain::token::Actor;
use crate::domain::user::state::personal_workspace;
use crate::domain::workspace::command::WorkspaceCommand;
use crate::domain::workspace::state::user_id;
use crate::identity::PersonalData;
use crate::projections::index::{
    Index, IndexError, ReadQrCodes, ReadRanges, ReadUsers, ReadWorkspaces, Span, all_invitations,
    all_memberships,
};

/// Keys of subjects younger than this may belong to somebody who is being created.
const MIN_KEY_AGE_MS: u64 = 24 * 3_600 * 1_000;

impl Accounts {
    /// Purges the deleted workspaces whose time to be restored has ended, removes deleted users from
    /// workspaces, and destroys the keys of users and invitations that no longer exist.
    pub async fn purge(&self) -> Result<()> {
        let personal = self.personal.clone();
        let due = self.read(move |index| Due::find(index, &personal, now_ms())).await?;
        for id in due.workspaces {
            match self.purge_workspace(id).await {
                Ok(()) => tracing::info!(workspace = %id, "purged a deleted workspace"),
                Err(error) => tracing::error!(workspace = %id, %error, "purging failed"),
            }
        }
        for (user, workspace) in due.members {
            self.remove_deleted(user, None, workspace).await?;
        }
        for subject in due.keys {
            self.destroy(subject).await?;
        }
        Ok(())
    }

    async fn purge_workspace(&self, id: WorkspaceId) -> Result<()> {
        let actor = Actor::operator(id);
        loop {
            let links = self.some_links(id)?;
            if links.is_empty() {
                break;
            }
            let purge = |link| Command::PurgeLink(LinkRef::Id(link), None);
            self.run_each(actor, links.into_iter().map(purge)).await?;
        }
        let mut commands: Vec<_> = self
            .index
            .reports(id, None, usize::MAX)?
            .into_iter()
            .map(|report| Command::ResolveReport(report.id))
            .collect();
        for kind in [UtmPresetKind::Campaign, UtmPresetKind::Template] {
            let (presets, _) = self.index.scan().presets(id, kind, 0..usize::MAX)?;
            commands.extend(presets.into_iter().map(|preset| Command::DeletePreset(preset.id)));
        }
        let domains = self.index.domains(id, None, 0, usize::MAX)?.into_iter();
        commands.extend(domains.map(|one| Command::RemoveDomain(DomainRef::Id(one.id))));
        // Nothing uses the logos any more.
        commands.push(Command::Qr(QrCommand::SetDefaults(None, Box::default())));
        let logos = self.index.logos(id)?.into_iter();
        commands.extend(logos.map(|logo| Command::Qr(QrCommand::DeleteLogo(logo.id))));
        let tokens = self.index.tokens(id)?.into_iter();
        commands.extend(tokens.map(|token| Command::RevokeToken(token.id)));
        for invitation in self.index.invitations(id)? {
            let command = WorkspaceCommand::RevokeInvitation(invitation.invitation_id()?);
            commands.push(Command::Workspace(command));
        }
        for member in self.index.members(id)? {
            let command = WorkspaceCommand::RemoveMember(user_id(&member.user)?);
            // The owner leaves with the workspace.
            commands.extend((!member.is_owner()).then_some(Command::Workspace(command)));
        }
        self.run_each(actor, commands.into_iter()).await?;
        self.run_in_workspace(actor, WorkspaceCommand::Purge).await?;
        Ok(())
    }

    /// Some links of a workspace, live or restorable.
    fn some_links(&self, id: WorkspaceId) -> Result<Vec<LinkId>> {
        let span = Span { is_back: false, beyond: None };
        let view = self.index.scan();
        let live = view.all(id, span).take(MAX_BULK).collect::<Result<Vec<_>, IndexError>>()?;
        if !live.is_empty() {
            return Ok(live);
        }
        let deleted = self.index.tombstones(id, (None, 0, MAX_BULK), now_ms())?;
        Ok(deleted.into_iter().map(|found| found.link.id).collect())
    }

    /// Runs commands; those on what is gone meanwhile are done.
    async fn run_each(
        &self,
        actor: Actor,
        mut commands: impl Iterator<Item = Command> + Send,
    ) -> Result<()> {
        loop {
            let request = |command| CommandRequest { command, idempotency: None };
            let some: Vec<_> = commands.by_ref().take(MAX_BULK).map(request).collect();
            if some.is_empty() {
                return Ok(());
            }
            for result in self.commands.run_all(actor, some, Mode::Commit).await? {
                match result {
                    Err(error) if error.code == ErrorCode::NotFound => {}
                    result => drop(result?),
                }
            }
        }
    }
}

/// What is due; a crash may have interrupted what should have done the latter two.
struct Due {
    /// Deleted workspaces whose time to be restored has ended.
    workspaces: Vec<WorkspaceId>,
    /// Deleted users who are still members of workspaces.
    members: Vec<(UserId, WorkspaceId)>,
    /// Keys of users and invitations that are gone.
    keys: Vec<Uuid>,
}

impl Due {
    fn find(index: &Index, personal: &PersonalData, now_ms: u64) -> Result<Self> {
        let is_due = |at_ms: Option<u64>| at_ms.is_some_and(|at_ms| at_ms <= now_ms);
        let workspaces = index.workspaces()?.into_iter();
        let workspaces = workspaces.filter(|(_, one)| is_due(one.purged_at_ms)).map(|(id, _)| id);
        // Read before the users, so each member who is not among these is deleted.
        let mut members = all_memberships(index)?;
        let users: HashSet<Vec<u8>> = index.users()?.into_iter().map(|user| user.id).collect();
        members.retain(|(user, workspace)| {
            // The owner of a personal workspace leaves with it.
            !users.contains(&user.as_bytes()[..]) && *workspace != personal_workspace(*user)
        });
        let invitations = all_invitations(index)?.into_iter().map(|one| one.id);
        let invitations: HashSet<Vec<u8>> = invitations.collect();
        let is_used = |subject: &Uuid| {
            let id = &subject.as_bytes()[..];
            users.contains(id) || invitations.contains(id)
        };
        let is_old =
            |subject: &Uuid| age_ms(*subject, now_ms).is_none_or(|age_ms| age_ms >= MIN_KEY_AGE_MS);
        let keys = personal.subjects().into_iter();
        let keys = keys.filter(|subject| is_old(subject) && !is_used(subject)).collect();
        Ok(Self { workspaces: workspaces.collect(), members, keys })
    }
}

/// The age of a UUIDv7.
fn age_ms(id: Uuid, now_ms: u64) -> Option<u64> {
    let (seconds, nanos) = id.get_timestamp()?.to_unix();
    Some(now_ms.saturating_sub(seconds * 1_000 + u64::from(nanos) / 1_000_000))
}
