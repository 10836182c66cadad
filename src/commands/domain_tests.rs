use super::tests::Writer;
use super::*;
use crate::domain::command::DomainRef;
use crate::domain::domains::{Domain, DomainInput};
use crate::domain::error::Result;
use crate::domain::hostname::Hostname;
use crate::domain::ids::WorkspaceId;
use crate::domain::link::{Field, Link, LinkInput};
use crate::projections::index::ReadDomains;

impl Writer {
    fn of(&self, workspace: u128) -> Actor {
        Actor { workspace: WorkspaceId::new(uuid::Uuid::from_u128(workspace)), ..self.actor }
    }

    fn run(&self, actor: Actor, command: Command) -> Result<Outcome> {
        let result = self.runtime.block_on(self.commands.run(actor, command, None));
        result.map(|result| result.outcome)
    }

    fn domain(&self, actor: Actor, command: Command) -> Domain {
        match self.run(actor, command) {
            Ok(Outcome::Domain(domain)) => *domain,
            other => panic!("{other:?}"),
        }
    }

    fn add(&self, actor: Actor, name: &str) -> Domain {
        self.domain(actor, Command::AddDomain(input(name)))
    }

    fn verify(&self, actor: Actor, domain: &Domain) -> Domain {
        self.domain(actor, Command::VerifyDomain(domain.id, domain.challenge.clone()))
    }

    fn set(&self, actor: Actor, name: &str, input: DomainInput) -> Result<Outcome> {
        self.run(actor, Command::ChangeDomain(named(name), input))
    }

    fn link(&self, actor: Actor, domain: Option<&str>, slug: &str) -> Result<Link> {
        match self.run(actor, Command::CreateLink(link(domain, slug)))? {
            Outcome::Link(link) => Ok(*link),
            other => panic!("{other:?}"),
        }
    }
}

fn input(name: &str) -> DomainInput {
    DomainInput { hostname: Field::Value(name.to_owned()), ..DomainInput::default() }
}

fn link(domain: Option<&str>, slug: &str) -> LinkInput {
    LinkInput {
        slug: Field::Value(slug.to_owned()),
        domain: domain.map_or(Field::Absent, |name| Field::Value(name.to_owned())),
        destination: Field::Value("https://example.com".to_owned()),
        ..LinkInput::default()
    }
}

fn named(name: &str) -> DomainRef {
    DomainRef::Hostname(Hostname::parse(name).unwrap())
}

fn folding(folds: bool) -> DomainInput {
    DomainInput { case_insensitive: Field::Value(folds), ..DomainInput::default() }
}

fn default(is_default: bool) -> DomainInput {
    DomainInput { is_default: Field::Value(is_default), ..DomainInput::default() }
}

#[track_caller]
fn conflicts<T: std::fmt::Debug>(outcome: &Result<T>) {
    let is_conflict = matches!(outcome, Err(ServiceError { code: ErrorCode::Conflict, .. }));
    assert!(is_conflict, "{outcome:?}");
}

#[track_caller]
fn not_found<T: std::fmt::Debug>(outcome: &Result<T>) {
    let is_missing = matches!(outcome, Err(ServiceError { code: ErrorCode::NotFound, .. }));
    assert!(is_missing, "{outcome:?}");
}

