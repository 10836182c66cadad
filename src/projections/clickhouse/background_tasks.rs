//! What goes on while ClickHouse is there, beside the batches.

use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::ProjectionError;
use super::generation::Generation;
use super::operator::Refused;
use super::rebuild::Rebuild;
use super::reconcile::Reconciliation;
use super::removal::Removal;
use super::session::Session;
use super::status::{Watermarks, now_ms};

/// How long the tables that a rebuild has replaced are kept, for the questions that were put to
/// them before: longer than any question may take.
const RETIRED_KEPT: Duration = Duration::from_secs(60);
/// How long it takes until an amendment that failed is tried again.
const AMEND_AGAIN_AFTER: Duration = Duration::from_secs(60);

/// What goes on while ClickHouse is there.
pub struct BackgroundTasks {
    /// The tables that are followed.
    pub session: Session,
    /// A rebuild under way.
    pub rebuild: Option<Rebuild>,
    /// A removal under way.
    pub removal: Option<Removal>,
    /// When the next removal may begin, and the next rebuild that nobody has asked for.
    amend_after: Instant,
    /// Tables that are no longer in use, and when they go.
    retired: Option<(Generation, Instant)>,
    /// What the check after the start will find.
    pub check: Option<oneshot::Receiver<Result<Reconciliation, Refused>>>,
    /// By which it is known how far behind the log the tables are.
    pub watermarks: Watermarks,
}

impl BackgroundTasks {
    /// Nothing but these tables, so far.
    pub fn of(session: Session) -> Self {
        let (rebuild, removal, retired, check) = (None, None, None, None);
        let watermarks = Watermarks::default();
        Self { session, rebuild, removal, amend_after: Instant::now(), retired, check, watermarks }
    }

    /// Whether amendments may begin to be carried out: not too soon after one has failed.
    pub fn may_amend(&self) -> bool {
        Instant::now() >= self.amend_after
    }

    /// One has failed.
    pub fn amend_later(&mut self) {
        self.amend_after = Instant::now() + AMEND_AGAIN_AFTER;
    }

    /// Begins to remove the clicks of forgotten links, if it is time and none is under way.
    pub async fn begin_removal(&mut self) {
        if self.removal.is_none() {
            let begun = self.session.begin_removal(now_ms()).await;
            self.removal = self.or_later(begun).flatten();
        }
    }

    /// Goes on with a removal, if one is under way.
    pub async fn remove_on(&mut self) {
        let Some(mut removal) = self.removal.take() else { return };
        let stepped = self.session.remove_on(&mut removal).await;
        if self.or_later(stepped) == Some(false) {
            self.removal = Some(removal);
        }
    }

    /// Goes on with it to its end.
    pub async fn finish_removal(&mut self) {
        while self.removal.is_some() {
            self.remove_on().await;
        }
    }

    /// A removal that goes wrong is taken up later; clicks go on, unless ClickHouse is away.
    fn or_later<T>(&mut self, result: Result<T, ProjectionError>) -> Option<T> {
        result
            .inspect_err(|error| {
                tracing::error!(%error, "the clicks of deleted links could not be removed; no answer counts them");
                self.amend_later();
            })
            .ok()
    }

    /// Drops replaced tables at once.
    pub async fn retire_now(&mut self) -> Result<(), ProjectionError> {
        let Some((generation, _)) = self.retired.take() else { return Ok(()) };
        generation.drop_tables(self.session.client()).await
    }

    /// These tables are no longer in use.
    pub fn retire(&mut self, generation: Generation) {
        self.retired = Some((generation, Instant::now() + RETIRED_KEPT));
    }

    /// Drops replaced tables once nobody can be reading them.
    pub async fn drop_retired(&mut self) -> Result<(), ProjectionError> {
        match self.retired {
            Some((_, at)) if Instant::now() >= at => self.retire_now().await,
            _ => Ok(()),
        }
    }
}
