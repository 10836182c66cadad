//! Sends queries to the service and compares the results with the expected ones.

use std::collections::BTreeMap;

use jiff::Span as Length;
use serde_json::{Value, json};

use super::buckets::{day_start, local};
use super::expected::{Expected, Part, Tally};
use super::question::{Question, Span};
use super::world::{World, ms};

/// How many questions one request may have.
const AT_ONCE: usize = 100;

/// The answers as a batch has them: `status` with `answer` or `problem`.
pub fn ask_each(world: &World, questions: &[Value]) -> Vec<Value> {
    let mut items = Vec::new();
    for some in questions.chunks(AT_ONCE) {
        let body = json!({ "queries": some });
        let answer = world.server.api().post("/analytics/batch", &body).expect(200);
        items.extend(answer.data().as_array().unwrap().iter().cloned());
    }
    assert_eq!(items.len(), questions.len());
    items
}

/// Asks each of them; panics with the first few answers that are not as expected.
#[track_caller]
pub fn check(world: &World, questions: &[Question]) {
    let bodies: Vec<_> = questions.iter().map(Question::json).collect();
    let mut wrong = Vec::new();
    for (question, item) in questions.iter().zip(ask_each(world, &bodies)) {
        let judged = if item["status"] == 200 {
            judge(world, question, &item["answer"])
        } else {
            Err(format!("refused: {}", item["problem"]))
        };
        if let Err(reason) = judged {
            wrong.push(format!("{}\n  {reason}", question.json()));
        }
    }
    let shown = wrong.iter().take(4).map(String::as_str).collect::<Vec<_>>().join("\n");
    assert!(wrong.is_empty(), "{} of {} are wrong:\n{shown}", wrong.len(), questions.len());
}

/// Compares an answer with the clicks, counted one by one.
pub fn judge(world: &World, question: &Question, answer: &Value) -> Result<(), String> {
    let meta = &answer["meta"];
    let granularity = meta["granularity"].as_str().unwrap_or_default();
    if question.is_over_time() && question.granularity.is_some_and(|asked| asked != granularity) {
        return Err(format!("buckets of a {granularity}"));
    }
    let span = span_of(question, meta)?;
    let expected = Expected::of(world, question, span, granularity);
    let data = answer["data"].as_array().unwrap();
    if meta["total_rows"] != expected.rows.len() {
        return Err(format!(
            "total_rows is {}, not {}; {}",
            meta["total_rows"],
            expected.rows.len(),
            differences(world, question, &expected, data)
        ));
    }
    let left = expected.rows.len().saturating_sub(question.offset).min(question.limit);
    if data.len() != left {
        return Err(format!("{} rows, not {left}", data.len()));
    }
    let before =
        question.compare.map(|compare| before(world, question, compare, span, granularity));
    let mut open: BTreeMap<_, _> = expected
        .rows
        .iter()
        .map(|row| (expected.shown(question, row.0, &world.host).to_string(), row))
        .collect();
    let mut answered = Vec::new();
    for row in data {
        let (key, tally) = open
            .remove(&dimensions(row)?)
            .ok_or_else(|| format!("a row that is not there, or twice: {row}"))?;
        agree(question, tally, row)?;
        if let Some(before) = &before {
            agree_before(question, tally, before.rows.get(key), row)?;
        }
        answered.push((key, tally));
    }
    is_in_order(question, &expected, &answered)
}

/// The dimensions of a row, without the names of codes, which are there if their codes are.
fn dimensions(row: &Value) -> Result<String, String> {
    let mut dimensions = row["dimensions"].as_object().unwrap().clone();
    for code in ["country", "continent"] {
        let name = dimensions.remove(&format!("{code}_name"));
        let is_right = match dimensions.get(code) {
            None => name.is_none(),
            Some(Value::Null) => name == Some(Value::Null),
            Some(_) => name.is_some_and(|name| name.is_string()),
        };
        if !is_right {
            return Err(format!("without the name of its {code}: {row}"));
        }
    }
    Ok(Value::Object(dimensions).to_string())
}

/// The span that an answer is about, checked where it is known.
fn span_of(question: &Question, meta: &Value) -> Result<(Option<i64>, i64), String> {
    let range = &meta["date_range"];
    let (from, to) = (range["from"].as_str().map(ms), ms(range["to"].as_str().unwrap()));
    let is_so = match question.span.edges(&question.zone()) {
        Some((wanted_from, wanted_to)) => from == Some(wanted_from) && to == wanted_to,
        None if matches!(question.span, Span::All) => from.is_none(),
        None => from.is_some(),
    };
    if is_so { Ok((from, to)) } else { Err(format!("of another time: {range}")) }
}

