//! Amendments that a rebuild applies directly: clicks of deleted links are left out, and clicks of
//! reclassified agents get their new class.

use std::collections::HashMap;

use clickhouse::{Client, Row};
use serde::Deserialize;
use uuid::Uuid;

use super::ProjectionError;
use super::generation::Generation;
use crate::domain::click::BotReason;
use crate::domain::click::view::ClickView;

/// Amendments to apply while clicks are sent. Empty except in a rebuild.
#[derive(Default)]
pub struct Corrections {
    /// Links whose clicks are removed.
    removed: HashMap<Uuid, Removed>,
    /// Reclassifications by agent, in log order.
    reclassified: HashMap<u64, Vec<Class>>,
}

/// The class of an agent's clicks from a time, up to an offset.
struct Class {
    /// In milliseconds since the Unix epoch.
    since_ms: u64,
    /// The offset of the reclassification: later clicks have the right class already.
    before: u64,
    device: String,
    bot: String,
}

#[derive(Row, Deserialize)]
struct Removed {
    #[serde(with = "clickhouse::serde::uuid")]
    link_id: Uuid,
    /// Clicks before this offset, of any version: older versions of slugline wrote no version.
    before: u64,
    /// Clicks up to this offset,
    through: u64,
    /// with at most this version.
    version: u32,
}

#[derive(Row, Deserialize)]
struct Reclassified {
    agent_id: u64,
    log_offset: u64,
    since: i64,
    device: String,
    bot: String,
}

impl Corrections {
    /// Reads the amendments in these tables; of the removals, only the completed ones.
    pub async fn read(client: &Client, generation: Generation) -> Result<Self, ProjectionError> {
        let removed = "SELECT link_id, maxIf(log_offset, through_version = 0) AS before, \
             maxIf(log_offset, through_version > 0) AS through, \
             max(through_version) AS version FROM {forgotten:Identifier} \
             WHERE log_offset <= \
             (SELECT max(through) FROM {amended:Identifier} WHERE what = 'removal') \
             GROUP BY link_id";
        let removed = generation.query(client, removed).fetch_all::<Removed>().await?;
        let rows = "SELECT agent_id, log_offset, toUnixTimestamp64Milli(since) AS since, \
             toString(device) AS device, toString(bot) AS bot \
             FROM {reclassified:Identifier} ORDER BY log_offset";
        let rows = generation.query(client, rows).fetch_all::<Reclassified>().await?;
        let mut reclassified: HashMap<_, Vec<_>> = HashMap::new();
        for Reclassified { agent_id, log_offset, since, device, bot } in rows {
            let since_ms = u64::try_from(since).unwrap_or(0);
            let class = Class { since_ms, before: log_offset, device, bot };
            reclassified.entry(agent_id).or_default().push(class);
        }
        let removed = removed.into_iter().map(|row: Removed| (row.link_id, row)).collect();
        Ok(Self { removed, reclassified })
    }

    /// Whether a click is removed.
    pub fn is_removed(&self, link: Uuid, offset: u64, version: u32) -> bool {
        let is_gone =
            |of: &Removed| offset < of.before || (offset <= of.through && version <= of.version);
        !self.removed.is_empty() && self.removed.get(&link).is_some_and(is_gone)
    }

    /// The device and the bot reason of a reclassified click. A reason due to the visit itself
    /// still applies if the agent is not a bot.
    pub fn class_of(&self, click: &ClickView<'_>, offset: u64) -> Option<(&str, &str)> {
        if self.reclassified.is_empty() {
            return None;
        }
        let is_meant = |class: &&Class| offset < class.before && click.at_ms >= class.since_ms;
        let class = self.reclassified.get(&click.agent)?.iter().rfind(is_meant)?;
        let bot = match class.bot.as_str() {
            "" if click.head => BotReason::Head.as_str(),
            "" if click.prefetch => BotReason::Prefetch.as_str(),
            reason => reason,
        };
        Some((&class.device, bot))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clicks_are_removed_up_to_an_offset_and_a_version() {
        let [one, other] = [1, 2].map(Uuid::from_u128);
        let removed = Removed { link_id: one, before: 5, through: 10, version: 3 };
        let removed = HashMap::from([(one, removed)]);
        let corrections = Corrections { removed, ..Corrections::default() };
        assert!(corrections.is_removed(one, 10, 3) && !corrections.is_removed(one, 11, 3));
        assert!(!corrections.is_removed(one, 9, 4), "it was restored");
        assert!(corrections.is_removed(one, 4, 4), "an older record has no version");
        assert!(!corrections.is_removed(other, 9, 3));
    }

    #[test]
    fn the_last_reclassification_applies_to_the_clicks_before_it() {
        let class = |since_ms, before, bot: &str| Class {
            since_ms,
            before,
            device: "desktop".to_owned(),
            bot: bot.to_owned(),
        };
        let classes = vec![class(100, 10, "pattern"), class(200, 20, "")];
        let corrections =
            Corrections { reclassified: HashMap::from([(7, classes)]), ..Corrections::default() };
        let bot = |agent, at_ms, offset, head| {
            let click = ClickView { at_ms, agent, head, ..ClickView::default() };
            corrections.class_of(&click, offset).map(|(_, bot)| bot)
        };
        assert_eq!(bot(8, 150, 5, false), None, "another agent");
        assert_eq!(bot(7, 99, 5, false), None, "before both times");
        assert_eq!(bot(7, 150, 5, false), Some("pattern"));
        assert_eq!(
            bot(7, 150, 10, false),
            None,
            "a click after the first, before the time of the second"
        );
        assert_eq!(bot(7, 200, 15, false), Some(""));
        assert_eq!(bot(7, 200, 15, true), Some("head"));
        assert_eq!(bot(7, 200, 5, false), Some(""), "the last reclassification");
        assert_eq!(bot(7, 200, 20, false), None);
    }
}
