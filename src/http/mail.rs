//! The interface for sending mail.

/// Sends mails in the background.
pub trait Mailer: Send + Sync {
    /// Queues a mail to an address; false if the queue is full. The mail may be lost: users must be
    /// able to request it again.
    fn send(&self, to: &str, message: crate::domain::mail::Message) -> bool;
}
