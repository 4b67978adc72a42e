//! What the handsets received: sealed in the sandbox's own file, and kept across restarts.

use std::collections::{HashMap, VecDeque};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use engine::{
    AttemptId, Channel, MessageId, Receipt, SecretText, Subject, Timestamp, VerificationId,
};
use rusqlite::{Connection, params};
use serde::Serialize;
use tokio::sync::{mpsc, oneshot};
use zeroize::Zeroizing;

use super::entry::{Body, Entry, Secret};
use super::scenario::Pickup;
use crate::channels::{Spoken, call_name};
use crate::seal::Sealer;

/// Why an inbox cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum InboxError {
    /// The sandbox's file failed.
    #[error("use the sandbox's file: {0}")]
    File(#[from] rusqlite::Error),
    /// An entry cannot be unsealed.
    #[error("read an entry of a handset's inbox: {0}")]
    Entry(String),
    /// The writer has ended.
    #[error("write to the sandbox: it has stopped")]
    Stopped,
}

/// What one handset received, oldest first.
#[derive(Debug, Default)]
pub struct Inbox {
    /// Messages.
    pub messages: Vec<Sms>,
    /// Calls.
    pub calls: Vec<Call>,
}

/// A message on a handset.
#[derive(Debug)]
pub struct Sms {
    /// Its name.
    pub id: String,
    /// Who it is from.
    pub from: String,
    /// What it says.
    pub text: SecretText,
    /// When it came.
    pub received_at: Timestamp,
}

/// A call to a handset.
#[derive(Debug)]
pub struct Call {
    /// Its name.
    pub id: String,
    /// Who called.
    pub from: String,
    /// When it rang.
    pub started_at: Timestamp,
    /// When it was answered, if it was.
    pub answered_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Timestamp,
    /// What was said; empty if nobody answered.
    pub transcript: SecretText,
    /// What was heard, if somebody answered.
    pub heard: Option<Heard>,
}

/// What a handset heard of a call.
#[derive(Debug)]
pub struct Heard {
    /// What the call speaks.
    pub spoken: Spoken,
    /// Who answered.
    pub(super) pickup: Pickup,
    /// After how long it was hung up, if not all was said.
    pub(super) length_max: Option<Duration>,
}

/// What was kept from the last run.
pub(super) struct Kept {
    /// How far the clock was ahead.
    pub(super) offset: Duration,
    /// What is still to be reported.
    pub(super) reports: Vec<(Timestamp, AttemptId, Receipt)>,
}

/// All inboxes, and the thread that writes them.
pub struct Inboxes {
    shared: Arc<Mutex<Handsets>>,
    sealer: Sealer,
    queue: mpsc::UnboundedSender<Write>,
}

enum Write {
    Deliver(Box<Entry>, Vec<u8>, oneshot::Sender<Result<bool, InboxError>>),
    Reported(AttemptId, Receipt),
    HangUp(AttemptId, Body),
    Erase(u64),
    Offset(Duration, oneshot::Sender<Result<(), InboxError>>),
}

#[derive(Default)]
struct Handsets {
    by_number: HashMap<u64, VecDeque<Item>>,
    attempts: HashMap<AttemptId, u64>,
    order: VecDeque<AttemptId>,
    per_handset_max: usize,
    messages_max: usize,
}

#[derive(Clone)]
struct Item {
    attempt: AttemptId,
    body: Body,
    sealed: Vec<u8>,
}

impl Inboxes {
    pub(super) fn open(
        path: &Path,
        sealer: Sealer,
        per_handset_max: usize,
        messages_max: usize,
    ) -> Result<(Self, Kept), InboxError> {
        let connection = Connection::open(path)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        // What a handset holds outlives the server, which is all that is promised of a sandbox;
        // the system of record is another file.
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        connection.execute_batch(SCHEMA)?;
        let mut handsets = Handsets { per_handset_max, messages_max, ..Handsets::default() };
        let mut kept = Kept { offset: read_offset(&connection)?, reports: Vec::new() };
        read_entries(&connection, &sealer, &mut handsets, &mut kept)?;
        let shared = Arc::new(Mutex::new(handsets));
        let (queue, inbox) = mpsc::unbounded_channel();
        let writer = Writer { connection, shared: Arc::clone(&shared), inbox };
        std::thread::Builder::new()
            .name("sandbox-writer".to_owned())
            .spawn(move || writer.run())
            .map_err(|_| InboxError::Stopped)?;
        Ok((Self { shared, sealer, queue }, kept))
    }

