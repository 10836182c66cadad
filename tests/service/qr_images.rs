//! Images of QR codes: for everybody, in ZIP files, and by the command.

use std::collections::BTreeSet;
use std::io::{Cursor, Read};
use std::sync::atomic::{AtomicU32, Ordering};

use reqwest::Method;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::accounts::User;
use crate::harness::{Options, Server, TOKEN, eventually, slugline};

fn create(server: &Server, body: &Value) -> Value {
    server.api().post("/qr-codes", body).expect(201).data()
}

/// What a decoder reads in a picture of grey values.
fn decode(width: usize, height: usize, grey: impl FnMut(usize, usize) -> u8) -> String {
    let mut picture = rqrr::PreparedImage::prepare_from_greyscale(width, height, grey);
    picture.detect_grids()[0].decode().unwrap().1
}

fn decode_file(image: &[u8]) -> String {
    let luma = image::load_from_memory(image).unwrap().to_luma8();
    let (width, height) = (luma.width() as usize, luma.height() as usize);
    decode(width, height, |x, y| luma.as_raw()[y * width + x])
}

/// Decodes a code of half blocks.
fn decode_text(text: &str) -> String {
    let lines: Vec<Vec<char>> =
        text.lines().filter(|line| !line.is_ascii()).map(|line| line.chars().collect()).collect();
    let width = lines[0].len();
    decode(width * 4, lines.len() * 8, |x, y| {
        let (letter, is_upper) = (lines[y / 8][x / 4], y / 4 % 2 == 0);
        let is_light = letter == '█' || letter == if is_upper { '▀' } else { '▄' };
        if is_light { 255 } else { 0 }
    })
}

#[test]
fn everybody_sees_the_image_of_a_code() {
    let server = Options::links_only().start();
    let link = server.link();
    let code = create(&server, &json!({ "link": link.id }));
    let url = code["image_url"].as_str().unwrap().to_owned();
    let id = code["id"].as_str().unwrap().to_owned();
    assert!(url.ends_with(&format!("/qr/{id}.png?v=1.1")), "{url}");
    let get = |file: &str, tag: Option<&str>| {
        let url = format!("{}/qr/{file}", server.base);
        let mut request = reqwest::blocking::Client::new().get(url);
        if let Some(tag) = tag {
            request = request.header("if-none-match", tag);
        }
        request.send().unwrap()
    };
    let first = get(&format!("{id}.png"), None);
    assert_eq!(first.headers()["cache-control"], "public, no-cache");
    assert_eq!(first.headers()["content-type"], "image/png");
    let tag = first.headers()["etag"].to_str().unwrap().to_owned();
    assert_eq!(decode_file(&first.bytes().unwrap()), code["content"].as_str().unwrap());
    assert_eq!(get(&format!("{id}.png?v=1.1"), Some(&tag)).status(), 304);
    for format in ["svg", "pdf", "eps"] {
        let other = get(&format!("{id}.{format}"), Some(&tag));
        assert_eq!((other.status().as_u16(), other.headers()["etag"] == *tag), (200, false));
    }
    server.api().patch(&format!("/qr-codes/{id}"), &json!({ "color": "#003366" })).expect(200);
    let changed = get(&format!("{id}.png"), Some(&tag));
    assert_eq!(changed.status(), 200, "another image");
    let missing = ["qr_01kaj9m3v8e9qrs4t5v6w7x8y9.png".to_owned(), format!("{id}.gif"), id.clone()];
    for file in missing {
        assert_eq!(get(&file, None).status(), 404, "{file}");
    }
    server.api().delete(&link.path()).expect(204);
    assert_eq!(get(&format!("{id}.png"), None).status(), 404, "the link is deleted");
}

/// An image counts as a visit of a link does.
#[test]
fn images_for_everybody_are_limited_by_address() {
    let server = Options::links_only().flag("--redirect-rate-per-address", "2").start();
    let link = server.link();
    let id = create(&server, &json!({ "link": link.id }))["id"].as_str().unwrap().to_owned();
    let get = |path: &str| server.visit_path(path).send();
    assert_eq!(server.visit(&link).send().status, 302);
    assert_eq!(get(&format!("/qr/{id}.svg")).status, 200);
    let refused = get(&format!("/qr/{id}.svg"));
    assert_eq!((refused.status, refused.text.contains("Too many visits")), (429, true));
    assert!(refused.header("retry-after").parse::<u64>().is_ok(), "{refused:?}");
}

