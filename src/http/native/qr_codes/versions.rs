//! Versions of a QR code: listed, read and reverted to.

use axum::Json;
use axum::extract::Path;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::Deserialize;
use utoipa::ToSchema;

use super::view::{QrCodeVersionView, SavedQrCode};
use super::{IfMatch, expected, find, saved};
use crate::domain::command::LinkRef;
use crate::domain::error::{Result, ServiceError};
use crate::domain::link::Link;
use crate::domain::token::Actor;
use crate::http::Services;
use crate::http::auth::Api;
use crate::http::body::JsonBody;
use crate::http::native::Data;
use crate::http::native::page::{CursorParams, Page, PageOf, PageParam};
use crate::http::native::path_ref::PathRef;
use crate::http::params::Params;
use crate::http::qr_codes;
use crate::queries::history::LinkAtTime;
use crate::queries::qr_codes::{LinkedQrCode, QrCodeVersion};

/// The version to revert to.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = QrRevertBody)]
pub struct RevertBody {
    /// The version whose fields to restore.
    #[schema(example = 2, minimum = 1)]
    version: u32,
}

/// Lists a QR code's versions, newest first.
///
/// Each change creates a version.
#[utoipa::path(
    get, path = "/qr-codes/{qr_code}/versions",
    params(PageParam, CursorParams),
    responses((status = 200, body = PageOf<QrCodeVersionView>)),
)]
pub async fn list_versions(
    Api { services, actor }: Api,
    name: PathRef,
    mut params: Params,
) -> Result<Json<PageOf<QrCodeVersionView>>> {
    let page = Page::take(&mut params);
    let cursor = |text: &str| text.parse().ok().filter(|version: &u32| *version > 0);
    let before = page.take_cursor(&mut params, cursor);
    params.finish()?;
    let code = find(&services, &actor, &name)?;
    let skip = if before.is_some() { 0 } else { page.skipped() as u64 };
    let part = (before, skip, page.size());
    let found = services.qr.codes.versions(&code.code, part).await?;
    let next_cursor = found.next.map(|next| next.to_string());
    let mut data = Vec::with_capacity(found.items.len());
    for version in found.items {
        data.push(shown(&services, &code, version).await?);
    }
    let meta = page.meta_after(before.is_some(), Some(found.total), next_cursor);
    Ok(Json(PageOf { data, meta }))
}

/// Retrieves a version of a QR code.
#[utoipa::path(
    get, path = "/qr-codes/{qr_code}/versions/{version}",
    responses((status = 200, body = Data<QrCodeVersionView>)),
)]
pub async fn get_version(
    Api { services, actor }: Api,
    name: PathRef,
    Path((_code, version)): Path<(String, String)>,
) -> Result<Json<Data<QrCodeVersionView>>> {
    let (code, version) = find_version(&services, &actor, &name, &version).await?;
    Ok(Json(Data { data: shown(&services, &code, version).await? }))
}

async fn shown(
    services: &Services,
    code: &LinkedQrCode,
    version: QrCodeVersion,
) -> Result<QrCodeVersionView> {
    let link = link_then(services, &code.link, version.at_ms).await?;
    let link = link.unwrap_or_else(|| code.link.clone());
    Ok(QrCodeVersionView::new(services, (code.number, link), version))
}

/// The link of a code as it was at a time. `None` if its history does not reach back that far.
pub async fn link_then(services: &Services, link: &Link, at_ms: u64) -> Result<Option<Link>> {
    let named = LinkRef::Id(link.id);
    let then = services.link_history.link_at(link.workspace, named, at_ms).await?;
    Ok(if let LinkAtTime::Live(link) = then { Some(*link) } else { None })
}

/// Finds a code and one of its versions by the names in a path.
pub async fn find_version(
    services: &Services,
    actor: &Actor,
    name: &PathRef,
    version: &str,
) -> Result<(LinkedQrCode, QrCodeVersion)> {
    let code = find(services, actor, name)?;
    let found = match version.parse() {
        Ok(version) => services.qr.codes.version(&code.code, version).await?,
        Err(_) => None,
    };
    let found = found.ok_or_else(|| ServiceError::not_found("version of the QR code"))?;
    Ok((code, found))
}

/// Reverts a QR code to an earlier version.
///
/// This creates a new version with the fields of the earlier one.
#[utoipa::path(
    post, path = "/qr-codes/{qr_code}/revert", request_body = RevertBody,
    params(IfMatch),
    responses(
        (status = 200, body = SavedQrCode),
        (status = 400, description = "The code has no such version, or scanners would not read it."),
        (status = 409, description = "The logo of that version was deleted."),
    ),
)]
pub async fn revert(
    Api { services, actor }: Api,
    name: PathRef,
    headers: HeaderMap,
    body: JsonBody<RevertBody>,
) -> Result<Response> {
    let expected = expected(&headers)?;
    let code = find(&services, &actor, &name)?;
    let version = services.qr.codes.version(&code.code, body.value.version).await?;
    let no_version = || ServiceError::field("version", "is not a version of this QR code");
    let to = version.ok_or_else(no_version)?.code;
    let conditions = (expected, body.idempotency);
    let reverted = qr_codes::revert(&services, actor, code, to, conditions).await?;
    Ok(saved(&services, StatusCode::OK, reverted))
}
