//! URLs that open an app instead of a page.

use percent_encoding::percent_decode_str;
use url::Url;

use super::super::destination::Destination;
use super::super::error::Invalid;

const MAX_BYTES: usize = 2_048;

/// Schemes that run code, read local files or belong to the browser. Apps may have any other
/// scheme.
const REFUSED: [&str; 24] = [
    "about",
    "blob",
    "chrome",
    "chrome-extension",
    "chrome-untrusted",
    "content",
    "data",
    "devtools",
    "edge",
    "file",
    "filesystem",
    "ftp",
    "http",
    "jar",
    "javascript",
    "livescript",
    "moz-extension",
    "ms-browser-extension",
    "resource",
    "vbscript",
    "view-source",
    "ws",
    "wss",
    "x-javascript",
];

/// A URL that opens an app: `https` (a universal or app link), or a custom scheme followed by `//`
/// (`myapp://…`, `intent://…`, `market://…`, `itms-apps://…`).
///
/// It has only visible ASCII characters, so it can be used as a `Location` unchanged. It may
/// contain quotes and brackets, which a page has to escape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppUrl(Box<str>);

impl AppUrl {
    /// Validates a URL. Surrounding blanks are trimmed; nothing else is changed. See
    /// [`Destination::parse`] for `is_own`.
    ///
    /// # Errors
    /// A message that names the violated rule.
    pub fn parse(text: &str, is_own: &dyn Fn(&str) -> bool) -> Result<Self, String> {
        let text = text.trim_matches(' ');
        if text.len() > MAX_BYTES {
            return Err(format!("must not be longer than {MAX_BYTES} bytes"));
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("must be visible ASCII: encode other characters (%20)".to_owned());
        }
        let (scheme, rest) = text.split_once(':').ok_or("must begin with a scheme")?;
        let scheme = checked_scheme(scheme)?;
        if scheme == "https" {
            Destination::parse(text, is_own)?;
        } else {
            let path = rest.strip_prefix("//").ok_or("must have `//` behind its scheme")?;
            if path.is_empty() {
                return Err("must say what the app should open".to_owned());
            }
            Url::parse(text).map_err(|error| format!("is not an absolute URL: {error}"))?;
        }
        if scheme == "intent" {
            check_intent(text, is_own)?;
        }
        Ok(Self(text.into()))
    }

    /// The URL as entered by the owner.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The URLs that a visitor may reach: the URL itself, or an intent's page and fallback URL.
    pub fn leads_to(&self) -> Vec<String> {
        let Some((scheme, rest)) = self.0.split_once(':') else { return Vec::new() };
        if !scheme.eq_ignore_ascii_case("intent") {
            return vec![self.0.to_string()];
        }
        let (page, extras) = rest.split_once('#').unwrap_or((rest, ""));
        let fallbacks = extras
            .split(';')
            .filter_map(|extra| extra.strip_prefix("S.browser_fallback_url="))
            .map(|url| percent_decode_str(url).decode_utf8_lossy().into_owned());
        std::iter::once(format!("https:{page}")).chain(fallbacks).collect()
    }

    /// Whether a browser shows a page if the app is missing.
    pub fn is_web(&self) -> bool {
        self.0.get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https:"))
    }

    /// A URL from the log, which is not validated again.
    pub fn from_log(text: &str) -> Self {
        Self(text.into())
    }
}

/// Validates a scheme (RFC 3986 § 3.1) and converts it to lower case.
fn checked_scheme(text: &str) -> Result<String, String> {
    let scheme = text.to_ascii_lowercase();
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
    let is_one = (2..=64).contains(&scheme.len())
        && scheme.starts_with(|first: char| first.is_ascii_lowercase())
        && scheme.bytes().all(is_letter);
    if !is_one {
        return Err("must begin with a scheme (`https:`, `myapp:`)".to_owned());
    }
    if REFUSED.contains(&scheme.as_str()) {
        return Err(format!("must be https or an app's own scheme, not `{scheme}`"));
    }
    Ok(scheme)
}

