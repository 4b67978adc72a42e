//! How many calls may go where within an hour: a guard against those who are paid for being called.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use engine::{Amount, Timestamp};

use crate::config::CallCaps;

/// The caps of one trunk, and the calls of the last hour.
#[derive(Debug)]
pub(super) struct Caps {
    caps: CallCaps,
    state: Mutex<State>,
}

/// Names a call among those that are counted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ticket(u64);

#[derive(Debug, Default)]
struct State {
    calls: VecDeque<Counted>,
    /// How many calls left the front of the queue.
    gone: u64,
    numbers: HashMap<u64, u32>,
    prefixes: HashMap<u64, (u32, Amount)>,
}

#[derive(Debug)]
struct Counted {
    at: Timestamp,
    number: u64,
    prefix: u64,
    cost: Amount,
    /// Whether it was a call at all.
    counts: bool,
}

impl Caps {
    pub(super) fn new(caps: CallCaps) -> Self {
        Self { caps, state: Mutex::default() }
    }

    /// Counts a call that will cost so much.
    ///
    /// # Errors
    /// Which cap it would break, in words for the operator.
    pub(super) fn admit(
        &self,
        number: u64,
        prefix: u64,
        cost: Amount,
        now: Timestamp,
    ) -> Result<Ticket, &'static str> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.forget_before(now.before(HOUR));
        let to_number = state.numbers.get(&number).copied().unwrap_or_default();
        let (to_prefix, spent) = state.prefixes.get(&prefix).copied().unwrap_or_default();
        if to_number >= self.caps.per_number {
            return Err("the number was called too often within the hour");
        }
        if to_prefix >= self.caps.per_prefix {
            return Err("its neighbours were called too often within the hour");
        }
        if self.caps.cost_per_prefix.is_some_and(|max| spent + cost > max) {
            return Err("calls to its neighbours have cost too much within the hour");
        }
        if state.calls.len() >= CALLS_KEPT_MAX {
            return Err("there were more calls within the hour than can be counted");
        }
        Ok(state.count(Counted { at: now, number, prefix, cost, counts: true }))
    }

    /// Counts a call that was placed before a restart or under another configuration; they are
    /// told in their order, and before any is admitted.
    pub(super) fn count_earlier(&self, number: u64, prefix: u64, cost: Amount, at: Timestamp) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.calls.len() < CALLS_KEPT_MAX {
            state.count(Counted { at, number, prefix, cost, counts: true });
        }
    }

    /// Takes note of what a call did cost.
    pub(super) fn settle(&self, ticket: Ticket, cost: Amount) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(call) = state.call(ticket) else { return };
        let (prefix, change) = (call.prefix, cost - call.cost);
        call.cost = cost;
        if let Some((_, spent)) = state.prefixes.get_mut(&prefix) {
            *spent = *spent + change;
        }
    }

    /// Takes a call back that never left.
    pub(super) fn take_back(&self, ticket: Ticket) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(call) = state.call(ticket) else { return };
        call.counts = false;
        let (number, prefix, cost) = (call.number, call.prefix, call.cost);
        state.uncount(number, prefix, cost);
    }
}

impl State {
    fn count(&mut self, call: Counted) -> Ticket {
        let ticket = Ticket(self.gone + self.calls.len() as u64);
        let to_number = self.numbers.entry(call.number).or_default();
        *to_number = to_number.saturating_add(1);
        let (to_prefix, spent) = self.prefixes.entry(call.prefix).or_default();
        (*to_prefix, *spent) = (to_prefix.saturating_add(1), *spent + call.cost);
        self.calls.push_back(call);
        ticket
    }

    fn call(&mut self, ticket: Ticket) -> Option<&mut Counted> {
        let index = usize::try_from(ticket.0.checked_sub(self.gone)?).ok()?;
        self.calls.get_mut(index).filter(|call| call.counts)
    }

