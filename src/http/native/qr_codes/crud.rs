//! Creates, lists, retrieves, updates and deletes QR codes.

use std::mem::take;

use axum::Json;
use axum::http::header::LOCATION;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use utoipa::IntoParams;

use super::view::{QrCodeView, SavedQrCode};
use super::{IfMatch, etag, expected, find, saved, scans};
use crate::domain::command::Command;
use crate::domain::error::Result;
use crate::domain::ids::QrCodeId;
use crate::domain::link::{Field, Link};
use crate::domain::qr::QrCodeInput;
use crate::domain::qr::command::QrCommand;
use crate::domain::token::Actor;
use crate::http::Services;
use crate::http::auth::Api;
use crate::http::body::JsonBody;
use crate::http::native::page::{CursorParams, Page, PageOf, PageParam};
use crate::http::native::path_ref::PathRef;
use crate::http::native::{Data, links, log_offset};
use crate::http::params::Params;
use crate::http::qr_codes::{self, is_replay};

/// Creates a QR code of a link.
///
/// It looks as the request says, else as the defaults of the link's domain or of the workspace say.
/// A code that scanners would not read is refused. Its scans are counted apart from other clicks, by
/// the marker in the URL that it encodes. A link has at most 100 codes.
#[utoipa::path(
    post, path = "/qr-codes", request_body = QrCodeInput,
    responses(
        (status = 201, body = SavedQrCode),
        (status = 404, description = "The workspace has no such link."),
        (status = 409, description = "The link has 100 QR codes, or the workspace 200 logos."),
    ),
)]
pub async fn create(Api { services, actor }: Api, body: JsonBody<QrCodeInput>) -> Result<Response> {
    let (mut input, idempotency) = (body.value, body.idempotency);
    if let (Field::Value(domain), Field::Value(link)) = (take(&mut input.domain), &mut input.link) {
        let name = PathRef::on_domain(&services, &actor, link.clone(), Some(&domain))?;
        match links::find(&services, &actor, &name) {
            Ok(found) => *link = found.id.to_string(),
            Err(_) if is_replay(&services, actor.workspace, idempotency.as_ref())? => {}
            Err(error) => return Err(error),
        }
    }
    let created = qr_codes::create(&services, actor, None, input, idempotency).await?;
    let location = format!("/api/v1/qr-codes/{}", created.code.code.id);
    let mut response = saved(&services, StatusCode::CREATED, created);
    if let Ok(location) = HeaderValue::try_from(location) {
        response.headers_mut().insert(LOCATION, location);
    }
    Ok(response)
}

/// The filter of the list of QR codes.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "describes what `list` reads by name")]
pub struct OfLinkParam {
    /// Only codes of this link, by its ID or slug.
    link: Option<String>,
    /// The domain that the slug is on, by ID or hostname; the service's own by default.
    domain: Option<String>,
}

/// Lists QR codes, newest first.
#[utoipa::path(
    get, path = "/qr-codes",
    params(OfLinkParam, PageParam, CursorParams),
    responses(
        (status = 200, body = PageOf<QrCodeView>),
        (status = 404, description = "The workspace has no such link."),
    ),
)]
pub async fn list(
    Api { services, actor }: Api,
    mut params: Params,
) -> Result<Json<PageOf<QrCodeView>>> {
    let (link, domain) = (params.text("link"), params.text("domain"));
    let link = link.map(|text| {
        let name = PathRef::on_domain(&services, &actor, text, domain.as_deref())?;
        links::find(&services, &actor, &name)
    });
    listed(&services, &actor, link, params).await
}

/// Lists the QR codes of a link, newest first.
#[utoipa::path(
    get, path = "/links/{link}/qr-codes",
    params(PageParam, CursorParams),
    responses((status = 200, body = PageOf<QrCodeView>)),
)]
pub async fn list_of_link(
    Api { services, actor }: Api,
    name: PathRef,
    params: Params,
) -> Result<Json<PageOf<QrCodeView>>> {
    let link = links::find(&services, &actor, &name);
    listed(&services, &actor, Some(link), params).await
}

async fn listed(
    services: &Services,
    actor: &Actor,
    link: Option<Result<Link>>,
    mut params: Params,
) -> Result<Json<PageOf<QrCodeView>>> {
    let page = Page::take(&mut params);
    let before = page.take_cursor(&mut params, |text| text.parse::<QrCodeId>().ok());
    params.finish()?;
    let skip = if before.is_some() { 0 } else { page.skipped() };
    let part = (before, skip, page.size());
    let found = match link.transpose()? {
        Some(link) => services.qr.codes.list_of(&link, part)?,
        None => services.qr.codes.list(actor.workspace, part).await?,
    };
    let next_cursor = found.next.map(|id| id.to_string());
    let data = scans::counted(services, actor.workspace, found.items).await;
    let meta = page.meta_after(before.is_some(), Some(found.total), next_cursor);
    Ok(Json(PageOf { data, meta }))
}

/// Retrieves a QR code.
#[utoipa::path(
    get, path = "/qr-codes/{qr_code}",
    responses((status = 200, body = Data<QrCodeView>)),
)]
pub async fn get(Api { services, actor }: Api, name: PathRef) -> Result<Response> {
    let code = find(&services, &actor, &name)?;
    let etag = etag(code.code.version);
    let scans = scans::total(&services, &code.code).await;
    Ok((etag, Json(Data { data: QrCodeView::new(&services, code, scans) })).into_response())
}

/// Updates a QR code.
///
/// Fields that the request omits keep their values. Printed codes continue to work: the URL that the
/// code encodes stays the same.
#[utoipa::path(
    patch, path = "/qr-codes/{qr_code}", request_body = QrCodeInput,
    params(IfMatch),
    responses((status = 200, body = SavedQrCode)),
)]
pub async fn update(
    Api { services, actor }: Api,
    name: PathRef,
    headers: HeaderMap,
    body: JsonBody<QrCodeInput>,
) -> Result<Response> {
    let code = find(&services, &actor, &name)?;
    let conditions = (expected(&headers)?, body.idempotency);
    let changed = qr_codes::change(&services, actor, code, body.value, conditions).await?;
    Ok(saved(&services, StatusCode::OK, changed))
}

/// Deletes a QR code, for good.
///
/// Printed codes still lead to the link. Their scans are counted as those of an unknown code.
#[utoipa::path(
    delete, path = "/qr-codes/{qr_code}",
    params(IfMatch),
    responses((status = 204)),
)]
pub async fn delete(
    Api { services, actor }: Api,
    name: PathRef,
    headers: HeaderMap,
) -> Result<Response> {
    let id = find(&services, &actor, &name)?.code.id;
    let command = Command::Qr(QrCommand::Delete(id, expected(&headers)?));
    let done = services.commands.run(actor, command, None).await?;
    Ok((StatusCode::NO_CONTENT, log_offset(done.offset)).into_response())
}
