//! Jobs over a real folder, with a clock of their own.
use std::fs;
use std::path::Path;

use serde_json::json;
use tokio::sync::{mpsc, oneshot, watch};

use super::*;

/// A job that writes a file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Transfer {
    bytes: u64,
}

impl Kind for Transfer {
    const NAME: &'static str = "transfer";
    const CONCURRENCY: usize = 2;
    const INTERRUPTED: Option<&'static str> = None;

    fn files(job: &Job<Self>) -> [(&'static str, bool); 2] {
        [("input", !job.is_over()), ("output", true)]
    }

    fn expires_at_ms(job: &Job<Self>) -> Option<u64> {
        job.is_over().then(|| job.noted_at_ms + RETENTION_MS)
    }
}

const NOW_MS: u64 = 1_800_000_000_000;

fn open(folder: &Path) -> (JobRunner<Transfer>, watch::Sender<u64>) {
    let (time, now_ms) = watch::channel(NOW_MS);
    (JobRunner::open(folder, Clock::Manual(now_ms)).unwrap(), time)
}

fn workspace(number: u128) -> WorkspaceId {
    WorkspaceId::new(Uuid::from_u128(number))
}

/// Starts a job that reports its start and ends on request.
async fn start(
    runner: &JobRunner<Transfer>,
    number: u128,
    begun: &mpsc::UnboundedSender<u128>,
) -> (Job<Transfer>, oneshot::Sender<Result<(), Failed>>) {
    let slot = runner.reserve(workspace(number)).unwrap();
    let job = Job::new(Uuid::now_v7(), slot.workspace, runner.now_ms(), Transfer { bytes: 0 });
    assert_eq!(runner.insert(&job, |_| false), None);
    let (end, ended) = oneshot::channel();
    let begun = begun.clone();
    let work = async move {
        begun.send(number).unwrap();
        ended.await.unwrap_or(Err(Failed::Stopped))
    };
    let input = runner.path(job.id, "input");
    runner.start(job.clone(), move || fs::write(input, "input"), work).await.unwrap();
    (job, end)
}

/// Waits until a job has ended.
async fn ended(runner: &JobRunner<Transfer>, job: &Job<Transfer>) -> Job<Transfer> {
    let input = runner.path(job.id, "input");
    while input.exists() {
        tokio::task::yield_now().await;
    }
    runner.find(WorkspaceId::new(job.workspace), job.id).unwrap()
}

#[tokio::test]
async fn a_workspace_has_one_turn_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let (runner, _time) = open(folder.path());
    let (begun, mut beginning) = mpsc::unbounded_channel();
    let (first, end) = start(&runner, 1, &begun).await;
    assert_eq!(beginning.recv().await, Some(1));
    let (second, _end_second) = start(&runner, 1, &begun).await;
    let (_other, _end_other) = start(&runner, 2, &begun).await;
    assert_eq!(beginning.recv().await, Some(2), "it passes the other workspace's second job");
    assert_eq!(runner.find(workspace(1), second.id).unwrap().state, State::Queued);
    assert_eq!(runner.find(workspace(2), second.id), None);
    end.send(Ok(())).unwrap();
    assert_eq!(beginning.recv().await, Some(1));
    assert_eq!(ended(&runner, &first).await.state, State::Done);
    let jobs: Vec<_> = runner.list(workspace(1)).iter().map(|job| job.id).collect();
    assert_eq!(jobs, [second.id, first.id], "newest first");
}

