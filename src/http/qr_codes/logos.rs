//! The logos of requests: stored ones, `data:` URIs and URLs.

use std::future::Future;
use std::pin::Pin;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use crate::domain::command::Command;
use crate::domain::error::{ErrorCode, Result, ServiceError};
use crate::domain::ids::LogoId;
use crate::domain::link::Field;
use crate::domain::qr::command::{NewLogo, QrCommand};
use crate::domain::qr::logo_id;
use crate::domain::token::Actor;
use crate::http::Services;
use crate::qr::{Logo, MAX_UPLOAD_BYTES};

/// Why a logo could not be fetched.
#[derive(Debug)]
pub enum FetchFailed {
    /// The reason, for the user who chose the URL.
    Refused(String),
    /// Too many logos are being fetched.
    Busy,
}

/// Fetches images from URLs that users choose.
pub trait LogoFetcher: Send + Sync {
    /// Fetches the image at a public https URL, of at most so many bytes.
    fn fetch<'a>(
        &'a self,
        url: &'a str,
        max_bytes: usize,
    ) -> Pin<Box<dyn Future<Output = Result<Vec<u8>, FetchFailed>> + Send + 'a>>;
}

/// Replaces a `data:` URI and a URL in a request by the id of the logo, which is stored.
pub async fn resolve(
    services: &Services,
    actor: Actor,
    logo: &mut Field<String>,
    logo_url: &mut Field<String>,
) -> Result<()> {
    let (field, upload) = match (&*logo, std::mem::take(logo_url)) {
        (Field::Value(_), Field::Value(_)) => {
            return Err(ServiceError::field("logo_url", "must be absent if there is a logo"));
        }
        (Field::Value(text), _) => match text.strip_prefix("data:") {
            None => return Ok(()),
            Some(uri) => ("logo", decode_data(uri)?),
        },
        (_, Field::Value(url)) => ("logo_url", fetch(services, &url).await?),
        (Field::Absent, Field::Null) => {
            *logo = Field::Null;
            return Ok(());
        }
        (_, _) => return Ok(()),
    };
    let (id, ..) = store(services, actor, field, upload).await?;
    *logo = Field::Value(id.to_string());
    Ok(())
}

/// Checks and stores a logo; returns its id, the log's offset, and whether it is new. `field` names
/// it in errors.
pub async fn store(
    services: &Services,
    actor: Actor,
    field: &'static str,
    upload: Vec<u8>,
) -> Result<(LogoId, u64, bool)> {
    let parsed = services.qr.pool.run(move || Logo::parse_upload(&upload)).await?;
    let logo = parsed.map_err(|error| ServiceError::field(field, error.to_string()))?;
    let id = logo_id(logo.bytes());
    let is_new = services.qr.codes.logo(actor.workspace, id)?.is_none();
    let (image, content_type) = (logo.bytes().to_vec(), logo.content_type().to_owned());
    let command = QrCommand::StoreLogo(Box::new(NewLogo { id, image, content_type }));
    let done = services.commands.run(actor, Command::Qr(command), None).await?;
    Ok((id, done.offset, is_new))
}

/// Decodes a `data:` URI with base64 or percent-encoding, without its scheme.
fn decode_data(uri: &str) -> Result<Vec<u8>> {
    let refused = |rule: &str| ServiceError::field("logo", rule);
    let rule = "must be the id of a logo, or a data: URI with an image";
    let (kind, data) = uri.split_once(',').ok_or_else(|| refused(rule))?;
    if !kind.starts_with("image/") {
        return Err(refused("must be a data: URI with an image, such as data:image/png;base64,…"));
    }
    if kind.ends_with(";base64") {
        return BASE64_STANDARD.decode(data.trim()).map_err(|_| refused("is not valid base64"));
    }
    Ok(percent_encoding::percent_decode_str(data).collect())
}

async fn fetch(services: &Services, url: &str) -> Result<Vec<u8>> {
    let Some(fetcher) = &services.qr.fetcher else {
        let rule = "is not possible here: this service fetches no logos, so upload it";
        return Err(ServiceError::field("logo_url", rule));
    };
    fetcher.fetch(url, MAX_UPLOAD_BYTES).await.map_err(|failed| match failed {
        FetchFailed::Refused(reason) => ServiceError::field("logo_url", reason),
        FetchFailed::Busy => {
            let message = "Too many logos are being fetched; please try again.";
            ServiceError::unavailable(ErrorCode::Overloaded, message)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_uris_are_decoded() {
        assert_eq!(decode_data("image/png;base64,aGk=").unwrap(), b"hi");
        assert_eq!(decode_data("image/svg+xml,%3Csvg/%3E").unwrap(), b"<svg/>");
        assert_eq!(decode_data("image/svg+xml;charset=utf-8,<svg/>").unwrap(), b"<svg/>");
        for uri in ["", "image/png", "text/html,x", "image/png;base64,%%%", ",aGk="] {
            assert!(decode_data(uri).unwrap_err().fields.contains_key("logo"), "{uri}");
        }
    }
}
