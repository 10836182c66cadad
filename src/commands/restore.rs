//! Reverts, restores and purges links.

use super::decide::{CommandHandler, Decision, check_version};
use crate::domain::command::{Expected, LinkRef, Outcome};
use crate::domain::error::{ErrorCode, Result, ServiceError};
use crate::domain::event::{Event, LinkPurged, LinkState};
use crate::domain::ids::LinkId;
use crate::domain::link::{Link, LinkFields};
use crate::domain::plan::Feature;
use crate::domain::preset::UtmPresetId;
use crate::domain::slug::Slug;
use crate::projections::index::{ReadDomains, ReadRanges, Tombstone};

impl<R: ReadRanges> CommandHandler<'_, R> {
    pub(super) fn revert_link(&self, to: Link, expected: Expected) -> Result<Decision> {
        let link = self.current(&LinkRef::Id(to.id), expected)?;
        let mut fields = self.restorable_fields(to.fields)?;
        self.policies.links.blocklist.load().check(&fields, Some(&link.fields))?;
        let next_version = link.version.saturating_add(1);
        fields.gates = fields.gates.reapplied_to(&link.fields.gates, next_version);
        let (event, outcome) = self.change_link(&link, to.slug, fields)?;
        let reverted_to = Some(to.version);
        let event = event.map(|event| match event {
            Event::LinkChanged(state) => Event::LinkChanged(LinkState { reverted_to, ..state }),
            other => other,
        });
        Ok((event, outcome))
    }

    pub(super) fn purge_link(&self, named: &LinkRef, expected: Expected) -> Result<Decision> {
        let purged = match (self.current(named, expected), named) {
            (Err(ServiceError { code: ErrorCode::NotFound, .. }), LinkRef::Id(id)) => {
                let link = self.deleted(*id)?.link;
                check_version(&link, expected)?;
                link.id
            }
            (link, _) => link?.id,
        };
        let purged = LinkPurged { link: purged.as_bytes().to_vec() };
        Ok((Some(Event::LinkPurged(purged)), Outcome::Gone))
    }

    pub(super) fn restore_link(
        &self,
        id: LinkId,
        deleted_version: u32,
        slug: Option<&str>,
    ) -> Result<Decision> {
        let link = self.deleted(id)?.link;
        check_version(&link, Some(deleted_version))?;
        let slug = match slug.map(Slug::parse) {
            None => link.slug.clone(),
            Some(Ok(slug)) => slug,
            Some(Err(rule)) => return Err(ServiceError::field("slug", rule)),
        };
        if slug != link.slug {
            self.require_feature(Feature::CustomSlugs, "slug")?;
        }
        let fields = self.restorable_fields(link.fields)?;
        self.policies.links.blocklist.load().check(&fields, None)?;
        if self.state.slug(&fields.domain, slug.as_str())?.is_some() {
            return Err(ServiceError::taken("slug", "slug", slug.as_str()));
        }
        self.claim_external_id(&fields, None)?;
        let updated_at_ms = self.now_ms.max(link.updated_at_ms);
        let version = link.version.saturating_add(1);
        let link = Link { fields, slug, updated_at_ms, version, ..link };
        Ok((Some(Event::LinkRestored((&link).into())), Outcome::Link(link.into())))
    }

    /// The fields of an earlier version, without a campaign that was deleted since. It is an error if
    /// the domain is no longer available.
    fn restorable_fields(&self, mut fields: LinkFields) -> Result<LinkFields> {
        let domain = &fields.domain;
        if !domain.is_empty() {
            let verified = self.state.verified(domain)?;
            if verified.is_none_or(|found| found.workspace != self.actor.workspace) {
                let rule = format!(
                    "`{domain}` is no longer a verified domain of this workspace: add and verify it first."
                );
                return Err(ServiceError::new(ErrorCode::Conflict, rule));
            }
        }
        if let Some(campaign) = fields.labels.campaign() {
            let id = UtmPresetId::Campaign(campaign);
            if self.state.preset(self.actor.workspace, id)?.is_none() {
                fields.labels = fields.labels.without_campaign();
            }
        }
        Ok(fields)
    }

    /// The deleted link of the actor's workspace, if it can still be restored.
    fn deleted(&self, id: LinkId) -> Result<Tombstone> {
        let workspace = self.actor.workspace;
        if self.state.link_in(workspace, &LinkRef::Id(id))?.is_some() {
            return Err(ServiceError::not_deleted());
        }
        let tombstone = self.state.tombstone(workspace, id)?;
        let kept = tombstone.filter(|found| found.restorable_until_ms > self.now_ms);
        kept.ok_or_else(|| ServiceError::not_found("link"))
    }
}
