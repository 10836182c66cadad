//! `slugline qr`: a QR code in the terminal or in a file, through a running service.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};
use clap::Args;
use reqwest::Method;
use serde_json::Value;

use super::client::{ApiClient, Remote, segment, send};
use super::link;
use crate::domain::qr::input::SIZES;
use crate::domain::qr::marker::PARAMETER;
use crate::domain::qr::style::{ImageFormat, QrStyle};
use crate::qr::{self, Spec};

/// Bright white on black, whatever the colors of the terminal: most cameras want dark modules on a
/// light ground.
const COLORS: &str = "\u{1b}[97;40m";
const RESET: &str = "\u{1b}[0m";

/// `slugline qr`
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  slugline qr spring
  slugline qr go.example.com/spring
  slugline qr spring --output spring.svg")]
pub struct QrArgs {
    /// The slug or the ID of the link; a slug may follow its domain
    link: String,
    /// Write an image to this file instead: its extension, png, svg, pdf or eps, is the format
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// The width of the image in pixels, 100 to 4096 [default: the code's, or 300]
    #[arg(long, value_parser = clap::value_parser!(u32).range(100..=4096))]
    size: Option<u32>,
    /// The QR code, if the link has several: qr_… [default: the oldest]
    #[arg(long, value_name = "ID")]
    code: Option<String>,
    #[command(flatten)]
    remote: Remote,
}

/// Prints or writes a code of a link. A link without QR codes gets one in black and white, whose
/// scans are counted as scans of some code.
pub fn qr(args: &QrArgs, mut out: impl Write) -> anyhow::Result<()> {
    let format = args.output.as_deref().map(format_of).transpose()?;
    let client = ApiClient::remote(&args.remote)?;
    let link = client.get(&link::path(&args.link))?;
    let code = find_code(&client, args, &link)?;
    let content = match &code {
        Some(code) => text(code, "content")?,
        None => format!("{}?{PARAMETER}=1", text(&link, "short_url")?),
    };
    let Some((path, format)) = args.output.as_deref().zip(format) else {
        let code = qr::terminal(&content).context("the text is too long for a QR code")?;
        let (colors, reset) =
            if std::io::stdout().is_terminal() { (COLORS, RESET) } else { ("", "") };
        for line in code.lines() {
            writeln!(out, "{colors}{line}{reset}")?;
        }
        return Ok(writeln!(out, "{content}")?);
    };
    let image = match &code {
        Some(code) => download(&client, &text(code, "id")?, format, args.size)?,
        None => draw(content, format, args.size)?,
    };
    std::fs::write(path, &image).with_context(|| format!("writing {}", path.display()))?;
    Ok(writeln!(out, "{} bytes written to {}", image.len(), path.display())?)
}

/// The code that the arguments name, or the link's oldest.
fn find_code(client: &ApiClient, args: &QrArgs, link: &Value) -> anyhow::Result<Option<Value>> {
    let id = text(link, "id")?;
    if let Some(code) = &args.code {
        let code = client.get(&format!("/qr-codes/{}", segment(code)))?;
        if code["link"].as_str() != Some(&id) {
            bail!("that QR code is of another link");
        }
        return Ok(Some(code));
    }
    let Value::Array(codes) = client.list(&format!("/qr-codes?link={id}"))? else {
        bail!("the service answered without QR codes");
    };
    // Newest first.
    Ok(codes.into_iter().next_back())
}

fn download(
    client: &ApiClient,
    code: &str,
    format: ImageFormat,
    size: Option<u32>,
) -> anyhow::Result<Vec<u8>> {
    let path = format!("/qr-codes/{}/image", segment(code));
    let request = client.request(Method::GET, &path).query(&[("format", format.as_str())]);
    let request = match size {
        Some(size) => request.query(&[("size", size)]),
        None => request,
    };
    Ok(send(request)?.bytes()?.to_vec())
}

fn draw(content: String, format: ImageFormat, size: Option<u32>) -> anyhow::Result<Vec<u8>> {
    let size = size.unwrap_or(crate::domain::qr::look::DEFAULT_SIZE);
    debug_assert!(SIZES.contains(&size), "the arguments are checked");
    let spec = Spec { content, style: QrStyle::default(), logo: None };
    Ok(qr::render(&spec, format, size)?)
}

/// The format that a file's extension names.
fn format_of(path: &Path) -> anyhow::Result<ImageFormat> {
    let extension = path.extension().and_then(|extension| extension.to_str());
    let format = extension.and_then(|name| ImageFormat::named(&name.to_lowercase()));
    format.ok_or_else(|| {
        anyhow!("the file must end in .{}", ImageFormat::names().replace(", ", ", ."))
    })
}

fn text(object: &Value, field: &str) -> anyhow::Result<String> {
    let text = object[field].as_str().map(str::to_owned);
    text.ok_or_else(|| anyhow!("the service answered without `{field}`: is it an older version?"))
}
