//! An attempt on its way through a bind, part by part.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::time::Duration;

use engine::{AttemptId, Timestamp};
use smpp::ShortMessage;
use tokio::sync::oneshot;

use crate::channels::{Dispatch, Submission, Timing};
use crate::store::{CarrierKey, CarrierPart};

/// What a bind does for one attempt.
pub(super) struct Job {
    pub(super) attempt: AttemptId,
    pub(super) number: u64,
    pub(super) expires_at: Timestamp,
    pub(super) retried: bool,
    parts: Vec<ShortMessage>,
    /// The index of the part that is under way or comes next.
    next: u8,
    named: Vec<CarrierPart>,
    is_unknown: bool,
    /// Told with the first part that is written.
    timing: Option<Timing>,
    claim: Arc<Claim>,
    reply: oneshot::Sender<Ended>,
    _load: Load,
}

/// How a bind's work for an attempt ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// As the SMSC answered.
    Done(Submission),
    /// The bind was lost before everything was written; another one may take the whole.
    BindLost,
}

impl Job {
    pub(super) fn new(
        parts: Vec<ShortMessage>,
        dispatch: &Dispatch,
        claim: Arc<Claim>,
        load: Load,
        reply: oneshot::Sender<Ended>,
    ) -> Self {
        Self {
            attempt: dispatch.attempt,
            number: dispatch.number,
            expires_at: dispatch.expires_at,
            retried: false,
            parts,
            next: 0,
            named: Vec::new(),
            is_unknown: false,
            timing: Some(dispatch.timing.clone()),
            claim,
            reply,
            _load: load,
        }
    }

    /// Whether the bind may go on: not if whoever asked has stopped waiting before it began.
    pub(super) fn begin(&self) -> bool {
        self.claim.take()
    }

    /// Lets whoever asked stop waiting again, if nothing has been submitted.
    pub(super) fn wait_on(&self) {
        if self.next == 0 && !self.retried {
            self.claim.release();
        }
    }

    /// The part to submit next; `None` if all have been.
    pub(super) fn next_part(&mut self) -> Option<&mut ShortMessage> {
        self.parts.get_mut(usize::from(self.next))
    }

    /// Tells that the bytes of a part have been written.
    pub(super) fn written(&mut self, link: &str) {
        if let Some(timing) = self.timing.take() {
            timing.written(link);
        }
    }

    /// The part under way, by a name.
    pub(super) fn part(&self, key: CarrierKey) -> CarrierPart {
        let parts = u8::try_from(self.parts.len()).unwrap_or(u8::MAX);
        CarrierPart { part: self.next, parts, key }
    }

    /// Takes note that the part under way was taken, or may have been, and goes on to the next.
    pub(super) fn advance(&mut self, part: Option<CarrierPart>, is_unknown: bool) {
        self.named.extend(part);
        self.is_unknown |= is_unknown;
        self.next = self.next.saturating_add(1);
    }

    /// Answers, once every part was answered or given up.
    pub(super) fn finish(mut self) {
        let named = std::mem::take(&mut self.named);
        let submission =
            if self.is_unknown { Submission::Unknown(named) } else { Submission::Accepted(named) };
        self.end(submission);
    }

    /// Answers before every part was sent.
    pub(super) fn end(self, submission: Submission) {
        self.answer(Ended::Done(submission));
    }

    /// Answers that it certainly did not get there.
    pub(super) fn not_sent(self, reason: impl Into<String>, retry_after: Option<Duration>) {
        self.end(Submission::NotSent { reason: reason.into(), retry_after });
    }

    /// Gives it back: without its last parts no phone shows the message, so that nothing is sent
    /// twice if all of it is sent again.
    pub(super) fn bind_lost(self) {
        self.answer(Ended::BindLost);
    }

    fn answer(self, ended: Ended) {
        // Nobody waits any more if the server is ending; the attempt is still on the outbox.
        let _ = self.reply.send(ended);
    }
}

/// Who decides about an attempt: the bind once it has begun, whoever waits before.
#[derive(Debug, Default)]
pub(super) struct Claim(AtomicU8);

impl Claim {
    /// The bind begins, unless the attempt was given up; it may ask again for the next part.
    fn take(&self) -> bool {
        self.move_to(TAKEN)
    }

    /// The bind has no room yet.
    fn release(&self) {
        let _ = self.0.compare_exchange(TAKEN, FREE, Ordering::AcqRel, Ordering::Acquire);
    }

    /// Whoever waits gives the attempt up, unless the bind has begun.
    pub(super) fn give_up(&self) -> bool {
        self.move_to(GIVEN_UP)
    }

    fn move_to(&self, state: u8) -> bool {
        let moved = self.0.compare_exchange(FREE, state, Ordering::AcqRel, Ordering::Acquire);
        moved.is_ok() || moved == Err(state)
    }
}

/// Counts the attempts that a bind has, for as long as it has them.
pub(super) struct Load(Arc<AtomicUsize>);

impl Load {
    pub(super) fn add(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::AcqRel);
        Self(Arc::clone(count))
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

const FREE: u8 = 0;
const TAKEN: u8 = 1;
const GIVEN_UP: u8 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_bind_and_whoever_waits_only_the_first_decides() {
        let begun = Claim::default();
        assert!(begun.take() && !begun.give_up() && begun.take());
        begun.release();
        assert!(begun.give_up());
        let given_up = Claim::default();
        assert!(given_up.give_up() && !given_up.take());
    }
}
