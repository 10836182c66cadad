//! The catalogue file of plans, and what time alone changes of credits and subscriptions.

use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;

use crate::commands::{CommandResult, Commands, now_ms};
use crate::domain::command::Command;
use crate::domain::error::{Result, ServiceError};
use crate::domain::ids::{GrantId, ImportId, WorkspaceId};
use crate::domain::plan::Catalogue;
use crate::domain::plan::catalogue::Catalogues;
use crate::domain::plan::command::BillingCommand;
use crate::domain::plan::state::CreditGrant;
use crate::domain::token::Actor;
use crate::http::scheduled::ScheduledTasks;
use crate::jobs::Scheduler;
use crate::jobs::imports::Imports;
use crate::projections::index::{Index, ReadBilling, ReadWorkspaces};

/// When credits and subscriptions are first looked through, and how often.
const PERIOD: [Duration; 2] = [Duration::from_secs(30), Duration::from_secs(3_600)];

/// A catalogue that can be reloaded.
pub struct CatalogueFile {
    path: Option<PathBuf>,
    catalogues: Catalogues,
}

impl CatalogueFile {
    /// Reads the file; without one, every workspace has the plan without limits.
    pub fn open(path: Option<PathBuf>, index: &Index) -> anyhow::Result<Self> {
        let file = Self { path, catalogues: Catalogues::default() };
        file.reload(index)?;
        Ok(file)
    }

    /// The current catalogue, which a reload replaces.
    pub fn catalogues(&self) -> Catalogues {
        Arc::clone(&self.catalogues)
    }

    /// Reloads the file, and warns of plans of workspaces that it lacks. On error, the previous
    /// catalogue is kept.
    pub fn reload(&self, index: &Index) -> anyhow::Result<()> {
        if let Some(path) = &self.path {
            self.read(path)?;
            // Callers are known with their plans.
            index.outdate_stamps();
        }
        self.warn_of_missing(index)
    }

    fn read(&self, path: &Path) -> anyhow::Result<()> {
        let shown = || format!("--plans {}", path.display());
        let text = std::fs::read_to_string(path).with_context(shown)?;
        let catalogue = Catalogue::parse(&text).map_err(anyhow::Error::msg).with_context(shown)?;
        tracing::info!(plans = catalogue.plans().len(), "loaded the catalogue of plans");
        self.catalogues.store(Arc::new(catalogue));
        Ok(())
    }

    fn warn_of_missing(&self, index: &Index) -> anyhow::Result<()> {
        let catalogue = self.catalogues.load();
        for (plan, workspaces) in index.plans()? {
            if catalogue.find(&plan).is_none() {
                tracing::warn!(plan, workspaces, "no such plan: the default one applies");
            }
        }
        Ok(())
    }
}

/// Applies, periodically, what time alone changes: removes credits that have expired, so that the
/// ledger says so (they can't be used before either), ends canceled subscriptions whose provider did
/// not, requests credits that no event has led to, and releases credits that were reserved for
/// imports which are over.
pub fn keep_up(scheduler: &mut Scheduler, renewals: Renewals) {
    scheduler.every("credits", PERIOD, renewals, |renewals| async move {
        if let Err(error) = renewals.run_due().await {
            tracing::error!(%error, "reading credits and subscriptions failed; retrying in an hour");
        }
    });
}

/// The same, at the request of a scheduler.
#[derive(Clone)]
pub struct Renewals {
    commands: Commands,
    index: Arc<Index>,
    imports: Imports,
}

impl Renewals {
    /// Creates the task.
    pub const fn new(commands: Commands, index: Arc<Index>, imports: Imports) -> Self {
        Self { commands, index, imports }
    }

    /// Runs the commands that are due. Returns how many there were.
    async fn run_due(&self) -> anyhow::Result<u64> {
        let (index, imports) = (Arc::clone(&self.index), self.imports.clone());
        let due = tokio::task::spawn_blocking(move || due(&index, &imports, now_ms())).await??;
        Ok(run_each(due, |actor, command| self.commands.run(actor, command, None)).await)
    }
}

impl ScheduledTasks for Renewals {
    fn renew(&self) -> Pin<Box<dyn Future<Output = Result<u64>> + Send + '_>> {
        Box::pin(async {
            let done = self.run_due().await;
            done.map_err(|error| ServiceError::internal(format!("{error:#}")))
        })
    }
}

/// The commands that are due.
fn due(
    index: &Index,
    imports: &Imports,
    now_ms: u64,
) -> anyhow::Result<Vec<(WorkspaceId, BillingCommand)>> {
    let mut due = Vec::new();
    for (workspace, subscription) in index.subscriptions()? {
        if subscription.ends_at_ms.is_some_and(|ends_at_ms| ends_at_ms <= now_ms) {
            due.push((workspace, BillingCommand::EndSubscription));
        }
    }
    for (workspace, credits) in index.all_credits()? {
        let is_expired = |grant: &&CreditGrant| grant.amount > 0 && grant.has_expired(now_ms);
        for grant in credits.grants.iter().filter(is_expired) {
            let id = GrantId::from_bytes(&grant.id)?;
            due.push((workspace, BillingCommand::ExpireCredits(id)));
        }
        for reservation in &credits.reservations {
            let id = ImportId::from_bytes(&reservation.id)?;
            if !imports.is_open(workspace, id) {
                due.push((workspace, BillingCommand::Release(id)));
            }
        }
    }
    for (workspace, kind, recharge) in index.auto_recharges()? {
        if recharge.due(0, now_ms).is_some() {
            let balance = index.credits(workspace)?.balance(kind, now_ms);
            let is_due = recharge.due(balance, now_ms).is_some();
            due.extend(is_due.then_some((workspace, BillingCommand::Recharge(kind))));
        }
    }
    Ok(due)
}

/// Runs each command, although others are refused. Returns the number of those that were not.
async fn run_each<F: Future<Output = Result<CommandResult>>>(
    due: Vec<(WorkspaceId, BillingCommand)>,
    run: impl Fn(Actor, Command) -> F,
) -> u64 {
    let mut done = 0;
    for (workspace, command) in due {
        match run(Actor::operator(workspace), Command::Billing(command)).await {
            Ok(_) => done += 1,
            Err(error) => {
                let workspace = workspace.to_string();
                tracing::error!(workspace, %error, "a command on credits failed; retrying in an hour");
            }
        }
    }
    done
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::domain::command::Outcome;

    #[tokio::test]
    async fn a_refused_command_does_not_stop_the_others() {
        let workspace = |number| WorkspaceId::new(uuid::Uuid::from_u128(number));
        let due = (1..=3).map(|number| (workspace(number), BillingCommand::EndSubscription));
        let seen = Mutex::new(Vec::new());
        run_each(due.collect(), |actor, _| {
            seen.lock().unwrap().push(actor.workspace);
            let is_refused = actor.workspace == workspace(1);
            let done = CommandResult { outcome: Outcome::Gone, offset: 1, is_replay: false };
            std::future::ready(if is_refused {
                Err(ServiceError::not_found("workspace"))
            } else {
                Ok(done)
            })
        })
        .await;
        assert_eq!(seen.into_inner().unwrap(), (1..=3).map(workspace).collect::<Vec<_>>());
    }
}
