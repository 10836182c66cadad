//! The payload of links that are not redirects: a Wi-Fi network, a business card or a text, shown
//! on a page of the service.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::domain::error::Invalid;
use crate::domain::named_enum;

const MAX_TEXT_CHARS: usize = 5_000;
const MAX_CARD_CHARS: usize = 300;
const MAX_NOTE_CHARS: usize = 1_000;
/// IEEE 802.11: an SSID has at most 32 bytes.
const MAX_SSID_BYTES: usize = 32;

named_enum! {
    /// The kind of content of a link.
    #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
    #[serde(rename_all = "lowercase")]
    pub enum Kind {
        /// A redirect to a URL.
        #[default]
        Url => "url",
        /// A Wi-Fi network.
        Wifi => "wifi",
        /// A business card.
        Vcard => "vcard",
        /// A text.
        Text => "text",
    }
}

/// The content of a link's page. Stored in the log as it is.
#[derive(Clone, PartialEq, Eq, prost::Oneof)]
pub enum Payload {
    /// A Wi-Fi network.
    #[prost(message, tag = "15")]
    Wifi(Wifi),
    /// A business card.
    #[prost(message, tag = "16")]
    Vcard(Vcard),
    /// A text.
    #[prost(string, tag = "17")]
    Text(String),
}

/// The credentials of a Wi-Fi network.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Wifi {
    /// The network name.
    #[prost(string, tag = "1")]
    pub ssid: String,
    /// The encryption.
    #[prost(enumeration = "Encryption", tag = "2")]
    pub encryption: i32,
    /// The password; empty for an open network. Visitors see it: that is the purpose of the link.
    #[prost(string, tag = "3")]
    pub password: String,
    /// Whether the network hides its name.
    #[prost(bool, tag = "4")]
    pub hidden: bool,
}

named_enum! {
    /// The encryption of a Wi-Fi network, with its name in payloads and QR codes.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, prost::Enumeration)]
    #[repr(i32)]
    pub enum Encryption {
        /// WPA, WPA2 or WPA3 with a password.
        Wpa = 0 => "WPA",
        /// WEP.
        Wep = 1 => "WEP",
        /// No encryption.
        Open = 2 => "nopass",
    }
}

impl Encryption {
    fn parse(text: &str) -> Option<Self> {
        let is = |word: &str| text.eq_ignore_ascii_case(word);
        match () {
            () if ["WPA", "WPA2", "WPA3", "SAE"].into_iter().any(is) => Some(Self::Wpa),
            () if is("WEP") => Some(Self::Wep),
            () if is("nopass") || is("none") => Some(Self::Open),
            () => None,
        }
    }
}

/// A business card, with the terms of vCard (RFC 6350).
#[derive(Clone, PartialEq, Eq, prost::Message)]
#[allow(missing_docs, reason = "the names of the payload's fields")]
pub struct Vcard {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, tag = "2")]
    pub organization: String,
    #[prost(string, tag = "3")]
    pub job_title: String,
    #[prost(string, tag = "4")]
    pub phone: String,
    #[prost(string, tag = "5")]
    pub email: String,
    #[prost(string, tag = "6")]
    pub url: String,
    #[prost(string, tag = "7")]
    pub address: String,
    #[prost(string, tag = "8")]
    pub note: String,
}

