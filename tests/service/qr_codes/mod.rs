//! QR codes: made, changed, drawn, and what their links, logos and plans do to them.

mod checks;
mod logos;

use std::fs;

use reqwest::Method;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::accounts::User;
use crate::harness::{Answer, Link, Options, Server, shared, slugline};
use crate::plans::{grant, set_plan, start, used};

const SVG: &str = "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 40 40'>\
     <circle cx='20' cy='20' r='15' fill='red'/></svg>";

#[track_caller]
fn made(server: &Server, body: &Value) -> Value {
    server.api().post("/qr-codes", body).expect(201).data()
}

fn of(link: &Link) -> Value {
    json!({ "link": link.slug })
}

fn with(link: &Link, name: &str, value: impl Into<Value>) -> Value {
    let mut body = of(link);
    body[name] = value.into();
    body
}

fn text(thing: &Value, name: &str) -> String {
    thing[name].as_str().unwrap_or_else(|| panic!("no {name}: {thing}")).to_owned()
}

fn path(code: &Value) -> String {
    format!("/qr-codes/{}", text(code, "id"))
}

fn ids(answer: &Answer) -> Vec<String> {
    answer.data().as_array().unwrap().iter().map(|one| text(one, "id")).collect()
}

fn data_uri() -> String {
    format!("data:image/svg+xml,{SVG}")
}

/// The file at a path, and what a decoder reads in it.
#[track_caller]
fn decoded(server: &Server, path: &str) -> String {
    let response = server.api().request(Method::GET, path).send().unwrap();
    assert_eq!(response.status(), 200);
    let png = image::load_from_memory(&response.bytes().unwrap()).unwrap();
    let luma = png.to_luma8();
    let (width, height) = (luma.width() as usize, luma.height() as usize);
    let mut prepared = rqrr::PreparedImage::prepare_from_greyscale(width, height, |x, y| {
        luma.get_pixel(u32::try_from(x).unwrap(), u32::try_from(y).unwrap()).0[0]
    });
    prepared.detect_grids()[0].decode().unwrap().1
}

#[test]
fn a_code_is_made_changed_and_deleted() {
    let server = Options::links_only().start();
    let link = server.link();
    let body = json!({ "link": link.slug, "name": "Poster", "color": "#010203", "size": 400 });
    let answer = server.api().post("/qr-codes", &body).expect(201);
    let mut code = answer.data();
    assert_eq!(code["total_scans"].take(), 0, "unknown later, without analytics");
    let path = path(&code);
    assert_eq!(answer.header("location"), format!("/api/v1{path}"));
    assert_eq!(answer.header("etag"), "\"1\"");
    assert_eq!(answer.json()["meta"]["warnings"], json!([]));
    assert_eq!(answer.json()["meta"]["offset"].to_string(), answer.header("log-offset"));
    for (name, value) in [
        ("link", json!(link.id)),
        ("name", json!("Poster")),
        ("color", json!("#010203")),
        ("background_color", json!("#ffffff")),
        ("dot_style", json!("square")),
        ("error_correction", json!("auto")),
        ("margin", json!(4)),
        ("size", json!(400)),
        ("format", json!("png")),
        ("logo", Value::Null),
        ("version", json!(1)),
    ] {
        assert_eq!(code[name], value, "{name}");
    }
    let short_url = text(&code, "short_url");
    assert!(text(&code, "content").starts_with(&format!("{short_url}?qr=")), "{code}");
    assert_eq!(decoded(&server, &format!("{path}/image")), text(&code, "content"));

    // A link's slug or id stands for its oldest code.
    let second = made(&server, &json!({ "link": link.id }));
    assert_ne!(second["content"], code["content"], "each code has a number");
    for name in [&text(&code, "id"), &link.slug, &link.id] {
        let read = server.api().get(&format!("/qr-codes/{name}")).expect(200);
        assert_eq!((read.data(), read.header("etag")), (code.clone(), "\"1\""));
    }
    let change = json!({ "margin": 2, "name": null, "dot_style": "dots" });
    let changed = server.api().patch(&path, &change).expect(200);
    assert_eq!(changed.json()["meta"]["warnings"][0]["field"], "margin");
    let changed = changed.data();
    assert_eq!((&changed["name"], &changed["dot_style"]), (&Value::Null, &json!("dots")));
    assert_eq!((&changed["color"], &changed["version"]), (&code["color"], &json!(2)));
    assert_eq!(changed["content"], code["content"], "printed codes still work");

    let with_tag = |method: Method, tag: &str| {
        let request = server.api().request(method, &path).header("if-match", tag);
        Answer::to(request.json(&json!({ "size": 500 })))
    };
    with_tag(Method::PATCH, "\"1\"").problem(412, "PRECONDITION_FAILED");
    with_tag(Method::PATCH, "\"2\"").expect(200);
    with_tag(Method::DELETE, "\"2\"").problem(412, "PRECONDITION_FAILED");
    with_tag(Method::DELETE, "\"3\"").expect(204);
    server.api().get(&path).problem(404, "NOT_FOUND");
    server.api().delete(&path).problem(404, "NOT_FOUND");
    let left = server.api().get(&format!("/qr-codes/{}", link.slug)).data();
    assert_eq!(left["id"], second["id"], "the oldest that is left");

    let audit = server.api().get("/audit?limit=100").data();
    let actions: Vec<_> = audit.as_array().unwrap().iter().map(|one| text(one, "action")).collect();
    for action in ["qr_code.created", "qr_code.changed", "qr_code.deleted"] {
        assert!(actions.iter().any(|one| one == action), "{actions:?}");
    }
}

