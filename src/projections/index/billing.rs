//! The plans, the monthly usage and the credits of workspaces in the index.

use std::ops::Range;

use prost::Message;

use super::encoding::number;
use super::group::Group;
use super::read::{Read, ReadRanges};
use super::scan::Scan;
use super::state::{State, add_to};
use super::{IndexError, keys, workspaces};
use crate::domain::error::Unreadable;
use crate::domain::event::{CreditGrant, Debit, Envelope, Event, SubscriptionChange};
use crate::domain::ids::WorkspaceId;
use crate::domain::plan::credit::{CreditKind, LedgerEntryKind};
use crate::domain::plan::limit::{Counter, Month};
use crate::domain::plan::recharge::AutoRechargeState;
use crate::domain::plan::state::{CreditsState, LedgerEntry};
use crate::domain::plan::subscription::{Invoice, SubscriptionState};

const BROKEN_LEDGER: IndexError = IndexError::Broken("a ledger entry's key");
const BROKEN_INVOICE: IndexError = IndexError::Broken("an invoice's key");

/// Reads usage and credits.
pub trait ReadBilling: Read {
    /// How many a workspace used in a month.
    fn used(
        &self,
        workspace: WorkspaceId,
        month: Month,
        counter: Counter,
    ) -> Result<u64, IndexError> {
        let used = self.get(&keys::usage(workspace, month, counter))?;
        Ok(used.as_deref().map_or(0, number))
    }

    /// The credits of a workspace.
    fn credits(&self, workspace: WorkspaceId) -> Result<CreditsState, IndexError> {
        let value = self.get(&keys::credits(workspace))?.unwrap_or_default();
        CreditsState::decode(value.as_slice()).map_err(|error| self.report_damage(error.into()))
    }

    /// The number of tags that a workspace's links have.
    fn tag_count(&self, workspace: WorkspaceId) -> Result<u64, IndexError>
    where
        Self: ReadRanges,
    {
        let all = keys::group(workspace, &Group::Tag(String::new()));
        Ok(self.rows(&all)?.len() as u64)
    }

    /// The subscription of a workspace.
    fn subscription(
        &self,
        workspace: WorkspaceId,
    ) -> Result<Option<SubscriptionState>, IndexError> {
        let value = self.get(&keys::subscription(workspace))?;
        let found = value.map(|value| SubscriptionState::decode(value.as_slice())).transpose();
        found.map_err(|error| self.report_damage(error.into()))
    }

    /// All workspaces with a subscription.
    fn subscriptions(&self) -> Result<Vec<(WorkspaceId, SubscriptionState)>, IndexError>
    where
        Self: ReadRanges,
    {
        let rows = self.rows(keys::SUBSCRIPTIONS)?.into_iter();
        let all = rows.map(|(key, value)| {
            Ok((owner_of(&key)?, SubscriptionState::decode(value.as_slice())?))
        });
        all.collect::<Result<_, _>>().map_err(|error| self.report_damage(error))
    }

    /// Whether a report of a provider was applied.
    fn is_reported(&self, report: &str) -> Result<bool, IndexError> {
        Ok(self.get(&keys::provider_report(report))?.is_some())
    }

    /// The workspace in which a provider's id of a subscription, an invoice or a payment occurs.
    fn workspace_of_reference(
        &self,
        provider: &str,
        reference: &str,
    ) -> Result<Option<WorkspaceId>, IndexError> {
        let value = self.get(&keys::billing_reference(provider, reference))?;
        let found = value.map(|value| Ok(split_reference(&value)?.0)).transpose();
        found.map_err(|error| self.report_damage(error))
    }

