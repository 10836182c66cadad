//! Runs a batch of queries against one snapshot.
//!
//! Identical queries run once. Queries that differ only in their link (the statistics of one link
//! after another) are merged into one query grouped by link: for a single link, ClickHouse spends
//! more time on parsing a query than on running it.

use std::collections::HashMap;

use tokio::task::JoinSet;
use uuid::Uuid;

use super::dimension::{Dimension, Value};
use super::filter::{Condition, Filter, Test};
use super::metric::Number;
use super::query::{AnalyticsQuery, Dedupe};
use super::report::{Report, Row};
use super::run::MAX_FETCHED;
use super::{Analytics, AsOf};
use crate::domain::error::{ErrorCode, Result, ServiceError};
use crate::limits::QUERY_CONCURRENCY_PER_WORKSPACE;

/// Queries that run as one.
struct Group {
    /// The query, without its link.
    query: AnalyticsQuery,
    /// The links, each with the index of its query in the batch; `None` for a query without a link.
    links: Vec<(Option<Uuid>, usize)>,
}

type GroupResults = Vec<(usize, Result<Report>)>;

impl Analytics {
    /// Runs queries concurrently, each over the clicks up to and including the offset of `as_of`.
    /// Each fails on its own. The results are in the order of the queries.
    pub async fn run_all(&self, queries: Vec<AnalyticsQuery>, as_of: AsOf) -> Vec<Result<Report>> {
        let count = queries.len();
        let mut running = JoinSet::new();
        let mut waiting = group_queries(queries).into_iter();
        let mut answers: Vec<_> = (0..count).map(|_| None).collect();
        loop {
            // No more than may run at once: the others would time out waiting for a permit.
            while running.len() < QUERY_CONCURRENCY_PER_WORKSPACE
                && let Some(group) = waiting.next()
            {
                let analytics = self.clone();
                running.spawn(async move { analytics.run_group(group, as_of).await });
            }
            let Some(ended) = running.join_next().await else { break };
            for (at, answer) in ended.unwrap_or_default() {
                if let Some(slot) = answers.get_mut(at) {
                    *slot = Some(answer);
                }
            }
        }
        let lost = || Err(ServiceError::internal("a query panicked"));
        answers.into_iter().map(|answer| answer.unwrap_or_else(lost)).collect()
    }

    async fn run_group(&self, group: Group, as_of: AsOf) -> GroupResults {
        let mut links: Vec<_> = group.links.iter().filter_map(|(link, _)| *link).collect();
        links.sort_unstable();
        links.dedup();
        if links.len() > 1 {
            match self.run_by_link(&group, &links, as_of).await {
                // Each may be small enough on its own.
                Err(error) if error.code == ErrorCode::TooCostly => {}
                answers => return distribute(&group, &answers),
            }
        }
        let mut answers = Vec::new();
        let mut known: HashMap<Option<Uuid>, Result<Report>> = HashMap::new();
        for (link, at) in group.links {
            let report = match known.get(&link) {
                Some(known) => known.clone(),
                None => self.run(&with_link(&group.query, link), as_of).await,
            };
            known.insert(link, report.clone());
            answers.push((at, report));
        }
        answers
    }

