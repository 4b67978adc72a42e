//! The machines in memory, and the entries that tell what was done with them.

use std::collections::{BTreeSet, HashMap};

use countersign::store::{
    CheckCode, Checked, Content, Due, Effects, NumberKeys, ReceiptReport, SendJob, StartMessage,
    StartVerification, Started, SubmitReport, VerificationDetails, Woken,
};
use engine::{
    AccountId, Admitted, Amount, AttemptId, Facts, Limit, Limits, Machine as _, Message, MessageId,
    Notice, Output, Refusal, Subject, Tat, Timestamp, Turn, Verification, VerificationId,
};

/// All machines that have not ended, and what admissions need.
#[derive(Default)]
pub(super) struct Machines {
    verifications: HashMap<VerificationId, Held>,
    messages: HashMap<MessageId, Message>,
    open: HashMap<(AccountId, u64), VerificationId>,
    rates: HashMap<Rate, Tat>,
    rates_prune_at: usize,
    funds: HashMap<AccountId, Funds>,
    timers: BTreeSet<(Timestamp, VerificationId)>,
}

struct Held {
    machine: Verification,
    number: u64,
    number_key: u64,
    details: VerificationDetails,
}

#[derive(Clone, Copy, Eq, Hash, PartialEq)]
enum Rate {
    Account(AccountId),
    Number(u64),
    Prefix(u64),
}

#[derive(Clone, Copy, Default)]
struct Funds {
    balance: Amount,
    held: Amount,
}

impl Machines {
    pub(super) fn fund(&mut self, account: AccountId, credit: Amount) {
        let funds = self.funds.entry(account).or_default();
        funds.balance = funds.balance + credit;
    }

    pub(super) fn balance(&self, account: AccountId) -> Option<Amount> {
        self.funds.get(&account).map(|funds| funds.balance)
    }

    pub(super) fn start_verification(
        &mut self,
        start: StartVerification,
        sealed: &[u8],
        entry: &mut Vec<u8>,
    ) -> Result<Started, Refusal> {
        let StartVerification { new, number, keys, details, limits, now, .. } = start;
        let (id, account, price) = (new.id, new.account, new.price);
        let slot = (account, keys.number);
        let open = self.open.get(&slot).copied();
        self.admit(account, keys, open, &limits, price, now)?;
        let lifetime = new.policy.lifetime.as_secs();
        let (turn, ()) = Turn::take(Verification::start(new, now), |_| ());
        entry.push(b'v');
        entry.extend_from_slice(&id.as_u128().to_be_bytes());
        entry.extend_from_slice(&account.0.to_be_bytes());
        for number in [number, keys.number, keys.prefix, now.as_millis(), lifetime] {
            entry.extend_from_slice(&number.to_be_bytes());
        }
        entry.extend_from_slice(&price.units().to_be_bytes());
        put_text(entry, details.brand.as_bytes());
        put_text(entry, details.originator.as_deref().unwrap_or_default().as_bytes());
        put_text(entry, sealed);
        self.open.insert(slot, id);
        let funds = self.funds.entry(account).or_default();
        funds.held = funds.held + price;
        let balance = funds.balance;
        let number_key = keys.number;
        let held = Held { machine: turn.machine, number, number_key, details };
        let effects = self.keep(id, held, &turn.outputs, turn.wake_at);
        let subject = Subject::Verification(id);
        Ok(Started { subject, price, balance, parts: 0, replayed: false, effects })
    }

    pub(super) fn start_message(
        &mut self,
        start: StartMessage,
        sealed: &[u8],
        entry: &mut Vec<u8>,
    ) -> Result<Started, Refusal> {
        let StartMessage { mut new, number, keys, details, limits, now, .. } = start;
        let (account, price, parts) = (new.account, new.price, new.parts);
        self.admit(account, keys, None, &limits, price, now)?;
        while self.messages.contains_key(&new.id) {
            new.id = new.id.next();
        }
        let id = new.id;
        let (turn, ()) = Turn::take(Message::start(new, now), |_| ());
        entry.push(b'm');
        entry.extend_from_slice(&id.as_u64().to_be_bytes());
        entry.extend_from_slice(&account.0.to_be_bytes());
        for number in [number, keys.number, keys.prefix, now.as_millis()] {
            entry.extend_from_slice(&number.to_be_bytes());
        }
        entry.extend_from_slice(&price.units().to_be_bytes());
        put_text(entry, details.originator.as_bytes());
        put_text(entry, sealed);
        let mut effects = Effects::default();
        for output in turn.outputs {
            match output {
                Output::Send { attempt, channel } => {
                    let Some(text) = turn.machine.text() else { continue };
                    effects.sends.push(SendJob {
                        attempt,
                        account,
                        channel,
                        number,
                        originator: Some(details.originator.clone()),
                        content: Content::Text(text.clone()),
                        accepted_at: now,
                        queued_at: now,
                        expires_at: turn.machine.record().expires_at,
                        tries: 0,
                        passed_over: Vec::new(),
                        avoid: None,
                    });
                }
                Output::Charge { amount } => self.fund(account, -amount),
                Output::Withdraw { .. } | Output::Notify(_) => {}
            }
        }
        self.messages.insert(id, turn.machine);
        let balance = self.funds.get(&account).map(|funds| funds.balance).unwrap_or_default();
        let subject = Subject::Message(id);
        Ok(Started { subject, price, balance, parts, replayed: false, effects })
    }

