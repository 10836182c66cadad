//! Clicks that go into the log together.

use std::sync::Arc;

use prost::Message;

use super::enriched_visit::EnrichedVisit;
use super::user_agent_cache::Agent;
use crate::domain::click::{BotReason, Click, ClickTarget, VERSION, kind};
use crate::domain::link::{Block, ClickLimit};
use crate::log::NewRecord;

/// Beyond this capacity the memory is given back after use, in bytes.
const KEPT_BYTES: usize = 256 << 10;

/// Clicks of one moment, encoded and not yet in the log.
///
/// One append of many costs little more than of one. Nobody may be answered before his click's
/// group was appended. The memory is used again from group to group.
#[derive(Default)]
pub struct ClickBatch {
    /// The records' payloads, back to back.
    payloads: Vec<u8>,
    entries: Vec<Entry>,
    /// Those whose records are in this group.
    agents: Vec<Arc<Agent>>,
    humans: u64,
    bots: u64,
}

/// A record. Its payload begins where that of the one before it ends.
struct Entry {
    kind: u16,
    payload_end: usize,
}

impl ClickBatch {
    /// How many clicks it holds.
    pub const fn clicks(&self) -> u64 {
        self.humans + self.bots
    }

    /// How many of them are taken for humans', and for bots'.
    pub(super) const fn kinds(&self) -> (u64, u64) {
        (self.humans, self.bots)
    }

    /// How large it is, in bytes.
    pub const fn bytes(&self) -> usize {
        self.payloads.len()
    }

    /// Whether it holds nothing.
    pub const fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Adds a click, behind the [`AgentSeen`](crate::domain::click::AgentSeen) that is still
    /// missing in the log, if one is.
    pub fn push(&mut self, enriched: &EnrichedVisit<'_>, target: &ClickTarget) {
        self.push_record(kind::CLICK, enriched, target, &[]);
        match enriched.bot() {
            BotReason::Human => self.humans += 1,
            _ => self.bots += 1,
        }
    }

    /// Adds a click that is the `nth` of a limit.
    pub(super) fn push_limited(
        &mut self,
        enriched: &EnrichedVisit<'_>,
        target: &ClickTarget,
        limit: &ClickLimit,
        nth: u64,
    ) {
        let (limited_since, limited_nth) = (limit.since_version, nth);
        let counted = Click { limited_since, limited_nth, ..Click::default() }.encode_to_vec();
        self.push_record(kind::CLICK, enriched, target, &counted);
        match enriched.bot() {
            BotReason::Human => self.humans += 1,
            _ => self.bots += 1,
        }
    }

    /// Adds a visit that a gate stopped: no click.
    pub(super) fn push_blocked(
        &mut self,
        enriched: &EnrichedVisit<'_>,
        target: &ClickTarget,
        block: Block,
    ) {
        let blocked = Click { block: block.into(), ..Click::default() }.encode_to_vec();
        self.push_record(kind::BLOCKED, enriched, target, &blocked);
    }

    /// `more` is the encoding of further fields.
    fn push_record(
        &mut self,
        kind: u16,
        enriched: &EnrichedVisit<'_>,
        target: &ClickTarget,
        more: &[u8],
    ) {
        // A panic may have left half a payload.
        self.payloads.truncate(self.entries.last().map_or(0, |entry| entry.payload_end));
        let agent = &enriched.agent;
        if let Some(seen) = agent.unlogged(enriched.at_ms)
            && !self.agents.iter().any(|one| Arc::ptr_eq(one, agent))
        {
            self.payloads.extend_from_slice(&seen.encode_to_vec());
            self.end(kind::AGENT_SEEN);
            self.agents.push(Arc::clone(agent));
        }
        enriched.encode(target, &mut self.payloads);
        self.payloads.extend_from_slice(more);
        self.end(kind);
    }

    fn end(&mut self, kind: u16) {
        self.entries.push(Entry { kind, payload_end: self.payloads.len() });
    }

    /// Has `append` put the records into the log, in this order and in one go, and is empty then.
    ///
    /// Once it returns `Ok`, other clicks of these agents are appended without their records; so
    /// it must return `Ok` only when no later record can be in the log without these. After an
    /// error the next click of each agent brings its record again.
    pub fn append_with<E>(
        &mut self,
        append: impl FnOnce(&[NewRecord<'_>]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut start = 0;
        let parts: Vec<[&[u8]; 1]> = self
            .entries
            .iter()
            .map(|entry| {
                let payload = self.payloads.get(start..entry.payload_end).unwrap_or_default();
                start = entry.payload_end;
                [payload]
            })
            .collect();
        let records = self.entries.iter().zip(&parts);
        let records: Vec<_> = records
            .map(|(entry, parts)| NewRecord { kind: entry.kind, version: VERSION, parts })
            .collect();
        let appended = append(&records);
        if appended.is_ok() {
            self.agents.iter().for_each(|agent| agent.logged());
        }
        self.clear();
        appended
    }

    fn clear(&mut self) {
        self.payloads.clear();
        self.payloads.shrink_to(KEPT_BYTES);
        self.entries.clear();
        self.agents.clear();
        (self.humans, self.bots) = (0, 0);
    }
}
