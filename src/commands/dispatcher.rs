//! The writer thread: takes queued submissions in batches, and decides, logs, applies and answers
//! each batch.

use std::iter::Peekable;
use std::sync::Arc;
use std::time::{Duration, Instant};

use prost::Message;
use tokio::sync::{mpsc, oneshot};

use super::decide::CommandHandler;
use super::plan_limits::Charge;
use super::{
    CommandRequest, CommandResult, Mode, Policies, Results, Submission, now_ms, recharges,
};
use crate::domain::command::{Command, Outcome};
use crate::domain::error::{ErrorCode, Result, ServiceError, Unreadable};
use crate::domain::event::{
    Envelope, Event, Idempotency, UtmPresetState, VERSION, WorkspaceCreated,
};
use crate::domain::ids::WorkspaceId;
use crate::domain::plan::credit::CreditKind;
use crate::domain::preset::UtmPresetKind;
use crate::domain::retention::IDEMPOTENCY_MS;
use crate::domain::token::Actor;
use crate::domain::workspace::state::WorkspaceState;
use crate::log::{Log, LogError, NewRecord};
use crate::metrics::LOG_SYNC_SECONDS;
use crate::projections::index::{Index, IndexError, Pending, Read};

/// Maximum number of commands in a batch, unless one submission has more.
const BATCH_LEN: usize = 1_024;
/// Minimum time between two attempts to repair the index.
const REPAIR_INTERVAL: Duration = Duration::from_millis(500);
/// Minimum time between two log lines about a failing log.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

pub(super) struct Dispatcher {
    log: Arc<dyn Log>,
    index: Arc<Index>,
    policies: Policies,
    /// Set while the index lacks events of the log.
    failure: Option<Failure>,
    /// When the last failure to write was logged.
    last_logged: Option<Instant>,
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

    fn refusal(&self) -> ServiceError {
        ServiceError::changes_unavailable(&self.reason)
    }
}

/// A reply channel, and the results to send once the batch is logged.
type Reply = (oneshot::Sender<Results>, Results);

/// What is to be logged and answered.
struct Decided {
    event: Option<Event>,
    charge: Charge,
    outcome: Outcome,
    is_replay: bool,
}

/// A batch of decided commands that is not logged yet.
struct Batch {
    pending: Pending,
    events: Vec<(u16, Vec<u8>)>,
    replies: Vec<Reply>,
    /// Number of commands decided.
    decided: usize,
}

impl Batch {
    /// Adds an event.
    fn add(&mut self, envelope: &Envelope) -> Result<()> {
        self.pending.apply(envelope)?;
        let kind = envelope.event.as_ref().map_or(0, |event| event.kind().number());
        self.events.push((kind, envelope.encode_to_vec()));
        Ok(())
    }

    /// The offset that the index has with the events so far: offsets are dense, and this is the only
    /// writer.
    fn offset(&self) -> u64 {
        self.pending.base_offset() + self.events.len() as u64
    }

    /// Whether another submission fits; the first one always does.
    fn has_room_for(&self, next: &Submission) -> bool {
        self.decided == 0 || self.decided + next.requests.len() <= BATCH_LEN
    }
}

/// Sends the same error to every command of a batch.
fn refuse(replies: Vec<Reply>, why: impl Fn() -> ServiceError) {
    for (reply, results) in replies {
        let refused = results.iter().map(|_| Err(why())).collect();
        let _caller_left = reply.send(refused);
    }
}

impl Dispatcher {
    pub(super) const fn new(log: Arc<dyn Log>, index: Arc<Index>, policies: Policies) -> Self {
        Self { log, index, policies, failure: None, last_logged: None }
    }

