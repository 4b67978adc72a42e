//! The engine's typed no: an answer, never a failure.

use core::time::Duration;

use crate::{Outcome, VerificationId};

/// Why the engine will not do what was asked. Each door has exactly one word for each.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Refusal {
    /// The account sends faster than it may.
    AccountThrottled {
        /// How long to wait.
        retry_after: Duration,
    },
    /// The number is asked for too often.
    NumberThrottled {
        /// How long to wait.
        retry_after: Duration,
    },
    /// The block of numbers around this one is asked for too often.
    PrefixThrottled {
        /// How long to wait.
        retry_after: Duration,
    },
    /// The account already has an open verification for this number.
    AlreadyOpen(VerificationId),
    /// The account may not send.
    AccountSuspended,
    /// The number is barred by the operator.
    NumberBarred,
    /// The owner of the number opted out.
    OptedOut,
    /// The operator or the account does not serve the number's country.
    CountryRefused,
    /// The account has no short code with a campaign and this template.
    NoCampaign,
    /// No originator of the account may send to this number.
    NoOriginator,
    /// No link leads there.
    Unroutable,
    /// The account's balance, less what open verifications may still cost, is too low.
    InsufficientBalance,
    /// There is no such verification or message in this account.
    Unknown,
    /// The verification has ended, and how.
    Ended(Outcome),
    /// It is too early to cancel.
    CancelTooEarly {
        /// How long to wait.
        retry_after: Duration,
    },
    /// The same idempotency key came with another request.
    IdempotencyMismatch,
}

impl Refusal {
    /// Returns the reason's name in metrics and in the admin API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AccountThrottled { .. } => "account_throttled",
            Self::NumberThrottled { .. } => "number_throttled",
            Self::PrefixThrottled { .. } => "prefix_throttled",
            Self::AlreadyOpen(_) => "already_open",
            Self::AccountSuspended => "account_suspended",
            Self::NumberBarred => "number_barred",
            Self::OptedOut => "opted_out",
            Self::CountryRefused => "country_refused",
            Self::NoCampaign => "no_campaign",
            Self::NoOriginator => "no_originator",
            Self::Unroutable => "unroutable",
            Self::InsufficientBalance => "insufficient_balance",
            Self::Unknown => "unknown",
            Self::Ended(_) => "ended",
            Self::CancelTooEarly { .. } => "cancel_too_early",
            Self::IdempotencyMismatch => "idempotency_mismatch",
        }
    }
}
