//! User agent classification: browser, operating system, device, and whether it is a bot.

use woothee::parser::{Parser, WootheeResult};

use super::crawler_list::BotList;
use crate::domain::click::{BotReason, Device};

/// woothee's value for unknown fields.
const UNKNOWN: &str = "UNKNOWN";

/// A classified user agent; unknown texts are empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Classification {
    /// `Chrome`, `Safari`, …; for a crawler, its name.
    pub browser: Box<str>,
    /// The browser's version, as reported.
    pub browser_version: Box<str>,
    /// `Windows`, `macOS`, `iOS`, `Android`, ….
    pub os: Box<str>,
    /// The operating system's version, as reported: browsers freeze it (Windows 11 reports 10,
    /// macOS since 11 reports 10.15.7).
    pub os_version: Box<str>,
    /// The device class.
    pub device: Device,
    /// Why it is classified as a bot, or `Human`.
    pub bot: BotReason,
    /// The pattern of the crawler list that matched; empty otherwise.
    pub bot_pattern: Box<str>,
}

impl Classification {
    /// Classifies the text of a `User-Agent` header (RFC 9110 § 10.1.5); empty when absent.
    pub fn of(user_agent: &str, bots: &BotList) -> Self {
        let found = Parser::new().parse(user_agent).unwrap_or_default();
        let pattern = bots.matches(user_agent);
        let bot = if user_agent.is_empty() {
            BotReason::NoAgent
        } else if pattern.is_some() {
            BotReason::Pattern
        } else if found.category == "crawler" {
            BotReason::Woothee
        } else {
            BotReason::Human
        };
        let (os, os_version) = operating_system(&found);
        Self {
            browser: browser(found.name).into(),
            browser_version: known(found.version).into(),
            os: os.into(),
            os_version: os_version.into(),
            device: if bot == BotReason::Human {
                device(user_agent, found.category)
            } else {
                Device::Bot
            },
            bot,
            bot_pattern: pattern.unwrap_or_default().into(),
        }
    }
}

fn known(text: &str) -> &str {
    if text == UNKNOWN { "" } else { text }
}

/// The usual name of a browser, by woothee's name.
fn browser(name: &str) -> &str {
    match name {
        "SamsungBrowser" => "Samsung Internet",
        "Webview" => "WebView",
        "facebook" => "Facebook",
        "twitter" => "Twitterbot",
        "misc crawler" => "",
        name => known(name),
    }
}

/// Name and version. woothee has the Windows release in the name and the kernel version in the
/// version, and names Apple's devices instead of their system.
fn operating_system<'a>(found: &'a WootheeResult<'_>) -> (&'a str, &'a str) {
    let version = known(&found.os_version);
    match found.os {
        "Mac OSX" => ("macOS", version),
        "Mac OS Classic" => ("Mac OS", version),
        "iPhone" | "iPad" | "iPod" | "iOS" => ("iOS", version),
        // The version follows the architecture: `x86_64 14541.0.0`.
        "ChromeOS" => ("ChromeOS", version.rsplit(' ').next().unwrap_or_default()),
        "Windows Phone OS" => ("Windows Phone", version),
        "Windows UNKNOWN Ver" => ("Windows", ""),
        os => match os.strip_prefix("Windows ") {
            Some(release) => ("Windows", release),
            None => (known(os), version),
        },
    }
}

/// Other devices with a screen: televisions, streaming sticks, speakers.
const SCREENS: &[&str] = &["TV", "BRAVIA", "AFT", "CrKey", "Roku/", "HbbTV", "Tizen 2", "Web0S"];

/// Substrings of the user agents of tablets.
const TABLETS: &[&str] =
    &["iPad", "Tablet", "tablet", "Kindle", "Silk/", "PlayBook", "Nexus 7", "Nexus 10"];

/// The device class of a browser; woothee's categories have no tablets.
fn device(user_agent: &str, category: &str) -> Device {
    let has_any = |marks: &[&str]| marks.iter().any(|mark| user_agent.contains(mark));
    // Internet Explorer sends `Tablet PC` on every Windows with handwriting support.
    let windows = user_agent.contains("Windows NT");
    if has_any(SCREENS) && !windows {
        return Device::Other;
    }
    if !windows && (has_any(TABLETS) || is_android_tablet(user_agent)) {
        return Device::Tablet;
    }
    match category {
        "pc" => Device::Desktop,
        "smartphone" | "mobilephone" => Device::Mobile,
        _ => Device::Other,
    }
}

/// Browsers on Android send `Mobile` on phones only. Opera Mini and users of the system's HTTP
/// client (`Dalvik`) never send it.
fn is_android_tablet(user_agent: &str) -> bool {
    let silent = ["Opera Mini", "Dalvik/"].iter().any(|name| user_agent.contains(name));
    user_agent.contains("Android") && !user_agent.contains("Mobi") && !silent
}

#[cfg(test)]
#[path = "user_agent_tests.rs"]
mod tests;