    pub(super) fn run(mut self, mut submissions: mpsc::Receiver<Submission>) {
        let mut received = Vec::with_capacity(BATCH_LEN);
        while submissions.blocking_recv_many(&mut received, BATCH_LEN) > 0 {
            self.failure = match self.failure.take() {
                Some(failure) => self.retry_repair(failure),
                None if self.index.has_failed_overlay() => self.repair(),
                None => None,
            };
            let mut waiting = received.drain(..).peekable();
            while self.failure.is_none() && waiting.peek().is_some() {
                self.failure = self.run_batch(&mut waiting);
            }
            if let Some(failure) = &self.failure {
                for Submission { requests, reply, .. } in waiting {
                    let refused = requests.iter().map(|_| Err(failure.refusal())).collect();
                    let _caller_left = reply.send(refused);
                }
            }
        }
    }

    /// Repairs the index, unless that failed very recently. Returns the remaining failure.
    fn retry_repair(&self, failure: Failure) -> Option<Failure> {
        if failure.tried_at.elapsed() < REPAIR_INTERVAL {
            return Some(failure);
        }
        self.repair()
    }

    fn repair(&self) -> Option<Failure> {
        match self.index.repair(&*self.log) {
            Ok(()) => {
                tracing::info!("the index is repaired; accepting changes again");
                None
            }
            Err(error) => Some(Failure::new(&error)),
        }
    }

    /// Logs that changes are refused. Rate-limited, because a full disk refuses many batches.
    fn log_failure(&mut self, error: &LogError) {
        if self.last_logged.is_none_or(|at| at.elapsed() >= LOG_INTERVAL) {
            self.last_logged = Some(Instant::now());
            tracing::error!(
                error = error as &dyn std::error::Error,
                "writing to the mutation log failed: changes are refused"
            );
        }
    }

    /// Decides, logs, applies and answers a batch of the waiting submissions. Returns why no more can
    /// be accepted for now, if so.
    fn run_batch(
        &mut self,
        waiting: &mut Peekable<impl Iterator<Item = Submission>>,
    ) -> Option<Failure> {
        let pending = self.index.begin();
        let mut batch = Batch { pending, events: Vec::new(), replies: Vec::new(), decided: 0 };
        while let Some(submission) = waiting.next_if(|next| batch.has_room_for(next)) {
            self.decide_into(&mut batch, submission);
        }
        let Batch { pending, events, replies, .. } = batch;
        let offset = match self.write(&events, &pending) {
            Ok(offset) => offset,
            Err(error) => {
                self.log_failure(&error);
                refuse(replies, || refusal(&error));
                return None;
            }
        };
        if let Err(error) = self.apply(pending, offset) {
            // The next successful repair applies the logged events; until then nothing can be
            // decided against an index that lacks them.
            tracing::error!(%error, "repairing the index failed: changes are refused until it succeeds");
            let failure = Failure::new(&error);
            refuse(replies, || failure.refusal());
            return Some(failure);
        }
        for (reply, results) in replies {
            let _caller_left = reply.send(results);
        }
        None
    }

    /// Applies the pending changes to the index, or repairs it from the log if that fails.
    fn apply(&self, pending: Pending, offset: u64) -> Result<(), IndexError> {
        let Err(error) = self.index.commit(pending, offset) else { return Ok(()) };
        tracing::warn!(%error, "updating the index failed: repairing it from the log");
        self.index.repair(&*self.log)
    }

    fn decide_into(&self, batch: &mut Batch, submission: Submission) {
        let Submission { actor, mode, requests, reply } = submission;
        batch.decided += requests.len();
        if mode == Mode::DryRun {
            // Decide against the committed state, without the changes of this batch.
            let pending = self.index.begin();
            let mut scratch =
                Batch { pending, events: Vec::new(), replies: Vec::new(), decided: 0 };
            let results =
                requests.into_iter().map(|request| self.decide_one(&mut scratch, &actor, request));
            let _caller_left = reply.send(results.collect());
            return;
        }
        let before = (mode == Mode::CommitAll).then(|| (batch.pending.clone(), batch.events.len()));
        let decide = |request| self.decide_one(batch, &actor, request);
        let mut results: Results = requests.into_iter().map(decide).collect();
        let is_new = |result: &Result<CommandResult>| result.as_ref().is_ok_and(|r| !r.is_replay);
        if let Some((pending, events)) = before.filter(|_| !results.iter().all(is_new)) {
            batch.pending = pending;
            batch.events.truncate(events);
            results.iter_mut().flatten().for_each(|done| done.offset = batch.offset());
        }
        batch.replies.push((reply, results));
    }

