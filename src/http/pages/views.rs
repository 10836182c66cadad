//! What stands on the pages: pure, from what is shown to text. The templates escape all of it.

use askama::Template;
use axum::http::HeaderValue;

use super::answer::{Moment, POLICY};
use crate::domain::link::{Encryption, Vcard, Wifi};
use crate::domain::report::{MAX_TEXT_CHARS, Reason};

/// A few words, where there is no more to say.
#[derive(Template)]
#[template(path = "notice.html", config = "src/http/pages/askama.toml")]
pub struct Notice {
    pub title: &'static str,
    pub text: &'static str,
    /// When it opens.
    pub from: Option<Moment>,
}

/// A Wi-Fi network.
#[derive(Template)]
#[template(path = "wifi.html", config = "src/http/pages/askama.toml")]
pub struct WifiPage<'a> {
    pub heading: &'a str,
    pub wifi: &'a Wifi,
}

/// A business card.
#[derive(Template)]
#[template(path = "vcard.html", config = "src/http/pages/askama.toml")]
pub struct VcardPage<'a> {
    pub slug: &'a str,
    pub card: &'a Vcard,
    /// Lets whoever sees the page have the card as a file too; empty where there is no limit.
    pub permit: &'a str,
    rows: Vec<Row<'a>>,
}

struct Row<'a> {
    label: &'static str,
    text: &'a str,
    href: Option<String>,
}

impl<'a> VcardPage<'a> {
    /// Of the fields that the card has.
    pub fn new(slug: &'a str, card: &'a Vcard, permit: &'a str) -> Self {
        let rows = [
            ("Organization", card.organization.as_str(), None),
            ("Position", &card.job_title, None),
            ("Phone", &card.phone, tel(&card.phone)),
            ("E-mail", &card.email, mailto(&card.email)),
            ("Web", &card.url, web(&card.url).map(str::to_owned)),
            ("Address", &card.address, None),
            ("Note", &card.note, None),
        ];
        let rows = rows.into_iter().filter(|(_, text, _)| !text.is_empty());
        let rows = rows.map(|(label, text, href)| Row { label, text, href }).collect();
        Self { slug, card, permit, rows }
    }
}

/// `tel:` (RFC 3966) with what a telephone dials, and nothing else.
fn tel(phone: &str) -> Option<String> {
    let dialled: String =
        phone.chars().filter(|letter| letter.is_ascii_digit() || "+*#".contains(*letter)).collect();
    (!dialled.is_empty()).then(|| format!("tel:{}", dialled.replace('#', "%23")))
}

/// `mailto:` (RFC 6068) to one address: without fields, which a `?` would begin.
fn mailto(email: &str) -> Option<String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+@".contains(&byte);
    email.contains('@').then(|| {
        let letters = email.bytes().map(|byte| {
            if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }
        });
        std::iter::once("mailto:".to_owned()).chain(letters).collect()
    })
}

/// An address, if it is one that a browser opens and does not run.
pub fn web(url: &str) -> Option<&str> {
    let parsed = url::Url::parse(url).ok()?;
    matches!(parsed.scheme(), "http" | "https").then_some(url)
}

/// A text.
#[derive(Template)]
#[template(path = "text.html", config = "src/http/pages/askama.toml")]
pub struct TextPage<'a> {
    pub heading: &'a str,
    pub text: &'a str,
}

/// Asks for a link's password.
#[derive(Template)]
#[template(path = "password.html", config = "src/http/pages/askama.toml")]
pub struct PasswordPage<'a> {
    pub slug: &'a str,
    /// What the visitor's address has behind the slug.
    pub rest: &'a str,
    pub guard: &'a str,
    /// What was wrong with what was given.
    pub wrong: Option<&'a str>,
}

