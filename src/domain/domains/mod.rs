//! A domain: a host whose links are a workspace's, once it has shown that the host is its own.

use serde_json::Value;

pub mod state;

use crate::domain::blocklist::LISTED;
use crate::domain::destination::Destination;
use crate::domain::error::Invalid;
use crate::domain::hostname::Hostname;
use crate::domain::ids::{DomainId, WorkspaceId};
use crate::domain::link::{Field, LinkPolicy};

/// How many domains a workspace may name, verified or not.
pub const MAX_DOMAINS: u64 = 1_000;

/// The longest association document, in bytes: what Apple reads, and more than others need.
const MAX_DOCUMENT_BYTES: usize = 128 << 10;

/// A domain as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Domain {
    /// Stays the same whatever else changes.
    pub id: DomainId,
    /// Whose claim it is.
    pub workspace: WorkspaceId,
    /// The host. Several workspaces may claim one; at most one of them has it verified.
    pub hostname: Hostname,
    /// What the host's owner has to show: see [`Domain::proof`].
    pub challenge: String,
    /// When it was shown, in milliseconds since the Unix epoch.
    pub verified_at_ms: Option<u64>,
    /// Whether the workspace's links are on it when they name no domain.
    pub is_default: bool,
    /// What its owner can change.
    pub fields: DomainFields,
    /// In milliseconds since the Unix epoch.
    pub created_at_ms: u64,
    /// In milliseconds since the Unix epoch.
    pub updated_at_ms: u64,
}

/// What the owner of a domain decides, checked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DomainFields {
    /// Where the host's `/` leads.
    pub root_redirect: Option<Destination>,
    /// Where a path leads that is no link's.
    pub not_found_redirect: Option<Destination>,
    /// Whether `Promo` and `promo` are one slug.
    pub case_insensitive: bool,
    /// JSON, served at `/.well-known/apple-app-site-association`.
    pub apple_app_site_association: Option<String>,
    /// JSON, served at `/.well-known/assetlinks.json`.
    pub assetlinks: Option<String>,
}

/// What somebody asks a domain to be, unchecked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the same names as in Domain and DomainFields")]
pub struct DomainInput {
    pub hostname: Field<String>,
    pub is_default: Field<bool>,
    pub root_redirect: Field<String>,
    pub not_found_redirect: Field<String>,
    pub case_insensitive: Field<bool>,
    pub apple_app_site_association: Field<Value>,
    pub assetlinks: Field<Value>,
}

/// What an accepted input comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcceptedDomain {
    /// The host.
    pub hostname: Hostname,
    /// Whether it is to be the workspace's default.
    pub is_default: bool,
    /// The rest.
    pub fields: DomainFields,
}

impl Domain {
    /// The text that the host's owner puts where only he can: in a TXT record, or a file.
    pub fn proof(&self) -> String {
        format!("slugline-verify={}", self.challenge)
    }

    /// Where the TXT record stands; `None` for an address, which has no records.
    pub fn proof_name(hostname: &Hostname) -> Option<String> {
        let host = hostname.host();
        crate::domain::hostname::address(host).is_none().then(|| format!("_slugline.{host}"))
    }

    /// Where the file stands, on the host itself.
    pub const PROOF_PATH: &str = "/.well-known/slugline-verify";
}

