//! What a rebuild does otherwise than the tables before it did: clicks of links that are forgotten
//! by now stay out, and clicks of reclassified agents have their new class from the beginning.

use std::collections::HashMap;

use clickhouse::{Client, Row};
use serde::Deserialize;
use uuid::Uuid;

use super::ProjectionError;
use super::generation::Generation;
use crate::domain::click::BotReason;
use crate::domain::click::view::ClickView;

/// Amendments that are carried out as the clicks are sent. There are none but in a rebuild.
#[derive(Default)]
pub struct Corrections {
    /// Links of which clicks were removed already.
    removed: HashMap<Uuid, Removed>,
    /// By agent, in the order of the log.
    reclassified: HashMap<u64, Vec<Class>>,
}

/// What an agent's clicks count for, between a moment and an offset.
struct Class {
    /// In milliseconds since the Unix epoch.
    since_ms: u64,
    /// The offset of the record that says so: later clicks know it by themselves.
    before: u64,
    device: String,
    bot: String,
}

#[derive(Row, Deserialize)]
struct Removed {
    #[serde(with = "clickhouse::serde::uuid")]
    link_id: Uuid,
    /// Those before this offset, of any version: older versions of slugline wrote no version.
    before: u64,
    /// Those up to this offset,
    through: u64,
    /// and of no later version than this.
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
    /// Those that these tables know of: of the removals, the ones that are done.
    pub async fn read(client: &Client, generation: Generation) -> Result<Self, ProjectionError> {
        let removed = client
            .query(
                "SELECT link_id, maxIf(log_offset, through_version = 0) AS before, \
                 maxIf(log_offset, through_version > 0) AS through, \
                 max(through_version) AS version FROM {forgotten:Identifier} \
                 WHERE log_offset <= \
                 (SELECT max(through) FROM {amended:Identifier} WHERE what = 'removal') \
                 GROUP BY link_id",
            )
            .param("forgotten", generation.forgotten())
            .param("amended", generation.amended())
            .fetch_all::<Removed>()
            .await?;
        let rows = client
            .query(
                "SELECT agent_id, log_offset, toUnixTimestamp64Milli(since) AS since, \
                 toString(device) AS device, toString(bot) AS bot \
                 FROM {reclassified:Identifier} ORDER BY log_offset",
            )
            .param("reclassified", generation.reclassified())
            .fetch_all::<Reclassified>()
            .await?;
        let mut reclassified: HashMap<_, Vec<_>> = HashMap::new();
        for Reclassified { agent_id, log_offset, since, device, bot } in rows {
            let since_ms = u64::try_from(since).unwrap_or(0);
            let class = Class { since_ms, before: log_offset, device, bot };
            reclassified.entry(agent_id).or_default().push(class);
        }
        let removed = removed.into_iter().map(|row: Removed| (row.link_id, row)).collect();
        Ok(Self { removed, reclassified })
    }

    /// Whether a click at an offset, of a version of a link, stays out.
    pub fn is_removed(&self, link: Uuid, offset: u64, version: u32) -> bool {
        let is_gone =
            |of: &Removed| offset < of.before || (offset <= of.through && version <= of.version);
        !self.removed.is_empty() && self.removed.get(&link).is_some_and(is_gone)
    }

    /// Device and reason for a bot of a click at an offset, where they are others by now. A reason
    /// that lies in the visit itself holds for whatever is no bot otherwise.
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
    fn a_link_is_forgotten_up_to_an_offset_and_a_version() {
        let [one, other] = [1, 2].map(Uuid::from_u128);
        let removed = Removed { link_id: one, before: 5, through: 10, version: 3 };
        let removed = HashMap::from([(one, removed)]);
        let corrections = Corrections { removed, ..Corrections::default() };
        assert!(corrections.is_removed(one, 10, 3) && !corrections.is_removed(one, 11, 3));
        assert!(!corrections.is_removed(one, 9, 4), "it was restored");
        assert!(corrections.is_removed(one, 4, 4), "an older record states no version");
        assert!(!corrections.is_removed(other, 9, 3));
    }

    #[test]
    fn the_last_word_on_an_agent_holds_for_what_came_before_it() {
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
        assert_eq!(bot(7, 200, 5, false), Some(""), "the last word");
        assert_eq!(bot(7, 200, 20, false), None);
    }
}