#[tokio::test]
async fn a_workspace_has_a_maximum_of_jobs_until_they_expire() {
    let folder = tempfile::tempdir().unwrap();
    let (runner, time) = open(folder.path());
    let (begun, _beginning) = mpsc::unbounded_channel();
    for number in 0..MAX_OF_WORKSPACE {
        let (job, end) = start(&runner, 1, &begun).await;
        let failed = Failed::Error("it is full".to_owned());
        end.send(if number == 0 { Err(failed) } else { Ok(()) }).unwrap();
        let job = ended(&runner, &job).await;
        assert_eq!(job.error.as_deref(), (number == 0).then_some("it is full"));
    }
    assert!(runner.reserve(workspace(1)).is_none());
    assert!(runner.reserve(workspace(2)).is_some());
    time.send_replace(NOW_MS + RETENTION_MS);
    assert!(runner.list(workspace(1)).is_empty());
    assert!(runner.reserve(workspace(1)).is_some());
    let mut scheduler = Scheduler::default();
    runner.keep_clean(&mut scheduler);
    while fs::read_dir(folder.path()).unwrap().count() > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn unfinished_jobs_resume_and_canceled_ones_do_not() {
    let folder = tempfile::tempdir().unwrap();
    let (begun, mut beginning) = mpsc::unbounded_channel();
    let (runner, _time) = open(folder.path());
    let (job, _end) = start(&runner, 1, &begun).await;
    let (canceled, mut end_canceled) = start(&runner, 2, &begun).await;
    assert_eq!(beginning.recv().await, Some(1));
    assert_eq!(beginning.recv().await, Some(2));
    runner.update(job.id, |job| job.details.bytes = 7).await.unwrap().unwrap();
    runner.remove(&canceled).await;
    end_canceled.closed().await;
    runner.stop();
    fs::write(folder.path().join("x.part"), "left over").unwrap();
    fs::write(folder.path().join("odd.json"), "{").unwrap();
    fs::write(folder.path().join("odd.input"), "of an unreadable job").unwrap();

    let (runner, _time) = open(folder.path());
    let entries = fs::read_dir(folder.path()).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    let mut expected = vec![format!("{}.input", job.id), format!("{}.json", job.id)];
    expected.extend(["odd.input", "odd.json"].map(str::to_owned));
    assert_eq!(names, expected);
    let (resumed, mut jobs) = mpsc::unbounded_channel();
    runner.resume(|job| {
        let resumed = resumed.clone();
        async move {
            resumed.send(job).unwrap();
            Ok(())
        }
    });
    let resumed = jobs.recv().await.unwrap();
    assert_eq!((resumed.id, resumed.state, resumed.details.bytes), (job.id, State::Running, 7));
    assert_eq!(ended(&runner, &job).await.state, State::Done);
}

/// The state files of version 0.1, in which each kind of job had its own format.
#[test]
fn older_states_are_readable() {
    let id = Uuid::from_u128(7);
    let export: exports::Job = serde_json::from_value(json!({
        "id": id, "workspace": id, "format": "parquet", "state": "done", "as_of_offset": 9,
        "clicks": 8, "progress": 1.0, "bytes": 10, "created_at_ms": NOW_MS, "error": null,
    }))
    .unwrap();
    assert_eq!(
        (export.state, export.details.clicks, export.error.as_ref()),
        (State::Done, 8, None)
    );
    assert_eq!(export.expires_at_ms(), Some(NOW_MS + RETENTION_MS));
    let import: imports::Job = serde_json::from_value(json!({
        "id": id, "workspace": id, "token": id,
        "plan": {
            "format": "csv", "dry_run": false, "on_conflict": "skip", "domain": null,
            "folder": "a", "tags": ["b"],
        },
        "state": "failed",
        "counts": {
            "rows": 4, "created": 3, "replaced": 0, "unchanged": 0, "skipped": 0, "rejected": 1,
        },
        "bytes_total": 100, "bytes_read": 50, "report_bytes": 20, "ignored_columns": ["mood"],
        "offset": 12, "created_at_ms": NOW_MS, "noted_at_ms": NOW_MS + 1, "error": "no room",
        "idempotency": { "key": "k", "request_sha256": [1, 2] },
    }))
    .unwrap();
    assert_eq!((import.state, import.error.as_deref()), (State::Failed, Some("no room")));
    assert_eq!((import.details.counts.created, import.details.offset), (3, 12));
    assert_eq!(import.details.plan.tags, ["b"]);
    assert_eq!(import.expires_at_ms(), Some(NOW_MS + 1 + RETENTION_MS));
}
