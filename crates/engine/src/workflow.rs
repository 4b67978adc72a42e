//! Which channels are tried, in which order, and for how long.

use core::time::Duration;

use serde::{Deserialize, Serialize};

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
