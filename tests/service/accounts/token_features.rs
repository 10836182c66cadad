//! Tokens of members: disabled, bound to networks, rotated, and seen by whom.

use reqwest::Method;
use serde_json::{Value, json};

use super::{User, call, text};
use crate::harness::{Answer, Options, Server, TOKEN};

struct World {
    server: Server,
    workspace: String,
    owner: User,
    admin: User,
    member: User,
    viewer: User,
}

fn world() -> World {
    let server = Options::links_only().behind_proxy().start();
    let [owner, admin, member, viewer] =
        ["owner", "admin", "member", "viewer"].map(|name| User::new(&server, name));
    let workspace = owner.workspace(&server, "Shared");
    owner.add(&server, &workspace, &admin, "admin");
    owner.add(&server, &workspace, &member, "member");
    owner.add(&server, &workspace, &viewer, "viewer");
    World { server, workspace, owner, admin, member, viewer }
}

impl World {
    fn ask(&self, user: &User, method: &str, path: &str, body: &Value) -> Answer {
        user.within(&self.server, &self.workspace, method, path, body)
    }

    fn token(&self, user: &User, abilities: &[&str]) -> (String, String) {
        let body = json!({ "name": "t", "abilities": abilities });
        user.token(&self.server, &self.workspace, &body)
    }

    fn links(&self, secret: &str) -> Answer {
        self.server.api_as(secret).get("/links")
    }
}

#[test]
fn a_disabled_token_is_refused_until_it_is_enabled() {
    let world = world();
    let (id, secret) = world.token(&world.member, &["links:read"]);
    let path = format!("/tokens/{id}");
    let enable = |enabled: bool| {
        let changed = world.ask(&world.member, "PATCH", &path, &json!({ "enabled": enabled }));
        assert_eq!(changed.expect(200).data()["enabled"], enabled);
    };
    world.links(&secret).expect(200);
    enable(false);
    world.links(&secret).problem(401, "INVALID_API_KEY");
    enable(true);
    world.links(&secret).expect(200);
}

#[test]
fn a_token_is_taken_from_its_networks_only() {
    let world = world();
    let create = |networks: Value| {
        let body = json!({ "name": "n", "abilities": ["links:read"], "networks": networks });
        world.ask(&world.member, "POST", "/tokens", &body)
    };
    for wrong in [json!(["x"]), json!(["192.0.2.0/33"]), json!(["192.0.2.0/-1"]), json!([""])] {
        create(wrong).refuses(400, "VALIDATION_ERROR", &["networks"]);
    }
    let many: Vec<_> = (0..51).map(|number| format!("192.0.2.{number}")).collect();
    create(json!(many)).refuses(400, "VALIDATION_ERROR", &["networks"]);
    let made = create(json!(["192.0.2.0/24", "2001:db8::7"])).expect(201).data();
    let secret = text(&made, "token");
    let from = |address: &str| {
        let request = world.server.api_as(&secret).request(Method::GET, "/links");
        Answer::to(request.header("x-forwarded-for", address))
    };
    for within in ["192.0.2.1", "192.0.2.255", "::ffff:192.0.2.9", "2001:db8::7"] {
        from(within).expect(200);
    }
    for other in ["192.0.3.1", "198.51.100.1", "2001:db8::8", "::1", "192.0.2.1, 198.51.100.1"] {
        from(other).problem(403, "FORBIDDEN");
    }
    world.links(&secret).problem(403, "FORBIDDEN");
    let id = text(&made, "id");
    let path = format!("/tokens/{id}");
    world.ask(&world.member, "PATCH", &path, &json!({ "networks": [] })).expect(200);
    world.links(&secret).expect(200);
}

