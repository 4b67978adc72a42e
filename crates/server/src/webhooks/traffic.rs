//! Which webhooks are under way, and which must wait for their endpoint.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::Hash;
use std::ops::Bound;

use engine::{AccountId, Timestamp};

use crate::store::{Busy, WebhookJob};

/// Keeps to the limits: so many webhooks at once, so many of them of one account, and so many to
/// one endpoint.
///
/// What arrives beyond a limit is held back here, where it takes nobody's place, and its
/// endpoint counts as busy until most of that has gone. Accounts take turns, and so do the
/// endpoints of one account.
#[derive(Default)]
pub(super) struct Traffic {
    limits: Limits,
    under_way: HashMap<i64, UnderWay>,
    /// How many of an account have had no answer yet.
    of_account: HashMap<AccountId, usize>,
    /// How many to an endpoint have had no answer yet.
    to_endpoint: HashMap<u64, usize>,
    /// How many of those under way have had no answer yet.
    unanswered: usize,
    held: BTreeMap<AccountId, Held>,
    /// How many are held back.
    held_count: usize,
    /// Whose turn it was last.
    last: Option<AccountId>,
}

/// A webhook that is being sent, or has been and is not settled yet.
struct UnderWay {
    account: AccountId,
    endpoint: u64,
    /// How often it was tried before.
    tries: u32,
    /// Whether its endpoint has answered, and can take another.
    is_answered: bool,
}

/// How many webhooks may wait for their answer.
#[derive(Clone, Copy, Default)]
pub(super) struct Limits {
    /// In all.
    pub(super) in_flight: usize,
    /// Of one account.
    pub(super) per_account: usize,
    /// To one endpoint.
    pub(super) per_endpoint: usize,
}

/// What is held back of one account.
#[derive(Default)]
struct Held {
    endpoints: BTreeMap<u64, VecDeque<Leased>>,
    /// Whose turn it was last.
    last: Option<u64>,
}

/// A webhook that is leased to this node, and until when nobody else may send it.
pub(super) struct Leased {
    pub(super) job: WebhookJob,
    pub(super) until: Timestamp,
}

impl Traffic {
    /// Allows as many webhooks at once as the limits say.
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// Returns how many more webhooks may be sent now: none if too many wait to be settled.
    pub(super) fn room(&self) -> usize {
        let settling = self.under_way.len() - self.unanswered;
        let room = self.limits.in_flight.saturating_sub(self.unanswered);
        if settling < UNSETTLED_MAX { room } else { 0 }
    }

    /// Lists the accounts and endpoints that can take no more: the accounts that have their share
    /// under way, and the endpoints for which as many are held back as may be under way to them.
    pub(super) fn busy(&self) -> Busy {
        let accounts = self.of_account.keys().filter(|account| self.has_its_share(**account));
        let held = self.held.values().flat_map(|held| &held.endpoints);
        let enough = held.filter(|(_, queue)| queue.len() >= self.limits.per_endpoint);
        Busy {
            accounts: accounts.copied().collect(),
            endpoints: enough.map(|(endpoint, _)| *endpoint).collect(),
        }
    }

    /// Takes in what was claimed or brought, to be handed out by [`Traffic::depart`].
    ///
    /// A webhook that is under way already is left out: its lease ran out while it was, because
    /// the clock was moved, and what becomes of it will be settled all the same. One that has been
    /// tried once more than the one under way is the next try: the earlier is settled, and its
    /// end has not been noticed yet.
    pub(super) fn arrive(&mut self, leased: Leased) {
        let under_way = self.under_way.get(&leased.job.id).map(|under_way| under_way.tries);
        match under_way {
            Some(tries) if leased.job.tries <= tries => return,
            Some(tries) => self.finish(leased.job.id, tries),
            None => {}
        }
        self.held_count += 1;
        let held = self.held.entry(leased.job.account).or_default();
        held.endpoints.entry(leased.job.endpoint).or_default().push_back(leased);
    }

    /// Returns a webhook that may be sent now, and counts it as under way.
    ///
    /// One whose lease does not last until `lease_past` is dropped: it is due again in the store,
    /// and may have been taken up by somebody else.
    pub(super) fn depart(&mut self, lease_past: Timestamp) -> Option<WebhookJob> {
        while self.room() > 0 {
            let (account, endpoint) = self.next_in_turn()?;
            let Some(leased) = self.take(account, endpoint) else { continue };
            if leased.until >= lease_past {
                self.last = Some(account);
                let tries = leased.job.tries;
                let under_way = UnderWay { account, endpoint, tries, is_answered: false };
                self.under_way.insert(leased.job.id, under_way);
                self.unanswered += 1;
                *self.of_account.entry(account).or_default() += 1;
                *self.to_endpoint.entry(endpoint).or_default() += 1;
                return Some(leased.job);
            }
        }
        None
    }

    /// Returns how many are held back.
    pub(super) fn held(&self) -> usize {
        self.held_count
    }