/// Leads on to a link that was unlocked. A redirect would not do: browsers hold one that follows a
/// form, and each that follows it, to the form's own policy, and the link may lead anywhere.
#[derive(Template)]
#[template(path = "unlocked.html", config = "src/http/pages/askama.toml")]
pub struct UnlockedPage<'a> {
    pub slug: &'a str,
    /// Goes behind the slug.
    pub rest: &'a str,
}

/// What a preview tells of where a link leads.
pub enum Shown<'a> {
    Address {
        host: &'a str,
        address: &'a str,
    },
    /// A page of the service's own: what kind of thing it shows.
    Page(&'static str),
    /// Nothing, and why.
    Nothing(&'static str),
}

/// Where a link leads, for whoever wants to know beforehand.
#[derive(Template)]
#[template(path = "preview.html", config = "src/http/pages/askama.toml")]
pub struct PreviewPage<'a> {
    pub slug: &'a str,
    pub short_url: &'a str,
    pub title: Option<&'a str>,
    pub shown: Shown<'a>,
    pub created: Moment,
    /// Clicks and visitors, where the owner lets them be seen.
    pub stats: Option<(u64, u64)>,
}

/// Takes a report of a link.
#[derive(Template)]
#[template(path = "report.html", config = "src/http/pages/askama.toml")]
pub struct ReportPage<'a> {
    pub slug: &'a str,
    pub short_url: &'a str,
    pub guard: &'a str,
    pub reason: &'a str,
    pub text: &'a str,
    /// What was wrong with what was sent.
    pub wrong: Option<&'a str>,
}

/// What a link says of itself where it is shared.
#[derive(Template)]
#[template(path = "social.html", config = "src/http/pages/askama.toml")]
pub struct Social<'a> {
    /// The link's own address.
    pub short_url: &'a str,
    /// What it is called there.
    pub title: &'a str,
    /// A sentence or two.
    pub description: Option<&'a str>,
    /// The address of a picture.
    pub image: Option<&'a str>,
    /// An http or https address; another one is shown, but leads nowhere. None where the reader is
    /// not to know it.
    pub destination: Option<&'a str>,
}

/// What a browser is shown that is to open an app: the way to the app, and to where it is to be had.
#[derive(Template)]
#[template(path = "open_app.html", config = "src/http/pages/askama.toml")]
pub struct OpenApp<'a> {
    /// Of a scheme that no page has: what a link's owner may set is checked.
    pub app: &'a str,
    /// The same.
    pub store: &'a str,
}

/// The policy under which nothing of a page can run.
pub fn page_policy() -> HeaderValue {
    POLICY.clone()
}

impl OpenApp<'_> {
    /// The page; empty where it can't be rendered, which is where the memory fails.
    pub fn html(&self) -> String {
        self.render().unwrap_or_default()
    }
}

impl Notice {
    /// As [`OpenApp::html`].
    pub fn html(&self) -> String {
        self.render().unwrap_or_default()
    }
}

impl Social<'_> {
    fn href(&self) -> Option<&str> {
        self.destination.and_then(web)
    }

    fn picture(&self) -> Option<&str> {
        self.image.and_then(web)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_of_a_card_hold_nothing_but_their_own_kind() {
        assert_eq!(tel("+49 (0)30 / 12-34#5"), Some("tel:+490301234%235".to_owned()));
        assert_eq!(tel("javascript:alert(1)"), Some("tel:1".to_owned()));
        assert_eq!(tel("none"), None);
        assert_eq!(mailto("ada@example.com"), Some("mailto:ada@example.com".to_owned()));
        assert_eq!(mailto("a?bcc=b@c&d"), Some("mailto:a%3Fbcc%3Db@c%26d".to_owned()));
        assert_eq!(mailto("nobody"), None);
        assert_eq!(web("https://example.com/?a=b"), Some("https://example.com/?a=b"));
        for bad in ["javascript:alert(1)", "data:text/html,x", "//x", "x", " javascript:1", ""] {
            assert_eq!(web(bad), None, "{bad}");
        }
    }
}
