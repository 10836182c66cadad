//! Images of QR codes, as files or in JSON.
//!
//! The image at the code's own URL is revalidated, by a tag that is derived from what is drawn: a
//! client with the current image is answered before anything is drawn. The image of a version never
//! changes.

use axum::Json;
use axum::extract::Path;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use prost::Message;
use serde::Serialize;
use sha2::{Digest, Sha256};
use utoipa::{IntoParams, ToSchema};

use super::find;
use super::versions::find_version;
use crate::domain::command::LinkRef;
use crate::domain::error::Result;
use crate::domain::event::QrCodeState;
use crate::domain::qr::QrCode;
use crate::domain::qr::input::SIZES;
use crate::domain::qr::style::ImageFormat;
use crate::http::Services;
use crate::http::auth::Api;
use crate::http::native::Data;
use crate::http::params::{Name, Params};
use crate::http::qr_codes::{ImageRequest, content, draw};
use crate::queries::history::LinkAtTime;

/// Caches ask each time whether the image is still the same.
const REVALIDATED: HeaderValue = HeaderValue::from_static("private, no-cache");
/// What never changes: a year is the most that RFC 9111 suggests.
pub const IMMUTABLE: HeaderValue = HeaderValue::from_static("private, max-age=31536000, immutable");
/// An image that is opened in a browser can't run or load anything.
pub const POLICY: HeaderValue =
    HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'; sandbox");

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

    /// What is to be drawn of a code. The code's own size was checked when it was set.
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
            (Data<ImageView> = "application/json"), (Vec<u8> = "image/png"),
            (Vec<u8> = "image/svg+xml"), (Vec<u8> = "application/pdf"),
            (Vec<u8> = "application/postscript"),
        )),
        (status = 304, description = "The image has not changed."),
        (status = 503, description = "Too many images are waiting to be drawn; retry later."),
    ),
)]
pub async fn image(
    Api { services, actor }: Api,
    Name(name): Name,
    headers: HeaderMap,
    params: Params,
) -> Result<Response> {
    let params = ImageParams::take(params)?;
    let found = find(&services, &actor, &name)?;
    let content = content(&services.site, &found.code, found.number, &found.link);
    let sent = Sent { slug: found.link.slug.as_str(), content, caching: REVALIDATED };
    answer(&services, &found.code, &params, sent, &headers).await
}

/// Draws a version of a QR code.
///
/// It never changes: it encodes the URL that the link had when the version was created.
#[utoipa::path(
    get, path = "/qr-codes/{qr_code}/versions/{version}/image",
    params(ImageQuery),
    responses(
        (status = 200, description = "The image.", content(
            (Data<ImageView> = "application/json"), (Vec<u8> = "image/png"),
            (Vec<u8> = "image/svg+xml"), (Vec<u8> = "application/pdf"),
            (Vec<u8> = "application/postscript"),
        )),
        (status = 304, description = "The image has not changed."),
        (status = 503, description = "Too many images are waiting to be drawn; retry later."),
    ),
)]
pub async fn version_image(
    Api { services, actor }: Api,
    Path((name, version)): Path<(String, String)>,
    headers: HeaderMap,
    params: Params,
) -> Result<Response> {
    let params = ImageParams::take(params)?;
    let (found, version) = find_version(&services, &actor, &name, &version).await?;
    let named = LinkRef::Id(found.link.id);
    let then = services.link_history.link_at(actor.workspace, named, version.at_ms).await?;
    let link = if let LinkAtTime::Live(link) = then { *link } else { found.link };
    let content = content(&services.site, &version.code, found.number, &link);
    let sent = Sent { slug: link.slug.as_str(), content, caching: IMMUTABLE };
    answer(&services, &version.code, &params, sent, &headers).await
}

/// What is sent, besides the code.
struct Sent<'a> {
    slug: &'a str,
    content: String,
    caching: HeaderValue,
}

