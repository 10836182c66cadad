//! The command line: one file per subcommand.
//!
//! Commands on data that a running service may have open go through that service ([`client`]), or
//! use the data folder itself if none runs ([`offline`]).

pub mod backup;
pub mod client;
pub mod doctor;
pub mod environment;
pub mod export;
pub mod fetch;
pub mod health;
pub mod import;
pub mod link;
pub mod location;
pub mod log;
pub mod offline;
pub mod progress;
pub mod qr;
pub mod rebuild;
pub mod reclassify;
pub mod shell;
pub mod stats;
pub mod table;
pub mod token;
pub mod user;
pub mod verify;
pub mod workspace;

use std::ffi::OsString;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use clap::{Args as _, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::app::{self, permissions};
use crate::config::{LogFormat, ServeArgs, Settings};
use crate::engine::{self, EngineArgs};
use crate::http;

/// The settings that commands on analytics use.
const OF_ANALYTICS: &[&str] = &[
    "data_dir",
    "clickhouse_url",
    "clickhouse_user",
    "clickhouse_password",
    "clickhouse_database",
    "engine_lib",
    "engine_memory_mb",
    "crawler_list",
    "config",
];
/// The settings that `doctor` looks at.
const OF_DOCTOR: &[&str] = &[
    "listen",
    "data_dir",
    "public_url",
    "dialect_hosts",
    "clickhouse_url",
    "engine_lib",
    "config",
];

/// Short links with exact analytics, in one program. Serves if no command is given.
#[derive(Parser)]
#[command(version = concat!(env!("CARGO_PKG_VERSION"), " (", env!("SLUGLINE_COMMIT"), ")"), about)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Serve redirects, the API and analytics (the default)
    #[command(after_help = "Examples:
  slugline serve --data-dir /var/lib/slugline \\
    --public-url https://go.example.com --trusted-proxies private
  slugline serve --config /etc/slugline/slugline.toml")]
    Serve(Box<ServeArgs>),
    /// Fetch the engine and the data files into the cache, which `serve` does in the background
    #[command(after_help = "Example:
  slugline fetch")]
    Fetch,
    /// Compare the log with ClickHouse: every click must be counted exactly once
    Verify(Box<verify::VerifyArgs>),
    /// Rebuild a projection from the log, while the current one serves
    Rebuild(Box<rebuild::RebuildArgs>),
    /// Reclassify past clicks with the current crawler list
    Reclassify(Box<reclassify::ReclassifyArgs>),
    /// Create, list, show, change and delete links, through a running service
    #[command(subcommand)]
    Link(Box<link::LinkCommand>),
    /// Print the clicks of a link, or of all, as numbers and bars, through a running service
    Stats(stats::StatsArgs),
    /// Import links from a file: CSV, NDJSON, or an export of Bitly, Dub, Shlink, YOURLS or Kutt
    Import(Box<import::ImportArgs>),
    /// Export all links to a file: CSV or NDJSON
    Export(export::ExportArgs),
    /// Print a QR code of a link in the terminal, or write it to a file
    Qr(qr::QrArgs),
    /// Create, list and revoke API tokens, with or without a running service
    #[command(subcommand)]
    Token(token::TokenCommand),
    /// Create, list, block and delete users, through a running service
    #[command(subcommand)]
    User(user::UserCommand),
    /// List workspaces, set their plans and grant credits, through a running service
    #[command(subcommand)]
    Workspace(workspace::WorkspaceCommand),
    /// Copy the logs consistently, with or without a running service
    Backup(Box<backup::BackupArgs>),
    /// Create a data folder from a backup
    Restore(backup::RestoreArgs),
    /// Exit with 0 if a service responds, else with 1
    Health(health::HealthArgs),
    /// Inspect the event log
    #[command(subcommand)]
    Log(log::LogCommand),
    /// Print the API's OpenAPI document, for example to generate a client
    #[command(after_help = "Example:
  slugline openapi > openapi.json")]
    Openapi,
    /// Check data folder, disk, clock, engine, service, proxy and DNS
    Doctor(Box<doctor::DoctorArgs>),
    /// Print the completions of a shell
    Completions(shell::CompletionsArgs),
    /// Print the manual page
    Man(shell::ManArgs),
    /// The process of the embedded ClickHouse; started by `serve`
    #[command(hide = true)]
    Engine(EngineArgs),
}

/// `slugline serve`, parsed for its environment variables if no command is given.
#[derive(Parser)]
struct Serve {
    #[command(flatten)]
    args: ServeArgs,
}

/// Runs the command of this process.
#[allow(clippy::print_stderr, reason = "errors of commands go to the terminal")]
pub fn main() -> ExitCode {
    permissions::restrict_new_files();
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        // Such as by `head`, which reads only the first lines.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("slugline: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let io = error.chain().find_map(|cause| cause.downcast_ref::<std::io::Error>());
    io.is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}