    /// Takes note that the try of a webhook that followed so many others has had its answer, or
    /// gets none: its endpoint can take the next, while this one waits to be settled.
    pub(super) fn answer(&mut self, webhook: i64, tries: u32) {
        let Some(under_way) = self.under_way.get_mut(&webhook) else { return };
        if under_way.tries == tries && !under_way.is_answered {
            under_way.is_answered = true;
            self.unanswered -= 1;
            count_down(&mut self.of_account, under_way.account);
            count_down(&mut self.to_endpoint, under_way.endpoint);
        }
    }

    /// Takes note that the try of a webhook that followed so many others is settled.
    pub(super) fn finish(&mut self, webhook: i64, tries: u32) {
        self.answer(webhook, tries);
        if self.under_way.get(&webhook).is_some_and(|under_way| under_way.tries == tries) {
            self.under_way.remove(&webhook);
        }
    }

    /// Returns the next account and endpoint for which something is held back and that can take
    /// it.
    fn next_in_turn(&self) -> Option<(AccountId, u64)> {
        in_turn(&self.held, self.last)
            .filter(|(account, _)| !self.has_its_share(**account))
            .find_map(|(account, held)| {
                let mut endpoints = in_turn(&held.endpoints, held.last);
                let free = endpoints.find(|(endpoint, _)| !self.is_full(**endpoint))?;
                Some((*account, *free.0))
            })
    }

    /// Takes out what was held back first of an endpoint.
    fn take(&mut self, account: AccountId, endpoint: u64) -> Option<Leased> {
        let held = self.held.get_mut(&account)?;
        held.last = Some(endpoint);
        let queue = held.endpoints.get_mut(&endpoint)?;
        let leased = queue.pop_front();
        self.held_count -= usize::from(leased.is_some());
        if queue.is_empty() {
            held.endpoints.remove(&endpoint);
        }
        if held.endpoints.is_empty() {
            self.held.remove(&account);
        }
        leased
    }

    fn has_its_share(&self, account: AccountId) -> bool {
        self.of_account.get(&account).is_some_and(|calls| *calls >= self.limits.per_account)
    }

    fn is_full(&self, endpoint: u64) -> bool {
        self.to_endpoint.get(&endpoint).is_some_and(|calls| *calls >= self.limits.per_endpoint)
    }
}

/// Goes round once, from whoever comes after the last.
fn in_turn<K: Copy + Ord, V>(
    all: &BTreeMap<K, V>,
    last: Option<K>,
) -> impl Iterator<Item = (&K, &V)> {
    let after = last.map_or(Bound::Unbounded, Bound::Excluded);
    let before = last.map(|last| all.range(..=last));
    all.range((after, Bound::Unbounded)).chain(before.into_iter().flatten())
}

fn count_down<K: Eq + Hash>(calls: &mut HashMap<K, usize>, key: K) {
    if let Some(count) = calls.get_mut(&key) {
        *count -= 1;
        if *count == 0 {
            calls.remove(&key);
        }
    }
}

