//! Referring hosts: the sites that they belong to, and what these are called.

/// The site that `host` (lower case, without `www.`) belongs to: itself, unless it is a link
/// wrapper, a mobile edition or an Android app.
pub fn site(host: &str) -> &str {
    let at = FOLDS.binary_search_by_key(&host, |(from, _)| from);
    at.ok().and_then(|at| FOLDS.get(at)).map_or(host, |(_, site)| site)
}

/// Sorted by the first column, for binary search.
///
/// - Link wrappers map to the site whose outgoing links they wrap.
/// - Mobile and old editions map to their site.
/// - Android apps send `android-app://` with their package name instead of a host.
pub const FOLDS: &[(&str, &str)] = &[
    ("amp.reddit.com", "reddit.com"),
    ("away.vk.com", "vk.com"),
    ("com.android.chrome", "google.com"),
    ("com.discord", "discord.com"),
    ("com.facebook.katana", "facebook.com"),
    ("com.facebook.lite", "facebook.com"),
    ("com.facebook.orca", "messenger.com"),
    ("com.google.android.apps.searchlite", "google.com"),
    ("com.google.android.gm", "mail.google.com"),
    ("com.google.android.gm.lite", "mail.google.com"),
    ("com.google.android.googlequicksearchbox", "google.com"),
    ("com.google.android.youtube", "youtube.com"),
    ("com.instagram.android", "instagram.com"),
    ("com.instagram.barcelona", "threads.net"),
    ("com.linkedin.android", "linkedin.com"),
    ("com.microsoft.office.outlook", "outlook.com"),
    ("com.microsoft.teams", "teams.microsoft.com"),
    ("com.pinterest", "pinterest.com"),
    ("com.reddit.frontpage", "reddit.com"),
    ("com.slack", "slack.com"),
    ("com.snapchat.android", "snapchat.com"),
    ("com.twitter.android", "x.com"),
    ("com.whatsapp", "whatsapp.com"),
    ("com.yahoo.mobile.client.android.mail", "mail.yahoo.com"),
    ("com.zhiliaoapp.musically", "tiktok.com"),
    ("en.m.wikipedia.org", "en.wikipedia.org"),
    ("fb.me", "facebook.com"),
    ("l.facebook.com", "facebook.com"),
    ("l.instagram.com", "instagram.com"),
    ("l.messenger.com", "messenger.com"),
    ("l.threads.com", "threads.com"),
    ("l.threads.net", "threads.net"),
    ("lm.facebook.com", "facebook.com"),
    ("lnkd.in", "linkedin.com"),
    ("m.facebook.com", "facebook.com"),
    ("m.instagram.com", "instagram.com"),
    ("m.linkedin.com", "linkedin.com"),
    ("m.reddit.com", "reddit.com"),
    ("m.tiktok.com", "tiktok.com"),
    ("m.twitter.com", "x.com"),
    ("m.vk.com", "vk.com"),
    ("m.youtube.com", "youtube.com"),
    ("mobile.twitter.com", "x.com"),
    ("mobile.x.com", "x.com"),
    ("music.youtube.com", "youtube.com"),
    ("new.reddit.com", "reddit.com"),
    ("old.reddit.com", "reddit.com"),
    ("org.telegram.messenger", "telegram.org"),
    ("org.telegram.messenger.web", "telegram.org"),
    ("org.thunderdog.challegram", "telegram.org"),
    ("out.reddit.com", "reddit.com"),
    ("pin.it", "pinterest.com"),
    ("redd.it", "reddit.com"),
    ("slack-redir.net", "slack.com"),
    ("t.co", "x.com"),
    ("t.me", "telegram.org"),
    ("touch.facebook.com", "facebook.com"),
    ("twitter.com", "x.com"),
    ("vm.tiktok.com", "tiktok.com"),
    ("web.facebook.com", "facebook.com"),
    ("web.telegram.org", "telegram.org"),
    ("web.whatsapp.com", "whatsapp.com"),
    ("youtu.be", "youtube.com"),
];

