//! Texts designed to break out of a statement, a parameter or a list are treated as plain values.

use serde_json::json;

use super::fact::{DIMENSIONS, is_text, place};
use super::filter::Filter;
use super::question::{Question, Span};
use super::rng::Dice;
use super::runner::{ask_each, check};
use super::world::{World, world};

/// Clicks have these as their `utm_term`.
pub const HOSTILE: &[&str] = &[
    "'",
    "''",
    "\"",
    "`",
    "\\",
    "\\\\",
    "\\'",
    "'\\",
    "\\N",
    "\\0",
    "\\n",
    "\\x41",
    "NULL",
    "null",
    "\t",
    "\n",
    "\r\n",
    "a\tb\nc\rd",
    "\u{0}",
    "a\u{0}b",
    "\u{7f}\u{8}\u{c}\u{1b}",
    "{p0:String}",
    "{clicks:Identifier}",
    "{p0:",
    "?",
    "??",
    "%",
    "_",
    "%00",
    "%27",
    "&param_p0=x",
    "+",
    " ",
    " lead and trail ",
    "#",
    "/* */",
    "'; DROP TABLE clicks; --",
    "') OR 1=1 --",
    "' UNION ALL SELECT * FROM agents --",
    "[]",
    "['a']",
    "',",
    "','",
    "]",
    "👩‍👩‍👧‍👦",
    "ß",
    "İstanbul",
    "Ω≈ç√",
    "\u{202e}right to left",
    "\u{feff}",
    "\u{fffd}",
    "\u{10ffff}",
    "Zürich",
    "ZÜRICH",
];

const SPAN: (&str, &str) = ("2024-09-01", "2025-10-06");

fn asked(filter: Filter) -> Question {
    let span = Span::days(SPAN.0, SPAN.1);
    Question { filter: Some(filter), span, ..Question::default() }
}

/// Texts put together of what is dangerous.
fn generated(count: usize) -> Vec<String> {
    let mut dice = Dice::new(7);
    let pieces: Vec<_> = HOSTILE.iter().copied().chain(["a", "1", "(", ")", "=", "--"]).collect();
    let one = |_| (0..=dice.below(5)).map(|_| dice.pick(&pieces)).collect();
    (0..count).map(one).collect()
}

#[test]
fn hostile_values_are_found_as_they_are() {
    let world = world();
    let mut questions = vec![Question {
        dimensions: vec!["utm_term"],
        order: vec![("utm_term", true)],
        ..asked(Filter::is("utm_term", "is_set", true))
    }];
    for text in HOSTILE {
        let at = place("utm_term");
        assert!(world.clicks.iter().any(|click| click.value(at) == *text), "{text:?} is nowhere");
        for operator in ["is", "is_not"] {
            questions.push(asked(Filter::is("utm_term", operator, *text)));
        }
        // Both letters of other scripts whose case isn't one letter are no matter of injection.
        if !["ß", "İstanbul"].contains(text) {
            questions.push(asked(Filter::is("utm_term", "contains", *text)));
        }
        questions.push(asked(Filter::is("utm_term", "in", json!([text, "none such"]))));
        questions.push(Question {
            dimensions: vec!["utm_term"],
            compare: Some("previous_year"),
            ..asked(Filter::is("utm_term", "in", json!(["none such", text])))
        });
    }
    questions.push(asked(Filter::is("utm_term", "in", json!(HOSTILE))));
    check(&world, &questions);
}

#[test]
fn generated_texts_do_no_harm() {
    let world = world();
    let mut dice = Dice::new(8);
    let is_any = |dimension: &&str| is_text(dimension) && is_free(dimension);
    let texts: Vec<_> = DIMENSIONS.into_iter().filter(is_any).collect();
    let questions: Vec<_> = generated(500)
        .into_iter()
        .map(|text| {
            let operator = dice.pick(&["is", "is_not", "in", "contains"]);
            asked(Filter::is(dice.pick(&texts), operator, text))
        })
        .collect();
    check(&world, &questions);
}

/// A pattern is taken or refused.
#[test]
fn hostile_patterns_are_no_failure() {
    let world = world();
    let mut patterns = generated(150);
    patterns.extend(HOSTILE.iter().map(|text| (*text).to_owned()));
    patterns.extend(
        [
            "(",
            "[",
            "*",
            "a{1001}",
            "(a{1000}){1000}",
            "(?x)a b",
            r"\p{Greek}",
            r"\b{start}a",
            "(?<name>a)",
            "(?P<name>a)",
            "[a&&b]",
            r"\u{41}",
            r"\x{41}",
            r"(a*)*$",
            "(?u)a",
            "(?R)a",
            r"\z",
            r"\<a",
            "[[:alpha:]]",
            r"[\d--5]",
            "((((((((((a))))))))))",
            "a\u{0}b",
            "\u{0}",
        ]
        .map(str::to_owned),
    );
    let bodies: Vec<_> = patterns
        .iter()
        .map(|pattern| asked(Filter::is("utm_term", "matches", pattern.clone())).json())
        .collect();
    for (pattern, item) in patterns.iter().zip(ask_each(&world, &bodies)) {
        assert!([200, 400].contains(&item["status"].as_u64().unwrap()), "{pattern:?}: {item}");
    }
}

