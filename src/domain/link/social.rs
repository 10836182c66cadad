//! Social metadata: what social networks show for a posted link.

use super::LinkInput;
use crate::domain::destination::Destination;
use crate::domain::error::Invalid;

/// The maximum length of the title, in characters.
pub const MAX_TITLE_CHARS: usize = 200;
/// The maximum length of the description, in characters.
pub const MAX_DESCRIPTION_CHARS: usize = 500;

/// The Open Graph metadata of a link. Stored in the log as it is.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Social {
    /// `og:title`
    #[prost(string, optional, tag = "1")]
    pub title: Option<String>,
    /// `og:description`
    #[prost(string, optional, tag = "2")]
    pub description: Option<String>,
    /// `og:image`: an http or https URL.
    #[prost(string, optional, tag = "3")]
    pub image: Option<String>,
    /// Whether crawlers of social networks get a page with this metadata instead of a redirect.
    #[prost(bool, tag = "4")]
    pub preview: bool,
}

impl Social {
    /// Validates the input; absent fields keep their values.
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
            // The image may be on the service's own host: it is not a redirect target.
            let parsed = Destination::parse(&text, |_| false);
            invalid.check("og_image", parsed).map(|url| url.as_str().to_owned())
        });
        let preview = std::mem::take(&mut input.og_preview).apply_to(Some(old.preview));
        Self {
            title: invalid.text("og_title", title, old.title.clone(), MAX_TITLE_CHARS),
            description: invalid.text(
                "og_description",
                description,
                old.description.clone(),
                MAX_DESCRIPTION_CHARS,
            ),
            image: image.apply_to(old.image.clone()),
            preview: preview.unwrap_or(false),
        }
    }
}
