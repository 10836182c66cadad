//! The compiled crawler list compared with matching its patterns one by one.

use std::fmt::Write;
use std::sync::LazyLock;

use proptest::prelude::*;
use regex::bytes::{Regex, RegexBuilder, RegexSet, RegexSetBuilder};
use regex_syntax::hir::HirKind;
use serde_json::json;
use slugline::clicks::{BotList, USER_AGENT_LIMIT};
use slugline::engine::Package;

use crate::user_agent_corpora::{Crawler, browsers, fetched};

/// The cache size of the automata: large enough for a fast test.
const REMEMBERED_LIMIT: usize = 256 << 20;

/// Patterns as other lists may have them: classes, anchors, nothing that each match has, texts
/// that begin or contain each other.
const ODD: &[&str] = &[
    "(?i)crawl(er|ing)",
    "(?i-u:SPIDER)[0-9]{1,3}",
    "^bot",
    "bot$",
    "\\bbot\\b",
    "(^| )curl/",
    "W3",
    "b",
    "[0-9]{4}-[0-9]{2}",
    "^$",
    "^.{3}$",
    "(feed|)reader$",
    ".*monitor.*",
    "reader",
    "feedreader",
    "feedreader/2",
    "eedrea",
    "feed reader",
    "lib(www|curl)?-perl",
    "Spider[\\s\\S]*spider\\.com",
    "a.c",
    "x*y+z?",
    "[^ -~]bot",
];

/// Finds the patterns without any short cut.
struct Oracle {
    plain: RegexSet,
    each_plain: Vec<Regex>,
    others: RegexSet,
}

impl Oracle {
    fn new<'a>(patterns: impl Iterator<Item = &'a str>) -> Self {
        let (plain, others): (Vec<&str>, Vec<&str>) = patterns.partition(|pattern| {
            let parsed = regex_syntax::parse(pattern).unwrap();
            matches!(parsed.kind(), HirKind::Literal(text) if text.0.len() >= 3)
        });
        let set = |patterns: &[&str]| {
            let mut set = RegexSetBuilder::new(patterns);
            set.unicode(false).size_limit(REMEMBERED_LIMIT).dfa_size_limit(REMEMBERED_LIMIT);
            set.build().unwrap()
        };
        let one = |pattern: &&str| RegexBuilder::new(pattern).unicode(false).build().unwrap();
        Self {
            plain: set(&plain),
            each_plain: plain.iter().map(one).collect(),
            others: set(&others),
        }
    }

    fn matches(&self, user_agent: &str) -> Option<&str> {
        let text = user_agent.as_bytes();
        let begin = |index: usize| Some((self.each_plain[index].find(text)?.start(), index));
        match self.plain.matches(text).iter().filter_map(begin).min() {
            Some((_, index)) => Some(&self.plain.patterns()[index]),
            None => Some(&self.others.patterns()[self.others.matches(text).iter().next()?]),
        }
    }
}

/// A list, the oracle of it, and texts to make user agents of.
struct Compared {
    list: BotList,
    oracle: Oracle,
    pieces: Vec<String>,
}

impl Compared {
    fn new(json: &str) -> Self {
        let entries: Vec<Crawler> = serde_json::from_str(json).unwrap();
        let mut pieces: Vec<String> = Vec::new();
        for Crawler { pattern, instances } in &entries {
            // What is left of an expression is near what it matches.
            pieces.push(pattern.replace(['\\', '^', '$', '(', ')', '[', ']'], ""));
            pieces.extend(pattern.split(['(', ')', '|', '[', ']', '$', '^']).map(str::to_owned));
            pieces.extend(instances.iter().cloned());
        }
        pieces.retain(|piece| !piece.is_empty());
        let oracle = Oracle::new(entries.iter().map(|entry| &*entry.pattern));
        Self { list: BotList::from_json(json).unwrap(), oracle, pieces }
    }

    #[track_caller]
    fn agree(&self, user_agent: &str) {
        assert_eq!(self.list.matches(user_agent), self.oracle.matches(user_agent), "{user_agent}");
    }

    /// Pieces, or parts of them, with something between, as long as a user agent may be.
    fn made_of(&self, parts: &[(prop::sample::Index, usize, usize, String)]) -> String {
        let mut made = String::new();
        for (piece, skipped, dropped, between) in parts {
            let piece = &self.pieces[piece.index(self.pieces.len())];
            let length = piece.chars().count().saturating_sub(skipped + dropped);
            let part = piece.chars().skip(*skipped).take(length).collect::<String>();
            write!(made, "{part}{between}").unwrap();
        }
        while made.len() > USER_AGENT_LIMIT {
            made.pop();
        }
        made
    }
}

static FETCHED: LazyLock<Compared> =
    LazyLock::new(|| Compared::new(&fetched(&Package::crawlers())));

static ODDLY: LazyLock<Compared> = LazyLock::new(|| {
    let entries: Vec<_> = ODD.iter().map(|pattern| json!({ "pattern": pattern })).collect();
    Compared::new(&json!(entries).to_string())
});

fn parts() -> impl Strategy<Value = Vec<(prop::sample::Index, usize, usize, String)>> {
    let few = || prop_oneof![3 => Just(0), 1 => 0..4_usize];
    let between = prop_oneof!["", " ", "[ -~]{0,3}", "\\PC{0,2}", "[a-c0-9A-C]{0,6}"];
    prop::collection::vec((any::<prop::sample::Index>(), few(), few(), between), 0..12)
}

#[test]
fn crawlers_and_browsers_are_known_by_the_same_pattern_as_without_short_cuts() {
    let crawlers: Vec<Crawler> = serde_json::from_str(&fetched(&Package::crawlers())).unwrap();
    let instances = crawlers.iter().flat_map(|crawler| &crawler.instances);
    assert!(instances.clone().count() > 1_000);
    instances.for_each(|instance| FETCHED.agree(instance));
    for browser in browsers() {
        FETCHED.agree(&browser.user_agent);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn texts_near_the_patterns_are_known_by_the_same_one(parts in parts()) {
        FETCHED.agree(&FETCHED.made_of(&parts));
        ODDLY.agree(&ODDLY.made_of(&parts));
    }

    #[test]
    fn any_text_is_known_by_the_same_pattern(text in "\\PC{0,200}", short in "[a-f0-9 /bot]{0,12}") {
        for text in [text, short] {
            FETCHED.agree(&text);
            ODDLY.agree(&text);
        }
    }
}
