//! What waits for the writer: urgent operations, and those that may come later.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use super::writer::Job;

/// Which of the two an operation waits in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Lane {
    /// Somebody waits for a code, or types one: starts, checks, hand-overs and what is due.
    Urgent,
    /// Bookkeeping: receipts, webhooks, figures, settings, what is too old.
    Later,
}

/// Why an operation cannot wait here.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum NoRoom {
    /// As many wait as may.
    Full,
    /// There is no writer any more.
    Closed,
}

/// The two lanes. Within one, who came first is first.
pub(super) struct Lanes {
    waiting: Mutex<Waiting>,
    filled: Condvar,
    /// How many may wait in each.
    lane_max: usize,
}

#[derive(Default)]
struct Waiting {
    urgent: VecDeque<Box<dyn Job>>,
    later: VecDeque<Box<dyn Job>>,
    closed: bool,
}

impl Lanes {
    /// Lets so many operations wait in each lane.
    pub(super) fn new(lane_max: usize) -> Self {
        Self { waiting: Mutex::default(), filled: Condvar::new(), lane_max }
    }

    /// Puts an operation at the end of a lane.
    pub(super) fn push(&self, lane: Lane, job: Box<dyn Job>) -> Result<(), NoRoom> {
        let mut waiting = self.lock();
        if waiting.closed {
            return Err(NoRoom::Closed);
        }
        let was_empty = waiting.urgent.is_empty() && waiting.later.is_empty();
        let queue = match lane {
            Lane::Urgent => &mut waiting.urgent,
            Lane::Later => &mut waiting.later,
        };
        if queue.len() >= self.lane_max {
            return Err(NoRoom::Full);
        }
        queue.push_back(job);
        drop(waiting);
        if was_empty {
            self.filled.notify_one();
        }
        Ok(())
    }

    /// Waits for operations and moves the next `batch_max` to `batch`, urgent ones first. While
    /// urgent ones wait, of the later ones only a part of [`LATER_PART`] is taken, and that
    /// always, so that neither waits for ever. False once the lanes are closed and empty.
    pub(super) fn take(&self, batch: &mut Vec<Box<dyn Job>>, batch_max: usize) -> bool {
        let mut waiting = self.lock();
        while waiting.urgent.is_empty() && waiting.later.is_empty() {
            if waiting.closed {
                return false;
            }
            waiting = self.filled.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        let share = if waiting.urgent.is_empty() {
            batch_max
        } else {
            (batch_max / LATER_PART).clamp(1, batch_max.saturating_sub(1).max(1))
        };
        let later = waiting.later.len().min(share);
        let urgent = waiting.urgent.len().min(batch_max.saturating_sub(later).max(1));
        batch.extend(waiting.urgent.drain(..urgent));
        batch.extend(waiting.later.drain(..later));
        true
    }

    /// Returns how many operations wait.
    pub(super) fn depth(&self) -> usize {
        let waiting = self.lock();
        waiting.urgent.len() + waiting.later.len()
    }

    /// Lets nothing more in; what waits is still taken.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.filled.notify_one();
    }

    /// Lets nothing more in and drops what waits, which tells those who asked for it.
    pub(super) fn abandon(&self) {
        let mut waiting = self.lock();
        waiting.closed = true;
        let dropped = (std::mem::take(&mut waiting.urgent), std::mem::take(&mut waiting.later));
        drop(waiting);
        drop(dropped);
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// While urgent operations wait, one in so many of a batch is a later one: enough to keep up with
/// the receipts of all messages at full rate, little enough to be no more than that of the time.
const LATER_PART: usize = 4;

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Sender, channel};

    use engine::Timestamp;

    use super::super::StoreError;
    use super::super::writer::Tx;
    use super::*;

    #[test]
    fn urgent_operations_pass_a_flood_of_later_ones() {
        let (lanes, told) = (Lanes::new(1000), channel());
        for id in 0..500 {
            lanes.push(Lane::Later, job(id, &told.0)).unwrap();
        }
        lanes.push(Lane::Urgent, job(1000, &told.0)).unwrap();
        let first = taken(&lanes, 8, &told);
        assert_eq!(first, [1000, 0, 1], "it is in the next batch, and that batch is short");
        assert_eq!(taken(&lanes, 8, &told), [2, 3, 4, 5, 6, 7, 8, 9], "alone they fill it");
    }

    #[test]
    fn later_operations_get_on_under_a_flood_of_urgent_ones() {
        let (lanes, told) = (Lanes::new(1000), channel());
        for id in 0..500 {
            lanes.push(Lane::Urgent, job(id, &told.0)).unwrap();
        }
        for id in 1000..1002 {
            lanes.push(Lane::Later, job(id, &told.0)).unwrap();
        }
        assert_eq!(taken(&lanes, 4, &told), [0, 1, 2, 1000]);
        assert_eq!(taken(&lanes, 4, &told), [3, 4, 5, 1001]);
        assert_eq!(taken(&lanes, 4, &told), [6, 7, 8, 9], "nobody keeps a place free");
    }

    #[test]
    fn even_batches_of_one_leave_nobody_behind() {
        let (lanes, told) = (Lanes::new(10), channel());
        lanes.push(Lane::Later, job(1, &told.0)).unwrap();
        lanes.push(Lane::Urgent, job(2, &told.0)).unwrap();
        assert_eq!(taken(&lanes, 1, &told), [2, 1]);
    }

    #[test]
    fn a_full_lane_refuses_and_leaves_the_other_open() {
        let (lanes, told) = (Lanes::new(1), channel());
        lanes.push(Lane::Later, job(1, &told.0)).unwrap();
        assert_eq!(lanes.push(Lane::Later, job(2, &told.0)), Err(NoRoom::Full));
        assert_eq!(lanes.push(Lane::Urgent, job(3, &told.0)), Ok(()));
        assert_eq!(lanes.depth(), 2);
    }

    #[test]
    fn closed_lanes_are_emptied_and_abandoned_ones_dropped() {
        let (lanes, told) = (Lanes::new(10), channel());
        lanes.push(Lane::Later, job(1, &told.0)).unwrap();
        lanes.close();
        assert_eq!(lanes.push(Lane::Urgent, job(2, &told.0)), Err(NoRoom::Closed));
        assert_eq!(taken(&lanes, 8, &told), [1]);
        assert!(!lanes.take(&mut Vec::new(), 8));
        let lanes = Lanes::new(10);
        lanes.push(Lane::Later, job(1, &told.0)).unwrap();
        lanes.abandon();
        assert!(!lanes.take(&mut Vec::new(), 8));
    }

    fn taken(
        lanes: &Lanes,
        batch_max: usize,
        told: &(Sender<u32>, std::sync::mpsc::Receiver<u32>),
    ) -> Vec<u32> {
        let mut batch = Vec::new();
        assert!(lanes.take(&mut batch, batch_max));
        batch.into_iter().for_each(Job::answer);
        told.1.try_iter().collect()
    }

    fn job(id: u32, told: &Sender<u32>) -> Box<dyn Job> {
        Box::new(Named { id, told: told.clone() })
    }

    struct Named {
        id: u32,
        told: Sender<u32>,
    }

    impl Job for Named {
        fn run(&mut self, _tx: &mut Tx<'_>) -> Result<(), StoreError> {
            Ok(())
        }

        fn now(&self) -> Timestamp {
            Timestamp::from_millis(0)
        }

        fn answer(self: Box<Self>) {
            self.told.send(self.id).unwrap();
        }

        fn fail(self: Box<Self>, _error: StoreError) {}
    }
}
