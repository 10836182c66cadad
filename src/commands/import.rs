//! Decides imports of links.

use super::decide::{CommandHandler, Decision};
use crate::domain::command::{Command, Fate, Import, LinkRef, OnConflict, Outcome};
use crate::domain::error::{ErrorCode, Result, ServiceError};
use crate::domain::link::{Field, Link, LinkInput, WriteMode};
use crate::projections::index::{ReadDomains, ReadRanges};

impl<R: ReadRanges> CommandHandler<'_, R> {
    /// An existing link is reported as a conflict, skipped or replaced.
    pub(super) fn import_link(&self, import: Import) -> Result<Decision> {
        // The token may have been revoked or expired since the import was started. Sessions have
        // none.
        let is_session = self.actor.token.uuid().is_nil() && self.actor.user.is_some();
        let reason = match self.state.token(self.actor.workspace, self.actor.token)? {
            _ if is_session => None,
            None => Some("is revoked"),
            Some(token) if token.is_expired_at(self.now_ms) => Some("has expired"),
            Some(token) if token.is_disabled => Some("is disabled"),
            Some(_) => None,
        };
        if let Some(reason) = reason {
            let text = format!("The token that started the import {reason}.");
            return Err(ServiceError::new(ErrorCode::Forbidden, text));
        }
        let Import { mut input, from_host, on_conflict, .. } = import;
        input.may_be_expired = true;
        if let (Field::Absent, Some(host)) = (&input.domain, from_host)
            && self.domain_named(&host)?.is_ok()
        {
            input.domain = Field::Value(host);
        }
        let existing = match on_conflict {
            OnConflict::Reject => None,
            OnConflict::Skip | OnConflict::Replace => self.existing(&input)?,
        };
        let (command, fate) = match existing {
            None => (Command::CreateLink(input), Fate::Created),
            Some(link) if on_conflict == OnConflict::Skip => {
                return Ok((None, Outcome::Imported(link.into(), Fate::Skipped)));
            }
            Some(link) => {
                let replace = Command::ReplaceLink(LinkRef::Id(link.id), input, None);
                (replace, Fate::Replaced)
            }
        };
        let (event, outcome) = self.decide(command)?;
        let fate = if event.is_none() { Fate::Unchanged } else { fate };
        Ok(match outcome {
            Outcome::Link(link) => (event, Outcome::Imported(link, fate)),
            other => (event, other),
        })
    }

    /// The workspace's link with the external id of an input, else the one with its slug. Invalid
    /// values find nothing here; they are refused later.
    fn existing(&self, input: &LinkInput) -> Result<Option<Link>> {
        let workspace = self.actor.workspace;
        if let Field::Value(external_id) = &input.external_id
            && let Some(id) = self.state.external(workspace, external_id)?
        {
            return Ok(self.state.link_in(workspace, &LinkRef::Id(id))?);
        }
        let Field::Value(slug) = &input.slug else { return Ok(None) };
        let Ok(domain) = self.domain_of(&input.domain, WriteMode::Create)? else { return Ok(None) };
        let Some(id) = self.state.slug(&domain, slug)? else { return Ok(None) };
        Ok(self.state.link_in(workspace, &LinkRef::Id(id))?)
    }
}
