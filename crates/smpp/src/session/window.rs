//! The submits that are not answered yet, and those that were given up.

use alloc::collections::{BTreeMap, VecDeque};
use core::time::Duration;

/// Submits given up whose response is still recognised; the oldest are forgotten.
///
/// A choice: at 500 submits a second the last 20 seconds, which is more than an SMSC is late.
pub const LATE_RESPONSES_MAX: usize = 10_000;

pub(super) struct Window {
    pdus_max: usize,
    response_timeout: Duration,
    sequence: u32,
    unanswered: BTreeMap<u32, Unanswered>,
    /// In the order of submitting, which is that of the deadlines; answered ones are skipped.
    deadlines: VecDeque<(Duration, u32)>,
    given_up: BTreeMap<u32, u64>,
    given_up_order: VecDeque<u32>,
}

pub(super) struct Unanswered {
    pub(super) token: u64,
    pub(super) submitted_at: Duration,
    pub(super) written: bool,
}

impl Window {
    pub(super) fn new(pdus_max: usize, response_timeout: Duration) -> Self {
        Self {
            pdus_max,
            response_timeout,
            sequence: 0,
            unanswered: BTreeMap::new(),
            deadlines: VecDeque::new(),
            given_up: BTreeMap::new(),
            given_up_order: VecDeque::new(),
        }
    }

    /// Returns the next number that no unanswered request has (SMPP 3.4, section 5.1.4).
    pub(super) fn next_sequence(&mut self) -> u32 {
        loop {
            self.sequence = if self.sequence >= SEQUENCE_MAX { 1 } else { self.sequence + 1 };
            if !self.unanswered.contains_key(&self.sequence) {
                return self.sequence;
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        self.unanswered.len()
    }

    pub(super) fn is_full(&self) -> bool {
        self.unanswered.len() >= self.pdus_max
    }

    pub(super) fn insert(&mut self, sequence: u32, token: u64, now: Duration) {
        // A number that came round again is no longer that of the old request.
        self.given_up.remove(&sequence);
        let request = Unanswered { token, submitted_at: now, written: false };
        self.unanswered.insert(sequence, request);
        self.deadlines.push_back((now.saturating_add(self.response_timeout), sequence));
    }

    /// Notes that the octets were taken, and returns whose they are.
    pub(super) fn written(&mut self, sequence: u32) -> Option<u64> {
        let request = self.unanswered.get_mut(&sequence)?;
        request.written = true;
        Some(request.token)
    }

    pub(super) fn answered(&mut self, sequence: u32) -> Option<Unanswered> {
        let request = self.unanswered.remove(&sequence);
        self.skip_answered();
        request
    }

    /// Returns the token of a request that was given up, once.
    pub(super) fn late(&mut self, sequence: u32) -> Option<u64> {
        self.given_up.remove(&sequence)
    }

    pub(super) fn deadline(&self) -> Option<Duration> {
        self.deadlines.front().map(|(deadline, _)| *deadline)
    }

    /// Gives one request up whose time is over.
    pub(super) fn give_up(&mut self, now: Duration) -> Option<(u32, Unanswered)> {
        let (_, sequence) = *self.deadlines.front().filter(|(deadline, _)| *deadline <= now)?;
        let request = self.answered(sequence)?;
        if request.written {
            self.remember(sequence, request.token);
        }
        Some((sequence, request))
    }

    /// Ends everything, the oldest first.
    pub(super) fn drain(&mut self) -> Vec<Unanswered> {
        let order = core::mem::take(&mut self.deadlines);
        order.into_iter().filter_map(|(_, sequence)| self.unanswered.remove(&sequence)).collect()
    }

    fn remember(&mut self, sequence: u32, token: u64) {
        self.given_up.insert(sequence, token);
        self.given_up_order.push_back(sequence);
        if self.given_up_order.len() > LATE_RESPONSES_MAX
            && let Some(oldest) = self.given_up_order.pop_front()
        {
            self.given_up.remove(&oldest);
        }
    }

    /// Keeps an unanswered request at the front, so that `deadline` is true.
    fn skip_answered(&mut self) {
        let answered = |(_, sequence): &(Duration, u32)| !self.unanswered.contains_key(sequence);
        while self.deadlines.front().is_some_and(answered) {
            self.deadlines.pop_front();
        }
    }
}

/// Section 3.2: the highest sequence number.
const SEQUENCE_MAX: u32 = 0x7FFF_FFFF;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequence_numbers_wrap_to_one_and_pass_over_what_is_unanswered() {
        let mut window = Window::new(10, Duration::from_secs(10));
        assert_eq!(window.next_sequence(), 1);
        window.insert(1, 7, Duration::ZERO);
        window.sequence = SEQUENCE_MAX - 1;
        assert_eq!(window.next_sequence(), SEQUENCE_MAX);
        assert_eq!(window.next_sequence(), 2);
    }

    #[test]
    fn only_so_many_of_those_given_up_are_remembered() {
        let mut window = Window::new(usize::MAX, Duration::ZERO);
        let count = u32::try_from(LATE_RESPONSES_MAX).unwrap() + 1;
        for sequence in 1..=count {
            window.insert(sequence, u64::from(sequence), Duration::ZERO);
            window.written(sequence);
            assert!(window.give_up(Duration::ZERO).is_some());
        }
        assert_eq!(window.late(1), None);
        assert_eq!(window.late(2), Some(2));
        assert_eq!(window.late(2), None);
        assert_eq!(window.late(count), Some(u64::from(count)));
    }
}
