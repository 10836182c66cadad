//! Reads of single records by offset.

use super::*;
use crate::log::DiskStorage;

#[test]
fn each_record_is_found_at_once_and_while_the_log_grows() {
    let dir = tempfile::tempdir().unwrap();
    let options = LogOptions { segment_bytes: 2 << 20 };
    let log = LocalLog::open(Arc::new(DiskStorage), dir.path(), options).unwrap();
    assert_eq!(log.read_at(0).ok().flatten(), None);
    assert_eq!(log.read_at(1).unwrap(), None);
    let payload = |number: u64| vec![u8::try_from(number % 251).unwrap(); 700];
    let records = 8_000_u64;
    for number in 1..=records {
        log.append_payloads(7, 1, &[payload(number)]).unwrap();
        if number % 1_999 == 0 {
            for offset in [number, number / 2, 1] {
                assert_eq!(log.read_at(offset).unwrap().unwrap().payload, payload(offset));
            }
        }
    }
    // Backwards, so that earlier positions are not in the index yet.
    let log = {
        drop(log);
        LocalLog::open(Arc::new(DiskStorage), dir.path(), options).unwrap()
    };
    for offset in (1..=records).rev().step_by(97) {
        let record = log.read_at(offset).unwrap().unwrap();
        assert_eq!(
            (record.offset, record.kind, record.payload),
            (offset, 7, payload(offset).into())
        );
    }
    assert_eq!(log.read_at(records + 1).unwrap(), None);
    log.drop_before(records / 2).unwrap();
    assert!(matches!(log.read_at(1), Err(LogError::Dropped { .. })));
    assert!(log.read_at(records).unwrap().is_some());
}
