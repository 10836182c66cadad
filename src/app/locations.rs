//! Where the files of packages are at the start.

use std::path::{Path, PathBuf};

use anyhow::Context;

use super::shown;
use crate::clicks::GeoReader;
use crate::config::Source;
use crate::engine::{self, Package};
use crate::http::health::Download;

/// Where the file of a package is.
#[derive(Debug)]
pub enum Location {
    /// It is not used.
    Disabled,
    /// Where a setting says.
    Given(PathBuf),
    /// In the cache.
    Cached(PathBuf),
    /// Nowhere yet.
    Missing,
    /// In the cache, but not usable.
    Damaged,
}

impl Location {
    /// Looks for the file.
    pub fn find(source: &Source, package: &Package) -> Self {
        match source {
            Source::Nothing => Self::Disabled,
            Source::File(path) => Self::Given(path.clone()),
            Source::Fetched => engine::default_cache_dir()
                .ok()
                .and_then(|cache| engine::cached(package, &cache))
                .map_or(Self::Missing, Self::Cached),
        }
    }

    /// Opens the file, if it is there. A given one must be usable; a cached one that is not is
    /// fetched again.
    pub fn open<T>(
        &mut self,
        open: impl FnOnce(&Path) -> anyhow::Result<T>,
    ) -> anyhow::Result<Option<T>> {
        match self {
            Self::Disabled | Self::Missing | Self::Damaged => Ok(None),
            Self::Given(path) => open(path).with_context(|| shown(path)).map(Some),
            Self::Cached(path) => match open(path) {
                Ok(opened) => Ok(Some(opened)),
                Err(error) => {
                    let (path, error) = (shown(path), format!("{error:#}"));
                    tracing::warn!(path, error, "a cached file is damaged; fetching it again");
                    *self = Self::Damaged;
                    Ok(None)
                }
            },
        }
    }

    /// Whether the file is to be fetched.
    pub const fn is_missing(&self) -> bool {
        matches!(self, Self::Missing | Self::Damaged)
    }

    /// What `/readyz` says at the start.
    pub const fn state(&self) -> Download {
        match self {
            Self::Disabled => Download::of("disabled"),
            Self::Given(_) | Self::Cached(_) => Download::of("ready"),
            Self::Missing | Self::Damaged => Download::of("fetching"),
        }
    }
}

/// Opens the geo database. Without one, locations are unknown.
pub fn open_geo(source: &Source) -> anyhow::Result<(Location, GeoReader)> {
    let mut location = Location::find(source, &Package::countries());
    let geo = GeoReader::new(None)?;
    location.open(|path| Ok(geo.open(path)?))?;
    Ok((location, geo))
}

/// Where the three files are.
pub struct Locations {
    /// Disabled with an external ClickHouse.
    pub engine: Location,
    pub geo_db: Location,
    pub crawler_list: Location,
}
