//! Refuses codes that scanners would not read.
//!
//! The bounds were found by search with two decoders, rqrr and zbar, on what `tests/qr` does to an
//! image: JPEG compression, rotation, shrinking, blur and perspective. zbar reads all samples of what
//! is allowed without a warning, rqrr nearly all.

use std::cmp::Ordering;

use super::scene::{Cover, Layout};
use super::{Spec, caption};
use crate::domain::qr::input::{LOGO_SIZES, SIZES};
use crate::domain::qr::style::{Color, CornerStyle, DEFAULT_MARGIN, DotStyle, QrStyle};

/// The minimum contrast, WCAG 2.2's for graphics. On white, both decoders read gray at 2:1 too.
const MIN_CONTRAST: f64 = 3.0;
/// The minimum contrast for modules of less than [`MIN_SHAPE_PIXELS`]: WCAG 2.2's for text.
const MIN_SMALL_CONTRAST: f64 = 4.5;
/// How bright the darker color may be at most, in parts of the lighter one. Cameras see brightness
/// otherwise than WCAG does: red on green may have a contrast of 3:1 and look the same to them.
const MAX_BRIGHTNESS: f64 = 0.6;
/// Below this, both decoders lose codes on white paper in a photograph: they take the edge of the
/// background for that of the modules, however dark these are.
const MIN_BACKGROUND_BRIGHTNESS: f64 = 220.0;
/// The minimum pixels per module. Plain codes survive with fewer than shapes.
const MIN_SQUARE_PIXELS: f32 = 2.0;
const MIN_SHAPE_PIXELS: f32 = 4.0;
/// How much of the error correction a logo may use up, in percent: the rest is for dirt, folds and
/// bad cameras. With 80, zbar missed some of the samples.
const LOGO_SHARE_PERCENT: usize = 60;
/// The minimum margin within a frame, which would otherwise touch the position markers.
const MIN_FRAME_MARGIN: u32 = 2;
/// How many colors of a gradient are tried.
const GRADIENT_STEPS: u8 = 16;

/// Why scanners would not read a code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Illegible {
    /// The fields of a request that makes the code, and what is wrong with each: a sentence without
    /// a subject, such as `must be …`.
    pub reasons: Vec<(&'static str, String)>,
}

/// Why some scanners may not read a code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// The field of a request that makes the code.
    pub field: &'static str,
    /// A sentence for the user.
    pub text: String,
}

/// Whether scanners would read a code at a size of `size` pixels.
///
/// # Errors
/// The reasons why they would not.
pub fn check(spec: &Spec, size: u32) -> Result<Vec<Warning>, Illegible> {
    let mut reasons = Vec::new();
    let mut warnings = Vec::new();
    let contrast = check_colors(&spec.style, &mut reasons, &mut warnings);
    check_frame(&spec.style, &mut reasons);
    check_modules(spec, size, contrast, &mut reasons);
    if spec.style.margin < DEFAULT_MARGIN {
        let text = format!(
            "The margin should be {DEFAULT_MARGIN} modules: with less, some scanners don't find \
             the code unless there is empty space around it."
        );
        warnings.push(Warning { field: "margin", text });
    }
    if reasons.is_empty() { Ok(warnings) } else { Err(Illegible { reasons }) }
}

