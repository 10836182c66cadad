//! Labels: tags, folder, campaign, external id and notes. Visitors never see them.

use std::collections::HashSet;

use super::{Field, LinkInput};
use crate::domain::error::Invalid;
use crate::domain::ids::CampaignId;

const MAX_TAGS: usize = 50;
const MAX_TAG_CHARS: usize = 50;
const MAX_FOLDER_CHARS: usize = 200;
const MAX_EXTERNAL_ID_CHARS: usize = 255;
/// The maximum length of notes, in characters.
pub const MAX_NOTES_CHARS: usize = 2_000;

/// How the owner organizes the link. Stored in the log as it is.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Labels {
    /// In the owner's order and spelling; unique regardless of case.
    #[prost(string, repeated, tag = "1")]
    pub tags: Vec<String>,
    /// A path such as `clients/acme`; case-sensitive.
    #[prost(string, optional, tag = "2")]
    pub folder: Option<String>,
    /// The 16 bytes of the campaign's id.
    #[prost(bytes = "vec", optional, tag = "3")]
    campaign_id: Option<Vec<u8>>,
    /// The link's id in another system; unique in the workspace.
    #[prost(string, optional, tag = "4")]
    pub external_id: Option<String>,
    /// Notes for the owner; may have several lines.
    #[prost(string, optional, tag = "5")]
    pub notes: Option<String>,
}

/// The form in which tags are compared.
pub fn folded(tag: &str) -> String {
    tag.to_lowercase()
}

impl Labels {
    /// The link's campaign.
    pub fn campaign(&self) -> Option<CampaignId> {
        self.campaign_id.as_deref().and_then(|bytes| CampaignId::from_bytes(bytes).ok())
    }

    /// The same labels without the campaign.
    #[must_use]
    pub fn without_campaign(self) -> Self {
        Self { campaign_id: None, ..self }
    }

    /// Validates the input; absent fields keep their values. The command handler checks that the
    /// campaign exists and that the external id is free.
    pub(super) fn accept(
        input: &mut LinkInput,
        before: Option<&Self>,
        invalid: &mut Invalid,
    ) -> Self {
        let none = Self::default();
        let old = before.unwrap_or(&none);
        let tags = std::mem::take(&mut input.tags).try_map(|tags| checked_tags(tags, invalid));
        let folder = std::mem::take(&mut input.folder)
            .try_map(|text| invalid.check("folder", checked_folder(&text)));
        let campaign = std::mem::take(&mut input.campaign).try_map(|text| {
            let id = text.parse::<CampaignId>().map_err(|error| format!("is {error}"));
            invalid.check("campaign", id.map(|id| id.as_bytes().to_vec()))
        });
        let external_id = std::mem::take(&mut input.external_id)
            .try_map(|text| invalid.check("external_id", checked_external_id(text)));
        let notes = std::mem::take(&mut input.notes)
            .try_map(|text| invalid.check("notes", checked_notes(&text)));
        Self {
            tags: tags.apply_to(Some(old.tags.clone())).unwrap_or_default(),
            folder: folder.apply_to(old.folder.clone()),
            campaign_id: campaign.apply_to(old.campaign_id.clone()),
            external_id: external_id.apply_to(old.external_id.clone()),
            // Blank notes are removed.
            notes: notes.apply_to(old.notes.clone()).filter(|notes| !notes.is_empty()),
        }
    }
}

fn checked_tags(tags: Vec<String>, invalid: &mut Invalid) -> Option<Vec<String>> {
    if tags.len() > MAX_TAGS {
        invalid.add("tags", format!("must not be more than {MAX_TAGS}"));
        return None;
    }
    let mut seen = HashSet::new();
    let mut good = Vec::with_capacity(tags.len());
    for (place, tag) in tags.into_iter().enumerate() {
        let checked = checked_tag(&tag).and_then(|tag| {
            if seen.insert(folded(&tag)) { Ok(tag) } else { Err("is a duplicate".to_owned()) }
        });
        good.extend(invalid.check(&format!("tags[{place}]"), checked));
    }
    Some(good)
}

fn checked_tag(tag: &str) -> Result<String, String> {
    let tag = tag.trim();
    if !(1..=MAX_TAG_CHARS).contains(&tag.chars().count()) {
        return Err(format!("must be 1 to {MAX_TAG_CHARS} characters"));
    }
    if tag.chars().any(char::is_control) {
        return Err("must not contain control characters".to_owned());
    }
    // Lists are filtered by comma-separated tags.
    if tag.contains(',') {
        return Err("must not contain a comma".to_owned());
    }
    Ok(tag.to_owned())
}

/// Validates a folder's path and trims its parts.
///
/// # Errors
/// A message that names the violated rule.
pub fn checked_folder(text: &str) -> Result<String, String> {
    if text.chars().count() > MAX_FOLDER_CHARS {
        return Err(format!("must not be longer than {MAX_FOLDER_CHARS} characters"));
    }
    if text.chars().any(char::is_control) {
        return Err("must not contain control characters".to_owned());
    }
    let parts: Vec<_> = text.split('/').map(str::trim).collect();
    if parts.iter().any(|part| part.is_empty()) {
        return Err("must be a path such as clients/acme, none of its parts empty".to_owned());
    }
    Ok(parts.join("/"))
}

/// Validates an external id.
///
/// # Errors
/// A message that names the violated rule.
pub fn checked_external_id(text: String) -> Result<String, String> {
    let is_short = (1..=MAX_EXTERNAL_ID_CHARS).contains(&text.chars().count());
    if is_short && !text.chars().any(|letter| letter.is_control() || letter.is_whitespace()) {
        return Ok(text);
    }
    Err(format!("must be 1 to {MAX_EXTERNAL_ID_CHARS} visible characters"))
}

