//! The baseline server: axum with a 302 and nothing else.
//!
//! It has what slugline must have to answer at all: tokio's multi-thread runtime at its defaults,
//! `axum::serve`, one route with a path parameter, jemalloc, and a `Location` of the same
//! length as slugline's. It looks nothing up, counts nothing and writes nothing.

use anyhow::Context as _;
use axum::Router;
use axum::extract::Path;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;

use crate::traffic;

/// The hidden argument that makes this executable the bare server.
pub const SERVE_BARE: &str = "--serve-bare";

/// Serves at `address` until the process is ended.
pub fn serve(address: &str) -> anyhow::Result<()> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the bare server's runtime")?
        .block_on(async {
            let listener = TcpListener::bind(address)
                .await
                .with_context(|| format!("the bare server cannot listen at {address}"))?;
            let router = Router::new().route("/{slug}", get(redirect));
            axum::serve(listener, router).await?;
            Ok(())
        })
}

async fn redirect(Path(slug): Path<String>) -> impl IntoResponse {
    (StatusCode::FOUND, [(header::LOCATION, traffic::destination(&slug))])
}
