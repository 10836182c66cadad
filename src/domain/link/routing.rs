//! Routing: other destinations for some visitors of a link.

use super::gates::Context;
use super::{Field, LinkFields, LinkInput};
use crate::domain::error::Invalid;
use crate::domain::rule::app_url::{AppLinkTexts, AppLinks};
use crate::domain::rule::{self, Rules};

/// What takes precedence over a link's destination, in this order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Routing {
    /// The first matching rule wins.
    pub rules: Rules,
    /// If no rule matches, the app for the visitor's operating system.
    pub app: AppLinks,
}

impl Routing {
    /// Whether all visitors get the link's destination.
    pub const fn is_empty(&self) -> bool {
        self.rules.is_empty() && self.app.is_empty()
    }

    /// Validates the input. Rules may keep ids of the rules in `current`; absent fields keep the
    /// values in `kept`.
    pub(super) fn accept(
        input: &mut LinkInput,
        current: Option<&LinkFields>,
        kept: Option<&LinkFields>,
        context: &Context<'_>,
        invalid: &mut Invalid,
    ) -> Self {
        let kept = kept.map(|fields| fields.routing.clone()).unwrap_or_default();
        let no_rules = Rules::default();
        let before = current.map_or(&no_rules, |fields| &fields.routing.rules);
        let rules = match std::mem::take(&mut input.rules) {
            Field::Absent => kept.rules,
            Field::Null => Rules::default(),
            Field::Value(bodies) => {
                let mut new_id = context.new_rule_id;
                let rules = rule::Context { before, is_own: context.is_own, new_id: &mut new_id };
                Rules::accept(bodies, rules, invalid).unwrap_or_default()
            }
        };
        let old = kept.app.texts();
        let app = AppLinkTexts {
            ios_url: std::mem::take(&mut input.ios_url).apply_to(old.ios_url),
            ios_store_url: std::mem::take(&mut input.ios_store_url).apply_to(old.ios_store_url),
            android_url: std::mem::take(&mut input.android_url).apply_to(old.android_url),
            android_store_url: std::mem::take(&mut input.android_store_url)
                .apply_to(old.android_store_url),
        };
        Self { rules, app: AppLinks::accept(app, "", context.is_own, invalid) }
    }
}
