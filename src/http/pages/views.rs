//! Renders the pages from plain values. The templates escape all text.

use askama::Template;

use super::answer::PageTime;
use crate::domain::link::{Encryption, Vcard, Wifi};
use crate::domain::report::{MAX_TEXT_CHARS, Reason};

/// A short notice.
#[derive(Template)]
#[template(path = "notice.html", config = "src/http/pages/askama.toml")]
pub struct Notice {
    pub title: &'static str,
    pub text: &'static str,
    /// When the link opens.
    pub from: Option<PageTime>,
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
    /// A permit to download the card; empty without a click limit.
    pub permit: &'a str,
    rows: Vec<Row<'a>>,
}

struct Row<'a> {
    label: &'static str,
    text: &'a str,
    href: Option<String>,
}

impl<'a> VcardPage<'a> {
    /// With the fields that the card has.
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

/// `tel:` (RFC 3966) with dialable characters only.
fn tel(phone: &str) -> Option<String> {
    let dialled: String =
        phone.chars().filter(|letter| letter.is_ascii_digit() || "+*#".contains(*letter)).collect();
    (!dialled.is_empty()).then(|| format!("tel:{}", dialled.replace('#', "%23")))
}

/// `mailto:` (RFC 6068) for one address, without header fields, which a `?` would start.
fn mailto(email: &str) -> Option<String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+@".contains(&byte);
    email.contains('@').then(|| {
        let letters = email.bytes().map(|byte| {
            if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }
        });
        std::iter::once("mailto:".to_owned()).chain(letters).collect()
    })
}

/// The address, if its scheme is safe to open in a browser.
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

/// The password prompt of a link.
#[derive(Template)]
#[template(path = "password.html", config = "src/http/pages/askama.toml")]
pub struct PasswordPage<'a> {
    pub slug: &'a str,
    /// The part of the visitor's address after the slug.
    pub rest: &'a str,
    pub guard: &'a str,
    /// The error of the last attempt.
    pub wrong: Option<&'a str>,
}

/// Continues to an unlocked link. A redirect would not work: browsers apply the form's policy to
/// redirects after its submission, and the link may have any destination.
#[derive(Template)]
#[template(path = "unlocked.html", config = "src/http/pages/askama.toml")]
pub struct UnlockedPage<'a> {
    pub slug: &'a str,
    /// The part of the address after the slug.
    pub rest: &'a str,
}

/// What a preview reveals about the destination.
pub enum Shown<'a> {
    Address {
        host: &'a str,
        address: &'a str,
    },
    /// A page of the service: its kind.
    Page(&'static str),
    /// Nothing, with the reason.
    Nothing(&'static str),
}

/// The preview of a link's destination.
#[derive(Template)]
#[template(path = "preview.html", config = "src/http/pages/askama.toml")]
pub struct PreviewPage<'a> {
    pub slug: &'a str,
    pub short_url: &'a str,
    pub title: Option<&'a str>,
    pub shown: Shown<'a>,
    pub created: PageTime,
    /// Clicks and visitors, if the owner makes them public.
    pub stats: Option<(u64, u64)>,
}

/// The form to report a link.
#[derive(Template)]
#[template(path = "report.html", config = "src/http/pages/askama.toml")]
pub struct ReportPage<'a> {
    pub slug: &'a str,
    pub short_url: &'a str,
    pub guard: &'a str,
    pub reason: &'a str,
    pub text: &'a str,
    /// The error of the last attempt.
    pub wrong: Option<&'a str>,
}

/// The metadata of a link for previews.
#[derive(Template)]
#[template(path = "social.html", config = "src/http/pages/askama.toml")]
pub struct Social<'a> {
    /// The link's short URL.
    pub short_url: &'a str,
    /// The title.
    pub title: &'a str,
    /// The description.
    pub description: Option<&'a str>,
    /// The address of an image.
    pub image: Option<&'a str>,
    /// An http or https address; others are shown, but not linked. `None` if it must not be
    /// revealed.
    pub destination: Option<&'a str>,
}

/// A page that opens an app: links to the app and to its store page.
#[derive(Template)]
#[template(path = "open_app.html", config = "src/http/pages/askama.toml")]
pub struct OpenApp<'a> {
    /// Its scheme was checked when the link was set.
    pub app: &'a str,
    /// As `app`.
    pub store: &'a str,
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
    fn links_of_a_card_have_only_their_own_scheme() {
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
