//! A cache of recent user agents: each is classified once and logged once.

use std::borrow::Cow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use prost::Message;
use quick_cache::sync::Cache;
use sha2::{Digest, Sha256};

use super::crawler_list::BotList;
use super::text::truncated;
use super::user_agent::Classification;
use crate::domain::click::{AgentSeen, Click};

/// Maximum length of a user agent, in bytes; the rest is ignored.
pub const USER_AGENT_LIMIT: usize = 1024;

/// Default capacity. An agent takes about 650 bytes.
pub const DEFAULT_CAPACITY: usize = 16_384;

/// A classified user agent.
pub struct Agent {
    /// The first eight bytes of the SHA-256 of the text, big endian.
    pub id: u64,
    text: Arc<str>,
    /// The classification.
    pub classification: Classification,
    /// The encoding of a [`Click`] with only the agent's fields.
    pub(super) click_part: Bytes,
    logged: AtomicBool,
}

impl Agent {
    fn new(text: Arc<str>, bots: &BotList) -> Self {
        let id = id_of(&text);
        let classification = Classification::of(&text, bots);
        let click_part = Click {
            agent: id,
            browser: classification.browser.to_string(),
            browser_version: classification.browser_version.to_string(),
            os: classification.os.to_string(),
            os_version: classification.os_version.to_string(),
            device: classification.device.into(),
            bot: classification.bot.into(),
            ..Click::default()
        };
        let click_part = click_part.encode_to_vec().into();
        Self { id, text, classification, click_part, logged: AtomicBool::new(false) }
    }

    /// The record that has to be in the log before a click of the agent; `None` after
    /// [`Agent::mark_logged`]. Threads that see a new agent concurrently each get one: the log may
    /// have it more than once, but always before their clicks.
    pub(super) fn pending_record(&self, at_ms: u64) -> Option<AgentSeen> {
        if self.logged.load(Ordering::Acquire) {
            return None;
        }
        let Classification { browser, browser_version, os, os_version, device, bot, bot_pattern } =
            &self.classification;
        Some(AgentSeen {
            id: self.id,
            user_agent: self.text.to_string(),
            browser: browser.to_string(),
            browser_version: browser_version.to_string(),
            os: os.to_string(),
            os_version: os_version.to_string(),
            device: (*device).into(),
            bot: (*bot).into(),
            bot_pattern: bot_pattern.to_string(),
            at_ms,
        })
    }

    /// Marks the record as logged: from now on clicks may be appended without it.
    pub(super) fn mark_logged(&self) {
        self.logged.store(true, Ordering::Release);
    }
}

/// The crawler list, and a bounded cache of agents classified with it.
pub struct UserAgentCache {
    /// Held for reading while an agent is classified and cached, so that no agent classified with
    /// the old list is cached after a replacement.
    bots: RwLock<BotList>,
    cache: Cache<Arc<str>, Arc<Agent>>,
}

impl UserAgentCache {
    /// Creates a cache of [`DEFAULT_CAPACITY`] agents.
    pub fn new(bots: BotList) -> Self {
        Self::with_capacity(bots, DEFAULT_CAPACITY)
    }

    /// Creates a cache of `capacity` agents.
    pub fn with_capacity(bots: BotList, capacity: usize) -> Self {
        Self { bots: RwLock::new(bots), cache: Cache::new(capacity) }
    }

    /// The agent of a `User-Agent` header, classified if it is not cached.
    pub fn of(&self, header: Option<&[u8]>) -> Arc<Agent> {
        let text = header.map(text_of).unwrap_or_default();
        if let Some(agent) = self.cache.get(&*text) {
            return agent;
        }
        // Two threads may get here with the same text. The last agent stays in the cache, and both
        // get logged, since each keeps track of that itself.
        let text: Arc<str> = text.into();
        let bots = self.bots.read().unwrap_or_else(PoisonError::into_inner);
        let agent = Arc::new(Agent::new(Arc::clone(&text), &bots));
        self.cache.insert(text, Arc::clone(&agent));
        agent
    }

    /// Replaces the crawler list and clears the cache.
    pub fn replace(&self, bots: BotList) {
        let mut current = self.bots.write().unwrap_or_else(PoisonError::into_inner);
        *current = bots;
        self.cache.clear();
    }

    /// Classifies a user agent without caching it.
    pub fn classify(&self, user_agent: &str) -> Classification {
        let bots = self.bots.read().unwrap_or_else(PoisonError::into_inner);
        Classification::of(user_agent, &bots)
    }
}

/// A header's trimmed text, with invalid UTF-8 replaced, truncated to [`USER_AGENT_LIMIT`].
fn text_of(header: &[u8]) -> Cow<'_, str> {
    let bytes = header.trim_ascii();
    if bytes.len() <= USER_AGENT_LIMIT
        && let Ok(text) = str::from_utf8(bytes)
    {
        return Cow::Borrowed(text);
    }
    Cow::Owned(truncated(&String::from_utf8_lossy(bytes), USER_AGENT_LIMIT).to_owned())
}

fn id_of(user_agent: &str) -> u64 {
    let digest = Sha256::digest(user_agent);
    digest.iter().take(8).fold(0, |id, byte| id << 8 | u64::from(*byte))
}

#[cfg(test)]
#[path = "user_agent_cache_tests.rs"]
mod tests;
