//! Encrypts personal data, so that destroying one key removes it from the log and from every copy.
//!
//! The log is append-only: an email address in an event stays forever. So events contain it sealed
//! with a key of its subject, a user, and the keys are here, in one file whose records are
//! overwritten in place. Without the key, what is sealed is noise.
//!
//! A record has 64 bytes, so that none crosses a sector of the disk:
//!
//! | bytes | |
//! |---|---|
//! | 16 | the subject; zeros in the first record, whose key is that of [`PersonalData::email_hash`] |
//! | 32 | the key; zeros once destroyed |
//! | 8 | the state: `key live` or `DESTROYD` |
//! | 4 | CRC32C of the subject |
//! | 4 | CRC32C of the key; zeros once destroyed |
//!
//! The file is created with its first record atomically. An append interrupted by a crash leaves a
//! partial record or zeros at the end, which nobody relies on: these are cut off. A key is destroyed
//! by changing the state, then the key, each with a sync; an interrupted change is completed.
//! Anything else is damage.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hmac;
use uuid::Uuid;

use crate::log::replace_file;

/// The name of the file in the data folder.
pub const FILE: &str = "personal.keys";

const RECORD_LEN: usize = 64;
const STATE_AT: usize = 48;
const LIVE: &[u8; 8] = b"key live";
const DESTROYED: &[u8; 8] = b"DESTROYD";

type Key = [u8; 32];

/// The keys of personal data. Cheap to clone.
#[derive(Clone)]
pub struct PersonalData(Arc<Shared>);

struct Shared {
    path: PathBuf,
    email_key: hmac::Key,
    /// What is on disk. Written while `file` is locked, after the sync.
    keys: RwLock<HashMap<Uuid, Slot>>,
    file: Mutex<Writer>,
}

struct Slot {
    record: u64,
    /// `None` once destroyed.
    key: Option<Key>,
}

struct Writer {
    file: File,
    /// Number of records.
    len: u64,
}

impl PersonalData {
    /// Reads the file, or creates it.
    ///
    /// # Errors
    /// If the file is damaged, or cannot be read or written.
    pub fn open(path: &Path) -> io::Result<Self> {
        if !fs::exists(path)? {
            replace_file(path, &encode(Uuid::nil(), &rand::random()))?;
        }
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        let bytes = fs::read(path)?;
        let (records, torn) = bytes.as_chunks::<RECORD_LEN>();
        let records = match records {
            [intact @ .., [0, rest @ ..]] if rest == &[0; RECORD_LEN - 1] => intact,
            all => all,
        };
        let mut keys = HashMap::new();
        for (at, record) in (0..).zip(records) {
            let damaged = || damaged(path, at);
            let (subject, key) = decode(record).ok_or_else(damaged)?;
            let Entry::Vacant(vacant) = keys.entry(subject) else { return Err(damaged()) };
            vacant.insert(Slot { record: at, key });
            if key.is_none() && record[16..] != destroyed(subject)[16..] {
                overwrite(&file, at, subject)?;
            }
        }
        // Also an empty file: without the key of the email hashes, no user is found again.
        let first = keys.remove(&Uuid::nil()).filter(|slot| slot.record == 0);
        let email_key = first.and_then(|slot| slot.key).ok_or_else(|| damaged(path, 0))?;
        let len = records.len() as u64;
        if bytes.len() != records.len() * RECORD_LEN {
            tracing::warn!(path = %path.display(), torn = torn.len(), "cutting off a key that was not completely written");
            file.set_len(len * RECORD_LEN as u64)?;
            file.sync_all()?;
        }
        Ok(Self(Arc::new(Shared {
            path: path.to_owned(),
            email_key: hmac::Key::new(hmac::HMAC_SHA256, &email_key),
            keys: RwLock::new(keys),
            file: Mutex::new(Writer { file, len }),
        })))
    }

    /// Creates the key of a subject, durably, if it has none.
    ///
    /// # Errors
    /// If it cannot be written, or the subject's key was destroyed.
    pub fn create_key(&self, subject: Uuid) -> io::Result<()> {
        let mut writer = self.0.file.lock().unwrap_or_else(PoisonError::into_inner);
        match self.slot(subject) {
            Some(Slot { key: Some(_), .. }) => return Ok(()),
            Some(Slot { key: None, .. }) => {
                return Err(
                    self.error(&io::Error::other(format!("the key of {subject} was destroyed")))
                );
            }
            None if subject.is_nil() => {
                return Err(self.error(&io::ErrorKind::InvalidInput.into()));
            }
            None => {}
        }
        let (record, key) = (writer.len, rand::random());
        // What a failed write leaves is overwritten by the next one.
        writer
            .file
            .write_all_at(&encode(subject, &key), record * RECORD_LEN as u64)
            .and_then(|()| writer.file.sync_all())
            .map_err(|error| self.error(&error))?;
        writer.len += 1;
        self.set(subject, Slot { record, key: Some(key) });
        Ok(())
    }

    /// Destroys the key of a subject, durably: what was sealed for it is lost. It cannot get
    /// another. Nothing happens if it has none.
    pub fn destroy_key(&self, subject: Uuid) -> io::Result<()> {
        let writer = self.0.file.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(Slot { record, key: Some(_) }) = self.slot(subject) else { return Ok(()) };
        overwrite(&writer.file, record, subject).map_err(|error| self.error(&error))?;
        self.set(subject, Slot { record, key: None });
        Ok(())
    }

