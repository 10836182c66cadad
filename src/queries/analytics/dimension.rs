//! The dimensions of clicks.

/// A property of clicks, to group them by and to filter them by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Dimension {
    /// The bucket of time.
    Time,
    Link,
    Domain,
    Tag,
    Folder,
    Campaign,
    Destination,
    LinkVersion,
    Rule,
    /// The variant of a split that the visitor was assigned.
    Variant,
    Continent,
    Country,
    Region,
    City,
    Device,
    Browser,
    BrowserVersion,
    Os,
    OsVersion,
    Bot,
    BotReason,
    Referrer,
    ReferrerUrl,
    Language,
    UtmSource,
    UtmMedium,
    UtmCampaign,
    UtmContent,
    UtmTerm,
    /// Whether the click came from a QR code or from the link.
    Trigger,
}

impl Dimension {
    /// All dimensions.
    pub const EVERY: &'static [Self] = &[
        Self::Time,
        Self::Link,
        Self::Domain,
        Self::Tag,
        Self::Folder,
        Self::Campaign,
        Self::Destination,
        Self::LinkVersion,
        Self::Rule,
        Self::Variant,
        Self::Continent,
        Self::Country,
        Self::Region,
        Self::City,
        Self::Device,
        Self::Browser,
        Self::BrowserVersion,
        Self::Os,
        Self::OsVersion,
        Self::Bot,
        Self::BotReason,
        Self::Referrer,
        Self::ReferrerUrl,
        Self::Language,
        Self::UtmSource,
        Self::UtmMedium,
        Self::UtmCampaign,
        Self::UtmContent,
        Self::UtmTerm,
        Self::Trigger,
    ];

    /// The dimension's name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Time => "time",
            Self::Link => "link",
            Self::Domain => "domain",
            Self::Tag => "tag",
            Self::Folder => "folder",
            Self::Campaign => "campaign",
            Self::Destination => "destination",
            Self::LinkVersion => "link_version",
            Self::Rule => "rule",
            Self::Variant => "variant",
            Self::Continent => "continent",
            Self::Country => "country",
            Self::Region => "region",
            Self::City => "city",
            Self::Device => "device",
            Self::Browser => "browser",
            Self::BrowserVersion => "browser_version",
            Self::Os => "os",
            Self::OsVersion => "os_version",
            Self::Bot => "bot",
            Self::BotReason => "bot_reason",
            Self::Referrer => "referrer",
            Self::ReferrerUrl => "referrer_url",
            Self::Language => "language",
            Self::UtmSource => "utm_source",
            Self::UtmMedium => "utm_medium",
            Self::UtmCampaign => "utm_campaign",
            Self::UtmContent => "utm_content",
            Self::UtmTerm => "utm_term",
            Self::Trigger => "trigger",
        }
    }

    /// The dimension with this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::EVERY.iter().copied().find(|dimension| dimension.as_str() == name)
    }

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
