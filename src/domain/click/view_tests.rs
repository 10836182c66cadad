//! Compares the view with prost: both accept and reject the same bytes and find the same fields.
use proptest::collection::vec;
use proptest::prelude::*;
use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint};

use super::ClickView;
use crate::domain::click::{AgentSeen, Click};
use crate::domain::wire::uint64_of;

/// Decodes only the time, with prost.
#[derive(Clone, PartialEq, prost::Message)]
struct Time {
    #[prost(uint64, tag = "1")]
    at_ms: u64,
}

fn owned(view: &ClickView<'_>) -> Click {
    Click {
        at_ms: view.at_ms,
        workspace: view.workspace.to_vec(),
        link: view.link.to_vec(),
        link_version: view.link_version,
        agent: view.agent,
        browser: view.browser.to_owned(),
        browser_version: view.browser_version.to_owned(),
        os: view.os.to_owned(),
        os_version: view.os_version.to_owned(),
        device: view.device,
        bot: view.bot,
        visitor: view.visitor,
        country: view.country.to_owned(),
        region: view.region.to_owned(),
        city: view.city.to_owned(),
        referrer: view.referrer.to_owned(),
        referrer_url: view.referrer_url.to_owned(),
        language: view.language.to_owned(),
        head: view.head,
        prefetch: view.prefetch,
        domain: view.domain.to_owned(),
        destination: view.destination.to_owned(),
        utm_source: view.utm_source.to_owned(),
        utm_medium: view.utm_medium.to_owned(),
        utm_campaign: view.utm_campaign.to_owned(),
        utm_content: view.utm_content.to_owned(),
        utm_term: view.utm_term.to_owned(),
        qr: view.qr,
        rule: view.rule.to_owned(),
        variant: view.variant.to_owned(),
        limited_since: view.limited_since,
        limited_nth: view.limited_nth,
        block: view.block,
        qr_code: view.qr_code.to_vec(),
        tags: view.tags.to_owned(),
        folder: view.folder.to_owned(),
        campaign: view.campaign.to_owned(),
    }
}

/// The click that prost decodes, after checking that the view gives the same result.
fn same_as_prost(encoded: &[u8]) -> Result<Option<Click>, TestCaseError> {
    let theirs = Click::decode(encoded).ok();
    let view = ClickView::parse(encoded).ok();
    prop_assert_eq!(&view.as_ref().map(owned), &theirs);
    if let (Some(view), Some(click)) = (view, &theirs) {
        prop_assert_eq!((view.device(), view.bot()), (click.device(), click.bot()));
    }
    let time = Time::decode(encoded).ok().map(|time| time.at_ms);
    prop_assert_eq!(uint64_of(encoded, 1).ok(), time);
    Ok(theirs)
}

fn click() -> impl Strategy<Value = Click> {
    let bytes = || vec(any::<u8>(), 0..20);
    let text = || "\\PC{0,12}";
    let link = (bytes(), bytes(), any::<u32>(), text());
    let agent = (any::<u64>(), text(), text(), text(), text());
    let numbers = (any::<u64>(), any::<u64>(), any::<i32>(), -1..7, any::<bool>(), any::<bool>());
    let place = (text(), text(), text());
    let source = (text(), "\\PC{0,300}", text());
    let asked = (text(), [text(), text(), text(), text(), text()], any::<bool>());
    let chosen = (text(), text(), any::<u32>(), any::<u64>(), 0..12_i32, bytes());
    let labels = (text(), text(), text());
    let parts = (link, agent, numbers, place, source, asked, chosen, labels);
    parts.prop_map(|(link, agent, numbers, place, source, asked, chosen, labels)| {
        let (workspace, link, link_version, domain) = link;
        let (agent, browser, browser_version, os, os_version) = agent;
        let (at_ms, visitor, device, bot, head, prefetch) = numbers;
        let (country, region, city) = place;
        let (referrer, referrer_url, language) = source;
        let (destination, utm, qr) = asked;
        let (rule, variant, limited_since, limited_nth, block, qr_code) = chosen;
        let (tags, folder, campaign) = labels;
        let [utm_source, utm_medium, utm_campaign, utm_content, utm_term] = utm;
        Click {
            at_ms,
            workspace,
            link,
            link_version,
            agent,
            browser,
            browser_version,
            os,
            os_version,
            device,
            bot,
            visitor,
            country,
            region,
            city,
            referrer,
            referrer_url,
            language,
            head,
            prefetch,
            domain,
            destination,
            utm_source,
            utm_medium,
            utm_campaign,
            utm_content,
            utm_term,
            qr,
            rule,
            variant,
            limited_since,
            limited_nth,
            block,
            qr_code,
            tags,
            folder,
            campaign,
        }
    })
}

/// A field with a known or unknown number and any wire type, often the wrong one.
fn field() -> impl Strategy<Value = Vec<u8>> {
    field_of(prop_oneof![4 => 1_u32..40, 1 => 1_u32..(1 << 29)].boxed())
}

