//! Certificates from an authority that speaks ACME (RFC 8555): one host an order, shown to be
//! ours by an answer over plain HTTP (HTTP-01).
//!
//! The directory is the operator's word, not a user's: whoever it names is not held against the
//! [`Guard`](super::Guard). Each exchange has its time, and so has the whole order.

mod account;
mod certificate;
mod files;
mod transport;

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use instant_acme::{
    Account, AuthorizationStatus, ChallengeType, Identifier, NewOrder, Order, OrderStatus,
    RetryPolicy,
};
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use url::Url;

use account::AccountFile;
pub use certificate::Validity;
use transport::Transport;

/// How long an order may take, from the first word to the certificate.
const ORDER_TIMEOUT: Duration = Duration::from_secs(300);
/// How an authority is asked whether it is done: it looks at the host, and may take its time.
const POLLS: RetryPolicy = RetryPolicy::new()
    .initial_delay(Duration::from_millis(250))
    .backoff(1.5)
    .timeout(Duration::from_secs(120));

/// Which authority.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcmeSettings {
    /// Its directory.
    pub directory: Url,
    /// Whom it may write to, as a URL (`mailto:…`).
    pub contact: Option<String>,
    /// A file (PEM) with the roots that it is trusted by, in place of the system's.
    pub root: Option<PathBuf>,
}

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum AcmeError {
    /// The roots can't be used.
    #[error("{path}: {reason}")]
    Roots {
        /// The file, or what stands for the system's.
        path: String,
        /// Why.
        reason: String,
    },
    /// A file of ours can't be read or written.
    #[error("{path}: {reason}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: io::Error,
    },
    /// The account's file holds something else. What it holds is not told: it may be a key.
    #[error("{0} is not an account key; remove it to have a new account made")]
    NoAccount(PathBuf),
    /// The authority said no, or could not be asked.
    #[error("{step}: {reason}")]
    Refused {
        /// At which step.
        step: &'static str,
        /// What it said.
        reason: instant_acme::Error,
    },
    /// It does not ask over HTTP.
    #[error("the authority offers no HTTP-01 challenge for this host")]
    NoChallenge,
    /// It did not find the answer to its challenge.
    #[error("the authority did not accept the host: {0}")]
    Unproven(String),
    /// No key, or no request for it, can be made.
    #[error("no key and request can be made: {0}")]
    Key(rcgen::Error),
    /// It took too long.
    #[error("no certificate within {} s", ORDER_TIMEOUT.as_secs())]
    TimedOut,
}

/// For `map_err`: what failed at a step.
fn at(step: &'static str) -> impl Fn(instant_acme::Error) -> AcmeError {
    move |reason| AcmeError::Refused { step, reason }
}

/// A chain and its key, as PEM.
pub struct Issued {
    /// The chain, the host's own certificate first.
    pub chain: String,
    /// Its key.
    pub key: String,
}

/// An authority, our account with it, and the folder in which its certificates are kept.
pub struct Authority {
    folder: PathBuf,
    account_file: AccountFile,
    transport: Transport,
    /// Open once it was used.
    account: Option<Account>,
}

impl Authority {
    /// Reads the roots; nobody is asked yet.
    ///
    /// # Errors
    /// Where the roots can't be used.
    pub fn new(settings: AcmeSettings, folder: PathBuf) -> Result<Self, AcmeError> {
        let transport = Transport::new(settings.root.as_deref())?;
        let account_file = AccountFile::new(&folder, settings.directory, settings.contact);
        Ok(Self { folder, account_file, transport, account: None })
    }

    /// Kept certificates that were written before this moment are another authority's.
    ///
    /// # Errors
    /// Where the account's file can't be read.
    pub fn since_ms(&self, now_ms: u64) -> Result<u64, AcmeError> {
        self.account_file.since_ms(now_ms)
    }

    /// When a host's kept certificate was written; 0 where there is none.
    pub fn kept_at_ms(&self, host: &str) -> u64 {
        files::written_at_ms(&files::certificate(&self.folder, host))
    }