/// So many may wait to be settled. Chosen: more than a healthy store ever lets wait, and little
/// enough to be sent again after a crash.
const UNSETTLED_MAX: usize = 1024;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use engine::{Outcome, VerificationId};

    use super::*;
    use crate::store::{VerificationDetails, VerificationView, WebhookEvent};

    const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);
    const LATER: Timestamp = Timestamp::from_millis(1_700_000_060_000);
    const SLOW: u64 = 1;
    const QUICK: u64 = 2;
    const ALICE: AccountId = AccountId(1);
    const BOB: AccountId = AccountId(2);

    fn traffic(in_flight: usize, per_endpoint: usize) -> Traffic {
        let per_account = in_flight;
        Traffic::new(Limits { in_flight, per_account, per_endpoint })
    }

    fn leased(id: i64, endpoint: u64) -> Leased {
        leased_for(ALICE, id, endpoint)
    }

    fn leased_for(account: AccountId, id: i64, endpoint: u64) -> Leased {
        let record = engine::VerificationRecord {
            id: VerificationId::from_u128(1),
            account,
            created_at: NOW,
            policy: engine::Policy {
                workflow: engine::Workflow::preset(1, std::time::Duration::ZERO).unwrap(),
                lifetime: std::time::Duration::ZERO,
                cancel_after: std::time::Duration::ZERO,
                checks_max: 1,
                unconfirmed: None,
            },
            price: engine::Amount::ZERO,
            state: engine::VerificationState::Ended { outcome: Outcome::Expired, at: NOW },
            attempts: Vec::new(),
            checks: Vec::new(),
            cancelled_by: None,
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
        let job = WebhookJob { id, account, endpoint, url: None, created_at: NOW, tries: 0, event };
        Leased { job, until: LATER }
    }

    /// The ids of everything that may be sent now.
    fn departures(traffic: &mut Traffic, lease_past: Timestamp) -> Vec<i64> {
        std::iter::from_fn(|| traffic.depart(lease_past).map(|job| job.id)).collect()
    }

    #[test]
    fn an_endpoint_at_its_limit_takes_no_place_from_others() {
        let mut traffic = traffic(10, 2);
        (1..=20).for_each(|id| traffic.arrive(leased(id, SLOW)));
        traffic.arrive(leased(21, QUICK));
        assert_eq!(departures(&mut traffic, NOW), [1, 21, 2]);
        assert_eq!((traffic.room(), traffic.busy().endpoints), (7, BTreeSet::from([SLOW])));
    }

    #[test]
    fn what_was_held_back_follows_in_order_and_then_the_endpoint_is_free() {
        let mut traffic = traffic(10, 1);
        (1..=2).for_each(|id| traffic.arrive(leased(id, SLOW)));
        assert_eq!(departures(&mut traffic, NOW), [1]);
        traffic.finish(1, 0);
        assert_eq!(traffic.busy().endpoints, BTreeSet::from([SLOW]), "the second has not gone yet");
        assert_eq!(departures(&mut traffic, NOW), [2]);
        traffic.finish(2, 0);
        assert_eq!((traffic.room(), traffic.busy().endpoints), (10, BTreeSet::new()));
    }

    #[test]
    fn an_account_with_many_silent_endpoints_takes_no_more_than_its_share() {
        let limits = Limits { in_flight: 8, per_account: 2, per_endpoint: 1 };
        let mut traffic = Traffic::new(limits);
        (1..=20).for_each(|id| traffic.arrive(leased(id, id.unsigned_abs())));
        traffic.arrive(leased_for(BOB, 21, 21));
        assert_eq!(departures(&mut traffic, NOW), [1, 21, 2]);
        assert_eq!((traffic.room(), traffic.busy().accounts), (5, BTreeSet::from([ALICE])));
        traffic.finish(1, 0);
        assert_eq!(departures(&mut traffic, NOW), [3]);
    }

    #[test]
    fn accounts_take_turns_whatever_each_has_waiting() {
        let mut traffic = traffic(1, 1);
        (1..=3).for_each(|id| traffic.arrive(leased(id, id.unsigned_abs())));
        traffic.arrive(leased_for(BOB, 21, 21));
        traffic.arrive(leased_for(BOB, 22, 22));
        let mut order = Vec::new();
        while let Some(job) = traffic.depart(NOW) {
            order.push(job.id);
            traffic.finish(job.id, 0);
        }
        assert_eq!(order, [1, 21, 2, 22, 3]);
    }

    #[test]
    fn endpoints_take_turns_when_there_is_little_room() {
        let mut traffic = traffic(1, 1);
        for id in 1..=2 {
            traffic.arrive(leased(id, SLOW));
            traffic.arrive(leased(10 + id, QUICK));
        }
        let mut order = Vec::new();
        while let Some(job) = traffic.depart(NOW) {
            order.push(job.id);
            traffic.finish(job.id, 0);
        }
        assert_eq!(order, [1, 11, 2, 12]);
    }

    #[test]
    fn an_endpoint_that_has_answered_takes_the_next_while_the_last_is_being_settled() {
        let mut traffic = traffic(2, 1);
        (1..=3).for_each(|id| traffic.arrive(leased(id, SLOW)));
        assert_eq!(departures(&mut traffic, NOW), [1]);
        traffic.answer(1, 0);
        assert_eq!(departures(&mut traffic, NOW), [2]);
        traffic.answer(2, 0);
        traffic.arrive(leased(1, SLOW));
        assert_eq!(traffic.held(), 1, "what is not settled is not taken in again");
        assert_eq!((departures(&mut traffic, NOW), traffic.held()), (vec![3], 0));
        traffic.finish(1, 0);
        traffic.arrive(leased(1, SLOW));
        assert_eq!(traffic.held(), 1, "and once it is settled, whatever comes is new");
    }

    #[test]
    fn a_webhook_whose_lease_ends_too_soon_is_left_to_the_store() {
        let mut traffic = traffic(10, 1);
        traffic.arrive(leased(1, SLOW));
        let too_late = LATER.after(std::time::Duration::from_millis(1));
        assert!(departures(&mut traffic, too_late).is_empty());
        assert!(traffic.busy().endpoints.is_empty(), "nothing is held back any more");
    }

    #[test]
    fn a_webhook_under_way_is_not_sent_a_second_time() {
        let mut traffic = traffic(10, 5);
        traffic.arrive(leased(1, SLOW));
        assert_eq!(departures(&mut traffic, NOW), [1]);
        traffic.arrive(leased(1, SLOW));
        assert!(departures(&mut traffic, NOW).is_empty());
    }

    #[test]
    fn the_next_try_of_a_webhook_may_come_before_the_end_of_the_last_was_noticed() {
        let mut traffic = traffic(8, 8);
        traffic.arrive(leased(1, 7));
        assert!(traffic.depart(NOW).is_some());
        traffic.arrive(leased(1, 7));
        assert!(traffic.depart(NOW).is_none(), "the same try is under way");
        let mut next = leased(1, 7);
        next.job.tries += 1;
        traffic.arrive(next);
        assert_eq!(traffic.depart(NOW).map(|job| job.tries), Some(1));
        traffic.finish(1, 0);
        assert_eq!(traffic.room(), 7, "the end of the earlier try does not end this one");
        traffic.finish(1, 1);
        assert_eq!(traffic.room(), 8);
    }
}
