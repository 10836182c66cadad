//! The callers of recent requests, so that authenticating a request does not read the index.
//!
//! A caller is used only while nothing that it was derived from has changed in the index, so a
//! revocation takes effect on the next request. See [`Stamp`].

use std::sync::Arc;

use ipnet::IpNet;
use quick_cache::UnitWeighter;
use quick_cache::sync::Cache;

use super::{Accounts, SessionKind};
use crate::domain::ids::SessionId;
use crate::domain::plan::Plan;
use crate::domain::token::Actor;
use crate::projections::index::Stamp;

/// The maximum number of callers: about 250 bytes each, and 180 for a plan with overrides.
const CAPACITY: u64 = 1 << 20;
/// The initial capacity; it grows on demand.
const EXPECTED_CALLERS: usize = 16_384;

/// The caller with a credential, in one workspace.
#[derive(Debug, Clone)]
pub struct KnownCaller {
    /// The actor.
    pub actor: Actor,
    /// The session and what carries it; `None` with an API token.
    pub session: Option<(SessionId, SessionKind)>,
    /// Whether the user is a superadmin who is signed in.
    pub is_superadmin: bool,
    /// When the token or the session was created, in milliseconds since the Unix epoch.
    pub created_at_ms: u64,
    /// When the credential expires, in milliseconds since the Unix epoch.
    pub expires_at_ms: u64,
    /// The networks from which a token is accepted; all if absent.
    pub networks: Option<Arc<[IpNet]>>,
    /// The plan of the workspace.
    pub plan: Plan,
}

/// The cache. Its keys are hashes of credentials.
pub(super) struct Callers(Cache<[u8; 32], (Stamp, KnownCaller), UnitWeighter>);

impl Default for Callers {
    fn default() -> Self {
        Self(Cache::with_weighter(EXPECTED_CALLERS, CAPACITY, UnitWeighter))
    }
}

impl Accounts {
    /// The caller that was stored under a key, if it is valid now.
    pub fn known_caller(&self, key: &[u8; 32], now_ms: u64) -> Option<KnownCaller> {
        let (stamp, caller) = self.callers.0.get(key)?;
        (now_ms < caller.expires_at_ms && self.index.is_current(&stamp)).then_some(caller)
    }

    /// Notes in a stamp that the user or workspace with this id will be read, or the token with
    /// this start of the hash of its secret: call it before.
    pub fn note(&self, stamp: &mut Stamp, id: &[u8; 16]) {
        self.index.note(stamp, id);
    }

    /// Stores a caller under a key, with the stamp of what it was derived from.
    pub fn store_caller(&self, key: [u8; 32], stamp: Stamp, caller: KnownCaller) {
        self.callers.0.insert(key, (stamp, caller));
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::commands::accounts::tests::accounts;
    use crate::commands::tests::Writer;
    use crate::commands::users_tests::id;
    use crate::domain::event::{
        AssignedPlan, Event, PlanChanged, SignInFailed, SubscriptionChange, TokenRevoked,
        UserState, WorkspaceCreated, WorkspaceDeleted,
    };
    use crate::domain::ids::{UserId, WorkspaceId};
    use crate::domain::plan::Catalogue;
    use crate::domain::plan::subscription::SubscriptionState;
    use crate::domain::token::{Abilities, Ability};

    const KEY: [u8; 32] = [9; 32];

    fn workspace() -> WorkspaceId {
        WorkspaceId::new(Uuid::from_u128(77))
    }

    /// Stores a caller of a user in the workspace.
    fn store(accounts: &Accounts, user: UserId, expires_at_ms: u64) {
        let mut stamp = Stamp::default();
        for id in [user.as_bytes(), workspace().as_bytes()] {
            accounts.note(&mut stamp, id);
        }
        let abilities = Abilities::only(Ability::LinksRead);
        let caller = KnownCaller {
            actor: Actor { abilities, ..Actor::operator(workspace()) },
            session: None,
            is_superadmin: false,
            created_at_ms: 1,
            expires_at_ms,
            networks: None,
            plan: Catalogue::default().plan_of(None),
        };
        accounts.store_caller(KEY, stamp, caller);
    }

    #[test]
    fn a_caller_is_known_until_something_about_it_changes() {
        let writer = Writer::with_users(&[1, 2]);
        let folder = tempfile::tempdir().unwrap();
        let accounts = accounts(&writer, folder.path());
        let (user, other, workspace) = (id(1), id(2), workspace());
        let store = |expires_at_ms| store(&accounts, user, expires_at_ms);
        let is_known = || accounts.known_caller(&KEY, 100).is_some();
        assert!(!is_known());
        store(100);
        assert!(!is_known(), "expired");
        store(101);
        assert!(is_known());
        // Others sign in all the time.
        let failed = SignInFailed { user: other.as_bytes().to_vec() };
        writer.log_event(WorkspaceId::new(other.uuid()), Event::SignInFailed(failed));
        assert!(is_known());
        let blocked = UserState { is_blocked: true, ..accounts.user(user).unwrap() };
        writer.log_event(WorkspaceId::new(user.uuid()), Event::UserBlocked(blocked));
        assert!(!is_known());
        store(101);
        let deleted = Event::WorkspaceDeleted(WorkspaceDeleted { purged_at_ms: 5 });
        writer.log_event(workspace, deleted);
        assert!(is_known(), "there is no such workspace");
        writer.log_event(workspace, Event::WorkspaceCreated(WorkspaceCreated::default()));
        assert!(!is_known());
        // Stored while something changed: the stamp is older than the change.
        let mut stamp = Stamp::default();
        accounts.note(&mut stamp, workspace.as_bytes());
        let deleted = Event::WorkspaceDeleted(WorkspaceDeleted { purged_at_ms: 5 });
        writer.log_event(workspace, deleted);
        store(101);
        let (_, caller) = accounts.callers.0.get(&KEY).unwrap();
        accounts.store_caller(KEY, stamp, caller);
        assert!(!is_known());
        // A rebuild at the same offset changes nothing.
        store(101);
        let revoked = TokenRevoked { token: vec![1; 16] };
        writer.log_event(WorkspaceId::new(other.uuid()), Event::TokenRevoked(revoked));
        writer.rebuild_index();
        assert!(is_known());
    }

    #[test]
    fn a_caller_is_known_until_the_plan_or_the_catalogue_changes() {
        let writer = Writer::with_users(&[1]);
        let folder = tempfile::tempdir().unwrap();
        let accounts = accounts(&writer, folder.path());
        writer.log_event(workspace(), Event::WorkspaceCreated(WorkspaceCreated::default()));
        let is_known = || accounts.known_caller(&KEY, 100).is_some();
        let subscription = Some(SubscriptionState::default());
        let change = SubscriptionChange { subscription, ..SubscriptionChange::default() };
        let plan = Some(AssignedPlan::default());
        for event in [Event::PlanChanged(PlanChanged { plan }), Event::SubscriptionExpired(change)]
        {
            store(&accounts, id(1), 101);
            assert!(is_known());
            writer.log_event(workspace(), event);
            assert!(!is_known());
        }
        store(&accounts, id(1), 101);
        writer.index.outdate_stamps();
        assert!(!is_known());
    }
}
