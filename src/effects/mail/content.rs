//! Renders a message: headers, plain text and HTML.

use askama::Template;
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart};
use lettre::{Address, Message as Mail};
use uuid::Uuid;

use crate::domain::mail::Message;

/// The maximum length of a name in a mail, in characters.
const MAX_NAME_CHARS: usize = 80;
/// Asks automatic responders not to answer (RFC 3834).
const AUTO_SUBMITTED: HeaderName = HeaderName::new_from_ascii_str("Auto-Submitted");

const NOT_REQUESTED: &str = "If you did not request this, ignore this mail.";
const NOT_EXPECTED: &str = "If you did not expect this, ignore this mail.";
const RECHARGE: &str = "To change or disable auto-recharge, open the workspace's billing settings.";
const NOT_YOU: &str = "If this was not you, contact the operator of the service at once.";

/// What a mail says.
pub(super) struct Content<'a> {
    pub(super) subject: String,
    paragraphs: Vec<String>,
    action: Option<Action<'a>>,
    note: &'static str,
}

struct Action<'a> {
    label: &'static str,
    link: &'a str,
}

#[derive(Template)]
#[template(path = "mail.txt", config = "src/effects/mail/askama.toml")]
struct Text<'a> {
    content: &'a Content<'a>,
}

/// The template escapes all text.
#[derive(Template)]
#[template(path = "mail.html", config = "src/effects/mail/askama.toml")]
struct Html<'a> {
    content: &'a Content<'a>,
}

/// The mail with its headers. Errors do not show the address or the content.
pub(super) fn compose(from: &Mailbox, to: &str, message: &Message) -> Result<Mail, &'static str> {
    let to: Address = to.parse().map_err(|_| "the recipient's address is invalid")?;
    let content = Content::of(message);
    let (text, html) = content.render().map_err(|_| "the mail cannot be rendered")?;
    Mail::builder()
        .from(from.clone())
        .to(Mailbox::new(None, to))
        .subject(content.subject)
        .date_now()
        .message_id(Some(format!("<{}@{}>", Uuid::now_v7(), from.email.domain())))
        .raw_header(HeaderValue::new(AUTO_SUBMITTED, "auto-generated".to_owned()))
        .multipart(MultiPart::alternative_plain_html(text, html))
        .map_err(|_| "the mail cannot be composed")
}

impl<'a> Content<'a> {
    pub(super) fn of(message: &'a Message) -> Self {
        match message {
            Message::Verification { link } => Self::action(
                "Confirm your email address",
                vec!["Open this link to confirm your email address.".to_owned()],
                Action { label: "Confirm email address", link },
                NOT_REQUESTED,
            ),
            Message::AccountExists { link } => Self::action(
                "You have an account already",
                vec![
                    "Somebody, probably you, signed up with this email address, which has an \
                     account already. Sign in with its password, or open this link to set a new \
                     one."
                        .to_owned(),
                ],
                Action { label: "Set a new password", link },
                "If this was not you, ignore this mail: your account is unchanged.",
            ),
            Message::PasswordReset { link } => Self::action(
                "Reset your password",
                vec!["Open this link to set a new password.".to_owned()],
                Action { label: "Reset password", link },
                "If you did not request this, ignore this mail: your password is unchanged.",
            ),
            Message::EmailChange { link } => Self::action(
                "Confirm your new email address",
                vec!["Open this link to use this email address for your account.".to_owned()],
                Action { label: "Confirm email address", link },
                NOT_REQUESTED,
            ),
            Message::Invitation { workspace, inviter, role, link, expires_at } => {
                Self::invitation((workspace, role), inviter.as_deref(), link, expires_at)
            }
            Message::OwnershipOffer { workspace, inviter, link } => {
                let workspace = one_line(workspace);
                let offer = by(
                    inviter.as_deref(),
                    "offers you",
                    "You are offered",
                    &format!("the ownership of the workspace \"{workspace}\"."),
                );
                Self::action(
                    &format!("Ownership of the workspace \"{workspace}\""),
                    vec![offer],
                    Action { label: "View the offer", link },
                    NOT_EXPECTED,
                )
            }
            Message::EmailChanged => Self::notice(
                "Your email address was changed",
                "Your account has a new email address. This address is no longer used.",
            ),
            Message::PasswordChanged => Self::notice(
                "Your password was changed",
                "The password of your account was changed.",
            ),
            Message::RechargeRequested { workspace, amount, kind } => {
                Self::recharge(workspace, *amount, kind)
            }
            Message::TwoFactorChanged { enabled: true } => Self::notice(
                "Two-factor authentication was enabled",
                "Signing in to your account now requires a second factor.",
            ),
            Message::TwoFactorChanged { enabled: false } => Self::notice(
                "Two-factor authentication was disabled",
                "Signing in to your account no longer requires a second factor.",
            ),
        }
    }

