//! The packages that the service uses: the engine, the country database, the crawler list. Those
//! in the cache are used from the start; the others are fetched in the background, in parallel, and
//! taken into use when they are there.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context;
use jiff::{SignedDuration, Timestamp};

use super::analytics::AnalyticsSide;
use super::locations::{Location, Locations};
use super::shown;
use crate::clicks::{BotList, Recorder};
use crate::engine::{self, FetchError, FetchOptions, Package, Progress};
use crate::http::health::{Download, Downloads};
use crate::log::{Backoff, Schedule, StopFlag, Worker};
use crate::projections::clickhouse::ClickHouse;

/// The delays after failed fetches.
const RETRY: Backoff = Backoff::new(Duration::from_secs(2), Duration::from_secs(600));
/// How often to check whether something else has filled the cache.
const CACHE_POLL: Duration = Duration::from_millis(500);
/// How long a fetch may take to end at shutdown.
const STOP_LIMIT: Duration = Duration::from_millis(500);

/// A package to fetch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Item {
    Engine,
    GeoDb,
    CrawlerList,
}

impl Item {
    const fn name(self) -> &'static str {
        match self {
            Self::Engine => "the embedded ClickHouse",
            Self::GeoDb => "the country database",
            Self::CrawlerList => "the crawler list",
        }
    }

    /// What the service does without it.
    const fn meanwhile(self) -> &'static str {
        match self {
            Self::Engine => "clicks are logged, and counted when it is there",
            Self::GeoDb => "the locations of visitors are unknown",
            Self::CrawlerList => "crawlers are recognized by the list in the program",
        }
    }
}

/// The running fetches, and their states.
pub struct Fetches {
    /// For `/readyz`.
    pub states: Arc<States>,
    workers: Vec<Worker>,
}

impl Fetches {
    /// Starts to fetch what is missing.
    pub fn start(
        locations: &Locations,
        recorder: &Arc<Recorder>,
        analytics: &AnalyticsSide,
    ) -> anyhow::Result<Self> {
        let Locations { engine, geo_db, crawler_list } = locations;
        let downloads = Downloads {
            engine: engine.state(),
            geo_db: geo_db.state(),
            crawler_list: crawler_list.state(),
        };
        let clickhouse = analytics.clickhouse.clone();
        let states = Arc::new(States { downloads: Mutex::new(downloads), clickhouse });
        let mut workers = Vec::new();
        let mut fetch = |item, location: &Location, package, take: Take| {
            if location.is_missing() {
                let is_forced = matches!(location, Location::Damaged);
                let fetch = Fetch::new(item, package, is_forced, take, Arc::clone(&states));
                workers.push(fetch.start()?);
            }
            anyhow::Ok(())
        };
        if let Some(embedded) = analytics.engine.clone().filter(|_| engine.is_missing()) {
            let take = move |path: &Path| embedded.start(path);
            fetch(Item::Engine, engine, Package::engine()?, Box::new(take))?;
        }
        let located = Arc::clone(recorder);
        let take = move |path: &Path| Ok(located.enricher.geo.open(path)?);
        fetch(Item::GeoDb, geo_db, Package::countries(), Box::new(take))?;
        let agents = Arc::clone(&recorder.enricher.agents);
        let take = move |path: &Path| {
            agents.replace(BotList::load(path)?);
            Ok(())
        };
        fetch(Item::CrawlerList, crawler_list, Package::crawlers(), Box::new(take))?;
        Ok(Self { states, workers })
    }

    /// Ends the running fetches.
    pub fn stop(self) {
        for worker in self.workers {
            worker.stop_within(STOP_LIMIT);
        }
    }
}

/// The states of the downloads.
pub struct States {
    downloads: Mutex<Downloads>,
    clickhouse: ClickHouse,
}