    /// Orders a certificate for a host. `show` is to have `/.well-known/acme-challenge/{token}`
    /// answered, until the order is over.
    ///
    /// # Errors
    /// [`AcmeError`].
    pub async fn order(
        &mut self,
        host: &str,
        now_ms: u64,
        show: impl Fn(&str, &str),
    ) -> Result<Issued, AcmeError> {
        let ordered = tokio::time::timeout(ORDER_TIMEOUT, self.ask(host, now_ms, show)).await;
        let ordered = ordered.unwrap_or(Err(AcmeError::TimedOut));
        if ordered.as_ref().is_err_and(is_account_unknown) {
            self.account = None;
            self.account_file.forget()?;
        }
        ordered
    }

    /// Keeps a certificate in its files, in the place of the one before.
    ///
    /// # Errors
    /// Where they can't be written.
    pub fn keep(&self, host: &str, issued: &Issued) -> Result<(), AcmeError> {
        files::keep(&self.folder, host, issued)
    }

    /// Removes what is kept of all hosts but those that are `wanted`; says how many files.
    ///
    /// # Errors
    /// Where the folder can't be read, or a file can't be removed.
    pub fn retain(&self, wanted: impl Fn(&str) -> bool) -> Result<usize, AcmeError> {
        files::retain(&self.folder, wanted)
    }

    async fn ask(
        &mut self,
        host: &str,
        now_ms: u64,
        show: impl Fn(&str, &str),
    ) -> Result<Issued, AcmeError> {
        let account = if let Some(account) = &self.account {
            account
        } else {
            let opened = self.account_file.open(&self.transport, now_ms).await?;
            self.account.insert(opened)
        };
        let names = [Identifier::Dns(host.to_owned())];
        let order = account.new_order(&NewOrder::new(&names)).await;
        let mut order = order.map_err(at("the order"))?;
        prove(&mut order, show).await?;

        let mut request = CertificateParams::new([host.to_owned()]).map_err(AcmeError::Key)?;
        request.distinguished_name = DistinguishedName::new();
        let key = KeyPair::generate().map_err(AcmeError::Key)?;
        let request = request.serialize_request(&key).map_err(AcmeError::Key)?;
        order.finalize_csr(request.der()).await.map_err(at("the request"))?;
        let chain = order.poll_certificate(&POLLS).await.map_err(at("the certificate"))?;
        Ok(Issued { chain, key: key.serialize_pem() })
    }
}

/// Shows the authority that the order's host is ours.
async fn prove(order: &mut Order, show: impl Fn(&str, &str)) -> Result<(), AcmeError> {
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization.map_err(at("the authorization"))?;
        // What was shown lately need not be shown again.
        if authorization.status == AuthorizationStatus::Valid {
            continue;
        }
        let challenge = authorization.challenge(ChallengeType::Http01);
        let mut challenge = challenge.ok_or(AcmeError::NoChallenge)?;
        show(&challenge.token, challenge.key_authorization().as_str());
        challenge.set_ready().await.map_err(at("the challenge"))?;
    }
    match order.poll_ready(&POLLS).await.map_err(at("the proof"))? {
        OrderStatus::Ready => Ok(()),
        _ => Err(AcmeError::Unproven(objection(order).await)),
    }
}

/// What the authority says against an order that it has called invalid.
async fn objection(order: &mut Order) -> String {
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        let Ok(state) = authorization.refresh().await else { break };
        let said = state.challenges.iter().find_map(|challenge| challenge.error.as_ref());
        if let Some(problem) = said {
            return problem.to_string();
        }
    }
    "it does not say why".to_owned()
}

/// Whether the authority has forgotten our account.
fn is_account_unknown(error: &AcmeError) -> bool {
    let AcmeError::Refused { reason: instant_acme::Error::Api(problem), .. } = error else {
        return false;
    };
    problem.r#type.as_deref() == Some("urn:ietf:params:acme:error:accountDoesNotExist")
}
