//! Validation and normalization of single values of conditions.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};
use jiff::Timestamp;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use url::Host;

use super::super::click::Device;
use super::super::country;
use super::fact::Fact;

/// The maximum length of a value, in characters.
const MAX_TEXT_CHARS: usize = 64;

/// The maximum length of a DNS name (RFC 1035 § 2.3.4).
const MAX_HOST_CHARS: usize = 253;

/// The weekdays, in the order of their bits.
pub(super) const WEEKDAYS: [&str; 7] =
    ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];

const MINUTES_A_DAY: u16 = 24 * 60;

/// Codes that CLDR names but ISO 3166-1 only reserves. Kosovo's `XK` is not in ISO 3166-1 either,
/// but geo databases use it.
const RESERVED: [&str; 7] = ["AC", "CP", "CQ", "DG", "EA", "IC", "TA"];

/// The device types that a condition can name.
pub(super) const DEVICES: [Device; 5] =
    [Device::Desktop, Device::Mobile, Device::Tablet, Device::Bot, Device::Other];

/// Normalizes a value of a list.
pub(super) fn of(fact: Fact, text: &str) -> Result<String, String> {
    let max = if fact == Fact::Referrer { MAX_HOST_CHARS } else { MAX_TEXT_CHARS };
    let text = self::text(text, max)?;
    match fact {
        Fact::Country => {
            let code = text.to_ascii_uppercase();
            let is_known = !country::continent(&code).is_empty();
            let is_one = is_known && !RESERVED.contains(&code.as_str());
            is_one
                .then_some(code)
                .ok_or_else(|| format!("`{text}` is not a country (ISO 3166-1 alpha-2)"))
        }
        Fact::Continent => {
            let code = text.to_ascii_uppercase();
            let is_one = country::continent_name(&code) != code;
            is_one
                .then_some(code)
                .ok_or_else(|| format!("`{text}` is not a continent: AF, AN, AS, EU, NA, OC, SA"))
        }
        Fact::Region | Fact::City | Fact::Os | Fact::Browser => Ok(text),
        Fact::Device => device(&text).map(|device| device.as_str().to_owned()),
        Fact::Language => {
            let is_one = (2..=3).contains(&text.len())
                && text.bytes().all(|byte| byte.is_ascii_alphabetic());
            is_one.then(|| text.to_ascii_lowercase()).ok_or_else(|| {
                format!("`{text}` is not a primary language subtag (two or three letters, `en`)")
            })
        }
        Fact::Referrer => host(&text),
        Fact::Address => network(&text).map(|network| network.to_string()),
    }
}

/// Text of at least one and at most `max` characters, without control characters.
pub(super) fn text(text: &str, max: usize) -> Result<String, String> {
    if text.chars().any(char::is_control) {
        return Err("must not contain control characters".to_owned());
    }
    let text = text.trim();
    if text.is_empty() {
        return Err("must not be blank".to_owned());
    }
    if text.chars().count() > max {
        return Err(format!("must not be longer than {max} characters"));
    }
    Ok(text.to_owned())
}

/// Parses the name of a device type, regardless of case.
pub(super) fn device(text: &str) -> Result<Device, String> {
    DEVICES.into_iter().find(|device| device.as_str().eq_ignore_ascii_case(text)).ok_or_else(|| {
        format!("`{text}` is not a device: {}", DEVICES.map(Device::as_str).join(", "))
    })
}

/// Normalizes a host as in clicks: lower case, Punycode, without `www.`.
fn host(text: &str) -> Result<String, String> {
    let wrong = || format!("`{text}` is not a host; `example.com` includes its subdomains");
    let host = Host::parse(text).map_err(|_| wrong())?.to_string();
    let host = host.strip_suffix('.').unwrap_or(&host);
    let host = host.strip_prefix("www.").filter(|rest| rest.contains('.')).unwrap_or(host);
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b"-._[]:".contains(&byte);
    let is_one = host.bytes().all(is_letter) && !host.split('.').any(str::is_empty);
    is_one.then(|| host.to_owned()).ok_or_else(wrong)
}

/// Parses a range of addresses or a single address.
pub(super) fn network(text: &str) -> Result<IpNet, String> {
    let single = || text.parse::<IpAddr>().map(IpNet::from);
    let network = text
        .parse::<IpNet>()
        .or_else(|_| single())
        .map_err(|_| format!("`{text}` is neither an address nor a range (192.0.2.0/24)"))?;
    Ok(unmapped(network).trunc())
}

/// Converts a range of IPv4-mapped IPv6 addresses to IPv4, as visitors' addresses are.
fn unmapped(network: IpNet) -> IpNet {
    let IpNet::V6(six) = network else { return network };
    let four = six.addr().to_ipv4_mapped().zip(six.prefix_len().checked_sub(96));
    four.and_then(|(address, bits)| Ipv4Net::new(address, bits).ok()).map_or(network, IpNet::V4)
}

/// Parses a time to milliseconds since the Unix epoch.
pub(super) fn timestamp(text: &str) -> Result<u64, String> {
    let moment = text.parse::<Timestamp>().ok();
    moment.and_then(|moment| u64::try_from(moment.as_millisecond()).ok()).ok_or_else(|| {
        "must be a time after 1970 in ISO 8601 with an offset (2026-12-01T00:00:00Z)".to_owned()
    })
}

/// Formats a time for responses.
pub(super) fn moment_text(at_ms: u64) -> String {
    let moment = i64::try_from(at_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    moment.unwrap_or(Timestamp::MAX).to_string()
}

/// Parses a time of day to minutes; `24:00` is midnight.
pub(super) fn minute(text: &str) -> Result<u16, String> {
    let wrong = || "must be a time of day (HH:MM)".to_owned();
    let two = |text: &str| {
        let is_two = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        is_two.then(|| text.parse::<u16>().ok()).flatten()
    };
    let (hour, minute) = text.split_once(':').ok_or_else(wrong)?;
    let (hour, minute) = two(hour).zip(two(minute)).ok_or_else(wrong)?;
    let of_day = hour * 60 + minute;
    let is_time = minute < 60 && of_day <= MINUTES_A_DAY;
    is_time.then_some(of_day % MINUTES_A_DAY).ok_or_else(wrong)
}

/// Formats a time of day for responses.
pub(super) fn minute_text(minute: u16) -> String {
    format!("{:02}:{:02}", minute / 60, minute % 60)
}

/// Looks up a time zone in the bundled database, so that rules don't depend on the system's.
pub(super) fn zone(name: &str) -> Option<TimeZone> {
    TimeZoneDatabase::bundled().get(name).ok().filter(|zone| !zone.is_unknown())
}

/// The canonical spelling of a time zone's name.
pub(super) fn zone_name(text: &str) -> Result<String, String> {
    let zone = zone(text);
    let name = zone.as_ref().and_then(TimeZone::iana_name);
    name.map(str::to_owned).ok_or_else(|| {
        let shown: String = text.chars().filter(|sign| !sign.is_control()).take(64).collect();
        format!("`{shown}` is not an IANA time zone (`Europe/Berlin`)")
    })
}

/// Parses a weekday to its bit.
pub(super) fn weekday(text: &str) -> Result<u8, String> {
    let place = WEEKDAYS.iter().position(|day| day.eq_ignore_ascii_case(text));
    place.map(|place| 1 << place).ok_or_else(|| format!("must hold {} only", WEEKDAYS.join(", ")))
}

/// The form of a text for case-insensitive comparison.
pub(super) fn folded(text: &str) -> String {
    text.chars().flat_map(char::to_lowercase).collect()
}
