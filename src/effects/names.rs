//! DNS lookups of addresses and TXT records, with the system's or a given name server. Nothing is
//! cached, so that new records are found immediately.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolverConfig,
};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::RData;

/// The timeout of one query; see also the number of attempts.
const TIMEOUT: Duration = Duration::from_secs(2);
const ATTEMPTS: usize = 2;

/// Why a lookup failed; shown to the user who supplied the name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The name server has no such record.
    #[error("{0} has no such record")]
    NoRecord(String),
    /// The name server doesn't answer or sends an invalid response.
    #[error("the name server did not answer for {0}")]
    NoAnswer(String),
}

/// A DNS resolver. Cheap to clone.
#[derive(Clone)]
pub struct Names {
    /// `None` if no name server is configured.
    resolver: Option<TokioResolver>,
}

impl Names {
    /// Uses this server, or else the system's configuration. If the latter can't be read, lookups
    /// fail.
    pub fn new(server: Option<SocketAddr>) -> Self {
        let resolver = resolver(server);
        if let Err(error) = &resolver {
            tracing::warn!(%error, "no name server is configured; domains can't be verified");
        }
        Self { resolver: resolver.ok() }
    }

    /// The addresses of a host.
    ///
    /// # Errors
    /// [`NameError`], also if there are no addresses.
    pub async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, NameError> {
        let found = self.resolver(host)?.lookup_ip(whole(host)).await;
        let addresses: Vec<_> = found.map_err(|error| told(host, &error))?.iter().collect();
        if addresses.is_empty() { Err(NameError::NoRecord(host.to_owned())) } else { Ok(addresses) }
    }

    /// The TXT records of a name, each joined from its parts.
    pub async fn texts(&self, name: &str) -> Result<Vec<String>, NameError> {
        let found = self.resolver(name)?.txt_lookup(whole(name)).await;
        let found = found.map_err(|error| told(name, &error))?;
        let texts = found.answers().iter().filter_map(|record| match &record.data {
            RData::TXT(text) => Some(String::from_utf8_lossy(&text.txt_data.concat()).into_owned()),
            _ => None,
        });
        Ok(texts.collect())
    }

    fn resolver(&self, name: &str) -> Result<&TokioResolver, NameError> {
        self.resolver.as_ref().ok_or_else(|| NameError::NoAnswer(name.to_owned()))
    }
}

fn resolver(server: Option<SocketAddr>) -> Result<TokioResolver, NetError> {
    let mut builder = match server {
        None => TokioResolver::builder_tokio()?,
        Some(server) => {
            let at_port = |mut connection: ConnectionConfig| {
                connection.port = server.port();
                connection
            };
            let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()];
            let connections = connections.into_iter().map(at_port).collect();
            let server = NameServerConfig::new(server.ip(), true, connections);
            let config = ResolverConfig::from_parts(None, Vec::new(), vec![server]);
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
        }
    };
    let options = builder.options_mut();
    options.cache_size = 0;
    options.timeout = TIMEOUT;
    options.attempts = ATTEMPTS;
    options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    builder.build()
}

/// Appends the root's dot, so that the system's search list is not used.
fn whole(name: &str) -> String {
    format!("{}.", name.trim_end_matches('.'))
}

fn told(name: &str, error: &NetError) -> NameError {
    if error.is_no_records_found() {
        return NameError::NoRecord(name.to_owned());
    }
    tracing::debug!(name, %error, "DNS lookup failed");
    NameError::NoAnswer(name.to_owned())
}
