//! Random events of plans, usage, credits and subscriptions.

use prost::Message;

use super::history::{DAY_MS, Model, of_seed};
use super::*;
use crate::domain::event::{
    ApiCallsCounted, AssignedPlan, AutoRecharge, CreditGrant, CreditsReleased, CreditsReserved,
    CreditsWithdrawn, Event, PaymentRefunded, PlanChanged, Recharge, RechargeFailed,
    SubscriptionChange,
};
use crate::domain::plan::state::LedgerEntry;
use crate::domain::plan::subscription::{Invoice, SubscriptionState};

impl Model {
    pub(super) fn billing_event(&self, kind: u8) -> Event {
        let grant = u128::from(self.made / 8).to_be_bytes().to_vec();
        match kind {
            0 => Event::PlanChanged(PlanChanged {
                plan: self.made.is_multiple_of(2).then(AssignedPlan::default),
            }),
            1 => Event::ApiCallsCounted(ApiCallsCounted { calls: self.made }),
            2 => Event::CreditsGranted(CreditGrant {
                id: grant,
                kind: 1,
                amount: 2,
                expires_at_ms: self.made.is_multiple_of(3).then_some(self.now_ms + DAY_MS),
                ..CreditGrant::default()
            }),
            3 => Event::CreditsRefunded(CreditsWithdrawn { grant, amount: 1 }),
            4 => Event::CreditsExpired(CreditsWithdrawn { grant, amount: 2 }),
            5 => Event::PaymentRefunded(PaymentRefunded {
                report: format!("p:{}", self.made),
                invoice: Some(self.invoice(self.made / 4)),
                grant,
                credits: 1,
            }),
            13 => Event::CreditsReserved(CreditsReserved {
                id: self.import(),
                kind: 1,
                amount: 3,
                allowance: self.made % 3,
            }),
            14 => Event::CreditsReleased(CreditsReleased { id: self.import(), kind: 1, amount: 0 }),
            9.. => self.recharge_event(kind),
            _ => self.subscription_event(kind),
        }
    }

    /// An import that may have reserved credits.
    pub(super) fn import(&self) -> Vec<u8> {
        u128::from(self.made / 256).to_be_bytes().to_vec()
    }

    /// Some answers are to an open request.
    fn recharge_event(&self, kind: u8) -> Event {
        let id = u128::from(self.made / 16).to_be_bytes().to_vec();
        let (kind_of_credits, is_even) = (1, self.made.is_multiple_of(2));
        match kind {
            9 => Event::AutoRechargeChanged(AutoRecharge {
                kind: kind_of_credits,
                enabled: is_even,
                threshold: self.made,
                amount: 2,
                monthly_limit: 100,
            }),
            10 => Event::RechargeRequested(Recharge {
                id,
                kind: kind_of_credits,
                amount: 2,
                at_ms: self.now_ms,
            }),
            11 => Event::RechargeFailed(RechargeFailed {
                id,
                kind: kind_of_credits,
                reason: String::new(),
                report: if is_even { format!("p:{}", self.made) } else { String::new() },
            }),
            _ => Event::CreditsGranted(CreditGrant {
                id: u128::from(self.made).to_be_bytes().to_vec(),
                kind: kind_of_credits,
                amount: 2,
                recharge: id,
                report: format!("p:{}", self.made),
                invoice: Some(self.invoice(self.made / 4)),
                ..CreditGrant::default()
            }),
        }
    }

    fn invoice(&self, number: u64) -> Invoice {
        let (reference, at_ms) = (format!("in_{number}"), self.now_ms);
        Invoice { reference, minor: 800, at_ms, ..Invoice::default() }
    }

    fn subscription_event(&self, kind: u8) -> Event {
        let subscription = SubscriptionState {
            reference: format!("sub_{}", self.made / 8),
            plan: "acme/core".to_owned(),
            previous_plan: self.made.is_multiple_of(3).then(AssignedPlan::default),
            ..SubscriptionState::default()
        };
        let change = SubscriptionChange {
            report: format!("p:{}", self.made),
            subscription: Some(subscription),
            invoice: self.made.is_multiple_of(2).then(|| self.invoice(self.made)),
            proration_minor: None,
        };
        match kind {
            6 => Event::SubscriptionStarted(change),
            7 => Event::SubscriptionRenewed(change),
            _ => Event::SubscriptionExpired(change),
        }
    }
}

/// Random histories have credits that are reserved, used by their import, and released.
#[test]
fn histories_have_reservations() {
    let mut seen = Vec::new();
    for seed in 0..20 {
        let state = Map::of(&of_seed(seed, 500));
        let entries = state.0.iter().filter(|(key, _)| key[0] == b'L');
        for (_, value) in entries {
            let entry = LedgerEntry::decode(value.as_slice()).unwrap();
            seen.push((entry.entry, entry.reservation.is_empty()));
        }
    }
    for wanted in [(2, true), (2, false), (5, true), (6, true)] {
        let times = seen.iter().filter(|entry| **entry == wanted).count();
        assert!(times > 0, "{wanted:?}");
    }
}