    pub(super) fn inbox(&self, digits: u64) -> Result<Inbox, InboxError> {
        let items: Vec<Item> = {
            let shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
            let items = shared.by_number.get(&digits);
            items.map(|items| items.iter().cloned().collect()).unwrap_or_default()
        };
        let mut inbox = Inbox::default();
        for item in items.into_iter().filter(|item| item.body.shown) {
            let id = item.attempt.to_string();
            let text = self
                .sealer
                .open(&context(item.attempt), &item.sealed)
                .map_err(|e| InboxError::Entry(e.to_string()))?;
            let text = Zeroizing::new(String::from_utf8_lossy(&text).into_owned());
            let Secret { text, spoken } = Secret::parse(&text, item.body.channel);
            let body = item.body;
            match body.channel {
                Channel::Sms => {
                    inbox.messages.push(Sms { id, from: body.from, text, received_at: body.at });
                }
                Channel::Voice => inbox.calls.push(Call {
                    id: call_name(item.attempt),
                    heard: spoken.map(|spoken| Heard {
                        spoken,
                        pickup: body.pickup,
                        length_max: body.heard_for(),
                    }),
                    from: body.from,
                    started_at: body.at,
                    answered_at: body.answered_at,
                    ended_at: body.ended_at,
                    transcript: text,
                }),
            }
        }
        Ok(inbox)
    }

    pub(super) fn last_verification(&self, digits: u64) -> Option<VerificationId> {
        let shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        // A PIN of an account's own may have come after it.
        shared.by_number.get(&digits)?.iter().rev().find_map(|item| match item.attempt.subject {
            Subject::Verification(id) => Some(id),
            Subject::Message(_) => None,
        })
    }

    /// Puts an entry into its inbox; false if it is there already.
    pub(super) async fn deliver(&self, entry: Entry) -> Result<bool, InboxError> {
        let sealed =
            self.sealer.seal(&context(entry.attempt), entry.secret.render().reveal().as_bytes());
        let (reply, answer) = oneshot::channel();
        let write = Write::Deliver(Box::new(entry), sealed, reply);
        self.queue.send(write).map_err(|_| InboxError::Stopped)?;
        answer.await.unwrap_or(Err(InboxError::Stopped))
    }

    /// Notes that a receipt has been taken.
    pub(super) fn reported(&self, attempt: AttemptId, receipt: Receipt) {
        let _ = self.queue.send(Write::Reported(attempt, receipt));
    }

    /// Ends a call that is still going on.
    pub(super) fn hang_up(&self, attempt: AttemptId, now: Timestamp) {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(digits) = shared.attempts.get(&attempt).copied() else { return };
        let items = shared.by_number.get_mut(&digits);
        let item = items.and_then(|items| items.iter_mut().find(|item| item.attempt == attempt));
        let Some(item) = item else { return };
        if item.body.channel == Channel::Voice && item.body.ended_at > now {
            item.body.ended_at = now;
            item.body.is_cut = true;
            let _ = self.queue.send(Write::HangUp(attempt, item.body.clone()));
        }
    }

    /// Empties an inbox.
    pub(super) fn erase(&self, digits: u64) {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        for item in shared.by_number.remove(&digits).unwrap_or_default() {
            shared.attempts.remove(&item.attempt);
        }
        let _ = self.queue.send(Write::Erase(digits));
    }

    /// Keeps how far the clock is ahead.
    pub(super) async fn keep_offset(&self, offset: Duration) -> Result<(), InboxError> {
        let (reply, answer) = oneshot::channel();
        let write = Write::Offset(offset, reply);
        self.queue.send(write).map_err(|_| InboxError::Stopped)?;
        answer.await.unwrap_or(Err(InboxError::Stopped))
    }
}

impl Handsets {
    fn put(&mut self, digits: u64, item: Item) -> Vec<AttemptId> {
        let mut dropped = Vec::new();
        self.attempts.insert(item.attempt, digits);
        self.order.push_back(item.attempt);
        let items = self.by_number.entry(digits).or_default();
        items.push_back(item);
        if items.len() > self.per_handset_max
            && let Some(old) = items.pop_front()
        {
            self.attempts.remove(&old.attempt);
            dropped.push(old.attempt);
        }
        while self.attempts.len() > self.messages_max
            && let Some(old) = self.order.pop_front()
        {
            dropped.extend(self.forget(old));
        }
        // What was dropped for its own handset, or erased, still stands in the order of all.
        if self.order.len() > ORDER_SLACK.max(2 * self.attempts.len()) {
            self.order.retain(|attempt| self.attempts.contains_key(attempt));
        }
        dropped
    }

    fn forget(&mut self, attempt: AttemptId) -> Option<AttemptId> {
        let digits = self.attempts.remove(&attempt)?;
        let items = self.by_number.get_mut(&digits)?;
        items.retain(|item| item.attempt != attempt);
        if items.is_empty() {
            self.by_number.remove(&digits);
        }
        Some(attempt)
    }
}

