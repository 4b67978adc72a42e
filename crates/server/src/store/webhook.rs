//! What accounts are told, and what became of telling them.

use std::collections::BTreeSet;

use engine::{AccountId, MessageId, Outcome, Receipt, Timestamp, VerificationId};

use super::{InboundView, MessageView, VerificationView};

/// Who can be told nothing more at present.
#[derive(Clone, Debug, Default)]
pub struct Busy {
    /// The accounts that have their share.
    pub accounts: BTreeSet<AccountId>,
    /// The keys of the endpoints that have theirs.
    pub endpoints: BTreeSet<u64>,
}

/// One webhook to deliver.
#[derive(Clone, Debug)]
pub struct WebhookJob {
    /// Its name, which stays the same over all tries.
    pub id: i64,
    /// Whose it is.
    pub account: AccountId,
    /// The endpoint's key, for [`Store::claim_webhooks`].
    pub endpoint: u64,
    /// Where to, if the request named it; else where the account says.
    pub url: Option<String>,
    /// When it came about.
    pub created_at: Timestamp,
    /// How often it was tried before.
    pub tries: u32,
    /// What it tells.
    pub event: WebhookEvent,
}

/// What a webhook tells.
#[derive(Clone, Debug)]
pub enum WebhookEvent {
    /// A receipt of one part of a message.
    Receipt {
        /// The message.
        message: Box<MessageView>,
        /// The part, counted from zero.
        part: u8,
        /// The receipt.
        receipt: Receipt,
        /// When it came.
        at: Timestamp,
    },
    /// The outcome of a verification.
    Outcome {
        /// The verification.
        verification: Box<VerificationView>,
        /// How it ended.
        outcome: Outcome,
        /// When.
        at: Timestamp,
    },
    /// A message from a handset.
    Inbound(Box<InboundView>),
}

/// What a webhook is about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum WebhookSubject {
    /// A verification.
    Verification(VerificationId),
    /// A message that was sent.
    Message(MessageId),
    /// A message from a handset.
    Inbound(MessageId),
}

/// What became of one try to deliver a webhook.
#[derive(Clone, Debug)]
pub enum Settlement {
    /// It was delivered, or nobody wants it any more.
    Done,
    /// It is to be tried again.
    Retry {
        /// When.
        due_at: Timestamp,
        /// Why it failed.
        error: String,
    },
    /// It is given up.
    Dead {
        /// When.
        at: Timestamp,
        /// Why it failed.
        error: String,
    },
}

/// One try to deliver a webhook that has ended.
#[derive(Clone, Debug)]
pub struct SettledTry {
    /// The webhook.
    pub id: i64,
    /// How often it was tried before.
    pub tries: u32,
    /// What became of this try.
    pub settlement: Settlement,
}

/// A webhook that was given up.
#[derive(Clone, Debug)]
pub struct DeadWebhook {
    /// Its name.
    pub id: i64,
    /// Whose it is.
    pub account: AccountId,
    /// Where it was to go, if the request named it.
    pub url: Option<String>,
    /// What it is about.
    pub subject: WebhookSubject,
    /// When it came about.
    pub created_at: Timestamp,
    /// When it was given up.
    pub dead_at: Timestamp,
    /// How often it was tried.
    pub tries: u32,
    /// Why the last try failed.
    pub error: String,
}
