//! Forgetting: what is old, and whose owner asks for it.

use engine::{MessageId, VerificationId};
use rusqlite::params;

use super::super::rows::signed;
use super::super::{Retention, StoreError};
use super::writer::Tx;

/// Deletes what is too old, and what was remembered for it. What a webhook still tells of stays
/// until the webhook is gone: a message can end and be too old at the same moment.
pub(super) fn purge(
    tx: &mut Tx<'_>,
    retention: Retention,
    limit: usize,
) -> Result<usize, StoreError> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let before = retention.ended_before;
    let webhooks = tx.execute(
        "DELETE FROM webhook WHERE id IN (
             SELECT id FROM webhook WHERE dead_at < ?1 LIMIT ?2)",
        params![signed(before.as_millis()), limit],
    )?;
    let verifications = tx.execute(
        "DELETE FROM verification WHERE id IN (
             SELECT id FROM verification
             WHERE id < ?1 AND wake_at IS NULL AND id NOT IN (SELECT subject FROM webhook)
             LIMIT ?2)",
        params![VerificationId::first_at(before).as_u128().to_be_bytes(), limit],
    )?;
    let messages = tx.execute(
        "DELETE FROM message WHERE id IN (
             SELECT id FROM message
             WHERE id < ?1 AND wake_at IS NULL
                 AND unhex(printf('%016X', id)) NOT IN (SELECT subject FROM webhook)
             LIMIT ?2)",
        params![signed(MessageId::first_at(before).as_u64()), limit],
    )?;
    let answers = tx.execute(
        "DELETE FROM idempotency WHERE (account, key) IN (
             SELECT account, key FROM idempotency WHERE at < ?1 LIMIT ?2)",
        params![signed(retention.answered_before.as_millis()), limit],
    )?;
    Ok(verifications + messages + webhooks + answers)
}

/// Takes a number out of every row that holds it. Its pseudonyms stay, so that rates, opt-outs and
/// bars go on working; what is open runs to its end without sending anything more to it.
pub(super) fn erase(tx: &mut Tx<'_>, number: u64) -> Result<usize, StoreError> {
    let mut rows = 0;
    for table in ["verification", "message", "opt_out", "barred"] {
        let sql = format!("UPDATE {table} SET number = NULL WHERE number = ?1");
        rows += tx.execute(&sql, [signed(number)])?;
    }
    Ok(rows)
}
