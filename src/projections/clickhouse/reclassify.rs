//! Reclassification: compares the current class of user agents with that of their clicks.
//!
//! Nothing is changed here. For each agent whose clicks since a time have another class, an
//! [`AgentReclassified`] is appended to the click log; a rebuild then applies the new class.

use std::sync::Arc;

use clickhouse::{Client, Row};
use prost::Message;
use serde::Deserialize;

use super::generation::Generation;
use super::{ProjectionError, status::now_ms};
use crate::domain::amendment::AgentReclassified;
use crate::domain::click::{self, BotReason, Device};
use crate::log::Log;

/// The maximum number of records per write.
const AT_ONCE: usize = 1_000;

/// The class of a user agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserAgentClass {
    /// The kind of device.
    pub device: Device,
    /// The reason for a bot, or `Human`.
    pub bot: BotReason,
    /// The matching pattern of the crawler list; empty if none.
    pub bot_pattern: String,
}

/// Classifies user agents.
pub trait UserAgentClassifier: Send + Sync {
    /// Reloads the crawler list.
    ///
    /// # Errors
    /// A message for the operator.
    fn reload(&self) -> Result<(), String>;

    /// The class of a user agent.
    fn classify(&self, user_agent: &str) -> UserAgentClass;
}

/// The result of a reclassification.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reclassification {
    /// The number of user agents with clicks.
    pub agents: u64,
    /// The number of reclassified user agents.
    pub reclassified: u64,
    /// The offset of the last reclassification; 0 if there is none.
    pub offset: u64,
}

/// A user agent, and the classes of its clicks.
#[derive(Row, Deserialize)]
struct Counted {
    agent_id: u64,
    user_agent: String,
    classes: Vec<(String, String)>,
}

/// Appends the reclassifications for clicks since a time.
pub async fn reclassify(
    client: Client,
    tables: Generation,
    log: Arc<dyn Log>,
    classifier: Arc<dyn UserAgentClassifier>,
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
    let query = tables.query(&client, counted).param("since", since_ms);
    let mut rows = query.fetch::<Counted>()?;
    let (mut found, mut waiting) = (Reclassification::default(), Vec::new());
    while let Some(Counted { agent_id, user_agent, classes }) = rows.next().await? {
        found.agents += 1;
        let UserAgentClass { device, bot, bot_pattern } = classifier.classify(&user_agent);
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
            found.offset = append(&*log, &mut waiting)?;
        }
    }
    if !waiting.is_empty() {
        found.offset = append(&*log, &mut waiting)?;
    }
    Ok(found)
}

fn append(log: &dyn Log, waiting: &mut Vec<Vec<u8>>) -> Result<u64, ProjectionError> {
    let last = log.append_payloads(click::kind::AGENT_RECLASSIFIED, click::VERSION, waiting)?;
    log.sync()?;
    waiting.clear();
    Ok(last)
}
