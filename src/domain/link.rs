//! A link: what its owner can say of it, and how it changes.

use serde::{Deserialize, Deserializer};

use super::destination::Destination;
use super::error::{DomainError, Invalid};
use super::ids::{LinkId, WorkspaceId};
use super::slug::Slug;

const MAX_TITLE_CHARS: usize = 200;
const MAX_UTM_CHARS: usize = 255;

/// A link as it stands at one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Stays the same whatever else changes.
    pub id: LinkId,
    /// Whose link it is.
    pub workspace: WorkspaceId,
    /// What its owner can change.
    pub fields: LinkFields,
    /// The path it answers at, on its domain.
    pub slug: Slug,
    /// In milliseconds since the Unix epoch.
    pub created_at_ms: u64,
    /// When its last version began, in milliseconds since the Unix epoch.
    pub updated_at_ms: u64,
    /// 1 when made, one more with each change.
    pub version: u32,
}

impl Link {
    /// The next version with these fields and this slug; `None` when nothing would change.
    pub fn changed(&self, slug: Slug, fields: LinkFields, at_ms: u64) -> Option<Self> {
        if slug == self.slug && fields == self.fields {
            return None;
        }
        // A clock that was set back must not make a version older than the one before it.
        let updated_at_ms = at_ms.max(self.updated_at_ms);
        Some(Self { slug, fields, updated_at_ms, version: self.version + 1, ..self.clone() })
    }
}

/// What the owner of a link decides, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkFields {
    /// Empty for the service's default domain.
    pub domain: String,
    /// Where it leads.
    pub destination: Destination,
    /// A name for people.
    pub title: Option<String>,
    /// Added to the destination at the redirect.
    pub utm: Utm,
    /// Whether a visitor's own query string is handed on.
    pub forward_query: bool,
}

/// The five campaign parameters, as Google Analytics names them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Utm {
    /// `utm_source`
    pub source: Option<String>,
    /// `utm_medium`
    pub medium: Option<String>,
    /// `utm_campaign`
    pub campaign: Option<String>,
    /// `utm_content`
    pub content: Option<String>,
    /// `utm_term`
    pub term: Option<String>,
}

impl Utm {
    /// The parameters that are set, by name.
    pub fn pairs(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let each = [
            ("utm_source", &self.source),
            ("utm_medium", &self.medium),
            ("utm_campaign", &self.campaign),
            ("utm_content", &self.content),
            ("utm_term", &self.term),
        ];
        each.into_iter().filter_map(|(name, value)| value.as_deref().map(|value| (name, value)))
    }
}

/// A field of a request: absent, an explicit null, or a value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Field<T> {
    /// Not in the request.
    #[default]
    Absent,
    /// There, and null: to be cleared.
    Null,
    /// There.
    Value(T),
}

impl<T> Field<T> {
    /// The field's new value, given what stood before.
    fn over(self, before: Option<T>) -> Option<T> {
        match self {
            Self::Absent => before,
            Self::Null => None,
            Self::Value(value) => Some(value),
        }
    }
}

/// Together with `#[serde(default)]`, which makes an absent field [`Field::Absent`].
impl<'de, T: Deserialize<'de>> Deserialize<'de> for Field<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Option::deserialize(deserializer)?.map_or(Self::Null, Self::Value))
    }
}

/// What somebody asks a link to be, unchecked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the same names as in LinkFields and Utm")]
pub struct LinkInput {
    pub slug: Field<String>,
    pub domain: Field<String>,
    pub destination: Field<String>,
    pub title: Field<String>,
    pub utm_source: Field<String>,
    pub utm_medium: Field<String>,
    pub utm_campaign: Field<String>,
    pub utm_content: Field<String>,
    pub utm_term: Field<String>,
    pub forward_query: Field<bool>,
}

/// What a deployment allows, beyond what holds everywhere.
#[derive(Debug, Clone, Default)]
pub struct LinkPolicy {
    /// The hosts (with port, where not the scheme's own) that lead to this service. The first
    /// is the default domain.
    pub own_hosts: Vec<String>,
}

/// What an accepted input comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// `None`: one is to be generated.
    pub slug: Option<Slug>,
    /// The checked fields.
    pub fields: LinkFields,
}

impl LinkInput {
    /// Checks the input over what stands before: a link's fields for a change, nothing for a
    /// new link or a replacement. All fields are looked at, so that one answer names them all.
    ///
    /// # Errors
    /// [`DomainError::Invalid`] with each field that breaks a rule.
    pub fn accept(
        self,
        before: Option<&Link>,
        policy: &LinkPolicy,
    ) -> Result<Accepted, DomainError> {
        let mut invalid = Invalid::default();
        let old = before.map(|link| &link.fields);
        let is_own = |host: &str| policy.own_hosts.iter().any(|own| own.eq_ignore_ascii_case(host));

        let slug = match (self.slug, before) {
            (Field::Value(text), _) => invalid.check("slug", Slug::parse(&text)),
            (Field::Null, Some(_)) => invalid.check("slug", Err("must not be null".to_owned())),
            (Field::Absent, Some(link)) => Some(link.slug.clone()),
            (Field::Absent | Field::Null, None) => None,
        };
        let destination = match self.destination {
            Field::Value(text) => invalid.check("destination", Destination::parse(&text, is_own)),
            Field::Absent if old.is_some() => old.map(|fields| fields.destination.clone()),
            Field::Absent | Field::Null => {
                invalid.check("destination", Err("is required".to_owned()))
            }
        };
        let domain = policy.domain(self.domain, old.map(|fields| fields.domain.clone()));
        let domain = invalid.check("domain", domain).unwrap_or_default();
        let asked =
            [self.utm_source, self.utm_medium, self.utm_campaign, self.utm_content, self.utm_term];
        let utm = invalid.utm(asked, old.map(|fields| fields.utm.clone()).unwrap_or_default());
        let title = invalid.text(
            "title",
            self.title,
            old.and_then(|fields| fields.title.clone()),
            MAX_TITLE_CHARS,
        );
        let forward_query =
            self.forward_query.over(old.map(|fields| fields.forward_query)).unwrap_or(true);

        invalid.into_result()?;
        // Without a destination there is a note against it, and the line above has returned.
        let destination = destination
            .ok_or_else(|| DomainError::Invalid(Invalid::field("destination", "is required")))?;
        Ok(Accepted { slug, fields: LinkFields { domain, destination, title, utm, forward_query } })
    }
}

