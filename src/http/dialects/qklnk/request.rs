//! Requests of qklnk.

use crate::domain::error::Result;
use crate::domain::link::LinkInput;
use crate::http::dialects::fields::Fields;
use crate::http::dialects::links::Names;
use crate::http::params::{Params, whole_number};

/// The fields of links have slugline's names.
pub const NAMES: Names = &[];

/// The default of `days`.
const DAYS: i64 = 7;
/// The maximum of `days`.
const MAX_DAYS: u64 = 3_650;

/// The fields of a new link.
pub fn new_link(mut fields: Fields) -> Result<LinkInput> {
    let domain = fields.text("domain");
    let domain = domain.try_map(|domain| (!domain.trim().is_empty()).then_some(domain));
    Ok(LinkInput { domain, ..changed_link(fields)? })
}

/// The fields of a link to update.
pub fn changed_link(fields: Fields) -> Result<LinkInput> {
    let mut fields = fields.trimmed();
    let input = LinkInput {
        destination: fields.required_text("destination"),
        utm_source: fields.text("utm_source"),
        utm_medium: fields.text("utm_medium"),
        utm_campaign: fields.text("utm_campaign"),
        utm_content: fields.text("utm_content"),
        utm_term: fields.text("utm_term"),
        ..LinkInput::default()
    };
    fields.finish()?;
    Ok(input)
}

/// The number of a page, which is 1 if it is none.
pub fn page(mut params: Params) -> usize {
    let page = params.text("page").and_then(|text| whole_number(&text));
    page.map_or(1, |page| usize::try_from(page).unwrap_or(usize::MAX)).clamp(1, u32::MAX as usize)
}

/// The number of days of analytics.
pub fn days(mut params: Params) -> Result<i64> {
    let days = params.number("days", 1, MAX_DAYS);
    params.finish_known()?;
    Ok(days.map_or(DAYS, |days| i64::try_from(days).unwrap_or(DAYS)))
}
