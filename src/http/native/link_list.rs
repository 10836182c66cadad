//! `GET /api/v1/links`: finding links.

use std::collections::HashMap;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use super::link_view::LinkView;
use super::page::{Page, PageMeta};
use super::{Data, deleted};
use crate::domain::link::{Kind, checked_folder};
use crate::domain::token::Actor;
use crate::http::auth::{Can, LinksRead};
use crate::http::params::Params;
use crate::http::problem::{Problem, ProblemBody};
use crate::http::{Services, Site};
use crate::queries::links::{
    Archived, Clicks, Cursor, LinkFilter, LinkQuery, MAX_RANKED, Part, Sort, Word,
};

const MAX_TAGS: usize = 50;

/// A part of a list.
#[derive(Debug, Serialize, ToSchema)]
#[allow(missing_docs, reason = "as in each list")]
pub struct LinkPage {
    pub data: Vec<LinkView>,
    pub meta: PageMeta,
}

/// How many links there are.
#[derive(Debug, Serialize, ToSchema)]
pub struct CountView {
    links: u64,
}

/// Which links. All conditions have to hold.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "it only describes what is taken by name")]
pub struct Finding {
    /// Words with blanks between them, in any case: each occurs in the slug, the title, the
    /// destination, the notes or a tag, at any place.
    q: Option<String>,
    /// Has this tag, in any case; several with commas between them, or several times: has all of
    /// them.
    tag: Option<String>,
    /// Is in this folder or below it.
    folder: Option<String>,
    /// Belongs to the campaign with this id.
    campaign: Option<String>,
    /// Answers on this domain.
    domain: Option<String>,
    /// Is called so by another system.
    external_id: Option<String>,
    /// Was made at this moment or later (ISO 8601).
    created_from: Option<String>,
    /// Was made before this moment (ISO 8601).
    created_until: Option<String>,
    /// Asks visitors for a password.
    has_password: Option<bool>,
    /// Its `expires_at` has come.
    expired: Option<bool>,
    /// Is switched on.
    enabled: Option<bool>,
    /// `true`: only archived ones; `any`: these too; left out when absent.
    archived: Option<String>,
    /// `url`, `wifi`, `vcard` or `text`.
    kind: Option<String>,
}

/// The conditions of a request; `unless_said` holds of archived links.
pub fn filter(params: &mut Params, site: &Site, unless_said: Archived) -> LinkFilter {
    let mut filter = LinkFilter::default();
    if let Some(text) = params.text("q") {
        match Word::all_of(&text) {
            Ok(words) => filter.words = words,
            Err(rule) => params.refuse("q", rule),
        }
    }
    filter.tags = params.texts("tag");
    if filter.tags.len() > MAX_TAGS || filter.tags.iter().any(String::is_empty) {
        params.refuse("tag", format!("must be at most {MAX_TAGS} tags, none of them empty"));
    }
    if let Some(text) = params.text("folder") {
        match checked_folder(&text) {
            Ok(folder) => filter.folder = Some(folder),
            Err(rule) => params.refuse("folder", rule),
        }
    }
    if let Some(text) = params.text("campaign") {
        match text.parse() {
            Ok(id) => filter.campaign = Some(id),
            Err(error) => params.refuse("campaign", format!("is {error}")),
        }
    }
    // A link of the default domain names none.
    let domain = params.text("domain").map(|domain| domain.to_ascii_lowercase());
    filter.domain = domain.map(|name| if name == site.host { String::new() } else { name });
    filter.external_id = params.text("external_id");
    filter.created_from_ms = params.moment("created_from");
    filter.created_until_ms = params.moment("created_until");
    filter.has_password = params.flag("has_password");
    filter.expired = params.flag("expired");
    filter.enabled = params.flag("enabled");
    let every = [Archived::Only, Archived::No, Archived::Any];
    let archived = params.choice("archived", &every, |archived| match archived {
        Archived::Only => "true",
        Archived::No => "false",
        Archived::Any => "any",
    });
    filter.archived = archived.unwrap_or(unless_said);
    let kinds = [Kind::Url, Kind::Wifi, Kind::Vcard, Kind::Text];
    filter.kind = params.choice("kind", &kinds, |kind| match kind {
        Kind::Url => "url",
        Kind::Wifi => "wifi",
        Kind::Vcard => "vcard",
        Kind::Text => "text",
    });
    filter
}

