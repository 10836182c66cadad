//! The visitors' user agents: profiles of real browsers, weighted by frequency, and crawlers.
//!
//! The profiles come from the npm package `user-agents`; a release of it is fetched once and
//! kept in slugline's cache folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};
use flate2::read::GzDecoder;
use serde::Deserialize;

/// A fixed release: two runs send the same agents.
const PACKAGE: &str = "user-agents@2.1.198";
const CACHED: &str = "user-agents-2.1.198.json";
const INSIDE: &str = "package/dist/user-agents.json";

/// Agents that are no people, as a short link meets them.
pub const CRAWLERS: &[&str] = &[
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)",
    "Mozilla/5.0 (compatible; YandexBot/3.0; +http://yandex.com/bots)",
    "Mozilla/5.0 (compatible; AhrefsBot/7.0; +http://ahrefs.com/robot/)",
    "Mozilla/5.0 (compatible; SemrushBot/7~bl; +http://www.semrush.com/bot.html)",
    "Mozilla/5.0 (compatible; DuckDuckBot-Https/1.1; https://duckduckgo.com/duckduckbot)",
    "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)",
    "Twitterbot/1.0",
    "LinkedInBot/1.0 (compatible; Mozilla/5.0; Apache-HttpClient +http://www.linkedin.com)",
    "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)",
    "TelegramBot (like TwitterBot)",
    "WhatsApp/2.23.20.0",
    "Mozilla/5.0 (compatible; Discordbot/2.0; +https://discordapp.com)",
    "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; GPTBot/1.2; +https://openai.com/gptbot)",
    "curl/8.9.1",
    "python-requests/2.32.3",
];

/// A browser as its visitors use it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Profile {
    /// The `User-Agent` header.
    pub user_agent: String,
    /// Its first language, like `en-CA`.
    #[serde(default = "english")]
    pub language: String,
    /// The relative frequency.
    #[serde(default = "one")]
    pub weight: f64,
}

fn english() -> String {
    "en-US".to_owned()
}

const fn one() -> f64 {
    1.0
}

/// Reads the profiles, fetched beforehand if this is the first run.
pub fn profiles() -> anyhow::Result<Vec<Profile>> {
    let cache = cache_folder()?;
    let file = cache.join(CACHED);
    if !file.exists() {
        fetch(&cache, &file).with_context(|| {
            format!(
                "cannot fetch the user agents; without a network, put {INSIDE} of the npm \
                 package {PACKAGE} at {}",
                file.display()
            )
        })?;
    }
    let text = fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let profiles: Vec<Profile> = serde_json::from_slice(&text)
        .with_context(|| format!("{} holds no profiles", file.display()))?;
    ensure!(!profiles.is_empty(), "{} holds no profiles", file.display());
    Ok(profiles)
}

fn cache_folder() -> anyhow::Result<PathBuf> {
    let base = std::env::var_os("XDG_CACHE_HOME")
        .filter(|folder| !folder.is_empty())
        .map(PathBuf::from)
        .or_else(|| std::env::home_dir().map(|home| home.join(".cache")))
        .context("neither XDG_CACHE_HOME nor HOME is set")?;
    Ok(base.join("slugline"))
}

/// Packs the release into a temporary folder, and moves its one file into the cache.
fn fetch(cache: &Path, file: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(cache)?;
    let folder = tempfile::tempdir_in(cache)?;
    let packed = Command::new("npm")
        .args(["pack", PACKAGE, "--silent"])
        .current_dir(folder.path())
        .output()
        .context("cannot run npm")?;
    ensure!(
        packed.status.success(),
        "npm pack {PACKAGE}: {}",
        String::from_utf8_lossy(&packed.stderr).trim()
    );
    let archive = fs::read_dir(folder.path())?.next().context("npm pack left no archive")??.path();
    let mut archive = tar::Archive::new(GzDecoder::new(fs::File::open(archive)?));
    for entry in archive.entries()? {
        let mut entry = entry?;
        if entry.path()?.as_os_str() == INSIDE {
            let unpacked = folder.path().join(CACHED);
            entry.unpack(&unpacked)?;
            // Moved as a whole: a run that breaks off leaves no half of a file.
            fs::rename(&unpacked, file)?;
            return Ok(());
        }
    }
    anyhow::bail!("{PACKAGE} holds no {INSIDE}")
}
