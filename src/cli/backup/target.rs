//! The folder of a backup: a new one, or one whose unchanged files are kept.
//!
//! Each run makes a folder of its own, `copy-1`, then `copy-2`, in which unchanged files are hard
//! links to those of the previous run. The manifest, replaced atomically, names the folder that
//! counts; then the previous one is removed. So an interrupted run changes nothing.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use super::manifest::{FileCopy, LogCopy, MANIFEST, Manifest, copy, number_of, sha256};
use crate::app::permissions::restrict;

/// A backup that is being made.
pub struct BackupTarget {
    folder: PathBuf,
    previous: Option<Manifest>,
    root: String,
    /// The number of files that the previous run had copied, and their size.
    pub kept: (usize, u64),
}

impl BackupTarget {
    /// Opens a new or an empty folder, or that of an earlier backup.
    pub fn open(folder: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        restrict(folder);
        let is_backup = folder.join(MANIFEST).exists();
        let previous = is_backup.then(|| Manifest::read(folder)).transpose()?;
        let current = previous.as_ref().map_or("", |manifest| manifest.root.as_str());
        for entry in fs::read_dir(folder)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if number_of(&name).is_some() && name != current {
                // Of an interrupted run.
                fs::remove_dir_all(folder.join(&name))?;
            } else if name == "manifest.new" {
                fs::remove_file(folder.join(&name))?;
            } else if previous.is_none() {
                bail!("{} is not empty, and no backup", folder.display());
            }
        }
        let root = format!("copy-{}", number_of(current).map_or(1, |number| number + 1));
        fs::create_dir(folder.join(&root))?;
        Ok(Self { folder: folder.to_owned(), previous, root, kept: (0, 0) })
    }

    /// The folder of the files.
    pub fn root(&self) -> PathBuf {
        self.folder.join(&self.root)
    }

    /// Removes what was copied, to start over.
    pub fn clear(&mut self) -> std::io::Result<()> {
        self.kept = (0, 0);
        fs::remove_dir_all(self.root())?;
        fs::create_dir(self.root())
    }

    /// Copies the first `bytes` of a file, or all of it, to a path in the folder of the files;
    /// keeps the previous copy if it is the same.
    pub fn add(
        &mut self,
        from: &Path,
        path: &str,
        bytes: Option<u64>,
    ) -> std::io::Result<FileCopy> {
        let target = self.root().join(path);
        let size = bytes.map_or_else(|| Ok(fs::metadata(from)?.len()), std::io::Result::Ok)?;
        if let Some(known) = self.previous_copy(path, size)
            && sha256(from, size)? == known.sha256
            && self.link(&known, &target)
        {
            self.kept = (self.kept.0 + 1, self.kept.1 + size);
            return Ok(known);
        }
        let (bytes, sha256) = copy(from, &target, bytes)?;
        Ok(FileCopy { path: path.to_owned(), bytes, sha256 })
    }

    fn previous_copy(&self, path: &str, bytes: u64) -> Option<FileCopy> {
        let files = self.previous.iter().flat_map(|manifest| &manifest.files);
        files.into_iter().find(|file| file.path == path && file.bytes == bytes).cloned()
    }

    /// Links the previous copy of a file, if it is intact. Not every file system has hard links.
    fn link(&self, known: &FileCopy, target: &Path) -> bool {
        let Some(previous) = &self.previous else { return false };
        let source = self.folder.join(&previous.root).join(&known.path);
        sha256(&source, u64::MAX).is_ok_and(|sha256| sha256 == known.sha256)
            && fs::hard_link(&source, target).is_ok()
    }

    /// Makes this the backup, and removes the previous one.
    pub fn finish(self, logs: Vec<LogCopy>, files: Vec<FileCopy>) -> anyhow::Result<()> {
        if let Some(previous) = &self.previous {
            let is_same = |log: &LogCopy| logs.iter().any(|new| new.id == log.id);
            if !previous.logs.iter().all(is_same) {
                fs::remove_dir_all(self.root())?;
                bail!("{} is a backup of another data folder", self.folder.display());
            }
        }
        File::open(self.root())?.sync_all()?;
        Manifest::new(self.root, logs, files).write(&self.folder)?;
        let Some(previous) = self.previous else { return Ok(()) };
        if !previous.root.is_empty() {
            return Ok(fs::remove_dir_all(self.folder.join(previous.root))?);
        }
        // Its files are beside the manifest.
        for file in &previous.files {
            ignore_missing(fs::remove_file(self.folder.join(&file.path)))?;
        }
        Ok(ignore_missing(fs::remove_dir_all(self.folder.join("log")))?)
    }
}

