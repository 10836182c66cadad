//! Subresource integrity as npm publishes it: `sha512-` and base64.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use sha2::{Digest as _, Sha512};

use super::error::FetchError;
use super::package::Package;

/// Verifies a tarball against its expected integrity.
///
/// # Errors
///
/// [`FetchError::Integrity`] if they differ, or if `expected` contains no SHA-512;
/// [`FetchError::Cache`] when the file cannot be read.
pub(super) fn verify(package: &Package, tarball: &Path, expected: &str) -> Result<(), FetchError> {
    let found = sha512(tarball).map_err(FetchError::cache(tarball))?;
    // The registry may list several hashes, of which only a SHA-512 counts.
    if expected.split_whitespace().any(|hash| hash == found) {
        return Ok(());
    }
    Err(mismatch(package, expected, &found))
}

/// The error for a package with another hash than expected.
pub(super) fn mismatch(package: &Package, expected: &str, found: &str) -> FetchError {
    FetchError::Integrity {
        package: package.name,
        expected: expected.to_owned(),
        found: found.to_owned(),
        hint: package.hint,
    }
}

/// The integrity of a file, `sha512-` and base64.
fn sha512(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut hash = Sha512::new();
    let mut buffer = vec![0; 256 * 1024];
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok(format!("sha512-{}", BASE64_STANDARD.encode(hash.finalize())));
        }
        hash.update(buffer.get(..read).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_exact_bytes_pass() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tarball.tgz");
        std::fs::write(&path, b"whole").unwrap();
        let good = sha512(&path).unwrap();
        let package = Package::crawlers();
        verify(&package, &path, &good).unwrap();
        verify(&package, &path, &format!("sha1-AAAA {good}")).unwrap();

        std::fs::write(&path, b"whale").unwrap();
        let error = verify(&package, &path, &good).unwrap_err();
        assert!(matches!(error, FetchError::Integrity { .. }));
        let text = error.to_string();
        assert!(text.contains(&good) && text.contains("crawler-user-agents"), "{text}");
        assert!(verify(&package, &path, "sha1-AAAA").is_err());
        assert!(verify(&package, &path, "").is_err());
    }
}
