//! Auto-recharge: credits that are requested when few are left.
//!
//! A workspace has [settings](AutoRecharge) for each kind of credits. When fewer than the threshold
//! are left, credits are requested; a payment provider, or a person, makes the payment and reports
//! it. At most one request of a kind is open. After a failure, credits are requested again; after
//! [`MAX_FAILURES`] in a row, auto-recharge is disabled.
//!
//! The credits that are requested in a calendar month (UTC) never exceed the monthly limit. Those
//! of a failed payment don't count. A request without an answer for a day counts as a failure, but
//! its credits still count for the month: the payment may be reported later.

use super::Month;
use super::catalogue::MAX_LIMIT;
use super::credit::MAX_AMOUNT;
use crate::domain::error::Invalid;

/// The number of failures in a row that disable auto-recharge.
pub const MAX_FAILURES: u32 = 3;
/// The number of closed requests that are remembered, for answers that come late or twice.
const CLOSED_KEPT: usize = 16;
/// How long a request is open without an answer, in milliseconds.
pub const ANSWER_TIMEOUT_MS: u64 = 24 * 3_600 * 1_000;

/// The settings of auto-recharge for a kind of credits.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct AutoRecharge {
    /// The number of the [`CreditKind`](super::credit::CreditKind).
    #[prost(uint32, tag = "1")]
    pub kind: u32,
    /// Whether credits are requested.
    #[prost(bool, tag = "2")]
    pub enabled: bool,
    /// Credits are requested when fewer than this are left.
    #[prost(uint64, tag = "3")]
    pub threshold: u64,
    /// The number of credits to request.
    #[prost(uint64, tag = "4")]
    pub amount: u64,
    /// The maximum number of credits to request in a calendar month.
    #[prost(uint64, tag = "5")]
    pub monthly_limit: u64,
}

impl AutoRecharge {
    /// Checks the values.
    ///
    /// # Errors
    /// The invalid fields.
    pub fn check(&self) -> Result<(), Invalid> {
        let mut invalid = Invalid::default();
        for (field, value, max) in [
            ("threshold", self.threshold, MAX_AMOUNT),
            ("amount", self.amount, MAX_AMOUNT),
            ("monthly_limit", self.monthly_limit, MAX_LIMIT),
        ] {
            if !(1..=max).contains(&value) {
                invalid.add(field, format!("must be from 1 to {max}"));
            }
        }
        if self.monthly_limit > 0 && self.amount > self.monthly_limit {
            invalid.add("amount", "must be at most `monthly_limit`");
        }
        invalid.into_result()
    }
}

/// Requested credits.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Recharge {
    /// The 16 bytes of the id.
    #[prost(bytes = "vec", tag = "1")]
    pub id: Vec<u8>,
    /// The number of the [`CreditKind`](super::credit::CreditKind).
    #[prost(uint32, tag = "2")]
    pub kind: u32,
    /// The number of credits.
    #[prost(uint64, tag = "3")]
    pub amount: u64,
    /// When they were requested, in milliseconds since the Unix epoch.
    #[prost(uint64, tag = "4")]
    pub at_ms: u64,
}

/// The payment of requested credits failed, or was not reported in time.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct RechargeFailed {
    /// The 16 bytes of the request's id.
    #[prost(bytes = "vec", tag = "1")]
    pub id: Vec<u8>,
    /// The number of the [`CreditKind`](super::credit::CreditKind).
    #[prost(uint32, tag = "2")]
    pub kind: u32,
    /// Why, for people.
    #[prost(string, tag = "3")]
    pub reason: String,
    /// The provider's report, as in
    /// [`SubscriptionChange`](super::subscription::SubscriptionChange); empty if there was none in
    /// time.
    #[prost(string, tag = "4")]
    pub report: String,
}

/// A request that is no longer open.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ClosedRecharge {
    /// The request.
    #[prost(message, optional, tag = "1")]
    pub recharge: Option<Recharge>,
    /// Whether the credits were granted.
    #[prost(bool, tag = "2")]
    is_paid: bool,
    /// Whether the credits count for the month: not those of a payment that was reported as failed.
    #[prost(bool, tag = "3")]
    counts: bool,
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RechargeStatus {
    /// It has no answer yet.
    Open,
    /// It had no answer in time.
    TimedOut,
    /// The payment was reported as failed.
    Failed,
    /// The credits were granted.
    Paid,
}

