//! PNG files.

use std::collections::HashMap;

use png::{BitDepth, ColorType, Compression, Encoder, Filter};
use resvg::tiny_skia::{
    FillRule, GradientStop, LinearGradient, Paint as SkiaPaint, PathBuilder, Pixmap, PixmapPaint,
    Point as SkiaPoint, RadialGradient, Shader, SpreadMode, Transform,
};

use super::matrix::{MARKER_WIDTH, Matrix};
use super::scene::{self, Fill, Layout, Paint, Ramp, Rect};
use super::shapes::{Path, Point, Segment};
use super::{CancellationToken, RenderError, Spec};
use crate::domain::qr::style::{Color, GradientKind, QrStyle};

/// The width of the center of a position marker, and its distance from the marker's edge.
const CENTER: (usize, usize) = (3, 2);

/// Draws a code on an image of `width` pixels.
pub fn render(spec: &Spec, width: u32, token: &CancellationToken) -> Result<Vec<u8>, RenderError> {
    if scene::is_plain(&spec.style) {
        let matrix = spec.matrix().ok_or(RenderError::TooLong)?;
        let layout = Layout::new(matrix.width(), &spec.style, width, true);
        if layout.scale >= 1.0 {
            return plain(&matrix, &spec.style, &layout).ok_or(RenderError::Encoding("PNG"));
        }
    }
    let drawn = draw(spec, width, token)?;
    token.check()?;
    encode(&drawn).ok_or(RenderError::Encoding("PNG"))
}

/// A PNG with palette: one byte or less per pixel, no blending.
fn plain(matrix: &Matrix, style: &QrStyle, layout: &Layout) -> Option<Vec<u8>> {
    let mut palette = Palette::default();
    let background = palette.index(style.background_color.map_or([0; 4], opaque))?;
    let modules = palette.index(opaque(style.color))?;
    let ring = palette.index(opaque(style.corner_color.unwrap_or(style.color)))?;
    let center = style.corner_dot_color.or(style.corner_color).unwrap_or(style.color);
    let center = palette.index(opaque(center))?;
    let columns = matrix.width();
    let color = |x: usize, y: usize| {
        if !matrix.is_dark(x, y) {
            background
        } else if !matrix.is_marker(x, y) {
            modules
        } else if is_center(x, columns) && is_center(y, columns) {
            center
        } else {
            ring
        }
    };
    let scale = pixels(layout.scale);
    let (left, top) =
        (pixels(layout.offset.0 * layout.scale), pixels(layout.offset.1 * layout.scale));
    let (width, height) = (layout.pixels.0 as usize, layout.pixels.1 as usize);
    let depth = if palette.colors.len() <= 2 { BitDepth::One } else { BitDepth::Two };
    let row_len = (width * depth as usize).div_ceil(8);
    let mut data = Vec::with_capacity(row_len * height);
    let pack = |data: &mut Vec<u8>, y: Option<usize>| {
        let start = data.len();
        data.resize(start + row_len, 0);
        let row = data.get_mut(start..).unwrap_or_default();
        let per_byte = 8 / depth as usize;
        for x in 0..width {
            let column = x.checked_sub(left).map(|x| x / scale).filter(|&x| x < columns);
            let index = column.zip(y).map_or(background, |(x, y)| color(x, y));
            if let Some(byte) = row.get_mut(x / per_byte) {
                *byte |= index << (8 - depth as usize * (x % per_byte + 1));
            }
        }
    };
    for y in 0..height {
        let row = y.checked_sub(top).map(|y| y / scale).filter(|&y| y < columns);
        let above = y
            .checked_sub(1)
            .map(|y| y.checked_sub(top).map(|y| y / scale).filter(|&y| y < columns));
        if above == Some(row) {
            data.extend_from_within(data.len() - row_len..);
        } else {
            pack(&mut data, row);
        }
    }
    palette.encode(layout.pixels, depth, &data)
}

/// Whether a column or a row crosses the center of a position marker.
const fn is_center(at: usize, columns: usize) -> bool {
    let near = at.wrapping_sub(CENTER.1) < CENTER.0;
    near || at.wrapping_sub(columns - MARKER_WIDTH + CENTER.1) < CENTER.0
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "few thousand pixels")]
fn pixels(length: f32) -> usize {
    length.round() as usize
}

