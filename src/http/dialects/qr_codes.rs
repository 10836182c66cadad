//! What dialects do with QR codes.

use axum::body::Bytes;

use super::fields::renamed;
use super::links::Names;
use crate::domain::command::Command;
use crate::domain::error::{Result, ServiceError};
use crate::domain::link::Link;
use crate::domain::qr::command::QrCommand;
use crate::domain::qr::style::ImageFormat;
use crate::domain::qr::{QrCode, QrCodeInput};
use crate::http::auth::Api;
use crate::http::qr_codes::images::{Image, REVALIDATED};
use crate::http::qr_codes::{self, ImageRequest, content};
use crate::queries::qr_codes::LinkedQrCode;

/// A QR code with what dialects show beside its fields.
pub struct ShownCode {
    /// The code.
    pub code: QrCode,
    /// Its link.
    pub link: Link,
    /// The link's short URL.
    pub short_url: String,
    /// The public URL of its image.
    pub image_url: String,
    /// The number of scans; `None` while analytics are unavailable.
    pub scans: Option<u64>,
}

impl ShownCode {
    fn new(api: &Api, LinkedQrCode { code, link, .. }: LinkedQrCode, scans: Option<u64>) -> Self {
        let site = &api.services.site;
        let short_url = site.short_url(&link.fields.domain, link.slug.as_str());
        let image_url = site.qr_image_url(&code, &link, format_of(&code));
        Self { code, link, short_url, image_url, scans }
    }
}

/// The format of a code's image: PDF and EPS, which another API can choose, are nothing for a page.
const fn format_of(code: &QrCode) -> ImageFormat {
    match code.format {
        ImageFormat::Svg => ImageFormat::Svg,
        ImageFormat::Png | ImageFormat::Pdf | ImageFormat::Eps => ImageFormat::Png,
    }
}

/// Creates a code. A dialect that manages one code per link replaces the one that the link has.
pub async fn create(
    api: &Api,
    manager: Option<&'static str>,
    input: QrCodeInput,
    names: Names,
) -> Result<ShownCode> {
    let saved = qr_codes::create(&api.services, api.actor, manager, input, None).await;
    let code = saved.map_err(|error| renamed(error, names))?.code;
    if code.code.version > 1 {
        show(api, code).await
    } else {
        Ok(ShownCode::new(api, code, Some(0)))
    }
}

/// Changes the fields of a code that are present.
pub async fn change(api: &Api, code: LinkedQrCode, input: QrCodeInput) -> Result<ShownCode> {
    let saved = qr_codes::change(&api.services, api.actor, code, input, (None, None)).await?;
    show(api, saved.code).await
}

/// Deletes a code.
pub async fn delete(api: &Api, LinkedQrCode { code, .. }: LinkedQrCode) -> Result<()> {
    let command = Command::Qr(QrCommand::Delete(code.id, None));
    api.services.commands.run(api.actor, command, None).await.map(drop)
}

/// The image of a code, by default in its own format.
pub async fn image(
    api: &Api,
    LinkedQrCode { code, number, link }: &LinkedQrCode,
    format: Option<ImageFormat>,
) -> Result<(Bytes, ImageFormat)> {
    let content = content(&api.services.site, code, *number, link);
    let format = format.unwrap_or(format_of(code));
    let request = ImageRequest { format, size: code.size, is_checked: false };
    let image = Image { code, content, request, caching: REVALIDATED };
    Ok((image.file(&api.services).await?, format))
}

/// Finds a code of the caller's workspace by its id.
pub fn by_id(api: &Api, text: &str) -> Result<LinkedQrCode> {
    let id = text.parse().ok();
    let found = id.map(|id| api.services.qr.codes.get(api.actor.workspace, id)).transpose()?;
    found.flatten().ok_or_else(|| ServiceError::not_found("QR code"))
}

/// Finds the code of a link that a dialect manages.
pub fn of_link(api: &Api, link: &Link, manager: &str) -> Result<LinkedQrCode> {
    let found = api.services.qr.codes.of_dialect(link, manager)?;
    found.ok_or_else(|| ServiceError::not_found("QR code"))
}

/// A code with its scans.
pub async fn show(api: &Api, code: LinkedQrCode) -> Result<ShownCode> {
    let shown = show_all(api, vec![code]).await.pop();
    shown.ok_or_else(|| ServiceError::internal("a QR code was expected"))
}

/// Codes with their scans.
pub async fn show_all(api: &Api, codes: Vec<LinkedQrCode>) -> Vec<ShownCode> {
    if codes.is_empty() {
        return Vec::new();
    }
    let ids: Vec<_> = codes.iter().map(|found| found.code.id).collect();
    let scans = api.services.analytics.scans(api.actor.workspace, &ids).await;
    let shown = codes.into_iter().map(|found| {
        let of_code = scans.as_ref().map(|all| all.get(&found.code.id).copied().unwrap_or(0));
        ShownCode::new(api, found, of_code)
    });
    shown.collect()
}