    /// Runs one query grouped by link and splits the result.
    async fn run_by_link(
        &self,
        group: &Group,
        links: &[Uuid],
        as_of: AsOf,
    ) -> Result<HashMap<Uuid, Report>> {
        let condition = Condition { dimension: Dimension::Link, test: Test::Links(links.to_vec()) };
        let filter = group.query.filter.iter().cloned().chain([Filter::Is(condition)]).collect();
        let mut dimensions = group.query.dimensions.clone();
        dimensions.insert(0, Dimension::Link);
        let merged = AnalyticsQuery {
            dimensions,
            order: group.query.ordered_by(),
            filter: Some(Filter::And(filter)),
            limit: MAX_FETCHED,
            offset: 0,
            ..group.query.clone()
        };
        let report = self.run_raw(&merged, as_of).await?;
        let mut by_link: HashMap<Uuid, Vec<Row>> = HashMap::new();
        for mut row in report.rows {
            let link = match row.dimensions.remove(0) {
                Value::Text(link) => Uuid::parse_str(&link).ok(),
                Value::Time(_) => None,
            };
            let link = link.ok_or_else(|| ServiceError::internal("row without a link"))?;
            by_link.entry(link).or_default().push(row);
        }
        let mut reports = HashMap::new();
        for link in links {
            let mut rows = by_link.remove(link).unwrap_or_default();
            if rows.is_empty() && group.query.dimensions.is_empty() {
                let zeros = group.query.metrics.iter().map(|metric| Number::zero(*metric));
                let metrics = zeros.collect();
                rows.push(Row { dimensions: Vec::new(), metrics, comparison: None });
            }
            let (rows, total) = group.query.finish(&report.starts, rows)?;
            let (period, granularity) = (group.query.period, report.granularity);
            let report = Report { rows, total, cost: report.cost, period, granularity };
            reports.insert(*link, report);
        }
        Ok(reports)
    }
}

/// Groups the queries that can run as one.
fn group_queries(queries: Vec<AnalyticsQuery>) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for (at, query) in queries.into_iter().enumerate() {
        let (query, link) = split_link(query);
        let is_alike = |group: &&mut Group| {
            group.links.iter().all(|(other, _)| other.is_some() == link.is_some())
                && group.query == query
        };
        match groups.iter_mut().find(is_alike) {
            Some(group) => group.links.push((link, at)),
            None => groups.push(Group { query, links: vec![(link, at)] }),
        }
    }
    groups
}

/// Splits the link off a query about one link; returns any other query unchanged.
fn split_link(query: AnalyticsQuery) -> (AnalyticsQuery, Option<Uuid>) {
    // Without a start, the first bucket is that of the link's own first click.
    let has_its_own_time = query.is_over_time() && query.period.from.is_none();
    let is_simple = query.dedupe == Dedupe::None && query.compare.is_none() && !has_its_own_time;
    if !is_simple || query.dimensions.contains(&Dimension::Link) {
        return (query, None);
    }
    let mut each = match &query.filter {
        Some(Filter::And(each)) => each.clone(),
        Some(one) => vec![one.clone()],
        None => return (query, None),
    };
    let link_of = |filter: &Filter| match filter {
        Filter::Is(Condition { test: Test::Links(links), .. }) => match links.as_slice() {
            [link] => Some(*link),
            _ => None,
        },
        _ => None,
    };
    let Some(at) = each.iter().position(|filter| link_of(filter).is_some()) else {
        return (query, None);
    };
    let link = link_of(&each.remove(at));
    let filter = (!each.is_empty()).then_some(Filter::And(each));
    (AnalyticsQuery { filter, ..query }, link)
}

fn with_link(query: &AnalyticsQuery, link: Option<Uuid>) -> AnalyticsQuery {
    let Some(link) = link else { return query.clone() };
    let condition = Condition { dimension: Dimension::Link, test: Test::Links(vec![link]) };
    let mut each = vec![Filter::Is(condition)];
    match &query.filter {
        Some(Filter::And(others)) => each.extend(others.iter().cloned()),
        Some(other) => each.push(other.clone()),
        None => {}
    }
    AnalyticsQuery { filter: Some(Filter::And(each)), ..query.clone() }
}

/// Maps the result of a group back to its queries.
fn distribute(group: &Group, answers: &Result<HashMap<Uuid, Report>>) -> GroupResults {
    let answer = |link: Option<Uuid>| match answers {
        Ok(reports) => link
            .and_then(|link| reports.get(&link).cloned())
            .ok_or_else(|| ServiceError::internal("no result for a link")),
        Err(error) => Err(error.clone()),
    };
    group.links.iter().map(|(link, at)| (*at, answer(*link))).collect()
}
