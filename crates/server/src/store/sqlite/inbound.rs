//! What handsets send: known again if it comes twice, joined if it comes in parts, heeded, and
//! told to its account.

use std::time::Duration;

use engine::{InboundRules, Keyword, MessageId, Reaction, SecretText, Timestamp};
use rusqlite::{OptionalExtension as _, Row, params};

use super::super::rows::{signed, unsigned};
use super::super::{
    Concat, Effects, Inbound, InboundCampaign, InboundTaken, InboundView, OptOut, StartMessage,
    StoreError,
};
use super::caches::Timer;
use super::repeats::Known;
use super::writer::Tx;
use super::{config, machines, repeats, webhooks};

/// Takes a message, or a part of one, in.
pub(super) fn take(tx: &mut Tx<'_>, inbound: &Inbound) -> Result<InboundTaken, StoreError> {
    let begins = inbound.concat.is_none_or(|concat| concat.part == 1);
    // A keyword is the first word, so the rest of a long message is not waited for.
    let keyword = begins.then(|| Keyword::of(inbound.text.reveal()));
    if is_repeat(tx, inbound)? {
        let mut effects = Effects::default();
        // Two that look alike may be two all the same; to heed a STOP once too often harms nobody.
        if keyword == Some(Keyword::Stop) && !inbound.key.named {
            effects = heed(tx, inbound, Keyword::Stop)?;
        }
        return Ok(InboundTaken { keyword: None, repeat: true, effects });
    }
    let mut effects = match keyword {
        Some(keyword) => heed(tx, inbound, keyword)?,
        None => Effects::default(),
    };
    effects.webhooks |= keep(tx, inbound)?;
    Ok(InboundTaken { keyword, repeat: false, effects })
}

/// Tells a part whose others never came, once it has waited long enough.
pub(super) fn wake(
    tx: &mut Tx<'_>,
    id: MessageId,
    due_at: Timestamp,
) -> Result<Effects, StoreError> {
    tx.caches.timers.set(Timer::Inbound(id), Some(due_at), None);
    let mut statement =
        tx.prepare("SELECT account FROM inbound WHERE id = ?1 AND wait_until IS NOT NULL")?;
    let account = statement.query_row([signed(id.as_u64())], |row| row.get(0)).optional()?;
    let Some(account) = account else { return Ok(Effects::default()) };
    stop_waiting(tx, id)?;
    webhooks::insert_inbound(tx, engine::AccountId(account), id)?;
    Ok(Effects { webhooks: true, ..Effects::default() })
}

/// Reads a message for its webhook; `None` once its sender is forgotten or it has been told.
pub(super) fn view(tx: &Tx<'_>, id: MessageId) -> Result<Option<InboundView>, StoreError> {
    let mut statement = tx.prepare(
        "SELECT number, recipient, text, reference, total, part FROM inbound WHERE id = ?1",
    )?;
    let row = statement.query_row([signed(id.as_u64())], |row| {
        let number: Option<i64> = row.get(0)?;
        let text: Option<Vec<u8>> = row.get(2)?;
        Ok((number.map(unsigned), row.get(1)?, text, concat_of(row, 3)?))
    });
    let Some((Some(from), to, Some(sealed), concat)) = row.optional()? else { return Ok(None) };
    let text = open(tx, id, &sealed)?;
    Ok(Some(InboundView { id, from, to, text, concat }))
}

/// Wipes the text of a message that its account has been told.
pub(super) fn told(tx: &mut Tx<'_>, id: MessageId) -> Result<(), StoreError> {
    tx.execute("UPDATE inbound SET text = NULL WHERE id = ?1", [signed(id.as_u64())])?;
    Ok(())
}

