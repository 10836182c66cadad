use std::collections::BTreeMap;
use std::ops::Bound;

use proptest::prelude::*;

use super::*;

/// First bytes of the keys in the filters.
const FILTERED: &[u8] = b"BNPYcdghijklnoqstx";
const FORMAT: u64 = 6;
const ORIGIN: Origin = Origin { log: [3; 16], offset: 77 };

type Entries = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

fn write(path: &std::path::Path, entries: &Entries) -> Table {
    let mut writer = TableWriter::create(path, FILTERED, entries.len() as u64).unwrap();
    for (key, value) in entries {
        writer.add(key, value.as_deref()).unwrap();
    }
    writer.finish(ORIGIN, FORMAT, 5).unwrap()
}

fn many(count: u32) -> Entries {
    let entry = |number: u32| {
        let key = format!("s{:08}", number * 2).into_bytes();
        (key, (!number.is_multiple_of(7)).then(|| vec![7; (number % 90) as usize]))
    };
    (0..count).map(entry).collect()
}

#[test]
fn what_is_written_is_found_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t");
    let entries = many(5_000);
    drop(write(&path, &entries));
    let table = Table::open(&path, |format| format == FORMAT).unwrap();
    assert_eq!((table.origin, table.entries, table.made_at_ms), (ORIGIN, 5_000, 5));
    for (key, value) in &entries {
        let expected = value.clone().map_or(Lookup::Gone, Lookup::Value);
        assert_eq!(table.get(key).unwrap(), expected);
        let mut other = key.clone();
        other.push(0);
        assert_eq!(table.get(&other).unwrap(), Lookup::Nothing);
    }
    let mut cursor = Cursor::new(&table);
    for (key, value) in &entries {
        assert!(cursor.advance().unwrap());
        assert_eq!((cursor.key.as_slice(), cursor.value()), (key.as_slice(), value.as_deref()));
    }
    assert!(!cursor.advance().unwrap());
    assert!(!cursor.advance().unwrap());
}

#[test]
fn an_empty_table_and_a_long_value() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t");
    write(&path, &Entries::new());
    let table = Table::open(&path, |format| format == FORMAT).unwrap();
    assert_eq!(table.get(b"s").unwrap(), Lookup::Nothing);
    assert_eq!(table.rows((Bound::Unbounded, Bound::Unbounded), true).count(), 0);
    let long = Entries::from([(b"l1".to_vec(), Some(vec![9; 1 << 20])), (b"l2".to_vec(), None)]);
    write(&path, &long);
    let table = Table::open(&path, |format| format == FORMAT).unwrap();
    assert_eq!(table.get(b"l1").unwrap(), Lookup::Value(vec![9; 1 << 20]));
    assert_eq!(table.get(b"l2").unwrap(), Lookup::Gone);
}

/// Every flipped bit is an error when the table is opened or read.
#[test]
fn each_flipped_bit_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t");
    let entries = many(60);
    write(&path, &entries);
    let whole = std::fs::read(&path).unwrap();
    for bit in 0..whole.len() * 8 {
        let mut flipped = whole.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        std::fs::write(&path, &flipped).unwrap();
        let read =
            Table::open(&path, |format| format == FORMAT).and_then(|table| table.check(|| true));
        assert!(matches!(read, Err(SstError::Damaged { .. })), "bit {bit}: {read:?}");
    }
    for length in 0..whole.len() {
        std::fs::write(&path, &whole[..length]).unwrap();
        assert!(Table::open(&path, |format| format == FORMAT).is_err(), "{length}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn ranges_are_those_of_a_map(
        keys in prop::collection::btree_map("s[a-c]{0,6}", prop::option::of(0_usize..2_000), 0..200),
        from in "s[a-c]{0,4}",
        to in "s[a-c]{0,4}",
        shape in 0..9,
        is_reverse: bool,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let entries: Entries = keys
            .into_iter()
            .map(|(key, value)| (key.into_bytes(), value.map(|length| vec![1; length])))
            .collect();
        let table = write(&folder.path().join("t"), &entries);
        let (from, to) = (from.min(to.clone()).into_bytes(), to.into_bytes());
        let bound = |kind: i32, key: Vec<u8>| match kind {
            0 => Bound::Unbounded,
            1 => Bound::Included(key),
            _ => Bound::Excluded(key),
        };
        let range = (bound(shape % 3, from), bound(shape / 3, to));
        // `BTreeMap::range` panics when equal bounds are both excluded.
        prop_assume!(!matches!(&range, (Bound::Excluded(a), Bound::Excluded(b)) if a == b));
        let mut expected: Vec<_> = entries.range(range.clone()).collect();
        if is_reverse {
            expected.reverse();
        }
        let rows: Vec<_> = table.rows(range, is_reverse).map(Result::unwrap).collect();
        prop_assert_eq!(rows.iter().map(|(k, v)| (k, v)).collect::<Vec<_>>(), expected);
    }
}