/// The headers say what GET would answer.
#[test]
fn head_has_the_headers_of_get() {
    let server = Options::links_only().start();
    let code = create(&server, &json!({ "link": server.link().id }));
    let id = code["id"].as_str().unwrap();
    for path in [
        format!("/qr/{id}.png"),
        format!("/qr/{id}.svg"),
        format!("/api/v1/qr-codes/{id}/image"),
        format!("/api/v1/qr-codes/{id}/image?encoding=base64"),
        format!("/api/v1/qr-codes/{id}/versions/1/image"),
    ] {
        let ask = |method| {
            let url = format!("{}{path}", server.base);
            let client = reqwest::blocking::Client::new();
            let response = client.request(method, url).bearer_auth(TOKEN).send().unwrap();
            let mut headers = response.headers().clone();
            for varying in ["date", "x-request-id", "ratelimit", "x-ratelimit-remaining"] {
                headers.remove(varying);
            }
            (response.status(), headers, response.bytes().unwrap())
        };
        let (status, headers, body) = ask(Method::GET);
        assert_eq!(headers["content-length"], body.len().to_string(), "{path}");
        assert_eq!(ask(Method::HEAD), (status, headers, bytes::Bytes::new()), "{path}");
    }
}

/// The files of a finished export.
fn files(server: &Server, job: &Value) -> Vec<(String, Vec<u8>)> {
    let path = format!("/qr-codes/exports/{}", job["id"].as_str().unwrap());
    eventually("the export is done", || {
        let job = server.api().get(&path).expect(200).data();
        assert_ne!(job["state"], "failed", "{job}");
        (job["state"] == "done").then_some(job)
    });
    let file = server.api().request(Method::GET, &format!("{path}/download")).send().unwrap();
    assert_eq!(file.headers()["content-type"], "application/zip");
    let mut archive = zip::ZipArchive::new(Cursor::new(file.bytes().unwrap())).unwrap();
    let files = archive.len();
    let read = |place| {
        let mut file = archive.by_index(place).unwrap();
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).unwrap();
        (file.name().unwrap().into_owned(), bytes)
    };
    (0..files).map(read).collect()
}

#[test]
fn an_export_has_an_image_of_each_code() {
    let server = Options::links_only().start();
    let links: Vec<_> = (0..3).map(|_| server.link()).collect();
    let mut contents = BTreeSet::new();
    for number in 0..40 {
        let body = json!({ "link": links[number % 3].id, "name": format!("=table {number}") });
        contents.insert(create(&server, &body)["content"].as_str().unwrap().to_owned());
    }
    let job = server.api().post("/qr-codes/exports", &json!({ "size": 200 })).expect(202).data();
    assert_eq!(job["codes"], 40);
    let files = files(&server, &job);
    assert_eq!(files.len(), 41);
    let images = files.iter().filter(|(name, _)| name != "index.csv");
    assert_eq!(images.map(|(_, image)| decode_file(image)).collect::<BTreeSet<_>>(), contents);
    let (name, index) = files.last().unwrap();
    let index = String::from_utf8(index.clone()).unwrap();
    assert_eq!((name.as_str(), index.lines().count()), ("index.csv", 41));
    assert!(index.contains(",'=table 7,"), "{index}");

    let body = json!({ "link": links[0].slug, "format": "svg" });
    let job = server.api().post("/qr-codes/exports", &body).expect(202).data();
    assert_eq!(self::files(&server, &job).len(), 15);
    let refused = [
        (json!({ "format": "gif", "size": 99 }), vec!["format", "size"]),
        (json!({ "qr_codes": [], "link": links[0].slug }), vec!["link"]),
        (json!({ "qr_codes": ["link_1"] }), vec!["qr_codes"]),
        (json!({ "qr_codes": [] }), vec!["qr_codes"]),
    ];
    for (body, fields) in refused {
        server.api().post("/qr-codes/exports", &body).refuses(400, "VALIDATION_ERROR", &fields);
    }
    let unknown = json!({ "qr_codes": ["qr_01kaj9m3v8e9qrs4t5v6w7x8y9"] });
    server.api().post("/qr-codes/exports", &unknown).problem(404, "NOT_FOUND");
    let path = format!("/qr-codes/exports/{}", job["id"].as_str().unwrap());
    server.api().delete(&path).expect(204);
    server.api().get(&path).problem(404, "NOT_FOUND");
}

