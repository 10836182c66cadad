//! Imports lose nothing silently: truncated files, concurrent changes, formulas.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Answer, Options, TOKEN, slugline};
use crate::imports::{counts, ended, exported, imported, portable, rejects};
use crate::labels::TO;

/// Nothing is taken of a file that can't be read to its end.
#[test]
fn a_file_that_breaks_is_refused_whole() {
    let server = Options::links_only().start();
    let begins = format!("slug,title,destination\na,,{TO}\n");
    let rows = format!("c,,{TO}\n").repeat(2_000);
    for (rest, said) in [
        (format!("b,\"open,{TO}\n{rows}").into_bytes(), "begins in row 2, at line 3"),
        (b"c,,https://example.com/\xff\nd,,https://example.com/\n".to_vec(), "UTF-8"),
    ] {
        let file = [begins.as_bytes(), &rest].concat();
        for query in ["?format=csv&dry_run=true", "?format=csv"] {
            let request = server.api().request(Method::POST, &format!("/imports{query}"));
            let begun = Answer::to(request.body(file.clone())).expect(202).data();
            let job = ended(&server, begun["id"].as_str().unwrap());
            assert_eq!((&job["state"], counts(&job)), (&json!("failed"), [0; 6]), "{job}");
            assert!(job["error"].as_str().unwrap().contains(said), "{job}");
        }
    }
    server.visit_path("/a").send().expect(404);
}

/// A dry run, too, reports what is not taken as the file has it.
#[test]
fn links_that_are_taken_with_changes_are_reported() {
    let server = Options::links_only().start();
    let file = format!(
        "short_url,long_url,title,tags\nhttps://old.example/a,{TO},\"two\nlines\",x\n\
         https://old.example/b?c=1,{TO},{},\"X,x\"\nhttps://old.example/,{TO},,\n,{TO},,\n",
        "t".repeat(300)
    );
    for query in ["?dry_run=true&tag=x", "?tag=x"] {
        let job = imported(&server, query, &file);
        assert_eq!(counts(&job), [4, 3, 0, 0, 0, 1], "{:?}", rejects(&server, &job));
        assert_eq!((&job["warnings"], &job["generated_slugs"]), (&json!(2), &json!(1)), "{job}");
        assert_eq!(job["unknown_domains"], json!(["old.example"]));
        assert_eq!(rejects(&server, &job)[0]["row"], 3);
        let path = format!("/imports/{}/warnings", job["id"].as_str().unwrap());
        let text = server.api().get(&path).expect(200).text;
        let lines: Vec<Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 2, "{text}");
        assert_eq!((&lines[0]["row"], &lines[0]["slug"]), (&json!(1), &json!("a")));
        assert_eq!(
            lines[1]["warnings"]["title"],
            json!(["was truncated from 300 to 200 characters"])
        );
        assert!(lines[1]["warnings"]["short_url"][0].as_str().unwrap().contains("?c=1"), "{text}");
        let csv = server.api().get(&format!("{path}?format=csv")).expect(200).text;
        assert_eq!(csv.lines().count(), 1 + 3, "{csv}");
    }
    let link = server.api().get("/links/a").data();
    assert_eq!((&link["title"], &link["tags"]), (&json!("two lines"), &json!(["x"])));
    assert_eq!(server.api().get("/links/b").data()["tags"], json!(["X"]));
    let again = imported(&server, "?on_conflict=skip", &file);
    assert_eq!(again["warnings"], 0, "links that are skipped are not taken: {again}");
    // The service's own domain is known.
    let own = imported(&server, "?on_conflict=replace", &exported(&server, "?format=csv"));
    assert_eq!((&own["unknown_domains"], &own["warnings"]), (&json!([]), &json!(0)), "{own}");
}

/// `slugline import` shows them.
#[test]
fn the_program_shows_what_was_changed() {
    let server = Options::links_only().start();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("links.csv");
    let links: Vec<_> = (0..12).map(|at| format!("s.test/{at},{TO},\"a\nb\"\n")).collect();
    let links = links.concat();
    std::fs::write(&file, format!("short_url,long_url,title\n{links},{TO},\n")).unwrap();
    let done = slugline()
        .arg("import")
        .arg(&file)
        .args(["--url", &server.base, "--token", TOKEN])
        .output()
        .unwrap();
    let out = String::from_utf8(done.stdout).unwrap();
    assert!(done.status.success(), "{out}");
    for shown in [
        "warnings          12",
        "s.test",
        "generated slugs: 1",
        "row 10 (9): title ",
        "2 more: http",
    ] {
        assert!(out.contains(shown), "{shown}: {out}");
    }
    std::fs::write(&file, format!("slug,destination\na,\"{TO}\n")).unwrap();
    let mut command = slugline();
    let failed = command.arg("import").arg(&file).args(["--url", &server.base, "--token", TOKEN]);
    let failed = failed.output().unwrap();
    let err = String::from_utf8(failed.stderr).unwrap();
    assert!(!failed.status.success() && err.contains("begins in row 1, at line 2"), "{err}");
}

