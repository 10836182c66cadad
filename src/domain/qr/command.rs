//! Commands on QR codes, logos and brand defaults.

use super::{QrCode, QrCodeInput, QrDefaultsInput};
use crate::domain::command::{DomainRef, Expected};
use crate::domain::ids::{LogoId, QrCodeId};
use crate::domain::token::Ability;

/// A command on QR codes, logos or brand defaults.
#[derive(Debug, Clone)]
pub enum QrCommand {
    /// Creates a code.
    Create(Box<QrCodeInput>),
    /// Creates the code of a dialect for a link, or replaces the one that the dialect has for it:
    /// that is a change of it, and absent fields get their defaults.
    CreateFor(&'static str, Box<QrCodeInput>),
    /// Changes the fields that are present.
    Change(QrCodeId, Box<QrCodeInput>, Expected),
    /// Reverts a code to an earlier version.
    Revert {
        /// The code at the earlier version.
        to: Box<QrCode>,
        /// The version that the caller has read.
        expected: Expected,
    },
    /// Deletes a code.
    Delete(QrCodeId, Expected),
    /// Stores a checked logo, unless the workspace has it.
    StoreLogo(Box<NewLogo>),
    /// Deletes a logo that nothing uses.
    DeleteLogo(LogoId),
    /// Replaces the brand defaults of the workspace, or of a domain.
    SetDefaults(Option<DomainRef>, Box<QrDefaultsInput>),
}

/// A logo to store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewLogo {
    /// The id of its image.
    pub id: LogoId,
    /// The image.
    pub image: Vec<u8>,
    /// The media type.
    pub content_type: String,
}

impl QrCommand {
    /// The ability that the actor needs.
    pub const fn ability(&self) -> Ability {
        Ability::QrWrite
    }
}
