//! Facts of a visitor that conditions compare with lists.

/// What is known of a visitor as text, or can be compared by lists. The numbers are the log's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub enum Fact {
    /// ISO 3166-1 alpha-2, upper case.
    Country = 1,
    /// Two letters, upper case.
    Continent = 2,
    /// As the geo database has it.
    Region = 3,
    /// As the geo database has it.
    City = 4,
    /// A [`Device`](crate::domain::click::Device) by its word.
    Device = 5,
    /// As clicks record it.
    Os = 6,
    /// As clicks record it.
    Browser = 7,
    /// A primary subtag, lower case.
    Language = 8,
    /// A host, which stands for those below it, too; or [`DIRECT`](super::condition::DIRECT).
    Referrer = 9,
    /// A range of addresses as CIDR.
    Address = 10,
}

impl Fact {
    /// All of them.
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

    /// The field that names it.
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
