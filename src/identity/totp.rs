//! Time-based one-time passwords (RFC 6238): SHA-1, six digits, 30 seconds, as every authenticator
//! app supports.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use qrcode::QrCode;
use qrcode::render::svg;
use totp_rs::{Builder, Secret, Totp};

const SECRET_LEN: usize = 20;
const STEP_SECONDS: u64 = 30;
/// How many steps a clock may be off, either way.
const TOLERANCE: u64 = 1;
/// The size of a QR code, in pixels; it scales.
const QR_PIXELS: u32 = 240;

/// The secret that an authenticator app shares with the service.
#[derive(Clone)]
pub struct TotpSecret([u8; SECRET_LEN]);

impl TotpSecret {
    /// A random secret.
    pub fn generate() -> Self {
        Self(rand::random())
    }

    /// Parses the output of [`Self::base32`].
    pub fn from_base32(text: &str) -> Option<Self> {
        let secret = Secret::try_from_base32(text).ok()?;
        secret.as_bytes().try_into().ok().map(Self)
    }

    /// The secret in base32, for entering it by hand.
    pub fn base32(&self) -> String {
        Secret::from(self.0).to_base32()
    }

    /// The `otpauth:` URI, by which an app adds the account. A colon separates the names, so those
    /// in them are replaced.
    pub fn uri(&self, issuer: &str, account: &str) -> String {
        let encode =
            |text: &str| utf8_percent_encode(&text.replace(':', "-"), NON_ALPHANUMERIC).to_string();
        let (issuer, account) = (encode(issuer), encode(account));
        let secret = self.base32();
        format!(
            "otpauth://totp/{issuer}:{account}?secret={secret}&issuer={issuer}\
             &algorithm=SHA1&digits=6&period={STEP_SECONDS}"
        )
    }

    /// The URI as a QR code: a self-contained SVG. `None` if the names are too long for one.
    pub fn qr_svg(&self, issuer: &str, account: &str) -> Option<String> {
        let code = QrCode::new(self.uri(issuer, account)).ok()?;
        Some(code.render::<svg::Color>().min_dimensions(QR_PIXELS, QR_PIXELS).build())
    }

    /// The step that a code belongs to, if it is the present one or one beside it, and after
    /// `last_step`: the caller keeps the step, so that a code is accepted once. Spaces are ignored.
    pub fn matching_step(&self, code: &str, now_ms: u64, last_step: Option<u64>) -> Option<u64> {
        let code: String = code.chars().filter(|letter| !letter.is_whitespace()).collect();
        let totp = self.totp();
        let now = now_ms / 1_000 / STEP_SECONDS;
        let steps = now.saturating_sub(TOLERANCE)..=now + TOLERANCE;
        // Comparisons are constant-time. A code of two steps counts for the later one.
        steps
            .filter(|step| last_step.is_none_or(|last| *step > last))
            .filter_map(|step| totp.check(&code, step * STEP_SECONDS))
            .next_back()
    }

    fn totp(&self) -> Totp {
        // Its defaults are SHA-1 and six digits.
        Builder::new()
            .with_secret(self.0)
            .with_step_duration(STEP_SECONDS)
            .with_skew(0)
            .build_noncompliant()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const RFC: &[u8; 20] = b"12345678901234567890";

    /// RFC 6238, appendix B: the last six of its eight digits.
    const VECTORS: [(u64, &str); 6] = [
        (59, "287082"),
        (1_111_111_109, "081804"),
        (1_111_111_111, "050471"),
        (1_234_567_890, "005924"),
        (2_000_000_000, "279037"),
        (20_000_000_000, "353130"),
    ];

    #[test]
    fn the_vectors_of_rfc_6238_match() {
        let secret = TotpSecret(*RFC);
        for (seconds, code) in VECTORS {
            let step = seconds / 30;
            assert_eq!(secret.matching_step(code, seconds * 1_000, None), Some(step), "{code}");
            let spaced = format!(" {} {}\n", &code[..3], &code[3..]);
            assert_eq!(secret.matching_step(&spaced, seconds * 1_000, None), Some(step));
            assert_eq!(TotpSecret::generate().matching_step(code, seconds * 1_000, None), None);
        }
    }

    #[test]
    fn a_code_is_tolerated_one_step_either_side_and_never_twice() {
        let secret = TotpSecret(*RFC);
        let (seconds, code) = VECTORS[3];
        let step = seconds / 30;
        let at = |now: u64, last| secret.matching_step(code, now * 30_000, last);
        for (now, matching) in [(step - 2, None), (step + 2, None), (0, None)] {
            assert_eq!(at(now, None), matching);
        }
        for now in step - 1..=step + 1 {
            assert_eq!(at(now, None), Some(step));
            assert_eq!(at(now, Some(step - 1)), Some(step));
            assert_eq!(at(now, Some(step)), None, "replayed");
            assert_eq!(at(now, Some(step + 1)), None, "older than the last");
        }
        assert_eq!(secret.matching_step(code, u64::MAX, None), None);
    }

    #[test]
    fn what_is_no_code_does_not_match() {
        let secret = TotpSecret(*RFC);
        for bad in ["", "28708", "2870820", "+87082", "28708a", "２８７０８２", "94287082"] {
            assert_eq!(secret.matching_step(bad, 59_000, None), None, "{bad}");
        }
    }

    #[test]
    fn secrets_round_trip_and_others_are_refused() {
        let secret = TotpSecret(*RFC);
        assert_eq!(secret.base32(), "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ");
        assert_eq!(TotpSecret::from_base32(&secret.base32()).unwrap().0, *RFC);
        for bad in [
            "",
            "GEZDGNBV",
            "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJ!",
            "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGE",
        ] {
            assert!(TotpSecret::from_base32(bad).is_none(), "{bad}");
        }
        assert_ne!(TotpSecret::generate().0, TotpSecret::generate().0);
    }

    #[test]
    fn the_uri_is_encoded_and_its_qr_code_self_contained() {
        let secret = TotpSecret(*RFC);
        let uri = secret.uri("Sho rt: ä&", "ada+x@example.com?");
        assert_eq!(
            uri,
            "otpauth://totp/Sho%20rt%2D%20%C3%A4%26:ada%2Bx%40example%2Ecom%3F\
             ?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=Sho%20rt%2D%20%C3%A4%26\
             &algorithm=SHA1&digits=6&period=30"
        );
        let svg = secret.qr_svg("sho.rt", "ada@example.com").unwrap();
        assert!(svg.contains("<svg ") && svg.ends_with("</svg>"), "{svg}");
        assert!(!svg.contains("href") && !svg.contains("<script"), "{svg}");
        assert!(secret.qr_svg("sho.rt", &"a".repeat(3_000)).is_none());
    }
}