    fn invitation(
        (workspace, role): (&str, &str),
        inviter: Option<&str>,
        link: &'a str,
        expires_at: &str,
    ) -> Self {
        let (workspace, role) = (one_line(workspace), one_line(role));
        let invitation = by(
            inviter,
            "invites you",
            "You are invited",
            &format!("to join the workspace \"{workspace}\" as {role}."),
        );
        let expiry = format!("The invitation expires at {}.", one_line(expires_at));
        Self::action(
            &format!("Invitation to the workspace \"{workspace}\""),
            vec![invitation, expiry],
            Action { label: "Accept the invitation", link },
            NOT_EXPECTED,
        )
    }

    fn recharge(workspace: &str, amount: u64, kind: &str) -> Self {
        let workspace = one_line(workspace);
        let text = format!(
            "The workspace \"{workspace}\" has few credits for {kind} left: {amount} more were \
             requested by auto-recharge, and are granted once they are paid."
        );
        let subject = format!("Credits requested for the workspace \"{workspace}\"");
        Self { subject, paragraphs: vec![text], action: None, note: RECHARGE }
    }

    fn action(
        subject: &str,
        paragraphs: Vec<String>,
        action: Action<'a>,
        note: &'static str,
    ) -> Self {
        Self { subject: subject.to_owned(), paragraphs, action: Some(action), note }
    }

    fn notice(subject: &str, paragraph: &str) -> Self {
        let paragraphs = vec![paragraph.to_owned()];
        Self { subject: subject.to_owned(), paragraphs, action: None, note: NOT_YOU }
    }

    /// Plain text and HTML.
    pub(super) fn render(&self) -> askama::Result<(String, String)> {
        Ok((Text { content: self }.render()?, Html { content: self }.render()?))
    }
}

/// A sentence about what the inviter does, or what happens if there is none.
fn by(inviter: Option<&str>, active: &str, passive: &str, rest: &str) -> String {
    match inviter {
        Some(inviter) => format!("{} {active} {rest}", one_line(inviter)),
        None => format!("{passive} {rest}"),
    }
}