/// What well-known sites are called; also applies to their subdomains, unless these are listed.
pub const NAMES: &[(&str, &str)] = &[
    ("bing.com", "Bing"),
    ("bsky.app", "Bluesky"),
    ("chat.openai.com", "ChatGPT"),
    ("chatgpt.com", "ChatGPT"),
    ("claude.ai", "Claude"),
    ("copilot.microsoft.com", "Copilot"),
    ("discord.com", "Discord"),
    ("duckduckgo.com", "DuckDuckGo"),
    ("ecosia.org", "Ecosia"),
    ("facebook.com", "Facebook"),
    ("gemini.google.com", "Gemini"),
    ("github.com", "GitHub"),
    ("google.com", "Google"),
    ("instagram.com", "Instagram"),
    ("kagi.com", "Kagi"),
    ("linkedin.com", "LinkedIn"),
    ("mail.google.com", "Gmail"),
    ("mail.yahoo.com", "Yahoo Mail"),
    ("medium.com", "Medium"),
    ("messenger.com", "Messenger"),
    ("news.ycombinator.com", "Hacker News"),
    ("outlook.com", "Outlook"),
    ("outlook.live.com", "Outlook"),
    ("outlook.office.com", "Outlook"),
    ("perplexity.ai", "Perplexity"),
    ("pinterest.com", "Pinterest"),
    ("quora.com", "Quora"),
    ("qwant.com", "Qwant"),
    ("reddit.com", "Reddit"),
    ("search.brave.com", "Brave"),
    ("slack.com", "Slack"),
    ("snapchat.com", "Snapchat"),
    ("startpage.com", "Startpage"),
    ("teams.microsoft.com", "Microsoft Teams"),
    ("telegram.org", "Telegram"),
    ("threads.com", "Threads"),
    ("threads.net", "Threads"),
    ("tiktok.com", "TikTok"),
    ("vk.com", "VK"),
    ("whatsapp.com", "WhatsApp"),
    ("wikipedia.org", "Wikipedia"),
    ("x.com", "X"),
    ("youtube.com", "YouTube"),
];

/// What sites are called that have a domain in each country (`google.de`, `google.co.uk`), by the
/// part of the domain before its suffix.
pub const FAMILIES: &[(&str, &str)] = &[
    ("baidu", "Baidu"),
    ("google", "Google"),
    ("pinterest", "Pinterest"),
    ("yahoo", "Yahoo"),
    ("yandex", "Yandex"),
];

/// What a host is called, if it is listed: hosts, with those of [`FOLDS`], and their names.
pub fn named_hosts() -> impl Iterator<Item = (&'static str, &'static str)> {
    let name = |site: &'static str| {
        let is_of = |host: &str| {
            let sub = site.strip_suffix(host);
            sub.is_some_and(|sub| sub.is_empty() || sub.ends_with('.'))
        };
        let named = NAMES.iter().filter(|(host, _)| is_of(host));
        named.max_by_key(|(host, _)| host.len()).map_or(site, |(_, name)| name)
    };
    let folds = FOLDS.iter().map(move |(host, site)| (*host, name(site)));
    folds.chain(NAMES.iter().copied())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_table_is_sorted_and_folds_in_one_step() {
        assert!(FOLDS.is_sorted_by(|left, right| left.0 < right.0));
        for (from, to) in FOLDS {
            assert_eq!(site(from), *to);
            assert_eq!(site(to), *to, "{to} is folded again");
        }
        assert_eq!(site("example.org"), "example.org");
    }

    #[test]
    fn hosts_are_named_once_and_their_sites_have_names() {
        let hosts: HashSet<_> = named_hosts().map(|(host, _)| host).collect();
        assert_eq!(hosts.len(), FOLDS.len() + NAMES.len());
        for (host, name) in named_hosts() {
            assert!(!name.contains(['.', '\'', '\\']), "{host} is called {name}");
        }
    }
}
