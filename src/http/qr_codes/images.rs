//! Images of QR codes in responses: at `/qr/{qr_code}.{format}` for everybody, and in the API.
//!
//! An image has a tag that is derived from what is drawn, so a client with the current image is
//! answered before anything is drawn. Drawn images are cached by their tags, in bounded memory.

use axum::body::Bytes;
use axum::extract::State;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH,
};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use prost::Message;
use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter};
use sha2::{Digest, Sha256};

use super::{ImageRequest, content, draw};
use crate::domain::error::{Result, ServiceError};
use crate::domain::event::QrCodeState;
use crate::domain::link::Link;
use crate::domain::qr::QrCode;
use crate::domain::qr::style::ImageFormat;
use crate::http::params::Name;
use crate::http::{Services, Site, pages};
use crate::limits::IMAGE_CACHE_BYTES;
use crate::queries::qr_codes::LinkedQrCode;

/// An image that is opened in a browser can't run or load anything.
pub const POLICY: HeaderValue =
    HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'; sandbox");
/// Caches ask each time whether the image is still the same.
pub const REVALIDATED: HeaderValue = HeaderValue::from_static("public, no-cache");
/// The number of images for which the cache makes room at first.
const EXPECTED_IMAGES: usize = 1_000;

/// Drawn images by their tags.
pub struct ImageCache(Cache<String, Bytes, ByteWeighter>);

#[derive(Clone)]
struct ByteWeighter;

impl Weighter<String, Bytes> for ByteWeighter {
    fn weight(&self, tag: &String, image: &Bytes) -> u64 {
        (tag.len() + image.len()) as u64
    }
}

impl Default for ImageCache {
    fn default() -> Self {
        let options = OptionsBuilder::new()
            // A shard refuses what is larger than itself.
            .shards(1)
            .estimated_items_capacity(EXPECTED_IMAGES)
            .weight_capacity(IMAGE_CACHE_BYTES)
            .build();
        Self(match options {
            Ok(options) => {
                let (hasher, lifecycle) =
                    (DefaultHashBuilder::default(), DefaultLifecycle::default());
                Cache::with_options(options, ByteWeighter, hasher, lifecycle)
            }
            // Never: both capacities are set.
            Err(_) => Cache::with_weighter(EXPECTED_IMAGES, IMAGE_CACHE_BYTES, ByteWeighter),
        })
    }
}

impl Site {
    /// The URL of a code's image for everybody. The versions make clients fetch a changed image.
    pub fn qr_image_url(&self, code: &QrCode, link: &Link, format: ImageFormat) -> String {
        let (base, id, format) = (&self.base, code.id, format.as_str());
        format!("{base}/qr/{id}.{format}?v={}.{}", code.version, link.version)
    }
}

/// The image of a code, for everybody who knows the code's id, at the code's size. It says no more
/// than the printed code. Requests count as visits of their address.
pub async fn public(
    State(services): State<Services>,
    Name(file): Name,
    parts: Parts,
) -> Result<Response> {
    if let Some(refusal) = pages::visit_limit_exceeded(&services, &parts) {
        return Ok(refusal);
    }
    let missing = || ServiceError::not_found("QR code");
    let (id, format) = file.rsplit_once('.').ok_or_else(missing)?;
    let (id, format) = (id.parse().ok(), ImageFormat::named(format));
    let (id, format) = id.zip(format).ok_or_else(missing)?;
    let LinkedQrCode { code, number, link } =
        services.qr.codes.of_any_workspace(id)?.ok_or_else(missing)?;
    let content = content(&services.site, &code, number, &link);
    let request = ImageRequest { format, size: code.size, is_checked: false };
    let image = Image { code: &code, content, request, caching: REVALIDATED };
    let slug = link.slug.as_str();
    let file = |image| file_response(slug, format, image);
    image.respond(&services, &parts.headers, "file", file).await
}

/// An image to send.
pub struct Image<'a> {
    /// The code.
    pub code: &'a QrCode,
    /// What it encodes.
    pub content: String,
    /// What to draw.
    pub request: ImageRequest,
    /// The `Cache-Control` header.
    pub caching: HeaderValue,
}

