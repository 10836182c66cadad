//! What a redirect does for links that are not plain: gates, rules, apps, and other ways of being
//! sent on.
//!
//! A visit that isn't sent on is left to the pages, which find out why for themselves and take it
//! down as what it is.

use std::sync::Arc;

use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, LINK};
use axum::http::{HeaderName, HeaderValue, StatusCode};

use super::{Answer, Leads, Moment, Redirector, RequestHead};
use crate::clicks::{Admitted, ClickBatch, EnrichedVisit};
use crate::domain::click::BotReason;
use crate::domain::link::Block;
use crate::domain::rule::visitor::{Needs, Visitor};
use crate::http::pages::{OpenApp, is_reader, page_policy, uncounted};
use crate::queries::links::{App, LinkFeatures, Redirect, Way};

const X_ROBOTS_TAG: HeaderName = HeaderName::from_static("x-robots-tag");

/// Where a visit is led.
enum Led<'a> {
    /// To a page.
    To(&'a Way),
    /// To an app.
    ToApp(&'a App),
}

impl Led<'_> {
    const fn way(&self) -> &Way {
        match self {
            Self::To(way) => way,
            Self::ToApp(app) => &app.way,
        }
    }
}

impl Redirector {
    /// The answer to a visit of such a link; `more` stands behind its slug. `None` where it isn't
    /// sent on.
    pub(super) fn follow_special(
        &self,
        request: &RequestHead<'_>,
        more: Option<&str>,
        redirect: &Arc<Redirect>,
        moment: &Moment,
        clicks: &mut ClickBatch,
    ) -> Option<Answer> {
        let special = redirect.special.as_deref()?;
        if special.is_page
            || (special.is_shared && is_reader(request.headers.user_agent))
            || (more.is_some() && !special.forwarding.path)
            || !self.is_open(special, request, moment)
        {
            return None;
        }
        let visit = request.visit(moment);
        let steps = self.recorder.enricher();
        let geo = steps.geo.load();
        let target = &redirect.way.target;
        let enriched = steps.enrich(&visit, &target.workspace, geo.as_deref());
        let led = self.lead(special, redirect, request, &enriched);
        let leads = match (&led, more) {
            // Nothing of the visitor's own goes to an app.
            (Led::ToApp(app), _) => Leads::To(app.way.location.as_str().to_owned()),
            (Led::To(way), Some(more)) => {
                let query = request.query.filter(|_| redirect.forward_query);
                Leads::To(way.location.with_path(more, query)?)
            }
            (Led::To(way), None) => Leads::To(match request.query {
                Some(query) if redirect.forward_query => {
                    way.location.with_query(query).into_owned()
                }
                _ => way.location.as_str().to_owned(),
            }),
        };
        let target = &led.way().target;
        match &special.gates.limit {
            None => clicks.push(&enriched, target),
            Some(limit) => match self.recorder.admit(special.id, limit, &enriched, target) {
                Admitted::Through => {}
                Admitted::Uncounted(bot) => {
                    let (status, notice) = uncounted(bot);
                    return Some(page(status, notice.html()));
                }
                Admitted::UsedUp => return None,
            },
        }
        Some(match &led {
            // A browser can't be sent to an app and back if the app is missing: the page offers both.
            Led::ToApp(App { way, store: Some(store) }) => {
                page(StatusCode::OK, OpenApp { app: way.location.as_str(), store }.html())
            }
            _ => sent_on(special, leads),
        })
    }

    /// Whether a visit may go through, but for the limit of clicks.
    fn is_open(&self, special: &LinkFeatures, request: &RequestHead<'_>, moment: &Moment) -> bool {
        let gates = &special.gates;
        let knows_password = || {
            let cookie = request.headers.cookie;
            self.unlock.is_unlocked(cookie, special.id, special.version, moment.at_ms)
        };
        gates.closed_at(moment.at_ms) == Block::None
            && (gates.password().is_none() || knows_password())
    }

    /// The first rule that fits, else the app of the visitor's system, else the destination.
    fn lead<'a>(
        &self,
        special: &'a LinkFeatures,
        redirect: &'a Redirect,
        request: &RequestHead<'_>,
        enriched: &EnrichedVisit<'_>,
    ) -> Led<'a> {
        let class = enriched.agent().classification();
        let Some(ruled) = &special.rules else {
            return special.apps.on(&class.os).map_or(Led::To(&redirect.way), Led::ToApp);
        };
        let needs = ruled.rules.needs();
        let (seen, place) = (&self.recorder.seen, enriched.place());
        let proxies = &self.recorder.enricher().proxies;
        let language = enriched.language();
        let address = proxies.client(request.peer, &request.headers);
        let id = self.sticky.visitor(address, enriched.agent().id(), special.id);
        let visitor = Visitor {
            at_ms: enriched.at_ms(),
            country: place.country,
            region: place.region,
            city: place.city,
            device: class.device,
            os: &class.os,
            browser: &class.browser,
            language: language.as_str(),
            query: request.query,
            referrer: &enriched.referrer().host,
            referrer_url: &enriched.referrer().url,
            address: Some(address),
            is_bot: enriched.bot() != BotReason::Human,
            id,
            returning: &|| seen.knows(id),
        };
        let chosen = ruled.rules.decide(&visitor);
        if needs.any(Needs::RETURNING) {
            seen.note(id);
        }
        let app = chosen.map_or(Some(&special.apps), |chosen| ruled.apps.get(chosen.rule));
        if let Some(app) = app.and_then(|apps| apps.on(&class.os)) {
            return Led::ToApp(app);
        }
        let way = chosen.and_then(|chosen| ruled.ways.get(chosen.destination));
        Led::To(way.unwrap_or(&redirect.way))
    }
}

/// In the way that the link says.
fn sent_on(special: &LinkFeatures, leads: Leads) -> Answer {
    let forwarding = &special.forwarding;
    let status = StatusCode::from_u16(forwarding.status()).unwrap_or(StatusCode::FOUND);
    let mut headers = Vec::new();
    if forwarding.noindex {
        headers.push((X_ROBOTS_TAG, HeaderValue::from_static("noindex")));
    }
    if forwarding.canonical
        && let Leads::To(address) = &leads
    {
        // RFC 6596: the page itself, not a place in it.
        let page = address.split('#').next().unwrap_or_default().replace('>', "%3E");
        let link = HeaderValue::try_from(format!("<{page}>; rel=\"canonical\""));
        headers.extend(link.ok().map(|link| (LINK, link)));
    }
    Answer { leads, headers, ..Answer::bare(status) }
}

fn page(status: StatusCode, html: String) -> Answer {
    let headers = vec![
        (CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
        (CONTENT_SECURITY_POLICY, page_policy()),
    ];
    Answer { headers, page: html.into(), ..Answer::bare(status) }
}
