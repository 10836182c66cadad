//! The visitor's location: address lookups in a `.mmdb` database.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::{ArcSwapOption, Guard};
use maxminddb::{MaxMindDbError, PathElement, Reader, WithinOptions, path};

/// Maximum number of records read to detect a database's schema.
const PROBED_RECORDS: usize = 10_000;

/// Why a geo database can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum GeoError {
    /// The file is unreadable or not a `MaxMind` DB.
    #[error("not a readable MaxMind DB: {0}")]
    Unreadable(#[from] MaxMindDbError),
    /// The database has no locations (an ASN database, for example).
    #[error("the database of type `{database_type}` has no country field of a known schema")]
    UnknownSchema {
        /// The type in its metadata.
        database_type: String,
    },
}

/// The location of an address; unknown fields are empty.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Location<'a> {
    /// ISO 3166-1 alpha-2, upper case.
    pub country: &'a str,
    /// The English name of the first subdivision, or what the database has instead.
    pub region: &'a str,
    /// The city's English name.
    pub city: &'a str,
}

/// The schema of a database's records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Schema {
    /// ip-location-db: `country_code`, and in its city databases `state1` and `city`.
    Flat,
    /// `GeoLite2`, `GeoIP2`, DB-IP: `country.iso_code`, `subdivisions[0].names.en`, `city.names.en`.
    Nested,
}

/// A geo database, held in memory.
pub struct Geo {
    reader: Reader<Vec<u8>>,
    schema: Schema,
    /// Regions and cities are only looked up if the database has them.
    has_cities: bool,
}

impl Geo {
    /// Reads a database file.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, GeoError> {
        Self::from_reader(Reader::open_readfile(path)?)
    }

    /// Opens a database from the bytes of its file.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, GeoError> {
        Self::from_reader(Reader::from_source(bytes)?)
    }

    /// Looks up an address. The result is empty for a private address, and for an IPv6 address in an
    /// IPv4-only database.
    pub fn lookup(&self, address: IpAddr) -> Location<'_> {
        let Ok(record) = self.reader.lookup(address) else {
            return Location::default();
        };
        // A missing path or a value of another type means that the field is unknown.
        let text =
            |path: &[PathElement<'_>]| record.decode_path(path).ok().flatten().unwrap_or_default();
        let (country, region, city) = match (self.schema, self.has_cities) {
            (Schema::Flat, false) => (text(&path!["country_code"]), "", ""),
            (Schema::Flat, true) => {
                (text(&path!["country_code"]), text(&path!["state1"]), text(&path!["city"]))
            }
            (Schema::Nested, false) => (text(&path!["country", "iso_code"]), "", ""),
            (Schema::Nested, true) => (
                text(&path!["country", "iso_code"]),
                text(&path!["subdivisions", 0, "names", "en"]),
                text(&path!["city", "names", "en"]),
            ),
        };
        // Databases mark unknown countries with `-` or `ZZ`, or omit them.
        let is_code = country.len() == 2 && country.bytes().all(|byte| byte.is_ascii_uppercase());
        Location { country: if is_code && country != "ZZ" { country } else { "" }, region, city }
    }

    fn from_reader(reader: Reader<Vec<u8>>) -> Result<Self, GeoError> {
        let database_type = &reader.metadata().database_type;
        let Some(schema) = detect_schema(&reader) else {
            return Err(GeoError::UnknownSchema { database_type: database_type.clone() });
        };
        let has_cities = !database_type.to_ascii_lowercase().contains("country");
        Ok(Self { reader, schema, has_cities })
    }
}

/// Detects the schema by the first record with a country.
///
/// The metadata's `database_type` does not tell: ip-location-db publishes the data of `GeoLite2`
/// and DB-IP in its own flat schema. It only tells whether the database has cities
/// (`country ipvAll`, `GeoLite2-Country`, `DBIP-City-Lite`).
fn detect_schema(reader: &Reader<Vec<u8>>) -> Option<Schema> {
    let records = reader.networks(WithinOptions::default()).ok()?;
    records.take(PROBED_RECORDS).flatten().find_map(|record| {
        let holds =
            |path: &[PathElement<'_>]| matches!(record.decode_path::<&str>(path), Ok(Some(_)));
        if holds(&path!["country_code"]) {
            Some(Schema::Flat)
        } else {
            holds(&path!["country", "iso_code"]).then_some(Schema::Nested)
        }
    })
}

/// The current geo database, which can be replaced at run time.
pub struct GeoReader {
    path: ArcSwapOption<PathBuf>,
    current: ArcSwapOption<Geo>,
}

impl GeoReader {
    /// Opens the database at `path`; without one, every location is unknown.
    pub fn new(path: Option<PathBuf>) -> Result<Self, GeoError> {
        let geo = path.as_ref().map(Geo::open).transpose()?;
        let path = ArcSwapOption::from_pointee(path);
        Ok(Self { path, current: ArcSwapOption::from_pointee(geo) })
    }

    /// Takes another file into use. After an error the previous database stays in use.
    pub fn open(&self, path: &Path) -> Result<(), GeoError> {
        let geo = Geo::open(path)?;
        self.path.store(Some(Arc::new(path.to_owned())));
        self.current.store(Some(Arc::new(geo)));
        Ok(())
    }

    /// Reloads the file. After an error the previous database stays in use.
    pub fn reload(&self) -> Result<(), GeoError> {
        let geo = self.path.load().as_deref().map(Geo::open).transpose()?;
        self.current.store(geo.map(Arc::new));
        Ok(())
    }

    /// The current database, kept alive by the guard.
    pub fn load(&self) -> Guard<Option<Arc<Geo>>> {
        self.current.load()
    }
}

#[cfg(test)]
#[path = "geo_tests.rs"]
mod tests;
