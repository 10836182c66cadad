//! The index: the mutation log folded into sled, and the memory before it that answers
//! redirects.
//!
//! **Invariants.** The offset of the last applied event is written in the same batch as what
//! that event changed, so the index is always exactly the fold of a prefix of the log. Whatever
//! is wrong with it (absent, unreadable, of another log, ahead of the log, of another layout),
//! it is rebuilt from the log while it is opened, to the same [digest](Index::digest).

mod cache;
mod keys;
mod pending;
mod read;
mod store;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use prost::Message;
use sha2::{Digest, Sha256};

pub use cache::Redirect;
pub use pending::{IDEMPOTENCY_MS, Pending};
pub use read::Read;

use crate::domain::event::{Envelope, Unreadable};
use crate::domain::ids::{LinkId, WorkspaceId};
use crate::domain::link::Link;
use crate::domain::token::Token;
use crate::log::{Log, LogError};
use store::{Sled, Store};

/// How many keys one batch of a rebuild holds at most.
const REBUILD_BATCH_KEYS: usize = 4_096;

/// What goes wrong with the index.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// The store refused.
    #[error("the index's store failed: {0}")]
    Store(#[from] sled::Error),
    /// The store's folder could not be handled.
    #[error("the index's folder {0}: {1}")]
    Io(PathBuf, std::io::Error),
    /// The index holds what it never writes.
    #[error("the index is broken: {0}")]
    Broken(&'static str),
    /// A value is no protobuf message.
    #[error("the index or its log holds an unreadable message: {0}")]
    Decode(#[from] prost::DecodeError),
    /// A message makes no sense.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// The log behind it failed.
    #[error(transparent)]
    Log(#[from] LogError),
}

/// The index. Many read it; the dispatcher alone writes.
pub struct Index {
    store: Box<dyn Store>,
    redirects: cache::Redirects,
    applied: AtomicU64,
}

impl Read for Index {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, IndexError> {
        self.store.get(key)
    }
}

impl Index {
    /// Opens the index in `folder` and brings it up to the end of `log`.
    pub fn open(folder: &Path, log: &Log) -> Result<Self, IndexError> {
        let mut store = Sled::open_or_put_aside(folder)?;
        match Origin::of(&store, log)? {
            Origin::ThisLog => {}
            Origin::Nothing => mark_origin(&store, log)?,
            Origin::Other(reason) => {
                tracing::warn!(reason, "the index is rebuilt from the log");
                drop(store);
                store::put_aside(folder).and_then(|aside| {
                    std::fs::remove_dir_all(&aside).map_err(|error| IndexError::Io(aside, error))
                })?;
                store = Sled::open_or_put_aside(folder)?;
                mark_origin(&store, log)?;
            }
        }
        let applied = store.get(keys::APPLIED)?.as_deref().map_or(0, read::number);
        let index = Self {
            store: Box::new(store),
            redirects: cache::Redirects::new(),
            applied: AtomicU64::new(applied),
        };
        index.catch_up(log)?;
        Ok(index)
    }

    /// Applies what the log has beyond the applied offset.
    fn catch_up(&self, log: &Log) -> Result<(), IndexError> {
        let from = self.applied() + 1;
        if from > log.end() {
            return Ok(());
        }
        let mut reader = log.read_from(from)?;
        let mut pending = self.begin();
        let mut last = self.applied();
        while let Some(record) = reader.next_record()? {
            pending.apply(&Envelope::decode(record.payload.as_ref())?)?;
            last = record.offset;
            if pending.len() >= REBUILD_BATCH_KEYS {
                self.commit(pending, last)?;
                pending = self.begin();
            }
        }
        self.commit(pending, last)
    }

    /// Starts to gather events over what is applied.
    pub fn begin(&self) -> Pending<'_> {
        Pending::new(self.store.as_ref())
    }

    /// Commits what was gathered, up to and with the event at `offset`. Readers see all of it
    /// or nothing.
    pub fn commit(&self, mut pending: Pending<'_>, offset: u64) -> Result<(), IndexError> {
        if offset == self.applied() {
            return Ok(());
        }
        pending.changes.insert(keys::APPLIED.to_vec(), Some(offset.to_be_bytes().to_vec()));
        self.store.apply(&pending.changes)?;
        self.applied.store(offset, Ordering::Release);
        self.redirects.forget(&pending.touched);
        Ok(())
    }

    /// The offset of the last event that the index reflects; 0 before the first.
    pub fn applied(&self) -> u64 {
        self.applied.load(Ordering::Acquire)
    }

    /// What a redirect needs of the link at a slug: from memory, else from the store.
    pub fn redirect(&self, domain: &str, slug: &str) -> Result<Option<Arc<Redirect>>, IndexError> {
        self.redirects.get_or_load(&cache::key(domain, slug), || {
            self.slug(domain, slug)?.map(|id| self.link(id)).transpose().map(Option::flatten)
        })
    }

    /// A workspace's links, newest first, from just before `before`; `skip` of them left out.
    pub fn links(
        &self,
        workspace: WorkspaceId,
        before: Option<LinkId>,
        skip: usize,
        limit: usize,
    ) -> Result<Vec<Link>, IndexError> {
        let before = before.map(|id| keys::link_of(workspace, id));
        let prefix = keys::links_of(workspace);
        let rows = self.store.scan_back(&prefix, before.as_deref());
        let mut links = Vec::with_capacity(limit.min(128));
        for row in rows.skip(skip).take(limit) {
            let (key, _) = row?;
            let id = key.get(prefix.len()..).map(LinkId::from_bytes);
            let Some(Ok(id)) = id else { return Err(IndexError::Broken("a link's key")) };
            // Deleted between the two looks: no longer there.
            links.extend(self.link(id)?);
        }
        Ok(links)
    }

    /// A workspace's tokens, oldest first.
    pub fn tokens(&self, workspace: WorkspaceId) -> Result<Vec<Token>, IndexError> {
        let rows = self.store.scan(&keys::tokens_of(workspace));
        let tokens = rows.map(|row| self.token_by_secret(&row?.1));
        tokens.filter_map(Result::transpose).collect()
    }

    /// SHA-256 over all that the index says, key by key: equal for equal logs, however the index
    /// came to be.
    pub fn digest(&self) -> Result<[u8; 32], IndexError> {
        let mut digest = Sha256::new();
        for row in self.store.scan(&[]) {
            let (key, value) = row?;
            if key.first() == Some(&keys::META) {
                continue;
            }
            for part in [&key, &value] {
                digest.update((part.len() as u64).to_be_bytes());
                digest.update(part);
            }
        }
        Ok(digest.finalize().into())
    }

    /// Waits until what was applied is on disk, so that the next start has nothing to redo.
    pub fn flush(&self) -> Result<(), IndexError> {
        self.store.flush()
    }
}

/// What a store is a projection of.
enum Origin {
    ThisLog,
    Nothing,
    Other(&'static str),
}

impl Origin {
    fn of(store: &Sled, log: &Log) -> Result<Self, IndexError> {
        let Some(id) = store.get(keys::LOG_ID)? else { return Ok(Self::Nothing) };
        if id != log.id() {
            return Ok(Self::Other("it belongs to another log"));
        }
        if store.get(keys::LAYOUT_KEY)?.as_deref().map(read::number) != Some(keys::LAYOUT) {
            return Ok(Self::Other("its layout is of another version"));
        }
        if store.get(keys::APPLIED)?.as_deref().map_or(0, read::number) > log.end() {
            return Ok(Self::Other("it is ahead of the log"));
        }
        Ok(Self::ThisLog)
    }
}

fn mark_origin(store: &Sled, log: &Log) -> Result<(), IndexError> {
    let origin = [
        (keys::LOG_ID.to_vec(), Some(log.id().to_vec())),
        (keys::LAYOUT_KEY.to_vec(), Some(keys::LAYOUT.to_be_bytes().to_vec())),
    ];
    store.apply(&origin.into_iter().collect())
}
