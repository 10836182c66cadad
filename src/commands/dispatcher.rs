//! The writer's thread: what waits becomes a group, which is decided, written, applied, answered.

use std::iter::Peekable;
use std::sync::Arc;
use std::time::{Duration, Instant};

use prost::Message;
use tokio::sync::{mpsc, oneshot};

use super::decide::{CommandHandler, Decision};
use super::{CommandError, Done, Mode, Results, Submission, Wish, now_ms};
use crate::domain::command::{Command, Outcome};
use crate::domain::error::DomainError;
use crate::domain::error::Unreadable;
use crate::domain::event::{Envelope, Event, Idempotency, PresetState, VERSION};
use crate::domain::link::LinkPolicy;
use crate::domain::preset::PresetKind;
use crate::domain::retention::IDEMPOTENCY_MS;
use crate::domain::token::Actor;
use crate::log::{Log, LogError, NewRecord};
use crate::projections::index::{Index, IndexError, Pending, Read};

/// How many commands one group holds at most; those of one submission stay together.
const GROUP_LEN: usize = 1_024;
/// How long after a failed repair of the index the next one is tried, at the earliest.
const REPAIR_EVERY: Duration = Duration::from_millis(500);
/// How often at most it is said that changes can't be logged.
const COMPLAIN_EVERY: Duration = Duration::from_secs(10);

pub(super) struct Dispatcher {
    log: Arc<Log>,
    index: Arc<Index>,
    policy: LinkPolicy,
    /// Set while the index lacks events that the log has.
    failure: Option<Failure>,
    /// When it was last said that changes can't be logged.
    complained_at: Option<Instant>,
}

/// Why the index could not be repaired.
struct Failure {
    tried_at: Instant,
    reason: String,
}

impl Failure {
    fn new(error: &IndexError) -> Self {
        Self { tried_at: Instant::now(), reason: format!("the index failed: {error}") }
    }

    fn refusal(&self) -> CommandError {
        CommandError::Unavailable(self.reason.clone())
    }
}

/// Whoever asked, and what he is told if the log takes the group.
type Answer = (oneshot::Sender<Results>, Results);

/// A group on its way: who is to be answered, and with what if the log takes the group.
struct Group {
    pending: Pending,
    events: Vec<(u16, Vec<u8>)>,
    answers: Vec<Answer>,
    /// How many wishes were decided for it.
    decided: usize,
}

impl Group {
    /// Whether one more has room: the first one always.
    fn takes(&self, next: &Submission) -> bool {
        self.decided == 0 || self.decided + next.wishes.len() <= GROUP_LEN
    }
}

/// Tells all of a group the same.
fn refuse(answers: Vec<Answer>, why: impl Fn() -> CommandError) {
    for (answer, results) in answers {
        let refused = results.iter().map(|_| Err(why())).collect();
        let _caller_left = answer.send(refused);
    }
}

impl Dispatcher {
    pub(super) const fn new(log: Arc<Log>, index: Arc<Index>, policy: LinkPolicy) -> Self {
        Self { log, index, policy, failure: None, complained_at: None }
    }

    pub(super) fn run(mut self, mut submissions: mpsc::Receiver<Submission>) {
        let mut received = Vec::with_capacity(GROUP_LEN);
        while submissions.blocking_recv_many(&mut received, GROUP_LEN) > 0 {
            self.failure = match self.failure.take() {
                Some(failure) => self.try_again(failure),
                None if self.index.has_given_up() => self.repair(),
                None => None,
            };
            let mut waiting = received.drain(..).peekable();
            while self.failure.is_none() && waiting.peek().is_some() {
                self.failure = self.run_group(&mut waiting);
            }
            if let Some(failure) = &self.failure {
                for Submission { wishes, answer, .. } in waiting {
                    let refused = wishes.iter().map(|_| Err(failure.refusal())).collect();
                    let _caller_left = answer.send(refused);
                }
            }
        }
    }

    /// Repairs the index, unless that has only just failed. Returns what still stands in the way.
    fn try_again(&self, failure: Failure) -> Option<Failure> {
        if failure.tried_at.elapsed() < REPAIR_EVERY {
            return Some(failure);
        }
        self.repair()
    }

