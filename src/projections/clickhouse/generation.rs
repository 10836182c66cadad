//! Generations: each build of the tables has its own names.
//!
//! A rebuild fills the tables of the next generation beside those in use, and then adds a row to
//! `generations`: that insert switches to the new tables, for this process and for later ones.
//! Tables of other generations are left over from a rebuild, completed or interrupted, and are
//! dropped.

use clickhouse::Client;

use super::ProjectionError;

/// The placeholder for the suffix of table names in the schema's files.
pub const SUFFIX_MARK: &str = "/*generation*/";

/// The tables of a generation, dependants first: the order in which they are dropped.
const NAMES: [&str; 13] = [
    "clicks_hourly_feed",
    "clicks_daily_links_feed",
    "clicks_daily_values_feed",
    "clicks_hourly",
    "clicks_daily_links",
    "clicks_daily_values",
    "clicks",
    "blocked",
    "agents",
    "forgotten",
    "removed",
    "reclassified",
    "amended",
];

/// One build of the tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Generation(u32);

impl Generation {
    /// The first generation, whose tables have no suffix.
    pub const FIRST: Self = Self(1);

    /// The generation with this number.
    pub const fn of(number: u32) -> Self {
        Self(if number == 0 { 1 } else { number })
    }

    /// The number, from 1.
    pub const fn number(self) -> u32 {
        self.0
    }

    /// The generation that a rebuild of this one creates.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// The suffix of its table names.
    pub fn suffix(self) -> String {
        if self == Self::FIRST { String::new() } else { format!("_g{}", self.0) }
    }

    /// The table of single clicks.
    pub fn clicks(self) -> String {
        format!("clicks{}", self.suffix())
    }

    /// The table of blocked visits.
    pub fn blocked(self) -> String {
        format!("blocked{}", self.suffix())
    }

    /// The table of clicks by hour.
    pub fn clicks_hourly(self) -> String {
        format!("clicks_hourly{}", self.suffix())
    }

    /// The table of clicks by link and day.
    pub fn clicks_daily_links(self) -> String {
        format!("clicks_daily_links{}", self.suffix())
    }

    /// The table of clicks by a dimension's value and day.
    pub fn clicks_daily_values(self) -> String {
        format!("clicks_daily_values{}", self.suffix())
    }

    /// The materialized view that fills the table of clicks by hour.
    pub fn clicks_hourly_feed(self) -> String {
        format!("clicks_hourly_feed{}", self.suffix())
    }

    /// The materialized view that fills the table of clicks by link and day.
    pub fn clicks_daily_links_feed(self) -> String {
        format!("clicks_daily_links_feed{}", self.suffix())
    }

    /// The materialized view that fills the table of clicks by a dimension's value and day.
    pub fn clicks_daily_values_feed(self) -> String {
        format!("clicks_daily_values_feed{}", self.suffix())
    }

    /// The table of deleted links.
    pub fn forgotten(self) -> String {
        format!("forgotten{}", self.suffix())
    }

    /// The table of the clicks that removals deleted.
    pub fn removed(self) -> String {
        format!("removed{}", self.suffix())
    }

    /// The table of reclassified user agents.
    pub fn reclassified(self) -> String {
        format!("reclassified{}", self.suffix())
    }

    /// The table of applied amendments.
    pub fn amended(self) -> String {
        format!("amended{}", self.suffix())
    }

    /// The table of user agents.
    pub fn agents(self) -> String {
        format!("agents{}", self.suffix())
    }

    /// The generation of a table; `None` for tables without one.
    fn of_table(table: &str) -> Option<Self> {
        let rest = NAMES
            .iter()
            .filter_map(|name| table.strip_prefix(name))
            .find(|rest| rest.is_empty() || rest.starts_with("_g"))?;
        match rest.strip_prefix("_g") {
            None => Some(Self::FIRST),
            Some(number) => number.parse().ok().filter(|number| *number > 1).map(Self),
        }
    }

    /// The generation in use.
    pub async fn in_use(client: &Client) -> Result<Self, ProjectionError> {
        let number = client.query("SELECT max(generation) FROM generations");
        Ok(Self::of(number.fetch_one::<u32>().await?))
    }

    /// Switches to this generation.
    pub async fn use_from_now(self, client: &Client) -> Result<(), ProjectionError> {
        let insert = "INSERT INTO generations (generation) VALUES ({generation:UInt32})";
        Ok(client.query(insert).param("generation", self.0).execute().await?)
    }

    /// Drops the tables of this generation.
    pub async fn drop_tables(self, client: &Client) -> Result<(), ProjectionError> {
        for name in NAMES {
            client
                .query("DROP TABLE IF EXISTS {table:Identifier} SYNC")
                .param("table", format!("{name}{}", self.suffix()))
                .execute()
                .await?;
        }
        Ok(())
    }

    /// Drops the tables of all other generations.
    pub async fn drop_others(self, client: &Client) -> Result<(), ProjectionError> {
        let tables = client
            .query("SELECT name FROM system.tables WHERE database = currentDatabase()")
            .fetch_all::<String>()
            .await?;
        let mut others: Vec<_> = tables.iter().filter_map(|name| Self::of_table(name)).collect();
        others.sort_unstable();
        others.dedup();
        for other in others.into_iter().filter(|other| *other != self) {
            tracing::info!(generation = other.0, "dropping tables left over from a rebuild");
            other.drop_tables(client).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_name_contains_its_generation() {
        let second = Generation::FIRST.next();
        for (table, generation) in [
            ("clicks", Some(Generation::FIRST)),
            ("clicks_hourly", Some(Generation::FIRST)),
            ("clicks_hourly_feed_g2", Some(second)),
            ("clicks_daily_values_g2", Some(second)),
            ("agents_g12", Some(Generation(12))),
            ("clicks_g1", None),
            ("clicks_gone", None),
            ("generations", None),
            ("origin", None),
        ] {
            assert_eq!(Generation::of_table(table), generation, "{table}");
        }
        assert_eq!(second.clicks(), "clicks_g2");
        assert_eq!(Generation::of_table(&second.clicks_hourly()), Some(second));
    }
}
