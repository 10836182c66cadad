//! Social metadata: what social networks show of a link that was posted there.

use super::LinkInput;
use crate::domain::destination::Destination;
use crate::domain::error::Invalid;

/// How long its title may be, in characters.
pub const MAX_TITLE_CHARS: usize = 200;
/// How long its description may be, in characters.
pub const MAX_DESCRIPTION_CHARS: usize = 500;

/// The Open Graph metadata of a link. It is its own form in the log.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Social {
    /// `og:title`
    #[prost(string, optional, tag = "1")]
    pub title: Option<String>,
    /// `og:description`
    #[prost(string, optional, tag = "2")]
    pub description: Option<String>,
    /// `og:image`: an http or https address.
    #[prost(string, optional, tag = "3")]
    pub image: Option<String>,
    /// Whether social networks' crawlers get a page with these in place of a redirect.
    #[prost(bool, tag = "4")]
    pub preview: bool,
}

impl Social {
    /// Checks what is asked over what stands.
    pub(super) fn accept(
        input: &mut LinkInput,
        before: Option<&Self>,
        invalid: &mut Invalid,
    ) -> Self {
        let none = Self::default();
        let old = before.unwrap_or(&none);
        let title = std::mem::take(&mut input.og_title);
        let description = std::mem::take(&mut input.og_description);
        let image = std::mem::take(&mut input.og_image).try_map(|text| {
            // An image may well be the service's own: nobody is led there.
            let parsed = Destination::parse(&text, |_| false);
            invalid.check("og_image", parsed).map(|url| url.as_str().to_owned())
        });
        let preview = std::mem::take(&mut input.og_preview).over(Some(old.preview));
        Self {
            title: invalid.text("og_title", title, old.title.clone(), MAX_TITLE_CHARS),
            description: invalid.text(
                "og_description",
                description,
                old.description.clone(),
                MAX_DESCRIPTION_CHARS,
            ),
            image: image.over(old.image.clone()),
            preview: preview.unwrap_or(false),
        }
    }
}
