//! Requests are repeated with the same idempotency key, through a SIGKILL: each key has one effect.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use super::Counts;
use crate::harness::{Options, TOKEN, client};

const THREADS: u64 = 16;
/// The number of requests per key.
const TIMES: u64 = 20;
const PATIENCE: Duration = Duration::from_secs(60);

pub fn run(keys: u64) -> Counts {
    let counts = Counts::default();
    let options = Options::links_only().public_url("http://sho.rt");
    let server = options.start();
    let (base, data) = (server.base.clone(), server.data.clone());
    let next = AtomicU64::new(0);
    let ids: Mutex<BTreeMap<u64, String>> = Mutex::new(BTreeMap::new());
    let last = std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let http = client();
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= keys * TIMES {
                        return;
                    }
                    // The requests of a key come at the same time, from several threads.
                    let key = number / TIMES;
                    let id = create(&http, &base, key, &counts);
                    let before = ids.lock().unwrap().entry(key).or_insert(id.clone()).clone();
                    assert_eq!(before, id, "key {key} made two links");
                }
            });
        }
        while next.load(Ordering::Relaxed) < keys * TIMES / 2 {
            std::thread::sleep(Duration::from_millis(1));
        }
        drop(server);
        counts.add("SIGKILL", 1);
        options.clone().with_data(&data).start()
    });
    let total = last.api().get("/links?limit=1").expect(200).json()["meta"]["total"].clone();
    assert_eq!(total, keys, "each key made one link");
    counts.add("keys", keys);
    counts.add("links", total.as_u64().unwrap());
    counts
}

/// Asks until there is an answer.
fn create(http: &reqwest::blocking::Client, base: &str, key: u64, counts: &Counts) -> String {
    let body = json!({ "destination": format!("https://example.com/{key}") });
    let started = std::time::Instant::now();
    loop {
        let request = http.post(format!("{base}/api/v1/links")).bearer_auth(TOKEN).json(&body);
        let answer = request.header("Idempotency-Key", format!("key-{key}")).send();
        if let Ok(answer) = answer
            && answer.status() == 201
            && let Ok(answer) = answer.json::<Value>()
        {
            counts.add("requests answered", 1);
            return answer["data"]["id"].as_str().unwrap().to_owned();
        }
        counts.add("requests sent again", 1);
        assert!(started.elapsed() < PATIENCE, "no answer for key {key}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
