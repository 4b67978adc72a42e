//! What links and carriers report: hand-overs, receipts, and receipts that came too early.

use engine::{AttemptId, Call, Receipt, Subject};
use rusqlite::{OptionalExtension as _, params};

use super::super::rows::{from_json, signed, subject_from_blob, subject_to_blob, to_json};
use super::super::{
    CarrierKey, CarrierPart, CarrierReceipt, Effects, Lease, ReceiptReport, StoreError,
    SubmitReport,
};
use super::load::{load_message, load_verification};
use super::machines::{turn_message, turn_verification};
use super::outbox;
use super::writer::Tx;

/// Takes note of what a link did with an attempt.
pub(super) fn submitted(tx: &mut Tx<'_>, report: &SubmitReport) -> Result<Effects, StoreError> {
    let AttemptId { subject, step } = report.attempt;
    let now = tx.now;
    // Loaded first: a row that cannot be read then fails before anything has been written, and
    // nobody else's operation has to be run again.
    let mut effects = match subject {
        Subject::Verification(id) => {
            let loaded = load_verification(tx, id)?;
            outbox::remove(tx, report.attempt)?;
            let Some(loaded) = loaded else { return Ok(Effects::default()) };
            let ((), effects) = turn_verification(tx, loaded, report.lease, |machine| {
                machine.handle_submitted(step, &report.handover, now);
            })?;
            effects
        }
        Subject::Message(id) => {
            let loaded = load_message(tx, id)?;
            outbox::remove(tx, report.attempt)?;
            let Some(loaded) = loaded else { return Ok(Effects::default()) };
            turn_message(tx, loaded, report.lease, |machine| {
                machine.handle_submitted(&report.handover, now);
            })?
        }
    };
    for part in &report.parts {
        effects.extend(name_part(tx, report.attempt, *part, report.lease)?);
    }
    Ok(effects)
}

/// Takes note of a receipt of an attempt that its link knows by name.
pub(super) fn receipt(tx: &mut Tx<'_>, report: &ReceiptReport) -> Result<Effects, StoreError> {
    tx.webhook_lease = report.webhook_lease;
    let whole = CarrierPart { part: 0, parts: 1, key: CarrierKey(0) };
    apply(tx, report.attempt, whole, report.receipt, report.call.as_ref(), report.lease)
}

/// Takes note of a receipt that names its attempt as the carrier does.
pub(super) fn carrier_receipt(
    tx: &mut Tx<'_>,
    receipt: &CarrierReceipt,
) -> Result<Effects, StoreError> {
    tx.webhook_lease = receipt.webhook_lease;
    for key in &receipt.keys {
        if let Some(named) = find(tx, *key)? {
            return apply_to_part(tx, &receipt.keys, *key, named, receipt.receipt, receipt.lease);
        }
    }
    if let Some(key) = receipt.keys.first() {
        tx.execute(
            "INSERT INTO early_receipt (key, receipt, at) VALUES (?1, ?2, ?3)",
            params![signed(key.0), to_json(&receipt.receipt)?, signed(tx.now.as_millis())],
        )?;
    }
    Ok(Effects::default())
}

/// An attempt's part that a carrier knows by name.
struct Named {
    subject: Vec<u8>,
    step: u8,
    part: u8,
    parts: u8,
}

/// Finds the oldest part of this name.
fn find(tx: &Tx<'_>, key: CarrierKey) -> Result<Option<Named>, StoreError> {
    let mut statement = tx.prepare(
        "SELECT subject, step, part, parts FROM carrier_part WHERE key = ?1 ORDER BY at LIMIT 1",
    )?;
    let named = statement.query_row([signed(key.0)], |row| {
        Ok(Named { subject: row.get(0)?, step: row.get(1)?, part: row.get(2)?, parts: row.get(3)? })
    });
    Ok(named.optional()?)
}

/// Applies a receipt to the part that `key` has found. A final one takes all of the names by which
/// it was looked for: one that stayed would be taken for that of another message.
fn apply_to_part(
    tx: &mut Tx<'_>,
    keys: &[CarrierKey],
    key: CarrierKey,
    named: Named,
    receipt: Receipt,
    lease: Lease,
) -> Result<Effects, StoreError> {
    let subject = subject_from_blob("carrier_part", &named.subject)?;
    let attempt = AttemptId { subject, step: named.step };
    let part = CarrierPart { part: named.part, parts: named.parts, key };
    let effects = apply(tx, attempt, part, Some(receipt), None, lease)?;
    if receipt.status.is_final() {
        for key in keys {
            tx.execute(
                "DELETE FROM carrier_part
                 WHERE key = ?1 AND subject = ?2 AND step = ?3 AND part = ?4",
                params![signed(key.0), named.subject, named.step, named.part],
            )?;
        }
    }
    Ok(effects)
}

/// Keeps what a carrier calls a part, and applies the receipts that came before.
fn name_part(
    tx: &mut Tx<'_>,
    attempt: AttemptId,
    part: CarrierPart,
    lease: Lease,
) -> Result<Effects, StoreError> {
    let early = early_receipts(tx, part.key)?;
    let mut effects = Effects::default();
    let mut settled = false;
    for receipt in early {
        settled |= receipt.status.is_final();
        effects.extend(apply(tx, attempt, part, Some(receipt), None, lease)?);
    }
    if !settled {
        tx.execute(
            "INSERT OR IGNORE INTO carrier_part (key, at, subject, step, part, parts)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![
                signed(part.key.0),
                signed(tx.now.as_millis()),
                subject_to_blob(attempt.subject),
                attempt.step,
                part.part,
                part.parts,
            ],
        )?;
    }
    Ok(effects)
}

fn early_receipts(tx: &mut Tx<'_>, key: CarrierKey) -> Result<Vec<Receipt>, StoreError> {
    let rows: Vec<String> = {
        let mut statement =
            tx.prepare("SELECT receipt FROM early_receipt WHERE key = ?1 ORDER BY id")?;
        let rows = statement.query_map([signed(key.0)], |row| row.get(0))?;
        rows.collect::<Result<_, _>>()?
    };
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    tx.execute("DELETE FROM early_receipt WHERE key = ?1", [signed(key.0)])?;
    rows.iter().map(|json| from_json("early_receipt", key.0, json)).collect()
}

fn apply(
    tx: &mut Tx<'_>,
    attempt: AttemptId,
    part: CarrierPart,
    receipt: Option<Receipt>,
    call: Option<&Call>,
    lease: Lease,
) -> Result<Effects, StoreError> {
    let AttemptId { subject, step } = attempt;
    let now = tx.now;
    match subject {
        Subject::Verification(id) => {
            let Some(loaded) = load_verification(tx, id)? else { return Ok(Effects::default()) };
            let ((), effects) = turn_verification(tx, loaded, lease, |machine| {
                if let Some(call) = call {
                    machine.handle_call(step, call.clone());
                }
                if let Some(receipt) = receipt {
                    machine.handle_part_receipt(step, part.part, part.parts, receipt, now);
                }
            })?;
            Ok(effects)
        }
        Subject::Message(id) => {
            let Some(loaded) = load_message(tx, id)? else { return Ok(Effects::default()) };
            turn_message(tx, loaded, lease, |machine| match (receipt, part.parts) {
                (None, _) => {}
                (Some(receipt), 0 | 1) => machine.handle_receipt(receipt, now),
                (Some(receipt), parts) => {
                    machine.handle_part_receipt(part.part, parts, receipt, now);
                }
            })
        }
    }
}
