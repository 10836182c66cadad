//! Invitations. Mail is not configured, so the responses have the links.

use serde_json::{Value, json};

use super::{PASSWORD, User, jwt, link_token, public, text};
use crate::harness::{Answer, Options, Server};

/// Invited people can sign up.
fn open_to_invited() -> Options {
    Options::links_only().flag("--sign-up", "invitation")
}

fn list(server: &Server, user: &User, workspace: &str) -> Vec<Value> {
    let found = user.api(server).get(&format!("/workspaces/{workspace}/invitations")).expect(200);
    found.data().as_array().unwrap().clone()
}

fn preview(server: &Server, token: &str) -> Answer {
    server.get(&format!("/api/v1/invitations/{token}"))
}

#[test]
fn who_was_invited_becomes_a_member_once() {
    let server = Options::links_only().start();
    let [owner, invited, other] =
        ["owner", "invited", "other"].map(|name| User::new(&server, name));
    let workspace = owner.workspace(&server, "Shared");
    let (id, token) = owner.invite(&server, &workspace, " INVITED@Example.com ", "viewer");
    let shown = preview(&server, &token).expect(200);
    let data = shown.data();
    assert_eq!((&data["workspace"], &data["email"]), (&json!("Shared"), &json!(invited.email)));
    assert_eq!(data["role"], "viewer");
    for secret in [&workspace, &owner.email, &owner.id, &id] {
        assert!(!shown.text.contains(secret.as_str()), "{}", shown.text);
    }
    let listed = list(&server, &owner, &workspace);
    assert_eq!(listed.len(), 1);
    assert!(listed[0].get("link").is_none() && listed[0]["id"] == id.as_str(), "{listed:?}");

    // Nobody else accepts it, nor does a token of the invited user.
    for wrong in [&other, &owner] {
        let answer = wrong.accept(&server, &token);
        answer.problem(403, "FORBIDDEN");
        assert!(!answer.text.contains(&invited.email), "{}", answer.text);
    }
    let (_, secret) = invited.api(&server).token(&["user:read", "user:write"]);
    let path = format!("/invitations/{token}/accept");
    server.api_as(secret).post(&path, &json!({})).problem(403, "FORBIDDEN");
    public(&server, &path, &json!({})).problem(401, "UNAUTHORIZED");
    for broken in [&token[1..], &format!("{token}A"), &token.to_uppercase(), "x"] {
        let answer = invited.accept(&server, broken);
        assert!([404, 410].contains(&answer.status), "{answer:?}");
        assert!([404, 410].contains(&preview(&server, broken).status));
    }
    assert!(invited.api(&server).get(&format!("/workspaces/{workspace}")).status == 404);

    let member = invited.accept(&server, &token).expect(200).data();
    assert_eq!((&member["role"], &member["user"]), (&json!("viewer"), &json!(invited.id)));
    let is_used = || {
        invited.accept(&server, &token).problem(410, "GONE");
        preview(&server, &token).problem(410, "GONE");
    };
    is_used();
    owner.give_role(&server, &workspace, &invited, "member").expect(200);
    is_used();
    owner.give_role(&server, &workspace, &invited, "viewer").expect(200);
    assert!(list(&server, &owner, &workspace).is_empty());
    let found = invited.api(&server).get(&format!("/workspaces/{workspace}")).data();
    assert_eq!((&found["role"], &found["members"]), (&json!("viewer"), &json!(2)));
    // Of many acceptances at once, one counts.
    let (_, token) = owner.invite(&server, &workspace, &other.email, "member");
    let statuses = std::thread::scope(|scope| {
        let asked: Vec<_> =
            (0..5).map(|_| scope.spawn(|| other.accept(&server, &token).status)).collect();
        asked.into_iter().map(|one| one.join().unwrap()).collect::<Vec<_>>()
    });
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
    let found = owner.api(&server).get(&format!("/workspaces/{workspace}")).data();
    assert_eq!(found["members"], 3);
}

