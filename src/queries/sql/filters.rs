//! Compiles filters to conditions and dimensions to columns.

use uuid::Uuid;

use super::statement::Statement;
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
        let column = column(condition.dimension);
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

/// Maps a dimension to a column expression.
pub(super) type Column<'a> = &'a dyn Fn(Dimension) -> &'static str;

/// The expression of a dimension in the table of clicks: the column of its name, unless it is named
/// here.
pub(super) const fn column(dimension: Dimension) -> &'static str {
    match dimension {
        Dimension::Time => "toUnixTimestamp(ts)",
        Dimension::Link => "link_id",
        // Not recorded with clicks yet.
        Dimension::Tag | Dimension::Folder | Dimension::Campaign => "''",
        Dimension::LinkVersion => "toString(link_version)",
        Dimension::Bot => "if(bot = '', 'false', 'true')",
        Dimension::BotReason => "bot",
        Dimension::Trigger => "if(qr, 'qr', 'link')",
        _ => dimension.as_str(),
    }
}
