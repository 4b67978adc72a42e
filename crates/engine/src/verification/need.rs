//! Which attempts of a verification a link is still to be handed.

use super::{Verification, VerificationState};
use crate::{Attempt, Progress};

/// Whether a link is to be handed an attempt.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Need {
    /// It is.
    Now,
    /// Only if all later steps fail, which is not known yet.
    Perhaps,
    /// It is not any more.
    Never,
}

impl Need {
    /// How an earlier attempt is needed, as far as this one tells.
    fn after(later: &Attempt) -> Self {
        match later.progress {
            Progress::Reported(receipt) if receipt.status.is_definite_failure() => Self::Now,
            Progress::Reported(receipt) if receipt.status.is_final() => Self::Never,
            Progress::Queued
            | Progress::Submitted
            | Progress::Unconfirmed
            | Progress::Reported(_) => Self::Perhaps,
            Progress::Withdrawn => Self::Never,
        }
    }
}

impl Verification {
    /// Whether an attempt is still to be handed to a link: not while a later step may bring the
    /// code, since the phone would get it by both, and whoever pays would pay twice; but again
    /// once all later steps have failed, since nothing else brings it any more.
    pub fn need(&self, step: u8) -> Need {
        let waits = |attempt: &Attempt| attempt.progress == Progress::Queued;
        let mut rest = self.record.attempts.iter().skip(usize::from(step));
        if matches!(self.record.state, VerificationState::Ended { .. })
            || !rest.next().is_some_and(waits)
        {
            return Need::Never;
        }
        rest.map(Need::after).max().unwrap_or(Need::Now)
    }
}
