//! The engine's default memory limit.

use std::fs;
use std::path::{Path, PathBuf};

const MIB: u64 = 1024 * 1024;
/// Below this, the engine rejects queries that slugline needs.
const LEAST: u64 = 512 * MIB;
/// Above this, a link shortener's analytics gain nothing.
const MOST: u64 = 4096 * MIB;
/// The assumed memory if it cannot be determined.
const ASSUMED: u64 = 4096 * MIB;

/// The engine's default memory limit, in bytes: a quarter of the memory of this machine (or
/// container), at least 512 MiB, at most 4 GiB.
pub fn default_memory_bytes() -> u64 {
    share(available(Path::new("/")))
}

/// The engine's share of this much memory.
fn share(available: Option<u64>) -> u64 {
    (available.unwrap_or(ASSUMED) / 4).clamp(LEAST, MOST)
}

/// The machine's memory or the control group's limit, whichever is lower, in bytes. `root` is `/`
/// except in tests.
fn available(root: &Path) -> Option<u64> {
    let machine = fs::read_to_string(root.join("proc/meminfo")).ok().as_deref().and_then(total);
    let groups = group_files(root);
    let limits =
        groups.iter().filter_map(|path| fs::read_to_string(path).ok()?.trim().parse().ok());
    limits.chain(machine).min()
}

/// `MemTotal` of `/proc/meminfo`, in bytes.
fn total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

/// The files with the memory limits of this process's control group and its ancestors. A group
/// without a limit says `max` (version 2) or a very large number (version 1).
fn group_files(root: &Path) -> Vec<PathBuf> {
    let mounted = root.join("sys/fs/cgroup");
    let mut files = vec![mounted.join("memory/memory.limit_in_bytes")];
    let groups = fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    let own = groups.lines().find_map(|line| line.strip_prefix("0::/")).unwrap_or_default();
    files.extend(Path::new(own).ancestors().map(|group| mounted.join(group).join("memory.max")));
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file system with these files.
    fn system(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    const EIGHT_GIB: (&str, &str) = ("proc/meminfo", "MemFree: 1 kB\nMemTotal:  8388608 kB\n");

    #[test]
    fn the_lowest_limit_counts() {
        let bare = system(&[EIGHT_GIB]);
        assert_eq!(available(bare.path()), Some(8 << 30));

        let unlimited = system(&[EIGHT_GIB, ("sys/fs/cgroup/memory.max", "max\n")]);
        assert_eq!(available(unlimited.path()), Some(8 << 30));

        let service = system(&[
            EIGHT_GIB,
            ("proc/self/cgroup", "0::/system.slice/slugline.service\n"),
            ("sys/fs/cgroup/system.slice/memory.max", "3221225472\n"),
            ("sys/fs/cgroup/system.slice/slugline.service/memory.max", "max\n"),
        ]);
        assert_eq!(available(service.path()), Some(3 << 30));

        let old = ("sys/fs/cgroup/memory/memory.limit_in_bytes", "2147483648\n");
        assert_eq!(available(system(&[EIGHT_GIB, old]).path()), Some(2 << 30));
        assert_eq!(available(system(&[]).path()), None);
    }

    #[test]
    fn the_share_is_a_quarter_within_bounds() {
        assert_eq!(share(Some(8 << 30)), 2 << 30);
        assert_eq!(share(Some(1 << 30)), LEAST);
        assert_eq!(share(Some(64 << 30)), MOST);
        assert_eq!(share(None), 1 << 30);
        assert!((LEAST..=MOST).contains(&default_memory_bytes()));
    }
}
