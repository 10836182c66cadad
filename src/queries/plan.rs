//! The planner: chooses the table that answers a query.
//!
//! A rollup answers the whole hours or days of a range that are sealed, and the whole chunks of the
//! log after them; single clicks answer the rest. The set of rollups was chosen by measurement:
//! `cargo bench --bench analytics`.

use jiff::Timestamp;

use super::analytics::{AnalyticsQuery, Dedupe, Dimension, Filter, Period, Test};
use crate::projections::clickhouse::{Chunks, DAILY_CHUNK, HOURLY_CHUNK, WholeChunks};

/// Which clicks a read sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadSnapshot {
    /// Each click up to and including this offset, and no other.
    pub through: u64,
    /// Before this time, in milliseconds since the Unix epoch, ClickHouse has exactly the clicks up
    /// to that offset; so they are read without a filter on offsets, and from rollups. 0 if nothing
    /// is known. The reader has to [check](crate::projections::clickhouse::Status::is_sealed) it
    /// afterwards.
    pub sealed_ms: u64,
    /// What can be read from rollups by chunk of the log, if anything.
    pub chunks: Option<Chunks>,
    /// Clicks of deleted links are being removed: the rest of them must be excluded, and rollups
    /// that do not distinguish links must not be read.
    pub is_removing: bool,
}

const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;

/// A table of precomputed sums.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rollup {
    /// Workspaces by hour.
    Hours,
    /// Links by day.
    Links,
    /// Workspaces by day and value of one dimension.
    Values(Dimension),
}

impl Rollup {
    /// The time that one row covers, in seconds.
    const fn grain(self) -> i64 {
        match self {
            Self::Hours => HOUR,
            Self::Links | Self::Values(_) => DAY,
        }
    }

    /// The number of offsets that one row covers.
    const fn chunk(self) -> u64 {
        match self {
            Self::Hours => HOURLY_CHUNK,
            Self::Links | Self::Values(_) => DAILY_CHUNK,
        }
    }

    /// The name of the table in reports.
    const fn table(self) -> &'static str {
        match self {
            Self::Hours => "clicks_hourly",
            Self::Links => "clicks_daily_links",
            Self::Values(_) => "clicks_daily_values",
        }
    }

    /// The name of the query parameter that holds the table name.
    pub const fn parameter(self) -> &'static str {
        match self {
            Self::Hours => "hourly",
            Self::Links => "links",
            Self::Values(_) => "values",
        }
    }

    /// The time column.
    pub const fn column(self) -> &'static str {
        match self {
            Self::Hours => "hour",
            Self::Links | Self::Values(_) => "day",
        }
    }

    /// The time column in seconds since the Unix epoch.
    pub const fn time(self) -> &'static str {
        match self {
            Self::Hours => "toUnixTimestamp(hour)",
            Self::Links | Self::Values(_) => "toInt64(day) * 86400",
        }
    }

    /// A time in seconds, in the type of the time column.
    pub fn bound(self, seconds: &str) -> String {
        match self {
            Self::Hours => format!("toDateTime({seconds}, 'UTC')"),
            Self::Links | Self::Values(_) => {
                format!("toDate(toDateTime({seconds}, 'UTC'))")
            }
        }
    }

    /// The rollup that has everything a query needs.
    fn of(query: &AnalyticsQuery) -> Option<Self> {
        let by: Vec<_> =
            query.dimensions.iter().copied().filter(|one| *one != Dimension::Time).collect();
        match (by.as_slice(), &query.filter) {
            ([], None) => Some(Self::Hours),
            ([Dimension::Link], None) => Some(Self::Links),
            ([] | [Dimension::Link], Some(filter)) if is_on_links(filter) => Some(Self::Links),
            ([one], None) if is_rolled_up(*one) => Some(Self::Values(*one)),
            (by @ ([] | [_]), Some(filter)) => {
                let one = filter.conditions().next()?.dimension;
                let is_alone = by.iter().all(|by| *by == one) && is_on(filter, one);
                let has_rows = is_rolled_up(one) || (one == Dimension::QrCode && is_set(filter));
                (is_alone && has_rows).then_some(Self::Values(one))
            }
            _ => None,
        }
    }
}

/// Dimensions with a rollup by day: those with few values, or at least no more values than links.
const fn is_rolled_up(dimension: Dimension) -> bool {
    use Dimension as D;
    matches!(
        dimension,
        D::Country
            | D::Continent
            | D::Region
            | D::City
            | D::Device
            | D::Browser
            | D::BrowserVersion
            | D::Os
            | D::OsVersion
            | D::BotReason
            | D::Referrer
            | D::Source
            | D::Language
            | D::UtmSource
            | D::UtmMedium
            | D::UtmCampaign
            | D::UtmContent
            | D::UtmTerm
            | D::Trigger
    )
}

