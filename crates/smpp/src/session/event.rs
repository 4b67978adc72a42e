//! What a session tells its caller.

use core::time::Duration;

use crate::pdu::{ImpossibleLength, ShortMessage, Status};

/// Something that happened; see [`Session::poll_event`](super::Session::poll_event).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The SMSC took the bind: from now on submits are taken.
    Bound(PeerFacts),
    /// The SMSC refused the bind; [`Event::Closed`] follows.
    BindRefused {
        /// Why; see [`Status::is_bind_refusal`].
        status: Status,
    },
    /// The octets of a submit were taken by the caller.
    Written {
        /// The submit.
        token: u64,
    },
    /// A submit has ended, once and for all but for [`Event::Late`].
    Submitted {
        /// The submit.
        token: u64,
        /// How it ended.
        outcome: Outcome,
    },
    /// The response to a submit that had ended as [`Outcome::Unknown`].
    Late {
        /// The submit.
        token: u64,
        /// What the response says.
        outcome: Outcome,
    },
    /// A `deliver_sm` or `data_sm`, to be answered once what it says is stored.
    Delivered {
        /// What to answer with.
        delivery: DeliveryToken,
        /// A receipt or a message; see [`DeliveryReceipt::of`](crate::DeliveryReceipt::of).
        message: Box<ShortMessage>,
    },
    /// The session is over: write what [`take_output`](super::Session::take_output) still gives,
    /// then close the link. No event follows.
    Closed {
        /// Why.
        reason: CloseReason,
    },
}

/// What the SMSC says about itself; SMSCs leave out either.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerFacts {
    /// What it calls itself, or nothing.
    pub system_id: String,
    /// The version it speaks.
    pub interface_version: Option<u8>,
}

/// How a submit ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The SMSC took it.
    Accepted {
        /// The id it gave, or nothing.
        id: String,
    },
    /// The SMSC refused it; see [`Status::is_temporary`].
    Rejected {
        /// Why.
        status: Status,
    },
    /// Its octets were never taken, so it may be sent again.
    NotSent,
    /// It was written and not answered: it may have been sent.
    Unknown,
}

/// Why a submit was not taken; nothing was queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubmitRefusal {
    /// The SMSC has not taken the bind yet.
    NotBound,
    /// The bind is one on which nothing is submitted.
    ReceiverOnly,
    /// The session is ending or over.
    Closing,
    /// The text is longer than any PDU carries.
    TooLong,
    /// As many submits as the window holds are unanswered.
    WindowFull,
    /// The SMSC is not to be sent more yet.
    Paced {
        /// When to try again.
        until: Duration,
    },
}

/// What a delivery is answered with; it is of use only to the session it came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeliveryToken(pub(super) u64);

/// Why a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// We unbound, whether the SMSC answered that or not.
    Unbound,
    /// The SMSC unbound.
    UnboundByPeer,
    /// The SMSC refused the bind.
    BindRefused(Status),
    /// The SMSC did not answer the bind in time.
    BindTimedOut,
    /// The SMSC answered nothing, not even an `enquire_link`.
    PeerSilent,
    /// The SMSC asks more than it reads answers to.
    PeerNotReading,
    /// What the SMSC sends is not SMPP, or has gone out of step.
    ImpossibleLength(ImpossibleLength),
    /// The link died.
    LinkClosed,
}
