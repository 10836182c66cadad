//! Appending, reading back, rolling, reopening.

use super::super::{DiskStorage, LogView, MAX_PAYLOAD_BYTES, RecordBatch, verify};
use super::*;

const LARGE: u64 = 1 << 20;

#[test]
fn kind_version_and_payload_come_back() {
    let log = open(&SimulatedStorage::default(), LARGE).unwrap();
    assert_eq!((log.end(), log.synced()), (0, 0));
    let record = |kind, version, payload| NewRecord { kind, version, payload };
    let last = log.append(&[
        record(1, 2, &b"hello"[..]),
        record(u16::MAX, 0, b""),
        record(0, u16::MAX, b"x"),
    ]);
    assert_eq!(last.unwrap(), 3);
    assert_eq!((log.end(), log.synced()), (3, 0));
    assert_eq!(log.sync().unwrap(), 3);
    assert_eq!(log.synced(), 3);
    let read = drain(&mut log.read_from(0).unwrap()).unwrap();
    let read: Vec<_> =
        read.iter().map(|r| (r.offset, r.kind, r.version, r.payload.as_ref())).collect();
    assert_eq!(read, [(1, 1, 2, &b"hello"[..]), (2, u16::MAX, 0, b""), (3, 0, u16::MAX, b"x"),]);
}

#[test]
fn segments_roll_and_reopen_on_the_real_file_system() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("data/log/clicks");
    let open = || {
        let options = LogOptions { segment_bytes: 500 };
        LocalLog::open(Arc::new(DiskStorage), &dir, options).unwrap()
    };
    let log = open();
    let id = log.id();
    for group in 1..20 {
        append(&log, group % 4 + 1).unwrap();
    }
    check_contents(&log);
    let end = log.end();
    assert!(log.synced() > 0, "a segment is synced before the second after it is begun");
    drop(log);
    let log = open();
    assert_eq!((log.id(), log.end(), log.synced()), (id, end, end));
    append(&log, 2).unwrap();
    check_contents(&log);
    for offset in 1..=end + 3 {
        let first = log.read_from(offset).unwrap().next_record().unwrap();
        let expected = (offset <= end + 2).then_some(offset);
        assert_eq!(first.map(|record| record.offset), expected);
    }
    let report = verify(&DiskStorage, &dir).unwrap();
    assert!(report.is_sound() && report.segments > 4);
    assert_eq!((report.records, report.id), (end + 2, Some(id)));
    let view = LogView::open(Arc::new(DiskStorage), &dir).unwrap();
    assert_eq!(view.id, Some(id));
    let seen = drain(&mut view.read_from(1)).unwrap();
    assert_eq!(seen, drain(&mut log.read_from(1).unwrap()).unwrap());
}

#[test]
fn a_batch_stays_in_one_segment() {
    let storage = SimulatedStorage::default();
    let log = open(&storage, 200).unwrap();
    append(&log, 50).unwrap();
    append(&log, 1).unwrap();
    append(&log, 50).unwrap();
    assert_eq!(
        segment::list(&storage, dir()).unwrap(),
        [1, 51, 52],
        "an empty segment takes any batch, another only what fits"
    );
    check_contents(&log);
}

#[test]
fn an_empty_batch_appends_nothing() {
    let log = open(&SimulatedStorage::default(), LARGE).unwrap();
    append(&log, 2).unwrap();
    assert_eq!(log.append(&[]).unwrap(), 2);
    assert_eq!(log.end(), 2);
}

#[test]
fn payloads_are_limited() {
    let log = open(&SimulatedStorage::default(), LARGE).unwrap();
    let bytes = vec![7; MAX_PAYLOAD_BYTES];
    let small = NewRecord { kind: 0, version: 0, payload: b"small" };
    let over = [&bytes[..], b"!"].concat();
    let with = |payload| NewRecord { payload, ..small };
    let error = log.append(&[small, with(&over)]).unwrap_err();
    assert!(matches!(error, LogError::TooLarge { bytes } if bytes == MAX_PAYLOAD_BYTES + 1));
    assert_eq!(log.end(), 0);
    assert_eq!(log.append(&[small, with(&bytes), small]).unwrap(), 3);
    let read = drain(&mut log.read_from(2).unwrap()).unwrap();
    assert_eq!(read[0].payload, bytes);
    assert_eq!(read[1].payload, &b"small"[..]);
}

#[test]
fn reading_beyond_the_next_offset_is_refused() {
    let log = open(&SimulatedStorage::default(), LARGE).unwrap();
    append(&log, 3).unwrap();
    assert!(log.read_from(4).is_ok());
    let error = log.read_from(5).err().unwrap();
    assert!(matches!(error, LogError::BeyondEnd { offset: 5, end: 3 }));
}

#[test]
fn a_view_of_nothing_is_empty() {
    let storage = SimulatedStorage::default();
    let view = LogView::open(Arc::new(storage.clone()), dir()).unwrap();
    let mut reader = view.read_from(0);
    assert_eq!((view.id, reader.next_record().unwrap()), (None, None));
    let log = open(&storage, LARGE).unwrap();
    append(&log, 2).unwrap();
    assert_eq!(drain(&mut reader).unwrap().len(), 2);
    let report = verify(&SimulatedStorage::default(), dir()).unwrap();
    assert!(report.is_sound());
    assert_eq!(report.records, 0);
}

#[test]
fn a_batch_ends_before_the_first_record_that_is_not_taken() {
    let log = open(&SimulatedStorage::default(), 500).unwrap();
    for _ in 0..10 {
        append(&log, 5).unwrap();
    }
    let mut reader = log.read_from(3).unwrap();
    let mut batch = RecordBatch::default();
    let mut through = |batch: &mut RecordBatch, last: u64| {
        reader.read_batch(batch, |record| Ok::<_, LogError>(record.offset <= last)).unwrap();
        reader.next_offset()
    };
    assert_eq!(through(&mut batch, 2), 3);
    assert!(batch.is_empty());
    assert_eq!(through(&mut batch, 29), 30);
    assert_eq!(through(&mut batch, 31), 32);
    assert_eq!(batch.len(), 29, "records are added to the batch");
    for (record, offset) in batch.iter().zip(3..) {
        assert_eq!((record.offset, record.kind, record.version), (offset, 1, 1));
        assert_eq!(record.payload, payload(offset));
    }
    batch.clear();
    assert_eq!(through(&mut batch, u64::MAX), 51);
    let offsets: Vec<_> = batch.iter().map(|record| record.offset).collect();
    assert_eq!(offsets, (32..51).collect::<Vec<_>>());
    batch.clear();
    append(&log, 2).unwrap();
    assert_eq!(through(&mut batch, u64::MAX), 53);
    assert_eq!(batch.len(), 2, "the batch follows the log");
}

#[test]
fn a_record_that_fails_a_batch_is_read_again() {
    let log = open(&SimulatedStorage::default(), LARGE).unwrap();
    append(&log, 5).unwrap();
    let mut reader = log.read_from(1).unwrap();
    let mut batch = RecordBatch::default();
    let failed = reader.read_batch(&mut batch, |record| match record.offset {
        4 => Err(LogError::BeyondEnd { offset: 4, end: 0 }),
        _ => Ok(true),
    });
    assert!(matches!(failed, Err(LogError::BeyondEnd { offset: 4, .. })));
    assert_eq!((batch.len(), reader.next_offset()), (3, 4));
    assert_eq!(reader.next_record().unwrap().map(|record| record.offset), Some(4));
}
