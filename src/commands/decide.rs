//! Decides commands: from a command and the current state to an event and an outcome, without I/O
//! other than reads.

use rand::Rng;
use uuid::Uuid;

use super::Policies;
use crate::domain::command::{Command, Expected, LinkRef, Outcome};
use crate::domain::error::{ErrorCode, Result, ServiceError};
use crate::domain::event::{Event, LinkDeleted};
use crate::domain::ids::{LinkId, ReportId};
use crate::domain::link::{Link, LinkFields, LinkInput, WriteMode};
use crate::domain::plan::Feature;
use crate::domain::report::{Complaint, MAX_OPEN, Report, ReportResolved};
use crate::domain::slug::{GENERATED_LEN, Slug};
use crate::domain::token::{Ability, Actor};
use crate::projections::index::{ReadDomains, ReadRanges, ReadUsers, ReadWorkspaces};

/// Attempts per length before a generated slug grows by one character: a fifth attempt would mean
/// that more than half of the slugs of that length are taken.
const ATTEMPTS_PER_LENGTH: usize = 4;
const MAX_GENERATED_LEN: usize = 32;

/// The event to log, if something changes, and the outcome of the command.
pub type Decision = (Option<Event>, Outcome);

/// Decides a command of an actor at a point in time, against a view of the index.
pub struct CommandHandler<'a, R> {
    pub state: &'a R,
    pub policies: &'a Policies,
    pub actor: &'a Actor,
    pub now_ms: u64,
}

