//! The dimensions of clicks.

use crate::domain::named_enum;

named_enum! {
    /// A property of clicks, to group them by and to filter them by.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
    #[allow(missing_docs, reason = "the names say it")]
    pub enum Dimension {
        /// The bucket of time.
        Time => "time",
        Link => "link",
        Domain => "domain",
        Tag => "tag",
        Folder => "folder",
        Campaign => "campaign",
        Destination => "destination",
        LinkVersion => "link_version",
        Rule => "rule",
        /// The variant of a split that the visitor was assigned.
        Variant => "variant",
        Continent => "continent",
        Country => "country",
        Region => "region",
        City => "city",
        Device => "device",
        Browser => "browser",
        BrowserVersion => "browser_version",
        Os => "os",
        OsVersion => "os_version",
        Bot => "bot",
        BotReason => "bot_reason",
        Referrer => "referrer",
        ReferrerUrl => "referrer_url",
        /// What the referring site is called; the referring host if it is not a known one.
        Source => "source",
        Language => "language",
        UtmSource => "utm_source",
        UtmMedium => "utm_medium",
        UtmCampaign => "utm_campaign",
        UtmContent => "utm_content",
        UtmTerm => "utm_term",
        /// Whether the click came from a QR code or from the link.
        Trigger => "trigger",
        /// The QR code that was scanned.
        QrCode => "qr_code",
    }
}

impl Dimension {
    /// The dimensions that can be filtered on. Time has its range instead.
    pub fn filterable() -> impl Iterator<Item = Self> {
        Self::EVERY.iter().copied().filter(|dimension| *dimension != Self::Time)
    }

    /// Whether a value is free text, which can be searched.
    pub const fn is_text(self) -> bool {
        !matches!(self, Self::Time | Self::Link | Self::LinkVersion | Self::Bot | Self::Trigger)
    }
}

/// A value of a dimension, as ClickHouse returns it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Value {
    /// The start of a time bucket, in seconds since the Unix epoch.
    Time(i64),
    /// Any other value: a link's UUID, a word, `true` or `false`; empty if unknown.
    Text(String),
}
