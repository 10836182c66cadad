//! The body of a query.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Deserialize;
use serde_json::Value as Json;
use utoipa::ToSchema;

use super::filters::Reader;
use super::scope::Resolver;
use crate::domain::error::{Invalid, Result};
use crate::domain::nearest::hint;
use crate::http::native::schema::{DateRangeValue, FilterOperator, GranularityValue};
use crate::queries::analytics::{
    AnalyticsQuery, Bots, Compare, DEFAULT_ROWS, DateRange, Dedupe, Dimension, Edge, Filter,
    Granularity, Key, MAX_DIMENSIONS, MAX_ROWS, MAX_SKIPPED, MAX_TEXT_BYTES, Metric, Order, RANGES,
};

/// The default date range.
const DEFAULT_RANGE: &str = "30d";

/// An analytics query.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "metrics": ["clicks", "unique_visitors"],
    "dimensions": ["country"],
    "filters": [{"dimension": "device", "operator": "is", "value": "mobile"}],
    "date_range": "30d",
    "timezone": "Europe/Berlin"
}))]
pub struct QueryBody {
    /// The metrics to compute; `clicks` by default. `conversions`, `leads`, `sales`, `revenue` and
    /// `conversion_rate` are 0 until conversions are recorded.
    #[schema(value_type = Option<Vec<Metric>>, min_items = 1)]
    metrics: Option<Vec<String>>,
    /// The dimensions to group by.
    #[schema(value_type = Option<Vec<Dimension>>, max_items = 3)]
    dimensions: Option<Vec<String>>,
    /// The clicks to count: a filter, or a list of filters that all have to match.
    #[schema(value_type = Option<FilterValue>)]
    filters: Option<Json>,
    /// The date range; `30d` by default. One of `24h`, `7d`, `4w`, `12mo`, `1y` (any number of these,
    /// including the current one), `today`, `yesterday`, `wtd`, `mtd`, `qtd`, `ytd`, `last_week`,
    /// `last_month`, `last_quarter`, `last_year`, `all`, or two days or times.
    #[schema(value_type = Option<DateRangeValue>)]
    date_range: Option<Json>,
    /// The IANA time zone in which days begin; `UTC` by default.
    #[schema(example = "Europe/Berlin")]
    timezone: Option<String>,
    /// The length of the buckets of the dimension `time`: `minute`, `hour`, `day`, `week`, `month`,
    /// `quarter`, `year`, or `auto`, which is the default.
    #[schema(value_type = Option<GranularityValue>)]
    granularity: Option<String>,
    /// What to sort by: pairs of a metric or dimension of the query, and `asc` or `desc`.
    #[schema(value_type = Option<Vec<Vec<String>>>, example = json!([["clicks", "desc"]]))]
    order_by: Option<Vec<(String, String)>>,
    /// The number of rows to return; 100 by default.
    #[schema(minimum = 1, maximum = 10_000)]
    limit: Option<u32>,
    /// The number of rows to skip.
    #[schema(maximum = 1_000_000)]
    offset: Option<u32>,
    /// The earlier period to compare each row with.
    #[schema(value_type = Option<Compare>)]
    compare: Option<String>,
    /// Whether to include bots; `exclude` by default.
    #[schema(value_type = Option<Bots>)]
    bots: Option<String>,
    /// Which clicks of one visitor on one link count once: all of a row (`visitor`), those of an hour
    /// (`1h`), or none, which is the default.
    #[schema(value_type = Option<Dedupe>)]
    dedupe: Option<String>,
    /// Waits up to 10 seconds until this offset is counted. Must not be beyond the end of the log.
    pub min_offset: Option<u64>,
}

/// A filter, or a list of filters that all have to match.
#[derive(ToSchema)]
#[serde(untagged)]
#[allow(dead_code, reason = "describes what `Reader` reads")]
pub enum FilterValue {
    /// Filters that all have to match.
    All(Vec<FilterBody>),
    /// A single filter.
    One(FilterBody),
}

