//! slugline as benchmarked: a separate process with its own data folder.

use std::ffi::OsString;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinSet;

use crate::companion::{self, Companion, QR_CODES};
use crate::contestant::Contestant;
use crate::process::{Recipe, Server, free_address};
use crate::traffic::{self, LinkKind};

/// The executable, of the same build as this benchmark.
pub const EXECUTABLE: &str = env!("CARGO_BIN_EXE_slugline");

/// The first start may have to fetch what slugline runs on.
const READY_LIMIT: Duration = Duration::from_secs(600);
const STOP_LIMIT: Duration = Duration::from_secs(60);
/// Creates are committed in groups: one at a time would each wait for the disk.
const CREATES_IN_FLIGHT: u32 = 256;

/// A slugline that serves.
#[derive(Debug)]
pub struct Slugline {
    /// Its process.
    pub server: Server,
    /// The API client.
    pub api: Api,
    // Dropped after the server.
    folder: TempDir,
}

/// slugline's HTTP API.
#[derive(Debug, Clone)]
pub struct Api {
    http: reqwest::Client,
    base: String,
    token: String,
}

impl Slugline {
    /// Starts slugline on an empty folder, with the users or QR codes that the requests beside the
    /// redirects need.
    pub async fn start(
        http: &reqwest::Client,
        companion: Option<Companion>,
    ) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("slugline-bench-").tempdir()?;
        let address = free_address()?;
        let token = format!("bench-{:032x}", rand::random::<u128>());
        let mut arguments: Vec<OsString> = vec!["serve".into(), "--data-dir".into()];
        arguments.push(data_dir(folder.path()).into());
        arguments.extend(["--listen".into(), address.to_string().into()]);
        arguments.extend(["--trusted-proxies".into(), "127.0.0.1/32".into()]);
        let mut environment = vec![("SLUGLINE_BOOTSTRAP_TOKEN", token.clone())];
        if companion == Some(Companion::SignIns) {
            environment.push(("SLUGLINE_BOOTSTRAP_EMAIL", companion::email(0)));
            environment.push(("SLUGLINE_BOOTSTRAP_PASSWORD", companion::PASSWORD.to_owned()));
        }
        let recipe = Recipe {
            name: Contestant::Slugline.name(),
            program: EXECUTABLE.into(),
            arguments,
            environment,
            address,
            ready: StatusCode::OK,
            output: folder.path().join("output.log"),
        };
        let server = Server::start(recipe, http, READY_LIMIT).await?;
        let api = Api { http: http.clone(), base: format!("http://{address}"), token };
        match companion {
            Some(Companion::SignIns) => api.create_users().await?,
            Some(Companion::QrImages) => api.create_qr_codes().await?,
            None => {}
        }
        Ok(Self { server, api, folder })
    }

    /// Stops slugline, lets `meanwhile` look at its data, and starts it again.
    pub async fn restart<T>(
        self,
        meanwhile: impl FnOnce(&Path) -> anyhow::Result<T>,
    ) -> anyhow::Result<(Self, T)> {
        let recipe = self.server.stop(STOP_LIMIT).await?;
        let seen = meanwhile(&data_dir(self.folder.path()))?;
        let server = Server::start(recipe, &self.api.http, READY_LIMIT).await?;
        let restarted = Self { server, api: self.api, folder: self.folder };
        Ok((restarted, seen))
    }
}

/// Where slugline keeps its data.
fn data_dir(folder: &Path) -> PathBuf {
    folder.join("data")
}

