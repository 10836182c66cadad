//! Events of QR codes, logos and brand defaults as JSON. Images are left out.

use anyhow::bail;
use serde_json::{Value, json};

use crate::domain::event::{Event, QrCodeState};
use crate::domain::ids::{DomainId, LinkId, LogoId, QrCodeId};
use crate::domain::link::Field;
use crate::domain::qr::look::LookChanges;
use crate::domain::qr::state::LookState;
use crate::domain::qr::style::{Color, CornerStyle, DotStyle, ErrorCorrection, ImageFormat};

/// The fields of an event.
pub(super) fn event_json(event: &Event) -> anyhow::Result<Value> {
    Ok(match event {
        Event::QrCodeCreated(code) | Event::QrCodeChanged(code) => code_json(code)?,
        Event::QrCodeDeleted(deleted) => {
            json!({ "qr_code": QrCodeId::from_bytes(&deleted.id)?.to_string() })
        }
        Event::LogoStored(logo) => json!({
            "logo": LogoId::from_bytes(&logo.id)?.to_string(),
            "content_type": logo.content_type,
            "bytes": logo.image.len(),
        }),
        Event::LogoDeleted(deleted) => {
            json!({ "logo": LogoId::from_bytes(&deleted.id)?.to_string() })
        }
        Event::QrDefaultsChanged(changed) => json!({
            "domain": DomainId::from_bytes(&changed.domain).ok().map(|id| id.to_string()),
            "look": changed.look.as_ref().map(look_json).transpose()?,
        }),
        other => bail!("{} is not an event of a QR code", other.kind().name()),
    })
}

fn code_json(code: &QrCodeState) -> anyhow::Result<Value> {
    Ok(json!({
        "qr_code": QrCodeId::from_bytes(&code.id)?.to_string(),
        "link": LinkId::from_bytes(&code.link)?.to_string(),
        "version": code.version,
        "reverted_to": code.reverted_to,
        "name": code.name,
        "look": code.look.as_ref().map(look_json).transpose()?,
        "direct": code.direct,
        "dialect": code.dialect,
        "created_at_ms": code.created_at_ms,
        "updated_at_ms": code.updated_at_ms,
    }))
}

fn look_json(look: &LookState) -> anyhow::Result<Value> {
    let look: LookChanges = look.clone().into_changes()?;
    let color = |color: &Field<Color>| value(color).map(Color::to_string);
    Ok(json!({
        "color": color(&look.color),
        "background_color": value(&look.background_color).map(|background| {
            background.map_or_else(|| "transparent".to_owned(), |color| color.to_string())
        }),
        "gradient": value(&look.gradient).map(|gradient| json!({
            "kind": gradient.kind.as_str(),
            "color": gradient.color.to_string(),
            "angle": gradient.angle,
        })),
        "corner_color": color(&look.corner_color),
        "corner_dot_color": color(&look.corner_dot_color),
        "dot_style": value(&look.dot_style).copied().map(DotStyle::as_str),
        "corner_style": value(&look.corner_style).copied().map(CornerStyle::as_str),
        "margin": value(&look.margin),
        "error_correction": value(&look.error_correction).copied().map(ErrorCorrection::as_str),
        "logo": value(&look.logo).map(LogoId::to_string),
        "logo_size": value(&look.logo_size),
        "logo_clear": value(&look.logo_clear),
        "frame": value(&look.frame).map(|frame| json!({
            "caption": frame.caption,
            "color": frame.color.to_string(),
            "text_color": frame.text_color.to_string(),
        })),
        "size": value(&look.size),
        "format": value(&look.format).copied().map(ImageFormat::as_str),
    }))
}

const fn value<T>(field: &Field<T>) -> Option<&T> {
    match field {
        Field::Absent | Field::Null => None,
        Field::Value(value) => Some(value),
    }
}
