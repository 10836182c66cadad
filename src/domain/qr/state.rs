//! QR codes, logos and brand defaults as stored in the mutation log.

use super::look::{Look, LookChanges};
use super::style::{
    Color, CornerStyle, DotStyle, ErrorCorrection, Frame, Gradient, GradientKind, ImageFormat,
};
use super::{QrCode, QrDefaults};
use crate::domain::error::Unreadable;
use crate::domain::ids::{DomainId, LinkId, LogoId, QrCodeId, WorkspaceId};
use crate::domain::link::Field;

/// A [`QrCode`] as logged. Its workspace is the envelope's.
#[derive(Clone, PartialEq, Eq, prost::Message)]
#[allow(missing_docs, reason = "the same names as in QrCode")]
pub struct QrCodeState {
    #[prost(bytes = "vec", tag = "1")]
    pub id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub link: Vec<u8>,
    #[prost(string, optional, tag = "3")]
    pub name: Option<String>,
    #[prost(message, optional, tag = "4")]
    pub look: Option<LookState>,
    #[prost(bool, tag = "5")]
    pub direct: bool,
    #[prost(string, optional, tag = "6")]
    pub dialect: Option<String>,
    #[prost(uint64, tag = "7")]
    pub created_at_ms: u64,
    #[prost(uint64, tag = "8")]
    pub updated_at_ms: u64,
    #[prost(uint32, tag = "9")]
    pub version: u32,
    /// The version that a revert restored; only in the event of the revert.
    #[prost(uint32, optional, tag = "100")]
    pub reverted_to: Option<u32>,
}

/// A QR code was deleted.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct QrCodeDeleted {
    /// Its 16 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub id: Vec<u8>,
}

/// A logo was stored. Its id is that of its content.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct LogoStored {
    /// Its 16 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub id: Vec<u8>,
    /// The image: a PNG file, or an SVG file without scripts and references.
    #[prost(bytes = "vec", tag = "2")]
    pub image: Vec<u8>,
    /// The media type.
    #[prost(string, tag = "3")]
    pub content_type: String,
}

/// A logo was deleted.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct LogoDeleted {
    /// Its 16 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub id: Vec<u8>,
}

/// The brand defaults of a workspace or of one of its domains were changed: the defaults, in full.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct QrDefaultsChanged {
    /// The domain's 16 bytes; empty for the workspace.
    #[prost(bytes = "vec", tag = "1")]
    pub domain: Vec<u8>,
    /// The defaults; `None` if there are none.
    #[prost(message, optional, tag = "2")]
    pub look: Option<LookState>,
}

/// [`LookChanges`] as logged. Colors are `0xrrggbb`, choices are the numbers of their enums.
#[derive(Clone, PartialEq, Eq, prost::Message)]
#[allow(missing_docs, reason = "the same names as in LookChanges")]
pub struct LookState {
    #[prost(uint32, optional, tag = "1")]
    pub color: Option<u32>,
    #[prost(uint32, optional, tag = "2")]
    pub background_color: Option<u32>,
    /// Whether the background is transparent.
    #[prost(bool, tag = "3")]
    pub transparent: bool,
    #[prost(message, optional, tag = "4")]
    pub gradient: Option<GradientState>,
    #[prost(uint32, optional, tag = "5")]
    pub corner_color: Option<u32>,
    #[prost(uint32, optional, tag = "6")]
    pub corner_dot_color: Option<u32>,
    #[prost(uint32, optional, tag = "7")]
    pub dot_style: Option<u32>,
    #[prost(uint32, optional, tag = "8")]
    pub corner_style: Option<u32>,
    #[prost(uint32, optional, tag = "9")]
    pub margin: Option<u32>,
    #[prost(uint32, optional, tag = "10")]
    pub error_correction: Option<u32>,
    #[prost(bytes = "vec", optional, tag = "11")]
    pub logo: Option<Vec<u8>>,
    #[prost(uint32, optional, tag = "12")]
    pub logo_size: Option<u32>,
    #[prost(bool, optional, tag = "13")]
    pub logo_clear: Option<bool>,
    #[prost(message, optional, tag = "14")]
    pub frame: Option<FrameState>,
    #[prost(uint32, optional, tag = "15")]
    pub size: Option<u32>,
    #[prost(uint32, optional, tag = "16")]
    pub format: Option<u32>,
}