const fn opaque(color: Color) -> [u8; 4] {
    [color.red, color.green, color.blue, u8::MAX]
}

/// At most 256 colors with their alpha.
#[derive(Default)]
struct Palette {
    colors: Vec<[u8; 4]>,
    indexes: HashMap<[u8; 4], u8>,
}

impl Palette {
    /// The index of a color, which is added if it is new. `None` if there are too many.
    fn index(&mut self, color: [u8; 4]) -> Option<u8> {
        if let Some(&index) = self.indexes.get(&color) {
            return Some(index);
        }
        let index = u8::try_from(self.colors.len()).ok()?;
        self.colors.push(color);
        self.indexes.insert(color, index);
        Some(index)
    }

    fn encode(&self, size: (u32, u32), depth: BitDepth, data: &[u8]) -> Option<Vec<u8>> {
        let mut file = Vec::with_capacity(data.len() / 8 + 1_024);
        let mut encoder = Encoder::new(&mut file, size.0, size.1);
        encoder.set_color(ColorType::Indexed);
        encoder.set_depth(depth);
        encoder
            .set_palette(self.colors.iter().flat_map(|c| [c[0], c[1], c[2]]).collect::<Vec<_>>());
        if self.colors.iter().any(|color| color[3] != u8::MAX) {
            encoder.set_trns(self.colors.iter().map(|color| color[3]).collect::<Vec<_>>());
        }
        encoder.set_compression(Compression::Fast);
        // Most rows are those above them.
        encoder.set_filter(Filter::Up);
        finish(encoder, data)?;
        Some(file)
    }
}

/// Encodes a drawing: with a palette if it has few colors, without alpha if it is opaque.
fn encode(drawn: &Pixmap) -> Option<Vec<u8>> {
    let size = (drawn.width(), drawn.height());
    let mut palette = Palette::default();
    let mut indexes = Vec::with_capacity(drawn.pixels().len());
    let mut last = None;
    for pixel in drawn.pixels() {
        let index = match last {
            Some((same, index)) if same == *pixel => index,
            _ => {
                let color = pixel.demultiply();
                let color = [color.red(), color.green(), color.blue(), color.alpha()];
                let Some(index) = palette.index(color) else { return encode_colors(drawn) };
                last = Some((*pixel, index));
                index
            }
        };
        indexes.push(index);
    }
    palette.encode(size, BitDepth::Eight, &indexes)
}

fn encode_colors(drawn: &Pixmap) -> Option<Vec<u8>> {
    let is_opaque = drawn.pixels().iter().all(|pixel| pixel.alpha() == u8::MAX);
    let colors = drawn.pixels().iter().map(|&pixel| pixel.demultiply());
    let mut file = Vec::new();
    let mut encoder = Encoder::new(&mut file, drawn.width(), drawn.height());
    encoder.set_depth(BitDepth::Eight);
    encoder.set_compression(Compression::Fast);
    let data: Vec<u8> = if is_opaque {
        encoder.set_color(ColorType::Rgb);
        colors.flat_map(|color| [color.red(), color.green(), color.blue()]).collect()
    } else {
        encoder.set_color(ColorType::Rgba);
        colors.flat_map(|c| [c.red(), c.green(), c.blue(), c.alpha()]).collect()
    };
    finish(encoder, &data)?;
    Some(file)
}

/// Encodes pixels of red, green, blue and alpha in as few bytes as possible.
pub fn encode_small(width: u32, height: u32, data: &[u8]) -> Option<Vec<u8>> {
    let mut file = Vec::new();
    let mut encoder = Encoder::new(&mut file, width, height);
    encoder.set_color(ColorType::Rgba);
    encoder.set_depth(BitDepth::Eight);
    encoder.set_compression(Compression::High);
    finish(encoder, data)?;
    Some(file)
}

fn finish(encoder: Encoder<'_, &mut Vec<u8>>, data: &[u8]) -> Option<()> {
    let mut writer = encoder.write_header().ok()?;
    writer.write_image_data(data).ok()?;
    writer.finish().ok()
}

