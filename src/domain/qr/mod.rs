//! QR codes of links: how they look, what they encode, their logos and brand defaults.

pub mod command;
pub mod defaults;
pub mod input;
pub mod look;
pub mod marker;
pub mod state;
pub mod style;

pub use defaults::{QrDefaults, QrDefaultsInput};
pub use input::QrCodeInput;

use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::ids::{LinkId, LogoId, QrCodeId, WorkspaceId};
use super::link::Link;
use look::Look;
use style::{ImageFormat, QrStyle};

/// The maximum number of codes of a link.
pub const MAX_CODES_PER_LINK: usize = 100;
/// The maximum number of logos of a workspace.
pub const MAX_LOGOS: usize = 200;

/// A QR code at one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QrCode {
    /// The permanent id.
    pub id: QrCodeId,
    /// The workspace that owns it and its link.
    pub workspace: WorkspaceId,
    /// The link. It never changes: printed codes have its slug.
    pub link: LinkId,
    /// A display name.
    pub name: Option<String>,
    /// How it looks.
    pub style: QrStyle,
    /// The default width of its images, in pixels.
    pub size: u32,
    /// The default format of its images.
    pub format: ImageFormat,
    /// Whether it encodes the payload of the link rather than the link: then scans are not counted.
    pub direct: bool,
    /// The dialect that manages it, if any: at most one code per link and dialect.
    pub dialect: Option<String>,
    /// In milliseconds since the Unix epoch.
    pub created_at_ms: u64,
    /// When the current version was made, in milliseconds since the Unix epoch.
    pub updated_at_ms: u64,
    /// 1 at creation; incremented by each change.
    pub version: u32,
}

impl QrCode {
    /// The first version of a code of a link, with a look.
    pub fn blank(id: QrCodeId, link: &Link, look: Look, now_ms: u64) -> Self {
        let (size, format) = (look.size, look.format);
        Self {
            id,
            workspace: link.workspace,
            link: link.id,
            name: None,
            style: look.into_style(),
            size,
            format,
            direct: false,
            dialect: None,
            created_at_ms: now_ms,
            updated_at_ms: now_ms,
            version: 1,
        }
    }
}

/// The id of a logo: the first bytes of the SHA-256 of its image.
pub fn logo_id(image: &[u8]) -> LogoId {
    let digest: [u8; 32] = Sha256::digest(image).into();
    let mut id = [0; 16];
    id.copy_from_slice(&digest[..16]);
    LogoId::new(Uuid::from_bytes(id))
}

/// A logo of a workspace, without its image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredLogo {
    /// The id, derived from the image.
    pub id: LogoId,
    /// The media type.
    pub content_type: String,
    /// The length of the image, in bytes.
    pub bytes: u64,
    /// In milliseconds since the Unix epoch.
    pub created_at_ms: u64,
    /// How many codes and defaults have it, those of deleted links that can be restored included.
    pub uses: u64,
}

#[cfg(test)]
pub(crate) mod tests {
    use super::style::{
        Color, CornerStyle, DotStyle, ErrorCorrection, Frame, Gradient, GradientKind, LogoPlacement,
    };
    use super::*;

    /// A style with every field set.
    pub fn styled() -> QrStyle {
        let red = Color { red: 200, green: 1, blue: 2 };
        QrStyle {
            color: Color { red: 1, green: 2, blue: 3 },
            background_color: None,
            gradient: Some(Gradient { kind: GradientKind::Radial, color: red, angle: 45 }),
            corner_color: Some(red),
            corner_dot_color: Some(Color::BLACK),
            dot_style: DotStyle::Classy,
            corner_style: CornerStyle::Dot,
            margin: 0,
            error_correction: ErrorCorrection::High,
            logo: Some(LogoPlacement {
                logo: LogoId::new(Uuid::from_u128(9)),
                size_percent: 25,
                clears: false,
            }),
            frame: Some(Frame { caption: "Scan".into(), color: red, text_color: Color::WHITE }),
        }
    }

    /// A code with the built-in style.
    pub fn code() -> QrCode {
        QrCode {
            id: QrCodeId::new(Uuid::from_u128(1)),
            workspace: WorkspaceId::new(Uuid::from_u128(2)),
            link: LinkId::new(Uuid::from_u128(3)),
            name: None,
            style: QrStyle::default(),
            size: 300,
            format: ImageFormat::Png,
            direct: false,
            dialect: None,
            created_at_ms: 1,
            updated_at_ms: 1,
            version: 1,
        }
    }
}
