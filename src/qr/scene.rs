//! What an image shows, in modules: each format draws the same scene.

use super::caption;
use super::logo::Logo;
use super::matrix::{Matrix, ModuleRect};
use super::shapes::{self, Path, Point};
use super::{RenderError, Spec};
use crate::domain::qr::style::{Color, CornerStyle, Frame, GradientKind, LogoPlacement, QrStyle};

/// The width of a frame's line, as a part of the width of the modules.
const FRAME_WIDTH: f32 = 1.0 / 32.0;
/// The height of the strip with the caption, as a part of the width of the image.
const CAPTION_HEIGHT: f32 = 0.17;
/// The height of the caption, as a part of that strip.
const TEXT_HEIGHT: f32 = 0.72;
/// The width of the caption, as a part of the width of the image.
const TEXT_WIDTH: f32 = 0.88;

/// How areas are colored.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Paint {
    /// In one color.
    Solid(Color),
    /// With a gradient.
    Ramp(Ramp),
}

/// A gradient in its place.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ramp {
    /// The direction.
    pub kind: GradientKind,
    /// The colors at the start and at the end.
    pub colors: (Color, Color),
    /// The start: of a radial gradient, the center.
    pub start: Point,
    /// The end: of a radial gradient, a point with the last color.
    pub end: Point,
}

/// A path with its color.
#[derive(Debug, Clone, PartialEq)]
pub struct Fill {
    /// The areas.
    pub path: Path,
    /// Their color.
    pub paint: Paint,
}

/// A rectangle, in modules.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rect {
    /// The upper left corner.
    pub at: Point,
    /// The width and the height.
    pub size: (f32, f32),
}

/// What an image shows.
pub struct Scene<'a> {
    /// The width and the height, in modules.
    pub size: (f32, f32),
    /// The width and the height, in pixels.
    pub pixels: (u32, u32),
    /// Pixels per module.
    pub scale: f32,
    /// The color behind everything.
    pub background: Option<Color>,
    /// From back to front.
    pub fills: Vec<Fill>,
    /// In front of them.
    pub logo: Option<(&'a Logo, Rect)>,
}

/// Where the modules are in an image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Layout {
    /// Pixels per module.
    pub scale: f32,
    /// Where the first module is, in modules from the left and from the top.
    pub offset: Point,
    /// The width and the height of the image, in modules.
    pub size: (f32, f32),
    /// The width and the height of the image, in pixels.
    pub pixels: (u32, u32),
    /// The width of the frame's line, in modules; 0 without a frame.
    pub border: f32,
}

impl Layout {
    /// Lays out a code of `modules` columns on an image of `width` pixels.
    ///
    /// With `whole_pixels`, modules have a whole number of pixels, so that their edges are sharp;
    /// the pixels that are left over widen the margin.
    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a code has at most 177 columns, an image few thousand pixels"
    )]
    pub fn new(modules: usize, style: &QrStyle, width: u32, whole_pixels: bool) -> Self {
        let (columns, pixels) = (modules as f32, width as f32);
        let border = if style.frame.is_some() { columns * FRAME_WIDTH } else { 0.0 };
        let exact = pixels / (columns + 2.0 * (border + style.margin as f32));
        let scale = if whole_pixels && exact >= 1.0 { exact.floor() } else { exact };
        let mut offset = (pixels / scale - columns) / 2.0;
        if whole_pixels {
            offset = (offset * scale).floor() / scale;
        }
        let below =
            if style.frame.is_some() { CAPTION_HEIGHT * pixels - border * exact } else { 0.0 };
        let height = (pixels + below).round();
        Self {
            scale,
            offset: (offset, offset),
            size: (pixels / scale, height / scale),
            pixels: (width, height as u32),
            border,
        }
    }
}

/// What a logo covers: the only place that tells it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cover {
    /// The picture, from the first module.
    pub picture: Rect,
    /// The modules that it may make unreadable.
    pub modules: ModuleRect,
}

impl Cover {
    /// Places a logo on a code of `modules` columns. Its longer side has the placement's size.
    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a code has at most 177 columns"
    )]
    pub fn new(modules: usize, placement: &LogoPlacement, logo: &Logo) -> Self {
        let columns = modules as f32;
        let longer = columns * placement.size_percent.min(100) as f32 / 100.0;
        let (width, height) = logo.size();
        let unit = longer / width.max(height);
        let size = (width * unit, height * unit);
        let at = ((columns - size.0) / 2.0, (columns - size.1) / 2.0);
        let rim = usize::from(placement.clears);
        let first = |at: f32| (at.floor() as usize).saturating_sub(rim);
        let end = |at: f32| (at.ceil() as usize + rim).min(modules);
        let modules = ModuleRect {
            left: first(at.0),
            top: first(at.1),
            right: end(at.0 + size.0),
            bottom: end(at.1 + size.1),
        };
        Self { picture: Rect { at, size }, modules }
    }
}

