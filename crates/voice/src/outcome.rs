//! What became of a call, told from the answers of the other side.

use std::time::Duration;

use crate::g711::Codec;

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallOutcome {
    /// The script was played to its end and we hung up.
    Completed,
    /// The phone answered, but nobody pressed the key that the gate asks for.
    NoKey,
    /// The phone answered and hung up before the script was over.
    HungUp,
    /// The call was called off by us, ringing or answered.
    Withdrawn,
    /// The phone answered, and the call reached the longest time allowed.
    TooLong,
    /// The phone is in use.
    Busy,
    /// It rang and nobody answered, or the phone is off.
    NoAnswer,
    /// Somebody refused the call.
    Declined,
    /// There is no such number.
    InvalidNumber,
    /// The trunk does not accept our credentials.
    CredentialsRefused,
    /// The trunk wants credentials, and there are none.
    CredentialsWanted,
    /// The two sides have no codec in common.
    NoCodec,
    /// The trunk gave no sign of life in time.
    TrunkUnreachable,
    /// The trunk took the call and did not get it to a phone in time.
    TrunkStalled,
    /// The trunk does not place this call: the number or the caller id is barred there.
    TrunkRefused,
    /// The trunk answered that it cannot place the call.
    TrunkFailed {
        /// When it wants to be asked again, if it said so and at most [`RETRY_AFTER_MAX`].
        retry_after: Option<Duration>,
    },
    /// All channels of the trunk are taken, or it was given too many calls a second.
    NoChannel,
    /// The request cannot be expressed in SIP: the number or the caller id has odd characters.
    Unspeakable,
}

/// What the trunk had told of a call before its final answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Heard {
    /// Nothing: no phone knows of the call.
    Nothing,
    /// 100 Trying, which is the trunk's own and tells nothing of what lies beyond.
    Trying,
    /// Another provisional answer: somebody beyond the trunk may know of the call.
    Progress,
}

/// The record of one call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallRecord {
    /// When it began to ring, since the call was asked for.
    pub rang_at: Option<Duration>,
    /// When it was answered, since the call was asked for.
    pub answered_at: Option<Duration>,
    /// When it was over, since the call was asked for.
    pub ended_at: Duration,
    /// How it ended.
    pub outcome: CallOutcome,
    /// What the trunk had told of it before its final answer.
    pub heard: Heard,
    /// The final status of the INVITE, if the other side gave one.
    pub sip_status: Option<u16>,
    /// The codec that was agreed on.
    pub codec: Option<Codec>,
    /// How many RTP packets were sent.
    pub packets_sent: u64,
    /// How many RTP packets were received.
    pub packets_received: u64,
    /// How many keys were pressed; which ones is not kept.
    pub keys: u32,
    /// How often the items of the script were played to their end.
    pub plays: u32,
    /// How many ticks of 20 ms began 5 ms late or later.
    pub late_ticks: u64,
}

impl CallOutcome {
    /// Returns what a final status of an INVITE other than 200 means.
    ///
    /// The meanings are those of RFC 3261 section 21, as trunks use them.
    pub fn from_status(status: u16, retry_after: Option<Duration>) -> Self {
        match status {
            486 | 600 => Self::Busy,
            // 408 is the other side's, after it rang: our own time-outs never come here.
            408 | 480 | 487 => Self::NoAnswer,
            603 | 607 | 608 => Self::Declined,
            404 | 410 | 484 | 485 | 604 => Self::InvalidNumber,
            401 | 407 => Self::CredentialsRefused,
            403 => Self::TrunkRefused,
            415 | 488 | 606 => Self::NoCodec,
            _ => {
                let retry_after = retry_after.map(|time| time.min(RETRY_AFTER_MAX));
                Self::TrunkFailed { retry_after }
            }
        }
    }