impl States {
    /// For `/readyz`.
    pub fn report(&self) -> Downloads {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Downloads> {
        self.downloads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets a state; `absence` is what answers without analytics say.
    fn set(&self, item: Item, state: Download, absence: Option<String>) {
        let mut downloads = self.lock();
        match item {
            Item::Engine => {
                self.clickhouse.status.set_absence(absence);
                downloads.engine = state;
            }
            Item::GeoDb => downloads.geo_db = state,
            Item::CrawlerList => downloads.crawler_list = state,
        }
    }
}

/// Takes a file into use.
type Take = Box<dyn FnMut(&Path) -> anyhow::Result<()> + Send>;

/// The fetch of one package, repeated until it succeeds.
struct Fetch {
    item: Item,
    package: Package,
    /// Whether to replace what is in the cache.
    is_forced: bool,
    is_done: bool,
    take: Take,
    states: Arc<States>,
    retry: Backoff,
    /// When the next try is due.
    due: Instant,
}

impl Fetch {
    fn new(item: Item, package: Package, is_forced: bool, take: Take, states: Arc<States>) -> Self {
        let (is_done, retry, due) = (false, RETRY, Instant::now());
        Self { item, package, is_forced, is_done, take, states, retry, due }
    }

    fn start(mut self) -> anyhow::Result<Worker> {
        let megabytes = self.package.packed_bytes.div_ceil(1_000_000);
        let (item, meanwhile) = (self.item.name(), self.item.meanwhile());
        let package = self.package.name;
        tracing::info!(
            package,
            megabytes,
            "fetching {item} in the background; until then {meanwhile}"
        );
        self.set_fetching();
        // npm has the priority of this thread.
        let schedule = Schedule { is_low_priority: true, ..Schedule::every(CACHE_POLL) };
        let worker = Worker::start("fetch", schedule, move |stop| {
            self.step(stop);
            Ok::<_, Infallible>(())
        });
        Ok(worker?)
    }

    /// Tries once, if it is due or something else has filled the cache.
    fn step(&mut self, stop: &StopFlag) {
        if self.is_done || stop.is_set() || !(Instant::now() >= self.due || self.is_cached()) {
            return;
        }
        self.set_fetching();
        match self.attempt(stop) {
            Ok(path) => {
                self.is_done = true;
                self.states.set(self.item, Download::of("ready"), None);
                let path = shown(&path);
                tracing::info!(package = self.package.name, path, "{} is in use", self.item.name());
            }
            Err(_) if stop.is_set() => {}
            Err(error) => self.failed(&error),
        }
    }

    fn is_cached(&self) -> bool {
        let cache = engine::default_cache_dir().ok();
        !self.is_forced
            && cache.is_some_and(|cache| engine::cached(&self.package, &cache).is_some())
    }

    fn attempt(&mut self, stop: &StopFlag) -> anyhow::Result<PathBuf> {
        let stop = stop.clone();
        let options = FetchOptions {
            is_forced: self.is_forced,
            should_stop: Box::new(move || stop.is_set()),
            ..FetchOptions::new(Progress::Logged)
        };
        let path = engine::fetch_as(&self.package, &engine::default_cache_dir()?, options)?;
        let taken = (self.take)(&path).with_context(|| shown(&path));
        // A file that cannot be used would stay in the cache.
        self.is_forced = taken.is_err();
        taken.map(|()| path)
    }

    fn set_fetching(&self) {
        let absence = "Analytics are not available yet: the embedded ClickHouse is being \
                       downloaded. Clicks are kept and will be counted.";
        self.states.set(self.item, Download::of("fetching"), Some(absence.to_owned()));
    }

    fn failed(&mut self, error: &anyhow::Error) {
        let delay = self.retry.next_delay();
        self.due = Instant::now() + delay;
        // The other lines are npm's stack trace.
        let text = format!("{error:#}");
        let reason = text.lines().next().unwrap_or_default().to_owned();
        let cause = match error.downcast_ref() {
            Some(FetchError::Npm { .. }) => "npm could not reach the registry, or was refused",
            Some(FetchError::NoNpm { .. }) => "npm is not installed",
            Some(FetchError::NoSpace { .. }) => "the disk is full",
            _ => "see the log",
        };
        let absence = format!(
            "Analytics are not available yet: the embedded ClickHouse could not be downloaded \
             ({cause}); the download is tried again. Clicks are kept and will be counted."
        );
        let next_try_at = Timestamp::now() + SignedDuration::try_from(delay).unwrap_or_default();
        tracing::warn!(
            package = self.package.name,
            reason,
            retry_s = delay.as_secs(),
            "could not fetch {}; trying again",
            self.item.name()
        );
        self.states.set(self.item, Download::failed(reason, next_try_at), Some(absence));
    }
}
