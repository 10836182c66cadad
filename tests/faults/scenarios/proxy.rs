//! A way to ClickHouse that fails: closed, or cutting connections at random places, so that a
//! request may have been carried out and its answer lost.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::chance::Chance;

/// How the proxy treats connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// Passes all on.
    Open,
    /// Takes no connection, and ends those that there are.
    Closed,
    /// Cuts connections at random, so many of a thousand reads.
    Cutting(u64),
}

struct Shared {
    upstream: SocketAddr,
    manner: Mutex<Manner>,
    chance: Mutex<Chance>,
    cuts: AtomicU64,
    stop: AtomicBool,
}

pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl Proxy {
    /// Before the server at this URL.
    pub fn start(url: &str, seed: u64) -> Self {
        let upstream = url.trim_start_matches("http://").trim_end_matches('/').parse().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            upstream,
            manner: Mutex::new(Manner::Open),
            chance: Mutex::new(Chance::new(seed)),
            cuts: AtomicU64::new(0),
            stop: AtomicBool::new(false),
        });
        let accepting = Arc::clone(&shared);
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if accepting.stop.load(Ordering::Relaxed) {
                    return;
                }
                let shared = Arc::clone(&accepting);
                std::thread::spawn(move || shared.serve(client));
            }
        });
        Self { address, shared }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn set(&self, manner: Manner) {
        *self.shared.manner.lock().unwrap() = manner;
    }

    /// How often a connection was cut.
    pub fn cuts(&self) -> u64 {
        self.shared.cuts.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.set(Manner::Closed);
        let _woken = TcpStream::connect(self.address);
    }
}

impl Shared {
    fn serve(self: Arc<Self>, client: TcpStream) {
        if *self.manner.lock().unwrap() == Manner::Closed {
            return;
        }
        let Ok(server) = TcpStream::connect(self.upstream) else { return };
        let _no_delay = (client.set_nodelay(true), server.set_nodelay(true));
        let (Ok(client_again), Ok(server_again)) = (client.try_clone(), server.try_clone()) else {
            return;
        };
        let back = Arc::clone(&self);
        let answers = std::thread::spawn(move || back.pass(server_again, client_again));
        self.pass(client, server);
        let _passed = answers.join();
    }

    /// Passes bytes on until one side ends or the proxy cuts in.
    fn pass(&self, mut from: TcpStream, mut to: TcpStream) {
        let _timeout = from.set_read_timeout(Some(Duration::from_millis(50)));
        let mut bytes = vec![0; 16 << 10];
        loop {
            let read = match from.read(&mut bytes) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) if is_timeout(&error) && !self.is_closed() => continue,
                Err(_) => break,
            };
            let passed = self.cut(read).unwrap_or(read);
            if to.write_all(&bytes[..passed]).is_err() || passed < read || self.is_closed() {
                break;
            }
        }
        let _both = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
    }

    fn is_closed(&self) -> bool {
        *self.manner.lock().unwrap() == Manner::Closed
    }

    /// How many of these bytes go on before the cut; `None`: all of them, and no cut.
    fn cut(&self, read: usize) -> Option<usize> {
        let Manner::Cutting(of_thousand) = *self.manner.lock().unwrap() else { return None };
        let mut chance = self.chance.lock().unwrap();
        if chance.below(1_000) >= of_thousand {
            return None;
        }
        self.cuts.fetch_add(1, Ordering::Relaxed);
        Some(usize::try_from(chance.below(read as u64)).unwrap())
    }
}

fn is_timeout(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut)
}
