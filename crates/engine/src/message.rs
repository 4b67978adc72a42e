//! The smaller machine of a one-shot PIN message, with its receipts.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::attempt::RESENDS_MAX;
use crate::{
    AccountId, Amount, AttemptId, Channel, Conversion, Corrupt, ErrorCode, Handover, Machine,
    MessageId, Notice, Output, Passage, Receipt, ReceiptStatus, SecretText, Subject, SubmitOutcome,
    Then, Timestamp, Unconfirmed,
};

/// One PIN message of the 2FA API: the account chose the PIN and checks it itself.
#[derive(Debug)]
pub struct Message {
    record: MessageRecord,
    /// There until a carrier has the message or it is over; wiped then.
    text: Option<SecretText>,
    outputs: VecDeque<Output>,
}

/// What is asked for when a message is sent.
#[derive(Clone, Debug)]
pub struct NewMessage {
    /// Its name.
    pub id: MessageId,
    /// Who pays.
    pub account: AccountId,
    /// When it is given up without a final receipt.
    pub expires_at: Timestamp,
    /// How many parts its text has, 1 to [`crate::PARTS_MAX`].
    pub parts: u8,
    /// What all its parts cost together.
    pub price: Amount,
    /// The rendered text, with the PIN.
    pub text: SecretText,
    /// What follows when nobody knows whether a carrier took it; it just waits if `None`.
    pub unconfirmed: Option<Unconfirmed>,
}

/// Everything about a message but its text: what is stored.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct MessageRecord {
    /// Its name.
    pub id: MessageId,
    /// Who pays.
    pub account: AccountId,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// When it is given up without a final receipt.
    pub expires_at: Timestamp,
    /// How many parts its text has.
    pub parts: u8,
    /// What all its parts cost together.
    pub price: Amount,
    /// How far it got.
    pub status: MessageStatus,
    /// When it got there.
    pub status_at: Timestamp,
    /// The way it went.
    #[serde(flatten)]
    pub passage: Passage,
    /// What follows when nobody knows whether a carrier took it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unconfirmed: Option<Unconfirmed>,
    /// What the account told us about its user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversion: Option<Conversion>,
}

/// How far a message got.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MessageStatus {
    /// It waits for a link.
    Queued,
    /// The carrier took it.
    Submitted,
    /// Nobody knows whether the carrier took it.
    Unconfirmed,
    /// A receipt told of it.
    Reported(Receipt),
}

impl MessageStatus {
    /// Whether nothing can change after this.
    pub const fn is_final(self) -> bool {
        match self {
            Self::Reported(receipt) => receipt.status.is_final(),
            Self::Queued | Self::Submitted | Self::Unconfirmed => false,
        }
    }
}

impl Message {
    /// Accepts a message: charges it and queues its attempt.
    pub fn start(new: NewMessage, now: Timestamp) -> Self {
        let mut outputs = VecDeque::new();
        if new.price != Amount::ZERO {
            outputs.push_back(Output::Charge { amount: new.price });
        }
        let attempt = attempt_id(new.id);
        outputs.push_back(Output::Send { attempt, channel: Channel::Sms });
        let record = MessageRecord {
            id: new.id,
            account: new.account,
            created_at: now,
            expires_at: new.expires_at,
            parts: new.parts,
            price: new.price,
            status: MessageStatus::Queued,
            status_at: now,
            passage: Passage::default(),
            unconfirmed: new.unconfirmed,
            conversion: None,
        };
        Self { record, text: Some(new.text), outputs }
    }

    /// Takes up a stored message again.
    ///
    /// # Errors
    /// The record is in no legal state.
    pub fn restore(record: MessageRecord, text: Option<SecretText>) -> Result<Self, Corrupt> {
        if record.status == MessageStatus::Queued && text.is_none() {
            return Err(Corrupt("a queued message has no text"));
        }
        let may_be_sent = match record.status {
            MessageStatus::Queued => true,
            MessageStatus::Unconfirmed => record.unconfirmed.is_some(),
            MessageStatus::Submitted => false,
            MessageStatus::Reported(receipt) => {
                !receipt.status.is_final() && record.passage.link.is_none()
            }
        };
        if text.is_some() && !may_be_sent {
            return Err(Corrupt("a message that needs no sending still has its text"));
        }
        Ok(Self { record, text, outputs: VecDeque::new() })
    }

    /// Returns everything but the text.
    pub fn record(&self) -> &MessageRecord {
        &self.record
    }

    /// Returns the text until a carrier has it.
    pub fn text(&self) -> Option<&SecretText> {
        self.text.as_ref()
    }

    /// Returns the record and wipes the text.
    pub fn into_record(self) -> MessageRecord {
        self.record
    }

    /// Takes note of what a link did with the attempt.
    pub fn handle_submitted(&mut self, handover: &Handover, now: Timestamp) {
        // A receipt that overtook the confirmation already says more than it, and what a carrier
        // has taken once is not undone by what became of a second copy.
        if matches!(self.record.status, MessageStatus::Reported(_) | MessageStatus::Submitted) {
            self.record.passage.note(handover, false);
            self.text = None;
            return;
        }
        self.record.passage.note(handover, true);
        self.record.status_at = now;
        match handover.outcome {
            SubmitOutcome::Accepted => self.record.status = MessageStatus::Submitted,
            SubmitOutcome::Unknown => self.record.status = MessageStatus::Unconfirmed,
            SubmitOutcome::Rejected(error) => {
                self.report(Receipt { status: ReceiptStatus::Rejected, error }, now);
            }
        }
        if self.resend_at().is_none() {
            self.text = None;
        }
    }

