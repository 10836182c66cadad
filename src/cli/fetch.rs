//! `slugline fetch`: fills the cache with the packages that the service would fetch.

use std::io::Write;
use std::path::Path;

use anyhow::bail;

use crate::engine::{self, FetchError, Package, Progress};

/// Fetches what is missing; what has failed does not keep the others from being fetched.
pub fn fetch(mut out: impl Write) -> anyhow::Result<()> {
    let cache = engine::default_cache_dir()?;
    let packages = [Package::engine(), Ok(Package::countries()), Ok(Package::crawlers())];
    let mut failures = Vec::new();
    for package in packages {
        match package.and_then(|package| fetch_one(&package, &cache)) {
            Ok(text) => writeln!(out, "{text}")?,
            Err(error) => failures.push(error.to_string()),
        }
    }
    if !failures.is_empty() {
        bail!("{}", failures.join("\n\n"));
    }
    Ok(())
}

/// Says what was done, and where the file is.
fn fetch_one(package: &Package, cache: &Path) -> Result<String, FetchError> {
    let (done, file) = match engine::cached(package, cache) {
        Some(file) => ("already there", file),
        None => ("fetched", engine::fetch(package, cache, Progress::Shown)?),
    };
    let version = engine::version(&file).map_or_else(String::new, |version| format!(" {version}"));
    Ok(format!("{done}: {}{version} ({})", package.name, file.display()))
}
