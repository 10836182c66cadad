//! Outlines of modules and position markers, and the paths that they are made of.

use super::matrix::{MARKER_WIDTH, Matrix};
use crate::domain::qr::style::{CornerStyle, DotStyle};

/// A point, in modules from the upper left corner of the image.
pub type Point = (f32, f32);

/// How far the control points of a quarter of a circle are from its ends, in radii.
const CIRCLE_CONTROL: f32 = 0.552_284_8;
/// Where circles touch, some decoders see no gap between them.
const DOT_RADIUS: f32 = 0.46;
const ROUND_RADIUS: f32 = 0.5;
/// The outer radius of rings. Some decoders, such as rqrr, take the perspective from the corners of
/// the rings: with rounder ones they read the wrong modules. Others, such as `ZXing`, look for edges at
/// even distances from the center: around a circle, with a round inner edge they find no marker.
const RING_RADIUS: f32 = 0.5;

/// A step of a path.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Segment {
    /// Begins an outline.
    Move(Point),
    /// A straight line.
    Line(Point),
    /// A quarter of a circle that begins and ends along the axes, clockwise or not.
    Arc(Point, bool),
    /// A Bézier curve, with its control points.
    Cubic(Point, Point, Point),
    /// Ends an outline.
    Close,
}

/// Outlines, filled by the non-zero rule.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Path(pub Vec<Segment>);

impl Path {
    /// Adds a rectangle with round corners.
    pub fn rect(&mut self, (x, y): Point, (width, height): Point, radius: f32, clockwise: bool) {
        let (right, bottom) = (x + width, y + height);
        let mut corners = [
            ((x, y + radius), (x + radius, y)),
            ((right - radius, y), (right, y + radius)),
            ((right, bottom - radius), (right - radius, bottom)),
            ((x + radius, bottom), (x, bottom - radius)),
        ];
        if !clockwise {
            corners.reverse();
            corners = corners.map(|(from, to)| (to, from));
        }
        for (at, (from, to)) in corners.into_iter().enumerate() {
            self.0.push(if at == 0 { Segment::Move(from) } else { Segment::Line(from) });
            if radius > 0.0 {
                self.0.push(Segment::Arc(to, clockwise));
            }
        }
        self.0.push(Segment::Close);
    }

    /// The path with its arcs as Bézier curves.
    pub fn without_arcs(&self) -> impl Iterator<Item = Segment> {
        let mut from = (0.0, 0.0);
        self.0.iter().map(move |&segment| {
            let start = from;
            match segment {
                Segment::Move(to) | Segment::Line(to) | Segment::Cubic(_, _, to) => from = to,
                Segment::Arc(to, clockwise) => {
                    from = to;
                    return arc(start, to, clockwise);
                }
                Segment::Close => {}
            }
            segment
        })
    }
}

fn arc(from: Point, to: Point, clockwise: bool) -> Segment {
    let (x, y) = ((to.0 - from.0) * CIRCLE_CONTROL, (to.1 - from.1) * CIRCLE_CONTROL);
    let begins_horizontally = (x * y > 0.0) == clockwise;
    if begins_horizontally {
        Segment::Cubic((from.0 + x, from.1), (to.0, to.1 - y), to)
    } else {
        Segment::Cubic((from.0, from.1 + y), (to.0 - x, to.1), to)
    }
}

/// The modules that are dark, shown, and in no position marker. `offset` is the place of the first
/// module.
pub fn modules(
    matrix: &Matrix,
    style: DotStyle,
    offset: Point,
    is_shown: impl Fn(usize, usize) -> bool,
) -> Path {
    let is_dark = |x, y| matrix.is_dark(x, y) && !matrix.is_marker(x, y) && is_shown(x, y);
    let width = matrix.width();
    match style {
        DotStyle::Dots => {
            // Decoders correct the perspective by the alignment patterns, and find dots less often.
            let is_solid = |x, y| matrix.is_alignment(x, y);
            let mut path =
                outline(width, |x, y| is_dark(x, y) && is_solid(x, y), offset, |_| false);
            let (gap, size) = (0.5 - DOT_RADIUS, 2.0 * DOT_RADIUS);
            for (x, y) in cells(width).filter(|&(x, y)| is_dark(x, y) && !is_solid(x, y)) {
                let corner = (offset.0 + place(x) + gap, offset.1 + place(y) + gap);
                path.rect(corner, (size, size), DOT_RADIUS, true);
            }
            path
        }
        DotStyle::Square => outline(width, is_dark, offset, |_| false),
        DotStyle::Rounded => outline(width, is_dark, offset, |_| true),
        DotStyle::Classy => outline(width, is_dark, offset, |incoming| {
            matches!(incoming, Direction::North | Direction::South)
        }),
    }
}

