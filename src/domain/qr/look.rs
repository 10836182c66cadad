//! How a code looks, in full and in part: requests and brand defaults set some of it.

use super::style::{
    Color, CornerStyle, DotStyle, ErrorCorrection, Frame, Gradient, ImageFormat, LogoPlacement,
    QrStyle,
};
use crate::domain::ids::LogoId;
use crate::domain::link::Field;

/// The default of [`Look::size`].
pub const DEFAULT_SIZE: u32 = 300;
/// The default of [`Look::logo_size`], in percent.
pub const DEFAULT_LOGO_SIZE: u32 = 20;

/// How a code looks: its style, and the default size and format of its images.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    /// The style; its logo is set by the fields below.
    style: QrStyle,
    /// The logo.
    logo: Option<LogoId>,
    /// The width of the logo, in percent of the code's.
    logo_size: u32,
    /// Whether the modules below the logo are left out.
    logo_clear: bool,
    /// The width of images, in pixels.
    pub size: u32,
    /// The format of images.
    pub format: ImageFormat,
}

impl Default for Look {
    fn default() -> Self {
        Self::new(QrStyle::default(), DEFAULT_SIZE, ImageFormat::default())
    }
}

impl Look {
    /// From the parts of a code.
    pub fn new(style: QrStyle, size: u32, format: ImageFormat) -> Self {
        let (logo, logo_size, logo_clear) = match style.logo {
            Some(LogoPlacement { logo, size_percent, clears }) => {
                (Some(logo), size_percent, clears)
            }
            None => (None, DEFAULT_LOGO_SIZE, true),
        };
        Self { style, logo, logo_size, logo_clear, size, format }
    }

    /// The logo, if it has one.
    pub const fn logo(&self) -> Option<LogoId> {
        self.logo
    }

    /// The style.
    pub fn into_style(self) -> QrStyle {
        let Self { style, logo, logo_size, logo_clear, .. } = self;
        let placed = |logo| LogoPlacement { logo, size_percent: logo_size, clears: logo_clear };
        QrStyle { logo: logo.map(placed), ..style }
    }
}

/// A part of a [`Look`]: absent fields stay as they are, null ones get their built-in defaults.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the same names as in QrStyle and Look")]
pub struct LookChanges {
    pub color: Field<Color>,
    /// `None` for transparent.
    pub background_color: Field<Option<Color>>,
    pub gradient: Field<Gradient>,
    pub corner_color: Field<Color>,
    pub corner_dot_color: Field<Color>,
    pub dot_style: Field<DotStyle>,
    pub corner_style: Field<CornerStyle>,
    pub margin: Field<u32>,
    pub error_correction: Field<ErrorCorrection>,
    pub logo: Field<LogoId>,
    pub logo_size: Field<u32>,
    pub logo_clear: Field<bool>,
    pub frame: Field<Frame>,
    pub size: Field<u32>,
    pub format: Field<ImageFormat>,
}

/// Sets a field that always has a value.
fn set<T>(before: &mut T, change: Field<T>, default: T) {
    match change {
        Field::Absent => {}
        Field::Null => *before = default,
        Field::Value(value) => *before = value,
    }
}

/// Sets a field that may have no value.
fn set_optional<T>(before: &mut Option<T>, change: Field<T>) {
    *before = change.apply_to(before.take());
}

impl LookChanges {
    /// Applies the changes.
    pub fn apply_to(self, look: &mut Look) {
        let builtin = Look::default();
        let style = &mut look.style;
        set(&mut style.color, self.color, builtin.style.color);
        set(&mut style.background_color, self.background_color, builtin.style.background_color);
        set_optional(&mut style.gradient, self.gradient);
        set_optional(&mut style.corner_color, self.corner_color);
        set_optional(&mut style.corner_dot_color, self.corner_dot_color);
        set(&mut style.dot_style, self.dot_style, builtin.style.dot_style);
        set(&mut style.corner_style, self.corner_style, builtin.style.corner_style);
        set(&mut style.margin, self.margin, builtin.style.margin);
        set(&mut style.error_correction, self.error_correction, builtin.style.error_correction);
        set_optional(&mut style.frame, self.frame);
        set_optional(&mut look.logo, self.logo);
        set(&mut look.logo_size, self.logo_size, builtin.logo_size);
        set(&mut look.logo_clear, self.logo_clear, builtin.logo_clear);
        set(&mut look.size, self.size, builtin.size);
        set(&mut look.format, self.format, builtin.format);
    }

