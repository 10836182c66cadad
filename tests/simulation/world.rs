//! One life of two logs on a simulated disk, and the auditor that looks at them after each crash.
//!
//! One seed is one life: a log of changes (appended, synced, answered), a log of clicks (appended,
//! synced now and then), somebody who follows the clicks as far as they are durable, drops of old
//! segments, a disk that fails in all ways it can and is full at times, and crashes, also while a
//! log is being opened.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use crate::disk::{Fault, Op, SimulatedStorage};
use slugline::log::{LocalLog, Log, LogError, LogOptions, Record, verify};

use super::chance::Chance;

/// How many things happen in a life.
const STEPS: u64 = 90;

/// What happened in some lives.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    pub lives: u64,
    pub appended: u64,
    pub answered: u64,
    pub consumed: u64,
    pub crashes: u64,
    pub faults: u64,
    pub poisoned: u64,
    pub full: u64,
    pub dropped: u64,
}

impl Counts {
    pub fn add(&mut self, other: &Self) {
        self.lives += other.lives;
        self.appended += other.appended;
        self.answered += other.answered;
        self.consumed += other.consumed;
        self.crashes += other.crashes;
        self.faults += other.faults;
        self.poisoned += other.poisoned;
        self.full += other.full;
        self.dropped += other.dropped;
    }
}

/// What a log must hold: which attempt's record is at which offset.
#[derive(Default)]
struct Expected {
    /// The number of the attempt whose record is at offset 1, 2, …
    records: Vec<u64>,
    /// Records of an append that stopped the log: each may be there, in order, or not.
    maybe: Vec<u64>,
    /// Up to here records were promised to be durable.
    promised: u64,
    /// The first offset held: at least, and at most.
    first: (u64, u64),
}

/// A log and what is expected of it.
struct Subject {
    dir: &'static str,
    options: LogOptions,
    log: Option<LocalLog>,
    expected: Expected,
}

/// The two logs on their disk.
pub struct World {
    chance: Chance,
    storage: SimulatedStorage,
    mutations: Subject,
    clicks: Subject,
    /// The last click that was followed.
    followed: u64,
    /// Which record each followed offset had.
    consumed: Vec<u64>,
    /// The number of the next record.
    attempt: u64,
    pub counts: Counts,
}

/// A broken promise.
#[derive(Debug)]
pub struct Broken(pub String);

macro_rules! promise {
    ($kept:expr, $($text:tt)*) => {
        if !$kept {
            return Err(Broken(format!($($text)*)));
        }
    };
}

/// The bytes of a record: its number, and some more.
fn payload(attempt: u64) -> Vec<u8> {
    let length = usize::try_from(attempt.wrapping_mul(0x9e37_79b9) % 60).unwrap_or(0);
    let mut bytes = attempt.to_le_bytes().to_vec();
    bytes.resize(8 + length, attempt.to_le_bytes()[0]);
    bytes
}

impl Subject {
    fn new(dir: &'static str, segment_bytes: u64) -> Self {
        let expected = Expected { first: (1, 1), ..Expected::default() };
        Self { dir, options: LogOptions { segment_bytes }, log: None, expected }
    }

    fn open(&mut self, storage: &SimulatedStorage) -> Result<(), LogError> {
        self.log = None;
        self.log =
            Some(LocalLog::open(Arc::new(storage.clone()), Path::new(self.dir), self.options)?);
        Ok(())
    }

    fn log(&self) -> Result<&LocalLog, Broken> {
        self.log.as_ref().ok_or_else(|| Broken("the log is not open".to_owned()))
    }

    /// Appends the records of these attempts as one group.
    fn append(&mut self, attempts: &[u64]) -> Result<Result<u64, LogError>, Broken> {
        let payloads: Vec<_> = attempts.iter().map(|attempt| payload(*attempt)).collect();
        let was_poisoned = self.log()?.poisoned().is_some();
        let appended = self.log()?.append_payloads(7, 1, &payloads);
        match &appended {
            Ok(last) => {
                promise!(!was_poisoned, "{}: a stopped log took records", self.dir);
                self.expected.records.extend(attempts);
                let len = self.expected.records.len() as u64;
                promise!(*last == len, "{}: appended {last} instead of {len}", self.dir);
            }
            Err(error) if error.is_poisoned() && !was_poisoned => {
                self.expected.maybe.extend(attempts);
            }
            Err(_) => {}
        }
        let (end, len) = (self.log()?.end(), self.expected.records.len() as u64);
        promise!(end == len, "{}: the log ends at {end} instead of {len}", self.dir);
        Ok(appended)
    }

