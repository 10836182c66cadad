//! Plan limits: what a workspace's plan must allow for an event to be logged.
//!
//! They are checked on the decided event, by the single writer, against the state with all events
//! before it: so a limit is exact under concurrent commands, and only what is logged counts. What a
//! workspace has beyond a smaller plan stays; it can't be added to.

use super::decide::CommandHandler;
use crate::domain::error::{ErrorCode, Result, ServiceError, Unreadable};
use crate::domain::event::{Debit, Event, InvitationState, LinkState};
use crate::domain::ids::LinkId;
use crate::domain::link::{Kind, Link, LinkFields, folded};
use crate::domain::plan::credit::CreditKind;
use crate::domain::plan::{Feature, Limit, Month, Plan};
use crate::projections::index::{Group, ReadBilling, ReadDomains, ReadRanges, ReadWorkspaces};

impl<R: ReadRanges> CommandHandler<'_, R> {
    /// The plan of the actor's workspace.
    pub(super) fn plan(&self) -> Result<Plan> {
        let workspace = self.state.workspace(self.actor.workspace)?;
        Ok(self.policies.plans.load().plan_of(workspace.and_then(|found| found.plan).as_ref()))
    }

    /// Refuses a value of a field that requires a feature which the plan lacks.
    pub(super) fn require_feature(&self, feature: Feature, field: &str) -> Result<()> {
        if self.plan()?.includes(feature) {
            return Ok(());
        }
        Err(lacks_feature(feature, field))
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
            Event::QrCodeCreated(_) => self.use_allowance(&self.plan()?, Limit::QrCodesPerMonth),
            Event::LinkRestored(link) => {
                let plan = self.plan()?;
                self.check_tags(&plan, link, None)?;
                self.check_count(&plan, Limit::Links, || self.links())?;
                Ok(None)
            }
            Event::LinkChanged(link) => {
                let id = LinkId::from_bytes(&link.id).map_err(|_| Unreadable("link"))?;
                self.check_link(&self.plan()?, link, self.state.link(id)?.as_ref())?;
                Ok(None)
            }
            Event::DomainAdded(_) => {
                let plan = self.plan()?;
                if !plan.includes(Feature::Domains) {
                    return Err(lacks_feature(Feature::Domains, "hostname"));
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
        if plan.limits().get(Limit::Members).is_none() {
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
        match plan.limits().get(limit) {
            Some(max) if count()? >= max => Err(self.reached(plan, limit, max)),
            _ => Ok(()),
        }
    }

    /// Uses one of a month's allowance, or else a credit.
    fn use_allowance(&self, plan: &Plan, limit: Limit) -> Result<Option<Debit>> {
        let (Some(max), Some(counter)) = (plan.limits().get(limit), limit.counter()) else {
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
        ServiceError::limit_reached(self.policies.plans.load().limit_reached(plan, limit, max))
    }

    /// Checks what a link uses that its version before did not.
    fn check_link(&self, plan: &Plan, link: &LinkState, before: Option<&Link>) -> Result<()> {
        self.check_tags(plan, link, before)?;
        let is_full = plan.definition.kinds.len() == Kind::EVERY.len()
            && plan.definition.features.len() == Feature::EVERY.len();
        if is_full {
            return Ok(());
        }
        let LinkFields { content, gates, routing, .. } =
            link.clone().into_link(self.actor.workspace)?.fields;
        let kind = content.kind();
        let before = before.map(|before| &before.fields);
        if !plan.allows_kind(kind) && before.is_none_or(|before| before.content.kind() != kind) {
            return Err(unavailable(&format!("links of kind {}", kind.as_str()), "kind"));
        }
        let had_password = before.is_some_and(|before| before.gates.password().is_some());
        if gates.password().is_some() && !had_password && !plan.includes(Feature::Passwords) {
            return Err(lacks_feature(Feature::Passwords, "password"));
        }
        let had_rules = before.is_some_and(|before| !before.routing.rules.is_empty());
        if !routing.rules.is_empty() && !had_rules && !plan.includes(Feature::Rules) {
            return Err(lacks_feature(Feature::Rules, "rules"));
        }
        Ok(())
    }

    /// Refuses tags that are new to the workspace beyond the limit, unless they replace others.
    fn check_tags(&self, plan: &Plan, link: &LinkState, before: Option<&Link>) -> Result<()> {
        let Some(max) = plan.limits().get(Limit::Tags) else { return Ok(()) };
        let workspace = self.actor.workspace;
        let links = |tag: &String| self.state.group_count(workspace, &Group::Tag(tag.clone()));
        let tags: Vec<_> = link.labels.iter().flat_map(|labels| &labels.tags).collect();
        let (mut added, mut removed) = (0, 0);
        for tag in &tags {
            added += u64::from(links(tag)? == 0);
        }
        for tag in before.iter().flat_map(|before| &before.fields.labels.tags) {
            let is_kept = tags.iter().any(|kept| folded(kept) == folded(tag));
            removed += u64::from(!is_kept && links(tag)? == 1);
        }
        if added > removed && self.state.tag_count(workspace)? + added - removed > max {
            return Err(self.reached(plan, Limit::Tags, max));
        }
        Ok(())
    }
}

fn lacks_feature(feature: Feature, field: &str) -> ServiceError {
    unavailable(&format!("the feature {}", feature.as_str()), field)
}

fn unavailable(what: &str, field: &str) -> ServiceError {
    let text = format!("The workspace's plan does not include {what}: change the plan.");
    let error = ServiceError::new(ErrorCode::FeatureNotAvailable, text);
    error.with_field(field, "is not available on the workspace's plan")
}