/// Long lists of what takes more room on its way than it has letters.
#[test]
fn long_lists_of_awkward_texts_arrive() {
    let world = world();
    let text =
        |letters: &str, number: usize| format!("{number}{}", letters.repeat(1_900 / letters.len()));
    let mut bodies = Vec::new();
    for letters in ["\\", "'", "\t", "\n", "`", "ü", "👍", "a", "\u{0}", "%", "\\'"] {
        for count in [30, 64, 90] {
            let mut list: Vec<_> = (0..count).map(|number| text(letters, number)).collect();
            list.push("'".to_owned());
            bodies.push(asked(Filter::is("utm_term", "in", json!(list))).json());
        }
        let one = Filter::is("utm_term", "is_not", text(letters, 1));
        bodies.push(asked(Filter::And(vec![one; 90])).json());
    }
    let quote = asked(Filter::is("utm_term", "is", "'"));
    let all = asked(Filter::And(Vec::new()));
    let wanted = ask_each(&world, &[quote.json(), all.json()]);
    let wanted: Vec<_> = wanted.iter().map(|item| &item["answer"]["data"]).collect();
    let mut taken = 0;
    // One by one: together they are more than a body may hold.
    for body in &bodies {
        let is_list = body["filters"]["operator"] == "in";
        let start: String = body["filters"].to_string().chars().take(90).collect();
        let answer = world.server.api().post("/analytics/query", body);
        if answer.status != 200 {
            answer.refuses(400, "VALIDATION_ERROR", &["filters"]);
            continue;
        }
        assert_eq!(answer.data(), *wanted[usize::from(!is_list)], "{start}");
        taken += 1;
    }
    assert!(taken >= 22, "{taken} of {}", bodies.len());
}

fn path(world: &World, noun: &str, parameters: &[(&str, &str)]) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(parameters);
    format!("{}/{noun}?{}", world.links[0].path(), query.finish())
}

/// The same by the paths that take their conditions as parameters.
#[test]
fn hostile_parameters_are_values_too() {
    let world = world();
    let api = world.server.api();
    let span = [("start", SPAN.0), ("end", SPAN.1)];
    let of_link = Filter::is("link", "is", world.links[0].id.clone());
    for text in HOSTILE.iter().map(|text| (*text).to_owned()).chain(generated(30)) {
        let parameters = [span[0], span[1], ("utm_term", text.as_str())];
        let answer = api.get(&path(&world, "clicks/summary", &parameters)).expect(200).data();
        let values: Vec<_> = text.split(',').collect();
        let wanted = Filter::is("utm_term", "in", json!(values));
        let wanted = Filter::And(vec![of_link.clone(), wanted]).holds(&world.host);
        let (from, to) = asked(of_link.clone()).span.edges(&super::buckets::zone("UTC")).unwrap();
        let is_of_span = |at: i64| from <= at && at < to;
        let counted = world
            .clicks
            .iter()
            .filter(|click| is_of_span(click.at_ms) && !click.is_bot && wanted(click));
        assert_eq!(answer["total_clicks"], counted.count(), "{text:?}");
    }
}

#[test]
fn every_parameter_takes_or_refuses_any_text() {
    let world = world();
    let api = world.server.api();
    let others =
        ["timezone", "date_range", "start", "end", "unit", "units", "limit", "bots", "dedupe"];
    let names: Vec<_> = DIMENSIONS.into_iter().chain(others).chain(["min_offset"]).collect();
    let mut dice = Dice::new(12);
    for name in names {
        for text in dice.sample(HOSTILE, 4) {
            let noun = dice.pick(&["clicks", "clicks/summary", "countries", "utm/term"]);
            let answer = api.get(&path(&world, noun, &[(name, text)]));
            let is_free = is_free(name);
            let wanted = if is_free { 200 } else { 400 };
            // In the path of a link, it is the domain of a slug.
            let of_link = if name == "domain" { 404 } else { wanted };
            assert_eq!(answer.status, of_link, "{noun} {name} {text:?}: {answer:?}");
            let path = path(&world, "x", &[(name, text)]);
            let overview = format!("/analytics?{}", path.split_once('?').unwrap().1);
            assert_eq!(api.get(&overview).status, wanted, "{overview}");
        }
    }
    for text in HOSTILE {
        let name: String =
            percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC)
                .collect();
        for noun in ["clicks", "countries"] {
            let status = api.get(&format!("/links/{name}/{noun}")).status;
            assert!([400, 404].contains(&status), "{text:?}: {status}");
        }
        let status = api.get(&format!("{}/utm/{name}", world.links[0].path())).status;
        assert!([400, 404].contains(&status), "{text:?}: {status}");
    }
    // They are all still there.
    check(&world, &[Question::default()]);
}

/// Other values of these are refused.
const HAVE_FEW_VALUES: [&str; 6] =
    ["bot_reason", "continent", "country", "device", "language", "link_version"];

/// Whether a parameter may have any value.
fn is_free(name: &str) -> bool {
    DIMENSIONS.contains(&name)
        && !["link", "bot", "trigger", "qr_code", "campaign"].contains(&name)
        && !HAVE_FEW_VALUES.contains(&name)
}
