//! Brand defaults: how new codes of a workspace, or of a domain, look unless they say otherwise.
//!
//! They are copied into a code when it is created: the request over the domain's over the
//! workspace's over the built-in ones. A change of them leaves existing codes alone.

use serde::Deserialize;
use utoipa::ToSchema;

use super::input::look_input;
use super::look::LookChanges;
use crate::domain::error::Invalid;
use crate::domain::ids::LogoId;

/// Defaults for new codes; what they don't set is left to others.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct QrDefaults {
    /// The values.
    pub look: LookChanges,
}

look_input! {
    /// How new codes look. An absent or null field has no default here.
    QrDefaultsInput {}
}

impl QrDefaults {
    /// Whether nothing is set.
    pub fn is_empty(&self) -> bool {
        self.look == LookChanges::default()
    }
}

impl QrDefaultsInput {
    /// Validates the input.
    ///
    /// # Errors
    /// All invalid fields.
    pub fn accept(mut self, has_logo: &dyn Fn(LogoId) -> bool) -> Result<QrDefaults, Invalid> {
        let mut invalid = Invalid::default();
        let look = self.take_look().accept(has_logo, &mut invalid);
        invalid.into_result()?;
        Ok(QrDefaults { look: look.without_nulls() })
    }
}
