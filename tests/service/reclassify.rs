//! An updated crawler list, applied to past clicks: the counts change by events in the log, and a
//! rebuild produces the same counts.

use std::process::Output;

use serde_json::Value;

use crate::harness::{DataFolder, Link, Options, Server, slugline};

const SHY: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:130.0) Gecko/20100101 Firefox/130.0 shymark";
const LOUD: &str =
    "Mozilla/5.0 (X11; Linux x86_64; rv:129.0) Gecko/20100101 Firefox/129.0 loudmark";
const HUMAN: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:131.0) Gecko/20100101 Firefox/131.0";

fn reclassify(data: &DataFolder, options: &Options, since: &str) -> Output {
    let mut command = slugline();
    command.args(["reclassify", "bots", "--since", since, "--data-dir"]).arg(data.path());
    command.arg("--crawler-list").arg(data.path().join("crawlers.json"));
    options.pass_clickhouse_to(&mut command);
    command.output().unwrap()
}

fn said(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn list(data: &DataFolder, patterns: &[&str]) {
    let entries: Vec<_> =
        patterns.iter().map(|pattern| serde_json::json!({ "pattern": pattern })).collect();
    std::fs::create_dir_all(data.path()).unwrap();
    std::fs::write(data.path().join("crawlers.json"), Value::from(entries).to_string()).unwrap();
}

/// Clicks by the reason for which they are a bot's.
fn reasons(server: &Server, link: &Link) -> Vec<(String, String, u64)> {
    server.await_projection();
    let question = serde_json::json!({
        "metrics": ["clicks"], "dimensions": ["bot_reason", "device"], "bots": "include",
        "filters": { "dimension": "link", "operator": "is", "value": link.id },
        "order_by": [["bot_reason", "asc"], ["device", "asc"]],
    });
    let answer = server.api().post("/analytics/query", &question).expect(200).data();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let rows = answer.as_array().unwrap().iter().map(|row| {
        let dimensions = &row["dimensions"];
        let clicks = row["metrics"]["clicks"].as_u64().unwrap();
        (text(&dimensions["bot_reason"]), text(&dimensions["device"]), clicks)
    });
    rows.collect()
}

fn expected(rows: &[(&str, &str, u64)]) -> Vec<(String, String, u64)> {
    rows.iter()
        .map(|(reason, device, clicks)| ((*reason).into(), (*device).into(), *clicks))
        .collect()
}

fn visit(server: &Server, link: &Link) {
    for (agent, visits) in [(SHY, 5), (LOUD, 3), (HUMAN, 4)] {
        for _ in 0..visits {
            server.visit(link).agent(agent).send().expect(302);
        }
    }
    server.visit_head(link).agent(SHY).send().expect(302);
    server.visit_head(link).agent(HUMAN).send().expect(302);
}

#[test]
fn past_clicks_are_classified_by_the_list_of_today() {
    let options = Options::new();
    let data = options.data.clone();
    list(&data, &["loudmark"]);
    let options = options.flag("--crawler-list", data.path().join("crawlers.json"));
    let server = options.start();
    server.await_analytics();
    let link = server.link();
    visit(&server, &link);
    let before = expected(&[("", "desktop", 9), ("head", "desktop", 2), ("pattern", "bot", 3)]);
    assert_eq!(reasons(&server, &link), before);
    assert_eq!(said(&reclassify(&data, &options, "all")), "0 of 3 user agents reclassified\n");
    assert_eq!(reasons(&server, &link), before);

    list(&data, &["shymark"]);
    let tomorrow = (jiff::Timestamp::now() + jiff::SignedDuration::from_hours(24)).to_string();
    assert_eq!(said(&reclassify(&data, &options, &tomorrow)), "0 of 0 user agents reclassified\n");
    assert_eq!(reasons(&server, &link), before);
    assert_eq!(
        said(&reclassify(&data, &options, "2020-01-01")),
        "2 of 3 user agents reclassified\n"
    );
    let after = expected(&[("", "desktop", 7), ("head", "desktop", 1), ("pattern", "bot", 6)]);
    assert_eq!(reasons(&server, &link), after);

    // Visits are taken by the new list too, and the log says what happened and why.
    visit(&server, &link);
    let twice: Vec<_> = after
        .iter()
        .map(|(reason, device, clicks)| (reason.clone(), device.clone(), clicks * 2))
        .collect();
    assert_eq!(reasons(&server, &link), twice);
    let told: Vec<_> = data
        .dump("clicks")
        .into_iter()
        .filter(|line| line["kind"] == "AgentReclassified")
        .collect();
    assert_eq!(told.len(), 2);
    assert!(told.iter().any(|line| line["bot"] == "pattern" && line["bot_pattern"] == "shymark"));
    assert!(told.iter().any(|line| line["bot"] == "" && line["device"] == "desktop"));

    let verified = |options: &Options| {
        let mut command = slugline();
        command.args(["verify", "--data-dir"]).arg(data.path());
        options.pass_clickhouse_to(&mut command);
        said(&command.output().unwrap())
    };
    assert!(verified(&options).contains("equal"));
    assert!(server.stop().success());
    // Without a service: over the data folder, with tables that are made from nothing.
    std::fs::remove_dir_all(data.path().join("clickhouse")).unwrap();
    list(&data, &["shymark", "loudmark"]);
    assert_eq!(said(&reclassify(&data, &options, "all")), "1 of 3 user agents reclassified\n");
    let server = options.start();
    server.await_analytics();
    let bots = expected(&[("", "desktop", 8), ("head", "desktop", 2), ("pattern", "bot", 18)]);
    assert_eq!(reasons(&server, &link), bots);
    assert!(verified(&options).contains("equal"));
}

#[test]
fn what_is_no_time_and_no_list_is_named() {
    let options = Options::new();
    let data = options.data.clone();
    list(&data, &["loudmark"]);
    let options = options.flag("--crawler-list", data.path().join("crawlers.json"));
    let server = options.start();
    server.await_analytics();
    let failed = |since: &str, named: &str| {
        let output = reclassify(&data, &options, since);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && error.contains(named), "{error}");
    };
    for since in ["yesterday", "", "2026-13-01"] {
        failed(since, "nor a time");
    }
    std::fs::write(data.path().join("crawlers.json"), "[").unwrap();
    failed("all", "crawler list");
    // An owner's token is not the operator's key.
    server.api().post("/admin/reclassify?since=all", &Value::Null).problem(403, "FORBIDDEN");
}
