//! The outbox of webhooks: what waits to be told, and what was given up.

use std::time::Duration;

use engine::{AccountId, MessageId, Outcome, Receipt, Subject, Timestamp};
use rusqlite::{Connection, params};
use serde::{Deserialize, Serialize};

use super::super::rows::{
    from_json, signed, subject_from_blob, subject_to_blob, to_json, unsigned,
};
use super::super::{
    Busy, Claim, DeadWebhook, Lease, SettledTry, Settlement, StoreError, WebhookEvent, WebhookJob,
    WebhookSubject,
};
use super::load::{LoadedMessage, LoadedVerification};
use super::webhook_queue::Place;
use super::writer::Tx;
use super::{inbound, read};

/// A notice as it is stored.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum NoticeRow {
    Outcome(Outcome),
    Receipt(Receipt),
    /// The subject is a message from a handset.
    Inbound,
}

/// Puts a receipt of a part of a message on the outbox. The first webhook of an operation is leased
/// to whoever asked for that, and returned.
pub(super) fn insert_receipt(
    tx: &mut Tx<'_>,
    loaded: &LoadedMessage,
    url: Option<&str>,
    receipt: Receipt,
    part: u8,
) -> Result<Option<WebhookJob>, StoreError> {
    let record = loaded.machine.record();
    let (account, subject) = (record.account, Subject::Message(record.id));
    let notice = NoticeRow::Receipt(receipt);
    let lease = tx.webhook_lease.take();
    let (id, endpoint) = insert_row(tx, account, url, subject, notice, part, lease)?;
    let (at, url) = (tx.now, url.map(str::to_owned));
    Ok(lease.map(|_| {
        let message = Box::new(loaded.view());
        let event = WebhookEvent::Receipt { message, part, receipt, at };
        WebhookJob { id, account, endpoint, url, created_at: at, tries: 0, event }
    }))
}

/// Puts the outcome of a verification on the outbox, as [`insert_receipt`] does a receipt.
pub(super) fn insert_outcome(
    tx: &mut Tx<'_>,
    loaded: &LoadedVerification,
    outcome: Outcome,
) -> Result<Option<WebhookJob>, StoreError> {
    let record = loaded.machine.record();
    let (account, subject) = (record.account, Subject::Verification(record.id));
    let notice = NoticeRow::Outcome(outcome);
    let lease = tx.webhook_lease.take();
    let (id, endpoint) = insert_row(tx, account, None, subject, notice, 0, lease)?;
    let at = tx.now;
    Ok(lease.map(|_| {
        let verification = Box::new(loaded.view());
        let event = WebhookEvent::Outcome { verification, outcome, at };
        WebhookJob { id, account, endpoint, url: None, created_at: at, tries: 0, event }
    }))
}

/// Puts a message from a handset on the outbox.
pub(super) fn insert_inbound(
    tx: &mut Tx<'_>,
    account: AccountId,
    id: MessageId,
) -> Result<(), StoreError> {
    insert_row(tx, account, None, Subject::Message(id), NoticeRow::Inbound, 0, None)?;
    Ok(())
}

fn insert_row(
    tx: &mut Tx<'_>,
    account: AccountId,
    url: Option<&str>,
    subject: Subject,
    notice: NoticeRow,
    part: u8,
    lease: Option<Lease>,
) -> Result<(i64, u64), StoreError> {
    let endpoint = endpoint_key(account, url, notice);
    let now = tx.now;
    let due_at = lease.map_or(now, |lease| lease.until);
    let leased_from = lease.map(|_| signed(now.as_millis()));
    tx.execute(
        "INSERT INTO webhook
         (account, endpoint, url, subject, notice, happened_at, created_at, due_at, leased_from,
          tries, part)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6, ?7, ?8, 0, ?9)",
        params![
            account.0,
            signed(endpoint),
            url,
            subject_to_blob(subject),
            to_json(&notice)?,
            signed(now.as_millis()),
            signed(due_at.as_millis()),
            leased_from,
            part,
        ],
    )?;
    let id = tx.last_id();
    tx.caches.timers.webhooks.set(id, Some(Place { account, endpoint, due_at }));
    Ok((id, endpoint))
}