impl Api {
    /// Creates the links `from` to `links`, many at a time; returns how long that took.
    pub async fn fill(&self, kind: LinkKind, from: u32, links: u32) -> anyhow::Result<Duration> {
        let begun = Instant::now();
        let next = Arc::new(AtomicU32::new(from));
        let mut workers = JoinSet::new();
        for _ in 0..CREATES_IN_FLIGHT.min(links) {
            let (api, next) = (self.clone(), Arc::clone(&next));
            workers.spawn(async move {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= links {
                        return anyhow::Ok(());
                    }
                    api.create(kind, number).await?;
                }
            });
        }
        while let Some(worker) = workers.join_next().await {
            worker.context("a create ended early")??;
        }
        Ok(begun.elapsed())
    }

    async fn create(&self, kind: LinkKind, number: u32) -> anyhow::Result<()> {
        let slug = kind.slug(number);
        let mut link = json!({ "destination": traffic::destination(&slug), "slug": slug });
        if kind == LinkKind::Ruled {
            link["rules"] = rules(&slug);
        }
        let answer = self
            .http
            .post(format!("{}/api/v1/links", self.base))
            .bearer_auth(&self.token)
            .json(&link)
            .send()
            .await
            .with_context(|| format!("cannot create link {slug}"))?;
        let status = answer.status();
        // Read to its end, or the connection could not be used again.
        let body = answer.text().await?;
        ensure!(
            status == StatusCode::CREATED,
            "creating link {slug} was answered {status}: {body}"
        );
        Ok(())
    }

    /// Creates the users of [`companion`] besides the first superadmin.
    async fn create_users(&self) -> anyhow::Result<()> {
        let signed_in = self.sign_in(0, Ipv4Addr::LOCALHOST).await?.json::<Value>().await?;
        let jwt = signed_in["token"].as_str().context("the superadmin cannot sign in")?;
        for user in 1..companion::USERS {
            let body = json!({ "email": companion::email(user), "password": companion::PASSWORD });
            let request = self.http.post(format!("{}/api/v1/admin/users", self.base)).json(&body);
            request.bearer_auth(jwt).send().await?.error_for_status()?;
        }
        Ok(())
    }

    /// The answer to a sign-in from an address.
    pub async fn sign_in(&self, user: u32, from: Ipv4Addr) -> reqwest::Result<reqwest::Response> {
        let body = json!({ "email": companion::email(user), "password": companion::PASSWORD });
        let request = self.http.post(format!("{}/api/auth/token", self.base)).json(&body);
        request.header("X-Forwarded-For", from.to_string()).send().await
    }

    /// Creates links with a QR code each, so that an image can be requested by its link's slug.
    async fn create_qr_codes(&self) -> anyhow::Result<()> {
        for number in 0..QR_CODES {
            let slug = qr_slug(number);
            let link = json!({ "destination": "https://example.com/", "slug": slug });
            let code = json!({
                "link": slug, "color": "#5a1e8c", "dot_style": "rounded", "corner_style": "dot",
                "gradient": { "kind": "linear", "color": "#000000", "angle": 45 },
                "logo": QR_LOGO,
            });
            for (path, body) in [("links", link), ("qr-codes", code)] {
                let request = self.http.post(format!("{}/api/v1/{path}", self.base)).json(&body);
                request.bearer_auth(&self.token).send().await?.error_for_status()?;
            }
        }
        Ok(())
    }

    /// The answer to a request for the PNG image of a QR code.
    pub async fn qr_image(&self, number: u32, size: u32) -> reqwest::Result<reqwest::Response> {
        let path = format!("/api/v1/qr-codes/{}/image?size={size}", qr_slug(number));
        let answer = self.http.get(format!("{}{path}", self.base)).bearer_auth(&self.token);
        answer.send().await
    }

    /// The JSON that a path answers.
    pub async fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.ask(path, self.http.get(format!("{}{path}", self.base))).await
    }

    /// The JSON that a path answers to this.
    pub async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.ask(path, self.http.post(format!("{}{path}", self.base)).json(body)).await
    }

    /// The JSON that a path answers to this change.
    pub async fn patch(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.ask(path, self.http.patch(format!("{}{path}", self.base)).json(body)).await
    }

    async fn ask(&self, path: &str, request: reqwest::RequestBuilder) -> anyhow::Result<Value> {
        let answer = request.bearer_auth(&self.token).send().await;
        let answer = answer.with_context(|| format!("cannot ask {path}"))?;
        let status = answer.status();
        let body = answer.text().await?;
        ensure!(status == StatusCode::OK, "{path} was answered {status}: {body}");
        serde_json::from_str(&body).with_context(|| format!("{path} answered no JSON"))
    }
}

/// A logo as a data URI.
const QR_LOGO: &str = "data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg' \
                       viewBox='0 0 9 9'><circle cx='5' cy='5' r='4'/></svg>";

fn qr_slug(number: u32) -> String {
    format!("qr-{number}")
}

/// Five rules as people write them, the first of which fit some visitors. The destinations are of
/// one length, like those of the bare server.
fn rules(slug: &str) -> Value {
    let target = |letter: &str| {
        let destination = traffic::destination(slug).replacen("articles", letter, 1);
        json!({ "destination": destination })
    };
    json!([
        { "conditions": [{ "country": ["DE", "AT", "CH"] }], "target": target("deutsche") },
        {
            "conditions": [{ "device": ["mobile"] }, { "os": ["iOS"] }],
            "target": target("iphones_"),
        },
        { "conditions": [{ "language": ["ja", "ko"] }], "target": target("eastasia") },
        { "conditions": [{ "referrer": ["news.ycombinator.com"] }], "target": target("hackers_") },
        {
            "conditions": [{ "query": { "name": "ref", "any": ["mail", "print"] } }],
            "target": target("campaign"),
        },
    ])
}
