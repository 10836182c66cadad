//! What a dry run has taken before.

use std::collections::HashSet;
use std::hash::Hasher;

use siphasher::sip128::{Hasher128, SipHasher13};

use crate::domain::link::Link;

/// The names of the links that earlier batches of a dry run would have made: a real run would find
/// them there. They are hashed to 128 bits, so that no two share one by chance.
#[derive(Default)]
pub(super) struct SeenKeys {
    names: HashSet<u128>,
}

impl SeenKeys {
    /// The field by which a link is one that was met before.
    pub(super) fn knows(&self, link: &Link) -> Option<&'static str> {
        names(link).find(|(_, name)| self.names.contains(name)).map(|(field, _)| field)
    }

    /// Notes a link that would have been made.
    pub(super) fn note(&mut self, link: &Link) {
        self.names.extend(names(link).map(|(_, name)| name));
    }
}

/// What a link is found by.
fn names(link: &Link) -> impl Iterator<Item = (&'static str, u128)> {
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
