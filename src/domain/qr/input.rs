//! The fields of a QR code as requests set them, and their validation.

use serde::Deserialize;
use utoipa::ToSchema;

use super::QrCode;
use super::look::{Look, LookChanges};
use super::style::{
    Color, CornerStyle, DotStyle, ErrorCorrection, Frame, Gradient, GradientKind, ImageFormat,
};
use crate::domain::error::Invalid;
use crate::domain::ids::LogoId;
use crate::domain::link::{Field, Link};

/// The widths of images, in pixels.
pub const SIZES: std::ops::RangeInclusive<u32> = 100..=4_096;
/// The widths of quiet zones, in modules.
const MARGINS: std::ops::RangeInclusive<u32> = 0..=20;
/// The widths of logos, in percent of the code's.
pub const LOGO_SIZES: std::ops::RangeInclusive<u32> = 5..=40;
const ANGLES: std::ops::RangeInclusive<u32> = 0..=359;
const MAX_NAME_CHARS: usize = 100;
/// More would be too small to read.
const MAX_CAPTION_CHARS: usize = 30;
/// The name of no background color.
pub const TRANSPARENT: &str = "transparent";

/// A gradient of the modules, from `color` to another color.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = QrGradientInput)]
pub struct GradientInput {
    /// `linear` or `radial`.
    #[schema(value_type = GradientKind)]
    pub kind: String,
    /// The color at the end.
    #[schema(example = "#0047ab")]
    pub color: String,
    /// The direction of a linear gradient, in degrees clockwise from 0 to 359; 0, the default, is
    /// from left to right.
    #[serde(default)]
    pub angle: Option<u32>,
}

/// A frame around the code, with a caption below it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = QrFrameInput)]
pub struct FrameInput {
    /// The text: 1 to 30 characters.
    #[schema(example = "Scan me")]
    pub caption: String,
    /// The color of the frame; defaults to black.
    #[serde(default)]
    pub color: Option<String>,
    /// The color of the text; defaults to white.
    #[serde(default)]
    pub text_color: Option<String>,
}

/// The fields of a request that say how codes look.
#[derive(Debug, Default)]
#[allow(missing_docs, reason = "documented where the macro below declares them")]
pub struct LookInput {
    pub color: Field<String>,
    pub background_color: Field<String>,
    pub gradient: Field<GradientInput>,
    pub corner_color: Field<String>,
    pub corner_dot_color: Field<String>,
    pub dot_style: Field<String>,
    pub corner_style: Field<String>,
    pub margin: Field<u32>,
    pub error_correction: Field<String>,
    pub logo: Field<String>,
    pub logo_size: Field<u32>,
    pub logo_clear: Field<bool>,
    pub frame: Field<FrameInput>,
    pub size: Field<u32>,
    pub format: Field<String>,
}

