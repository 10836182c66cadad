//! A zero-copy view of the fields of an encoded link that lists need. Scans over millions of links
//! use it instead of [`Link`](super::Link).

use super::Kind;
use crate::domain::wire::{Key, Malformed, Wire};

/// Fields of a [`LinkState`](crate::domain::event::LinkState), borrowed from its encoding.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "each field is that of the same name in `Link`")]
#[allow(clippy::struct_excessive_bools, reason = "they are flags of the link")]
pub struct LinkSummaryRef<'a> {
    pub domain: &'a str,
    pub slug: &'a str,
    pub destination: &'a str,
    pub title: &'a str,
    pub created_at_ms: u64,
    pub updated_at_ms: u64,
    pub kind: Kind,
    pub disabled: bool,
    pub archived: bool,
    pub expires_at_ms: Option<u64>,
    pub has_password: bool,
    pub tags: Vec<&'a str>,
    pub folder: &'a str,
    pub campaign: &'a [u8],
    pub notes: &'a str,
}

impl<'a> LinkSummaryRef<'a> {
    /// Parses an encoded link.
    ///
    /// # Errors
    /// [`Malformed`] for an invalid encoding.
    pub fn parse(encoded: &'a [u8]) -> Result<Self, Malformed> {
        let mut summary = Self::default();
        let mut wire = Wire::new(encoded);
        while let Some(key) = wire.key()? {
            match key.tag {
                2 => summary.domain = wire.string(key)?,
                3 => summary.slug = wire.string(key)?,
                4 => summary.destination = wire.string(key)?,
                5 => summary.title = wire.string(key)?,
                12 => summary.created_at_ms = wire.uint64(key)?,
                13 => summary.updated_at_ms = wire.uint64(key)?,
                15 => summary.kind = passed(&mut wire, key, Kind::Wifi)?,
                16 => summary.kind = passed(&mut wire, key, Kind::Vcard)?,
                17 => summary.kind = passed(&mut wire, key, Kind::Text)?,
                18 => summary.gates(wire.bytes(key)?)?,
                20 => summary.labels(wire.bytes(key)?)?,
                _ => wire.skip(key)?,
            }
        }
        Ok(summary)
    }

    /// Parses the fields of [`Gates`](super::Gates).
    fn gates(&mut self, encoded: &'a [u8]) -> Result<(), Malformed> {
        let mut wire = Wire::new(encoded);
        while let Some(key) = wire.key()? {
            match key.tag {
                1 => self.disabled = wire.bool(key)?,
                2 => self.archived = wire.bool(key)?,
                4 => self.expires_at_ms = Some(wire.uint64(key)?),
                7 => self.has_password = passed(&mut wire, key, true)?,
                _ => wire.skip(key)?,
            }
        }
        Ok(())
    }

    /// Parses the fields of [`Labels`](super::Labels).
    fn labels(&mut self, encoded: &'a [u8]) -> Result<(), Malformed> {
        let mut wire = Wire::new(encoded);
        while let Some(key) = wire.key()? {
            match key.tag {
                1 => self.tags.push(wire.string(key)?),
                2 => self.folder = wire.string(key)?,
                3 => self.campaign = wire.bytes(key)?,
                5 => self.notes = wire.string(key)?,
                _ => wire.skip(key)?,
            }
        }
        Ok(())
    }
}

/// Skips the value of a field; only its presence matters.
fn passed<T>(wire: &mut Wire<'_>, key: Key, value: T) -> Result<T, Malformed> {
    wire.skip(key)?;
    Ok(value)
}

#[cfg(test)]
mod tests {
    use prost::Message;
    use uuid::Uuid;

    use super::*;
    use crate::domain::event::LinkState;
    use crate::domain::ids::{CampaignId, LinkId, RuleId, WorkspaceId};
    use crate::domain::link::{
        Field, Link, LinkContext, LinkInput, LinkPolicy, Password, WriteMode,
    };

    fn link(input: LinkInput) -> Link {
        let context = LinkContext {
            policy: &LinkPolicy::default(),
            is_hosted: &|_| false,
            now_ms: 0,
            new_rule_id: || RuleId::new(Uuid::nil()),
        };
        let accepted = input.accept(WriteMode::Create, Ok(String::new()), &context).unwrap();
        Link {
            id: LinkId::new(Uuid::from_u128(1)),
            workspace: WorkspaceId::new(Uuid::from_u128(2)),
            slug: accepted.slug.unwrap(),
            fields: accepted.fields,
            created_at_ms: 10,
            updated_at_ms: 20,
            version: 3,
        }
    }

    fn value<T: Into<String>>(text: T) -> Field<String> {
        Field::Value(text.into())
    }

    #[test]
    fn a_summary_has_the_fields_of_the_link() {
        let campaign = CampaignId::new(Uuid::from_u128(7));
        let link = link(LinkInput {
            slug: value("sale"),
            destination: value("https://example.com/shoes"),
            title: value("Shoes"),
            enabled: Field::Value(false),
            archived: Field::Value(true),
            expires_at: value("2030-01-01T00:00:00Z"),
            password: Field::Value(Password::Hashed("$argon2id$".to_owned())),
            tags: Field::Value(vec!["Spring".into(), "mail".into()]),
            folder: value("clients/acme"),
            campaign: value(campaign.to_string()),
            external_id: value("sku-1"),
            notes: value("one\ntwo"),
            og_title: value("Buy"),
            og_preview: Field::Value(true),
            ..LinkInput::default()
        });
        let encoded = LinkState::from(&link).encode_to_vec();
        let expected = LinkSummaryRef {
            domain: "",
            slug: "sale",
            destination: "https://example.com/shoes",
            title: "Shoes",
            created_at_ms: 10,
            updated_at_ms: 20,
            kind: Kind::Url,
            disabled: true,
            archived: true,
            expires_at_ms: Some(1_893_456_000_000),
            has_password: true,
            tags: vec!["Spring", "mail"],
            folder: "clients/acme",
            campaign: campaign.as_bytes(),
            notes: "one\ntwo",
        };
        assert_eq!(LinkSummaryRef::parse(&encoded), Ok(expected));
        let read = LinkState::decode(encoded.as_slice()).unwrap().into_link(link.workspace);
        assert_eq!(read.unwrap(), link);
        assert!(LinkSummaryRef::parse(&encoded[..encoded.len() - 1]).is_err());
    }

    #[test]
    fn a_summary_has_the_kind() {
        let payload = |json| match json {
            serde_json::Value::Object(fields) => Field::Value(fields),
            _ => Field::Absent,
        };
        for (kind, json) in [
            (Kind::Wifi, serde_json::json!({ "ssid": "guest", "encryption": "nopass" })),
            (Kind::Vcard, serde_json::json!({ "name": "Ada" })),
            (Kind::Text, serde_json::json!({ "text": "hello" })),
        ] {
            let link = link(LinkInput {
                slug: value("a"),
                kind: Field::Value(kind),
                payload: payload(json),
                ..LinkInput::default()
            });
            let encoded = LinkState::from(&link).encode_to_vec();
            assert_eq!(LinkSummaryRef::parse(&encoded).unwrap().kind, kind);
        }
    }
}
