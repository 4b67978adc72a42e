//! Reads machines back from their rows, and proves that they are in a legal state.

use engine::{
    AccountId, AttemptId, Code, Message, MessageId, MessageStatus, Need, SecretText, Verification,
    VerificationId,
};
use rusqlite::OptionalExtension as _;

use super::super::rows::{from_json, signed, unsigned};
use super::super::{
    Content, MessageDetails, MessageView, SendJob, StoreError, VerificationDetails,
    VerificationView,
};
use super::writer::Tx;

/// A verification with what surrounds it.
pub(super) struct LoadedVerification {
    pub(super) machine: Verification,
    /// The number's digits, `None` once erased.
    pub(super) number: Option<u64>,
    pub(super) number_key: u64,
    pub(super) details: VerificationDetails,
}

/// A message with what surrounds it.
pub(super) struct LoadedMessage {
    pub(super) machine: Message,
    /// The number's digits, `None` once erased.
    pub(super) number: Option<u64>,
    pub(super) details: MessageDetails,
}

impl LoadedVerification {
    /// Returns what may be shown of it.
    pub(super) fn view(&self) -> VerificationView {
        VerificationView {
            record: self.machine.record().clone(),
            number: self.number,
            details: self.details.clone(),
        }
    }
}

impl LoadedMessage {
    /// Returns what may be shown of it.
    pub(super) fn view(&self) -> MessageView {
        MessageView {
            record: self.machine.record().clone(),
            number: self.number,
            details: self.details.clone(),
        }
    }
}

/// What a link needs to send an attempt of a verification; `None` while a later step may make it
/// needless, and once it has ended, the number has been erased, or a receipt has told that the
/// carrier has it, though whoever handed it over may have died before it could say so.
pub(super) fn send_of_verification(
    loaded: &LoadedVerification,
    attempt: AttemptId,
) -> Option<SendJob> {
    let record = loaded.machine.record();
    let expires_at = record.created_at.after(record.policy.lifetime);
    let sent = record.attempts.get(usize::from(attempt.step))?;
    if loaded.machine.need(attempt.step) != Need::Now {
        return None;
    }
    Some(SendJob {
        attempt,
        account: record.account,
        channel: sent.channel,
        number: loaded.number?,
        originator: loaded.details.originator.clone(),
        content: Content::Code {
            code: loaded.machine.code()?.clone(),
            brand: loaded.details.brand.clone(),
            locale: loaded.details.locale,
            lifetime: record.policy.lifetime,
        },
        accepted_at: record.created_at,
        queued_at: sent.progress_at,
        expires_at,
        tries: 0,
        passed_over: Vec::new(),
        avoid: sent.passage.link.clone(),
    })
}

/// What a link needs to send a message; `None` once a carrier has it, as its answer or a receipt
/// tells, or the number has been erased.
pub(super) fn send_of_message(loaded: &LoadedMessage, attempt: AttemptId) -> Option<SendJob> {
    let record = loaded.machine.record();
    if record.status != MessageStatus::Queued {
        return None;
    }
    Some(SendJob {
        attempt,
        account: record.account,
        channel: engine::Channel::Sms,
        number: loaded.number?,
        originator: Some(loaded.details.originator.clone()),
        content: Content::Text(loaded.machine.text()?.clone()),
        accepted_at: record.created_at,
        queued_at: record.status_at,
        expires_at: record.expires_at,
        tries: 0,
        passed_over: Vec::new(),
        avoid: record.passage.link.clone(),
    })
}

pub(super) fn load_verification(
    tx: &Tx<'_>,
    id: VerificationId,
) -> Result<Option<LoadedVerification>, StoreError> {
    let key = id.as_u128().to_be_bytes();
    let mut statement = tx.prepare(
        "SELECT number, number_key, code, record, details FROM verification WHERE id = ?1",
    )?;
    let row = statement
        .query_row([key], |row| {
            let number: Option<i64> = row.get(0)?;
            let sealed: Option<Vec<u8>> = row.get(2)?;
            let record: String = row.get(3)?;
            let details: String = row.get(4)?;
            Ok((number, row.get(1)?, sealed, record, details))
        })
        .optional()?;
    let Some((number, number_key, sealed, record, details)) = row else { return Ok(None) };
    let corrupt =
        |reason: String| StoreError::Corrupt { table: "verification", row: id.to_string(), reason };
    let code = match sealed {
        None => None,
        Some(sealed) => {
            let opened = tx.sealer.open(&key, &sealed).map_err(|e| corrupt(e.to_string()))?;
            let digits = core::str::from_utf8(&opened).ok().and_then(Code::parse);
            Some(digits.ok_or_else(|| corrupt("the sealed code is no code".to_owned()))?)
        }
    };
    let record = from_json("verification", id, &record)?;
    let machine = Verification::restore(record, code).map_err(|e| corrupt(e.to_string()))?;
    Ok(Some(LoadedVerification {
        machine,
        number: number.map(unsigned),
        number_key: unsigned(number_key),
        details: from_json("verification", id, &details)?,
    }))
}

pub(super) fn load_owned(
    tx: &Tx<'_>,
    account: AccountId,
    id: VerificationId,
) -> Result<Option<LoadedVerification>, StoreError> {
    let loaded = load_verification(tx, id)?;
    Ok(loaded.filter(|loaded| loaded.machine.record().account == account))
}

pub(super) fn load_message(
    tx: &Tx<'_>,
    id: MessageId,
) -> Result<Option<LoadedMessage>, StoreError> {
    let mut statement =
        tx.prepare("SELECT number, text, record, details FROM message WHERE id = ?1")?;
    let row = statement
        .query_row([signed(id.as_u64())], |row| {
            let number: Option<i64> = row.get(0)?;
            let sealed: Option<Vec<u8>> = row.get(1)?;
            let record: String = row.get(2)?;
            let details: String = row.get(3)?;
            Ok((number, sealed, record, details))
        })
        .optional()?;
    let Some((number, sealed, record, details)) = row else { return Ok(None) };
    let corrupt =
        |reason: String| StoreError::Corrupt { table: "message", row: id.to_string(), reason };
    let text = match sealed {
        None => None,
        Some(sealed) => {
            let context = id.as_u64().to_be_bytes();
            let opened = tx.sealer.open(&context, &sealed).map_err(|e| corrupt(e.to_string()))?;
            let text = core::str::from_utf8(&opened).map_err(|e| corrupt(e.to_string()))?;
            Some(SecretText::concat(&[text]))
        }
    };
    let record = from_json("message", id, &record)?;
    let machine = Message::restore(record, text).map_err(|e| corrupt(e.to_string()))?;
    let number = number.map(unsigned);
    Ok(Some(LoadedMessage { machine, number, details: from_json("message", id, &details)? }))
}
