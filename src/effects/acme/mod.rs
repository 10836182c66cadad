//! Certificates from an ACME authority (RFC 8555): one host per order, validated over plain HTTP
//! (HTTP-01).
//!
//! The directory URL is configured by the operator, not by a user, so the [`Guard`](super::Guard)
//! doesn't apply. Each exchange and the whole order have timeouts.

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

/// The timeout of an order.
const ORDER_TIMEOUT: Duration = Duration::from_secs(300);
/// The polling policy while the authority validates the host.
const POLLS: RetryPolicy = RetryPolicy::new()
    .initial_delay(Duration::from_millis(250))
    .backoff(1.5)
    .timeout(Duration::from_secs(120));

/// The settings of an authority.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcmeSettings {
    /// The directory URL.
    pub directory: Url,
    /// The contact URL (`mailto:…`).
    pub contact: Option<String>,
    /// A PEM file with root certificates, instead of the system's.
    pub root: Option<PathBuf>,
}

/// Why a certificate could not be obtained.
#[derive(Debug, thiserror::Error)]
pub enum AcmeError {
    /// The roots can't be used.
    #[error("{path}: {reason}")]
    Roots {
        /// The file, or a name for the system's roots.
        path: String,
        /// The cause.
        reason: String,
    },
    /// A local file can't be read or written.
    #[error("{path}: {reason}")]
    File {
        /// The file.
        path: PathBuf,
        /// The cause.
        reason: io::Error,
    },
    /// The account file is invalid. Its content is not shown because it may be a key.
    #[error("{0} is not a valid account file; remove it to create a new account")]
    NoAccount(PathBuf),
    /// The authority returned an error or could not be reached.
    #[error("{step}: {reason}")]
    Refused {
        /// The step that failed.
        step: &'static str,
        /// The error.
        reason: instant_acme::Error,
    },
    /// The authority offers no HTTP-01 challenge.
    #[error("the authority offers no HTTP-01 challenge for this host")]
    NoChallenge,
    /// The authority did not accept the challenge response.
    #[error("the authority did not validate the host: {0}")]
    Unproven(String),
    /// The key or the signing request can't be generated.
    #[error("the key or the signing request can't be generated: {0}")]
    Key(rcgen::Error),
    /// The order timed out.
    #[error("no certificate within {} s", ORDER_TIMEOUT.as_secs())]
    TimedOut,
}

/// For `map_err`: an error at this step.
fn at(step: &'static str) -> impl Fn(instant_acme::Error) -> AcmeError {
    move |reason| AcmeError::Refused { step, reason }
}

/// A certificate chain and its key, as PEM.
pub struct Issued {
    /// The chain, starting with the host's certificate.
    pub chain: String,
    /// The private key.
    pub key: String,
}

/// An authority, the account with it, and the certificate folder.
pub struct Authority {
    folder: PathBuf,
    account_file: AccountFile,
    transport: Transport,
    /// Opened on first use.
    account: Option<Account>,
}

impl Authority {
    /// Reads the root certificates; doesn't contact the authority yet.
    pub fn new(settings: AcmeSettings, folder: PathBuf) -> Result<Self, AcmeError> {
        let transport = Transport::new(settings.root.as_deref())?;
        let account_file = AccountFile::new(&folder, settings.directory, settings.contact);
        Ok(Self { folder, account_file, transport, account: None })
    }

    /// Stored certificates that were written before this time are from another authority.
    pub fn since_ms(&self, now_ms: u64) -> Result<u64, AcmeError> {
        self.account_file.since_ms(now_ms)
    }

    /// When a host's stored certificate was written; 0 if there is none.
    pub fn kept_at_ms(&self, host: &str) -> u64 {
        files::written_at_ms(&files::certificate(&self.folder, host))
    }

    /// Orders a certificate for a host. `show` publishes the response for
    /// `/.well-known/acme-challenge/{token}`, which must be served until the order is complete.
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

    /// Stores a certificate in its files and replaces the previous one.
    pub fn keep(&self, host: &str, issued: &Issued) -> Result<(), AcmeError> {
        files::keep(&self.folder, host, issued)
    }

    /// Removes the files of all hosts except those that are `wanted`; returns the number of files.
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

/// Completes the challenges of the order.
async fn prove(order: &mut Order, show: impl Fn(&str, &str)) -> Result<(), AcmeError> {
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization.map_err(at("the authorization"))?;
        // A recent authorization is still valid.
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

/// The authority's reason why an order is invalid.
async fn objection(order: &mut Order) -> String {
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        let Ok(state) = authorization.refresh().await else { break };
        let said = state.challenges.iter().find_map(|challenge| challenge.error.as_ref());
        if let Some(problem) = said {
            return problem.to_string();
        }
    }
    "no reason given".to_owned()
}

/// Whether the authority doesn't know the account.
fn is_account_unknown(error: &AcmeError) -> bool {
    let AcmeError::Refused { reason: instant_acme::Error::Api(problem), .. } = error else {
        return false;
    };
    problem.r#type.as_deref() == Some("urn:ietf:params:acme:error:accountDoesNotExist")
}
