//! Forgetting: what is old, and whose owner asks for it.

use engine::{MessageId, VerificationId};
use rusqlite::types::FromSql;
use rusqlite::{Connection, params};

use super::super::rows::signed;
use super::super::{Period, Retention, StoreError};
use super::figures;
use super::writer::Tx;

/// A row that is too old to be kept.
#[derive(Clone, Copy)]
pub(super) enum Old {
    Webhook(i64),
    Verification([u8; 16]),
    Message(i64),
    /// A first answer, by account and key.
    Answer(i64, [u8; 16]),
    /// What a carrier calls a part of which it has never told, by key and time.
    CarrierPart(i64, i64),
    /// A receipt of what is unknown here.
    EarlyReceipt(i64),
    /// All figures of one period, by its length and beginning.
    Figures(i64, i64),
}

/// Finds webhooks that were given up too long ago.
pub(super) fn old_webhooks(
    connection: &Connection,
    retention: Retention,
    limit: usize,
) -> Result<Vec<Old>, StoreError> {
    let before = signed(retention.ended_before.as_millis());
    let sql = "SELECT id FROM webhook WHERE dead_at < ?1 LIMIT ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map([before, bound(limit)], |row| row.get(0).map(Old::Webhook))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Finds machines that have ended, and first answers, that are too old. What a webhook still tells
/// of stays until the webhook is gone: a message can end and be too old at the same moment.
///
/// Whatever is found may still be deleted later: no webhook comes about once a machine has ended.
pub(super) fn old_machines_and_answers(
    connection: &Connection,
    retention: Retention,
    limit: usize,
) -> Result<Vec<Old>, StoreError> {
    let before = retention.ended_before;
    let limit = bound(limit);
    let mut old = Vec::new();
    let mut statement = connection.prepare_cached(
        "SELECT id FROM verification
         WHERE id < ?1 AND wake_at IS NULL AND id NOT IN (SELECT subject FROM webhook)
         LIMIT ?2",
    )?;
    let first = VerificationId::first_at(before).as_u128().to_be_bytes();
    for row in statement.query_map(params![first, limit], |row| row.get(0))? {
        old.push(Old::Verification(row?));
    }
    let mut statement = connection.prepare_cached(
        "SELECT id FROM message
         WHERE id < ?1 AND wake_at IS NULL
             AND unhex(printf('%016X', id)) NOT IN (SELECT subject FROM webhook)
         LIMIT ?2",
    )?;
    let first = signed(MessageId::first_at(before).as_u64());
    for row in statement.query_map([first, limit], |row| row.get(0))? {
        old.push(Old::Message(row?));
    }
    let sql = "SELECT account, key FROM idempotency WHERE at < ?1 LIMIT ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let first = signed(retention.answered_before.as_millis());
    for row in statement.query_map([first, limit], |row| Ok((row.get(0)?, row.get(1)?)))? {
        let (account, key) = row?;
        old.push(Old::Answer(account, key));
    }
    let sql = "SELECT key, at FROM carrier_part WHERE at < ?1 LIMIT ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let first = signed(retention.receipts_before.as_millis());
    for row in statement.query_map([first, limit], |row| Ok((row.get(0)?, row.get(1)?)))? {
        let (key, at) = row?;
        old.push(Old::CarrierPart(key, at));
    }
    let sql = "SELECT id FROM early_receipt WHERE at < ?1 LIMIT ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let first = signed(retention.early_before.as_millis());
    for row in statement.query_map([first, limit], |row| row.get(0))? {
        old.push(Old::EarlyReceipt(row?));
    }
    let sql = "SELECT DISTINCT at FROM figure WHERE period = ?1 AND at < ?2 LIMIT ?3";
    let mut statement = connection.prepare_cached(sql)?;
    for (period, before) in Period::ALL.into_iter().zip(retention.figures_before) {
        let period = figures::seconds(period);
        let which = params![period, signed(before.as_millis()), limit];
        for row in statement.query_map(which, |row| row.get(0))? {
            old.push(Old::Figures(period, row?));
        }
    }
    Ok(old)
}

/// Deletes rows that were found too old.
pub(super) fn delete(tx: &mut Tx<'_>, rows: &[Old]) -> Result<usize, StoreError> {
    let mut gone = 0;
    for row in rows {
        gone += match row {
            // An operator may have put it back since it was found.
            Old::Webhook(id) => {
                tx.execute("DELETE FROM webhook WHERE id = ?1 AND dead_at IS NOT NULL", [id])?
            }
            Old::Verification(id) => tx.execute("DELETE FROM verification WHERE id = ?1", [id])?,
            Old::Message(id) => tx.execute("DELETE FROM message WHERE id = ?1", [id])?,
            Old::Answer(account, key) => {
                let sql = "DELETE FROM idempotency WHERE account = ?1 AND key = ?2";
                tx.execute(sql, params![account, key])?
            }
            Old::CarrierPart(key, at) => {
                tx.execute("DELETE FROM carrier_part WHERE key = ?1 AND at = ?2", [key, at])?
            }
            Old::Figures(period, at) => {
                tx.execute("DELETE FROM figure WHERE period = ?1 AND at = ?2", [period, at])?
            }
            Old::EarlyReceipt(id) => tx.execute("DELETE FROM early_receipt WHERE id = ?1", [id])?,
        };
    }
    Ok(gone)
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

fn bound(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}
