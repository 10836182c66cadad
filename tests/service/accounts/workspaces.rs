//! Shared workspaces: roles, members, the transfer of the ownership, and deletion.

use serde_json::{Value, json};

use super::{PASSWORD, User, call, jwt, text};
use crate::harness::{Link, Options, Server};

struct World {
    server: Server,
    workspace: String,
    owner: User,
    admin: User,
    member: User,
}

fn world_of(options: &Options) -> World {
    let server = options.start();
    let [owner, admin, member] = ["owner", "admin", "member"].map(|name| User::new(&server, name));
    let workspace = owner.workspace(&server, "Shared");
    owner.add(&server, &workspace, &admin, "admin");
    owner.add(&server, &workspace, &member, "member");
    World { server, workspace, owner, admin, member }
}

fn world() -> World {
    world_of(&Options::links_only())
}

impl World {
    fn path(&self, rest: &str) -> String {
        format!("/workspaces/{}{rest}", self.workspace)
    }

    fn role(&self, user: &User) -> Value {
        let members = self.owner.api(&self.server).get(&self.path("/members")).expect(200).data();
        let found = members.as_array().unwrap().iter().find(|one| one["user"] == user.id.as_str());
        found.map_or(Value::Null, |found| found["role"].clone())
    }
}

#[test]
fn a_workspace_is_created_and_renamed() {
    let world = world();
    let api = world.owner.api(&world.server);
    let found = api.get(&world.path("")).expect(200).data();
    assert_eq!((&found["name"], &found["role"]), (&json!("Shared"), &json!("owner")));
    assert_eq!((&found["personal"], &found["members"]), (&json!(false), &json!(3)));
    for wrong in ["", "   ", &"x".repeat(101), "a\u{7}b"] {
        api.post("/workspaces", &json!({ "name": wrong })).refuses(
            400,
            "VALIDATION_ERROR",
            &["name"],
        );
        api.patch(&world.path(""), &json!({ "name": wrong })).refuses(
            400,
            "VALIDATION_ERROR",
            &["name"],
        );
    }
    let admins = world.admin.api(&world.server);
    let renamed = world.admin.within(
        &world.server,
        &world.workspace,
        "PATCH",
        &world.path(""),
        &json!({ "name": "By admin" }),
    );
    assert_eq!(renamed.expect(200).data()["name"], "By admin");
    let members = world.member.within(
        &world.server,
        &world.workspace,
        "PATCH",
        &world.path(""),
        &json!({ "name": "By member" }),
    );
    members.problem(403, "FORBIDDEN");
    admins.delete(&world.path("")).problem(403, "FORBIDDEN");
    let list = api.get("/workspaces").expect(200).data();
    assert_eq!(list.as_array().unwrap().len(), 2);
    let personal = world.owner.id.replace("user_", "ws_");
    api.delete(&format!("/workspaces/{personal}")).problem(409, "CONFLICT");
}

#[test]
fn roles_change_within_limits() {
    let world = world();
    let World { server, workspace, owner, admin, member } = &world;
    let give = |by: &User, to: &User, role: &str| by.give_role(server, workspace, to, role);
    for role in ["member", "viewer", "admin", "billing"] {
        give(admin, owner, role).problem(409, "CONFLICT");
    }
    for by in [owner, admin] {
        give(by, member, "owner").refuses(400, "VALIDATION_ERROR", &["role"]);
        give(by, member, "root").refuses(400, "VALIDATION_ERROR", &["role"]);
    }
    give(owner, owner, "member").problem(409, "CONFLICT");
    for (by, to) in [(member, admin), (member, member), (member, owner)] {
        let answer = by.within(
            server,
            workspace,
            "PATCH",
            &world.path(&format!("/members/{}", to.id)),
            &json!({ "role": "admin" }),
        );
        answer.problem(403, "FORBIDDEN");
    }
    give(admin, member, "viewer").expect(200);
    assert_eq!(world.role(member), "viewer");
    // Effective at the next request of a session from before.
    let link = json!({ "destination": "https://example.com/landing" });
    member.within(server, workspace, "POST", "/links", &link).problem(403, "FORBIDDEN");
    give(admin, member, "admin").expect(200);
    member.within(server, workspace, "POST", "/links", &link).expect(201);
    give(member, admin, "viewer").expect(200);
    give(admin, member, "viewer").problem(403, "FORBIDDEN");
    let path = world.path(&format!("/members/{}", owner.id));
    for by in [admin, member] {
        let answer = by.within(server, workspace, "DELETE", &path, &json!({}));
        assert!([403, 409].contains(&answer.status), "{answer:?}");
    }
    owner.api(server).delete(&path).problem(409, "CONFLICT");
    assert_eq!(world.role(owner), "owner");
    for unknown in ["user_00000000000000000000000000", "nonsense"] {
        let path = world.path(&format!("/members/{unknown}"));
        owner.api(server).patch(&path, &json!({ "role": "viewer" })).problem(404, "NOT_FOUND");
        owner.api(server).delete(&path).problem(404, "NOT_FOUND");
    }
}

