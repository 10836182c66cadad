//! Filters for lists of links.

use regex::bytes::{Regex, RegexBuilder};
use url::Url;

use crate::domain::ids::CampaignId;
use crate::domain::link::{Kind, LinkSummaryRef, folded};
use crate::domain::named_enum;

/// The maximum number of search words, and of their characters in total.
const MAX_WORDS: usize = 10;
const MAX_CHARS: usize = 200;

/// The conditions that every link of a list meets.
#[derive(Debug, Clone, Default)]
pub struct LinkFilter {
    /// Each word occurs in the link's texts.
    pub words: Vec<Word>,
    /// The link has all of these tags, ignoring case.
    pub tags: Vec<String>,
    /// The link is in this folder or below.
    pub folder: Option<String>,
    /// The link belongs to this campaign.
    pub campaign: Option<CampaignId>,
    /// The link is on this domain; empty for the default domain.
    pub domain: Option<String>,
    /// The link has this external ID.
    pub external_id: Option<String>,
    /// The link was created at this time or later, in milliseconds since the Unix epoch.
    pub created_from_ms: Option<u64>,
    /// The link was created before this time, in milliseconds since the Unix epoch.
    pub created_until_ms: Option<u64>,
    /// The link requires a password.
    pub has_password: Option<bool>,
    /// The link has expired.
    pub expired: Option<bool>,
    /// The link is enabled.
    pub enabled: Option<bool>,
    /// Whether archived links match.
    pub archived: Archived,
    /// The kind of the link's target.
    pub kind: Option<Kind>,
}

named_enum! {
    /// Whether a list includes archived links.
    #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
    pub enum Archived {
        /// Only archived links.
        Only => "true",
        /// Without archived links.
        #[default]
        No => "false",
        /// Both.
        Any => "any",
    }
}

/// A search word, matched case-insensitively.
#[derive(Debug, Clone)]
pub struct Word {
    text: Regex,
    /// If the word is a URL: a link's domain (empty for the default domain) and its slug.
    short_url: Option<(String, Regex)>,
}

impl Word {
    /// The words of a text, separated by white space. `host` is the default domain: a short URL finds
    /// its link.
    ///
    /// # Errors
    /// A message that says which rule the text breaks.
    pub fn all_of(text: &str, host: &str) -> Result<Vec<Self>, String> {
        let words: Vec<_> = text.split_whitespace().collect();
        if words.is_empty() || words.len() > MAX_WORDS || text.chars().count() > MAX_CHARS {
            return Err(format!(
                "must be 1 to {MAX_WORDS} words, at most {MAX_CHARS} characters in total"
            ));
        }
        let pattern = |pattern: &str| {
            let built = RegexBuilder::new(pattern).case_insensitive(true).build();
            built.map_err(|_| "cannot be searched for".to_owned())
        };
        let word = |word: &&str| {
            // A short URL may be given without its scheme.
            let has_scheme = word.contains("://") || !word.contains('/');
            let url = if has_scheme { Url::parse(word) } else { format!("http://{word}").parse() };
            let url = url.ok();
            let short_url = url.as_ref().and_then(|url| domain_and_slug(url, host));
            let short_url = short_url.map(|(domain, slug)| {
                Ok::<_, String>((domain, pattern(&format!("^{}$", regex::escape(slug)))?))
            });
            let text = pattern(&regex::escape(word))?;
            Ok(Self { text, short_url: short_url.transpose()? })
        };
        words.iter().map(word).collect()
    }

    fn is_in(&self, text: &str) -> bool {
        self.text.is_match(text.as_bytes())
    }
}

/// The domain of a short URL, empty for the default domain, and its slug.
fn domain_and_slug<'a>(url: &'a Url, host: &str) -> Option<(String, &'a str)> {
    if !matches!(url.scheme(), "http" | "https") {
        return None;
    }
    let domain = match url.port() {
        None => url.host_str()?.to_owned(),
        Some(port) => format!("{}:{port}", url.host_str()?),
    };
    let slug = url.path().trim_matches('/');
    let domain = if domain.eq_ignore_ascii_case(host) { String::new() } else { domain };
    Some((domain, slug)).filter(|_| !slug.is_empty())
}