/// Whether all of a filter's conditions are on this dimension.
fn is_on(filter: &Filter, dimension: Dimension) -> bool {
    filter.conditions().all(|condition| condition.dimension == dimension)
}

/// Whether a filter on one dimension excludes the unknown value, for which codes have no rows.
fn is_set(filter: &Filter) -> bool {
    match filter {
        Filter::Is(condition) => match &condition.test {
            Test::In(values) => values.iter().all(|value| !value.is_empty()),
            test => *test == Test::IsSet,
        },
        Filter::And(each) => each.iter().any(is_set),
        Filter::Or(_) | Filter::Not(_) => false,
    }
}

fn is_on_links(filter: &Filter) -> bool {
    match filter {
        Filter::Is(condition) => matches!(condition.test, Test::Links(_)),
        Filter::And(each) => each.iter().all(is_on_links),
        Filter::Or(_) | Filter::Not(_) => false,
    }
}

/// The part of a query's range that is read without a filter on offsets: whole hours or days that
/// are sealed, possibly none. From a rollup, the whole chunks after them are read too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SealedRange {
    /// The rollup to read; `None` for single clicks.
    pub rollup: Option<Rollup>,
    /// The first hour or day; `None` for no start.
    pub from: Option<Timestamp>,
    /// The end, exclusive.
    pub to: Timestamp,
    /// The chunks to read from the rollup after the end too, of all times.
    pub chunks: Option<WholeChunks>,
    /// Whether the query's range before `from` is sealed.
    pub is_head_sealed: bool,
}

impl SealedRange {
    /// The best range for a query, if any.
    pub fn of(query: &AnalyticsQuery, starts: &[i64], snapshot: ReadSnapshot) -> Option<Self> {
        if query.dedupe != Dedupe::None {
            return None;
        }
        let rollup = Rollup::of(query).filter(|rollup| {
            // A bucket must not start within a grain, unless that start is before the range.
            let from = query.period.from.map_or(i64::MIN, Timestamp::as_second);
            let is_whole = starts.iter().all(|start| start % rollup.grain() == 0 || *start <= from);
            is_whole && (*rollup == Rollup::Links || !snapshot.is_removing)
        });
        let with =
            rollup.and_then(|rollup| Self::within(query, rollup.grain(), snapshot, Some(rollup)));
        with.or_else(|| Self::within(query, DAY, snapshot, None))
    }

    fn within(
        query: &AnalyticsQuery,
        grain: i64,
        snapshot: ReadSnapshot,
        rollup: Option<Rollup>,
    ) -> Option<Self> {
        let Period { from, to } = query.period;
        let first = from.map(|from| {
            let nanoseconds = from.as_nanosecond();
            let grains = i128::from(grain) * 1_000_000_000;
            let grains = (nanoseconds + grains - 1).div_euclid(grains);
            // No click is before the epoch, the earliest day in ClickHouse.
            i64::try_from(grains).unwrap_or(i64::MAX).saturating_mul(grain).max(0)
        });
        let sealed = i64::try_from(snapshot.sealed_ms / 1_000).unwrap_or(0).min(to.as_second());
        let sealed = sealed - sealed.rem_euclid(grain);
        // Chunks have clicks of all times, so none of them may be after the range.
        let is_before_end = |chunks: &Chunks| {
            i64::try_from(chunks.newest_ms).is_ok_and(|newest| newest < to.as_millisecond())
        };
        let chunks = rollup.zip(snapshot.chunks.filter(is_before_end));
        let chunks = chunks.and_then(|(rollup, chunks)| chunks.whole(rollup.chunk()));
        let start = first.unwrap_or(0);
        if start >= sealed && (chunks.is_none() || start >= to.as_second()) {
            return None;
        }
        let at = |seconds| Timestamp::from_second(seconds).ok();
        let from = match first {
            None => None,
            Some(first) => Some(at(first)?),
        };
        let is_head_sealed = start <= sealed;
        Some(Self { rollup, from, to: at(sealed.max(start))?, chunks, is_head_sealed })
    }

    /// The table that is read besides single clicks, for reports.
    pub fn table(whole: Option<&Self>) -> &'static str {
        whole.and_then(|whole| whole.rollup).map_or("clicks", Rollup::table)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queries::analytics::{Condition, Metric};

