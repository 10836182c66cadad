//! A figure measured in several rounds.

use std::fmt;

use serde::Serialize;

/// The values of one figure over all rounds.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Rounds {
    /// Half of the rounds were below.
    pub median: f64,
    /// The lowest round.
    pub least: f64,
    /// The highest round.
    pub most: f64,
}

impl Rounds {
    /// Sums up at least one round.
    pub fn of(rounds: impl IntoIterator<Item = f64>) -> Self {
        let mut sorted: Vec<f64> = rounds.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let at = |index: usize| sorted.get(index).copied().unwrap_or(f64::NAN);
        let middle = sorted.len() / 2;
        let is_odd = sorted.len() % 2 == 1;
        let median = if is_odd {
            at(middle)
        } else {
            f64::midpoint(at(middle.saturating_sub(1)), at(middle))
        };
        Self { median, least: at(0), most: at(sorted.len().saturating_sub(1)) }
    }
}

/// `1,234 (1,100 … 1,300)`; with two places where the format asks for them: `{:.2}`.
impl fmt::Display for Rounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let places = f.precision().unwrap_or(0);
        let show = |value: f64| thousands(&format!("{value:.places$}"));
        let text = format!("{} ({} … {})", show(self.median), show(self.least), show(self.most));
        match f.width() {
            Some(width) => write!(f, "{text:>width$}"),
            None => f.write_str(&text),
        }
    }
}

/// A number with the thousands of its whole part apart: `65,536.5`.
fn thousands(number: &str) -> String {
    let (whole, fraction) = number.split_at(number.find('.').unwrap_or(number.len()));
    let mut text = String::with_capacity(number.len() + number.len() / 3);
    for (place, digit) in whole.chars().enumerate() {
        if place > 0 && (whole.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text + fraction
}

/// A goal and whether it was reached.
#[derive(Debug, Clone, Serialize)]
pub struct Aim {
    /// The figure, in words.
    pub what: &'static str,
    /// The measured value.
    pub measured: f64,
    /// The goal.
    pub bound: f64,
    /// Whether the goal is a minimum or a maximum.
    pub at_least: bool,
    /// Whether the goal was reached; `None` if the run can't decide it.
    pub is_reached: Option<bool>,
}

impl Aim {
    /// A figure that should be no less.
    pub fn at_least(what: &'static str, measured: f64, bound: f64) -> Self {
        Self { what, measured, bound, at_least: true, is_reached: Some(measured >= bound) }
    }

    /// A figure that should be no more.
    pub fn at_most(what: &'static str, measured: f64, bound: f64) -> Self {
        Self { what, measured, bound, at_least: false, is_reached: Some(measured <= bound) }
    }
}

impl fmt::Display for Aim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.at_least { '≥' } else { '≤' };
        let outcome = match self.is_reached {
            Some(true) => "reached",
            Some(false) => "NOT reached",
            None => "not judged",
        };
        write!(f, "{}: {:.2}, aim {sign} {}: {outcome}", self.what, self.measured, self.bound)
    }
}