/// The tokens of a member who is gone are refused from then on, also if the member comes back.
#[test]
fn a_removed_members_tokens_are_refused() {
    let world = world();
    let World { server, workspace, owner, admin, member } = &world;
    let body = json!({ "name": "t", "abilities": ["links:read", "user:read"] });
    let (_, secret) = member.token(server, workspace, &body);
    let (_, admins) = admin.token(server, workspace, &body);
    let machine = json!({ "name": "m", "abilities": ["links:read"], "machine": true });
    let (_, machine) = admin.token(server, workspace, &machine);
    server.api_as(&secret).get("/links").expect(200);
    admin.api(server).delete(&world.path(&format!("/members/{}", member.id))).expect(204);
    server.api_as(&secret).get("/links").problem(401, "INVALID_API_KEY");
    member.within(server, workspace, "GET", "/links", &json!({})).problem(404, "NOT_FOUND");
    member.api(server).get(&world.path("")).problem(404, "NOT_FOUND");
    member.api(server).get("/user").expect(200);
    // A member leaves.
    admin.api(server).delete(&world.path(&format!("/members/{}", admin.id))).expect(204);
    server.api_as(&admins).get("/links").problem(401, "INVALID_API_KEY");
    server.api_as(&machine).get("/links").expect(200);
    owner.add(server, workspace, member, "viewer");
    server.api_as(&secret).get("/links").problem(401, "INVALID_API_KEY");
}

/// A token that may only read does not end a membership.
#[test]
fn a_reading_token_does_not_leave_the_workspace() {
    let world = world();
    let World { server, workspace, member, .. } = &world;
    let (_, secret) =
        member.token(server, workspace, &json!({ "name": "t", "abilities": ["user:read"] }));
    let path = world.path(&format!("/members/{}", member.id));
    server.api_as(&secret).delete(&path).problem(403, "FORBIDDEN");
    assert_eq!(world.role(member), "member");
}

#[test]
fn the_ownership_is_transferred_to_a_member_who_accepts() {
    let world = world();
    let World { server, workspace, owner, admin, member } = &world;
    let stranger = User::new(server, "stranger");
    let transfer = world.path("/transfer");
    let accept = |by: &User| by.api(server).post(&format!("{transfer}/accept"), &json!({}));
    let offer = |by: &User, to: &User| by.api(server).post(&transfer, &json!({ "user": to.id }));
    accept(admin).problem(404, "NOT_FOUND");
    offer(admin, admin).problem(403, "FORBIDDEN");
    offer(owner, owner).problem(409, "CONFLICT");
    offer(owner, &stranger).problem(404, "NOT_FOUND");
    offer(&stranger, &stranger).problem(404, "NOT_FOUND");
    let (_, token) = owner.token(server, workspace, &json!({ "name": "all", "abilities": ["*"] }));
    server.api_as(&token).post(&transfer, &json!({ "user": member.id })).problem(403, "FORBIDDEN");

    let offered = offer(owner, admin).expect(200).data();
    assert_eq!(offered["offered_to"], admin.id.as_str());
    for other in [member, owner] {
        accept(other).problem(404, "NOT_FOUND");
    }
    accept(&stranger).problem(404, "NOT_FOUND");
    member.api(server).delete(&transfer).problem(403, "FORBIDDEN");
    // Declined, then withdrawn.
    admin.api(server).delete(&transfer).expect(200);
    accept(admin).problem(404, "NOT_FOUND");
    offer(owner, admin).expect(200);
    owner.api(server).delete(&transfer).expect(200);
    accept(admin).problem(404, "NOT_FOUND");
    // An offer to somebody else replaces it; who has left cannot accept.
    offer(owner, member).expect(200);
    offer(owner, admin).expect(200);
    accept(member).problem(404, "NOT_FOUND");
    assert_eq!(world.role(owner), "owner");

    let accepted = accept(admin).expect(200).data();
    assert_eq!((&accepted["role"], &accepted["owner"]), (&json!("owner"), &json!(admin.id)));
    assert_eq!((world.role(owner), world.role(admin)), (json!("admin"), json!("owner")));
    accept(admin).problem(404, "NOT_FOUND");
    // The former owner's token with `*` has an admin's abilities now.
    server.api_as(&token).get("/admin/reconcile").problem(403, "FORBIDDEN");
    owner
        .within(server, workspace, "GET", "/admin/reconcile", &json!({}))
        .problem(403, "FORBIDDEN");
    owner.api(server).delete(&world.path("")).problem(403, "FORBIDDEN");
    admin.give_role(server, workspace, owner, "viewer").expect(200);
    let link = json!({ "destination": "https://example.com/landing" });
    server.api_as(&token).post("/links", &link).problem(403, "FORBIDDEN");
    let personal = owner.id.replace("user_", "ws_");
    let path = format!("/workspaces/{personal}/transfer");
    owner.api(server).post(&path, &json!({ "user": admin.id })).problem(409, "CONFLICT");
}

