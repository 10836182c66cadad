//! The cookie of a visitor who entered a link's password: signed, and bound to a version of the
//! link. Any change of the link, such as a new password, invalidates it; so does a new key, after
//! which visitors are asked again.

use crate::domain::ids::LinkId;
use crate::http::cookies::cookies;
use crate::identity::signing::{Signer, decode, encode};

/// How long a cookie is valid, in seconds.
const UNLOCKED_SECONDS: u64 = 12 * 3_600;
/// The maximum number of cookies checked per link: a browser sends one.
const MAX_COOKIES: usize = 4;

/// Creates and checks these cookies. Cheap to clone.
#[derive(Clone)]
pub struct Unlock {
    signer: Signer,
    is_https: bool,
}

impl Unlock {
    /// With the service's key. If the service uses https, cookies are only sent over https.
    pub fn new(key: &[u8; 32], is_https: bool) -> Self {
        Self { signer: Signer::new(key, "unlock"), is_https }
    }

    /// The prefix of the cookie names, before the link's ID. `__Host-` makes browsers enforce the
    /// path, host and https of the [`cookie`](Self::cookie) (RFC 6265bis).
    const fn prefix(&self) -> &'static [u8] {
        if self.is_https { b"__Host-unlock_" } else { b"unlock_" }
    }

    /// Whether a `Cookie` header unlocks a version of a link. Allocates nothing.
    pub fn is_unlocked(
        &self,
        cookie_header: Option<&[u8]>,
        link: LinkId,
        version: u32,
        now_ms: u64,
    ) -> bool {
        let Some(header) = cookie_header else { return false };
        let mut id = [0; 32];
        link.uuid().simple().encode_lower(&mut id);
        let is_links = |name: &[u8]| name.strip_prefix(self.prefix()) == Some(&id[..]);
        let named = cookies(header).filter(|(name, _)| is_links(name)).take(MAX_COOKIES);
        named.filter_map(|(_, value)| decode(value)).any(|(until_ms, tag)| {
            let signed = (version.to_be_bytes(), until_ms.to_be_bytes());
            now_ms < until_ms
                && self.signer.is_signed(&[link.as_bytes(), &signed.0, &signed.1], &tag)
        })
    }

    /// The `Set-Cookie` that unlocks a version of a link. `Lax`, since visitors come from other
    /// sites.
    pub fn cookie(&self, link: LinkId, version: u32, now_ms: u64) -> String {
        let until_ms = now_ms.saturating_add(UNLOCKED_SECONDS * 1_000);
        let (version, until) = (version.to_be_bytes(), until_ms.to_be_bytes());
        let value = encode(until_ms, &self.signer.sign(&[link.as_bytes(), &version, &until]));
        let prefix = String::from_utf8_lossy(self.prefix());
        let id = link.uuid().simple();
        let secure = if self.is_https { "; Secure" } else { "" };
        format!(
            "{prefix}{id}={value}; Path=/; Max-Age={UNLOCKED_SECONDS}; HttpOnly; SameSite=Lax{secure}"
        )
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const NOW: u64 = 1_760_000_000_000;

    fn link(number: u128) -> LinkId {
        LinkId::new(Uuid::from_u128(number))
    }

    fn header(unlock: &Unlock) -> String {
        let cookie = unlock.cookie(link(1), 3, NOW);
        cookie.split(';').next().unwrap().to_owned()
    }

    #[test]
    fn a_cookie_unlocks_its_link_at_its_version_for_its_time() {
        for is_https in [false, true] {
            let unlock = Unlock::new(&[7; 32], is_https);
            let sent = header(&unlock);
            let among = format!("a=b; {sent}; c=d");
            for header in [&sent, &among] {
                let opens = |link, version, at| {
                    unlock.is_unlocked(Some(header.as_bytes()), link, version, at)
                };
                assert!(opens(link(1), 3, NOW));
                assert!(opens(link(1), 3, NOW + UNLOCKED_SECONDS * 1_000 - 1));
                assert!(!opens(link(1), 3, NOW + UNLOCKED_SECONDS * 1_000));
                assert!(!opens(link(1), 4, NOW));
                assert!(!opens(link(2), 3, NOW));
            }
            assert!(!unlock.is_unlocked(None, link(1), 3, NOW));
            let rotated = Unlock::new(&[8; 32], is_https);
            assert!(!rotated.is_unlocked(Some(sent.as_bytes()), link(1), 3, NOW));
        }
    }

    /// Each digit of the value counts, including those of the expiry time.
    #[test]
    fn a_modified_cookie_unlocks_nothing() {
        let unlock = Unlock::new(&[7; 32], false);
        let good = header(&unlock);
        let begin = good.find('=').unwrap() + 1;
        for at in begin..good.len() {
            let mut bad = good.clone().into_bytes();
            bad[at] = if bad[at] == b'f' { b'e' } else { b'f' };
            assert!(!unlock.is_unlocked(Some(&bad), link(1), 3, NOW), "{at}");
        }
        // The same value under another link's name.
        let other = good
            .replace(&link(1).uuid().simple().to_string(), &link(2).uuid().simple().to_string());
        assert!(!unlock.is_unlocked(Some(other.as_bytes()), link(2), 3, NOW));
    }

    #[test]
    fn over_https_the_cookie_is_bound_to_the_host() {
        let secure = Unlock::new(&[7; 32], true).cookie(link(1), 1, NOW);
        assert!(secure.starts_with("__Host-unlock_") && secure.ends_with("; Secure"), "{secure}");
        let plain = Unlock::new(&[7; 32], false).cookie(link(1), 1, NOW);
        for cookie in [&secure, &plain] {
            for part in ["; HttpOnly", "; SameSite=Lax", "; Path=/", "; Max-Age=43200"] {
                assert!(cookie.contains(part), "{cookie}");
            }
        }
        assert!(!plain.contains("Secure"), "{plain}");
    }
}
