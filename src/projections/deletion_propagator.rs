//! The forgetter: has the click log say which links were deleted.
//!
//! The analytics follow the click log alone. So for each [`LinkDeleted`](Event::LinkDeleted) and each
//! [`LinkPurged`](Event::LinkPurged) of the log of changes a [`LinkForgotten`] is appended to the log
//! of clicks, a moment later: the clicks before it no longer count. How far that is stands in a small
//! file; where the file is lost, or the process dies before it is written, links are forgotten twice.
//!
//! **A restored link** has the clicks that come after it was forgotten. Whoever restores one waits
//! until it is in the click log that it was [forgotten](Forgotten::by): so no click of the restored
//! link is before that. And a link that was restored since is not forgotten twice, or the second time
//! would take the clicks that it got after it came back.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use prost::Message;
use tokio::sync::watch;

use super::lower_priority;
use crate::domain::amendment::LinkForgotten;
use crate::domain::click;
use crate::domain::envelope::RecordError;
use crate::domain::event::{Envelope, Event, EventKind};
use crate::log::replace_file;
use crate::log::{Log, LogError, Reader, Record};

/// How often it is looked for deleted links.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// After how many changes without a deleted link it is noted how far they were read.
const NOTE_EVERY: u64 = 10_000;
/// How many links are forgotten with one write at most.
const MAX_AT_ONCE: usize = 1_000;

/// How far the deleted links are in the click log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Progress {
    /// Each change up to this offset was looked at.
    change: u64,
    /// The last link was forgotten at this offset of the click log, or before.
    click: u64,
}

/// Tells how far the deleted links are in the click log.
#[derive(Debug, Clone)]
pub struct Forgotten(watch::Receiver<Progress>);

impl Forgotten {
    /// For those who follow a click log that no forgetter writes to.
    pub fn nothing() -> Self {
        let all = Progress { change: u64::MAX, click: 0 };
        Self(watch::Sender::new(all).subscribe())
    }

    /// Waits until each link is in the click log that was deleted by the change at an offset or
    /// before; returns an offset in the click log by which it is. `None` when that takes longer than
    /// `limit`.
    pub async fn by(&self, change: u64, limit: Duration) -> Option<u64> {
        let mut progress = self.0.clone();
        let there = progress.wait_for(|progress| progress.change >= change);
        let there = tokio::time::timeout(limit, there).await.ok()?.ok()?;
        Some(there.click)
    }
}

/// The thread that does it.
pub struct DeletionPropagator {
    stop: Sender<()>,
    thread: JoinHandle<()>,
    progress: watch::Receiver<Progress>,
}

