//! SVG files, in modules as the unit.

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::logo::Logo;
use super::scene::{self, Fill, Paint, Ramp, Rect};
use super::shapes::{Path, Point, Segment};
use super::{RenderError, Spec};
use crate::domain::qr::style::GradientKind;

/// Decimal places of coordinates: a hundredth of a module is finer than printers are.
const PLACES: f32 = 100.0;

/// The file of a code that is shown `width` pixels wide.
pub fn render(spec: &Spec, width: u32) -> Result<String, RenderError> {
    let scene = scene::scene(spec, width, false)?;
    let mut file = String::with_capacity(8_192);
    let written = write(&scene, scene::is_plain(&spec.style), &mut file);
    written.map_err(|_| RenderError::Encoding("SVG"))?;
    Ok(file)
}

fn write(scene: &scene::Scene<'_>, is_plain: bool, file: &mut String) -> std::fmt::Result {
    let ((width, height), (columns, rows)) = (scene.pixels, scene.size);
    let (columns, rows) = (Number(columns), Number(rows));
    write!(
        file,
        r#"<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {columns} {rows}""#
    )?;
    // Viewers then draw sharp edges where a module has no whole number of pixels.
    file.push_str(if is_plain { r#" shape-rendering="crispEdges">"# } else { ">" });
    if let Some(color) = scene.background {
        write!(file, r#"<path fill="{color}" d="M0 0h{columns}v{rows}H0z"/>"#)?;
    }
    for (at, Fill { path, paint }) in scene.fills.iter().enumerate() {
        match paint {
            Paint::Solid(color) => write!(file, r#"<path fill="{color}" d=""#)?,
            Paint::Ramp(ramp) => {
                write_ramp(at, ramp, file)?;
                write!(file, r#"<path fill="url(#ramp{at})" d=""#)?;
            }
        }
        write_path(path, file)?;
        file.push_str("\"/>");
    }
    if let Some((logo, place)) = &scene.logo {
        write_logo(logo, *place, file)?;
    }
    file.push_str("</svg>\n");
    Ok(())
}

fn write_ramp(at: usize, ramp: &Ramp, file: &mut String) -> std::fmt::Result {
    let Ramp { kind, colors: (first, last), start, end } = ramp;
    let name = match kind {
        GradientKind::Linear => "linearGradient",
        GradientKind::Radial => "radialGradient",
    };
    write!(file, r#"<{name} id="ramp{at}" gradientUnits="userSpaceOnUse""#)?;
    let (x1, y1) = (Number(start.0), Number(start.1));
    match kind {
        GradientKind::Linear => {
            let (x2, y2) = (Number(end.0), Number(end.1));
            write!(file, r#" x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}">"#)?;
        }
        GradientKind::Radial => {
            let radius = Number((end.0 - start.0).hypot(end.1 - start.1));
            write!(file, r#" cx="{x1}" cy="{y1}" r="{radius}">"#)?;
        }
    }
    write!(file, r#"<stop stop-color="{first}"/><stop offset="1" stop-color="{last}"/></{name}>"#)
}

fn write_logo(logo: &Logo, place: Rect, file: &mut String) -> std::fmt::Result {
    let (x, y) = (Number(place.at.0), Number(place.at.1));
    let (width, height) = (Number(place.size.0), Number(place.size.1));
    let at = format_args!(r#"x="{x}" y="{y}" width="{width}" height="{height}""#).to_string();
    if let Some(svg) = logo.svg() {
        let (own_width, own_height) = logo.size();
        let svg = svg.trim_end();
        write!(file, r#"<svg {at} viewBox="0 0 {own_width} {own_height}">{svg}</svg>"#)
    } else {
        let data = STANDARD.encode(logo.bytes());
        write!(file, r#"<image {at} href="data:{};base64,{data}"/>"#, logo.content_type())
    }
}

/// A coordinate, with as few digits as needed.
struct Number(f32);

impl std::fmt::Display for Number {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Without the sign of a zero.
        write!(f, "{}", (self.0 * PLACES).round() / PLACES + 0.0)
    }
}

/// Writes steps relative to the point before, which are shorter.
fn write_path(path: &Path, file: &mut String) -> std::fmt::Result {
    let round = |(x, y): Point| ((x * PLACES).round() / PLACES, (y * PLACES).round() / PLACES);
    let mut at = (0.0, 0.0);
    let mut start = at;
    for &segment in &path.0 {
        let from = at;
        let step = |to: Point| {
            let to = round(to);
            (Number(to.0 - from.0), Number(to.1 - from.1))
        };
        match segment {
            Segment::Move(to) => {
                at = round(to);
                start = at;
                write!(file, "M{} {}", Number(at.0), Number(at.1))?;
            }
            Segment::Line(to) => {
                let (x, y) = step(to);
                at = round(to);
                if y.0 == 0.0 {
                    write!(file, "h{x}")?;
                } else if x.0 == 0.0 {
                    write!(file, "v{y}")?;
                } else {
                    write!(file, "l{x} {y}")?;
                }
            }
            Segment::Arc(to, clockwise) => {
                let (x, y) = step(to);
                at = round(to);
                let radius = Number(x.0.abs());
                write!(file, "a{radius} {radius} 0 0 {} {x} {y}", u8::from(clockwise))?;
            }
            Segment::Cubic(first, second, to) => {
                let ((x1, y1), (x2, y2), (x, y)) = (step(first), step(second), step(to));
                at = round(to);
                write!(file, "c{x1} {y1} {x2} {y2} {x} {y}")?;
            }
            Segment::Close => {
                at = start;
                file.push('z');
            }
        }
    }
    Ok(())
}
