//! Plan limits: what a workspace's plan must allow for an event to be logged.
//!
//! They are checked on the decided event, by the single writer, against the state with all events
//! before it: so a limit is exact under concurrent commands, and only what is logged counts. What a
//! workspace has beyond a smaller plan stays; it can't be added to.

use super::decide::CommandHandler;
use crate::domain::command::Payment;
use crate::domain::error::{ErrorCode, Result, ServiceError, Unreadable};
use crate::domain::event::{CreditsReserved, Debit, Event, InvitationState, LinkState};
use crate::domain::ids::{ImportId, LinkId};
use crate::domain::link::{Kind, Link, LinkFields, folded};
use crate::domain::plan::credit::CreditKind;
use crate::domain::plan::limit::Counter;
use crate::domain::plan::{Feature, Limit, LimitReached, Month, Plan};
use crate::projections::index::{Group, ReadBilling, ReadDomains, ReadRanges, ReadWorkspaces};

/// What an event uses beyond the allowance of the plan.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Charge {
    /// The credits.
    pub debit: Option<Debit>,
    /// The 16 bytes of the id of the reservation that is used first; empty for none.
    pub reservation: Vec<u8>,
}

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

    /// Checks an event of a command against the plan.
    pub(super) fn check_limits(&self, event: &Event, payment: Option<Payment>) -> Result<Charge> {
        let earlier = if let Some(Payment::DryRun(links)) = payment { links } else { 0 };
        match event {
            Event::LinkCreated(link) => {
                let plan = self.plan()?;
                self.check_link(&plan, link, None)?;
                self.check_count(&plan, Limit::Links, || Ok(self.links()? + earlier))?;
                return self.use_allowance(&plan, Limit::LinksPerMonth, payment);
            }
            Event::QrCodeCreated(_) => {
                return self.use_allowance(&self.plan()?, Limit::QrCodesPerMonth, None);
            }
            Event::LinkRestored(link) => {
                let plan = self.plan()?;
                self.check_tags(&plan, link, None)?;
                self.check_count(&plan, Limit::Links, || self.links())?;
            }
            Event::LinkChanged(link) => {
                let id = LinkId::from_bytes(&link.id).map_err(|_| Unreadable("link"))?;
                self.check_link(&self.plan()?, link, self.state.link(id)?.as_ref())?;
            }
            Event::DomainAdded(_) => {
                let plan = self.plan()?;
                if !plan.includes(Feature::Domains) {
                    return Err(lacks_feature(Feature::Domains, "hostname"));
                }
                let count = || Ok(self.state.domain_count(self.actor.workspace)?);
                self.check_count(&plan, Limit::Domains, count)?;
            }
            Event::MemberAdded(_) => {
                self.check_count(&self.plan()?, Limit::Members, || self.members())?;
            }
            Event::InvitationSent(invitation) => {
                self.check_invitation(invitation)?;
            }
            _ => {}
        }
        Ok(Charge::default())
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

    /// Uses one of what others have not reserved of a month's allowance, or else a credit.
    fn use_allowance(&self, plan: &Plan, limit: Limit, payment: Option<Payment>) -> Result<Charge> {
        let (Some(max), Some(counter)) = (plan.limits().get(limit), limit.counter()) else {
            return Ok(Charge::default());
        };
        let workspace = self.actor.workspace;
        let (kind, credits) = (CreditKind::beyond(limit), self.state.credits(workspace)?);
        let own = match payment {
            Some(Payment::Reserved(id)) => credits.reservation(id.as_bytes()),
            _ => None,
        };
        let reservation = own.map_or_else(Vec::new, |own| own.id.clone());
        let used = self.state.used(workspace, Month::of(self.now_ms), counter)?;
        let reserved = kind.map_or(0, |kind| credits.reserved_allowance(kind, &reservation));
        if let Some(Payment::DryRun(earlier)) = payment {
            // Nothing is debited, so what goes beyond the allowance is still in the balance.
            let balance = kind.map_or(0, |kind| credits.balance(kind, self.now_ms));
            let is_paid = used + reserved + earlier < max.saturating_add(balance);
            let charge = is_paid.then(Charge::default);
            return charge.ok_or_else(|| self.reached(plan, limit, max));
        }
        let has_allowance = own.is_some_and(|own| own.allowance > 0);
        if has_allowance || used.saturating_add(reserved) < max {
            return Ok(Charge { debit: None, reservation });
        }
        let has_reserved = own.is_some_and(|own| own.amount() > 0);
        match kind.filter(|kind| has_reserved || credits.balance(*kind, self.now_ms) > 0) {
            Some(kind) => {
                Ok(Charge { debit: Some(Debit { kind: kind as u32, amount: 1 }), reservation })
            }
            None => Err(self.reached(plan, limit, max)),
        }
    }

    /// Reserves for an import what is left of the month's allowance, up to the number of links, and
    /// credits for the others. Nothing without a limit, or if the import has a reservation.
    ///
    /// # Errors
    /// `PlanLimit` if there are too few credits, unless a part is wanted as well.
    pub(super) fn reserve(
        &self,
        import: ImportId,
        links: u64,
        is_partial: bool,
    ) -> Result<Option<Event>> {
        let (limit, kind, workspace) =
            (Limit::LinksPerMonth, CreditKind::Links, self.actor.workspace);
        let (plan, credits) = (self.plan()?, self.state.credits(workspace)?);
        let (Some(max), None) = (plan.limits().get(limit), credits.reservation(import.as_bytes()))
        else {
            return Ok(None);
        };
        let used = self.state.used(workspace, Month::of(self.now_ms), Counter::Links)?;
        let reserved = credits.reserved_allowance(kind, &[]);
        let allowance = links.min(max.saturating_sub(used.saturating_add(reserved)));
        let balance = credits.balance(kind, self.now_ms);
        let amount = balance.min(links - allowance);
        let missing = links - allowance - amount;
        if missing > 0 && !is_partial {
            // The plan to recommend has room for all links.
            let needed = max.max(used.saturating_add(links) - 1);
            let reached = self.policies.plans.load().limit_reached(&plan, limit, needed);
            return Err(too_few(links, missing, LimitReached { max, ..reached }));
        }
        let (id, kind) = (import.as_bytes().to_vec(), kind as u32);
        Ok(Some(Event::CreditsReserved(CreditsReserved { id, kind, amount, allowance })))
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

/// An import needs more credits than there are.
fn too_few(links: u64, missing: u64, reached: LimitReached) -> ServiceError {
    let plan = reached.recommended.as_ref().map_or_else(String::new, |plan| {
        let room = plan.limits.get(reached.limit).map_or_else(
            || "has no limit".to_owned(),
            |max| format!("allows {max} {}", reached.limit.noun()),
        );
        format!(" The plan {} {room}.", plan.name)
    });
    let text = format!(
        "The file has {links} links, but the workspace can create only {} more this month: \
         {missing} credits are missing.{plan} With on_conflict=skip, as many are imported as the \
         credits allow.",
        links - missing
    );
    let error = ServiceError::new(ErrorCode::PlanLimit, text);
    ServiceError { limit: Some(reached.into()), ..error }
}

fn lacks_feature(feature: Feature, field: &str) -> ServiceError {
    unavailable(&format!("the feature {}", feature.as_str()), field)
}

fn unavailable(what: &str, field: &str) -> ServiceError {
    let text = format!("The workspace's plan does not include {what}: change the plan.");
    let error = ServiceError::new(ErrorCode::FeatureNotAvailable, text);
    error.with_field(field, "is not available on the workspace's plan")
}
