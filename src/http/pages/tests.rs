//! Whatever text a page shows, it has the elements and attributes of its template.
use askama::Template;
use axum::http::StatusCode;
use axum::http::header::CONTENT_SECURITY_POLICY;
use axum::response::IntoResponse;
use base64::Engine;
use html5ever::tendril::TendrilSink;
use markup5ever_rcdom::{Handle, NodeData, RcDom};
use sha2::{Digest, Sha256};

use super::account::views::{AccountForm, AccountNotice, Entry, Field, InvitationDetails};
use super::answer::{Answer, PageTime, STYLE};
use super::views::{
    Notice, PasswordPage, PreviewPage, ReportPage, Shown, Social, TextPage, UnlockedPage,
    VcardPage, WifiPage, web,
};
use crate::domain::link::{Vcard, Wifi};

#[path = "../../../tests/injections/mod.rs"]
mod injections;

/// `address` if the text is an address. Other texts are not linked, so the harmless text must not
/// be an address either.
fn like<'a>(text: &str, address: &'a str) -> &'a str {
    if web(text).is_some() { address } else { "x" }
}

/// All pages with this text in each position; `url` where an address is expected.
fn pages(text: &str, url: &str) -> Vec<(&'static str, String)> {
    let wifi = |encryption| Wifi {
        ssid: text.to_owned(),
        encryption,
        password: text.to_owned(),
        hidden: true,
    };
    let [name, organization, job_title, phone, email, address, note] =
        std::array::from_fn(|_| text.to_owned());
    let card =
        Vcard { name, organization, job_title, phone, email, url: url.to_owned(), address, note };
    let preview = |shown| PreviewPage {
        slug: text,
        short_url: text,
        title: Some(text),
        shown,
        created: PageTime::at(0),
        stats: Some((1, 2)),
    };
    let report = ReportPage {
        slug: text,
        short_url: text,
        guard: text,
        reason: text,
        text,
        wrong: Some(text),
    };
    let password = PasswordPage { slug: text, rest: text, guard: text, wrong: Some(text) };
    let social = Social {
        short_url: text,
        title: text,
        description: Some(text),
        image: Some(url),
        destination: Some(url),
    };
    vec![
        ("wifi", WifiPage { heading: text, wifi: &wifi(0) }.render().unwrap()),
        ("open wifi", WifiPage { heading: text, wifi: &wifi(2) }.render().unwrap()),
        ("vcard", VcardPage::new(text, &card, text).render().unwrap()),
        ("text", TextPage { heading: text, text }.render().unwrap()),
        ("password", password.render().unwrap()),
        ("unlocked", UnlockedPage { slug: text, rest: text }.render().unwrap()),
        ("address", preview(Shown::Address { host: text, address: text }).render().unwrap()),
        ("no address", preview(Shown::Nothing("x")).render().unwrap()),
        ("report", report.render().unwrap()),
        ("social", social.render().unwrap()),
        ("account form", account_form(text).render().unwrap()),
        ("account notice", AccountNotice::done(text, text).render().unwrap()),
    ]
}

/// The form of an invitation with this text in each position.
fn account_form(text: &str) -> AccountForm {
    let field = |name, entry| Field {
        name,
        label: "x",
        kind: "text",
        autocomplete: "off",
        hint: "x",
        entry,
        value: text.to_owned(),
        wrong: Some(text.to_owned()),
    };
    let invitation =
        InvitationDetails { workspace: text.to_owned(), role: "x", expires: PageTime::at(0) };
    AccountForm {
        title: "x",
        text: text.to_owned(),
        invitation: Some(invitation),
        fields: vec![
            field("a", Entry::Required),
            field("b", Entry::Optional),
            field("c", Entry::Fixed),
        ],
        button: "x",
    }
}

/// A page as a browser parses it: the elements with their attribute names, in order, and the text.
/// Links are separate, because their presence depends on the text.
#[derive(Default)]
struct Seen {
    elements: Vec<String>,
    links: Vec<String>,
    text: String,
}

impl Seen {
    fn of(html: &str) -> Self {
        let dom = html5ever::parse_document(RcDom::default(), html5ever::ParseOpts::default())
            .one(html.to_owned());
        let mut seen = Self::default();
        seen.add(&dom.document);
        seen
    }

