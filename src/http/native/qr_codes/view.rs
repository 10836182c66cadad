//! QR codes, logos and brand defaults in responses.

use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::link::{Field, Link};
use crate::domain::qr::QrDefaults;
use crate::domain::qr::StoredLogo;
use crate::domain::qr::input::TRANSPARENT;
use crate::domain::qr::style::{
    Color, CornerStyle, DotStyle, ErrorCorrection, Frame, Gradient, GradientKind, ImageFormat,
};
use crate::http::Services;
use crate::http::native::iso8601;
use crate::http::native::schema::VersionChange;
use crate::http::qr_codes::{Saved, content};
use crate::qr::Warning;
use crate::queries::qr_codes::{LinkedQrCode, QrCodeVersion};

/// A QR code.
#[derive(Debug, Serialize, ToSchema)]
pub struct QrCodeView {
    #[schema(example = "qr_01kaj9m3v8e9qrs4t5v6w7x8y9")]
    id: String,
    /// The link's ID.
    #[schema(example = "link_01kaj9m3v8e9qrs4t5v6w7x8y9")]
    link: String,
    #[schema(example = "https://sho.rt/launch")]
    short_url: String,
    /// What the code encodes: the short URL with a marker that names the code, or the payload.
    #[schema(example = "https://sho.rt/launch?qr=4c9")]
    content: String,
    name: Option<String>,
    /// Whether the code encodes the payload of the link.
    direct: bool,
    #[schema(example = "#000000")]
    color: String,
    /// A color, or `transparent`.
    #[schema(example = "#ffffff")]
    background_color: String,
    gradient: Option<GradientView>,
    corner_color: Option<String>,
    corner_dot_color: Option<String>,
    #[schema(value_type = DotStyle)]
    dot_style: &'static str,
    #[schema(value_type = CornerStyle)]
    corner_style: &'static str,
    margin: u32,
    #[schema(value_type = ErrorCorrection)]
    error_correction: &'static str,
    /// The logo's ID.
    logo: Option<String>,
    /// Null without a logo.
    logo_size: Option<u32>,
    /// Null without a logo.
    logo_clear: Option<bool>,
    frame: Option<FrameView>,
    size: u32,
    #[schema(value_type = ImageFormat)]
    format: &'static str,
    /// The dialect that manages the code, if any.
    dialect: Option<String>,
    /// The URL of the image, which needs no token.
    #[schema(example = "https://sho.rt/qr/qr_01kaj9m3v8e9qrs4t5v6w7x8y9.png?v=1")]
    image_url: String,
    /// The URL of the image at this version and that of the link, which never changes.
    version_image_url: String,
    /// Scans without bots. Null in versions, in the response to a change of a code, which counts
    /// none, and while analytics are unavailable.
    total_scans: Option<u64>,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    updated_at: String,
    version: u32,
}

/// A gradient of the modules.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = QrGradient)]
pub struct GradientView {
    #[schema(value_type = GradientKind)]
    kind: &'static str,
    color: String,
    angle: u32,
}

/// A frame with a caption.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = QrFrame)]
pub struct FrameView {
    caption: String,
    color: String,
    text_color: String,
}

/// A QR code that was created or changed.
#[derive(Debug, Serialize, ToSchema)]
pub struct SavedQrCode {
    data: QrCodeView,
    meta: SavedMeta,
}

/// The position of the change in the log, and warnings.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SavedQrCodeMeta)]
pub struct SavedMeta {
    /// The offset of the change log that the response reflects, also in the `Log-Offset` header.
    offset: u64,
    /// What may keep some scanners from reading the code.
    warnings: Vec<WarningView>,
}

/// A reason why some scanners may not read a code.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = QrWarning)]
pub struct WarningView {
    /// The field to change.
    #[schema(example = "margin")]
    field: &'static str,
    text: String,
}

/// A version of a QR code.
#[derive(Debug, Serialize, ToSchema)]
pub struct QrCodeVersionView {
    version: u32,
    /// When the version was created.
    #[schema(format = DateTime)]
    at: String,
    /// The token that created it; null for the service itself.
    actor: Option<String>,
    /// The ID of the user who created the version; null for machine tokens and the service itself.
    user: Option<String>,
    /// What created the version.
    #[schema(value_type = VersionChange)]
    change: String,
    /// The version that the code was reverted to.
    reverted_to: Option<u32>,
    /// The code at this version.
    qr_code: QrCodeView,
}

/// A logo.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = QrLogo)]
pub struct LogoView {
    #[schema(example = "logo_01kaj9m3v8e9qrs4t5v6w7x8y9")]
    id: String,
    #[schema(example = "image/png")]
    content_type: String,
    /// The length of the image.
    bytes: u64,
    /// How many QR codes and brand defaults have it, those of deleted links included.
    uses: u64,
    /// The URL of the image.
    image_url: String,
    #[schema(format = DateTime)]
    created_at: String,
}

/// Brand defaults; null where there is none.
#[derive(Debug, Default, Serialize, ToSchema)]
#[schema(as = QrDefaults)]
pub struct DefaultsView {
    color: Option<String>,
    /// A color, or `transparent`.
    background_color: Option<String>,
    gradient: Option<GradientView>,
    corner_color: Option<String>,
    corner_dot_color: Option<String>,
    #[schema(value_type = Option<DotStyle>)]
    dot_style: Option<&'static str>,
    #[schema(value_type = Option<CornerStyle>)]
    corner_style: Option<&'static str>,
    margin: Option<u32>,
    #[schema(value_type = Option<ErrorCorrection>)]
    error_correction: Option<&'static str>,
    logo: Option<String>,
    logo_size: Option<u32>,
    logo_clear: Option<bool>,
    frame: Option<FrameView>,
    size: Option<u32>,
    #[schema(value_type = Option<ImageFormat>)]
    format: Option<&'static str>,
}

