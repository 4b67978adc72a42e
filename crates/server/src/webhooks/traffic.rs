//! Which webhooks are under way, and which must wait for their endpoint.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::Bound;

use engine::Timestamp;

use crate::store::WebhookJob;

/// Keeps to the limits: so many webhooks at once, and so many of them to one endpoint.
///
/// What was claimed beyond an endpoint's limit is held back here, where it takes nobody's place,
/// and the endpoint counts as busy until all of that has gone.
#[derive(Default)]
pub(super) struct Traffic {
    in_flight_max: usize,
    per_endpoint_max: usize,
    /// The endpoint of each webhook that is under way.
    under_way: HashMap<i64, u64>,
    /// How many are under way to an endpoint.
    calls: HashMap<u64, usize>,
    held: BTreeMap<u64, VecDeque<Leased>>,
    /// Whose turn it was last.
    last: u64,
}

/// A webhook that was claimed, and until when nobody else may send it.
pub(super) struct Leased {
    pub(super) job: WebhookJob,
    pub(super) until: Timestamp,
}

impl Traffic {
    /// Allows `in_flight_max` webhooks at once, and `per_endpoint_max` of them to one endpoint.
    pub(super) fn new(in_flight_max: usize, per_endpoint_max: usize) -> Self {
        Self { in_flight_max, per_endpoint_max, ..Self::default() }
    }

    /// Returns how many more webhooks may be sent now.
    pub(super) fn room(&self) -> usize {
        self.in_flight_max.saturating_sub(self.under_way.len())
    }

    /// Lists the endpoints that can take no more.
    pub(super) fn busy(&self) -> Vec<u64> {
        let full = self.calls.keys().filter(|endpoint| self.is_full(**endpoint)).copied();
        let mut busy: Vec<u64> = full.chain(self.held.keys().copied()).collect();
        busy.sort_unstable();
        busy.dedup();
        busy
    }

    /// Takes in what was claimed, to be handed out by [`Traffic::depart`].
    ///
    /// A webhook that is under way already is left out: its lease ran out while it was, because
    /// the clock was moved, and what becomes of it will be settled all the same.
    pub(super) fn arrive(&mut self, leased: Leased) {
        if !self.under_way.contains_key(&leased.job.id) {
            self.held.entry(leased.job.endpoint).or_default().push_back(leased);
        }
    }

    /// Returns a webhook that may be sent now, and counts it as under way.
    ///
    /// One whose lease does not last until `lease_past` is dropped: it is due again in the store,
    /// and may have been taken up by somebody else.
    pub(super) fn depart(&mut self, lease_past: Timestamp) -> Option<WebhookJob> {
        while self.room() > 0 {
            let endpoint = self.next_in_turn()?;
            let next = self.held.get_mut(&endpoint).and_then(VecDeque::pop_front);
            if self.held.get(&endpoint).is_none_or(VecDeque::is_empty) {
                self.held.remove(&endpoint);
            }
            if let Some(leased) = next.filter(|leased| leased.until >= lease_past) {
                self.last = endpoint;
                self.under_way.insert(leased.job.id, endpoint);
                *self.calls.entry(endpoint).or_default() += 1;
                return Some(leased.job);
            }
        }
        None
    }

    /// Returns the next endpoint for which something is held back and that can take it.
    fn next_in_turn(&self) -> Option<u64> {
        let after = self.held.range((Bound::Excluded(self.last), Bound::Unbounded));
        let all = after.chain(self.held.range(..=self.last));
        all.map(|(endpoint, _)| *endpoint).find(|endpoint| !self.is_full(*endpoint))
    }

    /// Takes note that a webhook is no longer under way.
    pub(super) fn finish(&mut self, webhook: i64) {
        let Some(endpoint) = self.under_way.remove(&webhook) else { return };
        if let Some(calls) = self.calls.get_mut(&endpoint) {
            *calls -= 1;
            if *calls == 0 {
                self.calls.remove(&endpoint);
            }
        }
    }

    fn is_full(&self, endpoint: u64) -> bool {
        self.calls.get(&endpoint).is_some_and(|calls| *calls >= self.per_endpoint_max)
    }
}