/// An offer of ownership ends when its addressee leaves.
#[test]
fn an_offer_ends_with_the_membership() {
    let world = world();
    let World { server, workspace, owner, member, .. } = &world;
    let transfer = world.path("/transfer");
    owner.api(server).post(&transfer, &json!({ "user": member.id })).expect(200);
    owner.api(server).delete(&world.path(&format!("/members/{}", member.id))).expect(204);
    let accept = format!("{transfer}/accept");
    member.api(server).post(&accept, &json!({})).problem(404, "NOT_FOUND");
    owner.add(server, workspace, member, "viewer");
    member.api(server).post(&accept, &json!({})).problem(404, "NOT_FOUND");
    assert_eq!(world.role(owner), "owner");
}

/// Deleted, a workspace has no API, but its links redirect; it can be restored.
#[test]
fn a_deleted_workspace_redirects_and_can_be_restored() {
    let options = Options::links_only();
    let world = world_of(&options);
    let World { server, workspace, owner, admin, member } = world;
    let base = format!("/workspaces/{workspace}");
    let link = json!({ "destination": "https://example.com/landing" });
    let made = owner.within(&server, &workspace, "POST", "/links", &link).expect(201).data();
    let link = Link::of(&made);
    let machine = json!({ "name": "m", "abilities": ["*"], "machine": true });
    let (_, machine) = owner.token(&server, &workspace, &machine);
    let (_, token) =
        member.token(&server, &workspace, &json!({ "name": "t", "abilities": ["links:read"] }));
    let (_, invitation) = owner.invite(&server, &workspace, "late@example.com", "viewer");
    owner.api(&server).delete(&base).expect(200);

    let is_closed = |server: &Server, users: &[User; 3]| {
        for user in users {
            user.within(server, &workspace, "GET", "/links", &json!({})).problem(404, "NOT_FOUND");
            user.api(server).get(&base).problem(404, "NOT_FOUND");
            user.api(server).get(&format!("{base}/members")).problem(404, "NOT_FOUND");
        }
        for secret in [&machine, &token] {
            server.api_as(secret).get("/links").problem(401, "INVALID_API_KEY");
        }
        server.visit(&link).send().expect(302);
    };
    let users = [owner, admin, member];
    is_closed(&server, &users);
    let preview = server.get(&format!("/api/v1/invitations/{invitation}"));
    assert!(preview.status >= 400, "{preview:?}");
    assert!(server.stop().success());
    let server = options.start();
    // A restarted service listens on another port, and the JWTs are bound to its address.
    let users = users.map(|user| User { jwt: jwt(&server, &user.email, PASSWORD), ..user });
    is_closed(&server, &users);
    let [owner, admin, member] = users;
    let restore = format!("{base}/restore");
    admin.api(&server).post(&restore, &json!({})).problem(403, "FORBIDDEN");
    let stranger = User::new(&server, "stranger");
    stranger.api(&server).post(&restore, &json!({})).problem(404, "NOT_FOUND");
    owner.api(&server).delete(&base).problem(404, "NOT_FOUND");
    let list = owner.api(&server).get("/workspaces").data();
    let deleted = list.as_array().unwrap().iter().find(|one| one["id"] == workspace.as_str());
    assert!(deleted.is_some_and(|one| one["purged_at"].is_string()), "{list}");
    let restored = owner.api(&server).post(&restore, &json!({})).expect(200).data();
    assert_eq!(restored["purged_at"], Value::Null);
    let read = |secret: &str| call(&server, Some(secret), None, ("GET", "/links"), &json!({}));
    for secret in [&machine, &token] {
        assert_eq!(text(&read(secret).expect(200).data()[0], "slug"), link.slug);
    }
    member.within(&server, &workspace, "GET", "/links", &json!({})).expect(200);
}
