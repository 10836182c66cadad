//! `/api/v1/links/{link}/rules`: tests of rules.

use std::collections::{BTreeMap, HashSet};
use std::net::IpAddr;

use axum::Json;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;
use uuid::Uuid;

use super::find;
use crate::commands::now_ms;
use crate::domain::click::Device;
use crate::domain::error::{Invalid, Result, ServiceError};
use crate::domain::ids::RuleId;
use crate::domain::link::Link;
use crate::domain::referrer;
use crate::domain::rule::body::RuleBody;
use crate::domain::rule::compiled::{Chosen, CompiledRules};
use crate::domain::rule::visitor::{Needs, Visitor};
use crate::domain::rule::{Context, Rules};
use crate::http::Services;
use crate::http::auth::Api;
use crate::http::body::JsonBody;
use crate::http::native::Data;
use crate::http::native::analytics::as_of;
use crate::http::native::analytics::params::{date_range, days_of, period_of};
use crate::http::native::path_ref::PathRef;
use crate::http::params::Params;
use crate::queries::analytics::{
    AnalyticsQuery, Bots, Condition, DateRange, Dimension, Filter, Metric, Test,
};

const DEFAULT_DAYS: u64 = 7;
/// The maximum number of clicks to replay: the newest ones.
const MAX_REPLAYED: usize = 100_000;
/// The number of clicks read per query.
const PAGE: u32 = 10_000;

/// A hypothetical visitor. Absent fields are unknown.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct VisitorBody {
    /// The country, as ISO 3166-1 alpha-2.
    #[schema(example = "DE")]
    country: String,
    /// The region.
    region: String,
    /// The city.
    city: String,
    /// The type of device; `other` by default.
    #[schema(value_type = Device)]
    device: String,
    /// The operating system.
    #[schema(example = "iOS")]
    os: String,
    /// The browser.
    browser: String,
    /// The primary language subtag, such as `de`.
    language: String,
    /// The query string.
    query: Option<String>,
    /// The referring host, such as `x.com`.
    referrer: String,
    /// The URL of the referring page.
    referrer_url: String,
    /// The IP address.
    #[schema(value_type = Option<String>)]
    address: Option<IpAddr>,
    /// The time of the visit; now by default.
    #[schema(format = DateTime)]
    at: Option<String>,
    /// Whether the visitor is a bot.
    bot: bool,
    /// Whether the visitor was seen before.
    returning: bool,
    /// Any text that identifies the visitor, for rules that split traffic.
    visitor: String,
}

/// A visitor, and the rules to test.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TestBody {
    /// The visitor.
    #[serde(default)]
    visitor: VisitorBody,
    /// The rules to test; those of the link by default.
    rules: Option<Vec<RuleBody>>,
}

/// The rules to replay clicks against.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DryRunBody {
    /// The rules to test; those of the link by default.
    rules: Option<Vec<RuleBody>>,
}

/// Where a visitor would be redirected.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
pub struct RedirectResult {
    /// The ID of the matching rule; null if none matches.
    rule: Option<String>,
    /// The index of the rule, starting at 0.
    place: Option<usize>,
    /// The name of the rule.
    name: Option<String>,
    /// The variant, if the rule splits traffic.
    variant: Option<String>,
    /// The URL of the destination.
    destination: Option<String>,
}

/// Where past clicks would have been redirected.
#[derive(Debug, Serialize, ToSchema)]
pub struct DryRunView {
    /// The number of replayed clicks: the newest ones, at most 100,000.
    replayed: u64,
    /// Whether there were more clicks.
    is_cut: bool,
    /// What the rules look at that clicks do not record; treated as unknown.
    unknown: Vec<&'static str>,
    /// The results, most clicks first.
    places: Vec<ReplayedClicks>,
}

/// The number of clicks with one result.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReplayedClicks {
    #[serde(flatten)]
    place: RedirectResult,
    /// The number of clicks.
    clicks: u64,
}

/// A link and the rules under test.
struct Trial {
    link: Link,
    rules: Rules,
    compiled: CompiledRules,
}