    /// An invoice of a workspace, by the provider's id of it or of its payment.
    fn invoice(
        &self,
        workspace: WorkspaceId,
        (provider, reference): (&str, &str),
    ) -> Result<Option<Invoice>, IndexError> {
        let value = self.get(&keys::billing_reference(provider, reference))?;
        let Some(value) = value else { return Ok(None) };
        let (owner, invoice) = split_reference(&value)?;
        let value = self.get(&keys::invoice(owner, &invoice))?.filter(|_| owner == workspace);
        let invoice = value.map(|value| Invoice::decode(value.as_slice())).transpose();
        invoice.map_err(|error| self.report_damage(error.into()))
    }

    /// The auto-recharge of a kind of a workspace's credits.
    fn auto_recharge(
        &self,
        workspace: WorkspaceId,
        kind: CreditKind,
    ) -> Result<AutoRechargeState, IndexError> {
        let value = self.get(&keys::auto_recharge(workspace, kind))?.unwrap_or_default();
        let found = AutoRechargeState::decode(value.as_slice());
        found.map_err(|error| self.report_damage(error.into()))
    }

    /// All auto-recharges that were ever set.
    fn auto_recharges(
        &self,
    ) -> Result<Vec<(WorkspaceId, CreditKind, AutoRechargeState)>, IndexError>
    where
        Self: ReadRanges,
    {
        let rows = self.rows(keys::AUTO_RECHARGES)?.into_iter();
        let all = rows.map(|(key, value)| {
            const BROKEN: IndexError = IndexError::Broken("an auto-recharge's key");
            let (kind, owner) = key.split_last().ok_or(BROKEN)?;
            let state = AutoRechargeState::decode(value.as_slice())?;
            Ok((owner_of(owner)?, kind_of((*kind).into())?, state))
        });
        all.collect::<Result<_, _>>().map_err(|error| self.report_damage(error))
    }

    /// All workspaces with credits.
    fn all_credits(&self) -> Result<Vec<(WorkspaceId, CreditsState)>, IndexError>
    where
        Self: ReadRanges,
    {
        let rows = self.rows(keys::CREDITS)?.into_iter();
        let all =
            rows.map(|(key, value)| Ok((owner_of(&key)?, CreditsState::decode(value.as_slice())?)));
        all.collect::<Result<_, _>>().map_err(|error| self.report_damage(error))
    }
}

impl<R: Read + ?Sized> ReadBilling for R {}

impl Scan {
    /// The changes of a workspace's credits with their offsets, newest first: a part of the list,
    /// and the total number.
    pub fn ledger(
        &self,
        workspace: WorkspaceId,
        part: Range<usize>,
    ) -> Result<(Vec<(u64, LedgerEntry)>, u64), IndexError> {
        let total = self.get(&keys::ledger_count(workspace))?;
        let entries = self.last_rows(&keys::ledger_of(workspace), part).map(|row| {
            let (key, value) = row?;
            let offset = keys::audited_offset(&key).ok_or(BROKEN_LEDGER)?;
            Ok((offset, LedgerEntry::decode(value.as_slice())?))
        });
        let entries = entries.collect::<Result<_, _>>();
        let entries = entries.map_err(|error| self.report_damage(error))?;
        Ok((entries, total.as_deref().map_or(0, number)))
    }

    /// A workspace's invoices, newest first: a part of the list, and the total number.
    pub fn invoices(
        &self,
        workspace: WorkspaceId,
        part: Range<usize>,
    ) -> Result<(Vec<Invoice>, u64), IndexError> {
        let total = self.get(&keys::invoice_count(workspace))?;
        let invoices = self.last_rows(&keys::invoices_by_time(workspace), part).map(|row| {
            let (key, _) = row?;
            let reference = keys::reference_at(&key).ok_or(BROKEN_INVOICE)?;
            let value = self.get(&keys::invoice(workspace, reference))?;
            Ok(Invoice::decode(value.ok_or(BROKEN_INVOICE)?.as_slice())?)
        });
        let invoices = invoices.collect::<Result<_, _>>();
        let invoices = invoices.map_err(|error| self.report_damage(error))?;
        Ok((invoices, total.as_deref().map_or(0, number)))
    }
}