    pub(super) fn check(
        &mut self,
        check: &CheckCode,
        entry: &mut Vec<u8>,
    ) -> Result<Checked, Refusal> {
        let turn = self.turn(check.id, |machine| {
            (machine.record().account == check.account)
                .then(|| machine.check(&check.typed, check.nonce, check.now))
        });
        let (answer, effects) = turn.ok_or(Refusal::Unknown)?;
        let verdict = answer.ok_or(Refusal::Unknown)??;
        entry.push(b'c');
        entry.extend_from_slice(&check.id.as_u128().to_be_bytes());
        entry.extend_from_slice(&check.nonce.to_be_bytes());
        entry.extend_from_slice(&check.now.as_millis().to_be_bytes());
        entry.push(u8::from(matches!(verdict, engine::Verdict::Match)));
        Ok(Checked { verdict, effects })
    }

    pub(super) fn submitted(&mut self, report: &SubmitReport, entry: &mut Vec<u8>) -> Effects {
        let AttemptId { subject, step } = report.attempt;
        // What comes after the end is written down as well, as a real store does.
        put_attempt(entry, b's', report.attempt, report.now);
        put_text(entry, report.handover.link.as_bytes());
        match subject {
            Subject::Verification(id) => {
                let turn = self.turn(id, |machine| {
                    machine.handle_submitted(step, &report.handover, report.now);
                });
                turn.map(|((), effects)| effects).unwrap_or_default()
            }
            Subject::Message(id) => {
                if let Some(message) = self.messages.remove(&id) {
                    let (turn, ()) = Turn::take(message, |machine| {
                        machine.handle_submitted(&report.handover, report.now);
                    });
                    self.keep_message(id, turn);
                }
                Effects::default()
            }
        }
    }

    pub(super) fn receipt(&mut self, report: &ReceiptReport, entry: &mut Vec<u8>) -> Effects {
        let AttemptId { subject, step } = report.attempt;
        let Some(receipt) = report.receipt else { return Effects::default() };
        put_attempt(entry, b'r', report.attempt, report.now);
        put_text(entry, receipt.status.as_str().as_bytes());
        match subject {
            Subject::Verification(id) => {
                let turn = self.turn(id, |machine| {
                    machine.handle_receipt(step, receipt, report.now);
                });
                turn.map(|((), effects)| effects).unwrap_or_default()
            }
            Subject::Message(id) => {
                if let Some(message) = self.messages.remove(&id) {
                    let (turn, ()) = Turn::take(message, |machine| {
                        machine.handle_receipt(receipt, report.now);
                    });
                    self.keep_message(id, turn);
                }
                Effects::default()
            }
        }
    }

    pub(super) fn wake(&mut self, now: Timestamp, limit: usize, entry: &mut Vec<u8>) -> Woken {
        let due = self.timers.iter().take_while(|(at, _)| *at <= now).take(limit);
        let due: Vec<VerificationId> = due.map(|(_, id)| *id).collect();
        let mut woken = Woken { count: due.len(), effects: Effects::default() };
        for id in due {
            entry.extend_from_slice(&id.as_u128().to_be_bytes());
            if let Some(((), effects)) = self.turn(id, |machine| machine.handle_timeout(now)) {
                woken.effects.extend(effects);
            }
        }
        woken
    }

    pub(super) fn next_due(&self) -> Due {
        Due { machine: self.timers.first().map(|(at, _)| *at), ..Due::default() }
    }

