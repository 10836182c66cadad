//! QR codes, as the native API and dialects create and draw them.
//!
//! Whether scanners would read a code is checked before its command is decided, on the threads that
//! render. Anything else that is wrong with a request is for the command to refuse.

pub mod images;
pub mod logos;

use std::sync::Arc;

use crate::commands::CommandResult;
use crate::domain::command::{Command, Expected, LinkRef, Outcome};
use crate::domain::error::{ErrorCode, Invalid, Result, ServiceError};
use crate::domain::event::Idempotency;
use crate::domain::ids::{LogoId, QrCodeId, WorkspaceId};
use crate::domain::link::{Field, Link};
use crate::domain::qr::command::QrCommand;
use crate::domain::qr::style::ImageFormat;
use crate::domain::qr::{QrCode, QrCodeInput, marker};
use crate::domain::token::Actor;
use crate::http::{Services, Site};
use crate::jobs::qr_exports::QrExports;
use crate::qr::{Logo, RenderError, RenderPool, Spec, Warning};
use crate::queries::qr_codes::{LinkedQrCode, QrCodes};
use images::ImageCache;
use logos::LogoFetcher;

/// What the handlers of QR codes work with. Cheap to clone.
#[derive(Clone)]
pub struct QrServices {
    /// Reads codes, logos and brand defaults.
    pub codes: QrCodes,
    /// Renders.
    pub pool: RenderPool,
    /// Drawn images.
    pub images: Arc<ImageCache>,
    /// Exports of images.
    pub exports: QrExports,
    /// Fetches logos. `None` if that is disabled.
    pub fetcher: Option<Arc<dyn LogoFetcher>>,
}

/// A code that was created or changed.
pub struct Saved {
    /// The code in its current state.
    pub code: LinkedQrCode,
    /// What may keep some scanners from reading it.
    pub warnings: Vec<Warning>,
    /// The offset in the mutation log that this reflects.
    pub offset: u64,
    /// Whether this is a replay of an earlier request with the same idempotency key.
    pub is_replay: bool,
}

/// An image to draw.
#[derive(Debug, Clone, Copy)]
pub struct ImageRequest {
    /// The format.
    pub format: ImageFormat,
    /// The width, in pixels.
    pub size: u32,
    /// Whether a size at which scanners would not read the code is refused.
    pub is_checked: bool,
}

/// What a code encodes: the short URL with the code's marker, or the payload of the link itself.
pub fn content(site: &Site, code: &QrCode, number: u64, link: &Link) -> String {
    match link.fields.content.payload().filter(|_| code.direct) {
        Some(payload) => payload.qr_text(),
        None => marker::marked(&site.short_url(&link.fields.domain, link.slug.as_str()), number),
    }
}

/// Creates a code; for a dialect, replaces the one that the dialect has for the link.
pub async fn create(
    services: &Services,
    actor: Actor,
    dialect: Option<&'static str>,
    mut input: QrCodeInput,
    idempotency: Option<Idempotency>,
) -> Result<Saved> {
    logos::resolve(services, actor, &mut input.logo, &mut input.logo_url).await?;
    // Of the code that is created, the number is not known yet: probably the next offset.
    let number = services.links.applied().saturating_add(1);
    let warnings = match blank(services, &actor, &input)? {
        Some((blank, link)) => {
            checked(services, &actor, input.clone(), (blank, number, link)).await?
        }
        None => Vec::new(),
    };
    let input = Box::new(input);
    let command = match dialect {
        Some(dialect) => QrCommand::CreateFor(dialect, input),
        None => QrCommand::Create(input),
    };
    run(services, actor, command, warnings, idempotency).await
}

/// Changes the fields of a code that are present.
pub async fn change(
    services: &Services,
    actor: Actor,
    code: LinkedQrCode,
    mut input: QrCodeInput,
    (expected, idempotency): (Expected, Option<Idempotency>),
) -> Result<Saved> {
    logos::resolve(services, actor, &mut input.logo, &mut input.logo_url).await?;
    let LinkedQrCode { code, number, link } = code;
    let id = code.id;
    let warnings = checked(services, &actor, input.clone(), (code, number, link)).await?;
    let command = QrCommand::Change(id, input.into(), expected);
    run(services, actor, command, warnings, idempotency).await
}