fn background(color: Option<Color>) -> String {
    color.map_or_else(|| TRANSPARENT.to_owned(), |color| color.to_string())
}

impl From<Gradient> for GradientView {
    fn from(gradient: Gradient) -> Self {
        let (kind, color) = (gradient.kind.as_str(), gradient.color.to_string());
        Self { kind, color, angle: gradient.angle }
    }
}

impl From<Frame> for FrameView {
    fn from(frame: Frame) -> Self {
        let (color, text_color) = (frame.color.to_string(), frame.text_color.to_string());
        Self { caption: frame.caption, color, text_color }
    }
}

impl QrCodeView {
    /// Creates the view of a code with its scans, if they are known.
    pub fn new(services: &Services, code: LinkedQrCode, total_scans: Option<u64>) -> Self {
        let site = &services.site;
        let LinkedQrCode { code, number, link } = code;
        let content = content(site, &code, number, &link);
        let image_url = site.qr_image_url(&code, &link, code.format);
        let (style, id) = (code.style, code.id.to_string());
        let path = format!("{}/api/v1/qr-codes/{id}", site.base);
        let color = |color: Option<Color>| color.map(|color| color.to_string());
        Self {
            link: code.link.to_string(),
            short_url: site.short_url(&link.fields.domain, link.slug.as_str()),
            content,
            name: code.name,
            direct: code.direct && link.fields.content.payload().is_some(),
            color: style.color.to_string(),
            background_color: background(style.background_color),
            gradient: style.gradient.map(GradientView::from),
            corner_color: color(style.corner_color),
            corner_dot_color: color(style.corner_dot_color),
            dot_style: style.dot_style.as_str(),
            corner_style: style.corner_style.as_str(),
            margin: style.margin,
            error_correction: style.error_correction.as_str(),
            logo: style.logo.map(|placed| placed.logo.to_string()),
            logo_size: style.logo.map(|placed| placed.size_percent),
            logo_clear: style.logo.map(|placed| placed.clears),
            frame: style.frame.map(FrameView::from),
            size: code.size,
            format: code.format.as_str(),
            dialect: code.dialect,
            image_url,
            version_image_url: format!(
                "{path}/versions/{}/image?link_version={}",
                code.version, link.version
            ),
            total_scans,
            id,
            created_at: iso8601(code.created_at_ms),
            updated_at: iso8601(code.updated_at_ms),
            version: code.version,
        }
    }
}

impl SavedQrCode {
    /// Creates the view of a code that was created or changed, with its scans, if they are known.
    pub fn new(services: &Services, saved: Saved, total_scans: Option<u64>) -> Self {
        let warning = |Warning { field, text }| WarningView { field, text };
        let warnings = saved.warnings.into_iter().map(warning).collect();
        let data = QrCodeView::new(services, saved.code, total_scans);
        Self { data, meta: SavedMeta { offset: saved.offset, warnings } }
    }
}

impl QrCodeVersionView {
    /// Creates the view of a version of a code, with the link as it was then.
    pub fn new(services: &Services, (number, link): (u64, Link), version: QrCodeVersion) -> Self {
        let action = version.action.name();
        Self {
            version: version.code.version,
            at: iso8601(version.at_ms),
            actor: version.actor.map(|actor| actor.to_string()),
            user: version.user.map(|user| user.to_string()),
            change: action.rsplit_once('.').map_or("", |(_, verb)| verb).to_owned(),
            reverted_to: version.reverted_to,
            qr_code: QrCodeView::new(
                services,
                LinkedQrCode { code: version.code, number, link },
                None,
            ),
        }
    }
}

impl LogoView {
    /// Creates the view of a logo.
    pub fn new(services: &Services, logo: StoredLogo) -> Self {
        let id = logo.id.to_string();
        Self {
            image_url: format!("{}/api/v1/qr-logos/{id}/image", services.site.base),
            id,
            content_type: logo.content_type,
            bytes: logo.bytes,
            uses: logo.uses,
            created_at: iso8601(logo.created_at_ms),
        }
    }
}

impl From<QrDefaults> for DefaultsView {
    fn from(defaults: QrDefaults) -> Self {
        let look = defaults.look;
        let color = |field: Field<Color>| field.apply_to(None).map(|color| color.to_string());
        Self {
            color: color(look.color),
            background_color: look.background_color.apply_to(None).map(background),
            gradient: look.gradient.apply_to(None).map(GradientView::from),
            corner_color: color(look.corner_color),
            corner_dot_color: color(look.corner_dot_color),
            dot_style: look.dot_style.apply_to(None).map(DotStyle::as_str),
            corner_style: look.corner_style.apply_to(None).map(CornerStyle::as_str),
            margin: look.margin.apply_to(None),
            error_correction: look.error_correction.apply_to(None).map(ErrorCorrection::as_str),
            logo: look.logo.apply_to(None).map(|logo| logo.to_string()),
            logo_size: look.logo_size.apply_to(None),
            logo_clear: look.logo_clear.apply_to(None),
            frame: look.frame.apply_to(None).map(FrameView::from),
            size: look.size.apply_to(None),
            format: look.format.apply_to(None).map(ImageFormat::as_str),
        }
    }
}