#[test]
fn lists_have_pages_and_are_of_a_link_or_of_all() {
    let server = Options::links_only().start();
    let (one, other) = (server.link(), server.link());
    let codes: Vec<_> =
        [&one, &other, &one, &one].map(|link| text(&made(&server, &of(link)), "id")).into();
    let newest_first: Vec<_> = codes.iter().rev().cloned().collect();
    let all = server.api().get("/qr-codes").expect(200);
    assert_eq!((ids(&all), &all.json()["meta"]["total"]), (newest_first.clone(), &json!(4)));
    let of_one = vec![codes[3].clone(), codes[2].clone(), codes[0].clone()];
    for path in [
        format!("/qr-codes?link={}", one.slug),
        format!("/qr-codes?link={}", one.id),
        format!("/links/{}/qr-codes", one.slug),
    ] {
        let list = server.api().get(&path).expect(200);
        assert_eq!((ids(&list), &list.json()["meta"]["total"]), (of_one.clone(), &json!(3)));
    }
    for (path, expected) in
        [("/qr-codes".to_owned(), newest_first), (format!("/links/{}/qr-codes", one.slug), of_one)]
    {
        let mut found = Vec::new();
        let mut cursor = String::new();
        loop {
            let page = server.api().get(&format!("{path}?limit=1{cursor}")).expect(200);
            found.extend(ids(&page));
            let Some(next) = page.json()["meta"]["next_cursor"].as_str().map(str::to_owned) else {
                break;
            };
            cursor = format!("&cursor={next}");
        }
        assert_eq!(found, expected, "{path}");
        let second = server.api().get(&format!("{path}?limit=2&page=2")).expect(200);
        assert_eq!(ids(&second), expected[2..]);
    }
    server.api().get("/qr-codes?link=nothing-here").problem(404, "NOT_FOUND");
    server.api().get("/links/nothing-here/qr-codes").problem(404, "NOT_FOUND");
    server.api().get("/qr-codes?size=3").refuses(400, "VALIDATION_ERROR", &["size"]);
}