/// A [`Gradient`] as logged.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
#[allow(missing_docs, reason = "the same names as in Gradient")]
pub struct GradientState {
    #[prost(uint32, tag = "1")]
    pub kind: u32,
    #[prost(uint32, tag = "2")]
    pub color: u32,
    #[prost(uint32, tag = "3")]
    pub angle: u32,
}

/// A [`Frame`] as logged.
#[derive(Clone, PartialEq, Eq, prost::Message)]
#[allow(missing_docs, reason = "the same names as in Frame")]
pub struct FrameState {
    #[prost(string, tag = "1")]
    pub caption: String,
    #[prost(uint32, tag = "2")]
    pub color: u32,
    #[prost(uint32, tag = "3")]
    pub text_color: u32,
}

impl From<&QrCode> for QrCodeState {
    fn from(code: &QrCode) -> Self {
        let look = Look::new(code.style.clone(), code.size, code.format);
        Self {
            id: code.id.as_bytes().to_vec(),
            link: code.link.as_bytes().to_vec(),
            name: code.name.clone(),
            look: Some(LookChanges::of(look).into()),
            direct: code.direct,
            dialect: code.dialect.clone(),
            created_at_ms: code.created_at_ms,
            updated_at_ms: code.updated_at_ms,
            version: code.version,
            reverted_to: None,
        }
    }
}

impl QrCodeState {
    /// The code, in the envelope's workspace.
    ///
    /// # Errors
    /// [`Unreadable`] for an invalid id or an unknown choice.
    pub fn into_code(self, workspace: WorkspaceId) -> Result<QrCode, Unreadable> {
        let mut look = Look::default();
        self.look.unwrap_or_default().into_changes()?.apply_to(&mut look);
        let (size, format) = (look.size, look.format);
        Ok(QrCode {
            id: QrCodeId::from_bytes(&self.id).map_err(|_| Unreadable("QR code id"))?,
            workspace,
            link: LinkId::from_bytes(&self.link).map_err(|_| Unreadable("link id"))?,
            name: self.name,
            style: look.into_style(),
            size,
            format,
            direct: self.direct,
            dialect: self.dialect,
            created_at_ms: self.created_at_ms,
            updated_at_ms: self.updated_at_ms,
            version: self.version,
        })
    }
}

impl QrDefaultsChanged {
    /// The defaults of the workspace, or of a domain.
    pub fn new(domain: Option<DomainId>, defaults: &QrDefaults) -> Self {
        let look = (!defaults.is_empty()).then(|| defaults.look.clone().into());
        Self { domain: domain.map(|id| id.as_bytes().to_vec()).unwrap_or_default(), look }
    }

    /// The domain; `None` for the workspace.
    ///
    /// # Errors
    /// [`Unreadable`] for an invalid id.
    pub fn domain_id(&self) -> Result<Option<DomainId>, Unreadable> {
        if self.domain.is_empty() {
            return Ok(None);
        }
        DomainId::from_bytes(&self.domain).map(Some).map_err(|_| Unreadable("domain id"))
    }
}

/// A stored value, or no change.
fn value<T>(field: Field<T>) -> Option<T> {
    match field {
        Field::Absent | Field::Null => None,
        Field::Value(value) => Some(value),
    }
}

fn field<T>(value: Option<T>) -> Field<T> {
    value.map_or(Field::Absent, Field::Value)
}

fn pack(color: Color) -> u32 {
    u32::from_be_bytes([0, color.red, color.green, color.blue])
}

const fn unpack(number: u32) -> Color {
    let [_, red, green, blue] = number.to_be_bytes();
    Color { red, green, blue }
}

/// The choice with a number.
fn choice<T: Copy>(
    number: Option<u32>,
    every: &[T],
    number_of: impl Fn(T) -> u32,
) -> Result<Field<T>, Unreadable> {
    let Some(number) = number else { return Ok(Field::Absent) };
    let chosen = every.iter().copied().find(|choice| number_of(*choice) == number);
    chosen.map(Field::Value).ok_or(Unreadable("style of a QR code"))
}

