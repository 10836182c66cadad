use http::HeaderValue;
use proptest::prelude::*;

use super::*;
use crate::domain::click::{BotReason, Device};

const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0";

fn agents() -> UserAgentCache {
    UserAgentCache::with_capacity(BotList::from_json(r#"[{"pattern": "examplebot"}]"#).unwrap(), 64)
}

fn header(bytes: &[u8]) -> Vec<u8> {
    HeaderValue::from_bytes(bytes).unwrap().as_bytes().to_vec()
}

#[test]
fn an_agent_is_classified_once() {
    let agents = agents();
    let firefox = header(FIREFOX.as_bytes());
    let first = agents.of(Some(&firefox));
    assert!(Arc::ptr_eq(&first, &agents.of(Some(&firefox))));
    assert_eq!(&*first.classification.browser, "Firefox");
}

#[test]
fn the_id_is_a_prefix_of_the_sha_256_of_the_text() {
    // printf '' | sha256sum; printf examplebot | sha256sum
    assert_eq!(id_of(""), 0xe3b0_c442_98fc_1c14);
    let digest = Sha256::digest("examplebot");
    assert_eq!(agents().of(Some(&header(b"examplebot"))).id.to_be_bytes(), digest[..8]);
}

#[test]
fn absent_and_blank_headers_are_classified_as_no_agent() {
    let agents = agents();
    for agent in [agents.of(None), agents.of(Some(&header(b""))), agents.of(Some(&header(b" \t ")))]
    {
        assert_eq!(agent.classification.bot, BotReason::NoAgent);
        assert_eq!(agent.classification.device, Device::Bot);
        assert_eq!(agent.id, id_of(""));
    }
}

#[test]
fn a_long_agent_is_truncated_between_characters() {
    for (bytes, len) in [
        ("x".repeat(5000).into_bytes(), 1024),
        (format!("{}é{}", "x".repeat(1023), "y".repeat(99)).into_bytes(), 1023),
        (vec![0xff; 5000], 1023),
        (b"x\xffy".to_vec(), 5),
        (FIREFOX.as_bytes().to_vec(), FIREFOX.len()),
    ] {
        assert_eq!(text_of(&header(&bytes)).len(), len);
    }
    assert_eq!(text_of(&header(b" caf\xe9 ")), "caf\u{fffd}");
    assert_eq!(text_of(&header(b"caf\xe9 x")), "caf\u{fffd} x");
}

#[test]
fn the_click_part_is_the_encoding_of_the_agents_fields() {
    let agent = agents().of(Some(&header(b"examplebot/1.0 (like Firefox/128.0)")));
    let click = Click::decode(&*agent.click_part).unwrap();
    let rest = Click {
        agent: agent.id,
        device: Device::Bot.into(),
        bot: BotReason::Pattern.into(),
        ..Click::default()
    };
    assert_eq!(
        click,
        Click {
            browser: click.browser.clone(),
            browser_version: click.browser_version.clone(),
            ..rest
        }
    );
    assert_eq!(click.browser, "Firefox");
}

#[test]
fn the_record_is_pending_until_it_is_logged() {
    let agents = agents();
    let agent = agents.of(Some(&header(b"examplebot")));
    let seen = agent.pending_record(7).unwrap();
    assert_eq!((seen.id, seen.at_ms), (agent.id, 7));
    assert_eq!((seen.user_agent.as_str(), seen.bot_pattern.as_str()), ("examplebot", "examplebot"));
    assert!(agent.pending_record(8).is_some(), "not logged yet");
    agent.mark_logged();
    assert_eq!(agents.of(Some(&header(b"examplebot"))).pending_record(9), None);
}

#[test]
fn an_evicted_agent_is_logged_again() {
    let agents = agents();
    let crowd: Vec<_> =
        (0..1000).map(|number| header(format!("crowd/{number}").as_bytes())).collect();
    for one in &crowd {
        agents.of(Some(one)).mark_logged();
    }
    assert!(agents.cache.len() <= 64);
    let again = crowd.iter().filter(|one| agents.of(Some(one)).pending_record(0).is_some());
    assert!(again.count() >= 900);
}

proptest! {
    #[test]
    fn arbitrary_headers_do_not_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..1500),
        spelt in "(Mozilla|Android|iPhone|Windows|Opera|Chrome/|MSIE |Version/|[();/. 0-9a-z]){0,12}",
    ) {
        let agents = agents();
        for text in [bytes, spelt.into_bytes()] {
            if let Ok(value) = HeaderValue::from_bytes(&text) {
                let agent = agents.of(Some(value.as_bytes()));
                prop_assert!(agent.text.len() <= USER_AGENT_LIMIT);
                prop_assert!(Click::decode(&*agent.click_part).is_ok());
            }
        }
    }
}