    fn repair(&self) -> Option<Failure> {
        match self.index.repair(&self.log) {
            Ok(()) => {
                tracing::info!("the index is repaired; changes are taken");
                None
            }
            Err(error) => Some(Failure::new(&error)),
        }
    }

    /// Says that changes are refused, but not for each group: a full disk refuses many.
    fn complain(&mut self, error: &LogError) {
        if self.complained_at.is_none_or(|at| at.elapsed() >= COMPLAIN_EVERY) {
            self.complained_at = Some(Instant::now());
            tracing::error!(
                error = error as &dyn std::error::Error,
                "changes can't be logged and are refused"
            );
        }
    }

    /// Decides, writes, applies and answers a group, as many of those that wait as fit into it.
    /// Returns why to take no more for now.
    fn run_group(
        &mut self,
        waiting: &mut Peekable<impl Iterator<Item = Submission>>,
    ) -> Option<Failure> {
        let pending = self.index.begin();
        let mut group = Group { pending, events: Vec::new(), answers: Vec::new(), decided: 0 };
        while let Some(submission) = waiting.next_if(|next| group.takes(next)) {
            self.decide_into(&mut group, submission);
        }
        let Group { pending, events, answers, .. } = group;
        let offset = match self.write(&events, &pending) {
            Ok(offset) => offset,
            Err(error) => {
                self.complain(&error);
                refuse(answers, || refusal(&error));
                return None;
            }
        };
        if let Err(error) = self.apply(pending, offset) {
            // The events are logged and will be applied by the repair that works; until then
            // nothing can be decided over an index that lacks them.
            tracing::error!(%error, "the index failed; no change is taken until it is repaired");
            let failure = Failure::new(&error);
            refuse(answers, || failure.refusal());
            return Some(failure);
        }
        for (answer, results) in answers {
            let _caller_left = answer.send(results);
        }
        None
    }

    /// Brings the index to the offset, by what is pending or else from the log.
    fn apply(&self, pending: Pending, offset: u64) -> Result<(), IndexError> {
        let Err(error) = self.index.commit(pending, offset) else { return Ok(()) };
        tracing::warn!(%error, "the index failed and is repaired from the log");
        self.index.repair(&self.log)
    }

    fn decide_into(&self, group: &mut Group, submission: Submission) {
        let Submission { actor, mode, wishes, answer } = submission;
        group.decided += wishes.len();
        if mode == Mode::Rehearse {
            // Over what stands, without what this group is about to change.
            let pending = self.index.begin();
            let mut scratch =
                Group { pending, events: Vec::new(), answers: Vec::new(), decided: 0 };
            let results =
                wishes.into_iter().map(|wish| self.decide_one(&mut scratch, &actor, wish));
            let _caller_left = answer.send(results.collect());
            return;
        }
        let results = wishes.into_iter().map(|wish| self.decide_one(group, &actor, wish)).collect();
        group.answers.push((answer, results));
    }

    fn decide_one(
        &self,
        group: &mut Group,
        actor: &Actor,
        wish: Wish,
    ) -> Result<Done, CommandError> {
        let Wish { command, idempotency } = wish;
        let now_ms = now_ms();
        let decided = self.decide(&group.pending, actor, command, idempotency.as_ref(), now_ms);
        let ((event, outcome), is_replay) = decided?;
        if let Some(event) = event {
            let envelope = Envelope {
                at_ms: now_ms,
                workspace: actor.workspace.as_bytes().to_vec(),
                token: actor.in_log(),
                idempotency_until_ms: idempotency.is_some().then_some(now_ms + IDEMPOTENCY_MS),
                idempotency,
                event: Some(event),
            };
            group.pending.apply(&envelope)?;
            let kind = envelope.event.as_ref().map_or(0, |event| event.kind().number());
            group.events.push((kind, envelope.encode_to_vec()));
        }
        // Offsets are dense, and nobody else writes: what the log will call this event, or the
        // last one before it where nothing changes.
        let offset = group.pending.over() + group.events.len() as u64;
        Ok(Done { outcome, offset, is_replay })
    }

