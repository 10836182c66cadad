//! A storage in memory that fails on demand and forgets, on a crash, what was not synced: to run
//! a log through more disasters in a second than a disk meets in its life.
//!
//! The model is as unkind as a real disk may be. Of the changes since the last sync a crash
//! keeps any subset, in any order, torn at any byte, and lengthens files whether or not the data
//! got there. A failed sync drops those changes for good, and the next sync succeeds
//! nevertheless. Names come and go with the folder's sync alone. The disk may be full. What a
//! crash does is a function of a seed.

mod inode;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use self::inode::{Chance, Change, Inode};
use super::storage::{Access, Storage, StorageFile};

/// An operation that can be made to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "they are the storage's own operations")]
pub enum Op {
    Open,
    Create,
    /// A write to a segment.
    Write,
    /// A write to one of the small files beside the segments.
    WriteMark,
    Sync,
    SetLen,
    Rename,
    Remove,
    SyncDir,
}

/// How it fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// With this error, nothing done.
    Error(io::ErrorKind),
    /// A write that stores only so many bytes and says so.
    Short(usize),
}

type Names = BTreeMap<PathBuf, Arc<Mutex<Inode>>>;

#[derive(Default)]
struct Disk {
    names: Names,
    durable_names: Names,
    /// Faults to come: the operation, how many of its kind pass before, and the fault.
    faults: Vec<(Op, u32, Fault)>,
    /// How many bytes all files together may have; `None`: any number.
    capacity: Option<usize>,
    /// Whether a sync does nothing and says that it did.
    is_lying: bool,
}

impl Disk {
    fn fault(&mut self, op: Op) -> Option<Fault> {
        let mut due = None;
        for (index, (planned, passes, _)) in self.faults.iter_mut().enumerate() {
            if *planned != op {
                continue;
            }
            if *passes == 0 {
                due = Some(index);
                break;
            }
            *passes -= 1;
        }
        due.map(|index| self.faults.remove(index).2)
    }

    /// How many more bytes there is room for.
    fn room(&self) -> usize {
        let Some(capacity) = self.capacity else { return usize::MAX };
        let used: usize = self.names.values().map(|inode| locked(inode).bytes().len()).sum();
        capacity.saturating_sub(used)
    }

    fn check(&mut self, op: Op) -> io::Result<()> {
        match self.fault(op) {
            Some(Fault::Error(kind)) => Err(kind.into()),
            _ => Ok(()),
        }
    }
}

/// The storage; clones are the same disk.
#[derive(Clone, Default)]
pub struct SimulatedStorage {
    disk: Arc<Mutex<Disk>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl SimulatedStorage {
    /// Lets `op` fail once, after it has succeeded `passes` times more. Several faults planned for
    /// one operation fail it as each falls due.
    pub fn fail(&self, op: Op, passes: u32, fault: Fault) {
        locked(&self.disk).faults.push((op, passes, fault));
    }

    /// Plans no more faults.
    pub fn heal(&self) {
        locked(&self.disk).faults.clear();
    }

    /// Has room for so many bytes in all files together; `None`: for any number.
    pub fn set_capacity(&self, bytes: Option<usize>) {
        locked(&self.disk).capacity = bytes;
    }

    /// Says of each sync that it succeeded, and does none: as some disks do. To see whether a test
    /// would notice.
    pub fn lie(&self) {
        locked(&self.disk).is_lying = true;
    }

    /// How many bytes all files have together.
    pub fn used(&self) -> usize {
        locked(&self.disk).names.values().map(|inode| locked(inode).bytes().len()).sum()
    }

    /// The disk as a crash leaves it, everything unsynced kept or lost as `seed` has it. The
    /// original goes on existing.
    #[must_use]
    pub fn crashed(&self, seed: u64) -> Self {
        let mut chance = Chance(seed);
        let disk = locked(&self.disk);
        let mut names = Names::new();
        let paths: BTreeSet<&PathBuf> =
            disk.names.keys().chain(disk.durable_names.keys()).collect();
        for path in paths {
            let (now, then) = (disk.names.get(path), disk.durable_names.get(path));
            let kept = if chance.coin() { now } else { then };
            if let Some(inode) = kept {
                let bytes = locked(inode).crash(&mut chance);
                names.insert(path.clone(), Arc::new(Mutex::new(Inode::durable(bytes))));
            }
        }
        Self::of(names)
    }

    /// A copy of the disk, all of it durable.
    #[must_use]
    pub fn copy(&self) -> Self {
        let disk = locked(&self.disk);
        let names = disk.names.iter().map(|(path, inode)| {
            let bytes = locked(inode).bytes().to_vec();
            (path.clone(), Arc::new(Mutex::new(Inode::durable(bytes))))
        });
        Self::of(names.collect())
    }

    fn of(names: Names) -> Self {
        let disk = Disk { durable_names: names.clone(), names, ..Disk::default() };
        Self { disk: Arc::new(Mutex::new(disk)) }
    }

    /// The contents of a file.
    pub fn bytes(&self, path: &Path) -> Vec<u8> {
        let disk = locked(&self.disk);
        let inode = disk.names.get(path);
        inode.map_or_else(Vec::new, |inode| locked(inode).bytes().to_vec())
    }

    /// Replaces the contents of a file, durably and behind everyone's back.
    pub fn set_bytes(&self, path: &Path, bytes: Vec<u8>) {
        let mut disk = locked(&self.disk);
        let inode = Arc::new(Mutex::new(Inode::durable(bytes)));
        disk.durable_names.insert(path.into(), Arc::clone(&inode));
        disk.names.insert(path.into(), inode);
    }
}

impl Storage for SimulatedStorage {
    fn create_dir_all(&self, _dir: &Path) -> io::Result<()> {
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let disk = locked(&self.disk);
        let inside = disk.names.keys().filter(|path| path.parent() == Some(dir));
        let names = inside.filter_map(|path| path.file_name()?.to_str());
        Ok(names.map(ToOwned::to_owned).collect())
    }