impl LinkFilter {
    /// Whether the filter has no condition except, possibly, one on archived links.
    pub fn is_plain(&self) -> bool {
        self.conditions() == 0
    }

    /// The number of conditions, except that on archived links.
    pub(super) fn conditions(&self) -> usize {
        let single = [
            !self.words.is_empty(),
            self.folder.is_some(),
            self.campaign.is_some(),
            self.domain.is_some(),
            self.external_id.is_some(),
            self.created_from_ms.is_some(),
            self.created_until_ms.is_some(),
            self.has_password.is_some(),
            self.expired.is_some(),
            self.enabled.is_some(),
            self.kind.is_some(),
        ];
        self.tags.len() + single.into_iter().filter(|is_set| *is_set).count()
    }

    /// Whether an encoded link may match, without decoding it: every word in a link's texts is
    /// somewhere in its bytes.
    pub(super) fn may_hold(&self, encoded: &[u8]) -> bool {
        self.words.iter().all(|word| word.short_url.is_some() || word.text.is_match(encoded))
    }

    /// Whether the link matches, except for the external ID, which is looked up instead.
    pub(super) fn holds(&self, link: &LinkSummaryRef<'_>, now_ms: u64) -> bool {
        let is = |wanted: Option<bool>, actual: bool| wanted.is_none_or(|wanted| wanted == actual);
        let is_archived = match self.archived {
            Archived::No => !link.archived,
            Archived::Only => link.archived,
            Archived::Any => true,
        };
        is_archived
            && is(self.has_password, link.has_password)
            && is(self.expired, link.expires_at_ms.is_some_and(|at| at <= now_ms))
            && is(self.enabled, !link.disabled)
            && self.kind.is_none_or(|kind| kind == link.kind)
            && self.created_from_ms.is_none_or(|from| link.created_at_ms >= from)
            && self.created_until_ms.is_none_or(|until| link.created_at_ms < until)
            && self.domain.as_ref().is_none_or(|domain| domain == link.domain)
            && self.campaign.is_none_or(|id| id.as_bytes() == link.campaign)
            && self.folder.as_ref().is_none_or(|folder| is_below(link.folder, folder))
            && self.tags.iter().all(|tag| has_tag(link, tag))
            && self.words.iter().all(|word| occurs(word, link))
    }
}

