//! The expected result of a query, computed by counting each click.

use std::collections::{BTreeMap, HashSet};

use serde_json::{Map, Value, json};

use super::buckets::{Bucket, buckets};
use super::fact::{Fact, place, shown};
use super::question::{Question, timestamp};
use super::world::{HOUR_MS, World};

/// Above this number visitors are counted approximately, below it exactly.
const MANY_VISITORS: usize = 250;

/// A dimension's value, as rows are ordered by it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// A bucket's place, or a number.
    Number(u64),
    Text(String),
}

/// The metrics of some clicks.
#[derive(Debug, Default)]
pub struct Tally {
    clicks: HashSet<(u128, u64, i64)>,
    bots: HashSet<(u128, u64, i64)>,
    qr: HashSet<(u128, u64, i64)>,
    visitors: HashSet<u64>,
    last_ms: Option<i64>,
}

impl Tally {
    fn add(&mut self, click: &Fact, number: usize, question: &Question) {
        let once = match question.dedupe {
            "none" => (number as u128, 0, 0),
            "visitor" => (click.link, click.visitor, 0),
            "1h" => (click.link, click.visitor, click.at_ms / HOUR_MS),
            other => panic!("{other} is no dedupe"),
        };
        if click.is_bot {
            self.bots.insert(once);
        }
        if !is_counted(click, question) {
            return;
        }
        self.clicks.insert(once);
        if click.is_qr {
            self.qr.insert(once);
        }
        self.visitors.insert(click.visitor);
        self.last_ms = self.last_ms.max(Some(click.at_ms));
    }

    #[allow(clippy::cast_precision_loss, reason = "they are few")]
    pub fn number(&self, metric: &str) -> f64 {
        match metric {
            "clicks" => self.clicks.len() as f64,
            "unique_visitors" => self.visitors.len() as f64,
            "bot_clicks" => self.bots.len() as f64,
            "qr_scans" => self.qr.len() as f64,
            "clicks_per_visitor" if self.visitors.is_empty() => 0.0,
            "clicks_per_visitor" => self.clicks.len() as f64 / self.visitors.len() as f64,
            "last_click_at" => self.last_ms.map_or(-1.0, |at| at as f64),
            _ => 0.0,
        }
    }

    /// Whether a metric has the expected value.
    pub fn agrees(&self, metric: &str, value: &Value) -> bool {
        if metric == "last_click_at" {
            return *value == self.last_ms.map_or(Value::Null, |at| json!(timestamp(at)));
        }
        let (number, wanted) = (value.as_f64().unwrap_or(f64::NAN), self.number(metric));
        if self.is_near(metric) {
            return (number - wanted).abs() <= 0.05 * wanted;
        }
        match metric {
            "revenue" | "conversion_rate" => number.abs() < 1e-9,
            "clicks_per_visitor" => (number - wanted).abs() <= 0.000_06,
            _ => value.is_u64() && (number - wanted).abs() < 0.5,
        }
    }

    /// Whether a metric is approximate.
    pub fn is_near(&self, metric: &str) -> bool {
        let by_visitors = ["unique_visitors", "clicks_per_visitor"].contains(&metric);
        by_visitors && self.visitors.len() > MANY_VISITORS
    }
}

fn is_counted(click: &Fact, question: &Question) -> bool {
    match question.bots {
        "include" => true,
        "exclude" => !click.is_bot,
        "only" => click.is_bot,
        other => panic!("{other} is no choice of bots"),
    }
}

/// Rows by the values of the dimensions.
pub struct Expected {
    pub rows: BTreeMap<Vec<Part>, Tally>,
    pub buckets: Vec<Bucket>,
}

impl Expected {
    /// Of a span; `from` is `None` for since ever.
    pub fn of(
        world: &World,
        question: &Question,
        (from, to): (Option<i64>, i64),
        granularity: &str,
    ) -> Self {
        let holds = question.filter.as_ref().map(|filter| filter.holds(&world.host));
        // A row is there where one of its metrics counts something.
        let counts_bots = question.metrics.contains(&"bot_clicks");
        let matters = |click: &Fact| {
            from.is_none_or(|from| from <= click.at_ms)
                && click.at_ms < to
                && (is_counted(click, question) || (counts_bots && click.is_bot))
                && holds.as_ref().is_none_or(|holds| holds(click))
        };
        let clicks: Vec<_> =
            world.clicks.iter().enumerate().filter(|(_, click)| matters(click)).collect();
        let buckets = if question.is_over_time() {
            let first = clicks.iter().map(|(_, click)| click.at_ms).min();
            buckets(from.or(first).unwrap_or(to), to, granularity, &question.zone())
        } else {
            Vec::new()
        };
        let parts = parts(&question.dimensions, &buckets);
        let mut rows: BTreeMap<Vec<Part>, Tally> = BTreeMap::new();
        if question.dimensions.is_empty() {
            rows.insert(Vec::new(), Tally::default());
        }
        for (number, click) in clicks {
            rows.entry(parts(click)).or_default().add(click, number, question);
        }
        let mut expected = Self { rows, buckets };
        expected.fill(&question.dimensions);
        expected
    }

    /// Adds the buckets in which nothing was, for each combination of the other values.
    fn fill(&mut self, dimensions: &[&str]) {
        let Some(time) = dimensions.iter().position(|one| *one == "time") else { return };
        let mut keys: Vec<_> = self.rows.keys().cloned().collect();
        if dimensions.len() == 1 {
            keys.push(vec![Part::Number(0)]);
        }
        for key in keys {
            for bucket in 0..self.buckets.len() as u64 {
                let mut key = key.clone();
                key[time] = Part::Number(bucket);
                self.rows.entry(key).or_default();
            }
        }
    }

    /// A row's values as answers show them.
    pub fn shown(&self, question: &Question, key: &[Part], host: &str) -> Value {
        let values = question.dimensions.iter().zip(key).map(|(dimension, part)| {
            let value = match (*dimension, part) {
                ("time", Part::Number(bucket)) => {
                    json!(self.buckets[usize::try_from(*bucket).unwrap()].label)
                }
                (_, Part::Number(number)) => json!(number),
                (_, Part::Text(text)) => shown(dimension, text, host),
            };
            ((*dimension).to_owned(), value)
        });
        Value::Object(values.collect::<Map<_, _>>())
    }
}

/// The values of a click for some dimensions.
fn parts(dimensions: &[&'static str], buckets: &[Bucket]) -> impl Fn(&Fact) -> Vec<Part> + use<> {
    let places: Vec<_> = dimensions
        .iter()
        .map(|dimension| (*dimension, (*dimension != "time").then(|| place(dimension))))
        .collect();
    let starts: Vec<_> = buckets.iter().map(|bucket| bucket.start_ms).collect();
    move |click| {
        let part = |(dimension, place): &(&str, Option<usize>)| match place {
            None => Part::Number(starts.partition_point(|start| *start <= click.at_ms) as u64 - 1),
            // As numbers they are shown, and as such they are in order.
            Some(place) if *dimension == "link_version" => {
                Part::Number(click.value(*place).parse().unwrap())
            }
            Some(place) => Part::Text(click.value(*place).to_owned()),
        };
        places.iter().map(part).collect()
    }
}