    fn add(&mut self, node: &Handle) {
        match &node.data {
            NodeData::Element { name, attrs, .. } => {
                let attrs = attrs.borrow();
                let mut names: Vec<_> =
                    attrs.iter().map(|attr| attr.name.local.to_string()).collect();
                names.sort();
                if &*name.local == "a" {
                    assert!(
                        names.iter().all(|name| ["href", "rel", "download"].contains(&&**name))
                    );
                    let href = attrs.iter().find(|attr| &*attr.name.local == "href").unwrap();
                    self.links.push(href.value.to_string());
                } else {
                    self.elements.push(format!("{} {names:?}", name.local));
                }
            }
            NodeData::Text { contents } => self.text.push_str(&contents.borrow()),
            NodeData::Comment { contents } => panic!("a comment: {contents}"),
            _ => {}
        }
        node.children.borrow().iter().for_each(|child| self.add(child));
    }
}

#[test]
fn no_text_adds_to_a_page() {
    let texts = injections::texts();
    assert!(texts.len() > 500, "{}", texts.len());
    for text in &texts {
        let harmless = pages("x", like(text, "https://example.com"));
        for ((name, html), (_, plain)) in pages(text, text).iter().zip(&harmless) {
            let (seen, plain) = (Seen::of(html), Seen::of(plain));
            // No submitted reason is one of the list, in either page.
            assert_eq!(seen.elements, plain.elements, "{name} with {text:?}:\n{html}");
            for link in &seen.links {
                let is_path = link.starts_with('/');
                let kinds = ["tel:", "mailto:", "http://", "https://"];
                let is_fit =
                    is_path || kinds.iter().any(|kind| link.to_lowercase().starts_with(kind));
                assert!(is_fit, "{name} with {text:?} leads to {link}");
            }
            // The text appears unchanged, as far as HTML can represent it.
            let can_say = !text.contains(|letter: char| letter.is_control());
            if can_say && *name != "unlocked" {
                assert!(seen.text.contains(text.as_str()), "{name} lacks {text:?}:\n{html}");
            }
        }
    }
}

#[test]
fn no_page_has_a_script_or_loads_anything() {
    for (name, html) in pages("x", "https://example.com/p") {
        let seen = Seen::of(&html);
        for element in &seen.elements {
            for bad in ["script", "iframe", "img ", "link ", "\"src\"", "\"style\"", "\"on"] {
                assert!(!element.contains(bad), "{name} has {element}");
            }
        }
        for good in ["html [\"lang\"]", "title []", "main []", "h1 ["] {
            assert!(
                seen.elements.iter().any(|element| element.starts_with(good)),
                "{name}: {good}"
            );
        }
        assert_eq!(html.matches("<style>").count(), 1, "{name}");
    }
}

/// Each form field has a label.
#[test]
fn forms_have_labels() {
    for (name, html) in pages("x", "x") {
        for field in ["<input id=\"", "<select id=\"", "<textarea id=\""] {
            for id in html.split(field).skip(1).map(|rest| rest.split('"').next().unwrap()) {
                assert!(html.contains(&format!("<label for=\"{id}\">")), "{name}: {id}");
            }
        }
    }
}

#[test]
fn the_policy_allows_the_one_style_and_nothing_else() {
    let notice = Notice { title: "t", text: "x", from: Some(PageTime::at(1_760_000_000_000)) };
    let html = notice.render().unwrap();
    assert!(
        html.contains("datetime=\"2025-10-09T08:53:20Z\">9 October 2025, 08:53 UTC<"),
        "{html}"
    );
    let style = html.split("<style>").nth(1).unwrap().split("</style>").next().unwrap();
    assert_eq!(style, STYLE);
    let hash = base64::prelude::BASE64_STANDARD.encode(Sha256::digest(style));
    let answer = Answer::page(StatusCode::OK, &notice).into_response();
    let policy = answer.headers()[CONTENT_SECURITY_POLICY].to_str().unwrap();
    assert!(policy.starts_with("default-src 'none';"), "{policy}");
    assert!(policy.contains(&format!("style-src 'sha256-{hash}';")), "{policy}");
    assert!(!policy.contains("unsafe") && !policy.contains("script-src"), "{policy}");
}
