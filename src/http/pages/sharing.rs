//! The page for social networks and messengers, instead of the link's destination.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::preview::short_url;
use super::views::Social;
use super::{Answer, LinkRequest, blocked};
use crate::clicks::Admitted;
use crate::domain::link::Block;
use crate::http::Services;

/// The user agents that create previews of shared links, as substrings in lower case; documented by
/// their operators.
const READERS: [&[u8]; 15] = [
    b"facebookexternalhit",
    b"facebot",
    b"twitterbot",
    b"linkedinbot",
    b"slackbot",
    b"discordbot",
    b"telegrambot",
    b"whatsapp",
    b"pinterestbot",
    b"redditbot",
    b"skypeuripreview",
    b"embedly",
    b"mastodon",
    b"vkshare",
    b"viber",
];

/// Whether a user agent creates link previews for a social network or a messenger.
pub fn is_reader(user_agent: Option<&[u8]>) -> bool {
    let Some(agent) = user_agent else { return false };
    let holds =
        |name: &&[u8]| agent.windows(name.len()).any(|part| part.eq_ignore_ascii_case(name));
    READERS.iter().any(holds)
}

/// Whether to show the page instead of a redirect.
pub fn is_reader_request(request: &LinkRequest) -> bool {
    let agent = request.parts.headers.get(axum::http::header::USER_AGENT);
    request.link.fields.social.preview && is_reader(agent.map(axum::http::HeaderValue::as_bytes))
}

/// Shows the link's metadata. It counts as a click by a bot; if that does not count towards the
/// link's limit, the page does not reveal the destination.
pub fn page(services: &Services, request: &LinkRequest) -> Response {
    let Some(destination) = request.location() else {
        return super::not_found(&request.parts.headers);
    };
    let admitted = services.visitors.count(request);
    if admitted == Admitted::UsedUp {
        services.visitors.record_blocked(request, Block::LimitReached);
        return blocked(services, request, Block::LimitReached);
    }
    let short_url = short_url(services, &request.link) + request.more();
    let fields = &request.link.fields;
    let social = &fields.social;
    let title = social.title.as_deref().or(fields.title.as_deref()).unwrap_or(&short_url);
    let page = Social {
        short_url: &short_url,
        title,
        description: social.description.as_deref(),
        image: social.image.as_deref(),
        destination: (admitted == Admitted::Through).then_some(&destination),
    };
    Answer::page(StatusCode::OK, &page).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readers_of_links_are_known_by_their_agents() {
        for agent in [
            "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)",
            "Mozilla/5.0 (compatible; Discordbot/2.0; +https://discordapp.com)",
            "WhatsApp/2.23.20.0",
        ] {
            assert!(is_reader(Some(agent.as_bytes())), "{agent}");
        }
        for agent in
            ["Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Firefox/128.0", "Googlebot/2.1", ""]
        {
            assert!(!is_reader(Some(agent.as_bytes())), "{agent}");
        }
        assert!(!is_reader(None));
    }
}
