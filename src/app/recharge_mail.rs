//! Mails to owners about credits that were requested and are not answered yet.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::commands::accounts::Accounts;
use crate::commands::now_ms;
use crate::domain::error::Result;
use crate::domain::ids::WorkspaceId;
use crate::domain::mail::Message;
use crate::domain::plan::credit::CreditKind;
use crate::domain::plan::recharge::Recharge;
use crate::domain::workspace::state::user_id;
use crate::effects::mail::SmtpMailer;
use crate::jobs::Scheduler;
use crate::queries::plans::Plans;

/// How often requests are looked through.
const EVERY: Duration = Duration::from_secs(20);
/// The minimum age of a request: a provider that answers sooner makes the mail unnecessary.
const MIN_AGE_MS: u64 = 10_000;

/// Sends the mails. Cheap to clone.
#[derive(Clone)]
struct Notifier {
    mailer: SmtpMailer,
    accounts: Accounts,
    plans: Plans,
    /// The owners know of the requests up to this time. It is not stored: a restart loses the mails
    /// of the last seconds before it, as it does those that wait.
    sent_through_ms: Arc<AtomicU64>,
}

/// Sends mails periodically.
pub fn start(scheduler: &mut Scheduler, mailer: SmtpMailer, accounts: Accounts, plans: Plans) {
    let sent_through_ms = Arc::new(AtomicU64::new(now_ms()));
    let notifier = Notifier { mailer, accounts, plans, sent_through_ms };
    scheduler.every("recharge-mail", [EVERY; 2], notifier, |notifier| async move {
        let until_ms = now_ms().saturating_sub(MIN_AGE_MS);
        let sent = tokio::task::spawn_blocking(move || notifier.send_through(until_ms)).await;
        if let Err(error) = sent.map_err(anyhow::Error::from).and_then(|sent| Ok(sent?)) {
            tracing::warn!(%error, "sending mails about requested credits failed");
        }
    });
}

impl Notifier {
    /// Sends a mail for each open request that is not newer than `until_ms`, and was not sent before.
    fn send_through(&self, until_ms: u64) -> Result<()> {
        let from_ms = self.sent_through_ms.fetch_max(until_ms, Ordering::Relaxed);
        for (id, recharge) in self.plans.open_recharges()? {
            if !(from_ms + 1..=until_ms).contains(&recharge.at_ms) {
                continue;
            }
            if let Err(error) = self.send(id, &recharge) {
                let workspace = id.to_string();
                tracing::warn!(workspace, %error, "sending a mail about requested credits failed");
            }
        }
        Ok(())
    }

    fn send(&self, id: WorkspaceId, recharge: &Recharge) -> Result<()> {
        let workspace = self.accounts.workspace(id)?.unwrap_or_default();
        // Only machine tokens use it.
        let Ok(owner) = user_id(&workspace.owner) else { return Ok(()) };
        let email = self.accounts.profile_of(owner)?.and_then(|profile| profile.email);
        let kind = CreditKind::from_number(recharge.kind).map_or("", CreditKind::noun);
        let amount = recharge.amount;
        let message = Message::RechargeRequested { workspace: workspace.name, amount, kind };
        if let Some(email) = email {
            self.mailer.send(&email, message);
        }
        Ok(())
    }
}