    fn admit(
        &mut self,
        account: AccountId,
        keys: NumberKeys,
        open: Option<VerificationId>,
        limits: &Limits,
        price: Amount,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let tat = |rate| self.rates.get(&rate).copied().unwrap_or_default();
        let funds = self.funds.get(&account).copied().unwrap_or_default();
        let facts = Facts {
            open,
            account: tat(Rate::Account(account)),
            number: tat(Rate::Number(keys.number)),
            prefix: tat(Rate::Prefix(keys.prefix)),
            balance: funds.balance,
            held: funds.held,
            barred: false,
            opted_out: false,
        };
        let Admitted { account: of_account, number, prefix } =
            engine::admit(&facts, limits, price, now)?;
        self.rates.insert(Rate::Account(account), of_account);
        self.rates.insert(Rate::Number(keys.number), number);
        self.rates.insert(Rate::Prefix(keys.prefix), prefix);
        if self.rates.len() > self.rates_prune_at.max(RATES_UNPRUNED) {
            self.rates.retain(|_, tat| !Limit::is_idle(*tat, now));
            self.rates_prune_at = self.rates.len() * 2;
        }
        Ok(())
    }

    /// Takes a turn; `None` if there is no such machine any more.
    fn turn<R>(
        &mut self,
        id: VerificationId,
        call: impl FnOnce(&mut Verification) -> R,
    ) -> Option<(R, Effects)> {
        let Held { machine, number, number_key, details } = self.verifications.remove(&id)?;
        if let Some(at) = machine.poll_timeout() {
            self.timers.remove(&(at, id));
        }
        let (turn, reply) = Turn::take(machine, call);
        let held = Held { machine: turn.machine, number, number_key, details };
        Some((reply, self.keep(id, held, &turn.outputs, turn.wake_at)))
    }

    fn keep(
        &mut self,
        id: VerificationId,
        held: Held,
        outputs: &[Output],
        wake_at: Option<Timestamp>,
    ) -> Effects {
        let mut effects = Effects::default();
        let record = held.machine.record();
        for output in outputs {
            match *output {
                Output::Send { attempt, channel } => {
                    let Some(code) = held.machine.code() else { continue };
                    effects.sends.push(SendJob {
                        attempt,
                        account: record.account,
                        channel,
                        number: held.number,
                        originator: held.details.originator.clone(),
                        content: Content::Code {
                            code: code.clone(),
                            brand: held.details.brand.clone(),
                            locale: held.details.locale,
                            lifetime: record.policy.lifetime,
                        },
                        accepted_at: record.created_at,
                        queued_at: record.created_at,
                        expires_at: record.created_at.after(record.policy.lifetime),
                        tries: 0,
                        passed_over: Vec::new(),
                        avoid: None,
                    });
                }
                Output::Withdraw { attempt } => effects.withdrawals.push(attempt),
                Output::Charge { amount } => {
                    let funds = self.funds.entry(record.account).or_default();
                    funds.balance = funds.balance - amount;
                }
                Output::Notify(Notice::Outcome(outcome)) => effects.outcomes.push(outcome),
                Output::Notify(Notice::Receipt(_)) => {}
            }
        }
        if let Some(at) = wake_at {
            self.timers.insert((at, id));
            self.verifications.insert(id, held);
        } else {
            self.open.remove(&(record.account, held.number_key));
            let funds = self.funds.entry(record.account).or_default();
            funds.held = funds.held - record.price;
        }
        effects
    }

    fn keep_message(&mut self, id: MessageId, turn: Turn<Message>) {
        if turn.wake_at.is_some() {
            self.messages.insert(id, turn.machine);
        }
    }
}

fn put_text(entry: &mut Vec<u8>, text: &[u8]) {
    entry.push(u8::try_from(text.len()).unwrap_or(u8::MAX));
    entry.extend_from_slice(text);
}

fn put_attempt(entry: &mut Vec<u8>, kind: u8, attempt: AttemptId, now: Timestamp) {
    entry.push(kind);
    match attempt.subject {
        Subject::Verification(id) => entry.extend_from_slice(&id.as_u128().to_be_bytes()),
        Subject::Message(id) => entry.extend_from_slice(&id.as_u64().to_be_bytes()),
    }
    entry.push(attempt.step);
    entry.extend_from_slice(&now.as_millis().to_be_bytes());
}

/// So many rates are kept without looking for those that can be forgotten.
const RATES_UNPRUNED: usize = 10_000;
