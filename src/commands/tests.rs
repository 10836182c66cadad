use std::sync::atomic::Ordering;

use super::decide::CommandHandler;
use super::*;
use crate::domain::command::LinkRef;
use crate::domain::error::Result;
use crate::domain::event::{Envelope, Event, VERSION};
use crate::domain::ids::{TokenId, WorkspaceId};
use crate::domain::link::{Field, LinkInput};
use crate::domain::token::Abilities;
use crate::log::{DiskStorage, LocalLog, LogOptions, NewRecord};
use crate::projections::index::faults::{self, Faults};
use crate::projections::index::{Read, ReadDomains, Tuning};

/// A writer over an index with fault injection.
pub struct Writer {
    _folder: tempfile::TempDir,
    pub log: Arc<dyn Log>,
    pub index: Arc<Index>,
    faults: Arc<Faults>,
    pub commands: Commands,
    pub actor: Actor,
    pub runtime: tokio::runtime::Runtime,
}

impl Writer {
    pub fn new() -> Self {
        Self::with(Policies::default())
    }

    /// A writer with these policies.
    pub fn with(policies: Policies) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("log");
        let log: Arc<dyn Log> =
            Arc::new(LocalLog::open(Arc::new(DiskStorage), &dir, LogOptions::default()).unwrap());
        let faults = Arc::new(Faults::default());
        let at = folder.path().join("index");
        // Flush each change to the store.
        let tuning = Tuning { unflushed_max: 0, ..Tuning::default() };
        let index = Arc::new(faults::open(&at, &*log, &faults, tuning).unwrap());
        let (commands, _thread) =
            Commands::start(Arc::clone(&log), Arc::clone(&index), policies).unwrap();
        let workspace = WorkspaceId::new(uuid::Uuid::from_u128(1));
        let token = TokenId::new(uuid::Uuid::from_u128(2));
        let actor = Actor::new(workspace, token, Abilities::ALL);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        Self { _folder: folder, log, index, faults, commands, actor, runtime }
    }

    /// Logs and applies an event that no command makes.
    pub fn log_event(&self, workspace: WorkspaceId, event: Event) {
        use prost::Message;
        let kind = event.kind().number();
        let workspace = workspace.as_bytes().to_vec();
        let envelope = Envelope { workspace, event: Some(event), ..Envelope::default() };
        let mut pending = self.index.begin();
        pending.apply(&envelope).unwrap();
        let payload = envelope.encode_to_vec();
        let record = NewRecord { kind, version: VERSION, payload: &payload };
        let offset = self.log.append_after(Some(pending.base_offset()), &[record]).unwrap();
        self.log.sync().unwrap();
        self.index.commit(pending, offset).unwrap();
    }

    /// Rebuilds the index from the log, while it is in use.
    pub fn rebuild_index(&self) {
        self.index.rebuild(&*self.log, &|_, _| {}).unwrap();
    }

    fn create(&self, slug: &str) -> Result<CommandResult> {
        let command = create(slug);
        self.runtime.block_on(self.commands.run(self.actor, command, None))
    }
}

fn create(slug: &str) -> Command {
    Command::CreateLink(LinkInput {
        slug: Field::Value(slug.to_owned()),
        destination: Field::Value("https://example.com".to_owned()),
        ..LinkInput::default()
    })
}

fn slug_taken(slug: &str) -> ServiceError {
    ServiceError::taken("slug", "slug", slug)
}

#[test]
fn a_failing_store_is_reopened_without_failing_commands() {
    let writer = Writer::new();
    writer.create("before").unwrap();
    writer.faults.gives_up.store(true, Ordering::SeqCst);
    let done = writer.create("during").unwrap();
    assert_eq!((done.offset, writer.log.end()), (2, 2));
    assert_eq!(writer.faults.opened.load(Ordering::SeqCst), 2, "a fresh overlay");
    assert!(writer.index.slug("", "during").unwrap().is_some());
    assert_eq!(writer.create("during").unwrap_err(), slug_taken("during"));
    assert_eq!(writer.create("after").unwrap().offset, 3);
}

