//! The outbox of attempts: what waits to be sent, and who has leased it.

use std::time::Duration;

use engine::{AttemptId, Need, PassedOver, Subject, Timestamp, Verification};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::super::rows::{from_json, signed, subject_to_blob, to_json};
use super::super::{Claim, Lease, Postponement, SendJob, StoreError};
use super::load::{load_message, load_verification, send_of_message, send_of_verification};
use super::writer::Tx;

/// Puts an attempt on the outbox, leased to whoever takes the turn.
pub(super) fn insert(tx: &mut Tx<'_>, attempt: AttemptId, lease: Lease) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO outbox (subject, step, due_at, tries) VALUES (?1, ?2, ?3, 0)",
        params![subject_to_blob(attempt.subject), attempt.step, signed(lease.until.as_millis())],
    )?;
    tx.caches.timers.set_send(attempt, Some(lease.until));
    Ok(())
}

/// Takes an attempt off the outbox, if it is there.
pub(super) fn remove(tx: &mut Tx<'_>, attempt: AttemptId) -> Result<(), StoreError> {
    if !tx.caches.timers.has_send(attempt) {
        return Ok(());
    }
    tx.execute(
        "DELETE FROM outbox WHERE subject = ?1 AND step = ?2",
        params![subject_to_blob(attempt.subject), attempt.step],
    )?;
    tx.caches.timers.set_send(attempt, None);
    Ok(())
}

/// Has an attempt looked at again at once if its claim has put it off until the end, because a later
/// step may have brought the code.
pub(super) fn take_up_again(tx: &mut Tx<'_>, machine: &Verification, step: u8) {
    let attempt = AttemptId { subject: Subject::Verification(machine.record().id), step };
    if tx.caches.timers.send_due(attempt) == Some(expiry(machine)) {
        tx.caches.timers.set_send(attempt, Some(tx.now));
    }
}

fn expiry(machine: &Verification) -> Timestamp {
    let record = machine.record();
    record.created_at.after(record.policy.lifetime)
}

/// Puts an attempt that was not sent back, unless it was withdrawn meanwhile.
pub(super) fn postpone(tx: &mut Tx<'_>, postponement: &Postponement) -> Result<(), StoreError> {
    let Postponement { attempt, tries, tried, due_at, passed_over } = postponement;
    if !tx.caches.timers.has_send(*attempt) {
        return Ok(());
    }
    let passed_over = (!passed_over.is_empty()).then(|| to_json(passed_over)).transpose()?;
    // The next claim counts one.
    let counted = i64::from(!*tried);
    let changed = tx.execute(
        "UPDATE outbox SET due_at = ?4, passed_over = ?5, tries = tries - ?6
         WHERE subject = ?1 AND step = ?2 AND tries = ?3",
        params![
            subject_to_blob(attempt.subject),
            attempt.step,
            tries,
            signed(due_at.as_millis()),
            passed_over,
            counted,
        ],
    )?;
    if changed > 0 {
        tx.caches.timers.set_send(*attempt, Some(*due_at));
    }
    Ok(())
}

/// Leases what is due to the caller.
pub(super) fn claim(tx: &mut Tx<'_>, claim: Claim) -> Result<Vec<SendJob>, StoreError> {
    let mut jobs = Vec::new();
    for attempt in tx.caches.timers.due_sends(claim.now, claim.limit) {
        match load(tx, attempt) {
            Ok(Due::Now(job)) => {
                push_back(tx, attempt, claim.lease.until)?;
                jobs.push(*job);
            }
            // Its row stays as it is: after a restart it is looked at once more than needed.
            Ok(Due::Perhaps { until }) => {
                let look_at = until.max(claim.now.after(OVERDUE_LOOK));
                tx.caches.timers.set_send(attempt, Some(look_at));
            }
            Ok(Due::Never) => remove(tx, attempt)?,
            Err(error @ StoreError::Corrupt { .. }) => {
                tracing::error!(%error, "cannot send an attempt; it rests until the next start");
                tx.caches.timers.set_send(attempt, None);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(jobs)
}

/// What is to be done with an attempt whose time has come.
enum Due {
    /// A link is to have it.
    Now(Box<SendJob>),
    /// Its next step has begun, and may fail until then.
    Perhaps { until: Timestamp },
    /// Nobody needs it any more.
    Never,
}

fn load(tx: &Tx<'_>, attempt: AttemptId) -> Result<Due, StoreError> {
    let (tries, passed_over) = earlier_tries(tx, attempt)?;
    let job = match attempt.subject {
        Subject::Verification(id) => {
            let Some(loaded) = load_verification(tx, id)? else { return Ok(Due::Never) };
            if loaded.machine.need(attempt.step) == Need::Perhaps {
                return Ok(Due::Perhaps { until: expiry(&loaded.machine) });
            }
            send_of_verification(&loaded, attempt)
        }
        Subject::Message(id) => {
            load_message(tx, id)?.and_then(|loaded| send_of_message(&loaded, attempt))
        }
    };
    let Some(job) = job else { return Ok(Due::Never) };
    Ok(Due::Now(Box::new(SendJob { tries, passed_over, ..job })))
}

/// Frees what the last process had leased: there is only one at a time.
pub(super) fn release_leases(connection: &Connection) -> Result<(), StoreError> {
    connection.execute("UPDATE outbox SET due_at = 0", [])?;
    connection
        .execute("UPDATE webhook SET due_at = leased_from WHERE leased_from IS NOT NULL", [])?;
    connection
        .execute("UPDATE webhook SET leased_from = NULL WHERE leased_from IS NOT NULL", [])?;
    Ok(())
}

/// Only a claim counts as a try: what is postponed was handed out by one, or by its own start. One
/// that was postponed without a try begins at -1.
fn push_back(tx: &mut Tx<'_>, attempt: AttemptId, due_at: Timestamp) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE outbox SET due_at = ?3, tries = tries + 1 WHERE subject = ?1 AND step = ?2",
        params![subject_to_blob(attempt.subject), attempt.step, signed(due_at.as_millis())],
    )?;
    tx.caches.timers.set_send(attempt, Some(due_at));
    Ok(())
}

/// Returns how often an attempt that is claimed was tried, and what was passed over.
fn earlier_tries(tx: &Tx<'_>, attempt: AttemptId) -> Result<(u32, Vec<PassedOver>), StoreError> {
    let mut statement =
        tx.prepare("SELECT tries + 1, passed_over FROM outbox WHERE subject = ?1 AND step = ?2")?;
    let key = params![subject_to_blob(attempt.subject), attempt.step];
    let row = statement.query_row(key, |row| {
        let passed_over: Option<String> = row.get(1)?;
        Ok((row.get(0)?, passed_over))
    });
    let Some((tries, passed_over)) = row.optional()? else { return Ok((0, Vec::new())) };
    let passed_over = passed_over.map(|json| from_json("outbox", attempt, &json));
    Ok((tries, passed_over.transpose()?.unwrap_or_default()))
}

/// How long a node has to send what a timer set off before others may take it up.
pub(super) const LEASE: Duration = Duration::from_mins(1);

/// How often an attempt is looked at whose verification is about to end and has not yet.
const OVERDUE_LOOK: Duration = Duration::from_secs(5);
