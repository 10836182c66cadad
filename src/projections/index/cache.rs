//! The memory before the store: what a redirect needs of a link, worked out once.

use std::borrow::Cow;
use std::sync::Arc;

use quick_cache::Weighter;
use quick_cache::sync::Cache;

use super::IndexError;
use super::redirect::Redirect;
use crate::domain::link::Link;

/// How much memory the redirects may take.
const CAPACITY_BYTES: u64 = 96 << 20;
/// What an entry takes beside its texts: the structures themselves and the cache's own.
const ENTRY_BYTES: u64 = 208;
/// How many entries the cache expects; it grows as they come.
const EXPECTED_ENTRIES: usize = 16_384;

#[derive(Clone)]
struct ByBytes;

impl Weighter<String, Arc<Redirect>> for ByBytes {
    fn weight(&self, key: &String, redirect: &Arc<Redirect>) -> u64 {
        ENTRY_BYTES + (key.len() + redirect.bytes()) as u64
    }
}

/// Redirects by domain and slug, bounded by their bytes.
///
/// A reader that misses holds the key's place while it asks the store. The writer changes the
/// store first and then removes the key, place and all: so a reader that asked too early can't
/// leave behind what it saw.
pub struct Redirects {
    cache: Cache<String, Arc<Redirect>, ByBytes>,
}

/// A redirect's key: the slug alone on the default domain. No slug holds a `/`.
pub fn key<'a>(domain: &str, slug: &'a str) -> Cow<'a, str> {
    if domain.is_empty() { slug.into() } else { format!("{domain}/{slug}").into() }
}

impl Redirects {
    pub fn new() -> Self {
        Self { cache: Cache::with_weighter(EXPECTED_ENTRIES, CAPACITY_BYTES, ByBytes) }
    }

    /// The redirect at a key, from memory or by `load`. What isn't there is not remembered: the
    /// store says so quickly, and nobody can fill the memory with guesses.
    pub fn get_or_load(
        &self,
        key: &str,
        load: impl FnOnce() -> Result<Option<Link>, IndexError>,
    ) -> Result<Option<Arc<Redirect>>, IndexError> {
        if let Some(hit) = self.cache.get(key) {
            return Ok(Some(hit));
        }
        // `Err(None)` says that there is no such link, and leaves nothing in the cache.
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

    /// Forgets keys whose links have changed. To be called after the store has.
    pub fn forget(&self, keys: &[String]) {
        for key in keys {
            self.cache.remove(key.as_str());
        }
    }

    /// Forgets all, where it isn't known which links have changed.
    pub fn forget_all(&self) {
        self.cache.clear();
    }
}