/// A condition on a dimension (`dimension`, `operator` and `value`), or a combination of filters
/// (`and`, `or` or `not`).
#[derive(ToSchema)]
#[schema(min_properties = 1, max_properties = 3)]
#[allow(dead_code, reason = "describes what `Reader` reads")]
pub struct FilterBody {
    /// The dimension; any except `time`.
    #[schema(value_type = Dimension, required = false)]
    dimension: Option<Dimension>,
    /// How to compare; `matches` takes an RE2 pattern.
    #[schema(value_type = FilterOperator, required = false)]
    operator: Option<FilterOperator>,
    /// The value, a list of values, or, for `is_set`, whether the dimension is known.
    #[schema(value_type = serde_json::Value, required = false)]
    value: Json,
    /// Filters that all have to match.
    #[schema(no_recursion, value_type = Vec<FilterBody>, required = false)]
    and: Vec<FilterBody>,
    /// Filters of which one has to match.
    #[schema(no_recursion, value_type = Vec<FilterBody>, required = false)]
    or: Vec<FilterBody>,
    /// A filter that must not match.
    #[schema(no_recursion, value_type = FilterBody, required = false)]
    not: Option<Box<FilterBody>>,
}

/// Parses a list of names; reports unknown and repeated ones.
fn list<T: Copy + PartialEq>(
    invalid: &mut Invalid,
    field: &str,
    names: &[String],
    every: &[T],
    word: impl Fn(T) -> &'static str + Copy,
) -> Vec<T> {
    let mut list = Vec::new();
    for (at, name) in names.iter().enumerate() {
        let found = every.iter().copied().find(|each| word(*each) == name);
        match found {
            Some(found) if list.contains(&found) => {
                invalid.add(format!("{field}[{at}]"), format!("names {name} twice"));
            }
            Some(found) => list.push(found),
            None => {
                let words: Vec<_> = every.iter().map(|each| word(*each)).collect();
                let hint = hint(name, words.iter().copied());
                let rule = format!("is `{name}`; must be one of {}{hint}", words.join(", "));
                invalid.add(format!("{field}[{at}]"), rule);
            }
        }
    }
    list
}

impl QueryBody {
    /// A query that selects clicks, without metrics and dimensions.
    pub fn about(
        filters: Option<Json>,
        date_range: Option<Json>,
        timezone: Option<String>,
        bots: Option<String>,
    ) -> Self {
        Self { filters, date_range, timezone, bots, ..Self::default() }
    }

