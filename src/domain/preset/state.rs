//! Campaigns and UTM templates as stored in the mutation log.

use uuid::Uuid;

use super::{UtmPreset, UtmPresetKind};
use crate::domain::error::Unreadable;
use crate::domain::ids::WorkspaceId;
use crate::domain::link::Utm;

/// A [`UtmPreset`] as logged. Its kind is the event's, its workspace the envelope's.
#[derive(Clone, PartialEq, Eq, prost::Message)]
#[allow(missing_docs, reason = "the same names as in UtmPreset and Utm")]
pub struct UtmPresetState {
    #[prost(bytes = "vec", tag = "1")]
    pub id: Vec<u8>,
    #[prost(string, tag = "2")]
    pub name: String,
    #[prost(string, optional, tag = "3")]
    pub description: Option<String>,
    #[prost(string, optional, tag = "4")]
    pub utm_source: Option<String>,
    #[prost(string, optional, tag = "5")]
    pub utm_medium: Option<String>,
    #[prost(string, optional, tag = "6")]
    pub utm_campaign: Option<String>,
    #[prost(string, optional, tag = "7")]
    pub utm_content: Option<String>,
    #[prost(string, optional, tag = "8")]
    pub utm_term: Option<String>,
    #[prost(uint64, tag = "9")]
    pub created_at_ms: u64,
    #[prost(uint64, tag = "10")]
    pub updated_at_ms: u64,
}

/// A campaign or UTM template was deleted.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct UtmPresetDeleted {
    /// Its 16 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub id: Vec<u8>,
}

impl From<&UtmPreset> for UtmPresetState {
    fn from(preset: &UtmPreset) -> Self {
        let utm = preset.utm.clone();
        Self {
            id: preset.id.uuid().as_bytes().to_vec(),
            name: preset.name.clone(),
            description: preset.description.clone(),
            utm_source: utm.source,
            utm_medium: utm.medium,
            utm_campaign: utm.campaign,
            utm_content: utm.content,
            utm_term: utm.term,
            created_at_ms: preset.created_at_ms,
            updated_at_ms: preset.updated_at_ms,
        }
    }
}

impl UtmPresetState {
    /// The preset, of the event's kind, in the envelope's workspace.
    ///
    /// # Errors
    /// [`Unreadable`] for an invalid id.
    pub fn into_preset(
        self,
        kind: UtmPresetKind,
        workspace: WorkspaceId,
    ) -> Result<UtmPreset, Unreadable> {
        let uuid = Uuid::from_slice(&self.id).map_err(|_| Unreadable(kind.noun()))?;
        Ok(UtmPreset {
            id: kind.id(uuid),
            workspace,
            name: self.name,
            description: self.description,
            utm: Utm {
                source: self.utm_source,
                medium: self.utm_medium,
                campaign: self.utm_campaign,
                content: self.utm_content,
                term: self.utm_term,
            },
            created_at_ms: self.created_at_ms,
            updated_at_ms: self.updated_at_ms,
        })
    }
}
