//! Tests of the query string, evaluated in one pass.

use std::cmp::Ordering;
use std::ops::Range;

/// At least the maximum number of conditions of a link's rules.
const MAX_QUESTIONS: usize = 256;

/// Collects the tests during compilation.
#[derive(Default)]
pub(super) struct Collector(Vec<(Box<str>, Values)>);

/// The tests, by parameter name.
pub(super) struct Questions {
    /// Sorted by name.
    parameters: Box<[Parameter]>,
}

struct Parameter {
    name: Box<str>,
    questions: Box<[Question]>,
}

struct Question {
    /// The index of the result's bit.
    number: usize,
    values: Values,
}

/// Sorted; empty to test only that the parameter is present.
type Values = Box<[Box<str>]>;

/// A bit for each test.
#[derive(Default)]
pub(super) struct Answers([u64; MAX_QUESTIONS / 64]);

impl Collector {
    /// Adds a test and returns its number.
    pub(super) fn ask(&mut self, name: &str, values: &[String]) -> usize {
        let mut values: Vec<Box<str>> = values.iter().map(|value| value.as_str().into()).collect();
        values.sort_unstable();
        self.0.push((name.into(), values.into()));
        self.0.len() - 1
    }

    pub(super) fn into_questions(self) -> Questions {
        let mut parameters: Vec<(Box<str>, Vec<Question>)> = Vec::new();
        for (number, (name, values)) in self.0.into_iter().enumerate() {
            let question = Question { number, values };
            match parameters.iter_mut().find(|(known, _)| *known == name) {
                Some((_, questions)) => questions.push(question),
                None => parameters.push((name, vec![question])),
            }
        }
        parameters.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        let each = parameters.into_iter();
        let parameters =
            each.map(|(name, questions)| Parameter { name, questions: questions.into() });
        Questions { parameters: parameters.collect() }
    }
}

impl Questions {
    /// Evaluates the tests in one pass. The first value of each parameter counts.
    pub(super) fn answer(&self, query: &str) -> Answers {
        let mut answers = Answers::default();
        let mut seen = Answers::default();
        let pairs = query.as_bytes().split(|byte| *byte == b'&');
        for pair in pairs.filter(|pair| !pair.is_empty()) {
            let end = pair.iter().position(|byte| *byte == b'=').unwrap_or(pair.len());
            let (name, value) = pair.split_at(end);
            let value = value.get(1..).unwrap_or_default();
            let by_name = |parameter: &Parameter| compare(&parameter.name, name);
            let Ok(place) = self.parameters.binary_search_by(by_name) else { continue };
            let Some(parameter) = self.parameters.get(place).filter(|_| !seen.is_yes(place)) else {
                continue;
            };
            seen.say_yes(place);
            for question in &parameter.questions {
                let is_wanted = question.values.is_empty()
                    || question.values.binary_search_by(|wanted| compare(wanted, value)).is_ok();
                if is_wanted {
                    answers.say_yes(question.number);
                }
            }
        }
        answers
    }
}

impl Answers {
    pub(super) fn is_yes(&self, number: usize) -> bool {
        self.0.get(number / 64).is_some_and(|bits| bits >> (number % 64) & 1 == 1)
    }

    fn say_yes(&mut self, number: usize) {
        if let Some(bits) = self.0.get_mut(number / 64) {
            *bits |= 1 << (number % 64);
        }
    }
}

/// Compares a text with the decoded form of a part of a query.
fn compare(text: &str, encoded: &[u8]) -> Ordering {
    text.bytes().cmp(Decoded { encoded, places: 0..encoded.len() })
}

/// Decodes form-encoded (`application/x-www-form-urlencoded`) bytes.
struct Decoded<'a> {
    encoded: &'a [u8],
    places: Range<usize>,
}

impl Iterator for Decoded<'_> {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        let place = self.places.next()?;
        match self.encoded.get(place..)? {
            [b'+', ..] => Some(b' '),
            [b'%', high, low, ..] => {
                let digit = |byte: u8| char::from(byte).to_digit(16);
                let byte = digit(*high).zip(digit(*low)).map(|(high, low)| high * 16 + low);
                match byte.and_then(|byte| u8::try_from(byte).ok()) {
                    Some(byte) => {
                        self.places.start += 2;
                        Some(byte)
                    }
                    None => Some(b'%'),
                }
            }
            [byte, ..] => Some(*byte),
            [] => None,
        }
    }
}