/// The error message of a field.
#[track_caller]
fn refusal<T: std::fmt::Debug>(outcome: Result<T>, field: &str) -> String {
    match outcome {
        Err(error) if error.code == ErrorCode::Invalid => error.fields[field].join(", "),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_host_belongs_to_the_first_workspace_that_verifies_it() {
    let writer = Writer::new();
    let (one, two) = (writer.of(1), writer.of(2));
    let (of_one, of_two) = (writer.add(one, "go.example"), writer.add(two, "go.example"));
    assert_ne!(of_one.challenge, of_two.challenge);
    conflicts(&writer.run(one, Command::AddDomain(input("GO.example."))));

    assert!(writer.verify(two, &of_two).verified_at_ms.is_some());
    let command = Command::VerifyDomain(of_one.id, of_one.challenge.clone());
    conflicts(&writer.run(one, command.clone()));
    assert!(refusal(writer.link(one, Some("go.example"), "a"), "domain").contains("not verified"));
    writer.link(two, Some("go.example"), "a").unwrap();

    // The other workspace's claim is neither visible nor changeable.
    for command in [
        Command::VerifyDomain(of_two.id, of_two.challenge.clone()),
        Command::RemoveDomain(DomainRef::Id(of_two.id)),
        Command::ChangeDomain(DomainRef::Id(of_two.id), folding(true)),
    ] {
        not_found(&writer.run(one, command));
    }
    let foreign = refusal(writer.link(one, Some(&of_two.id.to_string()), "b"), "domain");
    assert!(foreign.contains("not a domain of this workspace"), "{foreign}");

    // The claim can be removed although another workspace has links on the host. Once those are
    // deleted too, the host is free.
    assert_eq!(writer.run(one, Command::RemoveDomain(named("go.example"))).unwrap(), Outcome::Gone);
    let again = writer.add(one, "go.example");
    not_found(&writer.run(one, command));
    conflicts(&writer.run(two, Command::RemoveDomain(named("go.example"))));
    let link = writer.index.slug("go.example", "a").unwrap().unwrap();
    let delete = Command::DeleteLink(crate::domain::command::LinkRef::Id(link), None);
    writer.run(two, delete).unwrap();
    writer.run(two, Command::RemoveDomain(named("go.example"))).unwrap();
    assert!(writer.verify(one, &again).verified_at_ms.is_some());
}

#[test]
fn another_challenge_does_not_verify() {
    let writer = Writer::new();
    let domain = writer.add(writer.actor, "go.example");
    not_found(&writer.run(writer.actor, Command::VerifyDomain(domain.id, "other".to_owned())));
    let verified = writer.verify(writer.actor, &domain);
    let offset = writer.index.applied();
    assert_eq!(writer.verify(writer.actor, &domain), verified, "a repetition");
    assert_eq!(writer.index.applied(), offset, "nothing was written");
}

#[test]
fn a_link_is_on_its_named_domain_or_the_default_one() {
    let writer = Writer::new();
    let actor = writer.actor;
    for name in ["a.example", "b.example"] {
        writer.verify(actor, &writer.add(actor, name));
    }
    let on = |link: Result<Link>| link.unwrap().fields.domain;
    assert_eq!(on(writer.link(actor, None, "x")), "");
    assert_eq!(on(writer.link(actor, Some("B.example."), "x")), "b.example");
    conflicts(&writer.link(actor, Some("b.example"), "x"));

    writer.set(actor, "a.example", default(true)).unwrap();
    let made = writer.link(actor, None, "x").unwrap();
    assert_eq!(made.fields.domain, "a.example");
    // Changing the default domain moves no link, unless the link is replaced.
    writer.set(actor, "b.example", default(true)).unwrap();
    assert!(
        !writer.domain(actor, Command::ChangeDomain(named("a.example"), folding(false))).is_default
    );
    let id = crate::domain::command::LinkRef::Id(made.id);
    let titled = LinkInput { title: Field::Value("t".to_owned()), ..LinkInput::default() };
    let changed = writer.run(actor, Command::ChangeLink(id.clone(), titled, None)).unwrap();
    let Outcome::Link(changed) = changed else { panic!("{changed:?}") };
    assert_eq!(changed.fields.domain, "a.example");
    let replaced = Command::ReplaceLink(id, link(None, "y"), None);
    let Outcome::Link(replaced) = writer.run(actor, replaced).unwrap() else { panic!() };
    assert_eq!(replaced.fields.domain, "b.example");
    for (name, links) in [("a.example", 0), ("b.example", 2)] {
        let domain = writer.index.domain_in(actor.workspace, &named(name)).unwrap().unwrap();
        assert_eq!(writer.index.links_on(&domain).unwrap(), links, "{name}");
    }

    writer.set(actor, "b.example", default(false)).unwrap();
    assert_eq!(on(writer.link(actor, None, "z")), "");
}

#[test]
fn slugs_collide_regardless_of_case_on_case_insensitive_domains() {
    let writer = Writer::new();
    let actor = writer.actor;
    for (name, folds) in [("a.example", true), ("b.example", false)] {
        writer.verify(actor, &writer.add(actor, name));
        writer.set(actor, name, folding(folds)).unwrap();
    }
    let promo = writer.link(actor, Some("a.example"), "Promo").unwrap();
    assert_eq!(promo.slug.as_str(), "Promo", "with its case preserved");
    conflicts(&writer.link(actor, Some("a.example"), "pROMO"));
    writer.link(actor, Some("b.example"), "Promo").unwrap();
    writer.link(actor, Some("b.example"), "pROMO").unwrap();
    for (name, folds) in [("a.example", false), ("b.example", true)] {
        conflicts(&writer.set(actor, name, folding(folds)));
    }
    // Changing the case of its own slug is not a collision.
    let id = crate::domain::command::LinkRef::Id(promo.id);
    let respelled = LinkInput { slug: Field::Value("PROMO".to_owned()), ..LinkInput::default() };
    writer.run(actor, Command::ChangeLink(id, respelled, None)).unwrap();
    assert_eq!(writer.index.slug("a.example", "promo").unwrap(), Some(promo.id));
}

#[test]
fn no_new_destination_is_a_domain_of_the_service() {
    let writer = Writer::new();
    let (one, two) = (writer.of(1), writer.of(2));
    writer.link(two, None, "early").unwrap();
    writer.verify(one, &writer.add(one, "go.example"));
    for own in [
        "https://go.example/x",
        "http://GO.example:8080",
        "https://go.example:443/?q",
        "https://go.example./x",
    ] {
        let to = LinkInput { destination: Field::Value(own.to_owned()), ..LinkInput::default() };
        let refused = writer.run(two, Command::CreateLink(to));
        assert_eq!(refusal(refused, "destination"), "must not lead back to this service", "{own}");
        let redirect =
            DomainInput { root_redirect: Field::Value(own.to_owned()), ..input("b.example") };
        refusal(writer.run(two, Command::AddDomain(redirect)), "root_redirect");
    }
}

#[test]
fn no_other_url_of_a_link_is_a_domain_of_the_service() {
    let writer = Writer::new();
    let (one, two) = (writer.of(1), writer.of(2));
    writer.verify(one, &writer.add(one, "go.example"));
    let own = || Field::Value("https://go.example/x".to_owned());
    let rule = |target| {
        let rule = serde_json::json!({ "name": "all", "conditions": [], "target": target });
        Field::Value(vec![serde_json::from_value(rule).unwrap()])
    };
    let urls = [
        ("expired_url", LinkInput { expired_url: own(), ..link(None, "a") }),
        ("ios_url", LinkInput { ios_url: own(), ..link(None, "b") }),
        ("android_store_url", LinkInput { android_store_url: own(), ..link(None, "c") }),
        (
            "rules[0].target.destination",
            LinkInput {
                rules: rule(serde_json::json!({ "destination": "https://go.example./x" })),
                ..link(None, "d")
            },
        ),
    ];
    for (field, input) in urls {
        let refused = refusal(writer.run(two, Command::CreateLink(input)), field);
        assert_eq!(refused, "must not lead back to this service", "{field}");
    }
}
