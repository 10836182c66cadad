//! Logos for QR codes.

use axum::Json;
use axum::extract::Request;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH, LOCATION,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

use super::image::IMMUTABLE;
use super::view::LogoView;
use crate::domain::command::Command;
use crate::domain::error::{ErrorCode, Result, ServiceError};
use crate::domain::ids::LogoId;
use crate::domain::qr::StoredLogo;
use crate::domain::qr::command::QrCommand;
use crate::domain::token::Actor;
use crate::http::Services;
use crate::http::auth::Api;
use crate::http::body::read;
use crate::http::native::page::{Page, PageOf, PageParams};
use crate::http::native::schema::ImageFile;
use crate::http::native::{Changed, Data, log_offset};
use crate::http::params::{Name, Params};
use crate::http::qr_codes::images::{POLICY, is_known};
use crate::http::qr_codes::logos::NewLogo;
use crate::qr::MAX_UPLOAD_BYTES;

fn find(services: &Services, actor: &Actor, text: &str) -> Result<StoredLogo> {
    let id = text.parse::<LogoId>().ok();
    let logo = id.map(|id| services.qr.codes.logo(actor.workspace, id)).transpose()?.flatten();
    logo.ok_or_else(|| ServiceError::not_found("logo"))
}

/// Uploads a logo.
///
/// The body is the image: PNG, JPEG, WebP, GIF or SVG, at most 2 MiB. It is checked and made smaller
/// where necessary; of an SVG, only shapes are kept. The same image is stored once, and uploading it
/// again returns 200. A workspace has at most 200 logos.
#[utoipa::path(
    post, path = "/qr-logos",
    request_body(content = ImageFile, content_type = "image/*", description = "The image."),
    responses(
        (status = 200, description = "The workspace has the logo.", body = Changed<LogoView>),
        (status = 201, body = Changed<LogoView>),
        (status = 409, description = "The workspace has 200 logos."),
        (status = 415, description = "The request body is not an image."),
    ),
)]
pub async fn upload(Api { services, actor }: Api, request: Request) -> Result<Response> {
    let content_type = request.headers().get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    if !content_type.is_some_and(|value| value.to_ascii_lowercase().starts_with(b"image/")) {
        let detail = "The body must be an image, sent with a `Content-Type` such as `image/png`.";
        let error = ServiceError::new(ErrorCode::UnsupportedFormat, detail);
        return Err(error.with_field("Content-Type", "must be that of an image"));
    }
    let upload = read(request.into_body(), MAX_UPLOAD_BYTES).await?;
    let new = NewLogo::check(&services, actor.workspace, "body", upload).await?;
    let (id, is_new) = (new.id, services.qr.codes.logo(actor.workspace, new.id)?.is_none());
    let offset = services.commands.run(actor, new.store(), None).await?.offset;
    let logo = services.qr.codes.logo(actor.workspace, id)?;
    let logo = logo.ok_or_else(|| ServiceError::not_found("logo"))?;
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    let location = HeaderValue::try_from(format!("/api/v1/qr-logos/{id}"));
    let body = Changed::new(LogoView::new(&services, logo), offset);
    let mut response = (status, log_offset(offset), Json(body)).into_response();
    response.headers_mut().extend(location.ok().map(|location| (LOCATION, location)));
    Ok(response)
}

/// Lists logos, newest first.
#[utoipa::path(
    get, path = "/qr-logos",
    params(PageParams),
    responses((status = 200, body = PageOf<LogoView>)),
)]
pub async fn list(
    Api { services, actor }: Api,
    mut params: Params,
) -> Result<Json<PageOf<LogoView>>> {
    let page = Page::take(&mut params);
    params.finish()?;
    let logos = services.qr.codes.logos(actor.workspace)?;
    Ok(Json(page.of(logos, |logo| Ok(LogoView::new(&services, logo)))?))
}

/// Retrieves a logo, without its image.
#[utoipa::path(
    get, path = "/qr-logos/{logo}",
    responses((status = 200, body = Data<LogoView>)),
)]
pub async fn get(Api { services, actor }: Api, Name(name): Name) -> Result<Json<Data<LogoView>>> {
    let logo = find(&services, &actor, &name)?;
    Ok(Json(Data { data: LogoView::new(&services, logo) }))
}

/// Retrieves the image of a logo, which never changes.
#[utoipa::path(
    get, path = "/qr-logos/{logo}/image",
    responses(
        (status = 200, description = "The image.", content(
            (ImageFile = "image/png"), (ImageFile = "image/svg+xml"),
        )),
        (status = 304, description = "The image has not changed."),
    ),
)]
pub async fn image(
    Api { services, actor }: Api,
    Name(name): Name,
    headers: HeaderMap,
) -> Result<Response> {
    let logo = find(&services, &actor, &name)?;
    // The id is derived from the image.
    let tag = format!("\"{}\"", logo.id);
    let mut response = if headers.contains_key(IF_NONE_MATCH) && is_known(&headers, &tag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let image = services.qr.codes.logo_image(actor.workspace, logo.id).await?;
        let mut response = image.ok_or_else(|| ServiceError::not_found("logo"))?.into_response();
        let kind = HeaderValue::try_from(logo.content_type).map_err(ServiceError::internal)?;
        response.headers_mut().insert(CONTENT_TYPE, kind);
        response.headers_mut().insert(CONTENT_SECURITY_POLICY, POLICY);
        response
    };
    response.headers_mut().insert(CACHE_CONTROL, IMMUTABLE);
    response.headers_mut().extend(HeaderValue::try_from(tag).ok().map(|tag| (ETAG, tag)));
    Ok(response)
}

/// Deletes a logo that no QR code uses.
#[utoipa::path(
    delete, path = "/qr-logos/{logo}",
    responses(
        (status = 204),
        (status = 409, description = "QR codes or brand defaults use the logo."),
    ),
)]
pub async fn delete(Api { services, actor }: Api, Name(name): Name) -> Result<Response> {
    let id = find(&services, &actor, &name)?.id;
    let command = Command::Qr(QrCommand::DeleteLogo(id));
    let done = services.commands.run(actor, command, None).await?;
    Ok((StatusCode::NO_CONTENT, log_offset(done.offset)).into_response())
}
