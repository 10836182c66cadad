//! The modules of a code, and how much of it may be unreadable.

use qrcode::bits::{Bits, encode_auto};
use qrcode::{Color, EcLevel, QrCode, Version};

use crate::domain::qr::style::ErrorCorrection;

/// The width of a position marker.
pub const MARKER_WIDTH: usize = 7;
/// The column of the vertical timing pattern, which the order of the codewords skips.
const TIMING_COLUMN: usize = 6;
/// The modules that tell the version are in three columns or rows before the far markers, from
/// version 7 on.
const VERSION_WIDTH: usize = 3;
const VERSION_DISTANCE: usize = 11;
const MIN_WIDTH_WITH_VERSION: usize = 45;
const CODEWORD_BITS: usize = 8;
/// The ECI designator of UTF-8: without it, bytes are ISO 8859-1, and decoders guess.
const UTF_8: u32 = 26;
const MAX_VERSION: i16 = 40;

/// The modules of a code, without the quiet zone.
pub struct Matrix {
    code: QrCode,
    dark: Vec<bool>,
    width: usize,
    /// The columns, and rows, of the centers of the alignment patterns.
    alignment: Vec<usize>,
}

/// Whole modules: from the first column and row to before the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ModuleRect {
    /// The first column.
    pub left: usize,
    /// The first row.
    pub top: usize,
    /// The column after the last.
    pub right: usize,
    /// The row after the last.
    pub bottom: usize,
}

impl ModuleRect {
    /// Whether it has the module of this column and row.
    pub const fn contains(&self, x: usize, y: usize) -> bool {
        x >= self.left && x < self.right && y >= self.top && y < self.bottom
    }
}

impl Matrix {
    /// Encodes a text in the smallest version. `None` if it is too long for any.
    pub fn encode(content: &str, level: ErrorCorrection, has_logo: bool) -> Option<Self> {
        let (bits, level) = match level {
            ErrorCorrection::Low => fixed(content, EcLevel::L),
            ErrorCorrection::Medium => fixed(content, EcLevel::M),
            ErrorCorrection::Quartile => fixed(content, EcLevel::Q),
            ErrorCorrection::High => fixed(content, EcLevel::H),
            ErrorCorrection::Auto if has_logo => fixed(content, EcLevel::H),
            ErrorCorrection::Auto => highest_without_growth(content),
        }?;
        let code = QrCode::with_bits(bits, level).ok()?;
        let dark = code.to_colors().into_iter().map(|color| color == Color::Dark).collect();
        let width = code.width();
        Some(Self { code, dark, width, alignment: alignment_centers(width) })
    }

    /// The number of columns, and of rows.
    pub const fn width(&self) -> usize {
        self.width
    }

    /// The level of error correction.
    pub fn level(&self) -> &'static str {
        match self.code.error_correction_level() {
            EcLevel::L => "L",
            EcLevel::M => "M",
            EcLevel::Q => "Q",
            EcLevel::H => "H",
        }
    }

    /// Whether a module is dark; outside of the code none is.
    pub fn is_dark(&self, x: usize, y: usize) -> bool {
        x < self.width && self.dark.get(y * self.width + x).copied().unwrap_or_default()
    }

    /// Whether a module belongs to one of the three position markers.
    pub const fn is_marker(&self, x: usize, y: usize) -> bool {
        let far = self.width - MARKER_WIDTH;
        (y < MARKER_WIDTH && (x < MARKER_WIDTH || x >= far)) || (x < MARKER_WIDTH && y >= far)
    }

    /// Whether a module belongs to an alignment pattern.
    pub fn is_alignment(&self, x: usize, y: usize) -> bool {
        let center = |at: usize| self.alignment.iter().copied().find(|c| c.abs_diff(at) <= 2);
        center(x).zip(center(y)).is_some_and(|(x, y)| !self.is_marker(x, y))
    }

    /// Whether a module has data or error correction. qrcode counts the modules that tell the
    /// version among them.
    fn is_data(&self, x: usize, y: usize) -> bool {
        let far = self.width - VERSION_DISTANCE;
        let is_version = |x, y| y < MARKER_WIDTH && (far..far + VERSION_WIDTH).contains(&x);
        let has_version = self.width >= MIN_WIDTH_WITH_VERSION;
        !self.code.is_functional(x, y) && !(has_version && (is_version(x, y) || is_version(y, x)))
    }

    /// How many codewords may be wrong for the code to be readable.
    pub fn max_wrong_codewords(&self) -> usize {
        self.code.max_allowed_errors()
    }

    /// How many codewords have a module in `covered`.
    pub fn codewords_in(&self, covered: ModuleRect) -> usize {
        let modules = self.data_modules();
        let is_covered = |codeword: &&[(usize, usize); CODEWORD_BITS]| {
            codeword.iter().any(|&(x, y)| covered.contains(x, y))
        };
        // What remains is padding.
        modules.as_chunks::<CODEWORD_BITS>().0.iter().filter(is_covered).count()
    }

    /// The column and row of each bit of the codewords, in their order.
    ///
    /// ISO/IEC 18004, 7.7.3: they go up and down in columns of two modules, from right to left,
    /// past what is no data.
    fn data_modules(&self) -> Vec<(usize, usize)> {
        let mut modules = Vec::with_capacity(self.width * self.width);
        let mut upwards = true;
        let mut right = self.width - 1;
        loop {
            for step in 0..self.width {
                let y = if upwards { self.width - 1 - step } else { step };
                modules.extend(
                    [(right, y), (right - 1, y)].into_iter().filter(|&(x, y)| self.is_data(x, y)),
                );
            }
            upwards = !upwards;
            right = match right.saturating_sub(2) {
                0 => return modules,
                TIMING_COLUMN => TIMING_COLUMN - 1,
                next => next,
            };
        }
    }
}

