//! Whether scanners would read a code, before it is made or changed. What the command will refuse is
//! not checked.

use super::logos::NewLogo;
use super::{content, spec};
use crate::domain::command::LinkRef;
use crate::domain::error::{Invalid, Result, ServiceError};
use crate::domain::ids::{LogoId, QrCodeId, WorkspaceId};
use crate::domain::link::Field;
use crate::domain::qr::look::{Look, LookChanges};
use crate::domain::qr::style::QrStyle;
use crate::domain::qr::{QrCode, QrCodeInput, QrDefaults, QrDefaultsInput, marker};
use crate::domain::slug::GENERATED_LEN;
use crate::domain::token::Actor;
use crate::http::Services;
use crate::qr::{Illegible, RenderTask, Warning};
use crate::queries::qr_codes::LinkedQrCode;

/// Checks a code that is to be created, with the brand defaults.
pub async fn check_new(
    services: &Services,
    actor: &Actor,
    input: &QrCodeInput,
    new_logo: Option<&NewLogo>,
) -> Result<Vec<Warning>> {
    let named = if let Field::Value(named) = &input.link { LinkRef::parse(named) } else { None };
    let link = named.map(|named| services.links.get(actor.workspace, &named)).transpose()?;
    let Some(link) = link.flatten() else { return Ok(Vec::new()) };
    let defaults = services.qr.codes.defaults_of(&link)?.map(|defaults| defaults.look);
    let mut look = Look::default();
    for changes in defaults.clone() {
        changes.apply_to(&mut look);
    }
    let has_logo = logo_lookup(services, actor.workspace, new_logo);
    let asked = input.look(&has_logo);
    let blank = QrCode::blank(QrCodeId::new(uuid::Uuid::nil()), &link, look, 0);
    let Ok(code) = input.clone().accept(blank, &link, &has_logo) else { return Ok(Vec::new()) };
    let content = content(&services.site, &code, next_number(services), &link);
    let look = (code.style, code.size);
    let checked = check(services, actor.workspace, look, content, new_logo).await?;
    checked.map_err(|illegible| refusal(illegible, |field: &str| origin(field, &asked, &defaults)))
}

/// Checks a code after a change. One that is drawn as before is not refused, even if its link has
/// become longer meanwhile: then the reasons are warnings.
pub async fn check_change(
    services: &Services,
    code: &LinkedQrCode,
    input: &QrCodeInput,
    new_logo: Option<&NewLogo>,
) -> Result<Vec<Warning>> {
    let LinkedQrCode { code: before, link, .. } = code;
    let has_logo = logo_lookup(services, before.workspace, new_logo);
    let accepted = input.clone().accept(before.clone(), link, &has_logo);
    let Ok(after) = accepted else { return Ok(Vec::new()) };
    check_next(services, code, after, new_logo, |_| None).await
}

/// The same for a code that is to be what a version of it says.
pub async fn check_revert(
    services: &Services,
    code: &LinkedQrCode,
    to: QrCode,
) -> Result<Vec<Warning>> {
    let origin = format!("as in version {}", to.version);
    let direct = to.direct && code.link.fields.content.payload().is_some();
    check_next(services, code, QrCode { direct, ..to }, None, |_| Some(origin.clone())).await
}

/// Checks what a code is to become.
async fn check_next(
    services: &Services,
    LinkedQrCode { code: before, number, link }: &LinkedQrCode,
    after: QrCode,
    new_logo: Option<&NewLogo>,
    origin: impl Fn(&str) -> Option<String>,
) -> Result<Vec<Warning>> {
    let drawn = |code: &QrCode| (code.style.clone(), code.size, code.direct);
    let is_redrawn = drawn(&after) != drawn(before);
    let content = content(&services.site, &after, *number, link);
    let look = (after.style, after.size);
    match check(services, before.workspace, look, content, new_logo).await? {
        Err(Illegible { reasons }) if !is_redrawn => {
            let warning = |(field, reason)| {
                let text = format!("Scanners would not read the code as it is: {field} {reason}.");
                Warning { field, text }
            };
            Ok(reasons.into_iter().map(warning).collect())
        }
        checked => checked.map_err(|illegible| refusal(illegible, origin)),
    }
}