/// The workspace at the end of a key.
fn owner_of(key: &[u8]) -> Result<WorkspaceId, IndexError> {
    let id = keys::last_id(key).and_then(|bytes| WorkspaceId::from_bytes(&bytes).ok());
    id.ok_or(IndexError::Broken("a workspace's key"))
}

fn split_reference(value: &[u8]) -> Result<(WorkspaceId, String), IndexError> {
    const BROKEN: IndexError = IndexError::Broken("a provider's id");
    let (owner, invoice) = value.split_at_checked(16).ok_or(BROKEN)?;
    let owner = WorkspaceId::from_bytes(owner).map_err(|_| BROKEN)?;
    Ok((owner, String::from_utf8(invoice.to_vec()).map_err(|_| BROKEN)?))
}

/// Folds an event of a plan or of credits, at an offset and a time.
pub fn fold<S: State>(
    state: &mut S,
    at: (u64, u64),
    workspace: WorkspaceId,
    event: &Event,
) -> Result<(), IndexError> {
    match event {
        Event::PlanChanged(changed) => {
            workspaces::change(state, workspace, |state| state.plan.clone_from(&changed.plan))
        }
        // Counted with the others.
        Event::ApiCallsCounted(_) => Ok(()),
        Event::CreditsGranted(grant) => {
            grant_credits(state, at, workspace, grant)?;
            if !grant.recharge.is_empty() {
                change_recharge(state, workspace, grant.kind, |it| it.complete(&grant.recharge))?;
            }
            put_report(state, workspace, &grant.report, grant.invoice.as_ref())
        }
        Event::AutoRechargeChanged(settings) => {
            change_recharge(state, workspace, settings.kind, |it| it.change(*settings))
        }
        Event::RechargeRequested(recharge) => {
            change_recharge(state, workspace, recharge.kind, |it| it.request(recharge.clone()))
        }
        Event::RechargeFailed(failed) => {
            put_report(state, workspace, &failed.report, None)?;
            change_recharge(state, workspace, failed.kind, |it| it.fail(failed))
        }
        Event::SubscriptionStarted(change)
        | Event::SubscriptionRenewed(change)
        | Event::SubscriptionChanged(change)
        | Event::SubscriptionPastDue(change)
        | Event::SubscriptionCanceled(change)
        | Event::SubscriptionExpired(change) => {
            let is_over = matches!(event, Event::SubscriptionExpired(_));
            put_subscription(state, workspace, change, is_over)
        }
        Event::PaymentRefunded(refunded) => {
            put_report(state, workspace, &refunded.report, refunded.invoice.as_ref())?;
            withdraw(
                state,
                at,
                workspace,
                (&refunded.grant, refunded.credits),
                LedgerEntryKind::Refunded,
            )
        }
        Event::CreditsRefunded(withdrawn) | Event::CreditsExpired(withdrawn) => {
            let entry = match event {
                Event::CreditsExpired(_) => LedgerEntryKind::Expired,
                _ => LedgerEntryKind::Refunded,
            };
            withdraw(state, at, workspace, (&withdrawn.grant, withdrawn.amount), entry)
        }
        Event::CreditsReserved(reserved) => {
            let (kind, mut credits) = (kind_of(reserved.kind)?, state.credits(workspace)?);
            let amount = credits.reserve(kind, reserved, at.1);
            let entry = (LedgerEntryKind::Reserved, reserved.id.as_slice(), amount);
            record_entry(state, at, workspace, (credits, kind, entry))
        }
        Event::CreditsReleased(released) => {
            let mut credits = state.credits(workspace)?;
            let Some((kind, amount)) = credits.release(&released.id) else { return Ok(()) };
            let entry = (LedgerEntryKind::Released, released.id.as_slice(), amount);
            record_entry(state, at, workspace, (credits, kind, entry))
        }
        _ => Err(IndexError::Broken("an event that is not of billing")),
    }
}