    /// Returns whether another trunk may still reach the phone with the same attempt.
    pub fn is_trunks_fault(self) -> bool {
        match self {
            Self::CredentialsRefused
            | Self::CredentialsWanted
            | Self::NoCodec
            | Self::TrunkUnreachable
            | Self::TrunkStalled
            | Self::TrunkRefused
            | Self::TrunkFailed { .. }
            | Self::NoChannel => true,
            Self::Completed
            | Self::NoKey
            | Self::HungUp
            | Self::Withdrawn
            | Self::TooLong
            | Self::Busy
            | Self::NoAnswer
            | Self::Declined
            | Self::InvalidNumber
            | Self::Unspeakable => false,
        }
    }
}

impl CallRecord {
    /// Returns whether a phone may have rung, though nobody said so: the trunk told of progress, or
    /// it had the call and did not say that it failed.
    pub fn may_have_rung(&self) -> bool {
        match self.heard {
            Heard::Nothing => false,
            Heard::Trying => self.sip_status.is_none(),
            Heard::Progress => true,
        }
    }

    /// Returns how long the call was answered, rounded to nothing.
    pub fn talked_for(&self) -> Duration {
        self.answered_at.map_or(Duration::ZERO, |answered| self.ended_at.saturating_sub(answered))
    }
}

/// Parses the delta seconds of a Retry-After header, before its comment and parameters.
pub fn parse_retry_after(value: &str) -> Option<Duration> {
    let seconds = value.split([';', '(']).next()?.trim();
    seconds.parse().ok().map(Duration::from_secs)
}

/// A trunk that asks for more is asked again after this anyway: what it says may come from whoever
/// owns the number that was called, and nobody may silence a trunk for others.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phone_may_have_rung_unless_the_trunk_was_silent_or_failed_by_itself() {
        let record = |heard, sip_status| CallRecord {
            heard,
            sip_status,
            ..CallRecord::new(CallOutcome::Withdrawn)
        };
        assert!(!record(Heard::Nothing, None).may_have_rung());
        assert!(record(Heard::Trying, None).may_have_rung(), "it was taken back in the dark");
        assert!(!record(Heard::Trying, Some(503)).may_have_rung());
        assert!(record(Heard::Progress, Some(503)).may_have_rung());
    }

    #[test]
    fn every_status_of_the_table_has_its_meaning() {
        use CallOutcome::{
            Busy, CredentialsRefused, Declined, InvalidNumber, NoAnswer, NoCodec, TrunkRefused,
        };
        let table = [
            (486, Busy),
            (600, Busy),
            (408, NoAnswer),
            (480, NoAnswer),
            (487, NoAnswer),
            (603, Declined),
            (404, InvalidNumber),
            (484, InvalidNumber),
            (604, InvalidNumber),
            (401, CredentialsRefused),
            (403, TrunkRefused),
            (407, CredentialsRefused),
            (488, NoCodec),
        ];
        for (status, outcome) in table {
            assert_eq!(CallOutcome::from_status(status, None), outcome, "{status}");
        }
    }

    #[test]
    fn a_trunk_that_fails_may_say_when_to_come_back_within_a_bound() {
        let failed = |seconds| {
            let retry_after = parse_retry_after(seconds);
            CallOutcome::from_status(503, retry_after)
        };
        let after =
            |seconds| CallOutcome::TrunkFailed { retry_after: Some(Duration::from_secs(seconds)) };
        assert_eq!(failed("17"), after(17));
        assert_eq!(failed(" 18000;duration=3600"), after(30));
        assert_eq!(failed("120 (in a meeting)"), after(30));
        assert_eq!(failed("soon"), CallOutcome::TrunkFailed { retry_after: None });
    }

    #[test]
    fn a_fault_of_the_trunk_goes_to_the_next_and_one_of_the_phone_does_not() {
        for status in [401, 403, 407, 488, 500, 502, 503, 504, 302, 513] {
            assert!(CallOutcome::from_status(status, None).is_trunks_fault(), "{status}");
        }
        for status in [404, 408, 480, 484, 486, 487, 600, 603, 604] {
            assert!(!CallOutcome::from_status(status, None).is_trunks_fault(), "{status}");
        }
    }
}