    fn sync(&mut self) -> Result<bool, Broken> {
        let was_poisoned = self.log()?.poisoned().is_some();
        let synced = self.log()?.sync();
        if let Ok(synced) = &synced {
            promise!(!was_poisoned, "{}: a stopped log was synced", self.dir);
            let len = self.expected.records.len() as u64;
            promise!(*synced == len, "{}: synced {synced} of {len}", self.dir);
            self.expected.promised = *synced;
        } else {
            promise!(self.log()?.poisoned().is_some(), "{}: a failed sync went on", self.dir);
        }
        Ok(synced.is_ok())
    }

    /// Checks a log that was just opened against what it must hold.
    fn audit(&mut self, storage: &SimulatedStorage) -> Result<(), Broken> {
        let dir = self.dir;
        let report = verify(storage, Path::new(dir)).map_err(|error| Broken(error.to_string()))?;
        promise!(report.is_sound(), "{dir}: {:?}", report.problems);
        let (first, end) = (self.log()?.first(), self.log()?.end());
        let expected = &mut self.expected;
        let promised = expected.promised;
        promise!(end >= promised, "{dir}: {promised} records were promised, {end} are there");
        let (at_least, at_most) = expected.first;
        promise!((at_least..=at_most).contains(&first), "{dir}: it begins at {first}");
        expected.first = (first, first);
        let maybe = std::mem::take(&mut expected.maybe);
        expected.records.extend(maybe);
        let appended = expected.records.len() as u64;
        promise!(end <= appended, "{dir}: {appended} records were appended, {end} are there");
        expected.records.truncate(usize::try_from(end).unwrap_or(usize::MAX));
        expected.promised = end;
        let mut reader =
            self.log()?.read_from(0).map_err(|error| Broken(format!("{dir}: {error}")))?;
        for offset in first..=end {
            let record = reader.next_record().map_err(|error| Broken(format!("{dir}: {error}")))?;
            let record = record.ok_or_else(|| Broken(format!("{dir}: {offset} is missing")))?;
            self.check(&record, offset)?;
        }
        Ok(())
    }

    fn check(&self, record: &Record, offset: u64) -> Result<(), Broken> {
        let attempt = usize::try_from(offset - 1).ok();
        let attempt = attempt.and_then(|at| self.expected.records.get(at)).copied();
        let is_it = attempt.is_some_and(|attempt| record.payload == payload(attempt));
        promise!(record.offset == offset && is_it, "{}: {offset} holds another record", self.dir);
        Ok(())
    }
}

impl World {
    pub fn new(seed: u64) -> Self {
        let mut chance = Chance::new(seed);
        let segment_bytes = 150 + chance.below(900);
        Self {
            storage: SimulatedStorage::default(),
            mutations: Subject::new("mutations", segment_bytes),
            clicks: Subject::new("clicks", segment_bytes),
            followed: 0,
            consumed: Vec::new(),
            attempt: 1,
            chance,
            counts: Counts { lives: 1, ..Counts::default() },
        }
    }

    /// A disk whose syncs do nothing.
    pub fn on_a_lying_disk(seed: u64) -> Self {
        let world = Self::new(seed);
        world.storage.lie();
        world
    }

    /// Lives the life.
    pub fn run(&mut self) -> Result<(), Broken> {
        self.open_all()?;
        for _ in 0..STEPS {
            match self.chance.below(100) {
                0..30 => self.change()?,
                30..60 => self.click()?,
                60..70 => self.follow()?,
                70..76 => self.drop_old()?,
                76..88 => self.plan_fault(),
                88..93 => self.fill_or_make_room(),
                _ => self.crash()?,
            }
        }
        self.crash()
    }

    fn attempts(&mut self) -> Vec<u64> {
        let count = 1 + self.chance.below(4);
        let first = self.attempt;
        self.attempt += count;
        (first..first + count).collect()
    }

    /// A group of changes: answered when it is synced.
    fn change(&mut self) -> Result<(), Broken> {
        let attempts = self.attempts();
        let appended = self.mutations.append(&attempts)?;
        self.note(&appended);
        if appended.is_ok() && self.mutations.sync()? {
            self.counts.answered += attempts.len() as u64;
        }
        Ok(())
    }

    fn click(&mut self) -> Result<(), Broken> {
        let attempts = self.attempts();
        let appended = self.clicks.append(&attempts)?;
        self.note(&appended);
        if self.chance.below(3) == 0 {
            self.clicks.sync()?;
        }
        Ok(())
    }

