//! Pagination: the parameters of lists, and the position of a response in the list.

use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use crate::domain::error::ServiceError;
use crate::http::params::Params;

const DEFAULT_LIMIT: u64 = 20;
const MAX_LIMIT: u64 = 100;
/// The last page that can be requested; cursors go further.
const MAX_PAGE: u64 = 1_000_000;

/// The parameters of a list with pages only.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "describes what `Page::take` reads by name")]
pub struct PageParams {
    /// The page to return, starting at 1.
    #[param(minimum = 1, maximum = 1_000_000, default = 1)]
    page: Option<u64>,
    /// The number of items to return.
    #[param(minimum = 1, maximum = 100, default = 20)]
    limit: Option<u64>,
}

/// The parameters of a list with cursors only.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "describes what `Page::take_first` and the lists read by name")]
pub struct CursorParams {
    /// The number of items to return.
    #[param(minimum = 1, maximum = 100, default = 20)]
    limit: Option<u64>,
    /// The `next_cursor` of the previous response. Cannot be combined with `page`, where a list has
    /// pages.
    cursor: Option<String>,
}

/// The additional parameter of a list with pages and cursors.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "describes what `Page::take` reads by name")]
pub struct PageParam {
    /// The page to return, starting at 1.
    #[param(minimum = 1, maximum = 1_000_000, default = 1)]
    page: Option<u64>,
}

/// The position of a response in a list.
#[derive(Debug, Serialize, ToSchema)]
pub struct PageMeta {
    /// The page, starting at 1; null if a cursor was followed.
    pub page: Option<u64>,
    /// The maximum number of items per response.
    pub limit: u64,
    /// The number of items in the whole list; null if a cursor was followed, or if `total=false`
    /// saved a full scan.
    pub total: Option<u64>,
    /// The `cursor` of the next request; null at the end, and in lists without cursors.
    pub next_cursor: Option<String>,
}

/// A page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub struct PageOf<T> {
    /// The items.
    pub data: Vec<T>,
    /// The position in the list.
    pub meta: PageMeta,
}

/// The position of a response in a list with cursors only.
#[derive(Debug, Serialize, ToSchema)]
pub struct CursorMeta {
    /// The maximum number of items per response.
    pub limit: u64,
    /// The `cursor` of the next request; null at the end.
    pub next_cursor: Option<String>,
}

/// The requested page of a list.
#[derive(Debug, Clone, Copy)]
pub struct Page {
    /// The page, starting at 1; `None` if absent.
    pub page: Option<u64>,
    /// The maximum number of items.
    pub limit: u64,
}

impl Page {
    /// Parses `page` and `limit`.
    pub fn take(params: &mut Params) -> Self {
        let page = params.number("page", 1, MAX_PAGE);
        Self { page, ..Self::take_first(params) }
    }

    /// Parses `limit`, for a list with cursors only.
    pub fn take_first(params: &mut Params) -> Self {
        let limit = params.number("limit", 1, MAX_LIMIT).unwrap_or(DEFAULT_LIMIT);
        Self { page: None, limit }
    }

    /// Parses `cursor`, which can't be combined with `page`.
    pub fn take_cursor<T>(
        self,
        params: &mut Params,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let cursor = params.parsed("cursor", "is not the next_cursor of a response", parse);
        if cursor.is_some() && self.page.is_some() {
            params.refuse("cursor", "cannot be combined with page");
        }
        cursor
    }

    /// The page's number.
    pub fn number(self) -> usize {
        usize::try_from(self.page.unwrap_or(1)).unwrap_or(usize::MAX)
    }

    /// The maximum number of items.
    pub fn size(self) -> usize {
        usize::try_from(self.limit).unwrap_or(1)
    }

    /// The number of items before the page.
    pub fn skipped(self) -> usize {
        self.number().saturating_sub(1).saturating_mul(self.size())
    }

    /// The places of the page's items in the list, from 0.
    pub fn part(self) -> std::ops::Range<usize> {
        self.skipped()..self.skipped().saturating_add(self.size())
    }

    /// This page of a whole list, with its items as shown.
    pub fn of<T, V>(
        self,
        list: Vec<T>,
        view: impl FnMut(T) -> Result<V, ServiceError>,
    ) -> Result<PageOf<V>, ServiceError> {
        let meta = self.meta(list.len() as u64);
        let items = list.into_iter().skip(self.skipped()).take(self.size());
        Ok(PageOf { data: items.map(view).collect::<Result<_, _>>()?, meta })
    }

    /// The position in a list with pages only.
    pub fn meta(self, total: u64) -> PageMeta {
        let page = Some(self.page.unwrap_or(1));
        PageMeta { page, limit: self.limit, total: Some(total), next_cursor: None }
    }

    /// The position in a list with pages and cursors.
    pub fn meta_after(
        self,
        is_after_cursor: bool,
        total: Option<u64>,
        next_cursor: Option<String>,
    ) -> PageMeta {
        let page = (!is_after_cursor).then(|| self.page.unwrap_or(1));
        PageMeta { page, limit: self.limit, total, next_cursor }
    }
}
