//! Forgetting: what is old, and whose owner asks for it.

use engine::{MessageId, VerificationId};
use rusqlite::types::FromSql;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::super::rows::{from_json, signed, to_json};
use super::super::{MessageDetails, Notify, Period, Retention, StoreError};
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
    /// A message from a handset.
    Inbound(i64),
    /// When a number was answered to HELP, by campaign and number.
    HelpAnswer(i64, i64),
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
    old.extend(old_inbound(connection, retention, limit)?);
    old.extend(old_figures(connection, retention, limit)?);
    Ok(old)
}

/// Finds the periods whose figures are too old.
fn old_figures(
    connection: &Connection,
    retention: Retention,
    limit: i64,
) -> Result<Vec<Old>, StoreError> {
    let mut old = Vec::new();
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

/// Finds messages from handsets that wait for nothing, and answers to HELP, that are too old.
fn old_inbound(
    connection: &Connection,
    retention: Retention,
    limit: i64,
) -> Result<Vec<Old>, StoreError> {
    let mut old = Vec::new();
    let mut statement = connection.prepare_cached(
        "SELECT id FROM inbound
         WHERE id < ?1 AND wait_until IS NULL
             AND unhex(printf('%016X', id)) NOT IN (SELECT subject FROM webhook)
         LIMIT ?2",
    )?;
    let first = signed(MessageId::first_at(retention.ended_before).as_u64());
    for row in statement.query_map([first, limit], |row| row.get(0))? {
        old.push(Old::Inbound(row?));
    }
    let sql = "SELECT campaign, number_key FROM help_answer WHERE at < ?1 LIMIT ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let first = signed(retention.ended_before.as_millis());
    for row in statement.query_map([first, limit], |row| Ok((row.get(0)?, row.get(1)?)))? {
        let (campaign, number_key) = row?;
        old.push(Old::HelpAnswer(campaign, number_key));
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
            Old::Inbound(id) => tx.execute("DELETE FROM inbound WHERE id = ?1", [id])?,
            Old::HelpAnswer(campaign, number_key) => {
                let sql = "DELETE FROM help_answer WHERE campaign = ?1 AND number_key = ?2";
                tx.execute(sql, [campaign, number_key])?
            }
        };
    }
    Ok(gone)
}

/// The rows that hold a number.
pub(super) struct Holders {
    verifications: Vec<[u8; 16]>,
    messages: Vec<i64>,
    /// Those that are to go to a URL with the number in it.
    webhooks: Vec<i64>,
    opt_outs: Vec<(i64, i64)>,
    barred: Vec<i64>,
    inbound: Vec<i64>,
}

/// Finds every row that holds a number. No index leads there: one would cost every start more
/// than this costs the few numbers that are ever erased.
pub(super) fn holders(connection: &Connection, number: u64) -> Result<Holders, StoreError> {
    let webhooks = webhooks_that_name(connection, number)?;
    let number = signed(number);
    Ok(Holders {
        webhooks,
        verifications: column(connection, "SELECT id FROM verification WHERE number = ?1", number)?,
        messages: column(connection, "SELECT id FROM message WHERE number = ?1", number)?,
        opt_outs: {
            let sql = "SELECT campaign, number_key FROM opt_out WHERE number = ?1";
            let mut statement = connection.prepare_cached(sql)?;
            let rows = statement.query_map([number], |row| Ok((row.get(0)?, row.get(1)?)))?;
            rows.collect::<Result<_, _>>()?
        },
        barred: column(connection, "SELECT number_key FROM barred WHERE number = ?1", number)?,
        inbound: column(connection, "SELECT id FROM inbound WHERE number = ?1", number)?,
    })
}

/// Takes the number out of rows that hold it. Its pseudonyms stay, so that rates, opt-outs and
/// bars go on working; what is open runs to its end without sending anything more to it.
pub(super) fn erase(tx: &mut Tx<'_>, number: u64, holders: &Holders) -> Result<usize, StoreError> {
    let mut rows = 0;
    for id in &holders.verifications {
        rows += tx.execute("UPDATE verification SET number = NULL WHERE id = ?1", [id])?;
    }
    for id in &holders.messages {
        rows += erase_message(tx, number, *id)?;
    }
    for id in &holders.webhooks {
        rows += tx.execute("UPDATE webhook SET url = NULL WHERE id = ?1", [id])?;
    }
    for (campaign, key) in &holders.opt_outs {
        let sql = "UPDATE opt_out SET number = NULL WHERE campaign = ?1 AND number_key = ?2";
        rows += tx.execute(sql, [campaign, key])?;
    }
    for id in &holders.inbound {
        // What the owner wrote goes as well, and parts wait for nothing any more.
        let sql = "UPDATE inbound SET number = NULL, text = NULL, wait_until = NULL WHERE id = ?1";
        rows += tx.execute(sql, [id])?;
    }
    for key in &holders.barred {
        rows += tx.execute("UPDATE barred SET number = NULL WHERE number_key = ?1", [key])?;
    }
    Ok(rows)
}

/// Takes the number out of a message, and out of what the caller wrote beside it: accounts put it
/// into their references and the URLs that they name, which then serve nobody any more.
fn erase_message(tx: &mut Tx<'_>, number: u64, id: i64) -> Result<usize, StoreError> {
    let mut statement = tx.prepare("SELECT details FROM message WHERE id = ?1")?;
    let details: Option<String> = statement.query_row([id], |row| row.get(0)).optional()?;
    let Some(details) = details else { return Ok(0) };
    let mut details: MessageDetails = from_json("message", id, &details)?;
    if details.client_ref.as_deref().is_some_and(|text| names(text, number)) {
        details.client_ref = None;
    }
    if matches!(&details.notify, Notify::Url(url) if names(url, number)) {
        details.notify = Notify::Nobody;
    }
    tx.execute(
        "UPDATE message SET number = NULL, details = ?2 WHERE id = ?1",
        params![id, to_json(&details)?],
    )
}

/// Finds the webhooks of a number's messages that would go to a URL with the number in it.
fn webhooks_that_name(connection: &Connection, number: u64) -> Result<Vec<i64>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT id, url FROM webhook
         WHERE url IS NOT NULL
             AND subject IN (SELECT unhex(printf('%016X', id)) FROM message WHERE number = ?1)",
    )?;
    let rows = statement.query_map([signed(number)], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let named =
        |row: &Result<(i64, String), _>| row.as_ref().map_or(true, |(_, url)| names(url, number));
    Ok(rows.filter(named).map(|row| row.map(|(id, _)| id)).collect::<Result<_, _>>()?)
}

/// Whether a text has the number in it, in whatever way it is written: with or without its calling
/// code, spaces and signs. A text that only seems to have it is forgotten with it.
fn names(text: &str, number: u64) -> bool {
    let number = number.to_string();
    let national = number.get(CALLING_CODE_DIGITS_MAX..).unwrap_or(&number);
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    digits.contains(national)
}

/// Calling codes have one to three digits (ITU-T E.164, section 6.2.1).
const CALLING_CODE_DIGITS_MAX: usize = 3;

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