    fn note(&mut self, appended: &Result<u64, LogError>) {
        match appended {
            Ok(_) => self.counts.appended += 1,
            Err(error) if error.is_full() => self.counts.full += 1,
            Err(error) if error.is_poisoned() => self.counts.poisoned += 1,
            Err(_) => {}
        }
    }

    /// Consumes what is durable, as a projection does: that must never change afterwards.
    fn follow(&mut self) -> Result<(), Broken> {
        let synced = self.clicks.log()?.synced();
        let Ok(mut reader) = self.clicks.log()?.read_from(self.followed + 1) else {
            return Err(Broken(format!("the follower is at {}, behind the log", self.followed)));
        };
        while self.followed < synced {
            // Reading may fail, and is tried again another time.
            let Ok(Some(record)) = reader.next_record() else { return Ok(()) };
            self.clicks.check(&record, self.followed + 1)?;
            self.followed += 1;
            let at = usize::try_from(self.followed - 1).unwrap_or(usize::MAX);
            self.consumed.push(self.clicks.expected.records[at]);
            self.counts.consumed += 1;
        }
        Ok(())
    }

    /// Drops segments that were followed to their end.
    fn drop_old(&mut self) -> Result<(), Broken> {
        let before = 1 + self.chance.below(self.followed + 1);
        let (held, perhaps) = self.clicks.expected.first;
        let at_most = before.max(perhaps);
        match self.clicks.log()?.drop_before(before) {
            Ok(first) => {
                promise!(first <= at_most, "it begins at {first}, not only behind {before}");
                self.counts.dropped += u64::from(first > held);
                // A drop that failed may have been noted all the same.
                self.clicks.expected.first = (first, first.max(perhaps));
            }
            Err(_) => self.clicks.expected.first = (held, at_most),
        }
        Ok(())
    }

    fn plan_fault(&mut self) {
        let every = [
            Op::Open,
            Op::Create,
            Op::Write,
            Op::Write,
            Op::WriteMark,
            Op::Sync,
            Op::SetLen,
            Op::Rename,
            Op::Remove,
            Op::SyncDir,
        ];
        let op = every[usize::try_from(self.chance.below(every.len() as u64)).unwrap_or(0)];
        let passes = u32::try_from(self.chance.below(4)).unwrap_or(0);
        let is_write = matches!(op, Op::Write | Op::WriteMark);
        let kinds = [ErrorKind::StorageFull, ErrorKind::Other, ErrorKind::Interrupted];
        let kind = kinds[usize::try_from(self.chance.below(3)).unwrap_or(0)];
        if is_write && self.chance.below(2) == 0 {
            let stored = usize::try_from(self.chance.below(200)).unwrap_or(0);
            self.storage.fail(op, passes, Fault::Short(stored));
            self.storage.fail(op, 0, Fault::Error(kind));
        } else {
            self.storage.fail(op, passes, Fault::Error(kind));
        }
        self.counts.faults += 1;
    }

    fn fill_or_make_room(&mut self) {
        let room = usize::try_from(self.chance.below(300)).unwrap_or(0);
        let is_filled = self.chance.below(2) == 0;
        self.storage.set_capacity(is_filled.then(|| self.storage.used() + room));
    }

    /// The machine stops, and comes back with what the disk kept; perhaps it stops again while
    /// the logs are being opened.
    fn crash(&mut self) -> Result<(), Broken> {
        loop {
            self.counts.crashes += 1;
            self.mutations.log = None;
            self.clicks.log = None;
            self.storage = self.storage.crashed(self.chance.next());
            if self.chance.below(4) > 0 {
                break;
            }
            self.plan_fault();
            let opened = self.mutations.open(&self.storage);
            let opened = opened.and_then(|()| self.clicks.open(&self.storage));
            if let Err(LogError::Corrupt { .. }) = opened {
                return Err(Broken(format!("{opened:?}")));
            }
        }
        self.open_all()
    }

    fn open_all(&mut self) -> Result<(), Broken> {
        self.storage.heal();
        for subject in [&mut self.mutations, &mut self.clicks] {
            let opened = subject.open(&self.storage);
            promise!(opened.is_ok(), "{} does not open: {opened:?}", subject.dir);
            subject.audit(&self.storage)?;
        }
        let consumed = self.consumed.iter().zip(&self.clicks.expected.records);
        let is_kept = consumed.clone().count() == self.consumed.len();
        promise!(is_kept, "of {} clicks followed some are gone", self.consumed.len());
        promise!(consumed.clone().all(|(then, now)| then == now), "a click followed has changed");
        Ok(())
    }
}