/// A name from a user, without line breaks and other control characters, which could forge headers
/// or paragraphs, and of limited length.
fn one_line(name: &str) -> String {
    let is_break = |letter: char| letter.is_control() || letter.is_whitespace();
    let words: Vec<_> = name.split(is_break).filter(|word| !word.is_empty()).collect();
    let name = words.join(" ");
    match name.char_indices().nth(MAX_NAME_CHARS) {
        Some((end, _)) => format!("{}…", &name[..end]),
        None => name,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    const LINK: &str = "https://sho.rt/invitations/s3cret?a=1&b=2";

    fn invitation(workspace: &str, inviter: Option<&str>) -> Message {
        Message::Invitation {
            workspace: workspace.to_owned(),
            inviter: inviter.map(str::to_owned),
            role: "editor".to_owned(),
            link: LINK.to_owned(),
            expires_at: "2026-12-01T00:00:00Z".to_owned(),
        }
    }

    fn composed(message: &Message) -> String {
        let from = "slugline <links@example.com>".parse().unwrap();
        let mail = compose(&from, "ann@example.org", message).unwrap();
        String::from_utf8(mail.formatted()).unwrap()
    }

    /// The names of the headers, in order; fails if a line is not a header.
    fn header_names(mail: &str) -> Vec<&str> {
        let head = mail.split("\r\n\r\n").next().unwrap();
        let lines = head.split("\r\n").filter(|line| !line.starts_with([' ', '\t']));
        lines.map(|line| line.split_once(": ").unwrap().0).collect()
    }

    #[test]
    fn a_mail_has_its_headers_and_both_parts() {
        let mail = composed(&Message::PasswordReset { link: "https://sho.rt/r/1".to_owned() });
        for line in [
            "From: slugline <links@example.com>\r\n",
            "To: ann@example.org\r\n",
            "Subject: Reset your password\r\n",
            "Auto-Submitted: auto-generated\r\n",
            "Content-Type: multipart/alternative;",
            "Content-Type: text/plain; charset=utf-8\r\n",
            "Content-Type: text/html; charset=utf-8\r\n",
            "\r\nhttps://sho.rt/r/1\r\n",
            "<a href=3D\"https://sho.rt/r/1\">",
        ] {
            assert!(mail.contains(line), "no {line} in:\n{mail}");
        }
        for (start, end) in [("Message-ID: <", "@example.com>"), ("Date: ", " +0000")] {
            let mut lines = mail.split("\r\n");
            let is_there = lines.any(|line| line.starts_with(start) && line.ends_with(end));
            assert!(is_there, "no {start} in:\n{mail}");
        }
    }

    #[test]
    fn each_message_has_its_text() {
        let link = || LINK.to_owned();
        let offer = |inviter: Option<&str>| Message::OwnershipOffer {
            workspace: "Acme".to_owned(),
            inviter: inviter.map(str::to_owned),
            link: link(),
        };
        for (message, expected) in [
            (Message::Verification { link: link() }, "to confirm your email address."),
            (Message::AccountExists { link: link() }, "account already. Sign in"),
            (Message::PasswordReset { link: link() }, "to set a new password."),
            (Message::EmailChange { link: link() }, "to use this email address"),
            (invitation("Acme", Some("Bo")), "Bo invites you to join the workspace \"Acme\" as"),
            (invitation("Acme", None), "You are invited to join the workspace \"Acme\" as editor."),
            (invitation("Acme", None), "expires at 2026-12-01T00:00:00Z."),
            (offer(Some("Bo")), "Bo offers you the ownership of the workspace \"Acme\"."),
            (offer(None), "You are offered the ownership of the workspace \"Acme\"."),
            (Message::EmailChanged, "has a new email address"),
            (Message::PasswordChanged, "was changed"),
            (
                Message::RechargeRequested {
                    workspace: "Acme".to_owned(),
                    amount: 50,
                    kind: "links",
                },
                "\"Acme\" has few credits for links left: 50 more",
            ),
            (Message::TwoFactorChanged { enabled: true }, "now requires a second factor"),
            (Message::TwoFactorChanged { enabled: false }, "no longer requires a second factor"),
        ] {
            let (text, html) = Content::of(&message).render().unwrap();
            assert!(text.contains(expected), "{text}");
            assert!(html.replace("&#34;", "\"").contains(expected), "{html}");
            assert_eq!(text.contains(LINK), html.contains("<a href="), "{text}{html}");
            let debug = format!("{message:?}");
            assert!(!debug.contains("s3cret") && !debug.contains("Acme"), "{debug}");
        }
    }

    #[test]
    fn html_is_escaped() {
        let message = invitation("<img src=x>", Some("\"><script>alert(1)</script>"));
        let (text, html) = Content::of(&message).render().unwrap();
        assert!(!html.contains("<img") && !html.contains("<script"), "{html}");
        assert!(html.contains("a=1&#38;b=2"), "{html}");
        assert!(text.contains("<img src=x>") && text.contains(LINK), "{text}");
    }

    #[test]
    fn names_cannot_add_headers_or_paragraphs() {
        let forged = "Acme\r\nBcc: eve@example.net\r\n\r\nPay now\u{2028}at\u{85}once";
        let mail = composed(&invitation(forged, Some(forged)));
        assert!(!header_names(&mail).contains(&"Bcc"), "{mail}");
        let (text, _) = Content::of(&invitation(forged, Some(forged))).render().unwrap();
        assert_eq!(text.split("\n\n").count(), 4, "{text}");
        assert!(text.contains("\"Acme Bcc: eve@example.net Pay now at once\""), "{text}");
    }

    #[test]
    fn long_names_are_cut() {
        let name = "ä".repeat(MAX_NAME_CHARS + 1);
        assert_eq!(one_line(&name), format!("{}…", "ä".repeat(MAX_NAME_CHARS)));
        assert_eq!(one_line(&name[2..]), name[2..]);
    }

    #[test]
    fn only_addresses_are_recipients() {
        let from = "links@example.com".parse().unwrap();
        for to in [
            "",
            "ann",
            "Ann <ann@example.org>",
            "ann@example.org, eve@example.net",
            "ann@example.org\r\nBcc: eve@example.net",
            "ann@example.org> RCPT TO:<eve@example.net",
        ] {
            let refused = compose(&from, to, &Message::PasswordChanged).unwrap_err();
            assert!(refused.contains("address is invalid"), "{refused}");
        }
    }

    proptest! {
        #[test]
        fn no_name_changes_the_headers(workspace in any::<String>(), inviter in any::<String>()) {
            let plain = composed(&invitation("Acme", None));
            let mail = composed(&invitation(&workspace, Some(&inviter)));
            prop_assert_eq!(header_names(&mail), header_names(&plain));
        }
    }
}
