//! What keeps a receipt from being taken for that of another message to the same number.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::Stopwatch;
use crate::store::CarrierKey;

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
    settled: Recent<CarrierKey>,
    /// What final receipts without a name said.
    nameless: Recent<CarrierKey>,
}

/// What came last, at most [`SETTLED_MAX`] of it.
#[derive(Debug)]
struct Recent<T> {
    known: HashSet<T>,
    order: VecDeque<(Duration, T)>,
}

impl Seen {
    pub(super) fn new() -> Self {
        Self { watch: Stopwatch::start(), state: Mutex::default() }
    }

    /// Takes note that a hand-over to a number begins.
    pub(super) fn begin(&self, number: u64) {
        let mut state = self.lock();
        state.forget(self.watch.elapsed());
        *state.numbers.entry(number).or_default() += 1;
    }

    /// Takes note that a hand-over to a number has ended. Its answer, if there was one, is on its
    /// way to the store; without one, its receipt is to be found by the number from now on.
    pub(super) fn end(&self, number: u64, is_answered: bool) {
        let now = self.watch.elapsed();
        let mut state = self.lock();
        if is_answered {
            state.ended.push_back((now, number));
        } else {
            state.count_off(number);
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

    /// Whether a receipt without a name comes again, by a digest of what it says.
    pub(super) fn is_repeat(&self, said: CarrierKey) -> bool {
        let mut state = self.lock();
        state.forget(self.watch.elapsed());
        state.nameless.known.contains(&said)
    }

    /// Takes note that what these names are of has reached its final state.
    pub(super) fn settle(&self, names: &[CarrierKey]) {
        let now = self.watch.elapsed();
        let mut state = self.lock();
        for name in names {
            state.settled.put(now, *name);
        }
    }

    /// Takes note that a final receipt without a name has said this.
    pub(super) fn settle_nameless(&self, said: CarrierKey) {
        let now = self.watch.elapsed();
        self.lock().nameless.put(now, said);
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
        self.nameless.forget(now, REPEATED_FOR);
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

impl<T: Copy + Eq + Hash> Recent<T> {
    fn put(&mut self, now: Duration, entry: T) {
        if self.known.insert(entry) {
            self.order.push_back((now, entry));
        }
        if self.order.len() > SETTLED_MAX {
            self.drop_oldest();
        }
    }

    fn forget(&mut self, now: Duration, age: Duration) {
        while self.order.front().is_some_and(|(at, _)| *at + age <= now) {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        if let Some((_, oldest)) = self.order.pop_front() {
            self.known.remove(&oldest);
        }
    }
}

impl<T> Default for Recent<T> {
    fn default() -> Self {
        Self { known: HashSet::new(), order: VecDeque::new() }
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
    use super::*;

    const NUMBER: u64 = 447_700_900_123;

    #[test]
    fn a_receipt_that_overtakes_its_answer_clears_up_no_other_message_to_the_number() {
        let seen = Seen::new();
        seen.begin(NUMBER);
        assert!(!seen.may_go_by_number(&[key("7")], NUMBER));
        seen.end(NUMBER, true);
        assert!(!seen.may_go_by_number(&[key("7")], NUMBER), "the answer is being stored");
        assert!(seen.may_go_by_number(&[], NUMBER), "there is nothing better");
        seen.lock().forget(Duration::from_hours(1));
        assert!(seen.may_go_by_number(&[key("7")], NUMBER));
    }

    #[test]
    fn a_hand_over_that_was_never_answered_is_found_by_its_number_at_once() {
        let seen = Seen::new();
        seen.begin(NUMBER);
        seen.end(NUMBER, false);
        assert!(seen.may_go_by_number(&[key("7")], NUMBER));
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
        assert!(!seen.is_repeat(key("delivered at 9:00")));
        seen.settle_nameless(key("delivered at 9:00"));
        assert!(seen.is_repeat(key("delivered at 9:00")));
        assert!(!seen.is_repeat(key("delivered at 9:01")));
        seen.lock().forget(seen.watch.elapsed() + REPEATED_FOR);
        assert!(!seen.is_repeat(key("delivered at 9:00")));
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
