//! Shows the progress of a fetch: a bar on a terminal, plain lines elsewhere.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// The interval between plain lines.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Whether a fetch shows its progress on standard error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// A bar on a terminal; elsewhere a line at the start, every few seconds, and at the end.
    Shown,
    /// Lines of the log, every few seconds: the process writes other lines meanwhile.
    Logged,
    /// Nothing.
    Hidden,
}

/// Reports the progress of one fetch.
pub(super) struct Reporter {
    name: &'static str,
    total: u64,
    started: Instant,
    last_line: Instant,
    sink: Sink,
    should_stop: ShouldStop,
}

/// Whether a fetch is to end early.
pub type ShouldStop = Box<dyn Fn() -> bool + Send>;

/// Where a reporter writes.
enum Sink {
    Bar(ProgressBar),
    Lines,
    Log,
    Nothing,
}

impl Reporter {
    /// Starts reporting a fetch of about `total` bytes.
    pub(super) fn start(
        progress: Progress,
        name: &'static str,
        total: u64,
        should_stop: ShouldStop,
    ) -> Self {
        let sink = match progress {
            Progress::Hidden => Sink::Nothing,
            Progress::Logged => Sink::Log,
            Progress::Shown if std::io::stderr().is_terminal() => Sink::Bar(bar(name, total)),
            Progress::Shown => Sink::Lines,
        };
        let now = Instant::now();
        let reporter = Self { name, total, started: now, last_line: now, sink, should_stop };
        if matches!(reporter.sink, Sink::Lines) {
            line(&format!("fetching {name} (about {}) ...", megabytes(total)));
        }
        reporter
    }

    /// Whether the fetch is to end early.
    pub(super) fn should_stop(&self) -> bool {
        (self.should_stop)()
    }

    /// Reports a stage other than the transfer itself.
    pub(super) fn stage(&mut self, stage: &str) {
        match &self.sink {
            Sink::Bar(bar) => bar.set_message(stage.to_owned()),
            Sink::Lines => line(&format!("{}: {stage}", self.name)),
            Sink::Log => tracing::info!("{}: {stage}", self.name),
            Sink::Nothing => {}
        }
    }

    /// Reports the number of bytes so far.
    pub(super) fn bytes(&mut self, bytes: u64) {
        match &self.sink {
            Sink::Bar(bar) => bar.set_position(bytes.min(self.total)),
            Sink::Lines | Sink::Log if self.last_line.elapsed() >= LINE_EVERY => {
                self.last_line = Instant::now();
                let (done, total) = (megabytes(bytes), megabytes(self.total));
                let text = format!("fetching {}: {done} of about {total}", self.name);
                if matches!(self.sink, Sink::Log) {
                    tracing::info!("{text}");
                } else {
                    line(&text);
                }
            }
            Sink::Lines | Sink::Log | Sink::Nothing => {}
        }
    }

    /// Reports that the fetch is done.
    pub(super) fn done(self, version: &str) {
        let seconds = self.started.elapsed().as_secs_f64();
        let text = format!("fetched {} {version} in {seconds:.1} s", self.name);
        match self.sink {
            Sink::Bar(bar) => {
                bar.finish_and_clear();
                line(&text);
            }
            Sink::Lines => line(&text),
            Sink::Log => tracing::info!("{text}"),
            Sink::Nothing => {}
        }
    }
}

/// A bar on standard error.
fn bar(name: &'static str, total: u64) -> ProgressBar {
    let bar = ProgressBar::new(total);
    let template = "{prefix} [{bar:30}] {bytes} of about {total_bytes} {msg}";
    // The template is a constant; if it were invalid, the default style would do.
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.set_prefix(format!("fetching {name}"));
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// Writes a line to standard error. A failure must not stop the fetch.
fn line(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Formats a number of bytes.
fn megabytes(bytes: u64) -> String {
    format!("{}.{} MB", bytes / 1_000_000, bytes / 100_000 % 10)
}
