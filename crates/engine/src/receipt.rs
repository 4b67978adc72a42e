//! What became of an attempt, as the far end tells it.

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// What the link says when it has handed an attempt over, or failed to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SubmitOutcome {
    /// The carrier took it.
    Accepted,
    /// The carrier or the link refused it for good.
    Rejected(ErrorCode),
    /// Nobody knows whether the carrier took it. It is never sent again blindly.
    Unknown,
}

/// The state that a receipt reports. The names are those of the 2FA API's `status`.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReceiptStatus {
    /// The carrier took it.
    Accepted,
    /// It is on its way.
    Buffered,
    /// It reached the phone, or as near to it as this carrier can tell; a call was answered.
    Delivered,
    /// Nobody reported in time.
    Expired,
    /// The carrier could not deliver it.
    Failed,
    /// The carrier refused it.
    Rejected,
    /// The carrier reported something that has no meaning here.
    Unknown,
}

impl ReceiptStatus {
    /// Whether nothing can change after this.
    pub const fn is_final(self) -> bool {
        match self {
            Self::Delivered | Self::Expired | Self::Failed | Self::Rejected => true,
            Self::Accepted | Self::Buffered | Self::Unknown => false,
        }
    }

    /// Whether the attempt certainly never reached the phone.
    pub const fn is_definite_failure(self) -> bool {
        match self {
            Self::Expired | Self::Failed | Self::Rejected => true,
            Self::Accepted | Self::Buffered | Self::Delivered | Self::Unknown => false,
        }
    }

    /// Returns the word of the 2FA API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Buffered => "buffered",
            Self::Delivered => "delivered",
            Self::Expired => "expired",
            Self::Failed => "failed",
            Self::Rejected => "rejected",
            Self::Unknown => "unknown",
        }
    }
}

/// Why an attempt failed: a code of the 2FA API's `err-code` list, 0 to 99.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ErrorCode(pub u8);

impl ErrorCode {
    /// It did not fail.
    pub const NONE: Self = Self(0);
    /// The carrier gave no reason.
    pub const UNKNOWN: Self = Self(1);
    /// The phone was off or out of reach; for a call, nobody answered.
    pub const ABSENT_TEMPORARY: Self = Self(2);
    /// The number is not in use.
    pub const ABSENT_PERMANENT: Self = Self(3);
    /// Whoever holds the phone refused the call.
    pub const BARRED_BY_USER: Self = Self(4);
    /// The phone was busy.
    pub const BUSY: Self = Self(7);
    /// The recipient opted out.
    pub const ILLEGAL_NUMBER: Self = Self(9);
    /// No link leads there.
    pub const UNROUTABLE: Self = Self(11);
    /// The destination cannot be reached.
    pub const UNREACHABLE: Self = Self(12);
    /// Anything else.
    pub const GENERAL: Self = Self(99);
}

/// One report about one attempt.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Receipt {
    /// The state it reports.
    pub status: ReceiptStatus,
    /// Why it failed, if it did.
    pub error: ErrorCode,
}

/// What the account told us about its user: whether the code came back to it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Conversion {
    /// Whether the user completed what the code was for.
    pub converted: bool,
    /// When that was.
    pub at: Timestamp,
}