/// Leases what is due to the caller.
pub(super) fn claim(
    tx: &mut Tx<'_>,
    claim: Claim,
    busy: &Busy,
) -> Result<Vec<WebhookJob>, StoreError> {
    let mut jobs = Vec::new();
    let connection = tx.connection();
    let due = tx.caches.timers.webhooks.due(connection, claim.now, claim.limit, busy)?;
    for (id, place) in due {
        match load(tx, id, place.endpoint) {
            Ok(Some(job)) => {
                lease(tx, id, place, claim.lease.until)?;
                jobs.push(job);
            }
            // What it was about has been erased or purged.
            Ok(None) => remove(tx, id)?,
            Err(error @ StoreError::Corrupt { .. }) => {
                tracing::error!(%error, "cannot tell a webhook; it rests for a day");
                lease(tx, id, place, claim.now.after(CORRUPT_REST))?;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(jobs)
}

fn lease(tx: &mut Tx<'_>, id: i64, place: Place, until: Timestamp) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE webhook SET leased_from = due_at, due_at = ?2 WHERE id = ?1",
        params![id, signed(until.as_millis())],
    )?;
    tx.caches.timers.webhooks.set(id, Some(Place { due_at: until, ..place }));
    Ok(())
}

/// Takes webhooks off the outbox, or plans their next tries, or gives them up.
pub(super) fn settle(tx: &mut Tx<'_>, settled: &[SettledTry]) -> Result<(), StoreError> {
    for one in settled {
        match settle_one(tx, one) {
            Ok(()) => {}
            Err(error @ StoreError::Corrupt { .. }) => {
                tracing::error!(%error, "cannot settle a webhook; it is tried again later");
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn settle_one(tx: &mut Tx<'_>, settled: &SettledTry) -> Result<(), StoreError> {
    let SettledTry { id, tries, ref settlement } = *settled;
    match settlement {
        // What was delivered needs no other try, whoever is at it.
        Settlement::Done => remove(tx, id),
        Settlement::Retry { due_at, error } => {
            let changed = tx.execute(
                "UPDATE webhook SET due_at = ?3, leased_from = NULL, tries = tries + 1, error = ?4
                 WHERE id = ?1 AND tries = ?2 AND dead_at IS NULL",
                params![id, tries, signed(due_at.as_millis()), error],
            )?;
            if changed > 0 {
                let place = place(tx, id)?;
                tx.caches.timers.webhooks.set(id, place);
            }
            Ok(())
        }
        Settlement::Dead { at, error } => {
            let changed = tx.execute(
                "UPDATE webhook SET dead_at = ?3, leased_from = NULL, tries = tries + 1, error = ?4
                 WHERE id = ?1 AND tries = ?2 AND dead_at IS NULL",
                params![id, tries, signed(at.as_millis()), error],
            )?;
            if changed > 0 {
                tx.caches.timers.webhooks.set(id, None);
            }
            Ok(())
        }
    }
}

fn remove(tx: &mut Tx<'_>, id: i64) -> Result<(), StoreError> {
    if let Some(message) = inbound_of(tx, id)? {
        inbound::told(tx, message)?;
    }
    tx.execute("DELETE FROM webhook WHERE id = ?1", [id])?;
    tx.caches.timers.webhooks.set(id, None);
    Ok(())
}

/// Puts a webhook that was given up back, to be tried as if it were new. What it tells, and when
/// that happened, stays.
pub(super) fn replay(tx: &mut Tx<'_>, id: i64) -> Result<bool, StoreError> {
    let now = tx.now;
    let changed = tx.execute(
        "UPDATE webhook SET dead_at = NULL, due_at = ?2, created_at = ?2, tries = 0
         WHERE id = ?1 AND dead_at IS NOT NULL",
        params![id, signed(now.as_millis())],
    )?;
    if changed == 0 {
        return Ok(false);
    }
    let place = place(tx, id)?;
    tx.caches.timers.webhooks.set(id, place);
    Ok(true)
}

/// Returns where a webhook waits, `None` if it is gone or was given up.
fn place(tx: &Tx<'_>, id: i64) -> Result<Option<Place>, StoreError> {
    let mut statement = tx.prepare(
        "SELECT account, endpoint, due_at FROM webhook WHERE id = ?1 AND dead_at IS NULL",
    )?;
    let mut rows = statement.query([id])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    Ok(Some(Place {
        account: AccountId(row.get(0)?),
        endpoint: unsigned(row.get(1)?),
        due_at: Timestamp::from_millis(unsigned(row.get(2)?)),
    }))
}

/// Returns the message from a handset that a webhook is about, if it is about one.
fn inbound_of(tx: &Tx<'_>, id: i64) -> Result<Option<MessageId>, StoreError> {
    let mut statement = tx.prepare("SELECT subject, notice FROM webhook WHERE id = ?1")?;
    let mut rows = statement.query([id])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let (subject, notice): (Vec<u8>, String) = (row.get(0)?, row.get(1)?);
    Ok(match about(id, &subject, &notice)? {
        WebhookSubject::Inbound(message) => Some(message),
        WebhookSubject::Message(_) | WebhookSubject::Verification(_) => None,
    })
}

fn about(id: i64, subject: &[u8], notice: &str) -> Result<WebhookSubject, StoreError> {
    Ok(match (subject_from_blob("webhook", subject)?, from_json("webhook", id, notice)?) {
        (Subject::Message(message), NoticeRow::Inbound) => WebhookSubject::Inbound(message),
        (Subject::Message(message), _) => WebhookSubject::Message(message),
        (Subject::Verification(verification), _) => WebhookSubject::Verification(verification),
    })
}

/// Lists what was given up, newest first.
pub(super) fn dead(connection: &Connection, limit: usize) -> Result<Vec<DeadWebhook>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT id, account, url, subject, happened_at, dead_at, tries, error, notice FROM webhook
         WHERE dead_at IS NOT NULL ORDER BY dead_at DESC LIMIT ?1",
    )?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut rows = statement.query([limit])?;
    let mut dead = Vec::new();
    while let Some(row) = rows.next()? {
        let subject: Vec<u8> = row.get(3)?;
        dead.push(DeadWebhook {
            id: row.get(0)?,
            account: AccountId(row.get(1)?),
            url: row.get(2)?,
            subject: about(row.get(0)?, &subject, &row.get::<_, String>(8)?)?,
            created_at: Timestamp::from_millis(unsigned(row.get(4)?)),
            dead_at: Timestamp::from_millis(unsigned(row.get(5)?)),
            tries: row.get(6)?,
            error: row.get::<_, Option<String>>(7)?.unwrap_or_default(),
        });
    }
    Ok(dead)
}

fn load(tx: &Tx<'_>, id: i64, endpoint: u64) -> Result<Option<WebhookJob>, StoreError> {
    let mut statement = tx.prepare(
        "SELECT account, url, subject, notice, happened_at, tries, part, created_at
         FROM webhook WHERE id = ?1",
    )?;
    let mut rows = statement.query([id])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let subject: Vec<u8> = row.get(2)?;
    let notice: String = row.get(3)?;
    let at = Timestamp::from_millis(unsigned(row.get(4)?));
    let notice = from_json("webhook", id, &notice)?;
    let event = match (subject_from_blob("webhook", &subject)?, notice) {
        (Subject::Message(message), NoticeRow::Receipt(receipt)) => {
            let message = read::message(tx.connection(), message)?.map(Box::new);
            let part = row.get(6)?;
            message.map(|message| WebhookEvent::Receipt { message, part, receipt, at })
        }
        (Subject::Verification(verification), NoticeRow::Outcome(outcome)) => {
            let verification = read::verification(tx.connection(), verification)?.map(Box::new);
            verification.map(|verification| WebhookEvent::Outcome { verification, outcome, at })
        }
        (Subject::Message(id), NoticeRow::Inbound) => {
            inbound::view(tx, id)?.map(|view| WebhookEvent::Inbound(Box::new(view)))
        }
        (Subject::Message(_), NoticeRow::Outcome(_))
        | (Subject::Verification(_), NoticeRow::Receipt(_) | NoticeRow::Inbound) => {
            return Err(StoreError::Corrupt {
                table: "webhook",
                row: id.to_string(),
                reason: "the notice does not fit its subject".to_owned(),
            });
        }
    };
    let Some(event) = event else { return Ok(None) };
    Ok(Some(WebhookJob {
        id,
        account: AccountId(row.get(0)?),
        endpoint,
        url: row.get(1)?,
        created_at: Timestamp::from_millis(unsigned(row.get(7)?)),
        tries: row.get(5)?,
        event,
    }))
}

/// What webhooks are told apart by when one endpoint answers slowly: the host that a request
/// named, or which of the account's own URLs it is.
fn endpoint_key(account: AccountId, url: Option<&str>, notice: NoticeRow) -> u64 {
    let host = match (url, notice) {
        (Some(url), _) => url.split(['/', '?', '#']).nth(2).unwrap_or(url),
        (None, NoticeRow::Receipt(_)) => "",
        // No host has a space in it.
        (None, NoticeRow::Outcome(_)) => " ",
        (None, NoticeRow::Inbound) => "  ",
    };
    let mut key = u64::from(account.0) ^ FNV_OFFSET;
    for byte in host.bytes() {
        key = (key ^ u64::from(byte)).wrapping_mul(FNV_PRIME);
    }
    key
}

/// How long a webhook that cannot be read is left alone: until the next start, or so long.
const CORRUPT_REST: Duration = Duration::from_hours(24);

/// FNV-1a: a short, stable hash for keys that nobody attacks to any gain.
const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;
