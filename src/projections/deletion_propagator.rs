//! Propagates link deletions to the click log.
//!
//! Analytics follow the click log alone. So for each [`LinkDeleted`](Event::LinkDeleted) and
//! [`LinkPurged`](Event::LinkPurged) in the mutation log, a [`LinkForgotten`] is appended to the
//! click log a moment later: the link's earlier clicks no longer count. The progress is stored in a
//! small file; if the file is lost, or the process dies before it is written, deletions are
//! propagated twice.
//!
//! **A restored link** keeps the clicks after its `LinkForgotten`. A restore waits until the
//! deletion is [in the click log](DeletionWatch::by), so all clicks of the restored link come after
//! it. The deletion of a link that has been restored since is not propagated again: that would
//! remove the clicks after the restore.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use prost::Message;
use tokio::sync::watch;

use crate::domain::amendment::LinkForgotten;
use crate::domain::click;
use crate::domain::envelope::RecordError;
use crate::domain::event::{Envelope, Event, EventKind};
use crate::log::{Log, LogError, Reader, Record, Schedule, Subscription, Worker, replace_file};

/// The pause between two passes.
const INTERVAL: Duration = Duration::from_millis(100);
/// The progress is saved after this many mutations without a deleted link.
const SAVE_EVERY: u64 = 10_000;
/// The maximum number of deletions per write.
const MAX_AT_ONCE: usize = 1_000;

/// The progress of the propagation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Progress {
    /// All mutations up to this offset are processed.
    change: u64,
    /// The last deletion is at this offset of the click log, or before.
    click: u64,
}

/// A handle to wait for the propagation.
#[derive(Debug, Clone)]
pub struct DeletionWatch(watch::Receiver<Progress>);

impl DeletionWatch {
    /// For readers of a click log without a propagator.
    pub fn nothing() -> Self {
        let all = Progress { change: u64::MAX, click: 0 };
        Self(watch::Sender::new(all).subscribe())
    }

    /// Waits until all deletions up to a mutation's offset are in the click log. Returns an offset
    /// of the click log at or after them; `None` after `limit`.
    pub async fn by(&self, change: u64, limit: Duration) -> Option<u64> {
        let mut progress = self.0.clone();
        let progress = progress.wait_for(|progress| progress.change >= change);
        let progress = tokio::time::timeout(limit, progress).await.ok()?.ok()?;
        Some(progress.click)
    }
}