impl<R: ReadRanges> CommandHandler<'_, R> {
    /// # Errors
    /// The rule that the command violates, or a failure to read the index.
    pub fn decide(&self, command: Command) -> Result<Decision> {
        let actor = self.current_actor(&command)?;
        CommandHandler { actor: &actor, ..*self }.decide_as_current(command)
    }

    /// The actor with what the user's role permits now: it may have changed since the request was
    /// authenticated, or since the import was started.
    fn current_actor(&self, command: &Command) -> Result<Actor> {
        let has_membership = match command {
            // On the account itself, or by somebody who is no member yet.
            Command::User(_) => false,
            Command::Workspace(command) => command.is_by_member(),
            _ => true,
        };
        let Some((user, _)) = self.actor.user.filter(|_| has_membership) else {
            return Ok(*self.actor);
        };
        let workspace = self.actor.workspace;
        let is_blocked = self.state.user(user)?.is_none_or(|user| user.is_blocked);
        let role = self.state.role(workspace, user)?.filter(|_| !is_blocked);
        let role = role.ok_or_else(|| {
            let text = "You are no longer a member of this workspace.";
            ServiceError::new(ErrorCode::Forbidden, text)
        })?;
        let found = self.state.workspace(workspace)?;
        let is_deleted = found.is_none_or(|found| found.purged_at_ms.is_some());
        if is_deleted && !matches!(command, Command::Workspace(_)) {
            let text = "The workspace is deleted: restore it first.";
            return Err(ServiceError::new(ErrorCode::Conflict, text));
        }
        let abilities = self.actor.abilities.and(role.abilities());
        Ok(Actor { user: Some((user, role)), abilities, ..*self.actor })
    }

    fn decide_as_current(&self, command: Command) -> Result<Decision> {
        self.require(command.ability())?;
        match command {
            Command::CreateLink(input) => self.create_link(input),
            Command::ReplaceLink(named, input, expected) => {
                let link = self.current(&named, expected)?;
                let mut accepted = self.accept(input, WriteMode::Replace(&link))?;
                let slug = accepted.slug.take().unwrap_or_else(|| link.slug.clone());
                self.change_link(&link, slug, accepted.fields)
            }
            Command::ChangeLink(named, input, expected) => {
                let link = self.current(&named, expected)?;
                let mut accepted = self.accept(input, WriteMode::Update(&link))?;
                let slug = accepted.slug.take().unwrap_or_else(|| link.slug.clone());
                self.change_link(&link, slug, accepted.fields)
            }
            Command::DeleteLink(named, expected) => {
                let link = self.current(&named, expected)?;
                let deleted = LinkDeleted::new(link.id, link.version, self.now_ms);
                Ok((Some(Event::LinkDeleted(deleted)), Outcome::Gone))
            }
            Command::UpsertLink(external_id, input, expected) => {
                self.upsert_link(external_id, input, expected)
            }
            Command::ImportLink(import) => self.import_link(*import),
            Command::CreatePreset(kind, input) => self.create_preset(kind, input),
            Command::ChangePreset(id, input) => self.change_preset(id, input),
            Command::DeletePreset(id) => self.delete_preset(id),
            Command::PurgeLink(named, expected) => self.purge_link(&named, expected),
            Command::RestoreLink { link, deleted_version, slug } => {
                self.restore_link(link, deleted_version, slug.as_deref())
            }
            Command::RevertLink { to, expected } => self.revert_link(*to, expected),
            Command::CreateToken(new) => self.create_token(*new),
            Command::ChangeToken(id, change) => self.change_token(id, change),
            Command::RotateToken { id, secret, overlap_ms } => {
                self.rotate_token(id, secret, overlap_ms)
            }
            Command::RevokeToken(id) => self.revoke_token(id),
            Command::User(command) => self.decide_user(command),
            Command::Workspace(command) => self.decide_workspace(command),
            Command::Billing(command) => self.decide_billing(command),
            Command::ReportLink(id, complaint) => self.report_link(id, complaint),
            Command::ResolveReport(id) => {
                let report = self.state.report(self.actor.workspace, id)?;
                let report = report.ok_or_else(|| ServiceError::not_found("report"))?;
                let resolved = ReportResolved { report: report.id.as_bytes().to_vec() };
                Ok((Some(Event::ReportResolved(resolved)), Outcome::Gone))
            }
            Command::AddDomain(input) => self.add_domain(input),
            Command::ChangeDomain(named, input) => self.change_domain(&named, input),
            Command::VerifyDomain(id, challenge) => self.verify_domain(id, &challenge),
            Command::RemoveDomain(named) => self.remove_domain(&named),
            Command::Qr(command) => self.decide_qr(command),
        }
    }

    /// Refuses an actor without an ability.
    pub(super) fn require(&self, ability: Ability) -> Result<()> {
        if self.actor.abilities.allows(ability) {
            return Ok(());
        }
        let who = if self.actor.token.uuid().is_nil() { "Your role" } else { "The token" };
        let text = format!("{who} lacks the ability {}.", ability.as_str());
        Err(ServiceError::new(ErrorCode::Forbidden, text))
    }

    pub(super) fn create_link(&self, input: LinkInput) -> Result<Decision> {
        let accepted = self.accept(input, WriteMode::Create)?;
        if accepted.slug.is_some() {
            self.require_feature(Feature::CustomSlugs, "slug")?;
        }
        let domain = &accepted.fields.domain;
        let slug = match accepted.slug {
            Some(slug) if self.state.slug(domain, slug.as_str())?.is_some() => {
                return Err(ServiceError::taken("slug", "slug", slug.as_str()));
            }
            Some(slug) => slug,
            None => self.generate_slug(domain)?,
        };
        self.claim_external_id(&accepted.fields, None)?;
        let link = Link {
            id: LinkId::new(Uuid::now_v7()),
            workspace: self.actor.workspace,
            slug,
            fields: accepted.fields,
            created_at_ms: self.now_ms,
            updated_at_ms: self.now_ms,
            version: 1,
        };
        Ok((Some(Event::LinkCreated((&link).into())), Outcome::Link(link.into())))
    }

    pub(super) fn change_link(
        &self,
        link: &Link,
        slug: Slug,
        fields: LinkFields,
    ) -> Result<Decision> {
        let holder = self.state.slug(&fields.domain, slug.as_str())?;
        if holder.is_some_and(|holder| holder != link.id) {
            return Err(ServiceError::taken("slug", "slug", slug.as_str()));
        }
        if slug != link.slug {
            self.require_feature(Feature::CustomSlugs, "slug")?;
        }
        self.claim_external_id(&fields, Some(link.id))?;
        Ok(match link.changed(slug, fields, self.now_ms) {
            Some(next) => (Some(Event::LinkChanged((&next).into())), Outcome::Link(next.into())),
            None => (None, Outcome::Link(link.clone().into())),
        })
    }

    fn report_link(&self, id: LinkId, complaint: Complaint) -> Result<Decision> {
        let link = self.current(&LinkRef::Id(id), None)?;
        if self.state.open_reports(link.id)? >= MAX_OPEN {
            return Ok((None, Outcome::Report(None)));
        }
        let report = Report {
            id: ReportId::new(Uuid::now_v7()),
            workspace: link.workspace,
            link: link.id,
            slug: link.slug.to_string(),
            reason: complaint.reason,
            text: complaint.text,
            at_ms: self.now_ms,
        };
        Ok((Some(Event::LinkReported((&report).into())), Outcome::Report(Some(report.into()))))
    }

    /// The referenced link of the actor's workspace, if it has the expected version.
    pub(super) fn current(&self, named: &LinkRef, expected: Expected) -> Result<Link> {
        let link = self.state.link_in(self.actor.workspace, named)?;
        let link = link.ok_or_else(|| ServiceError::not_found("link"))?;
        check_version(&link, expected)?;
        Ok(link)
    }

    fn generate_slug(&self, domain: &str) -> Result<Slug> {
        let mut random = rand::rng();
        for len in GENERATED_LEN..=MAX_GENERATED_LEN {
            for _ in 0..ATTEMPTS_PER_LENGTH {
                let slug = Slug::generate(len, |bytes| random.fill_bytes(bytes));
                // The generated slug could be a reserved path.
                let is_free = self.state.slug(domain, slug.as_str())?.is_none();
                if is_free && Slug::parse(slug.as_str()).is_ok() {
                    return Ok(slug);
                }
            }
        }
        Err(ServiceError::changes_unavailable("no free slug was found"))
    }
}

