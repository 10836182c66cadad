//! Prefixed identifiers: `link_01jd…`, a UUIDv7 in Crockford's base 32.
//!
//! The 26 characters sort by creation time and contain no letters that are easily confused. The
//! layout is that of TypeID 0.3.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const ENCODED_LEN: usize = 26;

/// A text that is not an identifier of the expected type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an identifier of the form {prefix}…")]
pub struct InvalidId {
    prefix: &'static str,
}

fn encode(uuid: Uuid) -> [u8; ENCODED_LEN] {
    let mut value = uuid.as_u128();
    let mut text = [b'0'; ENCODED_LEN];
    for place in text.iter_mut().rev() {
        *place = ALPHABET[(value & 31) as usize];
        value >>= 5;
    }
    text
}

fn decode(text: &str) -> Option<Uuid> {
    let bytes = text.as_bytes();
    // 26 × 5 bits are 130: the first character can only have the low three bits set.
    if bytes.len() != ENCODED_LEN || bytes[0] > b'7' {
        return None;
    }
    bytes
        .iter()
        .try_fold(0_u128, |value, byte| {
            let digit = ALPHABET.iter().position(|letter| letter == byte)?;
            Some((value << 5) | digit as u128)
        })
        .map(Uuid::from_u128)
}

/// The 16 bytes of an identifier of any type.
pub fn any_id(text: &str) -> Option<[u8; 16]> {
    let (prefix, encoded) = text.rsplit_once('_')?;
    let is_prefix = !prefix.is_empty() && prefix.bytes().all(|byte| byte.is_ascii_lowercase());
    decode(encoded).filter(|_| is_prefix).map(Uuid::into_bytes)
}

macro_rules! identifiers {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            /// The prefix of identifiers of this type.
            pub const PREFIX: &'static str = $prefix;

            /// An identifier from a UUID.
            pub const fn new(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// The UUID, as stored in ClickHouse.
            pub const fn uuid(self) -> Uuid {
                self.0
            }

            /// The 16 bytes, as stored in events and index keys.
            pub const fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }

            /// Parses the 16 bytes of an event or an index value.
            pub fn from_bytes(bytes: &[u8]) -> Result<Self, InvalidId> {
                Uuid::from_slice(bytes)
                    .map(Self)
                    .map_err(|_| InvalidId { prefix: $prefix })
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str($prefix)?;
                encode(self.0).iter().try_for_each(|byte| {
                    fmt::Write::write_char(f, char::from(*byte))
                })
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                text.strip_prefix($prefix)
                    .and_then(decode)
                    .map(Self)
                    .ok_or(InvalidId { prefix: $prefix })
            }
        }
    )*};
}

identifiers! {
    /// A link, independent of its slug.
    LinkId = "link_";
    /// A workspace.
    WorkspaceId = "ws_";
    /// A person.
    UserId = "user_";
    /// An invitation to a workspace.
    InvitationId = "inv_";
    /// An API token; never the secret itself.
    TokenId = "tok_";
    /// A campaign.
    CampaignId = "camp_";
    /// A UTM template.
    UtmTemplateId = "utm_";
    /// A domain of a workspace.
    DomainId = "dom_";
    /// An export of clicks.
    ExportId = "exp_";
    /// An import of links.
    ImportId = "imp_";
    /// A rule of a link; it stays the same when the rule is changed or moved.
    RuleId = "rule_";
    /// A session of a signed-in user.
    SessionId = "sess_";
    /// A grant of credits.
    GrantId = "grant_";
    /// A request for credits by auto-recharge.
    RechargeId = "recharge_";
    /// A QR code.
    QrCodeId = "qr_";
    /// An export of QR codes.
    QrExportId = "qrexp_";
    /// A logo for QR codes.
    LogoId = "logo_";
    /// A visitor's report of a link.
    ReportId = "rep_";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_round_trip() {
        for value in [0, 1, 31, 32, u128::MAX, 0x0193_4c5e_7f2a_7000_8000_0000_0000_0001] {
            let id = LinkId::new(Uuid::from_u128(value));
            assert_eq!(id.to_string().parse::<LinkId>(), Ok(id));
        }
    }

    #[test]
    fn invalid_identifiers_are_rejected() {
        let id = LinkId::new(Uuid::from_u128(7)).to_string();
        for bad in ["", "link_", "ws_00000000000000000000000007", &id[..30], &id.to_uppercase()] {
            assert!(bad.parse::<LinkId>().is_err(), "{bad}");
        }
        assert!("link_80000000000000000000000000".parse::<LinkId>().is_err(), "over 128 bits");
    }

    #[test]
    fn identifiers_sort_by_time() {
        let early = LinkId::new(Uuid::from_u128(1 << 80)).to_string();
        let late = LinkId::new(Uuid::from_u128(1 << 81)).to_string();
        assert!(early < late);
    }
}