/// Android intents have a second scheme and a fallback URL in the fragment, to which the same rules
/// apply.
fn check_intent(text: &str, is_own: &dyn Fn(&str) -> bool) -> Result<(), String> {
    let (_, extras) = text.split_once('#').ok_or("must end with `#Intent;…;end`")?;
    let extras = extras.strip_prefix("Intent;").and_then(|rest| rest.strip_suffix(";end"));
    for (name, value) in extras
        .ok_or("must end with `#Intent;…;end`")?
        .split(';')
        .map(|extra| extra.split_once('=').unwrap_or((extra, "")))
    {
        let value = percent_decode_str(value).decode_utf8_lossy();
        match name {
            // An intent may open the app of a web page.
            "scheme" if value.eq_ignore_ascii_case("http") => {}
            "scheme" => {
                checked_scheme(&value).map_err(|reason| format!("its `scheme` {reason}"))?;
            }
            "S.browser_fallback_url" => {
                Destination::parse(&value, is_own)
                    .map_err(|reason| format!("its `browser_fallback_url` {reason}"))?;
            }
            // A selector would be another intent, for another app.
            "SEL" => return Err("must not have a selector".to_owned()),
            _ => {}
        }
    }
    Ok(())
}

/// The apps that open instead of a destination, by operating system.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AppLinks {
    /// For iOS.
    pub ios: AppLink,
    /// For Android.
    pub android: AppLink,
}

/// The app for one operating system.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AppLink {
    /// Opens the app.
    pub url: Option<AppUrl>,
    /// The store page of the app, for visitors who don't have it.
    pub store: Option<AppUrl>,
}

impl AppLink {
    /// Whether it has neither URL.
    pub const fn is_empty(&self) -> bool {
        self.url.is_none() && self.store.is_none()
    }
}

/// [`AppLinks`] as requested, not validated, and as logged.
#[derive(Clone, PartialEq, Eq, prost::Message)]
#[allow(missing_docs, reason = "the same names as in TargetBody")]
pub struct AppLinkTexts {
    #[prost(string, optional, tag = "1")]
    pub ios_url: Option<String>,
    #[prost(string, optional, tag = "2")]
    pub ios_store_url: Option<String>,
    #[prost(string, optional, tag = "3")]
    pub android_url: Option<String>,
    #[prost(string, optional, tag = "4")]
    pub android_store_url: Option<String>,
}

impl AppLinks {
    /// Validates the four fields below the path `at`, which is empty or ends with a dot.
    pub fn accept(
        input: AppLinkTexts,
        at: &str,
        is_own: &dyn Fn(&str) -> bool,
        invalid: &mut Invalid,
    ) -> Self {
        let mut field = |name: &str, text: Option<String>| {
            text.and_then(|text| {
                invalid.check(&format!("{at}{name}"), AppUrl::parse(&text, is_own))
            })
        };
        Self {
            ios: AppLink {
                url: field("ios_url", input.ios_url),
                store: field("ios_store_url", input.ios_store_url),
            },
            android: AppLink {
                url: field("android_url", input.android_url),
                store: field("android_store_url", input.android_store_url),
            },
        }
    }

    /// Whether there are no URLs.
    pub const fn is_empty(&self) -> bool {
        self.ios.is_empty() && self.android.is_empty()
    }

    /// The app for an operating system, by its name in clicks.
    pub fn on(&self, os: &str) -> Option<&AppLink> {
        let link = match os {
            "iOS" => &self.ios,
            "Android" => &self.android,
            _ => return None,
        };
        (!link.is_empty()).then_some(link)
    }

    /// The URLs with the names of their fields.
    pub fn by_field(&self) -> impl Iterator<Item = (&'static str, &AppUrl)> {
        let each = [
            ("ios_url", &self.ios.url),
            ("ios_store_url", &self.ios.store),
            ("android_url", &self.android.url),
            ("android_store_url", &self.android.store),
        ];
        each.into_iter().filter_map(|(name, url)| Some((name, url.as_ref()?)))
    }

    /// The fields for responses and for the log.
    pub fn texts(&self) -> AppLinkTexts {
        let text = |url: &Option<AppUrl>| url.as_ref().map(|url| url.as_str().to_owned());
        AppLinkTexts {
            ios_url: text(&self.ios.url),
            ios_store_url: text(&self.ios.store),
            android_url: text(&self.android.url),
            android_store_url: text(&self.android.store),
        }
    }
}

impl From<AppLinkTexts> for AppLinks {
    /// Links from the log, which are not validated again.
    fn from(texts: AppLinkTexts) -> Self {
        let url = |text: Option<String>| text.map(|text| AppUrl::from_log(&text));
        Self {
            ios: AppLink { url: url(texts.ios_url), store: url(texts.ios_store_url) },
            android: AppLink { url: url(texts.android_url), store: url(texts.android_store_url) },
        }
    }
}
