//! A client of the API, for the commands that work through a running service.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::blocking::{self, Client, RequestBuilder, Response};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::{Method, StatusCode};
use serde_json::{Map, Value};
use tokio_rustls::rustls::RootCertStore;
use url::{Host, Url};

use super::location::ServiceLocation;
use super::table::cell;
use crate::app::control::Control;
use crate::effects::{http_client, system_roots};
use crate::http::security::OPERATOR_KEY;

/// Timeout of the check whether a local service is running.
const PROBE_TIMEOUT: Duration = Duration::from_secs(10);

/// Where a service is expected if nothing says where it is.
const DEFAULT_URL: &str = "http://127.0.0.1:8080";

/// No service answers at a URL.
#[derive(Debug, thiserror::Error)]
#[error(
    "no service answers at {url} ({reason}): start it with `slugline serve`, or say where it is \
     with --url, SLUGLINE_URL or --data-dir"
)]
pub struct Unreachable {
    url: String,
    reason: String,
}

/// The service, and the token to use.
#[derive(Debug, Args)]
pub struct Remote {
    #[command(flatten)]
    location: ServiceLocation,
    /// An API token, which is required; prefer the environment variable to the flag
    #[arg(long, env = "SLUGLINE_TOKEN", value_name = "TOKEN", hide_env_values = true)]
    token: Option<String>,
}

impl Remote {
    /// The operator key of the service, if its data folder is available. The URL must contain the
    /// address from the data folder, so that nothing else learns the key.
    fn operator_key(&self, url: &str) -> Option<String> {
        let url = Url::parse(url).ok().filter(|url| url.scheme() == "http")?;
        let ip = match url.host()? {
            Host::Ipv4(ip) => IpAddr::V4(ip),
            Host::Ipv6(ip) => IpAddr::V6(ip),
            Host::Domain(_) => return None,
        };
        let address = SocketAddr::new(ip, url.port_or_known_default()?);
        let control = Control::read(&self.location.data_dir).ok()??;
        (control.public == Some(address)).then_some(control.key)
    }

    /// The URL that was given, or that of the service on the data folder.
    fn url(&self) -> anyhow::Result<String> {
        let ServiceLocation { url, data_dir, is_default } = &self.location;
        if let Some(url) = url {
            return Ok(url.clone());
        }
        let control = if *is_default {
            Control::read(data_dir).ok().flatten()
        } else {
            Control::read(data_dir)?
        };
        match control.and_then(|control| control.public) {
            Some(address) => Ok(format!("http://{address}")),
            None if *is_default => Ok(DEFAULT_URL.to_owned()),
            None => bail!(
                "no service is running on the data folder {}: start it, or name another one with \
                 --data-dir or --url",
                data_dir.display()
            ),
        }
    }
}

/// A service, for its operator.
#[derive(Debug, Args)]
pub struct OperatorArgs {
    #[command(flatten)]
    location: ServiceLocation,
    /// Required with --url: the JWT of a superadmin, from POST /api/auth/token. Without a URL, read
    /// access to the data folder is enough. Prefer the environment variable to the flag
    #[arg(long, env = "SLUGLINE_TOKEN", value_name = "TOKEN", hide_env_values = true)]
    token: Option<String>,
}

impl OperatorArgs {
    /// The data folder.
    pub fn data_dir(&self) -> &Path {
        &self.location.data_dir
    }

    /// A client of the service: that of the URL with the token, or else that of the data folder
    /// with its operator key; `None` if none runs there.
    ///
    /// # Errors
    /// If a URL is given without a token.
    pub fn client(&self) -> anyhow::Result<Option<ApiClient>> {
        let Some(url) = &self.location.url else {
            return ApiClient::local(self.data_dir());
        };
        let token = self.token.as_ref().with_context(|| {
            format!(
                "{url} requires the token of a superadmin who has signed in: set --token or \
                 SLUGLINE_TOKEN"
            )
        })?;
        ApiClient::new(http_client(system_roots())?, url, authorization(token)?).map(Some)
    }

