//! Compiles filters to conditions and dimensions to columns.

use std::sync::LazyLock;

use uuid::Uuid;

use super::statement::Statement;
use crate::domain::referrer;
use crate::queries::analytics::{Condition, Dimension, Filter, Test};

impl Statement {
    pub(super) fn filter(&mut self, filter: &Filter, column: Column<'_>) -> String {
        match filter {
            Filter::Is(condition) => self.condition(condition, column),
            Filter::Not(one) => format!("NOT {}", self.filter(one, column)),
            Filter::And(each) => self.joined(each, column, " AND ", "true"),
            Filter::Or(each) => self.joined(each, column, " OR ", "false"),
        }
    }

    fn joined(&mut self, each: &[Filter], column: Column<'_>, word: &str, empty: &str) -> String {
        let each: Vec<_> = each.iter().map(|filter| self.filter(filter, column)).collect();
        if each.is_empty() { empty.to_owned() } else { format!("({})", each.join(word)) }
    }

    fn condition(&mut self, condition: &Condition, column: Column<'_>) -> String {
        if condition.dimension == Dimension::Tag {
            let test = self.test(condition, "tag");
            return format!("arrayExists(tag -> {test}, {TAGS})");
        }
        self.test(condition, column(condition.dimension))
    }

    fn test(&mut self, condition: &Condition, column: &str) -> String {
        match &condition.test {
            Test::In(values) => {
                let values = self.list("Array(String)", values.iter().cloned());
                format!("({column} IN {values})")
            }
            Test::Links(links) => {
                let links = self.list("Array(UUID)", links.iter().map(Uuid::to_string));
                format!("(link_id IN {links})")
            }
            Test::Contains(text) => {
                format!("(positionCaseInsensitiveUTF8({column}, {}) > 0)", self.text(text))
            }
            Test::Matches(pattern) => format!("match({column}, {})", self.text(pattern)),
            Test::IsSet if condition.dimension.is_text() => format!("({column} != '')"),
            Test::IsSet => "true".to_owned(),
        }
    }
}

/// The tags of a click, in lower case; the empty text for none.
const TAGS: &str = "splitByChar(',', lowerUTF8(tags))";

/// The source of a click, in a table with the column `referrer`.
static SOURCE: LazyLock<String> = LazyLock::new(|| source("referrer"));

/// The same in the rollup of the values of referrers.
pub(super) static SOURCE_OF_VALUE: LazyLock<String> = LazyLock::new(|| source("value"));

/// The source of a referring host: what it is called, its domain, or that in other countries; else
/// the host. It is not stored: the lists may change.
fn source(host: &str) -> String {
    let named = |hosts: &mut dyn Iterator<Item = (&str, &str)>, of: &str, otherwise: &str| {
        let (hosts, names): (Vec<_>, Vec<_>) = hosts.unzip();
        let list = |texts: &[&str]| format!("['{}']", texts.join("', '"));
        format!("transform({of}, {}, {}, {otherwise})", list(&hosts), list(&names))
    };
    let family = format!("firstSignificantSubdomain({host})");
    let family = named(&mut referrer::FAMILIES.iter().copied(), &family, host);
    let domain = format!("cutToFirstSignificantSubdomain({host})");
    let domain = named(&mut referrer::NAMES.iter().copied(), &domain, &family);
    named(&mut referrer::named_hosts(), host, &domain)
}

/// Maps a dimension to a column expression.
pub(super) type Column<'a> = &'a dyn Fn(Dimension) -> &'static str;

/// The expression of a dimension in the table of clicks: the column of its name, unless it is named
/// here.
pub(super) fn column(dimension: Dimension) -> &'static str {
    match dimension {
        Dimension::Source => &SOURCE,
        Dimension::Time => "toUnixTimestamp(ts)",
        Dimension::Link => "link_id",
        // A row for each tag.
        Dimension::Tag => "arrayJoin(splitByChar(',', lowerUTF8(tags)))",
        Dimension::LinkVersion => "toString(link_version)",
        Dimension::Bot => "if(bot = '', 'false', 'true')",
        Dimension::BotReason => "bot",
        Dimension::Trigger => "if(qr, 'qr', 'link')",
        _ => dimension.as_str(),
    }
}
