//! Which webhooks are due when: one queue for each endpoint, of whose far end only the file knows.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::ops::Bound;

use engine::{AccountId, Timestamp};
use rusqlite::{Connection, params};

use super::super::rows::{signed, unsigned};
use super::super::{Busy, StoreError};

/// Where a webhook waits.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Place {
    /// Whose it is.
    pub(super) account: AccountId,
    /// The key of its endpoint, which is of one account only.
    pub(super) endpoint: u64,
    /// When it is due.
    pub(super) due_at: Timestamp,
}

/// A webhook by its time; of one time, the older comes first.
type Due = (Timestamp, i64);

/// The webhooks that wait. What one endpoint has left undone costs no other a look: finding what
/// is due takes steps for each account and endpoint, never for each webhook.
#[derive(Debug, Default)]
pub(super) struct WebhookQueue {
    accounts: BTreeMap<AccountId, OfAccount>,
    /// The first of every endpoint.
    firsts: BTreeSet<(Timestamp, AccountId, u64)>,
    /// The webhooks that are kept here.
    places: HashMap<i64, Place>,
    /// The endpoints of which the file alone knows more.
    drained: BTreeSet<(AccountId, u64)>,
    /// Whose turn it was last.
    last: Option<AccountId>,
}

#[derive(Debug, Default)]
struct OfAccount {
    endpoints: BTreeMap<u64, OfEndpoint>,
    /// The first of each endpoint.
    firsts: BTreeSet<(Timestamp, u64)>,
}

#[derive(Debug, Default)]
struct OfEndpoint {
    /// All that comes before `rest`.
    near: BTreeSet<Due>,
    /// From here on only the file knows what waits.
    rest: Option<Due>,
}

impl WebhookQueue {
    /// Reads what waits from the file.
    pub(super) fn read(connection: &Connection) -> Result<Self, StoreError> {
        let mut queue = Self::default();
        // In the order of its index, so that the far end of a queue is passed by, not moved about.
        let mut statement = connection.prepare(
            "SELECT id, account, endpoint, due_at FROM webhook WHERE dead_at IS NULL
             ORDER BY account, endpoint, due_at",
        )?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let place = Place {
                account: AccountId(row.get(1)?),
                endpoint: unsigned(row.get(2)?),
                due_at: Timestamp::from_millis(unsigned(row.get(3)?)),
            };
            queue.set(row.get(0)?, Some(place));
        }
        Ok(queue)
    }

    /// Moves a webhook: `None` takes it off. The file must say the same.
    pub(super) fn set(&mut self, id: i64, to: Option<Place>) {
        if let Some(old) = self.places.remove(&id) {
            self.change(old.account, old.endpoint, |queue| {
                queue.near.remove(&(old.due_at, id));
            });
        }
        if let Some(to) = to {
            self.places.insert(id, to);
            let left = self.change(to.account, to.endpoint, |queue| queue.insert((to.due_at, id)));
            if let Some(left) = left {
                self.places.remove(&left);
            }
        }
    }

    /// Lists webhooks that are due and not for anyone busy, at most `limit`. The accounts take
    /// turns, from one list to the next as well.
    pub(super) fn due(
        &mut self,
        connection: &Connection,
        now: Timestamp,
        limit: usize,
        busy: &Busy,
    ) -> Result<Vec<(i64, Place)>, StoreError> {
        self.read_on(connection, now)?;
        let last = self.last.unwrap_or(AccountId(u32::MAX));
        let after = self.accounts.range((Bound::Excluded(last), Bound::Unbounded));
        let mut turns: VecDeque<_> = after
            .chain(self.accounts.range(..=last))
            .filter(|(account, queues)| queues.is_due(now) && !busy.accounts.contains(account))
            .map(|(account, queues)| (*account, queues.due(now, &busy.endpoints)))
            .collect();
        let (mut due, mut last) = (Vec::new(), last);
        while due.len() < limit
            && let Some((account, mut queues)) = turns.pop_front()
        {
            if let Some(id) = queues.next() {
                due.extend(self.places.get(&id).map(|place| (id, *place)));
                last = account;
                turns.push_back((account, queues));
            }
        }
        drop(turns);
        self.last = Some(last);
        Ok(due)
    }

    /// Returns when the next is due, or earlier.
    pub(super) fn next_due(&self) -> Option<Timestamp> {
        self.firsts.first().map(|(at, _, _)| *at)
    }

    /// Reads on where all that was read is gone and more may be due.
    fn read_on(&mut self, connection: &Connection, now: Timestamp) -> Result<(), StoreError> {
        let first = |(account, endpoint): &(AccountId, u64)| {
            self.accounts.get(account)?.endpoints.get(endpoint)?.first()
        };
        let reached = self.drained.iter().filter(|key| first(key).is_some_and(|at| at <= now));
        for (account, endpoint) in reached.copied().collect::<Vec<_>>() {
            // Nothing is kept of this queue, so whatever the file has comes after what is known.
            self.change(account, endpoint, |queue| queue.rest = None);
            let mut statement = connection.prepare_cached(
                "SELECT id, due_at FROM webhook
                 WHERE account = ?1 AND endpoint = ?2 AND dead_at IS NULL
                 ORDER BY due_at, id LIMIT ?3",
            )?;
            let limit = i64::try_from(NEAR_MAX + 1).unwrap_or(i64::MAX);
            let mut rows = statement.query(params![account.0, signed(endpoint), limit])?;
            while let Some(row) = rows.next()? {
                let due_at = Timestamp::from_millis(unsigned(row.get(1)?));
                self.set(row.get(0)?, Some(Place { account, endpoint, due_at }));
            }
        }
        Ok(())
    }

    /// Changes an endpoint's queue, and whatever is known of its first.
    fn change<T>(
        &mut self,
        account: AccountId,
        endpoint: u64,
        change: impl FnOnce(&mut OfEndpoint) -> T,
    ) -> T {
        let queues = self.accounts.entry(account).or_default();
        let queue = queues.endpoints.entry(endpoint).or_default();
        let before = queue.first();
        let result = change(queue);
        let after = queue.first();
        if queue.near.is_empty() && queue.rest.is_some() {
            self.drained.insert((account, endpoint));
        } else {
            self.drained.remove(&(account, endpoint));
        }
        if before != after {
            if let Some(at) = before {
                queues.firsts.remove(&(at, endpoint));
                self.firsts.remove(&(at, account, endpoint));
            }
            if let Some(at) = after {
                queues.firsts.insert((at, endpoint));
                self.firsts.insert((at, account, endpoint));
            }
        }
        if after.is_none() {
            queues.endpoints.remove(&endpoint);
        }
        if queues.endpoints.is_empty() {
            self.accounts.remove(&account);
        }
        result
    }
}

