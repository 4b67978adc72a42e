//! What keeps a receipt from being taken for that of another message to the same number.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::Submission;
use crate::clock::Stopwatch;
use crate::store::CarrierKey;

/// What all links' carriers were given and have told, by the names of their links: a link that a
/// reload starts anew knows what went over the old one.
#[derive(Clone, Debug, Default)]
pub(crate) struct SeenByLink(Arc<Mutex<HashMap<String, Arc<Seen>>>>);

/// What one link's carrier was given and has told in the last minutes.
#[derive(Debug)]
pub(super) struct Seen {
    watch: Stopwatch,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Numbers to which hand-overs are under way, or were a moment ago, and how many.
    numbers: HashMap<u64, u32>,
    ended: VecDeque<(Duration, u64)>,
    /// Names whose final receipt has come.
    settled: Recent,
    /// What final receipts without a name said, by the numbers that they are of.
    nameless: HashMap<u64, Vec<(Duration, CarrierKey)>>,
    said: VecDeque<(Duration, u64, CarrierKey)>,
}

/// What a final receipt without a name says; forgotten again unless the receipt gets stored.
#[derive(Debug)]
pub(super) struct Said {
    seen: Arc<Seen>,
    numbers: Vec<u64>,
    digest: CarrierKey,
    is_stored: bool,
}

/// What came last, at most [`SETTLED_MAX`] of it.
#[derive(Debug, Default)]
struct Recent {
    known: HashSet<CarrierKey>,
    order: VecDeque<CarrierKey>,
}

impl SeenByLink {
    /// Returns what is known of a link.
    pub(super) fn of(&self, link: &str) -> Arc<Seen> {
        let mut links = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(links.entry(link.to_owned()).or_insert_with(Seen::new))
    }
}

