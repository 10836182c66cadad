//! A response of the service, with common assertions.

use reqwest::blocking::RequestBuilder;
use reqwest::header::HeaderMap;
use serde_json::Value;

/// A whole answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
}

impl Answer {
    /// Sends a request that is to be answered, whatever the answer is.
    #[track_caller]
    pub fn to(request: RequestBuilder) -> Self {
        Self::try_to(request).unwrap_or_else(|error| panic!("no answer: {error:?}"))
    }

    /// Sends a request that the service may be unable to answer.
    pub fn try_to(request: RequestBuilder) -> Result<Self, reqwest::Error> {
        let answer = request.send()?;
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        Ok(Self { status, headers, text: answer.text()? })
    }

    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self:?}");
        self
    }

    /// A header's text, which is to be there.
    #[track_caller]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_else(|| panic!("no {name}: {self:?}")).to_str().unwrap()
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// `data` of a good answer.
    #[track_caller]
    pub fn data(&self) -> Value {
        assert!((200..300).contains(&self.status), "{self:?}");
        let mut json = self.json();
        assert!(json.get("data").is_some(), "{self:?}");
        json["data"].take()
    }

    /// A failure as each failure is to look: RFC 9457 with the service's own members. Gives its
    /// body.
    #[track_caller]
    pub fn problem(&self, status: u16, code: &str) -> Value {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.header("content-type"), "application/problem+json", "{self:?}");
        let body = self.json();
        assert_eq!(body["status"], status, "{self:?}");
        assert_eq!(body["code"], code, "{self:?}");
        for text in ["type", "title", "detail", "request_id"] {
            let text = body[text].as_str().unwrap_or_default();
            assert!(!text.is_empty(), "{self:?}");
        }
        assert_eq!(body["request_id"], self.header("x-request-id"), "{self:?}");
        body
    }

    /// A refusal with a note against each of these fields, and against no other.
    #[track_caller]
    pub fn refuses(&self, status: u16, code: &str, fields: &[&str]) {
        let body = self.problem(status, code);
        let errors = body["errors"].as_object().unwrap_or_else(|| panic!("no errors: {self:?}"));
        assert_eq!(errors.keys().collect::<Vec<_>>(), fields, "{self:?}");
        for reasons in errors.values() {
            let reasons = reasons.as_array().unwrap();
            assert!(!reasons.is_empty() && reasons.iter().all(Value::is_string), "{self:?}");
        }
    }
}
