//! Abuse reports by visitors, and how owners handle them.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Answer, Link, Options, Server};
use crate::passwords::Form;

fn server() -> Server {
    Options::links_only().behind_proxy().start()
}

fn form(server: &Server, link: &Link) -> Form {
    Form::of(&server.visit_path(&format!("/l/{}/report", link.slug)).send().expect(200))
}

fn send(server: &Server, link: &Link, fields: &[(&str, &str)], address: &str) -> Answer {
    let form = form(server, link);
    let request = form.send(server, &format!("/l/{}/report", link.slug), fields);
    Answer::to(request.header("x-forwarded-for", address))
}

fn texts(page: &Value) -> Vec<&str> {
    let reports = page["data"].as_array().unwrap();
    reports.iter().map(|report| report["text"].as_str().unwrap()).collect()
}

#[test]
fn the_owner_reads_what_visitors_report() {
    let server = server();
    let link = server.link();
    for (at, text) in ["one", "<two>\r\nü", ""].into_iter().enumerate() {
        let fields = [("reason", "phishing"), ("text", text)];
        let thanks = send(&server, &link, &fields, &format!("192.0.2.{at}")).expect(200);
        assert!(thanks.text.contains("Thank you"), "{thanks:?}");
    }
    let all = server.api().get("/reports").expect(200).json();
    assert_eq!(texts(&all), ["", "<two>\nü", "one"]);
    let first = &all["data"][0];
    assert_eq!((&first["link"], &first["slug"]), (&json!(link.id), &json!(link.slug)));
    assert_eq!(first["reason"], "phishing");

    let page = server.api().get("/reports?limit=2").expect(200).json();
    let cursor = page["meta"]["next_cursor"].as_str().unwrap();
    let rest = server.api().get(&format!("/reports?limit=2&cursor={cursor}")).expect(200).json();
    assert_eq!((texts(&rest), &rest["meta"]["next_cursor"]), (vec!["one"], &Value::Null));

    let id = first["id"].as_str().unwrap();
    let resolve = |id: &str| server.api().post(&format!("/reports/{id}/resolve"), &json!({}));
    resolve(id).expect(204);
    resolve(id).problem(404, "NOT_FOUND");
    resolve("rep_nothing").problem(404, "NOT_FOUND");
    assert_eq!(texts(&server.api().get("/reports").json()), ["<two>\nü", "one"]);
    server.api().get("/reports?cursor=odd&x=1").refuses(400, "VALIDATION_ERROR", &["cursor", "x"]);
    let (_, reader) = server.api().token(&["links:read"]);
    let reader = server.api_as(reader);
    reader.get("/reports").expect(200);
    reader.post("/reports/rep_x/resolve", &json!({})).expect(403);

    // What is open is in the index that is made anew from the log, and nothing else.
    let data = server.data.clone();
    assert!(server.stop().success());
    std::fs::remove_dir_all(data.path().join("index")).unwrap();
    let server = Options::links_only().with_data(&data).start();
    assert_eq!(texts(&server.api().get("/reports").json()), ["<two>\nü", "one"]);
}

#[test]
fn a_report_is_checked_and_its_form_guarded() {
    let server = server();
    let link = server.link();
    let long = "x".repeat(1_001);
    for fields in [
        &[("reason", ""), ("text", "kept <b>")][..],
        &[("reason", "odd"), ("text", "kept <b>")],
        &[("reason", "spam"), ("text", &long)],
        &[("reason", "spam"), ("text", "a\u{0}b")],
    ] {
        let again = send(&server, &link, fields, "192.0.2.1").expect(422);
        assert!(again.text.contains("role=\"alert\""), "{again:?}");
        assert_eq!(fields[1].1.contains("kept"), again.text.contains("kept &#60;b&#62;"));
    }
    let good = [("reason", "spam"), ("text", "")];
    let (form, path) = (form(&server, &link), format!("/l/{}/report", link.slug));
    let forged = form.send(&server, &path, &good).header("origin", "https://evil.example");
    Answer::to(forged).expect(403);
    let bare = server.request(Method::POST, &path).body("reason=spam");
    let bare = bare.header("content-type", "application/x-www-form-urlencoded");
    Answer::to(bare).expect(403);
    assert!(texts(&server.api().get("/reports").json()).is_empty());
}

#[test]
fn reports_are_bounded_by_address_and_by_link() {
    let server = server();
    let (link, other) = (server.link(), server.link());
    let report = |link: &Link, address: &str| {
        send(&server, link, &[("reason", "spam"), ("text", "")], address)
    };
    for _ in 0..10 {
        report(&link, "192.0.2.1").expect(200);
    }
    let refused = report(&other, "192.0.2.1").expect(429);
    assert!((1..=900).contains(&refused.header("retry-after").parse::<u64>().unwrap()));
    for number in 0..95 {
        report(&link, &format!("198.51.100.{number}")).expect(200);
    }
    report(&other, "203.0.113.1").expect(200);
    let all = server.api().get("/reports?limit=100").json();
    let about = |link: &Link| {
        let reports = all["data"].as_array().unwrap();
        reports.iter().filter(|report| report["link"] == link.id.as_str()).count()
    };
    assert_eq!((about(&other), about(&link)), (1, 99), "of 101 in all");
    // One that is dealt with makes room.
    let id = all["data"][1]["id"].as_str().unwrap();
    server.api().post(&format!("/reports/{id}/resolve"), &json!({})).expect(204);
    for address in ["203.0.113.2", "203.0.113.3"] {
        report(&link, address).expect(200);
    }
    let next = server.api().get("/reports?limit=100").json()["meta"]["next_cursor"].clone();
    let path = format!("/reports?cursor={}", next.as_str().unwrap());
    assert_eq!(texts(&server.api().get(&path).json()).len(), 1, "101 again");
}
