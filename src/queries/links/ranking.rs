//! The order of a list, and where in it one goes on.
//!
//! A cursor names the last link that was seen by what it was ordered by, not by its place: so what
//! is made or goes meanwhile moves nobody else.

use std::cmp::Ordering;
use std::collections::{BinaryHeap, HashMap};
use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::domain::ids::LinkId;
use crate::domain::link::LinkSummaryRef;
use crate::queries::analytics::AsOf;

/// How far from its start a list can be asked for by page, where it has to be sorted for that.
pub const MAX_RANKED: usize = 10_000;

/// What a list is ordered by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Sort {
    /// When links were made.
    #[default]
    Created,
    /// When their last version began.
    Updated,
    /// Their slugs, without regard to case.
    Slug,
    /// Their titles, without regard to case; links without one before the others.
    Title,
    /// How often they were clicked, without bots.
    Clicks,
}

impl Sort {
    /// All of them.
    pub const EVERY: [Self; 5] =
        [Self::Created, Self::Updated, Self::Slug, Self::Title, Self::Clicks];

    /// As the wire has it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Updated => "updated",
            Self::Slug => "slug",
            Self::Title => "title",
            Self::Clicks => "clicks",
        }
    }

    /// Whether the largest come first, where nothing is said.
    pub const fn is_descending(self) -> bool {
        matches!(self, Self::Created | Self::Updated | Self::Clicks)
    }

    /// What a cursor begins with.
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

/// How often links were clicked, all at one moment. Those that never were are not in it.
#[derive(Debug, Clone)]
pub struct Clicks {
    /// By link.
    pub by_link: HashMap<LinkId, u64>,
    /// What was counted.
    pub as_of: AsOf,
}

/// The last link that was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    /// How the list is ordered.
    pub sort: Sort,
    /// Which link.
    pub id: LinkId,
    /// What it was ordered by; nothing where that is the id itself.
    pub(super) key: Vec<u8>,
    /// What clicks were counted, as offset and time: the same are counted again.
    counted: (u64, u64),
}

impl Cursor {
    pub(super) fn new(sort: Sort, id: LinkId, key: Vec<u8>, clicks: Option<&Clicks>) -> Self {
        let counted = clicks.map_or((0, 0), |clicks| (clicks.as_of.offset, clicks.as_of.at_ms));
        Self { sort, id, key, counted }
    }

    /// What clicks the list before counted.
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
        let sort = Sort::EVERY.into_iter().find(|sort| sort.letter() == *letter).ok_or(())?;
        let id = LinkId::from_bytes(id).map_err(drop)?;
        let counted = (u64::from_be_bytes(*offset), u64::from_be_bytes(*at_ms));
        Ok(Self { sort, id, key: key.to_vec(), counted })
    }
}

/// What a link is ordered by, as bytes that compare as it does.
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

/// A link's place in a list: the smaller comes first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub key: Vec<u8>,
    pub id: LinkId,
    pub is_descending: bool,
}

impl Ord for Place {
    fn cmp(&self, other: &Self) -> Ordering {
        let order = self.key.cmp(&other.key).then_with(|| self.id.cmp(&other.id));
        if self.is_descending { order.reverse() } else { order }
    }
}

impl PartialOrd for Place {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The first so many places of all that are offered, in bounded memory.
pub(super) struct First {
    places: BinaryHeap<Place>,
    count: usize,
}

impl First {
    pub fn of(count: usize) -> Self {
        Self { places: BinaryHeap::new(), count }
    }

    pub fn offer(&mut self, place: Place) {
        if self.places.len() < self.count {
            self.places.push(place);
        } else if self.places.peek().is_some_and(|last| place < *last) {
            self.places.pop();
            self.places.push(place);
        }
    }

    pub fn in_order(self) -> Vec<Place> {
        self.places.into_sorted_vec()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
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
        for sort in Sort::EVERY {
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
            let place = |(number, key): (&u8, &String)| Place {
                key: key.clone().into_bytes(), id: id(*number), is_descending,
            };
            let mut all: Vec<_> = links.iter().map(place).collect();
            let mut first = First::of(count);
            all.iter().cloned().for_each(|place| first.offer(place));
            all.sort_by_key(|place| (place.key.clone(), place.id));
            if is_descending {
                all.reverse();
            }
            all.truncate(count);
            prop_assert_eq!(first.in_order(), all);
        }
    }
}
