//! The plan: how far the projection is, and the batch that is on its way.
//!
//! One small file beside the log, replaced whole (temporary file, sync, rename, sync of the
//! folder) *before* a batch is sent. It is the only memory of a batch's bounds, and so of its
//! deduplication token. A plan of another database instance counts for nothing.

use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::ProjectionError;

/// A range of offsets that are sent together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// The month that all of its clicks are of, as `202611`: ClickHouse's partition.
    pub month: u32,
    /// The first offset.
    pub first: u64,
    /// The last offset, inclusive.
    pub last: u64,
}

impl Batch {
    /// What ClickHouse knows the batch by.
    pub fn token(&self, log_id: [u8; 16], table: &str) -> String {
        let log_id = Uuid::from_bytes(log_id).simple();
        format!("{log_id}-{table}-{}-{}-{}", self.month, self.first, self.last)
    }
}

/// How far the projection is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// The database instance that this speaks of.
    pub instance: Uuid,
    /// All up to and with this offset is in ClickHouse.
    pub applied: u64,
    /// A batch that was being sent; it may be there or not.
    pub sending: Option<Batch>,
}

impl Plan {
    /// The last offset that was sent, whether it arrived or not.
    pub fn planned(&self) -> u64 {
        self.sending.map_or(self.applied, |batch| batch.last)
    }
}

/// The file that holds the plan.
pub struct PlanFile(PathBuf);

impl PlanFile {
    pub fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// The plan, if there is one for this instance.
    pub fn read(&self, instance: Uuid) -> Result<Option<Plan>, ProjectionError> {
        let text = match std::fs::read(&self.0) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(ProjectionError::Plan(self.0.clone(), error)),
        };
        // It is replaced whole, so an unreadable one was damaged by somebody else. To guess at
        // it might count clicks twice.
        let plan: Plan = serde_json::from_slice(&text)
            .map_err(|error| ProjectionError::Plan(self.0.clone(), error.into()))?;
        Ok((plan.instance == instance).then_some(plan))
    }

    /// Replaces the plan; it is on disk when this returns.
    pub fn write(&self, plan: &Plan) -> Result<(), ProjectionError> {
        self.replace(plan).map_err(|error| ProjectionError::Plan(self.0.clone(), error))
    }

    fn replace(&self, plan: &Plan) -> std::io::Result<()> {
        let folder = self.0.parent().unwrap_or_else(|| Path::new("."));
        let temporary = self.0.with_extension("new");
        let mut file = std::fs::File::create(&temporary)?;
        file.write_all(&serde_json::to_vec(plan)?)?;
        file.sync_data()?;
        std::fs::rename(&temporary, &self.0)?;
        std::fs::File::open(folder)?.sync_all()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_plan_reads_back_for_its_own_instance_only() {
        let folder = tempfile::tempdir().unwrap();
        let file = PlanFile::new(folder.path().join("plan.json"));
        let plan = Plan {
            instance: Uuid::from_u128(1),
            applied: 7,
            sending: Some(Batch { month: 202_611, first: 8, last: 20 }),
        };
        assert_eq!(file.read(plan.instance).unwrap(), None);
        file.write(&plan).unwrap();
        assert_eq!(file.read(plan.instance).unwrap(), Some(plan));
        assert_eq!(file.read(Uuid::from_u128(2)).unwrap(), None);
    }

    #[test]
    fn a_damaged_plan_is_an_error_and_not_a_fresh_start() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("plan.json");
        std::fs::write(&path, b"{\"instance\":").unwrap();
        assert!(PlanFile::new(path).read(Uuid::from_u128(1)).is_err());
    }

    #[test]
    fn tokens_name_table_and_bounds() {
        let batch = Batch { month: 202_611, first: 8, last: 20 };
        let token = batch.token([1; 16], "clicks");
        assert!(token.ends_with("-clicks-202611-8-20"), "{token}");
        assert_ne!(token, batch.token([1; 16], "agents"));
        assert_ne!(token, batch.token([2; 16], "clicks"));
    }
}
