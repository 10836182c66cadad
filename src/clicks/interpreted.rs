//! What an interpretation begins with and what comes out of it: the parts of a click's encoding.

use std::sync::Arc;

use bytes::Bytes;
use prost::Message;

use super::agents::Agent;
use crate::domain::click::{BotReason, ClickTarget};

/// An interpreted visit, ready for the click log. It holds nothing of the visitor's address.
#[must_use = "a click counts once it is appended"]
pub struct Interpreted {
    at_ms: u64,
    link_part: Bytes,
    visit_part: Vec<u8>,
    visit_bot: BotReason,
    agent: Arc<Agent>,
}

impl Interpreted {
    pub(super) fn new(
        at_ms: u64,
        target: &ClickTarget,
        visit_part: Vec<u8>,
        visit_bot: BotReason,
        agent: Arc<Agent>,
    ) -> Self {
        Self { at_ms, link_part: target.part.clone(), visit_part, visit_bot, agent }
    }

    /// The encoding of the [`Click`](crate::domain::click::Click): one part behind the other.
    ///
    /// The agent's comes last: of a field that occurs twice, the last one counts, so its reason
    /// for a bot wins over the visit's. `Human`, being the default, isn't encoded and wins over
    /// nothing.
    pub fn parts(&self) -> [&[u8]; 3] {
        [&self.link_part, &self.visit_part, self.agent.click_part()]
    }

    /// Why the click isn't taken for a human's, or `Human`.
    pub fn bot(&self) -> BotReason {
        match self.agent.bot() {
            BotReason::Human => self.visit_bot,
            reason => reason,
        }
    }

    /// The user agent.
    pub fn agent(&self) -> &Agent {
        &self.agent
    }

    /// Has `append` put the click into the log, behind the
    /// [`AgentSeen`](crate::domain::click::AgentSeen) that is still missing there, if one is.
    ///
    /// `append` gets the encoding of the `AgentSeen` (kind
    /// [`AGENT_SEEN`](crate::domain::click::kind::AGENT_SEEN)) and the click's [`Self::parts`]
    /// (kind [`CLICK`](crate::domain::click::kind::CLICK)), and must put both into the log, in this
    /// order and in one go. Once it returns `Ok`, other clicks of the agent are appended without
    /// the record; so it must return `Ok` only when no later record can be in the log without
    /// these. After an error the next click of the agent brings the record again.
    pub fn append_with<T, E>(
        &self,
        append: impl FnOnce(Option<&[u8]>, [&[u8]; 3]) -> Result<T, E>,
    ) -> Result<T, E> {
        let seen = self.agent.unlogged(self.at_ms).map(|seen| seen.encode_to_vec());
        let appended = append(seen.as_deref(), self.parts())?;
        if seen.is_some() {
            self.agent.logged();
        }
        Ok(appended)
    }
}
