//! The classification of user agents, tested with all known crawlers and browsers.

use std::collections::BTreeMap;
use std::fs;

use serde::Deserialize;
use slugline::clicks::{BotList, Classification};
use slugline::domain::click::{BotReason, Device};
use slugline::engine::{Entry, Package, Progress, default_cache_dir, fetch};

/// How many of the browsers, the most common first, are taken.
const BROWSERS: usize = 10_000;

#[derive(Deserialize)]
pub struct Crawler {
    pub pattern: String,
    #[serde(default)]
    pub instances: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Browser {
    pub user_agent: String,
    device_category: String,
}

pub fn fetched(package: &Package) -> String {
    let path = fetch(package, &default_cache_dir().unwrap(), Progress::Shown).unwrap();
    fs::read_to_string(path).unwrap()
}

/// Browsers as they were met on the web; a fixed release, so that two runs see the same.
pub fn browsers() -> Vec<Browser> {
    let corpus = Package {
        name: "user-agents",
        version: Some("2.1.198"),
        entry: Entry::Named("user-agents.json"),
        integrity: None,
        packed_bytes: 1_000_000,
        unpacked_bytes: 6_000_000,
        hint: "run the tests where npm and its registry are",
    };
    let mut browsers: Vec<Browser> = serde_json::from_str(&fetched(&corpus)).unwrap();
    browsers.truncate(BROWSERS);
    browsers
}

#[test]
fn every_known_crawler_is_marked() {
    let list = fetched(&Package::crawlers());
    let crawlers: Vec<Crawler> = serde_json::from_str(&list).unwrap();
    let bots = BotList::from_json(&list).unwrap();
    let mut marked: BTreeMap<&str, usize> = BTreeMap::new();
    let mut missed = Vec::new();
    for crawler in &crawlers {
        for instance in &crawler.instances {
            let found = Classification::of(instance, &bots);
            if found.bot == BotReason::Human || found.device != Device::Bot {
                missed.push(format!("{}: {instance}", crawler.pattern));
            }
            *marked.entry(found.bot.as_str()).or_default() += 1;
        }
    }
    let all: usize = marked.values().sum();
    println!(
        "| known crawlers | {all} |\n| not marked | {} |\n| marked by | {marked:?} |",
        missed.len()
    );
    assert!(all > 1_000, "{all} instances are not the corpus");
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

#[test]
fn no_browser_is_taken_for_a_crawler() {
    let bots = BotList::from_json(&fetched(&Package::crawlers())).unwrap();
    let browsers = browsers();
    let mut wrong = Vec::new();
    for browser in &browsers {
        let found = Classification::of(&browser.user_agent, &bots);
        if found.bot != BotReason::Human {
            wrong.push(format!(
                "{} {}: {}",
                found.bot.as_str(),
                found.bot_pattern,
                browser.user_agent
            ));
        }
    }
    println!("| browsers | {} |\n| wrongly marked | {} |", browsers.len(), wrong.len());
    assert!(browsers.len() >= 9_000, "{} browsers are not the corpus", browsers.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn devices_are_recognised() {
    let bots = BotList::from_json(&fetched(&Package::crawlers())).unwrap();
    let mut table: BTreeMap<(String, &str), usize> = BTreeMap::new();
    let mut unlike = Vec::new();
    for Browser { user_agent, device_category } in browsers() {
        let found = Classification::of(&user_agent, &bots).device.as_str();
        if found != device_category {
            unlike.push(format!("{device_category} taken for {found}: {user_agent}"));
        }
        *table.entry((device_category, found)).or_default() += 1;
    }
    println!("| said | taken for | browsers |");
    for ((said, found), browsers) in &table {
        println!("| {said} | {found} | {browsers} |");
    }
    assert!(table.keys().any(|(said, _)| said == "tablet"), "the corpus has tablets");
    assert!(unlike.is_empty(), "{}", unlike.join("\n"));
}