    /// The subjects that have a key.
    pub fn subjects(&self) -> Vec<Uuid> {
        let keys = self.0.keys.read().unwrap_or_else(PoisonError::into_inner);
        let live = keys.iter().filter(|(_, slot)| slot.key.is_some());
        live.map(|(subject, _)| *subject).collect()
    }

    /// Encrypts a field of a subject; `None` if it has no key.
    pub fn seal(&self, subject: Uuid, field: &'static str, text: &str) -> Option<Vec<u8>> {
        let key = self.key(subject)?;
        // 96 random bits do not repeat within the few fields of one subject.
        let nonce: [u8; NONCE_LEN] = rand::random();
        let mut sealed = text.as_bytes().to_vec();
        let tag = key
            .seal_in_place_separate_tag(
                Nonce::assume_unique_for_key(nonce),
                context(subject, field),
                &mut sealed,
            )
            .ok()?;
        Some([&nonce[..], &sealed, tag.as_ref()].concat())
    }

    /// Decrypts a field of a subject; `None` if its key is gone, or the field is not what was
    /// sealed.
    pub fn open_sealed(&self, subject: Uuid, field: &'static str, sealed: &[u8]) -> Option<String> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE_LEN>()?;
        let (key, nonce) = (self.key(subject)?, Nonce::assume_unique_for_key(*nonce));
        let mut sealed = sealed.to_vec();
        let text = key.open_in_place(nonce, context(subject, field), &mut sealed).ok()?;
        String::from_utf8(text.to_vec()).ok()
    }

    /// A keyed hash of an email address, by which its user is found.
    pub fn email_hash(&self, normalized_email: &str) -> [u8; 32] {
        let tag = hmac::sign(&self.0.email_key, normalized_email.as_bytes());
        let mut hash = [0; 32];
        hash.copy_from_slice(tag.as_ref());
        hash
    }

    fn key(&self, subject: Uuid) -> Option<LessSafeKey> {
        let key = self.slot(subject)?.key?;
        UnboundKey::new(&AES_256_GCM, &key).ok().map(LessSafeKey::new)
    }

    fn slot(&self, subject: Uuid) -> Option<Slot> {
        let keys = self.0.keys.read().unwrap_or_else(PoisonError::into_inner);
        keys.get(&subject).map(|slot| Slot { ..*slot })
    }

    fn set(&self, subject: Uuid, slot: Slot) {
        self.0.keys.write().unwrap_or_else(PoisonError::into_inner).insert(subject, slot);
    }

    /// Names the file.
    fn error(&self, error: &io::Error) -> io::Error {
        io::Error::new(error.kind(), format!("{}: {error}", self.0.path.display()))
    }
}

/// Sealed data of another subject or field does not open.
fn context(subject: Uuid, field: &str) -> Aad<Vec<u8>> {
    Aad::from([subject.as_bytes(), field.as_bytes()].concat())
}

fn encode(subject: Uuid, key: &Key) -> [u8; RECORD_LEN] {
    let mut record = [0; RECORD_LEN];
    record[..16].copy_from_slice(subject.as_bytes());
    record[16..STATE_AT].copy_from_slice(key);
    record[STATE_AT..56].copy_from_slice(LIVE);
    record[56..60].copy_from_slice(&crc32c::crc32c(subject.as_bytes()).to_le_bytes());
    record[60..].copy_from_slice(&crc32c::crc32c(key).to_le_bytes());
    record
}

fn destroyed(subject: Uuid) -> [u8; RECORD_LEN] {
    let mut record = encode(subject, &[0; 32]);
    record[STATE_AT..56].copy_from_slice(DESTROYED);
    record[60..].fill(0);
    record
}

/// The subject and its key, unless destroyed; `None` if the record is damaged.
fn decode(record: &[u8; RECORD_LEN]) -> Option<(Uuid, Option<Key>)> {
    let subject = Uuid::from_slice(&record[..16]).ok()?;
    let key: Key = record[16..STATE_AT].try_into().ok()?;
    let is_live = record == &encode(subject, &key);
    let is_destroyed = record[STATE_AT..60] == destroyed(subject)[STATE_AT..60];
    (is_live || is_destroyed).then_some((subject, is_live.then_some(key)))
}

/// Destroys the key of a record. The state is changed first, so that a crash leaves no key that is
/// neither whole nor known to be destroyed.
fn overwrite(file: &File, record: u64, subject: Uuid) -> io::Result<()> {
    let at = record * RECORD_LEN as u64;
    file.write_all_at(DESTROYED, at + STATE_AT as u64)?;
    file.sync_all()?;
    file.write_all_at(&destroyed(subject), at)?;
    file.sync_all()
}

fn damaged(path: &Path, record: u64) -> io::Error {
    let message =
        format!("{}: damaged at record {record}; restore it from a backup", path.display());
    io::Error::new(io::ErrorKind::InvalidData, message)
}

#[cfg(test)]
#[path = "personal_data_tests.rs"]
mod tests;