impl OfAccount {
    fn is_due(&self, now: Timestamp) -> bool {
        self.firsts.first().is_some_and(|(at, _)| *at <= now)
    }

    /// Returns what is due, the endpoint that has waited longest first.
    fn due<'a>(
        &'a self,
        now: Timestamp,
        busy: &'a BTreeSet<u64>,
    ) -> impl Iterator<Item = i64> + 'a {
        let endpoints = self.firsts.iter().take_while(move |(at, _)| *at <= now);
        let free = endpoints.filter(|(_, endpoint)| !busy.contains(endpoint));
        let queues = free.filter_map(|(_, endpoint)| self.endpoints.get(endpoint));
        queues.flat_map(move |queue| {
            queue.near.iter().take_while(move |(at, _)| *at <= now).map(|(_, id)| *id)
        })
    }
}

impl OfEndpoint {
    /// Takes a webhook in; answers which one is left to the file for it, if one is.
    fn insert(&mut self, due: Due) -> Option<i64> {
        if self.rest.is_some_and(|rest| due >= rest) {
            return Some(due.1);
        }
        self.near.insert(due);
        if self.near.len() <= NEAR_MAX {
            return None;
        }
        self.rest = self.near.pop_last();
        self.rest.map(|(_, id)| id)
    }

    fn first(&self) -> Option<Timestamp> {
        self.near.first().or(self.rest.as_ref()).map(|(at, _)| *at)
    }
}