#[test]
fn a_rotated_secret_overlaps_as_long_as_asked() {
    let world = world();
    let (id, first) = world.token(&world.member, &["links:read"]);
    let rotate = |body: &Value| {
        let path = format!("/tokens/{id}/rotate");
        text(&world.ask(&world.member, "POST", &path, body).expect(200).data(), "token")
    };
    let second = rotate(&json!({ "overlap_seconds": 3_600 }));
    assert_ne!(first, second);
    world.links(&first).expect(200);
    world.links(&second).expect(200);
    // By another rotation, the oldest is gone.
    let third = rotate(&json!({ "overlap_seconds": 1 }));
    world.links(&first).problem(401, "INVALID_API_KEY");
    world.links(&third).expect(200);
    crate::harness::eventually("the overlap ends", || {
        (world.links(&second).status == 401).then_some(())
    });
    world.links(&third).expect(200);
    let fourth = rotate(&json!({}));
    world.links(&third).problem(401, "INVALID_API_KEY");
    world.links(&fourth).expect(200);
    let path = format!("/tokens/{id}/rotate");
    for wrong in [json!(2_592_001), json!(u64::MAX), json!(-1), json!(0.5), json!("1")] {
        let body = json!({ "overlap_seconds": wrong });
        world.ask(&world.member, "POST", &path, &body).problem(400, "VALIDATION_ERROR");
    }
    world.links(&fourth).expect(200);
    // A disabled or revoked token has no valid secret at all.
    let fifth = rotate(&json!({ "overlap_seconds": 3_600 }));
    world.ask(&world.member, "DELETE", &format!("/tokens/{id}"), &json!({})).expect(204);
    for secret in [&fourth, &fifth] {
        world.links(secret).problem(401, "INVALID_API_KEY");
    }
}

#[test]
fn a_token_belongs_to_one_workspace() {
    let world = world();
    let (_, secret) = world.token(&world.owner, &["*"]);
    let other = world.owner.workspace(&world.server, "Other");
    for workspace in [other.as_str(), "ws_00000000000000000000000000", "nonsense", ""] {
        for path in ["/links", "/user", "/tokens", "/workspaces"] {
            let answer =
                call(&world.server, Some(&secret), Some(workspace), ("GET", path), &json!({}));
            answer.problem(404, "NOT_FOUND");
        }
    }
    call(&world.server, Some(&secret), Some(&world.workspace), ("GET", "/links"), &json!({}))
        .expect(200);
    world.server.api_as(&secret).get(&format!("/workspaces/{other}")).problem(404, "NOT_FOUND");
    let list = world.server.api_as(&secret).get("/workspaces").data();
    assert_eq!(list.as_array().unwrap().len(), 1, "{list}");
    assert_eq!(list[0]["id"], world.workspace.as_str());
}

#[test]
fn a_token_has_no_more_abilities_than_its_creator() {
    let world = world();
    let create = |user: &User, abilities: &[&str], machine: bool| {
        let body = json!({ "name": "t", "abilities": abilities, "machine": machine });
        world.ask(user, "POST", "/tokens", &body)
    };
    for ability in ["links:write", "links:create", "qr:write", "members:write", "audit:read", "*"] {
        create(&world.viewer, &[ability], false).problem(403, "FORBIDDEN");
    }
    for ability in ["members:write", "workspace:write", "audit:read", "*"] {
        create(&world.member, &["links:read", ability], false).problem(403, "FORBIDDEN");
    }
    create(&world.admin, &["*"], false).problem(403, "FORBIDDEN");
    for user in [&world.member, &world.viewer] {
        create(user, &["links:read"], true).problem(403, "FORBIDDEN");
    }
    create(&world.viewer, &["links:read"], false).expect(201);
    create(&world.admin, &["members:write"], true).expect(201);
    create(&world.owner, &["*"], true).expect(201);
    // Nor is it raised afterwards.
    let (id, _) = world.token(&world.viewer, &["links:read"]);
    let path = format!("/tokens/{id}");
    let raise = json!({ "abilities": ["links:read", "links:write"] });
    world.ask(&world.viewer, "PATCH", &path, &raise).problem(403, "FORBIDDEN");
    // A token of a member creates tokens of the same member, with no more than its own abilities.
    let (_, secret) = world.token(&world.member, &["user:write", "links:read"]);
    let api = world.server.api_as(secret);
    let child = json!({ "name": "child", "abilities": ["links:read"] });
    assert_eq!(api.post("/tokens", &child).expect(201).data()["user"], world.member.id.as_str());
    let machine = json!({ "name": "child", "abilities": ["links:read"], "machine": true });
    api.post("/tokens", &machine).problem(403, "FORBIDDEN");
    api.post("/tokens", &json!({ "name": "child", "abilities": ["links:write"] })).expect(403);
}

