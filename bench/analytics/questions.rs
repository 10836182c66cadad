//! The queries: those of a dashboard, and some that no rollup can answer.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use slugline::domain::ids::WorkspaceId;
use slugline::queries::analytics::{
    AnalyticsQuery, Condition, DateRange, Dimension as D, Filter, Granularity, Metric, Test,
};
use uuid::Uuid;

use crate::clicks::{WORKSPACE, link};

/// The baseline of a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub enum Class {
    /// About one link: p95 within 25 ms.
    Link,
    /// About the workspace: p95 within 50 ms, 20 times faster than single clicks.
    Workspace,
    /// Two dimensions and three filters: p95 within 500 ms.
    Any,
}

/// A question with a name.
pub struct Question {
    pub name: &'static str,
    pub class: Class,
    pub query: AnalyticsQuery,
}

const CLICKS: &[Metric] = &[Metric::Clicks];
const BOTH: &[Metric] = &[Metric::Clicks, Metric::UniqueVisitors];

fn days(zone: &TimeZone) -> anyhow::Result<AnalyticsQuery> {
    let range = DateRange::Last(Granularity::Day, 30);
    let period = range.period(zone, Timestamp::now()).map_err(anyhow::Error::msg)?;
    let workspace = WorkspaceId::new(WORKSPACE);
    let query = AnalyticsQuery::of(workspace, CLICKS, period);
    Ok(AnalyticsQuery { zone: zone.clone(), ..query })
}

fn by(query: &AnalyticsQuery, dimensions: &[D], metrics: &[Metric]) -> AnalyticsQuery {
    let limit = if dimensions.contains(&D::Time) { u32::MAX } else { 10 };
    let (dimensions, metrics) = (dimensions.to_vec(), metrics.to_vec());
    AnalyticsQuery { dimensions, metrics, limit, ..query.clone() }
}

fn of_link(query: &AnalyticsQuery, id: Uuid) -> AnalyticsQuery {
    let condition = Condition { dimension: D::Link, test: Test::Links(vec![id]) };
    AnalyticsQuery { filter: Some(Filter::Is(condition)), ..query.clone() }
}

fn filtered(query: &AnalyticsQuery, filters: &[(D, &[&str])]) -> AnalyticsQuery {
    let each = filters.iter().map(|(dimension, values)| {
        let values = values.iter().map(|value| (*value).to_owned()).collect();
        Filter::Is(Condition { dimension: *dimension, test: Test::In(values) })
    });
    AnalyticsQuery { filter: Some(Filter::And(each.collect())), ..query.clone() }
}

/// All of them.
pub fn all() -> anyhow::Result<Vec<Question>> {
    let utc = days(&TimeZone::UTC)?;
    let berlin = days(&TimeZone::get("Europe/Berlin")?)?;
    let first = of_link(&utc, link(1));
    let middle = of_link(&utc, link(100));
    let three: &[(D, &[&str])] =
        &[(D::Browser, &["Chrome", "Safari"]), (D::Os, &["iOS"]), (D::Language, &["en", "de"])];
    let others: &[(D, &[&str])] =
        &[(D::Country, &["US", "DE"]), (D::Device, &["mobile"]), (D::UtmSource, &["twitter"])];
    let workspace = |name, query| Question { name, class: Class::Workspace, query };
    let link = |name, query| Question { name, class: Class::Link, query };
    let any = |name, query| Question { name, class: Class::Any, query };
    Ok(vec![
        workspace("workspace: totals, with visitors", by(&utc, &[], BOTH)),
        workspace("workspace: by day", by(&utc, &[D::Time], CLICKS)),
        workspace("workspace: by day in Berlin, with visitors", by(&berlin, &[D::Time], BOTH)),
        workspace("workspace: countries", by(&utc, &[D::Country], CLICKS)),
        workspace("workspace: countries in Berlin's days", by(&berlin, &[D::Country], CLICKS)),
        workspace("workspace: cities", by(&utc, &[D::City], CLICKS)),
        workspace("workspace: devices", by(&utc, &[D::Device], CLICKS)),
        workspace("workspace: browsers, with visitors", by(&utc, &[D::Browser], BOTH)),
        workspace("workspace: referrers", by(&utc, &[D::Referrer], CLICKS)),
        workspace("workspace: UTM sources", by(&utc, &[D::UtmSource], CLICKS)),
        workspace("workspace: top links", by(&utc, &[D::Link], CLICKS)),
        workspace("workspace: top links, with visitors", by(&utc, &[D::Link], BOTH)),
        link("busiest link: totals, with visitors", by(&first, &[], BOTH)),
        link("busiest link: by day", by(&first, &[D::Time], CLICKS)),
        link("busiest link: countries", by(&first, &[D::Country], CLICKS)),
        link("100th link: by day, with visitors", by(&middle, &[D::Time], BOTH)),
        link("100th link: referrers", by(&middle, &[D::Referrer], CLICKS)),
        any(
            "two dimensions, three filters",
            by(&filtered(&utc, three), &[D::Country, D::Device], CLICKS),
        ),
        any(
            "two others, with visitors",
            by(&filtered(&utc, others), &[D::Browser, D::Referrer], BOTH),
        ),
        any(
            "by day and country, three filters",
            by(&filtered(&utc, three), &[D::Time, D::Country], CLICKS),
        ),
    ])
}

/// A hundred different ones: the dashboards of nine links and of the workspace.
pub fn batch() -> anyhow::Result<Vec<AnalyticsQuery>> {
    let utc = days(&TimeZone::UTC)?;
    let dashboard = |query: &AnalyticsQuery| {
        [
            by(query, &[], BOTH),
            by(query, &[D::Time], BOTH),
            by(query, &[D::Country], CLICKS),
            by(query, &[D::City], CLICKS),
            by(query, &[D::Device], CLICKS),
            by(query, &[D::Browser], CLICKS),
            by(query, &[D::Os], CLICKS),
            by(query, &[D::Referrer], CLICKS),
            by(query, &[D::Language], CLICKS),
            by(query, &[D::UtmSource], CLICKS),
        ]
    };
    let of_links = (1..10).map(|number| dashboard(&of_link(&utc, link(number * 10))));
    Ok(of_links.flatten().chain(dashboard(&utc)).collect())
}
