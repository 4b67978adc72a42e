//! The verification engine: pure state machines that say what a verification and a message do.
//!
//! Nothing in this crate reads a clock, draws a random number, opens a socket or touches a
//! database. Time, identifiers and codes come in as arguments; what should happen in the world
//! comes out of [`Machine::poll_output`].
//!
//! # The one rule
//!
//! Every call that changes a machine is followed by a full drain of its outputs and one read of
//! its next timeout, and the three together are stored in one transaction before anyone is
//! answered. [`Turn::take`] is the only way to make such a call.

mod address;
mod admission;
mod attempt;
mod code;
mod ids;
mod inbound;
mod limit;
mod message;
mod price;
mod receipt;
mod refusal;
mod timer;
mod turn;
mod verification;
pub mod wording;
mod workflow;

pub use address::{
    E164_DIGITS_MAX, NUMBER_BYTES_MAX, NumberError, NumberKind, Numbering,
    ORIGINATOR_CHARACTERS_MAX, Originator, OriginatorError, OriginatorRule, PhoneNumber, Region,
    SenderName, choose_originator,
};
pub use admission::{Admitted, CountryPolicy, Facts, Limits, admit};
pub use attempt::{
    Attempt, Call, Decision, Handover, PASSED_OVER_MAX, PartReceipts, Passage, PassedOver,
    Progress, Then, Unconfirmed,
};
pub use code::{Code, TypedCode};
pub use ids::{AccountId, AttemptId, Bucket, MessageId, PARTS_MAX, Subject, VerificationId};
pub use inbound::{InboundRules, Keyword, Reaction, first_word};
pub use limit::{Limit, Tat};
pub use message::{Message, MessageRecord, MessageStatus, NewMessage};
pub use price::{Amount, Price, PriceItem, PriceList};
pub use receipt::{Conversion, ErrorCode, Receipt, ReceiptStatus, SubmitOutcome};
pub use refusal::Refusal;
pub use timer::{Timestamp, millis};
pub use turn::{Corrupt, Machine, Notice, Output, Turn};
pub use verification::{
    Check, Need, NewVerification, Outcome, Verdict, Verification, VerificationRecord,
    VerificationState,
};
pub use wording::{Locale, SecretText};
pub use workflow::{Channel, Policy, Step, Timing, TimingError, Workflow};