/// Whether a code has nothing but squares of single colors, so that pixels need no blending.
pub fn is_plain(style: &QrStyle) -> bool {
    style.gradient.is_none()
        && style.logo.is_none()
        && style.frame.is_none()
        && style.dot_style == crate::domain::qr::style::DotStyle::Square
        && style.corner_style == CornerStyle::Square
}

/// The scene of a code on an image of `width` pixels.
///
/// # Errors
/// `TooLong` if no code has room for the content.
pub fn scene(spec: &Spec, width: u32, whole_pixels: bool) -> Result<Scene<'_>, RenderError> {
    let style = &spec.style;
    let matrix = spec.matrix().ok_or(RenderError::TooLong)?;
    let layout = Layout::new(matrix.width(), style, width, whole_pixels);
    let cover = spec.cover(&matrix);
    let mut fills = Vec::new();
    if let Some(frame) = &style.frame {
        add_frame(frame, &layout, &mut fills);
    }
    let cleared = cover.filter(|_| style.logo.is_some_and(|logo| logo.clears));
    let is_shown = |x, y| !cleared.is_some_and(|cover| cover.modules.contains(x, y));
    let paint = modules_paint(style, &matrix, layout.offset);
    let ring = style.corner_color.map_or(paint, Paint::Solid);
    let center = style.corner_dot_color.map_or(ring, Paint::Solid);
    let mut add = |path: Path, paint: Paint| match fills.last_mut() {
        Some(Fill { path: last, paint: same }) if *same == paint => last.0.extend(path.0),
        _ => fills.push(Fill { path, paint }),
    };
    add(shapes::modules(&matrix, style.dot_style, layout.offset, is_shown), paint);
    add(shapes::marker_rings(&matrix, style.corner_style, layout.offset), ring);
    add(shapes::marker_centers(&matrix, style.corner_style, layout.offset), center);
    let logo = spec.logo.as_ref().zip(cover).map(|(logo, cover)| {
        let Rect { at: (x, y), size } = cover.picture;
        (logo, Rect { at: (x + layout.offset.0, y + layout.offset.1), size })
    });
    Ok(Scene {
        size: layout.size,
        pixels: layout.pixels,
        scale: layout.scale,
        background: style.background_color,
        fills,
        logo,
    })
}

/// The line around the code and the strip below it, with the caption.
fn add_frame(frame: &Frame, layout: &Layout, fills: &mut Vec<Fill>) {
    let ((width, height), border) = (layout.size, layout.border);
    let mut path = Path::default();
    path.rect((0.0, 0.0), (width, height), 2.0 * border, true);
    let inner = width - 2.0 * border;
    path.rect((border, border), (inner, inner), border, false);
    fills.push(Fill { path, paint: Paint::Solid(frame.color) });
    let strip = height - border - inner;
    let center = (width / 2.0, height - strip / 2.0);
    let path = caption::outlines(&frame.caption, center, (width * TEXT_WIDTH, strip * TEXT_HEIGHT));
    fills.push(Fill { path, paint: Paint::Solid(frame.text_color) });
}

#[allow(clippy::cast_precision_loss, reason = "a code has at most 177 columns; angles are small")]
fn modules_paint(style: &QrStyle, matrix: &Matrix, offset: Point) -> Paint {
    let Some(gradient) = style.gradient else { return Paint::Solid(style.color) };
    let half = matrix.width() as f32 / 2.0;
    let center = (offset.0 + half, offset.1 + half);
    let (start, (x, y)) = match gradient.kind {
        GradientKind::Radial => (center, (half * std::f32::consts::SQRT_2, 0.0)),
        GradientKind::Linear => {
            let (sin, cos) = ((gradient.angle % 360) as f32).to_radians().sin_cos();
            // The corners have the first and the last color.
            let reach = half * (sin.abs() + cos.abs());
            let (x, y) = (cos * reach, sin * reach);
            ((center.0 - x, center.1 - y), (2.0 * x, 2.0 * y))
        }
    };
    let end = (start.0 + x, start.1 + y);
    Paint::Ramp(Ramp { kind: gradient.kind, colors: (style.color, gradient.color), start, end })
}
