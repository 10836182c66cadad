//! Facts about a visitor that conditions compare with lists.

use crate::domain::named_enum;

named_enum! {
    /// A fact about a visitor. The numbers are stored in the log.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, prost::Enumeration)]
    #[repr(i32)]
    pub enum Fact {
        /// ISO 3166-1 alpha-2, upper case.
        Country = 1 => "country",
        /// Two letters, upper case.
        Continent = 2 => "continent",
        /// As in the geo database.
        Region = 3 => "region",
        /// As in the geo database.
        City = 4 => "city",
        /// The name of a [`Device`](crate::domain::click::Device).
        Device = 5 => "device",
        /// As recorded in clicks.
        Os = 6 => "os",
        /// As recorded in clicks.
        Browser = 7 => "browser",
        /// A primary subtag, lower case.
        Language = 8 => "language",
        /// A host, which includes its subdomains; or [`DIRECT`](super::condition::DIRECT).
        Referrer = 9 => "referrer",
        /// A range of IP addresses in CIDR notation.
        Address = 10 => "address",
    }
}
