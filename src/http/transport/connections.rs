//! Which connections are accepted: so many in all, and so many from one address.
//!
//! A [`ConnectionPermit`] goes with its connection wherever that is served, and is given back when
//! it is dropped. What is kept of an address is a count, for as long as it has a connection.

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

/// The largest default for one address.
const MAX_PER_ADDRESS: usize = 4_096;
/// The system allows as many waiting connections as its `net.core.somaxconn` says.
const BACKLOG: i32 = i32::MAX;
/// A connection whose client has acknowledged nothing of what it was sent for this long, or has
/// taken nothing, is ended by the system.
#[cfg(target_os = "linux")]
const SEND_TIMEOUT: Duration = Duration::from_secs(120);
/// How long to wait when the system has no more file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How long a warning is not repeated.
const WARNING_PERIOD: Duration = Duration::from_secs(60);

/// A listening socket.
pub struct Listener(TcpListener);

impl Listener {
    /// Listens on an address. Runs on a tokio runtime.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        rustix::net::listen(&listener, BACKLOG)?;
        // Accepted connections inherit both options. An answer is one small write: it must not
        // wait for more.
        sockopt::set_tcp_nodelay(&listener, true)?;
        #[cfg(target_os = "linux")]
        sockopt::set_tcp_user_timeout(
            &listener,
            u32::try_from(SEND_TIMEOUT.as_millis()).unwrap_or(u32::MAX),
        )?;
        Ok(Self(TcpListener::from_std(listener)?))
    }

    /// Where it listens.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    /// The next connection that is within the limits, not blocking. Those that are not are closed.
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
                // A connection that was gone before it was accepted.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    if limits.accept_failed.is_due() {
                        tracing::warn!(%error, "connections can't be accepted; retrying");
                    }
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    async fn accept_any(&self) -> io::Result<(TcpStream, IpAddr)> {
        let (stream, peer) = self.0.accept().await?;
        // The runtime has nothing to do with it unless it is handed over.
        Ok((stream.into_std()?, peer.ip()))
    }
}

/// Has a connection reset when it is closed: nothing of it stays in the system (no `TIME_WAIT`).
fn refuse(stream: &TcpStream) {
    // Without it the connection is closed all the same.
    let _optional = sockopt::set_socket_linger(stream, Some(Duration::ZERO));
}

/// An accepted connection and its other end.
pub(super) struct Accepted {
    pub(super) stream: TcpStream,
    pub(super) peer: IpAddr,
    pub(super) permit: ConnectionPermit,
}

/// How many connections there may be, over all listeners.
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

/// An address has as many connections as it may.
#[derive(Debug, PartialEq, Eq)]
struct TooMany;

impl ConnectionLimits {
    /// So many in all, and so many `per_address`; addresses of trusted proxies are exempt, as each
    /// stands for many visitors.
    ///
    /// The default for one address is a quarter of all, at most [`MAX_PER_ADDRESS`]: no address
    /// takes all connections, while a household, an office or a carrier's NAT never comes near, nor
    /// does a reverse proxy that was not named as trusted (behind one, all visitors come from one
    /// address, often loopback or a container network's), nor a load generator on this machine.
    pub fn new(all: usize, per_address: Option<usize>, exempt: TrustedProxies) -> Self {
        let per_address = per_address.unwrap_or_else(|| (all / 4).clamp(1, MAX_PER_ADDRESS));
        tracing::info!(all, per_address, "connection limits");
        Self {
            slots: Arc::new(Semaphore::new(all)),
            per_address,
            exempt,
            by_network: Mutex::default(),
            open: metrics::gauge!("slugline_connections"),
            refused: metrics::counter!("slugline_connections_refused_total"),
            all_in_use: Throttle::default(),
            too_many: Throttle::default(),
            accept_failed: Throttle::default(),
        }
    }

    /// One of all connections, once one is free.
    async fn slot(&self) -> Option<OwnedSemaphorePermit> {
        if self.slots.available_permits() == 0 && self.all_in_use.is_due() {
            tracing::warn!("all connections are in use; new ones wait");
        }
        Arc::clone(&self.slots).acquire_owned().await.ok()
    }

    /// Counts a connection of an address until what is returned is dropped.
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
                        "an address has more connections than it may; the others are closed"
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

/// The address for which connections are counted: of IPv6 its /64, all of which is one client's.
fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64)).into(),
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// The right to one open connection, given back when dropped.
pub(super) struct ConnectionPermit {
    _counted: Counted,
    _slot: OwnedSemaphorePermit,
}

/// A connection that is counted, for its address unless that is exempt.
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

/// Lets a warning pass once in a [`WARNING_PERIOD`].
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
    #![allow(clippy::unwrap_used)]
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
