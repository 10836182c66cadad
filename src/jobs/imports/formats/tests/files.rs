//! Behavior that is common to all formats.

use super::super::record::MAX_RECORD_BYTES;
use super::*;

#[test]
fn delimiters_line_endings_and_byte_order_marks_are_detected() {
    for file in [
        "slug,destination\na,https://a.example/\nb,https://b.example/\n",
        "\u{feff}slug,destination\r\na,https://a.example/\r\nb,https://b.example/\r\n\r\n\r\n",
        "SLUG;Destination\na;https://a.example/\nb;https://b.example/",
        "Short Code\tLong-URL\na\thttps://a.example/\n\nb\thttps://b.example/\n\t\n",
        "\n\n\"slug\",\"original url\"\n\"a\",\"https://a.example/\"\nb,https://b.example/\n,\n",
    ] {
        let rows = rows(Format::Csv, file);
        let found: Vec<_> = rows.iter().map(|row| (row.number, row.slug.as_deref())).collect();
        assert_eq!(found, [(1, Some("a")), (2, Some("b"))], "{file:?}");
        assert_eq!(rows[1].destination.as_deref(), Some("https://b.example/"), "{file:?}");
        assert!(rows.iter().all(|row| row.link.is_ok()), "{file:?}");
    }
}

#[test]
fn a_record_has_its_line() {
    let file =
        "slug,notes,destination\na,\"one\ntwo, \"\"three\"\"\",https://a.example/\n\n\nb,,x\n";
    let rows = rows(Format::Csv, file);
    assert_eq!(rows[0].link.as_ref().unwrap().notes, text("one\ntwo, \"three\""));
    assert_eq!([rows[0].line, rows[1].line], [Some(2), Some(6)]);
    assert_eq!(rows[1].link.as_ref().unwrap().notes, Field::Absent);
}

#[test]
fn an_unclosed_quote_is_reported() {
    let head = "slug,notes,destination\na,\"one\ntwo\",https://a.example/\n";
    for (row, line) in [
        ("b,\"open,https://b.example/\nc,,https://c.example/\n", 4),
        ("b,\"open", 4),
        ("b,\"open \"\"\n", 4),
        ("\"b\",\"x\ny\",\"https://b.example/\n", 5),
        (&format!("b,\"{}", "x".repeat(MAX_RECORD_BYTES)), 4),
    ] {
        let message = refused(Format::Csv, format!("{head}{row}"));
        assert!(
            message.contains(&format!("begins in row 2, at line {line}:")),
            "{row:.60}: {message}"
        );
    }
    for closed in
        ["b,\"x\",https://b.example/", "b,,\"https://b.example/\"", "b,5\" pipe,https://b.example/"]
    {
        let rows = rows(Format::Csv, format!("{head}{closed}"));
        assert!(rows[1].link.is_ok(), "{closed}: {:?}", rows[1]);
    }
    let message = refused(Format::Yourls, "insert into `yourls_url` values ('a',\n'https:");
    assert!(message.contains("begins in row 1, at line 2:"), "{message}");
}

/// `csv_core` would drop the quotes, or make the next row part of the field.
#[test]
fn text_after_a_closing_quote_is_refused() {
    let file = "slug,notes,destination\na,\"say \"hi\"\",https://a.example/\n\
        b,\"open,https://b.example/\nc,\"x\",https://c.example/\n\
        d,\"padded\" ,https://d.example/\n";
    let rows = rows(Format::Csv, file);
    let reason = |index: usize| rows[index].link.clone().unwrap_err().remove(0).1;
    assert!(reason(0).starts_with("has text after a closing quote at line 2:"), "{}", reason(0));
    assert!(reason(1).starts_with("has text after a closing quote at line 4:"), "{}", reason(1));
    assert_eq!((rows.len(), rows[2].link.is_ok()), (3, true), "{rows:?}");
}

#[test]
fn a_record_of_another_length_is_refused_alone() {
    let rows =
        rows(Format::Csv, "slug,destination\na\nb,https://b.example/,c\nd,https://d.example/");
    let reasons: Vec<_> = rows.iter().map(|row| row.link.clone().err()).collect();
    let message = |text: &str| Some(vec![("row".to_owned(), text.to_owned())]);
    assert_eq!(
        reasons,
        [
            message("has 1 columns where the header has 2"),
            message("has 3 columns where the header has 2"),
            None
        ]
    );
}