/// The rings of the position markers.
pub fn marker_rings(matrix: &Matrix, style: CornerStyle, offset: Point) -> Path {
    let (outer, inner) = match style {
        CornerStyle::Square => (0.0, 0.0),
        CornerStyle::Rounded => (RING_RADIUS, 1.25),
        CornerStyle::Dot => (RING_RADIUS, 0.5),
    };
    let mut path = Path::default();
    for (x, y) in markers(matrix, offset) {
        path.rect((x, y), (7.0, 7.0), outer, true);
        path.rect((x + 1.0, y + 1.0), (5.0, 5.0), inner, false);
    }
    path
}

/// The centers of the position markers.
pub fn marker_centers(matrix: &Matrix, style: CornerStyle, offset: Point) -> Path {
    let radius = match style {
        CornerStyle::Square => 0.0,
        CornerStyle::Rounded => 0.8,
        CornerStyle::Dot => 1.5,
    };
    let mut path = Path::default();
    for (x, y) in markers(matrix, offset) {
        path.rect((x + 2.0, y + 2.0), (3.0, 3.0), radius, true);
    }
    path
}

fn markers(matrix: &Matrix, offset: Point) -> [Point; 3] {
    let far = place(matrix.width() - MARKER_WIDTH);
    [offset, (offset.0 + far, offset.1), (offset.0, offset.1 + far)]
}

fn cells(width: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..width).flat_map(move |y| (0..width).map(move |x| (x, y)))
}

#[allow(clippy::cast_precision_loss, reason = "a code has at most 177 columns")]
const fn place(index: usize) -> f32 {
    index as f32
}

/// The direction of a step along an outline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    North,
    East,
    South,
    West,
}

impl Direction {
    const fn right(self) -> Self {
        match self {
            Self::North => Self::East,
            Self::East => Self::South,
            Self::South => Self::West,
            Self::West => Self::North,
        }
    }

    const fn left(self) -> Self {
        self.right().right().right()
    }

    /// The step, and the cells ahead of a corner on its left and on its right, relative to it.
    const fn step(self) -> ((isize, isize), (isize, isize), (isize, isize)) {
        match self {
            Self::North => ((0, -1), (-1, -1), (0, -1)),
            Self::East => ((1, 0), (0, -1), (0, 0)),
            Self::South => ((0, 1), (0, 0), (-1, 0)),
            Self::West => ((-1, 0), (-1, 0), (-1, -1)),
        }
    }

    const fn vector(self) -> Point {
        match self {
            Self::North => (0.0, -1.0),
            Self::East => (1.0, 0.0),
            Self::South => (0.0, 1.0),
            Self::West => (-1.0, 0.0),
        }
    }
}

/// The outlines of all dark areas: clockwise around them, so that they are always on the right, and
/// counterclockwise around the holes. One outline for an area rather than one per module: renderers
/// show hairlines between shapes that touch. Modules that touch at a corner only are apart.
///
/// `rounds` tells whether an outward corner is round, by the direction in which it is reached.
fn outline(
    width: usize,
    is_dark: impl Fn(usize, usize) -> bool,
    offset: Point,
    rounds: impl Fn(Direction) -> bool,
) -> Path {
    let dark_at = |(x, y): (isize, isize)| match (usize::try_from(x), usize::try_from(y)) {
        (Ok(x), Ok(y)) if x < width && y < width => is_dark(x, y),
        _ => false,
    };
    let signed =
        |(x, y): (usize, usize)| Some((isize::try_from(x).ok()?, isize::try_from(y).ok()?));
    let mut seen = vec![false; width * width];
    let mut path = Path::default();
    for start in cells(width).filter_map(signed) {
        let begins = |(x, y)| dark_at((x, y)) && !dark_at((x, y - 1));
        if begins(start) && !was_seen(&mut seen, width, start) {
            let first = path.0.len();
            let (mut at, mut direction) = (start, Direction::East);
            loop {
                if direction == Direction::East {
                    was_seen(&mut seen, width, at);
                }
                let ((x, y), ..) = direction.step();
                at = (at.0 + x, at.1 + y);
                let (_, left, right) = direction.step();
                let next = if !dark_at((at.0 + right.0, at.1 + right.1)) {
                    direction.right()
                } else if dark_at((at.0 + left.0, at.1 + left.1)) {
                    direction.left()
                } else {
                    continue;
                };
                let is_round = next == direction.right() && rounds(direction);
                corner(&mut path, first, point(at, offset), (direction, next), is_round);
                direction = next;
                if at == start && direction == Direction::East {
                    break;
                }
            }
            path.0.push(Segment::Close);
        }
    }
    path
}

#[allow(clippy::cast_precision_loss, reason = "a code has at most 177 columns")]
const fn point(at: (isize, isize), offset: Point) -> Point {
    (at.0 as f32 + offset.0, at.1 as f32 + offset.1)
}