    fn decide_one(
        &self,
        batch: &mut Batch,
        actor: &Actor,
        request: CommandRequest,
    ) -> Result<CommandResult> {
        let CommandRequest { command, idempotency } = request;
        let now_ms = now_ms();
        let decided = self.decide(&batch.pending, actor, command, idempotency.as_ref(), now_ms);
        let Decided { event, charge, outcome, is_replay } = decided?;
        let Charge { debit, reservation } = charge;
        let mut to_recharge = Vec::new();
        if let Some(event) = event {
            to_recharge.extend(recharges::affected(&event, debit));
            let envelope = Envelope {
                at_ms: now_ms,
                workspace: actor.workspace.as_bytes().to_vec(),
                token: actor.token_in_log(),
                user: actor.user_in_log(),
                idempotency_until_ms: idempotency.is_some().then_some(now_ms + IDEMPOTENCY_MS),
                idempotency,
                debit,
                reservation,
                event: Some(event),
            };
            batch.add(&envelope)?;
        }
        // The event's offset, or that of the last event if nothing changes.
        let offset = batch.offset();
        for kind in to_recharge {
            // The change stands; the hourly task tries again.
            if let Err(error) = self.recharge(batch, actor.workspace, kind, now_ms) {
                let workspace = actor.workspace.to_string();
                tracing::error!(workspace, %error, "requesting credits failed");
            }
        }
        Ok(CommandResult { outcome, offset, is_replay })
    }

    /// Requests credits of a kind if too few are left.
    fn recharge(
        &self,
        batch: &mut Batch,
        workspace: WorkspaceId,
        kind: CreditKind,
        now_ms: u64,
    ) -> Result<()> {
        let actor = &Actor::operator(workspace);
        let state = &batch.pending;
        let handler = CommandHandler { state, policies: &self.policies, actor, now_ms };
        let Some(event) = handler.recharge(kind)? else { return Ok(()) };
        batch.add(&Envelope {
            at_ms: now_ms,
            workspace: workspace.as_bytes().to_vec(),
            event: Some(event),
            ..Envelope::default()
        })
    }

    /// The decision, or the outcome of an earlier request with the same idempotency key.
    fn decide(
        &self,
        state: &Pending,
        actor: &Actor,
        command: Command,
        idempotency: Option<&Idempotency>,
        now_ms: u64,
    ) -> Result<Decided> {
        if let Some(sent) = idempotency
            && let Some(before) = state.idempotent(actor.workspace, &sent.key)?
            && before.idempotency_expires_at_ms() > now_ms
        {
            let same = before.idempotency.as_ref().is_some_and(|first| first == sent);
            let is_by_same_user = before.user == actor.user_in_log();
            if !same || !is_by_same_user || !actor.abilities.allows(command.ability()) {
                return Err(ServiceError::idempotency_key_reused());
            }
            let outcome = outcome_of(before, actor)?;
            return Ok(Decided {
                event: None,
                charge: Charge::default(),
                outcome,
                is_replay: true,
            });
        }
        let handler = CommandHandler { state, policies: &self.policies, actor, now_ms };
        let payment = command.payment();
        let (event, outcome) = handler.decide(command)?;
        let charge = event.as_ref().map(|event| handler.check_limits(event, payment));
        let charge = charge.transpose()?.unwrap_or_default();
        Ok(Decided { event, charge, outcome, is_replay: false })
    }