    fn at(moment: &str) -> Timestamp {
        moment.parse().unwrap()
    }

    /// The plan for a query of a time range that ends now.
    fn plan(from: &str, now: &str, newest: &str, dimensions: &[Dimension]) -> Option<SealedRange> {
        let period = Period { from: Some(at(from)), to: at(now) };
        let workspace = crate::domain::ids::WorkspaceId::new(uuid::Uuid::nil());
        let query = AnalyticsQuery {
            dimensions: dimensions.to_vec(),
            ..AnalyticsQuery::of(workspace, &[Metric::Clicks], period)
        };
        let newest_ms = at(newest).as_millisecond().cast_unsigned();
        let snapshot = ReadSnapshot {
            through: 9_000_000,
            sealed_ms: at(now).as_millisecond().cast_unsigned() - 60_000,
            chunks: Some(Chunks { through: 9_000_000, unnumbered_through: 0, newest_ms }),
            is_removing: false,
        };
        SealedRange::of(&query, &[], snapshot)
    }

    #[test]
    fn the_current_hour_or_day_is_read_by_chunk() {
        let (now, newest) = ("2026-03-05T14:40:00Z", "2026-03-05T14:39:59Z");
        let (midnight, hour) = ("2026-03-05T00:00:00Z", "2026-03-05T14:00:00Z");
        let yesterday = "2026-03-04T10:00:00Z";
        let hourly = WholeChunks { last: 34, end: 34 * HOURLY_CHUNK };
        let daily = WholeChunks { last: 2, end: 2 * DAILY_CHUNK };
        for (from, dimensions, first, sealed, chunks) in [
            (yesterday, vec![], yesterday, hour, hourly),
            ("2026-03-05T13:10:00Z", vec![], hour, hour, hourly),
            (yesterday, vec![Dimension::Country], midnight, midnight, daily),
        ] {
            let range = plan(from, now, newest, &dimensions).unwrap();
            assert_eq!((range.from, range.to), (Some(at(first)), at(sealed)), "{from}");
            assert_eq!(range.chunks, Some(chunks), "{from}");
            assert!(range.is_head_sealed, "{from}");
        }
        // No hour begins within the range.
        assert_eq!(plan("2026-03-05T14:10:00Z", now, newest, &[]), None);
    }

    #[test]
    fn scans_of_named_codes_are_read_from_the_rollup() {
        let period = Period { from: None, to: at("2026-03-05T00:00:00Z") };
        let workspace = crate::domain::ids::WorkspaceId::new(uuid::Uuid::nil());
        let rollup = |filter: Option<Test>, dimensions: &[Dimension]| {
            let dimension = Dimension::QrCode;
            let condition = |test| Filter::Is(Condition { dimension, test });
            Rollup::of(&AnalyticsQuery {
                filter: filter.map(condition),
                dimensions: dimensions.to_vec(),
                ..AnalyticsQuery::of(workspace, &[Metric::Clicks], period)
            })
        };
        let codes = Some(Rollup::Values(Dimension::QrCode));
        let named = || Some(Test::In(vec!["qr_1".to_owned(), "qr_2".to_owned()]));
        for dimensions in [&[][..], &[Dimension::QrCode], &[Dimension::Time, Dimension::QrCode]] {
            assert_eq!(rollup(named(), dimensions), codes);
            assert_eq!(rollup(Some(Test::IsSet), dimensions), codes);
        }
        // It has no rows of clicks without a code.
        assert_eq!(rollup(None, &[Dimension::QrCode]), None);
        assert_eq!(rollup(Some(Test::In(vec![String::new()])), &[]), None);
        assert_eq!(rollup(named(), &[Dimension::Country]), None);
    }

    #[test]
    fn clicks_before_a_first_hour_that_just_began_are_not_sealed() {
        let (now, hour) = ("2026-03-05T14:00:30Z", at("2026-03-05T14:00:00Z"));
        let range = plan("2026-03-05T13:10:00Z", now, "2026-03-05T14:00:29Z", &[]).unwrap();
        assert_eq!((range.from, range.to), (Some(hour), hour));
        assert!(range.chunks.is_some() && !range.is_head_sealed);
    }

    #[test]
    fn a_range_that_ends_before_the_newest_click_is_not_read_by_chunk() {
        let now = "2026-03-05T14:40:00Z";
        let range = plan("2026-03-04T10:00:00Z", now, now, &[]).unwrap();
        assert_eq!((range.to, range.chunks), (at("2026-03-05T14:00:00Z"), None));
        assert_eq!(plan("2026-03-05T13:10:00Z", now, now, &[]), None);
    }
}
