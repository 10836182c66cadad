//! Open reports. A resolved report is removed from the index, and stays in the log.

use std::ops::Bound;

use prost::Message;

use super::encoding::decode_report;
use super::read::Read;
use super::state::State;
use super::{Index, IndexError, keys, store};
use crate::domain::error::Unreadable;
use crate::domain::ids::{LinkId, ReportId, WorkspaceId};
use crate::domain::report::{LinkReported, Report};

/// Folds a report.
pub fn add<S: State>(
    state: &mut S,
    workspace: WorkspaceId,
    at_ms: u64,
    report: &LinkReported,
) -> Result<(), IndexError> {
    let id = ReportId::from_bytes(&report.id).map_err(|_| Unreadable("report id"))?;
    let link = LinkId::from_bytes(&report.link).map_err(|_| Unreadable("link id"))?;
    let mut value = at_ms.to_be_bytes().to_vec();
    value.extend(report.encode_to_vec());
    state.put(keys::report(workspace, id), value);
    count(state, link, 1)
}

/// Folds the resolution of a report.
pub fn remove<S: State>(
    state: &mut S,
    workspace: WorkspaceId,
    report: &[u8],
) -> Result<(), IndexError> {
    let id = ReportId::from_bytes(report).map_err(|_| Unreadable("report id"))?;
    let Some(report) = state.report(workspace, id)? else { return Ok(()) };
    state.remove(keys::report(workspace, id));
    count(state, report.link, -1)
}

fn count<S: State>(state: &mut S, link: LinkId, change: i64) -> Result<(), IndexError> {
    let key = keys::open_reports(link);
    match state.open_reports(link)?.saturating_add_signed(change) {
        0 => state.remove(key),
        open => state.put(key, open.to_be_bytes().to_vec()),
    }
    Ok(())
}

impl Index {
    /// A workspace's open reports before `before`, newest first.
    pub fn reports(
        &self,
        workspace: WorkspaceId,
        before: Option<ReportId>,
        limit: usize,
    ) -> Result<Vec<Report>, IndexError> {
        let before = before.map(|id| keys::report(workspace, id));
        let (from, end) = store::prefixed(&keys::reports_of(workspace));
        let layers = self.layers.load();
        let rows = layers.rows((from, before.map_or(end, Bound::Excluded)), true).take(limit);
        let reports = rows.map(|row| decode_report(workspace, &row?.1));
        reports.collect::<Result<_, _>>().map_err(|error| self.report_damage(error))
    }
}
