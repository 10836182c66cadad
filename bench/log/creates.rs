//! Links created through the real command path: validated, logged, synced, indexed, answered.

use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use slugline::commands::{Commands, Policies, bootstrap};
use slugline::domain::command::Command;
use slugline::domain::ids::{TokenId, WorkspaceId};
use slugline::domain::link::{Field, LinkInput};
use slugline::domain::token::{Abilities, Actor};
use slugline::log::{DiskStorage, LocalLog, Log, LogOptions};
use slugline::projections::index::{Compactor, Index};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::measured::{Measured, Stopwatch, empty, note};

/// Log, index, dispatcher and keeper, as the service has them.
pub struct House {
    log: Arc<dyn Log>,
    commands: Commands,
    dispatcher: JoinHandle<()>,
    keeper: Compactor,
    runtime: Runtime,
    actor: Actor,
}

impl House {
    pub fn open(folder: &Path) -> anyhow::Result<Self> {
        let storage = Arc::new(DiskStorage);
        let log = LocalLog::open(storage, &folder.join("log"), LogOptions::default())?;
        let log: Arc<dyn Log> = Arc::new(log);
        let index = Arc::new(Index::open(&folder.join("index"), &*log)?);
        bootstrap(&*log, &index, Some("a-token-for-the-bench"))?;
        let keeper = Compactor::start(Arc::clone(&index), &log)?;
        let (commands, dispatcher) = Commands::start(Arc::clone(&log), index, Policies::default())?;
        let actor = Actor::new(
            WorkspaceId::new(Uuid::now_v7()),
            TokenId::new(Uuid::now_v7()),
            Abilities::ALL,
        );
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        Ok(Self { log, commands, dispatcher, keeper, runtime, actor })
    }

    /// Runs this many writers, each of which creates links sequentially.
    pub fn measure(&self, writers: usize, span: Duration) -> anyhow::Result<Measured> {
        let before = self.log.end();
        let measured = self.runtime.block_on(async {
            let mut watch = Stopwatch::start();
            let mut tasks = JoinSet::new();
            for writer in 0..writers {
                tasks.spawn(write(self.commands.clone(), self.actor, writer, span));
            }
            while let Some(noted) = tasks.join_next().await {
                watch.add(&noted??);
            }
            anyhow::Ok(watch.stop())
        })?;
        let (logged, answered) = (self.log.end() - before, measured.nanoseconds.len());
        anyhow::ensure!(logged == answered, "{answered} creates answered, {logged} logged");
        anyhow::ensure!(self.log.synced() == self.log.end(), "an answered create is not synced");
        Ok(measured)
    }

    /// The size of the last payload logged, in bytes.
    pub fn payload_bytes(&self) -> anyhow::Result<usize> {
        let last = self.log.read_from(self.log.end())?.next_record()?;
        Ok(last.context("nothing is logged")?.payload.len())
    }

    pub fn close(self) {
        drop(self.commands);
        let _panicked = self.dispatcher.join();
        self.keeper.stop();
    }
}

async fn write(
    commands: Commands,
    actor: Actor,
    writer: usize,
    span: Duration,
) -> anyhow::Result<hdrhistogram::Histogram<u64>> {
    let started = Instant::now();
    let mut noted = empty();
    let destination = format!("https://www.example.com/articles/{writer:04}?utm_source=bench");
    while started.elapsed() < span {
        let input =
            LinkInput { destination: Field::Value(destination.clone()), ..LinkInput::default() };
        let begun = Instant::now();
        commands.run(actor, Command::CreateLink(input), None).await?;
        note(&mut noted, begun.elapsed());
    }
    Ok(noted)
}