/// What went wrong.
#[derive(Debug, thiserror::Error)]
enum ForgetError {
    #[error(transparent)]
    Log(#[from] LogError),
    #[error(transparent)]
    Record(#[from] RecordError),
    #[error("how far the deleted links are could not be noted: {0}")]
    Note(#[from] std::io::Error),
}

impl DeletionPropagator {
    /// Follows the changes from where it was, which it keeps in the folder `data`.
    pub fn start(mutations: Arc<Log>, clicks: Arc<Log>, data: &Path) -> std::io::Result<Self> {
        let file = data.join("forgotten.offset");
        let noted = std::fs::read_to_string(&file).ok().and_then(|text| text.trim().parse().ok());
        let change = noted.filter(|noted| *noted <= mutations.end()).unwrap_or(0);
        let progress = watch::Sender::new(Progress { change, click: clicks.end() });
        let receiver = progress.subscribe();
        let (stop, stopped) = channel();
        let settled = mutations.synced();
        let mut following = Following { mutations, clicks, file, noted: change, progress, settled };
        let thread = std::thread::Builder::new().name("forgetter".to_owned()).spawn(move || {
            lower_priority();
            while stopped.recv_timeout(LOOK_EVERY) == Err(RecvTimeoutError::Timeout) {
                following.look();
            }
            // The first of the two goes as far as the look before, the other one to the end.
            following.look();
            following.look();
        })?;
        Ok(Self { stop, thread, progress: receiver })
    }

    /// Tells how far it is.
    pub fn forgotten(&self) -> Forgotten {
        Forgotten(self.progress.clone())
    }

    /// Looks once more and ends.
    pub fn stop(self) {
        drop(self.stop);
        let _panicked = self.thread.join();
    }
}

struct Following {
    mutations: Arc<Log>,
    clicks: Arc<Log>,
    file: PathBuf,
    /// What stands in the file.
    noted: u64,
    progress: watch::Sender<Progress>,
    /// How far the changes were synced at the look before.
    settled: u64,
}

impl Following {
    fn look(&mut self) {
        let before = *self.progress.borrow();
        if let Err(error) = self.follow() {
            // It is tried again at the next look; a full disk may have room by then.
            tracing::warn!(%error, "deleted links are not in the click log yet");
        }
        let now = *self.progress.borrow();
        if now.change - self.noted.min(now.change) >= NOTE_EVERY || now.click != before.click {
            match replace_file(&self.file, now.change.to_string().as_bytes()) {
                Ok(()) => self.noted = now.change,
                Err(error) => {
                    tracing::warn!(error = %ForgetError::Note(error), "links may be forgotten twice");
                }
            }
        }
    }

    /// Goes as far as the changes were synced at the look before: others may never have been, and
    /// redirects may go by the index as it was for some milliseconds after that. Clicks of visits
    /// that were under way then are in the log by now, before what is appended here.
    fn follow(&mut self) -> Result<(), ForgetError> {
        let through = std::mem::replace(&mut self.settled, self.mutations.synced());
        let from = self.progress.borrow().change + 1;
        if through < from {
            return Ok(());
        }
        let restored = restored(self.mutations.read_from(from)?, through)?;
        let mut reader = self.mutations.read_from(from)?;
        while reader.next_offset() <= through {
            let found = deleted(&mut reader, through, &restored)?;
            let (change, mut click) = (reader.next_offset() - 1, self.progress.borrow().click);
            if !found.is_empty() {
                let kind = click::kind::LINK_FORGOTTEN;
                click = self.clicks.append_payloads(kind, click::VERSION, &found)?;
                // What is noted as done has to outlast a power failure.
                self.clicks.sync()?;
            }
            self.progress.send_replace(Progress { change, click });
        }
        Ok(())
    }
}

/// Workspace and event of a change.
fn event_of(record: &Record) -> Result<(Vec<u8>, Event), ForgetError> {
    let of = (record.offset, record.kind, record.version);
    let envelope = Envelope::of_record(of, &record.payload)?;
    let event = envelope.event.ok_or(RecordError::Malformed(record.offset))?;
    Ok((envelope.workspace, event))
}

/// Which links were restored by the changes up to an offset, and where the last time.
fn restored(mut reader: Reader, through: u64) -> Result<HashMap<Vec<u8>, u64>, ForgetError> {
    let mut restored = HashMap::new();
    while reader.next_offset() <= through {
        let Some(record) = reader.next_record()? else { break };
        if record.kind == EventKind::LinkRestored.number() {
            restored.insert(event_of(&record)?.1.subject().to_vec(), record.offset);
        }
    }
    Ok(restored)
}

/// The encoded records of some deleted links, in the changes up to an offset.
fn deleted(
    reader: &mut Reader,
    through: u64,
    restored: &HashMap<Vec<u8>, u64>,
) -> Result<Vec<Vec<u8>>, ForgetError> {
    let mut found = Vec::new();
    while reader.next_offset() <= through && found.len() < MAX_AT_ONCE {
        let Some(record) = reader.next_record()? else { break };
        let kind = EventKind::of_number(record.kind);
        if !matches!(kind, Some(EventKind::LinkDeleted | EventKind::LinkPurged)) {
            continue;
        }
        let (workspace, event) = event_of(&record)?;
        // A purged link never comes back.
        let through_version = match &event {
            Event::LinkDeleted(deleted) => deleted.version,
            _purged => Some(u32::MAX),
        };
        let link = event.subject().to_vec();
        // It was forgotten before it was restored.
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
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::domain::event::{LinkDeleted, LinkState, VERSION, WorkspaceCreated};
    use crate::log::{DiskStorage, LogOptions};

    const PATIENCE: Duration = Duration::from_secs(20);

    fn log(folder: &Path) -> Arc<Log> {
        Arc::new(Log::open(Arc::new(DiskStorage), folder, LogOptions::default()).unwrap())
    }

    fn append(log: &Log, event: Event) -> u64 {
        let kind = event.kind().number();
        let envelope =
            Envelope { workspace: vec![7; 16], event: Some(event), ..Envelope::default() };
        let payload = envelope.encode_to_vec();
        let offset = log.append_payloads(kind, VERSION, &[payload]).unwrap();
        log.sync().unwrap();
        offset
    }

    /// The links that a click log says are forgotten.
    fn forgotten(log: &Log) -> Vec<u8> {
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
        let deleted = |link| {
            Event::LinkDeleted(LinkDeleted { link: vec![link; 16], ..LinkDeleted::default() })
        };
        let start = || {
            let (mutations, clicks) = (Arc::clone(&mutations), Arc::clone(&clicks));
            DeletionPropagator::start(mutations, clicks, folder.path()).unwrap()
        };
        append(&mutations, Event::WorkspaceCreated(WorkspaceCreated::default()));
        append(&mutations, deleted(1));
        let forgetter = start();
        let change = append(&mutations, deleted(2));
        let click = forgetter.forgotten().by(change, PATIENCE).await.unwrap();
        assert_eq!((click, forgotten(&clicks)), (2, vec![1, 2]));
        assert_eq!(forgetter.forgotten().by(change + 1, Duration::ZERO).await, None);
        forgetter.stop();

        start().stop();
        assert_eq!(forgotten(&clicks), [1, 2], "it knows how far it was");
        std::fs::remove_file(folder.path().join("forgotten.offset")).unwrap();
        append(&mutations, deleted(3));
        start().stop();
        assert_eq!(forgotten(&clicks), [1, 2, 1, 2, 3]);
    }

    #[tokio::test]
    async fn a_link_that_was_restored_is_not_forgotten_twice() {
        let folder = tempfile::tempdir().unwrap();
        let [mutations, clicks] = ["m", "c"].map(|name| log(&folder.path().join(name)));
        let deleted = |link| {
            Event::LinkDeleted(LinkDeleted { link: vec![link; 16], ..LinkDeleted::default() })
        };
        let start = || {
            let (mutations, clicks) = (Arc::clone(&mutations), Arc::clone(&clicks));
            DeletionPropagator::start(mutations, clicks, folder.path()).unwrap()
        };
        let forgetter = start();
        append(&mutations, deleted(1));
        let change = append(&mutations, deleted(2));
        forgetter.forgotten().by(change, PATIENCE).await.unwrap();
        let state = LinkState { id: vec![1; 16], ..LinkState::default() };
        append(&mutations, Event::LinkRestored(state));
        forgetter.stop();
        std::fs::remove_file(folder.path().join("forgotten.offset")).unwrap();
        start().stop();
        assert_eq!(forgotten(&clicks), [1, 2, 2]);
        append(&mutations, deleted(1));
        start().stop();
        assert_eq!(forgotten(&clicks), [1, 2, 2, 1], "deleted again");
    }
}
