//! Generations: each build of the tables has names of its own.
//!
//! A rebuild fills the tables of the next generation beside those in use, and then adds one row
//! to `generations`: the insert of that row is the moment at which the new tables are the ones
//! in use, for this process and for the next. Tables of any other generation are left over from
//! a rebuild, finished or cut off, and are dropped.

use clickhouse::Client;

use super::ProjectionError;

/// What stands in the schema's files behind each table's name, in place of the suffix.
pub const SUFFIX_MARK: &str = "/*generation*/";

/// What each generation has, dependants first: the order in which they are dropped.
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
    /// The first one, whose tables have no suffix.
    pub const FIRST: Self = Self(1);

    /// The generation with this number.
    pub const fn of(number: u32) -> Self {
        Self(if number == 0 { 1 } else { number })
    }

    /// Its number, from 1 on.
    pub const fn number(self) -> u32 {
        self.0
    }

    /// The one that a rebuild of this one makes.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// What its tables' names end in.
    pub fn suffix(self) -> String {
        if self == Self::FIRST { String::new() } else { format!("_g{}", self.0) }
    }

    /// The table of single clicks.
    pub fn clicks(self) -> String {
        format!("clicks{}", self.suffix())
    }

    /// The table of visits that a gate stopped.
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

    /// What feeds the table of clicks by hour.
    pub fn clicks_hourly_feed(self) -> String {
        format!("clicks_hourly_feed{}", self.suffix())
    }

    /// What feeds the table of clicks by link and day.
    pub fn clicks_daily_links_feed(self) -> String {
        format!("clicks_daily_links_feed{}", self.suffix())
    }

    /// What feeds the table of clicks by a dimension's value and day.
    pub fn clicks_daily_values_feed(self) -> String {
        format!("clicks_daily_values_feed{}", self.suffix())
    }

    /// The table of links that were deleted.
    pub fn forgotten(self) -> String {
        format!("forgotten{}", self.suffix())
    }

    /// The table of what the removal of their clicks took away.
    pub fn removed(self) -> String {
        format!("removed{}", self.suffix())
    }

    /// The table of user agents that are taken for something else by now.
    pub fn reclassified(self) -> String {
        format!("reclassified{}", self.suffix())
    }

    /// The table that says which amendments are carried out.
    pub fn amended(self) -> String {
        format!("amended{}", self.suffix())
    }

    /// The table of user agents.
    pub fn agents(self) -> String {
        format!("agents{}", self.suffix())
    }

    /// Which generation a table is of; `None` for tables of no generation.
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

    /// Makes this the generation in use.
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

    /// Drops the tables of every generation but this one.
    pub async fn drop_others(self, client: &Client) -> Result<(), ProjectionError> {
        let tables = client
            .query("SELECT name FROM system.tables WHERE database = currentDatabase()")
            .fetch_all::<String>()
            .await?;
        let mut others: Vec<_> = tables.iter().filter_map(|name| Self::of_table(name)).collect();
        others.sort_unstable();
        others.dedup();
        for other in others.into_iter().filter(|other| *other != self) {
            tracing::info!(generation = other.0, "tables left over from a rebuild are dropped");
            other.drop_tables(client).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_tells_its_generation() {
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
