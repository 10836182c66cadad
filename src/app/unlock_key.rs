//! The service's key for signing cookies and other data that visitors send back.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use anyhow::{Context, bail};

use crate::log::replace_file;

const FILE: &str = "unlock.key";

/// Reads the key in the data folder, or creates it. If the file is lost, visitors have to enter
/// passwords again.
pub fn read_or_make(data: &Path) -> anyhow::Result<[u8; 32]> {
    let path = data.join(FILE);
    let read = File::open(&path).and_then(|file| {
        let mut bytes = Vec::new();
        // One byte more than a key, to detect a file that is too long.
        file.take(33).read_to_end(&mut bytes)?;
        Ok(bytes)
    });
    match read {
        Ok(bytes) => match bytes.try_into() {
            Ok(key) => Ok(key),
            Err(_) => bail!("{} is not a valid key; remove it to create a new one", path.display()),
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
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_key_is_created_once_and_private() {
        let data = tempfile::tempdir().unwrap();
        let key = read_or_make(data.path()).unwrap();
        assert_eq!(read_or_make(data.path()).unwrap(), key);
        let path = data.path().join(FILE);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::remove_file(&path).unwrap();
        assert_ne!(read_or_make(data.path()).unwrap(), key);
    }

    #[test]
    fn an_invalid_key_is_not_replaced() {
        let data = tempfile::tempdir().unwrap();
        for bad in [&b"short"[..], &[0; 33]] {
            std::fs::write(data.path().join(FILE), bad).unwrap();
            let error = format!("{:#}", read_or_make(data.path()).unwrap_err());
            assert!(error.contains(FILE), "{error}");
            assert_eq!(std::fs::read(data.path().join(FILE)).unwrap(), bad);
        }
    }
}