/// A link that has expired comes along as expired.
#[test]
fn an_expired_link_is_imported() {
    let (here, there) = (Options::links_only().start(), Options::links_only().start());
    let file = format!("slug,destination,expires_at,expired_url\nlate,{TO},2001-01-01,{TO}?late\n");
    assert_eq!(counts(&imported(&here, "", &file)), [1, 1, 0, 0, 0, 0]);
    for format in ["csv", "ndjson"] {
        let file = exported(&here, &format!("?format={format}"));
        let dry = imported(&there, "?dry_run=true&on_conflict=replace", &file);
        let real = imported(&there, "?on_conflict=replace", &file);
        assert_eq!(counts(&dry), counts(&real));
        assert_eq!(counts(&real)[5], 0, "{:?}", rejects(&there, &real));
        assert_eq!(portable(&there), portable(&here));
    }
    assert_eq!(there.visit_path("/late").follow(), format!("{TO}?late"));
    let late = json!({ "destination": TO, "expires_at": "2001-01-01T00:00:00Z" });
    there.api().post("/links", &late).refuses(400, "VALIDATION_ERROR", &["expires_at"]);
}

/// Texts that a spreadsheet would run are escaped in each file, and come back as they were.
#[test]
fn formulas_are_escaped_and_come_back() {
    let (here, there) = (Options::links_only().start(), Options::links_only().start());
    for (slug, text) in [
        ("-a", "=1+1"),
        ("b", "'=1+1"),
        ("c", "''+x"),
        ("d", "'twas"),
        ("e", "@x\n=y"),
        ("f", "＝1"),
    ] {
        let tags = [text.replace('\n', " "), "z".to_owned()];
        let external_id = format!("={slug}");
        let link = json!({ "destination": TO, "slug": slug, "notes": text, "tags": tags, "external_id": external_id });
        here.api().create(&link);
    }
    let csv = exported(&here, "?format=csv");
    for cell in
        ["'-a,", ",'=1+1,", ",''=1+1,", ",'''+x,", ",'twas,", "\"'@x\n=y\"", ",'＝1,", ",'=f,"]
    {
        assert!(csv.contains(cell), "{cell}: {csv}");
    }
    let job = imported(&there, "", &csv);
    assert_eq!(counts(&job), [6, 6, 0, 0, 0, 0], "{:?}", rejects(&there, &job));
    assert_eq!(portable(&there), portable(&here));
    let file = format!("slug,destination\n=cmd,{TO}\n x,\" =1\"\n");
    let job = imported(&there, "", &file);
    let path = format!("/imports/{}/rejects", job["id"].as_str().unwrap());
    let csv = there.api().get(&format!("{path}?format=csv")).expect(200).text;
    assert!(csv.contains(",'=cmd,") && csv.contains(",' =1,"), "{csv}");
    let lines = there.api().get(&path).text;
    assert!(lines.contains("\"=cmd\""), "lines of JSON have it as it is: {lines}");
}

/// The report of rejected rows has all columns of the file, so that it can be corrected.
#[test]
fn a_corrected_report_is_imported_whole() {
    let server = Options::links_only().start();
    let file = "slug,long_url,title,tags,max_clicks,error\n\
                one,ftp://e.example,=1,\"a,b\",7,old\ntwo,ftp://e.example,,,,\n";
    let job = imported(&server, "", file);
    let record = json!({
        "slug": "one", "long_url": "ftp://e.example", "title": "=1", "tags": "a,b", "max_clicks": "7",
    });
    assert_eq!(rejects(&server, &job)[0]["record"], record);
    let path = format!("/imports/{}/rejects?format=csv", job["id"].as_str().unwrap());
    let csv = server.api().get(&path).expect(200).text;
    let lines: Vec<_> = csv.lines().collect();
    assert_eq!(lines[0], "row,line,slug,long_url,title,tags,max_clicks,field,error");
    assert!(lines[1].starts_with("1,2,one,ftp://e.example,'=1,\"a,b\",7,destination,"), "{csv}");
    let job = imported(&server, "", &csv.replace("ftp://", "https://"));
    assert_eq!(counts(&job), [2, 2, 0, 0, 0, 0], "{:?}", rejects(&server, &job));
    let link = server.api().get("/links/one").data();
    assert_eq!((&link["title"], &link["tags"]), (&json!("=1"), &json!(["a", "b"])));
    assert_eq!(link["max_clicks"], 7);
}
