//! What is also kept in memory: copies of the file, rebuilt from it at start.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::Duration;

use engine::{AccountId, Amount, AttemptId, Limit, MessageId, Tat, Timestamp, VerificationId};
use rusqlite::Connection;

use super::super::rows::{signed, subject_from_blob, unsigned};
use super::webhook_queue::WebhookQueue;
use super::{Due, StoreError};

/// Everything that the writer keeps in memory.
#[derive(Debug, Default)]
pub(super) struct Caches {
    /// The open verification of an account and a number's pseudonym.
    pub(super) open: HashMap<(AccountId, u64), VerificationId>,
    /// The money of each account.
    pub(super) funds: HashMap<AccountId, Funds>,
    /// The rates.
    pub(super) buckets: Buckets,
    /// What is due when.
    pub(super) timers: Timers,
    /// Who opted out of which campaign, by the number's pseudonym.
    pub(super) opted_out: HashSet<(u32, u64)>,
    /// Which numbers are barred, by pseudonym.
    pub(super) barred: HashSet<u64>,
}

/// The money of one account.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Funds {
    /// What it has.
    pub(super) balance: Amount,
    /// What its open verifications may still cost.
    pub(super) held: Amount,
    /// Whether the balance differs from the file's.
    pub(super) dirty: bool,
}

impl Caches {
    /// Reads everything back from the file.
    pub(super) fn rebuild(
        connection: &Connection,
        now: Timestamp,
        rate_history: Duration,
    ) -> Result<Self, StoreError> {
        let mut caches = Self::default();
        caches.read_funds(connection)?;
        caches.read_open(connection)?;
        caches.read_lists(connection)?;
        caches.timers.read_outboxes(connection)?;
        caches.timers.read_messages(connection, now)?;
        caches.timers.read_inbound(connection)?;
        caches.buckets.read_history(connection, now, rate_history)?;
        Ok(caches)
    }

    fn read_funds(&mut self, connection: &Connection) -> Result<(), StoreError> {
        let mut statement = connection.prepare("SELECT id, balance FROM account")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let balance = Amount::from_units(row.get(1)?);
            let funds = Funds { balance, ..Funds::default() };
            self.funds.insert(AccountId(row.get(0)?), funds);
        }
        Ok(())
    }

    fn read_open(&mut self, connection: &Connection) -> Result<(), StoreError> {
        let mut statement = connection.prepare(
            "SELECT id, account, number_key, price, wake_at FROM verification
             WHERE wake_at IS NOT NULL",
        )?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let id = VerificationId::from_u128(u128::from_be_bytes(row.get(0)?));
            let account = AccountId(row.get(1)?);
            self.open.insert((account, unsigned(row.get(2)?)), id);
            let funds = self.funds.entry(account).or_default();
            funds.held = funds.held + Amount::from_units(row.get(3)?);
            let wake_at = Timestamp::from_millis(unsigned(row.get(4)?));
            self.timers.set(Timer::Verification(id), None, Some(wake_at));
        }
        Ok(())
    }

    fn read_lists(&mut self, connection: &Connection) -> Result<(), StoreError> {
        let mut statement = connection
            .prepare("SELECT campaign, number_key FROM opt_out WHERE opted_out_at IS NOT NULL")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            self.opted_out.insert((row.get(0)?, unsigned(row.get(1)?)));
        }
        let mut statement = connection.prepare("SELECT number_key FROM barred")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            self.barred.insert(unsigned(row.get(0)?));
        }
        Ok(())
    }
}

/// What a rate is kept of.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) enum BucketKey {
    /// Starts of an account.
    Account(AccountId),
    /// Starts to a number, by pseudonym.
    Number(u64),
    /// Starts to a block of numbers, by pseudonym.
    Prefix(u64),
}

/// The rates. After a restart a bucket is first a list of past starts, which are replayed
/// through its limit when the limit is known: at the next start that it concerns.
#[derive(Debug, Default)]
pub(super) struct Buckets {
    tats: HashMap<BucketKey, Tat>,
    history: History,
    prune_at: usize,
}