fn is_repeat(tx: &Tx<'_>, inbound: &Inbound) -> Result<bool, StoreError> {
    let since = if inbound.key.named { 0 } else { tx.now.before(REPEATS_WITHIN).as_millis() };
    let mut statement =
        tx.prepare("SELECT 1 FROM inbound WHERE digest = ?1 AND at >= ?2 LIMIT 1")?;
    Ok(statement.exists(params![inbound.key.digest, signed(since)])?)
}

/// Does what a keyword asks for, within what the campaign lets it.
fn heed(tx: &mut Tx<'_>, inbound: &Inbound, keyword: Keyword) -> Result<Effects, StoreError> {
    let Some(campaign) = &inbound.campaign else { return Ok(Effects::default()) };
    let rules = InboundRules { start_allowed: campaign.start_allowed };
    match keyword.reaction(Some(rules)) {
        Reaction::OptOut => opt_out(tx, inbound, campaign.id),
        Reaction::OptIn => opt_in(tx, inbound, campaign.id),
        Reaction::AnswerHelp => answer_help(tx, inbound, campaign),
        Reaction::Nothing => Ok(Effects::default()),
    }
}

fn opt_out(tx: &mut Tx<'_>, inbound: &Inbound, campaign: u32) -> Result<Effects, StoreError> {
    if tx.caches.opted_out.contains(&(campaign, inbound.from_key)) {
        return Ok(Effects::default());
    }
    let row = OptOut {
        campaign,
        number_key: inbound.from_key,
        number: Some(inbound.from),
        opted_in_at: opted_in_at(tx, inbound, campaign)?,
        opted_out_at: Some(tx.now),
    };
    config::put_opt_out(tx, &row)?;
    Ok(Effects { opt_outs: true, ..Effects::default() })
}

fn opt_in(tx: &mut Tx<'_>, inbound: &Inbound, campaign: u32) -> Result<Effects, StoreError> {
    if !tx.caches.opted_out.contains(&(campaign, inbound.from_key)) {
        return Ok(Effects::default());
    }
    let row = OptOut {
        campaign,
        number_key: inbound.from_key,
        number: Some(inbound.from),
        opted_in_at: Some(tx.now),
        opted_out_at: None,
    };
    config::put_opt_out(tx, &row)?;
    Ok(Effects { opt_outs: true, ..Effects::default() })
}

fn opted_in_at(
    tx: &Tx<'_>,
    inbound: &Inbound,
    campaign: u32,
) -> Result<Option<Timestamp>, StoreError> {
    let mut statement =
        tx.prepare("SELECT opted_in_at FROM opt_out WHERE campaign = ?1 AND number_key = ?2")?;
    let key = params![campaign, signed(inbound.from_key)];
    let at: Option<Option<i64>> = statement.query_row(key, |row| row.get(0)).optional()?;
    Ok(at.flatten().map(|at| Timestamp::from_millis(unsigned(at))))
}

/// Answers HELP, whatever the sender has opted out of: that is what carriers ask for. Nothing is
/// said to a barred number, nor twice within [`HELP_REST`].
fn answer_help(
    tx: &mut Tx<'_>,
    inbound: &Inbound,
    campaign: &InboundCampaign,
) -> Result<Effects, StoreError> {
    let Some(answer) = &campaign.help else { return Ok(Effects::default()) };
    if tx.caches.barred.contains(&inbound.from_key) || answered_of_late(tx, inbound, campaign.id)? {
        return Ok(Effects::default());
    }
    let id = match repeats::message(tx, answer)? {
        Known::New(id) => id,
        Known::Repeat(_) => return Ok(Effects::default()),
    };
    let now = tx.now;
    tx.execute(
        "INSERT OR REPLACE INTO help_answer (campaign, number_key, at) VALUES (?1, ?2, ?3)",
        params![campaign.id, signed(inbound.from_key), signed(now.as_millis())],
    )?;
    let answer: &StartMessage = answer;
    machines::insert_message(tx, answer, id)
}

