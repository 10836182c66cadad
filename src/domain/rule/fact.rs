//! Facts about a visitor that conditions compare with lists.

/// A fact about a visitor. The numbers are stored in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub enum Fact {
    /// ISO 3166-1 alpha-2, upper case.
    Country = 1,
    /// Two letters, upper case.
    Continent = 2,
    /// As in the geo database.
    Region = 3,
    /// As in the geo database.
    City = 4,
    /// The name of a [`Device`](crate::domain::click::Device).
    Device = 5,
    /// As recorded in clicks.
    Os = 6,
    /// As recorded in clicks.
    Browser = 7,
    /// A primary subtag, lower case.
    Language = 8,
    /// A host, which includes its subdomains; or [`DIRECT`](super::condition::DIRECT).
    Referrer = 9,
    /// A range of IP addresses in CIDR notation.
    Address = 10,
}

impl Fact {
    /// All facts.
    pub const ALL: [Self; 10] = [
        Self::Country,
        Self::Continent,
        Self::Region,
        Self::City,
        Self::Device,
        Self::Os,
        Self::Browser,
        Self::Language,
        Self::Referrer,
        Self::Address,
    ];

    /// The name of the field.
    pub const fn field(self) -> &'static str {
        match self {
            Self::Country => "country",
            Self::Continent => "continent",
            Self::Region => "region",
            Self::City => "city",
            Self::Device => "device",
            Self::Os => "os",
            Self::Browser => "browser",
            Self::Language => "language",
            Self::Referrer => "referrer",
            Self::Address => "address",
        }
    }
}
