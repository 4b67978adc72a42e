//! What passes between attempts and carriers: hand-overs, receipts, and the names that carriers use.

use core::time::Duration;

use engine::{AttemptId, Call, Channel, Handover, PassedOver, Receipt, Timestamp};
use ring::digest;

use super::Lease;

/// The name by which a carrier knows one part of an attempt: a digest of the link and of the
/// identifier that the carrier gave, so that all links share one small index.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct CarrierKey(pub u64);

impl CarrierKey {
    /// Digests a carrier's identifier, which must be in the form that all of the link's
    /// identifiers are compared in. With a million parts under way, the chance that any two share
    /// a digest is one in forty million.
    pub fn of(link: &str, id: &str) -> Self {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(link.as_bytes());
        context.update(&[0]);
        context.update(id.as_bytes());
        let digest = context.finish();
        let first = digest.as_ref().first_chunk().copied().unwrap_or_default();
        Self(u64::from_be_bytes(first))
    }
}

/// One part of an attempt that a carrier knows by name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct CarrierPart {
    /// The part, counted from zero.
    pub part: u8,
    /// How many parts there are.
    pub parts: u8,
    /// Its name. Where a carrier gives none, several parts may share one; a receipt is then for
    /// the oldest that waits for one.
    pub key: CarrierKey,
}

/// What a link did with an attempt.
#[derive(Clone, Debug)]
pub struct SubmitReport {
    /// The attempt.
    pub attempt: AttemptId,
    /// The link, how it was chosen, and what became of the attempt.
    pub handover: Handover,
    /// What the carrier calls its parts.
    pub parts: Vec<CarrierPart>,
    /// The time.
    pub now: Timestamp,
    /// Who sends what follows from it.
    pub lease: Lease,
}

/// An attempt that was not sent, to be tried again.
#[derive(Clone, Debug)]
pub struct Postponement {
    /// The attempt.
    pub attempt: AttemptId,
    /// How often it was tried before it was handed out; if that has changed, somebody else has
    /// taken it up since, and is at it.
    pub tries: u32,
    /// Whether this time was a try, too.
    pub tried: bool,
    /// When.
    pub due_at: Timestamp,
    /// The links that were considered so far, and why none was used.
    pub passed_over: Vec<PassedOver>,
}

/// What a link reports of an attempt that it knows by name.
#[derive(Clone, Debug)]
pub struct ReceiptReport {
    /// The attempt.
    pub attempt: AttemptId,
    /// The report; `None` if only the call is told.
    pub receipt: Option<Receipt>,
    /// The call that the attempt made.
    pub call: Option<Call>,
    /// The time.
    pub now: Timestamp,
    /// Who sends what follows from it.
    pub lease: Lease,
    /// Who delivers the first webhook that follows from it; if nobody, it waits on the outbox.
    pub webhook_lease: Option<Lease>,
}

/// What a carrier reports of a part of an attempt.
#[derive(Clone, Debug)]
pub struct CarrierReceipt {
    /// The names that the part may have, the best first.
    pub keys: Vec<CarrierKey>,
    /// The report.
    pub receipt: Receipt,
    /// The time.
    pub now: Timestamp,
    /// Who sends what follows from it.
    pub lease: Lease,
    /// Who delivers the first webhook that follows from it; if nobody, it waits on the outbox.
    pub webhook_lease: Option<Lease>,
}

/// What became known of an attempt, for the figures of its route.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct News {
    /// The attempt.
    pub attempt: AttemptId,
    /// The channel it went over.
    pub channel: Channel,
    /// The link that took it.
    pub link: String,
    /// The route that was followed.
    pub route: Option<String>,
    /// The number's digits, `None` once erased.
    pub number: Option<u64>,
    /// What became known.
    pub event: NewsEvent,
}

/// What can become known of an attempt.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NewsEvent {
    /// The carrier took it.
    Accepted,
    /// The carrier or the link refused it for good.
    Rejected,
    /// Nobody knows whether the carrier took it.
    Unconfirmed,
    /// The carrier took it after all, of which nobody knew at first.
    Confirmed,
    /// A receipt came, so long after the hand-over.
    Reported(Receipt, Duration),
    /// Its code came back: the user had it.
    Converted,
}
