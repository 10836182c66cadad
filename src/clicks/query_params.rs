//! Query parameters that are stored with a click: UTM parameters and the QR marker.

use std::borrow::Cow;

use crate::domain::click::UTM;
use crate::domain::qr::marker::{self, Marker};

/// Maximum length of a stored value, in bytes: the same as for a link's own parameters.
const VALUE_LIMIT: usize = 255;

/// The stored parameters of a visit.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct QueryParams<'a> {
    /// The [`UTM`] parameters that the link's own destination lacks; others are empty.
    pub(super) utm: [Cow<'a, str>; UTM.len()],
    /// The marker of a QR code; the first one that names a code counts.
    pub(super) marker: Option<Marker>,
}

impl<'a> QueryParams<'a> {
    /// Parses the query; the first parameter of a name counts. `has_utm` tells which UTM parameters
    /// the link's own destination has.
    pub(super) fn of(query: Option<&'a str>, mut has_utm: [bool; UTM.len()]) -> Self {
        let mut params = Self::default();
        let Some(query) = query else { return params };
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            if name == marker::PARAMETER {
                if !matches!(params.marker, Some(Marker::Number(_))) {
                    params.marker = marker::parse(&value).or(params.marker);
                }
                continue;
            }
            let known = UTM.iter().zip(&mut has_utm).zip(&mut params.utm);
            let known = known.filter(|((known, _), _)| **known == name);
            for ((_, has), slot) in known.filter(|((_, has), _)| !**has) {
                *has = true;
                if value.len() <= VALUE_LIMIT {
                    slot.clone_from(&value);
                }
            }
        }
        params
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: [bool; 5] = [false; 5];

    fn utm(query: &str, has_utm: [bool; 5]) -> [String; 5] {
        QueryParams::of(Some(query), has_utm).utm.map(Cow::into_owned)
    }

    #[test]
    fn the_first_value_counts_unless_the_link_has_its_own() {
        let query = "utm_source=a%20b&utm_source=c&utm_term=%C3%A4&x=1&UTM_MEDIUM=no";
        assert_eq!(utm(query, NONE), ["a b", "", "", "", "ä"]);
        assert_eq!(utm(query, [true, false, false, false, false]), ["", "", "", "", "ä"]);
        let long = format!("utm_medium={}&utm_content={}", "x".repeat(256), "y".repeat(255));
        assert_eq!(utm(&long, NONE), ["", "", "", &"y".repeat(255), ""]);
        assert_eq!(QueryParams::of(None, NONE), QueryParams::default());
        let long = format!("{}&utm_source=a", "x".repeat(20_000));
        assert_eq!(utm(&long, NONE), ["a", "", "", "", ""]);
        assert_eq!(utm("utm_source=ü<\"%E9%", NONE)[0], "ü<\"\u{fffd}%");
    }

    #[test]
    fn a_qr_code_is_recognized() {
        let (some, code) = (Some(Marker::SomeCode), Some(Marker::Number(5_625)));
        for (query, marker) in [
            ("qr", some),
            ("qr=1", some),
            ("a=b&qr=true", some),
            ("qr=4c9&a=b", code),
            ("%71r=4%639", code),
            ("qr=hello!&qr=1&qr=4c9&qr=5&qr", code),
            ("qr=0", None),
            ("qr=hello!", None),
            ("qrx=1", None),
            ("", None),
        ] {
            assert_eq!(QueryParams::of(Some(query), NONE).marker, marker, "{query}");
        }
    }
}
