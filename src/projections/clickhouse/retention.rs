//! Retention: drops old segments of the click log once ClickHouse has their clicks durably.
//!
//! A segment may be dropped if all its clicks are older than the retention, are in ClickHouse and
//! on its disk (the tables sync each insert and each merge), and a reconciliation up to there found
//! no differences. Dropped clicks are tallied first, so that ClickHouse can still be compared with
//! the log; and a rebuild copies them from the tables in use, the only ones that have them.

use std::sync::Arc;
use std::time::Duration;

use super::ProjectionError;
use super::batches::record_time;
use super::operator::Operator;
use super::reconcile::{Extent, TallyFiles};
use super::status::{Status, now_ms};
use crate::log::{Log, RecordBatch};
use crate::projections::{OperatorError, RebuildState};

/// Why nothing was dropped.
#[derive(Debug, thiserror::Error)]
enum NotDropped {
    #[error(transparent)]
    Operator(#[from] OperatorError),
    #[error(transparent)]
    Projection(#[from] ProjectionError),
    #[error("cannot write the tally of dropped clicks: {0}")]
    Tally(#[from] std::io::Error),
    #[error("ClickHouse differs from the log in {0} months")]
    Differs(usize),
}

/// Drops old clicks from the log.
pub struct Retention {
    log: Arc<dyn Log>,
    files: TallyFiles,
    status: Arc<Status>,
    operator: Operator,
    /// The minimum age of dropped clicks.
    age: Duration,
}

impl Retention {
    pub(super) const fn new(
        log: Arc<dyn Log>,
        files: TallyFiles,
        status: Arc<Status>,
        operator: Operator,
        age: Duration,
    ) -> Self {
        Self { log, files, status, operator, age }
    }

    /// Drops old segments.
    pub async fn run(&self) {
        if let Err(error) = self.drop_old().await {
            tracing::warn!(%error, "cannot drop old clicks from the log");
        }
    }

    async fn drop_old(&self) -> Result<(), NotDropped> {
        if matches!(self.operator.rebuild_state(), RebuildState::Running { .. }) {
            // It reads the log from the start.
            return Ok(());
        }
        let Some(through) = self.old_through()? else { return Ok(()) };
        let found = self.operator.reconcile(Extent::SinceLast).await?;
        let differences = found.differences();
        if differences > 0 {
            return Err(NotDropped::Differs(differences));
        }
        let mut tally = self.files.dropped(&*self.log);
        tally.extend(&*self.log, through)?;
        self.files.write_dropped(&tally)?;
        self.log.drop_before(through + 1).map_err(ProjectionError::Log)?;
        Ok(())
    }

    /// The last offset of the segments that are old enough and projected; `None` if there are none.
    fn old_through(&self) -> Result<Option<u64>, ProjectionError> {
        let age_ms = u64::try_from(self.age.as_millis()).unwrap_or(u64::MAX);
        let (before_ms, applied) = (now_ms().saturating_sub(age_ms), self.status.applied());
        let mut old = None;
        for sealed in self.log.sealed_segments() {
            if sealed.last > applied || self.time_of(sealed.last)? >= before_ms {
                break;
            }
            old = Some(sealed.last);
        }
        Ok(old)
    }

    fn time_of(&self, offset: u64) -> Result<u64, ProjectionError> {
        let mut records = RecordBatch::default();
        self.log
            .read_from(offset)?
            .read_batch(&mut records, |record| Ok::<_, ProjectionError>(record.offset == offset))?;
        let record = records.iter().next().ok_or(ProjectionError::Unreadable(offset))?;
        record_time(&record)
    }
}
