//! Imports and exports of links: as jobs, as streams, and with the command line.

use std::fmt::Write as _;
use std::io::Write as _;

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Answer, Options, Server, TOKEN, eventually, slugline};
use crate::labels::{TO, add_workspace, theirs};

#[track_caller]
pub fn begin(server: &Server, query: &str, file: &str) -> Answer {
    let request = server.api().request(Method::POST, &format!("/imports{query}"));
    Answer::to(request.body(file.to_owned()))
}

/// Waits until an import is over.
#[track_caller]
pub fn ended(server: &Server, id: &str) -> Value {
    eventually("the import is over", || {
        let job = server.api().get(&format!("/imports/{id}")).data();
        matches!(job["state"].as_str(), Some("done" | "failed")).then_some(job)
    })
}

#[track_caller]
pub fn imported(server: &Server, query: &str, file: &str) -> Value {
    let begun = begin(server, query, file).expect(202).data();
    let job = ended(server, begun["id"].as_str().unwrap());
    assert_eq!((&job["state"], &job["error"]), (&json!("done"), &Value::Null), "{job}");
    assert_eq!(job["progress"], 1.0);
    job
}

/// `rows, created, replaced, unchanged, skipped, rejected`
pub fn counts(job: &Value) -> [u64; 6] {
    ["rows", "created", "replaced", "unchanged", "skipped", "rejected"]
        .map(|name| job[name].as_u64().unwrap())
}