impl Trial {
    fn new(services: &Services, link: Link, proposed: Option<Vec<RuleBody>>) -> Result<Self> {
        let standing = &link.fields.routing.rules;
        let rules = match proposed {
            None => standing.clone(),
            Some(bodies) => {
                let mut invalid = Invalid::default();
                let is_own = |host: &str| {
                    host.eq_ignore_ascii_case(&services.site.host)
                        || services.domains.host(host).is_some()
                };
                let mut new_id = || RuleId::new(Uuid::now_v7());
                let context = Context { before: standing, is_own: &is_own, new_id: &mut new_id };
                let rules = Rules::accept(bodies, context, &mut invalid);
                rules.ok_or(invalid)?
            }
        };
        Ok(Self { compiled: CompiledRules::new(&rules), link, rules })
    }

    fn place(&self, chosen: Option<Chosen>) -> RedirectResult {
        let rule = chosen.and_then(|chosen| self.rules.as_slice().get(chosen.rule));
        let destinations = rule.map(|rule| rule.target.destinations().collect::<Vec<_>>());
        let variant = chosen.and_then(|chosen| chosen.variant);
        let led = destinations.and_then(|all| all.get(variant.unwrap_or(0)).copied());
        let destination = led.or_else(|| self.link.fields.content.destination());
        RedirectResult {
            rule: rule.map(|rule| rule.id.to_string()),
            place: chosen.map(|chosen| chosen.rule),
            name: rule.and_then(|rule| rule.name.clone()),
            variant: rule.zip(variant).and_then(|(rule, at)| rule.target.variant(at)),
            destination: destination.map(|url| url.as_str().to_owned()),
        }
    }
}

/// Tests where a visitor would be redirected.
#[utoipa::path(
    post, path = "/links/{link}/rules/test", request_body = TestBody,
    responses((status = 200, body = Data<RedirectResult>)),
)]
pub async fn test(
    Api { services, actor }: Api,
    name: PathRef,
    body: JsonBody<TestBody>,
) -> Result<Json<Data<RedirectResult>>> {
    let link = find(&services, &actor, &name)?;
    let TestBody { visitor, rules } = body.value;
    let trial = Trial::new(&services, link, rules)?;
    let at_ms = match visitor.at.as_deref().map(str::parse::<Timestamp>) {
        None => now_ms(),
        Some(Ok(at)) => u64::try_from(at.as_millisecond()).unwrap_or(0),
        Some(Err(_)) => {
            let rule = "must be a time such as 2027-01-31T18:00:00Z";
            return Err(ServiceError::field("visitor.at", rule));
        }
    };
    let device = if visitor.device.is_empty() { "other" } else { &visitor.device };
    let Some(device) = Device::named(device) else {
        return Err(ServiceError::field(
            "visitor.device",
            "must be desktop, mobile, tablet, bot or other",
        ));
    };
    let chosen = trial.compiled.decide(&Visitor {
        at_ms,
        country: &visitor.country.to_ascii_uppercase(),
        region: &visitor.region,
        city: &visitor.city,
        device,
        os: &visitor.os,
        browser: &visitor.browser,
        language: &visitor.language.to_ascii_lowercase(),
        query: visitor.query.as_deref().map(|query| query.trim_start_matches('?')),
        referrer: &visitor.referrer,
        referrer_url: &visitor.referrer_url,
        address: visitor.address,
        is_bot: visitor.bot,
        id: id_of(&visitor.visitor),
        returning: &|| visitor.returning,
    });
    Ok(Json(Data { data: trial.place(chosen) }))
}

