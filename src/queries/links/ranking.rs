//! Sort orders and cursors.
//!
//! A cursor holds the sort key of the last link, not its position, so links created or deleted
//! meanwhile do not shift the next page.

use std::cmp::Ordering;
use std::collections::{BinaryHeap, HashMap};
use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::domain::ids::LinkId;
use crate::domain::link::LinkSummaryRef;
use crate::domain::named_enum;
use crate::queries::analytics::AsOf;

/// How far into a list pages reach, if the list has to be sorted.
pub const MAX_RANKED: usize = 10_000;

named_enum! {
    /// The sort key of a list.
    #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
    pub enum Sort {
        /// The time of creation.
        #[default]
        Created => "created",
        /// The time of the last version.
        Updated => "updated",
        /// The slug, ignoring case.
        Slug => "slug",
        /// The title, ignoring case; links without a title come first.
        Title => "title",
        /// The number of clicks, without bots.
        Clicks => "clicks",
    }
}

impl Sort {
    /// Whether the default order is descending.
    pub const fn is_descending(self) -> bool {
        matches!(self, Self::Created | Self::Updated | Self::Clicks)
    }

    /// The first byte of a cursor.
    const fn letter(self) -> u8 {
        match self {
            Self::Created => b'c',
            Self::Updated => b'u',
            Self::Slug => b's',
            Self::Title => b't',
            Self::Clicks => b'n',
        }
    }
}

/// The click counts of links in one snapshot. Links never clicked are absent.
#[derive(Debug, Clone)]
pub struct Clicks {
    /// The counts by link.
    pub by_link: HashMap<LinkId, u64>,
    /// The snapshot.
    pub as_of: AsOf,
}

/// The position after a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    /// The sort key of the list.
    pub sort: Sort,
    /// The link.
    pub id: LinkId,
    /// The link's key; empty if that is its ID.
    pub(super) key: Vec<u8>,
    /// The snapshot of the click counts, as offset and time; the next page uses the same.
    counted: (u64, u64),
}

impl Cursor {
    pub(super) fn new(sort: Sort, id: LinkId, key: Vec<u8>, clicks: Option<&Clicks>) -> Self {
        let counted = clicks.map_or((0, 0), |clicks| (clicks.as_of.offset, clicks.as_of.at_ms));
        Self { sort, id, key, counted }
    }

    /// The snapshot of the click counts.
    pub const fn as_of(&self) -> AsOf {
        AsOf { offset: self.counted.0, at_ms: self.counted.1, lag_ms: 0 }
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.sort == Sort::Created {
            return self.id.fmt(f);
        }
        let mut bytes = vec![self.sort.letter()];
        bytes.extend_from_slice(self.id.as_bytes());
        bytes.extend_from_slice(&self.counted.0.to_be_bytes());
        bytes.extend_from_slice(&self.counted.1.to_be_bytes());
        bytes.extend_from_slice(&self.key);
        f.write_str(&URL_SAFE_NO_PAD.encode(bytes))
    }
}

impl FromStr for Cursor {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        if let Ok(id) = text.parse() {
            return Ok(Self { sort: Sort::Created, id, key: Vec::new(), counted: (0, 0) });
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(drop)?;
        let (letter, rest) = bytes.split_first().ok_or(())?;
        let (id, rest) = rest.split_at_checked(16).ok_or(())?;
        let (offset, rest) = rest.split_first_chunk().ok_or(())?;
        let (at_ms, key) = rest.split_first_chunk().ok_or(())?;
        let sort = Sort::EVERY.iter().copied().find(|sort| sort.letter() == *letter).ok_or(())?;
        let id = LinkId::from_bytes(id).map_err(drop)?;
        let counted = (u64::from_be_bytes(*offset), u64::from_be_bytes(*at_ms));
        Ok(Self { sort, id, key: key.to_vec(), counted })
    }
}

/// A link's sort key, as bytes that compare in the same order.
pub(super) fn key_of(
    sort: Sort,
    link: &LinkSummaryRef<'_>,
    id: LinkId,
    clicks: Option<&Clicks>,
) -> Vec<u8> {
    match sort {
        Sort::Created => Vec::new(),
        Sort::Updated => link.updated_at_ms.to_be_bytes().to_vec(),
        Sort::Slug => link.slug.to_lowercase().into_bytes(),
        Sort::Title => link.title.to_lowercase().into_bytes(),
        Sort::Clicks => {
            let count = clicks.and_then(|clicks| clicks.by_link.get(&id)).copied();
            count.unwrap_or_default().to_be_bytes().to_vec()
        }
    }
}

/// A link's rank in a list: the smaller comes first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rank {
    pub key: Vec<u8>,
    pub id: LinkId,
    pub is_descending: bool,
}

impl Ord for Rank {
    fn cmp(&self, other: &Self) -> Ordering {
        let order = self.key.cmp(&other.key).then_with(|| self.id.cmp(&other.id));
        if self.is_descending { order.reverse() } else { order }
    }
}

impl PartialOrd for Rank {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The first `count` ranks of all that are pushed, in bounded memory.
pub(super) struct TopN {
    ranks: BinaryHeap<Rank>,
    count: usize,
}

impl TopN {
    pub fn of(count: usize) -> Self {
        Self { ranks: BinaryHeap::new(), count }
    }

    pub fn push(&mut self, rank: Rank) {
        if self.ranks.len() < self.count {
            self.ranks.push(rank);
        } else if self.ranks.peek().is_some_and(|last| rank < *last) {
            self.ranks.pop();
            self.ranks.push(rank);
        }
    }

    pub fn into_sorted(self) -> Vec<Rank> {
        self.ranks.into_sorted_vec()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    fn id(number: u8) -> LinkId {
        LinkId::new(Uuid::from_u128(number.into()))
    }

    #[test]
    fn a_cursor_reads_back_as_itself() {
        let as_of = AsOf { offset: 7, at_ms: 9, lag_ms: 3 };
        let clicks = Clicks { by_link: HashMap::new(), as_of };
        for sort in Sort::EVERY.iter().copied() {
            let key = if sort == Sort::Created { Vec::new() } else { "größe".into() };
            let counted = (sort == Sort::Clicks).then_some(&clicks);
            let cursor = Cursor::new(sort, id(5), key, counted);
            assert_eq!(cursor.to_string().parse(), Ok(cursor.clone()));
            if sort == Sort::Clicks {
                assert_eq!((cursor.as_of().offset, cursor.as_of().at_ms), (7, 9));
            }
        }
        for bad in ["", "link_", "AAAA", "!", &URL_SAFE_NO_PAD.encode([b'q'; 40])] {
            assert_eq!(bad.parse::<Cursor>(), Err(()), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn the_first_are_the_first(
            links in prop::collection::hash_map(any::<u8>(), "[a-c]{0,2}", 0..60),
            count in 1_usize..20,
            is_descending: bool,
        ) {
            let rank = |(number, key): (&u8, &String)| Rank {
                key: key.clone().into_bytes(), id: id(*number), is_descending,
            };
            let mut all: Vec<_> = links.iter().map(rank).collect();
            let mut first = TopN::of(count);
            all.iter().cloned().for_each(|rank| first.push(rank));
            all.sort_by_key(|rank| (rank.key.clone(), rank.id));
            if is_descending {
                all.reverse();
            }
            all.truncate(count);
            prop_assert_eq!(first.into_sorted(), all);
        }
    }
}
