//! Signed requests (JWS, RFC 7515) of ACME.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// The public half of an account's key.
#[derive(Clone, PartialEq, Eq)]
pub struct Jwk {
    x: String,
    y: String,
}

impl Jwk {
    pub fn of(value: &Value) -> Option<Self> {
        let is_known = value["kty"] == "EC" && value["crv"] == "P-256";
        let text = |name: &str| value[name].as_str().map(str::to_owned);
        is_known.then_some(Self { x: text("x")?, y: text("y")? })
    }

    /// RFC 7638.
    pub fn thumbprint(&self) -> String {
        let Self { x, y } = self;
        let text = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
        URL_SAFE_NO_PAD.encode(Sha256::digest(text))
    }

    fn verifies(&self, message: &str, signature: &[u8]) -> Option<()> {
        let mut point = vec![4];
        point.extend(decode(&self.x)?);
        point.extend(decode(&self.y)?);
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point);
        key.verify(message.as_bytes(), signature).ok()
    }
}

/// A request that is not verified yet.
pub struct Jws {
    pub header: Value,
    /// Null for a POST-as-GET request.
    pub payload: Value,
    signed: String,
    signature: Vec<u8>,
}

impl Jws {
    pub fn parse(body: &[u8]) -> Option<Self> {
        let body: Value = serde_json::from_slice(body).ok()?;
        let (header, payload) = (body["protected"].as_str()?, body["payload"].as_str()?);
        let asks = payload.is_empty();
        Some(Self {
            header: serde_json::from_slice(&decode(header)?).ok()?,
            payload: if asks {
                Value::Null
            } else {
                serde_json::from_slice(&decode(payload)?).ok()?
            },
            signed: format!("{header}.{payload}"),
            signature: decode(body["signature"].as_str()?)?,
        })
    }

    pub fn is_signed_by(&self, key: &Jwk) -> bool {
        self.header["alg"] == "ES256" && key.verifies(&self.signed, &self.signature).is_some()
    }
}

pub fn decode(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}