fn differences(world: &World, question: &Question, expected: &Expected, data: &[Value]) -> String {
    let wanted: Vec<_> = expected
        .rows
        .keys()
        .map(|key| expected.shown(question, key, &world.host).to_string())
        .collect();
    let got: Vec<_> =
        data.iter().map(|row| dimensions(row).unwrap_or_else(|error| error)).collect();
    let only = |one: &[String], other: &[String]| -> Vec<String> {
        one.iter().filter(|row| !other.contains(row)).take(3).cloned().collect()
    };
    format!("too many: {:?}, missing: {:?}", only(&got, &wanted), only(&wanted, &got))
}

fn agree(question: &Question, tally: &Tally, row: &Value) -> Result<(), String> {
    let metrics = row["metrics"].as_object().unwrap();
    if metrics.len() != question.metrics.len() {
        return Err(format!("not the metrics that were asked for: {row}"));
    }
    for metric in &question.metrics {
        if !tally.agrees(metric, &metrics[*metric]) {
            return Err(format!("{metric} is to be {}: {row}", tally.number(metric)));
        }
    }
    Ok(())
}

fn agree_before(
    question: &Question,
    now: &Tally,
    before: Option<&Tally>,
    row: &Value,
) -> Result<(), String> {
    let nothing = Tally::default();
    let before = before.unwrap_or(&nothing);
    let comparison = &row["comparison"];
    agree(question, before, comparison).map_err(|reason| format!("before: {reason} in {row}"))?;
    for metric in &question.metrics {
        let (is, was) = (now.number(metric), before.number(metric));
        let change = &comparison["change"][*metric];
        let is_so = if was <= 0.0 || *metric == "last_click_at" {
            change.is_null()
        } else {
            let is_near = now.is_near(metric) || before.is_near(metric);
            let wanted = (is - was) / was * 100.0;
            change.as_f64().is_some_and(|change| is_near || (change - wanted).abs() < 0.051)
        };
        if !is_so {
            return Err(format!("{metric} went from {was} to {is}, not by {change} %"));
        }
    }
    Ok(())
}

/// What the question comes to of the span that it is compared with.
fn before(
    world: &World,
    question: &Question,
    compare: &str,
    (from, to): (Option<i64>, i64),
    granularity: &str,
) -> Expected {
    let (from, zone) = (from.unwrap(), question.zone());
    let a_year_before = |at: i64| -> i64 {
        let at = local(at, &zone);
        let before = at.datetime().checked_sub(Length::new().years(1)).unwrap();
        before.to_zoned(zone.clone()).unwrap().timestamp().as_millisecond()
    };
    let span = match (compare, question.span) {
        ("previous_year", _) => (a_year_before(from), a_year_before(to)),
        (_, Span::Days(first, last)) => {
            let (mut day, mut start) = (first, first);
            while day <= last {
                day = day.tomorrow().unwrap();
                start = start.yesterday().unwrap();
            }
            (day_start(start, &zone), from)
        }
        _ => (from - (to - from), from),
    };
    Expected::of(world, question, (Some(span.0), span.1), granularity)
}

/// Whether the rows are those of their page: at each place one that is equal in the order.
fn is_in_order(
    question: &Question,
    expected: &Expected,
    answered: &[(&Vec<Part>, &Tally)],
) -> Result<(), String> {
    let order = match question.order.as_slice() {
        [] if question.is_over_time() => vec![("time", false)],
        [] => vec![(question.metrics[0], true)],
        order => order.to_vec(),
    };
    let is_near = |key: &str| expected.rows.values().any(|tally| tally.is_near(key));
    if order.iter().any(|(key, _)| is_near(key)) {
        return Ok(());
    }
    let compare = |one: &(&Vec<Part>, &Tally), other: &(&Vec<Part>, &Tally)| {
        let by = order.iter().map(|(key, is_descending)| {
            let at = question.dimensions.iter().position(|dimension| dimension == key);
            let up = match at {
                Some(at) => one.0[at].cmp(&other.0[at]),
                None => one.1.number(key).total_cmp(&other.1.number(key)),
            };
            if *is_descending { up.reverse() } else { up }
        });
        by.fold(std::cmp::Ordering::Equal, std::cmp::Ordering::then)
    };
    let mut all: Vec<_> = expected.rows.iter().collect();
    all.sort_by(compare);
    let page = all.iter().skip(question.offset);
    for (at, (got, wanted)) in answered.iter().zip(page).enumerate() {
        if compare(got, wanted).is_ne() {
            return Err(format!("at the place {at} is {:?}, not {:?}", got.0, wanted.0));
        }
    }
    Ok(())
}
