//! Every operation of the API, asked by everybody.

use serde_json::{Value, json};

use super::world::{Tenant, World};
use super::{PASSWORD, User, jwt, operator};
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
    "billing:write",
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
const BILLING: &[&str] = &["user:read", "user:write", "billing:write"];

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
            ("public", _) | (_, May::Superadmin) => true,
            (_, May::Nothing(status)) => return Some(status),
            ("session", May::Session(abilities)) => {
                !OWNERS.contains(&id) || abilities.contains(&"*")
            }
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
pub fn body_of(one: &Operation, user: &str) -> Value {
    match one.id.as_str() {
        "transfer_offer" => json!({ "user": user }),
        "members_update" => json!({ "role": "viewer" }),
        "workspaces_update" => json!({ "name": "ourotter renamed" }),
        "links_update" => json!({ "title": "x" }),
        "links_replace" => json!({ "destination": "https://example.com/landing" }),
        "links_revert" | "qr_codes_revert" => json!({ "version": 1 }),
        "campaigns_update" | "utm_templates_update" | "tokens_update" => json!({ "name": "x" }),
        "domains_update" => json!({ "root_redirect": "https://example.com" }),
        _ => json!({}),
    }
}

/// A path with these ids, and else with what names nothing.
pub fn path_of<'a>(one: &Operation, ids: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let nothing = PARAMETERS.iter().map(|(name, value)| (*name, *value));
    ids.into_iter().chain(nothing).fold(one.template.clone(), |path, (name, value)| {
        path.replace(&format!("{{{name}}}"), value)
    })
}

impl<'a> Caller<'a> {
    /// A caller in our workspace.
    fn new(world: &'a World, name: &str, credential: &str, may: May) -> Self {
        let credential = (!credential.is_empty()).then(|| credential.to_owned());
        let workspace = Some(world.ours.workspace.as_str());
        Self { name: name.to_owned(), credential, workspace, may, hidden: vec![&world.theirs] }
    }
}

fn with_all() -> Value {
    json!({ "name": "all", "abilities": ["*"] })
}

/// A member with each role, and a token with `*` of the time when that member owned the workspace.
fn members(world: &World) -> Vec<Caller<'_>> {
    let World { server, ours, .. } = world;
    let transfer = format!("/workspaces/{}/transfer", ours.workspace);
    let hand_over = |from: &User, to: &User| {
        from.api(server).post(&transfer, &json!({ "user": to.id })).expect(200);
        to.api(server).post(&format!("{transfer}/accept"), &json!({})).expect(200);
    };
    let roles = [("admin", ADMIN), ("member", MEMBER), ("viewer", VIEWER), ("billing", BILLING)];
    let mut callers = Vec::new();
    for (role, abilities) in roles {
        let user = User::new(server, &format!("ourotter-{role}-joined"));
        ours.owner.add(server, &ours.workspace, &user, role);
        hand_over(&ours.owner, &user);
        let (_, secret) = user.token(server, &ours.workspace, &with_all());
        hand_over(&user, &ours.owner);
        ours.owner.give_role(server, &ours.workspace, &user, role).expect(200);
        callers.push(Caller::new(world, role, &user.jwt, May::Session(abilities)));
        let name = format!("a token with * of a {role}");
        callers.push(Caller::new(world, &name, &secret, May::Token(abilities)));
    }
    callers.push(Caller::new(world, "owner", &ours.owner.jwt, May::Session(OWNER)));
    for ability in ADMIN.iter().copied().chain(["links:write", "*"]) {
        let body = json!({ "name": "m", "abilities": [ability], "machine": true });
        let (_, secret) = ours.owner.token(server, &ours.workspace, &body);
        let name = format!("a machine token with {ability}");
        callers.push(Caller::new(world, &name, &secret, May::Machine(ability)));
    }
    callers
}

/// Those who may do nothing in our workspace.
fn strangers(world: &World) -> Vec<Caller<'_>> {
    let World { server, ours, theirs } = world;
    let caller = |name: &str, credential: &str, status: u16| {
        Caller::new(world, name, credential, May::Nothing(status))
    };
    let blocked = User::new(server, "ourotter-blocked");
    ours.owner.add(server, &ours.workspace, &blocked, "admin");
    let body = json!({ "name": "b", "abilities": ["links:read"] });
    let (_, of_blocked) = blocked.token(server, &ours.workspace, &body);
    let path = format!("/admin/users/{}", blocked.id);
    operator(server).patch(&path, &json!({ "blocked": true })).expect(200);
    let mut callers = vec![
        caller("nobody", "", 401),
        caller("garbage", GARBAGE, 401),
        caller("a JWT without a signature", "eyJhbGciOiJub25lIn0.e30.", 401),
        caller("the JWT of a blocked user", &blocked.jwt, 401),
        caller("the token of a blocked user", &of_blocked, 403),
    ];
    let (_, secret) = theirs.owner.token(server, &theirs.workspace, &with_all());
    let foreign = |name: &str, credential: &str| Caller {
        hidden: vec![ours],
        ..caller(name, credential, 404)
    };
    callers.push(foreign("a user of another workspace", &theirs.owner.jwt));
    callers.push(foreign("a token of another workspace", &secret));
    let there = Some(theirs.workspace.as_str());
    let neighbour = foreign("the owner of another workspace, there", &theirs.owner.jwt);
    callers.push(Caller { workspace: there, may: May::Session(OWNER), ..neighbour });
    callers
}

/// A superadmin is a member of no workspace but the personal one.
fn superadmins(world: &World) -> [Caller<'_>; 2] {
    let World { server, ours, theirs } = world;
    let root = User::new(server, "root");
    let path = format!("/admin/users/{}", root.id);
    operator(server).patch(&path, &json!({ "role": "SUPERADMIN" })).expect(200);
    let root = jwt(server, &root.email, PASSWORD);
    [
        ("a superadmin in our workspace", Some(ours.workspace.as_str()), May::Nothing(404)),
        ("a superadmin", None, May::Superadmin),
    ]
    .map(|(name, workspace, may)| Caller {
        workspace,
        hidden: vec![ours, theirs],
        ..Caller::new(world, name, &root, may)
    })
}

/// No more and no less than the role or the token allows, and nothing of another workspace.
#[test]
fn everybody_may_do_what_the_role_says_and_no_more() {
    let world = World::new();
    let operations = operations(&world.server);
    let mut callers = strangers(&world);
    callers.extend(members(&world));
    callers.extend(superadmins(&world));
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