fn checked_notes(text: &str) -> Result<String, String> {
    let text = text.replace("\r\n", "\n");
    if text.chars().any(|letter| letter.is_control() && !matches!(letter, '\n' | '\t')) {
        return Err("must not contain control characters except line breaks and tabs".to_owned());
    }
    if text.chars().count() > MAX_NOTES_CHARS {
        return Err(format!("must not be longer than {MAX_NOTES_CHARS} characters"));
    }
    Ok(text.trim().to_owned())
}

impl LinkInput {
    /// The campaign in the input, if it is a valid id.
    pub fn campaign(&self) -> Option<CampaignId> {
        match &self.campaign {
            Field::Value(text) => text.parse().ok(),
            Field::Absent | Field::Null => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accept(input: LinkInput, before: Option<&Labels>) -> Result<Labels, Vec<String>> {
        let (mut input, mut invalid) = (input, Invalid::default());
        let labels = Labels::accept(&mut input, before, &mut invalid);
        let wrong: Vec<_> = invalid.fields().keys().cloned().collect();
        if wrong.is_empty() { Ok(labels) } else { Err(wrong) }
    }

    fn tags(tags: &[&str]) -> LinkInput {
        let tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
        LinkInput { tags: Field::Value(tags), ..LinkInput::default() }
    }

    fn value(text: &str) -> Field<String> {
        Field::Value(text.to_owned())
    }

    #[test]
    fn tags_are_trimmed_and_compared_regardless_of_case() {
        let long = "ä".repeat(50);
        for good in [&["a", "b"][..], &[" a ", "ä"], &[&long], &["a/b", "x y", "#1"], &[]] {
            let trimmed: Vec<_> = good.iter().map(|tag| tag.trim().to_owned()).collect();
            assert_eq!(accept(tags(good), None).unwrap().tags, trimmed);
        }
        for (bad, place) in [
            (&["a", "A"][..], 1),
            (&["Größe", "x", "GRÖSSE", "GRÖẞE", "GRÖßE"], 4),
            (&[""], 0),
            (&["a", "  "], 1),
            (&["a,b"], 0),
            (&["a", "b\u{7f}"], 1),
            (&[&format!("{long}x")], 0),
        ] {
            let wrong = accept(tags(bad), None).unwrap_err();
            assert!(wrong.contains(&format!("tags[{place}]")), "{bad:?}: {wrong:?}");
        }
        let many: Vec<_> = (0..51).map(|number| number.to_string()).collect();
        let many: Vec<_> = many.iter().map(String::as_str).collect();
        assert_eq!(accept(tags(&many[..50]), None).unwrap().tags.len(), 50);
        assert_eq!(accept(tags(&many), None).unwrap_err(), ["tags"]);
    }

    #[test]
    fn a_folder_is_a_path_of_parts() {
        for (asked, kept) in [("a", "a"), (" a / b c ", "a/b c"), ("Ä/ä", "Ä/ä")] {
            assert_eq!(checked_folder(asked).unwrap(), kept);
        }
        for bad in ["", " ", "/", "a/", "/a", "a//b", "a/ /b", "a\tb", &"x".repeat(201)] {
            assert!(checked_folder(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_external_id_has_only_visible_characters() {
        for good in ["1", "sku/1?x=2#3", "größe", &"x".repeat(255)] {
            assert_eq!(checked_external_id(good.to_owned()).unwrap(), good);
        }
        for bad in ["", " ", "a b", "a\n", "a\u{a0}b", &"x".repeat(256)] {
            assert!(checked_external_id(bad.to_owned()).is_err(), "{bad}");
        }
    }

    #[test]
    fn notes_may_have_several_lines() {
        let notes = |text: &str| LinkInput { notes: value(text), ..LinkInput::default() };
        for (asked, kept) in [
            ("a\r\nb\tc", Some("a\nb\tc")),
            ("  a \n", Some("a")),
            (" \n ", None),
            (&"n".repeat(2_000), Some(&*"n".repeat(2_000))),
        ] {
            assert_eq!(accept(notes(asked), None).unwrap().notes.as_deref(), kept);
        }
        for bad in ["a\0", "a\rb", "a\u{1b}[1m", &"n".repeat(2_001)] {
            assert_eq!(accept(notes(bad), None).unwrap_err(), ["notes"], "{bad}");
        }
    }

    #[test]
    fn absent_fields_are_kept_and_null_fields_are_cleared() {
        let id = "camp_00000000000000000000000007";
        let input = LinkInput {
            folder: value("f"),
            campaign: value(id),
            external_id: value("e"),
            notes: value("n"),
            ..tags(&["a"])
        };
        let labels = accept(input, None).unwrap();
        assert_eq!(labels.campaign().unwrap().to_string(), id);
        assert_eq!(accept(LinkInput::default(), Some(&labels)).unwrap(), labels);
        let input = LinkInput {
            tags: Field::Null,
            folder: Field::Null,
            campaign: Field::Null,
            external_id: Field::Null,
            notes: Field::Null,
            ..LinkInput::default()
        };
        assert_eq!(accept(input, Some(&labels)).unwrap(), Labels::default());
        let input = LinkInput { campaign: value("spring"), ..LinkInput::default() };
        assert_eq!(accept(input, Some(&labels)).unwrap_err(), ["campaign"]);
    }
}
