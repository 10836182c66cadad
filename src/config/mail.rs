//! Mail settings.

use std::fmt;
use std::net::Ipv4Addr;

use anyhow::{Context, anyhow, bail, ensure};
use lettre::transport::smtp::AsyncSmtpTransportBuilder;
use lettre::{AsyncSmtpTransport, Tokio1Executor};
use serde::Deserialize;
use url::Url;

use super::ServeArgs;
use crate::effects::mail::MailSettings;

/// The URL of an SMTP server, with its password.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub struct SmtpUrl(String);

impl From<String> for SmtpUrl {
    fn from(url: String) -> Self {
        Self(url)
    }
}

impl fmt::Debug for SmtpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SmtpUrl(redacted)")
    }
}

/// Validates the mail settings; `None` for no mail.
pub(super) fn check(args: &ServeArgs) -> anyhow::Result<Option<MailSettings>> {
    let (url, from) = match (&args.smtp_url, &args.mail_from) {
        (None, None) => return Ok(None),
        (Some(url), Some(from)) => (url, from),
        _ => bail!("smtp-url and mail-from require each other"),
    };
    let server = server(&url.0).context("smtp-url")?;
    let from = from.parse().ok().with_context(|| {
        format!("mail-from: `{from}` is not an address such as slugline <links@example.com>")
    })?;
    Ok(Some(MailSettings { server, from }))
}

/// The server at a URL. Errors do not show the URL, because it may contain a password.
fn server(url: &str) -> anyhow::Result<AsyncSmtpTransportBuilder> {
    let expected = || anyhow!("must be a URL such as smtps://user:password@mail.example.com");
    let parsed = Url::parse(url).map_err(|_| expected())?;
    let host = parsed.host_str().filter(|host| !host.is_empty()).ok_or_else(expected)?;
    ensure!(matches!(parsed.scheme(), "smtp" | "smtps"), expected());
    // The client would pass the brackets on to name resolution.
    ensure!(!host.starts_with('['), "must have a host name or an IPv4 address");
    let mut tls = None;
    for (name, value) in parsed.query_pairs() {
        let is_known = name == "tls" && matches!(&*value, "required" | "opportunistic");
        ensure!(is_known, "the only parameters are tls=required and tls=opportunistic");
        tls = tls.or(Some(value));
    }
    let has_user = !parsed.username().is_empty();
    ensure!(has_user == parsed.password().is_some(), "a user and a password require each other");
    // With `opportunistic`, an attacker in the middle can prevent TLS.
    let is_encrypted = parsed.scheme() == "smtps" || tls.as_deref() == Some("required");
    ensure!(
        is_encrypted || !has_user || is_loopback(host),
        "a password requires TLS: use smtps:// or smtp:// with ?tls=required"
    );
    AsyncSmtpTransport::<Tokio1Executor>::from_url(url)
        .map_err(|_| anyhow!("the server cannot be used: the URL is invalid, or TLS fails"))
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse().is_ok_and(|address: Ipv4Addr| address.is_loopback())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::config::Settings;

    fn settings(url: &str, from: &str) -> anyhow::Result<Settings> {
        let (smtp_url, mail_from) = (Some(url.to_owned().into()), Some(from.to_owned()));
        let args = ServeArgs { smtp_url, mail_from, ..ServeArgs::default() };
        let debug = format!("{args:?}");
        assert!(!debug.contains("hunter2"), "{debug}");
        args.settings()
    }

    #[test]
    fn servers_are_named_by_urls() {
        for url in [
            "smtps://ann:hunter2@mail.example.com",
            "smtps://ann%40example.com:hunter2%21@mail.example.com:2465/client.example.com",
            "smtp://ann:hunter2@mail.example.com:587?tls=required",
            "smtp://ann:hunter2@127.0.0.1:2525",
            "smtp://ann:hunter2@localhost?tls=opportunistic",
            "smtp://mail.example.com",
            "smtp://mail.example.com?tls=opportunistic",
        ] {
            let mail = settings(url, "slugline <links@example.com>").unwrap().mail.unwrap();
            assert_eq!(mail.from.to_string(), "slugline <links@example.com>");
            let debug = format!("{mail:?}");
            assert!(!debug.contains("hunter2"), "{debug}");
        }
        assert!(ServeArgs::default().settings().unwrap().mail.is_none());
    }

    #[test]
    fn wrong_servers_are_refused_without_showing_the_password() {
        let insecure = "a password requires TLS";
        for (url, expected) in [
            ("smtp://ann:hunter2@mail.example.com", insecure),
            ("smtp://ann:hunter2@mail.example.com:587?tls=opportunistic", insecure),
            ("smtp://ann:hunter2@127.0.0.1.example.com", insecure),
            ("smtp://ann:hunter2@mail.example.com?tls=opportunistic&tls=required", insecure),
            ("smtp://ann:hunter2@mail.example.com?TLS=required", "the only parameters"),
            ("smtps://ann:hunter2@mail.example.com?tls=hunter2", "the only parameters"),
            ("smtps://hunter2@mail.example.com", "require each other"),
            ("smtps://:hunter2@mail.example.com", "require each other"),
            ("smtps://ann:hunter2%FF@mail.example.com", "cannot be used"),
            ("smtps://ann:hunter2@[::1]", "IPv4"),
            ("smtps://ann:hunter2@mail.example.com:port", "must be a URL"),
            ("https://ann:hunter2@mail.example.com", "must be a URL"),
            ("ann:hunter2@mail.example.com", "must be a URL"),
            ("hunter2", "must be a URL"),
            ("smtp:hunter2", "must be a URL"),
            ("", "must be a URL"),
        ] {
            let error = format!("{:?}", settings(url, "links@example.com").unwrap_err());
            assert!(error.contains("smtp-url") && error.contains(expected), "{url}: {error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn both_settings_are_required_and_the_sender_is_an_address() {
        let smtp_url = Some("smtp://localhost".to_owned().into());
        let args = ServeArgs { smtp_url, ..ServeArgs::default() };
        assert!(args.settings().unwrap_err().to_string().contains("require each other"));
        let mail_from = Some("links@example.com".to_owned());
        let args = ServeArgs { mail_from, ..ServeArgs::default() };
        assert!(args.settings().unwrap_err().to_string().contains("require each other"));
        for from in ["", "links", "a@example.com, b@example.com", "a@example.com\r\nBcc: b@c.de"] {
            let error = settings("smtp://localhost", from).unwrap_err().to_string();
            assert!(error.contains("mail-from"), "{error}");
        }
    }
}
