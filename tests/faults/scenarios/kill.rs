//! SIGKILL at random times under load: no acknowledged change or visit may be lost, duplicated or
//! invented.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use super::Counts;
use super::log::{Clicks, check_visits};
use crate::chance::Chance;
use crate::harness::{Link, Options, Server, TOKEN, client, slugline};

const WRITERS: u64 = 32;
const VISITORS: u64 = 4;
/// One round in this many runs with the engine.
const ENGINE_EVERY: u64 = 25;
/// The number of links of earlier rounds that are checked after each round.
const SAMPLE: usize = 60;

/// A link as its writer knows it: title and version, or deleted.
type State = Option<(String, u64)>;

/// The possible states of a link: one, or two if an answer is missing.
#[derive(Clone)]
struct Known {
    state: State,
    perhaps: Option<State>,
}

/// The expected links, by slug.
type Model = BTreeMap<String, Known>;

pub fn run(rounds: u64, seed: u64) -> Counts {
    let counts = Counts::default();
    let mut chance = Chance::new(seed);
    let first = Options::links_only().start();
    let (data, link) = (first.data.clone(), first.link());
    drop(first);
    let mut model = Model::new();
    let (sent, answered) = (Mutex::new(BTreeSet::new()), Mutex::new(BTreeSet::new()));
    let mut clicks = Clicks::of(&data.path());
    let mut found = Vec::new();
    for round in 0..rounds {
        let with_engine = round % ENGINE_EVERY == ENGINE_EVERY - 1;
        let options = if with_engine { Options::new() } else { Options::links_only() };
        let server = options.with_data(&data).start();
        let pause = Duration::from_millis(20 + chance.below(250));
        let load = Load { server: &server, link: &link, round, sent: &sent, answered: &answered };
        let touched = load.until_killed(&model, pause, &counts);
        drop(server);
        model.extend(touched.iter().cloned());

        let again = Options::links_only().with_data(&data).start();
        let touched = touched.iter().map(|(slug, _)| slug.clone());
        let old: Vec<_> = model.keys().cloned().collect();
        let old = (0..SAMPLE)
            .map(|_| old[usize::try_from(chance.below(old.len() as u64)).unwrap()].clone());
        for slug in touched.chain(old) {
            settle(&again, &slug, &mut model);
            counts.add("links looked at", 1);
        }
        let live = model.values().filter(|known| known.state.is_some()).count() as u64 + 1;
        let total = again.api().get("/links?limit=1").expect(200).json()["meta"]["total"].clone();
        assert_eq!(total, live, "round {round}: links that nobody asked for, or lost ones");
        drop(again);
        found.extend(clicks.referrers());
        check_visits(&found, &answered.lock().unwrap(), &sent.lock().unwrap(), &counts);
        counts.add("rounds (SIGKILL)", 1);
        if with_engine {
            let verified = slugline().arg("verify").arg("--data-dir").arg(data.path()).output();
            let verified = verified.unwrap();
            assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stderr));
            counts.add("log = ClickHouse", 1);
        }
    }
    let last = Options::links_only().with_data(&data).start();
    let every: Vec<_> = model.keys().cloned().collect();
    for slug in every {
        settle(&last, &slug, &mut model);
    }
    counts.add("visits answered", answered.lock().unwrap().len() as u64);
    counts.add("clicks in the log", found.len() as u64);
    counts
}

/// Compares a link with what its writer knows, and resolves what was cut off.
fn settle(server: &Server, slug: &str, model: &mut Model) {
    let answer = server.api().get(&format!("/links/{slug}"));
    let now: State = match answer.status {
        404 => None,
        _ => Some(state_of(&answer.expect(200).data())),
    };
    let known = model.get_mut(slug).unwrap();
    let is_known = now == known.state || known.perhaps.as_ref() == Some(&now);
    assert!(is_known, "{slug} is {now:?}, but was {:?} or {:?}", known.state, known.perhaps);
    *known = Known { state: now, perhaps: None };
}

fn state_of(data: &Value) -> (String, u64) {
    let title = data["title"].as_str().unwrap_or_default().to_owned();
    (title, data["version"].as_u64().unwrap())
}

struct Load<'a> {
    server: &'a Server,
    link: &'a Link,
    round: u64,
    sent: &'a Mutex<BTreeSet<String>>,
    answered: &'a Mutex<BTreeSet<String>>,
}

