//! Forgetting: what is old, and whose owner asks for it.

use engine::{MessageId, VerificationId};
use rusqlite::types::FromSql;
use rusqlite::{Connection, params};

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

/// The rows that hold a number.
pub(super) struct Holders {
    verifications: Vec<[u8; 16]>,
    messages: Vec<i64>,
    opt_outs: Vec<(i64, i64)>,
    barred: Vec<i64>,
}

/// Finds every row that holds a number. No index leads there: one would cost every start more
/// than this costs the few numbers that are ever erased.
pub(super) fn holders(connection: &Connection, number: u64) -> Result<Holders, StoreError> {
    let number = signed(number);
    Ok(Holders {
        verifications: column(connection, "SELECT id FROM verification WHERE number = ?1", number)?,
        messages: column(connection, "SELECT id FROM message WHERE number = ?1", number)?,
        opt_outs: {
            let sql = "SELECT campaign, number_key FROM opt_out WHERE number = ?1";
            let mut statement = connection.prepare_cached(sql)?;
            let rows = statement.query_map([number], |row| Ok((row.get(0)?, row.get(1)?)))?;
            rows.collect::<Result<_, _>>()?
        },
        barred: column(connection, "SELECT number_key FROM barred WHERE number = ?1", number)?,
    })
}

/// Takes the number out of rows that hold it. Its pseudonyms stay, so that rates, opt-outs and
/// bars go on working; what is open runs to its end without sending anything more to it.
pub(super) fn erase(tx: &mut Tx<'_>, holders: &Holders) -> Result<usize, StoreError> {
    let mut rows = 0;
    for id in &holders.verifications {
        rows += tx.execute("UPDATE verification SET number = NULL WHERE id = ?1", [id])?;
    }
    for id in &holders.messages {
        rows += tx.execute("UPDATE message SET number = NULL WHERE id = ?1", [id])?;
    }
    for (campaign, key) in &holders.opt_outs {
        let sql = "UPDATE opt_out SET number = NULL WHERE campaign = ?1 AND number_key = ?2";
        rows += tx.execute(sql, [campaign, key])?;
    }
    for key in &holders.barred {
        rows += tx.execute("UPDATE barred SET number = NULL WHERE number_key = ?1", [key])?;
    }
    Ok(rows)
}

fn column<T: FromSql>(
    connection: &Connection,
    sql: &str,
    number: i64,
) -> Result<Vec<T>, StoreError> {
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map([number], |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}
