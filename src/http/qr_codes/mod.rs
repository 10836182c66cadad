//! QR codes, as the native API and dialects create and draw them.
//!
//! Whether scanners would read a code is checked before its command is decided ([`checks`]), on the
//! threads that render. Anything else that is wrong with a request is for the command to refuse.

pub mod checks;
pub mod images;
pub mod logos;

use std::sync::Arc;

use crate::commands::CommandResult;
use crate::domain::command::{Command, Expected, Outcome};
use crate::domain::error::{ErrorCode, Result, ServiceError};
use crate::domain::event::Idempotency;
use crate::domain::ids::{LogoId, WorkspaceId};
use crate::domain::link::Link;
use crate::domain::qr::command::QrCommand;
use crate::domain::qr::style::{ImageFormat, QrStyle};
use crate::domain::qr::{QrCode, QrCodeInput, marker};
use crate::domain::token::Actor;
use crate::http::{Services, Site};
use crate::jobs::qr_exports::QrExports;
use crate::limits::RENDER_TIMEOUT;
use crate::qr::{CancellationToken, Logo, RenderError, RenderPool, RenderTask, Spec, Warning};
use crate::queries::WorkspaceLimiter;
use crate::queries::qr_codes::{LinkedQrCode, QrCodes};
use images::ImageCache;
use logos::{LogoFetcher, NewLogo};

/// How often a change of a code is checked, if another one always comes between.
const MAX_CHECKS: usize = 5;

/// What the handlers of QR codes work with. Cheap to clone.
#[derive(Clone)]
pub struct QrServices {
    /// Reads codes, logos and brand defaults.
    pub codes: QrCodes,
    /// Renders.
    pub pool: RenderPool,
    /// Limits the concurrent work of each workspace on [`Self::pool`].
    pub workspace_limiter: WorkspaceLimiter,
    /// Drawn images.
    pub images: Arc<ImageCache>,
    /// Exports of images.
    pub exports: QrExports,
    /// Fetches logos. `None` if that is disabled.
    pub fetcher: Option<Arc<dyn LogoFetcher>>,
}

impl QrServices {
    /// Runs work on the pool for a workspace, within the workspace's limit.
    pub async fn render<T: Send + 'static>(
        &self,
        workspace: WorkspaceId,
        task: RenderTask,
        work: impl FnOnce(&CancellationToken) -> T + Send + 'static,
    ) -> Result<T> {
        let permit =
            tokio::time::timeout(RENDER_TIMEOUT, self.workspace_limiter.acquire(workspace)).await;
        let permit = permit.map_err(|_| {
            let message = "Too many images of this workspace are waiting to be drawn; please try \
                           again, with fewer at once.";
            ServiceError::unavailable(ErrorCode::Overloaded, message)
        })?;
        let work = move |token: &CancellationToken| {
            // Held until the work ends, even if the caller has gone.
            let _permit = permit;
            work(token)
        };
        self.pool.run(work).await.map_err(|error| error.into_error(task))
    }
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
    let (mut new_logo, mut warnings) = (None, Vec::new());
    if !is_replay(services, actor.workspace, idempotency.as_ref())? {
        let (logo, url) = (&mut input.logo, &mut input.logo_url);
        new_logo = logos::resolve(services, actor.workspace, logo, url).await?;
        warnings = checks::check_new(services, &actor, &input, new_logo.as_ref()).await?;
    }
    let input = Box::new(input);
    let command = match dialect {
        Some(dialect) => QrCommand::CreateFor(dialect, input),
        None => QrCommand::Create(input),
    };
    run(services, actor, (new_logo.as_ref(), command), warnings, idempotency).await
}

/// Changes the fields of a code that are present.
///
/// # Errors
/// Without an expected version, `Conflict` if others keep changing the code: what was checked is not
/// what the command would change then.
pub async fn change(
    services: &Services,
    actor: Actor,
    mut code: LinkedQrCode,
    mut input: QrCodeInput,
    (expected, idempotency): (Expected, Option<Idempotency>),
) -> Result<Saved> {
    let (workspace, id) = (actor.workspace, code.code.id);
    let is_replay = is_replay(services, workspace, idempotency.as_ref())?;
    let mut new_logo = None;
    if !is_replay {
        let (logo, url) = (&mut input.logo, &mut input.logo_url);
        new_logo = logos::resolve(services, workspace, logo, url).await?;
    }
    for _ in 0..MAX_CHECKS {
        let warnings = if is_replay {
            Vec::new()
        } else {
            checks::check_change(services, &code, &input, new_logo.as_ref()).await?
        };
        let checked = expected.or(Some(code.code.version));
        let command = QrCommand::Change(id, input.clone().into(), checked);
        let command = (new_logo.as_ref(), command);
        match run(services, actor, command, warnings, idempotency.clone()).await {
            Err(error) if error.code == ErrorCode::PreconditionFailed && expected.is_none() => {
                let current = services.qr.codes.get(workspace, id)?;
                code = current.ok_or_else(|| ServiceError::not_found("QR code"))?;
            }
            done => return done,
        }
    }
    let text = "The QR code is being changed by others at the same time; please try again.";
    Err(ServiceError::new(ErrorCode::Conflict, text))
}