impl From<LookChanges> for LookState {
    fn from(look: LookChanges) -> Self {
        let background = value(look.background_color);
        Self {
            color: value(look.color).map(pack),
            background_color: background.flatten().map(pack),
            transparent: background == Some(None),
            gradient: value(look.gradient).map(|gradient| GradientState {
                kind: gradient.kind as u32,
                color: pack(gradient.color),
                angle: gradient.angle,
            }),
            corner_color: value(look.corner_color).map(pack),
            corner_dot_color: value(look.corner_dot_color).map(pack),
            dot_style: value(look.dot_style).map(|style| style as u32),
            corner_style: value(look.corner_style).map(|style| style as u32),
            margin: value(look.margin),
            error_correction: value(look.error_correction).map(|level| level as u32),
            logo: value(look.logo).map(|logo| logo.as_bytes().to_vec()),
            logo_size: value(look.logo_size),
            logo_clear: value(look.logo_clear),
            frame: value(look.frame).map(|frame| FrameState {
                caption: frame.caption,
                color: pack(frame.color),
                text_color: pack(frame.text_color),
            }),
            size: value(look.size),
            format: value(look.format).map(|format| format as u32),
        }
    }
}

impl LookState {
    /// The id of the logo, if it has one.
    ///
    /// # Errors
    /// [`Unreadable`] for an invalid id.
    pub fn logo_id(&self) -> Result<Option<LogoId>, Unreadable> {
        let id = self.logo.as_ref().map(|bytes| LogoId::from_bytes(bytes)).transpose();
        id.map_err(|_| Unreadable("logo id"))
    }

    /// The changes.
    ///
    /// # Errors
    /// [`Unreadable`] for an invalid id or an unknown choice.
    pub fn into_changes(self) -> Result<LookChanges, Unreadable> {
        let logo = field(self.logo_id()?);
        let background = self.background_color.map(unpack);
        let gradient = match self.gradient {
            None => Field::Absent,
            Some(GradientState { kind, color, angle }) => {
                let kind = choice(Some(kind), GradientKind::EVERY, |kind| kind as u32)?;
                let made = |kind| Some(Gradient { kind, color: unpack(color), angle });
                kind.try_map(made)
            }
        };
        let frame = self.frame.map(|frame| Frame {
            caption: frame.caption,
            color: unpack(frame.color),
            text_color: unpack(frame.text_color),
        });
        Ok(LookChanges {
            color: field(self.color.map(unpack)),
            background_color: field(self.transparent.then_some(None).or(background.map(Some))),
            gradient,
            corner_color: field(self.corner_color.map(unpack)),
            corner_dot_color: field(self.corner_dot_color.map(unpack)),
            dot_style: choice(self.dot_style, DotStyle::EVERY, |style| style as u32)?,
            corner_style: choice(self.corner_style, CornerStyle::EVERY, |style| style as u32)?,
            margin: field(self.margin),
            error_correction: choice(self.error_correction, ErrorCorrection::EVERY, |level| {
                level as u32
            })?,
            logo,
            logo_size: field(self.logo_size),
            logo_clear: field(self.logo_clear),
            frame: field(frame),
            size: field(self.size),
            format: choice(self.format, ImageFormat::EVERY, |format| format as u32)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::super::style::QrStyle;
    use super::super::tests::styled;
    use super::*;

    #[test]
    fn a_code_reads_back() {
        for style in [QrStyle::default(), styled()] {
            let code = QrCode { style, ..super::super::tests::code() };
            let bytes = QrCodeState::from(&code).encode_to_vec();
            let state = QrCodeState::decode(bytes.as_slice()).unwrap();
            assert_eq!(state.into_code(code.workspace).unwrap(), code);
        }
    }

    #[test]
    fn an_unknown_choice_is_not_guessed() {
        let look = LookState { dot_style: Some(99), ..LookState::default() };
        assert!(look.into_changes().is_err());
        let look = LookState { logo: Some(vec![1]), ..LookState::default() };
        assert!(look.into_changes().is_err());
    }
}
