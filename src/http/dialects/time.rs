//! Times in the format of a product.

use jiff::Timestamp;

/// A time in UTC, from milliseconds since the Unix epoch.
pub fn formatted(at_ms: u64, format: &str) -> String {
    let time = i64::try_from(at_ms).ok().and_then(|at| Timestamp::from_millisecond(at).ok());
    time.unwrap_or_default().strftime(format).to_string()
}
