//! The fixtures are made by this script (Python, `pip install mmdb_writer`):
//!
//! ```python
//! from mmdb_writer import MMDBWriter
//! from netaddr import IPSet
//!
//! def write(path, kind, records, ip_version=6):
//!     writer = MMDBWriter(ip_version, kind, ipv4_compatible=ip_version == 6)
//!     for network, record in records.items():
//!         writer.insert_network(IPSet([network]), record)
//!     writer.to_db_file(path)
//!
//! write("flat-country.mmdb", "country ipvAll", {
//!     "192.0.2.0/24": {"country_code": "US"},
//!     "2001:db8::/32": {"country_code": "DE"},
//!     "198.51.100.0/24": {"country_code": "-"},
//! })
//! write("flat-city.mmdb", "city ipv4", {
//!     "192.0.2.0/24": {"country_code": "US", "state1": "California", "state2": "Alameda",
//!                      "city": "Berkeley", "postcode": "94704", "timezone": "America/Los_Angeles"},
//!     "198.51.100.0/24": {"country_code": "SG", "city": "Singapore"},
//! }, ip_version=4)
//! write("nested-city.mmdb", "DBIP-City-Lite", {
//!     "192.0.2.0/24": {
//!         "country": {"iso_code": "CH", "names": {"en": "Switzerland", "de": "Schweiz"}},
//!         "subdivisions": [{"names": {"en": "Zurich"}}],
//!         "city": {"names": {"de": "Zürich", "en": "Zurich"}},
//!     },
//!     "2001:db8::/32": {"country": {"iso_code": "FR", "names": {"en": "France"}}},
//! })
//! write("other.mmdb", "asn ipv4", {"192.0.2.0/24": {"autonomous_system_number": "64496"}}, ip_version=4)
//! ```
use super::*;

const FLAT_COUNTRY: &[u8] = include_bytes!("fixtures/flat-country.mmdb");
const FLAT_CITY: &[u8] = include_bytes!("fixtures/flat-city.mmdb");
const NESTED_CITY: &[u8] = include_bytes!("fixtures/nested-city.mmdb");
const OTHER: &[u8] = include_bytes!("fixtures/other.mmdb");

/// The fixture with another `database_type` of the same length.
fn renamed(fixture: &[u8], from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let at = fixture.windows(from.len()).position(|window| window == from.as_bytes()).unwrap();
    let mut bytes = fixture.to_vec();
    bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
    bytes
}

#[test]
fn locations_are_read_from_each_schema() {
    for (fixture, address, expected) in [
        (FLAT_COUNTRY, "192.0.2.7", ("US", "", "")),
        (FLAT_COUNTRY, "2001:db8::7", ("DE", "", "")),
        (FLAT_COUNTRY, "198.51.100.7", ("", "", "")),
        (FLAT_COUNTRY, "127.0.0.1", ("", "", "")),
        (FLAT_CITY, "192.0.2.7", ("US", "California", "Berkeley")),
        (FLAT_CITY, "198.51.100.7", ("SG", "", "Singapore")),
        (FLAT_CITY, "2001:db8::7", ("", "", "")),
        (NESTED_CITY, "192.0.2.7", ("CH", "Zurich", "Zurich")),
        (NESTED_CITY, "2001:db8::7", ("FR", "", "")),
        (NESTED_CITY, "::1", ("", "", "")),
    ] {
        let geo = Geo::from_bytes(fixture.to_vec()).unwrap();
        let location = geo.lookup(address.parse().unwrap());
        assert_eq!((location.country, location.region, location.city), expected, "{address}");
    }
}

#[test]
fn a_database_of_unknown_type_is_probed() {
    for (fixture, from, to, country) in [
        (FLAT_CITY, "city ipv4", "my places", "US"),
        (NESTED_CITY, "DBIP-City-Lite", "Some-City-Data", "CH"),
    ] {
        let geo = Geo::from_bytes(renamed(fixture, from, to)).unwrap();
        let location = geo.lookup("192.0.2.7".parse().unwrap());
        assert_eq!(location.country, country);
        assert!(!location.city.is_empty());
    }
}

#[test]
fn other_files_are_rejected() {
    let refused = Geo::from_bytes(OTHER.to_vec()).err().unwrap();
    assert!(refused.to_string().contains("`asn ipv4`"), "{refused}");
    assert!(matches!(Geo::from_bytes(vec![0; 64]), Err(GeoError::Unreadable(_))));
}

#[test]
fn a_reload_replaces_the_database_unless_the_file_is_invalid() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("geo.mmdb");
    let country = |reader: &GeoReader| {
        let geo = reader.load();
        geo.as_ref().map(|geo| geo.lookup("192.0.2.7".parse().unwrap()).country.to_owned())
    };

    assert!(GeoReader::new(Some(path.clone())).is_err(), "no such file");
    std::fs::write(&path, FLAT_COUNTRY).unwrap();
    let reader = GeoReader::new(Some(path.clone())).unwrap();
    assert_eq!(country(&reader).as_deref(), Some("US"));

    std::fs::write(&path, NESTED_CITY).unwrap();
    reader.reload().unwrap();
    assert_eq!(country(&reader).as_deref(), Some("CH"));

    std::fs::write(&path, b"half a file").unwrap();
    assert!(reader.reload().is_err());
    assert_eq!(country(&reader).as_deref(), Some("CH"), "the previous one stays");

    let without = GeoReader::new(None).unwrap();
    without.reload().unwrap();
    assert_eq!(country(&without), None);
    assert!(without.open(&path).is_err() && country(&without).is_none());
    std::fs::write(&path, FLAT_COUNTRY).unwrap();
    without.open(&path).unwrap();
    without.reload().unwrap();
    assert_eq!(country(&without).as_deref(), Some("US"), "a file that comes later");
}