    /// The decision, and whether it was made before under the same idempotency key.
    fn decide(
        &self,
        state: &Pending,
        actor: &Actor,
        command: Command,
        idempotency: Option<&Idempotency>,
        now_ms: u64,
    ) -> Result<(Decision, bool), CommandError> {
        if let Some(sent) = idempotency
            && let Some(before) = state.idempotent(actor.workspace, &sent.key)?
            && before.idempotency_expires_at_ms() > now_ms
        {
            let same = before.idempotency.as_ref().is_some_and(|first| first == sent);
            if !same || !actor.abilities.allows(command.ability()) {
                return Err(DomainError::IdempotencyKeyReused.into());
            }
            return Ok(((None, outcome_of(before, actor)?), true));
        }
        let decider = CommandHandler { state, policy: &self.policy, actor, now_ms };
        Ok((decider.decide(command)?, false))
    }

    /// The offset that the group reflects, once its events are durable.
    fn write(&self, events: &[(u16, Vec<u8>)], pending: &Pending) -> Result<u64, LogError> {
        if events.is_empty() {
            return Ok(pending.over());
        }
        let parts: Vec<[&[u8]; 1]> =
            events.iter().map(|(_, payload)| [payload.as_slice()]).collect();
        let records: Vec<_> = events
            .iter()
            .zip(&parts)
            .map(|((kind, _), parts)| NewRecord { kind: *kind, version: VERSION, parts })
            .collect();
        let offset = self.log.append(&records)?;
        let started = std::time::Instant::now();
        self.log.sync()?;
        metrics::histogram!("slugline_log_sync_seconds", "log" => "mutations")
            .record(started.elapsed());
        Ok(offset)
    }
}

/// The answer that the first request under an idempotency key got.
fn outcome_of(before: Envelope, actor: &Actor) -> Result<Outcome, CommandError> {
    let unreadable = |error| CommandError::Index(IndexError::Unreadable(error));
    let preset = |state: PresetState, kind| {
        let preset = state.into_preset(kind, actor.workspace).map_err(unreadable)?;
        Ok(Outcome::Preset(preset.into()))
    };
    match before.event.ok_or(Unreadable("event")).map_err(unreadable)? {
        Event::LinkCreated(state) | Event::LinkChanged(state) | Event::LinkRestored(state) => {
            Ok(Outcome::Link(state.into_link(actor.workspace).map_err(unreadable)?.into()))
        }
        Event::CampaignCreated(state) | Event::CampaignChanged(state) => {
            preset(state, PresetKind::Campaign)
        }
        Event::UtmTemplateCreated(state) | Event::UtmTemplateChanged(state) => {
            preset(state, PresetKind::Template)
        }
        Event::TokenCreated(state) => {
            Ok(Outcome::Token(state.into_token(actor.workspace).map_err(unreadable)?.into()))
        }
        Event::DomainAdded(state) | Event::DomainChanged(state) | Event::DomainVerified(state) => {
            Ok(Outcome::Domain(state.into_domain(actor.workspace).map_err(unreadable)?.into()))
        }
        Event::LinkReported(state) => {
            let report = state.into_report(actor.workspace, before.at_ms);
            let report = report.ok_or(Unreadable("report")).map_err(unreadable)?;
            Ok(Outcome::Report(Some(report.into())))
        }
        Event::LinkDeleted(_)
        | Event::LinkPurged(_)
        | Event::ReportResolved(_)
        | Event::TokenRevoked(_)
        | Event::DomainRemoved(_)
        | Event::CampaignDeleted(_)
        | Event::UtmTemplateDeleted(_) => Ok(Outcome::Gone),
        // No command creates a workspace.
        Event::WorkspaceCreated(_) => Err(unreadable(Unreadable("command"))),
    }
}

fn refusal(error: &LogError) -> CommandError {
    if error.is_full() {
        CommandError::DiskFull
    } else {
        CommandError::Unavailable(error.to_string())
    }
}