#[test]
fn a_record_that_is_too_large_is_refused_alone() {
    let large = "x".repeat(MAX_RECORD_BYTES + 1);
    for (format, file) in [
        (Format::Csv, format!("slug,destination\na,\"{large}\"\nb,https://b.example/\n")),
        (
            Format::Ndjson,
            format!(
                "{{\"slug\":\"{large}\"}}\n{{\"slug\":\"b\",\"destination\":\"https://b.example/\"}}"
            ),
        ),
        (Format::Kutt, format!("{{\"data\":[{{\"address\":\"{large}\"}},{{\"address\":\"b\"}}]}}")),
    ] {
        let rows = rows(format, file);
        assert_eq!(rows.len(), 2, "{format:?}");
        let refused = rows[0].link.clone().unwrap_err();
        assert_eq!(refused, [("row".to_owned(), "is larger than 256 KiB".to_owned())]);
        assert_eq!((rows[1].slug.as_deref(), rows[1].link.is_ok()), (Some("b"), true));
    }
}

#[test]
fn unknown_columns_are_reported() {
    let file =
        "slug,colour,destination,id,clicks,url, Shoe  size \na,red,https://a.example/,1,2,u,9";
    let mut rows = open(Format::Csv, file).map_err(|error| error.to_string()).unwrap();
    // `url` is an alias of `destination`; the field's own name takes precedence.
    assert_eq!(rows.ignored_columns(), ["colour", "Shoe  size"]);
    let row = rows.next().unwrap().unwrap();
    assert_eq!(row.destination.as_deref(), Some("https://a.example/"));
}

#[test]
fn an_invalid_file_is_reported() {
    for (format, file, message) in [
        (Format::Csv, "", "the file is empty"),
        (Format::Csv, "\u{feff}\r\n\r\n", "the file is empty"),
        (Format::Ndjson, "  \n", "the file is empty"),
        (Format::Dub, "", "the file is empty"),
        (Format::Csv, "abc,https://a.example/\n", "the file has no header"),
        (Format::Csv, "slug,title\na,b\n", "there is no destination column"),
        (Format::Csv, "slug,title\na,b\n", "The header has `slug`, `title`"),
        (Format::Yourls, "slug,title\na,b\n", "name it `url` or `target`"),
        (Format::Ndjson, "slug,destination\n", "each line must be a JSON object"),
        (Format::Dub, "[{\"key\":\n\"a\",}]", "the file is not JSON: key must be a string"),
        (Format::Dub, "[{\"key\":\n\"a\",}]", "at line 2, column 5"),
        (Format::Shlink, "{\"shortUrls\":{}}", "Shlink's API returns one under `shortUrls.data`"),
        (Format::Bitly, "{\"links\":7}", "Bitly's API returns one under `links`"),
        (Format::Yourls, "-- a dump\nCREATE TABLES;\n", "the dump has no rows of YOURLS' table"),
    ] {
        let found = refused(format, file);
        assert!(found.contains(message), "{format:?} {file:?}: {found}");
    }
}

#[test]
fn an_invalid_byte_is_reported() {
    let mut file = b"slug,destination\na,https://a.example/\n".to_vec();
    let at = file.len() + 1;
    file.extend(b"\xFF,https://b.example/\n");
    assert!(refused(Format::Csv, &file).contains(&format!("byte {at} is invalid")));
    assert!(refused(Format::Csv, b"\xFF\xFEs\0l\0").contains("byte 1 "));
    assert!(refused(Format::Dub, b"[{\"key\":\"\xC3").contains("byte 10 "), "an unfinished letter");
}

#[test]
fn characters_across_buffer_boundaries_are_intact() {
    for before in 65_500..65_540 {
        let file =
            format!("destination,external_id\nhttps://a.example/,{}ü漢🦀z\n", "x".repeat(before));
        let link = link(Format::Csv, file);
        let Field::Value(id) = link.external_id else { panic!("{before}") };
        assert!(id.ends_with("xü漢🦀z"), "{before}");
    }
}

#[test]
fn concatenated_pages_are_one_file() {
    let rows = rows(
        Format::Kutt,
        "\u{feff}\n{\"data\":[{\"address\":\"a\"}]}\n{\"data\":[]}\n[\n{\"address\":\"b\"}]",
    );
    let found: Vec<_> =
        rows.iter().map(|row| (row.number, row.line, row.slug.as_deref())).collect();
    assert_eq!(found, [(1, Some(2), Some("a")), (2, Some(5), Some("b"))]);
}

#[test]
fn a_file_on_the_disk_is_opened() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    std::io::Write::write_all(&mut file, b"destination\nhttps://a.example/\n").unwrap();
    let mut rows = Rows::open(Format::Csv, file.path()).map_err(|error| error.to_string()).unwrap();
    assert_eq!((rows.bytes_read(), rows.bytes_total), (12, 31));
    assert!(rows.next().unwrap().unwrap().link.is_ok());
    assert!(rows.next().is_none());
    assert!(matches!(
        Rows::open(Format::Csv, std::path::Path::new("/no/such/file")).err(),
        Some(FileError::Unreadable(_))
    ));
}
