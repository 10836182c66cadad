//! Numbers of workspaces and tokens.

use uuid::Uuid;

use super::super::numbers::{Numbered, ReadNumbers};
use super::Map;
use crate::domain::event::{Envelope, Event, TokenRevoked, TokenState, WorkspaceCreated};

fn in_workspace(workspace: u128, event: Event) -> Envelope {
    let workspace = Uuid::from_u128(workspace).as_bytes().to_vec();
    Envelope { workspace, event: Some(event), ..Envelope::default() }
}

#[test]
fn numbers_are_in_the_order_of_the_log_and_never_given_twice() {
    let created =
        |workspace| in_workspace(workspace, Event::WorkspaceCreated(WorkspaceCreated::default()));
    let token = |workspace, id: u128| {
        let id = Uuid::from_u128(id).as_bytes().to_vec();
        let secret_sha256 = [id.clone(), id.clone()].concat();
        let abilities = vec!["*".to_owned()];
        let state = TokenState { id, abilities, secret_sha256, ..TokenState::default() };
        in_workspace(workspace, Event::TokenCreated(state))
    };
    let token_id = Uuid::from_u128(13).as_bytes().to_vec();
    let revoked = in_workspace(2, Event::TokenRevoked(TokenRevoked { token: token_id }));
    let events = [created(1), created(2), token(1, 12), token(2, 13), revoked, token(1, 14)];
    let index = Map::of(&events);
    let numbers =
        |kind, ids: [u128; 3]| ids.map(|id| index.number_of(kind, Uuid::from_u128(id)).unwrap());
    assert_eq!(numbers(Numbered::Workspace, [1, 2, 3]), [Some(1), Some(2), None]);
    assert_eq!(numbers(Numbered::Token, [12, 13, 14]), [Some(1), None, Some(3)]);
    let of = |number| index.numbered(Numbered::Token, number).unwrap().map(|id| id.as_u128());
    assert_eq!([1, 2, 3, 4].map(of), [Some(12), None, Some(14), None]);
}
