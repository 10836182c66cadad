//! English names of countries, from Unicode CLDR, and their continents.

use super::nearest::nearest;

/// The English name of an ISO 3166-1 alpha-2 code; the code itself if it has none, and `Unknown`
/// for an empty code.
pub fn name(code: &str) -> &str {
    if code.is_empty() {
        return "Unknown";
    }
    NAMES.binary_search_by_key(&code, |(code, _)| code).map_or(code, |place| NAMES[place].1)
}

/// Whether this is an ISO 3166-1 alpha-2 code of a country.
pub fn is_code(code: &str) -> bool {
    NAMES.binary_search_by_key(&code, |(code, _)| code).is_ok()
}

/// The code that is meant by a name, or by a code in lower case.
pub fn code_near(text: &str) -> Option<&'static str> {
    let upper = text.to_ascii_uppercase();
    if let Ok(place) = NAMES.binary_search_by_key(&upper.as_str(), |(code, _)| code) {
        return Some(NAMES[place].0);
    }
    let meant = nearest(text, NAMES.iter().map(|(_, name)| *name))?;
    NAMES.iter().find(|(_, name)| *name == meant).map(|(code, _)| *code)
}

/// The continent of a country (`AF AN AS EU NA OC SA`), by the United Nations' M49 regions, in
/// which Cyprus and Turkey belong to Asia; empty for an unknown country.
pub fn continent(code: &str) -> &'static str {
    let place = match code.as_bytes() {
        [one, two] => place(*one, *two),
        _ => None,
    };
    let number = place.and_then(|place| CONTINENT_OF.get(place)).copied().unwrap_or(0);
    CONTINENTS.get(usize::from(number).wrapping_sub(1)).map_or("", |(continent, _)| continent)
}

/// The English name of a continent; `Unknown` for an empty code.
pub fn continent_name(code: &str) -> &str {
    match code {
        "AF" => "Africa",
        "AN" => "Antarctica",
        "AS" => "Asia",
        "EU" => "Europe",
        "NA" => "North America",
        "OC" => "Oceania",
        "SA" => "South America",
        "" => "Unknown",
        other => other,
    }
}

/// The continent that is meant by a name.
pub fn continent_near(text: &str) -> Option<&'static str> {
    let codes = CONTINENTS.iter().map(|(code, _)| *code);
    let meant = nearest(text, codes.clone().map(continent_name))?;
    codes.into_iter().find(|code| continent_name(code) == meant)
}

/// The index of a code of two capital letters among all possible codes.
const fn place(one: u8, two: u8) -> Option<usize> {
    if one.is_ascii_uppercase() && two.is_ascii_uppercase() {
        Some((one - b'A') as usize * 26 + (two - b'A') as usize)
    } else {
        None
    }
}

/// The number of the continent, from 1, by the index of the code.
static CONTINENT_OF: [u8; 26 * 26] = {
    let mut of = [0; 26 * 26];
    let mut number = 0;
    while number < CONTINENTS.len() {
        let codes = CONTINENTS[number].1.as_bytes();
        let mut at = 0;
        // Two-letter codes, separated by single blanks.
        while at + 1 < codes.len() {
            if let Some(place) = place(codes[at], codes[at + 1]) {
                #[allow(clippy::cast_possible_truncation, reason = "there are seven")]
                let continent = number as u8 + 1;
                of[place] = continent;
            }
            at += 3;
        }
        number += 1;
    }
    of
};

#[rustfmt::skip]
const CONTINENTS: &[(&str, &str)] = &[
    ("AF", "AC AO BF BI BJ BW CD CF CG CI CM CV DJ DZ EA EG EH ER ET GA GH GM GN GQ GW IC KE KM \
     LR LS LY MA MG ML MR MU MW MZ NA NE NG RE RW SC SD SH SL SN SO SS ST SZ TA TD TG TN \
     TZ UG YT ZA ZM ZW"),
    ("AN", "AQ BV GS HM TF"),
    ("AS", "AE AF AM AZ BD BH BN BT CC CN CX CY DG GE HK ID IL IN IO IQ IR JO JP KG KH KP KR KW \
     KZ LA LB LK MM MN MO MV MY NP OM PH PK PS QA SA SG SY TH TJ TL TM TR TW UZ VN YE"),
    ("EU", "AD AL AT AX BA BE BG BY CH CQ CZ DE DK EE ES FI FO FR GB GG GI GR HR HU IE IM IS IT \
     JE LI LT LU LV MC MD ME MK MT NL NO PL PT RO RS RU SE SI SJ SK SM UA VA XK"),
    ("NA", "AG AI AW BB BL BM BQ BS BZ CA CP CR CU CW DM DO GD GL GP GT HN HT JM KN KY LC MF MQ \
     MS MX NI PA PM PR SV SX TC TT US VC VG VI"),
    ("OC", "AS AU CK FJ FM GU KI MH MP NC NF NR NU NZ PF PG PN PW SB TK TO TV UM VU WF WS"),
    ("SA", "AR BO BR CL CO EC FK GF GY PE PY SR UY VE"),
];