    /// As [`Self::client`].
    ///
    /// # Errors
    /// If there is none.
    pub fn service(&self) -> anyhow::Result<ApiClient> {
        let data = self.data_dir().display();
        self.client()?.with_context(|| {
            format!(
                "no service is running on the data folder {data}: start it, or name another one \
                 with --data-dir, or with --url and --token"
            )
        })
    }
}

/// A client of one service.
pub struct ApiClient {
    http: Client,
    base: String,
}

impl ApiClient {
    /// A client of the service that uses a data folder, with its operator key; `None` if none runs.
    pub fn local(data: &Path) -> anyhow::Result<Option<Self>> {
        let Some(control) = Control::read(data)? else { return Ok(None) };
        let builder = http_client(RootCertStore::empty())?.no_proxy();
        let url = format!("http://{}", control.address);
        let client = Self::new(builder, &url, authorization(&control.key)?)?;
        // A killed service leaves its control file behind, and another program may listen at its
        // address now.
        let probe = client.request(Method::GET, "/admin/rebuild/analytics").timeout(PROBE_TIMEOUT);
        Ok(data_of(probe).is_ok().then_some(client))
    }

    /// A client of any service, with an API token.
    pub fn remote(remote: &Remote) -> anyhow::Result<Self> {
        let mut builder = http_client(system_roots())?;
        let token = remote.token.as_ref();
        let token = token.context("an API token is required: set SLUGLINE_TOKEN or --token")?;
        let mut headers = authorization(token)?;
        let url = remote.url()?;
        if let Some(key) = remote.operator_key(&url) {
            headers.insert(OPERATOR_KEY, secret(&key)?);
            // A proxy from the environment would learn the key.
            builder = builder.no_proxy();
        }
        Self::new(builder, &url, headers)
    }

    fn new(builder: reqwest::ClientBuilder, url: &str, headers: HeaderMap) -> anyhow::Result<Self> {
        let builder = without_proxy_to_loopback(builder, url).default_headers(headers);
        let builder = blocking::ClientBuilder::from(builder);
        // Transfers of files may take any time.
        let http = builder.timeout(None).build()?;
        Ok(Self { http, base: format!("{}/api/v1", url.trim_end_matches('/')) })
    }

    /// A request to a path below `/api/v1`.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.base))
    }

    /// Sends a `GET`; returns `data` of its response.
    pub fn get(&self, path: &str) -> anyhow::Result<Value> {
        data_of(self.request(Method::GET, path))
    }

    /// Sends a `GET` for each page of a list; returns all items.
    pub fn list(&self, path: &str) -> anyhow::Result<Value> {
        let mut items = Vec::new();
        for page in 1_u64.. {
            let request = self.request(Method::GET, path).query(&[("page", page), ("limit", 100)]);
            let mut body: Value = send(request)?.json()?;
            let Value::Array(some) = body["data"].take() else { break };
            items.extend(some);
            if body["meta"]["total"].as_u64().is_none_or(|total| page * 100 >= total) {
                break;
            }
        }
        Ok(Value::Array(items))
    }

    /// Sends a `POST` without a body; returns `data` of its response.
    pub fn post(&self, path: &str) -> anyhow::Result<Value> {
        data_of(self.request(Method::POST, path))
    }
}

/// A client without a token, for requests to a URL.
pub fn plain_client(url: &str, timeout: Duration) -> anyhow::Result<Client> {
    let roots = if url.starts_with("https") { system_roots() } else { RootCertStore::empty() };
    let builder = without_proxy_to_loopback(http_client(roots)?, url);
    Ok(blocking::ClientBuilder::from(builder).timeout(timeout).build()?)
}

/// Ignores the proxy of the environment for a loopback address.
fn without_proxy_to_loopback(builder: reqwest::ClientBuilder, url: &str) -> reqwest::ClientBuilder {
    let url = Url::parse(url).ok();
    let is_loopback = match url.as_ref().and_then(Url::host) {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        None => false,
    };
    if is_loopback { builder.no_proxy() } else { builder }
}

