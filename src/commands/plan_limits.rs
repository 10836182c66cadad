//! Plan limits: what a workspace's plan must allow for an event to be logged.
//!
//! They are checked on the decided event, by the single writer, against the state with all events
//! before it: so a limit is exact under concurrent commands, and only what is logged counts. What a
//! workspace has beyond a smaller plan stays; it can't be added to.

use super::decide::CommandHandler;
use crate::domain::error::{ErrorCode, Result, ServiceError};
use crate::domain::event::{Debit, Event, InvitationState, LinkState};
use crate::domain::link::Link;
use crate::domain::plan::credit::CreditKind;
use crate::domain::plan::{Feature, Limit, Month, Plan};
use crate::projections::index::{
    Group, ReadBilling, ReadDomains, ReadRanges, ReadWorkspaces,
};

impl<R: ReadRanges> CommandHandler<'_, R> {
    /// The plan of the actor's workspace.
    pub(super) fn plan(&self) -> Result<Plan> {
        let workspace = self.state.workspace(self.actor.workspace)?;
        Ok(self.plans.plan_of(workspace.and_then(|found| found.plan).as_ref()))
    }

    /// Refuses a value of a field that requires a feature which the plan lacks.
    pub(super) fn require_feature(&self, feature: Feature, field: &str) -> Result<()> {
        if self.plan()?.includes(feature) {
            return Ok(());
        }
        Err(lacks_feature(feature).with_field(field, "is not available on the workspace's plan"))
    }

    /// Checks an event against the plan; returns the credits that it uses.
    pub(super) fn check_limits(&self, event: &Event) -> Result<Option<Debit>> {
        match event {
            Event::LinkCreated(link) => {
                let plan = self.plan()?;
                self.check_link(&plan, link, None)?;
                self.check_count(&plan, Limit::Links, || self.links())?;
                self.use_allowance(&plan, Limit::LinksPerMonth)
            }
            Event::LinkRestored(link) => {
                let plan = self.plan()?;
                self.check_tags(&plan, link)?;
                self.check_count(&plan, Limit::Links, || self.links())?;
                Ok(None)
            }
            Event::LinkChanged(link) => {
                let before = self.state.link_in(
                    self.actor.workspace,
                    &crate::domain::command::LinkRef::Id(link.link_id()?),
                )?;
                self.check_link(&self.plan()?, link, before.as_ref())?;
                Ok(None)
            }
            Event::DomainAdded(_) => {
                let plan = self.plan()?;
                if !plan.includes(Feature::Domains) {
                    return Err(lacks_feature(Feature::Domains));
                }
                let count = || Ok(self.state.domain_count(self.actor.workspace)?);
                self.check_count(&plan, Limit::Domains, count)?;
                Ok(None)
            }
            Event::MemberAdded(_) => {
                self.check_count(&self.plan()?, Limit::Members, || self.members())?;
                Ok(None)
            }
            Event::InvitationSent(invitation) => {
                self.check_invitation(invitation)?;
                Ok(None)
            }
            _ => Ok(None),
        }
    }

    fn links(&self) -> Result<u64> {
        Ok(self.state.link_count(self.actor.workspace)?)
    }

    fn members(&self) -> Result<u64> {
        Ok(self.state.workspace(self.actor.workspace)?.map_or(0, |found| found.members))
    }

    /// Open invitations take the places of members.
    fn check_invitation(&self, invitation: &InvitationState) -> Result<()> {
        let (plan, workspace) = (self.plan()?, self.actor.workspace);
        if plan.limits.get(Limit::Members).is_none() {
            return Ok(());
        }
        let mut others = self.state.invitations(workspace)?;
        others.retain(|other| other.expires_at_ms > self.now_ms && other.id != invitation.id);
        let count = || Ok(self.members()? + others.len() as u64);
        self.check_count(&plan, Limit::Members, count)
    }

    /// Refuses one more than a limit allows.
    fn check_count(
        &self,
        plan: &Plan,
        limit: Limit,
        count: impl FnOnce() -> Result<u64>,
    ) -> Result<()> {
        match plan.limits.get(limit) {
            Some(max) if count()? >= max => Err(self.reached(plan, limit, max)),
            _ => Ok(()),
        }
    }

    /// Uses one of a month's allowance, or else a credit.
    fn use_allowance(&self, plan: &Plan, limit: Limit) -> Result<Option<Debit>> {
        let (Some(max), Some(counter)) = (plan.limits.get(limit), limit.counter()) else {
            return Ok(None);
        };
        let workspace = self.actor.workspace;
        if self.state.used(workspace, Month::of(self.now_ms), counter)? < max {
            return Ok(None);
        }
        let kind = CreditKind::beyond(limit);
        let credits = self.state.credits(workspace)?;
        match kind.filter(|kind| credits.balance(*kind, self.now_ms) > 0) {
            Some(kind) => Ok(Some(Debit { kind: kind as u32, amount: 1 })),
            None => Err(self.reached(plan, limit, max)),
        }
    }

    fn reached(&self, plan: &Plan, limit: Limit, max: u64) -> ServiceError {
        ServiceError::limit_reached(self.plans.limit_reached(plan, limit, max))
    }

    /// Checks what a link uses that its version before did not.
    fn check_link(&self, plan: &Plan, link: &LinkState, before: Option<&Link>) -> Result<()> {
        let link = link.clone().into_link(self.actor.workspace)?;
        let before = before.map(|before| &before.fields);
        let kind = link.fields.kind();
        if !plan.allows_kind(kind) && before.is_none_or(|before| before.kind() != kind) {
            let text = format!("Links of kind {} are not available on the plan.", kind.as_str());
            let error = ServiceError::new(ErrorCode::FeatureNotAvailable, text);
            return Err(error.with_field("kind", "is not available on the workspace's plan"));
        }
        let has_password = link.fields.gates.has_password();
        if has_password && !before.is_some_and(|before| before.gates.has_password()) {
            self.require_feature(Feature::Passwords, "password")?;
        }
        if link.fields.has_rules() && !before.is_some_and(|before| before.has_rules()) {
            self.require_feature(Feature::Rules, "rules")?;
        }
        Ok(())
    }

    /// Refuses tags that are new to the workspace beyond the limit.
    fn check_tags(&self, plan: &Plan, link: &LinkState) -> Result<()> {
        let Some(max) = plan.limits.get(Limit::Tags) else { return Ok(()) };
        let workspace = self.actor.workspace;
        let link = link.clone().into_link(workspace)?;
        let mut new = 0;
        for tag in link.fields.labels.tags {
            new += u64::from(self.state.group_count(workspace, &Group::Tag(tag))? == 0);
        }
        if new > 0 && self.state.tag_count(workspace)? + new > max {
            return Err(self.reached(plan, Limit::Tags, max));
        }
        Ok(())
    }
}

fn lacks_feature(feature: Feature) -> ServiceError {
    let text = format!("The workspace's plan lacks the feature {}.", feature.as_str());
    ServiceError::new(ErrorCode::FeatureNotAvailable, text)
}
