//! Months, and batches from a real log.
use std::sync::Arc;

use prost::Message;
use uuid::Uuid;

use super::*;
use crate::domain::amendment::LinkForgotten;
use crate::domain::click::{AgentSeen, Click, VERSION};
use crate::log::{DiskStorage, LocalLog, Log, LogOptions, NewRecord};

/// The first millisecond of December 2025.
const DECEMBER: u64 = 1_764_547_200_000;

#[test]
fn months_turn_at_midnight_utc() {
    assert_eq!(month(DECEMBER - 1), Some(202_511));
    assert_eq!(month(DECEMBER), Some(202_512));
    assert_eq!(month(u64::MAX), None);
}

#[test]
fn a_month_has_the_moments_from_its_first_to_its_last() {
    let november = Month::of(DECEMBER - 1).unwrap();
    assert!(!november.contains(DECEMBER) && november.contains(DECEMBER - 1));
    for (at_ms, number) in [(0, 197_001), (DECEMBER, 202_512), (1_709_164_800_000, 202_402)] {
        let month = Month::of(at_ms).unwrap();
        assert_eq!(month.number, number);
        for inside in [month.from_ms, at_ms, month.until_ms - 1] {
            assert!(month.contains(inside), "{inside}");
            assert_eq!(Month::of(inside), Some(month), "{inside}");
        }
        let next = Month::of(month.until_ms).unwrap();
        assert_eq!((next.from_ms, next.number > number), (month.until_ms, true));
        assert!(!month.contains(month.until_ms));
    }
}

#[test]
fn the_time_is_decoded_without_the_rest() {
    let click = Click { at_ms: 7, browser: "Firefox".to_owned(), ..Click::default() };
    let forgotten = LinkForgotten { at_ms: 9, ..LinkForgotten::default() };
    let agent = AgentSeen { at_ms: 8, user_agent: "x".to_owned(), ..AgentSeen::default() };
    let moment = |kind, payload: Vec<u8>| {
        let payload = payload.as_slice();
        record_time(&RecordRef { offset: 3, kind, version: VERSION, payload }).ok()
    };
    assert_eq!(moment(kind::CLICK, click.encode_to_vec()), Some(7));
    assert_eq!(moment(kind::AGENT_SEEN, agent.encode_to_vec()), Some(8));
    assert_eq!(moment(kind::LINK_FORGOTTEN, forgotten.encode_to_vec()), Some(9));
    assert_eq!(moment(kind::CLICK, vec![0]), None);
    assert_eq!(moment(9, click.encode_to_vec()), None);
    let payload = &click.encode_to_vec()[..];
    let newer = RecordRef { offset: 3, kind: kind::CLICK, version: VERSION + 1, payload };
    assert!(record_time(&newer).is_err(), "a record of a newer version is not skipped");
}

fn click(at_ms: u64) -> (u16, Vec<u8>) {
    let id = Uuid::from_u128(at_ms.into()).as_bytes().to_vec();
    let (workspace, link) = (id.clone(), id);
    let click = Click { at_ms, workspace, link, city: "Łódź".to_owned(), ..Click::default() };
    (kind::CLICK, click.encode_to_vec())
}

fn agent(at_ms: u64) -> (u16, Vec<u8>) {
    (kind::AGENT_SEEN, AgentSeen { at_ms, ..AgentSeen::default() }.encode_to_vec())
}

/// A log of these records, and its folder.
fn log_of(records: impl IntoIterator<Item = (u16, Vec<u8>)>) -> (LocalLog, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let log = LocalLog::open(Arc::new(DiskStorage), folder.path(), LogOptions::default()).unwrap();
    for (kind, payload) in records {
        log.append(&[NewRecord { kind, version: VERSION, payload: &payload }]).unwrap();
    }
    (log, folder)
}

#[test]
fn a_batch_is_of_one_month_and_goes_no_further_than_asked() {
    let before = DECEMBER - 1;
    let (log, _folder) = log_of([
        click(before),
        agent(before),
        click(before),
        click(DECEMBER),
        click(before),
        click(before),
    ]);
    let mut batcher = Batcher::new(log.read_from(1).unwrap());
    let mut records = Records::default();
    let mut next = |through, records: &mut Records| {
        let batch = batcher.next_batch(through, records).unwrap();
        batch.map(|Batch { month, first, last }| (month, first, last))
    };
    assert_eq!(next(2, &mut records), Some((202_511, 1, 2)));
    assert_eq!(next(2, &mut records), None);
    assert_eq!(records.len(), 0);
    assert_eq!(next(6, &mut records), Some((202_511, 3, 3)));
    assert_eq!(next(6, &mut records), Some((202_512, 4, 4)));
    assert_eq!(next(6, &mut records), Some((202_511, 5, 6)));
    let none = Corrections::default();
    let rows = records.clicks(&none).collect::<Result<Vec<_>, _>>().unwrap();
    let rows: Vec<_> =
        rows.iter().map(|row| (row.log_offset, row.click.at_ms, row.click.city)).collect();
    assert_eq!(rows, [5, 6].map(|offset| (offset, before, "Łódź")));
    assert_eq!(next(6, &mut records), None);
}

#[test]
fn a_batch_has_no_more_records_than_one_block() {
    let clicks = MAX_BATCH_RECORDS + 2;
    let folder = tempfile::tempdir().unwrap();
    let log = LocalLog::open(Arc::new(DiskStorage), folder.path(), LogOptions::default()).unwrap();
    let (kind, payload) = click(DECEMBER);
    log.append(&vec![NewRecord { kind, version: VERSION, payload: &payload }; clicks]).unwrap();
    let mut batcher = Batcher::new(log.read_from(1).unwrap());
    let mut records = Records::default();
    let mut lengths = Vec::new();
    while batcher.next_batch(log.end(), &mut records).unwrap().is_some() {
        lengths.push(records.len());
    }
    assert_eq!(lengths, [MAX_BATCH_RECORDS, 2]);
}

#[test]
fn agents_and_clicks_go_to_tables_of_their_own() {
    let (log, _folder) = log_of([agent(1), click(2), agent(3), click(4), click(5)]);
    let mut records = Records::default();
    Batcher::new(log.read_from(1).unwrap()).next_batch(5, &mut records).unwrap().unwrap();
    let none = Corrections::default();
    let clicks: Vec<_> = records.clicks(&none).map(|row| row.unwrap().log_offset).collect();
    let agents: Vec<_> = records.agents().map(|row| row.unwrap().seen_at).collect();
    assert_eq!((clicks.as_slice(), agents.as_slice()), (&[2, 4, 5][..], &[1, 3][..]));
}

#[test]
fn an_invalid_record_is_named_by_its_offset() {
    let mut records = Records::default();
    let (log, _folder) = log_of([click(1), (kind::CLICK, vec![0])]);
    let refused = Batcher::new(log.read_from(1).unwrap()).next_batch(2, &mut records);
    assert!(matches!(refused, Err(ProjectionError::Unreadable(2))));
    // Its time is valid, its link is not.
    let link = Click { at_ms: 2, link: vec![1], ..Click::default() };
    let (log, _folder) = log_of([click(1), (kind::CLICK, link.encode_to_vec())]);
    Batcher::new(log.read_from(1).unwrap()).next_batch(2, &mut records).unwrap().unwrap();
    let none = Corrections::default();
    let rows: Vec<_> = records.clicks(&none).map(|row| row.map(|row| row.log_offset)).collect();
    assert!(matches!(rows[..], [Ok(1), Err(ProjectionError::Unreadable(2))]));
}
