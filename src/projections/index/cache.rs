//! A cache in front of the store: compiled redirects.

use std::borrow::Cow;
use std::sync::Arc;

use quick_cache::Weighter;
use quick_cache::sync::Cache;

use super::IndexError;
use super::redirect::Redirect;
use crate::domain::link::Link;

/// The maximum memory for redirects.
const CAPACITY_BYTES: u64 = 96 << 20;
/// The memory of an entry besides its text: the structures and the cache's own overhead.
const ENTRY_BYTES: u64 = 208;
/// The initial capacity; it grows on demand.
const EXPECTED_ENTRIES: usize = 16_384;

#[derive(Clone)]
struct ByteWeighter;

impl Weighter<String, Arc<Redirect>> for ByteWeighter {
    fn weight(&self, key: &String, redirect: &Arc<Redirect>) -> u64 {
        ENTRY_BYTES + (key.len() + redirect.bytes()) as u64
    }
}

/// Redirects by domain and slug, limited by size.
///
/// On a miss, a reader reserves the key while it reads the store. The writer changes the store
/// first and then removes the key, including reservations, so a reader cannot insert an outdated
/// value.
pub struct Redirects {
    cache: Cache<String, Arc<Redirect>, ByteWeighter>,
}

/// A redirect's key: only the slug on the default domain. Slugs contain no `/`.
pub fn key<'a>(domain: &str, slug: &'a str) -> Cow<'a, str> {
    if domain.is_empty() { slug.into() } else { format!("{domain}/{slug}").into() }
}

impl Redirects {
    pub fn new() -> Self {
        Self { cache: Cache::with_weighter(EXPECTED_ENTRIES, CAPACITY_BYTES, ByteWeighter) }
    }

    /// The redirect at a key, cached or from `load`. Missing links are not cached: the store finds
    /// them fast, and guessed slugs cannot fill the memory.
    pub fn get_or_load(
        &self,
        key: &str,
        load: impl FnOnce() -> Result<Option<Link>, IndexError>,
    ) -> Result<Option<Arc<Redirect>>, IndexError> {
        if let Some(hit) = self.cache.get(key) {
            return Ok(Some(hit));
        }
        // `Err(None)` means that the link does not exist; nothing is cached.
        let loaded = self.cache.get_or_insert_with(key, || match load() {
            Ok(link) => link.as_ref().and_then(Redirect::new).map(Arc::new).ok_or(None),
            Err(error) => Err(Some(error)),
        });
        match loaded {
            Ok(redirect) => Ok(Some(redirect)),
            Err(None) => Ok(None),
            Err(Some(error)) => Err(error),
        }
    }

    /// Removes keys whose links have changed. Called after the store has changed.
    pub fn invalidate(&self, keys: &[String]) {
        for key in keys {
            self.cache.remove(key.as_str());
        }
    }

    /// Removes all, if the changed links are unknown.
    pub fn invalidate_all(&self) {
        self.cache.clear();
    }
}
