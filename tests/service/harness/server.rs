//! A running `slugline serve`.

use std::fs;
use std::net::SocketAddr;
use std::process::{Child, ExitStatus, Stdio};
use std::thread::JoinHandle;

use reqwest::blocking::{Client, RequestBuilder};
use reqwest::{Method, redirect};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use serde_json::Value;
use tokio_rustls::rustls;

use super::answer::Answer;
use super::data::DataFolder;
use super::options::Options;
use super::output::Output;
use super::{PATIENCE, eventually};

/// A separate process, killed on drop.
pub struct Server {
    process: Child,
    readers: Vec<JoinHandle<()>>,
    http: Client,
    /// `http://127.0.0.1:PORT`
    pub base: String,
    /// The same of the admin listener, which is the public one unless the options name another.
    pub admin_base: String,
    pub data: DataFolder,
    pub stdout: Output,
    /// The service's log, one JSON object a line.
    pub stderr: Output,
}

impl Server {
    /// Starts the program and waits until redirects are served.
    pub fn start(options: &Options) -> Self {
        let mut process = options
            .command()
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (stdout, out_reader) = Output::collect(process.stdout.take().unwrap());
        let (stderr, err_reader) = Output::collect(process.stderr.take().unwrap());
        let base = eventually("slugline is ready", || {
            let exited = process.try_wait().unwrap();
            assert!(exited.is_none(), "slugline ended before it was ready:\n{}", stderr.text());
            stderr.lines().iter().find_map(|line| ready_url(line))
        });
        let base = options.listen.map_or(base, |listen| format!("http://{listen}"));
        let admin = options.admin_listen.map(|listen| format!("http://{listen}"));
        let server = Self {
            process,
            readers: vec![out_reader, err_reader],
            http: client(),
            admin_base: admin.unwrap_or_else(|| base.clone()),
            base,
            data: options.data.clone(),
            stdout,
            stderr,
        };
        server.readiness();
        server
    }

    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    pub fn address(&self) -> SocketAddr {
        self.base.trim_start_matches("http://").parse().unwrap()
    }

    /// The process of the embedded ClickHouse, if there is one at the moment.
    pub fn engine_pid(&self) -> Option<u32> {
        children_of(self.pid()).first().copied()
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(as_pid(self.pid()), signal).unwrap();
    }

    /// Stops it as a service manager does, and waits until it has ended.
    pub fn stop(mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        let status = eventually("slugline ends after SIGTERM", || self.process.try_wait().unwrap());
        for reader in self.readers.drain(..) {
            reader.join().unwrap();
        }
        status
    }

    /// As [`Server::stop`]; the whole log of the process, up to its last line.
    pub fn stop_for_log(self) -> Vec<String> {
        let log = self.stderr.clone();
        assert!(self.stop().success());
        log.lines()
    }

    /// A request without credentials.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.base))
    }

    /// `GET` without credentials.
    #[track_caller]
    pub fn get(&self, path: &str) -> Answer {
        Answer::to(self.request(Method::GET, path))
    }

    /// `/readyz`: how far each projection is.
    pub fn readiness(&self) -> Value {
        Answer::to(self.http.get(format!("{}/readyz", self.admin_base))).expect(200).json()
    }

    /// Waits until every click that is in the log is in ClickHouse too.
    pub fn await_projection(&self) {
        eventually("each click is in ClickHouse", || {
            let clickhouse = self.readiness()["projections"]["clickhouse"].clone();
            (clickhouse["state"] == "up" && clickhouse["lag_events"] == 0).then_some(())
        });
    }
}

impl Drop for Server {
    /// SIGKILL, then the wait for the engine: it must not write into a folder that goes away.
    fn drop(&mut self) {
        let children = children_of(self.process.id());
        let _gone_already = self.process.kill();
        let _reaped_already = self.process.wait();
        let gone = std::time::Instant::now();
        while children.iter().any(|child| is_alive(*child)) && gone.elapsed() < PATIENCE {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }
}

/// Keeps connections, follows no redirect, passes no proxy by.
pub fn client() -> Client {
    let _set_already = rustls::crypto::ring::default_provider().install_default();
    Client::builder()
        .redirect(redirect::Policy::none())
        .no_proxy()
        .timeout(PATIENCE)
        .build()
        .unwrap()
}

fn ready_url(line: &str) -> Option<String> {
    let line: Value = serde_json::from_str(line).ok()?;
    let is_ready = line["fields"]["message"] == "slugline is ready";
    is_ready.then(|| line["fields"]["url"].as_str().unwrap().to_owned())
}

fn as_pid(pid: u32) -> Pid {
    Pid::from_raw(i32::try_from(pid).unwrap()).unwrap()
}

/// Whether the process exists. A zombie does not count.
pub fn is_alive(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let is_zombie = stat.rsplit_once(')').is_some_and(|(_, rest)| rest.starts_with(" Z"));
    test_kill_process(as_pid(pid)).is_ok() && !is_zombie
}

/// The processes that this one has started and that are still there.
pub fn children_of(pid: u32) -> Vec<u32> {
    let processes = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let numbers = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    numbers.filter(|number| parent_of(*number) == Some(pid)).collect()
}

fn parent_of(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // After the name, which is in parentheses: the state, then the parent.
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(1)?.parse().ok()
}
