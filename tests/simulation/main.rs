//! The log on a failing disk, in short form. The long form is `cargo bench --bench simulate`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod chance;
mod corruption;
mod disk;
mod world;

use corruption::{Found, Sample};
use world::{Broken, Counts, World};

const LIVES: u64 = 2_000;

#[test]
fn no_promise_is_broken_in_any_life() {
    let mut counts = Counts::default();
    for seed in 0..LIVES {
        let mut world = World::new(seed);
        if let Err(Broken(promise)) = world.run() {
            panic!("{promise}\nreplay it: cargo bench --bench simulate -- --seed {seed}");
        }
        counts.add(&world.counts);
    }
    // All that can happen has happened.
    assert_eq!(counts.lives, LIVES);
    let Counts { answered, consumed, crashes, faults, poisoned, full, dropped, .. } = counts;
    for count in [answered, consumed, crashes, faults, poisoned, full, dropped] {
        assert!(count > LIVES / 10, "{counts:?}");
    }
}

/// The auditor notices a disk that only says that it synced.
#[test]
fn a_lying_disk_is_found_out() {
    let found = (0..50).filter(|seed| World::on_a_lying_disk(*seed).run().is_err()).count();
    assert!(found > 25, "in {found} of 50 lives");
}

#[test]
fn every_flipped_bit_of_a_segment_is_noticed() {
    let sample = Sample::new().unwrap();
    for segment in 0..sample.segments.len() {
        let mut found = Found::default();
        for bit in (0..sample.len(segment) * 8).step_by(1_021) {
            found.add(sample.try_damage(segment, |bytes| bytes[bit / 8] ^= 1 << (bit % 8)));
        }
        assert!(found.damages > 400, "{found:?}");
        assert_eq!(found.missed, 0, "segment {segment}: {found:?}");
    }
}

#[test]
fn every_cut_of_the_last_segment_is_noticed() {
    let sample = Sample::new().unwrap();
    let last = sample.segments.len() - 1;
    let mut found = Found::default();
    for length in (0..sample.len(last)).step_by(127) {
        found.add(sample.try_damage(last, |bytes| bytes.truncate(length)));
    }
    assert!(found.damages > 400, "{found:?}");
    assert_eq!(found.missed, 0, "{found:?}");
}