impl ClosedRecharge {
    const fn status(&self) -> RechargeStatus {
        match (self.is_paid, self.counts) {
            (true, _) => RechargeStatus::Paid,
            (false, true) => RechargeStatus::TimedOut,
            (false, false) => RechargeStatus::Failed,
        }
    }
}

/// The auto-recharge of a kind of credits, as stored in the index.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct AutoRechargeState {
    /// The settings; absent if they were never set.
    #[prost(message, optional, tag = "1")]
    pub settings: Option<AutoRecharge>,
    /// The request that is open.
    #[prost(message, optional, tag = "2")]
    pub open: Option<Recharge>,
    /// The number of failures in a row.
    #[prost(uint32, tag = "3")]
    pub failures: u32,
    /// The number of the month of the last request.
    #[prost(uint32, tag = "4")]
    month: u32,
    /// The credits that were requested in that month, without those of failed payments.
    #[prost(uint64, tag = "5")]
    requested: u64,
    /// The last requests that were closed, oldest first.
    #[prost(message, repeated, tag = "6")]
    closed: Vec<ClosedRecharge>,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RechargeStep {
    /// Request this number of credits.
    Request(u64),
    /// Close this request, which had no answer in time.
    TimeOut(Recharge),
}

impl AutoRechargeState {
    /// The credits that were requested in a month, without those of failed payments.
    pub fn requested_in(&self, month: Month) -> u64 {
        if self.month == u32::from(month.number()) { self.requested } else { 0 }
    }

    /// What is to be done at a time when this number of credits is left.
    pub fn due(&self, balance: u64, now_ms: u64) -> Option<RechargeStep> {
        if let Some(open) = &self.open {
            let is_late = now_ms.saturating_sub(open.at_ms) >= ANSWER_TIMEOUT_MS;
            return is_late.then(|| RechargeStep::TimeOut(open.clone()));
        }
        let settings = self.settings.filter(|it| it.enabled && balance < it.threshold)?;
        let requested = self.requested_in(Month::of(now_ms)).saturating_add(settings.amount);
        (requested <= settings.monthly_limit).then_some(RechargeStep::Request(settings.amount))
    }

    /// Changes the settings. Enabling it forgets earlier failures.
    pub fn change(&mut self, settings: AutoRecharge) {
        self.settings = Some(settings);
        if settings.enabled {
            self.failures = 0;
        }
    }

    /// Opens a request.
    pub fn request(&mut self, recharge: Recharge) {
        let month = Month::of(recharge.at_ms);
        self.requested = self.requested_in(month).saturating_add(recharge.amount);
        self.month = month.number().into();
        self.open = Some(recharge);
    }

    /// The request with an id, and its status; `None` if it is not known, or no longer.
    pub fn find(&self, id: &[u8]) -> Option<(&Recharge, RechargeStatus)> {
        let open = self.open.iter().map(|open| (open, RechargeStatus::Open));
        let closed = self.closed.iter().filter_map(|it| Some((it.recharge.as_ref()?, it.status())));
        open.chain(closed).find(|(recharge, _)| recharge.id == id)
    }

    /// Records that the credits of a request were granted, which may be closed already.
    pub fn complete(&mut self, id: &[u8]) {
        if let Some(open) = self.open.take_if(|open| open.id == id) {
            self.failures = 0;
            self.close(open, (true, true));
        } else if let Some((at, amount, month)) = self.closed_at(id) {
            self.failures = 0;
            if !self.closed[at].counts && month == self.month {
                self.requested = self.requested.saturating_add(amount);
            }
            (self.closed[at].is_paid, self.closed[at].counts) = (true, true);
        }
    }

