//! Obtains a certificate for each host: for new hosts, and for renewal in the last third of the
//! lifetime. There is one order at a time; a failed order is retried with increasing delays.

mod schedule;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use futures_util::FutureExt;
use metrics::{counter, gauge};
use tokio::signal::unix::{Signal, SignalKind, signal};

use schedule::{Owner, Schedule};

use crate::commands::now_ms;
use crate::domain::hostname::{address, split_port};
use crate::effects::acme::{Authority, Validity};
use crate::http::challenge::OpenChallenge;
use crate::http::transport::tls::{Certificates, check};
use crate::metrics::{CERTIFICATE_ORDERS, CERTIFICATES_FAILING};
use crate::projections::index::{Hosts, Index};

/// The folder of the certificates.
pub fn folder(data: &Path) -> PathBuf {
    data.join("certificates")
}

/// Obtains certificates.
pub struct CertificateManager {
    authority: Authority,
    certificates: Arc<Certificates>,
    challenge: Arc<OpenChallenge>,
    index: Arc<Index>,
    /// The service's own host, if it has a name.
    own_host: Option<String>,
    schedule: Schedule,
    /// The domains in the schedule.
    scheduled: Option<Arc<Hosts>>,
    hangups: Signal,
}

impl CertificateManager {
    /// Creates a manager for `own_host`, ignoring its port, and each verified domain.
    pub fn new(
        authority: Authority,
        certificates: Arc<Certificates>,
        challenge: Arc<OpenChallenge>,
        index: Arc<Index>,
        own_host: Option<&str>,
    ) -> io::Result<Self> {
        let hangups = signal(SignalKind::hangup())?;
        let own_host = own_host.map(str::to_owned).filter(|host| may_be_certified(host));
        let (schedule, scheduled) = (Schedule::default(), None);
        Ok(Self {
            authority,
            certificates,
            challenge,
            index,
            own_host,
            schedule,
            scheduled,
            hangups,
        })
    }

    /// Orders all due certificates. After a SIGHUP, failed orders are due at once.
    pub async fn order_due(&mut self) {
        loop {
            // Checked before each order, since there may be many.
            if self.hangups.recv().now_or_never().is_some() {
                (self.schedule, self.scheduled) = (Schedule::default(), None);
                self.reload();
            }
            self.update_hosts();
            #[allow(clippy::cast_precision_loss, reason = "there are no 2⁵³ hosts")]
            gauge!(CERTIFICATES_FAILING).set(self.schedule.waiting() as f64);
            let Some(host) = self.schedule.next(now_ms()).map(str::to_owned) else { return };
            self.obtain(&host).await;
        }
    }

    /// Adds new domains to the schedule, and removes those that are gone, with their certificates.
    fn update_hosts(&mut self) {
        let hosts = Arc::clone(&self.index.hosts());
        if self.scheduled.as_ref().is_some_and(|scheduled| Arc::ptr_eq(scheduled, &hosts)) {
            return;
        }
        self.remove_stale();
        let since_ms = self.authority.since_ms(now_ms()).unwrap_or_else(|error| {
            tracing::error!(%error, "cannot read the ACME account");
            0
        });
        let (authority, certificates) = (&self.authority, &self.certificates);
        let certifiable = self.certifiable(&hosts);
        self.schedule.set(certifiable, |host| {
            let is_todays = authority.kept_at_ms(host) >= since_ms;
            let own = certificates.own(host).filter(|_| is_todays);
            let validity = own.and_then(|own| Validity::of(&own, host));
            validity.map_or(0, |validity| validity.renew_at_ms())
        });
        self.scheduled = Some(hosts);
    }

    /// The hosts that need certificates, with their owners.
    fn certifiable(&self, hosts: &Hosts) -> BTreeMap<String, Owner> {
        let owned = hosts.owners().map(|(name, workspace)| (name, Some(workspace)));
        let all = owned.chain(self.own_host.as_deref().map(|name| (name, None)));
        let all = all.filter(|(name, _)| may_be_certified(name));
        all.map(|(name, owner)| (name.to_owned(), owner)).collect()
    }

    /// Removes the certificates and keys of hosts that are gone. If the domains cannot be read,
    /// nothing is removed.
    fn remove_stale(&self) {
        let removed = tokio::task::block_in_place(|| {
            let hosts = self.certifiable(&self.index.read_hosts()?);
            anyhow::Ok(self.authority.retain(|host| hosts.contains_key(host))?)
        });
        match removed {
            Ok(0) => return,
            Ok(files) => tracing::info!(files, "removed certificates of removed hosts"),
            Err(error) => {
                let error = format!("{error:#}");
                tracing::error!(error, "cannot remove certificates of removed hosts");
            }
        }
        self.reload();
    }

    async fn obtain(&mut self, host: &str) {
        tracing::info!(host, "ordering a certificate");
        let obtained = self.order(host).await;
        self.challenge.close();
        let outcome = if obtained.is_ok() { "issued" } else { "failed" };
        counter!(CERTIFICATE_ORDERS, "outcome" => outcome).increment(1);
        match obtained {
            Ok(renew_at_ms) => {
                self.schedule.issued(host, renew_at_ms);
                tracing::info!(host, "obtained a certificate");
            }
            Err(error) => {
                let wait = humantime::format_duration(self.schedule.failed(host, now_ms()));
                let error = format!("{error:#}");
                tracing::error!(host, error, %wait, "certificate order failed; retrying");
            }
        }
    }

    /// Obtains and installs a certificate. Returns when to renew it.
    async fn order(&mut self, host: &str) -> anyhow::Result<u64> {
        let challenge = &self.challenge;
        let show = |token: &str, answer: &str| challenge.open(token, answer);
        let issued = self.authority.order(host, now_ms(), show).await?;
        let own = check(&issued.chain, &issued.key).context("the issued certificate is invalid")?;
        let validity =
            Validity::of(&own, host).context("the issued certificate is for another host")?;
        // If a clock is wrong, orders would otherwise repeat endlessly.
        let renew_at_ms = validity.renew_at_ms();
        anyhow::ensure!(
            renew_at_ms > now_ms(),
            "the issued certificate is already due for renewal: check the clock"
        );
        tokio::task::block_in_place(|| self.authority.keep(host, &issued))?;
        self.reload();
        Ok(renew_at_ms)
    }

    fn reload(&self) {
        if let Err(error) = tokio::task::block_in_place(|| self.certificates.reload()) {
            let error = format!("{error:#}");
            tracing::error!(error, "cannot reload certificates; keeping the previous ones");
        }
    }
}

/// Whether a certificate can be ordered. The authority connects to port 80, and the host must be a
/// name.
fn may_be_certified(host: &str) -> bool {
    let (name, port) = split_port(host);
    let is_this_machine = name == "localhost" || name.ends_with(".localhost");
    port.is_none() && address(name).is_none() && !is_this_machine
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_on_default_ports_are_certified() {
        for (host, may) in [
            ("go.example.com", true),
            ("xn--bcher-kva.example", true),
            ("intranet", true),
            ("go.test:8081", false),
            ("localhost", false),
            ("go.localhost", false),
            ("127.0.0.1", false),
            ("[::1]", false),
        ] {
            assert_eq!(may_be_certified(host), may, "{host}");
        }
    }
}
