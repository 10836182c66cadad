//! The requests of API clients and visitors.

use std::fmt::Display;

use reqwest::Method;
use reqwest::blocking::RequestBuilder;
use reqwest::header::{ACCEPT_LANGUAGE, REFERER, USER_AGENT};
use serde_json::{Value, json};

use super::agents::CHROME_ON_WINDOWS;
use super::answer::Answer;
use super::options::TOKEN;
use super::server::Server;

/// The API, spoken to with a token.
#[derive(Clone)]
pub struct Api<'a> {
    server: &'a Server,
    token: String,
}

/// A link that a test has made.
#[derive(Debug, Clone)]
pub struct Link {
    pub id: String,
    pub slug: String,
}

/// A visitor's request for a link, on its way.
pub struct Visit(RequestBuilder);

impl Server {
    /// The API as the owner.
    pub fn api(&self) -> Api<'_> {
        self.api_as(TOKEN)
    }

    pub fn api_as(&self, token: impl Into<String>) -> Api<'_> {
        Api { server: self, token: token.into() }
    }

    /// Creates a link to a destination.
    #[track_caller]
    pub fn link(&self) -> Link {
        self.link_to("https://example.com/landing")
    }

    /// Creates a link to this destination with a generated slug.
    #[track_caller]
    pub fn link_to(&self, destination: &str) -> Link {
        self.api().create(&json!({ "destination": destination }))
    }

    /// A desktop browser's request for a link.
    pub fn visit(&self, link: &Link) -> Visit {
        self.visit_path(&format!("/{}", link.slug))
    }

    /// A desktop browser's request for a path, its query included.
    pub fn visit_path(&self, path: &str) -> Visit {
        Visit(self.request(Method::GET, path)).agent(CHROME_ON_WINDOWS)
    }

    /// A `HEAD` of a desktop browser's.
    pub fn visit_head(&self, link: &Link) -> Visit {
        Visit(self.request(Method::HEAD, &format!("/{}", link.slug))).agent(CHROME_ON_WINDOWS)
    }
}

impl Api<'_> {
    /// A request below `/api/v1`, with the token.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.server.request(method, &format!("/api/v1{path}")).bearer_auth(&self.token)
    }

    #[track_caller]
    pub fn get(&self, path: &str) -> Answer {
        Answer::to(self.request(Method::GET, path))
    }

    #[track_caller]
    pub fn post(&self, path: &str, body: &Value) -> Answer {
        Answer::to(self.request(Method::POST, path).json(body))
    }

    #[track_caller]
    pub fn put(&self, path: &str, body: &Value) -> Answer {
        Answer::to(self.request(Method::PUT, path).json(body))
    }

    #[track_caller]
    pub fn patch(&self, path: &str, body: &Value) -> Answer {
        Answer::to(self.request(Method::PATCH, path).json(body))
    }

    #[track_caller]
    pub fn delete(&self, path: &str) -> Answer {
        Answer::to(self.request(Method::DELETE, path))
    }

    /// Makes a link.
    #[track_caller]
    pub fn create(&self, body: &Value) -> Link {
        let made = self.post("/links", body).expect(201).data();
        Link::of(&made)
    }

    /// A new token with these abilities: its id and its secret.
    #[track_caller]
    pub fn token(&self, abilities: &[&str]) -> (String, String) {
        let body = json!({ "name": "limited", "abilities": abilities });
        let made = self.post("/tokens", &body).expect(201).data();
        let text = |name: &str| made[name].as_str().unwrap().to_owned();
        (text("id"), text("token"))
    }
}

impl Link {
    /// The link in an answer's `data`.
    #[track_caller]
    pub fn of(data: &Value) -> Self {
        let text = |name: &str| data[name].as_str().unwrap_or_else(|| panic!("{data}")).to_owned();
        Self { id: text("id"), slug: text("slug") }
    }

    /// Its path below `/api/v1`.
    pub fn path(&self) -> String {
        format!("/links/{}", self.slug)
    }
}

impl Visit {
    pub fn agent(self, user_agent: &str) -> Self {
        self.header(USER_AGENT.as_str(), user_agent)
    }

    /// Sets the forwarding header of a reverse proxy for a client at this address.
    pub fn from(self, address: impl Display) -> Self {
        self.header("x-forwarded-for", address)
    }

    pub fn referrer(self, page: &str) -> Self {
        self.header(REFERER.as_str(), page)
    }

    pub fn languages(self, ranges: &str) -> Self {
        self.header(ACCEPT_LANGUAGE.as_str(), ranges)
    }

    /// Sets a header in place of the one that is there.
    pub fn header(self, name: &str, value: impl Display) -> Self {
        let mut headers = reqwest::header::HeaderMap::new();
        let name = reqwest::header::HeaderName::try_from(name).unwrap();
        headers.insert(name, value.to_string().try_into().unwrap());
        Self(self.0.headers(headers))
    }

    #[track_caller]
    pub fn send(self) -> Answer {
        Answer::to(self.0)
    }

    pub fn try_send(self) -> Result<Answer, reqwest::Error> {
        Answer::try_to(self.0)
    }

    /// The target of the redirect.
    #[track_caller]
    pub fn follow(self) -> String {
        self.send().expect(302).header("location").to_owned()
    }
}
