//! Credits: what a workspace may use beyond the monthly allowance of its plan.
//!
//! Credits come in grants, which may expire. A debit takes from the grant that expires first.
//!
//! An import reserves the credits that it may need when it starts: nothing else can use them, and
//! they can't be withdrawn. They can be used until the import ends, even if their grant expires
//! before; what is left then returns to its grant, and expires with it.

use super::Limit;
use super::state::{CreditGrant, CreditsReserved, CreditsState, GrantPart, Reservation};
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
        /// An import reserved credits.
        Reserved = 5 => "reserved",
        /// Credits that an import did not use were released.
        Released = 6 => "released",
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

impl Reservation {
    /// The number of credits.
    pub fn amount(&self) -> u64 {
        self.credits.iter().map(|part| part.amount).sum()
    }
}

impl CreditsState {
    /// The credits of a kind that can be used at a time, without reserved ones.
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
        let used = self.take(kind, amount, at_ms).iter().map(|part| part.amount).sum();
        self.remove_empty();
        used
    }

    /// Takes credits of those that expire first.
    fn take(&mut self, kind: CreditKind, amount: u64, at_ms: u64) -> Vec<GrantPart> {
        let mut usable: Vec<_> =
            self.grants.iter_mut().filter(|grant| grant.is_usable(kind, at_ms)).collect();
        usable.sort_by_key(|grant| grant.expires_at_ms.unwrap_or(u64::MAX));
        let (mut missing, mut taken) = (amount, Vec::new());
        for grant in usable.into_iter().filter(|grant| grant.amount > 0) {
            let amount = grant.amount.min(missing);
            grant.amount -= amount;
            missing -= amount;
            taken.push(GrantPart { grant: grant.id.clone(), amount });
        }
        taken.retain(|part| part.amount > 0);
        taken
    }

    /// Removes grants without credits.
    fn remove_empty(&mut self) {
        let parts = || self.reservations.iter().flat_map(|reservation| &reservation.credits);
        let is_left =
            |grant: &CreditGrant| grant.amount > 0 || parts().any(|part| part.grant == grant.id);
        self.grants.retain(is_left);
    }

    /// Reserves credits; returns how many there were. An import reserves once.
    pub fn reserve(&mut self, kind: CreditKind, wanted: &CreditsReserved, at_ms: u64) -> u64 {
        let CreditsReserved { ref id, amount, allowance, .. } = *wanted;
        if self.reservation(id).is_some() {
            return 0;
        }
        let credits = self.take(kind, amount, at_ms);
        let reservation = Reservation { id: id.clone(), kind: kind as u32, allowance, credits };
        let reserved = reservation.amount();
        self.reservations.push(reservation);
        reserved
    }

    /// Uses reserved credits, of those that expire first; `false` if the import has too few.
    pub fn debit_reserved(&mut self, import: &[u8], kind: CreditKind, amount: u64) -> bool {
        let mut all = self.reservations.iter_mut();
        let found = all.find(|found| found.id == import && found.kind == kind as u32);
        let Some(reservation) = found.filter(|found| found.amount() >= amount) else {
            return false;
        };
        let mut missing = amount;
        for part in &mut reservation.credits {
            let used = part.amount.min(missing);
            part.amount -= used;
            missing -= used;
        }
        reservation.credits.retain(|part| part.amount > 0);
        self.remove_empty();
        true
    }

    /// Uses one of the monthly allowance that an import has reserved, if any is left.
    pub fn use_reserved_allowance(&mut self, import: &[u8]) {
        if let Some(found) = self.reservations.iter_mut().find(|found| found.id == import) {
            found.allowance = found.allowance.saturating_sub(1);
        }
    }

    /// Ends a reservation; returns how many credits were left, and of which kind.
    pub fn release(&mut self, import: &[u8]) -> Option<(CreditKind, u64)> {
        let at = self.reservations.iter().position(|found| found.id == import)?;
        let reservation = self.reservations.remove(at);
        for part in &reservation.credits {
            if let Some(grant) = self.grants.iter_mut().find(|grant| grant.id == part.grant) {
                grant.amount += part.amount;
            }
        }
        Some((CreditKind::from_number(reservation.kind)?, reservation.amount()))
    }

    /// The open reservation of an import.
    pub fn reservation(&self, import: &[u8]) -> Option<&Reservation> {
        self.reservations.iter().find(|found| found.id == import)
    }

    /// The reserved credits of a kind.
    pub fn reserved(&self, kind: CreditKind) -> u64 {
        let all = self.reservations.iter().filter(|found| found.kind == kind as u32);
        all.map(Reservation::amount).sum()
    }

    /// How much of the monthly allowance is reserved by imports other than one.
    pub fn reserved_allowance(&self, kind: CreditKind, except: &[u8]) -> u64 {
        let all = self.reservations.iter();
        let others = all.filter(|found| found.kind == kind as u32 && found.id != except);
        others.map(|found| found.allowance).sum()
    }

    /// Takes up to an amount of unused credits from a grant; returns how many, and of which kind.
    pub fn withdraw(&mut self, grant: &[u8], amount: u64) -> Option<(CreditKind, u64)> {
        let found = self.grants.iter_mut().find(|found| found.id == grant)?;
        let (kind, taken) = (CreditKind::from_number(found.kind)?, found.amount.min(amount));
        found.amount -= taken;
        self.remove_empty();
        Some((kind, taken))
    }

    /// A grant with unused credits.
    pub fn find(&self, grant: &[u8]) -> Option<&CreditGrant> {
        self.grants.iter().find(|found| found.id == grant && found.amount > 0)
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

    #[test]
    fn reserved_credits_are_those_of_one_import_and_return_to_their_grants() {
        const IMPORT: &[u8] = &[9; 16];
        let mut credits = CreditsState::default();
        credits.grant(grant(1, 5, None));
        credits.grant(grant(2, 5, Some(100)));
        let wanted = CreditsReserved { id: IMPORT.to_vec(), amount: 8, ..Default::default() };
        assert_eq!(credits.reserve(CreditKind::Links, &wanted, 0), 8);
        assert_eq!(credits.reserve(CreditKind::Links, &wanted, 0), 0, "once");
        assert_eq!(credits.balance(CreditKind::Links, 0), 2);
        assert_eq!(credits.reserved(CreditKind::Links), 8);
        assert_eq!(credits.find(&[2; 16]), None, "nothing to withdraw or to expire");
        assert_eq!(credits.withdraw(&[2; 16], 5), Some((CreditKind::Links, 0)));
        assert_eq!(credits.debit(CreditKind::Links, 9, 0), 2);
        assert!(!credits.debit_reserved(&[8; 16], CreditKind::Links, 1), "of another import");
        assert!(!credits.debit_reserved(IMPORT, CreditKind::Events, 1), "of another kind");
        assert!(!credits.debit_reserved(IMPORT, CreditKind::Links, 9), "too few");
        // After the expiry, too: of those that expire first.
        assert!(credits.debit_reserved(IMPORT, CreditKind::Links, 4));
        assert_eq!(credits.release(IMPORT), Some((CreditKind::Links, 4)));
        assert_eq!(credits.release(IMPORT), None);
        let left: Vec<_> = credits.grants.iter().map(|grant| (grant.id[0], grant.amount)).collect();
        assert_eq!(left, [(1, 3), (2, 1)]);
        assert_eq!(credits.balance(CreditKind::Links, 99), 4);
        assert_eq!(credits.balance(CreditKind::Links, 100), 3, "what is left expires");
    }
}
