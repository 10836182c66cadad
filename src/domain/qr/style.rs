//! How a QR code looks.

use std::fmt;
use std::str::FromStr;

use crate::domain::ids::LogoId;
use crate::domain::named_enum;

/// An opaque color of sRGB, `#rrggbb`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Color {
    /// From 0 to 255.
    pub red: u8,
    /// From 0 to 255.
    pub green: u8,
    /// From 0 to 255.
    pub blue: u8,
}

/// A text that is not a color.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be a color such as #1a2b3c")]
pub struct InvalidColor;

impl Color {
    /// Black.
    pub const BLACK: Self = Self { red: 0, green: 0, blue: 0 };
    /// White.
    pub const WHITE: Self = Self { red: 255, green: 255, blue: 255 };
}

impl FromStr for Color {
    type Err = InvalidColor;

    /// Parses `#rrggbb` or `#rgb`, in either case.
    fn from_str(text: &str) -> Result<Self, InvalidColor> {
        let digits = text.strip_prefix('#').ok_or(InvalidColor)?;
        let hex = |digit: u8| char::from(digit).to_digit(16).ok_or(InvalidColor);
        let digits: Vec<u32> = digits.bytes().map(hex).collect::<Result<_, _>>()?;
        let channel = |value: u32| u8::try_from(value).map_err(|_| InvalidColor);
        let [red, green, blue] = match *digits.as_slice() {
            [red, green, blue] => [red * 17, green * 17, blue * 17],
            [r1, r2, g1, g2, b1, b2] => [r1 * 16 + r2, g1 * 16 + g2, b1 * 16 + b2],
            _ => return Err(InvalidColor),
        };
        Ok(Self { red: channel(red)?, green: channel(green)?, blue: channel(blue)? })
    }
}

impl fmt::Display for Color {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{:02x}{:02x}{:02x}", self.red, self.green, self.blue)
    }
}

named_enum! {
    /// The share of a code that may be unreadable, ISO/IEC 18004.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
    #[repr(u8)]
    pub enum ErrorCorrection {
        /// H with a logo; otherwise the highest level with the number of modules that M needs.
        #[default]
        Auto = 0 => "auto",
        /// 7 %.
        Low = 1 => "L",
        /// 15 %.
        Medium = 2 => "M",
        /// 25 %.
        Quartile = 3 => "Q",
        /// 30 %.
        High = 4 => "H",
    }
}

named_enum! {
    /// The shape of the modules.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
    #[repr(u8)]
    pub enum DotStyle {
        /// Squares.
        #[default]
        Square = 0 => "square",
        /// Circles.
        Dots = 1 => "dots",
        /// Connected modules with round ends.
        Rounded = 2 => "rounded",
        /// Connected modules with two round corners each.
        Classy = 3 => "classy",
    }
}

named_enum! {
    /// The shape of the three position markers.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
    #[repr(u8)]
    pub enum CornerStyle {
        /// Squares.
        #[default]
        Square = 0 => "square",
        /// Squares with round corners.
        Rounded = 1 => "rounded",
        /// Circles, in squares with round corners.
        Dot = 2 => "dot",
    }
}

named_enum! {
    /// The direction in which the color of a gradient changes.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
    #[repr(u8)]
    pub enum GradientKind {
        /// Along a line.
        Linear = 1 => "linear",
        /// From the center to the corners.
        Radial = 2 => "radial",
    }
}

named_enum! {
    /// The format of an image.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
    #[repr(u8)]
    pub enum ImageFormat {
        /// A PNG file.
        #[default]
        Png = 0 => "png",
        /// An SVG file.
        Svg = 1 => "svg",
        /// A PDF file with one page.
        Pdf = 2 => "pdf",
        /// An Encapsulated `PostScript` file.
        Eps = 3 => "eps",
    }
}

impl ImageFormat {
    /// The media type.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Png => "image/png",
            Self::Svg => "image/svg+xml",
            Self::Pdf => "application/pdf",
            Self::Eps => "application/postscript",
        }
    }
}

/// A gradient of the modules, from [`QrStyle::color`] to another color.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Gradient {
    /// The direction.
    pub kind: GradientKind,
    /// The color at the end.
    pub color: Color,
    /// The direction of a linear gradient, in degrees clockwise: 0 is from left to right.
    pub angle: u32,
}

/// A logo in the center.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LogoPlacement {
    /// The logo.
    pub logo: LogoId,
    /// Its longer side, in percent of the width of the modules, without the margin.
    pub size_percent: u32,
    /// Whether the modules below it, and a rim of one module, are left out.
    pub clears: bool,
}

/// A frame around the code, with a caption below it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Frame {
    /// The text, such as `Scan me`.
    pub caption: String,
    /// The color of the frame.
    pub color: Color,
    /// The color of the text.
    pub text_color: Color,
}

/// How a QR code looks, apart from the size and the format of an image.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct QrStyle {
    /// The color of the modules.
    pub color: Color,
    /// The color behind them; `None` for transparent.
    pub background_color: Option<Color>,
    /// A gradient of the modules.
    pub gradient: Option<Gradient>,
    /// The color of the rings of the position markers; `None` for that of the modules.
    pub corner_color: Option<Color>,
    /// The color of the centers of the position markers; `None` for that of the rings.
    pub corner_dot_color: Option<Color>,
    /// The shape of the modules.
    pub dot_style: DotStyle,
    /// The shape of the position markers.
    pub corner_style: CornerStyle,
    /// The width of the quiet zone, in modules. ISO/IEC 18004 wants 4.
    pub margin: u32,
    /// The error correction.
    pub error_correction: ErrorCorrection,
    /// A logo.
    pub logo: Option<LogoPlacement>,
    /// A frame.
    pub frame: Option<Frame>,
}

/// The default of [`QrStyle::margin`].
pub const DEFAULT_MARGIN: u32 = 4;

impl Default for QrStyle {
    fn default() -> Self {
        Self {
            color: Color::BLACK,
            background_color: Some(Color::WHITE),
            gradient: None,
            corner_color: None,
            corner_dot_color: None,
            dot_style: DotStyle::default(),
            corner_style: CornerStyle::default(),
            margin: DEFAULT_MARGIN,
            error_correction: ErrorCorrection::default(),
            logo: None,
            frame: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colors_have_three_or_six_digits() {
        let orange = Color { red: 255, green: 153, blue: 0 };
        for text in ["#ff9900", "#FF9900", "#f90"] {
            assert_eq!(text.parse(), Ok(orange), "{text}");
        }
        assert_eq!(orange.to_string(), "#ff9900");
        for text in
            ["", "#", "ff9900", "#ff990", "#ff99000", "#gg9900", "orange", "#ff99é", "#+f9900"]
        {
            assert_eq!(text.parse::<Color>(), Err(InvalidColor), "{text}");
        }
    }
}
