//! The options for starting a server.

use std::ffi::{OsStr, OsString};
use std::net::{SocketAddr, TcpListener};
use std::process::Command;

use super::data::{DataFolder, slugline};
use super::server::Server;

/// The owner's token of servers that are started with one.
pub const TOKEN: &str = "owner-token-of-the-integration-tests";

/// The flags and the environment of a `slugline serve`.
#[derive(Clone)]
pub struct Options {
    pub data: DataFolder,
    /// Where it listens, when that is not where it says that it is reached.
    pub listen: Option<SocketAddr>,
    /// The address of the operator's listener, if it is separate.
    pub admin_listen: Option<SocketAddr>,
    flags: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    /// Shell commands before the start of the program: a umask, a limit of open files.
    shell_setting: Option<String>,
}

impl Options {
    /// A new data folder, the embedded ClickHouse, the fetched country database; owned by
    /// [`TOKEN`].
    pub fn new() -> Self {
        let data = DataFolder::new();
        let (flags, environment) = (Vec::new(), Vec::new());
        let (listen, admin_listen, shell_setting) = (None, None, None);
        let options = Self { data, listen, admin_listen, flags, environment, shell_setting };
        options.env("SLUGLINE_BOOTSTRAP_TOKEN", TOKEN)
    }

    /// The same over a folder that has been served before, perhaps.
    pub fn at(data: &DataFolder) -> Self {
        Self { data: data.clone(), ..Self::new() }
    }

    /// Only redirects and links: no ClickHouse, geo database or crawler list. It starts fast.
    pub fn links_only() -> Self {
        Self::new().clickhouse_away().flag("--geo-db", "none").flag("--crawler-list", "none")
    }

    /// Names a ClickHouse where nothing listens.
    pub fn clickhouse_away(self) -> Self {
        self.flag("--clickhouse-url", "http://127.0.0.1:1")
    }

    /// Takes `X-Forwarded-For` of the tests' own requests for true.
    pub fn behind_proxy(self) -> Self {
        self.flag("--trusted-proxies", "127.0.0.1/32")
    }

    /// Sets the public URL; the service itself listens on a free port.
    pub fn public_url(mut self, url: &str) -> Self {
        let free = free_address();
        self.listen = Some(free);
        self.flag("--listen", free.to_string()).flag("--public-url", url)
    }

    /// Serves the operator on a separate listener, on a free port.
    pub fn admin_listen(mut self) -> Self {
        let free = free_address();
        self.admin_listen = Some(free);
        self.flag("--admin-listen", free.to_string())
    }

    /// Starts with this umask instead of that of the tests.
    pub fn umask(mut self, umask: &str) -> Self {
        self.shell_setting = Some(format!("umask {umask}"));
        self
    }

    pub fn with_data(mut self, data: &DataFolder) -> Self {
        self.data = data.clone();
        self
    }

    /// Limits the number of open files.
    pub fn open_files(mut self, limit: usize) -> Self {
        self.shell_setting = Some(format!("ulimit -n {limit}"));
        self
    }

    pub fn flag(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.flags.extend([name.into(), value.as_ref().to_owned()]);
        self
    }

    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.environment.push((name.into(), value.as_ref().to_owned()));
        self
    }

    /// No token is given: the first start makes one.
    pub fn without_token(mut self) -> Self {
        self.environment.retain(|(name, _)| name != "SLUGLINE_BOOTSTRAP_TOKEN");
        self
    }

    /// Names the same ClickHouse to another command of the program.
    pub fn pass_clickhouse_to(&self, command: &mut Command) {
        let named = self
            .flags
            .chunks(2)
            .filter(|flag| flag[0].to_string_lossy().starts_with("--clickhouse"));
        command.args(named.flatten()).envs(self.environment.iter().cloned());
    }

    /// `slugline serve` with all of this, on a port that the system picks.
    pub fn command(&self) -> Command {
        let mut command = slugline();
        command.arg("serve").arg("--data-dir").arg(self.data.path());
        for (name, value) in [("--listen", "127.0.0.1:0"), ("--log-format", "json")] {
            if !self.flags.iter().any(|flag| flag == name) {
                command.args([name, value]);
            }
        }
        command.args(&self.flags).envs(self.environment.iter().cloned());
        match &self.shell_setting {
            Some(setting) => after_setting(setting, &command),
            None => command,
        }
    }

    /// Starts it and waits until it is ready.
    pub fn start(&self) -> Server {
        Server::start(self)
    }
}

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// A command, run by a shell that sets a limit or a mask first: `umask 022`.
pub fn after_setting(setting: &str, command: &Command) -> Command {
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(format!("{setting} && exec \"$0\" \"$@\""));
    shell.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    shell
}