fn answered_of_late(tx: &Tx<'_>, inbound: &Inbound, campaign: u32) -> Result<bool, StoreError> {
    let mut statement = tx
        .prepare("SELECT 1 FROM help_answer WHERE campaign = ?1 AND number_key = ?2 AND at > ?3")?;
    let since = tx.now.before(HELP_REST);
    let key = params![campaign, signed(inbound.from_key), signed(since.as_millis())];
    Ok(statement.exists(key)?)
}

/// Keeps a message and, once it is whole, puts it on the outbox of webhooks; tells whether it did.
fn keep(tx: &mut Tx<'_>, inbound: &Inbound) -> Result<bool, StoreError> {
    let id = free_id(tx, inbound.id)?;
    let Some(concat) = inbound.concat.filter(|_| inbound.forward) else {
        insert(tx, inbound, id, None)?;
        if inbound.forward {
            webhooks::insert_inbound(tx, inbound.account, id)?;
        }
        return Ok(inbound.forward);
    };
    let parts = waiting(tx, inbound, concat)?;
    if parts.iter().any(|other| other.part == concat.part) {
        // The carrier brings it again under another name: it is remembered and not told.
        insert_without_text(tx, inbound, id)?;
        return Ok(false);
    }
    let since = parts.iter().map(|other| other.wait_until).min();
    let wait_until = since.unwrap_or_else(|| tx.now.after(PARTS_WAIT));
    insert(tx, inbound, id, Some(wait_until))?;
    tx.caches.timers.set(Timer::Inbound(id), None, Some(wait_until));
    if parts.len() + 1 < usize::from(concat.total) {
        return Ok(false);
    }
    join(tx, inbound)
}

/// A part that waits for others.
struct Waiting {
    id: MessageId,
    part: u8,
    wait_until: Timestamp,
    text: Vec<u8>,
}

