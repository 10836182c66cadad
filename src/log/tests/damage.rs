//! Torn tails and damaged bytes: what is truncated, refused and reported.

use super::super::record::{HEADER_BYTES, Header};
use super::super::{LogView, Storage, verify};
use super::*;

/// A log of two segments: some records synced with later ones to prove it, some not.
struct Sample {
    storage: SimulatedStorage,
    /// First offset of the last segment.
    last_segment: u64,
    end: u64,
    /// Highest offset that the last segment's records prove to have been synced.
    proven: u64,
}

fn sample() -> Sample {
    let storage = SimulatedStorage::default();
    let log = open(&storage, 320).unwrap();
    for _ in 0..3 {
        append(&log, 2).unwrap();
    }
    append(&log, 1).unwrap();
    let proven = log.sync().unwrap();
    for _ in 0..2 {
        append(&log, 1).unwrap();
    }
    let segments = segment::list(&storage, dir()).unwrap();
    assert_eq!(segments, [1, 5]);
    Sample { storage, last_segment: 5, end: log.end(), proven }
}

/// A copy of the disk without the watermark, as after a power failure before it was written.
fn without_watermark(storage: &SimulatedStorage) -> SimulatedStorage {
    let copy = storage.copy();
    copy.remove(&dir().join("watermark")).unwrap();
    copy
}

/// Start positions of a segment's records, and the end of the last.
fn boundaries(bytes: &[u8]) -> Vec<usize> {
    let mut at = segment::SEGMENT_HEADER_BYTES;
    let mut boundaries = vec![at];
    while let Some(header) = Header::decode(&bytes[at..]) {
        at += header.record_bytes().unwrap();
        boundaries.push(at);
    }
    boundaries
}

#[test]
fn a_tail_torn_at_any_byte_is_cut_at_the_last_whole_record() {
    let Sample { storage, last_segment, .. } = sample();
    let path = segment_path(last_segment);
    let whole = storage.bytes(&path);
    let boundaries = boundaries(&whole);
    for length in segment::SEGMENT_HEADER_BYTES..=whole.len() {
        let left = boundaries.iter().filter(|&&end| end <= length).count() as u64 - 1;
        for zeros in [0, 1, 17, 400] {
            let torn = without_watermark(&storage);
            let mut bytes = whole[..length].to_vec();
            bytes.resize(length + zeros, 0);
            let excess = bytes.len() - boundaries[usize::try_from(left).unwrap()];
            torn.set_bytes(&path, bytes);
            let view = LogView::open(Arc::new(torn.clone()), dir()).unwrap();
            let seen = drain(&mut view.read_from(1)).unwrap().len() as u64;
            let report = verify(&torn, dir()).unwrap();
            let log = open(&torn, 320).unwrap();
            // Zeros may complete a record that ended in them.
            let expected = last_segment - 1 + left;
            if log.end() == expected {
                assert_eq!(report.torn_tail_bytes, excess as u64);
            }
            assert!(report.is_sound() && log.end() >= expected);
            assert_eq!(
                (seen, report.records, report.last_offset),
                (log.end(), log.end(), Some(log.end()))
            );
            append(&log, 2).unwrap();
            check_contents(&log);
            check_contents(&open(&torn, 320).unwrap());
        }
    }
}

#[test]
fn every_flipped_bit_is_noticed() {
    let Sample { storage, last_segment, end, proven } = sample();
    let mut cut = 0;
    for first in [1, last_segment] {
        let whole = storage.bytes(&segment_path(first));
        for bit in 0..whole.len() * 8 {
            let damaged = storage.copy();
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            damaged.set_bytes(&segment_path(first), bytes);
            let report = verify(&damaged, dir()).unwrap();
            let log = match open(&damaged, 320) {
                Ok(log) => log,
                Err(error) => {
                    let LogError::Corrupt { file, .. } = &error else {
                        panic!("{error}");
                    };
                    assert_eq!(*file, segment_path(first));
                    assert!(!report.is_sound());
                    continue;
                }
            };
            let read = drain(&mut log.read_from(1).unwrap());
            if first == last_segment {
                assert!((proven..end).contains(&log.end()), "bit {bit}");
                assert!(report.is_sound() && report.torn_tail_bytes > 0);
                check_contents(&log);
                cut += 1;
            } else {
                assert!(matches!(read.unwrap_err(), LogError::Corrupt { .. }));
                assert_eq!(report.problems.len(), 1, "bit {bit}");
                assert_eq!(report.problems[0].file, segment_path(first));
            }
        }
    }
    assert!(cut > 0);
}

