//! By which names a carrier's receipts are matched to attempts.

use std::sync::Arc;

use smpp::{DeliveryReceipt, MessageIdForm, ShortMessage, correlation_candidates, tag};

use crate::channels::Submission;
use crate::channels::seen::{Said, Seen};
use crate::seal::PseudonymKey;
use crate::store::CarrierKey;

/// The names that one link's carrier uses.
pub(super) struct Names {
    link: String,
    ids: Option<MessageIdForm>,
    seen: Arc<Seen>,
}

/// A receipt's names.
pub(super) struct ReceiptNames {
    /// The names that its subject may have, the best first; none if it comes again.
    pub(super) keys: Vec<CarrierKey>,
    /// Those of them that are of its subject alone.
    own: Vec<CarrierKey>,
    /// Where it is final and has none of its own, what it says.
    said: Option<Said>,
}

impl Names {
    pub(super) fn new(link: &str, ids: Option<MessageIdForm>, seen: Arc<Seen>) -> Self {
        Self { link: link.to_owned(), ids, seen }
    }

    /// The name of a part by the id of its response; `None` if that says nothing.
    pub(super) fn of_id(&self, id: &str) -> Option<CarrierKey> {
        let id = self.ids?.response_key(id)?;
        Some(CarrierKey::of(&self.link, &id))
    }

    /// The name that all parts for a number share where there is no better one.
    pub(super) fn of_number(&self, pseudonyms: &PseudonymKey, number: u64) -> CarrierKey {
        CarrierKey::of(&self.link, &format!("to:{}", pseudonyms.pseudonym(number)))
    }

    /// The names that the subject of a receipt may have. The number is one, too, for what was never
    /// answered and so has no other.
    pub(super) fn of_receipt(
        &self,
        told: &DeliveryReceipt,
        message: &ShortMessage,
        pseudonyms: &PseudonymKey,
        is_final: bool,
    ) -> ReceiptNames {
        let ids = self.ids.map(|form| correlation_candidates(form, told)).unwrap_or_default();
        let own: Vec<CarrierKey> = ids.iter().map(|id| CarrierKey::of(&self.link, id)).collect();
        let mut keys = own.clone();
        // A receipt comes from whom the message was for; some SMSCs leave it the other way round.
        let addresses = [&message.source, &message.destination];
        let numbers: Vec<u64> = addresses.iter().filter_map(|a| number(&a.text)).collect();
        let mut said = None;
        if own.is_empty() && is_final {
            said = self.seen.say(numbers.clone(), self.said(message));
            if said.is_none() {
                return ReceiptNames { keys, own, said };
            }
        }
        for number in numbers {
            if self.seen.may_go_by_number(&own, number) {
                keys.push(self.of_number(pseudonyms, number));
            }
        }
        ReceiptNames { keys, own, said }
    }

    /// Takes note that the subject of a receipt has reached its final state.
    pub(super) fn settle(&self, names: ReceiptNames) {
        self.seen.settle(&names.own);
        if let Some(said) = names.said {
            said.stored();
        }
    }

    /// Takes note that a submit to a number begins.
    pub(super) fn begin(&self, number: u64) {
        self.seen.begin(number);
    }

    /// Takes note that a submit to a number has ended.
    pub(super) fn end(&self, number: u64, submission: &Submission) {
        self.seen.end(number, submission);
    }

    /// A digest of what a receipt says: its text holds when the message was sent and arrived.
    fn said(&self, message: &ShortMessage) -> CarrierKey {
        let text: String = message.text().iter().copied().map(char::from).collect();
        let state = message.tlvs.octet(tag::MESSAGE_STATE);
        let (source, destination) = (&message.source.text, &message.destination.text);
        CarrierKey::of(&self.link, &format!("said:{source}:{destination}:{state:?}:{text}"))
    }
}

/// Reads the digits of an address.
pub(super) fn number(text: &str) -> Option<u64> {
    let digits = text.trim().trim_start_matches('+').trim_start_matches("00");
    let is_number = (NUMBER_DIGITS_MIN..=15).contains(&digits.len());
    is_number.then(|| digits.parse().ok())?
}

/// What is shorter is a short code.
const NUMBER_DIGITS_MIN: usize = 7;

#[cfg(test)]
mod tests {
    use smpp::{Address, MessageState};

    use super::*;
    use crate::seal::KEY_BYTES;

    const NUMBER: u64 = 447_700_900_123;

    #[test]
    fn a_receipt_is_known_by_its_id_and_else_by_its_number() {
        let names = Names::new("north", Some(MessageIdForm::Same), Seen::new());
        let keys = keys(&names, "00ab", &from("+447700900123"));
        let by_number = names.of_number(&pseudonyms(), NUMBER);
        assert_eq!(keys, [names.of_id("AB").unwrap(), by_number]);
    }

    #[test]
    fn where_ids_are_worth_nothing_only_the_number_counts_and_a_repeat_has_no_name() {
        let names = Names::new("north", None, Seen::new());
        assert_eq!(names.of_id("7"), None);
        let message = from("447700900123");
        let first = names.of_receipt(&told("7"), &message, &pseudonyms(), true);
        assert_eq!(first.keys, [names.of_number(&pseudonyms(), NUMBER)]);
        names.settle(first);
        assert_eq!(keys(&names, "7", &message), []);
        let later =
            ShortMessage { short_message: b"done date:2611250902".as_slice().into(), ..message };
        assert_eq!(keys(&names, "7", &later), [names.of_number(&pseudonyms(), NUMBER)]);
    }

    #[test]
    fn a_receipt_that_comes_again_in_another_base_clears_up_no_other_message_to_the_number() {
        let names = Names::new("north", Some(MessageIdForm::RespHexReceiptDec), Seen::new());
        names.settle(names.of_receipt(&told("31"), &from("447700900123"), &pseudonyms(), true));
        let keys = keys(&names, "31", &from("447700900123"));
        assert_eq!(keys, [names.of_id("1F").unwrap()]);
    }

    fn keys(names: &Names, id: &str, message: &ShortMessage) -> Vec<CarrierKey> {
        names.of_receipt(&told(id), message, &pseudonyms(), true).keys
    }

    fn told(id: &str) -> DeliveryReceipt {
        DeliveryReceipt {
            id_parameter: None,
            id_text: Some(id.to_owned()),
            state: MessageState::Delivered,
            error: None,
            network_error: None,
            submitted_at: None,
            done_at: None,
        }
    }

    fn from(number: &str) -> ShortMessage {
        let source = Address::international(number);
        ShortMessage { source, ..ShortMessage::default() }
    }

    fn pseudonyms() -> PseudonymKey {
        PseudonymKey::from_bytes(&[0x0b; KEY_BYTES]).unwrap()
    }
}