#[test]
fn what_is_wrong_is_named() {
    let server = shared();
    let link = server.link();
    for (name, value) in [
        ("name", json!("n".repeat(101))),
        ("color", json!("red")),
        ("color", json!("#ffffff")),
        ("color", json!(7)),
        ("background_color", json!("none")),
        ("gradient", json!({ "kind": "linear" })),
        ("corner_color", json!("#12345")),
        ("corner_color", json!("#fefefe")),
        ("corner_dot_color", json!("")),
        ("dot_style", json!("round")),
        ("corner_style", json!("classy")),
        ("margin", json!(21)),
        ("margin", json!(-1)),
        ("error_correction", json!("X")),
        ("logo", json!("logo_00000000000000000000000000")),
        ("logo", json!("data:text/html,x")),
        ("logo", json!("data:image/png;base64,%")),
        ("logo", json!("data:image/svg+xml,not an svg")),
        ("logo_url", json!("http://example.com/logo.png")),
        ("logo_url", json!("file:///etc/passwd")),
        ("logo_url", json!("https://127.0.0.1/logo.png")),
        ("logo_size", json!(10)),
        ("logo_clear", json!(true)),
        ("size", json!(99)),
        ("size", json!(4_097)),
        ("format", json!("gif")),
        ("direct", json!(true)),
        ("colour", json!("#000000")),
    ] {
        let answer = server.api().post("/qr-codes", &with(&link, name, value.clone()));
        let named = answer.problem(400, "VALIDATION_ERROR")["errors"].clone();
        let named: Vec<_> = named.as_object().unwrap().keys().cloned().collect();
        assert!(named.len() == 1 && named[0].starts_with(name), "{name} {value}: {answer:?}");
    }
    let many = json!({
        "link": link.slug, "color": "x", "size": 5, "frame": { "caption": "", "color": "y" },
    });
    let fields = ["color", "frame.caption", "frame.color", "size"];
    server.api().post("/qr-codes", &many).refuses(400, "VALIDATION_ERROR", &fields);
    server.api().post("/qr-codes", &json!({})).refuses(400, "VALIDATION_ERROR", &["link"]);
    let nowhere = json!({ "link": "nothing-here" });
    server.api().post("/qr-codes", &nowhere).problem(404, "NOT_FOUND");
    let code = made(&server, &of(&link));
    let moved = server.api().patch(&path(&code), &of(&link));
    moved.refuses(400, "VALIDATION_ERROR", &["link"]);
    let pale = json!({ "color": "#cccccc" });
    server.api().patch(&path(&code), &pale).refuses(400, "VALIDATION_ERROR", &["color"]);
    let both = json!({ "logo": data_uri(), "logo_url": "https://example.com/a.png" });
    server.api().patch(&path(&code), &both).refuses(400, "VALIDATION_ERROR", &["logo_url"]);
    for query in ["size=99", "size=big", "format=gif", "encoding=hex", "odd=1"] {
        let name = query.split('=').next().unwrap();
        let answer = server.api().get(&format!("{}/image?{query}", path(&code)));
        answer.refuses(400, "VALIDATION_ERROR", &[name]);
    }
}

#[test]
fn codes_of_others_are_not_there() {
    let server = Options::links_only().start();
    let code = made(&server, &with(&server.link(), "logo", data_uri()));
    let (path, logo) = (path(&code), text(&code, "logo"));
    let stranger = User::new(&server, "stranger");
    let api = stranger.api(&server);
    for path in [
        path.clone(),
        format!("{path}/image"),
        format!("{path}/versions"),
        format!("{path}/versions/1"),
        format!("{path}/versions/1/image"),
        format!("/qr-logos/{logo}"),
        format!("/qr-logos/{logo}/image"),
        format!("/qr-codes?link={}", text(&code, "link")),
    ] {
        api.get(&path).problem(404, "NOT_FOUND");
    }
    api.patch(&path, &json!({ "size": 500 })).problem(404, "NOT_FOUND");
    api.delete(&path).problem(404, "NOT_FOUND");
    api.delete(&format!("/qr-logos/{logo}")).problem(404, "NOT_FOUND");
    api.post(&format!("{path}/revert"), &json!({ "version": 1 })).problem(404, "NOT_FOUND");
    api.post("/qr-codes", &json!({ "link": code["link"] })).problem(404, "NOT_FOUND");
    let own = api.post("/links", &json!({ "destination": "https://example.com" })).data();
    let with_foreign_logo = json!({ "link": own["id"], "logo": logo });
    api.post("/qr-codes", &with_foreign_logo).refuses(400, "VALIDATION_ERROR", &["logo"]);
    assert!(ids(&api.get("/qr-codes")).is_empty() && ids(&api.get("/qr-logos")).is_empty());
}