/// Whether the upper edge of a cell is part of an outline already; from now on it is.
fn was_seen(seen: &mut [bool], width: usize, (x, y): (isize, isize)) -> bool {
    let index = usize::try_from(x).ok().zip(usize::try_from(y).ok()).map(|(x, y)| y * width + x);
    let cell = index.and_then(|index| seen.get_mut(index));
    cell.is_some_and(|cell| std::mem::replace(cell, true))
}

/// Adds a corner to the outline that begins at segment `first`.
fn corner(
    path: &mut Path,
    first: usize,
    at: Point,
    (incoming, outgoing): (Direction, Direction),
    is_round: bool,
) {
    let radius = if is_round { ROUND_RADIUS } else { 0.0 };
    let (back, ahead) = (incoming.vector(), outgoing.vector());
    let from = (at.0 - back.0 * radius, at.1 - back.1 * radius);
    if path.0.len() == first {
        path.0.push(Segment::Move(from));
    } else if !matches!(path.0.last(), Some(Segment::Arc(to, _)) if *to == from) {
        path.0.push(Segment::Line(from));
    }
    if is_round {
        path.0.push(Segment::Arc((at.0 + ahead.0 * radius, at.1 + ahead.1 * radius), true));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::qr::style::ErrorCorrection;

    /// The outline of a picture of dark modules (`#`).
    fn of(rows: [&str; 3], rounds: impl Fn(Direction) -> bool) -> Path {
        let is_dark = |x: usize, y: usize| rows[y].as_bytes()[x] == b'#';
        outline(3, is_dark, (0.0, 0.0), rounds)
    }

    #[test]
    fn an_area_has_one_outline_and_each_hole_another() {
        let ring = of(["###", "# #", "###"], |_| false);
        let outer = [(3.0, 0.0), (3.0, 3.0), (0.0, 3.0), (0.0, 0.0)];
        let hole = [(2.0, 1.0), (1.0, 1.0), (1.0, 2.0), (2.0, 2.0)];
        let segments = |points: [Point; 4]| {
            let [first, rest @ ..] = points;
            let lines = rest.map(Segment::Line);
            [vec![Segment::Move(first)], lines.to_vec(), vec![Segment::Close]].concat()
        };
        let hole = segments([hole[2], hole[3], hole[0], hole[1]]);
        assert_eq!(ring.0[..5], segments(outer));
        let mut found: Vec<_> = ring.0[5..9].to_vec();
        // It may begin at any corner.
        found.rotate_left(0);
        assert_eq!(found.len(), 4);
        for segment in hole {
            let at = |segment: &Segment| match *segment {
                Segment::Move(at) | Segment::Line(at) => Some(at),
                _ => None,
            };
            assert!(at(&segment).is_none_or(|point| found.iter().any(|f| at(f) == Some(point))));
        }
    }

    #[test]
    fn modules_that_touch_at_a_corner_are_apart() {
        let path = of(["#  ", " # ", "  #"], |_| true);
        let outlines = path.0.iter().filter(|segment| **segment == Segment::Close).count();
        let arcs = path.0.iter().filter(|segment| matches!(segment, Segment::Arc(..))).count();
        assert_eq!((outlines, arcs, path.0.len()), (3, 12, 18), "three circles");
    }

    #[test]
    fn alignment_patterns_are_solid_among_dots() {
        let matrix = Matrix::encode("https://sho.rt/spring?qr=4c9", ErrorCorrection::High, false);
        let matrix = matrix.unwrap();
        let center = place(matrix.width() - MARKER_WIDTH) + 0.5;
        let path = modules(&matrix, DotStyle::Dots, (0.0, 0.0), |_, _| true);
        let is_near = |(x, y): Point| (x - center).abs() < 2.52 && (y - center).abs() < 2.52;
        let (mut corners, mut arcs) = (0, 0);
        for segment in &path.0 {
            match *segment {
                Segment::Move(at) | Segment::Line(at) => corners += usize::from(is_near(at)),
                Segment::Arc(at, _) => arcs += usize::from(is_near(at)),
                _ => {}
            }
        }
        assert_eq!((corners, arcs), (12, 0), "a ring, its hole and a center");
    }

    #[test]
    fn arcs_become_curves_with_the_same_ends() {
        let mut path = Path::default();
        path.rect((0.0, 0.0), (2.0, 2.0), 1.0, true);
        let curves: Vec<_> = path.without_arcs().collect();
        let control = 1.0 - CIRCLE_CONTROL;
        assert_eq!(curves[0], Segment::Move((0.0, 1.0)));
        assert_eq!(curves[1], Segment::Cubic((0.0, control), (control, 0.0), (1.0, 0.0)));
        let mut back = Path::default();
        back.rect((0.0, 0.0), (2.0, 2.0), 1.0, false);
        let curves: Vec<_> = back.without_arcs().collect();
        assert_eq!(curves[0], Segment::Move((0.0, 1.0)));
        assert_eq!(curves[1], Segment::Cubic((0.0, 2.0 - control), (control, 2.0), (1.0, 2.0)));
    }
}
