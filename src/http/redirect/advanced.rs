//! Redirects of links with gates, rules, apps or other forwarding options.
//!
//! A visit that is not redirected is left to the pages, which determine the reason and record it.

use std::sync::Arc;

use askama::Template;
use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, LINK};
use axum::http::{HeaderName, HeaderValue, StatusCode};

use super::{Answer, Location, Redirector, RequestHead, RequestTime};
use crate::clicks::{Admitted, ClickBatch, EnrichedVisit};
use crate::domain::click::BotReason;
use crate::domain::link::Block;
use crate::domain::rule::visitor::{Needs, Visitor};
use crate::http::pages::{OpenApp, POLICY, is_reader, uncounted};
use crate::queries::links::{App, LinkFeatures, Redirect, RedirectTarget};

const X_ROBOTS_TAG: HeaderName = HeaderName::from_static("x-robots-tag");

/// The target of a visit.
enum Target<'a> {
    /// A page.
    Page(&'a RedirectTarget),
    /// An app.
    App(&'a App),
}

impl Target<'_> {
    const fn redirect_target(&self) -> &RedirectTarget {
        match self {
            Self::Page(target) => target,
            Self::App(app) => &app.target,
        }
    }
}

impl Redirector {
    /// Answers a visit of such a link; `more` is the path after its slug. `None` if it is not
    /// redirected.
    pub(super) fn redirect_advanced(
        &self,
        request: &RequestHead<'_>,
        more: Option<&str>,
        redirect: &Arc<Redirect>,
        moment: &RequestTime,
        clicks: &mut ClickBatch,
    ) -> Option<Answer> {
        let features = redirect.features.as_deref()?;
        if features.is_page
            || (features.is_shared && is_reader(request.headers.user_agent))
            || (more.is_some() && !features.forwarding.path)
            || !self.is_open(features, request, moment)
        {
            return None;
        }
        let visit = request.visit(moment);
        let steps = &self.recorder.enricher;
        let geo = steps.geo.load();
        let click_target = &redirect.target.click_target;
        let enriched = steps.enrich(&visit, &click_target.workspace, geo.as_deref());
        let target = self.choose_target(features, redirect, request, &enriched);
        let location = match (&target, more) {
            // The visitor's query is not passed to an app.
            (Target::App(app), _) => Location::Address(app.target.location.as_str().to_owned()),
            (Target::Page(target), Some(more)) => {
                let query = request.query.filter(|_| redirect.forward_query);
                Location::Address(target.location.with_path(more, query)?)
            }
            (Target::Page(target), None) => Location::Address(match request.query {
                Some(query) if redirect.forward_query => {
                    target.location.with_query(query).into_owned()
                }
                _ => target.location.as_str().to_owned(),
            }),
        };
        let refusal = self.refusal(request, moment);
        if refusal.is_some() {
            return refusal;
        }
        let click_target = &target.redirect_target().click_target;
        match &features.gates.limit {
            None => clicks.push(&enriched, click_target),
            Some(limit) => match self.recorder.admit(features.id, limit, &enriched, click_target) {
                Admitted::Through => {}
                Admitted::Uncounted(bot) => {
                    let (status, notice) = uncounted(bot);
                    return Some(page(status, &notice));
                }
                Admitted::UsedUp => {
                    self.take_back(request);
                    return None;
                }
            },
        }
        Some(match &target {
            // A browser cannot try an app and come back if it is missing, so the page offers both.
            Target::App(App { target, store: Some(store) }) => {
                page(StatusCode::OK, &OpenApp { app: target.location.as_str(), store })
            }
            _ => forward(features, location),
        })
    }

    /// Whether the gates let a visit through, except for the click limit.
    fn is_open(
        &self,
        features: &LinkFeatures,
        request: &RequestHead<'_>,
        moment: &RequestTime,
    ) -> bool {
        let gates = &features.gates;
        let knows_password = || {
            let cookie = request.headers.cookie;
            self.unlock.is_unlocked(cookie, features.id, features.version, moment.at_ms)
        };
        gates.closed_at(moment.at_ms) == Block::None
            && (gates.password().is_none() || knows_password())
    }

    /// The target of the first matching rule, else the app for the visitor's system, else the
    /// destination.
    fn choose_target<'a>(
        &self,
        features: &'a LinkFeatures,
        redirect: &'a Redirect,
        request: &RequestHead<'_>,
        enriched: &EnrichedVisit<'_>,
    ) -> Target<'a> {
        let class = &enriched.agent.classification;
        let Some(routing) = &features.rules else {
            return features.apps.on(&class.os).map_or(Target::Page(&redirect.target), Target::App);
        };
        let needs = routing.rules.needs;
        let (returning, place) = (&self.recorder.seen, enriched.location);
        let proxies = &self.recorder.enricher.proxies;
        let language = enriched.language;
        let address = proxies.client(request.peer, &request.headers);
        let id = self.bucketer.visitor(address, enriched.agent.id, features.id);
        let visitor = Visitor {
            at_ms: enriched.at_ms,
            country: place.country,
            region: place.region,
            city: place.city,
            device: class.device,
            os: &class.os,
            browser: &class.browser,
            language: language.as_str(),
            query: request.query,
            referrer: enriched.referrer.site(),
            referrer_url: &enriched.referrer.url,
            address: Some(address),
            is_bot: enriched.bot() != BotReason::Human,
            id,
            returning: &|| returning.contains(id),
        };
        let chosen = routing.rules.decide(&visitor);
        if needs.any(Needs::RETURNING) {
            returning.insert(id);
        }
        let app = chosen.map_or(Some(&features.apps), |chosen| routing.apps.get(chosen.rule));
        if let Some(app) = app.and_then(|apps| apps.on(&class.os)) {
            return Target::App(app);
        }
        let target = chosen.and_then(|chosen| routing.targets.get(chosen.destination));
        Target::Page(target.unwrap_or(&redirect.target))
    }
}

/// A redirect with the link's forwarding options.
fn forward(features: &LinkFeatures, location: Location) -> Answer {
    let forwarding = &features.forwarding;
    let status = StatusCode::from_u16(forwarding.status()).unwrap_or(StatusCode::FOUND);
    let mut headers = Vec::new();
    if forwarding.noindex {
        headers.push((X_ROBOTS_TAG, HeaderValue::from_static("noindex")));
    }
    if forwarding.canonical
        && let Location::Address(address) = &location
    {
        // RFC 6596: the page without the fragment.
        let page = address.split('#').next().unwrap_or_default().replace('>', "%3E");
        let link = HeaderValue::try_from(format!("<{page}>; rel=\"canonical\""));
        headers.extend(link.ok().map(|link| (LINK, link)));
    }
    Answer { location, headers, ..Answer::bare(status) }
}

/// A page; empty if it cannot be rendered, for lack of memory.
pub(super) fn page(status: StatusCode, page: &impl Template) -> Answer {
    let html = page.render().unwrap_or_default();
    let headers = vec![
        (CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
        (CONTENT_SECURITY_POLICY, POLICY.clone()),
    ];
    Answer { headers, page: html.into(), ..Answer::bare(status) }
}