fn is_below(folder: &str, above: &str) -> bool {
    folder.strip_prefix(above).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn has_tag(link: &LinkSummaryRef<'_>, wanted: &str) -> bool {
    let wanted = folded(wanted);
    link.tags.iter().any(|tag| folded(tag) == wanted)
}

fn occurs(word: &Word, link: &LinkSummaryRef<'_>) -> bool {
    [link.slug, link.title, link.destination, link.notes].into_iter().any(|text| word.is_in(text))
        || link.tags.iter().any(|tag| word.is_in(tag))
        || word.short_url.as_ref().is_some_and(|(domain, slug)| {
            domain == link.domain && slug.is_match(link.slug.as_bytes())
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link() -> LinkSummaryRef<'static> {
        LinkSummaryRef {
            domain: "go.example",
            slug: "Sale-24",
            destination: "https://example.com/Schuhe?x=1",
            title: "Frühling ÄRA",
            created_at_ms: 100,
            tags: vec!["Spring", "E-Mail"],
            folder: "clients/acme",
            notes: "ask Ada\nfirst",
            expires_at_ms: Some(500),
            has_password: true,
            ..LinkSummaryRef::default()
        }
    }

    fn found(q: &str) -> bool {
        let words = Word::all_of(q, "sho.rt").unwrap();
        LinkFilter { words, ..LinkFilter::default() }.holds(&link(), 0)
    }

    #[test]
    fn every_word_has_to_occur_somewhere_in_any_case() {
        for q in ["sale", "LE-2", "frühling", "ära FRÜH", "spring mail", "ada ask", "?x=1", "e.com"]
        {
            assert!(found(q), "{q}");
        }
        for q in ["sale nowhere", "s.le", "acme", "go.example", "spring  summer", "[s]ale"] {
            assert!(!found(q), "{q}");
        }
    }

    #[test]
    fn a_short_url_finds_its_link() {
        assert!(
            found("https://go.example/Sale-24") && found("http://GO.example/sale-24/?x=1 mail")
        );
        assert!(found("go.example/sale-24") && !found("sho.rt/Sale-24"));
        for q in ["https://sho.rt/Sale-24", "https://go.example/Sale", "https://go.example/"] {
            assert!(!found(q), "{q}");
        }
        let words = Word::all_of("https://sho.rt/Sale-24", "sho.rt").unwrap();
        let filter = LinkFilter { words, ..LinkFilter::default() };
        let link = LinkSummaryRef { domain: "", ..link() };
        assert!(filter.may_hold(b"encoded") && filter.holds(&link, 0));
    }

    #[test]
    fn a_text_has_few_words() {
        for bad in ["", "  ", "a b c d e f g h i j k", &"x".repeat(201)] {
            assert!(Word::all_of(bad, "sho.rt").is_err(), "{bad}");
        }
        assert_eq!(Word::all_of(" a  b\tc ", "sho.rt").unwrap().len(), 3);
    }

    #[test]
    fn each_condition_holds_or_does_not() {
        let any = || LinkFilter { archived: Archived::Any, ..LinkFilter::default() };
        let text = |text: &str| Some(text.to_owned());
        let tags = |tags: &[&str]| tags.iter().map(|tag| (*tag).to_owned()).collect();
        for (expected, filter) in [
            (true, any()),
            (true, LinkFilter::default()),
            (false, LinkFilter { archived: Archived::Only, ..any() }),
            (true, LinkFilter { tags: tags(&["spring", "e-mail"]), ..any() }),
            (false, LinkFilter { tags: tags(&["spring", "mail"]), ..any() }),
            (true, LinkFilter { folder: text("clients"), ..any() }),
            (true, LinkFilter { folder: text("clients/acme"), ..any() }),
            (false, LinkFilter { folder: text("client"), ..any() }),
            (false, LinkFilter { folder: text("clients/acme/x"), ..any() }),
            (true, LinkFilter { domain: text("go.example"), ..any() }),
            (false, LinkFilter { domain: text(""), ..any() }),
            (true, LinkFilter { created_from_ms: Some(100), ..any() }),
            (false, LinkFilter { created_from_ms: Some(101), ..any() }),
            (true, LinkFilter { created_until_ms: Some(101), ..any() }),
            (false, LinkFilter { created_until_ms: Some(100), ..any() }),
            (true, LinkFilter { expired: Some(true), ..any() }),
            (false, LinkFilter { expired: Some(false), ..any() }),
            (false, LinkFilter { has_password: Some(false), ..any() }),
            (true, LinkFilter { enabled: Some(true), ..any() }),
            (true, LinkFilter { kind: Some(Kind::Url), ..any() }),
            (false, LinkFilter { kind: Some(Kind::Text), ..any() }),
        ] {
            assert_eq!(filter.holds(&link(), 500), expected, "{filter:?}");
        }
        let archived = LinkSummaryRef { archived: true, ..link() };
        assert!(!LinkFilter::default().holds(&archived, 0));
        let not_yet = LinkFilter { expired: Some(false), ..any() };
        assert!(not_yet.holds(&link(), 499));
        assert!(not_yet.holds(&LinkSummaryRef { expires_at_ms: None, ..link() }, 500));
    }
}
