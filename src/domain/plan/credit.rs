//! Credits: what a workspace may use beyond the monthly allowance of its plan.
//!
//! Credits come in grants, which may expire. A debit takes from the grant that expires first.

use super::Limit;
use super::state::{CreditGrant, CreditsState};
use crate::domain::named_enum;

/// The maximum number of grants with credits left that a workspace can have.
pub const MAX_GRANTS: usize = 1_000;
/// The maximum number of credits in a grant.
pub const MAX_AMOUNT: u64 = 1_000_000_000;

named_enum! {
    /// What a credit is for.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    #[repr(u8)]
    pub enum CreditKind {
        /// Creating a link.
        Links = 1 => "links",
        /// Creating a QR code.
        QrCodes = 2 => "qr_codes",
        /// A conversion event.
        Events = 3 => "events",
    }
}

impl CreditKind {
    /// The kind with this number in the log, if any.
    pub fn from_number(number: u32) -> Option<Self> {
        Self::EVERY.iter().copied().find(|kind| *kind as u32 == number)
    }

    /// What a credit is for, for people.
    pub const fn noun(self) -> &'static str {
        match self {
            Self::Links => "links",
            Self::QrCodes => "QR codes",
            Self::Events => "events",
        }
    }

    /// The kind that is used when a monthly limit is reached.
    pub const fn beyond(limit: Limit) -> Option<Self> {
        match limit {
            Limit::LinksPerMonth => Some(Self::Links),
            Limit::QrCodesPerMonth => Some(Self::QrCodes),
            Limit::EventsPerMonth => Some(Self::Events),
            _ => None,
        }
    }
}

named_enum! {
    /// A change of a workspace's credits.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    #[repr(u8)]
    pub enum LedgerEntryKind {
        /// Credits were granted.
        Granted = 1 => "granted",
        /// A command used credits.
        Debited = 2 => "debited",
        /// The credits of a grant expired.
        Expired = 3 => "expired",
        /// The unused credits of a grant were withdrawn, as its payment was refunded.
        Refunded = 4 => "refunded",
    }
}

impl LedgerEntryKind {
    /// The kind with this number in the index, if any.
    pub fn from_number(number: u32) -> Option<Self> {
        Self::EVERY.iter().copied().find(|kind| *kind as u32 == number)
    }
}

impl CreditGrant {
    fn is_usable(&self, kind: CreditKind, at_ms: u64) -> bool {
        self.kind == kind as u32 && !self.has_expired(at_ms)
    }

    /// Whether it has expired.
    pub fn has_expired(&self, at_ms: u64) -> bool {
        self.expires_at_ms.is_some_and(|expires_at_ms| expires_at_ms <= at_ms)
    }
}

impl CreditsState {
    /// The credits of a kind that can be used at a time.
    pub fn balance(&self, kind: CreditKind, at_ms: u64) -> u64 {
        let usable = self.grants.iter().filter(|grant| grant.is_usable(kind, at_ms));
        usable.map(|grant| grant.amount).fold(0, u64::saturating_add)
    }

    /// Adds a grant.
    pub fn grant(&mut self, grant: CreditGrant) {
        self.grants.push(CreditGrant { granted: grant.amount, ..grant });
    }

    /// Uses credits, of those that expire first; returns how many there were.
    pub fn debit(&mut self, kind: CreditKind, amount: u64, at_ms: u64) -> u64 {
        let mut usable: Vec<_> =
            self.grants.iter_mut().filter(|grant| grant.is_usable(kind, at_ms)).collect();
        usable.sort_by_key(|grant| grant.expires_at_ms.unwrap_or(u64::MAX));
        let mut missing = amount;
        for grant in usable {
            let used = grant.amount.min(missing);
            grant.amount -= used;
            missing -= used;
        }
        self.grants.retain(|grant| grant.amount > 0);
        amount - missing
    }

    /// Takes up to an amount of unused credits from a grant; returns how many, and of which kind.
    pub fn withdraw(&mut self, grant: &[u8], amount: u64) -> Option<(CreditKind, u64)> {
        let found = self.grants.iter_mut().find(|found| found.id == grant)?;
        let (kind, taken) = (CreditKind::from_number(found.kind)?, found.amount.min(amount));
        found.amount -= taken;
        self.grants.retain(|grant| grant.amount > 0);
        Some((kind, taken))
    }

    /// A grant with unused credits.
    pub fn find(&self, grant: &[u8]) -> Option<&CreditGrant> {
        self.grants.iter().find(|found| found.id == grant)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(id: u8, amount: u64, expires_at_ms: Option<u64>) -> CreditGrant {
        let kind = CreditKind::Links as u32;
        CreditGrant { id: vec![id; 16], kind, amount, expires_at_ms, ..CreditGrant::default() }
    }

    #[test]
    fn credits_that_expire_first_are_used_first() {
        let mut credits = CreditsState::default();
        credits.grant(grant(1, 5, None));
        credits.grant(grant(2, 5, Some(200)));
        credits.grant(grant(3, 5, Some(100)));
        assert_eq!(credits.balance(CreditKind::Links, 99), 15);
        assert_eq!(credits.balance(CreditKind::Links, 100), 10, "expired");
        assert_eq!(credits.balance(CreditKind::QrCodes, 0), 0);
        assert_eq!(credits.debit(CreditKind::Links, 7, 99), 7);
        let left: Vec<_> = credits.grants.iter().map(|grant| (grant.id[0], grant.amount)).collect();
        assert_eq!(left, [(1, 5), (2, 3)]);
    }

    #[test]
    fn a_balance_is_never_negative() {
        let mut credits = CreditsState::default();
        credits.grant(grant(1, 5, None));
        assert_eq!(credits.debit(CreditKind::Links, 7, 0), 5);
        assert_eq!(credits.balance(CreditKind::Links, 0), 0);
        assert_eq!(credits.debit(CreditKind::Links, 1, 0), 0);
        credits.grant(grant(2, 5, None));
        assert_eq!(credits.withdraw(&[2; 16], 9), Some((CreditKind::Links, 5)));
        assert_eq!(credits.withdraw(&[2; 16], 9), None);
    }
}
