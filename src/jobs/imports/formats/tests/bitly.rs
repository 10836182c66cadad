//! Bitly's files.

use serde_json::json;

use super::*;

#[test]
fn the_api_response() {
    let answer = json!({
        "links": [
            {
                "created_at": "2024-03-01T10:00:00+0000", "id": "go.acme.example/3xYz",
                "link": "https://go.acme.example/3xYz", "long_url": "https://acme.example/spring",
                "title": "Spring", "archived": true, "tags": ["mail", "2024"],
                "custom_bitlinks": ["https://go.acme.example/Spring", "https://bit.ly/s2"],
                "deeplinks": [{"os": "ios", "app_uri_path": "acme://spring",
                               "install_url": "https://apps.apple.com/app/id1"},
                              {"os": "android", "app_uri_path": "/spring", "install_url": ""}],
                "references": {"group": "https://api-ssl.bitly.com/v4/groups/x"}
            },
            {"id": "bit.ly/4abC", "long_url": "https://acme.example/", "custom_bitlinks": [],
             "archived": false, "title": null, "tags": []}
        ],
        "pagination": {"next": "", "size": 50}
    });
    let rows = rows(Format::Bitly, answer.to_string());
    let link = rows[0].link.clone().unwrap();
    assert_accepted(link.clone());
    assert_eq!((rows[0].host.as_deref(), link.slug), (Some("go.acme.example"), text("Spring")));
    assert_eq!((link.title, link.archived), (text("Spring"), Field::Value(true)));
    let others = "its other short links are not imported: \
                  https://bit.ly/s2, https://go.acme.example/3xYz";
    assert_eq!(rows[0].warnings, [("slug".to_owned(), others.to_owned())]);
    assert_eq!(rows[1].warnings, []);
    assert_eq!(link.tags, texts(&["mail", "2024"]));
    assert_eq!(link.ios_url, text("acme://spring"));
    assert_eq!(link.ios_store_url, text("https://apps.apple.com/app/id1"));
    assert_eq!(link.android_url, Field::Absent);
    assert_eq!((rows[1].host.as_deref(), rows[1].slug.as_deref()), (Some("bit.ly"), Some("4abC")));
    assert_eq!(rows[1].link.as_ref().unwrap().title, Field::Absent);
}

#[test]
fn the_apps_export() {
    let file = "Title,Link,Custom Link,Destination URL,Tags,Created,Owner\n\
        Spring,https://bit.ly/3xYz,https://go.acme.example/spring,https://acme.example/spring,\"a, b\",2024-03-01,ada\n\
        ,bit.ly/4abC,,https://acme.example/,,2024-03-02,ada\n";
    let mut read = open(Format::Bitly, file).map_err(|error| error.to_string()).unwrap();
    assert_eq!(read.ignored_columns(), ["Owner"]);
    let row = read.next().unwrap().unwrap();
    assert_eq!(
        (row.host.as_deref(), row.slug.as_deref()),
        (Some("go.acme.example"), Some("spring"))
    );
    assert_eq!(row.link.unwrap().tags, texts(&["a", "b"]));
    let row = read.next().unwrap().unwrap();
    assert_eq!((row.host.as_deref(), row.slug.as_deref()), (Some("bit.ly"), Some("4abC")));
}