#[test]
fn versions_are_kept_and_reverted_to() {
    let server = shared();
    let code = made(&server, &with(&server.link(), "color", "#000080"));
    let path = path(&code);
    server.api().patch(&path, &json!({ "color": "#800000" })).expect(200);
    server.api().patch(&path, &json!({ "color": "#800000" })).expect(200);
    let revert =
        |version: u32| server.api().post(&format!("{path}/revert"), &json!({ "version": version }));
    let reverted = revert(1).expect(200).data();
    assert_eq!((&reverted["color"], &reverted["version"]), (&json!("#000080"), &json!(3)));
    let list = server.api().get(&format!("{path}/versions")).expect(200);
    assert_eq!(list.json()["meta"]["total"], 3);
    let list = list.data();
    let shown = list.as_array().unwrap().iter();
    let shown: Vec<_> =
        shown.map(|one| (text(one, "change"), one["reverted_to"].clone())).collect();
    let change = |name: &str, to: Value| (name.to_owned(), to);
    assert_eq!(
        shown,
        [
            change("reverted", json!(1)),
            change("changed", Value::Null),
            change("created", Value::Null)
        ]
    );
    assert_eq!(list[1]["qr_code"]["color"], "#800000");
    let second = server.api().get(&format!("{path}/versions/2")).data();
    assert_eq!(second, list[1]);
    for version in ["0", "4", "x"] {
        server.api().get(&format!("{path}/versions/{version}")).problem(404, "NOT_FOUND");
    }
    revert(9).refuses(400, "VALIDATION_ERROR", &["version"]);
}

#[test]
fn a_repeated_request_makes_one_code() {
    let server = shared();
    let link = server.link();
    let post = |body: &Value| {
        let request = server.api().request(Method::POST, "/qr-codes").json(body);
        Answer::to(request.header("Idempotency-Key", format!("code of {}", link.slug)))
    };
    let first = post(&of(&link)).expect(201);
    let again = post(&of(&link)).expect(201);
    assert_eq!(again.header("idempotency-replayed"), "true");
    assert_eq!(again.data(), first.data());
    post(&with(&link, "size", 500)).problem(422, "IDEMPOTENCY_KEY_REUSED");
    assert_eq!(ids(&server.api().get(&format!("/links/{}/qr-codes", link.slug))).len(), 1);
}

