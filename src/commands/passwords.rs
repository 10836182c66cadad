//! Passwords of links: replaced by their hashes before a command is decided.

use std::collections::HashMap;

use super::CommandRequest;
use crate::domain::command::Command;
use crate::domain::error::Result;
use crate::domain::link::{Field, Password};
use crate::identity::Passwords;

/// Replaces the password of a command by its hash, if it is valid.
pub(super) async fn hash_in(passwords: &Passwords, command: &mut Command) -> Result<()> {
    let Some(chosen) = to_be_hashed(command).map(str::to_owned) else { return Ok(()) };
    put_hash(command, passwords.hash(chosen).await?);
    Ok(())
}

/// Does the same for many commands. A password that occurs repeatedly is hashed once with one salt,
/// which reveals nothing new to the client that sent it.
pub(super) async fn hash_in_all(
    passwords: &Passwords,
    requests: &mut [CommandRequest],
) -> Result<()> {
    let mut known: HashMap<String, String> = HashMap::new();
    for CommandRequest { command, .. } in requests {
        let Some(chosen) = to_be_hashed(command).map(str::to_owned) else { continue };
        let hash = match known.get(&chosen) {
            Some(hash) => hash.clone(),
            None => passwords.hash(chosen.clone()).await?,
        };
        put_hash(command, hash.clone());
        known.insert(chosen, hash);
    }
    Ok(())
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
    use super::*;
    use crate::domain::link::LinkInput;

    fn create(password: &str) -> CommandRequest {
        let password = Field::Value(Password::from(password.to_owned()));
        let command = Command::CreateLink(LinkInput { password, ..LinkInput::default() });
        CommandRequest { command, idempotency: None }
    }

    fn hash_of(request: &mut CommandRequest) -> String {
        match &request.command.link_input().unwrap().password {
            Field::Value(Password::Hashed(phc)) => phc.clone(),
            _ => panic!("not hashed"),
        }
    }

    #[tokio::test]
    async fn each_password_is_hashed_once() {
        let passwords = Passwords::default();
        let mut requests = ["open sesame", "open barley", "open sesame"].map(create);
        hash_in_all(&passwords, &mut requests).await.unwrap();
        let hashes = requests.each_mut().map(hash_of);
        assert_eq!(hashes[0], hashes[2]);
        assert_ne!(hashes[0], hashes[1]);
        for (guess, hash) in [("open sesame", &hashes[0]), ("open barley", &hashes[1])] {
            assert_eq!(passwords.is_right(guess.to_owned(), Some(hash.clone())).await, Ok(true));
        }
    }
}