#[test]
fn changes_are_refused_until_the_index_is_repaired() {
    let writer = Writer::new();
    writer.create("before").unwrap();
    writer.faults.gives_up.store(true, Ordering::SeqCst);
    writer.faults.cannot_open.store(true, Ordering::SeqCst);
    // Logged but not applied: the outcome is not known yet.
    assert_eq!(writer.create("during").unwrap_err().code, ErrorCode::ChangesUnavailable);
    assert_eq!(writer.create("after").unwrap_err().code, ErrorCode::ChangesUnavailable);
    assert_eq!(writer.log.end(), 2, "refused changes are not logged");
    assert!(writer.index.slug("", "before").unwrap().is_some());

    writer.faults.cannot_open.store(false, Ordering::SeqCst);
    let refused = loop {
        match writer.create("during") {
            Err(ServiceError { code: ErrorCode::ChangesUnavailable, .. }) => {}
            other => break other.unwrap_err(),
        }
    };
    assert_eq!(refused, slug_taken("during"));
    assert_eq!(writer.create("after").unwrap().offset, 3);
}

#[test]
fn a_full_disk_of_the_index_alone_fails_no_commands() {
    let writer = Writer::new();
    writer.create("before").unwrap();
    writer.faults.gives_up.store(true, Ordering::SeqCst);
    writer.faults.disk_is_full.store(true, Ordering::SeqCst);
    assert_eq!(writer.create("during").unwrap().offset, 2);
    assert_eq!(writer.create("after").unwrap().offset, 3);
    assert!(writer.index.slug("", "before").unwrap().is_some());
}

/// Whichever read of a batch fails, even in the middle of applying an event: the command that
/// needed it is refused, and the others are decided as if it had not been sent.
#[test]
fn a_failed_read_affects_only_its_own_command() {
    let mut refused_first = 0;
    for failing in 1.. {
        let writer = Writer::new();
        writer.faults.read_fails_in.store(failing, Ordering::SeqCst);
        let slugs = ["other", "one", "one", "two"];
        let requests =
            slugs.map(|slug| CommandRequest { command: create(slug), idempotency: None });
        let commands = &writer.commands;
        let run = commands.run_all(writer.actor, requests.into(), Mode::Commit);
        let results = writer.runtime.block_on(run).unwrap();
        if writer.faults.read_fails_in.swap(0, Ordering::SeqCst) > 0 {
            // Every read of the batch has failed once.
            assert!(failing > 10 && refused_first > 2, "{failing}, {refused_first}");
            return;
        }
        let has_failed =
            |one: &Result<_>| one.as_ref().is_err_and(|error| error.code == ErrorCode::Internal);
        let failed: Vec<_> = results.iter().map(has_failed).collect();
        assert_eq!(failed.iter().filter(|failed| **failed).count(), 1, "{results:?}");
        refused_first += usize::from(failed[1]);
        let is_taken = |one: &Result<CommandResult, _>| {
            one.as_ref().is_err_and(|error| *error == slug_taken("one"))
        };
        let is_done: Vec<_> = results.iter().map(Result::is_ok).collect();
        assert!(is_done[1] != is_done[2], "one of two has the slug: {results:?}");
        assert_eq!(is_taken(&results[2]), !failed[1] && !failed[2]);
        let events = is_done.iter().filter(|done| **done).count() as u64;
        assert_eq!(writer.log.end(), events, "no event of the refused command is logged");
        let folder = tempfile::tempdir().unwrap();
        let rebuilt = Index::open(folder.path(), &*writer.log).unwrap();
        assert_eq!(writer.index.digest().unwrap(), rebuilt.digest().unwrap());
        for (slug, is_done) in [("other", is_done[0]), ("one", true), ("two", is_done[3])] {
            assert_eq!(writer.index.slug("", slug).unwrap().is_some(), is_done);
        }
    }
}

