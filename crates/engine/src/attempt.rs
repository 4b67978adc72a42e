//! One send of a code: how it left, how far it got, and what became of its parts.

use core::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Amount, Channel, Receipt, ReceiptStatus, SubmitOutcome, Timestamp};

/// One send of the code over a channel.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Attempt {
    /// The channel it went over.
    pub channel: Channel,
    /// When it was due.
    pub queued_at: Timestamp,
    /// How far it got.
    pub progress: Progress,
    /// When it got there.
    pub progress_at: Timestamp,
    /// The way it went.
    #[serde(flatten)]
    pub passage: Passage,
    /// The call that it made, once there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<Call>,
}

impl Attempt {
    /// Takes over what a call cost: how long it lasts is not known when it is handed over.
    pub(crate) fn settle_cost(&mut self) {
        if let Some(call) = self.call.as_ref().filter(|call| call.ended_at.is_some()) {
            self.passage.cost = call.cost;
        }
    }
}

/// How far an attempt got.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Progress {
    /// It waits for a link.
    Queued,
    /// The carrier took it.
    Submitted,
    /// Nobody knows whether the carrier took it.
    Unconfirmed,
    /// A receipt told of it.
    Reported(Receipt),
    /// The verification ended before it was sent.
    Withdrawn,
}

impl Progress {
    pub(crate) fn is_final(self) -> bool {
        match self {
            Self::Reported(receipt) => receipt.status.is_final(),
            Self::Queued | Self::Submitted | Self::Unconfirmed | Self::Withdrawn => false,
        }
    }
}

/// What is known of an attempt's way to the phone.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Passage {
    /// The link that took it, or refused it for good.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
    /// How that link was chosen.
    #[serde(skip_serializing_if = "Decision::is_empty")]
    pub decision: Decision,
    /// What the link's carrier takes for all parts together.
    #[serde(skip_serializing_if = "Amount::is_zero")]
    pub cost: Amount,
    /// What was told of each part, where there are several.
    #[serde(skip_serializing_if = "PartReceipts::is_empty")]
    pub part_receipts: PartReceipts,
    /// How often it was sent anew because nobody knew whether it had arrived.
    #[serde(skip_serializing_if = "is_zero")]
    pub resends: u8,
}

impl Passage {
    /// Takes note of a hand-over; the first link that took the attempt stays its link.
    pub(crate) fn note(&mut self, handover: &Handover, is_first: bool) {
        if is_first || self.link.is_none() {
            self.link = Some(handover.link.clone());
            self.decision.route.clone_from(&handover.decision.route);
            self.cost = handover.cost;
        }
        let room = PASSED_OVER_MAX.saturating_sub(self.decision.passed_over.len());
        let passed_over = handover.decision.passed_over.iter().take(room);
        self.decision.passed_over.extend(passed_over.cloned());
    }
}

/// What a link did with an attempt.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Handover {
    /// The link.
    pub link: String,
    /// How it was chosen.
    pub decision: Decision,
    /// What its carrier takes for all parts together.
    pub cost: Amount,
    /// What became of the attempt.
    pub outcome: SubmitOutcome,
}

impl Handover {
    /// A hand-over to a link for which there was no choice and which costs nothing.
    pub fn new(link: &str, outcome: SubmitOutcome) -> Self {
        Self { link: link.to_owned(), decision: Decision::default(), cost: Amount::ZERO, outcome }
    }
}

/// Why an attempt went the way it did.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Decision {
    /// The route that was followed; `None` if none fitted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
    /// The links that were considered before, in order; at most [`PASSED_OVER_MAX`].
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub passed_over: Vec<PassedOver>,
}

impl Decision {
    /// Whether there was nothing to decide.
    pub fn is_empty(&self) -> bool {
        self.route.is_none() && self.passed_over.is_empty()
    }
}

/// A link that was considered and not used.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct PassedOver {
    /// The link.
    pub link: String,
    /// Why, in a few words for the operator.
    pub reason: String,
}

/// What the carrier told of each part of an attempt, by the part's index; empty for one part.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PartReceipts(Vec<Option<Receipt>>);

impl PartReceipts {
    /// Whether nothing was told, or there is only one part.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns what was told of each part, in order.
    pub fn iter(&self) -> impl Iterator<Item = Option<Receipt>> {
        self.0.iter().copied()
    }