impl Buckets {
    /// Returns a bucket's state.
    pub(super) fn tat(&mut self, key: BucketKey, limit: Limit) -> Tat {
        if let Some(tat) = self.tats.get(&key) {
            return *tat;
        }
        // A start that was let in under an older, wider limit does not count.
        let replay = |tat, at| limit.admit(tat, at).unwrap_or(tat);
        let tat = self.history.starts(key).fold(Tat::default(), replay);
        if tat != Tat::default() {
            self.tats.insert(key, tat);
        }
        tat
    }

    /// Keeps a bucket's state; forgets full buckets whenever their number has doubled, and the
    /// starts before the restart when no limit looks back at them any more.
    pub(super) fn put(&mut self, key: BucketKey, tat: Tat, now: Timestamp) {
        self.tats.insert(key, tat);
        if self.tats.len() > self.prune_at.max(BUCKETS_UNPRUNED) {
            self.tats.retain(|_, tat| !Limit::is_idle(*tat, now));
            self.prune_at = self.tats.len() * 2;
        }
        if now >= self.history.until {
            self.history = History::default();
        }
    }

    fn read_history(
        &mut self,
        connection: &Connection,
        now: Timestamp,
        window: Duration,
    ) -> Result<(), StoreError> {
        let since = now.before(window);
        let present = now.since(since).as_millis();
        let mut accounts = Vec::new();
        let mut numbers = Vec::new();
        let mut prefixes = Vec::new();
        let mut note = |row: &rusqlite::Row<'_>, after_ms: u128| -> Result<(), StoreError> {
            // The clock may have been ahead when the start was let in. It still counts, but not
            // for longer than one that was let in just now.
            let after = u32::try_from(after_ms.min(present)).unwrap_or(u32::MAX);
            accounts.push((u64::from(row.get::<_, u32>(1)?), after));
            numbers.push((unsigned(row.get(2)?), after));
            prefixes.push((unsigned(row.get(3)?), after));
            Ok(())
        };
        // Both identifiers begin with the time, so that no record has to be read.
        let first = VerificationId::first_at(since).as_u128();
        let mut statement = connection.prepare(
            "SELECT id, account, number_key, prefix_key FROM verification WHERE id >= ?1",
        )?;
        let mut rows = statement.query([first.to_be_bytes()])?;
        while let Some(row) = rows.next()? {
            let id = u128::from_be_bytes(row.get(0)?);
            note(row, id.saturating_sub(first) >> VERIFICATION_TIME_SHIFT)?;
        }
        let first = MessageId::first_at(since).as_u64();
        let mut statement = connection
            .prepare("SELECT id, account, number_key, prefix_key FROM message WHERE id >= ?1")?;
        let mut rows = statement.query([signed(first)])?;
        while let Some(row) = rows.next()? {
            let id = unsigned(row.get(0)?);
            note(row, u128::from(id.saturating_sub(first) >> MESSAGE_TIME_SHIFT))?;
        }
        self.history = History {
            since,
            until: now.after(window),
            accounts: Starts::sort(accounts),
            numbers: Starts::sort(numbers),
            prefixes: Starts::sort(prefixes),
        };
        Ok(())
    }
}

/// The starts before a restart.
#[derive(Debug, Default)]
struct History {
    since: Timestamp,
    until: Timestamp,
    accounts: Starts,
    numbers: Starts,
    prefixes: Starts,
}

impl History {
    /// Lists the starts that a bucket has seen, the oldest first.
    fn starts(&self, key: BucketKey) -> impl Iterator<Item = Timestamp> {
        let times = match key {
            BucketKey::Account(account) => self.accounts.times(u64::from(account.0)),
            BucketKey::Number(number) => self.numbers.times(number),
            BucketKey::Prefix(prefix) => self.prefixes.times(prefix),
        };
        times.iter().map(|ms| self.since.after(Duration::from_millis(u64::from(*ms))))
    }
}

/// Past starts by key. There may be a million of them, each key most often with one: so they lie
/// in three arrays, which go back to the system when they are dropped, as a million small lists
/// would not.
#[derive(Debug, Default)]
struct Starts {
    /// Each key once, in order.
    keys: Vec<u64>,
    /// Where in `times` those of each key end.
    ends: Vec<u32>,
    /// Milliseconds since the beginning of the history.
    times: Vec<u32>,
}

