//! The catalogue file of plans, and the credits that expire.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;

use crate::commands::{Commands, now_ms};
use crate::domain::command::Command;
use crate::domain::ids::GrantId;
use crate::domain::plan::Catalogue;
use crate::domain::plan::catalogue::Catalogues;
use crate::domain::plan::command::BillingCommand;
use crate::domain::token::Actor;
use crate::jobs::Scheduler;
use crate::projections::index::{Index, ReadBilling, ReadWorkspaces};

/// When credits that have expired are first removed, and how often.
const EXPIRE: [Duration; 2] = [Duration::from_secs(30), Duration::from_secs(3_600)];

/// A catalogue that can be reloaded.
pub struct CatalogueFile {
    path: Option<PathBuf>,
    catalogues: Catalogues,
}

impl CatalogueFile {
    /// Reads the file; without one, every workspace has the plan without limits.
    pub fn open(path: Option<PathBuf>) -> anyhow::Result<Self> {
        let file = Self { path, catalogues: Catalogues::default() };
        file.reload()?;
        Ok(file)
    }

    /// The current catalogue, which a reload replaces.
    pub fn catalogues(&self) -> Catalogues {
        Arc::clone(&self.catalogues)
    }

    /// Reloads the file. On error, the previous catalogue is kept.
    pub fn reload(&self) -> anyhow::Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        let shown = || path.display().to_string();
        let text = std::fs::read_to_string(path).with_context(shown)?;
        let catalogue = Catalogue::parse(&text).map_err(anyhow::Error::msg).with_context(shown)?;
        tracing::info!(plans = catalogue.plans().len(), "loaded the catalogue of plans");
        self.catalogues.store(Arc::new(catalogue));
        Ok(())
    }

    /// Warns of plans of workspaces that the catalogue lacks.
    pub fn warn_of_missing(&self, index: &Index) -> anyhow::Result<()> {
        let catalogue = self.catalogues.load();
        for (workspace, state) in index.workspaces()? {
            if let Some(plan) = state.plan.filter(|plan| catalogue.find(&plan.id).is_none()) {
                let (workspace, plan) = (workspace.to_string(), plan.id);
                tracing::warn!(workspace, plan, "no such plan: the default one applies");
            }
        }
        Ok(())
    }
}

/// Removes credits that have expired, periodically, so that the ledger says so: they can't be used
/// before either. Ends canceled subscriptions whose provider did not.
pub fn keep_up(scheduler: &mut Scheduler, commands: Commands, index: Arc<Index>) {
    scheduler.every("credits", EXPIRE, (commands, index), |(commands, index)| async move {
        if let Err(error) = expire(&commands, index).await {
            tracing::error!(%error, "removing expired credits failed; retrying in an hour");
        }
    });
}

async fn expire(commands: &Commands, index: Arc<Index>) -> anyhow::Result<()> {
    let read = move || anyhow::Ok((index.all_credits()?, index.subscriptions()?));
    let (credits, subscriptions) = tokio::task::spawn_blocking(read).await??;
    for (workspace, subscription) in subscriptions {
        if subscription.ends_at_ms.is_some_and(|ends_at_ms| ends_at_ms <= now_ms()) {
            let command = Command::Billing(BillingCommand::EndSubscription);
            commands.run(Actor::operator(workspace), command, None).await?;
        }
    }
    for (workspace, credits) in credits {
        for grant in credits.grants.iter().filter(|grant| grant.has_expired(now_ms())) {
            let id = GrantId::from_bytes(&grant.id)?;
            let command = Command::Billing(BillingCommand::ExpireCredits(id));
            commands.run(Actor::operator(workspace), command, None).await?;
        }
    }
    Ok(())
}