/// Admins manage all tokens of the workspace; others see and change their own.
#[test]
fn members_see_their_own_tokens_only() {
    let world = world();
    let (owners, _) = world.token(&world.owner, &["*"]);
    let (members, secret) = world.token(&world.member, &["links:read", "user:read", "user:write"]);
    let (viewers, _) = world.token(&world.viewer, &["links:read"]);
    let body = json!({ "name": "m", "abilities": ["links:read"], "machine": true });
    let (machine, _) = world.owner.token(&world.server, &world.workspace, &body);
    let ids = |answer: Answer| -> Vec<String> {
        answer.expect(200).data().as_array().unwrap().iter().map(|one| text(one, "id")).collect()
    };
    let seen = |user: &User| ids(world.ask(user, "GET", "/tokens", &json!({})));
    let all = [&owners, &members, &viewers, &machine].map(Clone::clone);
    assert_eq!(seen(&world.owner), all);
    assert_eq!(seen(&world.admin), all);
    assert_eq!(seen(&world.member), std::slice::from_ref(&members));
    assert_eq!(ids(world.server.api_as(&secret).get("/tokens")), std::slice::from_ref(&members));
    assert_eq!(seen(&world.viewer), std::slice::from_ref(&viewers));
    for id in [&owners, &viewers, &machine] {
        let path = format!("/tokens/{id}");
        let rename = json!({ "name": "taken" });
        world.ask(&world.member, "PATCH", &path, &rename).problem(404, "NOT_FOUND");
        world.ask(&world.member, "DELETE", &path, &json!({})).problem(404, "NOT_FOUND");
        let rotate = format!("{path}/rotate");
        world.ask(&world.member, "POST", &rotate, &json!({})).problem(404, "NOT_FOUND");
        world.server.api_as(&secret).delete(&path).problem(404, "NOT_FOUND");
    }
    // What exceeds the admin stays out of reach, and so does another workspace's.
    world.ask(&world.admin, "DELETE", &format!("/tokens/{owners}"), &json!({})).expect(403);
    let rotate = format!("/tokens/{owners}/rotate");
    world.ask(&world.admin, "POST", &rotate, &json!({})).problem(403, "FORBIDDEN");
    let foreign = text(&world.server.api_as(TOKEN).get("/tokens").data()[0], "id");
    world.ask(&world.owner, "DELETE", &format!("/tokens/{foreign}"), &json!({})).expect(404);
    world.ask(&world.admin, "DELETE", &format!("/tokens/{viewers}"), &json!({})).expect(204);
}

/// A token never has more abilities than the member's role has now, and the member can always
/// revoke it.
#[test]
fn a_token_shrinks_with_the_role_of_its_member() {
    let world = world();
    let (id, secret) = world.token(&world.member, &["links:read", "links:write", "user:read"]);
    let create = || {
        let body = json!({ "destination": "https://example.com/landing" });
        world.server.api_as(&secret).post("/links", &body)
    };
    create().expect(201);
    let role = |role: &str| {
        world.owner.give_role(&world.server, &world.workspace, &world.member, role).expect(200)
    };
    role("viewer");
    create().problem(403, "FORBIDDEN");
    world.links(&secret).expect(200);
    role("billing");
    world.links(&secret).problem(403, "FORBIDDEN");
    role("admin");
    create().expect(201);
    role("viewer");
    world.ask(&world.member, "DELETE", &format!("/tokens/{id}"), &json!({})).expect(204);
    world.links(&secret).problem(401, "INVALID_API_KEY");
}
