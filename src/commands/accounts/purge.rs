//! Removes what is due: the data of deleted workspaces, and the keys of people who are gone.
//!
//! Each step can be repeated, so an interrupted purge is continued by the next one.

use std::collections::HashSet;

use uuid::Uuid;

use super::Accounts;
use crate::commands::{CommandRequest, MAX_BULK, Mode, now_ms};
use crate::domain::command::{Command, DomainRef, LinkRef};
use crate::domain::error::{ErrorCode, Result};
use crate::domain::ids::{LinkId, WorkspaceId};
use crate::domain::preset::UtmPresetKind;
use crate::domain::token::Actor;
use crate::domain::workspace::command::WorkspaceCommand;
use crate::domain::workspace::state::user_id;
use crate::projections::index::{
    IndexError, ReadRanges, ReadUsers, ReadWorkspaces, Span, all_invitations,
};

/// Keys of subjects younger than this may belong to somebody who is being created.
const MIN_KEY_AGE_MS: u64 = 24 * 3_600 * 1_000;

impl Accounts {
    /// Purges the deleted workspaces whose time to be restored has ended, and destroys the keys of
    /// users and invitations that no longer exist.
    pub async fn purge(&self) -> Result<()> {
        let now_ms = now_ms();
        for (id, workspace) in self.index.workspaces()? {
            if workspace.purged_at_ms.is_some_and(|at_ms| at_ms <= now_ms) {
                match self.purge_workspace(id).await {
                    Ok(()) => tracing::info!(workspace = %id, "purged a deleted workspace"),
                    Err(error) => tracing::error!(workspace = %id, %error, "purging failed"),
                }
            }
        }
        self.destroy_unused_keys(now_ms).await
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

    /// Destroys the keys of users and invitations that are gone: a crash may have come between.
    async fn destroy_unused_keys(&self, now_ms: u64) -> Result<()> {
        let users = self.index.users()?.into_iter().map(|user| user.id);
        let invitations = all_invitations(&self.index)?.into_iter().map(|one| one.id);
        let used: HashSet<Vec<u8>> = users.chain(invitations).collect();
        for subject in self.personal.subjects() {
            let is_old = age_ms(subject, now_ms).is_none_or(|age_ms| age_ms >= MIN_KEY_AGE_MS);
            if is_old && !used.contains(&subject.as_bytes()[..]) {
                self.destroy(subject).await?;
            }
        }
        Ok(())
    }
}

/// The age of a UUIDv7.
fn age_ms(id: Uuid, now_ms: u64) -> Option<u64> {
    let (seconds, nanos) = id.get_timestamp()?.to_unix();
    Some(now_ms.saturating_sub(seconds * 1_000 + u64::from(nanos) / 1_000_000))
}
