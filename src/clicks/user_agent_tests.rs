use super::*;

fn human(user_agent: &str) -> (String, String, String, String, Device) {
    let found = Classification::of(user_agent, &BotList::default());
    assert_eq!(found.bot, BotReason::Human, "{user_agent}");
    let [browser, browser_version, os, os_version] =
        [found.browser, found.browser_version, found.os, found.os_version].map(String::from);
    (browser, browser_version, os, os_version, found.device)
}

fn expected(browser: &str, os: &str, device: Device) -> (String, String, String, String, Device) {
    let [(browser, browser_version), (os, os_version)] =
        [browser, os].map(|text| text.rsplit_once(' ').unwrap());
    let [browser, browser_version, os, os_version] =
        [browser, browser_version, os, os_version].map(str::to_owned);
    (browser, browser_version, os, os_version, device)
}

/// Real user agents, with the expected browser and operating system (`name version`).
const BROWSERS: &[(&str, &str, &str, Device)] = &[
    (
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
        "Chrome 126.0.0.0",
        "Windows 10",
        Device::Desktop,
    ),
    (
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36 Edg/126.0.2592.87",
        "Edge 126.0.2592.87",
        "Windows 10",
        Device::Desktop,
    ),
    (
        "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Safari/605.1.15",
        "Safari 17.5",
        "macOS 10.15.7",
        Device::Desktop,
    ),
    (
        "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
        "Firefox 128.0",
        "Linux ",
        Device::Desktop,
    ),
    (
        "Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
        "Chrome 126.0.0.0",
        "ChromeOS 14541.0.0",
        Device::Desktop,
    ),
    (
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36 OPR/111.0.0.0",
        "Opera 111.0.0.0",
        "Windows 10",
        Device::Desktop,
    ),
    (
        "Mozilla/5.0 (Windows NT 6.1; WOW64; Trident/7.0; Tablet PC 2.0; rv:11.0) like Gecko",
        "Internet Explorer 11.0",
        "Windows 7",
        Device::Desktop,
    ),
    (
        "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1",
        "Safari 17.5",
        "iOS 17.5",
        Device::Mobile,
    ),
    (
        "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/126.0.6478.54 Mobile/15E148 Safari/604.1",
        "Chrome 126.0.6478.54",
        "iOS 17.5",
        Device::Mobile,
    ),
    (
        "Mozilla/5.0 (iPad; CPU OS 16_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/16.6 Mobile/15E148 Safari/604.1",
        "Safari 16.6",
        "iOS 16.6",
        Device::Tablet,
    ),
    (
        "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Mobile Safari/537.36",
        "Chrome 126.0.0.0",
        "Android 10",
        Device::Mobile,
    ),
    (
        "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
        "Chrome 126.0.0.0",
        "Android 10",
        Device::Tablet,
    ),
    (
        "Mozilla/5.0 (Linux; Android 14; SAMSUNG SM-S918B) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/25.0 Chrome/121.0.0.0 Mobile Safari/537.36",
        "Samsung Internet 25.0",
        "Android 14",
        Device::Mobile,
    ),
    (
        "Mozilla/5.0 (Android 14; Mobile; rv:128.0) Gecko/128.0 Firefox/128.0",
        "Firefox 128.0",
        "Android 14",
        Device::Mobile,
    ),
    (
        "Mozilla/5.0 (Android 14; Tablet; rv:128.0) Gecko/128.0 Firefox/128.0",
        "Firefox 128.0",
        "Android 14",
        Device::Tablet,
    ),
    (
        "Mozilla/5.0 (Linux; Android 9; KFMAWI) AppleWebKit/537.36 (KHTML, like Gecko) Silk/126.2.1 like Chrome/126.0.6478.122 Safari/537.36",
        "Chrome 126.0.6478.122",
        "Android 9",
        Device::Tablet,
    ),
    (
        "Mozilla/5.0 (Linux; Android 9; BRAVIA 4K GB) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36",
        "Chrome 120.0.0.0",
        "Android 9",
        Device::Other,
    ),
];

#[test]
fn browsers_have_their_usual_names() {
    for (user_agent, browser, os, device) in BROWSERS {
        assert_eq!(human(user_agent), expected(browser, os, *device), "{user_agent}");
    }
}

#[test]
fn unknown_fields_are_empty() {
    let found = human("something/1.0");
    assert_eq!(found, (String::new(), String::new(), String::new(), String::new(), Device::Other));
}

#[test]
fn bot_reasons_have_an_order() {
    let bots = BotList::from_json(r#"[{"pattern": "bingbot"}]"#).unwrap();
    for (user_agent, reason, pattern) in [
        ("", BotReason::NoAgent, ""),
        ("Mozilla/5.0 (compatible; bingbot/2.0)", BotReason::Pattern, "bingbot"),
        ("Mozilla/5.0 (compatible; Googlebot/2.1)", BotReason::Woothee, ""),
        ("some-crawler/1.0", BotReason::Woothee, ""),
    ] {
        let found = Classification::of(user_agent, &bots);
        assert_eq!((found.bot, &*found.bot_pattern), (reason, pattern), "{user_agent}");
        assert_eq!(found.device, Device::Bot, "{user_agent}");
    }
}
