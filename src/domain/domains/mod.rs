//! Custom domains: hosts that a workspace can use for links once it has verified its ownership.

use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;

pub mod state;

use crate::domain::blocklist::LISTED;
use crate::domain::destination::Destination;
use crate::domain::error::Invalid;
use crate::domain::hostname::Hostname;
use crate::domain::ids::{DomainId, WorkspaceId};
use crate::domain::link::{Field, LinkPolicy};

/// The maximum number of domains of a workspace, verified or not.
pub const MAX_DOMAINS: u64 = 1_000;

/// The maximum size of an association document, in bytes: Apple's limit, and ample for Android.
const MAX_DOCUMENT_BYTES: usize = 128 << 10;

/// A domain in its current state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Domain {
    /// The permanent id.
    pub id: DomainId,
    /// The workspace that claims it.
    pub workspace: WorkspaceId,
    /// The host. Several workspaces may claim a host, but at most one can have it verified.
    pub hostname: Hostname,
    /// The random part of [`Domain::proof`].
    pub challenge: String,
    /// When ownership was verified, in milliseconds since the Unix epoch.
    pub verified_at_ms: Option<u64>,
    /// Whether new links that name no domain use it.
    pub is_default: bool,
    /// The settings.
    pub fields: DomainFields,
    /// In milliseconds since the Unix epoch.
    pub created_at_ms: u64,
    /// In milliseconds since the Unix epoch.
    pub updated_at_ms: u64,
}

/// The settings of a domain, validated.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DomainFields {
    /// The redirect target of `/`.
    pub root_redirect: Option<Destination>,
    /// The redirect target of paths without a link.
    pub not_found_redirect: Option<Destination>,
    /// Whether `Promo` and `promo` are the same slug.
    pub case_insensitive: bool,
    /// JSON, served at `/.well-known/apple-app-site-association`.
    pub apple_app_site_association: Option<String>,
    /// JSON, served at `/.well-known/assetlinks.json`.
    pub assetlinks: Option<String>,
}

/// The settings of a domain. A null clears a field. An omitted field takes its default (POST) or
/// keeps its value (PATCH).
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = DomainBody)]
pub struct DomainInput {
    /// The host, such as `go.example.com`, in any script (IDNA). Required on creation, immutable
    /// afterwards. Only local names (`localhost`, `*.localhost`, `*.test`, loopback addresses) may
    /// have a port.
    #[serde(default)]
    #[schema(value_type = Option<String>, example = "go.example.com")]
    pub hostname: Field<String>,
    /// Whether new links use this domain by default. Only one domain per workspace can be the
    /// default, and only a verified one.
    #[serde(default)]
    #[schema(value_type = Option<bool>)]
    pub is_default: Field<bool>,
    /// Where `/` redirects to.
    #[serde(default)]
    #[schema(value_type = Option<String>, example = "https://example.com")]
    pub root_redirect: Field<String>,
    /// Where paths without a link redirect to.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub not_found_redirect: Field<String>,
    /// Whether `Promo` and `promo` are the same slug. Can be changed only while the domain has no
    /// links.
    #[serde(default)]
    #[schema(value_type = Option<bool>)]
    pub case_insensitive: Field<bool>,
    /// The JSON object served at `/.well-known/apple-app-site-association`, at most 128 KiB.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    pub apple_app_site_association: Field<Value>,
    /// The JSON array served at `/.well-known/assetlinks.json`, at most 128 KiB.
    #[serde(default)]
    #[schema(value_type = Option<Vec<Object>>)]
    pub assetlinks: Field<Value>,
}

/// A validated [`DomainInput`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcceptedDomain {
    /// The host.
    pub hostname: Hostname,
    /// Whether it becomes the workspace's default.
    pub is_default: bool,
    /// The settings.
    pub fields: DomainFields,
}

impl Domain {
    /// The proof of ownership: a text to publish in a TXT record or a file.
    pub fn proof(&self) -> String {
        format!("slugline-verify={}", self.challenge)
    }

    /// The name of the TXT record; `None` for an IP address.
    pub fn proof_name(hostname: &Hostname) -> Option<String> {
        let host = hostname.host();
        crate::domain::hostname::address(host).is_none().then(|| format!("_slugline.{host}"))
    }

    /// The path of the file on the host.
    pub const PROOF_PATH: &str = "/.well-known/slugline-verify";
}

impl DomainInput {
    /// Validates the input and applies it to the current domain, if any. `is_hosted` returns
    /// whether a host is a domain of any workspace.
    ///
    /// # Errors
    /// All invalid fields.
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
            |links| links.as_array().is_some_and(|all| all.iter().all(Value::is_object)),
            "must be a JSON array of statements, which are objects",
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
        // Unreachable: a missing hostname is an error, returned above.
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
    fn all_invalid_fields_are_reported_at_once() {
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
        let links = Field::Value(json!([{}, []]));
        let input = DomainInput {
            hostname: value("a.example"),
            assetlinks: links,
            ..DomainInput::default()
        };
        assert_eq!(accept(input, None).unwrap_err(), ["assetlinks"]);
        assert_eq!(accept(DomainInput::default(), None).unwrap_err(), ["hostname"]);
    }

    #[test]
    fn a_redirect_to_the_service_is_rejected() {
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
    fn a_redirect_to_a_blocklisted_host_is_rejected() {
        let policy = policy();
        policy.blocklist.store(Blocklist::parse("evil.example").unwrap().into());
        let input = |to| DomainInput { not_found_redirect: value(to), ..DomainInput::default() };
        let before = domain(true);
        let accept = |to| input(to).accept(Some(&before), &policy, &|_| false).is_ok();
        assert!(accept("https://example.com/x"));
        assert!(!accept("https://www.evil.example/x"));
    }

    #[test]
    fn absent_fields_are_kept_and_null_fields_are_cleared() {
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
    fn a_hostname_is_immutable_and_an_unverified_domain_cannot_be_the_default() {
        let other = DomainInput { hostname: value("other.example"), ..DomainInput::default() };
        assert_eq!(accept(other, Some(&domain(true))).unwrap_err(), ["hostname"]);
        let default = DomainInput { is_default: Field::Value(true), ..DomainInput::default() };
        assert_eq!(accept(default, Some(&domain(false))).unwrap_err(), ["is_default"]);
    }

    #[test]
    fn the_size_of_documents_is_limited() {
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
    fn a_name_has_a_txt_record_and_an_ip_address_has_none() {
        let name = |text: &str| Domain::proof_name(&Hostname::parse(text).unwrap());
        assert_eq!(name("go.test:8081").as_deref(), Some("_slugline.go.test"));
        assert_eq!(name("127.0.0.1:8081"), None);
        assert_eq!(domain(false).proof(), "slugline-verify=c");
    }
}
