//! Dialects, by scenarios: the requests of each product's documents, and the answers that they show.
//!
//! A scenario is a file of steps, run in order against one server. A step with a `title` is a
//! documented one; the others prepare it.

mod curl;
mod fuzz;
mod hosts;
mod linktj;
mod shape;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use reqwest::Method;
use serde::Deserialize;
use serde_json::Value;

use crate::accounts::two_factor::{self, base32, totp};
use crate::harness::{Answer, Options, Server, TOKEN, address_in};
use crate::plans::set_plan;
use curl::Curl;

/// The scenario of a product.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Scenario {
    /// What the URLs of the documents begin with.
    host: String,
    /// The token in the documents.
    token: String,
    /// The catalogue of plans, if the server has one.
    plans: Option<String>,
    /// The product, if the file has another name.
    product: Option<String>,
    /// More of the server's environment.
    #[serde(default)]
    env: BTreeMap<String, String>,
    /// What replaces other texts of the documents.
    #[serde(default)]
    replace: BTreeMap<String, String>,
    step: Vec<Step>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Step {
    /// What the documents call it.
    title: Option<String>,
    /// A curl line of the documents.
    curl: Option<String>,
    /// `POST /links {"destination": "…"}`: a request to the native API.
    native: Option<String>,
    /// The token of that request, in place of the owner's.
    native_token: Option<String>,
    /// The secret of an authenticator app, whose next code is kept as `{code}`.
    authenticator: Option<String>,
    /// The path or the URL of a visit.
    visit: Option<String>,
    /// The country of the visitor.
    country: Option<String>,
    /// The headers of the visit.
    headers: BTreeMap<String, String>,
    /// How often the step is repeated.
    times: Option<usize>,
    /// The plan that the workspace gets, as the body of the operator's request.
    plan: Option<String>,
    /// The expected status.
    status: Option<u16>,
    /// The documented answer.
    answer: Option<String>,
    /// The exact text of the answer.
    text: Option<String>,
    /// The values that are known, by path.
    equal: BTreeMap<String, toml::Value>,
    /// The fields that may be null.
    nullable: Vec<String>,
    /// The names of headers that the answer has, each with its value or an empty text.
    answer_headers: BTreeMap<String, String>,
    /// Names for parts of the answer, by path. `{name}` is replaced by it in later steps; a name in
    /// capitals also without braces.
    keep: BTreeMap<String, String>,
}

/// A run of a scenario.
struct Run<'a> {
    server: &'a Server,
    /// What replaces the host of the documents.
    base: String,
    host: String,
    token: String,
    replace: BTreeMap<String, String>,
    kept: BTreeMap<String, String>,
    /// The step of the last code of an authenticator app.
    last_code: u64,
}

fn file(product: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/service/dialects");
    folder.join(format!("{product}.toml"))
}

fn scenario(product: &str) -> Scenario {
    let text = fs::read_to_string(file(product)).unwrap();
    toml::from_str(&text).unwrap_or_else(|error| panic!("{product}: {error}"))
}

/// Runs the scenario of a file; returns how many documented steps it has.
fn run(file: &str) -> usize {
    let Scenario { host, token, plans, product, env, replace, step } = scenario(file);
    let product = product.unwrap_or_else(|| file.to_owned());
    let options = Options::new().behind_proxy();
    let options = env.iter().fold(options, |options, (name, value)| options.env(name, value));
    let options = plans.into_iter().fold(options, |options, file| {
        options.flag("--plans", PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(file))
    });
    let server = options.start();
    server.await_analytics();
    let base = format!("{}/compat/{product}", server.base);
    let kept = BTreeMap::new();
    let mut run = Run { server: &server, base, host, token, replace, kept, last_code: 0 };
    let documented = step.iter().filter(|step| step.title.is_some()).count();
    for step in &step {
        run.step(step);
    }
    documented
}

