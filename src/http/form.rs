//! Forms that visitors send: read within a bound, and only from the service's own pages.
//!
//! A form holds a guard: a signature over what the form is for, the link, a moment up to which it
//! holds, and a random cookie that the page came with. Another site can neither read nor set that
//! cookie, so it can't have a visitor's browser send a form in his name; browsers also say from
//! where a form comes, and that is looked at too.

use axum::extract::{FromRequest, Request};
use axum::http::header::{CONTENT_TYPE, COOKIE, HOST, ORIGIN};
use axum::http::{HeaderMap, HeaderName, StatusCode};

use super::Site;
use super::signing::{Signer, cookies, decode, encode, hex, unhex};
use crate::domain::ids::LinkId;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// The largest form that is read, in bytes: a thousand characters and the rest of an address as
/// long as a head may be, each byte as `%xx`.
const MAX_FORM_BYTES: usize = 112 << 10;
/// How long a form may be filled in.
const FORM_MS: u64 = 60 * 60 * 1_000;

/// The fields of a form.
pub struct Form(Vec<(String, String)>);

impl Form {
    /// A field's text; empty where there is none.
    pub fn field(&self, name: &str) -> &str {
        let found = self.0.iter().find(|(field, _)| field == name);
        found.map_or("", |(_, text)| text)
    }
}

impl<S: Send + Sync> FromRequest<S> for Form {
    type Rejection = StatusCode;

    async fn from_request(request: Request, _: &S) -> Result<Self, StatusCode> {
        let kind = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let essence = kind.and_then(|kind| kind.split(';').next()).unwrap_or_default();
        if !essence.trim().eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            return Err(StatusCode::UNSUPPORTED_MEDIA_TYPE);
        }
        let read = axum::body::to_bytes(request.into_body(), MAX_FORM_BYTES).await;
        let bytes = read.map_err(|_| StatusCode::PAYLOAD_TOO_LARGE)?;
        Ok(Self(form_urlencoded::parse(&bytes).into_owned().collect()))
    }
}

/// What a form is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Purpose {
    /// To give a link's password.
    Unlock = 1,
    /// To report a link.
    Report = 2,
}

/// See the module.
pub struct Guard {
    signer: Signer,
    site: Site,
}

/// What a page with a form needs.
pub struct Issued {
    /// The form's field `guard`.
    pub token: String,
    /// The `Set-Cookie` that the answer needs, where the visitor has no such cookie yet.
    pub cookie: Option<String>,
}

impl Guard {
    /// With the service's key.
    pub fn new(key: &[u8; 32], site: Site) -> Self {
        Self { signer: Signer::new(key, "form"), site }
    }

    fn is_https(&self) -> bool {
        self.site.scheme == "https"
    }

