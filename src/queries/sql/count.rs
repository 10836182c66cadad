//! The counts of a result.

/// A count in the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Count {
    /// Clicks.
    Clicks,
    /// Visitors, each counted once.
    Visitors,
    /// Clicks by bots.
    Bots,
    /// Clicks that came from a QR code.
    Qr,
    /// The time of the last click, in milliseconds since the Unix epoch.
    LastAt,
}
