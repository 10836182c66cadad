//! A proxy to ClickHouse that can be closed.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How the proxy treats connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// Passes all on.
    Open,
    /// Takes no connection, and ends those that there are.
    Closed,
}

struct Shared {
    upstream: SocketAddr,
    manner: Mutex<Manner>,
    stop: AtomicBool,
}

pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl Proxy {
    /// Before the server at this URL.
    pub fn start(url: &str) -> Self {
        let upstream = url.trim_start_matches("http://").trim_end_matches('/').parse().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            upstream,
            manner: Mutex::new(Manner::Open),
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

    /// Passes bytes on until one side ends or the way is closed.
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
            if to.write_all(&bytes[..read]).is_err() || self.is_closed() {
                break;
            }
        }
        let _both = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
    }

    fn is_closed(&self) -> bool {
        *self.manner.lock().unwrap() == Manner::Closed
    }
}

fn is_timeout(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut)
}
