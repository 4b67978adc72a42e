//! The operations on verifications and messages: load, take a turn, write it down.

use engine::{
    AccountId, Admitted, Amount, Conversion, Facts, Limits, Machine as _, Message, MessageId, Need,
    NewMessage, Notice, Output, Refusal, Subject, Turn, Verification, VerificationId,
    VerificationRecord, VerificationState,
};
use rusqlite::params;

use super::super::rows::{signed, subject_to_blob, to_json};
use super::super::{
    CancelVerification, CheckCode, Checked, Converted, Effects, Lease, Notify, NumberKeys,
    StartMessage, StartVerification, Started, StoreError, Woken,
};
use super::caches::{BucketKey, Timer};
use super::load::{
    LoadedMessage, LoadedVerification, load_message, load_owned, load_verification,
    send_of_message, send_of_verification,
};
use super::repeats::Known;
use super::writer::Tx;
use super::{inbound, news, outbox, repeats, webhooks};

pub(super) fn start_verification(
    tx: &mut Tx<'_>,
    start: &StartVerification,
) -> Result<Result<Started, Refusal>, StoreError> {
    let account = start.new.account;
    if let Some(answer) = repeats::verification(tx, start)? {
        return Ok(answer);
    }
    let price = start.new.price;
    // The slot's holder may be past its expiry, with no timer having fired yet.
    let overdue = overdue(tx, (account, start.keys.number))?;
    let mut facts = facts(tx, account, start.keys, start.campaign, &start.limits);
    match &overdue {
        Some(holder) => facts.held = facts.held - holder.price,
        None => facts.open = tx.caches.open.get(&(account, start.keys.number)).copied(),
    }
    let admitted = match engine::admit(&facts, &start.limits, price, tx.now) {
        Ok(admitted) => admitted,
        Err(refusal) => return Ok(Err(refusal)),
    };
    // It is ended only by a start that is let in: a refusal has no place for what follows from it.
    let effects = match overdue {
        Some(holder) => wake_verification(tx, holder.id, start.lease)?,
        None => Effects::default(),
    };
    Ok(Ok(insert_verification(tx, start, admitted, effects)?))
}

/// Returns the holder of a slot if it has outlived its expiry.
fn overdue(tx: &Tx<'_>, slot: (AccountId, u64)) -> Result<Option<VerificationRecord>, StoreError> {
    let Some(&id) = tx.caches.open.get(&slot) else { return Ok(None) };
    let Some(loaded) = load_verification(tx, id)? else { return Ok(None) };
    let record = loaded.machine.into_record();
    Ok(match record.state {
        VerificationState::Open { expires_at, .. } if expires_at <= tx.now => Some(record),
        VerificationState::Open { .. } | VerificationState::Ended { .. } => None,
    })
}

fn insert_verification(
    tx: &mut Tx<'_>,
    start: &StartVerification,
    admitted: Admitted,
    mut effects: Effects,
) -> Result<Started, StoreError> {
    let account = start.new.account;
    let price = start.new.price;
    let code = start.new.code.clone();
    let id = start.new.id;
    let (turn, ()) = Turn::take(Verification::start(start.new.clone(), tx.now), |_| ());
    let sealed = tx.sealer.seal(&id.as_u128().to_be_bytes(), code.reveal().as_bytes());
    tx.execute(
        "INSERT INTO verification
         (id, account, number, number_key, prefix_key, price, wake_at, code, record, details)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        params![
            id.as_u128().to_be_bytes(),
            account.0,
            signed(start.number),
            signed(start.keys.number),
            signed(start.keys.prefix),
            price.units(),
            turn.wake_at.map(|at| signed(at.as_millis())),
            sealed,
            to_json(turn.machine.record())?,
            to_json(&start.details)?,
        ],
    )?;
    count(tx, account, start.keys, admitted);
    tx.caches.open.insert((account, start.keys.number), id);
    tx.caches.timers.set(Timer::Verification(id), None, turn.wake_at);
    let funds = tx.caches.funds.entry(account).or_default();
    funds.held = funds.held + price;
    let balance = funds.balance;
    let loaded = LoadedVerification {
        machine: turn.machine,
        number: Some(start.number),
        number_key: start.keys.number,
        details: start.details.clone(),
    };
    effects.extend(carry_out_verification(tx, &loaded, &turn.outputs, start.lease)?);
    let subject = Subject::Verification(id);
    let started = Started { subject, price, balance, parts: 0, replayed: false, effects };
    repeats::remember(tx, account, start.idempotency.as_ref(), &started)?;
    Ok(started)
}

