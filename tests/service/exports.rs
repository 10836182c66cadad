//! Single clicks: pages and resumable export files.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::json;
use slugline::jobs::State;
use slugline::jobs::exports::Job;
use uuid::Uuid;

use crate::harness::{Answer, Options, Server, eventually, shared};

/// The rows of an export in lines of JSON.
fn exported(server: &Server, query: &str) -> Vec<serde_json::Value> {
    let path = format!("/analytics/export?format=ndjson{query}");
    let text = server.api().get(&path).expect(200).text;
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn offsets(clicks: &[serde_json::Value]) -> Vec<u64> {
    clicks.iter().map(|click| click["offset"].as_u64().unwrap()).collect()
}

#[test]
fn pages_and_files_have_each_click_once() {
    let server = Options::new().start();
    let links = [server.link(), server.link()];
    for number in 0..25 {
        server.visit(&links[number % 2]).follow();
    }
    server.visit_head(&links[0]).send().expect(302);
    server.await_clicks(&links[0], 14);
    server.await_clicks(&links[1], 12);
    let all = exported(&server, "");
    assert_eq!(all.len(), 25, "bots are left out");
    assert_eq!(exported(&server, "&bots=include").len(), 26);
    assert_eq!(exported(&server, "&bots=only").len(), 1);
    assert_eq!(exported(&server, &format!("&link={}", links[1].slug)).len(), 12);
    assert_eq!(exported(&server, "&device=tablet").len(), 0);
    let of_first = all.iter().filter(|click| click["link"] == links[0].id);
    assert_eq!(of_first.count(), 13);

    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = server.api().get(&format!("/clicks?limit=7{cursor}")).expect(200).json();
        seen.extend(offsets(page["data"].as_array().unwrap()));
        match page["meta"]["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert!(seen.is_sorted_by(|one, next| one > next), "{seen:?}");
    let exported_offsets: BTreeSet<_> = offsets(&all).into_iter().collect();
    assert_eq!(seen.iter().copied().collect::<BTreeSet<_>>(), exported_offsets);
    assert_eq!(seen.len(), 25);
}

/// A download that breaks off can be resumed, and excludes clicks that arrived meanwhile.
#[test]
fn a_file_is_gone_on_with() {
    let server = Options::new().start();
    let links = [server.link(), server.link(), server.link()];
    for number in 0..20 {
        server.visit(&links[number % 3]).follow();
    }
    server.await_projection();
    let answer = server.api().get("/analytics/export?format=ndjson").expect(200);
    let through = answer.header("as-of-offset").to_owned();
    let all = offsets(&exported(&server, &format!("&through={through}")));
    assert_eq!(all.len(), 20);
    for link in &links {
        server.visit(link).follow();
    }
    server.await_projection();
    assert_eq!(exported(&server, "").len(), 23);
    for at in 0..all.len() {
        let rest = exported(&server, &format!("&through={through}&after={}", all[at]));
        assert_eq!(offsets(&rest), all[at + 1..], "after {at}");
    }
}

#[test]
fn texts_of_others_are_no_formulas() {
    let server = Options::new().start();
    let link = server.link();
    let hostile = ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx", " =1", "\u{a0}@x", "'=1", "＝1"];
    for text in hostile {
        let query: String = url::form_urlencoded::byte_serialize(text.as_bytes()).collect();
        server.visit_path(&format!("/{}?utm_term={query}", link.slug)).follow();
    }
    server.await_clicks(&link, hostile.len() as u64);
    let csv = server.api().get("/analytics/export?format=csv").expect(200);
    assert_eq!(csv.header("content-type"), "text/csv; charset=utf-8");
    assert!(csv.header("content-disposition").contains(".csv\""));
    for text in hostile {
        assert!(csv.text.contains(&format!("\"'{text}\"")), "{text:?}: {}", csv.text);
        assert!(!csv.text.contains(&format!(",\"{text}\"")), "{text:?}: {}", csv.text);
    }
    let terms: BTreeSet<_> = exported(&server, "")
        .iter()
        .map(|click| click["utm_term"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(terms, hostile.map(str::to_owned).into(), "lines of JSON have them as they are");
}

#[test]
fn files_of_columns_are_what_they_say() {
    let server = shared();
    for (format, begins, ends) in [("parquet", "PAR1", "PAR1"), ("arrow", "ARROW1", "ARROW1")] {
        let path = format!("/api/v1/analytics/export?format={format}");
        let bytes = server.api().request(reqwest::Method::GET, &path[7..]).send().unwrap();
        assert_eq!(bytes.status(), 200);
        let bytes = bytes.bytes().unwrap();
        assert!(
            bytes.starts_with(begins.as_bytes()) && bytes.ends_with(ends.as_bytes()),
            "{format}"
        );
    }
}

#[test]
fn what_makes_no_sense_is_refused() {
    let server = shared();
    for (query, field) in [
        ("", "format"),
        ("?format=xlsx", "format"),
        ("?format=csv&after=x", "after"),
        ("?format=csv&after=18446744073709551615", "after"),
        ("?format=csv&limit=5", "limit"),
        ("?format=csv&device=", ""),
    ] {
        let answer = server.api().get(&format!("/analytics/export{query}"));
        if field.is_empty() {
            answer.expect(200);
        } else {
            answer.refuses(400, "VALIDATION_ERROR", &[field]);
        }
    }
    for (query, field) in [("?limit=0", "limit"), ("?limit=1001", "limit"), ("?cursor=x", "cursor")]
    {
        server.api().get(&format!("/clicks{query}")).refuses(400, "VALIDATION_ERROR", &[field]);
    }
}

/// Waits for an export's end.
fn finished(server: &Server, id: &str) -> serde_json::Value {
    eventually("the export has ended", || {
        let job = server.api().get(&format!("/exports/{id}")).expect(200).data();
        ["done", "failed"].contains(&job["state"].as_str().unwrap()).then_some(job)
    })
}

#[test]
fn a_file_is_written_beside_other_work_and_fetched_when_it_is_done() {
    let options = Options::new();
    let server = options.start();
    let links = [server.link(), server.link()];
    for number in 0..20 {
        server.visit(&links[number % 2]).follow();
    }
    server.await_projection();
    let begin = |body: serde_json::Value| {
        let job = server.api().post("/exports", &body).expect(202).data();
        job["id"].as_str().unwrap().to_owned()
    };
    for format in ["csv", "ndjson", "parquet", "arrow"] {
        let id = begin(json!({ "format": format }));
        let job = finished(&server, &id);
        assert_eq!((&job["state"], &job["clicks"]), (&json!("done"), &json!(20)), "{job}");
        assert_eq!(job["progress"], 1.0);
        let url = job["download_url"].as_str().unwrap();
        let path = url.split_once("/api/v1").unwrap().1;
        let file = server.api().get(path).expect(200);
        assert_eq!(file.header("content-length"), job["bytes"].to_string());
        if format == "ndjson" {
            let straight = server.api().get("/analytics/export?format=ndjson").expect(200);
            assert_eq!(file.text, straight.text);
            let part = server.api().request(Method::GET, path).header("Range", "bytes=10-19");
            let part = Answer::to(part).expect(206);
            assert_eq!(part.text, file.text[10..20]);
        }
        server.api().delete(&format!("/exports/{id}")).expect(204);
        server.api().get(path).problem(404, "NOT_FOUND");
    }
    let filter = json!({ "dimension": "link", "operator": "is", "value": links[0].slug });
    let id = begin(json!({ "format": "csv", "filters": filter, "date_range": "7d" }));
    assert_eq!(finished(&server, &id)["clicks"], 10);

    let (_, other) = server.api().token(&["links:read"]);
    server.api_as(&other).get(&format!("/exports/{id}")).problem(403, "FORBIDDEN");
    for (body, field) in [
        (json!({ "format": "xls" }), "format"),
        (json!({ "format": "csv", "date_range": "soon" }), "date_range"),
        (json!({ "format": "csv", "columns": [] }), "columns"),
        (json!({}), "format"),
    ] {
        server.api().post("/exports", &body).refuses(400, "VALIDATION_ERROR", &[field]);
    }
    for _ in 1..10 {
        begin(json!({ "format": "csv" }));
    }
    server.api().post("/exports", &json!({ "format": "csv" })).problem(409, "CONFLICT");
    assert_eq!(server.api().get("/exports").expect(200).data().as_array().unwrap().len(), 10);
    finished(&server, &id);
    assert!(server.stop().success());

    // Completed exports survive a restart; incomplete ones are removed.
    let folder = options.data.path().join("exports");
    std::fs::write(folder.join("0193-cut-off.part"), "half").unwrap();
    let server = options.start();
    let jobs = server.api().get("/exports").expect(200).data();
    let done = |job: &&serde_json::Value| job["state"] == "done";
    assert!(jobs.as_array().unwrap().iter().any(|job| done(&job)));
    server.api().get(&format!("/exports/{id}/download")).expect(200);
    assert!(!folder.join("0193-cut-off.part").exists());
}

/// A crash while a note is written leaves the one before: it is replaced, not overwritten.
#[test]
fn a_note_is_replaced_as_a_whole() {
    let options = Options::links_only();
    assert!(options.start().stop().success());
    let folder = options.data.path().join("exports");
    let id = Uuid::now_v7();
    let job = json!({
        "id": id,
        "workspace": Uuid::now_v7(),
        "format": "csv",
        "state": "running",
        "as_of_offset": 1,
        "clicks": 1,
        "progress": 0.5,
        "bytes": 10,
        "created_at_ms": jiff::Timestamp::now().as_millisecond(),
        "error": null,
    });
    let (note, before) = (folder.join(format!("{id}.json")), options.data.path().join("old"));
    std::fs::write(&note, serde_json::to_vec(&job).unwrap()).unwrap();
    // The file itself, whatever becomes of its name.
    std::fs::hard_link(&note, &before).unwrap();
    std::fs::write(note.with_extension("json.new"), "{\"id\":").unwrap();
    assert!(options.start().stop().success());
    let read = serde_json::from_slice::<Job>(&std::fs::read(&note).unwrap()).unwrap();
    assert_eq!((read.state, read.details.bytes), (State::Failed, 10));
    assert_eq!(std::fs::read(&before).unwrap(), serde_json::to_vec(&job).unwrap());
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1, "nothing else is left");
}
