//! `slugline token`, with and without a running service.

use std::process::Output;

use serde_json::Value;

use crate::harness::{DataFolder, Options, Server, TOKEN, slugline};
use crate::labels::add_workspace;

fn token(data: &DataFolder, arguments: &[&str]) -> Output {
    let mut command = slugline();
    command.arg("token").args(arguments).arg("--data-dir").arg(data.path());
    command.output().unwrap()
}

/// What a command that must work writes to its standard output.
#[track_caller]
fn said(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// What a command that must fail writes to its standard error.
#[track_caller]
fn refusal(output: &Output) -> String {
    assert!(!output.status.success() && output.stdout.is_empty(), "{output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn tokens(data: &DataFolder) -> Vec<Value> {
    let list: Value = serde_json::from_str(&said(&token(data, &["list", "--json"]))).unwrap();
    list.as_array().unwrap().clone()
}

fn id(token: &Value) -> &str {
    token["id"].as_str().unwrap()
}

/// The same commands, whether a service runs over the folder or not. Returns the secret of an
/// owner.
fn creates_lists_and_revokes(data: &DataFolder) -> String {
    let before = tokens(data).len();
    let made = token(data, &["create", "--name", "way back", "--expires", "90d"]);
    let secret = said(&made).trim_end().to_owned();
    assert!(secret.starts_with("slk_") && !secret.contains('\n'), "{secret}");
    let limited = ["create", "--name", "ci", "--abilities", "links:read,links:write"];
    said(&token(data, &limited));

    let list = tokens(data);
    let (owner, limited) = (&list[before], &list[before + 1]);
    assert!(String::from_utf8_lossy(&made.stderr).contains(id(owner)));
    assert_eq!((&owner["name"], &owner["prefix"]), (&"way back".into(), &secret[..8].into()));
    assert!(owner["expires_at"].is_string() && limited["expires_at"].is_null(), "{list:?}");
    assert_eq!(limited["abilities"], serde_json::json!(["links:read", "links:write"]));
    let table = said(&token(data, &["list"]));
    let line = table.lines().nth(before + 2).unwrap();
    let cells: Vec<_> = line.split('\t').collect();
    assert_eq!((cells[0], cells[5], cells[6]), (id(limited), "links:read,links:write", "ci"));

    said(&token(data, &["revoke", id(limited)]));
    assert_eq!(tokens(data).len(), before + 1);
    let made: Value =
        serde_json::from_str(&said(&token(data, &["create", "--name", "b", "--json"]))).unwrap();
    assert!(made["token"].as_str().unwrap().starts_with("slk_"), "{made}");
    said(&token(data, &["revoke", id(&made)]));
    let unknown = "tok_00000000000000000000000000";
    assert!(refusal(&token(data, &["revoke", unknown])).contains("no such token"));
    for wrong in [&["--abilities", "links:reed"], &["--expires", "soon"], &["--expires", "0s"]] {
        let arguments = [&["create", "--name", "x"], &wrong[..]].concat();
        let said = refusal(&token(data, &arguments));
        assert!(said.contains(wrong[0].trim_start_matches("--").get(..7).unwrap()), "{said}");
    }
    secret
}

/// An owner who has lost all tokens revokes those and goes on with another one.
fn replaces_the_owner(data: &DataFolder, server: &Server, secret: &str) {
    server.api_as(secret).get("/links").expect(200);
    let list = tokens(data);
    said(&token(data, &["revoke", id(&list[0])]));
    server.api().get("/links").problem(401, "INVALID_API_KEY");
    let refused = refusal(&token(data, &["revoke", id(&list[1])]));
    assert!(refused.contains("last token"), "{refused}");
    server.api_as(secret).get("/links").expect(200);
}

#[test]
fn tokens_are_managed_beside_a_running_service() {
    let server = Options::links_only().start();
    let secret = creates_lists_and_revokes(&server.data);
    replaces_the_owner(&server.data, &server, &secret);
    let events = server.data.dump("mutations");
    let by_operator = events.iter().filter(|event| event["actor"].is_null());
    assert_eq!(by_operator.count(), 3 + 6, "the first start's, and the operator's");
}

#[test]
fn tokens_are_managed_without_a_service() {
    let options = Options::links_only();
    let server = options.start();
    server.api().get("/links").expect(200);
    assert!(server.stop().success());
    let data = &options.data;
    let secret = creates_lists_and_revokes(data);
    assert!(tokens(data)[0]["last_used_at"].is_string());
    let owner = id(&tokens(data)[0]).to_owned();
    let server = options.start();
    server.api().get("/links").expect(200);
    server.api_as(&secret).get("/links").expect(200);
    assert!(server.stop().success());
    said(&token(data, &["revoke", &owner]));
    let last = id(&tokens(data)[0]).to_owned();
    assert!(refusal(&token(data, &["revoke", &last])).contains("last token"));
    let server = options.start();
    server.api_as(TOKEN).get("/links").problem(401, "INVALID_API_KEY");
    server.api_as(&secret).get("/links").expect(200);
}

/// A service that was killed left its control file behind.
#[test]
fn a_killed_service_is_no_obstacle() {
    let options = Options::links_only();
    drop(options.start());
    assert!(options.data.path().join("service.json").exists());
    let secret = said(&token(&options.data, &["create", "--name", "after"]));
    options.start().api_as(secret.trim_end()).get("/links").expect(200);
}

#[test]
fn of_several_workspaces_one_is_named() {
    let options = Options::links_only();
    assert!(options.start().stop().success());
    add_workspace(&options.data);
    let theirs = slugline::domain::ids::WorkspaceId::from_bytes(&[7; 16]).unwrap().to_string();
    for serving in [false, true] {
        let server = serving.then(|| options.start());
        let unnamed = refusal(&token(&options.data, &["list"]));
        assert!(unnamed.contains(&format!("{theirs} (theirs)")), "{unnamed}");
        let list = said(&token(&options.data, &["list", "--workspace", &theirs]));
        let line = list.lines().find(|line| line.ends_with("\ttheirs"));
        // Tokens from before prefixes were kept have none.
        assert_eq!(line.unwrap_or_else(|| panic!("{list}")).split('\t').nth(1), Some("-"));
        let create = ["create", "--name", "more", "--workspace", &theirs];
        let secret = said(&token(&options.data, &create));
        if let Some(server) = server {
            server.api_as(secret.trim_end()).get("/links").expect(200);
        }
    }
}

#[test]
fn a_wrong_folder_is_left_alone() {
    let data = DataFolder::new();
    let said = refusal(&token(&data, &["list"]));
    assert!(said.contains("--data-dir") && !data.path().exists(), "{said}");
}
