//! Routing: where a link leads some visitors, other than to its destination.

use super::gates::Context;
use super::{Field, LinkFields, LinkInput};
use crate::domain::error::Invalid;
use crate::domain::rule::app_url::{AppLinks, AppLinksInput};
use crate::domain::rule::{self, Rules};

/// What comes before a link's destination, in this order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Routing {
    /// The first rule that fits is followed.
    pub rules: Rules,
    /// Where no rule fits, the app of the visitor's system.
    pub app: AppLinks,
}

impl Routing {
    /// Whether all visitors are led to the destination.
    pub const fn is_empty(&self) -> bool {
        self.rules.is_empty() && self.app.is_empty()
    }

    /// Checks what is asked over what stands: `standing` is what rules' ids may be given back of,
    /// `kept` what holds where the input says nothing.
    pub(super) fn accept(
        input: &mut LinkInput,
        standing: Option<&LinkFields>,
        kept: Option<&LinkFields>,
        around: &Context<'_>,
        invalid: &mut Invalid,
    ) -> Self {
        let kept = kept.map(|fields| fields.routing.clone()).unwrap_or_default();
        let no_rules = Rules::default();
        let before = standing.map_or(&no_rules, |fields| &fields.routing.rules);
        let rules = match std::mem::take(&mut input.rules) {
            Field::Absent => kept.rules,
            Field::Null => Rules::default(),
            Field::Value(bodies) => {
                let mut new_id = around.new_rule_id;
                let context = rule::Context { before, is_own: around.is_own, new_id: &mut new_id };
                Rules::accept(bodies, context, invalid).unwrap_or_default()
            }
        };
        let old = kept.app.input();
        let app = AppLinksInput {
            ios_url: std::mem::take(&mut input.ios_url).over(old.ios_url),
            ios_store_url: std::mem::take(&mut input.ios_store_url).over(old.ios_store_url),
            android_url: std::mem::take(&mut input.android_url).over(old.android_url),
            android_store_url: std::mem::take(&mut input.android_store_url)
                .over(old.android_store_url),
        };
        Self { rules, app: AppLinks::accept(app, "", around.is_own, invalid) }
    }
}
