//! Decides commands on plans, usage and credits.

use uuid::Uuid;

use super::decide::{CommandHandler, Decision};
use crate::domain::command::Outcome;
use crate::domain::error::{ErrorCode, Invalid, Result, ServiceError};
use crate::domain::event::{
    ApiCallsCounted, AssignedPlan, CreditGrant, CreditsReleased, CreditsWithdrawn, Event,
    PlanChanged,
};
use crate::domain::ids::GrantId;
use crate::domain::plan::Limit;
use crate::domain::plan::catalogue::MAX_LIMIT;
use crate::domain::plan::command::BillingCommand;
use crate::domain::plan::credit::{MAX_AMOUNT, MAX_GRANTS};
use crate::domain::workspace::state::WorkspaceState;
use crate::projections::index::{ReadBilling, ReadRanges, ReadWorkspaces};

/// The maximum length of a note, in characters.
const MAX_NOTE_CHARS: usize = 200;

impl<R: ReadRanges> CommandHandler<'_, R> {
    pub(super) fn decide_billing(&self, command: BillingCommand) -> Result<Decision> {
        let workspace = self.state.workspace(self.actor.workspace)?;
        let workspace = workspace.ok_or_else(|| ServiceError::not_found("workspace"))?;
        match command {
            BillingCommand::ChangePlan(plan) => self.change_plan(workspace, plan),
            BillingCommand::CountApiCalls(calls) => {
                Ok((Some(Event::ApiCallsCounted(ApiCallsCounted { calls })), Outcome::Gone))
            }
            BillingCommand::GrantCredits(grant) => self.grant_credits(*grant),
            BillingCommand::RefundCredits(id, amount) => {
                let grant = id.as_bytes().to_vec();
                let is_left = self.state.credits(self.actor.workspace)?.find(&grant).is_some();
                let event = Event::CreditsRefunded(CreditsWithdrawn { grant, amount });
                Ok((is_left.then_some(event), Outcome::Gone))
            }
            BillingCommand::Reserve { import, links, is_partial } => {
                Ok((self.reserve(import, links, is_partial)?, Outcome::Gone))
            }
            BillingCommand::Release(import) => {
                let credits = self.state.credits(self.actor.workspace)?;
                let event = credits.reservation(import.as_bytes()).map(|found| {
                    let (id, kind, amount) = (found.id.clone(), found.kind, found.amount());
                    Event::CreditsReleased(CreditsReleased { id, kind, amount })
                });
                Ok((event, Outcome::Gone))
            }
            BillingCommand::Report(report) => self.decide_report(*report),
            BillingCommand::EndSubscription => self.end_subscription(),
            BillingCommand::ChangeAutoRecharge(settings) => self.change_auto_recharge(settings),
            BillingCommand::Recharge(kind) => Ok((self.recharge(kind)?, Outcome::Gone)),
            BillingCommand::ExpireCredits(id) => {
                let credits = self.state.credits(self.actor.workspace)?;
                let grant = credits.find(id.as_bytes());
                let expired = grant.filter(|grant| grant.has_expired(self.now_ms));
                let event = expired.map(|CreditGrant { id, amount, .. }| {
                    Event::CreditsExpired(CreditsWithdrawn { grant: id.clone(), amount: *amount })
                });
                Ok((event, Outcome::Gone))
            }
        }
    }

    fn change_plan(&self, before: WorkspaceState, plan: Option<AssignedPlan>) -> Result<Decision> {
        let (mut invalid, plans) = (Invalid::default(), self.policies.plans.load());
        if let Some(AssignedPlan { id, overrides }) = &plan {
            if plans.find(id).is_none() {
                let ids: Vec<_> = plans.plans().iter().map(|plan| plan.id.as_str()).collect();
                invalid.add("plan", format!("must be one of {}", ids.join(", ")));
            }
            for (place, changed) in overrides.iter().enumerate() {
                if Limit::named(&changed.limit).is_none() {
                    invalid.add("overrides", format!("`{}` is not a limit", changed.limit));
                }
                if changed.value.is_some_and(|value| value > MAX_LIMIT) {
                    let rule = format!("`{}` must be at most {MAX_LIMIT}", changed.limit);
                    invalid.add("overrides", rule);
                }
                if overrides[..place].iter().any(|other| other.limit == changed.limit) {
                    invalid.add("overrides", format!("`{}` is there twice", changed.limit));
                }
            }
        }
        invalid.into_result()?;
        let event =
            (before.plan != plan).then(|| Event::PlanChanged(PlanChanged { plan: plan.clone() }));
        Ok((event, Outcome::Workspace(WorkspaceState { plan, ..before }.into())))
    }

    fn grant_credits(&self, grant: CreditGrant) -> Result<Decision> {
        let mut invalid = Invalid::default();
        if !(1..=MAX_AMOUNT).contains(&grant.amount) {
            invalid.add("amount", format!("must be from 1 to {MAX_AMOUNT}"));
        }
        if grant.has_expired(self.now_ms) {
            invalid.add("expires_at", "must be in the future");
        }
        if grant.note.chars().count() > MAX_NOTE_CHARS || grant.note.chars().any(char::is_control) {
            let rule = format!("must have at most {MAX_NOTE_CHARS} characters, none of control");
            invalid.add("note", rule);
        }
        invalid.into_result()?;
        if self.state.credits(self.actor.workspace)?.grants.len() >= MAX_GRANTS {
            let text = format!("The workspace has {MAX_GRANTS} grants with credits left.");
            return Err(ServiceError::new(ErrorCode::Conflict, text));
        }
        let id = GrantId::new(Uuid::now_v7()).as_bytes().to_vec();
        let grant = CreditGrant { id, ..grant };
        Ok((Some(Event::CreditsGranted(grant.clone())), Outcome::Granted(grant.into())))
    }
}
