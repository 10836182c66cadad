//! The targets of rules.

use std::collections::HashSet;

use super::super::destination::Destination;
use super::super::error::Invalid;
use super::app_url::{AppLinkTexts, AppLinks};
use super::body::{SplitBody, TargetBody, VariantBody};
use super::value;

/// The minimum number of variants of a split.
pub const MIN_VARIANTS: usize = 2;

/// The maximum number of variants of a split.
pub const MAX_VARIANTS: usize = 8;

/// The maximum weight of a variant.
pub const MAX_WEIGHT: u32 = 10_000;

const MAX_NAME_CHARS: usize = 64;

/// The target of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The destination in browsers.
    pub kind: TargetKind,
    /// Apps that open instead, independent of the variant.
    pub app: AppLinks,
}

/// A single destination or a split.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TargetKind {
    /// The same destination for everyone.
    Destination(Destination),
    /// Visitors are distributed among several destinations.
    Split(Split),
}

/// Several destinations among which visitors are distributed by weight.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// 2 to 8.
    pub variants: Vec<Variant>,
    /// All visitors get [`Self::settled`] from this time on, in milliseconds since the Unix epoch.
    pub until_ms: Option<u64>,
    /// The index of the variant that all visitors get from now on.
    pub winner: Option<usize>,
}

/// One destination of a split.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variant {
    /// The identity of the variant: visitors are assigned by name, not by index.
    pub name: String,
    /// The destination.
    pub destination: Destination,
    /// 1 to 10,000.
    pub weight: u32,
}

impl Split {
    /// The index of the variant after the end: the winner, or else the first one with the largest
    /// weight.
    pub fn settled(&self) -> usize {
        let heaviest = || {
            let each = self.variants.iter().enumerate();
            each.rev().max_by_key(|(_, variant)| variant.weight).map_or(0, |(place, _)| place)
        };
        self.winner.unwrap_or_else(heaviest)
    }
}

impl Target {
    /// The destinations; those of a split are in the order of its variants.
    pub fn destinations(&self) -> impl Iterator<Item = &Destination> {
        let (one, several) = match &self.kind {
            TargetKind::Destination(destination) => (Some(destination), [].as_slice()),
            TargetKind::Split(split) => (None, split.variants.as_slice()),
        };
        one.into_iter().chain(several.iter().map(|variant| &variant.destination))
    }

    /// The name of a variant of a split.
    pub fn variant(&self, place: usize) -> Option<String> {
        match &self.kind {
            TargetKind::Destination(_) => None,
            TargetKind::Split(split) => {
                split.variants.get(place).map(|variant| variant.name.clone())
            }
        }
    }

    /// Validates the target at the path `at`; `None` if it is invalid.
    pub(super) fn accept(
        body: TargetBody,
        at: &str,
        is_own: &dyn Fn(&str) -> bool,
        invalid: &mut Invalid,
    ) -> Option<Self> {
        let kind = match (body.destination, body.split) {
            (Some(text), None) => invalid
                .check(&format!("{at}.destination"), Destination::parse(&text, is_own))
                .map(TargetKind::Destination),
            (None, Some(split)) => {
                Split::accept(split, &format!("{at}.split"), is_own, invalid).map(TargetKind::Split)
            }
            _ => {
                invalid.check(at, Err("must have exactly one of `destination`, `split`".to_owned()))
            }
        };
        let app = AppLinkTexts {
            ios_url: body.ios_url,
            ios_store_url: body.ios_store_url,
            android_url: body.android_url,
            android_store_url: body.android_store_url,
        };
        let app = AppLinks::accept(app, &format!("{at}."), is_own, invalid);
        Some(Self { kind: kind?, app })
    }

    /// The target for responses.
    pub(super) fn body(&self) -> TargetBody {
        let AppLinkTexts { ios_url, ios_store_url, android_url, android_store_url } =
            self.app.texts();
        let (destination, split) = match &self.kind {
            TargetKind::Destination(destination) => (Some(destination.as_str().to_owned()), None),
            TargetKind::Split(split) => (None, Some(split.body())),
        };
        TargetBody { destination, split, ios_url, ios_store_url, android_url, android_store_url }
    }
}

impl Split {
    fn accept(
        body: SplitBody,
        at: &str,
        is_own: &dyn Fn(&str) -> bool,
        invalid: &mut Invalid,
    ) -> Option<Self> {
        let count = body.variants.len();
        let variants_at = format!("{at}.variants");
        if !(MIN_VARIANTS..=MAX_VARIANTS).contains(&count) {
            let rule = format!("must have {MIN_VARIANTS} to {MAX_VARIANTS} variants, not {count}");
            invalid.add(variants_at, rule);
            return None;
        }
        let mut names = body.variants.iter().map(|variant| value::folded(variant.name.trim()));
        let mut before = HashSet::new();
        let twin = names.position(|name| !before.insert(name));
        if let Some(place) = twin {
            let rule = "must be different from the names of other variants";
            invalid.add(format!("{variants_at}[{place}].name"), rule);
        }
        let until_ms = body.until.map(|text| value::timestamp(&text)).transpose();
        let until_ms = invalid.check(&format!("{at}.until"), until_ms);
        let winner = body.winner.map(|name| {
            let place = body.variants.iter().position(|variant| variant.name.trim() == name.trim());
            place.ok_or_else(|| "must be the name of a variant".to_owned())
        });
        let winner = invalid.check(&format!("{at}.winner"), winner.transpose());
        let each = body.variants.into_iter().enumerate();
        let variants: Vec<_> = each
            .filter_map(|(place, variant)| {
                Variant::accept(&variant, &format!("{variants_at}[{place}]"), is_own, invalid)
            })
            .collect();
        let is_whole = variants.len() == count && twin.is_none();
        let (until_ms, winner) = until_ms.zip(winner).filter(|_| is_whole)?;
        Some(Self { variants, until_ms, winner })
    }

    fn body(&self) -> SplitBody {
        let winner = self.winner.and_then(|place| self.variants.get(place));
        SplitBody {
            variants: self.variants.iter().map(Variant::body).collect(),
            until: self.until_ms.map(value::moment_text),
            winner: winner.map(|variant| variant.name.clone()),
        }
    }
}

impl Variant {
    fn accept(
        body: &VariantBody,
        at: &str,
        is_own: &dyn Fn(&str) -> bool,
        invalid: &mut Invalid,
    ) -> Option<Self> {
        let name = invalid.check(&format!("{at}.name"), value::text(&body.name, MAX_NAME_CHARS));
        let destination = invalid
            .check(&format!("{at}.destination"), Destination::parse(&body.destination, is_own));
        let weight =
            u32::try_from(body.weight).ok().filter(|weight| (1..=MAX_WEIGHT).contains(weight));
        let weight = weight.ok_or_else(|| format!("must be 1 to {MAX_WEIGHT}"));
        let weight = invalid.check(&format!("{at}.weight"), weight);
        Some(Self { name: name?, destination: destination?, weight: weight? })
    }

    fn body(&self) -> VariantBody {
        VariantBody {
            name: self.name.clone(),
            destination: self.destination.as_str().to_owned(),
            weight: self.weight.into(),
        }
    }
}