impl DomainInput {
    /// Checks the input over what stands before. All fields are looked at, so that one answer
    /// names them all. `is_hosted` tells whether a host is somebody's domain here.
    ///
    /// # Errors
    /// Each field that breaks a rule.
    pub fn accept(
        self,
        before: Option<&Domain>,
        policy: &LinkPolicy,
        is_hosted: &dyn Fn(&str) -> bool,
    ) -> Result<AcceptedDomain, Invalid> {
        let mut invalid = Invalid::default();
        let hostname = hostname(self.hostname, before, policy);
        let hostname = invalid.check("hostname", hostname);
        let old = before.map(|domain| domain.fields.clone()).unwrap_or_default();
        let is_own = |host: &str| {
            let is_itself = || hostname.as_ref().is_some_and(|name| name.collides_with(host));
            policy.is_own(host) || is_itself() || is_hosted(host)
        };
        let redirect = |asked: Field<String>, before: Option<Destination>| match asked {
            Field::Absent => Ok(before),
            Field::Null => Ok(None),
            Field::Value(text) => {
                let to = Some(Destination::parse(&text, is_own)?);
                let is_listed = |to: &Destination| policy.blocklist.load().has(to.as_str());
                if to != before && to.as_ref().is_some_and(is_listed) {
                    return Err(LISTED.to_owned());
                }
                Ok(to)
            }
        };
        let root = redirect(self.root_redirect, old.root_redirect);
        let not_found = redirect(self.not_found_redirect, old.not_found_redirect);
        let apple = document(
            self.apple_app_site_association,
            old.apple_app_site_association,
            Value::is_object,
            "must be a JSON object",
        );
        let assetlinks = document(
            self.assetlinks,
            old.assetlinks,
            Value::is_array,
            "must be a JSON array of statements",
        );
        let fields = DomainFields {
            root_redirect: invalid.check("root_redirect", root).flatten(),
            not_found_redirect: invalid.check("not_found_redirect", not_found).flatten(),
            case_insensitive: self
                .case_insensitive
                .apply_to(Some(old.case_insensitive))
                .unwrap_or_default(),
            apple_app_site_association: invalid
                .check("apple_app_site_association", apple)
                .flatten(),
            assetlinks: invalid.check("assetlinks", assetlinks).flatten(),
        };
        let was_default = before.map(|domain| domain.is_default);
        let is_default = self.is_default.apply_to(was_default).unwrap_or_default();
        if is_default && before.is_none_or(|domain| domain.verified_at_ms.is_none()) {
            invalid.add("is_default", "can be true only once the domain is verified");
        }
        invalid.into_result()?;
        // Without a hostname there is a note against it, and the line above has returned.
        let hostname = hostname.ok_or_else(|| Invalid::field("hostname", "is required"))?;
        Ok(AcceptedDomain { hostname, is_default, fields })
    }
}

fn hostname(
    asked: Field<String>,
    before: Option<&Domain>,
    policy: &LinkPolicy,
) -> Result<Hostname, String> {
    let name = match (asked, before) {
        (Field::Value(text), _) => Hostname::parse(&text)?,
        (Field::Absent, Some(domain)) => return Ok(domain.hostname.clone()),
        (Field::Null, Some(_)) => return Err("must not be null".to_owned()),
        (Field::Absent | Field::Null, None) => return Err("is required".to_owned()),
    };
    match before {
        Some(domain) if domain.hostname == name => Ok(name),
        Some(_) => Err("can't be changed: add another domain".to_owned()),
        None if policy.own_hosts.iter().any(|own| name.collides_with(own)) => {
            Err("is a host of the service itself".to_owned())
        }
        None => Ok(name),
    }
}

