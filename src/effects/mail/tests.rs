//! The mailer against a small SMTP server.
#![allow(clippy::unwrap_used)]

use std::collections::VecDeque;
use std::io;
use std::sync::{Mutex, PoisonError};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tracing_subscriber::fmt::MakeWriter;

use super::*;

const TO: &str = "ann.recipient@example.org";
const LINK: &str = "https://sho.rt/reset/s3cret-of-the-link";
const PASSWORD: &str = "hunter2-of-the-server";
const PATIENCE: Duration = Duration::from_secs(30);
const AT_ONCE: &[Duration] = &[Duration::ZERO; 2];
const NEVER: &[Duration] = &[Duration::from_secs(3_600)];

/// An SMTP server that answers each `RCPT` with the next of its answers, or else accepts it. An
/// empty answer closes the connection.
struct Server {
    address: std::net::SocketAddr,
    answers: Arc<Mutex<VecDeque<&'static str>>>,
    /// Each answer to `RCPT`.
    answered: mpsc::UnboundedReceiver<&'static str>,
    /// The lines of each mail.
    mails: mpsc::UnboundedReceiver<Vec<String>>,
}

impl Server {
    async fn start(answers: &[&'static str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let answers = Arc::new(Mutex::new(answers.iter().copied().collect::<VecDeque<_>>()));
        let ((answered_to, answered), (mails_to, mails)) =
            (mpsc::unbounded_channel(), mpsc::unbounded_channel());
        let given = Arc::clone(&answers);
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                let (given, answered_to) = (Arc::clone(&given), answered_to.clone());
                let mails_to = mails_to.clone();
                tokio::spawn(async move {
                    let next = || {
                        let next = given.lock().unwrap().pop_front();
                        let answer = next.unwrap_or("250 2.1.5 accepted");
                        answered_to.send(answer).unwrap();
                        answer
                    };
                    let _closed = converse(connection, next, &mails_to).await;
                });
            }
        });
        Self { address, answers, answered, mails }
    }

    fn mailer(&self, retry_delays: &'static [Duration]) -> SmtpMailer {
        let url = format!("smtp://slugline:{PASSWORD}@{}", self.address);
        let server = AsyncSmtpTransport::<Tokio1Executor>::from_url(&url).unwrap();
        let from = "slugline <links@example.com>".parse().unwrap();
        SmtpMailer::with_delays(&MailSettings { server, from }, &Handle::current(), retry_delays)
    }

    async fn next_mail(&mut self) -> Vec<String> {
        timeout(PATIENCE, self.mails.recv()).await.unwrap().unwrap()
    }

    async fn next_answer(&mut self) -> &'static str {
        timeout(PATIENCE, self.answered.recv()).await.unwrap().unwrap()
    }
}

async fn converse(
    connection: TcpStream,
    next: impl Fn() -> &'static str,
    mails: &mpsc::UnboundedSender<Vec<String>>,
) -> io::Result<()> {
    let (reader, mut writer) = connection.into_split();
    let mut lines = BufReader::new(reader).lines();
    let credentials = BASE64_STANDARD.encode(format!("\0slugline\0{PASSWORD}"));
    writer.write_all(b"220 mail.example.com ready\r\n").await?;
    while let Some(line) = lines.next_line().await? {
        let answer = match line.split([' ', ':']).next().unwrap_or_default() {
            "EHLO" => "250-mail.example.com\r\n250 AUTH PLAIN LOGIN",
            "AUTH" if line == format!("AUTH PLAIN {credentials}") => "235 2.7.0 authenticated",
            "MAIL" => "250 2.1.0 accepted",
            "RCPT" => next(),
            "DATA" => {
                writer.write_all(b"354 go ahead\r\n").await?;
                let mut mail = Vec::new();
                while let Some(line) = lines.next_line().await?.filter(|line| line != ".") {
                    mail.push(line);
                }
                mails.send(mail).unwrap();
                "250 2.0.0 queued"
            }
            "QUIT" => "221 2.0.0 bye",
            _ => "500 5.5.1 unexpected",
        };
        if answer.is_empty() {
            break;
        }
        writer.write_all(format!("{answer}\r\n").as_bytes()).await?;
    }
    Ok(())
}

fn reset() -> Message {
    Message::PasswordReset { link: LINK.to_owned() }
}

/// Waits until no mail is queued.
async fn idle(mailer: &SmtpMailer) {
    let all = mailer.0.queue.acquire_many(MAIL_QUEUE_LEN.into());
    drop(timeout(PATIENCE, all).await.unwrap().unwrap());
}

#[tokio::test]
async fn a_mail_arrives() {
    let mut server = Server::start(&[]).await;
    assert!(server.mailer(&[]).send(TO, reset()));
    let mail = server.next_mail().await;
    for line in ["To: ann.recipient@example.org", "Subject: Reset your password", LINK] {
        assert!(mail.iter().any(|sent| sent == line), "no {line} in {mail:#?}");
    }
}