impl Payload {
    /// The kind of link.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Wifi(_) => Kind::Wifi,
            Self::Vcard(_) => Kind::Vcard,
            Self::Text(_) => Kind::Text,
        }
    }

    /// Validates a payload and reports each invalid field. `None` for invalid payloads and for
    /// `url`, which has no payload.
    pub fn accept(
        kind: Kind,
        mut fields: Map<String, Value>,
        invalid: &mut Invalid,
    ) -> Option<Self> {
        let mut noted = Invalid::default();
        let mut reader = Reader { fields: &mut fields, invalid: &mut noted };
        let payload = match kind {
            Kind::Url => {
                invalid.add("payload", "must be absent from a link of kind url");
                return None;
            }
            Kind::Wifi => Self::Wifi(reader.wifi()),
            Kind::Vcard => Self::Vcard(reader.vcard()),
            Kind::Text => Self::Text(reader.text("text", MAX_TEXT_CHARS, true)),
        };
        for name in fields.keys() {
            noted.add(format!("payload.{name}"), "is not a field of this kind's payload");
        }
        let is_fit = noted.fields().is_empty();
        invalid.merge(noted);
        is_fit.then_some(payload)
    }

    /// The payload in responses, which [`accept`](Self::accept) reads back.
    pub fn to_json(&self) -> Value {
        match self {
            Self::Wifi(wifi) => serde_json::json!({
                "ssid": wifi.ssid,
                "encryption": wifi.encryption().as_str(),
                "password": wifi.password,
                "hidden": wifi.hidden,
            }),
            Self::Vcard(card) => {
                let named = card.fields().into_iter().filter(|(_, text)| !text.is_empty());
                named
                    .map(|(name, text)| (name.to_owned(), Value::from(text)))
                    .collect::<Map<_, _>>()
                    .into()
            }
            Self::Text(text) => serde_json::json!({ "text": text }),
        }
    }
}

impl Payload {
    /// The text of a QR code that encodes the payload itself.
    pub fn qr_text(&self) -> String {
        match self {
            Self::Wifi(wifi) => wifi.qr_text(),
            Self::Vcard(card) => card.to_vcf(),
            Self::Text(text) => text.clone(),
        }
    }
}

