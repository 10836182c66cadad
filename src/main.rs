//! The `slugline` program: reads its settings and hands over to the library.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use slugline::config::{LogFormat, ServeArgs, Settings};
use slugline::engine::{self, EngineArgs};
use slugline::{app, maintenance};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Short links with exact analytics, in one program. Without a command it serves.
#[derive(Parser)]
#[command(version, about)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Serve redirects, the API and analytics (this is what happens without a command)
    Serve(Box<ServeArgs>),
    /// Compare the log with ClickHouse: is each click counted, and once?
    Verify(Box<app::operate::VerifyArgs>),
    /// Make a projection anew from the log, while the present one serves
    Rebuild(Box<app::operate::RebuildArgs>),
    /// Classify past clicks by the crawler list as it is now
    Reclassify(Box<app::reclassify::ReclassifyArgs>),
    /// Import links from a file: CSV, NDJSON, or an export of Bitly, Dub, Shlink, YOURLS or Kutt
    Import(Box<app::transfer::ImportArgs>),
    /// Export all links to a file: CSV or NDJSON
    Export(app::transfer::ExportArgs),
    /// Create, list and revoke API tokens, beside a running service or without one
    #[command(subcommand)]
    Token(app::token::TokenCommand),
    /// Copy the logs, consistently, beside a running service or without one
    Backup(maintenance::BackupArgs),
    /// Make a data folder from a backup
    Restore(maintenance::RestoreArgs),
    /// Look at the event log
    #[command(subcommand)]
    Log(maintenance::LogCommand),
    /// The embedded ClickHouse's own process; started by `serve`
    #[command(hide = true)]
    Engine(EngineArgs),
}

/// `slugline serve`, parsed for its environment variables where no command is given.
#[derive(Parser)]
struct Serve {
    #[command(flatten)]
    args: ServeArgs,
}

fn main() -> ExitCode {
    maintenance::restrict_new_files();
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("slugline: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<()> {
    match Cli::parse().command {
        None => serve(Serve::parse_from(["slugline"]).args),
        Some(Command::Serve(args)) => serve(*args),
        Some(Command::Verify(args)) => app::operate::verify(*args, std::io::stdout().lock()),
        Some(Command::Rebuild(args)) => app::operate::rebuild(*args, std::io::stdout().lock()),
        Some(Command::Reclassify(args)) => {
            app::reclassify::reclassify(*args, std::io::stdout().lock())
        }
        Some(Command::Import(args)) => app::transfer::import(&args, std::io::stdout().lock()),
        Some(Command::Export(args)) => app::transfer::export(&args, std::io::stdout().lock()),
        Some(Command::Token(command)) => app::token::run(&command, std::io::stdout().lock()),
        Some(Command::Backup(args)) => maintenance::backup(&args, std::io::stdout().lock()),
        Some(Command::Restore(args)) => maintenance::restore(&args, std::io::stdout().lock()),
        Some(Command::Log(command)) => maintenance::run(&command, std::io::stdout().lock()),
        Some(Command::Engine(args)) => Ok(engine::run(&args)?),
    }
}

fn serve(args: ServeArgs) -> anyhow::Result<()> {
    let settings = args.settings()?;
    start_logging(&settings)?;
    app::run(&settings)
}

fn start_logging(settings: &Settings) -> anyhow::Result<()> {
    let filter = tracing_subscriber::EnvFilter::try_new(&settings.log)?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match settings.log_format {
        LogFormat::Human => lines.init(),
        LogFormat::Json => lines.json().init(),
    }
    Ok(())
}