    /// The query, as of a given time.
    ///
    /// # Errors
    /// Each invalid field, by its path.
    pub fn read(&self, resolver: &Resolver<'_>, now: Timestamp) -> Result<AnalyticsQuery> {
        let mut invalid = Invalid::default();
        let metrics = match &self.metrics {
            None => vec![Metric::Clicks],
            Some(names) if names.is_empty() => {
                invalid.add("metrics", "must name at least one");
                Vec::new()
            }
            Some(names) => list(&mut invalid, "metrics", names, Metric::EVERY, Metric::as_str),
        };
        let names = self.dimensions.as_deref().unwrap_or_default();
        let dimensions =
            list(&mut invalid, "dimensions", names, Dimension::EVERY, Dimension::as_str);
        if names.len() > MAX_DIMENSIONS {
            invalid.add("dimensions", format!("must not be more than {MAX_DIMENSIONS}"));
        }
        let filter = self.filters.as_ref().and_then(|json| {
            let mut reader = Reader { resolver, conditions: 0 };
            let read = reader.read(json, "filters");
            if read.as_ref().is_ok_and(|filter| filter.text_bytes() > MAX_TEXT_BYTES) {
                let rule = format!("hold more text than {MAX_TEXT_BYTES} bytes");
                invalid.add("filters", rule);
            }
            read.map_err(|(path, reason)| invalid.add(path, reason)).ok()
        });
        let filter = filter.filter(|filter| *filter != Filter::And(Vec::new()));
        let zone = self.zone(&mut invalid);
        let range = self.range(&mut invalid);
        let period = range.period(&zone, now);
        let period = period.map_err(|error| invalid.add("date_range", error.to_string()));
        let granularity = self.granularity.as_deref().filter(|name| *name != "auto");
        let granularity =
            invalid.choice("granularity", granularity, Granularity::EVERY, Granularity::as_str);
        let order = self.order(&metrics, &dimensions, &mut invalid);
        let limit = self.limit.unwrap_or(DEFAULT_ROWS);
        if !(1..=MAX_ROWS).contains(&limit) {
            invalid.add("limit", format!("must be 1 to {MAX_ROWS}"));
        }
        let offset = self.offset.unwrap_or(0);
        if offset > MAX_SKIPPED {
            invalid.add("offset", format!("must not be more than {MAX_SKIPPED}"));
        }
        let compare = self.compare.as_deref();
        let compare = invalid.choice("compare", compare, Compare::EVERY, Compare::as_str);
        if compare.is_some() && range == DateRange::All {
            invalid.add("compare", "needs a date_range that has a beginning");
        }
        let bots = invalid.choice("bots", self.bots.as_deref(), Bots::EVERY, Bots::as_str);
        let dedupe = self.dedupe.as_deref();
        let dedupe = invalid.choice("dedupe", dedupe, Dedupe::EVERY, Dedupe::as_str);
        let Ok(period) = period else { return Err(invalid.into()) };
        invalid.into_result()?;
        Ok(AnalyticsQuery {
            workspace: resolver.workspace,
            metrics,
            dimensions,
            filter,
            period,
            zone,
            granularity,
            order,
            limit,
            offset,
            compare,
            bots: bots.unwrap_or_default(),
            dedupe: dedupe.unwrap_or_default(),
        })
    }

    fn zone(&self, invalid: &mut Invalid) -> TimeZone {
        let name = self.timezone.as_deref().unwrap_or("UTC");
        zone(name).unwrap_or_else(|reason| {
            invalid.add("timezone", reason);
            TimeZone::UTC
        })
    }

    fn range(&self, invalid: &mut Invalid) -> DateRange {
        let read = match &self.date_range {
            None => DateRange::parse(DEFAULT_RANGE),
            Some(Json::String(name)) => DateRange::parse(name),
            Some(Json::Array(edges)) => match edges.as_slice() {
                [Json::String(from), Json::String(to)] => Edge::parse(from)
                    .zip(Edge::parse(to))
                    .map(|(from, to)| DateRange::Between(from, to)),
                _ => None,
            },
            Some(_) => None,
        };
        read.unwrap_or_else(|| {
            invalid.add("date_range", format!("must be one of {RANGES}, or [from, to]"));
            DateRange::All
        })
    }

    fn order(
        &self,
        metrics: &[Metric],
        dimensions: &[Dimension],
        invalid: &mut Invalid,
    ) -> Vec<Order> {
        let mut order = Vec::new();
        for (at, (name, direction)) in self.order_by.iter().flatten().enumerate() {
            let metric = Metric::named(name).filter(|metric| metrics.contains(metric));
            let dimension = Dimension::named(name).filter(|one| dimensions.contains(one));
            let key = metric.map(Key::Metric).or(dimension.map(Key::Dimension));
            let Some(key) = key else {
                let field = format!("order_by[{at}][0]");
                invalid.add(field, "must be a metric or a dimension of the query");
                continue;
            };
            if !["asc", "desc"].contains(&direction.as_str()) {
                invalid.add(format!("order_by[{at}][1]"), "must be asc or desc");
            }
            order.push(Order { key, is_descending: direction == "desc" });
        }
        order
    }
}

/// A time zone of the IANA database.
pub fn zone(name: &str) -> Result<TimeZone, String> {
    if name == "UTC" {
        return Ok(TimeZone::UTC);
    }
    TimeZone::get(name).map_err(|_| {
        "must be a name of the IANA time zone database, such as Europe/Berlin".to_owned()
    })
}
