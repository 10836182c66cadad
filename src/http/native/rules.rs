//! `/api/v1/links/{link}/rules`: where visitors would go.

use std::collections::{BTreeMap, HashSet};
use std::net::IpAddr;

use axum::Json;
use axum::extract::State;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;
use uuid::Uuid;

use super::Data;
use super::analytics::as_of;
use super::links::find;
use crate::commands::now_ms;
use crate::domain::click::Device;
use crate::domain::error::Invalid;
use crate::domain::ids::RuleId;
use crate::domain::link::Link;
use crate::domain::rule::body::RuleBody;
use crate::domain::rule::compiled::{Chosen, CompiledRules};
use crate::domain::rule::visitor::{Needs, Visitor};
use crate::domain::rule::{Context, Rules};
use crate::http::Services;
use crate::http::auth::{AnalyticsRead, Can, LinksRead};
use crate::http::body::JsonBody;
use crate::http::params::{Name, Params};
use crate::http::problem::{Problem, ProblemBody};
use crate::queries::analytics::{
    AnalyticsQuery, Bots, Condition, DateRange, Dimension, Filter, Granularity, Metric, Test,
};

const DEFAULT_DAYS: u64 = 7;
const MAX_DAYS: u64 = 90;
/// How many clicks are replayed at most, the newest ones.
const MAX_REPLAYED: usize = 100_000;
/// How many of them are read at a time.
const PAGE: u32 = 10_000;

/// A visitor, as somebody describes him: what is absent isn't known of him.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct VisitorBody {
    /// ISO 3166-1 alpha-2.
    #[schema(example = "DE")]
    country: String,
    region: String,
    city: String,
    /// desktop, mobile, tablet, bot or other.
    device: String,
    #[schema(example = "iOS")]
    os: String,
    browser: String,
    /// The first subtag: `de`.
    language: String,
    /// What stands behind the `?`.
    query: Option<String>,
    /// The referring site: `x.com`.
    referrer: String,
    /// The referring page.
    referrer_url: String,
    #[schema(value_type = Option<String>)]
    address: Option<IpAddr>,
    /// When he comes; now when absent.
    #[schema(format = DateTime)]
    at: Option<String>,
    bot: bool,
    /// Whether he was seen before.
    returning: bool,
    /// Tells visitors apart where a rule shares them out; any text.
    visitor: String,
}

/// A visitor, and the rules that are tried.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TestBody {
    #[serde(default)]
    visitor: VisitorBody,
    /// The link's own when absent.
    rules: Option<Vec<RuleBody>>,
}

/// Rules that are tried.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DryRunBody {
    /// The link's own when absent.
    rules: Option<Vec<RuleBody>>,
}

/// Where somebody would go.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
pub struct PlaceView {
    /// The rule that fits; null where none does.
    rule: Option<String>,
    /// Which one it is of the list, from 0 on.
    place: Option<usize>,
    name: Option<String>,
    /// What the visitor draws, where the rule shares visitors out.
    variant: Option<String>,
    destination: Option<String>,
}

/// What would have become of past clicks.
#[derive(Debug, Serialize, ToSchema)]
pub struct DryRunView {
    /// How many clicks were replayed: those of the days that were asked for, the newest first, up
    /// to 100,000.
    replayed: u64,
    /// Whether there were more.
    is_cut: bool,
    /// Facts that the rules look at and that clicks don't hold: as if they were not known.
    unknown: Vec<&'static str>,
    /// Where they would have gone, most clicks first.
    places: Vec<ReplayedView>,
}

/// How many would have gone to one place.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReplayedView {
    #[serde(flatten)]
    place: PlaceView,
    clicks: u64,
}

/// Rules that are tried, of a link.
struct Trial {
    link: Link,
    rules: Rules,
    compiled: CompiledRules,
}

impl Trial {
    fn new(
        services: &Services,
        link: Link,
        proposed: Option<Vec<RuleBody>>,
    ) -> Result<Self, Problem> {
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
                rules.ok_or_else(|| Problem::invalid(invalid.fields().clone()))?
            }
        };
        Ok(Self { compiled: CompiledRules::new(&rules), link, rules })
    }

    fn place(&self, chosen: Option<Chosen>) -> PlaceView {
        let rule = chosen.and_then(|chosen| self.rules.as_slice().get(chosen.rule));
        let destinations = rule.map(|rule| rule.target.destinations().collect::<Vec<_>>());
        let variant = chosen.and_then(|chosen| chosen.variant);
        let led = destinations.and_then(|all| all.get(variant.unwrap_or(0)).copied());
        let destination = led.or_else(|| self.link.fields.content.destination());
        PlaceView {
            rule: rule.map(|rule| rule.id.to_string()),
            place: chosen.map(|chosen| chosen.rule),
            name: rule.and_then(|rule| rule.name.clone()),
            variant: rule.zip(variant).and_then(|(rule, at)| rule.target.variant(at)),
            destination: destination.map(|url| url.as_str().to_owned()),
        }
    }
}

