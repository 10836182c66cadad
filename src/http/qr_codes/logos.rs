//! The logos of requests: stored ones, `data:` URIs and URLs.

use std::future::Future;
use std::pin::Pin;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use crate::domain::command::Command;
use crate::domain::error::{ErrorCode, Result, ServiceError};
use crate::domain::ids::{LogoId, WorkspaceId};
use crate::domain::link::Field;
use crate::domain::qr::command::{self, QrCommand};
use crate::domain::qr::logo_id;
use crate::http::Services;
use crate::qr::{CancellationToken, Logo, MAX_UPLOAD_BYTES, RenderTask};

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
    /// Fetches the image at a public https URL, of at most so many bytes, for a workspace.
    fn fetch<'a>(
        &'a self,
        workspace: WorkspaceId,
        url: &'a str,
        max_bytes: usize,
    ) -> Pin<Box<dyn Future<Output = Result<Vec<u8>, FetchFailed>> + Send + 'a>>;
}

/// A checked logo of a request, with its id. It is stored with what uses it, or not at all.
pub struct NewLogo {
    /// Derived from the image.
    pub id: LogoId,
    /// The image.
    pub logo: Logo,
}

impl NewLogo {
    /// Checks a logo. `field` names it in errors.
    pub async fn check(
        services: &Services,
        workspace: WorkspaceId,
        field: &'static str,
        upload: Vec<u8>,
    ) -> Result<Self> {
        let parse = move |token: &CancellationToken| Logo::parse_upload_cancellable(token, &upload);
        let parsed = services.qr.render(workspace, RenderTask::ReadLogo, parse).await?;
        let logo = parsed.map_err(|error| ServiceError::field(field, error.to_string()))?;
        Ok(Self { id: logo_id(logo.bytes()), logo })
    }

    /// The command to store it.
    pub fn store(&self) -> Command {
        let (image, content_type) = (self.logo.bytes().to_vec(), self.logo.content_type());
        let logo = command::NewLogo { id: self.id, image, content_type: content_type.to_owned() };
        Command::Qr(QrCommand::StoreLogo(Box::new(logo)))
    }
}

/// Replaces a `data:` URI and a URL in a request by the id of the logo, which is not stored yet.
pub async fn resolve(
    services: &Services,
    workspace: WorkspaceId,
    logo: &mut Field<String>,
    logo_url: &mut Field<String>,
) -> Result<Option<NewLogo>> {
    let (field, upload) = match (&*logo, std::mem::take(logo_url)) {
        (Field::Value(_), Field::Value(_)) => {
            return Err(ServiceError::field("logo_url", "must be absent if there is a logo"));
        }
        (Field::Value(text), _) => match text.strip_prefix("data:") {
            None => return Ok(None),
            Some(uri) => ("logo", decode_data(uri)?),
        },
        (_, Field::Value(url)) => ("logo_url", fetch(services, workspace, &url).await?),
        (Field::Absent, Field::Null) => {
            *logo = Field::Null;
            return Ok(None);
        }
        (_, _) => return Ok(None),
    };
    let new = NewLogo::check(services, workspace, field, upload).await?;
    *logo = Field::Value(new.id.to_string());
    Ok(Some(new))
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

async fn fetch(services: &Services, workspace: WorkspaceId, url: &str) -> Result<Vec<u8>> {
    let Some(fetcher) = &services.qr.fetcher else {
        let rule = "is not possible here: this service fetches no logos, so upload it";
        return Err(ServiceError::field("logo_url", rule));
    };
    fetcher.fetch(workspace, url, MAX_UPLOAD_BYTES).await.map_err(|failed| match failed {
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
