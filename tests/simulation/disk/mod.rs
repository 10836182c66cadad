//! A fault-injecting in-memory storage that loses unsynced data in a crash.
//!
//! The model is as adversarial as a real disk. A crash keeps any subset of the changes since the
//! last sync, in any order, torn at any byte, and extends files whether or not the data was
//! written. A failed sync discards those changes permanently, and the next sync succeeds anyway.
//! Directory entries become durable only with a sync of the folder. The disk may be full. The
//! effect of a crash is determined by a seed.

mod inode;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use self::inode::{Change, Inode, Rng};
use slugline::log::{Access, Storage, StorageFile};

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

/// How an operation fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// With this error and no effect.
    Error(io::ErrorKind),
    /// A short write of this many bytes.
    Short(usize),
}

type Names = BTreeMap<PathBuf, Arc<Mutex<Inode>>>;

#[derive(Default)]
struct Disk {
    names: Names,
    durable_names: Names,
    /// Planned faults: the operation, the number of its calls that succeed before, and the fault.
    faults: Vec<(Op, u32, Fault)>,
    /// Limit on the total size of all files, in bytes.
    capacity: Option<usize>,
    /// Whether syncs do nothing and report success.
    ignores_syncs: bool,
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

    /// Number of free bytes.
    fn free_bytes(&self) -> usize {
        let Some(capacity) = self.capacity else { return usize::MAX };
        let used: usize = self.names.values().map(|inode| lock(inode).bytes().len()).sum();
        capacity.saturating_sub(used)
    }

    fn check(&mut self, op: Op) -> io::Result<()> {
        match self.fault(op) {
            Some(Fault::Error(kind)) => Err(kind.into()),
            _ => Ok(()),
        }
    }
}

/// The storage; clones share one disk.
#[derive(Clone, Default)]
pub struct SimulatedStorage {
    disk: Arc<Mutex<Disk>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl SimulatedStorage {
    /// Makes `op` fail once, after `passes` more successful calls. Can be called repeatedly to plan
    /// several faults.
    pub fn fail(&self, op: Op, passes: u32, fault: Fault) {
        lock(&self.disk).faults.push((op, passes, fault));
    }

    /// Removes all planned faults.
    pub fn heal(&self) {
        lock(&self.disk).faults.clear();
    }

    /// Limits the total size of all files; `None` removes the limit.
    pub fn set_capacity(&self, bytes: Option<usize>) {
        lock(&self.disk).capacity = bytes;
    }

    /// Makes syncs do nothing and report success, as some disks do: for tests of the tests.
    pub fn lie(&self) {
        lock(&self.disk).ignores_syncs = true;
    }

    /// Total size of all files, in bytes.
    pub fn used(&self) -> usize {
        lock(&self.disk).names.values().map(|inode| lock(inode).bytes().len()).sum()
    }

    /// The disk after a crash that keeps or loses unsynced changes as determined by `seed`. The
    /// original is unchanged.
    #[must_use]
    pub fn crashed(&self, seed: u64) -> Self {
        let mut rng = Rng(seed);
        let disk = lock(&self.disk);
        let mut names = Names::new();
        let paths: BTreeSet<&PathBuf> =
            disk.names.keys().chain(disk.durable_names.keys()).collect();
        for path in paths {
            let (now, then) = (disk.names.get(path), disk.durable_names.get(path));
            let kept = if rng.coin() { now } else { then };
            if let Some(inode) = kept {
                let bytes = lock(inode).crash(&mut rng);
                names.insert(path.clone(), Arc::new(Mutex::new(Inode::durable(bytes))));
            }
        }
        Self::of(names)
    }

    /// A fully durable copy of the disk.
    #[must_use]
    pub fn copy(&self) -> Self {
        let disk = lock(&self.disk);
        let names = disk.names.iter().map(|(path, inode)| {
            let bytes = lock(inode).bytes().to_vec();
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
        let disk = lock(&self.disk);
        let inode = disk.names.get(path);
        inode.map_or_else(Vec::new, |inode| lock(inode).bytes().to_vec())
    }

    /// Durably replaces the contents of a file.
    pub fn set_bytes(&self, path: &Path, bytes: Vec<u8>) {
        let mut disk = lock(&self.disk);
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
        let disk = lock(&self.disk);
        let inside = disk.names.keys().filter(|path| path.parent() == Some(dir));
        let names = inside.filter_map(|path| path.file_name()?.to_str());
        Ok(names.map(ToOwned::to_owned).collect())
    }

    fn open(&self, path: &Path, _access: Access) -> io::Result<Arc<dyn StorageFile>> {
        let mut disk = lock(&self.disk);
        disk.check(Op::Open)?;
        let inode = disk.names.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(self.file(path, inode))
    }

    fn create_new(&self, path: &Path) -> io::Result<Arc<dyn StorageFile>> {
        let mut disk = lock(&self.disk);
        disk.check(Op::Create)?;
        if disk.names.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let inode = Arc::new(Mutex::new(Inode::default()));
        disk.names.insert(path.into(), Arc::clone(&inode));
        Ok(self.file(path, &inode))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut disk = lock(&self.disk);
        disk.check(Op::Rename)?;
        let inode = disk.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        disk.names.insert(to.into(), inode);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut disk = lock(&self.disk);
        disk.check(Op::Remove)?;
        let removed = disk.names.remove(path);
        removed.map(drop).ok_or(io::ErrorKind::NotFound.into())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut disk = lock(&self.disk);
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
    /// The operation that a write to it counts as.
    write: Op,
}

fn size(value: u64) -> io::Result<usize> {
    usize::try_from(value).map_err(io::Error::other)
}

impl StorageFile for SimulatedFile {
    fn len(&self) -> io::Result<u64> {
        Ok(lock(&self.inode).bytes().len() as u64)
    }

    fn read_at(&self, position: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let inode = lock(&self.inode);
        let rest = inode.bytes().get(size(position)?..).unwrap_or_default();
        let read = rest.len().min(buffer.len());
        buffer[..read].copy_from_slice(&rest[..read]);
        Ok(read)
    }

    fn write_at(&self, position: u64, bytes: &[u8]) -> io::Result<usize> {
        let mut disk = lock(&self.disk);
        let written = match disk.fault(self.write) {
            Some(Fault::Error(kind)) => return Err(kind.into()),
            Some(Fault::Short(written)) => written.min(bytes.len()),
            None => bytes.len(),
        };
        let position = size(position)?;
        let length = lock(&self.inode).bytes().len();
        let free = disk.free_bytes().saturating_add(length.saturating_sub(position));
        if free == 0 && written > 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let change = Change::Write(position, bytes[..written.min(free)].to_vec());
        let written = written.min(free);
        lock(&self.inode).apply(change);
        Ok(written)
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut disk = lock(&self.disk);
        let checked = disk.check(Op::Sync);
        if disk.ignores_syncs {
            return Ok(());
        }
        drop(disk);
        let mut inode = lock(&self.inode);
        match checked {
            Ok(()) => inode.sync(),
            Err(_) => inode.discard_changes(),
        }
        checked
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        lock(&self.disk).check(Op::SetLen)?;
        lock(&self.inode).apply(Change::SetLen(size(length)?));
        Ok(())
    }
}
