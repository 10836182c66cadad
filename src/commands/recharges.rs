//! Decides auto-recharges. The dispatcher requests credits right after the event that leaves too few;
//! an hourly task covers what time alone changes: expired credits, a new month, a missing answer.

use uuid::Uuid;

use super::decide::{CommandHandler, Decision};
use crate::domain::command::Outcome;
use crate::domain::error::{Result, ServiceError, Unreadable};
use crate::domain::event::{AutoRecharge, Debit, Event, Recharge, RechargeFailed};
use crate::domain::ids::RechargeId;
use crate::domain::plan::credit::CreditKind;
use crate::domain::plan::recharge::RechargeStep;
use crate::projections::index::{ReadBilling, ReadRanges, ReadWorkspaces};

/// The kinds of credits of which too few may be left after an event. A failure is not among them:
/// credits are requested again when some are used, or within the hour.
pub(super) fn affected(event: &Event, debit: Option<Debit>) -> impl Iterator<Item = CreditKind> {
    let is_change = matches!(
        event,
        Event::AutoRechargeChanged(_)
            | Event::CreditsGranted(_)
            | Event::CreditsRefunded(_)
            | Event::CreditsExpired(_)
            | Event::PaymentRefunded(_)
    );
    let is_affected =
        move |kind: &CreditKind| is_change || debit.is_some_and(|debit| debit.kind == *kind as u32);
    CreditKind::EVERY.iter().copied().filter(is_affected)
}

impl<R: ReadRanges> CommandHandler<'_, R> {
    pub(super) fn change_auto_recharge(&self, settings: AutoRecharge) -> Result<Decision> {
        settings.check()?;
        let kind = CreditKind::from_number(settings.kind).ok_or(Unreadable("kind of credits"))?;
        let before = self.state.auto_recharge(self.actor.workspace, kind)?.settings;
        let is_changed = before != Some(settings);
        Ok((is_changed.then_some(Event::AutoRechargeChanged(settings)), Outcome::Gone))
    }

    /// Requests credits of a kind if too few are left, or closes a request without an answer.
    pub(super) fn recharge(&self, kind: CreditKind) -> Result<Option<Event>> {
        let workspace = self.actor.workspace;
        let recharge = self.state.auto_recharge(workspace, kind)?;
        if recharge.settings.is_none() {
            return Ok(None);
        }
        let balance = self.state.credits(workspace)?.balance(kind, self.now_ms);
        Ok(match recharge.due(balance, self.now_ms) {
            Some(RechargeStep::Request(amount)) => {
                let found = self.state.workspace(workspace)?;
                let is_live = found.is_some_and(|found| found.purged_at_ms.is_none());
                let id = RechargeId::new(Uuid::now_v7()).as_bytes().to_vec();
                let (kind, at_ms) = (kind as u32, self.now_ms);
                let request = Recharge { id, kind, amount, at_ms };
                is_live.then_some(Event::RechargeRequested(request))
            }
            Some(RechargeStep::TimeOut(open)) => Some(Event::RechargeFailed(RechargeFailed {
                id: open.id,
                kind: open.kind,
                reason: "no answer in time".to_owned(),
                report: String::new(),
            })),
            None => None,
        })
    }

    /// The open request with an id.
    fn open_recharge(&self, id: RechargeId) -> Result<Option<Recharge>> {
        for kind in CreditKind::EVERY {
            let open = self.state.auto_recharge(self.actor.workspace, *kind)?.open;
            if let Some(open) = open.filter(|open| open.id == id.as_bytes()) {
                return Ok(Some(open));
            }
        }
        Ok(None)
    }

    /// Refuses other credits than those that were requested. A request that is closed meanwhile does
    /// not matter: the credits are paid.
    pub(super) fn check_recharge(
        &self,
        id: RechargeId,
        kind: CreditKind,
        amount: u64,
    ) -> Result<()> {
        let Some(open) = self.open_recharge(id)? else { return Ok(()) };
        if open.kind != kind as u32 {
            return Err(ServiceError::field("kind", "is not what was requested"));
        }
        if open.amount != amount {
            let rule = format!("must be {}, as requested", open.amount);
            return Err(ServiceError::field("credits", rule));
        }
        Ok(())
    }

    /// Closes a request whose payment failed; nothing if it is closed already.
    pub(super) fn fail_recharge(
        &self,
        report: String,
        id: RechargeId,
        reason: String,
    ) -> Result<Option<Event>> {
        let open = self.open_recharge(id)?;
        Ok(open.map(|Recharge { id, kind, .. }| {
            Event::RechargeFailed(RechargeFailed { id, kind, reason, report })
        }))
    }
}