/// Lists what waits for the other parts of the same message, in order.
fn waiting(tx: &Tx<'_>, inbound: &Inbound, concat: Concat) -> Result<Vec<Waiting>, StoreError> {
    let mut statement = tx.prepare(
        "SELECT id, part, wait_until, text FROM inbound
         WHERE number_key = ?1 AND account = ?2 AND recipient = ?3 AND reference = ?4
             AND total = ?5 AND wait_until IS NOT NULL AND text IS NOT NULL
         ORDER BY part",
    )?;
    let key = params![
        signed(inbound.from_key),
        inbound.account.0,
        inbound.to,
        concat.reference,
        concat.total
    ];
    let rows = statement.query_map(key, |row| {
        Ok(Waiting {
            id: MessageId::from_u64(unsigned(row.get(0)?)),
            part: row.get(1)?,
            wait_until: Timestamp::from_millis(unsigned(row.get(2)?)),
            text: row.get(3)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Makes one message of all its parts, under the name of the first.
fn join(tx: &mut Tx<'_>, inbound: &Inbound) -> Result<bool, StoreError> {
    let Some(concat) = inbound.concat else { return Ok(false) };
    let parts = waiting(tx, inbound, concat)?;
    let texts = parts.iter().map(|part| open(tx, part.id, &part.text));
    let texts = texts.collect::<Result<Vec<SecretText>, _>>()?;
    let texts: Vec<&str> = texts.iter().map(SecretText::reveal).collect();
    let whole = SecretText::concat(&texts);
    let Some((first, others)) = parts.split_first() else { return Ok(false) };
    for part in &parts {
        tx.caches.timers.set(Timer::Inbound(part.id), Some(part.wait_until), None);
    }
    for part in others {
        stop_waiting(tx, part.id)?;
        told(tx, part.id)?;
    }
    let sealed = tx.sealer.seal(&context(first.id), whole.reveal().as_bytes());
    tx.execute(
        "UPDATE inbound SET text = ?2, wait_until = NULL, reference = NULL, total = NULL,
             part = NULL
         WHERE id = ?1",
        params![signed(first.id.as_u64()), sealed],
    )?;
    webhooks::insert_inbound(tx, inbound.account, first.id)?;
    Ok(true)
}

fn stop_waiting(tx: &mut Tx<'_>, id: MessageId) -> Result<(), StoreError> {
    tx.execute("UPDATE inbound SET wait_until = NULL WHERE id = ?1", [signed(id.as_u64())])?;
    Ok(())
}

fn free_id(tx: &Tx<'_>, wanted: MessageId) -> Result<MessageId, StoreError> {
    let mut statement = tx.prepare("SELECT 1 FROM inbound WHERE id = ?1")?;
    let mut id = wanted;
    while statement.exists([signed(id.as_u64())])? {
        id = id.next();
    }
    Ok(id)
}

/// Writes a message down, sealed; without its text if nobody is to be told.
fn insert(
    tx: &mut Tx<'_>,
    inbound: &Inbound,
    id: MessageId,
    wait_until: Option<Timestamp>,
) -> Result<(), StoreError> {
    let text = inbound.text.reveal().as_bytes();
    let sealed = inbound.forward.then(|| tx.sealer.seal(&context(id), text));
    insert_row(tx, inbound, id, sealed, wait_until)
}

fn insert_without_text(
    tx: &mut Tx<'_>,
    inbound: &Inbound,
    id: MessageId,
) -> Result<(), StoreError> {
    insert_row(tx, inbound, id, None, None)
}

fn insert_row(
    tx: &mut Tx<'_>,
    inbound: &Inbound,
    id: MessageId,
    sealed: Option<Vec<u8>>,
    wait_until: Option<Timestamp>,
) -> Result<(), StoreError> {
    let now = tx.now;
    tx.execute(
        "INSERT INTO inbound
         (id, digest, account, number, number_key, recipient, text, reference, total, part,
          wait_until, at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
        params![
            signed(id.as_u64()),
            inbound.key.digest,
            inbound.account.0,
            signed(inbound.from),
            signed(inbound.from_key),
            inbound.to,
            sealed,
            inbound.concat.map(|concat| concat.reference),
            inbound.concat.map(|concat| concat.total),
            inbound.concat.map(|concat| concat.part),
            wait_until.map(|at| signed(at.as_millis())),
            signed(now.as_millis()),
        ],
    )?;
    Ok(())
}

fn concat_of(row: &Row<'_>, first: usize) -> rusqlite::Result<Option<Concat>> {
    let reference: Option<u16> = row.get(first)?;
    let Some(reference) = reference else { return Ok(None) };
    Ok(Some(Concat { reference, total: row.get(first + 1)?, part: row.get(first + 2)? }))
}

fn open(tx: &Tx<'_>, id: MessageId, sealed: &[u8]) -> Result<SecretText, StoreError> {
    let corrupt =
        |reason: String| StoreError::Corrupt { table: "inbound", row: id.to_string(), reason };
    let opened = tx.sealer.open(&context(id), sealed).map_err(|e| corrupt(e.to_string()))?;
    let text = core::str::from_utf8(&opened).map_err(|e| corrupt(e.to_string()))?;
    Ok(SecretText::concat(&[text]))
}

/// Another than that of a message that we send, which may have the same name.
fn context(id: MessageId) -> Vec<u8> {
    [b"inbound".as_slice(), &id.as_u64().to_be_bytes()].concat()
}

/// How long a part waits for the others. Chosen: a handset sends them within seconds, and a carrier
/// that has lost an answer brings a part again within minutes.
const PARTS_WAIT: Duration = Duration::from_mins(10);

/// For so long a message without a carrier's name for it is taken for a repeat of one that looks
/// the same. Chosen: longer than carriers wait for an answer and then bind again.
const REPEATS_WITHIN: Duration = Duration::from_mins(2);

/// A number is answered to HELP no more often than this by one campaign. Chosen: two robots that
/// answer each other then cost next to nothing, and a person can still ask again.
const HELP_REST: Duration = Duration::from_mins(10);
