//! A batch of clicks for one log append.

use std::sync::Arc;

use prost::Message;

use super::enriched_visit::EnrichedVisit;
use super::user_agent_cache::Agent;
use crate::domain::click::{BotReason, Click, ClickTarget, VERSION, kind};
use crate::domain::link::{Block, ClickLimit};
use crate::log::NewRecord;

/// The buffer is shrunk to this capacity after use, in bytes.
const RETAINED_BYTES: usize = 256 << 10;

/// Encoded clicks that are not in the log yet.
///
/// Appending many clicks at once costs little more than appending one. A visitor gets no response
/// before the batch with the click is appended. The batch is reusable and keeps its memory.
#[derive(Default)]
pub struct ClickBatch {
    /// The records' payloads, back to back.
    payloads: Vec<u8>,
    entries: Vec<Entry>,
    /// The agents whose records are in this batch.
    agents: Vec<Arc<Agent>>,
    humans: u64,
    bots: u64,
}

/// A record. Its payload starts at the end of the previous one's.
struct Entry {
    kind: u16,
    payload_end: usize,
}

impl ClickBatch {
    /// Number of clicks.
    pub const fn clicks(&self) -> u64 {
        self.humans + self.bots
    }

    /// Number of human clicks and of bot clicks.
    pub(super) const fn kinds(&self) -> (u64, u64) {
        (self.humans, self.bots)
    }

    /// Size in bytes.
    pub const fn bytes(&self) -> usize {
        self.payloads.len()
    }

    /// Whether the batch is empty.
    pub const fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Adds a click, preceded by the [`AgentSeen`](crate::domain::click::AgentSeen) record of its
    /// agent if the log does not have it yet.
    pub fn push(&mut self, enriched: &EnrichedVisit<'_>, target: &ClickTarget) {
        self.push_click(enriched, target, &[]);
    }

    /// Adds the `nth` click of a limit.
    pub(super) fn push_limited(
        &mut self,
        enriched: &EnrichedVisit<'_>,
        target: &ClickTarget,
        limit: &ClickLimit,
        nth: u64,
    ) {
        let (limited_since, limited_nth) = (limit.since_version, nth);
        let counted = Click { limited_since, limited_nth, ..Click::default() }.encode_to_vec();
        self.push_click(enriched, target, &counted);
    }

    fn push_click(&mut self, enriched: &EnrichedVisit<'_>, target: &ClickTarget, more: &[u8]) {
        self.push_record(kind::CLICK, enriched, target, more);
        match enriched.bot() {
            BotReason::Human => self.humans += 1,
            _ => self.bots += 1,
        }
    }

    /// Adds a visit that was blocked, which is not a click.
    pub(super) fn push_blocked(
        &mut self,
        enriched: &EnrichedVisit<'_>,
        target: &ClickTarget,
        block: Block,
    ) {
        let blocked = Click { block: block.into(), ..Click::default() }.encode_to_vec();
        self.push_record(kind::BLOCKED, enriched, target, &blocked);
    }

    /// Adds a record; `more` are additional encoded fields.
    fn push_record(
        &mut self,
        kind: u16,
        enriched: &EnrichedVisit<'_>,
        target: &ClickTarget,
        more: &[u8],
    ) {
        // Remove the partial payload that a panic may have left.
        self.payloads.truncate(self.entries.last().map_or(0, |entry| entry.payload_end));
        let agent = &enriched.agent;
        if let Some(seen) = agent.pending_record(enriched.at_ms)
            && !self.agents.iter().any(|known| Arc::ptr_eq(known, agent))
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

    /// Passes the records to `append`, in order, and clears the batch.
    ///
    /// After `Ok`, later clicks of these agents are appended without the agents' records. So
    /// `append` must only return `Ok` if no later record can be in the log without these. After an
    /// error, the next click of each agent adds the agent's record again.
    pub fn append_with<E>(
        &mut self,
        append: impl FnOnce(&[NewRecord<'_>]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut start = 0;
        let records = self.entries.iter().map(|entry| {
            let payload = self.payloads.get(start..entry.payload_end).unwrap_or_default();
            start = entry.payload_end;
            NewRecord { kind: entry.kind, version: VERSION, payload }
        });
        let records: Vec<_> = records.collect();
        let appended = append(&records);
        if appended.is_ok() {
            self.agents.iter().for_each(|agent| agent.mark_logged());
        }
        self.clear();
        appended
    }

    fn clear(&mut self) {
        self.payloads.clear();
        self.payloads.shrink_to(RETAINED_BYTES);
        self.entries.clear();
        self.agents.clear();
        (self.humans, self.bots) = (0, 0);
    }
}
