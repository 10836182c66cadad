//! Gates: when, how often and for whom a link redirects.
//!
//! A blocked visit is redirected to the link's `expired_url` or gets a page with the reason.

use std::fmt;

use super::super::error::Invalid;
use super::LinkInput;
use super::field::Field;
use super::password::{Password, PasswordHash};
use crate::domain::destination::Destination;
use crate::domain::ids::RuleId;
use crate::domain::named_enum;

/// The maximum click limit.
const MAX_CLICKS: u64 = 1_000_000_000_000;

/// The conditions for letting a visit through. Stored in the log as it is: each default means that
/// the gate is not set.
#[derive(Clone, PartialEq, Eq, prost::Message)]
#[prost(skip_debug)]
pub struct Gates {
    /// Whether the link is disabled.
    #[prost(bool, tag = "1")]
    pub disabled: bool,
    /// Whether the link is archived: it doesn't work, and lists omit it.
    #[prost(bool, tag = "2")]
    pub archived: bool,
    /// When the link starts to work, in milliseconds since the Unix epoch.
    #[prost(uint64, optional, tag = "3")]
    pub starts_at_ms: Option<u64>,
    /// When the link stops working, in milliseconds since the Unix epoch.
    #[prost(uint64, optional, tag = "4")]
    pub expires_at_ms: Option<u64>,
    /// The redirect target after `expires_at_ms`, or once the click limit is reached.
    #[prost(string, optional, tag = "5")]
    pub expired_url: Option<String>,
    /// The click limit.
    #[prost(message, optional, tag = "6")]
    pub limit: Option<ClickLimit>,
    /// The hash of the password that visitors have to enter.
    #[prost(string, optional, tag = "7")]
    password_hash: Option<String>,
}

/// A click limit. Clicks count from the version that set the limit.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct ClickLimit {
    /// The number of clicks that are let through.
    #[prost(uint64, tag = "1")]
    pub max: u64,
    /// The version that introduced the limit. Changing the limit continues the count; removing it
    /// and setting a new one restarts the count.
    #[prost(uint32, tag = "2")]
    pub since_version: u32,
    /// Whether bots' clicks count. Visits that don't count are not let through.
    #[prost(bool, tag = "3")]
    pub counts_bots: bool,
}

named_enum! {
    /// Why a visit was blocked; the name of `None` is empty.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, prost::Enumeration)]
    #[repr(i32)]
    pub enum Block {
        /// It was not blocked.
        None = 0 => "",
        /// The link is disabled.
        Disabled = 1 => "disabled",
        /// The link is archived.
        Archived = 2 => "archived",
        /// Before `starts_at`.
        NotStarted = 3 => "not_started",
        /// At or after `expires_at`.
        Expired = 4 => "expired",
        /// `max_clicks` was reached.
        LimitReached = 5 => "limit_reached",
        /// No password was entered.
        PasswordRequired = 6 => "password_required",
        /// A wrong password was entered.
        PasswordWrong = 7 => "password_wrong",
        /// Too many wrong passwords were entered.
        GuessedTooOften = 8 => "guessed_too_often",
    }
}

impl Gates {
    /// The gate that blocks a visit at this time, apart from the click limit and the password.
    pub const fn closed_at(&self, at_ms: u64) -> Block {
        match self {
            Self { archived: true, .. } => Block::Archived,
            Self { disabled: true, .. } => Block::Disabled,
            Self { starts_at_ms: Some(from), .. } if at_ms < *from => Block::NotStarted,
            Self { expires_at_ms: Some(until), .. } if at_ms >= *until => Block::Expired,
            _ => Block::None,
        }
    }