    /// Takes note of a delivery receipt of one part, counted from zero, of as many as its link made
    /// of it: another alphabet than that of the price makes more or fewer.
    pub fn handle_part_receipt(&mut self, part: u8, parts: u8, receipt: Receipt, now: Timestamp) {
        if let Some(whole) = self.record.passage.part_receipts.fold(part, parts, receipt) {
            self.handle_receipt(whole, now);
        }
    }

    /// Takes note of a delivery receipt. A final state never changes again, and the same state
    /// is not told twice.
    pub fn handle_receipt(&mut self, receipt: Receipt, now: Timestamp) {
        let told = self.record.status == MessageStatus::Reported(receipt);
        if !told && !self.record.status.is_final() {
            self.report(receipt, now);
        }
    }

    /// Takes note of what the account says about its user; the last word counts.
    pub fn handle_conversion(&mut self, conversion: Conversion) {
        self.record.conversion = Some(conversion);
    }

    /// Gives the message up once it is due. Calling it early, late or twice is harmless.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        if self.record.status.is_final() {
            return;
        }
        if now < self.record.expires_at {
            if self.resend_at().is_some_and(|at| at <= now) {
                self.resend(now);
            }
            return;
        }
        self.outputs.push_back(Output::Withdraw { attempt: attempt_id(self.record.id) });
        self.report(Receipt { status: ReceiptStatus::Expired, error: ErrorCode::UNKNOWN }, now);
    }

    /// Returns when a message that nobody could confirm is sent once more, if it is.
    fn resend_at(&self) -> Option<Timestamp> {
        let policy = self.record.unconfirmed?;
        let waits = self.record.status == MessageStatus::Unconfirmed
            && policy.then == Then::NextLink
            && self.record.passage.resends < RESENDS_MAX;
        waits.then(|| self.record.status_at.after(policy.wait))
    }

    fn resend(&mut self, now: Timestamp) {
        self.record.status = MessageStatus::Queued;
        self.record.status_at = now;
        self.record.passage.resends = self.record.passage.resends.saturating_add(1);
        let attempt = attempt_id(self.record.id);
        self.outputs.push_back(Output::Send { attempt, channel: Channel::Sms });
    }

    fn report(&mut self, receipt: Receipt, now: Timestamp) {
        // What is told of a message that was handed over shows that a carrier has it.
        if receipt.status.is_final() || self.record.passage.link.is_some() {
            self.text = None;
        }
        self.record.status = MessageStatus::Reported(receipt);
        self.record.status_at = now;
        self.outputs.push_back(Output::Notify(Notice::Receipt(receipt)));
    }
}

impl Machine for Message {
    fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<Timestamp> {
        let expires_at = self.record.expires_at;
        let next = self.resend_at().map_or(expires_at, |at| at.min(expires_at));
        (!self.record.status.is_final()).then_some(next)
    }
}

fn attempt_id(id: MessageId) -> AttemptId {
    AttemptId { subject: Subject::Message(id), step: 0 }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;
    use crate::Turn;

    #[test]
    fn what_a_carrier_has_taken_is_not_undone_by_a_second_copy() {
        for second in [SubmitOutcome::Rejected(ErrorCode::UNREACHABLE), SubmitOutcome::Unknown] {
            let mut machine = started();
            machine.handle_submitted(&Handover::new("first", SubmitOutcome::Accepted), NOW);
            machine.handle_submitted(
                &Handover::new("second", second),
                NOW.after(Duration::from_secs(1)),
            );
            assert_eq!(machine.record().status, MessageStatus::Submitted, "after {second:?}");
            assert_eq!(machine.record().passage.link.as_deref(), Some("first"));
            assert_eq!(machine.poll_output(), None, "nothing is told");
        }
    }

    #[test]
    fn a_message_is_delivered_with_the_last_part_that_its_link_made_of_it() {
        let mut machine = started();
        machine.handle_submitted(&Handover::new("a", SubmitOutcome::Accepted), NOW);
        let delivered = Receipt { status: ReceiptStatus::Delivered, error: ErrorCode::NONE };
        machine.handle_part_receipt(0, 2, delivered, NOW);
        assert_eq!(machine.record().status, MessageStatus::Submitted, "one of two");
        machine.handle_part_receipt(1, 2, delivered, NOW);
        assert_eq!(machine.record().status, MessageStatus::Reported(delivered));
    }

    #[test]
    fn a_record_that_could_not_have_come_about_is_refused() {
        let text = SecretText::concat(&["Your PIN is 4815"]);
        let record = started().into_record();
        assert!(Message::restore(record.clone(), None).is_err(), "queued, but with no text");
        let receipt = Receipt { status: ReceiptStatus::Delivered, error: ErrorCode::NONE };
        let delivered =
            MessageRecord { status: MessageStatus::Reported(receipt), ..record.clone() };
        assert!(Message::restore(delivered.clone(), Some(text.clone())).is_err(), "not wiped");
        assert!(Message::restore(delivered, None).is_ok());
        let taken = MessageRecord { status: MessageStatus::Submitted, ..record };
        assert!(Message::restore(taken.clone(), Some(text)).is_err(), "a carrier has it");
        assert!(Message::restore(taken, None).is_ok());
    }

    #[test]
    fn debug_shows_no_text() {
        let shown = format!("{:?}", started());
        assert!(!shown.contains("4815"), "{shown}");
    }

    const NOW: Timestamp = Timestamp::from_millis(1_795_300_000_000);

    fn started() -> Message {
        let new = NewMessage {
            id: MessageId::from_u64(0x10),
            account: AccountId(1),
            expires_at: NOW.after(Duration::from_hours(72)),
            parts: 1,
            price: Amount::ZERO,
            text: SecretText::concat(&["Your PIN is 4815"]),
            unconfirmed: None,
        };
        Turn::take(Message::start(new, NOW), |_| ()).0.machine
    }
}
