//! Requests of ShortLink.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::domain::error::{ErrorCode, Result, ServiceError};
use crate::domain::link::{Field, LinkInput, Password};
use crate::http::dialects::fields::Fields;
use crate::http::dialects::links::Names;
use crate::http::params::Params;

/// The names of a link's fields, by slugline's.
pub const NAMES: Names = &[("destination", "original_url")];

/// The default of `limit`, and its maximum.
const LIMIT: usize = 20;
const MAX_LIMIT: u64 = 100;

/// The name of a period, and its days.
pub type Period = (&'static str, i64);

const PERIODS: &[Period] = &[("7d", 7), DEFAULT_PERIOD, ("90d", 90)];
/// The period of a link's analytics.
pub const DEFAULT_PERIOD: Period = ("30d", 30);

/// The fields of a link to create or to update.
pub fn link_input(mut fields: Fields) -> Result<LinkInput> {
    if !fields.is_json {
        let message = "Content-Type must be application/json.";
        return Err(ServiceError::new(ErrorCode::Invalid, message));
    }
    if fields.is_malformed {
        let message = "The body must be a JSON object.";
        return Err(ServiceError::new(ErrorCode::Invalid, message));
    }
    // Spaces are part of a password.
    let password = match fields.text("password") {
        Field::Value(text) if text.is_empty() => Field::Null,
        password => password.try_map(|text| Some(Password::from(text))),
    };
    let mut fields = fields.trimmed();
    let input = LinkInput {
        destination: fields.text("original_url"),
        slug: fields.text("slug"),
        title: fields.text("title"),
        utm_source: fields.text("utm_source"),
        utm_medium: fields.text("utm_medium"),
        utm_campaign: fields.text("utm_campaign"),
        expires_at: fields.text("expires_at").try_map(|text| Some(with_offset(text))),
        password,
        ..LinkInput::default()
    };
    fields.finish()?;
    Ok(input)
}

/// A time without an offset or a date, as a time in UTC. Any other text stays as it is: the command
/// refuses it.
fn with_offset(text: String) -> String {
    if text.parse::<Timestamp>().is_ok() {
        return text;
    }
    let time = text.parse::<DateTime>().and_then(|time| time.to_zoned(TimeZone::UTC));
    time.map_or(text, |time| time.timestamp().to_string())
}

/// The number of a page, and its length.
pub fn page(mut params: Params) -> Result<(usize, usize)> {
    let page = params.number("page", 1, u32::MAX.into());
    let limit = params.number("limit", 1, MAX_LIMIT);
    params.finish_known()?;
    let size = |number: Option<u64>, default| {
        number.map_or(default, |number| usize::try_from(number).unwrap_or(default))
    };
    Ok((size(page, 1), size(limit, LIMIT)))
}

/// The period of analytics.
pub fn period(mut params: Params) -> Result<Option<Period>> {
    let period = params.choice("period", PERIODS, |(name, _)| name);
    params.finish_known()?;
    Ok(period)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_without_an_offset_are_in_utc() {
        for (given, expected) in [
            ("2030-01-31", "2030-01-31T00:00:00Z"),
            ("2030-01-31T18:00:00", "2030-01-31T18:00:00Z"),
            ("2030-01-31T18:00:00.000+02:00", "2030-01-31T18:00:00.000+02:00"),
            ("2030-02-31", "2030-02-31"),
            ("soon", "soon"),
        ] {
            assert_eq!(with_offset(given.to_owned()), expected);
        }
    }
}