/// Adds a grant.
fn grant_credits<S: State>(
    state: &mut S,
    at: (u64, u64),
    workspace: WorkspaceId,
    grant: &CreditGrant,
) -> Result<(), IndexError> {
    let (kind, mut credits) = (kind_of(grant.kind)?, state.credits(workspace)?);
    credits.grant(grant.clone());
    let entry = LedgerEntry {
        entry: LedgerEntryKind::Granted as u32,
        amount: grant.amount,
        subject: grant.id.clone(),
        note: grant.note.clone(),
        ..LedgerEntry::default()
    };
    record(state, at, workspace, (credits, kind, entry))
}

/// Takes unused credits from a grant.
fn withdraw<S: State>(
    state: &mut S,
    at: (u64, u64),
    workspace: WorkspaceId,
    (grant, amount): (&[u8], u64),
    entry: LedgerEntryKind,
) -> Result<(), IndexError> {
    let mut credits = state.credits(workspace)?;
    let Some((kind, amount)) = credits.withdraw(grant, amount) else { return Ok(()) };
    record_entry(state, at, workspace, (credits, kind, (entry, grant, amount)))
}

/// Changes the auto-recharge of a kind of credits.
fn change_recharge<S: State>(
    state: &mut S,
    workspace: WorkspaceId,
    kind: u32,
    change: impl FnOnce(&mut AutoRechargeState),
) -> Result<(), IndexError> {
    let kind = kind_of(kind)?;
    let mut recharge = state.auto_recharge(workspace, kind)?;
    change(&mut recharge);
    state.put(keys::auto_recharge(workspace, kind), recharge.encode_to_vec());
    Ok(())
}

/// Stores that a report was applied, and its invoice.
fn put_report<S: State>(
    state: &mut S,
    workspace: WorkspaceId,
    report: &str,
    invoice: Option<&Invoice>,
) -> Result<(), IndexError> {
    if !report.is_empty() {
        state.put(keys::provider_report(report), Vec::new());
    }
    let Some(invoice) = invoice else { return Ok(()) };
    let provider = report.split_once(':').map_or("", |(provider, _)| provider);
    let key = keys::invoice(workspace, &invoice.reference);
    match state.get(&key)? {
        Some(before) => {
            let before = Invoice::decode(before.as_slice())?;
            state.remove(keys::invoice_at(workspace, before.at_ms, &before.reference));
        }
        None => add_to(state, keys::invoice_count(workspace), 1)?,
    }
    state.put(keys::invoice_at(workspace, invoice.at_ms, &invoice.reference), Vec::new());
    state.put(key, invoice.encode_to_vec());
    for reference in [&invoice.reference, &invoice.payment] {
        if !reference.is_empty() {
            let value = [workspace.as_bytes().as_slice(), invoice.reference.as_bytes()].concat();
            state.put(keys::billing_reference(provider, reference), value);
        }
    }
    Ok(())
}

/// Stores a subscription and its plan, or that it is over.
fn put_subscription<S: State>(
    state: &mut S,
    workspace: WorkspaceId,
    change: &SubscriptionChange,
    is_over: bool,
) -> Result<(), IndexError> {
    put_report(state, workspace, &change.report, change.invoice.as_ref())?;
    // It had ended before.
    let Some(subscription) = &change.subscription else { return Ok(()) };
    let before = state.subscription(workspace)?;
    if is_over {
        state.remove(keys::subscription(workspace));
        let plan = &subscription.previous_plan;
        return workspaces::change(state, workspace, |state| state.plan.clone_from(plan));
    }
    state.put(keys::subscription(workspace), subscription.encode_to_vec());
    let SubscriptionState { provider, reference, .. } = subscription;
    state.put(keys::billing_reference(provider, reference), workspace.as_bytes().to_vec());
    // The operator may have given the workspace another plan since.
    let paid_plan = |state: &SubscriptionState| state.has_plan().then(|| state.plan.clone());
    let plan = paid_plan(subscription);
    if before.is_some_and(|before| paid_plan(&before) == plan) {
        return Ok(());
    }
    workspaces::change(state, workspace, |state| match plan {
        Some(plan) => state.plan.get_or_insert_default().id = plan,
        None => state.plan.clone_from(&subscription.previous_plan),
    })
}

