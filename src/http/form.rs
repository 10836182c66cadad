//! HTML forms: limited in size, and accepted only from the service's own pages.
//!
//! A form contains a guard: a signature over the form's purpose, the link, an expiry time, and a
//! random cookie set with the page. Other sites can neither read nor set that cookie, so they
//! cannot submit a form on a visitor's behalf. The `Origin` and `Sec-Fetch-Site` headers are
//! checked too.

use axum::extract::{FromRequest, Request};
use axum::http::header::{CONTENT_TYPE, COOKIE, HOST, ORIGIN};
use axum::http::{HeaderMap, HeaderName, StatusCode};

use super::Site;
use super::cookies::cookies;
use crate::domain::ids::LinkId;
use crate::identity::signing::{Signer, decode, encode, hex, unhex};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// The maximum size of a form, in bytes: a thousand characters and the rest of an address as long
/// as a request head may be, each byte as `%xx`.
const MAX_FORM_BYTES: usize = 112 << 10;
/// How long a form is valid.
const FORM_MS: u64 = 60 * 60 * 1_000;

/// The fields of a form.
pub struct Form(Vec<(String, String)>);

impl Form {
    /// The value of a field; empty if missing.
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

/// The purpose of a form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Purpose {
    /// Enter a link's password.
    Unlock = 1,
    /// Report a link.
    Report = 2,
}

/// Issues and checks the guards of forms.
pub struct Guard {
    signer: Signer,
    site: Site,
}

/// The guard of a new form.
pub struct Issued {
    /// The value of the form's field `guard`.
    pub token: String,
    /// The `Set-Cookie` header for visitors without the cookie.
    pub cookie: Option<String>,
}

impl Guard {
    /// Creates guards with the service's key.
    pub fn new(key: &[u8; 32], site: Site) -> Self {
        Self { signer: Signer::new(key, "form"), site }
    }

    fn is_https(&self) -> bool {
        self.site.scheme == "https"
    }

    fn cookie_name(&self) -> &'static str {
        if self.is_https() { "__Host-form" } else { "form" }
    }

    fn cookie_value(&self, headers: &HeaderMap) -> Option<[u8; 16]> {
        let lines = headers.get_all(COOKIE).into_iter();
        let mut all = lines.flat_map(|line| cookies(line.as_bytes()));
        all.find(|(name, _)| *name == self.cookie_name().as_bytes())
            .and_then(|(_, value)| unhex(value))
    }

    /// Issues a guard for a form about a link.
    pub fn issue(
        &self,
        headers: &HeaderMap,
        purpose: Purpose,
        link: LinkId,
        now_ms: u64,
    ) -> Issued {
        let cookie_value = self.cookie_value(headers);
        let random = cookie_value.unwrap_or_else(rand::random);
        let until_ms = now_ms.saturating_add(FORM_MS);
        let tag = self.signer.sign(&[
            &[purpose as u8],
            link.as_bytes(),
            &until_ms.to_be_bytes(),
            &random,
        ]);
        let cookie = cookie_value.is_none().then(|| {
            let secure = if self.is_https() { "; Secure" } else { "" };
            let (name, value) = (self.cookie_name(), hex(&random));
            format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax{secure}")
        });
        Issued { token: encode(until_ms, &tag), cookie }
    }

    /// Whether a form with this guard comes from one of the service's own pages.
    pub fn is_valid(
        &self,
        headers: &HeaderMap,
        purpose: Purpose,
        link: LinkId,
        token: &str,
        now_ms: u64,
    ) -> bool {
        let (Some(random), Some((until_ms, tag))) =
            (self.cookie_value(headers), decode(token.as_bytes()))
        else {
            return false;
        };
        let message: [&[u8]; 4] =
            [&[purpose as u8], link.as_bytes(), &until_ms.to_be_bytes(), &random];
        now_ms < until_ms && self.is_same_origin(headers) && self.signer.is_signed(&message, &tag)
    }

    /// Checks the origin headers, if the browser sends them.
    pub fn is_same_origin(&self, headers: &HeaderMap) -> bool {
        let from = |name: HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
        // `none`: not initiated by a site, as when a browser restores a tab.
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

    /// The guard of a form, and the visitor's `Cookie`.
    fn issued() -> (String, String) {
        let issued = guard().issue(&HeaderMap::new(), Purpose::Unlock, link(1), NOW);
        let cookie = issued.cookie.unwrap();
        assert!(cookie.starts_with("__Host-form=") && cookie.ends_with("; Secure"), "{cookie}");
        (issued.token, cookie.split(';').next().unwrap().to_owned())
    }

    #[test]
    fn the_services_own_forms_are_accepted() {
        let (token, cookie) = issued();
        for message in [
            &[("cookie", cookie.as_str())][..],
            &[("cookie", &cookie), ("origin", "https://sho.rt"), ("sec-fetch-site", "same-origin")],
            &[("cookie", &cookie), ("origin", "http://go.example:81"), ("host", "go.example:81")],
        ] {
            assert!(
                guard().is_valid(&headers(message), Purpose::Unlock, link(1), &token, NOW),
                "{message:?}"
            );
        }
    }

    #[test]
    fn another_sites_form_is_refused() {
        let (token, cookie) = issued();
        let (_, other) = issued();
        for message in [
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
                !guard().is_valid(&headers(message), Purpose::Unlock, link(1), &token, NOW),
                "{message:?}"
            );
        }
    }

    #[test]
    fn a_guard_is_valid_for_its_form_until_it_expires() {
        let (token, cookie) = issued();
        let sent = headers(&[("cookie", &cookie)]);
        let is_valid =
            |purpose, link, token: &str, at| guard().is_valid(&sent, purpose, link, token, at);
        assert!(is_valid(Purpose::Unlock, link(1), &token, NOW + FORM_MS - 1));
        assert!(!is_valid(Purpose::Unlock, link(1), &token, NOW + FORM_MS));
        assert!(!is_valid(Purpose::Report, link(1), &token, NOW));
        assert!(!is_valid(Purpose::Unlock, link(2), &token, NOW));
        assert!(!is_valid(Purpose::Unlock, link(1), "", NOW));
        assert!(!is_valid(Purpose::Unlock, link(1), &token.replace('0', "1"), NOW));
    }

    #[test]
    fn the_cookie_is_reused() {
        let (_, cookie) = issued();
        let sent = headers(&[("cookie", &cookie)]);
        assert!(guard().issue(&sent, Purpose::Report, link(2), NOW).cookie.is_none());
    }
}