/// Why the propagation failed.
#[derive(Debug, thiserror::Error)]
enum PropagateError {
    #[error(transparent)]
    Log(#[from] LogError),
    #[error(transparent)]
    Record(#[from] RecordError),
    #[error("cannot save the progress: {0}")]
    Save(#[from] std::io::Error),
}

/// Follows the mutation log.
pub struct DeletionPropagator {
    mutations: Subscription,
    clicks: Arc<dyn Log>,
    file: PathBuf,
    /// The progress at the last save.
    saved: Progress,
    progress: watch::Sender<Progress>,
    /// The end of the synced mutations at the previous pass.
    synced_before: u64,
}

impl DeletionPropagator {
    /// Resumes from the progress saved in the folder `data`.
    pub fn start(
        mutations: &Arc<dyn Log>,
        clicks: Arc<dyn Log>,
        data: &Path,
    ) -> std::io::Result<(Worker, DeletionWatch)> {
        let file = data.join("forgotten.offset");
        let saved = std::fs::read_to_string(&file).ok().and_then(|text| text.trim().parse().ok());
        let change = saved.filter(|saved| *saved <= mutations.end()).unwrap_or(0);
        let saved = Progress { change, click: clicks.end() };
        let progress = watch::Sender::new(saved);
        let forgotten = DeletionWatch(progress.subscribe());
        let synced_before = mutations.synced();
        let mutations = mutations.subscribe("link-deletions", change);
        let mut propagator = Self { mutations, clicks, file, saved, progress, synced_before };
        let schedule = Schedule { is_low_priority: true, ..Schedule::every(INTERVAL) };
        let worker =
            Worker::start("deletions", schedule, move |stop| propagator.run(stop.is_set()))?;
        Ok((worker, forgotten))
    }

    /// Processes the mutations that were synced at the previous pass: later ones may be lost, and
    /// redirects may use the previous index for some milliseconds. Clicks of visits in flight at
    /// that time are in the log by now, before what is appended here. The last pass processes all,
    /// because there are no more visits.
    fn run(&mut self, is_last: bool) -> Result<(), PropagateError> {
        let synced = self.mutations.log.synced();
        let before = std::mem::replace(&mut self.synced_before, synced);
        let propagated = self.propagate(if is_last { synced } else { before });
        self.save_if_due()?;
        propagated
    }

    fn propagate(&mut self, through: u64) -> Result<(), PropagateError> {
        if through <= self.mutations.cursor() {
            return Ok(());
        }
        let restored = restored(self.mutations.reader()?, through)?;
        let mut reader = self.mutations.reader()?;
        while reader.next_offset() <= through {
            let found = deleted(&mut reader, through, &restored)?;
            let (change, mut click) = (reader.next_offset() - 1, self.progress.borrow().click);
            if !found.is_empty() {
                let kind = click::kind::LINK_FORGOTTEN;
                click = self.clicks.append_payloads(kind, click::VERSION, &found)?;
                // Sync before the progress is saved.
                self.clicks.sync()?;
            }
            self.mutations.advance(change);
            self.progress.send_replace(Progress { change, click });
        }
        Ok(())
    }

    fn save_if_due(&mut self) -> Result<(), PropagateError> {
        let now = *self.progress.borrow();
        if now.change - self.saved.change >= SAVE_EVERY || now.click != self.saved.click {
            replace_file(&self.file, now.change.to_string().as_bytes())?;
            self.saved = now;
        }
        Ok(())
    }
}

/// The workspace and event of a mutation.
fn event_of(record: &Record) -> Result<(Vec<u8>, Event), PropagateError> {
    let of = (record.offset, record.kind, record.version);
    let envelope = Envelope::of_record(of, &record.payload)?;
    let event = envelope.event.ok_or(RecordError::Malformed(record.offset))?;
    Ok((envelope.workspace, event))
}

/// The links restored by the mutations up to an offset, each with the offset of its last restore.
fn restored(mut reader: Reader, through: u64) -> Result<HashMap<Vec<u8>, u64>, PropagateError> {
    let mut restored = HashMap::new();
    while let Some(record) = reader.next_through(through)? {
        if record.kind == EventKind::LinkRestored.number() {
            restored.insert(event_of(&record)?.1.subject().to_vec(), record.offset);
        }
    }
    Ok(restored)
}

/// The encoded records of some deleted links, from the mutations up to an offset.
fn deleted(
    reader: &mut Reader,
    through: u64,
    restored: &HashMap<Vec<u8>, u64>,
) -> Result<Vec<Vec<u8>>, PropagateError> {
    let mut found = Vec::new();
    while found.len() < MAX_AT_ONCE
        && let Some(record) = reader.next_through(through)?
    {
        let kind = EventKind::of_number(record.kind);
        if !matches!(kind, Some(EventKind::LinkDeleted | EventKind::LinkPurged)) {
            continue;
        }
        let (workspace, event) = event_of(&record)?;
        // A purged link cannot be restored.
        let through_version = match &event {
            Event::LinkDeleted(deleted) => deleted.version,
            _purged => Some(u32::MAX),
        };
        let link = event.subject().to_vec();
        // It was propagated before the restore.
        if restored.get(&link).is_some_and(|restored| *restored > record.offset) {
            continue;
        }
        let at_ms = jiff::Timestamp::now().as_millisecond().cast_unsigned();
        found.push(LinkForgotten { at_ms, workspace, link, through_version }.encode_to_vec());
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::event::{LinkDeleted, LinkState, VERSION, WorkspaceCreated};
    use crate::log::{DiskStorage, LocalLog, LogOptions};

    const PATIENCE: Duration = Duration::from_secs(20);

    fn log(folder: &Path) -> Arc<dyn Log> {
        Arc::new(LocalLog::open(Arc::new(DiskStorage), folder, LogOptions::default()).unwrap())
    }

    fn append(log: &dyn Log, event: Event) -> u64 {
        let kind = event.kind().number();
        let envelope =
            Envelope { workspace: vec![7; 16], event: Some(event), ..Envelope::default() };
        let payload = envelope.encode_to_vec();
        let offset = log.append_payloads(kind, VERSION, &[payload]).unwrap();
        log.sync().unwrap();
        offset
    }

    fn deleted(link: u8) -> Event {
        Event::LinkDeleted(LinkDeleted { link: vec![link; 16], ..LinkDeleted::default() })
    }

    /// The links of the `LinkForgotten` records in a click log.
    fn forgotten(log: &dyn Log) -> Vec<u8> {
        let mut reader = log.read_from(0).unwrap();
        let records = std::iter::from_fn(|| reader.next_record().unwrap());
        let links = records.map(|record| {
            assert_eq!(record.kind, click::kind::LINK_FORGOTTEN);
            LinkForgotten::decode(record.payload.as_ref()).unwrap()
        });
        links.inspect(|one| assert_eq!(one.workspace, [7; 16])).map(|one| one.link[0]).collect()
    }

    #[tokio::test]
    async fn each_deleted_link_is_forgotten_once_or_again_where_its_note_is_lost() {
        let folder = tempfile::tempdir().unwrap();
        let [mutations, clicks] = ["m", "c"].map(|name| log(&folder.path().join(name)));
        let start =
            || DeletionPropagator::start(&mutations, Arc::clone(&clicks), folder.path()).unwrap();
        append(&*mutations, Event::WorkspaceCreated(WorkspaceCreated::default()));
        append(&*mutations, deleted(1));
        let (worker, forgotten_links) = start();
        let change = append(&*mutations, deleted(2));
        let click = forgotten_links.by(change, PATIENCE).await.unwrap();
        assert_eq!((click, forgotten(&*clicks)), (2, vec![1, 2]));
        assert_eq!(forgotten_links.by(change + 1, Duration::ZERO).await, None);
        worker.stop();

        start().0.stop();
        assert_eq!(forgotten(&*clicks), [1, 2], "the progress is saved");
        std::fs::remove_file(folder.path().join("forgotten.offset")).unwrap();
        append(&*mutations, deleted(3));
        start().0.stop();
        assert_eq!(forgotten(&*clicks), [1, 2, 1, 2, 3]);
    }

    #[tokio::test]
    async fn a_link_that_was_restored_is_not_forgotten_twice() {
        let folder = tempfile::tempdir().unwrap();
        let [mutations, clicks] = ["m", "c"].map(|name| log(&folder.path().join(name)));
        let start =
            || DeletionPropagator::start(&mutations, Arc::clone(&clicks), folder.path()).unwrap();
        let (worker, forgotten_links) = start();
        append(&*mutations, deleted(1));
        let change = append(&*mutations, deleted(2));
        forgotten_links.by(change, PATIENCE).await.unwrap();
        let state = LinkState { id: vec![1; 16], ..LinkState::default() };
        append(&*mutations, Event::LinkRestored(state));
        worker.stop();
        std::fs::remove_file(folder.path().join("forgotten.offset")).unwrap();
        start().0.stop();
        assert_eq!(forgotten(&*clicks), [1, 2, 2]);
        append(&*mutations, deleted(1));
        start().0.stop();
        assert_eq!(forgotten(&*clicks), [1, 2, 2, 1], "deleted again");
    }
}