/// Declares a request with the fields of a look, after some of its own.
macro_rules! look_input {
    ($(#[$of_struct:meta])* $name:ident { $($(#[$of_field:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$of_struct])*
        #[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, ToSchema)]
        #[serde(deny_unknown_fields)]
        pub struct $name {
            $($(#[$of_field])* pub $field: $type,)*
            /// The color of the modules; defaults to black.
            #[serde(default)]
            #[schema(value_type = Option<String>, example = "#1a2b3c")]
            pub color: $crate::domain::link::Field<String>,
            /// The color behind them, or `transparent`; defaults to white.
            #[serde(default)]
            #[schema(value_type = Option<String>, example = "#ffffff")]
            pub background_color: $crate::domain::link::Field<String>,
            /// A gradient of the modules.
            #[serde(default)]
            #[schema(value_type = Option<$crate::domain::qr::input::GradientInput>)]
            pub gradient: $crate::domain::link::Field<$crate::domain::qr::input::GradientInput>,
            /// The color of the rings of the position markers; defaults to that of the modules.
            #[serde(default)]
            #[schema(value_type = Option<String>)]
            pub corner_color: $crate::domain::link::Field<String>,
            /// The color of the centers of the position markers; defaults to that of the rings.
            #[serde(default)]
            #[schema(value_type = Option<String>)]
            pub corner_dot_color: $crate::domain::link::Field<String>,
            /// The shape of the modules; defaults to `square`.
            #[serde(default)]
            #[schema(value_type = Option<$crate::domain::qr::style::DotStyle>)]
            pub dot_style: $crate::domain::link::Field<String>,
            /// The shape of the position markers; defaults to `square`.
            #[serde(default)]
            #[schema(value_type = Option<$crate::domain::qr::style::CornerStyle>)]
            pub corner_style: $crate::domain::link::Field<String>,
            /// The width of the quiet zone: 0 to 20 modules; defaults to 4, which the standard
            /// wants.
            #[serde(default)]
            #[schema(value_type = Option<u32>, minimum = 0, maximum = 20)]
            pub margin: $crate::domain::link::Field<u32>,
            /// The share of the code that may be unreadable: `L` 7 %, `M` 15 %, `Q` 25 %, `H` 30 %,
            /// or `auto`, the default: `H` with a logo, otherwise the best that costs no size.
            #[serde(default)]
            #[schema(value_type = Option<$crate::domain::qr::style::ErrorCorrection>)]
            pub error_correction: $crate::domain::link::Field<String>,
            /// A logo in the center: the id of an uploaded one, or a `data:` URI with a PNG, JPEG,
            /// WebP, GIF or SVG image, which is stored.
            #[serde(default)]
            #[schema(value_type = Option<String>, example = "logo_01kaj9m3v8e9qrs4t5v6w7x8y9")]
            pub logo: $crate::domain::link::Field<String>,
            /// Instead of `logo`: the public https URL of an image, which is fetched once and
            /// stored.
            #[serde(default)]
            #[schema(value_type = Option<String>)]
            pub logo_url: $crate::domain::link::Field<String>,
            /// The width of the logo: 5 to 40 percent of that of the code; defaults to 20.
            #[serde(default)]
            #[schema(value_type = Option<u32>, minimum = 5, maximum = 40)]
            pub logo_size: $crate::domain::link::Field<u32>,
            /// Whether the modules below the logo are left out; defaults to true.
            #[serde(default)]
            #[schema(value_type = Option<bool>)]
            pub logo_clear: $crate::domain::link::Field<bool>,
            /// A frame around the code, with a caption below it.
            #[serde(default)]
            #[schema(value_type = Option<$crate::domain::qr::input::FrameInput>)]
            pub frame: $crate::domain::link::Field<$crate::domain::qr::input::FrameInput>,
            /// The width of images that ask for no other: 100 to 4,096 pixels; defaults to 300.
            #[serde(default)]
            #[schema(value_type = Option<u32>, minimum = 100, maximum = 4_096)]
            pub size: $crate::domain::link::Field<u32>,
            /// The format of images that ask for no other; defaults to `png`.
            #[serde(default)]
            #[schema(value_type = Option<$crate::domain::qr::style::ImageFormat>)]
            pub format: $crate::domain::link::Field<String>,
        }

        impl $name {
            /// The valid fields that say how codes look.
            pub fn look(
                &self,
                has_logo: &dyn Fn($crate::domain::ids::LogoId) -> bool,
            ) -> $crate::domain::qr::look::LookChanges {
                let mut invalid = $crate::domain::error::Invalid::default();
                self.clone().take_look().accept(has_logo, &mut invalid)
            }

            /// Takes the fields that say how codes look, except `logo_url`, which the HTTP handlers
            /// replace by a `logo`.
            fn take_look(&mut self) -> $crate::domain::qr::input::LookInput {
                use std::mem::take;
                $crate::domain::qr::input::LookInput {
                    color: take(&mut self.color),
                    background_color: take(&mut self.background_color),
                    gradient: take(&mut self.gradient),
                    corner_color: take(&mut self.corner_color),
                    corner_dot_color: take(&mut self.corner_dot_color),
                    dot_style: take(&mut self.dot_style),
                    corner_style: take(&mut self.corner_style),
                    margin: take(&mut self.margin),
                    error_correction: take(&mut self.error_correction),
                    logo: take(&mut self.logo),
                    logo_size: take(&mut self.logo_size),
                    logo_clear: take(&mut self.logo_clear),
                    frame: take(&mut self.frame),
                    size: take(&mut self.size),
                    format: take(&mut self.format),
                }
            }
        }
    };
}

pub(super) use look_input;

look_input! {
    /// The fields of a QR code to set. `null` clears a field or gives it the built-in default. An
    /// absent field gets the default of the link's domain, else of the workspace, else the built-in
    /// one (POST), or stays as it is (PATCH).
    QrCodeInput {
        /// The link, by id or slug. Required on creation; it can't be changed.
        #[serde(default)]
        #[schema(value_type = Option<String>, example = "launch")]
        link: Field<String>,
        /// On creation: the domain that the slug in `link` is on, by hostname or id; defaults to the
        /// service's own.
        #[serde(default)]
        #[schema(value_type = Option<String>, example = "go.example.com")]
        domain: Field<String>,
        /// A display name of at most 100 characters.
        #[serde(default)]
        #[schema(value_type = Option<String>, example = "Poster")]
        name: Field<String>,
        /// Whether the code encodes the payload of the link rather than the link, so that it works
        /// without a page; only for links of kind `wifi`, `vcard` and `text`. Its scans are not
        /// counted. Defaults to false.
        #[serde(default)]
        #[schema(value_type = Option<bool>)]
        direct: Field<bool>,
    }
}

impl QrCodeInput {
    /// Validates the input and applies it to a code of this link: the current one, or a new one that
    /// has the defaults. The link is resolved before.
    ///
    /// # Errors
    /// All invalid fields.
    pub fn accept(
        mut self,
        before: QrCode,
        link: &Link,
        has_logo: &dyn Fn(LogoId) -> bool,
    ) -> Result<QrCode, Invalid> {
        let mut invalid = Invalid::default();
        let name = invalid.text("name", self.name.clone(), before.name, MAX_NAME_CHARS);
        let is_asked = self.direct == Field::Value(true);
        let direct = self.direct.clone().apply_to(Some(before.direct)).unwrap_or(false);
        if is_asked && link.fields.content.payload().is_none() {
            invalid.add("direct", "must be false: only links of kind wifi, vcard or text have it");
        }
        let sets_logo = [
            ("logo_size", matches!(self.logo_size, Field::Value(_))),
            ("logo_clear", matches!(self.logo_clear, Field::Value(_))),
        ];
        let names_logo = matches!(self.logo, Field::Value(_));
        let mut look = Look::new(before.style, before.size, before.format);
        self.take_look().accept(has_logo, &mut invalid).apply_to(&mut look);
        if look.logo().is_none() && !names_logo {
            for (field, _) in sets_logo.into_iter().filter(|(_, is_set)| *is_set) {
                invalid.add(field, "must be absent: the code has no logo");
            }
        }
        invalid.into_result()?;
        let (size, format) = (look.size, look.format);
        Ok(QrCode { name, direct, style: look.into_style(), size, format, ..before })
    }
}

impl LookInput {
    /// Validates the fields; invalid ones are absent from the result.
    pub(super) fn accept(
        self,
        has_logo: &dyn Fn(LogoId) -> bool,
        invalid: &mut Invalid,
    ) -> LookChanges {
        let margin = number("margin", self.margin, &MARGINS, invalid);
        let logo_size = number("logo_size", self.logo_size, &LOGO_SIZES, invalid);
        let size = number("size", self.size, &SIZES, invalid);
        LookChanges {
            color: color("color", self.color, invalid),
            background_color: self.background_color.try_map(|text| {
                let is_color =
                    (text != TRANSPARENT).then(|| parse("background_color", &text, invalid));
                is_color.map_or(Some(None), |color| color.map(Some))
            }),
            gradient: self.gradient.try_map(|gradient| gradient.accept(invalid)),
            corner_color: color("corner_color", self.corner_color, invalid),
            corner_dot_color: color("corner_dot_color", self.corner_dot_color, invalid),
            dot_style: self.dot_style.try_map(|name| {
                invalid.choice("dot_style", Some(&name), DotStyle::EVERY, DotStyle::as_str)
            }),
            corner_style: self.corner_style.try_map(|name| {
                invalid.choice("corner_style", Some(&name), CornerStyle::EVERY, CornerStyle::as_str)
            }),
            margin,
            error_correction: self.error_correction.try_map(|name| {
                let every = ErrorCorrection::EVERY;
                invalid.choice("error_correction", Some(&name), every, ErrorCorrection::as_str)
            }),
            logo: self.logo.try_map(|text| {
                let id = text.parse().ok().filter(|id| has_logo(*id));
                if id.is_none() {
                    invalid.add("logo", "is not a logo of this workspace");
                }
                id
            }),
            logo_size,
            logo_clear: self.logo_clear,
            frame: self.frame.try_map(|frame| frame.accept(invalid)),
            size,
            format: self.format.try_map(|name| {
                invalid.choice("format", Some(&name), ImageFormat::EVERY, ImageFormat::as_str)
            }),
        }
    }
}

impl GradientInput {
    fn accept(self, invalid: &mut Invalid) -> Option<Gradient> {
        let kinds = GradientKind::EVERY;
        let kind = invalid.choice("gradient.kind", Some(&self.kind), kinds, GradientKind::as_str);
        let color = parse("gradient.color", &self.color, invalid);
        let angle = self.angle.map_or(Field::Value(0), Field::Value);
        let angle = number("gradient.angle", angle, &ANGLES, invalid);
        let Field::Value(angle) = angle else { return None };
        Some(Gradient { kind: kind?, color: color?, angle })
    }
}

impl FrameInput {
    fn accept(self, invalid: &mut Invalid) -> Option<Frame> {
        let is_blank = self.caption.trim().is_empty();
        let caption = Field::Value(self.caption);
        let caption = invalid.text("frame.caption", caption, None, MAX_CAPTION_CHARS);
        if is_blank {
            invalid.add("frame.caption", "must not be empty");
        }
        let mut color = |name, text: Option<String>, default| {
            text.map_or(Some(default), |text| parse(name, &text, invalid))
        };
        let frame = color("frame.color", self.color, Color::BLACK);
        let text = color("frame.text_color", self.text_color, Color::WHITE);
        Some(Frame { caption: caption?, color: frame?, text_color: text? })
    }
}

fn parse(name: &str, text: &str, invalid: &mut Invalid) -> Option<Color> {
    invalid.check(name, text.parse().map_err(|error| format!("{error}")))
}

fn color(name: &str, field: Field<String>, invalid: &mut Invalid) -> Field<Color> {
    field.try_map(|text| parse(name, &text, invalid))
}

fn number(
    name: &str,
    field: Field<u32>,
    range: &std::ops::RangeInclusive<u32>,
    invalid: &mut Invalid,
) -> Field<u32> {
    field.try_map(|number| {
        let is_inside = range.contains(&number);
        if !is_inside {
            invalid.add(name, format!("must be from {} to {}", range.start(), range.end()));
        }
        is_inside.then_some(number)
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::{code, styled};
    use super::*;
    use crate::domain::ids::LinkId;

    fn link(payload: bool) -> Link {
        use crate::domain::event::LinkState;
        use crate::domain::link::Payload;
        let text = crate::domain::link::Kind::Text;
        let fields = serde_json::from_value(serde_json::json!({ "text": "hi" })).unwrap();
        let page = Payload::accept(text, fields, &mut Invalid::default());
        let state = LinkState {
            id: LinkId::new(uuid::Uuid::from_u128(3)).as_bytes().to_vec(),
            slug: "a".into(),
            destination: if payload { String::new() } else { "https://example.com/".into() },
            payload: page.filter(|_| payload),
            version: 1,
            ..LinkState::default()
        };
        state.into_link(code().workspace).unwrap()
    }

    fn accept(json: serde_json::Value, before: QrCode) -> Result<QrCode, Vec<String>> {
        let input: QrCodeInput = serde_json::from_value(json).unwrap();
        let known = styled().logo.unwrap().logo;
        let accepted = input.accept(before, &link(false), &|logo| logo == known);
        accepted.map_err(|invalid| invalid.fields().keys().cloned().collect())
    }

    #[test]
    fn every_field_is_set_kept_and_cleared() {
        let known = styled().logo.unwrap().logo.to_string();
        let json = serde_json::json!({
            "name": " Poster ", "color": "#010203", "background_color": "transparent",
            "gradient": { "kind": "radial", "color": "#c80102", "angle": 45 },
            "corner_color": "#c80102", "corner_dot_color": "#000", "dot_style": "classy",
            "corner_style": "dot", "margin": 0, "error_correction": "H", "logo": known,
            "logo_size": 25, "logo_clear": false, "size": 4096, "format": "svg",
            "frame": { "caption": "Scan", "color": "#c80102" },
        });
        let made = accept(json, code()).unwrap();
        assert_eq!(made.style, styled());
        assert_eq!((made.name.as_deref(), made.size), (Some("Poster"), 4_096));
        assert_eq!(accept(serde_json::json!({}), made.clone()).unwrap(), made);
        let nothing = serde_json::json!({
            "name": null, "color": null, "background_color": null, "gradient": null,
            "corner_color": null, "corner_dot_color": null, "dot_style": null,
            "corner_style": null, "margin": null, "error_correction": null, "logo": null,
            "logo_size": null, "logo_clear": null, "size": null, "format": null, "frame": null,
        });
        assert_eq!(accept(nothing, made).unwrap(), code());
    }

    #[test]
    fn every_invalid_field_is_named() {
        let json = serde_json::json!({
            "name": "n".repeat(101), "color": "red", "background_color": "none", "direct": true,
            "gradient": { "kind": "conic", "color": "#12", "angle": 360 }, "corner_color": "",
            "corner_dot_color": "#gggggg", "dot_style": "round", "corner_style": "classy",
            "margin": 21, "error_correction": "h", "logo": "logo_x", "logo_size": 41,
            "size": 99, "format": "gif", "frame": { "caption": " ", "text_color": "x" },
        });
        let expected = [
            "background_color",
            "color",
            "corner_color",
            "corner_dot_color",
            "corner_style",
            "direct",
            "dot_style",
            "error_correction",
            "format",
            "frame.caption",
            "frame.text_color",
            "gradient.angle",
            "gradient.color",
            "gradient.kind",
            "logo",
            "logo_size",
            "margin",
            "name",
            "size",
        ];
        assert_eq!(accept(json, code()).unwrap_err(), expected);
        let sizes = serde_json::json!({ "logo_size": 10, "logo_clear": true });
        assert_eq!(accept(sizes, code()).unwrap_err(), ["logo_clear", "logo_size"]);
    }

    #[test]
    fn only_a_page_has_a_payload_to_encode() {
        let input = || QrCodeInput { direct: Field::Value(true), ..QrCodeInput::default() };
        assert!(input().accept(code(), &link(false), &|_| true).is_err());
        assert!(input().accept(code(), &link(true), &|_| true).unwrap().direct);
    }
}
