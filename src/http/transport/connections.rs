//! Connection limits: in total, and per address.
//!
//! A [`ConnectionPermit`] is held for as long as its connection is served. Of an address only a
//! count is kept, while it has a connection.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use metrics::{Counter, Gauge};
use rustix::net::sockopt;
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::clicks::TrustedProxies;
use crate::limits::MAX_CONNECTIONS_PER_ADDRESS;
use crate::metrics::{CONNECTIONS, CONNECTIONS_REFUSED};

/// Limited by the system's `net.core.somaxconn`.
const BACKLOG: i32 = i32::MAX;
/// The system closes a connection whose client acknowledges or reads nothing for this long.
#[cfg(target_os = "linux")]
const SEND_TIMEOUT: Duration = Duration::from_secs(120);
/// The delay after a failed accept, for example without free file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// The interval between equal warnings.
const WARNING_PERIOD: Duration = Duration::from_secs(60);

/// A listening socket.
pub struct Listener(TcpListener);

impl Listener {
    /// Listens on an address. Must be called on a tokio runtime.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        rustix::net::listen(&listener, BACKLOG)?;
        // Accepted connections inherit both options. An answer is one small write, which must not
        // be delayed.
        sockopt::set_tcp_nodelay(&listener, true)?;
        #[cfg(target_os = "linux")]
        sockopt::set_tcp_user_timeout(
            &listener,
            u32::try_from(SEND_TIMEOUT.as_millis()).unwrap_or(u32::MAX),
        )?;
        Ok(Self(TcpListener::from_std(listener)?))
    }

    /// The local address.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    /// Accepts the next connection within the limits, as a non-blocking socket. Others are closed.
    pub(super) async fn accept(&self, limits: &Arc<ConnectionLimits>) -> Option<Accepted> {
        let slot = limits.slot().await?;
        loop {
            match self.accept_any().await {
                Ok((stream, peer)) => match limits.count(peer) {
                    Ok(counted) => {
                        let permit = ConnectionPermit { _counted: counted, _slot: slot };
                        return Some(Accepted { stream, peer, permit });
                    }
                    Err(TooMany) => refuse(&stream),
                },
                // The client closed the connection before it was accepted.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    if limits.accept_failed.is_due() {
                        tracing::warn!(%error, "cannot accept connections; retrying");
                    }
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    async fn accept_any(&self) -> io::Result<(TcpStream, IpAddr)> {
        let (stream, peer) = self.0.accept().await?;
        // Detached from the runtime until it is handed over.
        Ok((stream.into_std()?, peer.ip()))
    }
}

/// Makes the system reset the connection when it is closed, without `TIME_WAIT`.
fn refuse(stream: &TcpStream) {
    // Optional: the connection is closed anyway.
    let _optional = sockopt::set_socket_linger(stream, Some(Duration::ZERO));
}

/// An accepted connection and its peer.
pub(super) struct Accepted {
    pub(super) stream: TcpStream,
    pub(super) peer: IpAddr,
    pub(super) permit: ConnectionPermit,
}

/// The connection limits of all listeners.
pub struct ConnectionLimits {
    slots: Arc<Semaphore>,
    per_address: usize,
    exempt: TrustedProxies,
    by_network: Mutex<HashMap<IpAddr, usize>>,
    open: Gauge,
    refused: Counter,
    all_in_use: Throttle,
    too_many: Throttle,
    accept_failed: Throttle,
}

/// An address has reached its limit.
#[derive(Debug, PartialEq, Eq)]
struct TooMany;

impl ConnectionLimits {
    /// `all` connections in total, and `per_address`; trusted proxies are exempt, as each
    /// represents many visitors.
    ///
    /// The default per address is a quarter of all, at most [`MAX_CONNECTIONS_PER_ADDRESS`]: no
    /// address can take all connections, while a household, an office or a carrier's NAT stays
    /// far below it, as does a reverse proxy that is not configured as trusted (behind it, all
    /// visitors have one address, often loopback or a container network's), or a load generator
    /// on this machine.
    pub fn new(all: usize, per_address: Option<usize>, exempt: TrustedProxies) -> Self {
        let per_address =
            per_address.unwrap_or_else(|| (all / 4).clamp(1, MAX_CONNECTIONS_PER_ADDRESS));
        tracing::info!(all, per_address, "connection limits");
        Self {
            slots: Arc::new(Semaphore::new(all)),
            per_address,
            exempt,
            by_network: Mutex::default(),
            open: metrics::gauge!(CONNECTIONS),
            refused: metrics::counter!(CONNECTIONS_REFUSED),
            all_in_use: Throttle::default(),
            too_many: Throttle::default(),
            accept_failed: Throttle::default(),
        }
    }

    /// Waits for one of all connections.
    async fn slot(&self) -> Option<OwnedSemaphorePermit> {
        if self.slots.available_permits() == 0 && self.all_in_use.is_due() {
            tracing::warn!("all connections are in use; new ones wait");
        }
        Arc::clone(&self.slots).acquire_owned().await.ok()
    }

    /// Counts a connection of an address until the result is dropped.
    fn count(self: &Arc<Self>, peer: IpAddr) -> Result<Counted, TooMany> {
        let network = network(peer);
        let is_exempt = self.exempt.trusts(peer.to_canonical());
        if !is_exempt {
            let mut by_network = self.by_network.lock().unwrap_or_else(PoisonError::into_inner);
            let count = by_network.entry(network).or_default();
            if *count >= self.per_address {
                drop(by_network);
                self.refused.increment(1);
                if self.too_many.is_due() {
                    tracing::warn!(
                        connections_per_address = self.per_address,
                        "an address has reached its connection limit; closing further connections"
                    );
                }
                return Err(TooMany);
            }
            *count += 1;
        }
        self.open.increment(1);
        Ok(Counted { limits: Arc::clone(self), network: (!is_exempt).then_some(network) })
    }

    fn uncount(&self, network: IpAddr) {
        let mut by_network = self.by_network.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = by_network.get_mut(&network) {
            *count -= 1;
            if *count == 0 {
                by_network.remove(&network);
            }
        }
    }
}

/// The address for counting connections: the /64 network for IPv6, which usually belongs to one
/// client.
fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64)).into(),
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// The permit for one open connection, released when dropped.
pub(super) struct ConnectionPermit {
    _counted: Counted,
    _slot: OwnedSemaphorePermit,
}

