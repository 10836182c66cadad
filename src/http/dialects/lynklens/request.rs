//! Requests of Lynklens.

use std::ops::RangeInclusive;

use crate::domain::error::{Result, ServiceError};
use crate::domain::link::{Field, LinkInput};
use crate::domain::qr::QrCodeInput;
use crate::domain::qr::style::ImageFormat;
use crate::domain::token::Abilities;
use crate::http::dialects::clicks::last;
use crate::http::dialects::fields::Fields;
use crate::http::dialects::links::Names;
use crate::http::params::{Params, whole_number};
use crate::queries::analytics::{Granularity, Period};

/// The fields of links that have other names than slugline's.
pub const NAMES: Names = &[("destination", "long_url")];

/// The default and the maximum of `per_page`.
const PER_PAGE: usize = 25;
const MAX_PER_PAGE: usize = 100;

/// The widths of QR codes, in pixels, and their formats.
const QR_SIZES: RangeInclusive<u32> = 100..=1_000;
const QR_FORMATS: &[&str] = &["png", "svg"];

/// The documented abilities.
const ABILITIES: &[&str] = &[
    "*",
    "links:read",
    "links:write",
    "analytics:read",
    "qr:read",
    "qr:write",
    "user:read",
    "user:write",
];

/// The fields of a new link.
pub fn new_link(fields: Fields) -> Result<LinkInput> {
    let mut fields = fields.trimmed();
    let destination = fields.required_text("long_url");
    link(fields, destination)
}

/// The fields of a link to change.
pub fn changed_link(fields: Fields) -> Result<LinkInput> {
    let mut fields = fields.trimmed();
    let destination = fields.text("long_url");
    link(fields, destination)
}

fn link(mut fields: Fields, destination: Field<String>) -> Result<LinkInput> {
    let (title, slug) = (fields.text("title"), fields.text("slug"));
    fields.finish()?;
    Ok(LinkInput { slug, destination, title, ..LinkInput::default() })
}

/// The slug of a link, and the fields of the QR code that it gets.
pub fn new_qr_code(fields: Fields) -> Result<(String, QrCodeInput)> {
    let mut fields = fields.trimmed();
    let slug = fields.required_text("link_slug").apply_to(None);
    let input = qr_code(fields)?;
    // The brand's images may be larger, and in other formats.
    let (size, format) = (or_null(input.size), or_null(input.format));
    Ok((slug.unwrap_or_default(), QrCodeInput { size, format, ..input }))
}

fn or_null<T>(field: Field<T>) -> Field<T> {
    if let Field::Absent = field { Field::Null } else { field }
}

/// The fields of a QR code to change.
pub fn changed_qr_code(fields: Fields) -> Result<QrCodeInput> {
    qr_code(fields.trimmed())
}

fn qr_code(mut fields: Fields) -> Result<QrCodeInput> {
    let input = QrCodeInput {
        color: fields.color("color"),
        background_color: fields.color("background_color"),
        size: fields.number("size", QR_SIZES),
        format: fields.choice("format", QR_FORMATS),
        ..QrCodeInput::default()
    };
    fields.finish()?;
    Ok(input)
}

/// How the image of a QR code is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImageAnswer {
    /// A file, of this format.
    File(Option<ImageFormat>),
    /// In base 64.
    Base64,
}

/// How an image is to be sent.
pub fn image(mut params: Params) -> Result<ImageAnswer> {
    use ImageAnswer::{Base64, File};
    let every = [File(Some(ImageFormat::Png)), File(Some(ImageFormat::Svg)), Base64];
    let word = |answer| if let File(Some(format)) = answer { format.as_str() } else { "base64" };
    let answer = params.choice("format", &every, word);
    params.finish_known()?;
    Ok(answer.unwrap_or(File(None)))
}

/// The number of a page, and the number of entries that it has.
pub fn page(mut params: Params) -> (usize, usize) {
    let mut number = |name, default: usize, max| {
        let number = params.text(name).and_then(|text| whole_number(&text));
        number.map_or(default, |number| usize::try_from(number).unwrap_or(max)).clamp(1, max)
    };
    (number("page", 1, u32::MAX as usize), number("per_page", PER_PAGE, MAX_PER_PAGE))
}

/// The span of time that analytics are about.
pub struct Span {
    /// The unit.
    pub unit: Granularity,
    /// The number of units.
    pub units: i64,
    /// The same as a period.
    pub period: Period,
    /// The maximum number of results, if it is limited.
    pub size: Option<u32>,
}

impl Span {
    /// The maximum of `units`.
    const MAX_UNITS: u64 = 365;
    /// The default and the maximum of `size` of a breakdown.
    const SIZE: u32 = 50;
    const MAX_SIZE: u64 = 1_000;

    /// Takes the parameters of analytics; by default the last `default` units.
    pub fn of(mut params: Params, default: (Granularity, i64)) -> Result<Self> {
        use Granularity::{Day, Hour, Minute, Month, Week};
        let unit = params.choice("unit", &[Minute, Hour, Day, Week, Month], Granularity::as_str);
        let units = params.number("units", 1, Self::MAX_UNITS);
        let size = params.number("size", 1, Self::MAX_SIZE);
        params.finish_known()?;
        let unit = unit.unwrap_or(default.0);
        let units = units.and_then(|units| i64::try_from(units).ok()).unwrap_or(default.1);
        let size = size.and_then(|size| u32::try_from(size).ok());
        Ok(Self { unit, units, period: last(unit, units)?, size })
    }

    /// The maximum number of values of a breakdown.
    pub fn values(&self) -> u32 {
        self.size.unwrap_or(Self::SIZE)
    }
}

/// The name of a user to change. An email address other than the present one is refused.
pub fn name(fields: Fields, email: Option<&str>) -> Result<Field<String>> {
    let mut fields = fields.trimmed();
    let name = fields.text("name");
    if let Field::Value(other) = fields.text("email")
        && !email.is_some_and(|email| email.eq_ignore_ascii_case(&other))
    {
        let reason = "can only be changed after signing in, because a link has to confirm it";
        fields.refuse::<()>("email", reason);
    }
    fields.finish()?;
    Ok(name)
}

/// The name and the abilities of a new token.
pub fn token(fields: Fields) -> Result<(String, Option<Abilities>)> {
    let mut fields = fields.trimmed();
    let name = fields.required_text("name").apply_to(None);
    let names = fields.texts("abilities").apply_to(None);
    for (place, name) in names.iter().flatten().enumerate() {
        if !ABILITIES.contains(&name.as_str()) {
            let reason = format!("must be one of {}", ABILITIES.join(", "));
            fields.refuse::<()>(&format!("abilities.{place}"), reason);
        }
    }
    fields.finish()?;
    let abilities = names.map(|names| Abilities::parse(&names)).transpose();
    let abilities = abilities.map_err(|reason| ServiceError::field("abilities", reason))?;
    Ok((name.unwrap_or_default(), abilities))
}

/// The number of a team.
pub fn team(mut params: Params) -> Result<Option<u64>> {
    let number = params.parsed("team_id", "must be an integer", whole_number);
    params.finish_known()?;
    Ok(number)
}
