//! Numbers of users, workspaces and tokens, for wire formats whose ids are numbers: 1 for the first
//! of each kind, in the order of the log, and never given twice.
//!
//! Links need none: the offset of a link's creation is a number of its own.

use uuid::Uuid;

use super::IndexError;
use super::encoding::{BROKEN_ID, number};
use super::keys::Family;
use super::read::Read;
use super::state::{State, add_to};
use crate::domain::event::Event;
use crate::domain::ids::WorkspaceId;
use crate::domain::user::state::personal_workspace;
use crate::domain::workspace::state::user_id;

/// What has numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Numbered {
    /// Users.
    User = 1,
    /// Workspaces.
    Workspace = 2,
    /// Tokens.
    Token = 3,
}

/// kind id → its number.
fn key_of_number(kind: Numbered, id: &[u8]) -> Vec<u8> {
    Family::Number.key(&[&[0, kind as u8], id])
}

/// kind number → the id.
fn key_of_id(kind: Numbered, number: u64) -> Vec<u8> {
    Family::Number.key(&[&[1, kind as u8], &number.to_be_bytes()])
}

/// kind → the last number.
fn key_of_last(kind: Numbered) -> Vec<u8> {
    Family::Number.key(&[&[2, kind as u8]])
}

/// Reads numbers.
pub trait ReadNumbers: Read {
    /// The number of an id.
    fn number_of(&self, kind: Numbered, id: Uuid) -> Result<Option<u64>, IndexError> {
        Ok(self.get(&key_of_number(kind, id.as_bytes()))?.as_deref().map(number))
    }

    /// The id with a number.
    fn numbered(&self, kind: Numbered, number: u64) -> Result<Option<Uuid>, IndexError> {
        let id = self.get(&key_of_id(kind, number))?;
        let id = id.map(|bytes| Uuid::from_slice(&bytes).map_err(|_| BROKEN_ID)).transpose();
        id.map_err(|error| self.report_damage(error))
    }
}

impl<R: Read + ?Sized> ReadNumbers for R {}

/// Numbers what an event creates, and forgets the number of what it removes.
pub fn fold<S: State>(
    state: &mut S,
    workspace: WorkspaceId,
    event: &Event,
) -> Result<(), IndexError> {
    match event {
        Event::UserCreated(user) => {
            assign(state, Numbered::User, &user.id)?;
            let personal = personal_workspace(user.user_id()?);
            assign(state, Numbered::Workspace, personal.as_bytes())
        }
        Event::WorkspaceCreated(_) => assign(state, Numbered::Workspace, workspace.as_bytes()),
        Event::TokenCreated(token) => assign(state, Numbered::Token, &token.id),
        Event::UserDeleted(deleted) => {
            forget(state, Numbered::User, user_id(&deleted.user)?.as_bytes())
        }
        Event::WorkspacePurged(_) => forget(state, Numbered::Workspace, workspace.as_bytes()),
        Event::TokenRevoked(revoked) => forget(state, Numbered::Token, &revoked.token),
        _ => Ok(()),
    }
}

fn assign<S: State>(state: &mut S, kind: Numbered, id: &[u8]) -> Result<(), IndexError> {
    add_to(state, key_of_last(kind), 1)?;
    let last = state.get(&key_of_last(kind))?.unwrap_or_default();
    state.put(key_of_id(kind, number(&last)), id.to_vec());
    state.put(key_of_number(kind, id), last);
    Ok(())
}

fn forget<S: State>(state: &mut S, kind: Numbered, id: &[u8]) -> Result<(), IndexError> {
    if let Some(value) = state.get(&key_of_number(kind, id))? {
        state.remove(key_of_id(kind, number(&value)));
        state.remove(key_of_number(kind, id));
    }
    Ok(())
}
