//! The user guides served by the service.

use std::collections::BTreeSet;
use std::path::Path;

use regex::Regex;
use reqwest::Method;

use crate::harness::{Answer, Chromium, Server, shared};

const GUIDES: &str = "/docs/guides";

/// The guides in the repository, by name.
fn names() -> BTreeSet<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/http/guides");
    let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().file_name());
    let files = files.map(|file| file.into_string().unwrap());
    let names = files.filter_map(|file| file.strip_suffix(".md").map(str::to_owned));
    names.chain(["operation".to_owned()]).collect()
}

#[track_caller]
fn page(server: &Server, path: &str) -> Answer {
    let page = server.get(path).expect(200);
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    assert_eq!(page.header("x-content-type-options"), "nosniff");
    assert_eq!(page.header("cache-control"), "public, max-age=300");
    let policy = page.header("content-security-policy");
    for part in ["default-src 'none'", "style-src 'sha256-", "frame-ancestors 'none'"] {
        assert!(policy.contains(part), "{policy}");
    }
    // The policy would keep these from working; raw HTML in a guide is left out.
    for part in ["<script", "style=", "src=", "<!--"] {
        assert!(!page.text.contains(part), "{path} has {part}");
    }
    page
}

fn all(pattern: &str, text: &str) -> Vec<String> {
    let found = Regex::new(pattern).unwrap();
    found.captures_iter(text).map(|found| found[1].to_owned()).collect()
}

#[test]
fn the_index_lists_each_guide_and_all_links_resolve() {
    let server = shared();
    let index = page(&server, GUIDES);
    let listed = all(r#"href="/docs/guides/([^"]+)""#, &index.text);
    assert_eq!(listed.iter().cloned().collect::<BTreeSet<_>>(), names());
    assert_eq!(listed.len(), names().len(), "each guide is listed once");
    for name in &listed {
        let path = format!("{GUIDES}/{name}");
        let guide = page(&server, &path);
        assert_eq!(all("<h1[^>]*>([^<]+)</h1>", &guide.text).len(), 1, "{name}");
        for target in all(r#"href="([^"]+)""#, &guide.text) {
            if target.contains("://") {
                continue;
            }
            let (file, fragment) = target.split_once('#').unwrap_or((&target, ""));
            let file = if file.is_empty() { &path } else { file };
            let shown = server.get(file).expect(200);
            let is_there =
                fragment.is_empty() || shown.text.contains(&format!("id=\"{fragment}\""));
            assert!(is_there, "{name} links to {target}");
        }
    }
}

#[test]
fn a_guide_is_revalidated_and_an_unknown_one_is_not_found() {
    let server = shared();
    let path = format!("{GUIDES}/links");
    let etag = page(&server, &path).header("etag").to_owned();
    let again = |etag: &str| server.request(Method::GET, &path).header("if-none-match", etag);
    let unchanged = Answer::to(again(&etag)).expect(304);
    assert_eq!((unchanged.text.as_str(), unchanged.header("etag")), ("", etag.as_str()));
    Answer::to(again("\"another\"")).expect(200);
    server.get(&format!("{GUIDES}/nothing")).problem(404, "NOT_FOUND");
    for other in ["/docs", "/docs/", "/docs/guides/"] {
        assert_eq!(server.get(other).expect(307).header("location"), GUIDES);
    }
}

#[test]
fn a_browser_shows_a_guide_without_a_fault() {
    let server = shared();
    let Some(mut browser) = Chromium::start() else { return };
    let faults = browser.load(&format!("http://{}{GUIDES}/operation", server.address()));
    assert_eq!(faults, Vec::<String>::new());
}
