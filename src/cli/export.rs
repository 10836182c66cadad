//! `slugline export`: exports all links of a service to a file, through its API.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, ValueEnum};
use indicatif::ProgressBar;
use reqwest::Method;

use super::client::{ApiClient, Remote, send};
use super::progress::bar;

/// `slugline export`
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  slugline export --output links.csv
  slugline export --format ndjson | wc -l")]
pub struct ExportArgs {
    /// Format of the file
    #[arg(long, value_enum, default_value = "csv")]
    format: ExportFormat,
    /// The output file [default: standard output]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Include clicks and unique visitors
    #[arg(long)]
    counts: bool,
    #[command(flatten)]
    remote: Remote,
}

/// Format of an exported file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    /// A header, and a row per link
    Csv,
    /// A JSON object per line
    Ndjson,
}

/// Exports all links of a service to a file, with progress.
pub fn export(args: &ExportArgs, stdout: impl Write) -> anyhow::Result<()> {
    let client = ApiClient::remote(&args.remote)?;
    let total = client.get("/links/count?archived=any")?["links"].as_u64().unwrap_or_default();
    let (format, lines) = match args.format {
        ExportFormat::Csv => ("csv", Lines { header: 1, ..Lines::default() }),
        ExportFormat::Ndjson => ("ndjson", Lines::default()),
    };
    let counts = if args.counts { "true" } else { "false" };
    let request = client.request(Method::GET, "/links/export");
    let mut file = send(request.query(&[("format", format), ("counts", counts)]))?;
    let bar = bar(total, "{bar:30} {human_pos}/{human_len} links, {eta} left");
    let Some(path) = &args.output else {
        return copy(&mut file, stdout, &bar, lines);
    };
    let is_device = std::fs::metadata(path).is_ok_and(|there| !there.is_file());
    if is_device {
        let out = OpenOptions::new().write(true).open(path);
        let out = out.with_context(|| format!("cannot write {}", path.display()))?;
        return copy(&mut file, out, &bar, lines);
    }
    // Renamed when complete, so that an existing file is never partly overwritten.
    let mut part = path.as_os_str().to_owned();
    part.push(format!(".{}.part", std::process::id()));
    let part = PathBuf::from(part);
    let shown = || format!("cannot write {}", part.display());
    let out = File::create_new(&part).with_context(shown)?;
    let copied = copy(&mut file, &out, &bar, lines).and_then(|()| Ok(out.sync_all()?));
    if let Err(error) = copied.and_then(|()| Ok(std::fs::rename(&part, path)?)) {
        let _absent = std::fs::remove_file(&part);
        return Err(error);
    }
    Ok(())
}

fn copy(
    from: &mut impl Read,
    mut to: impl Write,
    bar: &ProgressBar,
    mut lines: Lines,
) -> anyhow::Result<()> {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let length = from.read(&mut buffer).context("the download was interrupted")?;
        let Some(piece) = buffer.get(..length).filter(|piece| !piece.is_empty()) else { break };
        to.write_all(piece)?;
        lines.read(piece);
        bar.set_position(lines.links());
    }
    to.flush()?;
    bar.finish_and_clear();
    Ok(())
}

/// Counts links in a stream: line breaks outside of quotes.
#[derive(Default)]
struct Lines {
    ended: u64,
    header: u64,
    is_quoted: bool,
}

impl Lines {
    fn read(&mut self, piece: &[u8]) {
        for byte in piece {
            match byte {
                b'"' if self.header == 1 => self.is_quoted = !self.is_quoted,
                b'\n' if !self.is_quoted => self.ended += 1,
                _ => {}
            }
        }
    }

    const fn links(&self) -> u64 {
        self.ended.saturating_sub(self.header)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_counted_while_streaming() {
        let mut csv = Lines { header: 1, ..Lines::default() };
        csv.read(b"slug,notes\r\na,\"two\r\nli");
        assert_eq!(csv.links(), 0);
        csv.read(b"nes, \"\"quoted\"\"\"\r\nb,\r\n");
        assert_eq!(csv.links(), 2);
        let mut json = Lines::default();
        json.read(b"{\"a\":\"\\\"\"}\n{}\n");
        assert_eq!(json.links(), 2);
    }
}
