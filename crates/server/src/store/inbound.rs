//! What handsets send to our numbers.

use engine::{AccountId, Keyword, MessageId, SecretText, Timestamp};

use super::{Effects, Lease, StartMessage};

/// A message from a handset, or one part of one, for one account.
#[derive(Clone, Debug)]
pub struct Inbound {
    /// The name it gets, unless that is taken.
    pub id: MessageId,
    /// How a repeat is known.
    pub key: InboundKey,
    /// Whose number it came to.
    pub account: AccountId,
    /// The sender's digits.
    pub from: u64,
    /// The sender's pseudonym.
    pub from_key: u64,
    /// Our number, as the account registered it.
    pub to: String,
    /// What it says.
    pub text: SecretText,
    /// Which part it is, of a message of several.
    pub concat: Option<Concat>,
    /// The campaign that runs on our number.
    pub campaign: Option<InboundCampaign>,
    /// Whether the account wants to be told.
    pub forward: bool,
    /// The time.
    pub now: Timestamp,
    /// Who sends what follows from it.
    pub lease: Lease,
}

/// How a message that a carrier brings again is known.
#[derive(Clone, Copy, Debug)]
pub struct InboundKey {
    /// A keyed digest of what makes it this message.
    pub digest: [u8; 16],
    /// Whether the carrier's own name for it is in there. Without one, the same text a while later
    /// is another message, and STOP is heeded each time.
    pub named: bool,
}

/// Which part of a message of several this is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Concat {
    /// What all parts share, between one sender and one recipient.
    pub reference: u16,
    /// How many there are, 2 to 255.
    pub total: u8,
    /// Which one it is, from 1.
    pub part: u8,
}

impl Concat {
    /// Puts the numbers together; `None` of a message of one part, or where they cannot be.
    pub fn new(reference: u16, total: u8, part: u8) -> Option<Self> {
        (total > 1 && (1..=total).contains(&part)).then_some(Self { reference, total, part })
    }
}

/// A campaign whose recipient has written to it.
#[derive(Clone, Debug)]
pub struct InboundCampaign {
    /// Its name in the store.
    pub id: u32,
    /// Whether START opts in again.
    pub start_allowed: bool,
    /// The answer to HELP, if there may be one. It is let in whatever the rates and the balance.
    pub help: Option<Box<StartMessage>>,
}

/// What became of a message from a handset.
#[derive(Clone, Debug)]
pub struct InboundTaken {
    /// What it asks for; `None` of a repeat, and of a part that does not begin a message.
    pub keyword: Option<Keyword>,
    /// Whether it had come before.
    pub repeat: bool,
    /// What to do now.
    pub effects: Effects,
}

/// A message from a handset as its account is told of it.
#[derive(Clone, Debug)]
pub struct InboundView {
    /// Its name.
    pub id: MessageId,
    /// The sender's digits.
    pub from: u64,
    /// Our number.
    pub to: String,
    /// What it says.
    pub text: SecretText,
    /// Which part it is, if the others never came.
    pub concat: Option<Concat>,
}
