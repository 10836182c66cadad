//! Damage of many kinds to each kind of file is found, and repaired from the log.

use std::fs;

use super::history::of_seed;
use super::*;

/// `SplitMix64`.
struct Chance(u64);

impl Chance {
    fn next(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((mixed ^ (mixed >> 31)) % below.max(1) as u64).unwrap()
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files.extend(self::files(&path)) } else { files.push(path) }
    }
    files.sort();
    files
}

/// Damages one or two files of the folder; returns a description.
fn damage(folder: &Path, other: &[u8], chance: &mut Chance) -> String {
    let files = files(folder);
    let path = &files[chance.next(files.len())];
    let mut bytes = fs::read(path).unwrap();
    let kind = chance.next(7);
    match kind {
        0 => fs::remove_file(path).unwrap(),
        1 => bytes.truncate(chance.next(bytes.len())),
        2 => {
            for _ in 0..=chance.next(8) {
                let (at, bit) = (chance.next(bytes.len()), chance.next(8));
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << bit;
                }
            }
        }
        3 => {
            let from = chance.next(bytes.len());
            let to = (from + chance.next(4_096)).min(bytes.len());
            bytes[from..to].iter_mut().for_each(|byte| *byte = chance.next(256).to_le_bytes()[0]);
        }
        4 => {
            let second = &files[chance.next(files.len())];
            let theirs = fs::read(second).unwrap();
            fs::write(second, &bytes).unwrap();
            bytes = theirs;
        }
        5 => bytes = other.to_vec(),
        _ => {
            let from = chance.next(bytes.len());
            bytes[from..].fill(0);
        }
    }
    if kind != 0 {
        fs::write(path, bytes).unwrap();
    }
    format!("kind {kind} to {}", path.display())
}

/// Each case is opened, read completely, and repaired if that finds damage. The results are never
/// wrong, and complete in the end.
fn five_hundred(part: u64, cases: u64) {
    let events = of_seed(100 + part, 150);
    let expected = Map::of(&events).digest();
    let (early, late) = events.split_at(events.len() * 2 / 3);
    let place = Place::with(early);
    let index = place.open(NO_BASES);
    index.compact(&*place.log, &|_, _| true).unwrap();
    write(&index, &*place.log, late).unwrap();
    index.flush().unwrap();
    drop(index);
    let whole = place.folder.path().join("whole");
    fs::rename(place.index(), &whole).unwrap();
    let stranger = Place::with(&of_seed(7, 100));
    drop(stranger.open(Tuning { start_events_min: 1, events_max: 1, ..NO_BASES }));
    let other = fs::read(stranger.names("base-").pop().unwrap()).unwrap();

    let mut repaired = 0;
    for case in 0..cases {
        let mut chance = Chance(part << 32 | case);
        copy(&whole, &place.index());
        let done = damage(&place.index(), &other, &mut chance);
        let index = place.open(NO_BASES);
        assert_eq!(index.applied(), place.log.end(), "case {case}: {done}");
        if index.digest().is_err() {
            // As the compactor does after a reader finds damage.
            index.rebuild(&*place.log, &|_, _| {}).unwrap();
            repaired += 1;
        }
        assert_eq!(index.digest().unwrap(), expected, "case {case}: {done}");
        drop(index);
        fs::remove_dir_all(place.index()).unwrap();
    }
    assert!(repaired > 0, "no damage was found while reading");
}

#[test]
fn damaged_files_heal_1() {
    five_hundred(1, 125);
}

#[test]
fn damaged_files_heal_2() {
    five_hundred(2, 125);
}

#[test]
fn damaged_files_heal_3() {
    five_hundred(3, 125);
}

#[test]
fn damaged_files_heal_4() {
    five_hundred(4, 125);
}
