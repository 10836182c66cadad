//! The thin trait between the index and its key-value store, and sled behind it.

use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use super::IndexError;

/// What sled may keep of the file in memory. Its own default is 1 GiB.
const CACHE_BYTES: u64 = 32 << 20;

/// Keys to their new values, or to nothing; applied together or not at all.
pub type Changes = std::collections::BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// An ordered key-value store with atomic batches.
pub trait Store: Send + Sync {
    /// The value of a key.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, IndexError>;
    /// Applies all of the changes, or none.
    fn apply(&self, changes: &Changes) -> Result<(), IndexError>;
    /// Keys and values with a prefix, ascending.
    fn scan(&self, prefix: &[u8]) -> Rows<'_>;
    /// Keys and values with a prefix, descending from just below `before`, or from the end.
    fn scan_back(&self, prefix: &[u8], before: Option<&[u8]>) -> Rows<'_>;
    /// Waits until what was applied is on disk.
    fn flush(&self) -> Result<(), IndexError>;
}

/// Rows of a scan.
pub type Rows<'a> = Box<dyn Iterator<Item = Result<(Vec<u8>, Vec<u8>), IndexError>> + 'a>;

/// sled 0.34: one tree, so that a batch is atomic over all of it.
pub struct Sled {
    tree: sled::Db,
}

impl Sled {
    /// Opens the folder. A folder that sled can't read is put aside, beside the new one, and an
    /// empty store is opened: the index is a projection, the log has it all.
    pub fn open_or_put_aside(folder: &Path) -> Result<Self, IndexError> {
        match Self::open(folder) {
            Ok(store) => Ok(store),
            Err(error) if !folder.exists() => Err(error),
            Err(error) => {
                let aside = put_aside(folder)?;
                tracing::warn!(%error, aside = %aside.display(), "the index is broken and is rebuilt from the log");
                Self::open(folder)
            }
        }
    }

    fn open(folder: &Path) -> Result<Self, IndexError> {
        // sled 0.34 panics on some broken files where it should return an error.
        let opened = catch_unwind(AssertUnwindSafe(|| {
            sled::Config::new()
                .path(folder)
                .cache_capacity(CACHE_BYTES)
                .flush_every_ms(Some(500))
                .open()
        }));
        match opened {
            Ok(Ok(tree)) => Ok(Self { tree }),
            Ok(Err(error)) => Err(error.into()),
            Err(_) => Err(IndexError::Broken("the store panicked while it was opened")),
        }
    }
}

/// Renames a folder so that it is out of the way but not lost, and says where it is now.
pub fn put_aside(folder: &Path) -> Result<PathBuf, IndexError> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut name = folder.file_name().unwrap_or_default().to_os_string();
    name.push(format!(".broken-{}", now.as_millis()));
    let aside = folder.with_file_name(name);
    std::fs::rename(folder, &aside).map_err(|error| IndexError::Io(folder.to_owned(), error))?;
    Ok(aside)
}

impl Store for Sled {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, IndexError> {
        Ok(self.tree.get(key)?.map(|value| value.to_vec()))
    }

    fn apply(&self, changes: &Changes) -> Result<(), IndexError> {
        let mut batch = sled::Batch::default();
        for (key, value) in changes {
            match value {
                Some(value) => batch.insert(key.as_slice(), value.as_slice()),
                None => batch.remove(key.as_slice()),
            }
        }
        Ok(self.tree.apply_batch(batch)?)
    }

    fn scan(&self, prefix: &[u8]) -> Rows<'_> {
        Box::new(self.tree.scan_prefix(prefix).map(owned))
    }

    fn scan_back(&self, prefix: &[u8], before: Option<&[u8]>) -> Rows<'_> {
        let end = before.map_or_else(|| end_of(prefix), |key| Bound::Excluded(key.to_vec()));
        let range = (Bound::Included(prefix.to_vec()), end);
        Box::new(self.tree.range::<Vec<u8>, _>(range).rev().map(owned))
    }

    fn flush(&self) -> Result<(), IndexError> {
        self.tree.flush()?;
        Ok(())
    }
}

fn owned(row: sled::Result<(sled::IVec, sled::IVec)>) -> Result<(Vec<u8>, Vec<u8>), IndexError> {
    let (key, value) = row?;
    Ok((key.to_vec(), value.to_vec()))
}

/// The first key after all those with this prefix.
fn end_of(prefix: &[u8]) -> Bound<Vec<u8>> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            return Bound::Excluded(end);
        }
    }
    Bound::Unbounded
}