#[test]
fn images_are_cached_and_drawn_again_after_a_change() {
    let server = shared();
    let link = server.link();
    let code = made(&server, &of(&link));
    let path = format!("{}/image", path(&code));
    let get = |path: &str, known: &str| {
        Answer::to(server.api().request(Method::GET, path).header("if-none-match", known))
    };
    let first = get(&path, "\"other\"").expect(200);
    let tag = first.header("etag").to_owned();
    assert_eq!(first.header("content-type"), "image/png");
    assert_eq!(first.header("cache-control"), "private, no-cache");
    let name = format!("inline; filename=\"qr-{}.png\"", link.slug);
    assert_eq!(first.header("content-disposition"), name);
    for known in [tag.clone(), format!("W/{tag}"), format!("\"x\", {tag}")] {
        let again = get(&path, &known).expect(304);
        assert_eq!((again.header("etag"), again.text.as_str()), (tag.as_str(), ""));
        assert_eq!(again.header("cache-control"), "private, no-cache");
    }
    for (query, kind) in [
        ("format=svg", "image/svg+xml"),
        ("format=pdf", "application/pdf"),
        ("size=500", "image/png"),
        ("encoding=base64", "application/json"),
    ] {
        let other = get(&format!("{path}?{query}"), &tag).expect(200);
        assert_eq!(other.header("content-type"), kind, "{query}");
    }
    let in_json = server.api().get(&format!("{path}?encoding=base64&format=svg&size=200")).data();
    assert_eq!((&in_json["format"], &in_json["size"]), (&json!("svg"), &json!(200)));
    assert!(text(&in_json, "base64").len() > 100);

    // A change of the name changes no pixel; one of the color does.
    let code_path = crate::qr_codes::path(&code);
    server.api().patch(&code_path, &json!({ "name": "x" })).expect(200);
    get(&path, &tag).expect(304);
    let blue = server.api().patch(&code_path, &json!({ "color": "#000080" })).expect(200).data();
    assert_ne!(get(&path, &tag).expect(200).header("etag"), tag);

    // The image of a version stays as it is, even if the link moves.
    let version = |number: u32| format!("{code_path}/versions/{number}/image");
    assert!(text(&blue, "version_image_url").contains(&version(3)));
    let old = get(&version(1), "").expect(200);
    assert_eq!(old.header("cache-control"), "private, max-age=31536000, immutable");
    assert_eq!((old.header("etag"), &old.text), (tag.as_str(), &first.text));
    let before = decoded(&server, &version(3));
    let slug = format!("{}-moved", link.slug);
    server.api().patch(&link.path(), &json!({ "slug": slug })).expect(200);
    assert_eq!(decoded(&server, &version(3)), before);
    let now = decoded(&server, &path);
    assert!(now.contains(&format!("/{slug}?qr=")), "{now}");
    let third = server.api().get(&format!("{code_path}/versions/3")).data();
    assert_eq!(text(&third["qr_code"], "content"), before);
    let current = server.api().get(&code_path).data();
    for (code, content) in [(&third["qr_code"], &before), (&current, &now)] {
        let url = text(code, "version_image_url");
        let (_, path) = url.split_once("/api/v1").unwrap();
        assert_eq!(&decoded(&server, path), content);
    }
    assert_ne!(text(&current, "image_url"), text(&blue, "image_url"), "caches fetch it again");
    let unknown = format!("{}?link_version=99", version(3));
    server.api().get(&unknown).refuses(400, "VALIDATION_ERROR", &["link_version"]);
    server.api().get(&version(4)).problem(404, "NOT_FOUND");
}

#[test]
fn a_page_can_be_encoded_itself() {
    let server = shared();
    let page = |kind: &str, payload: Value| {
        server.api().create(&json!({ "kind": kind, "payload": payload }))
    };
    let wifi = json!({ "ssid": "Café", "encryption": "WPA", "password": "secret;1" });
    let card = json!({ "name": "Ada Lovelace", "phone": "+44 20 7946 0000" });
    for (link, start) in [
        (page("wifi", wifi), "WIFI:T:WPA;S:Café;P:secret\\;1;;"),
        (page("vcard", card), "BEGIN:VCARD\r\nVERSION:3.0\r\nFN:Ada Lovelace\r\n"),
        (page("text", json!({ "text": "Hello" })), "Hello"),
    ] {
        let tracked = made(&server, &of(&link));
        assert!(text(&tracked, "content").contains(&format!("/{}?qr=", link.slug)));
        let direct = made(&server, &with(&link, "direct", true));
        let content = text(&direct, "content");
        assert!(content.starts_with(start), "{content}");
        assert_eq!(decoded(&server, &format!("{}/image", path(&direct))), content);
        let back = json!({ "direct": false });
        let back = server.api().patch(&path(&direct), &back).expect(200).data();
        assert!(text(&back, "content").contains("?qr="));
    }
    let long = page("text", json!({ "text": "t".repeat(4_000) }));
    let refused = server.api().post("/qr-codes", &with(&long, "direct", true));
    refused.refuses(400, "VALIDATION_ERROR", &["direct"]);
}

