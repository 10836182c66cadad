//! Dub.
//!
//! JSON is the response of `GET /links` (dubinc/dub, `apps/web/lib/zod/schemas/links.ts`,
//! `LinkSchema`, `ABTestVariantsSchema`). CSV is the dashboard's export
//! (`apps/web/app/api/links/export`), with display names for the same fields: `Short link`,
//! `Destination URL`, ….

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::fields::{Fields, field};
use super::record::{Mapped, Product};
use crate::domain::link::LinkInput;
use crate::domain::rule::body::{ConditionBody, RuleBody, SplitBody, TargetBody, VariantBody};

const DESTINATION: &str = "url destination_url";
const SHORT: &str = "short_link link";

/// The columns of the dashboard's export, and the API's response, which is the list itself.
pub(super) static PRODUCT: Product = Product {
    destination: DESTINATION,
    used: "short_link link domain key external_id archived expires_at expired_url password title \
        description image proxy do_index public_stats comments tags utm_source utm_medium \
        utm_campaign utm_term utm_content",
    silent: "id link_id clicks leads sales sale_amount created_at updated_at last_clicked qr_code",
    path: &["links"],
    expected: "Dub's API returns a list (`[{\"domain\": …}]`)",
    map,
    has_dumps: false,
};

fn map(values: Map<String, Value>) -> Mapped {
    let mut fields = Fields::new(values);
    let short = fields.short_link(SHORT);
    let slug = fields.text("key").or(short.path);
    if slug.as_deref().map_or(short.host.is_some(), |key| key == "_root") {
        let reason = "`_root` is the root of the domain: \
        set it as the domain's root redirect instead";
        fields.refuse("key", reason);
    }
    let proxy = fields.flag("proxy");
    let mut link = LinkInput {
        slug: field(slug),
        destination: field(fields.text(DESTINATION)),
        external_id: field(fields.text("externalId")),
        archived: field(fields.flag("archived")),
        expires_at: field(fields.timestamp("expiresAt")),
        expired_url: field(fields.text("expiredUrl")),
        password: field(fields.password("password", "passwordEnabled")),
        og_title: field(fields.text("title")),
        og_description: field(fields.text("description")),
        og_image: field(fields.text("image")),
        og_preview: field(proxy),
        public_stats: field(fields.flag("publicStats")),
        noindex: field(fields.flag("doIndex").map(|is_listed| !is_listed)),
        notes: field(fields.text("comments")),
        tags: field(fields.tags("tags tagNames", ',')),
        utm_source: field(fields.text("utm_source")),
        utm_medium: field(fields.text("utm_medium")),
        utm_campaign: field(fields.text("utm_campaign")),
        utm_term: field(fields.text("utm_term")),
        utm_content: field(fields.text("utm_content")),
        ..LinkInput::default()
    };
    target(&mut fields, &mut link);
    let host = fields.text("domain").or(short.host);
    fields.into_mapped(host, link)
}

/// Maps conditional destinations. Dub checks the operating system first, then the country, and
/// splits the rest. The rules do the same; without them the app URLs of the link do.
fn target(fields: &mut Fields, link: &mut LinkInput) {
    let countries = countries(fields);
    let split = split(fields);
    let has_rules = !countries.is_empty() || split.is_some();
    let mut rules = Vec::new();
    for (name, os) in [("ios", "iOS"), ("android", "Android")] {
        let Some(url) = fields.text(name) else { continue };
        if has_rules || url.starts_with("http://") {
            let on = ConditionBody { os: Some(vec![os.to_owned()]), ..ConditionBody::default() };
            rules.push(rule(Some(on), to(url)));
        } else if name == "ios" {
            link.ios_url = field(Some(url));
        } else {
            link.android_url = field(Some(url));
        }
    }
    for (url, codes) in countries {
        let from = ConditionBody { country: Some(codes), ..ConditionBody::default() };
        rules.push(rule(Some(from), to(url)));
    }
    if let Some(split) = split {
        rules.push(rule(None, TargetBody { split: Some(split), ..TargetBody::default() }));
    }
    link.rules = field(Some(rules).filter(|rules| !rules.is_empty()));
}

fn rule(condition: Option<ConditionBody>, target: TargetBody) -> RuleBody {
    let conditions = condition.into_iter().collect();
    RuleBody { id: None, name: None, conditions, target }
}

fn to(url: String) -> TargetBody {
    TargetBody { destination: Some(url), ..TargetBody::default() }
}

/// The countries of each URL.
fn countries(fields: &mut Fields) -> BTreeMap<String, Vec<String>> {
    let mut by_url = BTreeMap::<String, Vec<String>>::new();
    for (country, url) in fields.object("geo").unwrap_or_default() {
        match url {
            Value::String(url) => by_url.entry(url).or_default().push(country),
            Value::Null => {}
            _ => fields.refuse(&format!("geo.{country}"), "must be a string"),
        }
    }
    by_url
}

/// The running A/B test. A completed one has made its winner the link's destination.
fn split(fields: &mut Fields) -> Option<SplitBody> {
    let variants = fields.list("testVariants");
    let until = fields.timestamp("testCompletedAt");
    let is_over =
        |until: &String| until.parse::<Timestamp>().is_ok_and(|at| at <= Timestamp::now());
    if variants.is_empty() || until.as_ref().is_some_and(is_over) {
        return None;
    }
    let mut accepted = Vec::with_capacity(variants.len());
    for (index, (variant, letter)) in variants.iter().zip('A'..='Z').enumerate() {
        let url = variant.get("url").and_then(Value::as_str);
        let share = variant.get("percentage").and_then(Value::as_f64);
        let (Some(url), Some(share)) = (url, share) else {
            fields.refuse(&format!("testVariants[{index}]"), "must have a url and a percentage");
            continue;
        };
        // Dub has no fractions of a percent, and weights are whole numbers.
        #[allow(
            clippy::cast_possible_truncation,
            reason = "an out-of-range value is refused as a weight"
        )]
        let weight = share.round() as i64;
        let (name, destination) = (letter.to_string(), url.to_owned());
        accepted.push(VariantBody { name, destination, weight });
    }
    Some(SplitBody { variants: accepted, until, winner: None })
}