impl Wifi {
    /// The text of the network's QR code, in the format of the `ZXing` project that cameras
    /// understand: `WIFI:T:WPA;S:name;P:password;;`.
    pub fn qr_text(&self) -> String {
        let mut text =
            format!("WIFI:T:{};S:{};", self.encryption().as_str(), escaped(&self.ssid, r#"\;,:""#));
        if self.encryption() != Encryption::Open {
            let _never_fails = write!(text, "P:{};", escaped(&self.password, r#"\;,:""#));
        }
        text.push_str(if self.hidden { "H:true;;" } else { ";" });
        text
    }
}

impl Vcard {
    /// The fields with their names in payloads.
    pub fn fields(&self) -> [(&'static str, &str); 8] {
        [
            ("name", &self.name),
            ("organization", &self.organization),
            ("job_title", &self.job_title),
            ("phone", &self.phone),
            ("email", &self.email),
            ("url", &self.url),
            ("address", &self.address),
            ("note", &self.note),
        ]
    }

    /// The card as vCard 3.0 (RFC 2426), which every address book can read.
    pub fn to_vcf(&self) -> String {
        let text = |text: &str| escaped(text, "\\;,").replace('\n', "\\n");
        let mut card = String::from("BEGIN:VCARD\r\nVERSION:3.0\r\n");
        let mut line = |name: &str, value: &str, given: &str| {
            if !given.is_empty() {
                let _never_fails = write!(card, "{name}:{value}\r\n");
            }
        };
        line("FN", &text(&self.name), &self.name);
        // vCard requires a family name; use the last word.
        let (given, family) = self.name.rsplit_once(' ').unwrap_or((&self.name, ""));
        line("N", &format!("{};{};;;", text(family), text(given)), &self.name);
        line("ORG", &text(&self.organization), &self.organization);
        line("TITLE", &text(&self.job_title), &self.job_title);
        line("TEL", &text(&self.phone), &self.phone);
        line("EMAIL", &text(&self.email), &self.email);
        line("URL", &text(&self.url), &self.url);
        line("ADR", &format!(";;{};;;;", text(&self.address)), &self.address);
        line("NOTE", &text(&self.note), &self.note);
        card.push_str("END:VCARD\r\n");
        card
    }
}

/// Escapes the special characters with backslashes.
fn escaped(text: &str, special: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        if special.contains(letter) {
            escaped.push('\\');
        }
        escaped.push(letter);
    }
    escaped
}

/// Removes fields from a payload by name and validates them.
struct Reader<'a> {
    fields: &'a mut Map<String, Value>,
    invalid: &'a mut Invalid,
}

impl Reader<'_> {
    fn refuse(&mut self, name: &str, reason: impl Into<String>) {
        self.invalid.add(format!("payload.{name}"), reason);
    }

    /// A text; empty if it is absent or invalid.
    fn text(&mut self, name: &str, max_chars: usize, is_required: bool) -> String {
        let text = match self.fields.remove(name) {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => text,
            Some(_) => {
                self.refuse(name, "must be a string");
                return String::new();
            }
        };
        let is_odd = |letter: char| letter.is_control() && !matches!(letter, '\n' | '\t');
        let text = text.replace("\r\n", "\n");
        if text.trim().is_empty() {
            if is_required {
                self.refuse(name, "is required");
            }
            return String::new();
        }
        if text.chars().any(is_odd) {
            self.refuse(name, "must not contain control characters");
        } else if text.chars().count() > max_chars {
            self.refuse(name, format!("must not be longer than {max_chars} characters"));
        }
        text
    }

    /// A single line of text.
    fn line(&mut self, name: &str, max_chars: usize, is_required: bool) -> String {
        let line = self.text(name, max_chars, is_required);
        if line.chars().any(char::is_control) {
            self.refuse(name, "must be one line");
        }
        line
    }

    fn wifi(&mut self) -> Wifi {
        let ssid = self.line("ssid", MAX_SSID_BYTES, true);
        if ssid.len() > MAX_SSID_BYTES {
            self.refuse("ssid", format!("must not be longer than {MAX_SSID_BYTES} bytes"));
        }
        let password = self.line("password", 128, false);
        let encryption = match self.line("encryption", 16, false) {
            word if word.is_empty() && password.is_empty() => Some(Encryption::Open),
            word if word.is_empty() => Some(Encryption::Wpa),
            word => Encryption::parse(&word),
        };
        match encryption {
            None => self.refuse("encryption", "must be WPA, WEP or nopass"),
            Some(Encryption::Open) if !password.is_empty() => {
                self.refuse("password", "must be absent from an open network");
            }
            Some(Encryption::Wpa) if !(8..=63).contains(&password.len()) => {
                self.refuse("password", "must be 8 to 63 bytes for WPA");
            }
            Some(Encryption::Wep) if password.is_empty() => {
                self.refuse("password", "is required for WEP");
            }
            Some(_) => {}
        }
        let hidden = match self.fields.remove("hidden") {
            None | Some(Value::Null) => false,
            Some(Value::Bool(hidden)) => hidden,
            Some(_) => {
                self.refuse("hidden", "must be true or false");
                false
            }
        };
        let encryption = encryption.unwrap_or(Encryption::Wpa).into();
        Wifi { ssid, encryption, password, hidden }
    }

    fn vcard(&mut self) -> Vcard {
        let card = Vcard {
            name: self.line("name", MAX_CARD_CHARS, true),
            organization: self.line("organization", MAX_CARD_CHARS, false),
            job_title: self.line("job_title", MAX_CARD_CHARS, false),
            phone: self.line("phone", 40, false),
            email: self.line("email", 254, false),
            url: self.line("url", 2_000, false),
            address: self.text("address", MAX_NOTE_CHARS, false),
            note: self.text("note", MAX_NOTE_CHARS, false),
        };
        // These become links on the page, so they must not be anything that a browser would run.
        let is_web = |url: &url::Url| matches!(url.scheme(), "http" | "https");
        if !card.url.is_empty() && !url::Url::parse(&card.url).is_ok_and(|url| is_web(&url)) {
            self.refuse("url", "must be an http or https URL");
        }
        if !card.email.is_empty() && (!card.email.contains('@') || card.email.contains(' ')) {
            self.refuse("email", "must be an e-mail address");
        }
        let is_dialled = |letter: char| letter.is_ascii_digit() || "+-() ./*#".contains(letter);
        if !card.phone.chars().all(is_dialled) {
            self.refuse("phone", "must be digits, blanks and any of + - ( ) . / * #");
        }
        card
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn accept(kind: Kind, payload: Value) -> Result<Payload, Vec<String>> {
        let Value::Object(fields) = payload else { panic!("no object") };
        let mut invalid = Invalid::default();
        let accepted = Payload::accept(kind, fields, &mut invalid);
        accepted.ok_or_else(|| invalid.fields().keys().cloned().collect())
    }

    #[test]
    fn payloads_round_trip() {
        for (kind, payload) in [
            (
                Kind::Wifi,
                json!({"ssid": "My;Net", "encryption": "WPA", "password": "secret123", "hidden": true}),
            ),
            (
                Kind::Wifi,
                json!({"ssid": "Open", "encryption": "nopass", "password": "", "hidden": false}),
            ),
            (
                Kind::Vcard,
                json!({"name": "Ada Lovelace", "email": "ada@example.com", "note": "a\nb"}),
            ),
            (Kind::Text, json!({"text": "<b>not bold</b>"})),
        ] {
            let accepted = accept(kind, payload.clone()).unwrap();
            assert_eq!(accepted.kind(), kind);
            assert_eq!(accepted.to_json(), payload);
        }
    }

    #[test]
    fn invalid_fields_are_reported() {
        for (kind, payload, fields) in [
            (Kind::Wifi, json!({}), vec!["payload.ssid"]),
            (Kind::Wifi, json!({"ssid": "a", "password": "short"}), vec!["payload.password"]),
            (Kind::Wifi, json!({"ssid": "a", "encryption": "AES"}), vec!["payload.encryption"]),
            (Kind::Wifi, json!({"ssid": "a\nb"}), vec!["payload.ssid"]),
            (Kind::Wifi, json!({"ssid": "ü".repeat(17)}), vec!["payload.ssid"]),
            (Kind::Wifi, json!({"ssid": "a", "odd": 1}), vec!["payload.odd"]),
            (
                Kind::Vcard,
                json!({"email": "x", "url": "javascript:alert(1)", "phone": "call"}),
                vec!["payload.email", "payload.name", "payload.phone", "payload.url"],
            ),
            (Kind::Text, json!({"text": 1}), vec!["payload.text"]),
            (Kind::Text, json!({"text": "a\u{0}b"}), vec!["payload.text"]),
            (Kind::Url, json!({}), vec!["payload"]),
        ] {
            assert_eq!(
                accept(kind, payload.clone()),
                Err(fields.into_iter().map(str::to_owned).collect()),
                "{payload}"
            );
        }
    }

    #[test]
    fn a_network_has_a_qr_text() {
        let network = |payload| match accept(Kind::Wifi, payload).unwrap() {
            Payload::Wifi(wifi) => wifi.qr_text(),
            other => panic!("{other:?}"),
        };
        assert_eq!(
            network(json!({"ssid": "a;b:c", "password": r"back\slash,"})),
            r"WIFI:T:WPA;S:a\;b\:c;P:back\\slash\,;;"
        );
        assert_eq!(
            network(json!({"ssid": "open", "hidden": true})),
            "WIFI:T:nopass;S:open;H:true;;"
        );
    }

    #[test]
    fn values_of_a_card_cannot_inject_lines() {
        let card =
            accept(Kind::Vcard, json!({"name": "Ada; King", "note": "one\nTEL:666"})).unwrap();
        let Payload::Vcard(card) = card else { panic!("{card:?}") };
        let vcf = card.to_vcf();
        assert!(
            vcf.contains("FN:Ada\\; King\r\n") && vcf.contains("NOTE:one\\nTEL:666\r\n"),
            "{vcf}"
        );
        assert!(vcf.lines().all(|line| !line.starts_with("TEL")), "{vcf}");
    }
}
