//! Stops sending to an aggregator that fails again and again, and tries it with one message.

use std::time::Duration;

use engine::Timestamp;

/// The breaker of one link.
#[derive(Debug)]
pub(super) struct Breaker {
    failures_max: u32,
    open_for: Duration,
    failures: u32,
    /// Until when nothing passes; `None` while it is closed.
    open_until: Option<Timestamp>,
    probing: bool,
}

/// Whether messages pass.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum BreakerState {
    /// All do.
    Closed,
    /// None does.
    Open,
    /// One does, and decides.
    HalfOpen,
}

impl Breaker {
    pub(super) const fn new(failures_max: u32, open_for: Duration) -> Self {
        Self { failures_max, open_for, failures: 0, open_until: None, probing: false }
    }

    pub(super) fn state(&self, now: Timestamp) -> BreakerState {
        match self.open_until {
            None => BreakerState::Closed,
            Some(until) if now < until => BreakerState::Open,
            Some(_) => BreakerState::HalfOpen,
        }
    }

    /// How long nothing passes; `None` if a message may now.
    pub(super) fn wait(&self, now: Timestamp) -> Option<Duration> {
        match self.state(now) {
            BreakerState::Closed => None,
            BreakerState::Open => self.open_until.map(|until| until.since(now)),
            BreakerState::HalfOpen => self.probing.then_some(PROBE_WAIT),
        }
    }

    /// Lets a message pass, or tells how long to wait.
    pub(super) fn enter(&mut self, now: Timestamp) -> Result<(), Duration> {
        if let Some(wait) = self.wait(now) {
            return Err(wait);
        }
        self.probing = self.open_until.is_some();
        Ok(())
    }

    /// Takes note that the aggregator answers; tells the new state if that changed it.
    pub(super) fn succeed(&mut self) -> Option<BreakerState> {
        self.failures = 0;
        self.probing = false;
        self.open_until.take().map(|_| BreakerState::Closed)
    }

    /// Takes note of a failure; tells the new state if that changed it.
    pub(super) fn fail(&mut self, now: Timestamp) -> Option<BreakerState> {
        self.failures = self.failures.saturating_add(1);
        let was_probe = std::mem::take(&mut self.probing);
        let opens = match self.state(now) {
            BreakerState::Closed => self.failures >= self.failures_max,
            // It failed before, and this was sent before that.
            BreakerState::Open => false,
            BreakerState::HalfOpen => was_probe,
        };
        if !opens {
            return None;
        }
        self.open_until = Some(now.after(self.open_for));
        Some(BreakerState::Open)
    }

    /// Takes note that a message's task ended before it knew.
    pub(super) fn abandon(&mut self) {
        self.probing = false;
    }
}

/// A probe is over after its timeout at the latest; whoever asks meanwhile goes elsewhere.
const PROBE_WAIT: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::from_millis(1_000_000);
    const OPEN_FOR: Duration = Duration::from_secs(10);

    fn opened() -> Breaker {
        let mut breaker = Breaker::new(2, OPEN_FOR);
        assert_eq!(breaker.fail(START), None);
        assert_eq!(breaker.fail(START), Some(BreakerState::Open));
        breaker
    }

    #[test]
    fn so_many_failures_in_a_row_open_it() {
        let breaker = opened();
        assert_eq!(breaker.wait(START), Some(OPEN_FOR));
        assert_eq!(breaker.state(START), BreakerState::Open);
    }

    #[test]
    fn a_success_in_between_begins_the_count_anew() {
        let mut breaker = Breaker::new(2, OPEN_FOR);
        breaker.fail(START);
        breaker.succeed();
        assert_eq!(breaker.fail(START), None);
        assert_eq!(breaker.state(START), BreakerState::Closed);
    }

    #[test]
    fn one_message_tries_it_and_a_success_closes_it() {
        let mut breaker = opened();
        let later = START.after(OPEN_FOR);
        assert!(breaker.enter(START).is_err());
        assert_eq!(breaker.enter(later), Ok(()));
        assert!(breaker.enter(later).is_err(), "only one message tries");
        assert_eq!(breaker.succeed(), Some(BreakerState::Closed));
        assert_eq!(breaker.enter(later), Ok(()));
    }

    #[test]
    fn a_probe_that_fails_opens_it_again() {
        let mut breaker = opened();
        let later = START.after(OPEN_FOR);
        breaker.enter(later).unwrap();
        assert_eq!(breaker.fail(later), Some(BreakerState::Open));
        assert!(breaker.enter(later).is_err());
        assert_eq!(breaker.enter(later.after(OPEN_FOR)), Ok(()));
    }

    #[test]
    fn a_probe_that_is_dropped_leaves_room_for_the_next() {
        let mut breaker = opened();
        let later = START.after(OPEN_FOR);
        breaker.enter(later).unwrap();
        breaker.abandon();
        assert_eq!(breaker.enter(later), Ok(()));
    }
}
