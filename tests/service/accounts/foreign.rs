//! Operations that name what belongs to another workspace.

use serde_json::{Value, json};

use super::call;
use super::matrix::{body_of, path_of};
use super::world::World;
use crate::openapi::operations;

/// A path or a body that names what belongs to another workspace finds nothing, and changes nothing.
#[test]
fn ids_of_another_workspace_name_nothing() {
    let world = World::new();
    let World { server, ours, theirs } = &world;
    let before = theirs.seen(server);
    let all = json!({ "name": "all", "abilities": ["*"] });
    let (_, secret) = ours.owner.token(server, &ours.workspace, &all);
    let mut wrong = Vec::new();
    for one in operations(server) {
        let named =
            theirs.ids.iter().any(|(name, _)| one.template.contains(&format!("{{{name}}}")));
        if !named || ["operator", "public"].contains(&one.ability.as_str()) {
            continue;
        }
        let ids = || theirs.ids.iter().map(|(name, id)| (*name, id.as_str()));
        let slug = ("link", theirs.slug.as_str());
        let here = ("workspace", ours.workspace.as_str());
        let mut paths = vec![path_of(&one, ids()), path_of(&one, [slug].into_iter().chain(ids()))];
        if one.template.matches('{').count() > 1 {
            paths.push(path_of(&one, [here].into_iter().chain(ids())));
        }
        for path in paths {
            for credential in [&ours.owner.jwt, &ours.member.jwt, &secret] {
                let body = body_of(&one, theirs.id("user"));
                let request = (one.method.as_str(), path.as_str());
                let answer = call(server, Some(credential), Some(&ours.workspace), request, &body);
                let is_refused = [400, 404].contains(&answer.status)
                    || answer.status == 403 && *credential != ours.owner.jwt;
                if !is_refused || theirs.is_named_in(&answer.text) {
                    wrong.push(format!("{} {path}: {answer:?}", one.id));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} are wrong:\n{}", wrong.len(), wrong.join("\n"));
    bodies_name_nothing(&world);
    assert_eq!(theirs.seen(server), before);
}

fn bodies_name_nothing(World { server, ours, theirs }: &World) {
    let ask = |method: &str, path: &str, body: Value| {
        let answer = ours.owner.within(server, &ours.workspace, method, path, &body);
        assert!(!theirs.is_named_in(&answer.text), "{path}: {answer:?}");
        answer
    };
    let to = "https://example.com/landing";
    for (field, value) in [("campaign", theirs.id("campaign")), ("domain", theirs.id("domain"))] {
        let body = json!({ "destination": to, field: value });
        ask("POST", "/links", body).refuses(400, "VALIDATION_ERROR", &[field]);
        let path = format!("/links/{}", ours.id("link"));
        let answer = ask("PATCH", &path, json!({ field: value }));
        answer.problem(400, "VALIDATION_ERROR");
    }
    let body = json!({ "default_workspace": theirs.workspace });
    ask("PATCH", "/user", body).refuses(400, "VALIDATION_ERROR", &["default_workspace"]);
    let body = json!({ "user": theirs.id("user") });
    let path = format!("/workspaces/{}/transfer", ours.workspace);
    ask("POST", &path, body).problem(404, "NOT_FOUND");
    let links = json!([theirs.id("link"), theirs.slug]);
    for (method, body) in [
        ("PATCH", json!({ "links": links, "change": { "title": "ours" } })),
        ("DELETE", json!({ "links": links })),
    ] {
        let answer = ask(method, "/links/bulk", body).expect(200).json();
        assert!(answer.to_string().matches("404").count() >= 2, "{answer}");
    }
    for path in ["/clicks", "/analytics", "/links", "/audit", "/analytics/blocked"] {
        for (name, value) in [("link", theirs.id("link")), ("campaign", theirs.id("campaign"))] {
            let answer = ask("GET", &format!("{path}?{name}={value}"), json!({}));
            assert!(answer.status < 500, "{path}?{name}: {answer:?}");
        }
    }
}
