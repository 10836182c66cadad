//! The preview: what anybody may see of a link without following it.

use super::LinkInput;

/// What the page at `/{slug}+` shows. It is its own form in the log.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Preview {
    /// Whether there is none. Said the other way round, so that the default costs no byte.
    #[prost(bool, tag = "1")]
    pub hidden: bool,
    /// Whether it shows how often the link was clicked.
    #[prost(bool, tag = "2")]
    pub public_stats: bool,
}

impl Preview {
    /// What is asked over what stands.
    pub(super) fn accept(input: &mut LinkInput, before: Option<Self>) -> Self {
        let old = before.unwrap_or_default();
        let shown = std::mem::take(&mut input.preview).over(Some(!old.hidden)).unwrap_or(true);
        let stats = std::mem::take(&mut input.public_stats).over(Some(old.public_stats));
        Self { hidden: !shown, public_stats: stats.unwrap_or(false) }
    }
}