    /// Logs the events durably; returns the offset that the batch reflects.
    fn write(&self, events: &[(u16, Vec<u8>)], pending: &Pending) -> Result<u64, LogError> {
        if events.is_empty() {
            return Ok(pending.base_offset());
        }
        let records: Vec<_> = events
            .iter()
            .map(|(kind, payload)| NewRecord { kind: *kind, version: VERSION, payload })
            .collect();
        let offset = self.log.append_after(Some(pending.base_offset()), &records)?;
        let started = std::time::Instant::now();
        self.log.sync()?;
        metrics::histogram!(LOG_SYNC_SECONDS, "log" => "mutations").record(started.elapsed());
        Ok(offset)
    }
}

/// The outcome of the first request with an idempotency key.
fn outcome_of(before: Envelope, actor: &Actor) -> Result<Outcome> {
    let preset = |state: UtmPresetState, kind| {
        let preset = state.into_preset(kind, actor.workspace)?;
        Ok(Outcome::UtmPreset(preset.into()))
    };
    match before.event.ok_or(Unreadable("event"))? {
        Event::LinkCreated(state) | Event::LinkChanged(state) | Event::LinkRestored(state) => {
            Ok(Outcome::Link(state.into_link(actor.workspace)?.into()))
        }
        Event::CampaignCreated(state) | Event::CampaignChanged(state) => {
            preset(state, UtmPresetKind::Campaign)
        }
        Event::UtmTemplateCreated(state) | Event::UtmTemplateChanged(state) => {
            preset(state, UtmPresetKind::Template)
        }
        Event::TokenCreated(state) | Event::TokenChanged(state) | Event::TokenRotated(state) => {
            Ok(Outcome::Token(state.into_token(actor.workspace)?.into()))
        }
        Event::DomainAdded(state) | Event::DomainChanged(state) | Event::DomainVerified(state) => {
            Ok(Outcome::Domain(state.into_domain(actor.workspace)?.into()))
        }
        Event::LinkReported(state) => {
            let report = state.into_report(actor.workspace, before.at_ms);
            let report = report.ok_or(Unreadable("report"))?;
            Ok(Outcome::Report(Some(report.into())))
        }
        Event::QrCodeCreated(state) | Event::QrCodeChanged(state) => {
            Ok(Outcome::QrCode(state.into_code(actor.workspace)?.into()))
        }
        Event::LinkDeleted(_)
        | Event::QrCodeDeleted(_)
        | Event::LogoStored(_)
        | Event::LogoDeleted(_)
        | Event::QrDefaultsChanged(_)
        | Event::LinkPurged(_)
        | Event::ReportResolved(_)
        | Event::TokenRevoked(_)
        | Event::DomainRemoved(_)
        | Event::CampaignDeleted(_)
        | Event::UtmTemplateDeleted(_)
        | Event::WorkspacePurged(_)
        | Event::MemberRemoved(_)
        | Event::InvitationRevoked(_)
        | Event::UserDeleted(_)
        | Event::SessionEnded(_)
        | Event::ApiCallsCounted(_)
        | Event::CreditsRefunded(_)
        | Event::CreditsExpired(_)
        | Event::SignInFailed(_) => Ok(Outcome::Gone),
        Event::WorkspaceCreated(WorkspaceCreated { name, owner }) => {
            let members = u64::from(!owner.is_empty());
            let created_at_ms = before.at_ms;
            let created =
                WorkspaceState { name, owner, created_at_ms, members, ..Default::default() };
            Ok(Outcome::Workspace(created.into()))
        }
        Event::CreditsGranted(grant) => Ok(Outcome::Granted(grant.into())),
        Event::InvitationSent(state) => Ok(Outcome::Invitation(state.into())),
        Event::MemberAdded(state) | Event::MemberChanged(state) => {
            Ok(Outcome::Member(state.into()))
        }
        // The other commands are not repeated by an idempotency key.
        _ => Err(ServiceError::idempotency_key_reused()),
    }
}

fn refusal(error: &LogError) -> ServiceError {
    if error.is_full() {
        let message = "The disk is full: nothing can be changed until there is space.";
        ServiceError::new(ErrorCode::DiskFull, message)
    } else {
        ServiceError::changes_unavailable(error)
    }
}