    fn forget_before(&mut self, at: Timestamp) {
        while self.calls.front().is_some_and(|call| call.at < at)
            && let Some(call) = self.calls.pop_front()
        {
            self.gone += 1;
            if call.counts {
                self.uncount(call.number, call.prefix, call.cost);
            }
        }
    }

    fn uncount(&mut self, number: u64, prefix: u64, cost: Amount) {
        if let Some(count) = self.numbers.get_mut(&number) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.numbers.remove(&number);
            }
        }
        if let Some((count, spent)) = self.prefixes.get_mut(&prefix) {
            *count = count.saturating_sub(1);
            *spent = *spent - cost;
            if *count == 0 {
                self.prefixes.remove(&prefix);
            }
        }
    }
}

pub(super) const HOUR: Duration = Duration::from_hours(1);

/// 50 calls a second for an hour, in 16 MB; no trunk of the configuration's range is refused for
/// it unless it is as busy for as long.
const CALLS_KEPT_MAX: usize = 180_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_to_a_number_are_counted_for_an_hour() {
        let caps = caps(2, 100, None);
        assert!(caps.admit(1, 0, COST, at(0)).is_ok() && caps.admit(1, 0, COST, at(10)).is_ok());
        assert!(caps.admit(1, 0, COST, at(3600)).unwrap_err().contains("the number"));
        assert!(caps.admit(2, 0, COST, at(3600)).is_ok(), "another number");
        assert!(caps.admit(1, 0, COST, at(3601)).is_ok(), "the first has been forgotten");
        assert!(caps.admit(1, 0, COST, at(3602)).is_err(), "and the second has not");
    }

    #[test]
    fn neighbours_share_a_cap_on_calls() {
        let caps = caps(10, 2, None);
        assert!(caps.admit(1, 7, COST, at(0)).is_ok() && caps.admit(2, 7, COST, at(0)).is_ok());
        assert!(caps.admit(3, 7, COST, at(1)).unwrap_err().contains("neighbours were"));
        assert!(caps.admit(4, 8, COST, at(1)).is_ok());
    }

    #[test]
    fn what_calls_to_neighbours_cost_is_capped_by_what_they_did_cost() {
        let caps = caps(10, 100, Some(Amount::from_units(25)));
        let first = caps.admit(1, 7, COST, at(0)).unwrap();
        caps.admit(2, 7, COST, at(0)).unwrap();
        assert!(caps.admit(3, 7, COST, at(1)).unwrap_err().contains("cost too much"));
        caps.settle(first, Amount::ZERO);
        assert!(caps.admit(3, 7, COST, at(1)).is_ok(), "the first was not answered");
    }

    #[test]
    fn calls_before_a_restart_count_until_their_hour_is_over() {
        let caps = caps(1, 100, Some(Amount::from_units(15)));
        caps.count_earlier(1, 7, COST, at(0));
        assert!(caps.admit(1, 8, COST, at(3600)).unwrap_err().contains("the number"));
        assert!(caps.admit(2, 7, COST, at(3600)).unwrap_err().contains("cost too much"));
        assert!(caps.admit(1, 7, COST, at(3601)).is_ok());
    }

    #[test]
    fn a_call_that_never_left_is_not_counted() {
        let caps = caps(1, 100, Some(Amount::from_units(10)));
        for _ in 0..5 {
            let ticket = caps.admit(1, 7, COST, at(0)).unwrap();
            caps.take_back(ticket);
            caps.take_back(ticket);
        }
        assert!(caps.admit(1, 7, COST, at(4000)).is_ok());
        assert!(caps.admit(1, 7, COST, at(4000)).is_err());
    }

    const COST: Amount = Amount::from_units(10);

    fn caps(per_number: u32, per_prefix: u32, cost_per_prefix: Option<Amount>) -> Caps {
        Caps::new(CallCaps { per_number, per_prefix, cost_per_prefix })
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(1_795_300_000_000).after(Duration::from_secs(seconds))
    }
}