    /// Whether a field is set, by its name in requests.
    pub fn sets(&self, name: &str) -> bool {
        fn is_set<T>(field: &Field<T>) -> bool {
            !matches!(field, Field::Absent)
        }
        match name {
            "color" => is_set(&self.color),
            "background_color" => is_set(&self.background_color),
            "gradient" => is_set(&self.gradient),
            "corner_color" => is_set(&self.corner_color),
            "corner_dot_color" => is_set(&self.corner_dot_color),
            "dot_style" => is_set(&self.dot_style),
            "corner_style" => is_set(&self.corner_style),
            "margin" => is_set(&self.margin),
            "error_correction" => is_set(&self.error_correction),
            "logo" => is_set(&self.logo),
            "logo_size" => is_set(&self.logo_size),
            "logo_clear" => is_set(&self.logo_clear),
            "frame" => is_set(&self.frame),
            "size" => is_set(&self.size),
            _ => false,
        }
    }

    /// The same changes without the fields that are null.
    #[must_use]
    pub fn without_nulls(self) -> Self {
        fn set<T>(field: Field<T>) -> Field<T> {
            if let Field::Null = field { Field::Absent } else { field }
        }
        Self {
            color: set(self.color),
            background_color: set(self.background_color),
            gradient: set(self.gradient),
            corner_color: set(self.corner_color),
            corner_dot_color: set(self.corner_dot_color),
            dot_style: set(self.dot_style),
            corner_style: set(self.corner_style),
            margin: set(self.margin),
            error_correction: set(self.error_correction),
            logo: set(self.logo),
            logo_size: set(self.logo_size),
            logo_clear: set(self.logo_clear),
            frame: set(self.frame),
            size: set(self.size),
            format: set(self.format),
        }
    }

    /// What makes a [`Look`] out of the built-in one.
    pub fn of(look: Look) -> Self {
        let Look { style, logo, logo_size, logo_clear, size, format } = look;
        let optional = |color: Option<Color>| color.map_or(Field::Absent, Field::Value);
        Self {
            color: Field::Value(style.color),
            background_color: Field::Value(style.background_color),
            gradient: style.gradient.map_or(Field::Absent, Field::Value),
            corner_color: optional(style.corner_color),
            corner_dot_color: optional(style.corner_dot_color),
            dot_style: Field::Value(style.dot_style),
            corner_style: Field::Value(style.corner_style),
            margin: Field::Value(style.margin),
            error_correction: Field::Value(style.error_correction),
            logo: logo.map_or(Field::Absent, Field::Value),
            logo_size: if logo.is_some() { Field::Value(logo_size) } else { Field::Absent },
            logo_clear: if logo.is_some() { Field::Value(logo_clear) } else { Field::Absent },
            frame: style.frame.map_or(Field::Absent, Field::Value),
            size: Field::Value(size),
            format: Field::Value(format),
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn what_makes_a_look_makes_it_again() {
        let changes = LookChanges {
            background_color: Field::Value(None),
            logo: Field::Value(LogoId::new(Uuid::from_u128(7))),
            logo_clear: Field::Value(false),
            margin: Field::Value(0),
            ..LookChanges::default()
        };
        for changes in [LookChanges::default(), changes] {
            let mut look = Look::default();
            changes.apply_to(&mut look);
            let mut again = Look::default();
            LookChanges::of(look.clone()).apply_to(&mut again);
            assert_eq!(again, look);
            let rebuilt = Look::new(look.clone().into_style(), look.size, look.format);
            assert_eq!(rebuilt.into_style(), look.into_style());
        }
    }

    #[test]
    fn null_brings_the_builtin_default_back() {
        let mut look = Look::default();
        let blue = Color { red: 0, green: 0, blue: 255 };
        let change =
            |color, corner_color| LookChanges { color, corner_color, ..LookChanges::default() };
        change(Field::Value(blue), Field::Value(blue)).apply_to(&mut look);
        let style = look.clone().into_style();
        assert_eq!((style.color, style.corner_color), (blue, Some(blue)));
        change(Field::Null, Field::Null).apply_to(&mut look);
        assert_eq!(look, Look::default());
    }
}
