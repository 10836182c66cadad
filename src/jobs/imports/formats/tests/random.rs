//! No input makes a parser panic or loop forever, and links survive a round trip through our CSV.

use proptest::prelude::*;

use super::*;

/// Prefixes that at least one format accepts.
const HEADS: [&str; 8] = [
    "",
    "slug,url,longurl,target,password,tags,rules\n",
    "{",
    "[",
    "{\"links\":[{",
    "{\"shortUrls\":{\"data\":[{",
    "{\"data\":{\"link_1\":{",
    "insert into `yourls_url` values (",
];

/// Fragments of files, so that the input gets past the first character.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let known = prop::sample::select(vec![
        "slug,destination\n",
        "keyword,url\n",
        "long_url,tags\n",
        "{\"links\":[",
        "[{\"url\":",
        "{\"data\":[",
        "{\"shortUrls\":{\"data\":[",
        "\"geo\":{\"DE\":",
        "\"a\"",
        ":",
        ",",
        ";",
        "\t",
        "\"",
        "'",
        "\\",
        "}",
        "]",
        "(",
        ")",
        "\n",
        "\r\n",
        "`yourls_url`",
        "insert into ",
        "values",
        "/*",
        "*/",
        "--",
        "null",
        "true",
        "7",
        "{\"link_1\":{",
        "https://a.example/",
        "\"password\":",
        "2027-01-01",
        "ü",
        "\u{feff}",
    ]);
    prop_oneof![
        8 => known.prop_map(|text| text.as_bytes().to_vec()),
        2 => "[ -~]{0,12}".prop_map(String::into_bytes),
        1 => prop::collection::vec(any::<u8>(), 0..6),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_file_is_read_to_its_end(
        head in prop::sample::select(HEADS.to_vec()),
        pieces in prop::collection::vec(piece(), 0..60),
    ) {
        let file = [head.as_bytes().to_vec(), pieces.concat()].concat();
        let _any = Format::guess(&file);
        for format in Format::EVERY.iter().copied() {
            let Ok(mut rows) = open(format, &file) else { continue };
            let mut read = 0;
            while let Some(row) = rows.next() {
                prop_assert!(rows.bytes_read() <= rows.bytes_total);
                read += 1;
                prop_assert!(read <= file.len(), "more rows than bytes");
                if row.is_err() {
                    prop_assert!(rows.next().is_none(), "nothing follows an error");
                    break;
                }
            }
        }
    }

    #[test]
    fn our_csv_survives_a_round_trip(
        slug in "[a-zA-Z0-9_-]{1,20}",
        title in "[ -~ü漢\"]{0,40}",
        notes in prop::option::of("[a-z\",;\t\n]{1,20}"),
        tags in prop::collection::vec("[a-z]{1,8}", 0..4),
        flag in any::<Option<bool>>(),
        number in any::<Option<u64>>(),
        separator in prop::sample::select(vec![',', ';', '\t']),
    ) {
        let quoted = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
        let shown = |text: Option<String>| text.unwrap_or_default();
        let header = ["slug", "destination", "title", "notes", "tags", "archived", "max_clicks"];
        let cells = [
            slug.clone(), "https://a.example/?q=1,2;3".to_owned(), title.clone(),
            shown(notes.clone()), tags.join(","), shown(flag.map(|flag| flag.to_string())),
            shown(number.map(|number| number.to_string())),
        ];
        let line = |cells: Vec<String>| cells.join(&separator.to_string());
        let cells = cells.iter().map(|cell| quoted(cell)).collect();
        let file = format!("{}\r\n{}\r\n", line(header.map(str::to_owned).to_vec()), line(cells));
        let asked = |text: Option<String>| text.filter(|text| !text.is_empty()).map_or(Field::Absent, Field::Value);
        let expected = LinkInput {
            slug: Field::Value(slug),
            destination: text("https://a.example/?q=1,2;3"),
            title: asked(Some(title)),
            notes: asked(notes),
            tags: if tags.is_empty() { Field::Absent } else { Field::Value(tags) },
            archived: flag.map_or(Field::Absent, Field::Value),
            max_clicks: number.map_or(Field::Absent, Field::Value),
            ..LinkInput::default()
        };
        prop_assert_eq!(link(Format::Csv, file), expected);
    }
}
