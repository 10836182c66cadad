//! Decides commands on QR codes, logos and brand defaults.

use uuid::Uuid;

use super::decide::{CommandHandler, Decision};
use crate::domain::command::{DomainRef, Expected, LinkRef, Outcome};
use crate::domain::error::{ErrorCode, Result, ServiceError};
use crate::domain::event::{
    Event, LogoDeleted, LogoStored, QrCodeDeleted, QrCodeState, QrDefaultsChanged,
};
use crate::domain::ids::{LogoId, QrCodeId};
use crate::domain::link::{Field, Link};
use crate::domain::qr::command::{NewLogo, QrCommand};
use crate::domain::qr::{MAX_CODES_PER_LINK, MAX_LOGOS, QrCode, QrCodeInput, QrDefaultsInput};
use crate::projections::index::{LinkedQrCode, ReadDomains, ReadQrCodes, ReadRanges};

impl<R: ReadRanges> CommandHandler<'_, R> {
    pub(super) fn decide_qr(&self, command: QrCommand) -> Result<Decision> {
        match command {
            QrCommand::Create(input) => self.create_qr_code(*input, None),
            QrCommand::CreateFor(dialect, input) => self.create_qr_code(*input, Some(dialect)),
            QrCommand::Change(id, input, expected) => {
                let (before, link) = self.current_qr_code(id, expected)?;
                for (name, field) in [("link", &input.link), ("domain", &input.domain)] {
                    if !matches!(field, Field::Absent) {
                        let rule = "must be absent: the link of a QR code cannot be changed";
                        return Err(ServiceError::field(name, rule));
                    }
                }
                let after = self.accept_qr(*input, before.clone(), &link)?;
                Ok(self.change_qr_code(&before, after, None))
            }
            QrCommand::Revert { to, expected } => self.revert_qr_code(*to, expected),
            QrCommand::Delete(id, expected) => {
                let (code, _) = self.current_qr_code(id, expected)?;
                let deleted = QrCodeDeleted { id: code.id.as_bytes().to_vec() };
                Ok((Some(Event::QrCodeDeleted(deleted)), Outcome::Gone))
            }
            QrCommand::StoreLogo(logo) => self.store_logo(*logo),
            QrCommand::DeleteLogo(id) => self.delete_logo(id),
            QrCommand::SetDefaults(domain, input) => self.set_qr_defaults(domain.as_ref(), *input),
        }
    }

    fn create_qr_code(
        &self,
        mut input: QrCodeInput,
        dialect: Option<&'static str>,
    ) -> Result<Decision> {
        let workspace = self.actor.workspace;
        let Field::Value(named) = std::mem::take(&mut input.link) else {
            return Err(ServiceError::field("link", "is required"));
        };
        let link = LinkRef::parse(&named).map(|named| self.state.link_in(workspace, &named));
        let link = link.transpose()?.flatten().ok_or_else(|| ServiceError::not_found("link"))?;
        let look = self.state.default_look(workspace, &link.fields.domain)?;
        let blank = QrCode {
            dialect: dialect.map(str::to_owned),
            ..QrCode::blank(QrCodeId::new(Uuid::now_v7()), &link, look, self.now_ms)
        };
        let code = self.accept_qr(input, blank, &link)?;
        let codes = self.state.qr_codes_of_link(link.id)?;
        if dialect.is_some()
            && let Some((before, _)) = codes.iter().find(|(one, _)| one.dialect == code.dialect)
        {
            return Ok(self.change_qr_code(before, code, None));
        }
        if codes.len() >= MAX_CODES_PER_LINK {
            return Err(conflict(format!("A link has at most {MAX_CODES_PER_LINK} QR codes.")));
        }
        Ok((Some(Event::QrCodeCreated((&code).into())), Outcome::QrCode(code.into())))
    }

    /// The next version of a code with what another one says.
    fn change_qr_code(&self, before: &QrCode, to: QrCode, reverted_to: Option<u32>) -> Decision {
        let same = QrCode {
            id: before.id,
            link: before.link,
            dialect: before.dialect.clone(),
            created_at_ms: before.created_at_ms,
            updated_at_ms: before.updated_at_ms,
            version: before.version,
            ..to
        };
        if same == *before {
            return (None, Outcome::QrCode(same.into()));
        }
        // If the clock was set back, the new version must not be older than its predecessor.
        let updated_at_ms = self.now_ms.max(before.updated_at_ms);
        let next = QrCode { updated_at_ms, version: before.version.saturating_add(1), ..same };
        let state = QrCodeState { reverted_to, ..QrCodeState::from(&next) };
        (Some(Event::QrCodeChanged(state)), Outcome::QrCode(next.into()))
    }

    fn revert_qr_code(&self, to: QrCode, expected: Expected) -> Result<Decision> {
        let (before, link) = self.current_qr_code(to.id, expected)?;
        if let Some(placed) = &to.style.logo
            && self.state.logo(self.actor.workspace, placed.logo)?.is_none()
        {
            return Err(conflict("The logo of that version was deleted.".to_owned()));
        }
        let direct = to.direct && link.fields.content.payload().is_some();
        let reverted_to = to.version;
        Ok(self.change_qr_code(&before, QrCode { direct, ..to }, Some(reverted_to)))
    }

    fn accept_qr(&self, input: QrCodeInput, before: QrCode, link: &Link) -> Result<QrCode> {
        self.with_logo_lookup(|has_logo| Ok(input.accept(before, link, has_logo)?))
    }

    /// Runs a check with a lookup of whether the workspace has a logo.
    fn with_logo_lookup<T>(
        &self,
        check: impl FnOnce(&dyn Fn(LogoId) -> bool) -> Result<T>,
    ) -> Result<T> {
        let failed = std::cell::Cell::new(None);
        let checked = check(&|id| match self.state.logo(self.actor.workspace, id) {
            Ok(logo) => logo.is_some(),
            Err(error) => {
                failed.set(Some(error));
                true
            }
        });
        failed.into_inner().map_or(checked, |error| Err(error.into()))
    }

    /// A code of the actor's workspace with its link, if it has the expected version.
    fn current_qr_code(&self, id: QrCodeId, expected: Expected) -> Result<(QrCode, Link)> {
        let found = self.state.linked_qr_code(self.actor.workspace, id)?;
        let LinkedQrCode { code, link, .. } =
            found.ok_or_else(|| ServiceError::not_found("QR code"))?;
        match expected {
            Some(expected) if expected != code.version => {
                let actual = code.version;
                let text = format!("The QR code is at version {actual}, not {expected}.");
                Err(ServiceError::new(ErrorCode::PreconditionFailed, text))
            }
            _ => Ok((code, link)),
        }
    }

    fn store_logo(&self, logo: NewLogo) -> Result<Decision> {
        let workspace = self.actor.workspace;
        if self.state.logo(workspace, logo.id)?.is_some() {
            return Ok((None, Outcome::Gone));
        }
        if self.state.logo_count(workspace)? >= MAX_LOGOS as u64 {
            let text = format!("A workspace has at most {MAX_LOGOS} logos: delete one first.");
            return Err(conflict(text));
        }
        let NewLogo { id, image, content_type } = logo;
        let stored = LogoStored { id: id.as_bytes().to_vec(), image, content_type };
        Ok((Some(Event::LogoStored(stored)), Outcome::Gone))
    }

    fn delete_logo(&self, id: LogoId) -> Result<Decision> {
        let logo = self.state.logo(self.actor.workspace, id)?;
        let logo = logo.ok_or_else(|| ServiceError::not_found("logo"))?;
        if logo.uses > 0 {
            let text = format!(
                "QR codes or brand defaults use the logo ({} in all): give these another logo or \
                 none first. Codes of deleted links count, since these can be restored: purge \
                 such a link, or restore it and change its code.",
                logo.uses
            );
            return Err(conflict(text));
        }
        let deleted = LogoDeleted { id: id.as_bytes().to_vec() };
        Ok((Some(Event::LogoDeleted(deleted)), Outcome::Gone))
    }

    fn set_qr_defaults(
        &self,
        domain: Option<&DomainRef>,
        input: QrDefaultsInput,
    ) -> Result<Decision> {
        let workspace = self.actor.workspace;
        let domain = match domain {
            None => None,
            Some(named) => {
                let domain = self.state.domain_in(workspace, named)?;
                Some(domain.ok_or_else(|| ServiceError::not_found("domain"))?.id)
            }
        };
        let defaults = self.with_logo_lookup(|has_logo| Ok(input.accept(has_logo)?))?;
        let is_changed = self.state.qr_defaults(workspace, domain)? != defaults;
        let changed = QrDefaultsChanged::new(domain, &defaults);
        Ok((is_changed.then_some(Event::QrDefaultsChanged(changed)), Outcome::Gone))
    }
}

fn conflict(text: String) -> ServiceError {
    ServiceError::new(ErrorCode::Conflict, text)
}
