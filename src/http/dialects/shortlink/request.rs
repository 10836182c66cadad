//! Requests of ShortLink.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::domain::error::{ErrorCode, Result, ServiceError};
use crate::domain::link::{Field, LinkInput, Password};
use crate::domain::qr::QrCodeInput;
use crate::http::dialects::fields::Fields;
use crate::http::dialects::links::Names;
use crate::http::params::Params;

/// The names of a link's fields, by slugline's.
pub const NAMES: Names = &[("destination", "original_url")];

/// The names of a QR code's fields, by slugline's.
pub const QR_NAMES: Names = &[
    ("color", "fg_color"),
    ("background_color", "bg_color"),
    ("logo", "logo_url"),
    ("logo_size", "logo_url"),
];

const DOT_STYLES: &[&str] = &["square", "dots", "rounded"];
const CORNER_STYLES: &[&str] = &["square", "rounded"];

/// The default of `limit`, and its maximum.
const LIMIT: usize = 20;
const MAX_LIMIT: u64 = 100;

/// The name of a period, and its days.
pub type Period = (&'static str, i64);

const PERIODS: &[Period] = &[("7d", 7), DEFAULT_PERIOD, ("90d", 90)];
/// The period of a link's analytics.
pub const DEFAULT_PERIOD: Period = ("30d", 30);

/// The fields of a body that is a JSON object.
fn of_json(fields: Fields) -> Result<Fields> {
    let message = match (fields.is_json, fields.is_malformed) {
        (false, _) => "Content-Type must be application/json.",
        (true, true) => "The body must be a JSON object.",
        (true, false) => return Ok(fields),
    };
    Err(ServiceError::new(ErrorCode::Invalid, message))
}

/// The link of a new QR code, by id or slug, and the code's fields.
pub fn qr_input(fields: Fields) -> Result<(String, QrCodeInput)> {
    let mut fields = of_json(fields)?.trimmed();
    let link = fields.required_text("link_id").apply_to(None);
    let logo = fields.text("logo_url");
    let is_data = matches!(&logo, Field::Value(url) if url.starts_with("data:"));
    let (logo, logo_url) = if is_data { (logo, Field::Absent) } else { (Field::Absent, logo) };
    let input = QrCodeInput {
        name: fields.text("name"),
        color: fields.color("fg_color"),
        background_color: fields.color("bg_color"),
        dot_style: fields.choice("dot_style", DOT_STYLES),
        corner_style: fields.choice("corner_style", CORNER_STYLES),
        logo,
        logo_url,
        ..QrCodeInput::default()
    };
    fields.finish()?;
    Ok((link.unwrap_or_default(), input))
}

/// The fields of a link to create or to update.
pub fn link_input(fields: Fields) -> Result<LinkInput> {
    let mut fields = of_json(fields)?;
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
