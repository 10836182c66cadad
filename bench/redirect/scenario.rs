//! The scenarios: one row of the results each.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use clap::ValueEnum;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::agents::Profile;
use crate::slugline::Api;
use crate::traffic::{LinkKind, Traffic};

/// Requests of [`Scenario::Many`]: enough that those who come are not all remembered.
const MANY_REQUESTS: usize = 1 << 19;
/// Links of [`Scenario::Sustained`].
pub const SUSTAINED_LINKS: u32 = 3_000;

/// A load with its background work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Scenario {
    /// Visits of plain links.
    Plain,
    /// Visits of links with five rules each.
    Rules,
    /// Each visit with a new user agent.
    Unseen,
    /// A hundred analytics queries are sent concurrently and repeatedly.
    Batch,
    /// Visits of plain links, of which there are many more.
    Many,
    /// Visits of few links at saturation, for the whole phase, beside changes and
    /// questions. Measured only where it is named.
    Sustained,
}

impl Scenario {
    /// In the order in which they are measured: links are only ever added.
    pub const ALL: [Self; 6] =
        [Self::Plain, Self::Rules, Self::Unseen, Self::Batch, Self::Many, Self::Sustained];

    /// Whether it is measured by default.
    pub const fn is_default(self) -> bool {
        !matches!(self, Self::Sustained)
    }

    /// The name in tables and messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Rules => "five rules",
            Self::Unseen => "agents never seen",
            Self::Batch => "beside batches",
            Self::Many => "many links",
            Self::Sustained => "sustained",
        }
    }

    /// The kind of links.
    pub const fn kind(self) -> LinkKind {
        match self {
            Self::Rules => LinkKind::Ruled,
            _ => LinkKind::Plain,
        }
    }

    /// Its requests.
    pub fn traffic(self, links: u32, profiles: &[Profile]) -> Traffic {
        match self {
            Self::Unseen => Traffic::render_unseen(links, profiles),
            Self::Many => Traffic::render_many(MANY_REQUESTS, links, profiles),
            _ => Traffic::render(self.kind(), links, profiles),
        }
    }

    /// The background work; it ends when dropped.
    pub fn beside(self, api: &Api) -> Option<Asking> {
        (self == Self::Batch).then(|| Asking::start(api.clone()))
    }
}

/// A client that repeatedly sends a batch of analytics queries.
#[derive(Debug)]
pub struct Asking {
    task: JoinHandle<()>,
    answered: Arc<AtomicU64>,
}

impl Asking {
    fn start(api: Api) -> Self {
        let answered = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&answered);
        let task = tokio::spawn(async move {
            loop {
                match ask(&api).await {
                    Ok(()) => drop(count.fetch_add(1, Ordering::Relaxed)),
                    Err(error) => {
                        eprintln!("a batch failed: {error:#}");
                        tokio::time::sleep(Duration::from_secs(1)).await;
                    }
                }
            }
        });
        Self { task, answered }
    }

    /// The number of answered batches.
    pub fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn ask(api: &Api) -> anyhow::Result<()> {
    let answer = api.post("/api/v1/analytics/batch", &questions()).await?;
    let items = answer["data"].as_array().map(Vec::as_slice).unwrap_or_default();
    let failed = items.iter().find(|item| item["status"] != 200);
    anyhow::ensure!(failed.is_none(), "a question failed: {failed:?}");
    anyhow::ensure!(!items.is_empty(), "a batch without answers: {answer}");
    Ok(())
}

/// A hundred questions, no two the same.
fn questions() -> Value {
    let dimensions = [
        "country",
        "city",
        "device",
        "browser",
        "os",
        "referrer",
        "language",
        "utm_source",
        "link",
        "time",
    ];
    let ranges = ["today", "7d", "30d", "mtd", "ytd"];
    let mut queries = Vec::new();
    for dimension in dimensions {
        for range in ranges {
            for metrics in [vec!["clicks"], vec!["clicks", "unique_visitors"]] {
                let dimensions = [dimension];
                let query = json!({
                    "metrics": metrics, "dimensions": dimensions, "date_range": range,
                });
                queries.push(query);
            }
        }
    }
    json!({ "queries": queries })
}
