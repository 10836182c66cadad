//! What a user agent is: browser, operating system, kind of machine, and whether it's a bot.

use woothee::parser::{Parser, WootheeResult};

use super::bot::BotList;
use crate::domain::click::{BotReason, Device};

/// What woothee says of what it doesn't know.
const UNKNOWN: &str = "UNKNOWN";

/// What a user agent is taken for; texts are empty when unknown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Classification {
    /// `Chrome`, `Safari`, …; for a crawler its name.
    pub browser: Box<str>,
    /// The browser's version, as it says.
    pub browser_version: Box<str>,
    /// `Windows`, `macOS`, `iOS`, `Android`, ….
    pub os: Box<str>,
    /// The operating system's version, as it says: browsers freeze it (Windows 11 says 10, each
    /// macOS since 11 says 10.15.7).
    pub os_version: Box<str>,
    /// What kind of machine.
    pub device: Device,
    /// Whether, and why, it is taken for a bot.
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

/// woothee's name of a browser as its users know it.
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

/// Name and version: woothee has Windows' release in the name and its kernel's in the version,
/// and names Apple's devices instead of their system.
fn operating_system<'a>(found: &'a WootheeResult<'_>) -> (&'a str, &'a str) {
    let version = known(&found.os_version);
    match found.os {
        "Mac OSX" => ("macOS", version),
        "Mac OS Classic" => ("Mac OS", version),
        "iPhone" | "iPad" | "iPod" | "iOS" => ("iOS", version),
        // Behind the processor: `x86_64 14541.0.0`.
        "ChromeOS" => ("ChromeOS", version.rsplit(' ').next().unwrap_or_default()),
        "Windows Phone OS" => ("Windows Phone", version),
        "Windows UNKNOWN Ver" => ("Windows", ""),
        os => match os.strip_prefix("Windows ") {
            Some(release) => ("Windows", release),
            None => (known(os), version),
        },
    }
}

/// Things with a screen that nobody carries or types at: televisions, sticks, speakers.
const SCREENS: &[&str] = &["TV", "BRAVIA", "AFT", "CrKey", "Roku/", "HbbTV", "Tizen 2", "Web0S"];

/// Tablets that say so, or that are known by name.
const TABLETS: &[&str] =
    &["iPad", "Tablet", "tablet", "Kindle", "Silk/", "PlayBook", "Nexus 7", "Nexus 10"];

/// What kind of machine a browser runs on; woothee's category knows no tablets.
fn device(user_agent: &str, category: &str) -> Device {
    let says_any = |marks: &[&str]| marks.iter().any(|mark| user_agent.contains(mark));
    // Internet Explorer said `Tablet PC` on every Windows with handwriting, tablet or not.
    let windows = user_agent.contains("Windows NT");
    if says_any(SCREENS) && !windows {
        return Device::Other;
    }
    if !windows && (says_any(TABLETS) || is_android_tablet(user_agent)) {
        return Device::Tablet;
    }
    match category {
        "pc" => Device::Desktop,
        "smartphone" | "mobilephone" => Device::Mobile,
        _ => Device::Other,
    }
}

/// Browsers on Android put `Mobile` into their user agent on phones only. Opera Mini and what
/// uses the system's own HTTP client (`Dalvik`) never say it.
fn is_android_tablet(user_agent: &str) -> bool {
    let silent = ["Opera Mini", "Dalvik/"].iter().any(|name| user_agent.contains(name));
    user_agent.contains("Android") && !user_agent.contains("Mobi") && !silent
}

#[cfg(test)]
#[path = "user_agent_tests.rs"]
mod tests;
