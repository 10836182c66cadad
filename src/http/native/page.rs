//! Which part of a list is asked for, and where in it an answer stands.

use serde::Serialize;
use utoipa::ToSchema;

use crate::http::params::Params;

const DEFAULT_LIMIT: u64 = 20;
const MAX_LIMIT: u64 = 100;
/// Far beyond what anybody leafs to; a cursor goes further.
const MAX_PAGE: u64 = 1_000_000;

/// Where in a list an answer stands.
#[derive(Debug, Serialize, ToSchema)]
pub struct PageMeta {
    /// 1-indexed; null when a cursor was followed.
    pub page: Option<u64>,
    pub limit: u64,
    /// How many there are in all; null where a cursor was followed, or `total=false` was said, and
    /// to know it all links would have to be looked at.
    pub total: Option<u64>,
    /// To be sent as `cursor`; null at the end, and in lists that have pages only.
    pub next_cursor: Option<String>,
}

/// A page of a list.
#[derive(Debug, Clone, Copy)]
pub struct Page {
    /// 1-indexed; `None` where none was named.
    pub page: Option<u64>,
    /// How many things it has at most.
    pub limit: u64,
}

impl Page {
    /// Takes `page` and `limit`.
    pub fn take(params: &mut Params) -> Self {
        let page = params.number("page", 1, MAX_PAGE);
        Self { page, ..Self::take_first(params) }
    }

    /// Takes `limit`, of a list that is followed by cursors alone.
    pub fn take_first(params: &mut Params) -> Self {
        let limit = params.number("limit", 1, MAX_LIMIT).unwrap_or(DEFAULT_LIMIT);
        Self { page: None, limit }
    }

    /// The page's number.
    pub fn number(self) -> usize {
        usize::try_from(self.page.unwrap_or(1)).unwrap_or(usize::MAX)
    }

    /// How many things it has at most.
    pub fn size(self) -> usize {
        usize::try_from(self.limit).unwrap_or(1)
    }

    /// Where a list stands that has pages only.
    pub fn meta(self, total: u64) -> PageMeta {
        let page = Some(self.page.unwrap_or(1));
        PageMeta { page, limit: self.limit, total: Some(total), next_cursor: None }
    }
}
