//! Mail over SMTP.
//!
//! Mails wait in memory: a restart loses those that are not sent yet. Every flow that sends a mail
//! can therefore be repeated by the user.
//!
//! Temporary failures are retried for about half an hour, permanent ones are not. If the server's
//! last answer is lost, a mail may arrive twice, with the same `Message-ID`.
//!
//! Addresses, links and contents are never logged, nor are the server's answers, which may contain
//! an address.

mod content;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use lettre::address::Envelope;
use lettre::message::Mailbox;
use lettre::transport::smtp::{AsyncSmtpTransportBuilder, Error};
use lettre::{AsyncSmtpTransport, AsyncTransport, Tokio1Executor};
use metrics::counter;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;

use content::compose;

use crate::domain::mail::Message;
use crate::limits::{
    MAIL_CONCURRENCY, MAIL_CONNECT_TIMEOUT, MAIL_DRAIN_TIMEOUT, MAIL_QUEUE_LEN, MAIL_TIMEOUT,
};
use crate::metrics::MAILS;

/// The delays before the attempts after the first one: about half an hour in all, which outlasts
/// greylisting and a restart of the server.
const RETRY_DELAYS: [Duration; 5] = [
    Duration::from_secs(15),
    Duration::from_secs(60),
    Duration::from_secs(3 * 60),
    Duration::from_secs(8 * 60),
    Duration::from_secs(18 * 60),
];

/// The settings for sending mail.
#[derive(Debug, Clone)]
pub struct MailSettings {
    /// The server. `Debug` does not show the credentials.
    pub server: AsyncSmtpTransportBuilder,
    /// The sender.
    pub from: Mailbox,
}

/// Sends mails in the background. Cheap to clone.
#[derive(Clone)]
pub struct SmtpMailer(Arc<Worker>);

struct Worker {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
    runtime: Handle,
    /// A permit for each mail that waits or is being sent.
    queue: Arc<Semaphore>,
    connections: Semaphore,
    stopping: watch::Sender<bool>,
    retry_delays: &'static [Duration],
}

/// Why an attempt failed.
struct Failure {
    is_temporary: bool,
    reason: String,
}

impl SmtpMailer {
    /// Starts a mailer whose tasks run on `runtime`. It connects when there is a mail to send.
    pub fn start(settings: &MailSettings, runtime: &Handle) -> Self {
        Self::with_delays(settings, runtime, &RETRY_DELAYS)
    }

    fn with_delays(
        settings: &MailSettings,
        runtime: &Handle,
        retry_delays: &'static [Duration],
    ) -> Self {
        let MailSettings { server, from } = settings.clone();
        Self(Arc::new(Worker {
            transport: server.timeout(Some(MAIL_CONNECT_TIMEOUT)).build(),
            from,
            runtime: runtime.clone(),
            queue: Arc::new(Semaphore::new(MAIL_QUEUE_LEN.into())),
            connections: Semaphore::new(MAIL_CONCURRENCY),
            stopping: watch::Sender::new(false),
            retry_delays,
        }))
    }

    /// Queues a mail to an address; false if the queue is full.
    pub fn send(&self, to: &str, message: Message) -> bool {
        let Ok(permit) = Arc::clone(&self.0.queue).try_acquire_owned() else {
            counter!(MAILS, "outcome" => "refused").increment(1);
            tracing::warn!(kind = message.kind(), "a mail is refused: the queue is full");
            return false;
        };
        let (worker, to) = (Arc::clone(&self.0), to.to_owned());
        self.0.runtime.spawn(async move {
            worker.deliver(&to, &message).await;
            drop(permit);
        });
        true
    }

    /// Waits for the mails that are being sent, for a few seconds at most. Mails that wait for a
    /// retry are given up.
    pub async fn stop(&self) {
        self.0.stopping.send_replace(true);
        let idle = self.0.queue.acquire_many(MAIL_QUEUE_LEN.into());
        if timeout(MAIL_DRAIN_TIMEOUT, idle).await.is_err() {
            tracing::warn!("stopping although mails are not sent yet");
        }
        self.0.queue.close();
    }
}

impl Worker {
    /// Sends a mail, or logs why it cannot be sent.
    async fn deliver(&self, to: &str, message: &Message) {
        let kind = message.kind();
        let outcome = match self.try_repeatedly(to, message).await {
            Ok(()) => {
                tracing::debug!(kind, "sent a mail");
                "sent"
            }
            Err(reason) => {
                tracing::warn!(kind, reason, "a mail could not be sent");
                "failed"
            }
        };
        counter!(MAILS, "outcome" => outcome).increment(1);
    }

    async fn try_repeatedly(&self, to: &str, message: &Message) -> Result<(), String> {
        let mail = compose(&self.from, to, message)?;
        let (envelope, bytes) = (mail.envelope(), mail.formatted());
        let mut delays = self.retry_delays.iter();
        loop {
            let Err(failure) = self.attempt(envelope, &bytes).await else { return Ok(()) };
            let delay = delays.next().filter(|_| failure.is_temporary);
            let Some(delay) = delay else { return Err(failure.reason) };
            let wait = humantime::format_duration(*delay);
            let (kind, reason) = (message.kind(), failure.reason);
            tracing::warn!(kind, reason, %wait, "a mail could not be sent; retrying");
            if self.stops_within(*delay).await {
                return Err("the service stops".to_owned());
            }
        }
    }

    async fn attempt(&self, envelope: &Envelope, bytes: &[u8]) -> Result<(), Failure> {
        let _connection = self.connections.acquire().await;
        match timeout(MAIL_TIMEOUT, self.transport.send_raw(envelope, bytes)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(Failure::from(&error)),
            Err(_) => {
                Err(Failure { is_temporary: true, reason: "the server is too slow".to_owned() })
            }
        }
    }

    async fn stops_within(&self, delay: Duration) -> bool {
        let mut stopping = self.stopping.subscribe();
        timeout(delay, stopping.wait_for(|is_stopping| *is_stopping)).await.is_ok()
    }
}

impl From<&Error> for Failure {
    fn from(error: &Error) -> Self {
        let reason = match error.status() {
            Some(code) => format!("the server answered {code}"),
            // The error contains the answer.
            None if error.is_response() => {
                "the server's answer is incomplete or invalid".to_owned()
            }
            None => error.to_string(),
        };
        // A client error is about what the server does not support: TLS, authentication, or
        // addresses that are not ASCII.
        Self { is_temporary: !error.is_permanent() && !error.is_client(), reason }
    }
}
