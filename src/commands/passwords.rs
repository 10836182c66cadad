//! Link passwords: hashed before a command is decided, and verified when a visitor enters one.
//!
//! Argon2id with 19 MiB and two passes, as recommended by OWASP's password storage cheat sheet,
//! takes about 20 ms of CPU time. So it runs on blocking threads, two at a time, with a timeout for
//! waiting callers.

use std::collections::HashMap;
use std::sync::Arc;

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash as Phc;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use tokio::sync::Semaphore;

use super::{CommandRequest, overloaded};
use crate::domain::command::Command;
use crate::domain::error::{Result, ServiceError};
use crate::domain::link::{Field, Password, PasswordHash};
use crate::limits::{PASSWORD_CONCURRENCY, PASSWORD_QUEUE_TIMEOUT};

/// Hashes and verifies passwords. Cheap to clone.
#[derive(Clone)]
pub struct Passwords {
    permits: Arc<Semaphore>,
}

impl Default for Passwords {
    fn default() -> Self {
        Self { permits: Arc::new(Semaphore::new(PASSWORD_CONCURRENCY)) }
    }
}

impl Passwords {
    /// Replaces the password of a command by its hash, if it is valid.
    pub(super) async fn hash_in(&self, command: &mut Command) -> Result<()> {
        let Some(chosen) = to_be_hashed(command).map(str::to_owned) else { return Ok(()) };
        let hash = self.work(move || {
            let hash: Result<Phc, _> = Argon2::default().hash_password(chosen.as_bytes());
            hash.map(|hash| hash.to_string())
        });
        let hash = hash.await?.map_err(ServiceError::changes_unavailable)?;
        put_hash(command, hash);
        Ok(())
    }

    /// Does the same for many commands. A password that occurs repeatedly is hashed once with one
    /// salt, which reveals nothing new to the client that sent it.
    pub(super) async fn hash_in_all(&self, requests: &mut [CommandRequest]) -> Result<()> {
        let mut known: HashMap<String, String> = HashMap::new();
        for CommandRequest { command, .. } in requests {
            let Some(chosen) = to_be_hashed(command).map(str::to_owned) else { continue };
            if let Some(hash) = known.get(&chosen) {
                put_hash(command, hash.clone());
                continue;
            }
            self.hash_in(command).await?;
            let hash = command.link_input().and_then(|input| match &input.password {
                Field::Value(Password::Hashed(hash)) => Some(hash.clone()),
                _ => None,
            });
            known.extend(hash.map(|hash| (chosen, hash)));
        }
        Ok(())
    }

    /// Whether the password matches the hash.
    ///
    /// # Errors
    /// `Overloaded` if no permit is free for some seconds.
    pub async fn is_right(&self, guess: String, hash: PasswordHash<'_>) -> Result<bool> {
        let hash = hash.phc().to_owned();
        self.work(move || {
            let hash = Phc::new(&hash);
            hash.is_ok_and(|hash| {
                Argon2::default().verify_password(guess.as_bytes(), &hash).is_ok()
            })
        })
        .await
    }

    async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T> {
        let permit =
            tokio::time::timeout(PASSWORD_QUEUE_TIMEOUT, Arc::clone(&self.permits).acquire_owned())
                .await;
        let Ok(Ok(permit)) = permit else { return Err(overloaded()) };
        let done = tokio::task::spawn_blocking(move || {
            let done = work();
            drop(permit);
            done
        });
        done.await.map_err(|_| ServiceError::changes_unavailable("hashing panicked"))
    }
}

/// Sets placeholder hashes for a dry run.
pub(super) fn set_placeholders(requests: &mut [CommandRequest]) {
    for CommandRequest { command, .. } in requests {
        if to_be_hashed(command).is_some() {
            put_hash(command, "dry-run".to_owned());
        }
    }
}

/// The password of a command, if it is valid and not hashed yet.
fn to_be_hashed(command: &mut Command) -> Option<&str> {
    match &command.link_input()?.password {
        Field::Value(password) => password.to_be_hashed(),
        Field::Absent | Field::Null => None,
    }
}

fn put_hash(command: &mut Command, hash: String) {
    if let Some(input) = command.link_input() {
        input.password = Field::Value(Password::Hashed(hash));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use crate::domain::link::LinkInput;

    #[tokio::test]
    async fn a_password_is_hashed_and_verified() {
        let password = |text: &str| Field::Value(Password::from(text.to_owned()));
        let mut command = Command::CreateLink(LinkInput {
            password: password("open sesame"),
            ..LinkInput::default()
        });
        let passwords = Passwords::default();
        passwords.hash_in(&mut command).await.unwrap();
        let Some(LinkInput { password: Field::Value(Password::Hashed(phc)), .. }) =
            command.link_input()
        else {
            panic!("not hashed");
        };
        assert!(phc.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{phc}");
        for (guess, is_right) in [("open sesame", true), ("open sesam", false), ("", false)] {
            let hash = PasswordHash::new(phc);
            assert_eq!(passwords.is_right(guess.to_owned(), hash).await.unwrap(), is_right);
        }
    }
}