impl Starts {
    fn sort(mut pairs: Vec<(u64, u32)>) -> Self {
        pairs.sort_unstable();
        let mut starts = Self::default();
        starts.times.reserve_exact(pairs.len());
        for (key, time) in pairs {
            starts.times.push(time);
            let end = u32::try_from(starts.times.len()).unwrap_or(u32::MAX);
            if starts.keys.last() == Some(&key)
                && let Some(last) = starts.ends.last_mut()
            {
                *last = end;
            } else {
                starts.keys.push(key);
                starts.ends.push(end);
            }
        }
        starts.keys.shrink_to_fit();
        starts.ends.shrink_to_fit();
        starts
    }

    fn times(&self, key: u64) -> &[u32] {
        let Ok(index) = self.keys.binary_search(&key) else { return &[] };
        let end_of = |index: usize| {
            let end = self.ends.get(index).copied().unwrap_or_default();
            usize::try_from(end).unwrap_or(usize::MAX)
        };
        let begin = index.checked_sub(1).map_or(0, end_of);
        self.times.get(begin..end_of(index)).unwrap_or_default()
    }
}

/// What can be due.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Timer {
    /// A verification wants to be woken.
    Verification(VerificationId),
    /// A message wants to be woken.
    Message(MessageId),
    /// A part of a message from a handset waits for the others no longer.
    Inbound(MessageId),
}

/// What is due when. Messages live for days, so of theirs only the near ones are here.
#[derive(Debug, Default)]
pub(super) struct Timers {
    machines: BTreeSet<(Timestamp, Timer)>,
    messages_until: Timestamp,
    /// No message further away than that is due before.
    messages_next: Option<Timestamp>,
    sends: BTreeSet<(Timestamp, AttemptId)>,
    send_due: BTreeMap<AttemptId, Timestamp>,
    /// The webhooks.
    pub(super) webhooks: WebhookQueue,
}

impl Timers {
    /// Moves a machine's timer.
    pub(super) fn set(&mut self, timer: Timer, from: Option<Timestamp>, to: Option<Timestamp>) {
        if let Some(from) = from {
            self.machines.remove(&(from, timer));
        }
        let near = |at: &Timestamp| match timer {
            Timer::Verification(_) | Timer::Inbound(_) => true,
            Timer::Message(_) => *at < self.messages_until,
        };
        match to {
            Some(to) if near(&to) => {
                self.machines.insert((to, timer));
            }
            Some(to) => {
                self.messages_next = Some(self.messages_next.map_or(to, |next| next.min(to)));
            }
            None => {}
        }
    }

    /// Lists machines that are due, and since when, at most `limit`. Waking them moves their timers.
    pub(super) fn due_machines(
        &mut self,
        connection: &Connection,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<(Timestamp, Timer)>, StoreError> {
        if now >= self.messages_until {
            self.read_messages(connection, now)?;
        }
        let due = self.machines.iter().take_while(|(at, _)| *at <= now).take(limit);
        Ok(due.copied().collect())
    }

    /// Moves a send: `None` takes it off.
    pub(super) fn set_send(&mut self, attempt: AttemptId, due_at: Option<Timestamp>) {
        let old = match due_at {
            Some(at) => self.send_due.insert(attempt, at),
            None => self.send_due.remove(&attempt),
        };
        if let Some(old) = old {
            self.sends.remove(&(old, attempt));
        }
        if let Some(at) = due_at {
            self.sends.insert((at, attempt));
        }
    }

    /// Whether an attempt waits.
    pub(super) fn has_send(&self, attempt: AttemptId) -> bool {
        self.send_due.contains_key(&attempt)
    }

    /// Returns when an attempt that waits is due.
    pub(super) fn send_due(&self, attempt: AttemptId) -> Option<Timestamp> {
        self.send_due.get(&attempt).copied()
    }

    /// Lists sends that are due, at most `limit`.
    pub(super) fn due_sends(&self, now: Timestamp, limit: usize) -> Vec<AttemptId> {
        let due = self.sends.iter().take_while(|(at, _)| *at <= now).take(limit);
        due.map(|(_, attempt)| *attempt).collect()
    }

    /// Returns when the next of each is due.
    pub(super) fn next_due(&self) -> Due {
        let near = self.machines.first().map(|(at, _)| *at);
        Due {
            machine: near.into_iter().chain(self.messages_next).min(),
            send: self.sends.first().map(|(at, _)| *at),
            webhook: self.webhooks.next_due(),
        }
    }

    fn read_messages(&mut self, connection: &Connection, now: Timestamp) -> Result<(), StoreError> {
        self.messages_until = now.after(MESSAGES_NEAR);
        let mut statement =
            connection.prepare_cached("SELECT id, wake_at FROM message WHERE wake_at < ?1")?;
        let mut rows = statement.query([signed(self.messages_until.as_millis())])?;
        while let Some(row) = rows.next()? {
            let id = MessageId::from_u64(unsigned(row.get(0)?));
            let at = Timestamp::from_millis(unsigned(row.get(1)?));
            self.machines.insert((at, Timer::Message(id)));
        }
        let mut statement =
            connection.prepare_cached("SELECT min(wake_at) FROM message WHERE wake_at >= ?1")?;
        let until = signed(self.messages_until.as_millis());
        let next: Option<i64> = statement.query_row([until], |row| row.get(0))?;
        self.messages_next = next.map(|at| Timestamp::from_millis(unsigned(at)));
        Ok(())
    }

    fn read_inbound(&mut self, connection: &Connection) -> Result<(), StoreError> {
        let mut statement = connection
            .prepare("SELECT id, wait_until FROM inbound WHERE wait_until IS NOT NULL")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let id = MessageId::from_u64(unsigned(row.get(0)?));
            let at = Timestamp::from_millis(unsigned(row.get(1)?));
            self.set(Timer::Inbound(id), None, Some(at));
        }
        Ok(())
    }