/// The columns, and rows, of the centers of the alignment patterns: ISO/IEC 18004, annex E. They
/// are spaced evenly from the last one, except for the first.
fn alignment_centers(width: usize) -> Vec<usize> {
    let version = (width - 17) / 4;
    if version == 1 {
        return Vec::new();
    }
    let gaps = version / 7 + 1;
    let step = (version * 8 + gaps * 3 + 8) / (gaps * 4) * 2;
    let others = (0..gaps).rev().map(|gap| width - MARKER_WIDTH - gap * step);
    [TIMING_COLUMN].into_iter().chain(others).collect()
}

fn fixed(content: &str, level: EcLevel) -> Option<(Bits, EcLevel)> {
    let bits = if content.is_ascii() {
        encode_auto(content.as_bytes(), level).ok()
    } else {
        let mut versions = (1..=MAX_VERSION).map(Version::Normal);
        versions.find_map(|version| with_version(content, version, level))
    };
    Some((bits?, level))
}

/// The highest level with the version that M needs, or that L needs if M is too little.
fn highest_without_growth(content: &str) -> Option<(Bits, EcLevel)> {
    let (medium, level) = fixed(content, EcLevel::M).or_else(|| fixed(content, EcLevel::L))?;
    let version = medium.version();
    let better = [EcLevel::H, EcLevel::Q]
        .into_iter()
        .find_map(|level| Some((with_version(content, version, level)?, level)));
    Some(better.unwrap_or((medium, level)))
}

fn with_version(content: &str, version: Version, level: EcLevel) -> Option<Bits> {
    let mut bits = Bits::new(version);
    if content.is_ascii() {
        bits.push_optimal_data(content.as_bytes()).ok()?;
    } else {
        // Some bytes of UTF-8 look like the Shift JIS of Kanji mode.
        bits.push_eci_designator(UTF_8).ok()?;
        bits.push_byte_data(content.as_bytes()).ok()?;
    }
    bits.push_terminator(level).ok()?;
    Some(bits)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn encode(content: &str, level: ErrorCorrection) -> Matrix {
        Matrix::encode(content, level, false).unwrap()
    }

    #[test]
    fn auto_takes_the_highest_level_that_makes_the_code_no_larger() {
        // In bytes, version 1 has room for 14 (M), 11 (Q) and 7 (H), version 2 for 26, 20 and 14.
        for (length, level, width) in [
            (7, "H", 21),
            (8, "Q", 21),
            (12, "M", 21),
            (14, "M", 21),
            (15, "Q", 25),
            (20, "Q", 25),
            (21, "M", 25),
            (26, "M", 25),
        ] {
            let code = encode(&"x".repeat(length), ErrorCorrection::Auto);
            assert_eq!((code.level(), code.width()), (level, width), "{length}");
        }
        let logo = Matrix::encode("https://sho.rt/a", ErrorCorrection::Auto, true).unwrap();
        assert_eq!((logo.level(), logo.width()), ("H", 29));
        // More than M has room for at all.
        assert_eq!(encode(&"x".repeat(2_900), ErrorCorrection::Auto).level(), "L");
        assert!(Matrix::encode(&"x".repeat(3_000), ErrorCorrection::Auto, false).is_none());
    }

    #[test]
    fn all_codewords_are_counted_once() {
        // The total of ISO/IEC 18004, table 1.
        for (length, width, codewords) in [(5, 21, 26), (50, 41, 172), (100, 57, 346)] {
            let code = encode(&"x".repeat(length), ErrorCorrection::High);
            let all = ModuleRect { left: 0, top: 0, right: width, bottom: width };
            assert_eq!((code.width(), code.codewords_in(all)), (width, codewords), "{length}");
        }
    }

    #[test]
    fn alignment_patterns_are_where_they_are_drawn() {
        let mut widths = Vec::new();
        for length in (1..2_900).step_by(20) {
            let code = encode(&"x".repeat(length), ErrorCorrection::Low);
            let cells = (0..code.width()).flat_map(|y| (0..code.width()).map(move |x| (x, y)));
            let is_plain = |(x, y): (usize, usize)| {
                let far = code.width() - MARKER_WIDTH - 1;
                let (left, top) = (x < 9, y < 9);
                x == 6 || y == 6 || (left && top) || (left && y >= far) || (x >= far && top)
            };
            for (x, y) in cells.filter(|&cell| !is_plain(cell)) {
                assert_eq!(code.is_alignment(x, y), code.code.is_functional(x, y), "{x}, {y}");
            }
            for (x, y) in
                code.alignment.iter().flat_map(|x| code.alignment.iter().map(move |y| (*x, *y)))
            {
                let is_dark = |dx: usize, dy: usize| code.is_dark(x + dx - 2, y + dy - 2);
                let ring = (0..25).filter(|at| !is_dark(at % 5, at / 5)).count();
                assert!(code.is_marker(x, y) || ring == 8, "{x}, {y}");
            }
            widths.push(code.width());
        }
        widths.dedup();
        assert_eq!(widths.len(), 40, "every version");
    }

    #[test]
    fn a_codeword_is_of_two_columns_and_four_rows() {
        let code = encode("hello", ErrorCorrection::High);
        let rect = |left, top| ModuleRect { left, top, right: left + 2, bottom: top + 4 };
        assert_eq!(code.codewords_in(rect(19, 17)), 1);
        assert_eq!(code.codewords_in(rect(18, 17)), 2);
        assert_eq!(code.codewords_in(rect(19, 16)), 2);
        assert_eq!(code.codewords_in(rect(0, 0)), 0, "a marker");
    }
}
