//! What is stored of a verification, and the proof that it could have come about.

use serde::{Deserialize, Serialize};

use crate::{AccountId, Amount, Attempt, Conversion, Corrupt, Policy, Timestamp, VerificationId};

/// Everything about a verification but its code: what is stored.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct VerificationRecord {
    /// Its name.
    pub id: VerificationId,
    /// Who pays.
    pub account: AccountId,
    /// When it started.
    pub created_at: Timestamp,
    /// The rules it runs under.
    pub policy: Policy,
    /// What its success costs.
    pub price: Amount,
    /// Where it stands.
    pub state: VerificationState,
    /// What was sent, in order.
    pub attempts: Vec<Attempt>,
    /// What was typed, in order. The typed codes themselves are never kept.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<Check>,
    /// Names the request that cancelled it, so that the same request is answered as the first time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancelled_by: Option<u64>,
    /// What the account told us about its user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversion: Option<Conversion>,
}

impl VerificationRecord {
    /// Proves that a stored record could have come about.
    pub(super) fn prove(&self, has_code: bool) -> Result<(), Corrupt> {
        let Some(last) = self.attempts.len().checked_sub(1).and_then(|i| u8::try_from(i).ok())
        else {
            return Err(Corrupt("a verification has at least one attempt"));
        };
        let step = |index: u8| self.policy.workflow.step(index);
        if !(0..=last)
            .zip(&self.attempts)
            .all(|(i, a)| step(i).map(|s| s.channel) == Some(a.channel))
        {
            return Err(Corrupt("the attempts do not match the workflow"));
        }
        let right = self.checks.iter().rposition(|check| check.right);
        let spent = self.checks.len() >= usize::from(self.policy.checks_max.max(1));
        match self.state {
            VerificationState::Open { .. } if !has_code => {
                Err(Corrupt("an open verification has no code"))
            }
            VerificationState::Open { .. } if right.is_some() || spent => {
                Err(Corrupt("an open verification has the checks of one that ended"))
            }
            VerificationState::Open { step, .. } if step != last => {
                Err(Corrupt("the attempts do not match the step"))
            }
            VerificationState::Open { step: current, next_step_at: Some(_), .. }
                if step(current.saturating_add(1)).is_none() =>
            {
                Err(Corrupt("a step is due that the workflow does not have"))
            }
            VerificationState::Ended { .. } if has_code => {
                Err(Corrupt("an ended verification still has its code"))
            }
            VerificationState::Ended { outcome, .. }
                if (outcome == Outcome::Verified) != right.is_some() =>
            {
                Err(Corrupt("the checks do not match the outcome"))
            }
            VerificationState::Open { .. } if self.cancelled_by.is_some() => {
                Err(Corrupt("an open verification has been cancelled"))
            }
            VerificationState::Ended { outcome, .. }
                if outcome != Outcome::Cancelled && self.cancelled_by.is_some() =>
            {
                Err(Corrupt("the cancel does not match the outcome"))
            }
            VerificationState::Open { .. } | VerificationState::Ended { .. } => Ok(()),
        }
    }
}

/// Where a verification stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VerificationState {
    /// The code can be typed.
    Open {
        /// The step that was sent last.
        step: u8,
        /// When the next step is due, if there is one.
        next_step_at: Option<Timestamp>,
        /// When it ends by itself.
        expires_at: Timestamp,
    },
    /// It is over.
    Ended {
        /// How.
        outcome: Outcome,
        /// When.
        at: Timestamp,
    },
}

/// The end of a verification, as told to the account. There is exactly one per verification.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// The account cancelled it.
    Cancelled,
    /// Nobody typed the right code in time.
    Expired,
    /// Too many wrong codes were typed.
    Failed,
    /// The right code was typed.
    Verified,
}

impl Outcome {
    /// Returns the outcome's name in webhooks, metrics and the admin API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
            Self::Failed => "failed",
            Self::Verified => "verified",
        }
    }
}

/// One code that the user typed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Check {
    /// Names the request that brought it, so that the same request is never counted twice.
    pub nonce: u64,
    /// When it came.
    pub at: Timestamp,
    /// Whether it was right.
    pub right: bool,
}

/// The answer to a check.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// The code is right; the verification has ended.
    Match,
    /// The code is wrong.
    Mismatch {
        /// How many more checks there may be; at zero the verification has failed.
        checks_left: u8,
    },
}