pub(super) fn start_message(
    tx: &mut Tx<'_>,
    start: &StartMessage,
) -> Result<Result<Started, Refusal>, StoreError> {
    let account = start.new.account;
    let id = match repeats::message(tx, start)? {
        Known::New(id) => id,
        Known::Repeat(answer) => return Ok(answer),
    };
    let facts = facts(tx, account, start.keys, start.details.campaign, &start.limits);
    let admitted = match engine::admit(&facts, &start.limits, start.new.price, tx.now) {
        Ok(admitted) => admitted,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let effects = insert_message(tx, start, id)?;
    count(tx, account, start.keys, admitted);
    let (price, parts) = (start.new.price, start.new.parts);
    let balance = tx.caches.funds.entry(account).or_default().balance;
    let subject = Subject::Message(id);
    let started = Started { subject, price, balance, parts, replayed: false, effects };
    repeats::remember(tx, account, start.idempotency.as_ref(), &started)?;
    Ok(Ok(started))
}

/// Starts a message that is let in, under a name that is free.
pub(super) fn insert_message(
    tx: &mut Tx<'_>,
    start: &StartMessage,
    id: MessageId,
) -> Result<Effects, StoreError> {
    let account = start.new.account;
    let new = NewMessage { id, ..start.new.clone() };
    let sealed = tx.sealer.seal(&id.as_u64().to_be_bytes(), new.text.reveal().as_bytes());
    let (turn, ()) = Turn::take(Message::start(new, tx.now), |_| ());
    tx.execute(
        "INSERT INTO message
         (id, account, number, number_key, prefix_key, nonce, wake_at, text, record, details)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        params![
            signed(id.as_u64()),
            account.0,
            signed(start.number),
            signed(start.keys.number),
            signed(start.keys.prefix),
            signed(start.nonce),
            turn.wake_at.map(|at| signed(at.as_millis())),
            sealed,
            to_json(turn.machine.record())?,
            to_json(&start.details)?,
        ],
    )?;
    tx.caches.timers.set(Timer::Message(id), None, turn.wake_at);
    let loaded = LoadedMessage {
        machine: turn.machine,
        number: Some(start.number),
        details: start.details.clone(),
    };
    carry_out_message(tx, &loaded, &turn.outputs, start.lease)
}

pub(super) fn check(
    tx: &mut Tx<'_>,
    check: &CheckCode,
) -> Result<Result<Checked, Refusal>, StoreError> {
    let Some(loaded) = load_owned(tx, check.account, check.id)? else {
        return Ok(Err(Refusal::Unknown));
    };
    let typed = &check.typed;
    let now = tx.now;
    let (answer, effects) = turn_verification(tx, loaded, Lease { until: now }, |machine| {
        machine.check(typed, check.nonce, now)
    })?;
    Ok(answer.map(|verdict| Checked { verdict, effects }))
}

pub(super) fn cancel(
    tx: &mut Tx<'_>,
    cancel: CancelVerification,
) -> Result<Result<Effects, Refusal>, StoreError> {
    let Some(loaded) = load_owned(tx, cancel.account, cancel.id)? else {
        return Ok(Err(Refusal::Unknown));
    };
    let now = tx.now;
    let (answer, effects) = turn_verification(tx, loaded, Lease { until: now }, |machine| {
        machine.cancel(cancel.nonce, now)
    })?;
    Ok(answer.map(|()| effects))
}

pub(super) fn convert(
    tx: &mut Tx<'_>,
    account: AccountId,
    subject: Subject,
    conversion: Conversion,
) -> Result<Option<Converted>, StoreError> {
    let lease = Lease { until: tx.now };
    match subject {
        Subject::Verification(id) => {
            let Some(loaded) = load_owned(tx, account, id)? else { return Ok(None) };
            let link =
                loaded.machine.record().attempts.iter().rev().find_map(|a| a.passage.link.clone());
            let ((), effects) = turn_verification(tx, loaded, lease, |machine| {
                machine.handle_conversion(conversion);
            })?;
            let link = link.unwrap_or_else(|| NO_LINK.to_owned());
            Ok(Some(Converted { link, effects }))
        }
        Subject::Message(id) => {
            let Some(loaded) = load_message(tx, id)? else { return Ok(None) };
            if loaded.machine.record().account != account {
                return Ok(None);
            }
            let link = loaded.machine.record().passage.link.clone();
            let effects = turn_message(tx, loaded, lease, |machine| {
                machine.handle_conversion(conversion);
            })?;
            let link = link.unwrap_or_else(|| NO_LINK.to_owned());
            Ok(Some(Converted { link, effects }))
        }
    }
}

pub(super) fn wake(tx: &mut Tx<'_>, limit: usize) -> Result<Woken, StoreError> {
    let now = tx.now;
    let connection = tx.connection();
    let due = tx.caches.timers.due_machines(connection, now, limit)?;
    let lease = Lease { until: now.after(outbox::LEASE) };
    let mut woken = Woken { count: due.len(), effects: Effects::default() };
    for (at, timer) in due {
        let effects = match timer {
            Timer::Verification(id) => wake_verification(tx, id, lease),
            Timer::Message(id) => wake_message(tx, id, lease),
            Timer::Inbound(id) => inbound::wake(tx, id, at),
        };
        match effects {
            Ok(effects) => woken.effects.extend(effects),
            Err(error @ StoreError::Corrupt { .. }) => {
                tracing::error!(%error, "cannot wake a machine; it rests until the next start");
                tx.caches.timers.set(timer, Some(at), None);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(woken)
}

fn wake_message(tx: &mut Tx<'_>, id: MessageId, lease: Lease) -> Result<Effects, StoreError> {
    let Some(loaded) = load_message(tx, id)? else { return Ok(Effects::default()) };
    let now = tx.now;
    turn_message(tx, loaded, lease, |machine| machine.handle_timeout(now))
}

fn wake_verification(
    tx: &mut Tx<'_>,
    id: VerificationId,
    lease: Lease,
) -> Result<Effects, StoreError> {
    let Some(loaded) = load_verification(tx, id)? else { return Ok(Effects::default()) };
    let now = tx.now;
    let ((), effects) =
        turn_verification(tx, loaded, lease, |machine| machine.handle_timeout(now))?;
    Ok(effects)
}

/// Takes a turn and writes it down.
pub(super) fn turn_verification<R>(
    tx: &mut Tx<'_>,
    loaded: LoadedVerification,
    lease: Lease,
    call: impl FnOnce(&mut Verification) -> R,
) -> Result<(R, Effects), StoreError> {
    let LoadedVerification { machine, number, number_key, details } = loaded;
    let before = machine.record().clone();
    let superseded: Vec<u8> = (0..)
        .zip(&before.attempts)
        .map(|(step, _)| step)
        .filter(|step| machine.need(*step) == Need::Perhaps)
        .collect();
    let woke_at = machine.poll_timeout();
    let (turn, reply) = Turn::take(machine, call);
    let record = turn.machine.record();
    if *record == before {
        return Ok((reply, Effects::default()));
    }
    for step in superseded.into_iter().filter(|step| turn.machine.need(*step) == Need::Now) {
        outbox::take_up_again(tx, &turn.machine, step);
    }
    let id = record.id;
    let account = record.account;
    let price = record.price;
    let ended = turn.machine.code().is_none();
    tx.execute(
        // The sealed code stays as it is while the verification is open, and goes with its end.
        "UPDATE verification SET wake_at = ?2, code = iif(?3, NULL, code), record = ?4 WHERE id = ?1",
        params![
            id.as_u128().to_be_bytes(),
            turn.wake_at.map(|at| signed(at.as_millis())),
            ended,
            to_json(record)?,
        ],
    )?;
    tx.caches.timers.set(Timer::Verification(id), woke_at, turn.wake_at);
    if ended && woke_at.is_some() {
        tx.caches.open.remove(&(account, number_key));
        let funds = tx.caches.funds.entry(account).or_default();
        funds.held = funds.held - price;
    }
    let loaded = LoadedVerification { machine: turn.machine, number, number_key, details };
    let mut effects = carry_out_verification(tx, &loaded, &turn.outputs, lease)?;
    news::of_verification(&before, &loaded, tx.now, &mut effects.news);
    Ok((reply, effects))
}

/// Takes a turn and writes it down.
pub(super) fn turn_message(
    tx: &mut Tx<'_>,
    loaded: LoadedMessage,
    lease: Lease,
    call: impl FnOnce(&mut Message),
) -> Result<Effects, StoreError> {
    let LoadedMessage { machine, number, details } = loaded;
    let before = machine.record().clone();
    let woke_at = machine.poll_timeout();
    let (turn, ()) = Turn::take(machine, call);
    let record = turn.machine.record();
    if *record == before {
        return Ok(Effects::default());
    }
    let id = record.id;
    tx.execute(
        "UPDATE message SET wake_at = ?2, text = iif(?3, NULL, text), record = ?4 WHERE id = ?1",
        params![
            signed(id.as_u64()),
            turn.wake_at.map(|at| signed(at.as_millis())),
            turn.machine.text().is_none(),
            to_json(record)?,
        ],
    )?;
    tx.caches.timers.set(Timer::Message(id), woke_at, turn.wake_at);
    let loaded = LoadedMessage { machine: turn.machine, number, details };
    let mut effects = carry_out_message(tx, &loaded, &turn.outputs, lease)?;
    news::of_message(&before, &loaded, tx.now, &mut effects.news);
    Ok(effects)
}

fn carry_out_verification(
    tx: &mut Tx<'_>,
    loaded: &LoadedVerification,
    outputs: &[Output],
    lease: Lease,
) -> Result<Effects, StoreError> {
    let record = loaded.machine.record();
    let mut effects = Effects::default();
    for output in outputs {
        match *output {
            Output::Send { attempt, .. } => {
                outbox::insert(tx, attempt, lease)?;
                effects.sends.extend(send_of_verification(loaded, attempt));
            }
            Output::Withdraw { attempt } => {
                outbox::remove(tx, attempt)?;
                effects.withdrawals.push(attempt);
            }
            Output::Charge { amount } => {
                charge(tx, record.account, amount, Subject::Verification(record.id))?;
            }
            Output::Notify(Notice::Outcome(outcome)) => {
                effects.outcomes.push(outcome);
                if loaded.details.notify {
                    effects.tell(webhooks::insert_outcome(tx, loaded, outcome)?);
                }
            }
            // The account hears of the outcome only.
            Output::Notify(Notice::Receipt(_)) => {}
        }
    }
    Ok(effects)
}

fn carry_out_message(
    tx: &mut Tx<'_>,
    loaded: &LoadedMessage,
    outputs: &[Output],
    lease: Lease,
) -> Result<Effects, StoreError> {
    let record = loaded.machine.record();
    let mut effects = Effects::default();
    for output in outputs {
        match *output {
            Output::Send { attempt, .. } => {
                outbox::insert(tx, attempt, lease)?;
                effects.sends.extend(send_of_message(loaded, attempt));
            }
            Output::Withdraw { attempt } => {
                outbox::remove(tx, attempt)?;
                effects.withdrawals.push(attempt);
            }
            Output::Charge { amount } => {
                charge(tx, record.account, amount, Subject::Message(record.id))?;
            }
            Output::Notify(Notice::Receipt(receipt)) => {
                let url = match &loaded.details.notify {
                    Notify::Nobody => continue,
                    Notify::Account => None,
                    Notify::Url(url) => Some(url.as_str()),
                };
                for part in 0..record.parts {
                    effects.tell(webhooks::insert_receipt(tx, loaded, url, receipt, part)?);
                }
            }
            // A message has none.
            Output::Notify(Notice::Outcome(_)) => {}
        }
    }
    Ok(effects)
}

fn facts(
    tx: &mut Tx<'_>,
    account: AccountId,
    keys: NumberKeys,
    campaign: Option<u32>,
    limits: &Limits,
) -> Facts {
    let funds = tx.caches.funds.get(&account).copied().unwrap_or_default();
    Facts {
        open: None,
        account: tx.caches.buckets.tat(BucketKey::Account(account), limits.account),
        number: tx.caches.buckets.tat(BucketKey::Number(keys.number), limits.number),
        prefix: tx.caches.buckets.tat(BucketKey::Prefix(keys.prefix), limits.prefix),
        balance: funds.balance,
        held: funds.held,
        barred: tx.caches.barred.contains(&keys.number),
        opted_out: campaign.is_some_and(|id| tx.caches.opted_out.contains(&(id, keys.number))),
    }
}

fn count(tx: &mut Tx<'_>, account: AccountId, keys: NumberKeys, admitted: Admitted) {
    let now = tx.now;
    let buckets = &mut tx.caches.buckets;
    buckets.put(BucketKey::Account(account), admitted.account, now);
    buckets.put(BucketKey::Number(keys.number), admitted.number, now);
    buckets.put(BucketKey::Prefix(keys.prefix), admitted.prefix, now);
}

fn charge(
    tx: &mut Tx<'_>,
    account: AccountId,
    amount: Amount,
    subject: Subject,
) -> Result<(), StoreError> {
    let kind = match subject {
        Subject::Verification(_) => "verification",
        Subject::Message(_) => "message",
    };
    let subject = subject_to_blob(subject);
    tx.execute(
        "INSERT INTO ledger (account, amount, kind, subject, at) VALUES (?1, ?2, ?3, ?4, ?5)",
        params![account.0, (-amount).units(), kind, subject, signed(tx.now.as_millis())],
    )?;
    let funds = tx.caches.funds.entry(account).or_default();
    funds.balance = funds.balance - amount;
    funds.dirty = true;
    Ok(())
}

/// The link of an attempt that no link has taken.
const NO_LINK: &str = "none";
