//! The planner: from which table a question is answered.
//!
//! A rollup answers the whole hours or days of a span that are sealed, single clicks what is left
//! at its ends. Which rollups there are was found by measurement: `cargo bench --bench analytics`.

use jiff::Timestamp;

use super::analytics::{AnalyticsQuery, Dedupe, Dimension, Filter, Period, Test};
use super::sql::ReadSnapshot;

const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;

/// A table of sums.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rollup {
    /// A workspace's hours.
    Hours,
    /// A link's days.
    Links,
    /// A workspace's days by the values of one dimension.
    Values(Dimension),
}

impl Rollup {
    /// How long the time is that one row stands for, in seconds.
    const fn grain(self) -> i64 {
        match self {
            Self::Hours => HOUR,
            Self::Links | Self::Values(_) => DAY,
        }
    }

    /// Its table, as answers tell it.
    const fn table(self) -> &'static str {
        match self {
            Self::Hours => "clicks_hourly",
            Self::Links => "clicks_daily_links",
            Self::Values(_) => "clicks_daily_values",
        }
    }

    /// The name of the parameter that holds the table's.
    pub const fn parameter(self) -> &'static str {
        match self {
            Self::Hours => "hourly",
            Self::Links => "links",
            Self::Values(_) => "values",
        }
    }

    /// Its column of time.
    pub const fn column(self) -> &'static str {
        match self {
            Self::Hours => "hour",
            Self::Links | Self::Values(_) => "day",
        }
    }

    /// That column in seconds since the Unix epoch.
    pub const fn time(self) -> &'static str {
        match self {
            Self::Hours => "toUnixTimestamp(hour)",
            Self::Links | Self::Values(_) => "toInt64(day) * 86400",
        }
    }

    /// A moment in seconds, as that column has it.
    pub fn bound(self, seconds: &str) -> String {
        match self {
            Self::Hours => format!("toDateTime({seconds}, 'UTC')"),
            Self::Links | Self::Values(_) => {
                format!("toDate(toDateTime({seconds}, 'UTC'))")
            }
        }
    }

    /// The rollup that has all that a question asks for.
    fn of(query: &AnalyticsQuery) -> Option<Self> {
        let by: Vec<_> =
            query.dimensions.iter().copied().filter(|one| *one != Dimension::Time).collect();
        match (by.as_slice(), &query.filter) {
            ([], None) => Some(Self::Hours),
            ([Dimension::Link], None) => Some(Self::Links),
            ([] | [Dimension::Link], Some(filter)) if is_of_links(filter) => Some(Self::Links),
            ([one], None) if is_rolled_up(*one) => Some(Self::Values(*one)),
            ([one], Some(filter)) if is_rolled_up(*one) && is_of(filter, *one) => {
                Some(Self::Values(*one))
            }
            ([], Some(filter)) => {
                let one = filter.conditions().next()?.dimension;
                let is_alone = is_rolled_up(one) && is_of(filter, one);
                is_alone.then_some(Self::Values(one))
            }
            _ => None,
        }
    }
}

/// Those whose values have days of their own: they are few, or at least no more than links.
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
fn is_of(filter: &Filter, dimension: Dimension) -> bool {
    filter.conditions().all(|condition| condition.dimension == dimension)
}

fn is_of_links(filter: &Filter) -> bool {
    match filter {
        Filter::Is(condition) => matches!(condition.test, Test::Links(_)),
        Filter::And(each) => each.iter().all(is_of_links),
        Filter::Or(_) | Filter::Not(_) => false,
    }
}

/// The part of a question's span that is read without a look at offsets: whole hours or days that
/// are sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SealedRange {
    /// From which rollup; `None`: from single clicks.
    pub rollup: Option<Rollup>,
    /// The first hour or day; `None`: since ever.
    pub from: Option<Timestamp>,
    /// The first that is not read.
    pub to: Timestamp,
}

impl SealedRange {
    /// The best one for a question, if there is any.
    pub fn of(query: &AnalyticsQuery, starts: &[i64], cut: ReadSnapshot) -> Option<Self> {
        if query.dedupe != Dedupe::None {
            return None;
        }
        let rollup = Rollup::of(query).filter(|rollup| {
            // A bucket's start within a grain would cut it. Before the span it cuts nothing.
            let from = query.period.from.map_or(i64::MIN, Timestamp::as_second);
            let is_whole = starts.iter().all(|start| start % rollup.grain() == 0 || *start <= from);
            is_whole && (*rollup == Rollup::Links || !cut.is_removing)
        });
        let with = rollup.and_then(|rollup| Self::within(query, rollup.grain(), cut, Some(rollup)));
        with.or_else(|| Self::within(query, DAY, cut, None))
    }

    fn within(
        query: &AnalyticsQuery,
        grain: i64,
        cut: ReadSnapshot,
        rollup: Option<Rollup>,
    ) -> Option<Self> {
        let Period { from, to } = query.period;
        let first = from.map(|from| {
            let nanoseconds = from.as_nanosecond();
            let grains = i128::from(grain) * 1_000_000_000;
            let grains = (nanoseconds + grains - 1).div_euclid(grains);
            // No click is of a time before the epoch, which ClickHouse's days don't know.
            i64::try_from(grains).unwrap_or(i64::MAX).saturating_mul(grain).max(0)
        });
        let sealed = i64::try_from(cut.sealed_ms / 1_000).unwrap_or(0);
        let last = to.as_second().min(sealed);
        let last = last - last.rem_euclid(grain);
        if last <= 0 || first.is_some_and(|first| first >= last) {
            return None;
        }
        let at = |seconds| Timestamp::from_second(seconds).ok();
        let from = match first {
            None => None,
            Some(first) => Some(at(first)?),
        };
        Some(Self { rollup, from, to: at(last)? })
    }

    /// The table that is read, beside single clicks, as answers tell it.
    pub fn table(whole: Option<&Self>) -> &'static str {
        whole.and_then(|whole| whole.rollup).map_or("clicks", Rollup::table)
    }
}
