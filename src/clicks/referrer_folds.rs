//! Hosts that belong to another site: link wrappers, mobile editions and Android apps.

/// The site that `host` (lower case, without `www.`) belongs to, if it is another one.
pub(super) fn folded(host: &str) -> Option<&'static str> {
    let at = FOLDS.binary_search_by_key(&host, |(from, _)| from).ok()?;
    Some(FOLDS[at].1)
}

/// Sorted by the first column, for binary search.
///
/// - Link wrappers map to the site whose outgoing links they wrap.
/// - Mobile and old editions map to their site.
/// - Android apps send `android-app://` with their package name instead of a host.
///
/// Search engines are not folded: `google.de` and `google.com` indicate the country.
const FOLDS: &[(&str, &str)] = &[
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_folds_in_one_step() {
        assert!(FOLDS.is_sorted_by(|left, right| left.0 < right.0));
        for (from, to) in FOLDS {
            assert_eq!(folded(from), Some(*to));
            assert_eq!(folded(to), None, "{to} is folded again");
        }
    }
}