async fn answer(
    services: &Services,
    code: &QrCode,
    params: &ImageParams,
    Sent { slug, content, caching }: Sent<'_>,
    headers: &HeaderMap,
) -> Result<Response> {
    let request = params.request(code);
    let tag = tag(code, &content, request, params.is_base64);
    let mut caching: Vec<(HeaderName, HeaderValue)> = vec![(CACHE_CONTROL, caching)];
    caching.extend(HeaderValue::try_from(&tag).ok().map(|tag| (ETAG, tag)));
    if is_known(headers, &tag) {
        let mut response = StatusCode::NOT_MODIFIED.into_response();
        response.headers_mut().extend(caching);
        return Ok(response);
    }
    let file = draw(services, code, content, request).await?;
    let ImageRequest { format, size, .. } = request;
    let content_type = format.content_type();
    let mut response = if params.is_base64 {
        let base64 = BASE64_STANDARD.encode(file);
        let data = ImageView { format: format.as_str(), content_type, size, base64 };
        Json(Data { data }).into_response()
    } else {
        let name = format!("inline; filename=\"qr-{slug}.{}\"", format.as_str());
        let mut response = file.into_response();
        let all = response.headers_mut();
        all.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        all.insert(CONTENT_SECURITY_POLICY, POLICY);
        if let Ok(name) = HeaderValue::try_from(name) {
            all.insert(CONTENT_DISPOSITION, name);
        }
        response
    };
    response.headers_mut().extend(caching);
    Ok(response)
}

/// A strong tag of what is drawn: the same for the same bytes, and another one after an update of
/// the service, which may draw differently.
fn tag(code: &QrCode, content: &str, request: ImageRequest, is_base64: bool) -> String {
    let ImageRequest { format, size, .. } = request;
    let look = QrCodeState::from(code).look.unwrap_or_default().encode_to_vec();
    let mut digest = Sha256::new_with_prefix(env!("CARGO_PKG_VERSION"));
    digest.update([format as u8, is_base64.into()]);
    digest.update(size.to_be_bytes());
    digest.update((look.len() as u64).to_be_bytes());
    digest.update(look);
    digest.update(content);
    format!("\"{}\"", BASE64_URL_SAFE_NO_PAD.encode(&digest.finalize()[..16]))
}

/// Whether the client has what a tag names (`If-None-Match`).
pub fn is_known(headers: &HeaderMap, tag: &str) -> bool {
    let known = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    known.flat_map(|value| value.split(',')).any(|known| {
        let known = known.trim();
        // The comparison is a weak one, RFC 9110 section 13.1.2.
        known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::qr::tests::code;

    #[test]
    fn a_tag_names_what_is_drawn() {
        let request = ImageRequest { format: ImageFormat::Png, size: 300, is_checked: false };
        let first = tag(&code(), "a", request, false);
        let later = QrCode { version: 2, updated_at_ms: 9, name: Some("x".into()), ..code() };
        assert_eq!(tag(&later, "a", request, false), first, "the same image");
        let other_style = QrCode { style: crate::domain::qr::tests::styled(), ..code() };
        let svg = ImageRequest { format: ImageFormat::Svg, ..request };
        let small = ImageRequest { size: 299, ..request };
        let mut tags = vec![
            first,
            tag(&code(), "b", request, false),
            tag(&code(), "a", request, true),
            tag(&code(), "a", svg, false),
            tag(&code(), "a", small, false),
            tag(&other_style, "a", request, false),
        ];
        tags.sort();
        tags.dedup();
        assert_eq!(tags.len(), 6);
    }

    #[test]
    fn known_tags_are_found() {
        let has = |value: &'static str| {
            let headers = HeaderMap::from_iter([(IF_NONE_MATCH, HeaderValue::from_static(value))]);
            is_known(&headers, "\"a\"")
        };
        for value in ["\"a\"", "W/\"a\"", "\"b\", \"a\"", "*"] {
            assert!(has(value), "{value}");
        }
        assert!(!has("\"b\"") && !has("a") && !is_known(&HeaderMap::new(), "\"a\""));
    }
}
