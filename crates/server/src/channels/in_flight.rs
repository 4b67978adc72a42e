//! The attempts that are being handed over, and those that were withdrawn.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use engine::AttemptId;

/// So many attempts are handed over at once; further ones wait on the outbox.
pub(super) const ATTEMPTS_MAX: usize = 8192;

/// The attempts that are being handed over, and those that were withdrawn.
#[derive(Default)]
pub(super) struct InFlight(Mutex<Attempts>);

#[derive(Default)]
struct Attempts {
    /// Whether each was withdrawn meanwhile.
    begun: HashMap<AttemptId, bool>,
    /// Withdrawn while they were on their way here: their end was committed after they were taken
    /// up, and told first.
    ended: Recent,
}

/// The attempts that were put in last: [`RECENT_MAX`] at least, and twice as many at most.
#[derive(Default)]
struct Recent {
    young: HashSet<AttemptId>,
    old: HashSet<AttemptId>,
}

/// Takes an attempt off the list however its task ends.
pub(super) struct InFlightAttempt {
    in_flight: Arc<InFlight>,
    attempt: AttemptId,
}

impl InFlight {
    /// Returns how many attempts are being handed over.
    pub(super) fn len(&self) -> usize {
        self.lock().begun.len()
    }

    /// Lists the attempts that are being handed over.
    pub(super) fn list(&self) -> Vec<AttemptId> {
        self.lock().begun.keys().copied().collect()
    }

    /// Notes that an attempt was withdrawn.
    pub(super) fn withdraw(&self, attempt: AttemptId) {
        let mut list = self.lock();
        match list.begun.get_mut(&attempt) {
            Some(withdrawn) => *withdrawn = true,
            None => list.ended.put(attempt),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Attempts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Recent {
    fn put(&mut self, attempt: AttemptId) {
        if self.young.len() >= RECENT_MAX {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(attempt);
    }

    fn has(&self, attempt: AttemptId) -> bool {
        self.young.contains(&attempt) || self.old.contains(&attempt)
    }
}

impl InFlightAttempt {
    /// Puts an attempt on the list and tells how many others there are, unless it is there or was
    /// withdrawn before.
    pub(super) fn begin(in_flight: &Arc<InFlight>, attempt: AttemptId) -> Option<(Self, usize)> {
        let mut list = in_flight.lock();
        let others = list.begun.len();
        if list.begun.contains_key(&attempt) || list.ended.has(attempt) {
            return None;
        }
        list.begun.insert(attempt, false);
        drop(list);
        Some((Self { in_flight: Arc::clone(in_flight), attempt }, others))
    }

    /// Whether it was withdrawn since it was begun.
    pub(super) fn is_withdrawn(&self) -> bool {
        self.in_flight.lock().begun.get(&self.attempt).copied().unwrap_or_default()
    }
}

impl Drop for InFlightAttempt {
    fn drop(&mut self) {
        self.in_flight.lock().begun.remove(&self.attempt);
    }
}

/// So many withdrawn attempts are remembered. A choice: no more are on their way here at once.
const RECENT_MAX: usize = ATTEMPTS_MAX;

#[cfg(test)]
mod tests {
    use engine::{Subject, VerificationId};

    use super::*;

    fn attempt(number: usize) -> AttemptId {
        let id = VerificationId::from_u128(u128::try_from(number).unwrap());
        AttemptId { subject: Subject::Verification(id), step: 0 }
    }

    #[test]
    fn an_attempt_that_was_withdrawn_on_its_way_here_is_not_begun() {
        let in_flight = Arc::<InFlight>::default();
        in_flight.withdraw(attempt(1));
        assert!(InFlightAttempt::begin(&in_flight, attempt(1)).is_none());
        let (other, _) = InFlightAttempt::begin(&in_flight, attempt(2)).unwrap();
        assert!(!other.is_withdrawn());
        in_flight.withdraw(attempt(2));
        assert!(other.is_withdrawn());
    }

    #[test]
    fn as_many_withdrawn_attempts_are_remembered_as_can_be_on_their_way() {
        let in_flight = Arc::<InFlight>::default();
        (0..10 * RECENT_MAX).for_each(|n| in_flight.withdraw(attempt(n)));
        let list = in_flight.lock();
        assert!(list.ended.young.len() + list.ended.old.len() <= 2 * RECENT_MAX);
        assert!((9 * RECENT_MAX..10 * RECENT_MAX).all(|n| list.ended.has(attempt(n))));
    }
}