    fn cookie_name(&self) -> &'static str {
        if self.is_https() { "__Host-form" } else { "form" }
    }

    fn carried(&self, headers: &HeaderMap) -> Option<[u8; 16]> {
        let lines = headers.get_all(COOKIE).into_iter();
        let mut all = lines.flat_map(|line| cookies(line.as_bytes()));
        all.find(|(name, _)| *name == self.cookie_name().as_bytes())
            .and_then(|(_, value)| unhex(value))
    }

    /// A guard for a form about a link.
    pub fn issue(
        &self,
        headers: &HeaderMap,
        purpose: Purpose,
        link: LinkId,
        now_ms: u64,
    ) -> Issued {
        let carried = self.carried(headers);
        let random = carried.unwrap_or_else(rand::random);
        let until_ms = now_ms.saturating_add(FORM_MS);
        let tag = self.signer.sign(&[
            &[purpose as u8],
            link.as_bytes(),
            &until_ms.to_be_bytes(),
            &random,
        ]);
        let cookie = carried.is_none().then(|| {
            let secure = if self.is_https() { "; Secure" } else { "" };
            let (name, value) = (self.cookie_name(), hex(&random));
            format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax{secure}")
        });
        Issued { token: encode(until_ms, &tag), cookie }
    }

    /// Whether a form with this field `guard` comes from a page of the service's own.
    pub fn holds(
        &self,
        headers: &HeaderMap,
        purpose: Purpose,
        link: LinkId,
        token: &str,
        now_ms: u64,
    ) -> bool {
        let (Some(random), Some((until_ms, tag))) =
            (self.carried(headers), decode(token.as_bytes()))
        else {
            return false;
        };
        let said: [&[u8]; 4] =
            [&[purpose as u8], link.as_bytes(), &until_ms.to_be_bytes(), &random];
        now_ms < until_ms && self.is_from_here(headers) && self.signer.is_signed(&said, &tag)
    }

    /// What the browser says of where the form comes from, if it does.
    fn is_from_here(&self, headers: &HeaderMap) -> bool {
        let from = |name: HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
        // `none`: from no site at all, as when a browser restores a tab.
        if from(SEC_FETCH_SITE).is_some_and(|site| !matches!(site, "same-origin" | "none")) {
            return false;
        }
        let Some(origin) = from(ORIGIN) else { return true };
        let host = origin.split_once("://").map_or("", |(_, host)| host);
        let is = |own: &str| !host.is_empty() && host.eq_ignore_ascii_case(own);
        is(&self.site.host) || from(HOST).is_some_and(is)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use uuid::Uuid;

    use super::*;

    const NOW: u64 = 1_760_000_000_000;

    fn guard() -> Guard {
        let site =
            Site { base: "https://sho.rt".into(), scheme: "https".into(), host: "sho.rt".into() };
        Guard::new(&[7; 32], site)
    }

    fn link(number: u128) -> LinkId {
        LinkId::new(Uuid::from_u128(number))
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    /// The guard of a form, and the `Cookie` that its sender has.
    fn issued() -> (String, String) {
        let issued = guard().issue(&HeaderMap::new(), Purpose::Unlock, link(1), NOW);
        let cookie = issued.cookie.unwrap();
        assert!(cookie.starts_with("__Host-form=") && cookie.ends_with("; Secure"), "{cookie}");
        (issued.token, cookie.split(';').next().unwrap().to_owned())
    }

    #[test]
    fn a_form_of_the_services_own_is_taken() {
        let (token, cookie) = issued();
        for said in [
            &[("cookie", cookie.as_str())][..],
            &[("cookie", &cookie), ("origin", "https://sho.rt"), ("sec-fetch-site", "same-origin")],
            &[("cookie", &cookie), ("origin", "http://go.example:81"), ("host", "go.example:81")],
        ] {
            assert!(
                guard().holds(&headers(said), Purpose::Unlock, link(1), &token, NOW),
                "{said:?}"
            );
        }
    }

    #[test]
    fn another_sites_form_is_refused() {
        let (token, cookie) = issued();
        let (_, other) = issued();
        for said in [
            &[][..],
            &[("cookie", other.as_str())],
            &[("cookie", "__Host-form=")],
            &[("cookie", &cookie), ("origin", "https://evil.example")],
            &[("cookie", &cookie), ("origin", "null")],
            &[("cookie", &cookie), ("origin", "https://sho.rt.evil.example")],
            &[("cookie", &cookie), ("sec-fetch-site", "cross-site")],
            &[("cookie", &cookie), ("sec-fetch-site", "same-site")],
        ] {
            assert!(
                !guard().holds(&headers(said), Purpose::Unlock, link(1), &token, NOW),
                "{said:?}"
            );
        }
    }

    #[test]
    fn a_guard_holds_for_its_form_and_its_time() {
        let (token, cookie) = issued();
        let sent = headers(&[("cookie", &cookie)]);
        let holds = |purpose, link, token: &str, at| guard().holds(&sent, purpose, link, token, at);
        assert!(holds(Purpose::Unlock, link(1), &token, NOW + FORM_MS - 1));
        assert!(!holds(Purpose::Unlock, link(1), &token, NOW + FORM_MS));
        assert!(!holds(Purpose::Report, link(1), &token, NOW));
        assert!(!holds(Purpose::Unlock, link(2), &token, NOW));
        assert!(!holds(Purpose::Unlock, link(1), "", NOW));
        assert!(!holds(Purpose::Unlock, link(1), &token.replace('0', "1"), NOW));
    }

    #[test]
    fn a_visitor_keeps_his_cookie() {
        let (_, cookie) = issued();
        let sent = headers(&[("cookie", &cookie)]);
        assert!(guard().issue(&sent, Purpose::Report, link(2), NOW).cookie.is_none());
    }
}