/// Reverts a code to what a version of it says.
pub async fn revert(
    services: &Services,
    actor: Actor,
    code: LinkedQrCode,
    to: QrCode,
    (expected, idempotency): (Expected, Option<Idempotency>),
) -> Result<Saved> {
    let warnings = if is_replay(services, actor.workspace, idempotency.as_ref())? {
        Vec::new()
    } else {
        checks::check_revert(services, &code, to.clone()).await?
    };
    let command = QrCommand::Revert { to: to.into(), expected };
    run(services, actor, (None, command), warnings, idempotency).await
}

/// Whether a request repeats one with the same idempotency key. It is answered with the first result,
/// so its logo is not fetched, and nothing is checked, a second time.
pub fn is_replay(
    services: &Services,
    workspace: WorkspaceId,
    idempotency: Option<&Idempotency>,
) -> Result<bool> {
    idempotency.map_or(Ok(false), |sent| services.links.is_known_key(workspace, &sent.key))
}

/// Runs a command that makes a version of a code, with a logo that it needs.
async fn run(
    services: &Services,
    actor: Actor,
    (new_logo, command): (Option<&NewLogo>, QrCommand),
    warnings: Vec<Warning>,
    idempotency: Option<Idempotency>,
) -> Result<Saved> {
    let (first, command) = (new_logo.map(NewLogo::store), Command::Qr(command));
    let done = services.commands.run_after(actor, first, command, idempotency).await?;
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

/// What is drawn of a code.
async fn spec(
    services: &Services,
    workspace: WorkspaceId,
    (style, new_logo): (QrStyle, Option<&NewLogo>),
    content: String,
) -> Result<Spec> {
    let logo = match style.logo.map(|placed| (placed.logo, new_logo)) {
        Some((id, Some(new))) if new.id == id => Some(new.logo.clone()),
        Some((id, _)) => Some(stored_logo(&services.qr, workspace, id).await?),
        None => None,
    };
    Ok(Spec { content, style, logo })
}

/// A logo, to draw it.
async fn stored_logo(qr: &QrServices, workspace: WorkspaceId, id: LogoId) -> Result<Logo> {
    // Of the current version, logos cannot be deleted.
    let missing =
        || ServiceError::new(ErrorCode::Conflict, "The logo of that version was deleted.");
    let image = qr.codes.logo_image(workspace, id).await?.ok_or_else(missing)?;
    qr.render(workspace, RenderTask::ReadLogo, move |_| parse_stored(id, &image)).await?
}

fn parse_stored(id: LogoId, image: &[u8]) -> Result<Logo> {
    let damaged = || ServiceError::internal(format!("the stored logo {id} is damaged"));
    Logo::from_stored(image).ok_or_else(damaged)
}

/// Draws a code.
async fn draw(
    services: &Services,
    code: &QrCode,
    content: String,
    request: ImageRequest,
) -> Result<Vec<u8>> {
    let spec = spec(services, code.workspace, (code.style.clone(), None), content).await?;
    let ImageRequest { format, size, is_checked } = request;
    let drawn = services.qr.render(code.workspace, RenderTask::Draw, move |token| {
        if is_checked {
            crate::qr::check(&spec, size)
                .map_err(|illegible| checks::refusal(illegible, |_| None))?;
        }
        crate::qr::render_cancellable(token, &spec, format, size).map_err(|error| match error {
            // The payload has grown since the code was made.
            RenderError::TooLong => {
                let text = "The link's payload is too long for a QR code: shorten it.";
                ServiceError::new(ErrorCode::Conflict, text)
            }
            RenderError::Encoding(_) | RenderError::Cancelled => ServiceError::internal(error),
        })
    });
    drawn.await?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_logo_is_an_internal_error() {
        let id = LogoId::new(uuid::Uuid::from_u128(1));
        let error = parse_stored(id, b"\x89PNG").unwrap_err();
        assert_eq!(error.code, ErrorCode::Internal);
        assert!(error.cause.unwrap().contains(&id.to_string()), "for the server log");
    }
}
