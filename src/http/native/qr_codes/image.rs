//! Images of QR codes, as files or in JSON.
//!
//! The image at the code's own URL is revalidated, and the image of a version never changes.

use axum::Json;
use axum::extract::Path;
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use super::find;
use super::versions::{find_version, link_then};
use crate::domain::command::LinkRef;
use crate::domain::error::{Result, ServiceError};
use crate::domain::link::Link;
use crate::domain::qr::QrCode;
use crate::domain::qr::input::SIZES;
use crate::domain::qr::style::ImageFormat;
use crate::http::Services;
use crate::http::auth::Api;
use crate::http::native::Data;
use crate::http::native::path_ref::PathRef;
use crate::http::native::schema::ImageFile;
use crate::http::params::Params;
use crate::http::qr_codes::images::{Image, file_response};
use crate::http::qr_codes::{ImageRequest, content};

/// Caches ask each time whether the image is still the same.
const REVALIDATED: HeaderValue = HeaderValue::from_static("private, no-cache");
/// What never changes: a year is the most that RFC 9111 suggests.
pub const IMMUTABLE: HeaderValue = HeaderValue::from_static("private, max-age=31536000, immutable");
/// The parameters of an image.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "describes what `ImageParams` reads by name")]
pub struct ImageQuery {
    /// The format; that of the code by default.
    #[param(inline, value_type = Option<ImageFormat>)]
    format: Option<String>,
    /// The width in pixels, in points for PDF and EPS; that of the code by default. A size at which
    /// scanners would not read the code is refused.
    #[param(minimum = 100, maximum = 4096)]
    size: Option<u64>,
    /// `base64` returns JSON instead of a file.
    #[param(inline, value_type = Option<Encoding>)]
    encoding: Option<String>,
}

/// The parameter of the image of a version.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "describes what `version_image` reads by name")]
pub struct LinkVersionParam {
    /// The version of the link whose URL is encoded; by default, the one that was current when the
    /// QR code's version was created.
    #[param(minimum = 1)]
    link_version: Option<u32>,
}

/// How an image is sent.
#[derive(ToSchema)]
#[schema(as = QrImageEncoding, rename_all = "lowercase")]
#[allow(dead_code, reason = "describes the names")]
enum Encoding {
    File,
    Base64,
}

/// An image in JSON.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = QrImage)]
pub struct ImageView {
    #[schema(value_type = ImageFormat)]
    format: &'static str,
    #[schema(example = "image/png")]
    content_type: &'static str,
    /// The width.
    size: u32,
    /// The file, in base 64.
    base64: String,
}

/// What a request says about an image.
struct ImageParams {
    format: Option<ImageFormat>,
    size: Option<u32>,
    is_base64: bool,
}

impl ImageParams {
    fn take(mut params: Params) -> Result<Self> {
        let format = params.choice("format", ImageFormat::EVERY, ImageFormat::as_str);
        let size = params.number("size", (*SIZES.start()).into(), (*SIZES.end()).into());
        let word = |is_base64| if is_base64 { "base64" } else { "file" };
        let is_base64 = params.choice("encoding", &[false, true], word).unwrap_or(false);
        params.finish()?;
        let size = size.and_then(|size| u32::try_from(size).ok());
        Ok(Self { format, size, is_base64 })
    }

    /// What is to be drawn of a code. Its own size was checked when it was set; a link that was
    /// renamed since may have made the code denser.
    fn request(&self, code: &QrCode) -> ImageRequest {
        let format = self.format.unwrap_or(code.format);
        let size = self.size.unwrap_or(code.size);
        ImageRequest { format, size, is_checked: size != code.size }
    }
}

/// Draws a QR code.
///
/// The response has an `ETag`: with `If-None-Match`, an unchanged image is not sent again.
#[utoipa::path(
    get, path = "/qr-codes/{qr_code}/image",
    params(ImageQuery),
    responses(
        (status = 200, description = "The image.", content(
            (Data<ImageView> = "application/json"), (ImageFile = "image/png"),
            (ImageFile = "image/svg+xml"), (ImageFile = "application/pdf"),
            (ImageFile = "application/postscript"),
        )),
        (status = 304, description = "The image has not changed."),
        (status = 503, description = "Too many images are waiting to be drawn; retry later."),
    ),
)]
pub async fn image(
    Api { services, actor }: Api,
    name: PathRef,
    headers: HeaderMap,
    params: Params,
) -> Result<Response> {
    let params = ImageParams::take(params)?;
    let found = find(&services, &actor, &name)?;
    let content = content(&services.site, &found.code, found.number, &found.link);
    let request = params.request(&found.code);
    let image = Image { code: &found.code, content, request, caching: REVALIDATED };
    send(&services, image, found.link.slug.as_str(), &params, &headers).await
}

/// Draws a version of a QR code.
///
/// It encodes the URL that the link had when the version was created, or at another version of the
/// link, and never changes.
#[utoipa::path(
    get, path = "/qr-codes/{qr_code}/versions/{version}/image",
    params(ImageQuery, LinkVersionParam),
    responses(
        (status = 200, description = "The image.", content(
            (Data<ImageView> = "application/json"), (ImageFile = "image/png"),
            (ImageFile = "image/svg+xml"), (ImageFile = "application/pdf"),
            (ImageFile = "application/postscript"),
        )),
        (status = 304, description = "The image has not changed."),
        (status = 409, description = "The logo of that version was deleted."),
        (status = 503, description = "Too many images are waiting to be drawn; retry later."),
    ),
)]
pub async fn version_image(
    Api { services, actor }: Api,
    name: PathRef,
    Path((_code, version)): Path<(String, String)>,
    headers: HeaderMap,
    mut params: Params,
) -> Result<Response> {
    let link_version = params.number("link_version", 1, u32::MAX.into());
    let params = ImageParams::take(params)?;
    let (found, version) = find_version(&services, &actor, &name, &version).await?;
    let link = match link_version {
        Some(number) => Some(link_at_version(&services, &found.link, number).await?),
        None => link_then(&services, &found.link, version.at_ms).await?,
    };
    let caching = if link.is_some() { IMMUTABLE } else { REVALIDATED };
    let link = link.unwrap_or(found.link);
    let content = content(&services.site, &version.code, found.number, &link);
    let request = params.request(&version.code);
    let image = Image { code: &version.code, content, request, caching };
    send(&services, image, link.slug.as_str(), &params, &headers).await
}

async fn link_at_version(services: &Services, link: &Link, number: u64) -> Result<Link> {
    let number = u32::try_from(number).unwrap_or(u32::MAX);
    let (workspace, named) = (link.workspace, LinkRef::Id(link.id));
    let found = services.link_history.some_versions(workspace, named, [number]).await?;
    let version = found.and_then(|[version]| version);
    let rule = "must be a version of the QR code's link";
    version.map(|found| found.link).ok_or_else(|| ServiceError::field("link_version", rule))
}

/// Sends an image as a file or in JSON.
async fn send(
    services: &Services,
    image: Image<'_>,
    slug: &str,
    params: &ImageParams,
    headers: &HeaderMap,
) -> Result<Response> {
    let ImageRequest { format, size, .. } = image.request;
    if !params.is_base64 {
        let file = |image| file_response(slug, format, image);
        return image.respond(services, headers, "file", file).await;
    }
    let json = |image| {
        let (content_type, base64) = (format.content_type(), BASE64_STANDARD.encode(image));
        let data = ImageView { format: format.as_str(), content_type, size, base64 };
        Json(Data { data }).into_response()
    };
    image.respond(services, headers, "base64", json).await
}