/// Counts an event as usage of its month, and debits the credits that it used.
pub fn count<S: State>(
    state: &mut S,
    offset: u64,
    workspace: WorkspaceId,
    (envelope, event): (&Envelope, &Event),
) -> Result<(), IndexError> {
    let (at, import) = ((offset, envelope.at_ms), envelope.reservation.as_slice());
    let counted = match event {
        Event::LinkCreated(_) => Some((Counter::Links, 1)),
        Event::QrCodeCreated(_) => Some((Counter::QrCodes, 1)),
        Event::ApiCallsCounted(counted) => Some((Counter::ApiCalls, counted.calls)),
        _ => None,
    };
    if let Some((counter, used)) = counted {
        let used = i64::try_from(used).unwrap_or(i64::MAX);
        add_to(state, keys::usage(workspace, Month::of(at.1), counter), used)?;
    }
    let Some(Debit { kind, amount }) = envelope.debit else {
        if !import.is_empty() {
            let mut credits = state.credits(workspace)?;
            credits.use_reserved_allowance(import);
            put_credits(state, workspace, &credits);
        }
        return Ok(());
    };
    let kind = kind_of(kind)?;
    let mut credits = state.credits(workspace)?;
    let is_reserved = credits.debit_reserved(import, kind, amount);
    let amount = if is_reserved { amount } else { credits.debit(kind, amount, at.1) };
    let entry = LedgerEntry {
        entry: LedgerEntryKind::Debited as u32,
        amount,
        subject: event.subject().to_vec(),
        reservation: if is_reserved { import.to_vec() } else { Vec::new() },
        ..LedgerEntry::default()
    };
    record(state, at, workspace, (credits, kind, entry))
}

fn kind_of(number: u32) -> Result<CreditKind, Unreadable> {
    CreditKind::from_number(number).ok_or(Unreadable("kind of credits"))
}

/// Records an entry of a kind, about a subject, of an amount.
fn record_entry<S: State>(
    state: &mut S,
    at: (u64, u64),
    workspace: WorkspaceId,
    (credits, kind, (entry, subject, amount)): (
        CreditsState,
        CreditKind,
        (LedgerEntryKind, &[u8], u64),
    ),
) -> Result<(), IndexError> {
    let (entry, subject) = (entry as u32, subject.to_vec());
    let entry = LedgerEntry { entry, amount, subject, ..LedgerEntry::default() };
    record(state, at, workspace, (credits, kind, entry))
}

/// Stores the credits after a change, and the change in the ledger, if it is one of credits.
fn record<S: State>(
    state: &mut S,
    (offset, at_ms): (u64, u64),
    workspace: WorkspaceId,
    (credits, kind, entry): (CreditsState, CreditKind, LedgerEntry),
) -> Result<(), IndexError> {
    put_credits(state, workspace, &credits);
    if entry.amount == 0 {
        return Ok(());
    }
    let balance = credits.balance(kind, at_ms);
    let entry = LedgerEntry { at_ms, kind: kind as u32, balance, ..entry };
    state.put(keys::ledger(workspace, offset), entry.encode_to_vec());
    add_to(state, keys::ledger_count(workspace), 1)
}

fn put_credits<S: State>(state: &mut S, workspace: WorkspaceId, credits: &CreditsState) {
    if *credits == CreditsState::default() {
        state.remove(keys::credits(workspace));
    } else {
        state.put(keys::credits(workspace), credits.encode_to_vec());
    }
}