    /// Takes note of what was told of one part; answers what that makes of the whole, `None` if it
    /// makes nothing yet: a message has been delivered once all its parts have, and has failed
    /// with the first part that failed.
    pub(crate) fn fold(&mut self, part: u8, parts: u8, receipt: Receipt) -> Option<Receipt> {
        if parts <= 1 {
            return Some(receipt);
        }
        self.0.resize(usize::from(parts), None);
        let slot = self.0.get_mut(usize::from(part))?;
        if slot.is_some_and(|told| told.status.is_final()) {
            return None;
        }
        *slot = Some(receipt);
        let is_delivered =
            |told: &Option<Receipt>| told.is_some_and(|r| r.status == ReceiptStatus::Delivered);
        let waits = receipt.status == ReceiptStatus::Delivered && !self.0.iter().all(is_delivered);
        (!waits).then_some(receipt)
    }
}

/// What became of a call, for the operator and for billing.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Call {
    /// Names it on the wire, as the Conversion API and the carrier's records do.
    pub call_id: String,
    /// When the phone began to ring.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rang_at: Option<Timestamp>,
    /// When somebody answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answered_at: Option<Timestamp>,
    /// When it was over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// Why it ended, in a word: `completed`, `busy`, `no_answer`, …
    pub cause: String,
    /// The SIP status that decided it, 0 if there was none.
    #[serde(skip_serializing_if = "is_zero_status")]
    pub status: u16,
    /// Seconds from the answer to the end, rounded up.
    pub seconds: u32,
    /// The codec, `PCMU` or `PCMA`; empty if nobody answered.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub codec: String,
    /// Packets of speech that were sent.
    pub packets_sent: u32,
    /// What its carrier takes for it.
    #[serde(skip_serializing_if = "Amount::is_zero")]
    pub cost: Amount,
}

/// What follows when nobody knows whether a carrier took an attempt, as the operator wishes.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Unconfirmed {
    /// How long a receipt is waited for first.
    #[serde(with = "crate::timer::millis")]
    pub wait: Duration,
    /// What to do then.
    pub then: Then,
}

/// What to do when no receipt has cleared an unconfirmed attempt up.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Then {
    /// Begin the workflow's next step. A message, which has only one, goes on waiting.
    NextStep,
    /// Send the same attempt once more, over another link if there is one. The phone may get the
    /// code twice.
    NextLink,
}

/// So many links are remembered as passed over: enough to see a pattern, and a row stays small.
pub const PASSED_OVER_MAX: usize = 16;

/// What nobody could confirm twice is left alone.
pub(crate) const RESENDS_MAX: u8 = 1;

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks by reference")]
fn is_zero(value: &u8) -> bool {
    *value == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks by reference")]
fn is_zero_status(value: &u16) -> bool {
    *value == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorCode;

    #[test]
    fn a_message_of_three_parts_is_delivered_with_its_last_part() {
        let mut parts = PartReceipts::default();
        assert_eq!(parts.fold(2, 3, DELIVERED), None);
        assert_eq!(parts.fold(0, 3, DELIVERED), None);
        assert_eq!(parts.fold(0, 3, DELIVERED), None, "the same part twice");
        assert_eq!(parts.fold(1, 3, DELIVERED), Some(DELIVERED));
    }

    #[test]
    fn one_part_that_failed_fails_the_message() {
        let mut parts = PartReceipts::default();
        let failed = Receipt { status: ReceiptStatus::Failed, error: ErrorCode::BUSY };
        assert_eq!(parts.fold(0, 2, DELIVERED), None);
        assert_eq!(parts.fold(1, 2, failed), Some(failed));
        assert_eq!(parts.fold(1, 2, DELIVERED), None, "that part is settled");
    }

    #[test]
    fn what_is_told_of_a_part_that_there_is_not_says_nothing() {
        assert_eq!(PartReceipts::default().fold(7, 2, DELIVERED), None);
        assert_eq!(PartReceipts::default().fold(7, 1, DELIVERED), Some(DELIVERED));
    }

    #[test]
    fn the_first_link_that_took_an_attempt_stays_its_link() {
        let mut passage = Passage::default();
        let passed_over = PassedOver { link: "b".to_owned(), reason: "it is down".to_owned() };
        let decision = Decision { route: None, passed_over: vec![passed_over; 10] };
        let first = Handover { decision, ..Handover::new("a", SubmitOutcome::Accepted) };
        passage.note(&first, true);
        passage.note(&Handover { link: "c".to_owned(), ..first }, false);
        assert_eq!(passage.link.as_deref(), Some("a"));
        assert_eq!(passage.decision.passed_over.len(), PASSED_OVER_MAX);
    }

    const DELIVERED: Receipt = Receipt { status: ReceiptStatus::Delivered, error: ErrorCode::NONE };
}
