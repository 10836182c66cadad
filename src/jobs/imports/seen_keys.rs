//! The keys that earlier batches of a dry run would have created.

use std::collections::HashSet;
use std::hash::Hasher;

use siphasher::sip128::{Hasher128, SipHasher13};

use crate::domain::link::Link;

/// Keys of the links that earlier batches of a dry run would have created: a real run would find
/// them in the index. They are hashed to 128 bits, so that collisions are negligible.
#[derive(Default)]
pub(super) struct SeenKeys {
    keys: HashSet<u128>,
}

impl SeenKeys {
    /// The field by which a link duplicates an earlier one.
    pub(super) fn find(&self, link: &Link) -> Option<&'static str> {
        keys(link).find(|(_, key)| self.keys.contains(key)).map(|(field, _)| field)
    }

    /// Adds a link that would have been created.
    pub(super) fn insert(&mut self, link: &Link) {
        self.keys.extend(keys(link).map(|(_, key)| key));
    }
}

/// The keys of a link, by field.
fn keys(link: &Link) -> impl Iterator<Item = (&'static str, u128)> {
    let external_id = link.fields.labels.external_id.as_deref();
    let external_id = external_id.map(|id| ("external_id", hashed(&["x", id])));
    let slug = ("slug", hashed(&["s", &link.fields.domain, link.slug.as_str()]));
    external_id.into_iter().chain([slug])
}

fn hashed(parts: &[&str]) -> u128 {
    let mut hasher = SipHasher13::new();
    for part in parts {
        hasher.write(part.as_bytes());
        hasher.write_u8(0);
    }
    hasher.finish128().as_u128()
}
