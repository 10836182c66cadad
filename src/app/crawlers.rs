//! Data files, including the crawler list, which is reloaded before clicks are reclassified.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;

use anyhow::Context;

use super::shown;
use crate::clicks::{BotList, Classification, UserAgentCache};
use crate::config::Source;
use crate::engine::{self, Package, Progress};
use crate::projections::clickhouse::{UserAgentClass, UserAgentClassifier};

/// The path of a data file, fetched if necessary; `None` if it is disabled.
pub fn data_file(source: &Source, package: &Package) -> anyhow::Result<Option<PathBuf>> {
    Ok(match source {
        Source::File(path) => Some(path.clone()),
        Source::Nothing => None,
        Source::Fetched => {
            Some(engine::fetch(package, &engine::default_cache_dir()?, Progress::Shown)?)
        }
    })
}

/// A list that is being compiled on its own thread, because that takes a while.
pub struct Crawlers(Option<JoinHandle<anyhow::Result<BotList>>>);

/// Starts loading the list.
pub fn read_crawlers(source: &Source) -> anyhow::Result<Crawlers> {
    let path = data_file(source, &Package::crawlers())?;
    Ok(Crawlers(path.map(|path| std::thread::spawn(move || load(&path)))))
}

fn load(path: &PathBuf) -> anyhow::Result<BotList> {
    BotList::load(path).with_context(|| shown(Some(path)))
}

impl Crawlers {
    /// The compiled list.
    pub fn join(self) -> anyhow::Result<BotList> {
        let Some(thread) = self.0 else { return Ok(BotList::default()) };
        thread.join().map_err(|_| anyhow::anyhow!("reading the crawler list panicked"))?
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
        load(&path)
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
