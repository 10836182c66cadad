//! Accounts: signing in, users, workspaces, and who may do what.

mod cookies;
mod foreign;
mod invitations;
mod jwt;
mod limits;
mod mail;
mod mass_assignment;
mod matrix;
mod secrets;
mod sessions;
mod token_features;
pub mod two_factor;
mod users;
mod workspaces;
mod world;

use std::fs;

use reqwest::Method;
use reqwest::blocking::RequestBuilder;
use serde_json::{Value, json};

use crate::harness::{Answer, Api, Server};

pub const PASSWORD: &str = "correct horse battery";

/// The API as the operator of the machine.
pub fn operator(server: &Server) -> Api<'_> {
    let control = fs::read(server.data.path().join("service.json")).unwrap();
    let control: Value = serde_json::from_slice(&control).unwrap();
    server.api_as(control["key"].as_str().unwrap())
}

/// A user who is signed in with a JWT.
#[derive(Clone)]
pub struct User {
    pub id: String,
    pub email: String,
    pub jwt: String,
}

impl User {
    /// Creates the user `NAME@example.com`.
    #[track_caller]
    pub fn new(server: &Server, name: &str) -> Self {
        let email = format!("{name}@example.com");
        let id = add_user(server, &json!({ "email": email, "name": name, "password": PASSWORD }));
        let jwt = jwt(server, &email, PASSWORD);
        Self { id, email, jwt }
    }

    pub fn api<'a>(&self, server: &'a Server) -> Api<'a> {
        server.api_as(&self.jwt)
    }

    /// Creates a workspace, which the user owns.
    #[track_caller]
    pub fn workspace(&self, server: &Server, name: &str) -> String {
        let made = self.api(server).post("/workspaces", &json!({ "name": name })).expect(201);
        text(&made.data(), "id")
    }

    /// Invites an address; the id of the invitation, and the token of its link.
    #[track_caller]
    pub fn invite(
        &self,
        server: &Server,
        workspace: &str,
        email: &str,
        role: &str,
    ) -> (String, String) {
        let invited = self.try_invite(server, workspace, &[(email, role)]).expect(201).data();
        let invitation = &invited[0]["invitation"];
        (text(invitation, "id"), link_token(&text(invitation, "link")))
    }

    pub fn try_invite(&self, server: &Server, workspace: &str, who: &[(&str, &str)]) -> Answer {
        let who = who.iter().map(|(email, role)| json!({ "email": email, "role": role }));
        let body = json!({ "invitations": who.collect::<Vec<_>>() });
        self.api(server).post(&format!("/workspaces/{workspace}/invitations"), &body)
    }

    /// Makes another user a member of a workspace.
    #[track_caller]
    pub fn add(&self, server: &Server, workspace: &str, other: &Self, role: &str) {
        let (_, token) = self.invite(server, workspace, &other.email, role);
        other.accept(server, &token).expect(200);
    }

    pub fn accept(&self, server: &Server, token: &str) -> Answer {
        self.api(server).post(&format!("/invitations/{token}/accept"), &json!({}))
    }

    /// Gives a member another role.
    pub fn give_role(&self, server: &Server, workspace: &str, other: &Self, role: &str) -> Answer {
        let path = format!("/workspaces/{workspace}/members/{}", other.id);
        self.api(server).patch(&path, &json!({ "role": role }))
    }

    /// A request in a workspace.
    pub fn within(
        &self,
        server: &Server,
        workspace: &str,
        method: &str,
        path: &str,
        body: &Value,
    ) -> Answer {
        call(server, Some(&self.jwt), Some(workspace), (method, path), body)
    }

    /// Creates a token in a workspace: its id and its secret.
    #[track_caller]
    pub fn token(&self, server: &Server, workspace: &str, body: &Value) -> (String, String) {
        let made = self.within(server, workspace, "POST", "/tokens", body).expect(201).data();
        (text(&made, "id"), text(&made, "token"))
    }
}

/// Creates a user as the operator; returns the id.
#[track_caller]
pub fn add_user(server: &Server, body: &Value) -> String {
    let made = operator(server).post("/admin/users", body).expect(201).data();
    text(&made["user"], "id")
}

#[track_caller]
pub fn jwt(server: &Server, email: &str, password: &str) -> String {
    let body = json!({ "email": email, "password": password });
    text(&public(server, "/auth/token", &body).expect(200).json(), "token")
}

/// A request below `/api/v1`, with a credential and a workspace if there are any.
pub fn call(
    server: &Server,
    credential: Option<&str>,
    workspace: Option<&str>,
    (method, path): (&str, &str),
    body: &Value,
) -> Answer {
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    let mut request = server.request(method, &format!("/api/v1{path}"));
    if let Some(credential) = credential {
        request = request.bearer_auth(credential);
    }
    if let Some(workspace) = workspace {
        request = request.header("x-workspace", workspace);
    }
    Answer::to(request.json(body))
}

/// A `POST` without a credential.
pub fn public(server: &Server, path: &str, body: &Value) -> Answer {
    call(server, None, None, ("POST", path), body)
}

/// Signs in with a cookie, from an address.
pub fn login_from(server: &Server, address: &str, email: &str, password: &str) -> Answer {
    let request = server.request(Method::POST, "/api/v1/auth/login");
    let request = request.header("x-forwarded-for", address);
    Answer::to(request.json(&json!({ "email": email, "password": password })))
}

pub fn login(server: &Server, email: &str, password: &str) -> Answer {
    public(server, "/auth/login", &json!({ "email": email, "password": password }))
}

/// A browser that is signed in.
pub struct Browser {
    /// `NAME=VALUE`
    pub cookie: String,
    pub csrf: String,
}

impl Browser {
    #[track_caller]
    pub fn new(server: &Server, email: &str) -> Self {
        Self::of(&login(server, email, PASSWORD))
    }

    /// The session that an answer starts.
    #[track_caller]
    pub fn of(answer: &Answer) -> Self {
        let cookie = answer.header("set-cookie").split(';').next().unwrap().to_owned();
        Self { cookie, csrf: text(&answer.data(), "csrf_token") }
    }

    /// A request with the cookie only.
    pub fn bare(&self, server: &Server, method: Method, path: &str) -> RequestBuilder {
        server.request(method, &format!("/api/v1{path}")).header("cookie", &self.cookie)
    }

    /// A request as the dashboard makes it.
    pub fn request(&self, server: &Server, method: Method, path: &str) -> RequestBuilder {
        self.bare(server, method, path).header("x-csrf-token", &self.csrf)
    }

    pub fn get(&self, server: &Server, path: &str) -> Answer {
        Answer::to(self.bare(server, Method::GET, path))
    }

    pub fn post(&self, server: &Server, path: &str, body: &Value) -> Answer {
        Answer::to(self.request(server, Method::POST, path).json(body))
    }

    pub fn delete(&self, server: &Server, path: &str) -> Answer {
        Answer::to(self.request(server, Method::DELETE, path))
    }
}

/// The text of a field.
#[track_caller]
pub fn text(data: &Value, field: &str) -> String {
    data[field].as_str().unwrap_or_else(|| panic!("no {field}: {data}")).to_owned()
}

/// The last part of a link in a mail.
pub fn link_token(link: &str) -> String {
    link.rsplit('/').next().unwrap().to_owned()
}
