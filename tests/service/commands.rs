//! The commands for everyday use, as a user runs them.

use std::io::Read;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use crate::accounts::{PASSWORD, User, jwt, operator};
use crate::harness::{DataFolder, FileServer, Options, Server, TOKEN, shared, slugline};

/// A command on this service, named by its URL.
fn at(server: &Server, arguments: &[&str]) -> Command {
    let mut command = slugline();
    command.args(arguments).env("SLUGLINE_URL", format!("http://{}", server.address()));
    command.env("SLUGLINE_TOKEN", TOKEN);
    command
}

/// What a command that must work writes to its standard output.
#[track_caller]
fn said(mut command: Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[track_caller]
fn json_of(command: Command) -> Value {
    serde_json::from_str(&said(command)).unwrap()
}

/// What a command that must fail writes to its standard error.
#[track_caller]
fn refusal(mut command: Command) -> String {
    let Output { status, stdout, stderr } = command.output().unwrap();
    assert!(!status.success() && stdout.is_empty(), "{status} {stdout:?}");
    String::from_utf8(stderr).unwrap()
}

#[test]
fn links_are_created_listed_shown_changed_and_deleted() {
    let server = Options::links_only().start();
    let base = format!("http://{}", server.address());
    let long = "https://example.com/a?b=c";
    let fields = ["--slug", "spring", "--tag", "a", "--tag", "b", "--set", "max_clicks=7"];
    let created = said(at(&server, &[&["link", "create", long], &fields[..]].concat()));
    assert_eq!(created, format!("{base}/spring\n"));
    let text = ["--set", "kind=text", "--set", "payload={\"text\":\"Hi\"}", "--json"];
    let text = json_of(at(&server, &[&["link", "create"], &text[..]].concat()));
    assert_eq!(text["payload"]["text"], "Hi");

    let list = said(at(&server, &["link", "list", "--tag", "b"]));
    let rows: Vec<Vec<_>> = list.lines().map(|line| line.split('\t').collect()).collect();
    assert_eq!(rows[0], ["short_url", "clicks", "created_at", "destination"]);
    assert_eq!((rows.len(), rows[1][0], rows[1][3]), (2, &*format!("{base}/spring"), long));
    let all = json_of(at(&server, &["link", "list", "--json"]));
    assert_eq!(all.as_array().unwrap().len(), 2);

    let shown = said(at(&server, &["link", "show", "spring"]));
    assert!(shown.contains("tags             a,b\n"), "{shown}");
    assert!(shown.contains("max_clicks       7\n") && !shown.contains("folder"), "{shown}");

    let change = ["--title", "Spring", "--set", "max_clicks=null", "--json"];
    let changed = json_of(at(&server, &[&["link", "update", "spring"], &change[..]].concat()));
    assert_eq!(changed["title"], "Spring");
    assert_eq!((&changed["max_clicks"], &changed["tags"]), (&Value::Null, &json!(["a", "b"])));

    let wrong = refusal(at(&server, &["link", "create", "ftp://example.com", "--set", "colour=1"]));
    assert!(wrong.contains("VALIDATION_ERROR"), "{wrong}");
    assert_eq!(wrong.matches("colour").count(), 1, "{wrong}");
    let text = text["slug"].as_str().unwrap();
    let gone = said(at(&server, &["link", "create", long, "--slug", "gone"]));
    let deleted = json_of(at(&server, &["link", "delete", gone.trim(), "--json"]));
    assert_eq!(deleted, json!({ "deleted": [gone.trim()] }));
    let Output { status, stdout, stderr } =
        at(&server, &["link", "delete", "spring", "nope", text]).output().unwrap();
    let refused = String::from_utf8(stderr).unwrap();
    assert_eq!(status.code(), Some(1));
    assert_eq!(String::from_utf8(stdout).unwrap(), format!("deleted spring\ndeleted {text}\n"));
    assert!(refused.contains("cannot delete nope: NOT_FOUND: "), "{refused}");
    assert!(refused.contains("1 of 3 links were not deleted"), "{refused}");
    assert!(refusal(at(&server, &["link", "show", "spring"])).contains("NOT_FOUND"));
}

#[test]
fn clicks_are_shown_as_bars() {
    let server = shared();
    let link = server.link();
    for address in ["91.10.20.30", "91.10.20.31"] {
        server.visit(&link).from(address).referrer("https://t.co/x").follow();
    }
    server.await_projection();
    let stats = said(at(&server, &["stats", &link.slug, "--period", "7d"]));
    let lines: Vec<_> = stats.lines().collect();
    assert!(lines[0].contains(&link.slug) && lines[0].contains(" → https://"), "{stats}");
    assert_eq!(lines[1], "2 clicks, 2 visitors (7d, UTC)");
    let days = lines.iter().skip(3).take_while(|line| !line.is_empty());
    assert_eq!(days.count(), 7, "{stats}");
    let of_country = lines.iter().position(|line| *line == "country").unwrap();
    assert_eq!(lines[of_country + 1], format!("DE  {} 2", "█".repeat(40)));
    let by = json_of(at(&server, &["stats", &link.slug, "--by", "browser", "--json"]));
    assert_eq!(by[2]["data"][0]["metrics"]["clicks"], 2, "{by}");
    let all = said(at(&server, &["stats", "--period", "today"]));
    assert!(all.contains(" clicks, "), "{all}");
    let wrong = refusal(at(&server, &["stats", &link.slug, "--by", "contry"]));
    assert!(wrong.starts_with("slugline: VALIDATION_ERROR: "), "{wrong}");
    assert!(wrong.trim_end().ends_with("did you mean `country`?"), "{wrong}");
    let wrong = refusal(at(&server, &["stats", &link.slug, "--period", "12x"]));
    assert!(wrong.contains("--period") && !wrong.contains("date_range"), "{wrong}");
}

#[test]
fn what_is_missing_is_named() {
    let mut command = slugline();
    command.args(["link", "list"]).env_remove("SLUGLINE_TOKEN");
    assert!(refusal(command).contains("set SLUGLINE_TOKEN or --token"));
    let server = Options::links_only().start();
    let folder = refusal(at(&server, &["import", "."]));
    assert!(folder.contains("it is a folder"), "{folder}");
    let mut command = at(&server, &["link", "list"]);
    command.env("HTTP_PROXY", "http://127.0.0.1:1").env("http_proxy", "http://127.0.0.1:1");
    command.env_remove("NO_PROXY").env_remove("no_proxy");
    assert!(said(command).starts_with("short_url"), "no proxy for this machine");
}

/// The folder is the service's alone, which is not the same as a service that does not run.
#[test]
fn commands_of_another_user_say_so() {
    let server = Options::links_only().start();
    let run = |arguments: &[&str]| {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
        command.arg(env!("CARGO_BIN_EXE_slugline")).args(arguments).output()
    };
    if !run(&["--version"]).is_ok_and(|output| output.status.success()) {
        eprintln!("passed over: this needs root, and a program that others can run");
        return;
    }
    let folder = server.data.path();
    let folder = folder.to_str().unwrap();
    for arguments in [&["health"][..], &["token", "list"], &["log", "verify"], &["doctor"]] {
        let Output { status, stdout, stderr } =
            run(&[arguments, &["--data-dir", folder]].concat()).unwrap();
        let said = String::from_utf8([stdout, stderr].concat()).unwrap();
        let is_named = said.contains("run this as the service's user");
        assert!(!status.success() && is_named, "{arguments:?}: {said}");
    }
}

/// By its data folder, without a URL; and what is said if there is none.
#[test]
fn commands_find_the_service_or_name_where_they_looked() {
    let server = Options::links_only().start();
    let link = server.link();
    let mut command = slugline();
    command.args(["link", "show", &link.slug, "--data-dir"]).arg(server.data.path());
    command.env("SLUGLINE_TOKEN", TOKEN);
    assert!(said(command).contains(&link.slug));

    let nowhere = DataFolder::new();
    for (arguments, tried) in [
        (&["stats", "x", "--url", "http://127.0.0.1:9"][..], "http://127.0.0.1:9"),
        (&["export", "--url", "http://127.0.0.1:9"], "http://127.0.0.1:9"),
        (&["user", "list"], "the data folder"),
    ] {
        let mut command = slugline();
        command.args(arguments).arg("--data-dir").arg(nowhere.path());
        command.env("SLUGLINE_TOKEN", TOKEN).env_remove("SLUGLINE_URL");
        let refused = refusal(command);
        assert!(refused.contains(tried) && refused.contains("--data-dir"), "{refused}");
    }
}

/// Flags before variables, and URLs before folders, for clients and operators.
#[test]
fn one_order_says_which_service_is_meant() {
    let server = Options::links_only().start();
    let (nowhere, dead) = (DataFolder::new(), "http://127.0.0.1:9");
    let text = |data: &DataFolder| data.path().to_str().unwrap().to_owned();
    let (here, elsewhere) = (&*text(&server.data), &*text(&nowhere));
    for command in [&["link", "list"][..], &["token", "list"], &["workspace", "list"]] {
        let run = |flags: &[&str], variables: &[(&str, &str)]| {
            let mut process = slugline();
            process.args(command).args(flags).env("SLUGLINE_TOKEN", TOKEN);
            process.envs(variables.iter().copied());
            process
        };
        let (url, folder) = (("SLUGLINE_URL", dead), ("SLUGLINE_DATA_DIR", here));
        assert!(refusal(run(&["--url", dead, "--data-dir", here], &[])).contains(dead));
        said(run(&["--data-dir", here], &[url]));
        assert!(refusal(run(&[], &[url, folder])).contains(dead));
        said(run(&[], &[folder]));
        let refused = refusal(run(&["--data-dir", elsewhere], &[folder]));
        assert!(refused.contains(elsewhere) && refused.contains("--data-dir"), "{refused}");
        let refused = refusal(run(&["--url", "localhost:9"], &[]));
        assert!(refused.contains("add http:// or https://"), "{refused}");
    }
    assert!(server.stop().success());
    let mut create = slugline();
    create.args(["token", "create", "--name", "x", "--url", dead, "--data-dir", here]);
    let refused = refusal(create);
    assert!(refused.contains("--token") && refused.contains("SLUGLINE_TOKEN"), "{refused}");
}

#[test]
fn the_health_of_a_service_is_its_answer_wherever_it_is() {
    let server = Options::links_only().start();
    let health = |arguments: &[&str]| {
        let mut command = slugline();
        command.arg("health").args(arguments);
        command
    };
    let folder = server.data.path();
    let folder = ["--data-dir", folder.to_str().unwrap()];
    let url = server.base.clone();
    assert!(said(health(&folder)).ends_with("/livez responds\n"));
    assert_eq!(
        said(health(&["--url", &format!("{url}/")])),
        format!("{url}/docs/guides responds\n")
    );
    let page = FileServer::start();
    page.file("/docs/guides", "another page");
    let elsewhere = refusal(health(&["--url", &format!("http://{}", page.address)]));
    assert!(elsewhere.contains("does the URL lead to slugline?"), "{elsewhere}");
    assert!(server.stop().success());
    assert!(refusal(health(&folder)).contains("no service is running"));
    assert!(refusal(health(&["--url", &url])).contains(&url));
}

#[test]
fn the_doctor_finds_what_is_wrong() {
    let server = Options::links_only().start();
    let mut command = slugline();
    command.args(["doctor", "--json", "--data-dir"]).arg(server.data.path());
    // Nothing listens there.
    command.args(["--clickhouse-url", "http://127.0.0.1:9"]);
    let output = command.output().unwrap();
    assert!(!output.status.success());
    let checks: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    let outcome = |name: &str| {
        let found = checks.iter().find(|check| check["check"] == name).unwrap();
        (found["outcome"].as_str().unwrap().to_owned(), found["detail"].to_string())
    };
    // Machines without time synchronization.
    assert_ne!(outcome("clock").0, "failed", "{checks:?}");
    for name in ["data folder", "dns", "proxy"] {
        assert_eq!(outcome(name).0, "ok", "{name}: {}", outcome(name).1);
    }
    assert_eq!(outcome("service").0, "warning");
    assert!(outcome("service").1.contains("ready; no analytics"), "{checks:?}");
    assert_eq!(outcome("engine").0, "failed");
    assert!(outcome("engine").1.contains("http://127.0.0.1:9"), "{checks:?}");
}

#[test]
fn a_superadmin_manages_tokens_of_a_service_elsewhere() {
    let server = Options::links_only().start();
    let ada = User::new(&server, "ada");
    let role = json!({ "role": "SUPERADMIN" });
    operator(&server).patch(&format!("/admin/users/{}", ada.id), &role).expect(200);
    // The change ended her session.
    let jwt = jwt(&server, &ada.email, PASSWORD);
    let elsewhere = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| {
        let mut command = slugline();
        command.arg("token").args(arguments).args(["--url", &server.base]);
        command.env("SLUGLINE_TOKEN", &jwt).arg("--data-dir").arg(elsewhere.path());
        command
    };
    let workspace = operator(&server).get("/admin/workspaces").data()[0]["id"].clone();
    let workspace = ["--workspace", workspace.as_str().unwrap()];
    let secret = said(run(&[&["create", "--name", "far"][..], &workspace].concat()));
    server.api_as(secret.trim()).get("/links").expect(200);
    let all = said(run(&[&["list", "--json"][..], &workspace].concat()));
    let all: Vec<Value> = serde_json::from_str(&all).unwrap();
    let far = all.iter().find(|token| token["name"] == "far").unwrap();
    said(run(&["revoke", far["id"].as_str().unwrap()]));
    server.api_as(secret.trim()).get("/links").problem(401, "INVALID_API_KEY");
    assert_eq!(std::fs::read_dir(elsewhere.path()).unwrap().count(), 0);
}

#[test]
fn help_shows_what_matters_to_a_command() {
    let help = |command: &str| {
        let mut asked = slugline();
        asked.args([command, "--help"]);
        said(asked)
    };
    assert!(help("serve").contains("--tls-acme"));
    for command in ["verify", "rebuild", "reclassify", "backup", "doctor"] {
        let help = help(command);
        assert!(help.contains("--data-dir") && !help.contains("--tls-"), "{command}: {help}");
    }
    let mut version = slugline();
    version.arg("--version");
    let version = said(version);
    assert!(version.starts_with("slugline 0.") && version.ends_with(")\n"), "{version}");
    let mut completions = slugline();
    completions.args(["completions", "bash"]);
    let completions = said(completions);
    assert!(completions.contains("--data-dir") && !completions.contains("engine)"));
    let mut man = slugline();
    man.arg("man");
    assert!(said(man).contains(".TH slugline 1"));
}

/// A reader that closes the pipe early, such as `head`, is no error.
#[test]
fn a_closed_pipe_ends_a_command_quietly() {
    let mut command = slugline();
    // More than the buffer of a pipe.
    command.arg("openapi").stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut first = [0; 1];
    child.stdout.take().unwrap().read_exact(&mut first).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}

#[test]
fn the_log_names_unknown_variables_and_links_that_nobody_can_follow() {
    let options = Options::links_only().flag("--listen", "0.0.0.0:0");
    let server = options.env("SLUGLINE_TRUSTED_PROXY", "private").start();
    let log = server.stop_for_log().join("\n");
    assert!(log.contains("did you mean SLUGLINE_TRUSTED_PROXIES?"), "{log}");
    assert!(log.contains("set --public-url") && !log.contains("SLUGLINE_BOOTSTRAP"), "{log}");
}

#[test]
fn a_name_can_be_listened_on() {
    let server = Options::links_only().flag("--listen", "localhost:0").start();
    assert!(server.address().ip().is_loopback());
    let mut wrong = Options::links_only().flag("--listen", "localhost").command();
    let refused = String::from_utf8(wrong.output().unwrap().stderr).unwrap();
    assert!(refused.contains("listen") && refused.contains("127.0.0.1:8080"), "{refused}");
}