/// Sorted by code, for binary search.
#[rustfmt::skip]
const NAMES: &[(&str, &str)] = &[
    ("AC", "Ascension Island"), ("AD", "Andorra"), ("AE", "United Arab Emirates"),
    ("AF", "Afghanistan"), ("AG", "Antigua & Barbuda"), ("AI", "Anguilla"), ("AL", "Albania"),
    ("AM", "Armenia"), ("AO", "Angola"), ("AQ", "Antarctica"), ("AR", "Argentina"),
    ("AS", "American Samoa"), ("AT", "Austria"), ("AU", "Australia"), ("AW", "Aruba"),
    ("AX", "Åland Islands"), ("AZ", "Azerbaijan"), ("BA", "Bosnia & Herzegovina"),
    ("BB", "Barbados"), ("BD", "Bangladesh"), ("BE", "Belgium"), ("BF", "Burkina Faso"),
    ("BG", "Bulgaria"), ("BH", "Bahrain"), ("BI", "Burundi"), ("BJ", "Benin"),
    ("BL", "St. Barthélemy"), ("BM", "Bermuda"), ("BN", "Brunei"), ("BO", "Bolivia"),
    ("BQ", "Caribbean Netherlands"), ("BR", "Brazil"), ("BS", "Bahamas"), ("BT", "Bhutan"),
    ("BV", "Bouvet Island"), ("BW", "Botswana"), ("BY", "Belarus"), ("BZ", "Belize"),
    ("CA", "Canada"), ("CC", "Cocos (Keeling) Islands"), ("CD", "Congo - Kinshasa"),
    ("CF", "Central African Republic"), ("CG", "Congo - Brazzaville"), ("CH", "Switzerland"),
    ("CI", "Côte d’Ivoire"), ("CK", "Cook Islands"), ("CL", "Chile"), ("CM", "Cameroon"),
    ("CN", "China"), ("CO", "Colombia"), ("CP", "Clipperton Island"), ("CQ", "Sark"),
    ("CR", "Costa Rica"), ("CU", "Cuba"), ("CV", "Cape Verde"), ("CW", "Curaçao"),
    ("CX", "Christmas Island"), ("CY", "Cyprus"), ("CZ", "Czechia"), ("DE", "Germany"),
    ("DG", "Diego Garcia"), ("DJ", "Djibouti"), ("DK", "Denmark"), ("DM", "Dominica"),
    ("DO", "Dominican Republic"), ("DZ", "Algeria"), ("EA", "Ceuta & Melilla"), ("EC", "Ecuador"),
    ("EE", "Estonia"), ("EG", "Egypt"), ("EH", "Western Sahara"), ("ER", "Eritrea"),
    ("ES", "Spain"), ("ET", "Ethiopia"), ("FI", "Finland"), ("FJ", "Fiji"),
    ("FK", "Falkland Islands"), ("FM", "Micronesia"), ("FO", "Faroe Islands"), ("FR", "France"),
    ("GA", "Gabon"), ("GB", "United Kingdom"), ("GD", "Grenada"), ("GE", "Georgia"),
    ("GF", "French Guiana"), ("GG", "Guernsey"), ("GH", "Ghana"), ("GI", "Gibraltar"),
    ("GL", "Greenland"), ("GM", "Gambia"), ("GN", "Guinea"), ("GP", "Guadeloupe"),
    ("GQ", "Equatorial Guinea"), ("GR", "Greece"), ("GS", "South Georgia & South Sandwich Islands"),
    ("GT", "Guatemala"), ("GU", "Guam"), ("GW", "Guinea-Bissau"), ("GY", "Guyana"),
    ("HK", "Hong Kong SAR China"), ("HM", "Heard & McDonald Islands"), ("HN", "Honduras"),
    ("HR", "Croatia"), ("HT", "Haiti"), ("HU", "Hungary"), ("IC", "Canary Islands"),
    ("ID", "Indonesia"), ("IE", "Ireland"), ("IL", "Israel"), ("IM", "Isle of Man"),
    ("IN", "India"), ("IO", "British Indian Ocean Territory"), ("IQ", "Iraq"), ("IR", "Iran"),
    ("IS", "Iceland"), ("IT", "Italy"), ("JE", "Jersey"), ("JM", "Jamaica"), ("JO", "Jordan"),
    ("JP", "Japan"), ("KE", "Kenya"), ("KG", "Kyrgyzstan"), ("KH", "Cambodia"), ("KI", "Kiribati"),
    ("KM", "Comoros"), ("KN", "St. Kitts & Nevis"), ("KP", "North Korea"), ("KR", "South Korea"),
    ("KW", "Kuwait"), ("KY", "Cayman Islands"), ("KZ", "Kazakhstan"), ("LA", "Laos"),
    ("LB", "Lebanon"), ("LC", "St. Lucia"), ("LI", "Liechtenstein"), ("LK", "Sri Lanka"),
    ("LR", "Liberia"), ("LS", "Lesotho"), ("LT", "Lithuania"), ("LU", "Luxembourg"),
    ("LV", "Latvia"), ("LY", "Libya"), ("MA", "Morocco"), ("MC", "Monaco"), ("MD", "Moldova"),
    ("ME", "Montenegro"), ("MF", "St. Martin"), ("MG", "Madagascar"), ("MH", "Marshall Islands"),
    ("MK", "North Macedonia"), ("ML", "Mali"), ("MM", "Myanmar (Burma)"), ("MN", "Mongolia"),
    ("MO", "Macao SAR China"), ("MP", "Northern Mariana Islands"), ("MQ", "Martinique"),
    ("MR", "Mauritania"), ("MS", "Montserrat"), ("MT", "Malta"), ("MU", "Mauritius"),
    ("MV", "Maldives"), ("MW", "Malawi"), ("MX", "Mexico"), ("MY", "Malaysia"),
    ("MZ", "Mozambique"), ("NA", "Namibia"), ("NC", "New Caledonia"), ("NE", "Niger"),
    ("NF", "Norfolk Island"), ("NG", "Nigeria"), ("NI", "Nicaragua"), ("NL", "Netherlands"),
    ("NO", "Norway"), ("NP", "Nepal"), ("NR", "Nauru"), ("NU", "Niue"), ("NZ", "New Zealand"),
    ("OM", "Oman"), ("PA", "Panama"), ("PE", "Peru"), ("PF", "French Polynesia"),
    ("PG", "Papua New Guinea"), ("PH", "Philippines"), ("PK", "Pakistan"), ("PL", "Poland"),
    ("PM", "St. Pierre & Miquelon"), ("PN", "Pitcairn Islands"), ("PR", "Puerto Rico"),
    ("PS", "Palestinian Territories"), ("PT", "Portugal"), ("PW", "Palau"), ("PY", "Paraguay"),
    ("QA", "Qatar"), ("RE", "Réunion"), ("RO", "Romania"), ("RS", "Serbia"), ("RU", "Russia"),
    ("RW", "Rwanda"), ("SA", "Saudi Arabia"), ("SB", "Solomon Islands"), ("SC", "Seychelles"),
    ("SD", "Sudan"), ("SE", "Sweden"), ("SG", "Singapore"), ("SH", "St. Helena"),
    ("SI", "Slovenia"), ("SJ", "Svalbard & Jan Mayen"), ("SK", "Slovakia"), ("SL", "Sierra Leone"),
    ("SM", "San Marino"), ("SN", "Senegal"), ("SO", "Somalia"), ("SR", "Suriname"),
    ("SS", "South Sudan"), ("ST", "São Tomé & Príncipe"), ("SV", "El Salvador"),
    ("SX", "Sint Maarten"), ("SY", "Syria"), ("SZ", "Eswatini"), ("TA", "Tristan da Cunha"),
    ("TC", "Turks & Caicos Islands"), ("TD", "Chad"), ("TF", "French Southern Territories"),
    ("TG", "Togo"), ("TH", "Thailand"), ("TJ", "Tajikistan"), ("TK", "Tokelau"),
    ("TL", "Timor-Leste"), ("TM", "Turkmenistan"), ("TN", "Tunisia"), ("TO", "Tonga"),
    ("TR", "Türkiye"), ("TT", "Trinidad & Tobago"), ("TV", "Tuvalu"), ("TW", "Taiwan"),
    ("TZ", "Tanzania"), ("UA", "Ukraine"), ("UG", "Uganda"), ("UM", "U.S. Outlying Islands"),
    ("US", "United States"), ("UY", "Uruguay"), ("UZ", "Uzbekistan"), ("VA", "Vatican City"),
    ("VC", "St. Vincent & Grenadines"), ("VE", "Venezuela"), ("VG", "British Virgin Islands"),
    ("VI", "U.S. Virgin Islands"), ("VN", "Vietnam"), ("VU", "Vanuatu"), ("WF", "Wallis & Futuna"),
    ("WS", "Samoa"), ("XK", "Kosovo"), ("YE", "Yemen"), ("YT", "Mayotte"), ("ZA", "South Africa"),
    ("ZM", "Zambia"), ("ZW", "Zimbabwe"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_codes_have_names() {
        assert_eq!(name("US"), "United States");
        assert_eq!(name("AD"), "Andorra");
        assert_eq!(name("ZW"), "Zimbabwe");
        assert_eq!(name("Q9"), "Q9");
        assert_eq!(name(""), "Unknown");
    }

    #[test]
    fn each_country_has_a_continent() {
        let without: Vec<_> = NAMES.iter().filter(|(code, _)| continent(code).is_empty()).collect();
        assert!(without.is_empty(), "{without:?}");
        for (code, of) in [("DE", "EU"), ("US", "NA"), ("NA", "AF"), ("AS", "OC"), ("ZW", "AF")] {
            assert_eq!(continent(code), of);
        }
        for code in ["", "D", "de", "ZZ", "DEU", "Ä"] {
            assert_eq!(continent(code), "", "{code}");
        }
    }

    #[test]
    fn the_table_is_sorted() {
        assert!(NAMES.is_sorted_by(|one, next| one.0 < next.0));
    }
}
