//! Encodes the visit's fields of a click without building the message.
//!
//! The result is byte-identical to encoding a [`Click`](crate::domain::click::Click) with only these
//! fields, at a tenth of the allocations.

use prost::encoding::{WireType, encode_key, encode_varint};

use super::geo::Location;
use super::language::Language;
use super::query_params::QueryParams;
use super::referrer::Referrer;
use crate::domain::click::BotReason;
use crate::domain::ids::QrCodeId;

/// Field numbers of [`Click`](crate::domain::click::Click).
mod tag {
    pub(super) const AT_MS: u32 = 1;
    pub(super) const BOT: u32 = 11;
    pub(super) const VISITOR: u32 = 12;
    pub(super) const COUNTRY: u32 = 13;
    pub(super) const REGION: u32 = 14;
    pub(super) const CITY: u32 = 15;
    pub(super) const REFERRER: u32 = 16;
    pub(super) const REFERRER_URL: u32 = 17;
    pub(super) const LANGUAGE: u32 = 18;
    pub(super) const HEAD: u32 = 19;
    pub(super) const PREFETCH: u32 = 20;
    pub(super) const UTM: u32 = crate::domain::click::UTM_FIRST_TAG;
    pub(super) const QR: u32 = 28;
    pub(super) const QR_CODE: u32 = 34;
}

/// The fields of a click that come from the visit, not from its link or agent.
pub(super) struct VisitFields<'a> {
    pub(super) at_ms: u64,
    pub(super) bot: BotReason,
    pub(super) visitor: u64,
    pub(super) location: Location<'a>,
    pub(super) referrer: &'a Referrer<'a>,
    pub(super) language: Language,
    pub(super) head: bool,
    pub(super) prefetch: bool,
    pub(super) query_params: QueryParams<'a>,
    /// The scanned code.
    pub(super) qr_code: Option<QrCodeId>,
}

impl VisitFields<'_> {
    /// Appends the fields in the order of their numbers, omitting default values (proto3).
    pub(super) fn encode(&self, buffer: &mut Vec<u8>) {
        let Location { country, region, city } = self.location;
        let Referrer { host, url } = self.referrer;
        put_varint(tag::AT_MS, self.at_ms, buffer);
        // Reasons are not negative, so no sign extension is needed.
        put_varint(tag::BOT, self.bot as u64, buffer);
        put_fixed64(tag::VISITOR, self.visitor, buffer);
        put_text(tag::COUNTRY, country, buffer);
        put_text(tag::REGION, region, buffer);
        put_text(tag::CITY, city, buffer);
        put_text(tag::REFERRER, host, buffer);
        put_text(tag::REFERRER_URL, url, buffer);
        put_text(tag::LANGUAGE, self.language.as_str(), buffer);
        put_varint(tag::HEAD, self.head.into(), buffer);
        put_varint(tag::PREFETCH, self.prefetch.into(), buffer);
        for (tag, value) in (tag::UTM..).zip(&self.query_params.utm) {
            put_text(tag, value, buffer);
        }
        put_varint(tag::QR, self.query_params.marker.is_some().into(), buffer);
        if let Some(code) = &self.qr_code {
            put_bytes(tag::QR_CODE, code.as_bytes(), buffer);
        }
    }
}

fn put_varint(tag: u32, value: u64, buffer: &mut Vec<u8>) {
    if value != 0 {
        encode_key(tag, WireType::Varint, buffer);
        encode_varint(value, buffer);
    }
}

fn put_fixed64(tag: u32, value: u64, buffer: &mut Vec<u8>) {
    if value != 0 {
        encode_key(tag, WireType::SixtyFourBit, buffer);
        buffer.extend_from_slice(&value.to_le_bytes());
    }
}

fn put_text(tag: u32, text: &str, buffer: &mut Vec<u8>) {
    if !text.is_empty() {
        put_bytes(tag, text.as_bytes(), buffer);
    }
}

fn put_bytes(tag: u32, bytes: &[u8], buffer: &mut Vec<u8>) {
    encode_key(tag, WireType::LengthDelimited, buffer);
    encode_varint(bytes.len() as u64, buffer);
    buffer.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;
    use crate::domain::click::Click;

    fn assert_encoded_as_the_message(part: &VisitFields<'_>) {
        let click = Click {
            at_ms: part.at_ms,
            bot: part.bot.into(),
            visitor: part.visitor,
            country: part.location.country.to_owned(),
            region: part.location.region.to_owned(),
            city: part.location.city.to_owned(),
            referrer: part.referrer.host.to_string(),
            referrer_url: part.referrer.url.to_string(),
            language: part.language.as_str().to_owned(),
            head: part.head,
            prefetch: part.prefetch,
            utm_source: part.query_params.utm[0].to_string(),
            utm_term: part.query_params.utm[4].to_string(),
            qr: part.query_params.marker.is_some(),
            qr_code: part.qr_code.map_or_else(Vec::new, |code| code.as_bytes().to_vec()),
            ..Click::default()
        };
        let mut encoded = Vec::new();
        part.encode(&mut encoded);
        assert_eq!(encoded, click.encode_to_vec());
    }

    #[test]
    fn the_encoding_equals_that_of_the_message() {
        let referrer = Referrer::of(Some(b"https://t.co/some/path"));
        let full = |at_ms, visitor, city| VisitFields {
            at_ms,
            bot: BotReason::Head,
            visitor,
            location: Location { country: "AT", region: "Wien", city },
            referrer: &referrer,
            language: Language::of(Some(b"de-AT")),
            head: true,
            prefetch: true,
            query_params: QueryParams::of(Some("utm_source=mail&utm_term=a+b&qr=1"), [false; 5]),
            qr_code: Some(QrCodeId::new(uuid::Uuid::from_u128(7))),
        };
        let long = "x".repeat(300);
        for part in
            [full(1, 1, "Wien"), full(u64::MAX, u64::MAX, &long), full(1_781_725_900_000, 0, "")]
        {
            assert_encoded_as_the_message(&part);
        }
        assert_encoded_as_the_message(&VisitFields {
            at_ms: 0,
            bot: BotReason::Human,
            visitor: 0,
            location: Location::default(),
            referrer: &Referrer::default(),
            language: Language::default(),
            head: false,
            prefetch: false,
            query_params: QueryParams::default(),
            qr_code: None,
        });
    }
}
