//! Every operation of the API, asked by everybody.

use serde_json::{Value, json};

use super::world::{Tenant, World};
use super::{PASSWORD, User, call, jwt, operator};
use crate::harness::{Answer, Server};
use crate::openapi::{Operation, PARAMETERS, operations};

const GARBAGE: &str = "slk_garbage-of-somebody";

/// What each role may do, apart from the source.
const OWNER: &[&str] = &["*"];
const ADMIN: &[&str] = &[
    "links:read",
    "links:create",
    "links:update",
    "links:delete",
    "analytics:read",
    "qr:read",
    "qr:write",
    "user:read",
    "user:write",
    "events:write",
    "audit:read",
    "members:write",
    "workspace:write",
];
const MEMBER: &[&str] = &[
    "links:read",
    "links:create",
    "links:update",
    "links:delete",
    "analytics:read",
    "qr:read",
    "qr:write",
    "user:read",
    "user:write",
    "events:write",
];
const VIEWER: &[&str] = &["links:read", "analytics:read", "qr:read", "user:read", "user:write"];
const BILLING: &[&str] = &["user:read", "user:write"];

/// Operations of the owner alone, though a session suffices to ask.
const OWNERS: &[&str] = &["transfer_offer", "workspaces_delete", "workspaces_restore"];
/// Operations on the caller's account: a machine token has none.
const ACCOUNTS: &[&str] = &["user_get", "user_update"];
/// They would end the walk of a caller who may; other tests carry them out.
const FINAL: &[&str] = &["auth_logout", "user_end_sessions", "workspaces_delete"];

#[derive(Clone, Copy)]
enum May {
    /// Each operation but the public ones is refused with this status.
    Nothing(u16),
    Session(&'static [&'static str]),
    /// The same, and the operator's routes.
    Superadmin,
    Token(&'static [&'static str]),
    Machine(&'static str),
}

struct Caller<'a> {
    name: String,
    credential: Option<String>,
    workspace: Option<&'a str>,
    may: May,
    /// What the caller must not see.
    hidden: Vec<&'a Tenant>,
}

fn holds(abilities: &[&str], needed: &str) -> bool {
    let parts = ["links:create", "links:update", "links:delete"];
    let has = |one: &str| {
        let is_part = parts.contains(&one) && abilities.contains(&"links:write");
        abilities.contains(&"*") || abilities.contains(&one) || is_part
    };
    has(needed) || needed == "links:write" && parts.iter().all(|part| has(part))
}

impl Caller<'_> {
    /// The status of a refusal; `None` if the operation is carried out.
    fn refusal(&self, one: &Operation) -> Option<u16> {
        let (needed, id) = (one.ability.as_str(), one.id.as_str());
        let is_allowed = match (needed, self.may) {
            ("public", _) => true,
            (_, May::Nothing(status)) => return Some(status),
            ("session", May::Session(abilities)) => {
                !OWNERS.contains(&id) || abilities.contains(&"*")
            }
            (_, May::Superadmin) => true,
            ("session" | "operator", _) => false,
            (_, May::Session(abilities) | May::Token(abilities)) => holds(abilities, needed),
            (_, May::Machine(ability)) => holds(&[ability], needed) && !ACCOUNTS.contains(&id),
        };
        (!is_allowed).then_some(403)
    }

    fn ask(&self, server: &Server, one: &Operation, path: &str, address: usize) -> Answer {
        let method = reqwest::Method::from_bytes(one.method.as_bytes()).unwrap();
        let mut request = server.request(method, &format!("/api/v1{path}"));
        if let Some(credential) = &self.credential {
            request = request.bearer_auth(credential);
        }
        if let Some(workspace) = self.workspace {
            request = request.header("x-workspace", workspace);
        }
        if self.credential.as_deref() == Some(GARBAGE) {
            request = request
                .header("x-forwarded-for", format!("198.51.{}.{}", address / 250, address % 250));
        }
        Answer::to(request.json(&body_of(one, "user_00000000000000000000000000")))
    }
}

/// A body with which an operation gets as far as to look up what its path names.
fn body_of(one: &Operation, user: &str) -> Value {
    match one.id.as_str() {
        "transfer_offer" => json!({ "user": user }),
        "members_update" => json!({ "role": "viewer" }),
        "workspaces_update" => json!({ "name": "ourotter renamed" }),
        "links_update" => json!({ "title": "x" }),
        "links_replace" => json!({ "destination": "https://example.com/landing" }),
        "links_revert" => json!({ "version": 1 }),
        "campaigns_update" | "utm_templates_update" | "tokens_update" => json!({ "name": "x" }),
        "domains_update" => json!({ "root_redirect": "https://example.com" }),
        _ => json!({}),
    }
}

/// A path with these ids, and else with what names nothing.
fn path_of<'a>(one: &Operation, ids: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let nothing = PARAMETERS.iter().map(|(name, value)| (*name, *value));
    ids.into_iter().chain(nothing).fold(one.template.clone(), |path, (name, value)| {
        path.replace(&format!("{{{name}}}"), value)
    })
}