/// A field with an unknown number, as are the fields nested in it.
fn unknown() -> impl Strategy<Value = Vec<u8>> {
    field_of((38_u32..(1 << 29)).boxed())
}

fn field_of(tag: BoxedStrategy<u32>) -> impl Strategy<Value = Vec<u8>> {
    let leaf = (tag.clone(), any::<u64>(), vec(any::<u8>(), 0..8), 0..4).prop_map(
        |(tag, number, bytes, form)| {
            let mut field = Vec::new();
            match form {
                0 => {
                    encode_key(tag, WireType::Varint, &mut field);
                    encode_varint(number, &mut field);
                }
                1 => {
                    encode_key(tag, WireType::SixtyFourBit, &mut field);
                    field.extend_from_slice(&number.to_le_bytes());
                }
                2 => {
                    encode_key(tag, WireType::ThirtyTwoBit, &mut field);
                    field.extend_from_slice(&number.to_le_bytes()[..4]);
                }
                _ => {
                    encode_key(tag, WireType::LengthDelimited, &mut field);
                    encode_varint(bytes.len() as u64, &mut field);
                    field.extend_from_slice(&bytes);
                }
            }
            field
        },
    );
    leaf.prop_recursive(3, 12, 3, move |inner| {
        (tag.clone(), vec(inner, 0..3)).prop_map(|(tag, inner)| group(tag, &inner.concat()))
    })
}

fn group(tag: u32, inner: &[u8]) -> Vec<u8> {
    let mut field = Vec::new();
    encode_key(tag, WireType::StartGroup, &mut field);
    field.extend_from_slice(inner);
    encode_key(tag, WireType::EndGroup, &mut field);
    field
}

proptest! {
    #[test]
    fn a_click_round_trips(click in click()) {
        prop_assert_eq!(same_as_prost(&click.encode_to_vec())?, Some(click));
    }

    #[test]
    fn concatenated_parts_are_one_click(parts in vec(click(), 0..4)) {
        let encoded: Vec<u8> = parts.iter().flat_map(Message::encode_to_vec).collect();
        prop_assert!(same_as_prost(&encoded)?.is_some());
    }

    #[test]
    fn unknown_fields_are_skipped(
        click in click(),
        before in vec(unknown(), 0..3),
        after in vec(unknown(), 0..3),
    ) {
        let encoded = [before.concat(), click.encode_to_vec(), after.concat()].concat();
        prop_assert_eq!(same_as_prost(&encoded)?, Some(click));
    }

    #[test]
    fn fields_of_any_wire_type_are_decoded_as_by_prost(fields in vec(field(), 0..6)) {
        same_as_prost(&fields.concat())?;
    }

    #[test]
    fn any_bytes_are_decoded_as_by_prost(bytes in vec(any::<u8>(), 0..64)) {
        same_as_prost(&bytes)?;
    }

    /// A click with one byte changed, also truncated.
    #[test]
    fn damaged_clicks_are_decoded_as_by_prost(
        click in click(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        end in any::<prop::sample::Index>(),
    ) {
        let mut encoded = click.encode_to_vec();
        prop_assume!(!encoded.is_empty());
        let at = at.index(encoded.len());
        encoded[at] = byte;
        same_as_prost(&encoded)?;
        same_as_prost(&encoded[..end.index(encoded.len() + 1)])?;
    }

    #[test]
    fn a_number_is_found_in_any_message(at_ms: u64, agent in "\\PC{0,9}", id: u64) {
        let seen = AgentSeen { at_ms, id, user_agent: agent, ..AgentSeen::default() };
        prop_assert_eq!(uint64_of(&seen.encode_to_vec(), 10), Ok(at_ms));
    }
}

#[test]
fn varints_of_every_length_are_decoded_as_by_prost() {
    for bytes in 1..=12 {
        for last in [0_u8, 1, 2, 0x7f, 0x80, 0xff] {
            for fill in [0x80_u8, 0xff] {
                let mut encoded = vec![8];
                encoded.resize(bytes, fill);
                encoded.push(last);
                same_as_prost(&encoded).unwrap();
                encoded.extend_from_slice(&[0x98, 1, 1]);
                same_as_prost(&encoded).unwrap();
            }
        }
    }
}

#[test]
fn groups_nest_as_deep_as_in_prost() {
    let nested =
        |depth, innermost: &[u8]| (0..depth).fold(innermost.to_vec(), |inner, _| group(60, &inner));
    let mut taken = 0;
    for depth in 95..=105 {
        for innermost in [&[][..], &[0xe0, 3, 7]] {
            taken += usize::from(same_as_prost(&nested(depth, innermost)).unwrap().is_some());
        }
    }
    assert!((1..22).contains(&taken), "the limit lies between: {taken}");
}
