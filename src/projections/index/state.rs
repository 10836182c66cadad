//! The state that the fold changes.

use super::IndexError;
use super::encoding::number;
use super::read::Read;

/// The state that the fold reads and writes.
pub trait State: Read {
    /// Sets a key's value.
    fn put(&mut self, key: Vec<u8>, value: Vec<u8>);
    /// Removes a key.
    fn remove(&mut self, key: Vec<u8>);
    /// The first live expiry keys in order; at most `limit`. May omit those after `until_ms`.
    fn first_expiries(&mut self, limit: usize, until_ms: u64) -> Result<Vec<Vec<u8>>, IndexError>;
    /// The redirect at this slug has changed.
    fn touch(&mut self, domain: &str, slug: &str);
    /// A domain has changed.
    fn touch_domains(&mut self) {}
}

/// Adds to a counter.
pub fn add_to<S: State>(state: &mut S, key: Vec<u8>, change: i64) -> Result<(), IndexError> {
    let count = state.get(&key)?.as_deref().map_or(0, number);
    state.put(key, count.saturating_add_signed(change).to_be_bytes().to_vec());
    Ok(())
}
