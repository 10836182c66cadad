//! Format detection.

use super::*;

#[test]
fn names_of_formats() {
    for format in Format::EVERY.iter().copied() {
        assert_eq!(Format::parse(format.as_str()), Some(format));
    }
    assert_eq!(Format::parse("Dub"), Some(Format::Dub));
    assert_eq!(Format::parse("rebrandly"), None);
}

#[test]
fn formats_are_detected() {
    for (head, format) in [
        ("slug,destination,domain,title", Some(Format::Csv)),
        ("\u{feff}Title;Long URL\nx;y", Some(Format::Csv)),
        ("url\nhttps://example.com/", Some(Format::Csv)),
        ("{\"id\":\"link_1\",\"slug\":\"a\",\"destination\":\"b\"}\n", Some(Format::Ndjson)),
        ("Link,Custom Link,Destination URL,Title\n", Some(Format::Bitly)),
        (
            "{\"links\":[{\"id\":\"bit.ly/a\",\"custom_bitlinks\":[],\"long_url\":\"x\"",
            Some(Format::Bitly),
        ),
        ("Short link,Destination URL,Clicks,Created at\n", Some(Format::Dub)),
        (
            "[{\"id\":\"1\",\"domain\":\"d\",\"key\":\"k\",\"url\":\"u\",\"shortLink\"  :\"x\"",
            Some(Format::Dub),
        ),
        ("createdAt,domain,shortCode,shortUrl,longUrl,title,tags,visits", Some(Format::Shlink)),
        ("createdAt,title,longUrl,shortUrl,tags,visits", Some(Format::Shlink)),
        ("short_url,long_url\n", Some(Format::Csv)),
        ("id,createdAt,shortUrl,domain,slashtag,destination\n", Some(Format::Csv)),
        ("{\"shortUrls\":{\"data\":[", Some(Format::Shlink)),
        ("keyword,url,title,timestamp,ip,clicks\n", Some(Format::Yourls)),
        ("source,target,hits\r\n", Some(Format::Yourls)),
        ("{\"links\":{\"link_1\":{\"shorturl\":\"x\"", Some(Format::Yourls)),
        (
            "-- MySQL dump 10.13\ncreate table `yourls_url` (`keyword` varchar(100)",
            Some(Format::Yourls),
        ),
        (
            "{\"total\":1,\"data\":[{\"address\":\"a\",\"target\":\"t\",\"visit_count\":3",
            Some(Format::Kutt),
        ),
        ("", None),
        ("name,age\nAda,36", None),
        ("{\"data\":[{\"slug\":\"a\",\"destination\":\"b\"}]}", None),
        ("{\"say\":\"\\\"shortUrls\\\": not a key\"}", None),
        ("-- a dump of something else\n", None),
        ("%PDF-1.7", None),
    ] {
        assert_eq!(Format::guess(head.as_bytes()), format, "{head}");
    }
    assert_eq!(Format::guess(b"\xFF\xFE\0\0"), None);
}
