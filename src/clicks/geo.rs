//! The visitor's place: a lookup of the address in a `.mmdb` database.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::{ArcSwapOption, Guard};
use maxminddb::{MaxMindDbError, PathElement, Reader, WithinOptions, path};

/// How many records are looked at to learn a database's shape.
const PROBED_RECORDS: usize = 10_000;

/// Why a geo database can't be used.
#[derive(Debug, thiserror::Error)]
pub enum GeoError {
    /// The file can't be read, or isn't a `MaxMind` DB.
    #[error("no MaxMind DB: {0}")]
    Unreadable(#[from] MaxMindDbError),
    /// The database holds something else than places (an ASN database, say).
    #[error("the database of type `{database_type}` holds no countries that are known by form")]
    UnknownShape {
        /// What its metadata calls it.
        database_type: String,
    },
}

/// Where an address is; each text is empty when unknown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Place<'a> {
    /// ISO 3166-1 alpha-2, upper case.
    pub country: &'a str,
    /// The first subdivision's English name, or what the database has for it.
    pub region: &'a str,
    /// The city's English name.
    pub city: &'a str,
}

/// How a database names the parts of a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// ip-location-db: `country_code`, and in its city databases `state1` and `city`.
    Flat,
    /// `GeoLite2`, `GeoIP2`, DB-IP: `country.iso_code`, `subdivisions[0].names.en`, `city.names.en`.
    Nested,
}

/// A geo database, whole in memory.
pub struct Geo {
    reader: Reader<Vec<u8>>,
    shape: Shape,
    /// A country database is not asked for regions and cities.
    has_cities: bool,
}

impl Geo {
    /// Reads a database file.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, GeoError> {
        Self::from_reader(Reader::open_readfile(path)?)
    }

    /// Takes a database file's bytes.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, GeoError> {
        Self::from_reader(Reader::from_source(bytes)?)
    }

    /// The place of an address: none of its parts is known for a private address, nor for an
    /// IPv6 address in a database of IPv4 only.
    pub fn lookup(&self, address: IpAddr) -> Place<'_> {
        let Ok(record) = self.reader.lookup(address) else {
            return Place::default();
        };
        // A record without the path, or of another type there, is a place that isn't known.
        let text =
            |path: &[PathElement<'_>]| record.decode_path(path).ok().flatten().unwrap_or_default();
        let (country, region, city) = match (self.shape, self.has_cities) {
            (Shape::Flat, false) => (text(&path!["country_code"]), "", ""),
            (Shape::Flat, true) => {
                (text(&path!["country_code"]), text(&path!["state1"]), text(&path!["city"]))
            }
            (Shape::Nested, false) => (text(&path!["country", "iso_code"]), "", ""),
            (Shape::Nested, true) => (
                text(&path!["country", "iso_code"]),
                text(&path!["subdivisions", 0, "names", "en"]),
                text(&path!["city", "names", "en"]),
            ),
        };
        // Databases mark the unknown with `-` or `ZZ`, or leave it out.
        let is_code = country.len() == 2 && country.bytes().all(|byte| byte.is_ascii_uppercase());
        Place { country: if is_code && country != "ZZ" { country } else { "" }, region, city }
    }

    fn from_reader(reader: Reader<Vec<u8>>) -> Result<Self, GeoError> {
        let database_type = &reader.metadata().database_type;
        let Some(shape) = probed_shape(&reader) else {
            return Err(GeoError::UnknownShape { database_type: database_type.clone() });
        };
        let has_cities = !database_type.to_ascii_lowercase().contains("country");
        Ok(Self { reader, shape, has_cities })
    }
}

/// The shape of the first record that names a country.
///
/// The metadata's `database_type` is no guide to it: ip-location-db publishes the data of
/// `GeoLite2` and DB-IP in its own flat form. What the type does tell is whether cities are in it
/// (`country ipvAll`, `GeoLite2-Country`, `DBIP-City-Lite`).
fn probed_shape(reader: &Reader<Vec<u8>>) -> Option<Shape> {
    let records = reader.networks(WithinOptions::default()).ok()?;
    records.take(PROBED_RECORDS).flatten().find_map(|record| {
        let holds =
            |path: &[PathElement<'_>]| matches!(record.decode_path::<&str>(path), Ok(Some(_)));
        if holds(&path!["country_code"]) {
            Some(Shape::Flat)
        } else {
            holds(&path!["country", "iso_code"]).then_some(Shape::Nested)
        }
    })
}

/// The geo database in use, which can be replaced while visits are interpreted.
pub struct GeoReader {
    path: Option<PathBuf>,
    current: ArcSwapOption<Geo>,
}

impl GeoReader {
    /// Opens the database at `path`; without one, no place is known.
    pub fn new(path: Option<PathBuf>) -> Result<Self, GeoError> {
        let geo = path.as_ref().map(Geo::open).transpose()?;
        Ok(Self { path, current: ArcSwapOption::from_pointee(geo) })
    }

    /// Opens the file again and replaces the database. After an error the old one stays in use.
    pub fn reload(&self) -> Result<(), GeoError> {
        let geo = self.path.as_ref().map(Geo::open).transpose()?;
        self.current.store(geo.map(Arc::new));
        Ok(())
    }

    /// The database in use, kept alive for as long as the guard is held.
    pub fn load(&self) -> Guard<Option<Arc<Geo>>> {
        self.current.load()
    }
}

#[cfg(test)]
#[path = "geo_tests.rs"]
mod tests;
