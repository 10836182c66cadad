//! Sealing, shredding, and every way in which a crash can leave the file.
#![allow(clippy::unwrap_used)]

use std::os::unix::fs::PermissionsExt;

use super::*;

const ADA: Uuid = Uuid::from_u128(1);
const BOB: Uuid = Uuid::from_u128(2);
const EMAIL: &str = "ada@example.com";

fn folder() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(FILE);
    (folder, path)
}

fn refused(path: &Path) -> String {
    let error = PersonalData::open(path).map(|_| ()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    assert!(error.to_string().contains(FILE), "{error}");
    error.to_string()
}

#[test]
fn sealed_data_opens_for_its_subject_and_field_only() {
    let (_folder, path) = folder();
    let data = PersonalData::open(&path).unwrap();
    assert_eq!(data.seal(ADA, "email", EMAIL), None, "no key");
    for subject in [ADA, BOB, ADA] {
        data.create_key(subject).unwrap();
    }
    assert!(data.create_key(Uuid::nil()).is_err(), "the record of the file's own key");
    let sealed = data.seal(ADA, "email", EMAIL).unwrap();
    assert_ne!(sealed, data.seal(ADA, "email", EMAIL).unwrap(), "a random nonce");
    let empty = data.seal(ADA, "name", "").unwrap();
    // As is, and after a restart.
    for data in [data.clone(), PersonalData::open(&path).unwrap()] {
        assert_eq!(data.open_sealed(ADA, "email", &sealed).as_deref(), Some(EMAIL));
        assert_eq!(data.open_sealed(ADA, "name", &empty).as_deref(), Some(""));
        assert_eq!(data.open_sealed(BOB, "email", &sealed), None);
        assert_eq!(data.open_sealed(ADA, "name", &sealed), None);
        for at in 0..sealed.len() {
            assert_eq!(data.open_sealed(ADA, "email", &sealed[..at]), None);
            let mut garbled = sealed.clone();
            garbled[at] ^= 1;
            assert_eq!(data.open_sealed(ADA, "email", &garbled), None);
        }
    }
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(&path).unwrap().len(), 3 * 64);
}

#[test]
fn emails_are_hashed_with_the_key_of_the_file() {
    let ((_one, one), (_other, other)) = (folder(), folder());
    let data = PersonalData::open(&one).unwrap();
    let hash = data.email_hash(EMAIL);
    assert_ne!(hash, data.email_hash("bob@example.com"));
    assert_eq!(hash, PersonalData::open(&one).unwrap().email_hash(EMAIL));
    assert_ne!(hash, PersonalData::open(&other).unwrap().email_hash(EMAIL));
}

#[test]
fn a_destroyed_key_is_nowhere_and_never_comes_back() {
    let (_folder, path) = folder();
    let data = PersonalData::open(&path).unwrap();
    data.destroy_key(ADA).unwrap();
    for subject in [ADA, BOB] {
        data.create_key(subject).unwrap();
    }
    let sealed = [ADA, BOB].map(|subject| data.seal(subject, "email", EMAIL).unwrap());
    let key = data.slot(ADA).unwrap().key.unwrap();
    let holds_key = || fs::read(&path).unwrap().windows(32).any(|bytes| bytes == key);
    assert!(holds_key());
    data.destroy_key(ADA).unwrap();
    data.destroy_key(ADA).unwrap();
    assert!(!holds_key());
    for data in [data, PersonalData::open(&path).unwrap()] {
        assert_eq!(data.open_sealed(ADA, "email", &sealed[0]), None);
        assert_eq!(data.seal(ADA, "email", EMAIL), None);
        assert!(data.create_key(ADA).unwrap_err().to_string().contains(FILE));
        data.destroy_key(ADA).unwrap();
        assert_eq!(data.open_sealed(BOB, "email", &sealed[1]).as_deref(), Some(EMAIL));
    }
}

#[test]
fn a_last_record_that_was_not_completely_written_is_cut_off() {
    let (_folder, path) = folder();
    let data = PersonalData::open(&path).unwrap();
    data.create_key(ADA).unwrap();
    let sealed = data.seal(ADA, "email", EMAIL).unwrap();
    data.create_key(BOB).unwrap();
    let whole = fs::read(&path).unwrap();
    // A crash can leave a shorter file, or the new length without the bytes.
    let torn = (128..192).map(|len| whole[..len].to_vec());
    let zeros = [whole[..128].to_vec(), vec![0; 64]].concat();
    for bytes in torn.chain([zeros]) {
        fs::write(&path, &bytes).unwrap();
        let data = PersonalData::open(&path).unwrap();
        assert_eq!(fs::read(&path).unwrap(), whole[..128]);
        assert_eq!(data.open_sealed(ADA, "email", &sealed).as_deref(), Some(EMAIL));
        assert_eq!(data.seal(BOB, "email", EMAIL), None);
        data.create_key(BOB).unwrap();
        let sealed = data.seal(BOB, "email", EMAIL).unwrap();
        let data = PersonalData::open(&path).unwrap();
        assert_eq!(data.open_sealed(BOB, "email", &sealed).as_deref(), Some(EMAIL));
    }
    // The first record is created atomically, so it is never torn.
    for len in 0..64 {
        fs::write(&path, &whole[..len]).unwrap();
        assert!(refused(&path).contains("record 0"));
    }
    fs::write(&path, [0; 64]).unwrap();
    refused(&path);
}

#[test]
fn damage_is_an_error_that_names_the_file_and_changes_nothing() {
    let (_folder, path) = folder();
    let data = PersonalData::open(&path).unwrap();
    for subject in [ADA, BOB] {
        data.create_key(subject).unwrap();
    }
    let whole = fs::read(&path).unwrap();
    for at in 0..whole.len() {
        for flip in [1, 0x80, 0xff] {
            let mut garbled = whole.clone();
            garbled[at] ^= flip;
            fs::write(&path, &garbled).unwrap();
            let record = at / 64;
            assert!(refused(&path).contains(&format!("record {record}")), "byte {at}");
            assert_eq!(fs::read(&path).unwrap(), garbled);
        }
    }
    let twice = [&whole[..], &whole[64..128]].concat();
    fs::write(&path, twice).unwrap();
    assert!(refused(&path).contains("record 3"));
}

/// A crash between the two writes of a destruction, or within the second.
#[test]
fn an_interrupted_destruction_is_completed() {
    let (_folder, path) = folder();
    let data = PersonalData::open(&path).unwrap();
    for subject in [ADA, BOB] {
        data.create_key(subject).unwrap();
    }
    let sealed = data.seal(BOB, "email", EMAIL).unwrap();
    let before = fs::read(&path).unwrap();
    data.destroy_key(ADA).unwrap();
    let after = fs::read(&path).unwrap();
    let mut marked = before;
    marked[64 + 48..64 + 56].copy_from_slice(DESTROYED);
    for at in 64..=128 {
        fs::write(&path, [&after[..at], &marked[at..]].concat()).unwrap();
        let data = PersonalData::open(&path).unwrap();
        assert_eq!(fs::read(&path).unwrap(), after, "byte {at}");
        assert_eq!(data.seal(ADA, "email", EMAIL), None);
        assert!(data.create_key(ADA).is_err());
        assert_eq!(data.open_sealed(BOB, "email", &sealed).as_deref(), Some(EMAIL));
    }
}
