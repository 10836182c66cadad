//! Requests of link.tj.

use crate::commands::accounts::Credentials;
use crate::domain::error::Result;
use crate::domain::link::{Field, Kind, LinkInput};
use crate::http::dialects::fields::Fields;
use crate::http::dialects::links::Names;
use crate::http::params::{Params, whole_number};

/// The names of link.tj for fields of links.
pub const NAMES: Names = &[("destination", "url")];

/// The default of `limit`.
const LIMIT: usize = 50;
/// The maximum of `limit`.
const MAX_LIMIT: usize = 100;

fn check_body(fields: &mut Fields) {
    if fields.is_malformed {
        let _: Field<()> = fields.refuse("body", "must be a JSON object");
    }
}

/// The fields of a link to create.
pub fn link_input(fields: Fields) -> Result<LinkInput> {
    let mut fields = fields.trimmed();
    check_body(&mut fields);
    let kind = match fields.text("kind") {
        Field::Value(name) => Kind::named(&name).map_or_else(
            || fields.refuse("kind", format!("must be one of {}", Kind::names())),
            Field::Value,
        ),
        Field::Null | Field::Absent => Field::Absent,
    };
    let mut input = LinkInput {
        slug: fields.text("slug"),
        title: fields.text("title"),
        kind: kind.clone(),
        ..LinkInput::default()
    };
    if matches!(kind, Field::Absent | Field::Value(Kind::Url)) {
        input.destination = fields.required_text("url");
    } else {
        input.payload = fields.object("payload");
    }
    fields.finish()?;
    Ok(input)
}

/// The email address and the password of a user, and the code of the second factor.
pub fn credentials(mut fields: Fields) -> Result<Credentials> {
    check_body(&mut fields);
    let text = |field| match field {
        Field::Value(text) => Some(text),
        Field::Null | Field::Absent => None,
    };
    let email = text(fields.required_text("email"));
    let password = text(fields.required_text("password"));
    let code = text(fields.text("code"));
    fields.finish()?;
    let (email, password) = (email.unwrap_or_default(), password.unwrap_or_default());
    Credentials { email, password, code }.required()
}

/// Which links to list: at most how many, and after how many others.
pub fn part(mut params: Params) -> (usize, usize) {
    let mut number = |name, default| {
        let number = params.text(name).and_then(|text| whole_number(&text));
        number.map_or(default, |number| usize::try_from(number).unwrap_or(usize::MAX))
    };
    (number("limit", LIMIT).clamp(1, MAX_LIMIT), number("offset", 0))
}

/// A periodic task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    /// The renewal of subscriptions.
    Renew,
    /// The weekly reports.
    Weekly,
}

/// The secret of a scheduler, if the request has one.
pub fn cron_secret(params: &mut Params) -> Option<String> {
    params.text("secret").filter(|secret| !secret.is_empty())
}

/// The tasks to start.
pub fn tasks(mut params: Params) -> Result<Vec<Task>> {
    let tasks = params.parsed("task", "must be one of renew, weekly, all", |name| match name {
        "renew" => Some(vec![Task::Renew]),
        "weekly" => Some(vec![Task::Weekly]),
        "all" | "" => Some(vec![Task::Renew, Task::Weekly]),
        _ => None,
    });
    params.finish_known()?;
    Ok(tasks.unwrap_or_else(|| vec![Task::Renew, Task::Weekly]))
}
