//! `/api/v1/qr-codes`, `/api/v1/qr-logos` and `/api/v1/qr-defaults`

mod crud;
mod defaults;
pub mod exports;
mod image;
mod logos;
mod scans;
mod versions;
mod view;

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use utoipa_axum::routes;

use super::links::{IfMatch, etag, expected};
use super::path_ref::PathRef;
use super::route::Routes;
use super::{log_offset, replayed};
use crate::domain::error::{Result, ServiceError};
use crate::domain::token::Ability::{AnalyticsRead, QrRead, QrWrite};
use crate::domain::token::Actor;
use crate::http::Services;
use crate::http::qr_codes::Saved;
use crate::queries::qr_codes::LinkedQrCode;
use view::SavedQrCode;

pub fn routes() -> Routes {
    Routes::of("qr-codes", "qr_codes")
        .route(QrWrite, routes!(crud::create))
        .route(QrRead, routes!(crud::list))
        .route(QrRead, routes!(crud::list_of_link))
        .route(QrRead, routes!(crud::get))
        .route(QrWrite, routes!(crud::update))
        .route(QrWrite, routes!(crud::delete))
        .route(QrRead, routes!(image::image))
        .route(QrRead, routes!(versions::list_versions))
        .route(QrRead, routes!(versions::get_version))
        .route(QrRead, routes!(image::version_image))
        .route(QrWrite, routes!(versions::revert))
        .then("qr-codes", "qr_code_scans")
        .route(AnalyticsRead, routes!(scans::list))
        .route(AnalyticsRead, routes!(scans::summary))
        .route(AnalyticsRead, routes!(scans::continents))
        .route(AnalyticsRead, routes!(scans::countries))
        .route(AnalyticsRead, routes!(scans::regions))
        .route(AnalyticsRead, routes!(scans::cities))
        .route(AnalyticsRead, routes!(scans::devices))
        .route(AnalyticsRead, routes!(scans::browsers))
        .route(AnalyticsRead, routes!(scans::operating_systems))
        .route(AnalyticsRead, routes!(scans::languages))
        .then("qr-codes", "qr_exports")
        .route(QrRead, routes!(exports::create))
        .route(QrRead, routes!(exports::list))
        .route(QrRead, routes!(exports::get))
        .route(QrRead, routes!(exports::delete))
        .route(QrRead, routes!(exports::download))
        .then("qr-codes", "qr_logos")
        .route(QrRead, routes!(logos::list))
        .route(QrRead, routes!(logos::get))
        .route(QrRead, routes!(logos::image))
        .route(QrWrite, routes!(logos::delete))
        .then("qr-codes", "qr_defaults")
        .route(QrRead, routes!(defaults::get))
        .route(QrRead, routes!(defaults::get_of_domain))
        .route(QrWrite, routes!(defaults::replace))
        .route(QrWrite, routes!(defaults::replace_of_domain))
        .then("qr-codes", "qr_logos")
        .without_idempotency_keys()
        .route(QrWrite, routes!(logos::upload))
}

/// Finds the actor's code by the reference in a path: its id, or a link's id or slug for the oldest
/// code of the link.
fn find(services: &Services, actor: &Actor, name: &PathRef) -> Result<LinkedQrCode> {
    let codes = &services.qr.codes;
    let found = match (name.qr_code(), name.link()) {
        (Some(id), _) => codes.get(actor.workspace, id)?,
        (None, Ok(link)) => codes.oldest_of(actor.workspace, &link)?,
        (None, Err(_)) => None,
    };
    found.ok_or_else(|| ServiceError::not_found("QR code"))
}

/// The response to a change of a code or to its replay. A new code has no scans; those of others are
/// not counted: a change must not wait for analytics.
fn saved(services: &Services, status: StatusCode, saved: Saved) -> Response {
    let total_scans = (status == StatusCode::CREATED).then_some(0);
    let etag = etag(saved.code.code.version);
    let headers = (log_offset(saved.offset), replayed(saved.is_replay));
    (status, etag, headers, Json(SavedQrCode::new(services, saved, total_scans))).into_response()
}