impl LinkPolicy {
    /// The domain that is asked for, over the one that stands; empty for the default one.
    fn domain(&self, asked: Field<String>, before: Option<String>) -> Result<String, String> {
        match asked {
            Field::Absent => Ok(before.unwrap_or_default()),
            Field::Null => Ok(String::new()),
            Field::Value(name) => {
                let default = self.own_hosts.first();
                if default.is_some_and(|host| host.eq_ignore_ascii_case(&name)) {
                    return Ok(String::new());
                }
                Err(format!("`{name}` is no domain of this workspace"))
            }
        }
    }
}

impl Invalid {
    /// The parameters in the order of [`Utm`]'s fields, over those that stand.
    fn utm(&mut self, asked: [Field<String>; 5], before: Utm) -> Utm {
        let [source, medium, campaign, content, term] = asked;
        Utm {
            source: self.text("utm_source", source, before.source, MAX_UTM_CHARS),
            medium: self.text("utm_medium", medium, before.medium, MAX_UTM_CHARS),
            campaign: self.text("utm_campaign", campaign, before.campaign, MAX_UTM_CHARS),
            content: self.text("utm_content", content, before.content, MAX_UTM_CHARS),
            term: self.text("utm_term", term, before.term, MAX_UTM_CHARS),
        }
    }

    /// A text over the one that stands, checked if it is new.
    fn text(
        &mut self,
        name: &str,
        asked: Field<String>,
        before: Option<String>,
        max_chars: usize,
    ) -> Option<String> {
        match asked {
            Field::Absent => before,
            Field::Null => None,
            Field::Value(text) => self.check(name, plain_text(&text, max_chars)).flatten(),
        }
    }
}

/// Text for people: no control characters, not longer than `max` characters; blank is none.
fn plain_text(text: &str, max: usize) -> Result<Option<String>, String> {
    if text.chars().any(char::is_control) {
        return Err("must not hold control characters".to_owned());
    }
    if text.chars().count() > max {
        return Err(format!("must not be longer than {max} characters"));
    }
    let text = text.trim();
    Ok((!text.is_empty()).then(|| text.to_owned()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use uuid::Uuid;

    fn policy() -> LinkPolicy {
        LinkPolicy { own_hosts: vec!["sho.rt".into(), "localhost:8080".into()] }
    }

    fn value(text: &str) -> Field<String> {
        Field::Value(text.to_owned())
    }

    fn link() -> Link {
        let input = LinkInput {
            slug: value("a"),
            destination: value("https://example.com"),
            title: value("Title"),
            utm_source: value("mail"),
            ..LinkInput::default()
        };
        let accepted = input.accept(None, &policy()).unwrap();
        Link {
            id: LinkId::new(Uuid::from_u128(1)),
            workspace: WorkspaceId::new(Uuid::from_u128(2)),
            slug: accepted.slug.unwrap(),
            fields: accepted.fields,
            created_at_ms: 10,
            updated_at_ms: 10,
            version: 1,
        }
    }

    fn fields_in_error(input: LinkInput) -> Vec<String> {
        match input.accept(None, &policy()) {
            Err(DomainError::Invalid(invalid)) => invalid.fields().keys().cloned().collect(),
            other => vec![format!("{other:?}")],
        }
    }

    #[test]
    fn every_bad_field_is_named_at_once() {
        let input = LinkInput {
            slug: value("no spaces"),
            domain: value("else.where"),
            title: Field::Value("t".repeat(201)),
            utm_term: value("a\r\nb"),
            ..LinkInput::default()
        };
        assert_eq!(fields_in_error(input), ["destination", "domain", "slug", "title", "utm_term"]);
    }

    #[test]
    fn a_change_keeps_what_it_does_not_name_and_clears_what_is_null() {
        let link = link();
        let input =
            LinkInput { utm_source: Field::Null, title: value("New"), ..LinkInput::default() };
        let accepted = input.accept(Some(&link), &policy()).unwrap();
        let next = link.changed(accepted.slug.unwrap(), accepted.fields, 20).unwrap();
        assert_eq!((next.version, next.created_at_ms, next.updated_at_ms), (2, 10, 20));
        assert_eq!(next.fields.utm.source, None);
        assert_eq!(next.fields.title.as_deref(), Some("New"));
        assert_eq!(next.fields.destination, link.fields.destination);
    }

    #[test]
    fn a_change_to_the_same_is_no_change() {
        let link = link();
        let accepted = LinkInput::default().accept(Some(&link), &policy()).unwrap();
        assert_eq!(link.changed(accepted.slug.unwrap(), accepted.fields, 20), None);
    }

    #[test]
    fn the_default_domain_may_be_named() {
        let input = LinkInput {
            destination: value("https://example.com"),
            domain: value("SHO.rt"),
            ..LinkInput::default()
        };
        assert_eq!(input.accept(None, &policy()).unwrap().fields.domain, "");
    }
}
