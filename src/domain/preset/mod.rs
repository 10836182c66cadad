//! Presets: named sets of UTM parameters for new links.
//!
//! There are two kinds. Links belong to a *campaign*: a link created in it inherits those of the
//! campaign's parameters that it doesn't set itself. A *UTM template* is only copied. Changing a
//! preset doesn't change existing links.

pub mod state;

use std::fmt;

use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::domain::error::Invalid;
use crate::domain::ids::{CampaignId, UtmTemplateId, WorkspaceId};
use crate::domain::link::{Field, Utm, UtmInput};

const MAX_NAME_CHARS: usize = 100;
const MAX_DESCRIPTION_CHARS: usize = 1_000;

/// The kind of a preset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum UtmPresetKind {
    /// A campaign, which links belong to.
    Campaign,
    /// A UTM template, which links copy.
    Template,
}

impl UtmPresetKind {
    /// The name in messages.
    pub const fn noun(self) -> &'static str {
        match self {
            Self::Campaign => "campaign",
            Self::Template => "UTM template",
        }
    }

    /// An id of this kind from a UUID.
    pub const fn id(self, uuid: Uuid) -> UtmPresetId {
        match self {
            Self::Campaign => UtmPresetId::Campaign(CampaignId::new(uuid)),
            Self::Template => UtmPresetId::Template(UtmTemplateId::new(uuid)),
        }
    }

    /// Parses an id of this kind; `None` if it is invalid.
    pub fn parse_id(self, text: &str) -> Option<UtmPresetId> {
        match self {
            Self::Campaign => text.parse().ok().map(UtmPresetId::Campaign),
            Self::Template => text.parse().ok().map(UtmPresetId::Template),
        }
    }
}

/// The id of a preset, including its kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum UtmPresetId {
    /// `camp_…`
    Campaign(CampaignId),
    /// `utm_…`
    Template(UtmTemplateId),
}

impl UtmPresetId {
    /// The kind.
    pub const fn kind(self) -> UtmPresetKind {
        match self {
            Self::Campaign(_) => UtmPresetKind::Campaign,
            Self::Template(_) => UtmPresetKind::Template,
        }
    }

    /// The UUID without the prefix.
    pub const fn uuid(self) -> Uuid {
        match self {
            Self::Campaign(id) => id.uuid(),
            Self::Template(id) => id.uuid(),
        }
    }
}

impl fmt::Display for UtmPresetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Campaign(id) => id.fmt(f),
            Self::Template(id) => id.fmt(f),
        }
    }
}

/// A campaign or a UTM template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UtmPreset {
    /// The id, including the kind.
    pub id: UtmPresetId,
    /// The workspace it belongs to.
    pub workspace: WorkspaceId,
    /// The name, unique by kind in the workspace, regardless of case.
    pub name: String,
    /// A free-form description.
    pub description: Option<String>,
    /// The parameters of new links.
    pub utm: Utm,
    /// In milliseconds since the Unix epoch.
    pub created_at_ms: u64,
    /// In milliseconds since the Unix epoch.
    pub updated_at_ms: u64,
}

/// The fields of a campaign or UTM template to set. `null` clears a field. An absent field is empty
/// (POST) or stays as it is (PATCH).
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = PresetInput)]
pub struct UtmPresetInput {
    /// 1 to 100 characters, unique in the workspace regardless of case. Required on creation.
    #[serde(default)]
    #[schema(value_type = Option<String>, example = "Spring sale")]
    pub name: Field<String>,
    /// At most 1,000 characters.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub description: Field<String>,
    /// The value for new links that don't set their own.
    #[serde(default)]
    #[schema(value_type = Option<String>, example = "newsletter")]
    pub utm_source: Field<String>,
    /// Like `utm_source`.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub utm_medium: Field<String>,
    /// Like `utm_source`.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub utm_campaign: Field<String>,
    /// Like `utm_source`.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub utm_content: Field<String>,
    /// Like `utm_source`.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub utm_term: Field<String>,
}

impl UtmPresetInput {
    /// Validates the input and applies it to `before`, an empty preset when creating one. Absent
    /// fields keep their values.
    ///
    /// # Errors
    /// All invalid fields.
    pub fn accept(self, before: UtmPreset) -> Result<UtmPreset, Invalid> {
        let mut invalid = Invalid::default();
        let old_name = Some(before.name.clone()).filter(|name| !name.is_empty());
        let is_asked = matches!(self.name, Field::Value(_));
        let name = invalid.text("name", self.name, old_name, MAX_NAME_CHARS);
        if name.is_none() && !(is_asked && invalid.fields().contains_key("name")) {
            invalid.add("name", "is required");
        }
        let description = invalid.text(
            "description",
            self.description,
            before.description,
            MAX_DESCRIPTION_CHARS,
        );
        let utm = UtmInput {
            source: self.utm_source,
            medium: self.utm_medium,
            campaign: self.utm_campaign,
            content: self.utm_content,
            term: self.utm_term,
        };
        let utm = utm.accept(before.utm, &mut invalid);
        invalid.into_result()?;
        Ok(UtmPreset { name: name.unwrap_or_default(), description, utm, ..before })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn empty() -> UtmPreset {
        UtmPreset {
            id: UtmPresetKind::Campaign.id(Uuid::from_u128(1)),
            workspace: WorkspaceId::new(Uuid::from_u128(2)),
            name: String::new(),
            description: None,
            utm: Utm::default(),
            created_at_ms: 1,
            updated_at_ms: 1,
        }
    }

    fn value(text: &str) -> Field<String> {
        Field::Value(text.to_owned())
    }

    fn wrong(input: UtmPresetInput, before: UtmPreset) -> Vec<String> {
        match input.accept(before) {
            Err(invalid) => invalid.fields().keys().cloned().collect(),
            Ok(preset) => vec![format!("{preset:?}")],
        }
    }

    #[test]
    fn a_name_is_required_and_kept_if_absent() {
        let named = |name| UtmPresetInput { name, ..UtmPresetInput::default() };
        assert_eq!(wrong(UtmPresetInput::default(), empty()), ["name"]);
        for name in [Field::Null, value("  "), value("a\nb"), Field::Value("n".repeat(101))] {
            assert_eq!(wrong(named(name.clone()), empty()), ["name"]);
            let before = UtmPreset { name: "Old".into(), ..empty() };
            assert_eq!(wrong(named(name), before), ["name"]);
        }
        let made = named(value(" Spring ")).accept(empty()).unwrap();
        assert_eq!(made.name, "Spring");
        assert_eq!(UtmPresetInput::default().accept(made.clone()).unwrap(), made);
    }

    #[test]
    fn parameters_are_kept_changed_and_cleared() {
        let input = UtmPresetInput {
            name: value("a"),
            utm_source: value("mail"),
            utm_term: value("shoes"),
            ..UtmPresetInput::default()
        };
        let made = input.accept(empty()).unwrap();
        let input = UtmPresetInput {
            utm_source: Field::Null,
            utm_medium: value("cpc"),
            ..UtmPresetInput::default()
        };
        let utm = input.accept(made).unwrap().utm;
        assert_eq!(utm.pairs().collect::<Vec<_>>(), [("utm_medium", "cpc"), ("utm_term", "shoes")]);
        let input = UtmPresetInput { utm_content: value("a\0"), ..UtmPresetInput::default() };
        assert_eq!(wrong(input, UtmPreset { name: "a".into(), ..empty() }), ["utm_content"]);
    }
}
