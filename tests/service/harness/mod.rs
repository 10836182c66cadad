//! Starts the real program as users do, with a small client for it.

mod acme;
mod answer;
mod chromium;
mod clickhouse;
mod client;
mod counts;
mod data;
mod files;
mod geo;
mod names;
mod options;
mod output;
mod server;
mod shared;

use std::time::{Duration, Instant};

pub use acme::AcmeServer;
pub use answer::Answer;
pub use chromium::Chromium;
pub use clickhouse::ClickHouseServer;
pub use client::{Api, Link};
pub use data::{DataFolder, slugline};
pub use files::FileServer;
pub use geo::{address_in, address_v6_in};
pub use names::NameServer;
pub use options::{Options, TOKEN, after_setting};
pub use output::Output;
pub use server::{Server, client, is_alive};
pub use shared::shared;

/// The maximum time to wait for anything.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// User agents of people and machines as they are met.
pub mod agents {
    pub const CHROME_ON_WINDOWS: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0 Safari/537.36";
    pub const SAFARI_ON_IPHONE: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1";
    pub const SAFARI_ON_IPAD: &str = "Mozilla/5.0 (iPad; CPU OS 16_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/16.6 Mobile/15E148 Safari/604.1";
    pub const FIREFOX_ON_LINUX: &str =
        "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0";
    pub const GOOGLEBOT: &str =
        "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)";
}

/// Asks until there is an answer; fails the test when that takes too long.
#[track_caller]
pub fn eventually<T>(what: &str, ask: impl FnMut() -> Option<T>) -> T {
    within(PATIENCE, what, ask)
}

/// Asks until there is an answer, for at most this time.
#[track_caller]
pub fn within<T>(limit: Duration, what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(started.elapsed() < limit, "not within {limit:?}: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