fn document(
    asked: Field<Value>,
    before: Option<String>,
    is_shaped: impl Fn(&Value) -> bool,
    rule: &str,
) -> Result<Option<String>, String> {
    match asked {
        Field::Absent => Ok(before),
        Field::Null => Ok(None),
        Field::Value(value) if !is_shaped(&value) => Err(rule.to_owned()),
        Field::Value(value) => {
            let text = value.to_string();
            if text.len() > MAX_DOCUMENT_BYTES {
                return Err(format!("must not be larger than {MAX_DOCUMENT_BYTES} bytes"));
            }
            Ok(Some(text))
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;
    use uuid::Uuid;

    use super::*;
    use crate::domain::blocklist::Blocklist;

    fn policy() -> LinkPolicy {
        LinkPolicy { own_hosts: vec!["sho.rt".into()], ..LinkPolicy::default() }
    }

    fn value(text: &str) -> Field<String> {
        Field::Value(text.to_owned())
    }

    fn accept(input: DomainInput, before: Option<&Domain>) -> Result<AcceptedDomain, Vec<String>> {
        let accepted = input.accept(before, &policy(), &|host| host == "taken.example");
        accepted.map_err(|invalid| invalid.fields().keys().cloned().collect())
    }

    fn domain(verified: bool) -> Domain {
        let input = DomainInput {
            hostname: value("go.example"),
            root_redirect: value("https://example.com"),
            case_insensitive: Field::Value(true),
            ..DomainInput::default()
        };
        let accepted = accept(input, None).unwrap();
        Domain {
            id: DomainId::new(Uuid::from_u128(1)),
            workspace: WorkspaceId::new(Uuid::from_u128(2)),
            hostname: accepted.hostname,
            challenge: "c".into(),
            verified_at_ms: verified.then_some(5),
            is_default: false,
            fields: accepted.fields,
            created_at_ms: 1,
            updated_at_ms: 1,
        }
    }

    #[test]
    fn every_bad_field_is_named_at_once() {
        let input = DomainInput {
            hostname: value("sho.rt"),
            is_default: Field::Value(true),
            root_redirect: value("javascript:alert(1)"),
            not_found_redirect: value("ftp://example.com/x"),
            apple_app_site_association: Field::Value(json!([])),
            assetlinks: Field::Value(json!({})),
            ..DomainInput::default()
        };
        let fields = [
            "apple_app_site_association",
            "assetlinks",
            "hostname",
            "is_default",
            "not_found_redirect",
            "root_redirect",
        ];
        assert_eq!(accept(input, None).unwrap_err(), fields);
        assert_eq!(accept(DomainInput::default(), None).unwrap_err(), ["hostname"]);
    }

    #[test]
    fn a_redirect_never_leads_back() {
        for own in [
            "https://sho.rt/a",
            "https://go.example/",
            "https://go.example.:8443/x",
            "https://taken.example/x",
        ] {
            let input = DomainInput { root_redirect: value(own), ..DomainInput::default() };
            assert_eq!(accept(input, Some(&domain(true))).unwrap_err(), ["root_redirect"], "{own}");
        }
    }

    #[test]
    fn a_redirect_does_not_lead_where_no_link_may() {
        let policy = policy();
        policy.blocklist.store(Blocklist::parse("evil.example").unwrap().into());
        let input = |to| DomainInput { not_found_redirect: value(to), ..DomainInput::default() };
        let before = domain(true);
        let accept = |to| input(to).accept(Some(&before), &policy, &|_| false).is_ok();
        assert!(accept("https://example.com/x"));
        assert!(!accept("https://www.evil.example/x"));
    }

    #[test]
    fn a_change_keeps_what_it_does_not_name_and_clears_what_is_null() {
        let before = domain(true);
        let kept = accept(DomainInput::default(), Some(&before)).unwrap();
        assert_eq!((kept.fields, kept.is_default), (before.fields.clone(), false));
        let input = DomainInput {
            root_redirect: Field::Null,
            is_default: Field::Value(true),
            hostname: value("GO.example."),
            ..DomainInput::default()
        };
        let changed = accept(input, Some(&before)).unwrap();
        assert_eq!((changed.fields.root_redirect, changed.is_default), (None, true));
        assert!(changed.fields.case_insensitive);
    }

    #[test]
    fn a_hostname_stays_and_an_unverified_domain_is_no_default() {
        let other = DomainInput { hostname: value("other.example"), ..DomainInput::default() };
        assert_eq!(accept(other, Some(&domain(true))).unwrap_err(), ["hostname"]);
        let default = DomainInput { is_default: Field::Value(true), ..DomainInput::default() };
        assert_eq!(accept(default, Some(&domain(false))).unwrap_err(), ["is_default"]);
    }

    #[test]
    fn documents_are_bounded() {
        let input = |len: usize| DomainInput {
            apple_app_site_association: Field::Value(json!({ "a": "x".repeat(len) })),
            ..DomainInput::default()
        };
        let context = MAX_DOCUMENT_BYTES - r#"{"a":""}"#.len();
        let before = domain(false);
        assert!(accept(input(context), Some(&before)).is_ok());
        let refused = accept(input(context + 1), Some(&before)).unwrap_err();
        assert_eq!(refused, ["apple_app_site_association"]);
    }

    #[test]
    fn where_the_proof_stands() {
        let name = |text: &str| Domain::proof_name(&Hostname::parse(text).unwrap());
        assert_eq!(name("go.test:8081").as_deref(), Some("_slugline.go.test"));
        assert_eq!(name("127.0.0.1:8081"), None);
        assert_eq!(domain(false).proof(), "slugline-verify=c");
    }
}