pub fn rejects(server: &Server, job: &Value) -> Vec<Value> {
    let text = server.api().get(&format!("/imports/{}/rejects", job["id"].as_str().unwrap())).text;
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

pub fn exported(server: &Server, query: &str) -> String {
    server.api().get(&format!("/links/export{query}")).expect(200).text
}

/// Links without the fields that each service sets itself.
pub fn portable(server: &Server) -> Vec<Value> {
    let file = exported(server, "?format=ndjson");
    let links = file.lines().map(|line| {
        let mut link: Value = serde_json::from_str(line).unwrap();
        for own in [
            "id",
            "domain",
            "short_url",
            "created_at",
            "updated_at",
            "version",
            "clicks",
            "unique_visitors",
        ] {
            link.as_object_mut().unwrap().remove(own).unwrap();
        }
        for rule in link["rules"].as_array_mut().unwrap() {
            rule.as_object_mut().unwrap().remove("id").unwrap();
        }
        link
    });
    links.collect()
}

/// One link of each kind, with as much to it as can be.
fn fill(server: &Server) {
    let rules = json!([
        { "conditions": [{ "country": ["DE"] }], "target": { "destination": "https://example.com/de" } }
    ]);
    let all = json!({
        "destination": "https://example.com/a?b=c,d#e", "slug": "all", "title": "A \"title\", quoted",
        "tags": ["x", "y z"], "folder": "a/b", "external_id": "sku-1", "notes": "one\ntwo, three",
        "utm_source": "news", "utm_medium": "mail", "forward_query": false, "forward_path": true,
        "redirect_status": 301, "canonical": true, "noindex": true, "enabled": false,
        "starts_at": "2026-01-01T00:00:00Z", "expires_at": "2099-01-01T00:00:00Z",
        "expired_url": "https://example.com/late", "max_clicks": 9, "max_clicks_bots": true,
        "rules": rules, "ios_url": "myapp://x", "ios_store_url": "https://apps.apple.com/app/id1",
        "preview": false, "og_title": "T", "og_description": "D",
        "og_image": "https://example.com/i.png", "og_preview": true
    });
    server.api().create(&all);
    server.api().create(&json!({ "destination": TO, "slug": "plain", "archived": true }));
    let wifi = json!({ "kind": "wifi", "slug": "wifi", "payload": { "ssid": "home, sweet", "encryption": "WPA2", "password": "secret;pass" } });
    server.api().post("/links", &wifi).expect(201);
}

#[test]
fn what_is_exported_is_imported_again_just_so() {
    let (here, there) = (Options::links_only().start(), Options::links_only().start());
    fill(&here);
    for format in ["csv", "ndjson"] {
        let file = exported(&here, &format!("?format={format}"));
        let job = imported(&there, "?on_conflict=replace", &file);
        assert_eq!(job["format"], format);
        assert_eq!(job["ignored_columns"], json!([]));
        let first = format == "csv";
        let expected = if first { [3, 3, 0, 0, 0, 0] } else { [3, 0, 0, 3, 0, 0] };
        assert_eq!(counts(&job), expected, "{format} {:?}", rejects(&there, &job));
        assert_eq!(portable(&there), portable(&here));
    }
}

#[test]
fn an_export_has_what_is_asked_for() {
    let server = Options::links_only().start();
    fill(&server);
    let csv = exported(&server, "?format=csv");
    assert!(csv.starts_with("slug,destination,domain,title,"), "{csv}");
    let link = exported(&server, "?format=ndjson");
    let link: Value = serde_json::from_str(link.lines().next().unwrap()).unwrap();
    for column in csv.lines().next().unwrap().split(',') {
        assert!(link.get(column).is_some(), "{column} is not a field of a link");
    }
    let slugs = |query: &str| -> Vec<String> {
        let lines = exported(&server, query);
        let slug = |line: &str| serde_json::from_str::<Value>(line).unwrap()["slug"].clone();
        lines.lines().map(|line| slug(line).as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(slugs("?format=ndjson"), ["all", "plain", "wifi"]);
    assert_eq!(slugs("?format=ndjson&archived=false"), ["all", "wifi"]);
    assert_eq!(slugs("?format=ndjson&tag=x"), ["all"]);
    server.api().get("/links/export").refuses(400, "VALIDATION_ERROR", &["format"]);
    server.api().get("/links/export?format=xml").refuses(400, "VALIDATION_ERROR", &["format"]);
    let closed = json!({ "destination": TO, "slug": "closed", "password": "open sesame" });
    server.api().create(&closed);
    let csv = exported(&server, "?format=csv");
    assert!(!csv.contains("sesame") && !csv.contains("argon2"), "{csv}");
}

/// More links than fit a page, while others are created.
#[test]
fn an_export_of_many_has_each_once() {
    let server = Options::links_only().start();
    let rows: Vec<_> = (0..2_345).map(|number| format!("l{number},{TO}?{number}\n")).collect();
    let file = rows.concat();
    let job = imported(&server, "?format=csv", &format!("slug,destination\n{file}"));
    assert_eq!(counts(&job), [2_345, 2_345, 0, 0, 0, 0]);
    let lines = exported(&server, "?format=ndjson");
    let slugs: Vec<_> = lines
        .lines()
        .map(|line| {
            serde_json::from_str::<Value>(line).unwrap()["slug"].as_str().unwrap().to_owned()
        })
        .collect();
    let expected: Vec<_> = (0..2_345).map(|number| format!("l{number}")).collect();
    assert_eq!(slugs, expected);
}

#[test]
fn a_dry_run_says_what_would_be_and_changes_nothing() {
    let server = Options::links_only().start();
    server.api().create(&json!({ "destination": TO, "slug": "there", "title": "old" }));
    let mut file = String::from("slug,destination,title,expires_at,password\n");
    for row in 0..600 {
        writeln!(file, "r{row},{TO},,,").unwrap();
    }
    // The same again, in another batch; one that is there; one that can't be; one with a password.
    writeln!(file, "r5,{TO},,,\nthere,{TO},new,,\nlate,{TO},,soon,").unwrap();
    writeln!(file, "closed,{TO},,,open sesame").unwrap();
    for (on_conflict, expected) in [
        ("reject", [604, 601, 0, 0, 0, 3]),
        ("skip", [604, 601, 0, 0, 2, 1]),
        ("replace", [604, 601, 2, 0, 0, 1]),
    ] {
        let before = server.data.dump("mutations").len();
        let job = imported(&server, &format!("?dry_run=true&on_conflict={on_conflict}"), &file);
        assert_eq!(counts(&job), expected, "{on_conflict} {:?}", rejects(&server, &job));
        assert_eq!(server.data.dump("mutations").len(), before);
    }
    let job = imported(&server, "?on_conflict=skip", &file);
    assert_eq!(counts(&job), [604, 601, 0, 0, 2, 1]);
    assert_eq!(server.api().get("/links/there").data()["title"], "old");
    server.visit_path("/closed").send().expect(401);
}

#[test]
fn links_that_are_there_are_replaced_or_not() {
    let server = Options::links_only().start();
    let file = |title: &str| format!("slug,destination,title,external_id\na,{TO},{title},e1\n");
    assert_eq!(counts(&imported(&server, "", &file("one"))), [1, 1, 0, 0, 0, 0]);
    assert_eq!(counts(&imported(&server, "", &file("two"))), [1, 0, 0, 0, 0, 1]);
    assert_eq!(counts(&imported(&server, "?on_conflict=skip", &file("two"))), [1, 0, 0, 0, 1, 0]);
    assert_eq!(server.api().get("/links/a").data()["title"], "one");
    let replace = "?on_conflict=replace";
    assert_eq!(counts(&imported(&server, replace, &file("two"))), [1, 0, 1, 0, 0, 0]);
    assert_eq!(counts(&imported(&server, replace, &file("two"))), [1, 0, 0, 1, 0, 0]);
    // By its external id it is found at another slug, too.
    let moved = format!("slug,destination,external_id\nb,{TO},e1\n");
    assert_eq!(counts(&imported(&server, replace, &moved)), [1, 0, 1, 0, 0, 0]);
    let link = server.api().get("/links/b").data();
    assert_eq!((&link["title"], &link["version"]), (&Value::Null, &json!(3)));
}

#[test]
fn what_is_rejected_is_reported() {
    let server = Options::links_only().start();
    let file = format!(
        "slug,destination,starts_at,expires_at\nfine,{TO},,\nbad slug,{TO},,\nnone,,,\n\"a,b\",ftp://x,2002-01-01,2001-01-01\n"
    );
    let job = imported(&server, "?tag=moved,x&folder=from/there", &file);
    assert_eq!(counts(&job), [4, 1, 0, 0, 0, 3]);
    let taken = server.api().get("/links/fine").data();
    assert_eq!((&taken["tags"], &taken["folder"]), (&json!(["moved", "x"]), &json!("from/there")));
    let rejects = rejects(&server, &job);
    let rows: Vec<_> = rejects.iter().map(|reject| reject["row"].as_u64().unwrap()).collect();
    assert_eq!(rows, [2, 3, 4]);
    assert_eq!(rejects[0]["slug"], "bad slug");
    assert!(rejects[0]["errors"]["slug"][0].is_string(), "{rejects:?}");
    assert!(rejects[1]["errors"]["destination"][0].is_string(), "{rejects:?}");
    assert_eq!(rejects[2]["errors"].as_object().unwrap().len(), 3, "{rejects:?}");
    let path = format!("/imports/{}/rejects?format=csv", job["id"].as_str().unwrap());
    let csv = server.api().get(&path).expect(200);
    assert_eq!(csv.header("content-type"), "text/csv; charset=utf-8");
    let lines: Vec<_> = csv.text.lines().collect();
    assert_eq!(lines[0], "row,line,slug,destination,starts_at,expires_at,field,error");
    assert_eq!(lines.len(), 1 + 3, "{lines:?}");
    assert!(lines[3].starts_with("4,5,\"a,b\",ftp://x,2002-01-01,2001-01-01,"), "{lines:?}");
}

/// Exports of other products are recognized by their shape and field names.
#[test]
fn exports_of_other_products_are_imported() {
    let server = Options::links_only().start();
    let shlink = json!({ "shortUrls": { "data": [{
        "shortCode": "sh", "shortUrl": "https://s.test/sh", "longUrl": TO, "dateCreated": "2024-01-01T00:00:00+00:00",
        "tags": ["a"], "meta": { "validSince": null, "validUntil": null, "maxVisits": 3 },
        "domain": null, "title": "T", "crawlable": false, "forwardQuery": true
    }] } });
    let dub = json!([{ "id": "x", "domain": "dub.sh", "key": "du", "url": TO, "externalId": "ext", "archived": false,
        "expiresAt": null, "expiredUrl": null, "password": null, "proxy": false, "title": "T",
        "tags": [{ "id": "t", "name": "b", "color": "red" }], "shortLink": "https://dub.sh/du" }]);
    let bitly = json!({ "links": [{ "id": "bit.ly/bi", "link": "https://bit.ly/bi", "long_url": TO, "title": "T",
        "archived": false, "created_at": "2024-01-01T00:00:00+0000", "custom_bitlinks": [], "tags": ["c"], "deeplinks": [] }] });
    let kutt = json!({ "limit": 10, "skip": 0, "total": 1, "data": [{ "address": "ku", "banned": false, "created_at": "2024-01-01T00:00:00.000Z",
        "id": "1f2e", "link": "https://kutt.it/ku", "password": false, "target": TO, "updated_at": "2024-01-01T00:00:00.000Z",
        "visit_count": 3, "description": null, "expire_in": null, "domain_id": null }] });
    let yourls = json!({ "links": { "link_1": { "shorturl": "http://y.test/yo", "url": TO, "title": "T",
        "timestamp": "2024-01-01 00:00:00", "ip": "203.0.113.9", "clicks": "12" } }, "stats": {}, "statusCode": 200, "message": "success" });
    for (format, slug, file) in [
        ("shlink", "sh", shlink),
        ("dub", "du", dub),
        ("bitly", "bi", bitly),
        ("kutt", "ku", kutt),
        ("yourls", "yo", yourls),
    ] {
        let job = imported(&server, "", &file.to_string());
        assert_eq!(job["format"], format);
        assert_eq!(counts(&job), [1, 1, 0, 0, 0, 0], "{format} {:?}", rejects(&server, &job));
        assert_eq!(server.visit_path(&format!("/{slug}")).follow(), TO, "{format}");
    }
    let log = server.data.dump("mutations");
    assert!(!log.iter().any(|event| event.to_string().contains("203.0.113.9")));
}

#[test]
fn what_is_no_import_is_refused() {
    let server = Options::links_only().start();
    begin(&server, "", "").refuses(400, "VALIDATION_ERROR", &["body"]);
    begin(&server, "", "what is this?").refuses(400, "VALIDATION_ERROR", &["format"]);
    begin(&server, "?format=xml", "x").refuses(400, "VALIDATION_ERROR", &["format"]);
    let wrong = begin(&server, "?format=csv&on_conflict=maybe&dry_run=x", "x");
    wrong.refuses(400, "VALIDATION_ERROR", &["dry_run", "on_conflict"]);
    begin(&server, "?format=csv&odd=1", "x").refuses(400, "VALIDATION_ERROR", &["odd"]);
    let long = "t".repeat(200);
    let wrong = begin(&server, &format!("?format=csv&folder=//&domain=no.example&tag={long}"), "x");
    wrong.refuses(400, "VALIDATION_ERROR", &["domain", "folder", "tag"]);
    let failed = begin(&server, "?format=dub", "{").expect(202).data();
    let failed = ended(&server, failed["id"].as_str().unwrap());
    assert_eq!(failed["state"], "failed", "{failed}");
    assert!(failed["error"].as_str().unwrap().contains("JSON"), "{failed}");
    server.api().get("/imports/imp_x").problem(404, "NOT_FOUND");
    let (_, reader) = server.api().token(&["links:read"]);
    let request = server.api_as(reader).request(Method::POST, "/imports?format=csv").body("x");
    Answer::to(request).problem(403, "FORBIDDEN");
    for _ in 0..9 {
        begin(&server, "?format=csv", "slug,destination\n").expect(202);
    }
    begin(&server, "?format=csv", "slug,destination\n").problem(409, "CONFLICT");
    server.api().delete(&format!("/imports/{}", failed["id"].as_str().unwrap())).expect(204);
    begin(&server, "?format=csv", "slug,destination\n").expect(202);
}

#[test]
fn anothers_imports_are_not_there() {
    let server = Options::links_only().start();
    let job = imported(&server, "", &format!("slug,destination\na,{TO}\n"));
    let data = server.data.clone();
    assert!(server.stop().success());
    add_workspace(&data);
    let server = Options::links_only().with_data(&data).start();
    let path = format!("/imports/{}", job["id"].as_str().unwrap());
    for path in [path.clone(), format!("{path}/rejects")] {
        theirs(&server).get(&path).problem(404, "NOT_FOUND");
        server.api().get(&path).expect(200);
    }
    theirs(&server).delete(&path).problem(404, "NOT_FOUND");
    assert_eq!(theirs(&server).get("/imports").data(), json!([]));
    assert_eq!(theirs(&server).get("/links/export?format=ndjson").text, "");
}

#[test]
fn a_repeated_request_begins_no_import_twice() {
    let server = Options::links_only().start();
    let send = |file: String| {
        let request = server.api().request(Method::POST, "/imports?format=csv");
        Answer::to(request.header("idempotency-key", "k").body(file))
    };
    let first = send(format!("destination\n{TO}\n")).expect(202);
    ended(&server, first.data()["id"].as_str().unwrap());
    let again = send(format!("destination\n{TO}\n")).expect(202);
    assert_eq!(again.header("idempotency-replayed"), "true");
    assert_eq!(first.data()["id"], again.data()["id"]);
    send(format!("destination\n{TO}?other\n")).problem(422, "IDEMPOTENCY_KEY_REUSED");
    assert_eq!(server.api().get("/links").data().as_array().unwrap().len(), 1);
    assert_eq!(server.api().get("/imports").data().as_array().unwrap().len(), 1);
}

/// Rows without slugs: one that came twice would be a link more.
#[test]
fn an_import_outlives_kills_and_takes_each_row_once() {
    const ROWS: u64 = 12_000;
    let mut file = String::from("destination,external_id\n");
    for row in 0..ROWS {
        // Some can't be taken.
        let scheme = if row % 1_000 == 7 { "ftp" } else { "https" };
        writeln!(file, "{scheme}://example.com/{row},").unwrap();
    }
    let mut server = Options::links_only().start();
    let begun = begin(&server, "?format=csv", &file).expect(202).data();
    let path = format!("/imports/{}", begun["id"].as_str().unwrap());
    let mut seen = 0;
    for _ in 0..3 {
        // Killed once it has come further than before.
        seen = eventually("the import goes on", || {
            let rows = server.api().get(&path).data()["rows"].as_u64().unwrap();
            (rows > seen || rows == ROWS).then_some(rows)
        });
        let data = server.data.clone();
        drop(server);
        server = Options::links_only().with_data(&data).start();
    }
    let job = ended(&server, begun["id"].as_str().unwrap());
    assert_eq!(counts(&job), [ROWS, ROWS - 12, 0, 0, 0, 12]);
    assert_eq!(rejects(&server, &job).len(), 12);
    let total = server.api().get("/links?limit=1").json()["meta"]["total"].clone();
    assert_eq!(total, ROWS - 12);
}

#[test]
fn an_import_ends_with_the_token_that_began_it() {
    let server = Options::links_only().start();
    let (id, secret) = server.api().token(&["links:read", "links:write"]);
    let mut file = String::from("destination\n");
    for row in 0..60_000 {
        writeln!(file, "https://example.com/{row}").unwrap();
    }
    let request = server.api_as(secret).request(Method::POST, "/imports?format=csv");
    let begun = Answer::to(request.body(file)).expect(202).data();
    server.api().delete(&format!("/tokens/{id}")).expect(204);
    let job = ended(&server, begun["id"].as_str().unwrap());
    assert_eq!(job["state"], "failed");
    assert!(job["error"].as_str().unwrap().contains("revoked"), "{job}");
}

#[test]
fn dry_runs_that_have_ended_make_room() {
    let server = Options::links_only().start();
    let file = format!("slug,destination\na,{TO}\n");
    let run = |query: &str| {
        let begun = begin(&server, query, &file).expect(202).data();
        ended(&server, begun["id"].as_str().unwrap())
    };
    let first = run("?format=csv&dry_run=true");
    for _ in 0..10 {
        assert_eq!(run("?format=csv&dry_run=true")["state"], "done");
    }
    let path = format!("/imports/{}", first["id"].as_str().unwrap());
    server.api().get(&path).problem(404, "NOT_FOUND");
    let count = || server.api().get("/imports").data().as_array().unwrap().len();
    begin(&server, "?format=csv&dry_run=true", "").refuses(400, "VALIDATION_ERROR", &["body"]);
    assert_eq!(count(), 10, "a refused upload removes nothing");
    let keyed = || {
        let path = "/imports?format=csv&dry_run=true";
        let request = server.api().request(Method::POST, path).header("Idempotency-Key", "k");
        Answer::to(request.body(file.clone()))
    };
    let once = keyed().expect(202).data();
    ended(&server, once["id"].as_str().unwrap());
    assert_eq!(keyed().data()["id"], once["id"], "the result is not replaced by its own replay");
    assert_eq!(count(), 10);
    for _ in 0..10 {
        run("?format=csv&on_conflict=skip");
    }
    begin(&server, "?format=csv", &file).problem(409, "CONFLICT");
}

/// `slugline import` and `slugline export`.
#[test]
fn the_program_imports_and_exports() {
    let server = Options::links_only().start();
    let folder = tempfile::tempdir().unwrap();
    let (file, rejected) = (folder.path().join("links.csv"), folder.path().join("rejected.csv"));
    std::fs::write(&file, format!("slug,destination,mood\na,{TO},glad\nb,ftp://x,sad\n")).unwrap();
    let run = |arguments: &[&std::ffi::OsStr]| {
        let mut command = slugline();
        let done =
            command.args(arguments).env("SLUGLINE_URL", &server.base).env("SLUGLINE_TOKEN", TOKEN);
        let done = done.output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (done.status.success(), text(done.stdout), text(done.stderr))
    };
    let (success, out, err) = run(&["import".as_ref(), file.as_ref(), "--dry-run".as_ref()]);
    assert!(
        !success && out.contains("Nothing was changed") && err.contains("1 of 2"),
        "{out} {err}"
    );
    server.visit_path("/a").send().expect(404);
    let (success, out, err) =
        run(&["import".as_ref(), file.as_ref(), "--rejects".as_ref(), rejected.as_ref()]);
    assert!(
        !success && out.contains("created            1") && out.contains("mood"),
        "{out} {err}"
    );
    assert_eq!(server.visit_path("/a").follow(), TO);
    let rejected = std::fs::read_to_string(rejected).unwrap();
    assert!(
        rejected.lines().nth(1).unwrap().starts_with("2,3,b,ftp://x,sad,destination,"),
        "{rejected}"
    );
    let again = ["import".as_ref(), file.as_ref(), "--on-conflict".as_ref(), "skip".as_ref()];
    let (success, out, err) = run(&[&again[..], &["--json".as_ref()]].concat());
    let job: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&job["skipped"], &job["rejected"]), (&json!(1), &json!(1)), "{out}");
    assert!(!success && err.contains("1 of 2 links were rejected"), "{err}");
    let exported = folder.path().join("out.csv");
    let (success, _, err) = run(&["export".as_ref(), "--output".as_ref(), exported.as_ref()]);
    assert!(success, "{err}");
    let exported = std::fs::read_to_string(exported).unwrap();
    assert_eq!(exported.lines().count(), 2, "{exported}");
    let (success, out, _) = run(&["export".as_ref(), "--format".as_ref(), "ndjson".as_ref()]);
    assert!(success && out.lines().count() == 1, "{out}");
    // Exported links can be imported again through a pipe.
    for pipe in ["-", "/dev/stdin"] {
        let mut command = slugline();
        let mut child = command
            .args(["import", pipe, "--on-conflict", "skip", "--url", &server.base])
            .args(["--token", TOKEN])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(out.as_bytes()).unwrap();
        let done = child.wait_with_output().unwrap();
        let shown = String::from_utf8(done.stdout).unwrap();
        assert!(done.status.success() && shown.contains("skipped            1"), "{shown}");
    }
    let (success, _, err) = run(&["import".as_ref(), "/nowhere".as_ref()]);
    assert!(!success && err.contains("cannot read /nowhere"), "{err}");
    let (success, _, err) = run(&["export".as_ref(), "--token".as_ref(), "wrong".as_ref()]);
    assert!(!success && err.contains("INVALID_API_KEY: "), "{err}");
}