/// Replays recent clicks against rules.
///
/// Counts where the clicks of a date range would have been redirected. Nothing is changed.
#[utoipa::path(
    post, path = "/links/{link}/rules/dry-run", request_body = DryRunBody,
    params(
        ("date_range" = Option<String>, Query, description = "The date range, such as `24h` or `4w`; `7d` by default."),
        ("start" = Option<String>, Query, description = "Instead of `date_range`: the first day or time."),
        ("end" = Option<String>, Query, description = "The last day, or the time to end before; now by default."),
    ),
    responses((status = 200, body = Data<DryRunView>)),
)]
pub async fn dry_run(
    Api { services, actor }: Api,
    name: PathRef,
    mut params: Params,
    body: JsonBody<DryRunBody>,
) -> Result<Json<Data<DryRunView>>> {
    let range = date_range(&mut params).unwrap_or_else(|| days_of(DEFAULT_DAYS));
    params.finish()?;
    let link = find(&services, &actor, &name)?;
    let trial = Trial::new(&services, link, body.value.rules)?;
    let (clicks, is_cut) = past_clicks(&services, &trial.link, &range).await?;
    let needs = trial.compiled.needs;
    let facts = [(Needs::QUERY, "query"), (Needs::ADDRESS, "address")];
    let unknown = facts.into_iter().filter(|(fact, _)| needs.any(*fact)).map(|(_, name)| name);
    let (mut places, mut seen) = (BTreeMap::<RedirectResult, u64>::new(), HashSet::new());
    // Oldest first, so that returning visitors are recognized.
    for click in clicks.iter().rev() {
        *places.entry(trial.place(replay(&trial.compiled, click, &mut seen))).or_default() += 1;
    }
    let view = |(place, clicks)| ReplayedClicks { place, clicks };
    let mut places: Vec<_> = places.into_iter().map(view).collect();
    places.sort_by_key(|one| std::cmp::Reverse(one.clicks));
    let replayed = clicks.len() as u64;
    let unknown = unknown.collect();
    Ok(Json(Data { data: DryRunView { replayed, is_cut, unknown, places } }))
}

/// A link's clicks in a range, including bots, newest first; and whether there are more.
async fn past_clicks(
    services: &Services,
    link: &Link,
    range: &DateRange,
) -> Result<(Vec<Map<String, Value>>, bool)> {
    let period = period_of(range, &jiff::tz::TimeZone::UTC)?;
    let test = Test::Links(vec![link.id.uuid()]);
    let query = AnalyticsQuery {
        filter: Some(Filter::Is(Condition { dimension: Dimension::Link, test })),
        bots: Bots::Include,
        limit: PAGE,
        ..AnalyticsQuery::of(link.workspace, &[Metric::Clicks], period)
    };
    let as_of = as_of(services, None).await?;
    let (mut clicks, mut before) = (Vec::new(), None);
    while clicks.len() < MAX_REPLAYED {
        let page = services.analytics.clicks(&query, before, as_of).await?;
        let is_last = page.len() < PAGE as usize;
        before = page.last().and_then(|click| click.get("offset")).and_then(Value::as_u64);
        clicks.extend(page);
        if is_last || before.is_none() {
            return Ok((clicks, false));
        }
    }
    Ok((clicks, true))
}

/// Evaluates the rules for a past click.
fn replay(
    rules: &CompiledRules,
    click: &Map<String, Value>,
    seen: &mut HashSet<u64>,
) -> Option<Chosen> {
    let text = |name: &str| click.get(name).and_then(Value::as_str).unwrap_or_default();
    let at = text("time").parse::<Timestamp>().map(Timestamp::as_millisecond);
    let id = u64::from_str_radix(text("visitor"), 16).unwrap_or(0);
    let is_known = !seen.insert(id);
    rules.decide(&Visitor {
        at_ms: at.ok().and_then(|at| u64::try_from(at).ok()).unwrap_or(0),
        country: text("country"),
        region: text("region"),
        city: text("city"),
        device: Device::named(text("device")).unwrap_or(Device::Other),
        os: text("os"),
        browser: text("browser"),
        language: text("language"),
        query: None,
        referrer: referrer::site(text("referrer")),
        referrer_url: text("referrer_url"),
        address: None,
        is_bot: !text("bot_reason").is_empty(),
        id,
        returning: &|| is_known,
    })
}

/// A stable hash of a text.
fn id_of(text: &str) -> u64 {
    let number = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    number ^ (number >> 32)
}