/// Checks the codes that new defaults of a workspace, or of a domain with a hostname, would make of
/// links with generated slugs. Those of a workspace are checked with the defaults of its domains, too.
pub async fn check_defaults(
    services: &Services,
    workspace: WorkspaceId,
    hostname: Option<&str>,
    input: &QrDefaultsInput,
    new_logo: Option<&NewLogo>,
) -> Result<()> {
    let has_logo = logo_lookup(services, workspace, new_logo);
    let Ok(accepted) = input.clone().accept(&has_logo) else { return Ok(()) };
    let none = LookChanges::default();
    let check = |hostname, looks| check_sample(services, workspace, hostname, looks, new_logo);
    if let Some(hostname) = hostname {
        let defaults = [services.qr.codes.defaults(workspace, None)?.look, none];
        let checked = check(hostname, [&defaults[0], &accepted.look]).await?;
        let origin = |field: &str| origin(field, &accepted.look, &defaults);
        return checked.map(drop).map_err(|illegible| refusal(illegible, origin));
    }
    let checked = check("", [&accepted.look, &none]).await?;
    checked.map_err(|illegible| refusal(illegible, |_| None))?;
    let of_domains = services.qr.codes.defaults_of_domains(workspace).await?;
    for (domain, QrDefaults { look }) in &of_domains {
        let checked = check(domain.hostname.as_str(), [&accepted.look, look]).await?;
        let origin = format!("with the defaults of {}", domain.hostname);
        checked.map_err(|illegible| refusal(illegible, |_| Some(origin.clone())))?;
    }
    Ok(())
}

/// Checks a code of a link with a generated slug that looks as defaults say; the last ones take precedence.
async fn check_sample(
    services: &Services,
    workspace: WorkspaceId,
    hostname: &str,
    looks: [&LookChanges; 2],
    new_logo: Option<&NewLogo>,
) -> Result<Result<Vec<Warning>, Illegible>> {
    let mut look = Look::default();
    for changes in looks {
        changes.clone().apply_to(&mut look);
    }
    let short_url = services.site.short_url(hostname, &"0".repeat(GENERATED_LEN));
    let content = marker::marked(&short_url, next_number(services));
    let size = look.size;
    check(services, workspace, (look.into_style(), size), content, new_logo).await
}

async fn check(
    services: &Services,
    workspace: WorkspaceId,
    (style, size): (QrStyle, u32),
    content: String,
    new_logo: Option<&NewLogo>,
) -> Result<Result<Vec<Warning>, Illegible>> {
    let spec = spec(services, workspace, (style, new_logo), content).await?;
    services.qr.render(workspace, RenderTask::Check, move |_| crate::qr::check(&spec, size)).await
}

/// The number of a code that is to be created is not known yet: probably the next offset.
fn next_number(services: &Services) -> u64 {
    services.links.applied().saturating_add(1)
}

/// Whether a workspace has a logo, or will.
fn logo_lookup(
    services: &Services,
    workspace: WorkspaceId,
    new_logo: Option<&NewLogo>,
) -> impl Fn(LogoId) -> bool {
    move |id| {
        let is_new = new_logo.is_some_and(|new| new.id == id);
        is_new || matches!(services.qr.codes.logo(workspace, id), Ok(Some(_)))
    }
}

/// Which of the fields that a reason is about come from the defaults of the workspace and of the
/// domain, not from the request.
fn origin(field: &str, asked: &LookChanges, defaults: &[LookChanges; 2]) -> Option<String> {
    let related: &[&str] = match field {
        "color" | "gradient.color" | "corner_color" | "corner_dot_color" => {
            &["color", "gradient", "corner_color", "corner_dot_color", "background_color"]
        }
        "margin" | "frame.caption" | "frame.text_color" => &["margin", "frame"],
        "logo_size" => &["logo", "logo_size", "logo_clear", "error_correction"],
        _ => &["size", "margin", "dot_style", "corner_style", "error_correction", "logo", "frame"],
    };
    let [of_workspace, of_domain] = defaults;
    let named = related.iter().filter(|name| !asked.sets(name)).filter_map(|name| {
        let whose = if of_domain.sets(name) {
            "domain"
        } else if of_workspace.sets(name) {
            "workspace"
        } else {
            return None;
        };
        Some(format!("`{name}` is from the {whose}'s defaults"))
    });
    let named = named.collect::<Vec<_>>().join(", ");
    (!named.is_empty()).then_some(named)
}

/// Why scanners would not read a code, by field of the request.
pub fn refusal(
    Illegible { reasons }: Illegible,
    origin: impl Fn(&str) -> Option<String>,
) -> ServiceError {
    let mut invalid = Invalid::default();
    for (field, reason) in reasons {
        match origin(field) {
            Some(origin) => invalid.add(field, format!("{reason} ({origin})")),
            None => invalid.add(field, reason),
        }
    }
    invalid.into()
}