/// Everybody who may ask.
fn callers(world: &World) -> Vec<Caller<'_>> {
    let World { server, ours, theirs } = world;
    let here = Some(ours.workspace.as_str());
    let caller = |name: &str, credential: &str, may: May| Caller {
        name: name.to_owned(),
        credential: (!credential.is_empty()).then(|| credential.to_owned()),
        workspace: here,
        may,
        hidden: vec![theirs],
    };
    let joined = |role: &str| {
        let user = User::new(server, &format!("ourotter-{role}-joined"));
        ours.owner.add(server, &ours.workspace, &user, role);
        user
    };
    let all = json!({ "name": "all", "abilities": ["*"] });
    let mut callers = vec![
        caller("nobody", "", May::Nothing(401)),
        caller("garbage", GARBAGE, May::Nothing(401)),
        caller("a JWT without a signature", "eyJhbGciOiJub25lIn0.e30.", May::Nothing(401)),
    ];
    for (role, abilities) in
        [("admin", ADMIN), ("member", MEMBER), ("viewer", VIEWER), ("billing", BILLING)]
    {
        let user = joined(role);
        callers.push(caller(role, &user.jwt, May::Session(abilities)));
        // Of a time when the member owned the workspace.
        let transfer = format!("/workspaces/{}/transfer", ours.workspace);
        let hand_over = |from: &User, to: &User| {
            from.api(server).post(&transfer, &json!({ "user": to.id })).expect(200);
            to.api(server).post(&format!("{transfer}/accept"), &json!({})).expect(200);
        };
        hand_over(&ours.owner, &user);
        let (_, secret) = user.token(server, &ours.workspace, &all);
        hand_over(&user, &ours.owner);
        ours.owner.give_role(server, &ours.workspace, &user, role).expect(200);
        callers.push(caller(
            &format!("a token with * of a {role}"),
            &secret,
            May::Token(abilities),
        ));
    }
    callers.push(caller("owner", &ours.owner.jwt, May::Session(OWNER)));
    for ability in ADMIN.iter().copied().chain(["links:write", "*"]) {
        let body = json!({ "name": "m", "abilities": [ability], "machine": true });
        let (_, secret) = ours.owner.token(server, &ours.workspace, &body);
        let name = format!("a machine token with {ability}");
        callers.push(caller(&name, &secret, May::Machine(ability)));
    }
    let blocked = User::new(server, "ourotter-blocked");
    ours.owner.add(server, &ours.workspace, &blocked, "admin");
    let (_, secret) = blocked.token(
        server,
        &ours.workspace,
        &json!({ "name": "b", "abilities": ["links:read"] }),
    );
    let path = format!("/admin/users/{}", blocked.id);
    operator(server).patch(&path, &json!({ "blocked": true })).expect(200);
    callers.push(caller("the JWT of a blocked user", &blocked.jwt, May::Nothing(401)));
    callers.push(caller("the token of a blocked user", &secret, May::Nothing(403)));

    let hidden = vec![ours];
    let (_, secret) = theirs.owner.token(server, &theirs.workspace, &all);
    let foreign = |name: &str, credential: &str| Caller {
        hidden: hidden.clone(),
        ..caller(name, credential, May::Nothing(404))
    };
    callers.push(foreign("a user of another workspace", &theirs.owner.jwt));
    callers.push(foreign("a token of another workspace", &secret));
    let there = Some(theirs.workspace.as_str());
    let neighbour = foreign("the owner of another workspace, there", &theirs.owner.jwt);
    callers.push(Caller { workspace: there, may: May::Session(OWNER), ..neighbour });

    let root = User::new(server, "root");
    let path = format!("/admin/users/{}", root.id);
    operator(server).patch(&path, &json!({ "role": "SUPERADMIN" })).expect(200);
    let root = jwt(server, &root.email, PASSWORD);
    let hidden = vec![ours, theirs];
    let elsewhere = Caller {
        hidden,
        ..caller("a superadmin, in a foreign workspace", &root, May::Nothing(404))
    };
    callers.push(elsewhere);
    let superadmin = caller("a superadmin", &root, May::Superadmin);
    callers.push(Caller { workspace: None, hidden: vec![ours, theirs], ..superadmin });
    callers
}

/// No more and no less than the role or the token allows, and nothing of another workspace.
#[test]
fn everybody_may_do_what_the_role_says_and_no_more() {
    let world = World::new();
    let operations = operations(&world.server);
    let callers = callers(&world);
    let mut wrong = Vec::new();
    for (at, caller) in callers.iter().enumerate() {
        for (number, one) in operations.iter().enumerate() {
            let refusal = caller.refusal(one);
            if refusal.is_none() && FINAL.contains(&one.id.as_str()) {
                continue;
            }
            let workspace = world.ours.workspace.as_str();
            let path = path_of(one, [("workspace", workspace)]);
            let answer = caller.ask(&world.server, one, &path, at * operations.len() + number);
            let status = answer.status;
            let is_right = match refusal {
                Some(expected) => {
                    let problem: Value = serde_json::from_str(&answer.text).unwrap_or_default();
                    status == expected
                        && problem["code"].is_string()
                        && problem.get("data").is_none()
                }
                None => status < 500 && (![401, 403].contains(&status) || one.ability == "public"),
            };
            let shown = caller.hidden.iter().find_map(|tenant| tenant.found_in(&answer.text));
            let may_see = matches!(caller.may, May::Superadmin)
                && ["operator", "*"].contains(&one.ability.as_str());
            if !is_right || (shown.is_some() && !may_see) {
                wrong.push(format!(
                    "{}: {} ({}): {status}, not {refusal:?}; shows {shown:?}: {:.300}",
                    caller.name, one.id, one.ability, answer.text,
                ));
            }
        }
    }
    assert!(operations.len() > 110 && callers.len() > 25, "{}", operations.len());
    assert!(wrong.is_empty(), "{} are wrong:\n{}", wrong.len(), wrong.join("\n"));
}

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