#[test]
fn an_export_begins_again_after_a_kill() {
    let server = Options::links_only().start();
    let link = server.link();
    for _ in 0..12 {
        create(&server, &json!({ "link": link.id, "dot_style": "dots" }));
    }
    let body = json!({ "size": 900 });
    let job = server.api().post("/qr-codes/exports", &body).expect(202).data();
    server.signal(Signal::KILL);
    let data = server.data.clone();
    drop(server);
    let entries = std::fs::read_dir(data.path().join("qr-exports")).unwrap();
    let finished = |entry: &std::fs::DirEntry| entry.path().extension() == Some("zip".as_ref());
    assert!(!entries.map(Result::unwrap).any(|entry| finished(&entry)), "it was killed too late");
    let server = Options::links_only().with_data(&data).start();
    let files = files(&server, &job);
    assert_eq!(files.len(), 13);
    assert_eq!(image::load_from_memory(&files[0].1).unwrap().width(), 900);
}

/// The draws of one workspace do not fill the queue of all.
#[test]
fn a_busy_workspace_delays_the_images_of_others_little() {
    const BUSY: u32 = 40;
    let server = Options::links_only().start();
    let busy = create(&server, &json!({ "link": server.link().id, "dot_style": "dots" }));
    let other = User::new(&server, "other").api(&server);
    let link = other.post("/links", &json!({ "destination": "https://example.com" })).data();
    let code = other.post("/qr-codes", &json!({ "link": link["id"] })).expect(201).data();
    let drawn = AtomicU32::new(0);
    std::thread::scope(|scope| {
        for number in 0..BUSY {
            let image = format!("/qr-codes/{}/image", busy["id"].as_str().unwrap());
            let (server, drawn) = (&server, &drawn);
            scope.spawn(move || {
                server.api().get(&format!("{image}?size={}", 600 + number));
                drawn.fetch_add(1, Ordering::Relaxed);
            });
        }
        eventually("it is busy", || (drawn.load(Ordering::Relaxed) > 0).then_some(()));
        other.get(&format!("/qr-codes/{}/image", code["id"].as_str().unwrap())).expect(200);
        let drawn = drawn.load(Ordering::Relaxed);
        assert!(drawn < BUSY / 2, "only after {drawn}");
    });
}

#[test]
fn the_command_prints_a_code_and_writes_files() {
    let server = Options::links_only().start();
    let link = server.link();
    let run = |arguments: &[&str]| {
        let mut command = slugline();
        command.args(["qr", &link.slug]).args(arguments);
        command.args(["--url", &server.base, "--token", TOKEN]);
        command.output().unwrap()
    };
    let printed = run(&[]);
    assert!(printed.status.success(), "{}", String::from_utf8_lossy(&printed.stderr));
    let text = String::from_utf8(printed.stdout).unwrap();
    let content = text.lines().last().unwrap();
    assert!(content.ends_with(&format!("/{}?qr=1", link.slug)), "{content}");
    assert_eq!(decode_text(&text), content);

    let code = create(&server, &json!({ "link": link.id, "size": 400 }));
    let text = String::from_utf8(run(&[]).stdout).unwrap();
    assert_eq!(decode_text(&text), code["content"].as_str().unwrap(), "the code's marker");
    let folder = tempfile::tempdir().unwrap();
    for (format, start) in [("png", "\u{89}PNG"), ("svg", "<svg"), ("pdf", "%PDF"), ("eps", "%!PS")]
    {
        let file = folder.path().join(format!("code.{format}"));
        let made = run(&["--output", file.to_str().unwrap()]);
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let bytes = std::fs::read(&file).unwrap();
        let found: String = bytes.iter().take(start.chars().count()).map(|b| *b as char).collect();
        assert_eq!(found, start, "{format}");
    }
    let refused = run(&["--output", "code.gif"]);
    let error = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && error.contains("must end in .png"), "{error}");
}
