//! The click counts of a link in analytics.

use std::collections::BTreeMap;

use super::client::Link;
use super::eventually;
use super::server::Server;

impl Server {
    /// How often a link was clicked this month and the last, by these visitors (`exclude`,
    /// `include` or `only` bots).
    #[track_caller]
    pub fn clicks_of(&self, link: &Link, bots: &str) -> u64 {
        let path = format!("{}/clicks/summary?unit=month&units=2&bots={bots}", link.path());
        self.api().get(&path).expect(200).data()["total_clicks"].as_u64().unwrap()
    }

    /// Waits until analytics have this many clicks of a link, bots included.
    #[track_caller]
    pub fn await_clicks(&self, link: &Link, count: u64) {
        self.await_projection();
        assert_eq!(self.clicks_of(link, "include"), count);
    }

    /// A breakdown (`countries`, `devices?bots=only`): value to clicks.
    #[track_caller]
    pub fn breakdown(&self, link: &Link, noun: &str) -> BTreeMap<String, u64> {
        let data = self.api().get(&format!("{}/{noun}", link.path())).expect(200).data();
        let rows = data["metrics"].as_array().unwrap();
        rows.iter()
            .map(|row| {
                let row = row.as_object().unwrap();
                let is_value = |name: &str| name != "clicks" && !name.ends_with("_name");
                let value = row.iter().find(|(name, _)| is_value(name)).unwrap().1;
                let value = value.as_str().unwrap_or("unknown").to_owned();
                (value, row["clicks"].as_u64().unwrap())
            })
            .collect()
    }

    /// All clicks of a link by a dimension, once all are counted: value to clicks.
    #[track_caller]
    pub fn breakdown_of(&self, link: &Link, dimension: &str) -> BTreeMap<String, u64> {
        self.await_projection();
        let body = serde_json::json!({
            "metrics": ["clicks"], "dimensions": [dimension], "date_range": "all",
            "bots": "include",
            "filters": { "dimension": "link", "operator": "is", "value": link.id },
        });
        let data = self.api().post("/analytics/query", &body).expect(200).data();
        let rows = data.as_array().unwrap_or_else(|| panic!("{data}")).iter();
        let value = |row: &serde_json::Value| {
            row["dimensions"][dimension].as_str().unwrap_or_default().to_owned()
        };
        rows.map(|row| (value(row), row["metrics"]["clicks"].as_u64().unwrap())).collect()
    }

    /// Waits until ClickHouse is there.
    pub fn await_analytics(&self) {
        eventually("ClickHouse is up", || {
            let state = self.readiness()["projections"]["clickhouse"]["state"].clone();
            (state == "up").then_some(())
        });
    }
}