/// A replay returns the first outcome; `Gone` only if the first one was.
#[test]
fn a_replay_returns_the_first_outcome() {
    let writer = Writer::new();
    let run = |command, key: &str| {
        let idempotency = Idempotency { key: key.to_owned(), request_sha256: vec![1] };
        writer.runtime.block_on(writer.commands.run(writer.actor, command, Some(idempotency)))
    };
    let Outcome::Link(link) = run(create("one"), "a").unwrap().outcome else { panic!("no link") };
    let complaint = crate::domain::report::Complaint::accept("spam", "").unwrap();
    let report = Command::ReportLink(link.id, complaint);
    let first = run(report.clone(), "b").unwrap();
    assert!(matches!(first.outcome, Outcome::Report(Some(_))));
    let again = run(report, "b").unwrap();
    assert!(again.is_replay);
    assert_eq!(again.outcome, first.outcome);
    let delete = Command::DeleteLink(LinkRef::Id(link.id), None);
    assert_eq!(run(delete.clone(), "c").unwrap().outcome, Outcome::Gone);
    assert_eq!(run(delete, "c").unwrap().outcome, Outcome::Gone);
}

/// More concurrent clients than the queue has slots: each gets a result, and one gets the slug.
#[test]
fn thousands_of_clients_wait_for_a_queue_slot() {
    const CLIENTS: usize = 2 * COMMAND_QUEUE_LEN + 1_000;
    let writer = Writer::new();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (commands, actor) = (writer.commands.clone(), writer.actor);
            writer.runtime.spawn(async move { commands.run(actor, create("one"), None).await })
        })
        .collect();
    let (mut created, mut taken) = (0, 0);
    for client in clients {
        match writer.runtime.block_on(client).unwrap() {
            Ok(_) => created += 1,
            Err(error) if error == slug_taken("one") => taken += 1,
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!((created, taken), (1, CLIENTS - 1));
}

/// A deleted link can be restored and purged for exactly thirty days.
#[test]
fn a_deleted_link_is_retained_for_thirty_days() {
    use crate::domain::retention::RESTORABLE_MS;
    let writer = Writer::new();
    let Outcome::Link(link) = writer.create("kept").unwrap().outcome else { panic!("no link") };
    let run = |command| writer.runtime.block_on(writer.commands.run(writer.actor, command, None));
    run(Command::DeleteLink(LinkRef::Id(link.id), Some(1))).unwrap();
    let tombstone = writer.index.tombstone(writer.actor.workspace, link.id).unwrap().unwrap();
    assert_eq!((tombstone.link.version, tombstone.offset), (2, 2));
    let decide = |actor: &Actor, now_ms: u64, command: Command| {
        let policies = Policies::default();
        CommandHandler { state: &*writer.index, policies: &policies, actor, now_ms }.decide(command)
    };
    let restore = |deleted_version| {
        let slug = None;
        Command::RestoreLink { link: link.id, deleted_version, slug }
    };
    let purge = |expected| Command::PurgeLink(LinkRef::Id(link.id), expected);
    let until_ms = tombstone.deleted_at_ms + RESTORABLE_MS;
    for command in [restore(2), purge(None), purge(Some(2))] {
        assert!(decide(&writer.actor, until_ms - 1, command.clone()).is_ok());
        let late = decide(&writer.actor, until_ms, command.clone());
        assert_eq!(late.unwrap_err(), ServiceError::not_found("link"));
        let other = WorkspaceId::new(uuid::Uuid::from_u128(9));
        let stranger = Actor { workspace: other, ..writer.actor };
        let refused = decide(&stranger, until_ms - 1, command);
        assert_eq!(refused.unwrap_err(), ServiceError::not_found("link"));
    }
    for command in [restore(1), purge(Some(1))] {
        let refused = decide(&writer.actor, until_ms - 1, command);
        assert_eq!(refused.unwrap_err(), ServiceError::version_mismatch(1, 2));
    }
    let Ok((Some(Event::LinkRestored(state)), _)) = decide(&writer.actor, 1, restore(2)) else {
        panic!("not restored")
    };
    assert_eq!(state.version, 3);
    assert_eq!(state.updated_at_ms, tombstone.link.updated_at_ms, "the clock was set back");
}
