//! A server shared by tests that don't need a separate one: each uses its own links.

use std::sync::{Arc, Mutex, Weak};

use super::options::Options;
use super::server::Server;

static SHARED: Mutex<Weak<Server>> = Mutex::new(Weak::new());

/// The server of all tests that are running at the time; the last one stops it. It believes
/// what the tests say in `X-Forwarded-For`.
pub fn shared() -> Arc<Server> {
    let mut shared = SHARED.lock().unwrap();
    if let Some(server) = shared.upgrade() {
        return server;
    }
    let server = Arc::new(Options::new().behind_proxy().start());
    server.await_analytics();
    *shared = Arc::downgrade(&server);
    server
}