/// Checks that a link has the expected version.
pub(super) fn check_version(link: &Link, expected: Expected) -> Result<()> {
    match expected {
        Some(expected) if expected != link.version => {
            Err(ServiceError::version_mismatch(expected, link.version))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::domain::ids::{TokenId, WorkspaceId};
    use crate::domain::link::Field;
    use crate::domain::token::Abilities;
    use crate::projections::index::{IndexError, Read, Row};

    /// Reports all slugs up to a length as taken.
    struct CrowdedIndex {
        taken_up_to: usize,
        keys: HashMap<Vec<u8>, Vec<u8>>,
    }

    impl Read for CrowdedIndex {
        fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, IndexError> {
            // The key is `s`, the empty default domain, a zero byte and the slug.
            let is_taken = key.first() == Some(&b's') && key.len() - 2 <= self.taken_up_to;
            Ok(is_taken.then(|| vec![7; 16]).or_else(|| self.keys.get(key).cloned()))
        }
    }

    impl ReadRanges for CrowdedIndex {
        fn rows(&self, _: &[u8]) -> Result<Vec<Row>, IndexError> {
            Ok(Vec::new())
        }
    }

    fn decide(taken_up_to: usize, abilities: Abilities, command: Command) -> Result<Decision> {
        let workspace = WorkspaceId::new(Uuid::from_u128(1));
        let actor = Actor::new(workspace, TokenId::new(Uuid::from_u128(2)), abilities);
        let state = CrowdedIndex { taken_up_to, keys: HashMap::new() };
        let policies = Policies::default();
        CommandHandler { state: &state, policies: &policies, actor: &actor, now_ms: 1 }
            .decide(command)
    }

    fn create(slug: Option<&str>) -> Command {
        Command::CreateLink(LinkInput {
            destination: Field::Value("https://example.com".into()),
            slug: slug.map_or(Field::Absent, |slug| Field::Value(slug.into())),
            ..LinkInput::default()
        })
    }

    fn slug_of(decision: Result<Decision>) -> String {
        match decision {
            Ok((Some(Event::LinkCreated(link)), _)) => link.slug,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_generated_slug_has_seven_characters_and_grows_when_many_are_taken() {
        assert_eq!(slug_of(decide(0, Abilities::ALL, create(None))).len(), 7);
        assert_eq!(slug_of(decide(8, Abilities::ALL, create(None))).len(), 9);
    }

    #[test]
    fn a_taken_slug_is_refused() {
        let refused = decide(7, Abilities::ALL, create(Some("promo")));
        assert_eq!(refused.unwrap_err(), ServiceError::taken("slug", "slug", "promo"));
    }

    #[test]
    fn abilities_limit_the_commands() {
        let refused = decide(0, Abilities::parse(&["user:write"]).unwrap(), create(None));
        assert_eq!(refused.unwrap_err().code, ErrorCode::Forbidden);
    }
}