#[test]
fn a_revoked_invitation_is_gone() {
    let server = open_to_invited().start();
    let (owner, invited) = (User::new(&server, "owner"), User::new(&server, "invited"));
    let workspace = owner.workspace(&server, "Shared");
    let elsewhere = owner.workspace(&server, "Elsewhere");
    let (id, token) = owner.invite(&server, &workspace, &invited.email, "member");
    let path = |workspace: &str| format!("/workspaces/{workspace}/invitations/{id}");
    owner.api(&server).delete(&path(&elsewhere)).problem(404, "NOT_FOUND");
    invited.api(&server).delete(&path(&workspace)).problem(404, "NOT_FOUND");
    let resend = format!("{}/resend", path(&workspace));
    let link = text(&owner.api(&server).post(&resend, &json!({})).expect(200).data(), "link");
    owner.api(&server).delete(&path(&workspace)).expect(204);
    for token in [token, link_token(&link)] {
        invited.accept(&server, &token).problem(404, "NOT_FOUND");
        preview(&server, &token).problem(404, "NOT_FOUND");
        let body = json!({ "password": PASSWORD, "invitation": token });
        public(&server, "/auth/sign-up", &body).problem(404, "NOT_FOUND");
    }
    owner.api(&server).delete(&path(&workspace)).problem(404, "NOT_FOUND");
    owner.api(&server).post(&resend, &json!({})).problem(404, "NOT_FOUND");
    // Its address can be invited again.
    owner.add(&server, &workspace, &invited, "member");
}

#[test]
fn what_cannot_be_invited_is_refused() {
    let server = Options::links_only().start();
    let (owner, member) = (User::new(&server, "owner"), User::new(&server, "member"));
    let workspace = owner.workspace(&server, "Shared");
    owner.add(&server, &workspace, &member, "member");
    let invite = |who: &[(&str, &str)]| owner.try_invite(&server, &workspace, who);
    let many: Vec<_> = (0..11).map(|number| format!("{number}@example.com")).collect();
    let eleven: Vec<_> = many.iter().map(|email| (email.as_str(), "viewer")).collect();
    invite(&eleven).refuses(400, "VALIDATION_ERROR", &["invitations"]);
    invite(&[]).refuses(400, "VALIDATION_ERROR", &["invitations"]);
    assert!(list(&server, &owner, &workspace).is_empty());

    invite(&[(&member.email, "admin")]).problem(409, "CONFLICT");
    invite(&[("OWNER@example.com", "viewer")]).problem(409, "CONFLICT");
    invite(&[("x@example.com", "viewer")]).expect(201);
    invite(&[(" X@Example.com", "admin")]).problem(409, "CONFLICT");
    for role in ["owner", "OWNER", "superadmin", "", "Admin"] {
        invite(&[("y@example.com", role)]).refuses(
            400,
            "VALIDATION_ERROR",
            &["invitations[0].role"],
        );
    }
    for email in ["", "y", "y@", "y@x", "a@example.com, b@example.com", "y@example.com\r\nBcc: z"] {
        invite(&[(email, "viewer")]).refuses(400, "VALIDATION_ERROR", &["invitations[0].email"]);
    }
    // A mistake in one sends none.
    invite(&[("y@example.com", "viewer"), ("z", "viewer")]).refuses(
        400,
        "VALIDATION_ERROR",
        &["invitations[1].email"],
    );
    assert_eq!(list(&server, &owner, &workspace).len(), 1);
    let result = invite(&[
        ("y@example.com", "viewer"),
        (&member.email, "viewer"),
        ("Y@example.com", "viewer"),
        ("x@example.com", "viewer"),
    ]);
    let result = result.expect(201).data();
    let errors: Vec<_> =
        result.as_array().unwrap().iter().map(|one| &one["error"]["code"]).collect();
    assert_eq!(errors, [&json!(null), &json!("CONFLICT"), &json!("CONFLICT"), &json!("CONFLICT")]);
    assert_eq!(list(&server, &owner, &workspace).len(), 2);
    // A personal workspace has one member.
    let personal = owner.id.replace("user_", "ws_");
    owner.try_invite(&server, &personal, &[("z@example.com", "viewer")]).problem(409, "CONFLICT");
}

