//! SMPP 3.4 from the side of an ESME: a tolerant codec and a session without I/O.
//!
//! Nothing in this crate reads a clock, draws a random number or opens a socket. Octets and time
//! come in as arguments; what is to be written comes out of [`Session::take_output`], and what
//! happened out of [`Session::poll_event`]. Texts are octets here: alphabets are the engine's.
//!
//! # The one rule
//!
//! Every call that changes a session is followed by one [`Session::take_output`], a full drain of
//! [`Session::poll_event`] and one read of [`Session::poll_timeout`]. What was taken counts as
//! written, so a submit whose octets the caller took ends as [`Outcome::Unknown`] if the link dies.

extern crate alloc;

mod address;
mod concat;
mod pdu;
mod receipt;
mod session;
mod time;

pub use address::{ADDRESS_CHARACTERS_MAX, Address};
pub use concat::{Joining, Part};
pub use pdu::{
    AlertNotification, Bind, BindKind, BindResp, Body, DATA_CODING_LATIN1, DATA_CODING_UCS2,
    ESM_CLASS_RECEIPT, ESM_CLASS_TYPE, ESM_CLASS_UDHI, HEADER_OCTETS, INTERFACE_VERSION,
    ImpossibleLength, MESSAGE_PAYLOAD_OCTETS_MAX, MessageResp, Octets, Outbind,
    PASSWORD_CHARACTERS_MAX, PDU_OCTETS_MAX, Password, Pdu, REGISTERED_DELIVERY_FINAL,
    SHORT_MESSAGE_OCTETS_MAX, SYSTEM_ID_CHARACTERS_MAX, ShortMessage, Status, Tlv, Tlvs, command,
    frame, tag,
};
pub use receipt::{
    DeliveryReceipt, MessageIdForm, MessageState, NetworkError, correlation_candidates,
};
pub use session::{
    CloseReason, DeliveryToken, Event, LATE_RESPONSES_MAX, Outcome, Pace, PeerFacts,
    REPLIES_QUEUED_MAX, Session, SessionConfig, SubmitRefusal,
};
pub use time::{SmscTime, VALIDITY_MAX, relative_validity};
