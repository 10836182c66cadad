//! Many clients claim the same slug concurrently: exactly one gets it.

use std::time::Duration;

use serde_json::json;

use super::Counts;
use crate::harness::{Options, TOKEN};

pub fn run(clients: u64, rounds: u64) -> Counts {
    let counts = Counts::default();
    raise_file_limit();
    let server = Options::links_only().start();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    for round in 0..rounds {
        let url = format!("{}/api/v1/links", server.base);
        let statuses = runtime.block_on(async {
            let http = reqwest::Client::builder()
                .no_proxy()
                .timeout(Duration::from_secs(60))
                .build()
                .unwrap();
            let barrier =
                std::sync::Arc::new(tokio::sync::Barrier::new(usize::try_from(clients).unwrap()));
            let claims: Vec<_> = (0..clients)
                .map(|number| {
                    let body = json!({
                        "destination": format!("https://example.com/{number}"),
                        "slug": format!("claimed-{round}"),
                    });
                    let request = http.post(&url).bearer_auth(TOKEN).json(&body);
                    let barrier = std::sync::Arc::clone(&barrier);
                    tokio::spawn(async move {
                        barrier.wait().await;
                        request.send().await.unwrap().status().as_u16()
                    })
                })
                .collect();
            let mut statuses = Vec::new();
            for claim in claims {
                statuses.push(claim.await.unwrap());
            }
            statuses
        });
        let of = |status: u16| statuses.iter().filter(|got| **got == status).count() as u64;
        counts.add("claims", clients);
        counts.add("answered 201", of(201));
        counts.add("answered 409", of(409));
        assert_eq!((of(201), of(409)), (1, clients - 1), "of {clients}: {statuses:?}");
    }
    counts
}

/// Each client needs a connection, at both ends.
fn raise_file_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = rustix::process::Rlimit { current: limit.maximum, ..limit };
    setrlimit(Resource::Nofile, raised).unwrap();
}