/// An invitation gives no more than who sends it has, and its link proves the address only.
#[test]
fn who_is_invited_signs_up_with_the_invited_address() {
    let server = open_to_invited().start();
    let (owner, admin) = (User::new(&server, "owner"), User::new(&server, "admin"));
    let workspace = owner.workspace(&server, "Shared");
    owner.add(&server, &workspace, &admin, "admin");
    let (_, token) = admin.invite(&server, &workspace, "new@example.com", "admin");
    let sign_up = |body: Value| public(&server, "/auth/sign-up", &body);
    sign_up(json!({ "email": "new@example.com", "password": PASSWORD })).problem(403, "FORBIDDEN");
    sign_up(json!({ "password": "short", "invitation": token })).refuses(
        400,
        "VALIDATION_ERROR",
        &["password"],
    );
    sign_up(json!({ "password": PASSWORD, "invitation": token, "email": "owner@example.com" }))
        .refuses(400, "VALIDATION_ERROR", &["email"]);
    let made = sign_up(json!({ "password": PASSWORD, "invitation": token, "name": "New" }));
    let made = made.expect(201);
    assert!(!made.headers.contains_key("set-cookie"));
    let (id, email) = (text(&made.data(), "id"), "new@example.com".to_owned());
    sign_up(json!({ "password": "another password", "invitation": token }))
        .problem(409, "CONFLICT");
    let new = User { id, jwt: jwt(&server, &email, PASSWORD), email };
    // Signing up is not accepting.
    new.api(&server).get(&format!("/workspaces/{workspace}")).problem(404, "NOT_FOUND");
    new.accept(&server, &token).expect(200);
    new.api(&server).get(&format!("/workspaces/{workspace}/members")).expect(200);
}

/// By default nobody signs up, invited or not.
#[test]
fn signing_up_is_closed_by_default() {
    let server = Options::links_only().start();
    let owner = User::new(&server, "owner");
    let workspace = owner.workspace(&server, "Shared");
    let (_, token) = owner.invite(&server, &workspace, "new@example.com", "admin");
    for body in [
        json!({ "password": PASSWORD, "invitation": token }),
        json!({ "password": PASSWORD, "email": "new@example.com" }),
        json!({ "password": PASSWORD, "email": owner.email }),
    ] {
        public(&server, "/auth/sign-up", &body).problem(403, "FORBIDDEN");
    }
    let refused = Options::links_only().flag("--sign-up", "open").command().output().unwrap();
    assert!(!refused.status.success(), "open sign-up needs mail");
}

/// Not even in a request that names no workspace, or one where the caller is somebody: the role in
/// the workspace of the path counts.
#[test]
fn a_role_elsewhere_opens_nothing_here() {
    let server = Options::links_only().start();
    let [owner, viewer, member, billing, stranger] =
        ["owner", "viewer", "member", "billing", "stranger"].map(|name| User::new(&server, name));
    let workspace = owner.workspace(&server, "Shared");
    for (user, role) in [(&viewer, "viewer"), (&member, "member"), (&billing, "billing")] {
        owner.add(&server, &workspace, user, role);
    }
    let (id, _) = owner.invite(&server, &workspace, "secret-guest@example.com", "viewer");
    let base = format!("/workspaces/{workspace}");
    let invite = json!({ "invitations": [{ "email": "w@example.com", "role": "viewer" }] });
    let requests = [
        ("PATCH", base.clone(), json!({ "name": "Taken" })),
        ("DELETE", base.clone(), json!({})),
        ("GET", format!("{base}/invitations"), json!({})),
        ("POST", format!("{base}/invitations"), invite),
        ("POST", format!("{base}/invitations/{id}/resend"), json!({})),
        ("DELETE", format!("{base}/invitations/{id}"), json!({})),
        ("PATCH", format!("{base}/members/{}", viewer.id), json!({ "role": "admin" })),
        ("PATCH", format!("{base}/members/{}", stranger.id), json!({ "role": "admin" })),
        ("POST", format!("{base}/transfer"), json!({ "user": member.id })),
    ];
    let own = viewer.workspace(&server, "Own");
    for (user, role) in [(&viewer, 403), (&member, 403), (&billing, 403), (&stranger, 404)] {
        let elsewhere = if role == 403 && user.id == viewer.id {
            own.clone()
        } else {
            user.id.replace("user_", "ws_")
        };
        for (method, path, body) in &requests {
            for named in [None, Some(elsewhere.as_str())] {
                let answer = super::call(&server, Some(&user.jwt), named, (method, path), body);
                let is_unknown = path.ends_with(&stranger.id) && answer.status == 404;
                assert!(
                    answer.status == role || is_unknown,
                    "{} {method} {path}: {answer:?}",
                    user.email
                );
                assert!(!answer.text.contains("secret-guest"), "{}", answer.text);
            }
        }
    }
    let found = owner.api(&server).get(&base).data();
    assert_eq!((&found["name"], &found["members"]), (&json!("Shared"), &json!(4)));
}
