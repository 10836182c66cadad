//! What rules look at.

use std::net::IpAddr;
use std::ops::BitOr;

use super::super::click::Device;

/// What is known of a visit, borrowed; texts are empty when unknown, and as clicks record them.
///
/// Only what [`Needs`] names has to be right.
#[derive(Clone, Copy)]
pub struct Visitor<'a> {
    /// When, in milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// ISO 3166-1 alpha-2, upper case.
    pub country: &'a str,
    /// As the geo database has it.
    pub region: &'a str,
    /// As the geo database has it.
    pub city: &'a str,
    /// What kind of machine.
    pub device: Device,
    /// `Windows`, `macOS`, `iOS`, `Android`, ….
    pub os: &'a str,
    /// `Chrome`, `Safari`, ….
    pub browser: &'a str,
    /// Primary subtag, lower case.
    pub language: &'a str,
    /// What stands behind the `?`, as it came.
    pub query: Option<&'a str>,
    /// The referring site, folded (`x.com` for `t.co`).
    pub referrer: &'a str,
    /// The referring page, whose own host counts, too.
    pub referrer_url: &'a str,
    /// Absent where it isn't known any more, as in a click: in no range then.
    pub address: Option<IpAddr>,
    /// Whether it is taken for a bot's, for whatever reason.
    pub is_bot: bool,
    /// Tells this visitor from others: variants stick to it for as long as it does.
    pub id: u64,
    /// Whether the visitor was seen before; asked at most once, and only by a rule that wants to
    /// know and whose other conditions hold.
    pub returning: &'a dyn Fn() -> bool,
}

/// What rules look at, beside the time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Needs(u8);

impl Needs {
    /// Nothing but the time.
    pub const NONE: Self = Self(0);
    /// Country, region, city.
    pub const PLACE: Self = Self(1);
    /// Device, system, browser, and whether it's a bot.
    pub const AGENT: Self = Self(1 << 1);
    /// The language.
    pub const LANGUAGE: Self = Self(1 << 2);
    /// The query.
    pub const QUERY: Self = Self(1 << 3);
    /// The referring site and page.
    pub const REFERRER: Self = Self(1 << 4);
    /// The address.
    pub const ADDRESS: Self = Self(1 << 5);
    /// The visitor's id.
    pub const ID: Self = Self(1 << 6);
    /// Whether the visitor was seen before.
    pub const RETURNING: Self = Self(1 << 7);

    /// Whether any of these is looked at.
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
