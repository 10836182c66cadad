//! Decides auto-recharges. The dispatcher requests credits right after the event that leaves too few;
//! an hourly task covers what time alone changes: expired credits, a new month, a missing answer.

use uuid::Uuid;

use super::decide::{CommandHandler, Decision};
use crate::domain::command::Outcome;
use crate::domain::error::{ErrorCode, Result, ServiceError, Unreadable};
use crate::domain::event::{AutoRecharge, Debit, Event, Recharge, RechargeFailed};
use crate::domain::ids::RechargeId;
use crate::domain::plan::credit::CreditKind;
use crate::domain::plan::recharge::{RechargeStatus, RechargeStep};
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
            | Event::CreditsReserved(_)
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

    /// The request with an id, and its status.
    fn known_recharge(&self, id: RechargeId) -> Result<(Recharge, RechargeStatus)> {
        for kind in CreditKind::EVERY {
            let state = self.state.auto_recharge(self.actor.workspace, *kind)?;
            if let Some((recharge, status)) = state.find(id.as_bytes()) {
                return Ok((recharge.clone(), status));
            }
        }
        let text = "The workspace has not requested these credits, or long ago.";
        Err(ServiceError::new(ErrorCode::Conflict, text).with_field("recharge", "is not known"))
    }

    /// Whether the credits of a request are still to be granted: each request is paid once. The
    /// request may have been closed without an answer, or as failed.
    ///
    /// # Errors
    /// If the request is not known, or for other credits.
    pub(super) fn is_payable(&self, id: RechargeId, kind: CreditKind, amount: u64) -> Result<bool> {
        let (requested, status) = self.known_recharge(id)?;
        if requested.kind != kind as u32 {
            return Err(ServiceError::field("kind", "is not what was requested"));
        }
        if requested.amount != amount {
            let rule = format!("must be {}, as requested", requested.amount);
            return Err(ServiceError::field("credits", rule));
        }
        Ok(status != RechargeStatus::Paid)
    }

    /// Records that the payment of a request failed; nothing if that is known, or if it is paid.
    pub(super) fn fail_recharge(
        &self,
        report: String,
        id: RechargeId,
        reason: String,
    ) -> Result<Option<Event>> {
        let (Recharge { id, kind, .. }, status) = self.known_recharge(id)?;
        let is_news = matches!(status, RechargeStatus::Open | RechargeStatus::TimedOut);
        let failed = RechargeFailed { id, kind, reason, report };
        Ok(is_news.then_some(Event::RechargeFailed(failed)))
    }
}