impl Image<'_> {
    /// The response, made of the image by `render`, unless the client has it. `form` tells responses
    /// that are made differently apart.
    pub async fn respond(
        self,
        services: &Services,
        headers: &HeaderMap,
        form: &str,
        render: impl FnOnce(Bytes) -> Response,
    ) -> Result<Response> {
        let tag = format!("\"{}-{form}\"", self.tag());
        let caching = self.caching.clone();
        let mut response = if is_known(headers, &tag) {
            StatusCode::NOT_MODIFIED.into_response()
        } else {
            render(self.file(services).await?)
        };
        response.headers_mut().insert(CACHE_CONTROL, caching);
        response.headers_mut().extend(HeaderValue::try_from(tag).ok().map(|tag| (ETAG, tag)));
        Ok(response)
    }

    /// The file, from the cache if possible. Requests for the same image wait for the first of them
    /// to draw it.
    pub async fn file(self, services: &Services) -> Result<Bytes> {
        let tag = self.tag();
        let Self { code, content, request, .. } = self;
        let draw = async { draw(services, code, content, request).await.map(Bytes::from) };
        services.qr.images.0.get_or_insert_async(&tag, draw).await
    }

    /// The same for the same image, and another one after an update of the service, which may draw
    /// differently. A size that is to be checked has a tag of its own.
    fn tag(&self) -> String {
        let ImageRequest { format, size, is_checked } = self.request;
        let look = QrCodeState::from(self.code).look.unwrap_or_default().encode_to_vec();
        let mut digest = Sha256::new_with_prefix(env!("CARGO_PKG_VERSION"));
        digest.update([format as u8, is_checked.into()]);
        digest.update(size.to_be_bytes());
        digest.update(self.code.workspace.as_bytes());
        digest.update((look.len() as u64).to_be_bytes());
        digest.update(look);
        digest.update(&self.content);
        BASE64_URL_SAFE_NO_PAD.encode(&digest.finalize()[..16])
    }
}

/// An image as a file.
pub fn file_response(slug: &str, format: ImageFormat, image: Bytes) -> Response {
    let mut response = image.into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(format.content_type()));
    headers.insert(CONTENT_SECURITY_POLICY, POLICY);
    let name = format!("inline; filename=\"qr-{slug}.{}\"", format.as_str());
    headers.extend(HeaderValue::try_from(name).ok().map(|name| (CONTENT_DISPOSITION, name)));
    response
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
    use crate::domain::qr::input::SIZES;
    use crate::domain::qr::tests::{code, styled};

    #[test]
    fn a_tag_names_what_is_drawn() {
        let png = ImageRequest { format: ImageFormat::Png, size: 300, is_checked: false };
        let tag = |code: &QrCode, content: &str, request| {
            let (content, caching) = (content.to_owned(), REVALIDATED);
            Image { code, content, request, caching }.tag()
        };
        let first = tag(&code(), "a", png);
        let later = QrCode { version: 2, updated_at_ms: 9, name: Some("x".into()), ..code() };
        assert_eq!(tag(&later, "a", png), first, "the same image");
        let mut tags = vec![
            first,
            tag(&code(), "b", png),
            tag(&code(), "a", ImageRequest { is_checked: true, ..png }),
            tag(&code(), "a", ImageRequest { format: ImageFormat::Svg, ..png }),
            tag(&code(), "a", ImageRequest { size: 299, ..png }),
            tag(&QrCode { style: styled(), ..code() }, "a", png),
        ];
        tags.sort();
        tags.dedup();
        assert_eq!(tags.len(), 6);
    }

    /// The largest size, without any compression.
    #[test]
    fn a_large_image_stays_in_the_cache() {
        let cache = ImageCache::default();
        let size = (SIZES.end() * SIZES.end()) as usize;
        cache.0.insert("large".to_owned(), vec![0; size].into());
        assert!(cache.0.get("large").is_some());
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