#[tokio::test]
async fn temporary_failures_are_retried_with_the_same_mail() {
    let mut server = Server::start(&["451 4.7.1 try again later", ""]).await;
    let mailer = server.mailer(AT_ONCE);
    assert!(mailer.send(TO, reset()));
    let mail = server.next_mail().await;
    idle(&mailer).await;
    assert!(mail.iter().any(|line| line == LINK), "{mail:#?}");
    assert_eq!(server.next_answer().await, "451 4.7.1 try again later");
    assert_eq!(server.next_answer().await, "");
    assert!(server.next_answer().await.starts_with("250"));
    assert!(server.answered.is_empty() && server.mails.is_empty());
}

#[tokio::test]
async fn temporary_failures_are_given_up_after_the_last_retry() {
    let mut server = Server::start(&["451 busy"; 9]).await;
    let mailer = server.mailer(AT_ONCE);
    assert!(mailer.send(TO, reset()));
    idle(&mailer).await;
    assert_eq!(server.answered.len(), 1 + AT_ONCE.len());
    server.answers.lock().unwrap().clear();
    assert!(mailer.send(TO, Message::PasswordChanged), "the next mail is sent");
    assert!(server.next_mail().await.contains(&"Subject: Your password was changed".to_owned()));
}

#[tokio::test]
async fn permanent_failures_are_not_retried() {
    let server = Server::start(&["550 5.1.1 no such user"]).await;
    let mailer = server.mailer(AT_ONCE);
    assert!(mailer.send(TO, reset()));
    assert!(mailer.send("not an address", reset()));
    idle(&mailer).await;
    assert_eq!(server.answered.len(), 1);
    assert!(server.mails.is_empty());
}

#[tokio::test]
async fn a_full_queue_refuses_mails() {
    // Connections are accepted by the system, but nothing is answered.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut server = Server::start(&[]).await;
    server.address = silent.local_addr().unwrap();
    let mailer = server.mailer(&[]);
    for _ in 0..MAIL_QUEUE_LEN {
        assert!(mailer.send(TO, reset()));
    }
    assert!(!mailer.send(TO, reset()));
}

#[tokio::test]
async fn stopping_finishes_mails_and_gives_up_retries() {
    let mut server = Server::start(&["451 busy"]).await;
    let mailer = server.mailer(NEVER);
    assert!(mailer.send(TO, reset()));
    assert_eq!(server.next_answer().await, "451 busy");
    for _ in 0..3 * MAIL_CONCURRENCY {
        assert!(mailer.send(TO, Message::PasswordChanged));
    }
    mailer.stop().await;
    assert_eq!(server.mails.len(), 3 * MAIL_CONCURRENCY);
    assert!(!mailer.send(TO, reset()), "a stopped mailer accepts no mail");
}

#[test]
fn retries_take_about_half_an_hour() {
    let total: Duration = RETRY_DELAYS.iter().sum();
    assert!((Duration::from_secs(25 * 60)..Duration::from_secs(35 * 60)).contains(&total));
    assert!(RETRY_DELAYS.is_sorted());
}

#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl io::Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Captured {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// The test's tasks all run on its own thread, whose log is captured.
#[tokio::test]
async fn the_log_has_no_secrets_at_trace_level() {
    let captured = Captured::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(captured.clone())
        .finish();
    // While there is only one subscriber, an event that is first emitted by another test's thread,
    // where it is not the default, is disabled for all threads.
    let _second = tracing::Dispatch::new(tracing_subscriber::registry());
    let guard = tracing::subscriber::set_default(subscriber);
    let answers = [
        "451 4.2.1 <ann.recipient@example.org> is busy",
        "250 ok",
        "ann.recipient@example.org",
        "550 5.1.1 <ann.recipient@example.org> is unknown",
    ];
    let mut server = Server::start(&answers).await;
    let mailer = server.mailer(AT_ONCE);
    assert!(mailer.send(TO, reset()));
    let _sent = server.next_mail().await;
    assert!(mailer.send(TO, reset()));
    idle(&mailer).await;
    assert!(mailer.send("ann.recipient@", reset()));
    idle(&mailer).await;
    drop(guard);
    let log = String::from_utf8(captured.0.lock().unwrap().clone()).unwrap();
    for expected in [
        "the server answered 451",
        "the server answered 550",
        "the server's answer is incomplete or invalid",
        "the recipient's address is invalid",
        "sent a mail kind=\"password_reset\"",
    ] {
        assert!(log.contains(expected), "no {expected} in:\n{log}");
    }
    let encoded = BASE64_STANDARD.encode(format!("\0slugline\0{PASSWORD}"));
    for secret in ["ann.recipient", "sho.rt", "s3cret", PASSWORD, &encoded] {
        assert!(!log.contains(secret), "{secret} is in:\n{log}");
    }
}
