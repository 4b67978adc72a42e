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
        caches.buckets.read_history(connection, now.before(rate_history))?;
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
    history: HashMap<BucketKey, Vec<Timestamp>>,
    prune_at: usize,
}

impl Buckets {
    /// Returns a bucket's state.
    pub(super) fn tat(&mut self, key: BucketKey, limit: Limit) -> Tat {
        if !self.history.is_empty()
            && let Some(mut starts) = self.history.remove(&key)
        {
            starts.sort_unstable();
            let replayed = starts.into_iter().fold(Tat::default(), |tat, at| {
                // A start that was let in under an older, wider limit does not count.
                limit.admit(tat, at).unwrap_or(tat)
            });
            self.tats.insert(key, replayed);
        }
        self.tats.get(&key).copied().unwrap_or_default()
    }

    /// Keeps a bucket's state; forgets full buckets whenever their number has doubled.
    pub(super) fn put(&mut self, key: BucketKey, tat: Tat, now: Timestamp) {
        self.tats.insert(key, tat);
        if self.tats.len() > self.prune_at.max(BUCKETS_UNPRUNED) {
            self.tats.retain(|_, tat| !Limit::is_idle(*tat, now));
            self.prune_at = self.tats.len() * 2;
        }
    }

    fn read_history(
        &mut self,
        connection: &Connection,
        since: Timestamp,
    ) -> Result<(), StoreError> {
        let mut statement = connection.prepare(
            "SELECT id, account, number_key, prefix_key FROM verification WHERE id >= ?1",
        )?;
        let first = VerificationId::first_at(since).as_u128().to_be_bytes();
        let mut rows = statement.query([first])?;
        while let Some(row) = rows.next()? {
            let id: [u8; 16] = row.get(0)?;
            let at = u64::try_from(u128::from_be_bytes(id) >> 80).unwrap_or_default();
            self.note(row, Timestamp::from_millis(at))?;
        }
        // A row that cannot be read is told of when it is needed; here it must not stop the start.
        let mut statement = connection.prepare(
            "SELECT CAST(json_extract(record, '$.created_at') AS INTEGER),
                 account, number_key, prefix_key
             FROM message WHERE id >= ?1 AND json_valid(record)",
        )?;
        let mut rows = statement.query([signed(MessageId::first_at(since).as_u64())])?;
        while let Some(row) = rows.next()? {
            if let Some(at) = row.get::<_, Option<i64>>(0)? {
                self.note(row, Timestamp::from_millis(unsigned(at)))?;
            }
        }
        Ok(())
    }

    fn note(&mut self, row: &rusqlite::Row<'_>, at: Timestamp) -> Result<(), StoreError> {
        let keys = [
            BucketKey::Account(AccountId(row.get(1)?)),
            BucketKey::Number(unsigned(row.get(2)?)),
            BucketKey::Prefix(unsigned(row.get(3)?)),
        ];
        for key in keys {
            self.history.entry(key).or_default().push(at);
        }
        Ok(())
    }
}

/// What can be due.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Timer {
    /// A verification wants to be woken.
    Verification(VerificationId),
    /// A message wants to be woken.
    Message(MessageId),
}

/// What is due when. Messages live for days, so of theirs only the near ones are here.
#[derive(Debug, Default)]
pub(super) struct Timers {
    machines: BTreeSet<(Timestamp, Timer)>,
    messages_until: Timestamp,
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
            Timer::Verification(_) => true,
            Timer::Message(_) => *at < self.messages_until,
        };
        if let Some(to) = to.filter(near) {
            self.machines.insert((to, timer));
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

    /// Lists sends that are due, at most `limit`.
    pub(super) fn due_sends(&self, now: Timestamp, limit: usize) -> Vec<AttemptId> {
        let due = self.sends.iter().take_while(|(at, _)| *at <= now).take(limit);
        due.map(|(_, attempt)| *attempt).collect()
    }

    /// Returns when the next of each is due.
    pub(super) fn next_due(&self) -> Due {
        let machine = self.machines.first().map(|(at, _)| *at);
        Due {
            machine: Some(machine.map_or(self.messages_until, |at| at.min(self.messages_until))),
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
