//! What became of every message of a run: when it was acknowledged, submitted, and told of.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Where the client, the SMSC and the webhooks' receiver write down what they see.
#[derive(Default)]
pub(super) struct Board(Mutex<HashMap<u64, Sight>>);

/// What was seen of the message to a number.
#[derive(Clone, Copy, Default)]
struct Sight {
    acknowledged: Option<Instant>,
    submitted: Option<Instant>,
    submits: u32,
    told: Option<Instant>,
}

/// What a run came to.
#[derive(Default)]
pub(super) struct Tally {
    /// Messages whose receipt arrived.
    pub(super) told: usize,
    /// From the first acknowledgement to the last receipt.
    pub(super) lasted: Duration,
    /// Messages that were acknowledged, in all of the time.
    pub(super) acknowledged: usize,
    /// Of those, the ones that never came to the SMSC.
    pub(super) lost: usize,
    /// Of those, the ones whose receipt never came.
    pub(super) untold: usize,
    /// Messages that came to the SMSC twice.
    pub(super) twice: usize,
    /// From the acknowledgement to the SMSC, of those in the measured time, in order.
    pub(super) to_submit: Vec<Duration>,
}

impl Tally {
    /// Returns how many whole messages went through in a second.
    pub(super) fn per_second(&self) -> f64 {
        let told = f64::from(u32::try_from(self.told).unwrap_or(u32::MAX));
        told / self.lasted.as_secs_f64().max(f64::MIN_POSITIVE)
    }
}

impl Board {
    pub(super) fn acknowledged(&self, number: u64) {
        self.lock().entry(number).or_default().acknowledged = Some(Instant::now());
    }

    pub(super) fn submitted(&self, number: u64) {
        let mut sights = self.lock();
        let sight = sights.entry(number).or_default();
        sight.submitted.get_or_insert_with(Instant::now);
        sight.submits += 1;
    }

    pub(super) fn told(&self, number: u64) {
        self.lock().entry(number).or_default().told.get_or_insert_with(Instant::now);
    }

    /// Whether every acknowledged message was told of.
    pub(super) fn is_settled(&self) -> bool {
        self.lock().values().all(|sight| sight.acknowledged.is_none() || sight.told.is_some())
    }

    /// Adds up what was seen, and forgets it.
    pub(super) fn tally(&self, from: Instant, until: Instant) -> Tally {
        let sights = std::mem::take(&mut *self.lock());
        let inside = |at: Instant| at >= from && at < until;
        let mut tally = Tally::default();
        let first = sights.values().filter_map(|sight| sight.acknowledged).min();
        let last = sights.values().filter_map(|sight| sight.told).max();
        tally.lasted = first.zip(last).map(|(first, last)| last - first).unwrap_or_default();
        for sight in sights.values() {
            tally.told += usize::from(sight.told.is_some());
            tally.twice += usize::from(sight.submits > 1);
            let Some(acknowledged) = sight.acknowledged else { continue };
            tally.acknowledged += 1;
            tally.untold += usize::from(sight.told.is_none());
            match sight.submitted {
                None => tally.lost += 1,
                Some(submitted) if inside(acknowledged) => {
                    tally.to_submit.push(submitted.saturating_duration_since(acknowledged));
                }
                Some(_) => {}
            }
        }
        tally.to_submit.sort_unstable();
        tally
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Sight>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