/// Where a visitor would go.
#[utoipa::path(
    post, path = "/links/{link}/rules/test", tag = "links", request_body = TestBody,
    params(("link" = String, Path, description = "The link's id or slug")),
    responses(
        (status = 200, body = Data<PlaceView>),
        (status = 400, body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn test(
    State(services): State<Services>,
    actor: Can<LinksRead>,
    Name(name): Name,
    body: JsonBody<TestBody>,
) -> Result<Json<Data<PlaceView>>, Problem> {
    let link = find(&services, &actor, &name)?;
    let TestBody { visitor, rules } = body.value;
    let trial = Trial::new(&services, link, rules)?;
    let at_ms = match visitor.at.as_deref().map(str::parse::<Timestamp>) {
        None => now_ms(),
        Some(Ok(at)) => u64::try_from(at.as_millisecond()).unwrap_or(0),
        Some(Err(_)) => {
            let rule = "must be a moment such as 2027-01-31T18:00:00Z";
            return Err(Problem::field("visitor.at", rule));
        }
    };
    let device = if visitor.device.is_empty() { "other" } else { &visitor.device };
    let Some(device) = device_of(device) else {
        return Err(Problem::field(
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

/// Where the clicks of the last days would have gone. Nothing is changed.
#[utoipa::path(
    post, path = "/links/{link}/rules/dry-run", tag = "links", request_body = DryRunBody,
    params(
        ("link" = String, Path, description = "The link's id or slug"),
        ("days" = Option<u64>, Query, description = "How many days, today included: 1 to 90; 7 when absent"),
    ),
    responses(
        (status = 200, body = Data<DryRunView>),
        (status = 400, body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn dry_run(
    State(services): State<Services>,
    actor: Can<AnalyticsRead>,
    Name(name): Name,
    mut params: Params,
    body: JsonBody<DryRunBody>,
) -> Result<Json<Data<DryRunView>>, Problem> {
    let days = params.number("days", 1, MAX_DAYS).unwrap_or(DEFAULT_DAYS);
    params.finish()?;
    let link = find(&services, &actor, &name)?;
    let trial = Trial::new(&services, link, body.value.rules)?;
    let (clicks, is_cut) = past_clicks(&services, &trial.link, days).await?;
    let needs = trial.compiled.needs();
    let facts = [(Needs::QUERY, "query"), (Needs::ADDRESS, "address")];
    let unknown = facts.into_iter().filter(|(fact, _)| needs.any(*fact)).map(|(_, name)| name);
    let (mut places, mut seen) = (BTreeMap::<PlaceView, u64>::new(), HashSet::new());
    // The oldest first: who came before is known then.
    for click in clicks.iter().rev() {
        *places.entry(trial.place(replay(&trial.compiled, click, &mut seen))).or_default() += 1;
    }
    let view = |(place, clicks)| ReplayedView { place, clicks };
    let mut places: Vec<_> = places.into_iter().map(view).collect();
    places.sort_by_key(|one| std::cmp::Reverse(one.clicks));
    let replayed = clicks.len() as u64;
    let unknown = unknown.collect();
    Ok(Json(Data { data: DryRunView { replayed, is_cut, unknown, places } }))
}

/// The link's clicks of some days, bots' too, the newest first; and whether there are more.
async fn past_clicks(
    services: &Services,
    link: &Link,
    days: u64,
) -> Result<(Vec<Map<String, Value>>, bool), Problem> {
    let range = DateRange::Last(Granularity::Day, i64::try_from(days).unwrap_or(1));
    let period = range.period(&jiff::tz::TimeZone::UTC, Timestamp::now());
    let period = period.map_err(|reason| Problem::field("days", reason))?;
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

/// What a past click would choose.
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
        device: device_of(text("device")).unwrap_or(Device::Other),
        os: text("os"),
        browser: text("browser"),
        language: text("language"),
        query: None,
        referrer: text("referrer"),
        referrer_url: text("referrer_url"),
        address: None,
        is_bot: !text("bot_reason").is_empty(),
        id,
        returning: &|| is_known,
    })
}

fn device_of(word: &str) -> Option<Device> {
    let every = [Device::Other, Device::Desktop, Device::Mobile, Device::Tablet, Device::Bot];
    every.into_iter().find(|device| device.as_str() == word)
}

/// A number for a text: the same one each time.
fn id_of(text: &str) -> u64 {
    let number = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    number ^ (number >> 32)
}
