//! Calls over SIP trunks: what a phone is told, packet by packet, and what became of the call.
//!
//! Signalling is `rsipstack`'s; session descriptions, RTP, G.711, telephone events and the pacing of
//! packets are ours. [`Trunk`](trunk::Trunk) places calls; a [`Script`](script::Script) says what
//! they play, and [`Speech`](speech::Speech) puts one together for a code.
//!
//! [`g711`], [`rtp`], [`sdp`], [`script`] and [`playout`] are pure: they are told the time, draw
//! nothing and open nothing. [`pacer`], [`trunk`] and [`call`] do the rest.
//!
//! The signalling logs whole messages, numbers and credentials included: whoever writes a log asks
//! [`may_be_logged`](privacy::may_be_logged) first.

pub mod call;
pub mod g711;
pub mod outcome;
pub mod pacer;
pub mod playout;
pub mod privacy;
pub mod rtp;
pub mod script;
pub mod sdp;
pub mod speech;
pub mod trunk;

/// Ends a call from outside: see [`Trunk::call`](trunk::Trunk::call).
pub use tokio_util::sync::CancellationToken;