fn authorization(token: &str) -> anyhow::Result<HeaderMap> {
    Ok([(AUTHORIZATION, secret(&format!("Bearer {token}"))?)].into_iter().collect())
}

fn secret(value: &str) -> anyhow::Result<HeaderValue> {
    let mut value = HeaderValue::try_from(value).context("the token has invalid characters")?;
    value.set_sensitive(true);
    Ok(value)
}

/// Sends a request; a status other than success is an error, with the problem's code and detail.
///
/// # Errors
/// [`Unreachable`] if there is no answer.
pub fn send(request: RequestBuilder) -> anyhow::Result<Response> {
    let response = request.send().map_err(unreachable)?;
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let problem: Value = response.json().unwrap_or_default();
    bail!(sentence(&problem).unwrap_or_else(|| format!("the service answered {status}")))
}

fn unreachable(error: reqwest::Error) -> Unreachable {
    let url = error.url().map(|url| url.origin().ascii_serialization()).unwrap_or_default();
    let error = error.without_url();
    let mut reason: &dyn std::error::Error = &error;
    while let Some(source) = reason.source() {
        reason = source;
    }
    Unreachable { url, reason: reason.to_string() }
}

/// What a problem says: its code and detail, and the fields that are wrong unless the detail has
/// them.
pub fn sentence(problem: &Value) -> Option<String> {
    let (code, detail) = (problem["code"].as_str()?, problem["detail"].as_str()?);
    let errors = problem["errors"].as_object().map(errors_of).unwrap_or_default();
    let errors = errors.into_iter().filter(|error| !detail.contains(error));
    Some([format!("{code}: {detail}")].into_iter().chain(errors).collect::<Vec<_>>().join("\n  "))
}

/// A sentence for each wrong field.
pub fn errors_of(errors: &Map<String, Value>) -> Vec<String> {
    let reasons = |errors: &Value| match errors {
        Value::Array(reasons) => reasons.iter().map(cell).collect::<Vec<_>>().join(", "),
        other => cell(other),
    };
    let sentence = |(field, errors): (&String, &Value)| format!("{field} {}", reasons(errors));
    errors.iter().map(sentence).collect()
}

/// A text as a segment of a path.
pub fn segment(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

/// Sends a request; returns `data` of its response.
pub fn data_of(request: RequestBuilder) -> anyhow::Result<Value> {
    let response = send(request)?;
    if response.status() == StatusCode::NO_CONTENT {
        return Ok(Value::Null);
    }
    Ok(response.json::<Value>()?["data"].take())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::app::control::ControlFile;

    #[test]
    fn fields_are_named_once() {
        let problem = |detail: &str| {
            let errors = json!({ "slug": ["is taken", "is short"] });
            sentence(&json!({ "code": "CONFLICT", "detail": detail, "errors": errors })).unwrap()
        };
        let detail = "The request is not valid: slug is taken, is short.";
        assert_eq!(problem(detail), format!("CONFLICT: {detail}"));
        assert_eq!(problem("No."), "CONFLICT: No.\n  slug is taken, is short");
    }

    #[test]
    fn the_url_is_given_or_that_of_the_data_folder_or_the_default() {
        let data = tempfile::tempdir().unwrap();
        let remote = |url: Option<&str>, is_default| {
            let (url, data_dir) = (url.map(str::to_owned), data.path().to_owned());
            let location = ServiceLocation { url, data_dir, is_default };
            Remote { location, token: None }
        };
        assert_eq!(remote(None, true).url().unwrap(), DEFAULT_URL);
        let error = remote(None, false).url().unwrap_err().to_string();
        assert!(error.contains("--url"), "a folder that is named is not ignored: {error}");
        let address = "127.0.0.1:9000".parse().unwrap();
        let _service = ControlFile::write(data.path(), address, address).unwrap();
        assert_eq!(remote(None, false).url().unwrap(), "http://127.0.0.1:9000");
        assert_eq!(remote(Some("https://sho.rt"), false).url().unwrap(), "https://sho.rt");
    }
}
