//! Reclassification: what user agents are taken for now, compared with what their clicks say.
//!
//! Nothing is changed here. For each agent of which clicks since some moment have another class, an
//! [`AgentReclassified`] is appended to the click log; the tables that know of it are then made
//! anew, with the new class.

use std::sync::Arc;

use clickhouse::{Client, Row};
use prost::Message;
use serde::Deserialize;

use super::generation::Generation;
use super::{ProjectionError, status::now_ms};
use crate::domain::amendment::AgentReclassified;
use crate::domain::click::{self, BotReason, Device};
use crate::log::Log;

/// How many records are appended with one write.
const AT_ONCE: usize = 1_000;

/// What a user agent is taken for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// What kind of machine.
    pub device: Device,
    /// Why it is taken for a bot, or `Human`.
    pub bot: BotReason,
    /// The pattern of the crawler list that matched; empty otherwise.
    pub bot_pattern: String,
}

/// Who knows user agents.
pub trait Judge: Send + Sync {
    /// Reads the list of crawlers again, for what is judged from now on.
    ///
    /// # Errors
    /// A text for the operator.
    fn renew(&self) -> Result<(), String>;

    /// What a user agent is taken for.
    fn judge(&self, user_agent: &str) -> Judgement;
}

/// What a reclassification found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reclassification {
    /// How many user agents there are of which there are clicks.
    pub agents: u64,
    /// How many of them are taken for something else now.
    pub reclassified: u64,
    /// The offset of the last record that says so; 0 where there is none.
    pub offset: u64,
}

/// An agent, and what its clicks are counted for.
#[derive(Row, Deserialize)]
struct Counted {
    agent_id: u64,
    user_agent: String,
    classes: Vec<(String, String)>,
}

/// Appends what is otherwise now, for clicks from a moment on.
pub async fn reclassify(
    client: Client,
    tables: Generation,
    log: Arc<Log>,
    judge: Arc<dyn Judge>,
    since_ms: u64,
) -> Result<Reclassification, ProjectionError> {
    let counted = "SELECT agent_id, any(text) AS user_agent, groupUniqArray(16)(class) AS classes \
         FROM (SELECT agent_id, (toString(device), \
                   if(bot IN ('prefetch', 'head'), '', toString(bot))) AS class \
               FROM {clicks:Identifier} WHERE ts >= fromUnixTimestamp64Milli({since:Int64}, 'UTC') \
               GROUP BY agent_id, class) AS counted \
         INNER JOIN (SELECT agent_id, any(user_agent) AS text FROM {agents:Identifier} \
               GROUP BY agent_id) AS known USING agent_id \
         GROUP BY agent_id";
    let mut rows = client
        .query(counted)
        .param("clicks", tables.clicks())
        .param("agents", tables.agents())
        .param("since", since_ms)
        .fetch::<Counted>()?;
    let (mut found, mut waiting) = (Reclassification::default(), Vec::new());
    while let Some(Counted { agent_id, user_agent, classes }) = rows.next().await? {
        found.agents += 1;
        let Judgement { device, bot, bot_pattern } = judge.judge(&user_agent);
        let is_same =
            |class: &(String, String)| (device.as_str(), bot.as_str()) == (&class.0, &class.1);
        if classes.iter().all(is_same) {
            continue;
        }
        found.reclassified += 1;
        let record = AgentReclassified {
            at_ms: now_ms(),
            agent: agent_id,
            since_ms,
            device: device.into(),
            bot: bot.into(),
            bot_pattern,
        };
        waiting.push(record.encode_to_vec());
        if waiting.len() == AT_ONCE {
            found.offset = append(&log, &mut waiting)?;
        }
    }
    if !waiting.is_empty() {
        found.offset = append(&log, &mut waiting)?;
    }
    Ok(found)
}

fn append(log: &Log, waiting: &mut Vec<Vec<u8>>) -> Result<u64, ProjectionError> {
    let last = log.append_payloads(click::kind::AGENT_RECLASSIFIED, click::VERSION, waiting)?;
    log.sync()?;
    waiting.clear();
    Ok(last)
}
