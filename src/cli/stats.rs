//! `slugline stats`: clicks as numbers and bars in the terminal, through a running service.

use std::io::Write;

use anyhow::{Context, bail};
use clap::Args;
use reqwest::Method;
use serde_json::{Value, json};

use super::client::{ApiClient, Remote, data_of, sentence};
use super::link;
use super::table;
use crate::queries::analytics::{DateRange, RANGES};

/// What is shown if no dimension is named.
const DIMENSIONS: [&str; 3] = ["country", "referrer", "device"];
/// The number of values of each of these, and of a dimension that is named.
const LIMITS: [u32; 2] = [5, 20];
/// The length of the longest bar, in characters.
const BAR_LEN: u64 = 40;

/// `slugline stats`
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  slugline stats spring
  slugline stats spring --period 12mo --by browser --by city
  slugline stats --period today --timezone Europe/Berlin --json")]
pub struct StatsArgs {
    /// The slug or the ID of a link [default: all links of the workspace]
    link: Option<String>,
    /// The period, such as 24h, 7d, 12mo, today, ytd or all
    #[arg(long, default_value = "30d", value_parser = period)]
    period: String,
    /// The time zone in which days begin
    #[arg(long, value_name = "NAME", default_value = "UTC")]
    timezone: String,
    /// A dimension to break the clicks down by, such as browser, city or language; can be repeated
    /// [default: country, referrer and device]
    #[arg(long = "by", value_name = "DIMENSION")]
    dimensions: Vec<String>,
    /// Count bots, too
    #[arg(long)]
    bots: bool,
    /// Write JSON: the answers to the queries, in the order of the text
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: Remote,
}

fn period(name: &str) -> Result<String, String> {
    let range = DateRange::parse(name).map(|_| name.to_owned());
    range.ok_or_else(|| format!("must be one of {RANGES}"))
}

/// Prints the clicks of a link or of a workspace.
pub fn stats(args: &StatsArgs, mut out: impl Write) -> anyhow::Result<()> {
    let client = ApiClient::remote(&args.remote)?;
    let link = args.link.as_ref().map(|link| client.get(&link::path(link)));
    let link = link.transpose()?;
    let by = if args.dimensions.is_empty() {
        DIMENSIONS.map(str::to_owned).to_vec()
    } else {
        args.dimensions.clone()
    };
    let limit = LIMITS[usize::from(!args.dimensions.is_empty())];
    let mut queries =
        vec![query(args, link.as_ref(), None), query(args, link.as_ref(), Some("time"))];
    queries.extend(by.iter().map(|dimension| {
        let mut query = query(args, link.as_ref(), Some(dimension));
        query["limit"] = limit.into();
        query
    }));
    let request = client.request(Method::POST, "/analytics/batch");
    let answers = data_of(request.json(&json!({ "queries": queries })))?;
    let answers = answers.as_array().context("the service answered without data")?;
    let answers = answers.iter().map(answer_of).collect::<anyhow::Result<Vec<_>>>()?;
    if args.json {
        return Ok(writeln!(out, "{}", answers.into_iter().cloned().collect::<Value>())?);
    }
    let [totals, days, breakdowns @ ..] = answers.as_slice() else {
        bail!("the service did not answer all queries");
    };
    if let Some(link) = link {
        let lead = [&link["short_url"], &link["destination"]].map(table::cell);
        writeln!(out, "{}", lead.join(" → "))?;
    }
    let metrics = &totals["data"][0]["metrics"];
    let [clicks, visitors] = ["clicks", "unique_visitors"].map(|name| number(&metrics[name]));
    let StatsArgs { period, timezone, .. } = args;
    writeln!(out, "{clicks} clicks, {visitors} visitors ({period}, {timezone})\n")?;
    bars(days, "time", &mut out)?;
    for (dimension, answer) in by.iter().zip(breakdowns) {
        writeln!(out, "\n{dimension}")?;
        bars(answer, dimension, &mut out)?;
        write_rest(answer, dimension, clicks, &mut out)?;
    }
    Ok(())
}

/// The number of values that are not shown, and of their clicks, of which `total` are all.
fn write_rest(
    answer: &Value,
    dimension: &str,
    total: u64,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let rows = answer["data"].as_array().map(Vec::as_slice).unwrap_or_default();
    let shown: u64 = rows.iter().map(|row| number(&row["metrics"]["clicks"])).sum();
    match number(&answer["meta"]["total_rows"]).saturating_sub(rows.len() as u64) {
        0 => Ok(()),
        // A click counts for each tag of its link.
        more if dimension == "tag" => Ok(writeln!(out, "and {more} more")?),
        more => Ok(writeln!(out, "and {more} more  {}", total.saturating_sub(shown))?),
    }
}

