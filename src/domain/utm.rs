//! UTM parameters.

/// The five campaign parameters, as Google Analytics names them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Utm {
    /// `utm_source`
    pub source: Option<String>,
    /// `utm_medium`
    pub medium: Option<String>,
    /// `utm_campaign`
    pub campaign: Option<String>,
    /// `utm_content`
    pub content: Option<String>,
    /// `utm_term`
    pub term: Option<String>,
}

impl Utm {
    /// The parameters that are set, by name.
    pub fn pairs(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let each = [
            ("utm_source", &self.source),
            ("utm_medium", &self.medium),
            ("utm_campaign", &self.campaign),
            ("utm_content", &self.content),
            ("utm_term", &self.term),
        ];
        each.into_iter().filter_map(|(name, value)| value.as_deref().map(|value| (name, value)))
    }
}
