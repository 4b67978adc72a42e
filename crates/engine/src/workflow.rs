//! Which channels are tried, in which order, and for how long.

use core::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Unconfirmed;
use crate::timer::millis;

/// A way to reach a phone.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Channel {
    /// A short message.
    Sms,
    /// A call that speaks the code.
    Voice,
}

impl Channel {
    /// Returns the channel's name in logs, metrics and the admin API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sms => "sms",
            Self::Voice => "voice",
        }
    }
}

/// One rung of a workflow: a channel, and how long to wait before the next rung.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// The channel to send over.
    pub channel: Channel,
    /// How long to wait for the user before the next step is due.
    #[serde(with = "millis")]
    pub wait: Duration,
}

/// An ordered, never empty list of steps.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Step>", into = "Vec<Step>")]
pub struct Workflow {
    first: Step,
    rest: Vec<Step>,
}

impl Workflow {
    /// Builds a workflow from its steps.
    pub fn new(first: Step, rest: Vec<Step>) -> Self {
        Self { first, rest }
    }

    /// Returns one of the seven preset workflows, 1 to 7, with the same wait after each step.
    ///
    /// Source: Textmagic Verify guide, "Available workflows"; the same numbers as Vonage Verify's
    /// `workflow_id`.
    pub fn preset(id: u8, wait: Duration) -> Option<Self> {
        let channels = PRESETS.get(usize::from(id).checked_sub(1)?)?;
        let mut steps = channels.iter().map(|&channel| Step { channel, wait });
        Some(Self { first: steps.next()?, rest: steps.collect() })
    }

    /// Returns the step with this index, counted from zero, if there is one.
    pub fn step(&self, index: u8) -> Option<Step> {
        match usize::from(index).checked_sub(1) {
            None => Some(self.first),
            Some(index) => self.rest.get(index).copied(),
        }
    }

    /// Iterates over the channels in order.
    pub fn channels(&self) -> impl Iterator<Item = Channel> {
        core::iter::once(&self.first).chain(&self.rest).map(|step| step.channel)
    }
}

impl TryFrom<Vec<Step>> for Workflow {
    type Error = &'static str;

    fn try_from(steps: Vec<Step>) -> Result<Self, Self::Error> {
        let mut steps = steps.into_iter();
        let first = steps.next().ok_or("a workflow has at least one step")?;
        Ok(Self { first, rest: steps.collect() })
    }
}

impl From<Workflow> for Vec<Step> {
    fn from(workflow: Workflow) -> Self {
        core::iter::once(workflow.first).chain(workflow.rest).collect()
    }
}

/// The rules that one verification runs under, fixed at its start.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Policy {
    /// The steps and the wait after each.
    pub workflow: Workflow,
    /// How long after the start the code can be typed.
    #[serde(with = "millis")]
    pub lifetime: Duration,
    /// How long after the start a cancel is refused.
    #[serde(with = "millis")]
    pub cancel_after: Duration,
    /// How many wrong checks end the verification, 1 to 10.
    pub checks_max: u8,
    /// What follows when nobody knows whether a carrier took an attempt; the workflow just goes on
    /// in its time if `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unconfirmed: Option<Unconfirmed>,
}

/// What one request may change of its account's timing.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Timing {
    step_wait: Option<Duration>,
    lifetime: Option<Duration>,
}

/// A time that is out of its range, and the range in seconds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TimingError {
    /// The wait between steps.
    StepWait(u32, u32),
    /// The time that the code can be typed.
    Lifetime(u32, u32),
}

impl Timing {
    /// The wait between steps, in seconds (Vonage Verify, `next_event_wait` and
    /// `channel_timeout`).
    pub const STEP_WAIT_S: (u32, u32) = (15, 900);
    /// The time that the code can be typed, in seconds (Vonage Verify, `pin_expiry`).
    pub const LIFETIME_S: (u32, u32) = (60, 3600);

    /// Takes what a request gives, in seconds.
    ///
    /// # Errors
    /// One is out of its range.
    pub fn parse(step_wait_s: Option<u32>, lifetime_s: Option<u32>) -> Result<Self, TimingError> {
        let within = |seconds: Option<u32>, (low, high): (u32, u32)| {
            seconds.is_none_or(|seconds| (low..=high).contains(&seconds))
        };
        if !within(step_wait_s, Self::STEP_WAIT_S) {
            return Err(TimingError::StepWait(Self::STEP_WAIT_S.0, Self::STEP_WAIT_S.1));
        }
        if !within(lifetime_s, Self::LIFETIME_S) {
            return Err(TimingError::Lifetime(Self::LIFETIME_S.0, Self::LIFETIME_S.1));
        }
        let duration = |seconds: Option<u32>| seconds.map(|s| Duration::from_secs(u64::from(s)));
        Ok(Self { step_wait: duration(step_wait_s), lifetime: duration(lifetime_s) })
    }

    /// The wait between steps, or what the account has.
    pub fn step_wait_or(self, account: Duration) -> Duration {
        self.step_wait.unwrap_or(account)
    }

    /// The time that the code can be typed, or what the account has.
    pub fn lifetime_or(self, account: Duration) -> Duration {
        self.lifetime.unwrap_or(account)
    }
}

const PRESETS: [&[Channel]; 7] = {
    use Channel::{Sms, Voice};
    [
        &[Sms, Voice, Voice],
        &[Sms, Sms, Voice],
        &[Voice, Voice],
        &[Sms, Sms],
        &[Sms, Voice],
        &[Sms],
        &[Voice],
    ]
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_seven_presets() {
        let wait = Duration::from_mins(1);
        let channels = |id| {
            let workflow = Workflow::preset(id, wait)?;
            Some(workflow.channels().map(Channel::as_str).collect::<Vec<_>>().join(" "))
        };
        assert_eq!(channels(0), None);
        assert_eq!(channels(1).unwrap(), "sms voice voice");
        assert_eq!(channels(2).unwrap(), "sms sms voice");
        assert_eq!(channels(3).unwrap(), "voice voice");
        assert_eq!(channels(4).unwrap(), "sms sms");
        assert_eq!(channels(5).unwrap(), "sms voice");
        assert_eq!(channels(6).unwrap(), "sms");
        assert_eq!(channels(7).unwrap(), "voice");
        assert_eq!(channels(8), None);
    }

    #[test]
    fn a_stored_workflow_without_steps_is_refused() {
        assert!(serde_json::from_str::<Workflow>("[]").is_err());
    }
}