/// The question of a request, and the page that it names.
fn asked(actor: &Actor, mut params: Params, site: &Site) -> Result<(LinkQuery, Page), Problem> {
    let page = Page::take(&mut params);
    let filter = filter(&mut params, site, Archived::No);
    let sort = params.choice("sort", &Sort::EVERY, Sort::as_str).unwrap_or_default();
    let is_descending =
        params.choice("order", &[true, false], |desc| if desc { "desc" } else { "asc" });
    let counts_all = params.flag("total").unwrap_or(true);
    let mut part = Part::Page(page.number());
    if let Some(text) = params.text("cursor") {
        match text.parse::<Cursor>() {
            Ok(cursor) if cursor.sort == sort => part = Part::After(cursor),
            _ => params.refuse("cursor", "is not the next_cursor of an answer in this order"),
        }
        if page.page.is_some() {
            params.refuse("cursor", "can't be combined with page");
        }
    }
    if sort != Sort::Created && page.number().saturating_mul(page.size()) > MAX_RANKED {
        let rule =
            format!("must not reach beyond {MAX_RANKED} links in this order: follow cursors");
        params.refuse("page", rule);
    }
    params.finish()?;
    let query = LinkQuery {
        filter,
        sort,
        is_descending: is_descending.unwrap_or(sort.is_descending()),
        part,
        limit: page.size(),
        counts_all,
        ..LinkQuery::of(actor.workspace)
    };
    Ok((query, page))
}

/// Find links: all of them, newest first, if nothing else is said.
#[utoipa::path(
    get, path = "/links", tag = "links",
    params(
        Finding,
        ("sort" = Option<String>, Query, description = "`created` (when absent), `updated`, `slug`, `title` or `clicks`"),
        ("order" = Option<String>, Query, description = "`asc` or `desc`; when absent, `asc` for slug and title, `desc` for the others"),
        ("total" = Option<bool>, Query, description = "`false`: not all links have to be counted, which is quicker where they have to be looked at for that"),
        ("deleted" = Option<bool>, Query, description = "`true`: those instead that were deleted and can be restored; only with `page`, `limit` and `cursor`"),
        ("page" = Option<u64>, Query, description = "1-indexed; 1 when absent. In another order than by `created`, up to the 10,000th link"),
        ("limit" = Option<u64>, Query, description = "1 to 100; 20 when absent"),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the answer before, instead of a page; with the same conditions, sort and order"),
    ),
    responses(
        (status = 200, body = LinkPage),
        (status = 400, body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "By clicks: too many links were clicked", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "Too many searches are under way, or, by clicks, analytics are away", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn list(
    State(services): State<Services>,
    actor: Can<LinksRead>,
    mut params: Params,
) -> Result<Json<LinkPage>, Problem> {
    if params.flag("deleted") == Some(true) {
        return deleted::list(&services, &actor, params);
    }
    let (mut query, page) = asked(&actor, params, &services.site)?;
    if query.sort == Sort::Clicks {
        // A list that goes on counts the same clicks again, or it would move beneath the reader.
        let as_of = match &query.part {
            Part::After(cursor) => cursor.as_of(),
            Part::Page(_) => services.analytics.as_of(None, 0).await?,
        };
        let by_link = services.analytics.clicks_by_link(actor.workspace, as_of).await?;
        query.clicks = Some(Clicks { by_link, as_of });
    }
    let is_page = matches!(query.part, Part::Page(_));
    let list = services.links.search(query).await?;
    let ids: Vec<_> = list.links.iter().map(|link| link.id).collect();
    let counts: Option<HashMap<_, _>> =
        if ids.is_empty() { None } else { services.analytics.counts(actor.workspace, &ids).await };
    let data = list.links.into_iter().map(|link| {
        let counts =
            counts.as_ref().map(|counts| counts.get(&link.id).copied().unwrap_or_default());
        LinkView::new(&services, link, counts)
    });
    let meta = PageMeta {
        page: is_page.then_some(page.page.unwrap_or(1)),
        limit: page.limit,
        total: list.total,
        next_cursor: list.next.map(|cursor| cursor.to_string()),
    };
    Ok(Json(LinkPage { data: data.collect(), meta }))
}

/// Count links, with the conditions of a list of them.
#[utoipa::path(
    get, path = "/links/count", tag = "links", params(Finding),
    responses(
        (status = 200, body = Data<CountView>),
        (status = 400, body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "Too many searches are under way", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn count(
    State(services): State<Services>,
    actor: Can<LinksRead>,
    mut params: Params,
) -> Result<Json<Data<CountView>>, Problem> {
    let filter = filter(&mut params, &services.site, Archived::No);
    params.finish()?;
    let query = LinkQuery { filter, limit: 0, ..LinkQuery::of(actor.workspace) };
    let links = services.links.search(query).await?.total.unwrap_or_default();
    Ok(Json(Data { data: CountView { links } }))
}
