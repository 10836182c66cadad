//! The child process: opens libchdb and runs `ClickHouse` in it.

use std::ffi::{CStr, OsStr, OsString, c_char, c_int, c_void};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use libloading::Library;
use rustix::process::{Pid, Signal, getpid, getppid, kill_process};

use super::error::EngineError;

/// `chdb_query_cmdline`: runs `clickhouse local` with a program's arguments.
type QueryCommandLine = unsafe extern "C" fn(c_int, *mut *mut c_char) -> *mut c_void;
/// `chdb_result_error`: a result's error text, or null.
type ResultError = unsafe extern "C" fn(*mut c_void) -> *const c_char;
/// `chdb_destroy_query_result`: frees a result.
type DestroyResult = unsafe extern "C" fn(*mut c_void);

/// The statements that the engine runs: opens the port, then blocks until standard input is closed.
const STATEMENTS: &str = "SYSTEM START LISTEN HTTP; SELECT count() FROM table";

/// The engine's niceness. When the processors are saturated, redirects come before analytics.
const NICENESS: i32 = 10;

/// How often the child checks that its parent is alive.
const PARENT_POLL: Duration = Duration::from_millis(500);
/// How long the engine may take to stop after its parent's death.
const ORPHAN_GRACE: Duration = Duration::from_secs(1);

/// The arguments of `slugline engine`, the child process's command.
#[derive(Debug, Clone, PartialEq, Eq, clap::Args)]
pub struct EngineArgs {
    /// The engine's library, libchdb.
    #[arg(long)]
    pub lib: PathBuf,
    /// The engine's configuration file.
    #[arg(long)]
    pub config: PathBuf,
    /// The folder of the engine's data.
    #[arg(long)]
    pub data: PathBuf,
    /// The loopback port to listen on.
    #[arg(long)]
    pub port: u16,
    /// The process that started this one; the engine ends with it.
    #[arg(long)]
    pub parent: Option<u32>,
}

impl EngineArgs {
    /// The command line that parses to these [`EngineArgs`], including the subcommand.
    pub(super) fn command_line(&self) -> Vec<OsString> {
        let mut line: Vec<OsString> = vec!["engine".into()];
        for (name, path) in
            [("--lib", &self.lib), ("--config", &self.config), ("--data", &self.data)]
        {
            line.push(name.into());
            line.push(path.into());
        }
        line.push(format!("--port={}", self.port).into());
        line.extend(self.parent.map(|parent| format!("--parent={parent}").into()));
        line
    }

    /// The arguments of `clickhouse local`.
    fn clickhouse_arguments(&self) -> Result<Arguments, EngineError> {
        let with_path = |option: &str, path: &Path| {
            let mut argument = OsString::from(option);
            argument.push(path);
            argument
        };
        Arguments::new(&[
            "clickhouse".into(),
            with_path("--config-file=", &self.config),
            with_path("--path=", &self.data),
            format!("--http_port={}", self.port).into(),
            "--listen_host=127.0.0.1".into(),
            "--multiquery".into(),
            "--structure".into(),
            "l String".into(),
            "--input-format".into(),
            "LineAsString".into(),
            "--query".into(),
            STATEMENTS.into(),
        ])
    }
}

/// The body of `slugline engine`: runs the engine until standard input is closed.
///
/// Must be called in a process of its own, before any thread is started: it changes the process's
/// signal handling, and leaves the library loaded.
///
/// # Errors
///
/// [`EngineError`] if the parent has exited, the library cannot be opened, or `ClickHouse` ends
/// with an error (a port in use, a data folder in use, a broken file).
pub fn run(args: &EngineArgs) -> Result<(), EngineError> {
    ignore_stop_signals();
    // If it is refused, the engine runs at normal priority.
    // Not relative: the thread that starts the engine may have a lower priority than the service.
    let _ = rustix::process::setpriority_process(None, NICENESS);
    if let Some(parent) = args.parent {
        exit_with_parent(parent)?;
    }
    query_command_line(&args.lib, &mut args.clickhouse_arguments()?)
}

/// Makes this process end when its parent does.
fn exit_with_parent(parent: u32) -> Result<(), EngineError> {
    #[cfg(target_os = "linux")]
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(|error| EngineError::System(error.into()))?;
    // Checked after the signal is set: a parent that died before sends none.
    let parent = i32::try_from(parent).ok().and_then(Pid::from_raw);
    if parent.is_none() || getppid() != parent {
        return Err(EngineError::ParentGone);
    }
    std::thread::Builder::new()
        .name("parent-watch".to_owned())
        .spawn(move || watch_parent(parent))
        .map_err(EngineError::System)?;
    Ok(())
}

/// Kills this process if its parent has exited and the closed pipe did not end it: on systems
/// without a death signal, or while a query is running.
fn watch_parent(parent: Option<Pid>) {
    while getppid() == parent {
        std::thread::sleep(PARENT_POLL);
    }
    std::thread::sleep(ORPHAN_GRACE);
    // Not `exit`, which would run the library's destructors while its threads are running.
    let _ = kill_process(getpid(), Signal::KILL);
}

