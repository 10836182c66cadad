//! Progress bars on standard error, if that is a terminal.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How often progress is polled.
pub const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// A bar of this length, with an indicatif template.
pub fn bar(length: u64, template: &str) -> ProgressBar {
    let style = ProgressStyle::with_template(template);
    let bar =
        ProgressBar::new(length).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    if !std::io::stderr().is_terminal() {
        bar.set_draw_target(ProgressDrawTarget::hidden());
    }
    bar
}

/// A bar for a number of events that is not known yet.
pub fn events_bar() -> ProgressBar {
    bar(0, "{bar:30} {human_pos}/{human_len} events, {eta} left")
}
