//! Two workspaces full of data that is recognised wherever it appears.

use serde_json::{Value, json};

use super::{User, text};
use crate::harness::{Link, Options, Server};

/// A workspace with one of everything.
pub struct Tenant {
    pub workspace: String,
    pub owner: User,
    pub member: User,
    pub slug: String,
    /// The ids of what it has, by the names of the parameters of paths.
    pub ids: Vec<(&'static str, String)>,
    /// A word in each name.
    mark: &'static str,
}

pub struct World {
    pub server: Server,
    pub ours: Tenant,
    pub theirs: Tenant,
}

impl World {
    pub fn new() -> Self {
        let server = Options::new().behind_proxy().start();
        server.await_analytics();
        let ours = Tenant::new(&server, "ourotter");
        let theirs = Tenant::new(&server, "theirzebra");
        server.await_projection();
        Self { server, ours, theirs }
    }
}

impl Tenant {
    #[track_caller]
    fn new(server: &Server, mark: &'static str) -> Self {
        let owner = User::new(server, &format!("{mark}-owner"));
        let member = User::new(server, &format!("{mark}-member"));
        let workspace = owner.workspace(server, &format!("{mark} workspace"));
        owner.add(server, &workspace, &member, "member");
        let make = |path: &str, status: u16, body: Value| {
            owner.within(server, &workspace, "POST", path, &body).expect(status).data()
        };
        let campaign = make("/campaigns", 201, json!({ "name": format!("{mark} campaign") }));
        let template = json!({ "name": format!("{mark} template"), "utm_source": mark });
        let template = make("/utm-templates", 201, template);
        let domain = make("/domains", 201, json!({ "hostname": format!("{mark}.example") }));
        let link = json!({
            "destination": format!("https://example.com/{mark}"), "title": format!("{mark} title"),
            "tags": [format!("{mark}-tag")], "folder": format!("{mark} folder"), "notes": mark,
            "campaign": campaign["id"], "external_id": format!("{mark}-external"),
        });
        let link = make("/links", 201, link);
        let radius = mark.len();
        let logo = format!(
            "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 40 40'><circle cx='20' cy='20' r='{radius}'/></svg>",
        );
        let code = json!({
            "link": link["id"], "name": format!("{mark} code"),
            "logo": format!("data:image/svg+xml,{logo}"),
        });
        let code = make("/qr-codes", 201, code);
        let token = json!({ "name": format!("{mark} token"), "abilities": ["links:read"] });
        let token = make("/tokens", 201, token);
        let export = make("/exports", 202, json!({ "format": "csv" }));
        let qr_export = make("/qr-codes/exports", 202, json!({}));
        let guest = format!("{mark}-guest@example.com");
        let (invitation, _) = owner.invite(server, &workspace, &guest, "viewer");
        let sessions = owner.api(server).get("/user/sessions").data();
        server.visit(&Link::of(&link)).send().expect(302);
        let ids = vec![
            ("workspace", workspace.clone()),
            ("link", text(&link, "id")),
            ("campaign", text(&campaign, "id")),
            ("template", text(&template, "id")),
            ("domain", text(&domain, "id")),
            ("qr_code", text(&code, "id")),
            ("logo", text(&code, "logo")),
            ("token", text(&token, "id")),
            ("export", text(&export, "id")),
            ("qr_export", text(&qr_export, "id")),
            ("invitation", invitation),
            ("user", member.id.clone()),
            ("session", text(&sessions[0], "id")),
        ];
        Self { workspace, owner, member, slug: text(&link, "slug"), ids, mark }
    }

    /// What of this workspace a text contains.
    pub fn found_in(&self, text: &str) -> Option<String> {
        let text = text.to_lowercase();
        let owner = ("owner", self.owner.id.clone());
        let mut all = self.ids.iter().chain([&owner]);
        if text.contains(self.mark) {
            return Some(self.mark.to_owned());
        }
        all.find(|(_, id)| text.contains(id.as_str())).map(|(name, _)| (*name).to_owned())
    }

    /// Whether a text contains a name of this workspace; ids may be repeated from the request.
    pub fn is_named_in(&self, text: &str) -> bool {
        text.to_lowercase().contains(self.mark)
    }

    pub fn id(&self, name: &str) -> &str {
        &self.ids.iter().find(|(one, _)| *one == name).unwrap().1
    }

    /// All that its owner sees of it.
    pub fn seen(&self, server: &Server) -> Vec<Value> {
        let base = format!("/workspaces/{}", self.workspace);
        let paths = [
            "/links",
            "/campaigns",
            "/utm-templates",
            "/domains",
            "/qr-codes",
            "/qr-codes/exports",
            "/qr-logos",
            "/qr-defaults",
            "/tokens",
            "/exports",
            "/tags",
            "/folders",
            &base,
            &format!("{base}/members"),
            &format!("{base}/invitations"),
        ];
        let read = |path: &str| {
            let answer = self.owner.within(server, &self.workspace, "GET", path, &json!({}));
            let mut data = answer.expect(200).data();
            // It changes by itself.
            for one in data.as_array_mut().into_iter().flatten() {
                for volatile in [
                    "state",
                    "done",
                    "total",
                    "rows",
                    "bytes",
                    "finished_at",
                    "clicks",
                    "download_url",
                ] {
                    drop(one.as_object_mut().and_then(|one| one.remove(volatile)));
                }
            }
            data
        };
        paths.into_iter().map(read).collect()
    }
}
