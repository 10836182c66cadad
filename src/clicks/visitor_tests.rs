use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;

use tempfile::TempDir;
use uuid::Uuid;

use super::*;

const DAY_MS: u64 = 86_400_000;
/// 2026-06-17T00:00:00Z, a Wednesday.
const WEDNESDAY: u64 = 20_621 * DAY_MS;

fn open(directory: &TempDir, period: SaltPeriod, now_ms: u64) -> VisitorSalts {
    VisitorSalts::open(directory.path().join("salt"), period, now_ms).unwrap()
}

fn id(salts: &VisitorSalts, at_ms: u64) -> u64 {
    let address = Ipv4Addr::new(192, 0, 2, 7).into();
    salts.visitor(at_ms, address, 1, &WorkspaceId::new(Uuid::from_u128(1)))
}

fn line(directory: &Path) -> String {
    fs::read_to_string(directory.join("salt")).unwrap()
}

#[test]
fn the_wednesday_constant_is_correct() {
    assert_eq!(SaltPeriod::Weekly.span(WEDNESDAY).start, WEDNESDAY - 2 * DAY_MS);
}

#[test]
fn a_visitor_has_one_id_per_period_agent_workspace_and_address() {
    let directory = tempfile::tempdir().unwrap();
    let salts = open(&directory, SaltPeriod::Daily, WEDNESDAY);
    let first = id(&salts, WEDNESDAY);
    assert_eq!(first, id(&salts, WEDNESDAY + DAY_MS - 1));

    let workspace = WorkspaceId::new(Uuid::from_u128(1));
    let address: IpAddr = Ipv4Addr::new(192, 0, 2, 7).into();
    let mapped: IpAddr = "::ffff:192.0.2.7".parse().unwrap();
    assert_eq!(first, salts.visitor(WEDNESDAY, mapped, 1, &workspace));
    assert_ne!(first, salts.visitor(WEDNESDAY, address, 2, &workspace));
    assert_ne!(first, salts.visitor(WEDNESDAY, "192.0.2.8".parse().unwrap(), 1, &workspace));
    let other = WorkspaceId::new(Uuid::from_u128(2));
    assert_ne!(first, salts.visitor(WEDNESDAY, address, 1, &other));
}

#[test]
fn the_first_visit_of_a_period_rotates_the_key() {
    for (period, last, next) in [
        (SaltPeriod::Daily, WEDNESDAY + DAY_MS - 1, WEDNESDAY + DAY_MS),
        (SaltPeriod::Weekly, WEDNESDAY + 5 * DAY_MS - 1, WEDNESDAY + 5 * DAY_MS),
        (SaltPeriod::Monthly, WEDNESDAY + 14 * DAY_MS - 1, WEDNESDAY + 14 * DAY_MS),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let salts = open(&directory, period, WEDNESDAY);
        let (before, file_before) = (id(&salts, last), line(directory.path()));
        let after = id(&salts, next);
        assert_ne!(before, after, "{period:?}");
        assert_eq!(after, id(&salts, next + 1), "{period:?}");
        assert_ne!(file_before, line(directory.path()), "{period:?}");
        // A visit that started before the rotation and was enriched after it.
        assert_eq!(after, id(&salts, last), "{period:?}: the old key is destroyed");
    }
}

#[test]
fn a_key_that_never_rotates_stays() {
    let directory = tempfile::tempdir().unwrap();
    let salts = open(&directory, SaltPeriod::Never, WEDNESDAY);
    assert_eq!(id(&salts, WEDNESDAY), id(&salts, 10 * WEDNESDAY));
    assert!(!salts.rotate_if_due(10 * WEDNESDAY));
}

#[test]
fn a_restart_within_the_period_keeps_the_key() {
    let directory = tempfile::tempdir().unwrap();
    let before = id(&open(&directory, SaltPeriod::Daily, WEDNESDAY), WEDNESDAY);
    let restarted = open(&directory, SaltPeriod::Daily, WEDNESDAY + DAY_MS / 2);
    assert_eq!(before, id(&restarted, WEDNESDAY + DAY_MS / 2));

    let next_day = open(&directory, SaltPeriod::Daily, WEDNESDAY + DAY_MS);
    assert_ne!(before, id(&next_day, WEDNESDAY + DAY_MS));
}

#[test]
fn a_changed_period_generates_a_new_key() {
    let directory = tempfile::tempdir().unwrap();
    let daily = id(&open(&directory, SaltPeriod::Daily, WEDNESDAY), WEDNESDAY);
    let weekly = id(&open(&directory, SaltPeriod::Weekly, WEDNESDAY), WEDNESDAY);
    assert_ne!(daily, weekly);
    assert!(line(directory.path()).contains(" weekly "));
}

#[test]
fn the_key_is_rotated_once_it_is_due() {
    let directory = tempfile::tempdir().unwrap();
    let salts = open(&directory, SaltPeriod::Daily, WEDNESDAY);
    let before = id(&salts, WEDNESDAY);
    assert!(!salts.rotate_if_due(WEDNESDAY + DAY_MS - 1));
    assert!(salts.rotate_if_due(WEDNESDAY + DAY_MS));
    assert!(!salts.rotate_if_due(WEDNESDAY + DAY_MS));
    assert_ne!(before, id(&salts, WEDNESDAY + DAY_MS));
}

#[test]
fn a_small_clock_step_back_keeps_the_key_and_a_large_one_does_not() {
    let directory = tempfile::tempdir().unwrap();
    let salts = open(&directory, SaltPeriod::Daily, WEDNESDAY);
    let current = id(&salts, WEDNESDAY);
    assert_eq!(current, id(&salts, WEDNESDAY - 1), "the day before");
    assert_eq!(current, id(&open(&directory, SaltPeriod::Daily, WEDNESDAY - 1), WEDNESDAY - 1));
    assert_eq!(current, id(&salts, WEDNESDAY), "forward again");

    let ahead = id(&salts, WEDNESDAY + 3650 * DAY_MS);
    let corrected = id(&salts, WEDNESDAY);
    assert_ne!(ahead, corrected, "a key from ten years ahead is not kept for ten years");
    assert_ne!(current, corrected, "and the old one is not reused");
}

#[test]
fn one_rotation_serves_all_threads() {
    let directory = tempfile::tempdir().unwrap();
    let salts = open(&directory, SaltPeriod::Daily, WEDNESDAY);
    let ids: Vec<u64> = std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..8).map(|_| scope.spawn(|| id(&salts, WEDNESDAY + DAY_MS))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(ids.iter().all(|each| *each == ids[0]));
    let restarted = open(&directory, SaltPeriod::Daily, WEDNESDAY + DAY_MS);
    assert_eq!(ids[0], id(&restarted, WEDNESDAY + DAY_MS), "the file has the current key");
}

#[test]
fn ids_work_even_if_the_file_cannot_be_written() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("absent").join("salt");
    let salts = VisitorSalts::open(path, SaltPeriod::Daily, WEDNESDAY).unwrap();
    let first = id(&salts, WEDNESDAY);
    assert_eq!(first, id(&salts, WEDNESDAY + 1));
    assert_ne!(first, id(&salts, WEDNESDAY + DAY_MS));
}

#[test]
fn a_foreign_file_is_rejected() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("salt");
    fs::write(&path, "precious").unwrap();
    assert!(VisitorSalts::open(path, SaltPeriod::Daily, WEDNESDAY).is_err());
    assert_eq!(line(directory.path()), "precious");
}
