//! Clients concurrently run all operations on a few slugs, through SIGKILLs: the history of each
//! slug must be linearizable.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};

use super::Counts;
use super::linear::{Ask, Operation, Reply, is_linearizable};
use crate::chance::Chance;
use crate::harness::{Options, Server, TOKEN, client};

const CLIENTS: u64 = 6;
const SLUGS: usize = 3;
/// The number of operations of each client in a history.
const OPERATIONS: u64 = 60;

pub fn run(rounds: u64, seed: u64) -> Counts {
    let counts = Counts::default();
    for round in 0..rounds {
        let options = Options::links_only().public_url("http://sho.rt");
        let server = options.start();
        let (base, data) = (server.base.clone(), server.data.clone());
        let began = Instant::now();
        let histories: Vec<Mutex<Vec<Operation>>> = (0..SLUGS).map(|_| Mutex::default()).collect();
        let done = AtomicU64::new(0);
        let _last: Server = std::thread::scope(|scope| {
            for number in 0..CLIENTS {
                let (histories, base, done) = (&histories, &base, &done);
                scope.spawn(move || {
                    let chance = Chance::new(seed + round * 100 + number);
                    let http = client();
                    let mut asker = Asker { http, base, chance, began, number, version: 0 };
                    for step in 0..OPERATIONS {
                        let slug = usize::try_from(asker.chance.below(SLUGS as u64)).unwrap();
                        let operation = asker.do_one(slug, step);
                        histories[slug].lock().unwrap().push(operation);
                        done.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
            while done.load(Ordering::Relaxed) < CLIENTS * OPERATIONS / 2 {
                std::thread::sleep(Duration::from_millis(1));
            }
            drop(server);
            options.clone().with_data(&data).start()
        });
        for history in &histories {
            let history = history.lock().unwrap();
            let unknown = history.iter().filter(|operation| operation.reply == Reply::Unknown);
            counts.add("answers cut off", unknown.count() as u64);
            counts.add("operations", history.len() as u64);
            assert!(is_linearizable(&history), "seed {seed}, round {round}: {history:#?}");
            counts.add("histories, each linearizable", 1);
        }
    }
    counts
}

struct Asker<'a> {
    http: reqwest::blocking::Client,
    base: &'a str,
    chance: Chance,
    began: Instant,
    number: u64,
    /// The version that was last seen, of whatever slug.
    version: u64,
}

impl Asker<'_> {
    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_nanos()).unwrap()
    }

    fn do_one(&mut self, slug: usize, step: u64) -> Operation {
        let title = self.number * 1_000 + step;
        let ask = match self.chance.below(10) {
            0..3 => Ask::Create { title },
            3..6 => Ask::Read,
            6..8 => Ask::Change { title, only_if: None },
            8 => Ask::Change { title, only_if: Some(self.version) },
            _ => Ask::Delete,
        };
        let called = self.now();
        let reply = self.send(slug, &ask);
        if let Reply::Link { version, .. } = reply {
            self.version = version;
        }
        Operation { called, answered: self.now(), ask, reply }
    }

    /// Sends it once; while there is no service, nothing has happened and it is sent again.
    fn send(&self, slug: usize, ask: &Ask) -> Reply {
        let slug = format!("slug-{slug}");
        let one = format!("{}/api/v1/links/{slug}", self.base);
        loop {
            let request = match ask {
                Ask::Create { title } => {
                    let body = json!({ "destination": "https://example.com", "slug": slug, "title": title.to_string() });
                    self.http.post(format!("{}/api/v1/links", self.base)).json(&body)
                }
                Ask::Read => self.http.get(&one),
                Ask::Change { title, only_if } => {
                    let body = json!({ "title": title.to_string() });
                    let request = self.http.request(Method::PATCH, &one).json(&body);
                    match only_if {
                        Some(version) => request.header("If-Match", format!("\"{version}\"")),
                        None => request,
                    }
                }
                Ask::Delete => self.http.delete(&one),
            };
            match request.bearer_auth(TOKEN).send() {
                Ok(answer) => return reply_of(answer),
                Err(error) if error.is_connect() => std::thread::sleep(Duration::from_millis(5)),
                Err(_) => return Reply::Unknown,
            }
        }
    }
}

fn reply_of(answer: reqwest::blocking::Response) -> Reply {
    let status = answer.status().as_u16();
    match status {
        204 => Reply::Gone,
        404 => Reply::NotFound,
        409 => Reply::Conflict,
        412 => Reply::Mismatch,
        200 | 201 => {
            let Ok(body) = answer.json::<Value>() else { return Reply::Unknown };
            let title = body["data"]["title"].as_str().unwrap().parse().unwrap();
            Reply::Link { title, version: body["data"]["version"].as_u64().unwrap() }
        }
        // It ends in order: what came last is refused.
        503 => Reply::Unknown,
        _ => panic!("{status}: {:?}", answer.text()),
    }
}
