//! EPS files: `PostScript` of level 3, with paths and shadings. A logo becomes pixels.

use std::fmt::{Result, Write};

use super::logo::Logo;
use super::scene::{self, Fill, Paint, Ramp, Rect, Scene};
use super::shapes::{Path, Segment};
use super::{RenderError, Spec};
use crate::domain::qr::style::{Color, GradientKind};

/// The longer side of a logo: 300 per inch for 2 cm.
const LOGO_PIXELS: f32 = 256.0;
/// The color of pixels that are not painted: `PostScript` knows no alpha.
const KEY: [u8; 3] = [1, 0, 1];
/// Fainter pixels are not painted.
const MIN_ALPHA: u8 = 16;
const OPERATORS: &str =
    "/m{moveto}bind def/l{lineto}bind def/c{curveto}bind def/z{closepath}bind def\n";
/// Bytes per line of an image.
const LINE_BYTES: usize = 36;

/// The file of a code that is `width` points wide.
pub fn render(spec: &Spec, width: u32) -> std::result::Result<Vec<u8>, RenderError> {
    let scene = scene::scene(spec, width, false)?;
    let mut file = String::with_capacity(32_768);
    write(&scene, &mut file).map_err(|_| RenderError::Encoding("EPS"))?;
    Ok(file.into_bytes())
}

fn write(scene: &Scene<'_>, file: &mut String) -> Result {
    let (width, height) = scene.pixels;
    write!(
        file,
        "%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 {width} {height}\n%%LanguageLevel: 3\n\
         %%Pages: 1\n%%EndComments\n%%Page: 1 1\ngsave\n{OPERATORS}\
         0 {height} translate {scale} -{scale} scale\n",
        scale = scene.scale
    )?;
    if let Some(color) = scene.background {
        let (columns, rows) = scene.size;
        write_color(color, file)?;
        writeln!(file, " setrgbcolor 0 0 {columns} {rows} rectfill")?;
    }
    for Fill { path, paint } in &scene.fills {
        match paint {
            Paint::Solid(color) => {
                write_path(path, file)?;
                write_color(*color, file)?;
                file.push_str(" setrgbcolor fill\n");
            }
            Paint::Ramp(ramp) => {
                file.push_str("gsave\n");
                write_path(path, file)?;
                write_shading(ramp, file)?;
                file.push_str("grestore\n");
            }
        }
    }
    if let Some((logo, place)) = scene.logo {
        let paper = scene.background.unwrap_or(Color::WHITE);
        write_logo(logo, place, paper, file)?;
    }
    file.push_str("grestore\nshowpage\n%%EOF\n");
    Ok(())
}

fn write_color(Color { red, green, blue }: Color, file: &mut String) -> Result {
    let part = |channel: u8| f32::from(channel) / 255.0;
    write!(file, "{:.4} {:.4} {:.4}", part(red), part(green), part(blue))
}

fn write_path(path: &Path, file: &mut String) -> Result {
    file.push_str("newpath\n");
    for segment in path.without_arcs() {
        match segment {
            Segment::Move((x, y)) => writeln!(file, "{x:.3} {y:.3} m")?,
            Segment::Line((x, y)) | Segment::Arc((x, y), _) => writeln!(file, "{x:.3} {y:.3} l")?,
            Segment::Cubic((x1, y1), (x2, y2), (x, y)) => {
                writeln!(file, "{x1:.3} {y1:.3} {x2:.3} {y2:.3} {x:.3} {y:.3} c")?;
            }
            Segment::Close => file.push_str("z\n"),
        }
    }
    Ok(())
}

/// Fills the present path with a gradient.
fn write_shading(ramp: &Ramp, file: &mut String) -> Result {
    let ((x1, y1), (x2, y2)) = (ramp.start, ramp.end);
    let (kind, coordinates) = match ramp.kind {
        GradientKind::Linear => (2, format!("{x1} {y1} {x2} {y2}")),
        GradientKind::Radial => (3, format!("{x1} {y1} 0 {x1} {y1} {}", (x2 - x1).hypot(y2 - y1))),
    };
    write!(
        file,
        "clip newpath << /ShadingType {kind} /ColorSpace /DeviceRGB /Coords [{coordinates}] \
         /Extend [true true] /Function << /FunctionType 2 /Domain [0 1] /N 1 /C0 ["
    )?;
    write_color(ramp.colors.0, file)?;
    file.push_str("] /C1 [");
    write_color(ramp.colors.1, file)?;
    file.push_str("] >> >> shfill\n");
    Ok(())
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most LOGO_PIXELS")]
fn write_logo(logo: &Logo, place: Rect, paper: Color, file: &mut String) -> Result {
    let ((x, y), (width, height)) = (place.at, place.size);
    let pixels = |side: f32| (side / width.max(height) * LOGO_PIXELS).ceil().max(1.0) as u32;
    let picture = logo.pixels(pixels(width), pixels(height)).ok_or(std::fmt::Error)?;
    let (columns, rows) = (picture.width(), picture.height());
    let [red, green, blue] = KEY;
    write!(
        file,
        "gsave {x} {y} translate {width} {height} scale /DeviceRGB setcolorspace\n\
         << /ImageType 4 /Width {columns} /Height {rows} /BitsPerComponent 8 \
         /Decode [0 1 0 1 0 1] /ImageMatrix [{columns} 0 0 {rows} 0 0] \
         /MaskColor [{red} {green} {blue}] /DataSource currentfile /ASCIIHexDecode filter >> image\n"
    )?;
    let mut bytes = 0;
    for pixel in picture.pixels() {
        // Colors are multiplied by their alpha already.
        let over = |channel: u8, paper: u8| {
            let through = u16::from(paper) * u16::from(u8::MAX - pixel.alpha()) / 255;
            channel.saturating_add(u8::try_from(through).unwrap_or(u8::MAX))
        };
        let color = [
            over(pixel.red(), paper.red),
            over(pixel.green(), paper.green),
            over(pixel.blue(), paper.blue),
        ];
        let is_painted = pixel.alpha() >= MIN_ALPHA;
        let color = if is_painted { color } else { KEY };
        let color = if is_painted && color == KEY { [0; 3] } else { color };
        for byte in color {
            write!(file, "{byte:02x}")?;
            bytes += 1;
            if bytes % LINE_BYTES == 0 {
                file.push('\n');
            }
        }
    }
    file.push_str(">\ngrestore\n");
    Ok(())
}
