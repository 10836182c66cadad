//! The service's own key, with which it signs what visitors carry.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use anyhow::{Context, bail};

use crate::log::replace_file;

const FILE: &str = "unlock.key";

/// The key in the data folder, made at the first start. Without the file a new one is made, and
/// visitors are only asked for passwords again.
pub fn read_or_make(data: &Path) -> anyhow::Result<[u8; 32]> {
    let path = data.join(FILE);
    let read = File::open(&path).and_then(|file| {
        let mut bytes = Vec::new();
        // A key, and a byte that would be one too many.
        file.take(33).read_to_end(&mut bytes)?;
        Ok(bytes)
    });
    match read {
        Ok(bytes) => match bytes.try_into() {
            Ok(key) => Ok(key),
            Err(_) => bail!("{} is no key; remove it, and a new one is made", path.display()),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let key: [u8; 32] = rand::random();
            replace_file(&path, &key).with_context(|| path.display().to_string())?;
            Ok(key)
        }
        Err(error) => Err(error).with_context(|| path.display().to_string()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_key_is_made_once_and_is_the_owners_alone() {
        let data = tempfile::tempdir().unwrap();
        let key = read_or_make(data.path()).unwrap();
        assert_eq!(read_or_make(data.path()).unwrap(), key);
        let path = data.path().join(FILE);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::remove_file(&path).unwrap();
        assert_ne!(read_or_make(data.path()).unwrap(), key);
    }

    #[test]
    fn what_is_no_key_is_left_alone() {
        let data = tempfile::tempdir().unwrap();
        for bad in [&b"short"[..], &[0; 33]] {
            std::fs::write(data.path().join(FILE), bad).unwrap();
            let error = format!("{:#}", read_or_make(data.path()).unwrap_err());
            assert!(error.contains(FILE), "{error}");
            assert_eq!(std::fs::read(data.path().join(FILE)).unwrap(), bad);
        }
    }
}