impl Seen {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { watch: Stopwatch::start(), state: Mutex::default() })
    }

    /// Takes note that a hand-over to a number begins. Its receipt may say the same as the last.
    pub(super) fn begin(&self, number: u64) {
        let mut state = self.lock();
        state.forget(self.watch.elapsed());
        state.nameless.remove(&number);
        *state.numbers.entry(number).or_default() += 1;
    }

    /// Takes note of how a hand-over to a number has ended. The names that the carrier gave it are
    /// on their way to the store; without any, its receipt is to be found by the number from now
    /// on, and so is that of another message if this one never got there.
    pub(super) fn end(&self, number: u64, submission: &Submission) {
        let now = self.watch.elapsed();
        let mut state = self.lock();
        match submission {
            Submission::Accepted(_) => state.ended.push_back((now, number)),
            Submission::Unknown(_)
            | Submission::Rejected(_)
            | Submission::LinkRefused(_)
            | Submission::NotSent { .. } => state.count_off(number),
        }
    }

    /// Whether a receipt that has these better names may be looked for by its number as well: not
    /// if it may have overtaken the answer to its hand-over, or comes again, because it would clear
    /// up another message to the number.
    pub(super) fn may_go_by_number(&self, names: &[CarrierKey], number: u64) -> bool {
        let mut state = self.lock();
        state.forget(self.watch.elapsed());
        let overtakes = !names.is_empty() && state.numbers.contains_key(&number);
        !overtakes && !names.iter().any(|name| state.settled.known.contains(name))
    }

    /// Takes note of what a final receipt without a name says of its numbers, by a digest; `None`
    /// if it says so again, be it that the first is still being stored.
    pub(super) fn say(self: &Arc<Self>, numbers: Vec<u64>, digest: CarrierKey) -> Option<Said> {
        let now = self.watch.elapsed();
        let mut state = self.lock();
        state.forget(now);
        let knows = |number| {
            let said = state.nameless.get(number);
            said.is_some_and(|said| said.iter().any(|(_, known)| *known == digest))
        };
        if numbers.iter().all(knows) {
            return None;
        }
        for number in &numbers {
            state.nameless.entry(*number).or_default().push((now, digest));
            state.said.push_back((now, *number, digest));
        }
        while state.said.len() > SETTLED_MAX {
            state.forget_oldest_said();
        }
        Some(Said { seen: Arc::clone(self), numbers, digest, is_stored: false })
    }

    /// Takes note that what these names are of has reached its final state.
    pub(super) fn settle(&self, names: &[CarrierKey]) {
        let mut state = self.lock();
        for name in names {
            state.settled.put(*name);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn forget(&mut self, now: Duration) {
        while let Some((ended_at, number)) = self.ended.front().copied()
            && ended_at + OVERTAKING_MAX <= now
        {
            self.ended.pop_front();
            self.count_off(number);
        }
        while self.said.front().is_some_and(|(at, ..)| *at + REPEATED_FOR <= now) {
            self.forget_oldest_said();
        }
    }

    fn forget_oldest_said(&mut self) {
        if let Some((at, number, digest)) = self.said.pop_front() {
            self.unsay(number, |entry| *entry == (at, digest));
        }
    }

    fn unsay(&mut self, number: u64, is_it: impl Fn(&(Duration, CarrierKey)) -> bool) {
        if let Some(said) = self.nameless.get_mut(&number) {
            said.retain(|entry| !is_it(entry));
            if said.is_empty() {
                self.nameless.remove(&number);
            }
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

impl Said {
    /// Takes note that the receipt is stored.
    pub(super) fn stored(mut self) {
        self.is_stored = true;
    }
}

impl Drop for Said {
    fn drop(&mut self) {
        // The carrier brings again what could not be stored.
        if !self.is_stored {
            let mut state = self.seen.lock();
            for number in &self.numbers {
                state.unsay(*number, |(_, digest)| *digest == self.digest);
            }
        }
    }
}

impl Recent {
    fn put(&mut self, name: CarrierKey) {
        if self.known.insert(name) {
            self.order.push_back(name);
        }
        if self.order.len() > SETTLED_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }
}

/// How long an answer may take from the socket to the store: far longer than a commit.
const OVERTAKING_MAX: Duration = Duration::from_secs(5);

/// Carriers repeat a receipt within minutes; at fifty a second these are the last three, and they
/// take some hundred KB.
const SETTLED_MAX: usize = 10_000;

/// For so long what says the same is the same receipt: two messages to one number whose receipts
/// are equal to the letter are rarely nearer to each other.
const REPEATED_FOR: Duration = Duration::from_mins(2);

#[cfg(test)]
mod tests {
    use engine::ErrorCode;

    use super::*;

    const NUMBER: u64 = 447_700_900_123;

    #[test]
    fn a_receipt_that_overtakes_its_answer_clears_up_no_other_message_to_the_number() {
        let seen = Seen::new();
        seen.begin(NUMBER);
        assert!(!seen.may_go_by_number(&[key("7")], NUMBER));
        seen.end(NUMBER, &Submission::Accepted(Vec::new()));
        assert!(!seen.may_go_by_number(&[key("7")], NUMBER), "the answer is being stored");
        assert!(seen.may_go_by_number(&[], NUMBER), "there is nothing better");
        seen.lock().forget(Duration::from_hours(1));
        assert!(seen.may_go_by_number(&[key("7")], NUMBER));
    }

    #[test]
    fn a_hand_over_that_has_no_name_keeps_no_receipt_from_its_number() {
        let not_sent = Submission::NotSent { reason: "it is busy".to_owned(), retry_after: None };
        for ended in [
            Submission::Unknown(Vec::new()),
            Submission::Rejected(ErrorCode::GENERAL),
            Submission::LinkRefused("it has no credit".to_owned()),
            not_sent,
        ] {
            let seen = Seen::new();
            seen.begin(NUMBER);
            seen.end(NUMBER, &ended);
            assert!(seen.may_go_by_number(&[key("7")], NUMBER), "{ended:?}");
        }
    }

    #[test]
    fn a_receipt_that_comes_again_clears_up_no_other_message_to_the_number() {
        let seen = Seen::new();
        seen.settle(&[key("7")]);
        assert!(!seen.may_go_by_number(&[key("7")], NUMBER));
        assert!(seen.may_go_by_number(&[key("8")], NUMBER));
    }

    #[test]
    fn what_has_no_name_is_known_by_what_it_says_for_a_while() {
        let seen = Seen::new();
        let first = seen.say(vec![NUMBER], key("delivered at 9:00"));
        assert!(seen.say(vec![NUMBER], key("delivered at 9:00")).is_none(), "it is being stored");
        first.unwrap().stored();
        assert!(seen.say(vec![NUMBER], key("delivered at 9:00")).is_none());
        assert!(seen.say(vec![NUMBER], key("delivered at 9:01")).is_some());
        seen.lock().forget(seen.watch.elapsed() + REPEATED_FOR);
        assert!(seen.say(vec![NUMBER], key("delivered at 9:00")).is_some());
    }

    #[test]
    fn what_could_not_be_stored_and_what_another_message_may_say_is_no_repeat() {
        let seen = Seen::new();
        let both = || vec![NUMBER, NUMBER + 1];
        drop(seen.say(both(), key("delivered")));
        seen.say(both(), key("delivered")).unwrap().stored();
        assert!(seen.say(both(), key("delivered")).is_none());
        seen.begin(NUMBER);
        seen.say(both(), key("delivered")).unwrap().stored();
        assert!(seen.say(both(), key("delivered")).is_none());
    }

    #[test]
    fn only_so_much_of_what_was_said_is_kept() {
        let seen = Seen::new();
        for number in 0..=u64::try_from(SETTLED_MAX).unwrap() {
            seen.say(vec![number], key("delivered")).unwrap().stored();
        }
        let state = seen.lock();
        assert_eq!((state.said.len(), state.nameless.len()), (SETTLED_MAX, SETTLED_MAX));
    }

    #[test]
    fn a_link_that_is_started_anew_knows_what_was_seen_before() {
        let links = SeenByLink::default();
        links.of("north").settle(&[key("7")]);
        assert!(!links.of("north").may_go_by_number(&[key("7")], NUMBER));
        assert!(links.of("south").may_go_by_number(&[key("7")], NUMBER));
    }

    #[test]
    fn only_so_many_settled_names_are_kept() {
        let seen = Seen::new();
        (0..=SETTLED_MAX).for_each(|id| seen.settle(&[key(&id.to_string())]));
        let state = seen.lock();
        assert_eq!(
            (state.settled.known.len(), state.settled.order.len()),
            (SETTLED_MAX, SETTLED_MAX)
        );
    }

    fn key(id: &str) -> CarrierKey {
        CarrierKey::of("north", id)
    }
}