/// The command line. Commands on data take the settings of `serve`, because they may have to open
/// the data as it does; their help shows those that matter to them.
fn command() -> clap::Command {
    let settings = ServeArgs::augment_args(clap::Command::new("serve"));
    let settings: Vec<_> = settings.get_arguments().map(|arg| arg.get_id().clone()).collect();
    let mut command = Cli::command();
    for (name, shown) in [
        ("verify", OF_ANALYTICS),
        ("rebuild", OF_ANALYTICS),
        ("reclassify", OF_ANALYTICS),
        ("backup", OF_ANALYTICS),
        ("doctor", OF_DOCTOR),
    ] {
        command = command.mut_subcommand(name, |command| {
            command.mut_args(|arg| {
                let is_hidden = settings.contains(arg.get_id())
                    && !shown.iter().any(|shown| arg.get_id() == *shown);
                if is_hidden { arg.hide(true) } else { arg }
            })
        });
    }
    command
}

fn run() -> anyhow::Result<()> {
    let matches = command().get_matches();
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    match cli.command {
        None => serve(Serve::parse_from(["slugline"]).args),
        Some(Command::Serve(args)) => serve(*args),
        Some(Command::Fetch) => fetch::fetch(std::io::stdout().lock()),
        Some(Command::Verify(args)) => verify::verify(*args, std::io::stdout().lock()),
        Some(Command::Rebuild(args)) => rebuild::rebuild(*args, std::io::stdout().lock()),
        Some(Command::Reclassify(args)) => reclassify::reclassify(*args, std::io::stdout().lock()),
        Some(Command::Link(command)) => link::run(&command, std::io::stdout().lock()),
        Some(Command::Stats(args)) => stats::stats(&args, std::io::stdout().lock()),
        Some(Command::Doctor(args)) => doctor::doctor(*args, std::io::stdout().lock()),
        Some(Command::Completions(args)) => {
            shell::completions(&args, &command(), std::io::stdout().lock())
        }
        Some(Command::Man(args)) => shell::man(&args, command(), std::io::stdout().lock()),
        Some(Command::Import(args)) => import::import(&args, std::io::stdout().lock()),
        Some(Command::Export(args)) => export::export(&args, std::io::stdout().lock()),
        Some(Command::Qr(args)) => qr::qr(&args, std::io::stdout().lock()),
        Some(Command::Token(command)) => token::run(&command, std::io::stdout().lock()),
        Some(Command::User(command)) => user::run(&command, std::io::stdout().lock()),
        Some(Command::Workspace(command)) => workspace::run(&command, std::io::stdout().lock()),
        Some(Command::Backup(args)) => backup::backup(*args, std::io::stdout().lock()),
        Some(Command::Restore(args)) => backup::restore(&args, std::io::stdout().lock()),
        Some(Command::Health(args)) => health::health(&args, std::io::stdout().lock()),
        Some(Command::Log(command)) => log::run(&command, std::io::stdout().lock()),
        Some(Command::Openapi) => {
            let document = http::openapi_document().to_pretty_json()?;
            Ok(writeln!(std::io::stdout(), "{document}")?)
        }
        Some(Command::Engine(args)) => Ok(engine::run(&args)?),
    }
}

fn serve(args: ServeArgs) -> anyhow::Result<()> {
    let settings = args.settings()?;
    start_logging(&settings)?;
    environment::warn_of_unknown_variables(&command());
    app::run(&settings)
}

fn start_logging(settings: &Settings) -> anyhow::Result<()> {
    let access = if settings.access_log { "info" } else { "off" };
    let filter = tracing_subscriber::EnvFilter::try_new(&settings.log)?
        .add_directive(format!("{}={access}", http::ACCESS_LOG).parse()?);
    let is_colored = is_colored(std::io::stderr().is_terminal(), std::env::var_os("NO_COLOR"));
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let lines = lines.with_ansi(is_colored);
    match settings.log_format {
        LogFormat::Human => lines.init(),
        LogFormat::Json => lines.json().with_span_list(false).init(),
    }
    Ok(())
}

/// Whether log lines are colored: on a terminal, unless the variable `NO_COLOR` is set to anything.
fn is_colored(is_terminal: bool, no_color: Option<OsString>) -> bool {
    is_terminal && no_color.is_none_or(|value| value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_examples(command: &clap::Command, path: &str) {
        let path = format!("{path} {}", command.get_name());
        if command.has_subcommands() {
            let shown = command.get_subcommands().filter(|command| !command.is_hide_set());
            return shown.for_each(|command| check_examples(command, path.trim()));
        }
        let examples = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        let long = examples.lines().find(|line| line.chars().count() > 79);
        assert_eq!(long, None, "{path}: a line that wraps can't be pasted");
        let examples = examples.replace("\\\n", "");
        let mut lines = examples.lines();
        assert!(lines.next().is_some_and(|line| line.starts_with("Example")), "{path}: {examples}");
        for line in lines {
            assert!(line.contains(path.trim()), "{path}: {line}");
            let words = line.split(['|', '>']).next().unwrap().split_whitespace();
            // Quotes are parsed by the shell.
            let refused = super::command().try_get_matches_from(words).err();
            assert!(refused.is_none() || line.contains('\''), "{path}: {refused:?}");
        }
    }

    #[test]
    fn the_help_of_each_command_has_examples_that_are_understood() {
        check_examples(&command(), "");
    }

    #[test]
    fn only_terminals_get_colors_and_only_if_they_may() {
        assert!(is_colored(true, None) && is_colored(true, Some(OsString::new())));
        assert!(!is_colored(true, Some("1".into())));
        assert!(!is_colored(false, None));
    }
}
