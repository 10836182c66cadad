//! The validity of certificates.

use x509_parser::extensions::GeneralName;
use x509_parser::parse_x509_certificate;

/// The validity period of a certificate, in milliseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    from_ms: u64,
    until_ms: u64,
}

impl Validity {
    /// The validity of a certificate (DER); `None` if it is not for this host.
    pub fn of(certificate: &[u8], host: &str) -> Option<Self> {
        let (_, certificate) = parse_x509_certificate(certificate).ok()?;
        let names = certificate.subject_alternative_name().ok()??;
        let is_for = names.value.general_names.iter().any(
            |name| matches!(name, GeneralName::DNSName(name) if name.eq_ignore_ascii_case(host)),
        );
        let ms = |seconds: i64| u64::try_from(seconds).ok()?.checked_mul(1_000);
        let validity = certificate.validity();
        let from_ms = ms(validity.not_before.timestamp())?;
        let until_ms = ms(validity.not_after.timestamp())?;
        (is_for && from_ms < until_ms).then_some(Self { from_ms, until_ms })
    }

    /// The renewal time: when a third of the validity period is left.
    pub const fn renew_at_ms(&self) -> u64 {
        self.until_ms - (self.until_ms - self.from_ms) / 3
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    #[test]
    fn a_certificate_is_renewed_when_a_third_of_its_validity_is_left() {
        let mut params = CertificateParams::new(["Go.example".to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(2030, 1, 1);
        params.not_after = rcgen::date_time_ymd(2030, 4, 1);
        let made = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let validity = Validity::of(made.der(), "go.example").unwrap();
        // 2030-03-02, after 60 of 90 days.
        assert_eq!(validity.renew_at_ms(), 1_898_640_000_000);
        assert_eq!(Validity::of(made.der(), "other.example"), None);
        assert_eq!(Validity::of(b"no certificate", "go.example"), None);
    }
}