/// A counted connection, with its address unless that is exempt.
struct Counted {
    limits: Arc<ConnectionLimits>,
    network: Option<IpAddr>,
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.limits.open.decrement(1);
        if let Some(network) = self.network {
            self.limits.uncount(network);
        }
    }
}

/// Limits a warning to one per [`WARNING_PERIOD`].
#[derive(Default)]
struct Throttle(Mutex<Option<Instant>>);

impl Throttle {
    fn is_due(&self) -> bool {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = last.is_none_or(|last| last.elapsed() >= WARNING_PERIOD);
        if is_due {
            *last = Some(Instant::now());
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(per_address: Option<usize>, exempt: &str) -> Arc<ConnectionLimits> {
        Arc::new(ConnectionLimits::new(100, per_address, exempt.parse().unwrap()))
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_has_its_share_and_gets_it_back() {
        let limits = limits(None, "");
        let first = address("192.0.2.1");
        let mut held: Vec<_> = (0..25).map(|_| limits.count(first).unwrap()).collect();
        assert!(limits.count(first).is_err());
        assert!(limits.count(address("::ffff:192.0.2.1")).is_err(), "the same one");
        let _other = limits.count(address("192.0.2.2")).unwrap();
        held.pop();
        held.push(limits.count(first).unwrap());
        assert!(limits.count(first).is_err());
        drop(held);
        assert_eq!(limits.by_network.lock().unwrap().len(), 1, "only the other one is left");
    }

    #[test]
    fn a_network_of_ipv6_is_one_address() {
        let limits = limits(Some(2), "");
        let _one = limits.count(address("2001:db8:1:2::1")).unwrap();
        let _two = limits.count(address("2001:db8:1:2:ffff::1")).unwrap();
        assert!(limits.count(address("2001:db8:1:2::2")).is_err());
        let _other = limits.count(address("2001:db8:1:3::1")).unwrap();
    }

    #[test]
    fn trusted_proxies_are_exempt() {
        let limits = limits(Some(1), "10.0.0.0/8");
        let held: Vec<_> =
            (0..50).map(|_| limits.count(address("::ffff:10.1.2.3")).unwrap()).collect();
        assert!(limits.by_network.lock().unwrap().is_empty());
        drop(held);
        let _one = limits.count(address("192.0.2.1")).unwrap();
        assert!(limits.count(address("192.0.2.1")).is_err());
    }

    #[tokio::test]
    async fn accepted_connections_inherit_the_options_and_hold_their_permit() {
        let listener = Listener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let limits = limits(Some(1), "");
        let address = listener.local_addr().unwrap();
        let _first = TcpStream::connect(address).unwrap();
        let accepted = listener.accept(&limits).await.unwrap();
        assert!(accepted.stream.nodelay().unwrap());
        #[cfg(target_os = "linux")]
        assert_eq!(sockopt::tcp_user_timeout(&accepted.stream).unwrap(), 120_000);
        assert_eq!(limits.slots.available_permits(), 99);
        let refused = TcpStream::connect(address).unwrap();
        let mut next = Box::pin(listener.accept(&limits));
        let waited = tokio::time::timeout(Duration::from_millis(100), &mut next).await;
        assert!(waited.is_err(), "the address has its one connection");
        let error = io::Read::read(&mut &refused, &mut [0]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        drop(accepted);
        let _third = TcpStream::connect(address).unwrap();
        assert!(next.await.is_some());
        assert_eq!(limits.slots.available_permits(), 100);
    }
}
