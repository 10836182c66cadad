//! Generations: each build of the tables has its own names.
//!
//! A rebuild fills the tables of the next generation beside those in use, and then adds a row to
//! `generations`: that insert switches to the new tables, for this process and for later ones.
//! Tables of other generations are left over from a rebuild, completed or interrupted, and are
//! dropped.

use clickhouse::Client;
use clickhouse::query::Query;

use super::ProjectionError;

/// The placeholder for the suffix of table names in the schema's files.
pub const SUFFIX_MARK: &str = "/*generation*/";

/// The tables of a generation, dependants first: the order in which they are dropped.
const NAMES: [&str; 14] = [
    // Materialized views, which fill the rollups:
    "clicks_hourly_feed",
    "clicks_daily_links_feed",
    "clicks_daily_values_feed",
    "clicks_daily_codes_feed",
    // Clicks by hour; by link and day; by a dimension's value and day.
    "clicks_hourly",
    "clicks_daily_links",
    "clicks_daily_values",
    // Single clicks, blocked visits, user agents.
    "clicks",
    "blocked",
    "agents",
    // Deleted links, the clicks removed with them, reclassified agents, applied amendments.
    "forgotten",
    "removed",
    "reclassified",
    "amended",
];

/// The parameters of queries, and the tables that they stand for.
const PARAMETERS: [(&str, &str); 10] = [
    ("hourly", "clicks_hourly"),
    ("links", "clicks_daily_links"),
    ("values", "clicks_daily_values"),
    ("clicks", "clicks"),
    ("blocked", "blocked"),
    ("agents", "agents"),
    ("forgotten", "forgotten"),
    ("removed", "removed"),
    ("reclassified", "reclassified"),
    ("amended", "amended"),
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

    /// The name of one of its [tables](NAMES).
    pub fn table(self, name: &str) -> String {
        format!("{name}{}", self.suffix())
    }

    /// A query that can name its tables as parameters.
    pub fn query(self, client: &Client, sql: &str) -> Query {
        self.bind(client.query(sql), "")
    }

    /// Sets a parameter for each table, whose name starts with `prefix`.
    pub fn bind(self, query: Query, prefix: &str) -> Query {
        PARAMETERS.into_iter().fold(query, |query, (name, table)| {
            query.param(&format!("{prefix}{name}"), self.table(table))
        })
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
        let tables = tables(client).await?;
        let exists = |name| tables.contains(&self.table(name));
        let is_empty = !NAMES.into_iter().any(exists);
        for name in NAMES.into_iter().filter(|_| !is_empty) {
            if name.ends_with("_feed") && !exists(name) {
                // A migration that was interrupted left it detached: it can't be dropped then.
                let attach = client.query("ATTACH TABLE IF NOT EXISTS {table:Identifier}");
                let _not_there = attach.param("table", self.table(name)).execute().await;
            }
            client
                .query("DROP TABLE IF EXISTS {table:Identifier} SYNC")
                .param("table", self.table(name))
                .execute()
                .await?;
        }
        Ok(())
    }

    /// Drops the tables of all other generations.
    pub async fn drop_others(self, client: &Client) -> Result<(), ProjectionError> {
        let tables = tables(client).await?;
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

/// The tables of the database.
async fn tables(client: &Client) -> Result<Vec<String>, ProjectionError> {
    let query = "SELECT name FROM system.tables WHERE database = currentDatabase()";
    Ok(client.query(query).fetch_all().await?)
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
        assert_eq!(second.table("clicks"), "clicks_g2");
        assert_eq!(Generation::of_table(&second.table("clicks_hourly")), Some(second));
    }
}
