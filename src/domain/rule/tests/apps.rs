//! Validation of app URLs.

use serde_json::json;

use super::super::app_url::AppUrl;
use super::*;

fn parse(text: &str) -> Result<AppUrl, String> {
    AppUrl::parse(text, &|host| host == "sho.rt")
}

#[test]
fn valid_app_urls_are_accepted() {
    for (good, is_web) in [
        ("https://example.com/open?x=1", true),
        ("HTTPS://example.com/", true),
        (" myapp://product/42 ", false),
        ("com.example.app://callback", false),
        ("market://details?id=com.example", false),
        ("itms-apps://apps.apple.com/app/id1", false),
        ("intent://scan/#Intent;scheme=zxing;package=com.example;end", false),
        ("intent://x#Intent;scheme=https;S.browser_fallback_url=https%3A%2F%2Fe.com;end", false),
    ] {
        let url = parse(good).unwrap();
        assert_eq!((url.as_str(), url.is_web()), (good.trim(), is_web));
    }
}

#[test]
fn invalid_app_urls_are_rejected() {
    let long = format!("myapp://{}", "a".repeat(2_048));
    for bad in [
        "",
        "myapp",
        "://x",
        "1app://x",
        "myapp:",
        "myapp://",
        "myapp:x",
        "my app://x",
        "javascript:alert(1)",
        "javascript://x/%0aalert(1)",
        "JaVaScRiPt://x/%0aalert(1)",
        "java\tscript://x",
        "\u{1}javascript://x",
        "vbscript://x",
        "data://text/html,x",
        "data:text/html,x",
        "file:///etc/passwd",
        "blob://x",
        "about://blank",
        "view-source://x",
        "http://example.com",
        "https://sho.rt/x",
        "https://user:password@example.com/",
        "myapp://x\r\nSet-Cookie:a=b",
        "myapp://ä",
        "intent://x",
        "intent://x#Intent;scheme=javascript;end",
        "intent://x#Intent;scheme=%6Aavascript;end",
        "intent://x#Intent;scheme=a;end#Intent;scheme=javascript;end",
        "intent://x#Intent;SEL;action=a;end",
        "intent://x#Intent;S.browser_fallback_url=javascript:alert(1);end",
        "intent://x#Intent;S.browser_fallback_url=https%3A%2F%2Fsho.rt%2Fx;end",
        &long,
    ] {
        assert!(parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn an_app_belongs_to_its_operating_system() {
    let rules = accept(json!([{"target": {
        "destination": "https://example.com",
        "ios_url": "myapp://x",
        "android_store_url": "market://details?id=a"
    }}]))
    .unwrap();
    let app = &rules.as_slice()[0].target.app;
    assert_eq!(app.on("iOS").and_then(|app| app.url.as_ref()).unwrap().as_str(), "myapp://x");
    assert!(app.on("Android").is_some_and(|app| app.url.is_none() && app.store.is_some()));
    assert_eq!(app.on("Windows"), None);
}
