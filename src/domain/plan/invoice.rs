//! Invoices, as a payment provider reports them.

use crate::domain::error::Unreadable;
use crate::domain::money::Money;
use crate::domain::named_enum;

named_enum! {
    /// The state of an invoice.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    #[repr(u8)]
    pub enum InvoiceStatus {
        /// It is paid.
        Paid = 1 => "paid",
        /// Its payment failed.
        Failed = 2 => "failed",
        /// Its payment was refunded, at least in part.
        Refunded = 3 => "refunded",
    }
}

impl InvoiceStatus {
    /// The status with this number in the log, if any.
    pub fn from_number(number: u32) -> Option<Self> {
        Self::EVERY.iter().copied().find(|status| *status as u32 == number)
    }
}

/// An invoice.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Invoice {
    /// The provider's id.
    #[prost(string, tag = "1")]
    pub reference: String,
    /// The amount in minor units.
    #[prost(sint64, tag = "2")]
    pub minor: i64,
    /// The currency.
    #[prost(string, tag = "3")]
    pub currency: String,
    /// The number of the [`InvoiceStatus`].
    #[prost(uint32, tag = "4")]
    pub status: u32,
    /// When it was reported, in milliseconds since the Unix epoch.
    #[prost(uint64, tag = "5")]
    pub at_ms: u64,
    /// What is refunded, in minor units.
    #[prost(sint64, tag = "6")]
    pub refunded_minor: i64,
    /// The provider's id of the payment, if it has one of its own.
    #[prost(string, tag = "7")]
    pub payment: String,
}

impl Invoice {
    /// Its amount.
    ///
    /// # Errors
    /// [`Unreadable`] if the currency is malformed.
    pub fn money(&self) -> Result<Money, Unreadable> {
        let currency = self.currency.parse().map_err(|_| Unreadable("currency"))?;
        Ok(Money { minor: self.minor, currency })
    }
}
