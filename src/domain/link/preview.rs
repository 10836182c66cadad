//! The preview: what anyone can see of a link without following it.

use super::LinkInput;

/// What the page at `/{slug}+` shows. Stored in the log as it is.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Preview {
    /// Whether the page is disabled. Inverted so that the default takes no bytes.
    #[prost(bool, tag = "1")]
    pub hidden: bool,
    /// Whether it shows the number of clicks.
    #[prost(bool, tag = "2")]
    pub public_stats: bool,
}

impl Preview {
    /// Applies the input; absent fields keep their values.
    pub(super) fn accept(input: &mut LinkInput, before: Option<Self>) -> Self {
        let old = before.unwrap_or_default();
        let shown = std::mem::take(&mut input.preview).apply_to(Some(!old.hidden)).unwrap_or(true);
        let stats = std::mem::take(&mut input.public_stats).apply_to(Some(old.public_stats));
        Self { hidden: !shown, public_stats: stats.unwrap_or(false) }
    }
}