impl Load<'_> {
    /// Writes and visits from many threads, and kills the service after a pause. Returns what
    /// the writers know of the links that they touched.
    fn until_killed(
        &self,
        model: &Model,
        pause: Duration,
        counts: &Counts,
    ) -> Vec<(String, Known)> {
        let stop = AtomicBool::new(false);
        let changes = AtomicU64::new(0);
        let touched = std::thread::scope(|scope| {
            for visitor in 0..VISITORS {
                let stop = &stop;
                scope.spawn(move || self.visit(visitor, stop));
            }
            let writers: Vec<_> = (0..WRITERS)
                .map(|writer| {
                    let (stop, changes) = (&stop, &changes);
                    scope.spawn(move || self.write(writer, model, stop, changes))
                })
                .collect();
            std::thread::sleep(pause);
            self.server.signal(rustix::process::Signal::KILL);
            stop.store(true, Ordering::Relaxed);
            writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect()
        });
        counts.add("changes answered", changes.into_inner());
        touched
    }

    /// Visits with unique referrers, so that each click can be identified.
    fn visit(&self, visitor: u64, stop: &AtomicBool) {
        for number in 0.. {
            if stop.load(Ordering::Relaxed) {
                return;
            }
            let page = format!("https://visits.example/{}/{visitor}/{number}", self.round);
            self.sent.lock().unwrap().insert(page.clone());
            match self.server.visit(self.link).referrer(&page).try_send() {
                Ok(answer) => assert_eq!(answer.status, 302),
                Err(_) => return,
            }
            self.answered.lock().unwrap().insert(page);
        }
    }

    /// Creates, changes and deletes links that no other writer touches.
    fn write(
        &self,
        writer: u64,
        model: &Model,
        stop: &AtomicBool,
        changes: &AtomicU64,
    ) -> Vec<(String, Known)> {
        let mut chance = Chance::new(self.round * 1_000 + writer);
        let http = client();
        let base = format!("{}/api/v1/links", self.server.base);
        let prefix = format!("w{writer}-");
        let own = model.range(prefix.clone()..format!("{prefix}~"));
        let mut own: Vec<_> = own.map(|(slug, known)| (slug.clone(), known.clone())).collect();
        let mut touched: BTreeMap<String, Known> = BTreeMap::new();
        for number in 0.. {
            let live: Vec<_> = (0..own.len()).filter(|at| own[*at].1.state.is_some()).collect();
            let fresh = live.is_empty() || chance.below(3) == 0;
            let at = if fresh {
                let slug = format!("{prefix}{}-{number}", self.round);
                own.push((slug, Known { state: None, perhaps: None }));
                own.len() - 1
            } else {
                live[usize::try_from(chance.below(live.len() as u64)).unwrap()]
            };
            let (slug, known) = &mut own[at];
            let title = format!("{}/{writer}/{number}", self.round);
            let version = known.state.as_ref().map_or(0, |(_, version)| *version);
            let is_deletion = !fresh && chance.below(4) == 0;
            let next = (!is_deletion).then(|| (title.clone(), version + 1));
            let request = if fresh {
                let body =
                    json!({ "destination": "https://example.com", "slug": slug, "title": title });
                http.post(&base).json(&body)
            } else if is_deletion {
                http.delete(format!("{base}/{slug}"))
            } else {
                http.patch(format!("{base}/{slug}")).json(&json!({ "title": title }))
            };
            known.perhaps = Some(next.clone());
            touched.insert(slug.clone(), known.clone());
            let answer = request
                .bearer_auth(TOKEN)
                .send()
                .and_then(reqwest::blocking::Response::bytes_with_status);
            let Ok(status) = answer else { break };
            assert!((200..300).contains(&status), "{slug}: {status}");
            changes.fetch_add(1, Ordering::Relaxed);
            *known = Known { state: next, perhaps: None };
            touched.insert(slug.clone(), known.clone());
            if stop.load(Ordering::Relaxed) {
                break;
            }
        }
        touched.into_iter().collect()
    }
}

/// A whole answer's status.
trait Whole: Sized {
    fn bytes_with_status(self) -> reqwest::Result<u16>;
}

impl Whole for reqwest::blocking::Response {
    fn bytes_with_status(self) -> reqwest::Result<u16> {
        let status = self.status().as_u16();
        self.bytes()?;
        Ok(status)
    }
}