/// So many webhooks of one endpoint are kept in memory. Chosen: a few claims' worth.
const NEAR_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);
    const ALICE: AccountId = AccountId(1);
    const BOB: AccountId = AccountId(2);
    const SLOW: u64 = 10;
    const QUICK: u64 = 11;
    const BOBS: u64 = 20;

    fn place(account: AccountId, endpoint: u64, due_at: Timestamp) -> Place {
        Place { account, endpoint, due_at }
    }

    /// A file as it is on disk, and the queue over it.
    struct Bench {
        file: Connection,
        queue: WebhookQueue,
    }

    impl Bench {
        fn new() -> Self {
            let file = Connection::open_in_memory().unwrap();
            file.execute_batch(include_str!("schema.sql")).unwrap();
            Self { file, queue: WebhookQueue::default() }
        }

        fn put(&mut self, id: i64, place: Place) {
            self.file
                .prepare_cached(
                    "INSERT INTO webhook (id, account, endpoint, subject, notice, happened_at,
                     created_at, due_at, tries, part) VALUES (?1, ?2, ?3, x'', '', 0, 0, ?4, 0, 0)
                     ON CONFLICT (id) DO UPDATE SET due_at = excluded.due_at",
                )
                .unwrap()
                .execute(params![
                    id,
                    place.account.0,
                    signed(place.endpoint),
                    signed(place.due_at.as_millis())
                ])
                .unwrap();
            self.queue.set(id, Some(place));
        }

        fn done(&mut self, id: i64) {
            self.file.execute("DELETE FROM webhook WHERE id = ?1", [id]).unwrap();
            self.queue.set(id, None);
        }

        fn due(&mut self, limit: usize, busy: &Busy) -> Vec<i64> {
            let due = self.queue.due(&self.file, NOW, limit, busy).unwrap();
            due.into_iter().map(|(id, _)| id).collect()
        }
    }

    #[test]
    fn a_silent_endpoint_costs_others_no_step_and_little_memory() {
        let mut bench = Bench::new();
        for id in 1..=5_000 {
            bench.put(id, place(ALICE, SLOW, NOW));
        }
        bench.put(5_001, place(ALICE, QUICK, NOW));
        let busy = Busy { endpoints: BTreeSet::from([SLOW]), ..Busy::default() };
        assert_eq!(bench.due(64, &busy), [5_001]);
        assert_eq!(bench.queue.places.len(), NEAR_MAX + 1, "the file keeps the rest");
        assert_eq!(bench.queue.firsts.len(), 2, "one is looked at for each endpoint");
    }

    #[test]
    fn everything_in_the_file_comes_in_order_however_much_there_is() {
        let mut bench = Bench::new();
        let count = 3 * i64::try_from(NEAR_MAX).unwrap();
        for id in 1..=count {
            // The later come first, so that what is kept is pushed out again.
            let due_at = NOW.before(std::time::Duration::from_millis(id.unsigned_abs()));
            bench.put(id, place(ALICE, SLOW, due_at));
        }
        bench.queue = WebhookQueue::read(&bench.file).unwrap();
        let mut seen = Vec::new();
        while let Some(&id) = bench.due(1, &Busy::default()).first() {
            seen.push(id);
            bench.done(id);
        }
        assert!(seen.iter().copied().eq((1..=count).rev()), "{seen:?}");
        assert_eq!(bench.queue.next_due(), None);
        assert!(bench.queue.accounts.is_empty() && bench.queue.drained.is_empty());
    }

    #[test]
    fn what_is_put_off_beyond_what_is_kept_comes_back_when_it_is_due() {
        let mut bench = Bench::new();
        let later = NOW.after(std::time::Duration::from_mins(1));
        let count = 2 * i64::try_from(NEAR_MAX).unwrap();
        (1..=count).for_each(|id| bench.put(id, place(ALICE, SLOW, NOW)));
        (1..=count).for_each(|id| bench.put(id, place(ALICE, SLOW, later)));
        assert!(bench.due(64, &Busy::default()).is_empty(), "all were put off");
        bench.put(7, place(ALICE, SLOW, NOW));
        assert_eq!(bench.due(64, &Busy::default()), [7]);
        let all = bench.queue.due(&bench.file, later, usize::MAX, &Busy::default()).unwrap();
        assert!(all.len() >= NEAR_MAX, "{}", all.len());
    }

    #[test]
    fn accounts_take_turns() {
        let mut bench = Bench::new();
        (1..=9).for_each(|id| bench.put(id, place(ALICE, 100 + id.unsigned_abs(), NOW)));
        bench.put(10, place(BOB, BOBS, NOW));
        assert_eq!(bench.due(3, &Busy::default()), [1, 10, 2]);
        bench.done(1);
        assert_eq!(bench.due(1, &Busy::default()), [10], "it is Bob's turn, late as he is");
        let busy = Busy { accounts: BTreeSet::from([BOB]), ..Busy::default() };
        assert_eq!(bench.due(1, &busy), [2]);
    }
}
