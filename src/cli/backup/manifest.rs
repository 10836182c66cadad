//! The manifest of a backup: its files with their digests.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The manifest's file name. It is written last: a folder without it is not a complete backup.
pub const MANIFEST: &str = "manifest.json";
/// The two logs, in the order of copying: a link is logged before its clicks, so with the clicks
/// copied first, no click's link is missing.
pub const LOGS: [&str; 2] = ["clicks", "mutations"];
/// The tally of the clicks that the log has dropped, if any.
pub const DROPPED: &str = "clicks.dropped";
/// The folder of the rows of dropped clicks, if any.
pub const ROWS: &str = "analytics";
/// The keys of personal data, if any. Copied after the logs: a key is on disk before the event that
/// needs it is logged, so no event of the copy lacks its key.
pub const KEYS: &str = crate::identity::personal_data::FILE;
const FORMAT: u32 = 1;
const CHUNK_BYTES: usize = 1 << 20;

/// The manifest of a backup.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    format: u32,
    /// The version of slugline that created it.
    slugline: String,
    /// When it was created, ISO 8601.
    made_at: String,
    /// The folder of the files in the backup's folder: `copy-1`. In older backups, the backup's
    /// folder itself.
    #[serde(default)]
    pub root: String,
    /// The logs.
    pub logs: Vec<LogCopy>,
    /// All files, with paths relative to their folder.
    pub files: Vec<FileCopy>,
}

/// A log in a backup.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogCopy {
    /// `clicks` or `mutations`.
    pub name: String,
    /// The log's id, in hexadecimal.
    pub id: String,
    /// The first offset.
    pub first: u64,
    /// The last offset; 0 if the log is empty.
    pub last: u64,
}

/// A file in a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileCopy {
    /// The path relative to the folder of the files, with `/`.
    pub path: String,
    /// The size.
    pub bytes: u64,
    /// The SHA-256, in hexadecimal.
    pub sha256: String,
}

impl Manifest {
    /// The manifest of a backup created now.
    pub fn new(root: String, logs: Vec<LogCopy>, files: Vec<FileCopy>) -> Self {
        Self {
            format: FORMAT,
            slugline: env!("CARGO_PKG_VERSION").to_owned(),
            made_at: jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            root,
            logs,
            files,
        }
    }

    /// Writes the manifest into the backup's folder, durably and atomically.
    pub fn write(&self, folder: &Path) -> anyhow::Result<()> {
        let (path, temporary) = (folder.join(MANIFEST), folder.join("manifest.new"));
        let mut file = File::create_new(&temporary)?;
        file.write_all(&serde_json::to_vec_pretty(self)?)?;
        file.sync_all()?;
        std::fs::rename(&temporary, &path)?;
        Ok(File::open(folder)?.sync_all()?)
    }

    /// Reads the manifest of a backup.
    pub fn read(folder: &Path) -> anyhow::Result<Self> {
        let path = folder.join(MANIFEST);
        let text = std::fs::read(&path).with_context(|| {
            format!("{} is not a complete backup: it has no manifest", folder.display())
        })?;
        let manifest: Self =
            serde_json::from_slice(&text).with_context(|| path.display().to_string())?;
        if manifest.format != FORMAT || !is_root(&manifest.root) {
            bail!("{}: unsupported format; use another version of slugline", path.display());
        }
        Ok(manifest)
    }
}

/// Whether a backup may have its files in a folder of this name: `copy-1`, or none.
pub fn is_root(name: &str) -> bool {
    name.is_empty() || number_of(name).is_some()
}

/// The number of a folder of files.
pub fn number_of(name: &str) -> Option<u64> {
    name.strip_prefix("copy-")?.parse().ok()
}

/// Copies the first `bytes` of a file, or all of it, durably. Fails if the file is shorter.
pub fn copy(from: &Path, to: &Path, bytes: Option<u64>) -> std::io::Result<(u64, String)> {
    let mut source = File::open(from)?;
    let bytes = match bytes {
        Some(bytes) => bytes,
        None => source.metadata()?.len(),
    };
    let mut target = File::create_new(to)?;
    let (mut left, mut digest) = (bytes, Sha256::new());
    let mut chunk = vec![0; CHUNK_BYTES];
    while left > 0 {
        let length = usize::try_from(left).unwrap_or(usize::MAX).min(CHUNK_BYTES);
        source.read_exact(&mut chunk[..length])?;
        target.write_all(&chunk[..length])?;
        digest.update(&chunk[..length]);
        left -= length as u64;
    }
    target.sync_all()?;
    Ok((bytes, hex(&digest.finalize())))
}

/// The SHA-256 of the first `bytes` of a file, or of fewer if it is shorter, in hexadecimal.
pub fn sha256(path: &Path, bytes: u64) -> std::io::Result<String> {
    let (mut file, mut digest) = (File::open(path)?.take(bytes), Sha256::new());
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let read = file.read(&mut chunk)?;
        if read == 0 {
            return Ok(hex(&digest.finalize()));
        }
        digest.update(&chunk[..read]);
    }
}

/// Encodes bytes in hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