#[test]
fn records_behind_a_hole_prove_nothing_unless_synced_after_it() {
    let storage = SimulatedStorage::default();
    let log = open(&storage, 1 << 20).unwrap();
    for _ in 0..6 {
        append(&log, 1).unwrap();
    }
    let path = segment_path(1);
    let bytes = storage.bytes(&path);
    let third = boundaries(&bytes)[2];
    let hole = |storage: &SimulatedStorage| {
        let damaged = storage.copy();
        let mut bytes = storage.bytes(&path);
        bytes[third..third + HEADER_BYTES].fill(0);
        damaged.set_bytes(&path, bytes);
        damaged
    };
    let reopened = open(&hole(&storage), 1 << 20).unwrap();
    assert_eq!(reopened.end(), 2);

    log.sync().unwrap();
    append(&log, 1).unwrap();
    let damaged = hole(&storage);
    let before = damaged.bytes(&path);
    let error = open(&damaged, 1 << 20).unwrap_err();
    let LogError::Corrupt { position, offset, .. } = error else {
        panic!("{error}");
    };
    assert_eq!((position, offset), (third as u64, 3));
    assert!(error.to_string().contains("slugline log verify"), "{error}");
    assert_eq!(damaged.bytes(&path), before);

    let report = verify(&damaged, dir()).unwrap();
    assert_eq!(report.problems.len(), 1);
    assert_eq!(report.problems[0].position, third as u64);
    assert_eq!(report.problems[0].offset, 3);
    assert_eq!((report.records, report.last_offset), (6, Some(7)));
}

#[test]
fn a_segment_torn_at_creation_is_recreated() {
    for length in 0..=segment::SEGMENT_HEADER_BYTES {
        let storage = SimulatedStorage::default();
        storage.set_bytes(&segment_path(1), vec![0; length]);
        let log = open(&storage, 320).unwrap();
        append(&log, 2).unwrap();
        check_contents(&log);

        let Sample { storage, end, .. } = sample();
        storage.set_bytes(&segment_path(end + 1), vec![0; length]);
        let report = verify(&storage, dir()).unwrap();
        assert!(report.is_sound());
        assert_eq!(report.torn_tail_bytes, length as u64);
        let log = open(&storage, 320).unwrap();
        assert_eq!(log.end(), end);
        for _ in 0..6 {
            append(&log, 1).unwrap();
        }
        check_contents(&log);
    }
}

#[test]
fn missing_and_foreign_segments_are_refused() {
    let missing = |damage: &dyn Fn(&SimulatedStorage)| {
        let Sample { storage, .. } = sample();
        damage(&storage);
        assert!(!verify(&storage, dir()).unwrap().is_sound());
        let error = open(&storage, 320).unwrap_err();
        assert!(matches!(error, LogError::Corrupt { .. }), "{error}");
    };
    let remove = |storage: &SimulatedStorage, first| {
        super::super::Storage::remove(storage, &segment_path(first)).unwrap();
    };
    missing(&|storage| remove(storage, 1));
    // A last segment that does not continue the previous one, with a record that proves it.
    missing(&|storage| {
        let mut bytes = storage.bytes(&segment_path(1));
        bytes.truncate(bytes.len() - 1);
        storage.set_bytes(&segment_path(1), bytes);
        storage.remove(&dir().join("watermark")).unwrap();
    });
    missing(&|storage| {
        let mut bytes = storage.bytes(&segment_path(1));
        bytes.truncate(bytes.len() - 1);
        storage.set_bytes(&segment_path(1), bytes);
        let mut bytes = storage.bytes(&segment_path(5));
        bytes.truncate(segment::SEGMENT_HEADER_BYTES);
        storage.set_bytes(&segment_path(5), bytes);
    });
    // The same records of a log with another id.
    missing(&|storage| {
        storage.set_bytes(&segment_path(5), sample().storage.bytes(&segment_path(5)));
    });
    // A segment with another segment's name.
    missing(&|storage| {
        storage.set_bytes(&segment_path(6), storage.bytes(&segment_path(5)));
        remove(storage, 5);
    });
}

#[test]
fn verify_counts_kinds_and_continues_after_damage() {
    let storage = SimulatedStorage::default();
    let log = open(&storage, 400).unwrap();
    for n in 0..30_u16 {
        let record = NewRecord { kind: n % 3, version: 1, payload: b"0123456789" };
        log.append(&[record]).unwrap();
    }
    let report = verify(&storage, dir()).unwrap();
    assert!(report.is_sound());
    assert_eq!(report.kinds, [(0, 10), (1, 10), (2, 10)].into());
    assert_eq!((report.first_offset, report.last_offset), (Some(1), Some(30)));
    let segments = segment::list(&storage, dir()).unwrap();
    let bytes: usize =
        segments.iter().map(|&first| storage.bytes(&segment_path(first)).len()).sum();
    assert_eq!(report.segments, segments.len() as u64);
    assert_eq!(report.bytes, bytes as u64);
    assert_eq!(report.id, Some(log.id()));

    // Two records of one segment, and the end of another.
    let mut damaged = storage.bytes(&segment_path(segments[0]));
    let starts = boundaries(&damaged);
    damaged[starts[1]] ^= 1;
    damaged[starts[4] + 30] ^= 1;
    storage.set_bytes(&segment_path(segments[0]), damaged);
    let mut damaged = storage.bytes(&segment_path(segments[1]));
    damaged.pop();
    storage.set_bytes(&segment_path(segments[1]), damaged);
    let report = verify(&storage, dir()).unwrap();
    assert_eq!(report.records, 27);
    let offsets: Vec<u64> = report.problems.iter().map(|problem| problem.offset).collect();
    assert_eq!(offsets, [2, 5, segments[2] - 1]);
}