struct Writer {
    connection: Connection,
    shared: Arc<Mutex<Handsets>>,
    inbox: mpsc::UnboundedReceiver<Write>,
}

impl Writer {
    fn run(mut self) {
        let mut batch = Vec::new();
        while let Some(write) = self.inbox.blocking_recv() {
            batch.push(write);
            while batch.len() < BATCH_MAX
                && let Ok(write) = self.inbox.try_recv()
            {
                batch.push(write);
            }
            self.commit(&mut batch);
        }
    }

    fn commit(&mut self, batch: &mut Vec<Write>) {
        let mut answers = Vec::new();
        let mut moves = Vec::new();
        let begun = self.connection.execute_batch("BEGIN IMMEDIATE");
        let mut failure = begun.err().map(InboxError::from);
        for write in batch.drain(..) {
            match write {
                Write::Deliver(entry, sealed, reply) => {
                    let done = self.deliver(&entry, &sealed);
                    answers.push((reply, done, entry, sealed));
                }
                Write::Reported(attempt, receipt) => {
                    failure = failure.or(self.reported(attempt, receipt).err());
                }
                Write::HangUp(attempt, body) => {
                    failure = failure.or(self.rewrite(attempt, &body).err());
                }
                Write::Erase(digits) => {
                    failure = failure.or(self.erase(digits).err());
                }
                Write::Offset(offset, reply) => {
                    failure = failure.or(self.keep_offset(offset).err());
                    moves.push(reply);
                }
            }
        }
        let committed = self.connection.execute_batch("COMMIT");
        failure = failure.or(committed.err().map(InboxError::from));
        if let Some(error) = &failure {
            tracing::error!(%error, "cannot write the sandbox's file");
            let _ = self.connection.execute_batch("ROLLBACK");
        }
        for reply in moves {
            let _ = reply.send(failure.as_ref().map_or(Ok(()), |_| Err(InboxError::Stopped)));
        }
        for (reply, done, entry, sealed) in answers {
            let answer = if failure.is_some() { Err(InboxError::Stopped) } else { done };
            if matches!(answer, Ok(true)) {
                self.show(&entry, sealed);
            }
            let _ = reply.send(answer);
        }
    }

    fn show(&self, entry: &Entry, sealed: Vec<u8>) {
        let item = Item { attempt: entry.attempt, body: entry.body.clone(), sealed };
        let dropped = {
            let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
            shared.put(entry.digits, item)
        };
        for attempt in dropped {
            // Next time at the latest: entries beyond the limit are dropped when they are read.
            let _ = self.execute("DELETE FROM entry WHERE attempt = ?1", params![key(attempt)]);
        }
    }

    fn deliver(&self, entry: &Entry, sealed: &[u8]) -> Result<bool, InboxError> {
        let body = json(&entry.body)?;
        let reports = json(&entry.reports)?;
        let changed = self.execute(
            "INSERT OR IGNORE INTO entry (attempt, digits, body, sealed, reports)
             VALUES (?1, ?2, ?3, ?4, ?5)",
            params![key(entry.attempt), entry.digits.cast_signed(), body, sealed, reports],
        )?;
        Ok(changed == 1)
    }

    fn reported(&self, attempt: AttemptId, receipt: Receipt) -> Result<(), InboxError> {
        if receipt.status.is_final() {
            let sql = "UPDATE entry SET reports = '[]' WHERE attempt = ?1";
            self.execute(sql, params![key(attempt)])?;
        }
        Ok(())
    }

    fn rewrite(&self, attempt: AttemptId, body: &Body) -> Result<(), InboxError> {
        let sql = "UPDATE entry SET body = ?2 WHERE attempt = ?1";
        self.execute(sql, params![key(attempt), json(body)?])?;
        Ok(())
    }

    fn erase(&self, digits: u64) -> Result<(), InboxError> {
        self.execute("DELETE FROM entry WHERE digits = ?1", [digits.cast_signed()])?;
        Ok(())
    }

    fn keep_offset(&self, offset: Duration) -> Result<(), InboxError> {
        let millis = u64::try_from(offset.as_millis()).unwrap_or(u64::MAX).cast_signed();
        self.execute("UPDATE clock SET offset_ms = ?1", [millis])?;
        Ok(())
    }

    fn execute(&self, sql: &str, params: impl rusqlite::Params) -> Result<usize, InboxError> {
        Ok(self.connection.prepare_cached(sql)?.execute(params)?)
    }
}

fn read_offset(connection: &Connection) -> Result<Duration, InboxError> {
    let millis: i64 = connection.query_row("SELECT offset_ms FROM clock", [], |row| row.get(0))?;
    Ok(Duration::from_millis(millis.cast_unsigned()))
}