type Reasons = Vec<(&'static str, String)>;

/// Returns the lowest contrast.
fn check_colors(style: &QrStyle, reasons: &mut Reasons, warnings: &mut Vec<Warning>) -> f64 {
    let mut lowest = f64::INFINITY;
    let background = style.background_color.unwrap_or(Color::WHITE);
    let is_dark = match luminance(style.color).total_cmp(&luminance(background)) {
        // Only one direction has room for contrast.
        Ordering::Equal => luminance(background) > 0.18,
        order => order.is_lt(),
    };
    // The other way if this one has no room for it: black on a dark background has to be lighter.
    let extreme = if is_dark { Color::BLACK } else { Color::WHITE };
    let is_dark = is_dark == (contrast(extreme, background) >= MIN_CONTRAST);
    let direction = if is_dark { "darker" } else { "lighter" };
    let mut colors = vec![("color", style.color)];
    if let Some(gradient) = style.gradient {
        let mixed = |step| ("gradient.color", mix(style.color, gradient.color, step));
        // From the end, which mostly has the lowest contrast.
        colors.extend((1..=GRADIENT_STEPS).rev().map(mixed));
    }
    colors.extend(style.corner_color.map(|color| ("corner_color", color)));
    colors.extend(style.corner_dot_color.map(|color| ("corner_dot_color", color)));
    for (field, color) in colors {
        if reasons.iter().any(|(same, _)| *same == field) {
            continue;
        }
        let contrast = contrast(color, background);
        lowest = lowest.min(contrast);
        if (luminance(color) < luminance(background)) != is_dark {
            let rest = if field == "color" { "" } else { ", as the modules are" };
            let reason = format!("must be {direction} than the background{rest}");
            reasons.push((field, reason));
        } else if contrast < MIN_CONTRAST {
            reasons.push((
                field,
                low_contrast(contrast, direction, ["the background", "scanners need"]),
            ));
        } else if brightness_ratio(color, background, is_dark) > MAX_BRIGHTNESS {
            let reason = format!("must be {direction}: cameras see it as bright as the background");
            reasons.push((field, reason));
        }
    }
    if style.background_color.is_none() {
        let text = "The background is transparent: show the code on something light only.";
        warnings.push(Warning { field: "background_color", text: text.to_owned() });
    }
    if is_dark && brightness(background) < MIN_BACKGROUND_BRIGHTNESS {
        let text = "The background is not light: some scanners don't find the code on white paper.";
        warnings.push(Warning { field: "background_color", text: text.to_owned() });
    }
    if !is_dark {
        let text = "The modules are lighter than the background: some scanners don't read that.";
        warnings.push(Warning { field: "color", text: text.to_owned() });
    }
    lowest
}

fn check_frame(style: &QrStyle, reasons: &mut Reasons) {
    let Some(frame) = &style.frame else { return };
    reasons.extend(caption::defect(&frame.caption).map(|reason| ("frame.caption", reason)));
    let contrast = contrast(frame.text_color, frame.color);
    if contrast < MIN_CONTRAST {
        // Only one direction has room for contrast.
        let direction = if luminance(frame.color) > 0.18 { "darker" } else { "lighter" };
        let reason = low_contrast(contrast, direction, ["the frame", "readers need"]);
        reasons.push(("frame.text_color", reason));
    }
    if style.margin < MIN_FRAME_MARGIN {
        let reason = format!("must be at least {MIN_FRAME_MARGIN} within a frame");
        reasons.push(("margin", reason));
    }
}

fn low_contrast(contrast: f64, direction: &str, [to, who_needs]: [&str; 2]) -> String {
    // Rounded down: what is too little must not look like enough.
    let contrast = (contrast * 10.0).floor() / 10.0;
    format!(
        "must be {direction}: its contrast to {to} is {contrast:.1}:1, {who_needs} at least \
         {MIN_CONTRAST}:1"
    )
}

fn check_modules(spec: &Spec, size: u32, contrast: f64, reasons: &mut Reasons) {
    let Some(matrix) = spec.matrix() else {
        // Short URLs are never too long.
        let reason = "must be false unless the link's payload is shortened or the error correction \
                      lowered: the payload is too long for a QR code";
        reasons.push(("direct", reason.to_owned()));
        return;
    };
    let style = &spec.style;
    let layout = Layout::new(matrix.width(), style, size, false);
    let min = match (style.dot_style, style.corner_style) {
        (DotStyle::Square, CornerStyle::Square) if contrast >= MIN_SMALL_CONTRAST => {
            MIN_SQUARE_PIXELS
        }
        _ => MIN_SHAPE_PIXELS,
    };
    if layout.scale < min {
        let scale = |size| Layout::new(matrix.width(), style, size, false).scale;
        let needed = (size..*SIZES.end()).find(|&size| scale(size) >= min);
        let needed = needed.unwrap_or(*SIZES.end());
        let reason = format!(
            "must be at least {needed} for this content and style, so that a module has {min} \
             pixels; or lower the margin or the error correction"
        );
        reasons.push(("size", reason));
    }
    let Some(cover) = spec.cover(&matrix) else { return };
    let max = matrix.max_wrong_codewords() * LOGO_SHARE_PERCENT / 100;
    if matrix.codewords_in(cover.modules) > max {
        reasons.push(("logo_size", too_large(spec, &matrix, max)));
    }
}

/// Says the largest size that would do, of those that a logo may have.
fn too_large(spec: &Spec, matrix: &super::matrix::Matrix, max: usize) -> String {
    let fits = |percent: &u32| {
        let placement = spec.style.logo?;
        let smaller =
            crate::domain::qr::style::LogoPlacement { size_percent: *percent, ..placement };
        let cover = Cover::new(matrix.width(), &smaller, spec.logo.as_ref()?);
        (matrix.codewords_in(cover.modules) <= max).then_some(())
    };
    let largest = spec.style.logo.and_then(|logo| {
        (*LOGO_SIZES.start()..logo.size_percent).rev().find(|percent| fits(percent).is_some())
    });
    let level = matrix.level();
    let (otherwise, higher) = if level == "H" {
        ("", "")
    } else {
        (", or set the error correction to H", "set the error correction to H, or ")
    };
    match largest {
        Some(largest) => format!(
            "must be at most {largest}: a larger logo covers more than the error correction \
             ({level}) can restore{otherwise}"
        ),
        None => format!(
            "has no value that fits: the error correction ({level}) cannot restore what even the \
             smallest logo covers; {higher}leave out the logo"
        ),
    }
}

fn mix(from: Color, to: Color, step: u8) -> Color {
    let channel = |from: u8, to: u8| {
        let (step, steps) = (u16::from(step), u16::from(GRADIENT_STEPS));
        let sum = u16::from(from) * (steps - step) + u16::from(to) * step;
        u8::try_from(sum / steps).unwrap_or(u8::MAX)
    };
    Color {
        red: channel(from.red, to.red),
        green: channel(from.green, to.green),
        blue: channel(from.blue, to.blue),
    }
}

/// The brightness of the darker color, in parts of the lighter one; more than 1 if a camera sees
/// them the other way round.
fn brightness_ratio(color: Color, background: Color, is_dark: bool) -> f64 {
    let (color, background) = (brightness(color), brightness(background));
    if is_dark { color / background.max(1.0) } else { background / color.max(1.0) }
}

/// What a camera sees, from 0 to 255: luma by ITU-R BT.601.
fn brightness(color: Color) -> f64 {
    0.299 * f64::from(color.red) + 0.587 * f64::from(color.green) + 0.114 * f64::from(color.blue)
}

/// The contrast ratio of WCAG 2.2, from 1 to 21.
fn contrast(one: Color, other: Color) -> f64 {
    let (one, other) = (luminance(one), luminance(other));
    (one.max(other) + 0.05) / (one.min(other) + 0.05)
}

/// The relative luminance of WCAG 2.2, from 0 to 1.
fn luminance(color: Color) -> f64 {
    let linear = |channel: u8| {
        let channel = f64::from(channel) / 255.0;
        if channel <= 0.04045 { channel / 12.92 } else { ((channel + 0.055) / 1.055).powf(2.4) }
    };
    0.2126 * linear(color.red) + 0.7152 * linear(color.green) + 0.0722 * linear(color.blue)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::Logo;
    use super::*;
    use crate::domain::ids::LogoId;
    use crate::domain::qr::style::{ErrorCorrection, Frame, Gradient, GradientKind, LogoPlacement};

    fn spec(style: QrStyle) -> Spec {
        let svg = b"<svg xmlns='http://www.w3.org/2000/svg'><path d='M0 0h9v9H0z'/></svg>";
        let logo = style.logo.map(|_| Logo::parse_upload(svg).unwrap());
        Spec { content: "https://sho.rt/spring?qr=4c9".to_owned(), style, logo }
    }

    fn color(text: &str) -> Color {
        text.parse().unwrap()
    }

    /// The field and a part of the reason of the only thing that is wrong.
    fn assert_refused(style: QrStyle, size: u32, field: &str, part: &str) {
        let reasons = check(&spec(style), size).unwrap_err().reasons;
        let is_it = matches!(&*reasons, [(only, why)] if *only == field && why.contains(part));
        assert!(is_it, "{field}, {part}: {reasons:?}");
    }

    #[test]
    fn low_contrast_is_refused() {
        let plain = QrStyle::default;
        assert_eq!(check(&spec(plain()), 300), Ok(Vec::new()));
        let pale = color("#999999");
        let style = QrStyle { color: pale, ..plain() };
        assert_refused(
            style,
            300,
            "color",
            "must be darker: its contrast to the background is 2.8:1",
        );
        assert!(
            check(&spec(QrStyle { color: color("#949494"), ..plain() }), 300).is_ok(),
            "3.03:1"
        );
        let gradient =
            |end| Some(Gradient { kind: GradientKind::Linear, color: color(end), angle: 0 });
        let style = QrStyle { gradient: gradient("#ffff00"), ..plain() };
        assert_refused(style, 300, "gradient.color", "must be darker");
        let style = QrStyle { corner_color: Some(pale), ..plain() };
        assert_refused(style, 300, "corner_color", "2.8:1");
        let style = QrStyle { corner_dot_color: Some(Color::WHITE), ..plain() };
        assert_refused(style, 300, "corner_dot_color", "darker than the background");
        let style = QrStyle { background_color: None, color: pale, ..plain() };
        assert_refused(style, 300, "color", "must be darker");
        // Both ends differ from the background, but not what is between them.
        let (dark, gray) = (Color::BLACK, color("#808080"));
        let style = QrStyle {
            color: dark,
            background_color: Some(gray),
            gradient: gradient("#ffffff"),
            ..plain()
        };
        assert_refused(style, 300, "gradient.color", "must be darker");
    }

    /// 3:1 for eyes, nearly none for cameras.
    #[test]
    fn colors_of_the_same_brightness_are_refused() {
        let colored = |modules, background| QrStyle {
            color: color(modules),
            background_color: Some(color(background)),
            ..QrStyle::default()
        };
        for (modules, background, direction) in
            [("#a66273", "#01f503", "darker"), ("#01f503", "#a66273", "lighter")]
        {
            let reason = format!("must be {direction}: cameras see");
            assert_refused(colored(modules, background), 300, "color", &reason);
        }
        let warnings = check(&spec(colored("#000000", "#ff8800")), 300).unwrap();
        assert_eq!(warnings[0].field, "background_color", "{warnings:?}");
    }

    #[test]
    fn doubtful_styles_are_warned_of() {
        let fields = |style| -> Vec<_> {
            let warnings = check(&spec(style), 400).unwrap();
            warnings.into_iter().map(|warning| warning.field).collect()
        };
        let inverted = QrStyle {
            color: Color::WHITE,
            background_color: Some(Color::BLACK),
            ..QrStyle::default()
        };
        assert_eq!(fields(inverted), ["color"]);
        assert_eq!(fields(QrStyle { margin: 3, ..QrStyle::default() }), ["margin"]);
        let transparent = QrStyle { background_color: None, ..QrStyle::default() };
        assert_eq!(fields(transparent), ["background_color"]);
    }

    #[test]
    fn small_codes_are_refused_with_the_size_they_need() {
        // 25 modules at M; 29 at the level that `auto` takes.
        assert!(check(&spec(QrStyle::default()), 100).is_ok());
        let dots = || QrStyle { dot_style: DotStyle::Dots, ..QrStyle::default() };
        assert_refused(dots(), 100, "size", "at least 148");
        assert!(check(&spec(dots()), 148).is_ok());
        let gray = QrStyle { color: color("#777777"), ..QrStyle::default() };
        assert_refused(gray, 100, "size", "at least 148");
        assert_refused(QrStyle { margin: u32::MAX, ..QrStyle::default() }, 4_096, "size", "margin");
        assert!(check(&spec(QrStyle::default()), 0).is_err());
        let long = Spec { content: "x".repeat(3_000), ..spec(QrStyle::default()) };
        assert_eq!(check(&long, 4_096).unwrap_err().reasons[0].0, "direct");
    }

    #[test]
    fn large_logos_are_refused_with_the_size_that_fits() {
        let with = |size_percent, clears, error_correction| QrStyle {
            logo: Some(LogoPlacement {
                logo: LogoId::from_bytes(&[1; 16]).unwrap(),
                size_percent,
                clears,
            }),
            error_correction,
            ..QrStyle::default()
        };
        let check_at = |size, level| check(&spec(with(size, true, level)), 400);
        assert!(check_at(20, ErrorCorrection::Auto).is_ok());
        let reasons = check_at(40, ErrorCorrection::Auto).unwrap_err().reasons;
        let (field, reason) = &reasons[0];
        let largest = reason.strip_prefix("must be at most ").unwrap();
        let largest = largest.split(':').next().unwrap().parse().unwrap();
        assert_eq!(*field, "logo_size");
        assert!(check_at(largest, ErrorCorrection::Auto).is_ok());
        assert!(check_at(largest + 1, ErrorCorrection::Auto).is_err());
        let style = with(25, true, ErrorCorrection::Low);
        let advice = "has no value that fits: the error correction (L)";
        assert_refused(style.clone(), 400, "logo_size", advice);
        assert_refused(style, 400, "logo_size", "; set the error correction to H, or leave");
        let style = with(40, false, ErrorCorrection::Medium);
        assert_refused(style, 400, "logo_size", ", or set the error correction to H");
    }

    #[test]
    fn frames_need_a_caption_that_can_be_read() {
        let framed = |caption: &str, text_color: &str, margin| QrStyle {
            frame: Some(Frame {
                caption: caption.to_owned(),
                color: Color::BLACK,
                text_color: color(text_color),
            }),
            margin,
            ..QrStyle::default()
        };
        assert!(check(&spec(framed("Scan me", "#fff", 4)), 300).is_ok());
        assert_refused(framed("扫", "#fff", 4), 300, "frame.caption", "扫");
        assert_refused(framed("Scan me", "#333", 4), 300, "frame.text_color", "must be lighter");
        assert_refused(framed("Scan me", "#fff", 1), 300, "margin", "at least 2");
    }
}
