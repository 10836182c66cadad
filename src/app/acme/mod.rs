//! Keeps each host supplied with a certificate: orders it when the host is new, and again when a
//! third of its life is left. One order at a time; one that fails is tried again, ever later.

mod schedule;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use metrics::{counter, gauge};
use tokio::signal::unix::{SignalKind, signal};

use schedule::{Owner, Schedule};

use crate::commands::now_ms;
use crate::domain::hostname::{address, split_port};
use crate::effects::acme::{Authority, Validity};
use crate::http::challenge::OpenChallenge;
use crate::http::transport::tls::{Certificates, check};
use crate::projections::index::{Hosts, Index};

/// How often is looked for hosts that are new, and for certificates that are due.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Where certificates are kept.
pub fn folder(data: &Path) -> PathBuf {
    data.join("certificates")
}

/// Obtains certificates.
pub struct CertificateKeeper {
    authority: Authority,
    certificates: Arc<Certificates>,
    challenge: Arc<OpenChallenge>,
    index: Arc<Index>,
    /// The service's own host, if it has a name.
    own_host: Option<String>,
    schedule: Schedule,
    /// The domains that the schedule knows.
    known: Option<Arc<Hosts>>,
}

impl CertificateKeeper {
    /// For `own_host`, without the port that visitors may come to, and each verified domain.
    pub fn new(
        authority: Authority,
        certificates: Arc<Certificates>,
        challenge: Arc<OpenChallenge>,
        index: Arc<Index>,
        own_host: Option<&str>,
    ) -> Self {
        let own_host = own_host.map(str::to_owned).filter(|host| may_be_certified(host));
        let (schedule, known) = (Schedule::default(), None);
        Self { authority, certificates, challenge, index, own_host, schedule, known }
    }

    /// Does so for as long as the service runs. A hangup has what has failed tried again at once.
    pub async fn keep(mut self) {
        let mut hangups = match signal(SignalKind::hangup()) {
            Ok(hangups) => hangups,
            Err(error) => return tracing::error!(%error, "no certificates can be kept"),
        };
        loop {
            self.look_at_hosts();
            #[allow(clippy::cast_precision_loss, reason = "there are no 2⁵³ hosts")]
            gauge!("slugline_certificates_failing").set(self.schedule.waiting() as f64);
            let host = self.schedule.next(now_ms()).map(str::to_owned);
            let pause = if host.is_some() { Duration::ZERO } else { LOOK_EVERY };
            tokio::select! {
                biased;
                // Looked at before each order: there may be many.
                _ = hangups.recv() => {
                    (self.schedule, self.known) = (Schedule::default(), None);
                    self.reload();
                    continue;
                }
                () = tokio::time::sleep(pause) => {}
            }
            if let Some(host) = host {
                self.obtain(&host).await;
            }
        }
    }

    /// Takes new domains into the schedule, and those that are gone out of it and of the folder.
    fn look_at_hosts(&mut self) {
        let hosts = Arc::clone(&self.index.hosts());
        if self.known.as_ref().is_some_and(|known| Arc::ptr_eq(known, &hosts)) {
            return;
        }
        self.remove_others();
        let since_ms = self.authority.since_ms(now_ms()).unwrap_or_else(|error| {
            tracing::error!(%error, "the account with the certificate authority can't be read");
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
        self.known = Some(hosts);
    }

    /// The hosts that are to have certificates, and whose they are.
    fn certifiable(&self, hosts: &Hosts) -> BTreeMap<String, Owner> {
        let owned = hosts.owners().map(|(name, workspace)| (name, Some(workspace)));
        let all = owned.chain(self.own_host.as_deref().map(|name| (name, None)));
        let all = all.filter(|(name, _)| may_be_certified(name));
        all.map(|(name, owner)| (name.to_owned(), owner)).collect()
    }

    /// Removes what is kept of hosts that are gone: it is served no more, and its key is nobody's.
    /// Where the domains can't be read, none is known to be gone.
    fn remove_others(&self) {
        let removed = tokio::task::block_in_place(|| {
            let hosts = self.certifiable(&self.index.read_hosts()?);
            anyhow::Ok(self.authority.retain(|host| hosts.contains_key(host))?)
        });
        match removed {
            Ok(0) => return,
            Ok(files) => tracing::info!(files, "certificates of hosts that are gone were removed"),
            Err(error) => {
                let error = format!("{error:#}");
                tracing::error!(error, "certificates of hosts that are gone can't be removed");
            }
        }
        self.reload();
    }

    async fn obtain(&mut self, host: &str) {
        tracing::info!(host, "a certificate is ordered");
        let obtained = self.order(host).await;
        self.challenge.close();
        let outcome = if obtained.is_ok() { "issued" } else { "failed" };
        counter!("slugline_certificate_orders_total", "outcome" => outcome).increment(1);
        match obtained {
            Ok(renew_at_ms) => {
                self.schedule.issued(host, renew_at_ms);
                tracing::info!(host, "the certificate is there");
            }
            Err(error) => {
                let wait = humantime::format_duration(self.schedule.failed(host, now_ms()));
                let error = format!("{error:#}");
                tracing::error!(host, error, %wait, "no certificate; it is tried again");
            }
        }
    }

    /// Has a certificate issued and served; says when it is to be renewed.
    async fn order(&mut self, host: &str) -> anyhow::Result<u64> {
        let challenge = &self.challenge;
        let show = |token: &str, answer: &str| challenge.open(token, answer);
        let issued = self.authority.order(host, now_ms(), show).await?;
        let own = check(&issued.chain, &issued.key).context("what was issued is of no use")?;
        let validity = Validity::of(&own, host).context("what was issued is for another host")?;
        // Else one order would follow the other: a clock is wrong.
        let renew_at_ms = validity.renew_at_ms();
        anyhow::ensure!(renew_at_ms > now_ms(), "what was issued is to be renewed already");
        tokio::task::block_in_place(|| self.authority.keep(host, &issued))?;
        self.reload();
        Ok(renew_at_ms)
    }

    fn reload(&self) {
        if let Err(error) = tokio::task::block_in_place(|| self.certificates.reload()) {
            let error = format!("{error:#}");
            tracing::error!(error, "the kept certificates can't be read; the old ones stay");
        }
    }
}

/// Whether an authority can be asked for a certificate: it looks at port 80 of a name.
fn may_be_certified(host: &str) -> bool {
    let (name, port) = split_port(host);
    let is_this_machine = name == "localhost" || name.ends_with(".localhost");
    port.is_none() && address(name).is_none() && !is_this_machine
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_on_the_webs_own_ports_may_be_certified() {
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