/// Arguments for C: one buffer per argument, and their addresses.
struct Arguments {
    buffers: Vec<Vec<u8>>,
}

impl Arguments {
    fn new(arguments: &[OsString]) -> Result<Self, EngineError> {
        let terminated = |argument: &OsStr| {
            let mut buffer = argument.as_bytes().to_vec();
            if buffer.contains(&0) {
                return Err(EngineError::NulByte(argument.to_string_lossy().into_owned()));
            }
            buffer.push(0);
            Ok(buffer)
        };
        let buffers = arguments.iter().map(|a| terminated(a)).collect::<Result<_, _>>()?;
        Ok(Self { buffers })
    }

    /// The addresses of the arguments and a final null, valid as long as `self`.
    fn addresses(&mut self) -> Vec<*mut c_char> {
        let addresses = self.buffers.iter_mut().map(|buffer| buffer.as_mut_ptr().cast());
        addresses.chain([std::ptr::null_mut()]).collect()
    }
}

/// Ignores the signals that stop a program: they reach the whole process group, and the parent
/// decides when the engine stops.
#[allow(unsafe_code)]
fn ignore_stop_signals() {
    unsafe extern "C" {
        fn signal(number: c_int, handler: usize) -> usize;
    }
    /// `SIG_IGN` of Linux and macOS.
    const IGNORE: usize = 1;
    for number in [Signal::INT, Signal::TERM, Signal::HUP] {
        // SAFETY: `signal` is the C library's, declared as POSIX has it (a handler is as wide
        // as a pointer); these three signals may be ignored, and ignoring runs no code of ours.
        unsafe { signal(number.as_raw(), IGNORE) };
    }
}

/// Opens the library and runs its `clickhouse local` to the end.
#[allow(unsafe_code)]
fn query_command_line(lib: &Path, arguments: &mut Arguments) -> Result<(), EngineError> {
    let library = |source| EngineError::Library { path: lib.to_owned(), source };
    // SAFETY: opening runs the library's initialisers. The file is libchdb, checked against its
    // published hash or named by the operator; no other copy of it is loaded in this process.
    let opened = unsafe { Library::new(lib) }.map_err(library)?;
    // SAFETY: the three types are those of chdb's C header; the symbols do not outlive `opened`.
    let (query, error, destroy) = unsafe {
        (
            opened.get::<QueryCommandLine>("chdb_query_cmdline").map_err(library)?,
            opened.get::<ResultError>("chdb_result_error").map_err(library)?,
            opened.get::<DestroyResult>("chdb_destroy_query_result").map_err(library)?,
        )
    };
    let mut addresses = arguments.addresses();
    let count = c_int::try_from(addresses.len() - 1).unwrap_or(c_int::MAX);
    // SAFETY: as a C program's `main` is called: `count` arguments, each a zero-terminated
    // buffer of its own that may be written to, then a null; all live past the call.
    let result = unsafe { query(count, addresses.as_mut_ptr()) };
    if result.is_null() {
        return Err(EngineError::ClickHouse("no result".to_owned()));
    }
    // SAFETY: `result` is the library's own, not null and not yet destroyed; its error is null
    // or a zero-terminated text, copied before the result is destroyed, once.
    let failure = unsafe {
        let text = error(result);
        let copy = (!text.is_null()).then(|| CStr::from_ptr(text).to_string_lossy().into_owned());
        destroy(result);
        copy
    };
    // Never closed: threads of the library may still be ending, and the process ends next.
    std::mem::forget(opened);
    failure.map_or(Ok(()), |text| Err(EngineError::ClickHouse(text)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;

    #[derive(clap::Parser)]
    struct Driver {
        #[command(subcommand)]
        command: Command,
    }

    #[derive(clap::Subcommand)]
    enum Command {
        Engine(EngineArgs),
    }

    fn args() -> EngineArgs {
        EngineArgs {
            lib: "/l/lib chdb.so".into(),
            config: "/r/config.xml".into(),
            data: "/d".into(),
            port: 40123,
            parent: Some(17),
        }
    }

    #[test]
    fn the_command_line_is_parsed_back() {
        let line = std::iter::once("slugline".into()).chain(args().command_line());
        let Command::Engine(parsed) = Driver::try_parse_from(line).unwrap().command;
        assert_eq!(parsed, args());
    }

    #[test]
    fn arguments_end_with_a_null() {
        let mut arguments = args().clickhouse_arguments().unwrap();
        let addresses = arguments.addresses();
        assert_eq!(addresses.len(), 13);
        assert!(addresses[12].is_null() && addresses[..12].iter().all(|a| !a.is_null()));
        assert!(Arguments::new(&["a\0b".into()]).is_err());
    }

    #[test]
    fn a_file_that_is_not_a_library_is_an_error() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut arguments = args().clickhouse_arguments().unwrap();
        let error = query_command_line(file.path(), &mut arguments).unwrap_err();
        assert!(matches!(error, EngineError::Library { .. }), "{error}");
    }
}
