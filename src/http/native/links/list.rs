//! `GET /api/v1/links`: lists and counts links.

use std::collections::HashMap;

use axum::Json;
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use super::deleted;
use super::view::{LinkPage, LinkView};
use crate::domain::error::Result;
use crate::domain::link::{Kind, checked_folder};
use crate::domain::token::Actor;
use crate::http::Site;
use crate::http::auth::Api;
use crate::http::native::Data;
use crate::http::native::page::{CursorParams, Page, PageParam};
use crate::http::native::schema::Direction;
use crate::http::params::Params;
use crate::queries::links::{
    Archived, Clicks, Cursor, LinkFilter, LinkQuery, MAX_RANKED, Part, Sort, Word,
};

const MAX_TAGS: usize = 50;

/// A number of links.
#[derive(Debug, Serialize, ToSchema)]
pub struct CountView {
    links: u64,
}

/// Filters of links, all of which have to match.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "describes what `filter` reads by name")]
pub struct LinkFilterParams {
    /// Words, separated by spaces, that each occur somewhere in the slug, title, destination, notes
    /// or tags. Case is ignored.
    q: Option<String>,
    /// Tags, separated by commas, that the link all has. Case is ignored. May be repeated.
    tag: Option<String>,
    /// The folder that contains the link, directly or below it.
    folder: Option<String>,
    /// The campaign's ID.
    campaign: Option<String>,
    /// The link's domain.
    domain: Option<String>,
    /// The link's ID in another system.
    external_id: Option<String>,
    /// The earliest creation time.
    #[param(format = DateTime)]
    created_from: Option<String>,
    /// The first creation time that no longer matches.
    #[param(format = DateTime)]
    created_until: Option<String>,
    /// Whether the link has a password.
    has_password: Option<bool>,
    /// Whether `expires_at` has passed.
    expired: Option<bool>,
    /// Whether the link is enabled.
    enabled: Option<bool>,
    /// `true` for archived links only, `any` to include them.
    #[param(inline, value_type = Option<Archived>)]
    archived: Option<String>,
    /// The kind of link.
    #[param(inline, value_type = Option<Kind>)]
    kind: Option<String>,
}

/// Parses the filter of a request; `default_archived` applies if it has no `archived`.
pub fn filter(params: &mut Params, site: &Site, default_archived: Archived) -> LinkFilter {
    let mut filter = LinkFilter::default();
    if let Some(text) = params.text("q") {
        match Word::all_of(&text, &site.host) {
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
    // Links on the default domain have an empty domain.
    let domain = params.text("domain").map(|domain| domain.to_ascii_lowercase());
    filter.domain = domain.map(|name| if name == site.host { String::new() } else { name });
    filter.external_id = params.text("external_id");
    filter.created_from_ms = params.timestamp("created_from");
    filter.created_until_ms = params.timestamp("created_until");
    filter.has_password = params.flag("has_password");
    filter.expired = params.flag("expired");
    filter.enabled = params.flag("enabled");
    let archived = params.choice("archived", Archived::EVERY, Archived::as_str);
    filter.archived = archived.unwrap_or(default_archived);
    filter.kind = params.choice("kind", Kind::EVERY, Kind::as_str);
    filter
}

/// Parses the query of a request and its page.
fn link_query(actor: &Actor, mut params: Params, site: &Site) -> Result<(LinkQuery, Page)> {
    let page = Page::take(&mut params);
    let filter = filter(&mut params, site, Archived::No);
    let sort = params.choice("sort", Sort::EVERY, Sort::as_str).unwrap_or_default();
    let is_descending =
        params.choice("order", &[true, false], |desc| if desc { "desc" } else { "asc" });
    let counts_all = params.flag("total").unwrap_or(true);
    let cursor = page.take_cursor(&mut params, |text| text.parse::<Cursor>().ok());
    if cursor.as_ref().is_some_and(|cursor| cursor.sort != sort) {
        params.refuse("cursor", "is not the next_cursor of a response in this order");
    }
    let part = cursor.map_or(Part::Page(page.number()), Part::After);
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

/// Lists links, newest first by default.
#[utoipa::path(
    get, path = "/links",
    params(
        LinkFilterParams,
        ("sort" = inline(Option<Sort>), Query, description = "What to sort by; `created` by default."),
        ("order" = inline(Option<Direction>), Query, description = "The direction: by default `asc` for `slug` and `title`, else `desc`."),
        ("total" = Option<bool>, Query, description = "Set to `false` to skip counting all matches, which is faster with filters."),
        ("deleted" = Option<bool>, Query, description = "Set to `true` for the deleted links that can be restored. Allows only `page`, `limit` and `cursor` beside it."),
        PageParam,
        CursorParams,
    ),
    responses(
        (status = 200, body = LinkPage),
        (status = 422, description = "Too many links have clicks to sort by `clicks`."),
        (status = 503, description = "Too many searches are running, or, when sorting by `clicks`, analytics are unavailable."),
    ),
)]
pub async fn list(Api { services, actor }: Api, mut params: Params) -> Result<Json<LinkPage>> {
    if params.flag("deleted") == Some(true) {
        return deleted::list(&services, &actor, params);
    }
    let (mut query, page) = link_query(&actor, params, &services.site)?;
    if query.sort == Sort::Clicks {
        // Count the same clicks as on the previous page; otherwise links could move between pages.
        let as_of = match &query.part {
            Part::After(cursor) => cursor.as_of(),
            Part::Page(_) | Part::Skip(_) => services.analytics.as_of(None, 0).await?,
        };
        let by_link = services.analytics.clicks_by_link(actor.workspace, as_of).await?;
        query.clicks = Some(Clicks { by_link, as_of });
    }
    let is_after_cursor = matches!(query.part, Part::After(_));
    let list = services.links.search(query).await?;
    let ids: Vec<_> = list.links.iter().map(|link| link.id).collect();
    let counts: Option<HashMap<_, _>> =
        if ids.is_empty() { None } else { services.analytics.counts(actor.workspace, &ids).await };
    let data = list.links.into_iter().map(|link| {
        let counts =
            counts.as_ref().map(|counts| counts.get(&link.id).copied().unwrap_or_default());
        LinkView::new(&services, link, counts)
    });
    let next_cursor = list.next.map(|cursor| cursor.to_string());
    let meta = page.meta_after(is_after_cursor, list.total, next_cursor);
    Ok(Json(LinkPage { data: data.collect(), meta }))
}

/// Counts the links that match a filter.
#[utoipa::path(
    get, path = "/links/count",
    params(LinkFilterParams),
    responses(
        (status = 200, body = Data<CountView>),
        (status = 503, description = "Too many searches are running."),
    ),
)]
pub async fn count(
    Api { services, actor }: Api,
    mut params: Params,
) -> Result<Json<Data<CountView>>> {
    let filter = filter(&mut params, &services.site, Archived::No);
    params.finish()?;
    let query = LinkQuery { filter, limit: 0, ..LinkQuery::of(actor.workspace) };
    let links = services.links.search(query).await?.total.unwrap_or_default();
    Ok(Json(Data { data: CountView { links } }))
}
