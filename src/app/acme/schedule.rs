//! The schedule of certificate orders.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::domain::ids::WorkspaceId;

/// The delay after a first failed order; doubled with each further failure.
const WAIT_MIN: Duration = Duration::from_secs(60);
/// The maximum delay.
const WAIT_MAX: Duration = Duration::from_secs(6 * 3_600);

/// The owner of a host: a workspace, or the service itself.
pub type Owner = Option<WorkspaceId>;

/// The hosts and their next orders. Times are milliseconds since the Unix epoch.
///
/// If many are due at once, their owners take turns, so that no owner waits for all hosts of
/// another.
#[derive(Debug, Default)]
pub struct Schedule {
    hosts: BTreeMap<String, Entry>,
    /// The number of each owner's last order, if any.
    turns: BTreeMap<Owner, u64>,
    /// The total number of orders.
    orders: u64,
}

#[derive(Debug)]
struct Entry {
    owner: Owner,
    due_ms: u64,
    /// Consecutive failures.
    failures: u32,
}

impl Schedule {
    /// Replaces the hosts. `due_ms` gives the time of the first order of a new host.
    pub fn set(&mut self, hosts: BTreeMap<String, Owner>, due_ms: impl Fn(&str) -> u64) {
        let owners: BTreeSet<_> = hosts.values().collect();
        self.turns.retain(|owner, _| owners.contains(owner));
        let mut before = std::mem::take(&mut self.hosts);
        self.hosts = hosts
            .into_iter()
            .map(|(host, owner)| {
                let (due_ms, failures) = match before.remove(&host) {
                    Some(entry) => (entry.due_ms, entry.failures),
                    None => (due_ms(&host), 0),
                };
                (host, Entry { owner, due_ms, failures })
            })
            .collect();
    }

    /// The next host that is due: those with failures come last.
    pub fn next(&self, now_ms: u64) -> Option<&str> {
        let due = self.hosts.iter().filter(|(_, entry)| entry.due_ms <= now_ms);
        let first = due
            .min_by_key(|(_, entry)| (entry.failures, entry.due_ms, self.turns.get(&entry.owner)));
        first.map(|(host, _)| host.as_str())
    }

    /// Records an issued certificate and its renewal time.
    pub fn issued(&mut self, host: &str, renew_at_ms: u64) {
        if let Some(entry) = self.ordered(host) {
            (entry.due_ms, entry.failures) = (renew_at_ms, 0);
        }
    }

    /// Records a failed order. Returns the delay until the next.
    pub fn failed(&mut self, host: &str, now_ms: u64) -> Duration {
        let Some(entry) = self.ordered(host) else { return WAIT_MAX };
        let doubled = 2_u32.checked_pow(entry.failures).and_then(|by| WAIT_MIN.checked_mul(by));
        let wait = doubled.unwrap_or(WAIT_MAX).min(WAIT_MAX);
        entry.failures = entry.failures.saturating_add(1);
        entry.due_ms = now_ms.saturating_add(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
        wait
    }

    /// Records a turn of the host's owner.
    fn ordered(&mut self, host: &str) -> Option<&mut Entry> {
        let entry = self.hosts.get_mut(host)?;
        self.orders += 1;
        self.turns.insert(entry.owner, self.orders);
        Some(entry)
    }

    /// The number of hosts whose last order failed.
    pub fn waiting(&self) -> usize {
        self.hosts.values().filter(|entry| entry.failures > 0).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(hosts: &[(&str, u64)]) -> Schedule {
        let mut schedule = Schedule::default();
        let due =
            |host: &str| hosts.iter().find(|(name, _)| *name == host).map_or(0, |host| host.1);
        schedule.set(hosts.iter().map(|(host, _)| ((*host).to_owned(), None)).collect(), due);
        schedule
    }

    #[test]
    fn the_first_due_host_comes_first() {
        let mut schedule = schedule(&[("a", 300), ("b", 100), ("c", 200)]);
        assert_eq!(schedule.next(99), None);
        assert_eq!(schedule.next(250), Some("b"));
        schedule.issued("b", 1_000);
        assert_eq!(schedule.next(250), Some("c"));
        schedule.issued("c", 1_000);
        assert_eq!(schedule.next(250), None);
        assert_eq!(schedule.next(300), Some("a"));
    }

    #[test]
    fn failing_hosts_wait_longer_each_time_and_come_last() {
        let mut schedule = schedule(&[("a", 0), ("b", 1)]);
        let mut now_ms = 0;
        let mut waits = Vec::new();
        for _ in 0..40 {
            let wait = schedule.failed("a", now_ms);
            assert_eq!(schedule.waiting(), 1);
            now_ms += u64::try_from(wait.as_millis()).unwrap_or_default();
            assert_eq!(schedule.next(now_ms), Some("b"));
            waits.push(wait.as_secs() / 60);
        }
        assert_eq!(waits[..10], [1, 2, 4, 8, 16, 32, 64, 128, 256, 360]);
        assert_eq!(waits[39], 360);
        schedule.issued("b", u64::MAX);
        assert_eq!(schedule.next(now_ms - 1), None);
        assert_eq!(schedule.next(now_ms), Some("a"));
        schedule.issued("a", 7);
        assert_eq!(schedule.waiting(), 0);
        assert_eq!(schedule.failed("a", 0).as_secs(), 60);
    }

    #[test]
    fn existing_hosts_keep_their_time_when_hosts_change() {
        let mut schedule = schedule(&[("a", 0), ("b", 500)]);
        let wait = schedule.failed("a", 0);
        schedule.set(["a", "c"].map(|host| (host.to_owned(), None)).into(), |_| 700);
        assert_eq!(schedule.next(600), None, "b is gone, a waits, c is not due");
        assert_eq!(schedule.next(700), Some("c"));
        assert_eq!(schedule.failed("b", 0), WAIT_MAX, "it failed after its host was removed");
        schedule.issued("c", u64::MAX);
        assert_eq!(schedule.next(u64::try_from(wait.as_millis()).unwrap_or(0)), Some("a"));
    }

    #[test]
    fn owners_of_new_hosts_take_turns() {
        let [many, one] = [1, 2].map(|id| Some(WorkspaceId::new(uuid::Uuid::from_u128(id))));
        let mut hosts: BTreeMap<_, _> = (0..100).map(|n| (format!("a{n}"), many)).collect();
        let mut schedule = Schedule::default();
        schedule.set(hosts.clone(), |_| 0);
        let fail = |schedule: &mut Schedule| {
            let host = schedule.next(0).map(str::to_owned).unwrap_or_default();
            schedule.failed(&host, 0);
            host
        };
        assert!(fail(&mut schedule).starts_with('a'));
        hosts.extend(["x", "y"].map(|host| (host.to_owned(), one)));
        hosts.insert("z".to_owned(), None);
        schedule.set(hosts, |_| 0);
        let next: Vec<_> = (0..4).map(|_| fail(&mut schedule)).collect();
        assert_eq!((next[0].as_str(), next[1].as_str()), ("x", "z"), "{next:?}");
        assert!(next[2].starts_with('a'), "{next:?}");
        assert_eq!(next[3], "y");
    }
}
