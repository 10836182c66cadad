//! A small client of the service that runs over a data folder.

use std::path::Path;

use anyhow::{Context, bail};
use axum::body::Body;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use axum::http::{Method, Request, StatusCode};
use http_body_util::BodyExt;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

use crate::app::control::Control;

/// A service that runs.
pub struct Service {
    control: Control,
    runtime: tokio::runtime::Runtime,
}

impl Service {
    /// The service over a data folder; `None` when none runs.
    pub fn find(data: &Path) -> anyhow::Result<Option<Self>> {
        let Some(control) = Control::read(data) else { return Ok(None) };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let service = Self { control, runtime };
        // A service that was killed has left its file behind, and somebody else may listen there
        // now, who does not know the key.
        let answered = service.call(Method::GET, "/api/v1/admin/rebuild/analytics", None);
        Ok(matches!(answered, Ok((StatusCode::OK, _))).then_some(service))
    }

    /// What stands in `data` of the answer.
    pub fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.data(Method::GET, path, None)
    }

    /// The same of a `POST` without a body.
    pub fn post(&self, path: &str) -> anyhow::Result<Value> {
        self.data(Method::POST, path, None)
    }

    /// The same of any request.
    pub fn data(&self, method: Method, path: &str, body: Option<&Value>) -> anyhow::Result<Value> {
        let (status, mut body) = self.call(method, path, body)?;
        if !status.is_success() {
            bail!("{}", body["detail"].as_str().unwrap_or("the service refused"));
        }
        Ok(body["data"].take())
    }

    fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<(StatusCode, Value)> {
        let Control { address, key, .. } = &self.control;
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, address.to_string())
            .header(AUTHORIZATION, format!("Bearer {key}"));
        if body.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let request =
            request.body(body.map_or_else(Body::empty, |body| Body::from(body.to_string())))?;
        let asked = async {
            let stream = TcpStream::connect(address).await?;
            let (mut sender, connection) =
                hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
            tokio::spawn(connection);
            let answer = sender.send_request(request).await?;
            let status = answer.status();
            let body = answer.into_body().collect().await?.to_bytes();
            let body = if body.is_empty() { Value::Null } else { serde_json::from_slice(&body)? };
            anyhow::Ok((status, body))
        };
        self.runtime.block_on(asked).with_context(|| format!("the service at {address}"))
    }
}
