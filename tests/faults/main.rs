//! Fault injection on the real program, in short form. The long form is `cargo bench --bench
//! faults`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../simulation/chance.rs"]
mod chance;
#[allow(dead_code, unused_imports, reason = "the scenarios use a part of it")]
#[path = "../service/harness/mod.rs"]
mod harness;
mod linearizability;
mod scenarios;

use std::time::Duration;

use scenarios::eio::Of;
use scenarios::{Counts, chaos, claims, disk, eio, engine, history, idempotency, kill, removals};

/// Prints the counts.
fn shown(counts: Counts) -> Counts {
    for (what, count) in counts.rows() {
        println!("{count:>10} {what}");
    }
    counts
}

#[test]
fn a_kill_loses_nothing_that_was_answered() {
    let counts = shown(kill::run(20, 1));
    assert!(counts.get("changes answered") > 100, "{counts:?}");
    assert!(counts.get("visits answered") > 100, "{counts:?}");
}

#[test]
fn an_engine_that_is_killed_costs_no_click() {
    let counts = shown(engine::killed(4, 2));
    assert!(counts.get("visits answered") > 100, "{counts:?}");
}

#[test]
fn clicks_wait_for_a_clickhouse_that_is_away() {
    shown(engine::away(1, Duration::from_secs(2)));
}

#[test]
fn batches_arrive_once_whoever_dies() {
    for with_older_plans in [false, true] {
        let counts = shown(chaos::run(120, 3, with_older_plans));
        assert!(counts.get("engine killed") > 1, "{counts:?}");
    }
}

#[test]
fn a_deleted_link_stays_gone_whoever_dies() {
    shown(removals::run(2, 5));
}

#[test]
fn one_of_many_gets_a_slug() {
    shown(claims::run(1_000, 2));
}

#[test]
fn a_key_has_one_effect_through_a_kill() {
    let counts = shown(idempotency::run(100));
    assert!(counts.get("requests sent again") > 0, "{counts:?}");
}

#[test]
fn each_slug_has_a_history_that_one_link_could_have() {
    shown(history::run(3, 4));
}

#[test]
fn a_failed_sync_stops_the_log_and_nothing_else() {
    shown(eio::run([1, 2, 7].into_iter(), Of::Mutations));
    shown(eio::run([1, 3].into_iter(), Of::Clicks));
}

#[test]
fn a_full_disk_is_got_over_without_a_restart() {
    shown(disk::run(3));
}