    /// Records that a request failed; if it was closed without an answer, that it does not count
    /// for the month.
    pub fn fail(&mut self, failed: &RechargeFailed) {
        let is_reported = !failed.report.is_empty();
        let Some(open) = self.open.take_if(|open| open.id == failed.id) else {
            if let Some((at, amount, month)) = self.closed_at(&failed.id).filter(|_| is_reported)
                && self.closed[at].status() == RechargeStatus::TimedOut
            {
                if month == self.month {
                    self.requested = self.requested.saturating_sub(amount);
                }
                self.closed[at].counts = false;
            }
            return;
        };
        if is_reported {
            self.requested = self.requested.saturating_sub(open.amount);
        }
        self.close(open, (false, !is_reported));
        self.failures += 1;
        if let Some(settings) = self.settings.as_mut().filter(|_| self.failures >= MAX_FAILURES) {
            settings.enabled = false;
        }
    }
}

impl AutoRechargeState {
    fn close(&mut self, recharge: Recharge, (is_paid, counts): (bool, bool)) {
        if self.closed.len() >= CLOSED_KEPT {
            self.closed.remove(0);
        }
        self.closed.push(ClosedRecharge { recharge: Some(recharge), is_paid, counts });
    }

    /// The place of a closed request, its number of credits, and the number of its month.
    fn closed_at(&self, id: &[u8]) -> Option<(usize, u64, u32)> {
        let mut closed = self.closed.iter().enumerate();
        closed.find_map(|(at, closed)| {
            let recharge = closed.recharge.as_ref().filter(|recharge| recharge.id == id)?;
            Some((at, recharge.amount, Month::of(recharge.at_ms).number().into()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: u64 = 1_795_000_000_000;
    const SETTINGS: AutoRecharge =
        AutoRecharge { kind: 1, enabled: true, threshold: 10, amount: 40, monthly_limit: 100 };

    fn enabled() -> AutoRechargeState {
        let mut state = AutoRechargeState::default();
        state.change(SETTINGS);
        state
    }

    /// Requests what is due at a time.
    fn request(state: &mut AutoRechargeState, id: u8, at_ms: u64) -> bool {
        let Some(RechargeStep::Request(amount)) = state.due(0, at_ms) else { return false };
        state.request(Recharge { id: vec![id], kind: 1, amount, at_ms });
        true
    }

    fn fail(state: &mut AutoRechargeState, id: u8, report: &str) {
        let (id, report) = (vec![id], report.to_owned());
        state.fail(&RechargeFailed { id, kind: 1, reason: String::new(), report });
    }

    #[test]
    fn credits_are_requested_below_the_threshold_once_at_a_time() {
        let mut state = enabled();
        assert_eq!(state.due(10, NOW_MS), None);
        assert_eq!(state.due(9, NOW_MS), Some(RechargeStep::Request(40)));
        assert!(request(&mut state, 1, NOW_MS));
        assert_eq!(state.due(0, NOW_MS), None, "one is open");
        state.complete(&[2]);
        assert_eq!(state.due(0, NOW_MS), None, "another one");
        state.complete(&[1]);
        assert_eq!(state.due(0, NOW_MS), Some(RechargeStep::Request(40)));
        state.change(AutoRecharge { enabled: false, ..SETTINGS });
        assert_eq!(state.due(0, NOW_MS), None);
        assert_eq!(AutoRechargeState::default().due(0, NOW_MS), None, "never set");
    }

    #[test]
    fn the_monthly_limit_is_never_exceeded_and_begins_again_each_month() {
        let mut state = enabled();
        for id in 1..=2 {
            assert!(request(&mut state, id, NOW_MS));
            state.complete(&[id]);
        }
        assert!(!request(&mut state, 3, NOW_MS), "80 of 100");
        state.change(AutoRecharge { monthly_limit: 120, ..SETTINGS });
        assert!(request(&mut state, 3, NOW_MS));
        fail(&mut state, 3, "p:1");
        assert_eq!(state.requested_in(Month::of(NOW_MS)), 80, "a failed payment does not count");
        assert!(request(&mut state, 4, NOW_MS));
        state.complete(&[4]);
        let end_ms = Month::of(NOW_MS).next().start().as_millisecond().unsigned_abs();
        assert!(!request(&mut state, 5, end_ms - 1), "the last millisecond of the month");
        assert!(request(&mut state, 5, end_ms));
        assert_eq!(state.requested_in(Month::of(end_ms)), 40);
        assert_eq!(state.requested_in(Month::of(end_ms).next()), 0);
    }

    #[test]
    fn three_failures_in_a_row_disable_it() {
        let mut state = enabled();
        for id in [1, 2] {
            assert!(request(&mut state, id, NOW_MS));
            fail(&mut state, id, "p:1");
            fail(&mut state, id, "p:1");
            assert_eq!(state.failures, u32::from(id), "each counts once");
        }
        assert!(request(&mut state, 3, NOW_MS));
        state.complete(&[3]);
        for id in 4..=6 {
            assert!(request(&mut state, id, NOW_MS));
            fail(&mut state, id, "p:1");
        }
        assert!(!request(&mut state, 7, NOW_MS));
        assert!(!state.settings.unwrap().enabled);
        state.change(SETTINGS);
        assert_eq!(state.failures, 0);
        assert!(request(&mut state, 7, NOW_MS));
    }

    #[test]
    fn a_request_without_an_answer_times_out_and_still_counts_for_the_month() {
        let mut state = enabled();
        assert!(request(&mut state, 1, NOW_MS));
        let late_ms = NOW_MS + ANSWER_TIMEOUT_MS;
        assert_eq!(state.due(0, late_ms - 1), None);
        let open = state.open.clone().unwrap();
        assert_eq!(state.due(99, late_ms), Some(RechargeStep::TimeOut(open)));
        fail(&mut state, 1, "");
        assert_eq!((state.failures, state.requested_in(Month::of(NOW_MS))), (1, 40));
    }

    #[test]
    fn late_answers_are_applied_once() {
        let mut state = enabled();
        let requested = |state: &AutoRechargeState| state.requested_in(Month::of(NOW_MS));
        assert!(request(&mut state, 1, NOW_MS));
        fail(&mut state, 1, "p:1");
        assert_eq!((state.failures, requested(&state)), (1, 0));
        assert_eq!(state.find(&[1]).map(|(_, status)| status), Some(RechargeStatus::Failed));
        for _ in 0..2 {
            state.complete(&[1]);
            assert_eq!((state.failures, requested(&state)), (0, 40), "paid after all");
            assert_eq!(state.find(&[1]).map(|(_, status)| status), Some(RechargeStatus::Paid));
        }
        fail(&mut state, 1, "p:2");
        assert_eq!((state.failures, requested(&state)), (0, 40), "it is paid");
        assert!(request(&mut state, 2, NOW_MS));
        fail(&mut state, 2, "");
        assert_eq!((state.failures, requested(&state)), (1, 80), "no answer in time");
        for report in ["p:3", "p:4"] {
            fail(&mut state, 2, report);
            assert_eq!((state.failures, requested(&state)), (1, 40), "failed after all");
        }
        for id in (3..).take(CLOSED_KEPT) {
            state.close(Recharge { id: vec![id], ..Recharge::default() }, (true, true));
        }
        assert_eq!((state.find(&[2]), state.find(&[9]).is_some()), (None, true));
    }

    #[test]
    fn invalid_settings_are_named() {
        let fields = |settings: AutoRecharge| {
            settings.check().map_err(|invalid| invalid.fields().keys().cloned().collect::<Vec<_>>())
        };
        assert_eq!(fields(SETTINGS), Ok(()));
        assert_eq!(fields(AutoRecharge { amount: 100, ..SETTINGS }), Ok(()));
        for (settings, field) in [
            (AutoRecharge { threshold: 0, ..SETTINGS }, "threshold"),
            (AutoRecharge { amount: 0, ..SETTINGS }, "amount"),
            (AutoRecharge { amount: 101, ..SETTINGS }, "amount"),
            (AutoRecharge { monthly_limit: 0, ..SETTINGS }, "monthly_limit"),
            (AutoRecharge { threshold: MAX_AMOUNT + 1, ..SETTINGS }, "threshold"),
            (AutoRecharge { monthly_limit: MAX_LIMIT + 1, ..SETTINGS }, "monthly_limit"),
        ] {
            assert_eq!(fields(settings), Err(vec![field.to_owned()]), "{settings:?}");
        }
    }
}