fn read_entries(
    connection: &Connection,
    sealer: &Sealer,
    handsets: &mut Handsets,
    kept: &mut Kept,
) -> Result<(), InboxError> {
    let sql = "SELECT attempt, digits, body, sealed, reports FROM entry ORDER BY id";
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query([])?;
    let mut dropped = Vec::new();
    let broken = |e: serde_json::Error| InboxError::Entry(e.to_string());
    while let Some(row) = rows.next()? {
        let attempt_key: Vec<u8> = row.get(0)?;
        let Some(attempt) = attempt_of(&attempt_key) else { continue };
        let body: String = row.get(2)?;
        let reports: String = row.get(4)?;
        let reports: Vec<(Timestamp, Receipt)> = serde_json::from_str(&reports).map_err(broken)?;
        kept.reports.extend(reports.into_iter().map(|(at, receipt)| (at, attempt, receipt)));
        let body = serde_json::from_str(&body).map_err(broken)?;
        let sealed: Vec<u8> = row.get(3)?;
        let sealed = if sealer.is_current(&sealed) {
            sealed
        } else {
            // After a rotation, so that the old key can be taken away.
            let context = context(attempt);
            let opened = sealer.open(&context, &sealed);
            let plain = opened.map_err(|e| InboxError::Entry(e.to_string()))?;
            let sealed = sealer.seal(&context, &plain);
            let sql = "UPDATE entry SET sealed = ?2 WHERE attempt = ?1";
            connection.execute(sql, params![key(attempt), sealed])?;
            sealed
        };
        let item = Item { attempt, body, sealed };
        dropped.extend(handsets.put(row.get::<_, i64>(1)?.cast_unsigned(), item));
    }
    for attempt in dropped {
        connection.execute("DELETE FROM entry WHERE attempt = ?1", [key(attempt)])?;
    }
    Ok(())
}

fn json<T: Serialize>(value: &T) -> Result<String, InboxError> {
    serde_json::to_string(value).map_err(|e| InboxError::Entry(e.to_string()))
}

fn key(attempt: AttemptId) -> Vec<u8> {
    let mut key = match attempt.subject {
        Subject::Verification(id) => id.as_u128().to_be_bytes().to_vec(),
        Subject::Message(id) => id.as_u64().to_be_bytes().to_vec(),
    };
    key.push(attempt.step);
    key
}

fn attempt_of(key: &[u8]) -> Option<AttemptId> {
    let (step, id) = key.split_last()?;
    let subject = if let Ok(bytes) = <[u8; 16]>::try_from(id) {
        Subject::Verification(VerificationId::from_u128(u128::from_be_bytes(bytes)))
    } else {
        Subject::Message(MessageId::from_u64(u64::from_be_bytes(id.try_into().ok()?)))
    };
    Some(AttemptId { subject, step: *step })
}

fn context(attempt: AttemptId) -> Vec<u8> {
    [b"handset".as_slice(), &key(attempt)].concat()
}

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS entry (
        id INTEGER PRIMARY KEY,
        attempt BLOB NOT NULL UNIQUE,
        digits INTEGER NOT NULL,
        body TEXT NOT NULL,
        sealed BLOB NOT NULL,
        reports TEXT NOT NULL
    ) STRICT;
    CREATE TABLE IF NOT EXISTS clock (offset_ms INTEGER NOT NULL) STRICT;
    INSERT INTO clock (offset_ms) SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM clock);
";

const BATCH_MAX: usize = 512;

/// So many places in the order of all messages may be stale before it is tidied. A choice.
const ORDER_SLACK: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn item(number: u32) -> Item {
        let at = Timestamp::from_millis(u64::from(number));
        let subject = Subject::Verification(VerificationId::from_u128(u128::from(number)));
        Item {
            attempt: AttemptId { subject, step: 0 },
            body: Body {
                channel: Channel::Sms,
                from: String::new(),
                at,
                answered_at: None,
                ended_at: at,
                shown: true,
                pickup: Pickup::Person,
                is_cut: false,
            },
            sealed: Vec::new(),
        }
    }

    #[test]
    fn a_handset_that_is_sent_to_without_end_takes_no_more_memory() {
        let mut handsets =
            Handsets { per_handset_max: 2, messages_max: 1_000_000, ..Handsets::default() };
        let dropped: usize = (0..10_000).map(|n| handsets.put(7, item(n)).len()).sum();
        assert_eq!((dropped, handsets.attempts.len()), (9_998, 2));
        assert!(handsets.order.len() <= ORDER_SLACK + 1, "{}", handsets.order.len());
        handsets.messages_max = 2;
        assert_eq!(handsets.put(8, item(10_000)), [item(9_998).attempt], "the oldest goes first");
    }
}
