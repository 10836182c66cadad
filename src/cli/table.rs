//! Lists on standard output: a header and one line each, aligned in a terminal, and otherwise with
//! tab-separated columns.

use std::io::{IsTerminal, Write};

use comfy_table::{ContentArrangement, Table, presets};
use serde_json::Value;

/// Prints the fields of objects that the columns name.
pub fn print<'a>(
    out: &mut impl Write,
    columns: &[&str],
    objects: impl Iterator<Item = &'a Value>,
) -> anyhow::Result<()> {
    let rows = objects.map(|object| columns.iter().map(|column| cell(&object[*column])));
    if !std::io::stdout().is_terminal() {
        writeln!(out, "{}", columns.join("\t"))?;
        for row in rows {
            writeln!(out, "{}", row.collect::<Vec<_>>().join("\t"))?;
        }
        return Ok(());
    }
    let mut table = Table::new();
    let arrangement = arrangement(table.width());
    table.load_preset(presets::NOTHING).set_content_arrangement(arrangement);
    table.set_header(columns.iter().map(|column| column.replace('_', " ")));
    table.add_rows(rows);
    Ok(writeln!(out, "{}", table.trim_fmt())?)
}

/// How to fit a table into a terminal. Some terminals have a width of 0: it is unknown.
fn arrangement(width: Option<u16>) -> ContentArrangement {
    match width {
        None | Some(0) => ContentArrangement::Disabled,
        Some(_) => ContentArrangement::Dynamic,
    }
}

/// A value as a cell, on one line.
pub fn cell(value: &Value) -> String {
    match value {
        Value::String(text) => text.replace(char::is_control, " "),
        Value::Array(names) if names.iter().all(|name| !name.is_object()) => {
            names.iter().map(cell).collect::<Vec<_>>().join(",")
        }
        Value::Null => "-".to_owned(),
        Value::Bool(flag) => if *flag { "yes" } else { "no" }.to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_table_is_fitted_only_into_a_known_width() {
        assert!(matches!(arrangement(Some(80)), ContentArrangement::Dynamic));
        for unknown in [None, Some(0)] {
            assert!(matches!(arrangement(unknown), ContentArrangement::Disabled));
        }
    }

    #[test]
    fn a_cell_is_on_one_line() {
        let cells = [
            json!("a\tb\nc"),
            json!(["x", "y"]),
            json!(false),
            json!(null),
            json!(3),
            json!([{ "a": 1 }]),
        ];
        assert_eq!(
            cells.map(|value| cell(&value)),
            ["a b c", "x,y", "no", "-", "3", "[{\"a\":1}]"]
        );
    }
}