fn ignore_missing(removed: std::io::Result<()>) -> std::io::Result<()> {
    match removed {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    fn log(id: &str) -> Vec<LogCopy> {
        vec![LogCopy { name: "clicks".to_owned(), id: id.to_owned(), first: 1, last: 1 }]
    }

    /// Backs up one file; returns how many files were kept, and the inode of the copy.
    fn run(folder: &Path, source: &Path) -> (usize, u64) {
        let mut target = BackupTarget::open(folder).unwrap();
        let file = target.add(source, "personal.keys", None).unwrap();
        let (kept, copied) = (target.kept.0, target.root().join("personal.keys"));
        target.finish(log("a"), vec![file]).unwrap();
        assert_eq!(fs::read(&copied).unwrap(), fs::read(source).unwrap());
        (kept, fs::metadata(copied).unwrap().ino())
    }

    #[test]
    fn unchanged_files_are_kept_and_damaged_ones_copied_again() {
        let folder = tempfile::tempdir().unwrap();
        let (backup, source) = (folder.path().join("backup"), folder.path().join("source"));
        fs::write(&source, "one").unwrap();
        let (kept, first) = run(&backup, &source);
        assert_eq!(kept, 0);
        assert_eq!(run(&backup, &source), (1, first));
        fs::write(&source, "two").unwrap();
        let (kept, second) = run(&backup, &source);
        assert!(kept == 0 && second != first);
        let copies = fs::read_dir(&backup).unwrap().count();
        assert_eq!(copies, 2, "the manifest and one copy");
        fs::write(backup.join("copy-3/personal.keys"), "bad").unwrap();
        assert_eq!(run(&backup, &source).0, 0);
    }

    #[test]
    fn an_interrupted_run_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let (backup, source) = (folder.path().join("backup"), folder.path().join("source"));
        fs::write(&source, "one").unwrap();
        drop(BackupTarget::open(&backup).unwrap());
        run(&backup, &source);
        let mut target = BackupTarget::open(&backup).unwrap();
        target.add(&source, "personal.keys", None).unwrap();
        drop(target);
        fs::write(backup.join("manifest.new"), "{").unwrap();
        assert_eq!(Manifest::read(&backup).unwrap().root, "copy-1");
        assert_eq!(run(&backup, &source).0, 1);
        let target = BackupTarget::open(&backup).unwrap();
        let refused = target.finish(log("b"), Vec::new()).unwrap_err().to_string();
        assert!(refused.contains("another data folder"), "{refused}");
        assert_eq!(Manifest::read(&backup).unwrap().root, "copy-2");
        fs::create_dir(folder.path().join("full")).unwrap();
        fs::write(folder.path().join("full/file"), "").unwrap();
        assert!(BackupTarget::open(&folder.path().join("full")).is_err());
    }

    /// Backups of 0.1.0 have their files beside the manifest.
    #[test]
    fn an_older_backup_is_continued() {
        let folder = tempfile::tempdir().unwrap();
        let (backup, source) = (folder.path().join("backup"), folder.path().join("source"));
        fs::write(&source, "one").unwrap();
        fs::create_dir_all(backup.join("log/clicks")).unwrap();
        let (bytes, sha256) = copy(&source, &backup.join("personal.keys"), None).unwrap();
        let file = FileCopy { path: "personal.keys".to_owned(), bytes, sha256 };
        Manifest::new(String::new(), log("a"), vec![file]).write(&backup).unwrap();
        assert_eq!(run(&backup, &source).0, 1);
        let mut names: Vec<_> =
            fs::read_dir(&backup).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["copy-1", "manifest.json"]);
    }
}
