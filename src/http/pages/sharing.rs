//! What social networks and messengers are shown of a link, in place of the page that it leads to.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::preview::short_url;
use super::views::Social;
use super::{Answer, LinkRequest, blocked};
use crate::clicks::Admitted;
use crate::domain::link::Block;
use crate::http::Services;

/// What the agents of those begin with or hold that make a picture and a title of a link that
/// somebody shares; each as its operator documents it, in lower case.
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

/// Whether a user agent reads links for a social network or a messenger.
pub fn is_reader(user_agent: Option<&[u8]>) -> bool {
    let Some(agent) = user_agent else { return false };
    let holds =
        |name: &&[u8]| agent.windows(name.len()).any(|part| part.eq_ignore_ascii_case(name));
    READERS.iter().any(holds)
}

/// Whether the one who asks is to see what the link says of itself.
pub fn is_wanted(asked: &LinkRequest) -> bool {
    let agent = asked.parts.headers.get(axum::http::header::USER_AGENT);
    asked.link.fields.social.preview && is_reader(agent.map(axum::http::HeaderValue::as_bytes))
}

/// What the link says of itself. It counts as the click of a bot that it is; where that doesn't
/// count towards the link's limit, the page doesn't tell where the link leads.
pub fn page(services: &Services, asked: &LinkRequest) -> Response {
    let Some(destination) = asked.location() else {
        return super::not_found(&asked.parts.headers);
    };
    let admitted = services.visitors.count(asked);
    if admitted == Admitted::UsedUp {
        services.visitors.stopped(asked, Block::LimitReached);
        return blocked(services, asked, Block::LimitReached);
    }
    let short_url = short_url(services, &asked.link) + asked.more();
    let fields = &asked.link.fields;
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
