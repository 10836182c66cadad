//! Random events of plans, usage, credits and subscriptions.

use super::history::{DAY_MS, Model};
use crate::domain::event::{
    ApiCallsCounted, AssignedPlan, CreditGrant, CreditsWithdrawn, Event, PaymentRefunded,
    PlanChanged, SubscriptionChange,
};
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
                invoice: Some(Self::invoice(self.made / 4)),
                grant,
                credits: 1,
            }),
            _ => self.subscription_event(kind),
        }
    }

    fn invoice(number: u64) -> Invoice {
        Invoice { reference: format!("in_{number}"), minor: 800, ..Invoice::default() }
    }

    fn subscription_event(&self, kind: u8) -> Event {
        let subscription = SubscriptionState {
            reference: format!("sub_{}", self.made / 8),
            plan: "acme/core".to_owned(),
            ..SubscriptionState::default()
        };
        let change = SubscriptionChange {
            report: format!("p:{}", self.made),
            subscription: Some(subscription),
            invoice: self.made.is_multiple_of(2).then(|| Self::invoice(self.made)),
            proration_minor: None,
        };
        match kind {
            6 => Event::SubscriptionStarted(change),
            7 => Event::SubscriptionRenewed(change),
            _ => Event::SubscriptionExpired(change),
        }
    }
}