    /// The hash of the password that visitors have to enter.
    pub fn password(&self) -> Option<PasswordHash<'_>> {
        self.password_hash.as_deref().map(PasswordHash::new)
    }

    /// Whether both have a password and the hashes differ.
    pub fn has_other_password(&self, other: &Self) -> bool {
        matches!((&self.password_hash, &other.password_hash), (Some(one), Some(other)) if one != other)
    }

    /// The gates of an earlier version, reapplied. A click limit continues the current count, or
    /// starts one at the next version if there is no limit now: never at an older version, whose
    /// clicks may have been deleted.
    #[must_use]
    pub fn reapplied_to(self, current: &Self, next_version: u32) -> Self {
        let since_version = current.limit.map_or(next_version, |limit| limit.since_version);
        Self { limit: self.limit.map(|limit| ClickLimit { since_version, ..limit }), ..self }
    }

    /// Validates the input; absent fields keep their values.
    pub(super) fn accept(
        input: &mut LinkInput,
        before: Option<&Self>,
        context: &Context<'_>,
        invalid: &mut Invalid,
    ) -> Self {
        let none = Self::default();
        let old = before.unwrap_or(&none);
        let enabled = std::mem::take(&mut input.enabled).apply_to(Some(!old.disabled));
        let archived = std::mem::take(&mut input.archived).apply_to(Some(old.archived));
        let starts_at_ms = timestamp(&mut input.starts_at, "starts_at", old.starts_at_ms, invalid);
        let expires_at_ms =
            timestamp(&mut input.expires_at, "expires_at", old.expires_at_ms, invalid);
        // An existing or imported link may have expired: only a new value has to be in the future.
        let is_new = expires_at_ms != old.expires_at_ms && !input.may_be_expired;
        if is_new && expires_at_ms.is_some_and(|at| at <= context.now_ms) {
            invalid.add("expires_at", "must be in the future");
        }
        if let (Some(from), Some(until)) = (starts_at_ms, expires_at_ms)
            && from >= until
        {
            invalid.add("expires_at", "must be after starts_at");
        }
        let expired_url = std::mem::take(&mut input.expired_url).try_map(|text| {
            let parsed = Destination::parse(&text, context.is_own);
            invalid.check("expired_url", parsed).map(|url| url.as_str().to_owned())
        });
        let limit = limit(input, old.limit, context.limited_since, invalid);
        let password_hash = std::mem::take(&mut input.password).try_map(|password| {
            let hash = Password::into_hash(password);
            invalid.check("password", hash)
        });
        Self {
            disabled: !enabled.unwrap_or(true),
            archived: archived.unwrap_or(false),
            starts_at_ms,
            expires_at_ms,
            expired_url: expired_url.apply_to(old.expired_url.clone()),
            limit,
            password_hash: password_hash.apply_to(old.password_hash.clone()),
        }
    }
}

/// What the validation of a link's fields depends on.
pub(super) struct Context<'a> {
    /// The current time, in milliseconds since the Unix epoch.
    pub now_ms: u64,
    /// The version at which the click limit started, or would start with this change. Replacing a
    /// link continues the count of its limit.
    pub limited_since: u32,
    /// Generates a rule id.
    pub new_rule_id: fn() -> RuleId,
    /// Whether a host (with its port, if any) belongs to the service.
    pub is_own: &'a dyn Fn(&str) -> bool,
}

fn limit(
    input: &mut LinkInput,
    old: Option<ClickLimit>,
    since_version: u32,
    invalid: &mut Invalid,
) -> Option<ClickLimit> {
    let max = std::mem::take(&mut input.max_clicks).try_map(|max| {
        let is_valid = (1..=MAX_CLICKS).contains(&max);
        let rule = || format!("must be from 1 to {MAX_CLICKS}");
        invalid.check("max_clicks", is_valid.then_some(max).ok_or_else(rule))
    });
    let counts_bots = std::mem::take(&mut input.max_clicks_bots);
    let max = max.apply_to(old.map(|limit| limit.max))?;
    let counts_bots = counts_bots.apply_to(old.map(|limit| limit.counts_bots)).unwrap_or(false);
    Some(ClickLimit { max, since_version, counts_bots })
}

/// Parses a time in ISO 8601 with an offset; an absent field keeps its value.
fn timestamp(
    asked: &mut Field<String>,
    name: &str,
    before: Option<u64>,
    invalid: &mut Invalid,
) -> Option<u64> {
    let parsed = std::mem::take(asked).try_map(|text| {
        let rule = || "must be a time such as 2027-01-31T18:00:00Z".to_owned();
        let at = text.parse::<jiff::Timestamp>().ok();
        let at = at.and_then(|at| u64::try_from(at.as_millisecond()).ok());
        invalid.check(name, at.ok_or_else(rule))
    });
    parsed.apply_to(before)
}

impl fmt::Debug for Gates {
    /// Omits the password hash.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gates")
            .field("disabled", &self.disabled)
            .field("archived", &self.archived)
            .field("starts_at_ms", &self.starts_at_ms)
            .field("expires_at_ms", &self.expires_at_ms)
            .field("expired_url", &self.expired_url)
            .field("limit", &self.limit)
            .field("has_password", &self.password_hash.is_some())
            .finish()
    }
}
