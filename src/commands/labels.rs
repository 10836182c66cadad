//! Decides commands on campaigns, UTM templates and external ids.

use uuid::Uuid;

use super::decide::{CommandHandler, Decision};
use crate::domain::command::{Command, Expected, LinkRef, Outcome};
use crate::domain::error::{ErrorCode, Invalid, Result, ServiceError};
use crate::domain::event::{Event, UtmPresetDeleted};
use crate::domain::ids::{LinkId, RuleId};
use crate::domain::link::{
    Accepted, Field, LinkContext, LinkFields, LinkInput, Utm, WriteMode, checked_external_id,
};
use crate::domain::preset::{UtmPreset, UtmPresetId, UtmPresetInput, UtmPresetKind};
use crate::projections::index::{Group, ReadDomains, ReadRanges};

impl<R: ReadRanges> CommandHandler<'_, R> {
    /// Validates an input against the workspace's domains, campaigns and UTM templates.
    pub(super) fn accept(&self, mut input: LinkInput, mode: WriteMode<'_>) -> Result<Accepted> {
        let mut invalid = Invalid::default();
        let template = match std::mem::take(&mut input.utm_template) {
            Field::Value(text) => {
                let id = UtmPresetKind::Template.parse_id(&text);
                self.preset_utm(id, "utm_template", &mut invalid)?
            }
            Field::Absent | Field::Null => None,
        };
        // A malformed id is refused with the other fields.
        let id = input.campaign().map(UtmPresetId::Campaign);
        let campaign =
            if id.is_some() { self.preset_utm(id, "campaign", &mut invalid)? } else { None };
        // Precedence: the input itself, the template that it names, the campaign.
        let is_new = matches!(mode, WriteMode::Create);
        for preset in template.into_iter().chain(campaign.filter(|_| is_new)) {
            input.fill_utm(&preset);
        }
        let domain = self.domain_of(&std::mem::take(&mut input.domain), mode)?;
        let accepted = self.with_host_lookup(|is_hosted| {
            let new_rule_id = || RuleId::new(Uuid::now_v7());
            let (policy, now_ms) = (&self.policies.links, self.now_ms);
            input.accept(mode, domain, &LinkContext { policy, is_hosted, now_ms, new_rule_id })
        })?;
        match accepted {
            Err(others) => {
                invalid.merge(others);
                Err(invalid.into())
            }
            Ok(accepted) => {
                invalid.into_result()?;
                Ok(accepted)
            }
        }
    }

    /// The UTM parameters of a preset of this workspace; adds an error if it does not exist.
    fn preset_utm(
        &self,
        id: Option<UtmPresetId>,
        field: &str,
        invalid: &mut Invalid,
    ) -> Result<Option<Utm>> {
        let preset = id.map(|id| self.state.preset(self.actor.workspace, id)).transpose()?;
        let utm = preset.flatten().map(|preset| preset.utm);
        if utm.is_none() {
            let noun = if field == "campaign" { "campaign" } else { "UTM template" };
            invalid.add(field, format!("is not a {noun} of this workspace"));
        }
        Ok(utm)
    }

    /// Refuses an external id of another link.
    pub(super) fn claim_external_id(&self, fields: &LinkFields, own: Option<LinkId>) -> Result<()> {
        let Some(external_id) = &fields.labels.external_id else { return Ok(()) };
        let holder = self.state.external(self.actor.workspace, external_id)?;
        if holder.is_some_and(|holder| own != Some(holder)) {
            return Err(ServiceError::taken("external_id", "external id", external_id));
        }
        Ok(())
    }

    /// Creates the link with this external id, or replaces it.
    pub(super) fn upsert_link(
        &self,
        external_id: String,
        mut input: LinkInput,
        expected: Expected,
    ) -> Result<Decision> {
        let external_id = checked_external_id(external_id)
            .map_err(|rule| ServiceError::field("external_id", rule))?;
        let is_same = match &input.external_id {
            Field::Absent => true,
            Field::Null => false,
            Field::Value(named) => *named == external_id,
        };
        if !is_same {
            let rule = "must match the path or be omitted";
            return Err(ServiceError::field("external_id", rule));
        }
        input.external_id = Field::Value(external_id.clone());
        let named = LinkRef::ExternalId(external_id);
        let link = self.state.link_in(self.actor.workspace, &named)?;
        let command = match (link, expected) {
            (Some(_), _) => Command::ReplaceLink(named, input, expected),
            (None, None) => Command::CreateLink(input),
            (None, Some(expected)) => {
                return Err(ServiceError::version_mismatch(expected, 0));
            }
        };
        let is_new = matches!(command, Command::CreateLink(_));
        let (event, outcome) = self.decide(command)?;
        Ok(match outcome {
            Outcome::Link(link) => (event, Outcome::Upserted(link, is_new)),
            other => (event, other),
        })
    }

    pub(super) fn create_preset(
        &self,
        kind: UtmPresetKind,
        input: UtmPresetInput,
    ) -> Result<Decision> {
        let empty = UtmPreset {
            id: kind.id(Uuid::now_v7()),
            workspace: self.actor.workspace,
            name: String::new(),
            description: None,
            utm: Utm::default(),
            created_at_ms: self.now_ms,
            updated_at_ms: self.now_ms,
        };
        let preset = input.accept(empty)?;
        self.claim_name(&preset)?;
        let event = match kind {
            UtmPresetKind::Campaign => Event::CampaignCreated((&preset).into()),
            UtmPresetKind::Template => Event::UtmTemplateCreated((&preset).into()),
        };
        Ok((Some(event), Outcome::UtmPreset(preset.into())))
    }

    pub(super) fn change_preset(&self, id: UtmPresetId, input: UtmPresetInput) -> Result<Decision> {
        let before = self.preset(id)?;
        let preset = input.accept(before.clone())?;
        if preset == before {
            return Ok((None, Outcome::UtmPreset(before.into())));
        }
        self.claim_name(&preset)?;
        let preset = UtmPreset { updated_at_ms: self.now_ms.max(before.updated_at_ms), ..preset };
        let event = match id.kind() {
            UtmPresetKind::Campaign => Event::CampaignChanged((&preset).into()),
            UtmPresetKind::Template => Event::UtmTemplateChanged((&preset).into()),
        };
        Ok((Some(event), Outcome::UtmPreset(preset.into())))
    }

    pub(super) fn delete_preset(&self, id: UtmPresetId) -> Result<Decision> {
        let preset = self.preset(id)?;
        let deleted = UtmPresetDeleted { id: id.uuid().as_bytes().to_vec() };
        let event = match id {
            UtmPresetId::Template(_) => Event::UtmTemplateDeleted(deleted),
            UtmPresetId::Campaign(id) => {
                let links = self.state.group_count(preset.workspace, &Group::Campaign(id))?;
                if links > 0 {
                    let text = format!(
                        "{links} links belong to the campaign `{}`: remove them from it first.",
                        preset.name
                    );
                    return Err(ServiceError::new(ErrorCode::Conflict, text));
                }
                Event::CampaignDeleted(deleted)
            }
        };
        Ok((Some(event), Outcome::Gone))
    }

    fn preset(&self, id: UtmPresetId) -> Result<UtmPreset> {
        let preset = self.state.preset(self.actor.workspace, id)?;
        preset.ok_or_else(|| ServiceError::not_found(id.kind().noun()))
    }

    fn claim_name(&self, preset: &UtmPreset) -> Result<()> {
        let kind = preset.id.kind();
        let holder = self.state.preset_named(preset.workspace, kind, &preset.name)?;
        if holder.is_some_and(|holder| holder != preset.id) {
            return Err(ServiceError::taken("name", "name", &preset.name));
        }
        Ok(())
    }
}
