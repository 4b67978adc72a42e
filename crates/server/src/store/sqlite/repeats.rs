//! Starts that come again: how they are known, and what they are answered.

use engine::{AccountId, Amount, MessageId, MessageRecord, Refusal, Subject};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::super::rows::{from_json, signed, subject_from_blob, subject_to_blob, unsigned};
use super::super::{Effects, IdempotencyKey, StartMessage, StartVerification, Started, StoreError};
use super::writer::Tx;

/// Returns the first answer to a start that is repeated under its key.
pub(super) fn first_answer(
    connection: &Connection,
    account: AccountId,
    key: &IdempotencyKey,
) -> Result<Option<Result<Started, Refusal>>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT fingerprint, subject, price, balance, parts FROM idempotency
         WHERE account = ?1 AND key = ?2",
    )?;
    let row = statement
        .query_row(params![account.0, key.key], |row| {
            let fingerprint: [u8; 16] = row.get(0)?;
            let subject: Vec<u8> = row.get(1)?;
            let (price, balance): (i64, i64) = (row.get(2)?, row.get(3)?);
            Ok((fingerprint, subject, price, balance, row.get(4)?))
        })
        .optional()?;
    let Some((fingerprint, subject, price, balance, parts)) = row else { return Ok(None) };
    if fingerprint != key.fingerprint {
        return Ok(Some(Err(Refusal::IdempotencyMismatch)));
    }
    let subject = subject_from_blob("idempotency", &subject)?;
    let (price, balance) = (Amount::from_units(price), Amount::from_units(balance));
    Ok(Some(Ok(repeat(subject, price, balance, parts))))
}

/// Keeps the first answer for a repeat under the same key.
pub(super) fn remember(
    tx: &mut Tx<'_>,
    account: AccountId,
    key: Option<&IdempotencyKey>,
    started: &Started,
) -> Result<(), StoreError> {
    let Some(key) = key else { return Ok(()) };
    tx.execute(
        "INSERT INTO idempotency
         (account, key, fingerprint, subject, price, balance, parts, at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        params![
            account.0,
            key.key,
            key.fingerprint,
            subject_to_blob(started.subject),
            started.price.units(),
            started.balance.units(),
            started.parts,
            signed(tx.now.as_millis()),
        ],
    )?;
    Ok(())
}

/// Answers a verification that was started before, if this is one. Its name is drawn at random,
/// so that the same name, account and number are the same start.
pub(super) fn verification(
    tx: &Tx<'_>,
    start: &StartVerification,
) -> Result<Option<Result<Started, Refusal>>, StoreError> {
    let account = start.new.account;
    if let Some(key) = &start.idempotency
        && let Some(answer) = first_answer(tx.connection(), account, key)?
    {
        return Ok(Some(answer));
    }
    let id = start.new.id;
    let mut statement = tx.prepare(
        "SELECT price FROM verification WHERE id = ?1 AND account = ?2 AND number_key = ?3",
    )?;
    let whose = params![id.as_u128().to_be_bytes(), account.0, signed(start.keys.number)];
    let price: Option<i64> = statement.query_row(whose, |row| row.get(0)).optional()?;
    Ok(price.map(|price| {
        let price = Amount::from_units(price);
        Ok(repeat(Subject::Verification(id), price, balance(tx, account), 0))
    }))
}

/// What is known of a message before it is let in.
pub(super) enum Known {
    /// It is new, and this name is free.
    New(MessageId),
    /// It was started before, and this is the answer.
    Repeat(Result<Started, Refusal>),
}

/// Finds out whether a message was started before. A name that another message has taken is no
/// sign of that: there is too little chance in it, so the next one is looked at.
pub(super) fn message(tx: &Tx<'_>, start: &StartMessage) -> Result<Known, StoreError> {
    let account = start.new.account;
    if let Some(key) = &start.idempotency
        && let Some(answer) = first_answer(tx.connection(), account, key)?
    {
        return Ok(Known::Repeat(answer));
    }
    let asked = (account, start.keys.number, start.nonce);
    let mut statement =
        tx.prepare("SELECT account, number_key, nonce, record FROM message WHERE id = ?1")?;
    let mut id = start.new.id;
    loop {
        let row = statement.query_row([signed(id.as_u64())], |row| {
            let taken = (AccountId(row.get(0)?), unsigned(row.get(1)?), unsigned(row.get(2)?));
            let record = if taken == asked { Some(row.get::<_, String>(3)?) } else { None };
            Ok(record)
        });
        match row.optional()? {
            None => return Ok(Known::New(id)),
            Some(None) => id = id.next(),
            Some(Some(record)) => {
                let record: MessageRecord = from_json("message", id, &record)?;
                let balance = balance(tx, account);
                let answer = repeat(Subject::Message(id), record.price, balance, record.parts);
                return Ok(Known::Repeat(Ok(answer)));
            }
        }
    }
}

fn balance(tx: &Tx<'_>, account: AccountId) -> Amount {
    tx.caches.funds.get(&account).copied().unwrap_or_default().balance
}

fn repeat(subject: Subject, price: Amount, balance: Amount, parts: u8) -> Started {
    Started { subject, price, balance, parts, replayed: true, effects: Effects::default() }
}