    fn read_outboxes(&mut self, connection: &Connection) -> Result<(), StoreError> {
        let mut statement = connection.prepare("SELECT subject, step, due_at FROM outbox")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let blob: Vec<u8> = row.get(0)?;
            let subject = subject_from_blob("outbox", &blob)?;
            let attempt = AttemptId { subject, step: row.get(1)? };
            self.set_send(attempt, Some(Timestamp::from_millis(unsigned(row.get(2)?))));
        }
        self.webhooks = WebhookQueue::read(connection)?;
        Ok(())
    }
}

/// How far ahead the timers of messages are kept.
const MESSAGES_NEAR: Duration = Duration::from_mins(10);

/// So many buckets are kept without looking for full ones.
const BUCKETS_UNPRUNED: usize = 10_000;

/// Above these bits an identifier is a number of milliseconds.
const VERIFICATION_TIME_SHIFT: u32 = 80;
const MESSAGE_TIME_SHIFT: u32 = 23;

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: Timestamp = Timestamp::from_millis(1_795_305_600_000);
    const HOUR: Duration = Duration::from_hours(1);

    #[test]
    fn past_starts_are_found_by_their_key_in_order_of_time() {
        let starts = Starts::sort(vec![(7, 30), (u64::MAX, 1), (7, 10), (3, 5), (7, 20)]);
        assert_eq!(starts.times(7), [10, 20, 30]);
        assert_eq!(starts.times(3), [5]);
        assert_eq!(starts.times(u64::MAX), [1]);
        assert!(starts.times(0).is_empty() && starts.times(8).is_empty());
    }

    #[test]
    fn starts_before_a_restart_are_forgotten_once_no_limit_looks_back_at_them() {
        let limit = Limit::new(1, HOUR);
        let tat = limit.admit(Tat::default(), NOON).unwrap();
        let number = BucketKey::Number(7);
        let history = || History {
            since: NOON.before(HOUR),
            until: NOON.after(HOUR),
            numbers: Starts::sort(vec![(7, 3_600_000)]),
            ..History::default()
        };
        let mut buckets = Buckets { history: history(), ..Buckets::default() };
        let later = NOON.after(HOUR);
        buckets.put(BucketKey::Number(8), tat, later.before(Duration::from_millis(1)));
        assert_eq!(buckets.tat(number, limit), tat, "it still counts");

        let mut buckets = Buckets { history: history(), ..Buckets::default() };
        buckets.put(BucketKey::Number(8), tat, later);
        assert_eq!(buckets.history.numbers.times.capacity(), 0, "its memory is free");
        assert_eq!(buckets.tat(number, limit), Tat::default());
    }
}