#[test]
fn a_plan_and_credits_allow_codes_until_they_are_used_up() {
    let plans =
        "[[plans]]\nid = \"acme/free\"\nname = \"Free\"\nlimits = { qr_codes_per_month = 3 }\n";
    let (server, _folder) = start(plans);
    set_plan(&server, &json!({ "plan": "acme/free" })).expect(200);
    let link = server.link();
    let race = |clients: usize| {
        let statuses: Vec<u16> = std::thread::scope(|scope| {
            let asked: Vec<_> = (0..clients)
                .map(|_| scope.spawn(|| server.api().post("/qr-codes", &of(&link)).status))
                .collect();
            asked.into_iter().map(|one| one.join().unwrap()).collect()
        });
        assert!(statuses.iter().all(|status| [201, 402].contains(status)), "{statuses:?}");
        statuses.iter().filter(|status| **status == 201).count()
    };
    assert_eq!(race(8), 3);
    let problem = server.api().post("/qr-codes", &of(&link)).problem(402, "INSUFFICIENT_CREDITS");
    assert_eq!(problem["limit"], "qr_codes_per_month");
    assert_eq!(used(&server, "qr_codes_per_month")["used"], 3);
    grant(&server, &json!({ "kind": "qr_codes", "amount": 2 })).expect(201);
    assert_eq!(race(8), 2);
    assert_eq!(used(&server, "qr_codes_per_month")["used"], 5);
    let ledger = server.api().get("/billing/ledger").data();
    let debited = ledger.as_array().unwrap().iter().find(|entry| entry["entry"] == "debited");
    let id = text(debited.unwrap(), "subject");
    assert_eq!(server.api().get(&format!("/qr-codes/{id}")).data()["id"], id);
}

#[test]
fn codes_follow_their_link_into_deletion_and_back() {
    let server = shared();
    let link = server.link();
    let code = made(&server, &of(&link));
    server.api().delete(&link.path()).expect(204);
    server.api().get(&path(&code)).problem(404, "NOT_FOUND");
    server.api().patch(&path(&code), &json!({ "size": 500 })).problem(404, "NOT_FOUND");
    server.api().get(&format!("{}/image", path(&code))).problem(404, "NOT_FOUND");
    server.api().post(&format!("/links/{}/restore", link.id), &json!({})).expect(200);
    let restored = server.api().get(&path(&code)).expect(200).data();
    for same in ["content", "version", "updated_at", "total_scans"] {
        assert_eq!(restored[same], code[same], "{same}");
    }
    server.api().delete(&format!("/links/{}?purge=true", link.id)).expect(204);
    server.api().get(&path(&code)).problem(404, "NOT_FOUND");
}

/// What was answered is there after SIGKILL, and after the index was lost.
#[test]
fn codes_survive_kills_and_rebuilds() {
    let server = Options::links_only().public_url("http://sho.rt").start();
    let data = server.data.clone();
    let link = server.link();
    made(&server, &with(&link, "logo", data_uri()));
    let code = made(&server, &with(&link, "size", 400));
    server.api().patch(&path(&code), &json!({ "color": "#000080" })).expect(200);
    server.api().put("/qr-defaults", &json!({ "margin": 5 })).expect(200);
    let seen = |server: &Server| {
        let versions = format!("{}/versions", path(&code));
        ["/qr-codes", "/qr-logos", "/qr-defaults", &versions]
            .map(|path| server.api().get(path).expect(200).data())
    };
    let before = seen(&server);
    let image = decoded(&server, &format!("{}/image", path(&code)));
    server.signal(Signal::KILL);
    drop(server);
    for damage in ["none", "gone", "rebuilt"] {
        match damage {
            "gone" => fs::remove_dir_all(data.path().join("index")).unwrap(),
            "rebuilt" => {
                let arguments = ["rebuild", "index", "--data-dir"];
                let output = slugline().args(arguments).arg(data.path()).output().unwrap();
                assert!(output.status.success(), "{output:?}");
            }
            _ => {}
        }
        let server = Options::links_only().public_url("http://sho.rt").with_data(&data).start();
        assert_eq!(seen(&server), before, "{damage}");
        assert_eq!(decoded(&server, &format!("{}/image", path(&code))), image);
    }
    let dumped = data.dump("mutations");
    let kinds = dumped.iter().map(|one| text(one, "kind")).collect::<Vec<_>>();
    for kind in ["LogoStored", "QrCodeCreated", "QrCodeChanged", "QrDefaultsChanged"] {
        assert!(kinds.iter().any(|one| one == kind), "{kinds:?}");
    }
}