#[cfg(test)]
mod tests {
    use engine::{AccountId, Outcome, VerificationId};

    use super::*;
    use crate::store::{VerificationDetails, VerificationView, WebhookEvent};

    const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);
    const LATER: Timestamp = Timestamp::from_millis(1_700_000_060_000);
    const SLOW: u64 = 1;
    const QUICK: u64 = 2;

    fn leased(id: i64, endpoint: u64) -> Leased {
        let record = engine::VerificationRecord {
            id: VerificationId::from_u128(1),
            account: AccountId(1),
            created_at: NOW,
            policy: engine::Policy {
                workflow: engine::Workflow::preset(1, std::time::Duration::ZERO).unwrap(),
                lifetime: std::time::Duration::ZERO,
                cancel_after: std::time::Duration::ZERO,
                checks_max: 1,
            },
            price: engine::Amount::ZERO,
            state: engine::VerificationState::Ended { outcome: Outcome::Expired, at: NOW },
            attempts: Vec::new(),
            checks: Vec::new(),
            conversion: None,
        };
        let details = VerificationDetails {
            brand: String::new(),
            locale: engine::Locale::for_region("US"),
            originator: None,
            notify: true,
        };
        let verification = Box::new(VerificationView { record, number: None, details });
        let event = WebhookEvent::Outcome { verification, outcome: Outcome::Expired, at: NOW };
        let (account, created_at) = (AccountId(1), NOW);
        let job = WebhookJob { id, account, endpoint, url: None, created_at, tries: 0, event };
        Leased { job, until: LATER }
    }

    /// The ids of everything that may be sent now.
    fn departures(traffic: &mut Traffic, lease_past: Timestamp) -> Vec<i64> {
        std::iter::from_fn(|| traffic.depart(lease_past).map(|job| job.id)).collect()
    }

    #[test]
    fn an_endpoint_at_its_limit_takes_no_place_from_others() {
        let mut traffic = Traffic::new(10, 2);
        (1..=20).for_each(|id| traffic.arrive(leased(id, SLOW)));
        traffic.arrive(leased(21, QUICK));
        assert_eq!(departures(&mut traffic, NOW), [1, 21, 2]);
        assert_eq!((traffic.room(), traffic.busy()), (7, vec![SLOW]));
    }

    #[test]
    fn what_was_held_back_follows_in_order_and_then_the_endpoint_is_free() {
        let mut traffic = Traffic::new(10, 1);
        (1..=2).for_each(|id| traffic.arrive(leased(id, SLOW)));
        assert_eq!(departures(&mut traffic, NOW), [1]);
        traffic.finish(1);
        assert_eq!(traffic.busy(), [SLOW], "the second has not gone yet");
        assert_eq!(departures(&mut traffic, NOW), [2]);
        traffic.finish(2);
        assert_eq!((traffic.room(), traffic.busy()), (10, vec![]));
    }

    #[test]
    fn endpoints_take_turns_when_there_is_little_room() {
        let mut traffic = Traffic::new(1, 1);
        for id in 1..=2 {
            traffic.arrive(leased(id, SLOW));
            traffic.arrive(leased(10 + id, QUICK));
        }
        let mut order = Vec::new();
        while let Some(job) = traffic.depart(NOW) {
            order.push(job.id);
            traffic.finish(job.id);
        }
        assert_eq!(order, [1, 11, 2, 12]);
    }

    #[test]
    fn a_webhook_whose_lease_ends_too_soon_is_left_to_the_store() {
        let mut traffic = Traffic::new(10, 1);
        traffic.arrive(leased(1, SLOW));
        let too_late = LATER.after(std::time::Duration::from_millis(1));
        assert!(departures(&mut traffic, too_late).is_empty());
        assert!(traffic.busy().is_empty(), "nothing is held back any more");
    }

    #[test]
    fn a_webhook_under_way_is_not_sent_a_second_time() {
        let mut traffic = Traffic::new(10, 5);
        traffic.arrive(leased(1, SLOW));
        assert_eq!(departures(&mut traffic, NOW), [1]);
        traffic.arrive(leased(1, SLOW));
        assert!(departures(&mut traffic, NOW).is_empty());
    }
}
