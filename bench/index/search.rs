//! The latency of link searches: by text, by keys, and sorted.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use slugline::domain::ids::WorkspaceId;
use slugline::projections::index::Index;
use slugline::queries::links::{LinkFilter, LinkQuery, Links, Sort, Word};

use crate::history;

/// The number of repetitions of each query.
const RUNS: usize = 9;

/// Asks each question and prints the median of how long the answers took.
pub fn measure(folder: &Path, links: u64) -> anyhow::Result<()> {
    let log = history::open(folder)?;
    let index = Arc::new(Index::open(&folder.join("index"), &log)?);
    let found = Links::new(index);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_time().build()?;
    let all = LinkQuery::of(WorkspaceId::from_bytes(&[1; 16])?);
    let words = |text: &str| -> anyhow::Result<LinkQuery> {
        let words = Word::all_of(text, "sho.rt").map_err(anyhow::Error::msg)?;
        Ok(LinkQuery { filter: LinkFilter { words, ..LinkFilter::default() }, ..all.clone() })
    };
    let one = history::unique_text(links / 2 + 1);
    println!("\n| question | links found | median | slowest |\n|---|---|---|---|");
    for (name, query) in [
        ("the first page, nothing asked", all.clone()),
        ("q with one hit, counted", words(&one)?),
        ("q with no hit, counted", words("nowhere")?),
        ("q that each link has, counted", words("ARTICLES")?),
        ("the same, not counted", LinkQuery { counts_all: false, ..words("ARTICLES")? }),
        ("q of two words, a quarter has both, counted", words("article example")?),
        ("sorted by slug", LinkQuery { sort: Sort::Slug, is_descending: false, ..all.clone() }),
        ("q with one hit, sorted by title", LinkQuery { sort: Sort::Title, ..words(&one)? }),
    ] {
        let mut times = Vec::with_capacity(RUNS);
        let mut total = None;
        for _ in 0..RUNS {
            let started = Instant::now();
            total = runtime.block_on(found.search(query.clone()))?.total;
            times.push(started.elapsed());
        }
        times.sort();
        let ms = |time: Option<&Duration>| time.map_or(0.0, |time| time.as_secs_f64() * 1e3);
        let total = total.map_or_else(|| "?".to_owned(), |total| total.to_string());
        let (median, slowest) = (ms(times.get(RUNS / 2)), ms(times.last()));
        println!("| {name} | {total} | {median:.1} ms | {slowest:.1} ms |");
    }
    Ok(())
}
