//! Codes of characters.

use super::matrix::Matrix;
use crate::domain::qr::style::ErrorCorrection;

/// The quiet zone: half of the standard's, since a terminal is dark around it.
const MARGIN: usize = 2;

/// A code for a terminal with light characters on a dark background, two modules per character.
/// `None` if the content is too long.
pub fn terminal(content: &str) -> Option<String> {
    let matrix = Matrix::encode(content, ErrorCorrection::Low, false)?;
    let end = matrix.width() + 2 * MARGIN;
    let is_light = |x: usize, y: usize| {
        let dark = x.checked_sub(MARGIN).zip(y.checked_sub(MARGIN));
        y < end && !dark.is_some_and(|(x, y)| matrix.is_dark(x, y))
    };
    let mut text = String::new();
    for y in (0..end).step_by(2) {
        text.extend((0..end).map(|x| match (is_light(x, y), is_light(x, y + 1)) {
            (true, true) => '█',
            (true, false) => '▀',
            (false, true) => '▄',
            (false, false) => ' ',
        }));
        text.push('\n');
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_terminal_shows_the_code() {
        let text = terminal("https://sho.rt/a").unwrap();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 13, "25 rows");
        assert!(lines.iter().all(|line| line.chars().count() == 25));
        let image = |x: usize, y: usize| {
            let (x, y) = (x / 4, y / 4);
            let Some(letter) = lines.get(y / 2).and_then(|line| line.chars().nth(x)) else {
                return 0;
            };
            let light = if y.is_multiple_of(2) { ['█', '▀'] } else { ['█', '▄'] };
            if light.contains(&letter) { 255 } else { 0 }
        };
        let mut found = rqrr::PreparedImage::prepare_from_greyscale(100, 100, image);
        assert_eq!(found.detect_grids()[0].decode().unwrap().1, "https://sho.rt/a");
        assert_eq!(terminal(&"x".repeat(3_000)), None);
    }
}
