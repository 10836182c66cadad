//! The input of rules.

use std::net::IpAddr;
use std::ops::BitOr;

use super::super::click::Device;

/// A borrowed view of a visit. Texts are as recorded in clicks; empty when unknown.
///
/// Only the fields that [`Needs`] names have to be set.
#[derive(Clone, Copy)]
pub struct Visitor<'a> {
    /// The time, in milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// ISO 3166-1 alpha-2, upper case.
    pub country: &'a str,
    /// As in the geo database.
    pub region: &'a str,
    /// As in the geo database.
    pub city: &'a str,
    /// The device type.
    pub device: Device,
    /// `Windows`, `macOS`, `iOS`, `Android`, ….
    pub os: &'a str,
    /// `Chrome`, `Safari`, ….
    pub browser: &'a str,
    /// Primary subtag, lower case.
    pub language: &'a str,
    /// The raw query string.
    pub query: Option<&'a str>,
    /// The normalized referring site (`x.com` for `t.co`).
    pub referrer: &'a str,
    /// The referring URL, whose host is compared, too.
    pub referrer_url: &'a str,
    /// The IP address; if absent, as in a click, it is in no range.
    pub address: Option<IpAddr>,
    /// Whether the visitor is classified as a bot.
    pub is_bot: bool,
    /// The visitor id, by which variants are assigned.
    pub id: u64,
    /// Whether the visitor has visited before; called at most once, and only by a rule with that
    /// condition whose other conditions match.
    pub returning: &'a dyn Fn() -> bool,
}

/// The fields that rules use, besides the time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Needs(u8);

impl Needs {
    /// Only the time.
    pub const NONE: Self = Self(0);
    /// Country, region, city.
    pub const PLACE: Self = Self(1);
    /// Device, operating system, browser, and whether it is a bot.
    pub const AGENT: Self = Self(1 << 1);
    /// The language.
    pub const LANGUAGE: Self = Self(1 << 2);
    /// The query.
    pub const QUERY: Self = Self(1 << 3);
    /// The referring site and page.
    pub const REFERRER: Self = Self(1 << 4);
    /// The IP address.
    pub const ADDRESS: Self = Self(1 << 5);
    /// The visitor's id.
    pub const ID: Self = Self(1 << 6);
    /// Whether the visitor has visited before.
    pub const RETURNING: Self = Self(1 << 7);

    /// Whether any of these fields is used.
    pub const fn any(self, of: Self) -> bool {
        self.0 & of.0 != 0
    }
}

impl BitOr for Needs {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}
