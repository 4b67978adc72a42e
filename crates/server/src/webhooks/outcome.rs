//! What an account is told when one of its verifications has ended.

use engine::{Amount, Attempt, Outcome, Progress, Timestamp};
use serde::Serialize;

use crate::clock::utc;
use crate::store::VerificationView;

/// The event, in the payload structure that Standard Webhooks 1.0 recommends.
#[derive(Serialize)]
pub(super) struct OutcomeEvent {
    r#type: String,
    timestamp: String,
    data: OutcomeData,
}

/// The verification. Neither its code nor anything that was typed is here.
#[derive(Serialize)]
struct OutcomeData {
    verify_id: String,
    outcome: &'static str,
    // The account gave us the number; it is left out once it was erased.
    #[serde(skip_serializing_if = "Option::is_none")]
    phone: Option<String>,
    started_at: String,
    ended_at: String,
    attempts: Vec<AttemptData>,
    checks: usize,
    price: String,
}

/// One attempt, with the last that was heard of it.
#[derive(Serialize)]
struct AttemptData {
    channel: &'static str,
    status: &'static str,
    queued_at: String,
    status_at: String,
}

impl OutcomeEvent {
    /// Tells of a verification that ended at `at`.
    pub(super) fn of(verification: &VerificationView, outcome: Outcome, at: Timestamp) -> Self {
        let record = &verification.record;
        let price = match outcome {
            Outcome::Verified => record.price,
            // Only success is charged for.
            Outcome::Cancelled | Outcome::Expired | Outcome::Failed => Amount::ZERO,
        };
        let data = OutcomeData {
            verify_id: record.id.to_string(),
            outcome: outcome.as_str(),
            phone: verification.number.map(|digits| format!("+{digits}")),
            started_at: utc(record.created_at),
            ended_at: utc(at),
            attempts: record.attempts.iter().map(AttemptData::of).collect(),
            checks: record.checks.len(),
            price: price.to_string(),
        };
        Self { r#type: format!("verification.{}", outcome.as_str()), timestamp: utc(at), data }
    }
}

impl AttemptData {
    fn of(attempt: &Attempt) -> Self {
        let status = match attempt.progress {
            Progress::Queued => "queued",
            Progress::Submitted => "submitted",
            Progress::Unconfirmed => "unconfirmed",
            Progress::Reported(receipt) => receipt.status.as_str(),
            Progress::Withdrawn => "withdrawn",
        };
        Self {
            channel: attempt.channel.as_str(),
            status,
            queued_at: utc(attempt.queued_at),
            status_at: utc(attempt.progress_at),
        }
    }
}
