//! UTM parameters as requests set them.

use super::{Field, LinkInput};
use crate::domain::error::Invalid;
use crate::domain::utm::Utm;

const MAX_CHARS: usize = 255;

/// The UTM parameters in a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the same names as in Utm")]
pub struct UtmInput {
    pub source: Field<String>,
    pub medium: Field<String>,
    pub campaign: Field<String>,
    pub content: Field<String>,
    pub term: Field<String>,
}

impl UtmInput {
    /// Validates the input; absent fields keep their values.
    pub fn accept(self, before: Utm, invalid: &mut Invalid) -> Utm {
        let mut text = |name, asked, before| invalid.text(name, asked, before, MAX_CHARS);
        Utm {
            source: text("utm_source", self.source, before.source),
            medium: text("utm_medium", self.medium, before.medium),
            campaign: text("utm_campaign", self.campaign, before.campaign),
            content: text("utm_content", self.content, before.content),
            term: text("utm_term", self.term, before.term),
        }
    }
}

impl LinkInput {
    /// Fills absent parameters from a template or campaign. An explicit null stays empty.
    pub fn fill_utm(&mut self, from: &Utm) {
        let each = [
            (&mut self.utm_source, &from.source),
            (&mut self.utm_medium, &from.medium),
            (&mut self.utm_campaign, &from.campaign),
            (&mut self.utm_content, &from.content),
            (&mut self.utm_term, &from.term),
        ];
        for (asked, value) in each {
            if *asked == Field::Absent
                && let Some(value) = value
            {
                *asked = Field::Value(value.clone());
            }
        }
    }
}