/// Draws the scene with antialiasing.
pub fn draw(spec: &Spec, width: u32, token: &CancellationToken) -> Result<Pixmap, RenderError> {
    let scene = scene::scene(spec, width, true)?;
    let failed = RenderError::Encoding("PNG");
    let mut pixmap = Pixmap::new(scene.pixels.0, scene.pixels.1).ok_or(failed)?;
    if let Some(Color { red, green, blue }) = scene.background {
        pixmap.fill(resvg::tiny_skia::Color::from_rgba8(red, green, blue, u8::MAX));
    }
    let transform = Transform::from_scale(scene.scale, scene.scale);
    for Fill { path, paint } in &scene.fills {
        token.check()?;
        // Nothing is drawn of an empty path.
        if let Some(path) = skia_path(path) {
            let paint = SkiaPaint { shader: shader(paint), ..SkiaPaint::default() };
            pixmap.fill_path(&path, &paint, FillRule::Winding, transform, None);
        }
    }
    if let Some((logo, Rect { at, size })) = scene.logo {
        token.check()?;
        let to_pixels = |length: f32| u32::try_from(pixels(length * scene.scale)).unwrap_or(0);
        let (x, y) = (to_pixels(at.0).cast_signed(), to_pixels(at.1).cast_signed());
        let picture = logo.pixels(to_pixels(size.0).max(1), to_pixels(size.1).max(1));
        let picture = picture.ok_or(failed)?;
        let paint = PixmapPaint::default();
        pixmap.draw_pixmap(x, y, picture.as_ref(), &paint, Transform::identity(), None);
    }
    Ok(pixmap)
}

fn skia_path(path: &Path) -> Option<resvg::tiny_skia::Path> {
    let mut builder = PathBuilder::with_capacity(path.0.len(), path.0.len() * 2);
    for segment in path.without_arcs() {
        match segment {
            Segment::Move((x, y)) => builder.move_to(x, y),
            Segment::Line((x, y)) | Segment::Arc((x, y), _) => builder.line_to(x, y),
            Segment::Cubic((x1, y1), (x2, y2), (x, y)) => builder.cubic_to(x1, y1, x2, y2, x, y),
            Segment::Close => builder.close(),
        }
    }
    builder.finish()
}

fn shader(paint: &Paint) -> Shader<'static> {
    let skia = |color: Color| {
        resvg::tiny_skia::Color::from_rgba8(color.red, color.green, color.blue, u8::MAX)
    };
    let at = |(x, y): Point| SkiaPoint::from_xy(x, y);
    match *paint {
        Paint::Solid(color) => Shader::SolidColor(skia(color)),
        Paint::Ramp(Ramp { kind, colors, start, end }) => {
            let stops = vec![
                GradientStop::new(0.0, skia(colors.0)),
                GradientStop::new(1.0, skia(colors.1)),
            ];
            let (mode, transform) = (SpreadMode::Pad, Transform::identity());
            match kind {
                GradientKind::Linear => {
                    LinearGradient::new(at(start), at(end), stops, mode, transform)
                }
                GradientKind::Radial => {
                    let radius = (end.0 - start.0).hypot(end.1 - start.1);
                    RadialGradient::new(at(start), at(start), radius, stops, mode, transform)
                }
            }
            .unwrap_or(Shader::SolidColor(skia(colors.0)))
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn plain_codes_look_as_they_do_when_blended() {
        let colored = QrStyle {
            color: "#1a2b3c".parse().unwrap(),
            background_color: Some("#f5e663".parse().unwrap()),
            corner_color: Some("#c0261b".parse().unwrap()),
            corner_dot_color: Some("#1d3a8a".parse().unwrap()),
            margin: 1,
            ..QrStyle::default()
        };
        let transparent = QrStyle { background_color: None, ..QrStyle::default() };
        let token = CancellationToken::default();
        for style in [QrStyle::default(), colored, transparent] {
            for (content, width) in [("https://sho.rt/spring?qr=4c9", 307), ("x", 100)] {
                let spec = Spec { content: content.to_owned(), style: style.clone(), logo: None };
                assert!(scene::is_plain(&spec.style));
                let fast = image::load_from_memory(&render(&spec, width, &token).unwrap()).unwrap();
                let blended = draw(&spec, width, &token).unwrap();
                let blended = image::load_from_memory(&encode(&blended).unwrap()).unwrap();
                assert!(fast.to_rgba8() == blended.to_rgba8(), "{content}, {width}");
            }
        }
    }
}
