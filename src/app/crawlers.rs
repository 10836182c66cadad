//! The crawler list, which is reloaded before clicks are reclassified.

use std::sync::Arc;
use std::thread::JoinHandle;

use anyhow::Context;

use super::locations::Location;
use super::shown;
use crate::clicks::{BotList, Classification, UserAgentCache};
use crate::config::Source;
use crate::engine::{self, Package, Progress};
use crate::projections::clickhouse::{UserAgentClass, UserAgentClassifier};

/// A list that is being compiled on its own thread, because that takes a while.
pub struct Crawlers(JoinHandle<anyhow::Result<(Location, BotList)>>);

impl Crawlers {
    /// Starts to read the list: the one in the program, if none is there yet.
    pub fn read(source: &Source) -> Self {
        let mut location = Location::find(source, &Package::crawlers());
        Self(std::thread::spawn(move || {
            let list = match location.open(|path| Ok(BotList::load(path)?))? {
                Some(list) => list,
                None if matches!(location, Location::Disabled) => BotList::default(),
                None => BotList::bundled()?,
            };
            Ok((location, list))
        }))
    }

    /// Where the list is, and the compiled list.
    pub fn join(self) -> anyhow::Result<(Location, BotList)> {
        self.0.join().map_err(|_| anyhow::anyhow!("reading the crawler list panicked"))?
    }
}

/// Classifies user agents with the crawler list.
pub struct CrawlerClassifier {
    source: Source,
    agents: Arc<UserAgentCache>,
}

impl CrawlerClassifier {
    /// Creates a classifier with a list from this source. A reload also applies to visits.
    pub const fn new(source: Source, agents: Arc<UserAgentCache>) -> Self {
        Self { source, agents }
    }

    fn newest(&self) -> anyhow::Result<BotList> {
        let path = match &self.source {
            Source::Nothing => return Ok(BotList::default()),
            Source::File(path) => path.clone(),
            Source::Fetched => {
                let cache = engine::default_cache_dir()?;
                engine::refresh(&Package::crawlers(), &cache, Progress::Hidden)?
            }
        };
        BotList::load(&path).with_context(|| shown(&path))
    }
}

impl UserAgentClassifier for CrawlerClassifier {
    fn reload(&self) -> Result<(), String> {
        let bots = self.newest().map_err(|error| format!("{error:#}"))?;
        self.agents.replace(bots);
        Ok(())
    }

    fn classify(&self, user_agent: &str) -> UserAgentClass {
        let Classification { device, bot, bot_pattern, .. } = self.agents.classify(user_agent);
        UserAgentClass { device, bot, bot_pattern: bot_pattern.into() }
    }
}