    fn open(&self, path: &Path, _access: Access) -> io::Result<Arc<dyn StorageFile>> {
        let mut disk = locked(&self.disk);
        disk.check(Op::Open)?;
        let inode = disk.names.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(self.file(path, inode))
    }

    fn create_new(&self, path: &Path) -> io::Result<Arc<dyn StorageFile>> {
        let mut disk = locked(&self.disk);
        disk.check(Op::Create)?;
        if disk.names.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let inode = Arc::new(Mutex::new(Inode::default()));
        disk.names.insert(path.into(), Arc::clone(&inode));
        Ok(self.file(path, &inode))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut disk = locked(&self.disk);
        disk.check(Op::Rename)?;
        let inode = disk.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        disk.names.insert(to.into(), inode);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut disk = locked(&self.disk);
        disk.check(Op::Remove)?;
        let removed = disk.names.remove(path);
        removed.map(drop).ok_or(io::ErrorKind::NotFound.into())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut disk = locked(&self.disk);
        disk.check(Op::SyncDir)?;
        let Disk { names, durable_names, .. } = &mut *disk;
        durable_names.retain(|path, _| path.parent() != Some(dir));
        let inside = names.iter().filter(|(path, _)| path.parent() == Some(dir));
        durable_names.extend(inside.map(|(path, inode)| (path.clone(), Arc::clone(inode))));
        Ok(())
    }
}

impl SimulatedStorage {
    fn file(&self, path: &Path, inode: &Arc<Mutex<Inode>>) -> Arc<dyn StorageFile> {
        let is_segment = path.extension().is_some_and(|ending| ending == "seg");
        let write = if is_segment { Op::Write } else { Op::WriteMark };
        Arc::new(SimulatedFile { disk: Arc::clone(&self.disk), inode: Arc::clone(inode), write })
    }
}

struct SimulatedFile {
    disk: Arc<Mutex<Disk>>,
    inode: Arc<Mutex<Inode>>,
    /// What a write to it is.
    write: Op,
}

fn size(value: u64) -> io::Result<usize> {
    usize::try_from(value).map_err(io::Error::other)
}

impl StorageFile for SimulatedFile {
    fn len(&self) -> io::Result<u64> {
        Ok(locked(&self.inode).bytes().len() as u64)
    }

    fn read_at(&self, position: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let inode = locked(&self.inode);
        let rest = inode.bytes().get(size(position)?..).unwrap_or_default();
        let read = rest.len().min(buffer.len());
        buffer[..read].copy_from_slice(&rest[..read]);
        Ok(read)
    }

    fn write_at(&self, position: u64, bytes: &[u8]) -> io::Result<usize> {
        let mut disk = locked(&self.disk);
        let written = match disk.fault(self.write) {
            Some(Fault::Error(kind)) => return Err(kind.into()),
            Some(Fault::Short(written)) => written.min(bytes.len()),
            None => bytes.len(),
        };
        let position = size(position)?;
        let length = locked(&self.inode).bytes().len();
        let has_room = disk.room().saturating_add(length.saturating_sub(position));
        if has_room == 0 && written > 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let change = Change::Write(position, bytes[..written.min(has_room)].to_vec());
        let written = written.min(has_room);
        locked(&self.inode).apply(change);
        Ok(written)
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut disk = locked(&self.disk);
        let checked = disk.check(Op::Sync);
        if disk.is_lying {
            return Ok(());
        }
        drop(disk);
        let mut inode = locked(&self.inode);
        match checked {
            Ok(()) => inode.sync(),
            Err(_) => inode.forget(),
        }
        checked
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        locked(&self.disk).check(Op::SetLen)?;
        locked(&self.inode).apply(Change::SetLen(size(length)?));
        Ok(())
    }
}
