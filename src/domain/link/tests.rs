use super::*;
use crate::domain::error::Invalid;
use crate::domain::ids::RuleId;
use uuid::Uuid;

fn policy() -> LinkPolicy {
    LinkPolicy {
        own_hosts: vec!["sho.rt".into(), "localhost:8080".into()],
        ..LinkPolicy::default()
    }
}

fn new_rule_id() -> RuleId {
    RuleId::new(Uuid::from_u128(9))
}

/// Validates an input for the default domain, without other domains.
fn accept(input: LinkInput, mode: WriteMode<'_>, now_ms: u64) -> Result<Accepted, Invalid> {
    accept_on(Ok(String::new()), input, mode, now_ms)
}

fn accept_on(
    domain: Result<String, String>,
    input: LinkInput,
    mode: WriteMode<'_>,
    now_ms: u64,
) -> Result<Accepted, Invalid> {
    let context = LinkContext { policy: &policy(), is_hosted: &|_| false, now_ms, new_rule_id };
    input.accept(mode, domain, &context)
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
    let accepted = accept(input, WriteMode::Create, 0).unwrap();
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
    match accept_on(Err("is none".to_owned()), input, WriteMode::Create, 0) {
        Err(invalid) => invalid.fields().keys().cloned().collect(),
        Ok(accepted) => vec![format!("{accepted:?}")],
    }
}

#[test]
fn all_invalid_fields_are_reported_at_once() {
    let input = LinkInput {
        slug: value("no spaces"),
        title: Field::Value("t".repeat(201)),
        utm_term: value("a\r\nb"),
        ..LinkInput::default()
    };
    assert_eq!(fields_in_error(input), ["destination", "domain", "slug", "title", "utm_term"]);
}

#[test]
fn absent_fields_are_kept_and_null_fields_are_cleared() {
    let link = link();
    let input = LinkInput { utm_source: Field::Null, title: value("New"), ..LinkInput::default() };
    let accepted = accept(input, WriteMode::Update(&link), 0).unwrap();
    let next = link.changed(accepted.slug.unwrap(), accepted.fields, 20).unwrap();
    assert_eq!((next.version, next.created_at_ms, next.updated_at_ms), (2, 10, 20));
    assert_eq!(next.fields.utm.source, None);
    assert_eq!(next.fields.title.as_deref(), Some("New"));
    assert_eq!(next.fields.content, link.fields.content);
}

#[test]
fn an_update_without_changes_makes_no_version() {
    let link = link();
    let accepted = accept(LinkInput::default(), WriteMode::Update(&link), 0).unwrap();
    assert_eq!(link.changed(accepted.slug.unwrap(), accepted.fields, 20), None);
}

fn gates(mode: WriteMode<'_>, now_ms: u64, input: LinkInput) -> Result<Gates, Vec<String>> {
    let destination = value("https://example.com");
    let input = LinkInput { destination, ..input };
    let gates = accept(input, mode, now_ms).map(|accepted| accepted.fields.gates);
    gates.map_err(|invalid| invalid.fields().keys().cloned().collect())
}

#[test]
fn a_link_is_open_between_its_start_and_its_expiry() {
    let input = LinkInput {
        starts_at: value("2026-01-01T00:00:00Z"),
        expires_at: value("2026-01-02T01:00:00+01:00"),
        ..LinkInput::default()
    };
    let gates = gates(WriteMode::Create, 0, input).unwrap();
    let (start, end) = (1_767_225_600_000, 1_767_312_000_000);
    for (at_ms, block) in [
        (start - 1, Block::NotStarted),
        (start, Block::None),
        (end - 1, Block::None),
        (end, Block::Expired),
    ] {
        assert_eq!(gates.closed_at(at_ms), block, "{at_ms}");
    }
}

#[test]
fn invalid_gates_are_reported_by_field() {
    let late = 1_800_000_000_000;
    for (input, field) in [
        (
            LinkInput { expires_at: value("2026-01-01T00:00:00Z"), ..LinkInput::default() },
            "expires_at",
        ),
        (LinkInput { expires_at: value("tomorrow"), ..LinkInput::default() }, "expires_at"),
        (LinkInput { starts_at: value("2026-01-01"), ..LinkInput::default() }, "starts_at"),
        (
            LinkInput {
                starts_at: value("2040-01-02T00:00:00Z"),
                expires_at: value("2040-01-02T00:00:00Z"),
                ..LinkInput::default()
            },
            "expires_at",
        ),
        (
            LinkInput { expired_url: value("https://sho.rt/a"), ..LinkInput::default() },
            "expired_url",
        ),
        (LinkInput { max_clicks: Field::Value(0), ..LinkInput::default() }, "max_clicks"),
        (
            LinkInput { password: Field::Value("abc".to_owned().into()), ..LinkInput::default() },
            "password",
        ),
    ] {
        assert_eq!(gates(WriteMode::Create, late, input), Err(vec![field.to_owned()]));
    }
}

#[test]
fn other_fields_of_an_expired_link_can_be_changed() {
    let mut link = link();
    link.fields.gates.expires_at_ms = Some(5);
    let input = LinkInput { title: value("Old"), ..LinkInput::default() };
    assert!(accept(input, WriteMode::Update(&link), 10).is_ok());
}

#[test]
fn a_limit_counts_from_the_version_that_set_it() {
    let mut link = link();
    let limit = |max| LinkInput { max_clicks: Field::Value(max), ..LinkInput::default() };
    let first = gates(WriteMode::Update(&link), 0, limit(5)).unwrap();
    assert_eq!(first.limit.unwrap().since_version, 2);
    (link.version, link.fields.gates) = (2, first);
    for mode in [WriteMode::Update(&link), WriteMode::Replace(&link)] {
        let next = gates(mode, 0, limit(9)).unwrap().limit.unwrap();
        assert_eq!((next.max, next.since_version), (9, 2), "{mode:?}");
    }
    assert_eq!(gates(WriteMode::Replace(&link), 0, LinkInput::default()).unwrap().limit, None);
    link.fields.gates.limit = None;
    assert_eq!(
        gates(WriteMode::Update(&link), 0, limit(5)).unwrap().limit.unwrap().since_version,
        3
    );
}

#[test]
fn a_change_of_kind_requires_a_payload() {
    let link = link();
    let as_text = LinkInput { kind: Field::Value(Kind::Text), ..LinkInput::default() };
    let invalid = accept(as_text.clone(), WriteMode::Update(&link), 0).unwrap_err();
    assert_eq!(invalid.fields().keys().collect::<Vec<_>>(), ["payload"]);
    let fields = serde_json::Map::from_iter([("text".to_owned(), "hello".into())]);
    let with_text = LinkInput { payload: Field::Value(fields), ..as_text };
    let accepted = accept(with_text, WriteMode::Update(&link), 0).unwrap();
    assert_eq!(accepted.fields.content, Content::Page(Payload::Text("hello".into())));
}
