//! Captions as paths, so that an image needs no font where it is shown or printed.
//!
//! The font `caption.ttf` is a subset of `DejaVu Sans Bold`: Latin, Greek and Cyrillic letters, digits
//! and punctuation. Its license is in `caption-LICENSE.txt`.

use ttf_parser::{Face, OutlineBuilder};

use super::shapes::{Path, Point, Segment};

static FONT: &[u8] = include_bytes!("caption.ttf");

/// Why a text cannot be drawn as a caption.
pub fn defect(text: &str) -> Option<String> {
    let face = Face::parse(FONT, 0).ok()?;
    let missing = text.chars().find(|&letter| face.glyph_index(letter).is_none())?;
    let missing = missing.escape_debug();
    Some(format!(
        "must not have the character '{missing}': captions have Latin, Greek and Cyrillic letters, \
         digits and punctuation"
    ))
}

/// The outlines of a text around a center, as large as fits into `room` (width, height).
pub fn outlines(text: &str, center: Point, room: (f32, f32)) -> Path {
    let mut path = Path::default();
    let Ok(face) = Face::parse(FONT, 0) else { return path };
    let glyphs: Vec<_> = text
        .trim()
        .chars()
        .filter_map(|letter| {
            let glyph = face.glyph_index(letter)?;
            Some((glyph, f32::from(face.glyph_hor_advance(glyph)?)))
        })
        .collect();
    let width: f32 = glyphs.iter().map(|(_, advance)| advance).sum();
    let (ascender, descender) = (f32::from(face.ascender()), f32::from(face.descender()));
    let scale = (room.0 / width.max(1.0)).min(room.1 / (ascender - descender).max(1.0));
    let capital = f32::from(face.capital_height().unwrap_or(face.ascender()));
    let mut pen = Pen {
        origin: (center.0 - width * scale / 2.0, center.1 + capital * scale / 2.0),
        scale,
        last: (0.0, 0.0),
        path: &mut path,
    };
    for (glyph, advance) in glyphs {
        // A space has no outline.
        let _bounds = face.outline_glyph(glyph, &mut pen);
        pen.origin.0 += advance * scale;
    }
    path
}

/// Draws a glyph: the font's y axis points upwards.
struct Pen<'a> {
    origin: Point,
    scale: f32,
    last: Point,
    path: &'a mut Path,
}

impl Pen<'_> {
    fn at(&mut self, x: f32, y: f32) -> Point {
        self.last = (self.origin.0 + x * self.scale, self.origin.1 - y * self.scale);
        self.last
    }
}

impl OutlineBuilder for Pen<'_> {
    fn move_to(&mut self, x: f32, y: f32) {
        let to = self.at(x, y);
        self.path.0.push(Segment::Move(to));
    }

    fn line_to(&mut self, x: f32, y: f32) {
        let to = self.at(x, y);
        self.path.0.push(Segment::Line(to));
    }

    fn quad_to(&mut self, x1: f32, y1: f32, x: f32, y: f32) {
        let from = self.last;
        let (control, to) = (self.at(x1, y1), self.at(x, y));
        let toward = |end: f32, control: f32| end + (control - end) * 2.0 / 3.0;
        let first = (toward(from.0, control.0), toward(from.1, control.1));
        let second = (toward(to.0, control.0), toward(to.1, control.1));
        self.path.0.push(Segment::Cubic(first, second, to));
    }

    fn curve_to(&mut self, x1: f32, y1: f32, x2: f32, y2: f32, x: f32, y: f32) {
        let (first, second, to) = (self.at(x1, y1), self.at(x2, y2), self.at(x, y));
        self.path.0.push(Segment::Cubic(first, second, to));
    }

    fn close(&mut self) {
        self.path.0.push(Segment::Close);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn captions_have_letters_of_the_font() {
        for text in ["Scan me!", "Łódź, Århus", "Σκανάρετε", "Отсканируй", "Ő ű ẞ €", "10 % → –"]
        {
            assert_eq!(defect(text), None, "{text}");
        }
        for (text, part) in
            [("扫一扫", "'扫'"), ("a\nb", "'\\n'"), ("😀", "Latin, Greek and Cyrillic")]
        {
            assert!(defect(text).unwrap().contains(part), "{text}");
        }
    }

    #[test]
    fn a_text_is_centered_in_its_room() {
        for text in ["Scan me", "W", "Scan to see the menu of today"] {
            let path = outlines(text, (50.0, 20.0), (60.0, 10.0));
            let points: Vec<_> = path
                .without_arcs()
                .filter_map(|segment| match segment {
                    Segment::Move(to) | Segment::Line(to) | Segment::Cubic(_, _, to) => Some(to),
                    _ => None,
                })
                .collect();
            let xs = points.iter().map(|point| point.0);
            let (left, right) = (xs.clone().fold(f32::MAX, f32::min), xs.fold(0.0, f32::max));
            assert!(left >= 20.0 && right <= 80.0, "{text}: {left} to {right}");
            assert!((left + right - 100.0).abs() < 2.0, "{text}: {left} to {right}");
            assert!(points.iter().all(|point| point.1 > 13.0 && point.1 < 26.0), "{text}");
        }
    }
}
