//! Lets the `slugline` command find the service that uses a data folder.
//!
//! At each start the service writes a file into its data folder, with its address and a new random
//! key. Read access to the folder means the right to operate the service, hence to use the key;
//! nobody else can read the file.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::{Deserialize, Serialize};

use crate::commands::secret::{self, SecretFormat};

const FILE: &str = "service.json";

/// The content of the file.
#[derive(Clone, Serialize, Deserialize)]
pub struct Control {
    /// The address for operator requests, as reached from this machine.
    pub address: SocketAddr,
    /// The address for all other requests, as reached from this machine; missing in older versions.
    #[serde(default)]
    pub public: Option<SocketAddr>,
    /// The operator key.
    pub key: String,
}

/// The file of a running service, removed at shutdown.
pub struct ControlFile {
    path: PathBuf,
    /// SHA-256 of the operator key.
    pub key_sha256: [u8; 32],
}

impl ControlFile {
    /// Writes the file of a service with these addresses.
    pub fn write(data: &Path, public: SocketAddr, operator: SocketAddr) -> io::Result<Self> {
        let (address, public) = (reached_at(operator), Some(reached_at(public)));
        let control = Control { address, public, key: secret::generate(SecretFormat::Slugline) };
        let path = data.join(FILE);
        // A leftover file may be readable by others.
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        file.write_all(&serde_json::to_vec(&control)?)?;
        Ok(Self { path, key_sha256: secret::hash(&control.key) })
    }
}

impl Drop for ControlFile {
    fn drop(&mut self) {
        let _gone_already = fs::remove_file(&self.path);
    }
}

impl Control {
    /// Reads the file in a data folder; `None` if there is none, so no service is running.
    ///
    /// # Errors
    /// If the file cannot be read, for example by another user than the service's.
    pub fn read(data: &Path) -> anyhow::Result<Option<Self>> {
        let path = data.join(FILE);
        match fs::read(&path) {
            Ok(text) => Ok(serde_json::from_slice(&text).ok()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => {
                let is_denied = error.kind() == io::ErrorKind::PermissionDenied;
                let advice = if is_denied { ": run this as the service's user" } else { "" };
                Err(error).with_context(|| format!("cannot read {}{advice}", path.display()))
            }
        }
    }
}

/// An unspecified address is reached over loopback.
fn reached_at(listening: SocketAddr) -> SocketAddr {
    let ip = match listening.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listening.port())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_file_is_private_and_removed_with_the_service() {
        let data = tempfile::tempdir().unwrap();
        let path = data.path().join(FILE);
        fs::write(&path, "left over").unwrap();
        assert!(Control::read(data.path()).unwrap().is_none());
        let [public, operator] = ["0.0.0.0:8080", "[::]:9090"].map(|at| at.parse().unwrap());
        let file = ControlFile::write(data.path(), public, operator).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let control = Control::read(data.path()).unwrap().unwrap();
        assert_eq!(control.public.unwrap().to_string(), "127.0.0.1:8080");
        assert_eq!(control.address.to_string(), "[::1]:9090");
        assert_eq!(secret::hash(&control.key), file.key_sha256);
        drop(file);
        assert!(Control::read(data.path()).unwrap().is_none());
        let error = Control::read(&path.join("x")).err();
        assert!(error.is_none(), "the folder is missing: {error:?}");
        fs::write(&path, "a file").unwrap();
        assert!(Control::read(&path).is_err());
    }
}