fn query(args: &StatsArgs, link: Option<&Value>, dimension: Option<&str>) -> Value {
    let filters =
        link.map(|link| json!({ "dimension": "link", "operator": "is", "value": [link["id"]] }));
    json!({
        "metrics": ["clicks", "unique_visitors"],
        "dimensions": dimension.into_iter().collect::<Vec<_>>(),
        "filters": filters.into_iter().collect::<Vec<_>>(),
        "date_range": args.period,
        "timezone": args.timezone,
        "bots": if args.bots { "include" } else { "exclude" },
    })
}

/// The answer to one query of a batch.
fn answer_of(answered: &Value) -> anyhow::Result<&Value> {
    let answer = &answered["answer"];
    if answered["status"] == 200 {
        return Ok(answer);
    }
    bail!(
        sentence(&answered["problem"])
            .unwrap_or_else(|| "the service answered without a reason".to_owned())
    )
}

/// A line for each row: its value of the dimension, a bar, and the number of clicks.
fn bars(answer: &Value, dimension: &str, out: &mut impl Write) -> anyhow::Result<()> {
    let rows = answer["data"].as_array().map(Vec::as_slice).unwrap_or_default();
    let label = |row: &Value| match &row["dimensions"][dimension] {
        Value::Null if ["referrer", "source"].contains(&dimension) => "direct".to_owned(),
        Value::Null if ["tag", "folder", "campaign"].contains(&dimension) => "none".to_owned(),
        Value::Null => "unknown".to_owned(),
        value => table::cell(value),
    };
    let clicks = |row: &Value| number(&row["metrics"]["clicks"]);
    let width = rows.iter().map(|row| label(row).chars().count()).max().unwrap_or_default();
    let most = rows.iter().map(clicks).max().unwrap_or_default();
    for row in rows {
        let bar = bar(clicks(row), most);
        writeln!(out, "{:<width$}  {bar}{}", label(row), clicks(row))?;
    }
    if rows.is_empty() {
        writeln!(out, "no clicks")?;
    }
    Ok(())
}

/// A bar in eighths of a character, followed by a space unless it is empty.
fn bar(clicks: u64, most: u64) -> String {
    let eighths = (clicks * BAR_LEN * 8).div_ceil(most.max(1));
    let rest = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let whole = usize::try_from(eighths / 8).unwrap_or_default();
    let rest = rest.get(usize::try_from(eighths % 8).unwrap_or_default()).unwrap_or(&"");
    let space = if clicks == 0 { "" } else { " " };
    ["█".repeat(whole).as_str(), rest, space].concat()
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_in_proportion() {
        assert_eq!(bar(0, 0), "");
        assert_eq!(bar(0, 8), "");
        assert_eq!(bar(8, 8), format!("{} ", "█".repeat(40)));
        assert_eq!(bar(4, 8), format!("{} ", "█".repeat(20)));
        assert_eq!(bar(1, 1_000), "▏ ", "the least has a bar");
    }

    #[test]
    fn what_is_not_shown_is_counted() {
        let rest = |dimension, total_rows| {
            let row = json!({ "metrics": { "clicks": 7 } });
            let answer = json!({ "data": [row], "meta": { "total_rows": total_rows } });
            let mut out = Vec::new();
            write_rest(&answer, dimension, 10, &mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        assert_eq!(rest("browser", 1), "");
        assert_eq!(rest("browser", 3), "and 2 more  3\n");
        assert_eq!(rest("tag", 3), "and 2 more\n");
    }

    #[test]
    fn a_period_has_a_name() {
        assert!(period("7d").is_ok());
        assert!(period("12x").unwrap_err().starts_with("must be one of 24h, "));
    }

    #[test]
    fn rows_are_aligned() {
        let row = |country: Value, clicks: u64| json!({ "dimensions": { "country": country }, "metrics": { "clicks": clicks } });
        let answer = json!({ "data": [row(json!("DE"), 2), row(Value::Null, 1)] });
        let mut out = Vec::new();
        bars(&answer, "country", &mut out).unwrap();
        let (long, short) = ("█".repeat(40), "█".repeat(20));
        let expected = format!("DE       {long} 2\nunknown  {short} 1\n");
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
