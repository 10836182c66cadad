//! The plan: the progress of the projection, and the batch that is being sent.
//!
//! One small file beside the log, replaced atomically and durably *before* a batch is sent. It is
//! the only record of a batch's bounds, and so of its deduplication token. A plan of another
//! database instance or generation is ignored.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::ProjectionError;
use super::generation::Generation;
use crate::log::replace_file;

/// A range of offsets that is sent together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// The month of all its clicks, as `202611`: ClickHouse's partition.
    pub month: u32,
    /// The first offset.
    pub first: u64,
    /// The last offset, inclusive.
    pub last: u64,
}

impl Batch {
    /// The batch's deduplication token.
    pub fn token(&self, log_id: [u8; 16], table: &str) -> String {
        let log_id = Uuid::from_bytes(log_id).simple();
        format!("{log_id}-{table}-{}-{}-{}", self.month, self.first, self.last)
    }
}

/// The progress of the projection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// The database instance.
    pub instance: Uuid,
    /// The generation of the tables.
    #[serde(default = "first_generation")]
    pub generation: u32,
    /// All records up to and including this offset are in ClickHouse.
    pub applied: u64,
    /// A batch that was being sent; it may have arrived.
    pub sending: Option<Batch>,
}

const fn first_generation() -> u32 {
    Generation::FIRST.number()
}

impl Plan {
    /// The last offset that was sent, whether it arrived or not.
    pub fn planned(&self) -> u64 {
        self.sending.map_or(self.applied, |batch| batch.last)
    }
}

/// The file that holds the plan.
#[derive(Debug, Clone)]
pub struct PlanFile(PathBuf);

impl PlanFile {
    pub fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// The plan, if there is one for this generation of this instance.
    pub fn read(
        &self,
        instance: Uuid,
        generation: Generation,
    ) -> Result<Option<Plan>, ProjectionError> {
        let text = match std::fs::read(&self.0) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(ProjectionError::Plan(self.0.clone(), error)),
        };
        // It is replaced atomically, so an unreadable file was damaged by something else. Guessing
        // might count clicks twice.
        let plan: Plan = serde_json::from_slice(&text)
            .map_err(|error| ProjectionError::Plan(self.0.clone(), error.into()))?;
        let is_of_these = plan.instance == instance && plan.generation == generation.number();
        Ok(is_of_these.then_some(plan))
    }

    /// Replaces the plan; it is on disk when this returns.
    pub fn write(&self, plan: &Plan) -> Result<(), ProjectionError> {
        let replaced = serde_json::to_vec(plan).map_err(std::io::Error::from);
        let replaced = replaced.and_then(|text| replace_file(&self.0, &text));
        replaced.map_err(|error| ProjectionError::Plan(self.0.clone(), error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> Plan {
        Plan {
            instance: Uuid::from_u128(1),
            generation: 1,
            applied: 7,
            sending: Some(Batch { month: 202_611, first: 8, last: 20 }),
        }
    }

    #[test]
    fn a_plan_reads_back_for_its_own_tables_only() {
        let folder = tempfile::tempdir().unwrap();
        let file = PlanFile::new(folder.path().join("plan.json"));
        let (plan, first) = (plan(), Generation::FIRST);
        assert_eq!(file.read(plan.instance, first).unwrap(), None);
        file.write(&plan).unwrap();
        assert_eq!(file.read(plan.instance, first.next()).unwrap(), None);
        assert_eq!(file.read(Uuid::from_u128(2), first).unwrap(), None);
        assert_eq!(file.read(plan.instance, first).unwrap(), Some(plan));
    }

    #[test]
    fn a_damaged_plan_is_an_error_and_not_a_fresh_start() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("plan.json");
        std::fs::write(&path, b"{\"instance\":").unwrap();
        assert!(PlanFile::new(path).read(Uuid::from_u128(1), Generation::FIRST).is_err());
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
