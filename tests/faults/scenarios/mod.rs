//! Fault scenarios for a running slugline, each with a configurable number of rounds. A scenario
//! panics with the promise that was broken.

pub mod chaos;
pub mod claims;
pub mod disk;
pub mod eio;
pub mod engine;
pub mod history;
pub mod idempotency;
pub mod kill;
pub mod linear;
pub mod proxy;
pub mod removals;

use std::collections::BTreeMap;
use std::sync::Mutex;

/// The counts of a scenario.
#[derive(Debug, Default)]
pub struct Counts(Mutex<BTreeMap<&'static str, u64>>);

impl Counts {
    pub fn add(&self, what: &'static str, count: u64) {
        *self.0.lock().unwrap().entry(what).or_default() += count;
    }

    pub fn get(&self, what: &str) -> u64 {
        self.0.lock().unwrap().get(what).copied().unwrap_or(0)
    }

    pub fn rows(&self) -> Vec<(&'static str, u64)> {
        self.0.lock().unwrap().iter().map(|(what, count)| (*what, *count)).collect()
    }
}

/// The records of a log, read by the library while another process writes it.
pub mod log {
    use std::collections::BTreeSet;
    use std::path::Path;
    use std::sync::Arc;

    use super::Counts;
    use prost::Message;
    use slugline::domain::click::{Click, kind};
    use slugline::log::{DiskStorage, LogView, Reader};

    /// Reads the clicks of a log, each once, as it grows.
    pub struct Clicks(Reader);

    impl Clicks {
        pub fn of(data: &Path) -> Self {
            let view = LogView::open(Arc::new(DiskStorage), &data.join("log/clicks")).unwrap();
            Self(view.read_from(0))
        }

        /// The pages that the clicks since the last look came from.
        pub fn referrers(&mut self) -> Vec<String> {
            let mut pages = Vec::new();
            while let Some(record) = self.0.next_record().unwrap() {
                if record.kind == kind::CLICK {
                    pages.push(Click::decode(record.payload.as_ref()).unwrap().referrer_url);
                }
            }
            pages
        }
    }

    /// Checks that acknowledged visits are not lost, duplicated or invented.
    pub fn check_visits(
        found: &[String],
        answered: &BTreeSet<String>,
        sent: &BTreeSet<String>,
        counts: &Counts,
    ) {
        let distinct: BTreeSet<_> = found.iter().cloned().collect();
        let lost = answered.difference(&distinct).count();
        let doubled = found.len() - distinct.len();
        let invented = distinct.difference(sent).count();
        counts.add("clicks lost", lost as u64);
        counts.add("clicks doubled", doubled as u64);
        counts.add("clicks invented", invented as u64);
        assert_eq!((lost, doubled, invented), (0, 0, 0), "clicks lost, doubled, invented");
    }
}
