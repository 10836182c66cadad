//! Names: addresses and texts, asked of the system's name server or of a given one. Nothing is
//! remembered: whoever has just set a record wants to see it found.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolverConfig,
};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::RData;

/// How long one question may take, and how often it is asked.
const TIMEOUT: Duration = Duration::from_secs(2);
const ATTEMPTS: usize = 2;

/// Why a name could not be looked up; meant for the eyes of whoever named it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The name server says that there is nothing.
    #[error("{0} has no such record")]
    NoRecord(String),
    /// It gives no answer, or one that makes no sense.
    #[error("the name server gives no answer for {0}")]
    NoAnswer(String),
}

/// The way to the name server. Cheap to clone.
#[derive(Clone)]
pub struct Names {
    /// `None`: no name server is known, and so no name.
    resolver: Option<TokioResolver>,
}

impl Names {
    /// By the system's configuration, or of this server alone. Where the system has none that can
    /// be read, no name is found; all else goes on.
    pub fn new(server: Option<SocketAddr>) -> Self {
        let resolver = resolver(server);
        if let Err(error) = &resolver {
            tracing::warn!(%error, "no name server is known: no domain can be verified");
        }
        Self { resolver: resolver.ok() }
    }

    /// The addresses of a host.
    ///
    /// # Errors
    /// [`NameError`]; an empty list is one too.
    pub async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, NameError> {
        let found = self.resolver(host)?.lookup_ip(whole(host)).await;
        let addresses: Vec<_> = found.map_err(|error| told(host, &error))?.iter().collect();
        if addresses.is_empty() { Err(NameError::NoRecord(host.to_owned())) } else { Ok(addresses) }
    }

    /// The texts (TXT records) of a name, each joined from its parts.
    ///
    /// # Errors
    /// [`NameError`].
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

/// With the root's dot: the system's search list is for people's own machines.
fn whole(name: &str) -> String {
    format!("{}.", name.trim_end_matches('.'))
}

fn told(name: &str, error: &NetError) -> NameError {
    if error.is_no_records_found() {
        return NameError::NoRecord(name.to_owned());
    }
    tracing::debug!(name, %error, "a name could not be looked up");
    NameError::NoAnswer(name.to_owned())
}
