//! Links' passwords: hashed before a command is decided, and compared with what a visitor says.
//!
//! Argon2id with 19 MiB and two passes, as OWASP's password storage cheat sheet has it, takes some
//! 20 ms of a processor. So it runs on threads of its own, two at a time, and nobody waits for a
//! turn for long.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash as Phc;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use tokio::sync::Semaphore;

use super::{CommandError, Wish};
use crate::domain::command::Command;
use crate::domain::link::{Field, Password, PasswordHash};

/// How many passwords are hashed at once.
const TURNS: usize = 2;
/// How long one waits for its turn.
const TURN_WAIT: Duration = Duration::from_secs(5);

/// See the module. Cheap to clone.
#[derive(Clone)]
pub struct Passwords {
    turns: Arc<Semaphore>,
}

impl Default for Passwords {
    fn default() -> Self {
        Self { turns: Arc::new(Semaphore::new(TURNS)) }
    }
}

impl Passwords {
    /// Puts a hash in the place of the password that a command brings, if it is fit to be one.
    pub(super) async fn hash_in(&self, command: &mut Command) -> Result<(), CommandError> {
        let Some(chosen) = to_be_hashed(command).map(str::to_owned) else { return Ok(()) };
        let hash = self.work(move || {
            let hash: Result<Phc, _> = Argon2::default().hash_password(chosen.as_bytes());
            hash.map(|hash| hash.to_string())
        });
        let hash = hash.await?.map_err(|error| CommandError::Unavailable(error.to_string()))?;
        put_hash(command, hash);
        Ok(())
    }

    /// The same for many: a password that several bring is hashed once, with one salt, which tells
    /// nobody more than he knew who set them.
    pub(super) async fn hash_in_all(&self, wishes: &mut [Wish]) -> Result<(), CommandError> {
        let mut known: HashMap<String, String> = HashMap::new();
        for Wish { command, .. } in wishes {
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

    /// Whether this is the password that was hashed.
    ///
    /// # Errors
    /// [`CommandError::Overloaded`] when too many wait for their turn.
    pub async fn is_right(
        &self,
        guess: String,
        hash: PasswordHash<'_>,
    ) -> Result<bool, CommandError> {
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
    ) -> Result<T, CommandError> {
        let turn = tokio::time::timeout(TURN_WAIT, Arc::clone(&self.turns).acquire_owned()).await;
        let Ok(Ok(turn)) = turn else { return Err(CommandError::Overloaded) };
        let done = tokio::task::spawn_blocking(move || {
            let done = work();
            drop(turn);
            done
        });
        done.await.map_err(|_| CommandError::Unavailable("hashing panicked".to_owned()))
    }
}

/// In place of hashes that nobody will keep.
pub(super) fn pretend_in_all(wishes: &mut [Wish]) {
    for Wish { command, .. } in wishes {
        if to_be_hashed(command).is_some() {
            put_hash(command, "rehearsed".to_owned());
        }
    }
}

/// The password that a command brings, if it is fit to be one.
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
    async fn a_password_becomes_a_hash_that_knows_it() {
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
