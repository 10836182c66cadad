//! The plans, the monthly usage and the credits of workspaces in the index.

use prost::Message;

use super::encoding::number;
use super::group::Group;
use super::read::{Read, ReadRanges};
use super::state::{State, add_to};
use super::{IndexError, keys, workspaces};
use crate::domain::error::Unreadable;
use crate::domain::event::{Debit, Event};
use crate::domain::ids::WorkspaceId;
use crate::domain::plan::credit::{CreditKind, LedgerEntryKind};
use crate::domain::plan::limit::{Counter, Month};
use crate::domain::plan::state::{CreditsState, LedgerEntry};

const BROKEN_LEDGER: IndexError = IndexError::Broken("a ledger entry's key");

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

    /// All workspaces with credits.
    fn all_credits(&self) -> Result<Vec<(WorkspaceId, CreditsState)>, IndexError>
    where
        Self: ReadRanges,
    {
        let rows = self.rows(keys::CREDITS)?.into_iter();
        let all = rows.map(|(key, value)| {
            let id = keys::last_id(&key).and_then(|bytes| WorkspaceId::from_bytes(&bytes).ok());
            let id = id.ok_or(IndexError::Broken("a workspace's key"))?;
            Ok((id, CreditsState::decode(value.as_slice())?))
        });
        all.collect::<Result<_, _>>().map_err(|error| self.report_damage(error))
    }

    /// The changes of a workspace's credits with their offsets, oldest first.
    fn ledger(&self, workspace: WorkspaceId) -> Result<Vec<(u64, LedgerEntry)>, IndexError>
    where
        Self: ReadRanges,
    {
        let rows = self.rows(&keys::ledger_of(workspace))?.into_iter();
        let entries = rows.map(|(key, value)| {
            let offset = keys::audited_offset(&key).ok_or(BROKEN_LEDGER)?;
            Ok((offset, LedgerEntry::decode(value.as_slice())?))
        });
        entries.collect::<Result<_, _>>().map_err(|error| self.report_damage(error))
    }
}

impl<R: Read + ?Sized> ReadBilling for R {}

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
            let kind = kind_of(grant.kind)?;
            let mut credits = state.credits(workspace)?;
            credits.grant(grant.clone());
            let entry = LedgerEntry {
                entry: LedgerEntryKind::Granted as u32,
                amount: grant.amount,
                subject: grant.id.clone(),
                note: grant.note.clone(),
                ..LedgerEntry::default()
            };
            record(state, at, workspace, (credits, kind, entry));
            Ok(())
        }
        Event::CreditsRefunded(withdrawn) | Event::CreditsExpired(withdrawn) => {
            let mut credits = state.credits(workspace)?;
            let entry = match event {
                Event::CreditsExpired(_) => LedgerEntryKind::Expired,
                _ => LedgerEntryKind::Refunded,
            };
            let taken = credits.withdraw(&withdrawn.grant, withdrawn.amount);
            let Some((kind, amount)) = taken else { return Ok(()) };
            let (entry, subject) = (entry as u32, withdrawn.grant.clone());
            let entry = LedgerEntry { entry, amount, subject, ..LedgerEntry::default() };
            record(state, at, workspace, (credits, kind, entry));
            Ok(())
        }
        _ => Err(IndexError::Broken("an event that is not of billing")),
    }
}

/// Counts an event as usage of its month, and debits the credits that it used.
pub fn count<S: State>(
    state: &mut S,
    at: (u64, u64),
    workspace: WorkspaceId,
    (event, debit): (&Event, Option<Debit>),
) -> Result<(), IndexError> {
    let counted = match event {
        Event::LinkCreated(_) => Some((Counter::Links, 1)),
        Event::ApiCallsCounted(counted) => Some((Counter::ApiCalls, counted.calls)),
        _ => None,
    };
    if let Some((counter, used)) = counted {
        let used = i64::try_from(used).unwrap_or(i64::MAX);
        add_to(state, keys::usage(workspace, Month::of(at.1), counter), used)?;
    }
    let Some(Debit { kind, amount }) = debit else { return Ok(()) };
    let kind = kind_of(kind)?;
    let mut credits = state.credits(workspace)?;
    let amount = credits.debit(kind, amount, at.1);
    let (entry, subject) = (LedgerEntryKind::Debited as u32, event.subject().to_vec());
    let entry = LedgerEntry { entry, amount, subject, ..LedgerEntry::default() };
    record(state, at, workspace, (credits, kind, entry));
    Ok(())
}

fn kind_of(number: u32) -> Result<CreditKind, Unreadable> {
    CreditKind::from_number(number).ok_or(Unreadable("kind of credits"))
}

/// Stores the credits after a change, and the change in the ledger.
fn record<S: State>(
    state: &mut S,
    (offset, at_ms): (u64, u64),
    workspace: WorkspaceId,
    (credits, kind, entry): (CreditsState, CreditKind, LedgerEntry),
) {
    let balance = credits.balance(kind, at_ms);
    let entry = LedgerEntry { at_ms, kind: kind as u32, balance, ..entry };
    state.put(keys::ledger(workspace, offset), entry.encode_to_vec());
    if credits.grants.is_empty() {
        state.remove(keys::credits(workspace));
    } else {
        state.put(keys::credits(workspace), credits.encode_to_vec());
    }
}