/// Runs a command that makes a version of a code.
pub async fn run(
    services: &Services,
    actor: Actor,
    command: QrCommand,
    warnings: Vec<Warning>,
    idempotency: Option<Idempotency>,
) -> Result<Saved> {
    let done = services.commands.run(actor, Command::Qr(command), idempotency).await?;
    let CommandResult { outcome, offset, is_replay } = done;
    let Outcome::QrCode(code) = outcome else {
        return Err(ServiceError::internal(format!("a QR code was expected, not {outcome:?}")));
    };
    // It may have been deleted since.
    let current = services.qr.codes.get(actor.workspace, code.id)?;
    let LinkedQrCode { number, link, .. } =
        current.ok_or_else(|| ServiceError::not_found("QR code"))?;
    let code = LinkedQrCode { code: *code, number, link };
    Ok(Saved { code, warnings, offset, is_replay })
}

/// A new code with the defaults, and its link; `None` if the request names no link.
fn blank(
    services: &Services,
    actor: &Actor,
    input: &QrCodeInput,
) -> Result<Option<(QrCode, Link)>> {
    let Field::Value(named) = &input.link else { return Ok(None) };
    let Some(named) = LinkRef::parse(named) else { return Ok(None) };
    let Some(link) = services.links.get(actor.workspace, &named)? else { return Ok(None) };
    let look = services.qr.codes.default_look(&link)?;
    let id = QrCodeId::new(uuid::Uuid::nil());
    Ok(Some((QrCode::blank(id, &link, look, 0), link)))
}

/// Checks whether scanners would read a code after a change. A change that the command will refuse
/// is not checked.
async fn checked(
    services: &Services,
    actor: &Actor,
    input: QrCodeInput,
    (before, number, link): (QrCode, u64, Link),
) -> Result<Vec<Warning>> {
    let workspace = actor.workspace;
    let has_logo = |id| matches!(services.qr.codes.logo(workspace, id), Ok(Some(_)));
    let Ok(after) = input.accept(before, &link, &has_logo) else { return Ok(Vec::new()) };
    let size = after.size;
    let spec = spec(services, workspace, &after, content(&services.site, &after, number, &link));
    let spec = spec.await?;
    let checked = services.qr.pool.run(move || crate::qr::check(&spec, size)).await?;
    checked.map_err(|illegible| refusal(illegible.reasons))
}

/// What is drawn of a code.
async fn spec(
    services: &Services,
    workspace: WorkspaceId,
    code: &QrCode,
    content: String,
) -> Result<Spec> {
    let logo = match &code.style.logo {
        Some(placed) => Some(stored_logo(services, workspace, placed.logo).await?),
        None => None,
    };
    Ok(Spec { content, style: code.style.clone(), logo })
}

/// A logo, to draw it.
pub async fn stored_logo(services: &Services, workspace: WorkspaceId, id: LogoId) -> Result<Logo> {
    // Of the current version, logos cannot be deleted.
    let missing =
        || ServiceError::new(ErrorCode::Conflict, "The logo of that version was deleted.");
    let image = services.qr.codes.logo_image(workspace, id).await?.ok_or_else(missing)?;
    let logo = services.qr.pool.run(move || Logo::from_stored(&image)).await?;
    logo.ok_or_else(missing)
}

/// Draws a code.
pub async fn draw(
    services: &Services,
    code: &QrCode,
    content: String,
    request: ImageRequest,
) -> Result<Vec<u8>> {
    let spec = spec(services, code.workspace, code, content).await?;
    let ImageRequest { format, size, is_checked } = request;
    let drawn = services.qr.pool.run(move || {
        if is_checked {
            crate::qr::check(&spec, size).map_err(|illegible| refusal(illegible.reasons))?;
        }
        crate::qr::render(&spec, format, size).map_err(|error| match error {
            // The payload has grown since the code was made.
            RenderError::TooLong => {
                let text = "The link's payload is too long for a QR code: shorten it.";
                ServiceError::new(ErrorCode::Conflict, text)
            }
            RenderError::Encoding(_) => ServiceError::internal(error),
        })
    });
    drawn.await?
}

/// Why scanners would not read a code, by field of the request.
fn refusal(reasons: Vec<(&'static str, String)>) -> ServiceError {
    let mut invalid = Invalid::default();
    for (field, reason) in reasons {
        let field = match field {
            "logo.size_percent" => "logo_size",
            // Short URLs are never too long.
            "content" => "direct",
            field => field,
        };
        invalid.add(field, reason);
    }
    invalid.into()
}
