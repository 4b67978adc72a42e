//! By which names a carrier's receipts are matched to attempts.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use smpp::{DeliveryReceipt, MessageIdForm, ShortMessage, correlation_candidates};

use crate::clock::Stopwatch;
use crate::seal::PseudonymKey;
use crate::store::CarrierKey;

/// The names that one link's carrier uses.
pub(super) struct Names {
    link: String,
    ids: Option<MessageIdForm>,
    watch: Stopwatch,
    seen: Mutex<Seen>,
}

/// What keeps a receipt from being taken for that of another message to the same number.
#[derive(Default)]
struct Seen {
    /// Numbers to which submits are under way, or were a moment ago, and how many.
    numbers: HashMap<u64, u32>,
    ended: VecDeque<(Duration, u64)>,
    /// Names whose final receipt has come, the oldest first.
    settled: HashSet<CarrierKey>,
    settled_order: VecDeque<CarrierKey>,
}

impl Names {
    pub(super) fn new(link: &str, ids: Option<MessageIdForm>) -> Self {
        let link = link.to_owned();
        Self { link, ids, watch: Stopwatch::start(), seen: Mutex::default() }
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

    /// The names that the subject of a receipt may have, the best first.
    ///
    /// The number is a name too, for what was never answered and so has no other. It is left out
    /// where the receipt has overtaken its response, or comes again: it would clear up another
    /// message to the same number.
    pub(super) fn of_receipt(
        &self,
        told: &DeliveryReceipt,
        message: &ShortMessage,
        pseudonyms: &PseudonymKey,
    ) -> Vec<CarrierKey> {
        let ids = self.ids.map(|form| correlation_candidates(form, told)).unwrap_or_default();
        let mut keys: Vec<CarrierKey> =
            ids.iter().map(|id| CarrierKey::of(&self.link, id)).collect();
        let mut seen = self.lock();
        seen.forget(self.watch.elapsed());
        let is_settled = keys.iter().any(|key| seen.settled.contains(key));
        // A receipt comes from whom the message was for; some SMSCs leave it the other way round.
        for address in [&message.source, &message.destination] {
            let Some(number) = number(&address.text) else { continue };
            let overtakes = !keys.is_empty() && seen.numbers.contains_key(&number);
            if !is_settled && !overtakes {
                keys.push(self.of_number(pseudonyms, number));
            }
        }
        keys
    }

    /// Takes note that what these names are of has reached its final state.
    pub(super) fn settle(&self, told: &DeliveryReceipt) {
        let Some(form) = self.ids else { return };
        let mut seen = self.lock();
        for id in correlation_candidates(form, told) {
            let key = CarrierKey::of(&self.link, &id);
            if seen.settled.insert(key) {
                seen.settled_order.push_back(key);
            }
        }
        while seen.settled_order.len() > SETTLED_MAX
            && let Some(oldest) = seen.settled_order.pop_front()
        {
            seen.settled.remove(&oldest);
        }
    }

    /// Takes note that a submit to a number begins.
    pub(super) fn begin(&self, number: u64) {
        let mut seen = self.lock();
        seen.forget(self.watch.elapsed());
        *seen.numbers.entry(number).or_default() += 1;
    }

    /// Takes note that a submit to a number has ended. Its response, if there was one, is on its
    /// way to the store; without one, its receipt is to be found by the number from now on.
    pub(super) fn end(&self, number: u64, is_answered: bool) {
        let now = self.watch.elapsed();
        let mut seen = self.lock();
        if is_answered {
            seen.ended.push_back((now, number));
        } else {
            seen.count_off(number);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seen {
    fn forget(&mut self, now: Duration) {
        while let Some((ended_at, number)) = self.ended.front().copied()
            && ended_at + OVERTAKING_MAX <= now
        {
            self.ended.pop_front();
            self.count_off(number);
        }
    }

    fn count_off(&mut self, number: u64) {
        if let Some(count) = self.numbers.get_mut(&number) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.numbers.remove(&number);
            }
        }
    }
}

/// Reads the digits of an address.
pub(super) fn number(text: &str) -> Option<u64> {
    let digits = text.trim().trim_start_matches('+').trim_start_matches("00");
    let is_number = (NUMBER_DIGITS_MIN..=15).contains(&digits.len());
    is_number.then(|| digits.parse().ok())?
}

/// How long a response may take from the socket to the store: far longer than a commit.
const OVERTAKING_MAX: Duration = Duration::from_secs(5);

/// SMSCs repeat a receipt within minutes; at fifty a second these are the last three, and they
/// take some hundred KB.
const SETTLED_MAX: usize = 10_000;

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
        let names = Names::new("north", Some(MessageIdForm::Same));
        let keys = names.of_receipt(&told("00ab"), &from("+447700900123"), &pseudonyms());
        let by_number = names.of_number(&pseudonyms(), NUMBER);
        assert_eq!(keys, [names.of_id("AB").unwrap(), by_number]);
    }

    #[test]
    fn where_ids_are_worth_nothing_only_the_number_counts() {
        let names = Names::new("north", None);
        assert_eq!(names.of_id("7"), None);
        let keys = names.of_receipt(&told("7"), &from("447700900123"), &pseudonyms());
        assert_eq!(keys, [names.of_number(&pseudonyms(), NUMBER)]);
    }

    #[test]
    fn a_receipt_that_overtakes_its_response_clears_up_no_other_message_to_the_number() {
        let names = Names::new("north", Some(MessageIdForm::Same));
        names.begin(NUMBER);
        names.end(NUMBER, true);
        let keys = names.of_receipt(&told("7"), &from("447700900123"), &pseudonyms());
        assert_eq!(keys, [names.of_id("7").unwrap()]);
        names.lock().forget(Duration::from_hours(1));
        assert_eq!(names.of_receipt(&told("7"), &from("447700900123"), &pseudonyms()).len(), 2);
    }

    #[test]
    fn a_submit_that_was_never_answered_is_found_by_its_number_at_once() {
        let names = Names::new("north", Some(MessageIdForm::Same));
        names.begin(NUMBER);
        names.end(NUMBER, false);
        assert_eq!(names.of_receipt(&told("7"), &from("447700900123"), &pseudonyms()).len(), 2);
    }

    #[test]
    fn a_receipt_that_comes_again_clears_up_no_other_message_to_the_number() {
        let names = Names::new("north", Some(MessageIdForm::RespHexReceiptDec));
        names.settle(&told("31"));
        let keys = names.of_receipt(&told("31"), &from("447700900123"), &pseudonyms());
        assert_eq!(keys, [names.of_id("1F").unwrap()]);
    }

    #[test]
    fn only_so_many_settled_names_are_kept() {
        let names = Names::new("north", Some(MessageIdForm::Same));
        for id in 0..=SETTLED_MAX {
            names.settle(&told(&id.to_string()));
        }
        let seen = names.lock();
        assert_eq!((seen.settled.len(), seen.settled_order.len()), (SETTLED_MAX, SETTLED_MAX));
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
