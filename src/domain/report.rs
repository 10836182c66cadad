//! Abuse reports: visitors report links to their owners.

use super::error::Invalid;
use super::ids::{LinkId, ReportId, WorkspaceId};
use super::named_enum;

/// The maximum number of open reports of a link; further reports are dropped.
pub const MAX_OPEN: u64 = 100;
/// The maximum length of a report's text, in characters.
pub const MAX_TEXT_CHARS: usize = 1_000;

named_enum! {
    /// The reason of a report.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, prost::Enumeration)]
    #[repr(i32)]
    pub enum Reason {
        /// Another reason, given in the text.
        Other = 0 => "other",
        /// Unwanted advertising.
        Spam = 1 => "spam",
        /// It impersonates another site.
        Phishing = 2 => "phishing",
        /// It is malicious software.
        Malware = 3 => "malware",
        /// It is illegal.
        Illegal = 4 => "illegal",
        /// The destination doesn't work.
        Broken = 5 => "broken",
    }
}

impl Reason {
    /// All reasons, in the order of the form.
    pub const IN_FORM: [Self; 6] =
        [Self::Phishing, Self::Malware, Self::Spam, Self::Illegal, Self::Broken, Self::Other];

    /// The label in the form.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Other => "Something else",
            Self::Spam => "Unwanted advertising",
            Self::Phishing => "It pretends to be another site",
            Self::Malware => "It tries to harm my device",
            Self::Illegal => "It shows something unlawful",
            Self::Broken => "It leads nowhere",
        }
    }
}

/// An open report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The id.
    pub id: ReportId,
    /// The workspace of the link.
    pub workspace: WorkspaceId,
    /// The link.
    pub link: LinkId,
    /// The link's slug at the time.
    pub slug: String,
    /// The reason.
    pub reason: Reason,
    /// The visitor's text; may be empty.
    pub text: String,
    /// The time of the report, in milliseconds since the Unix epoch.
    pub at_ms: u64,
}

/// A visitor's complaint, validated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Complaint {
    /// The reason.
    pub reason: Reason,
    /// The visitor's text; may be empty.
    pub text: String,
}

impl Complaint {
    /// Validates the fields `reason` and `text` of a form.
    ///
    /// # Errors
    /// The invalid fields.
    pub fn accept(reason: &str, text: &str) -> Result<Self, Invalid> {
        let mut invalid = Invalid::default();
        let found = Reason::named(reason).ok_or_else(|| "must be one of the list".to_owned());
        let reason = invalid.check("reason", found);
        let text = text.replace("\r\n", "\n");
        let text = text.trim();
        let is_odd = |letter: char| letter.is_control() && !matches!(letter, '\n' | '\t');
        if text.chars().count() > MAX_TEXT_CHARS {
            invalid.add("text", format!("must not be longer than {MAX_TEXT_CHARS} characters"));
        } else if text.chars().any(is_odd) {
            invalid.add("text", "must not contain control characters");
        }
        match reason {
            Some(reason) if invalid.fields().is_empty() => {
                Ok(Self { reason, text: text.to_owned() })
            }
            _ => Err(invalid),
        }
    }
}

/// A [`Report`] as logged. Its workspace and time are the envelope's. It does not identify the
/// reporter.
#[derive(Clone, PartialEq, Eq, prost::Message)]
#[allow(missing_docs, reason = "the same names as in Report")]
pub struct LinkReported {
    #[prost(bytes = "vec", tag = "1")]
    pub id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub link: Vec<u8>,
    #[prost(string, tag = "3")]
    pub slug: String,
    #[prost(enumeration = "Reason", tag = "4")]
    pub reason: i32,
    #[prost(string, tag = "5")]
    pub text: String,
}

/// A report was resolved.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ReportResolved {
    /// The report's 16 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub report: Vec<u8>,
}

impl From<&Report> for LinkReported {
    fn from(report: &Report) -> Self {
        Self {
            id: report.id.as_bytes().to_vec(),
            link: report.link.as_bytes().to_vec(),
            slug: report.slug.clone(),
            reason: report.reason.into(),
            text: report.text.clone(),
        }
    }
}

impl LinkReported {
    /// The report, with the envelope's workspace and time; `None` for an invalid id.
    pub fn into_report(self, workspace: WorkspaceId, at_ms: u64) -> Option<Report> {
        Some(Report {
            id: ReportId::from_bytes(&self.id).ok()?,
            workspace,
            link: LinkId::from_bytes(&self.link).ok()?,
            reason: self.reason(),
            slug: self.slug,
            text: self.text,
            at_ms,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complaints_are_validated() {
        let fields = |reason: &str, text: &str| match Complaint::accept(reason, text) {
            Ok(_) => Vec::new(),
            Err(invalid) => invalid.fields().keys().cloned().collect(),
        };
        assert!(fields("spam", " one\r\ntwo\t ").is_empty());
        assert!(fields("other", &"ü".repeat(MAX_TEXT_CHARS)).is_empty());
        assert_eq!(fields("", ""), ["reason"]);
        assert_eq!(fields("Spam", &"x".repeat(MAX_TEXT_CHARS + 1)), ["reason", "text"]);
        assert_eq!(fields("spam", "a\u{0}b"), ["text"]);
    }
}