impl Run<'_> {
    fn step(&mut self, step: &Step) {
        let name = step.title.as_deref().or(step.curl.as_deref()).unwrap_or("a preparing step");
        if let Some(plan) = &step.plan {
            set_plan(self.server, &serde_json::from_str(plan).unwrap()).expect(200);
        }
        for _ in 0..step.times.unwrap_or(1) {
            if let Some(path) = &step.visit {
                let path = self.filled(path);
                let path = path.strip_prefix(&self.server.base).unwrap_or(&path);
                let visit = self.server.request(Method::GET, path);
                let visit = step.country.iter().fold(visit, |visit, country| {
                    visit.header("x-forwarded-for", address_in(country).to_string())
                });
                let headers = step.headers.iter();
                let visit = headers.fold(visit, |visit, (name, value)| visit.header(name, value));
                Answer::to(visit).expect(step.status.unwrap_or(302));
            }
            if let Some(secret) = &step.authenticator {
                self.last_code = self.last_code.max(two_factor::step() - 1) + 1;
                let code = totp(&base32(&self.filled(secret)), self.last_code);
                self.kept.insert("code".to_owned(), code);
            }
            if let Some(request) = &step.native {
                let token = step.native_token.as_deref().unwrap_or(TOKEN);
                let answer = self.native(&self.filled(request), &self.filled(token));
                self.check(name, step, &answer);
            }
            if let Some(line) = &step.curl {
                // What was clicked before is to be counted.
                self.server.await_projection();
                let answer = self.curl(&self.filled(line));
                self.check(name, step, &answer);
            }
        }
    }

    fn filled(&self, text: &str) -> String {
        let mut text = text.replace(&self.token, TOKEN).replace(&self.host, &self.base);
        for (shown, used) in &self.replace {
            text = text.replace(shown, used);
        }
        for (name, value) in &self.kept {
            text = text.replace(&format!("{{{name}}}"), value);
            if name.chars().all(|letter| letter.is_ascii_uppercase() || letter == '_') {
                text = text.replace(name, value);
            }
        }
        text
    }

    fn native(&self, request: &str, token: &str) -> Answer {
        let (method, rest) = request.split_once(' ').unwrap();
        let (path, body) = rest.split_once(' ').unwrap_or((rest, ""));
        let request = self.server.request(method.parse().unwrap(), &format!("/api/v1{path}"));
        let request = request.bearer_auth(token).header("content-type", "application/json");
        Answer::to(request.body(body.to_owned()))
    }

    fn curl(&self, line: &str) -> Answer {
        let Curl { method, url, headers, body } = Curl::parse(line);
        let path = url.strip_prefix(&self.server.base);
        let path = path.unwrap_or_else(|| panic!("{url} is not of the documented host"));
        let request = self.server.request(method.parse().unwrap(), path);
        let request =
            headers.iter().fold(request, |request, (name, value)| request.header(name, value));
        Answer::to(request.body(body.unwrap_or_default()))
    }

    fn check(&mut self, name: &str, step: &Step, answer: &Answer) {
        let text = &answer.text;
        assert_eq!(answer.status, step.status.unwrap_or(200), "{name}: {text}");
        for (header, value) in &step.answer_headers {
            let found = answer.header(header);
            assert!(value.is_empty() || *value == found, "{name}: {header} is {found}");
        }
        if let Some(expected) = &step.text {
            assert_eq!(*text, self.filled(expected), "{name}");
        }
        let found: Value = serde_json::from_str(text).unwrap_or_default();
        if let Some(documented) = &step.answer {
            let documented = serde_json::from_str(documented).unwrap();
            let differences = shape::differences(&documented, &found, &step.nullable);
            assert!(differences.is_empty(), "{name}: {}\n{text}", differences.join("\n"));
        }
        for (path, value) in &step.equal {
            let value = serde_json::to_string(value).unwrap();
            let value: Value = serde_json::from_str(&self.filled(&value)).unwrap();
            assert_eq!(*shape::at(&found, path), value, "{name}: {path} of {text}");
        }
        for (kept, path) in &step.keep {
            let value = shape::at(&found, path);
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            self.kept.insert(kept.clone(), value);
        }
    }
}

/// How many documented things the README states for a product.
fn stated(product: &str) -> usize {
    let readme = include_str!("../../../README.md");
    let cells = |line: &str| line.split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
    let lines: Vec<_> = readme.lines().collect();
    let row = lines.iter().position(|line| line.starts_with("| documented requests")).unwrap();
    let column = cells(lines[row - 2]).iter().position(|cell| cell == product).unwrap();
    cells(lines[row])[column].parse().unwrap()
}

#[test]
fn qklnk() {
    assert_eq!(run("qklnk"), stated("qklnk"));
}

#[test]
fn lynklens() {
    assert_eq!(run("lynklens"), stated("Lynklens"));
}

#[test]
fn shortlink() {
    assert_eq!(run("shortlink") + run("shortlink_plans"), stated("ShortLink"));
}

#[test]
fn linktj() {
    assert_eq!(run("linktj"), stated("link.tj"));
}

#[test]
fn yourls() {
    assert_eq!(run("yourls"), stated("YOURLS"));
}
