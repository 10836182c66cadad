//! The ACME account and the file with its key.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use instant_acme::{Account, AccountCredentials, NewAccount};
use serde::{Deserialize, Serialize};
use url::Url;

use super::transport::Transport;
use super::{AcmeError, at, files};

/// The content of the file.
#[derive(Serialize, Deserialize)]
struct Kept {
    directory: Url,
    contact: Option<String>,
    /// Older certificates are from another authority.
    since_ms: u64,
    /// The account's URL and key.
    credentials: AccountCredentials,
}

/// `account.json` in the certificate folder.
pub(super) struct AccountFile {
    path: PathBuf,
    directory: Url,
    contact: Option<String>,
}

impl AccountFile {
    pub(super) fn new(folder: &Path, directory: Url, contact: Option<String>) -> Self {
        Self { path: folder.join("account.json"), directory, contact }
    }

    /// The time since which stored certificates are from the current authority.
    pub(super) fn since_ms(&self, now_ms: u64) -> Result<u64, AcmeError> {
        let kept = self.read()?;
        Ok(kept.map_or(0, |kept| self.since(&kept, now_ms)))
    }

    /// Opens the stored account or creates one, which agrees to the authority's terms of service.
    pub(super) async fn open(
        &self,
        transport: &Transport,
        now_ms: u64,
    ) -> Result<Account, AcmeError> {
        let builder = Account::builder_with_http(Box::new(transport.clone()));
        let contact: Vec<_> = self.contact.iter().map(String::as_str).collect();
        let kept = self.read()?;
        let since_ms = kept.as_ref().map_or(0, |kept| self.since(kept, now_ms));
        let Some(kept) = kept.filter(|kept| kept.directory == self.directory) else {
            let new = NewAccount {
                contact: &contact,
                terms_of_service_agreed: true,
                only_return_existing: false,
            };
            let made = builder.create(&new, self.directory.to_string(), None).await;
            let (account, credentials) = made.map_err(at("the account"))?;
            self.write(since_ms, credentials)?;
            return Ok(account);
        };
        let is_contact_new = kept.contact != self.contact;
        let again = is_contact_new.then(|| self.read()).transpose()?.flatten();
        let opened = builder.from_credentials(kept.credentials).await;
        let account = opened.map_err(at("the directory"))?;
        if let Some(again) = again {
            account.update_contacts(&contact).await.map_err(at("the account"))?;
            self.write(since_ms, again.credentials)?;
        }
        Ok(account)
    }

    /// Removes an account that the authority no longer knows.
    pub(super) fn forget(&self) -> Result<(), AcmeError> {
        files::remove(&self.path).map_err(|error| self.failed(error))
    }

    fn since(&self, kept: &Kept, now_ms: u64) -> u64 {
        if kept.directory == self.directory { kept.since_ms } else { now_ms }
    }

    fn read(&self) -> Result<Option<Kept>, AcmeError> {
        match fs::read(&self.path) {
            Ok(bytes) => {
                let kept = serde_json::from_slice(&bytes);
                kept.map(Some).map_err(|_| AcmeError::NoAccount(self.path.clone()))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.failed(error)),
        }
    }

    fn write(&self, since_ms: u64, credentials: AccountCredentials) -> Result<(), AcmeError> {
        let (directory, contact) = (self.directory.clone(), self.contact.clone());
        let kept = Kept { directory, contact, since_ms, credentials };
        let text = serde_json::to_vec(&kept).map_err(|error| self.failed(error.into()))?;
        files::write(&self.path, &text)
    }

    fn failed(&self, reason: io::Error) -> AcmeError {
        AcmeError::File { path: self.path.clone(), reason }
    }
}
