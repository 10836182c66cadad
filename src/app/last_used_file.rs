//! The file that stores when tokens and sessions were last used.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use crate::domain::ids::any_id;
use crate::http::last_used::LastUsed;
use crate::jobs::Scheduler;
use crate::log::replace_file;

const FILE: &str = "tokens-last-used.json";
/// How often it is written, if anything changed; a crash loses at most this much.
const SAVE_EVERY: Duration = Duration::from_secs(60);

/// Reads the file in a data folder. If it cannot be read, the times are unknown.
pub fn read(data: &Path) -> LastUsed {
    let path = data.join(FILE);
    let read = fs::read(&path).and_then(|bytes| {
        serde_json::from_slice::<BTreeMap<String, u64>>(&bytes).map_err(io::Error::from)
    });
    match read {
        Ok(times) => {
            LastUsed::new(times.iter().filter_map(|(id, at_ms)| Some((parse(id)?, *at_ms))))
        }
        Err(error) => {
            if error.kind() != io::ErrorKind::NotFound {
                let path = path.display().to_string();
                tracing::warn!(path, %error, "cannot read when tokens were last used");
            }
            LastUsed::default()
        }
    }
}

/// Parses an id: a UUID, or the id of a token as written by earlier versions.
fn parse(text: &str) -> Option<Uuid> {
    let token = || any_id(text).map(Uuid::from_bytes);
    Uuid::parse_str(text).ok().or_else(token)
}

/// Writes the file, if anything has changed.
pub fn save(data: &Path, last_used: &LastUsed) {
    let Some(times) = last_used.take_changed() else { return };
    let times: BTreeMap<_, _> = times.iter().map(|(id, at_ms)| (id.to_string(), *at_ms)).collect();
    let bytes = serde_json::to_vec(&times).map_err(io::Error::from);
    let saved = bytes.and_then(|bytes| replace_file(&data.join(FILE), &bytes));
    if let Err(error) = saved {
        last_used.put_back();
        tracing::warn!(%error, "cannot save when tokens were last used");
    }
}

/// Saves the file periodically.
pub fn keep_saved(scheduler: &mut Scheduler, data: PathBuf, last_used: Arc<LastUsed>) {
    let state = (data, last_used);
    scheduler.every("tokens-last-used", [SAVE_EVERY; 2], state, |(data, last_used)| async {
        drop(tokio::task::spawn_blocking(move || save(&data, &last_used)).await);
    });
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::domain::ids::TokenId;

    #[test]
    fn uses_are_saved_in_a_private_file() {
        let data = tempfile::tempdir().unwrap();
        let token = Uuid::from_u128(1);
        let path = data.path().join(FILE);
        let last_used = read(data.path());
        save(data.path(), &last_used);
        assert!(!path.exists(), "nothing to write");
        last_used.note(token, 600_000);
        save(data.path(), &last_used);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(read(data.path()).of(token), Some(600_000));
        let old = format!("{{\"{}\": 300000}}", TokenId::new(token));
        fs::write(&path, old).unwrap();
        assert_eq!(read(data.path()).of(token), Some(300_000), "of an earlier version");
        for broken in ["{", "[]", "{\"tok_x\": 1}"] {
            fs::write(&path, broken).unwrap();
            assert_eq!(read(data.path()).of(token), None, "{broken}");
        }
        // A change that could not be written is written later.
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        last_used.note(token, 900_000);
        save(data.path(), &last_used);
        fs::remove_dir(&path).unwrap();
        save(data.path(), &last_used);
        assert_eq!(read(data.path()).of(token), Some(900_000));
    }
}
