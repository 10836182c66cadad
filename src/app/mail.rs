//! The mailer, as the HTTP API uses it.

use tokio::runtime::Handle;

use crate::config::Settings;
use crate::domain::mail::Message;
use crate::effects::mail::SmtpMailer;
use crate::http::mail::Mailer;

/// Starts the mailer, if one is configured.
pub fn start(settings: &Settings, runtime: &Handle) -> Option<SmtpMailer> {
    settings.mail.as_ref().map(|mail| SmtpMailer::start(mail, runtime))
}

impl Mailer for SmtpMailer {
    fn send(&self, to: &str, message: Message) -> bool {
        Self::send(self, to, message)
    }
}
