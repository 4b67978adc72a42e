//! What is kept: domain operations, each atomic (but for the purge) and durable before it answers.
//!
//! Every operation is told the time and brings its own identifiers, so that it can be replayed.
//! One that is repeated after an unknown commit does no harm. A start is known by its idempotency
//! key, else by its identifier (a message's together with its nonce), and is answered as the first
//! time; a check and a cancel are known by their nonces, a credit by its key. What links report
//! changes a settled thing no more; what webhooks report counts for the try that it tells of.

mod account;
mod carrier;
mod figures;
mod inbound;
mod rows;
pub mod sqlite;
mod webhook;

use core::future::Future;
use core::pin::Pin;
use core::time::Duration;
use std::sync::Arc;

use engine::{
    AccountId, Amount, AttemptId, Channel, Code, Conversion, Limits, MessageId, MessageRecord,
    NewMessage, NewVerification, Outcome, PassedOver, Refusal, SecretText, Subject, Timestamp,
    TypedCode, Verdict, VerificationId, VerificationRecord,
};
use serde::{Deserialize, Serialize};

pub use carrier::{
    CarrierKey, CarrierPart, CarrierReceipt, News, NewsEvent, Postponement, ReceiptReport,
    SubmitReport,
};
pub use figures::{
    FigureKey, FigureQuery, FigureRow, FigureSum, Figures, FiguresBy, Period, WAITS, WAITS_S,
};
pub use inbound::{Concat, Inbound, InboundCampaign, InboundKey, InboundTaken, InboundView};
pub use webhook::{
    Busy, DeadWebhook, SettledTry, Settlement, WebhookEvent, WebhookJob, WebhookSubject,
};

pub use account::{
    AccountRecord, AccountSettings, BarredNumber, Campaign, ConfigChange, DirectoryRows, DlrMethod,
    KeyKind, KeyRecord, NumberRecord, OptOut, PriceRecord, TemplateRecord, VoiceGender,
};

/// The answer of a store operation, once it is durable.
pub type Reply<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// The system of record. See the module's documentation for what every operation promises.
pub trait Store: Send + Sync {
    /// Admits and starts a verification.
    fn start_verification(&self, start: StartVerification) -> Reply<'_, Result<Started, Refusal>>;

    /// Admits, charges and queues a message.
    fn start_message(&self, start: StartMessage) -> Reply<'_, Result<Started, Refusal>>;

    /// Returns the first answer to a start that is repeated under its key, `None` to a new one. The
    /// starts look for it themselves; this is for one that would not reach them.
    fn first_answer(
        &self,
        account: AccountId,
        key: IdempotencyKey,
    ) -> Reply<'_, Option<Result<Started, Refusal>>>;

    /// Compares a typed code. Of any number of right ones that arrive together, one wins.
    fn check(&self, check: CheckCode) -> Reply<'_, Result<Checked, Refusal>>;

    /// Ends a verification at its account's wish.
    fn cancel(&self, cancel: CancelVerification) -> Reply<'_, Result<Effects, Refusal>>;

    /// Takes note of what a link did with an attempt, and takes the attempt off the outbox.
    fn submitted(&self, report: SubmitReport) -> Reply<'_, Effects>;

    /// Puts an attempt that was not sent back on the outbox.
    fn postpone(&self, postponement: Postponement) -> Reply<'_, ()>;

    /// Takes note of a delivery receipt of an attempt that the link knows by name.
    fn receipt(&self, report: ReceiptReport) -> Reply<'_, Effects>;

    /// Takes note of a delivery receipt that names its attempt as the carrier does. One that came
    /// before the carrier's answer to the submit is kept until that has been reported.
    fn carrier_receipt(&self, receipt: CarrierReceipt) -> Reply<'_, Effects>;

    /// Takes in what a handset sent to a number of an account: joins its parts, does what it asks
    /// for, and puts it on the outbox of webhooks. What comes again does all that once.
    fn inbound(&self, inbound: Inbound) -> Reply<'_, InboundTaken>;

    /// Keeps what an account says about its user; `None` if it has no such message or
    /// verification.
    fn convert(
        &self,
        account: AccountId,
        subject: Subject,
        conversion: Conversion,
    ) -> Reply<'_, Option<Converted>>;

    /// Wakes every machine that is due, at most `limit` of them.
    fn wake(&self, now: Timestamp, limit: usize) -> Reply<'_, Woken>;

    /// Leases attempts that are due and that nobody else has leased.
    fn claim_sends(&self, claim: Claim) -> Reply<'_, Vec<SendJob>>;

    /// Leases webhooks that are due, none of them for anyone in `busy`. Accounts take turns.
    fn claim_webhooks(&self, claim: Claim, busy: Busy) -> Reply<'_, Vec<WebhookJob>>;

    /// Takes webhooks off the outbox, or plans their next tries, or gives them up. A try that
    /// failed counts only if it is the one after as many others as it says: once, however often it
    /// is reported, and not if somebody who took the webhook up meanwhile has reported the same
    /// try. One that cannot be read is left alone, for the others' sake.
    fn settle_webhooks(&self, settled: Arc<[SettledTry]>) -> Reply<'_, ()>;

    /// Lists webhooks that were given up, newest first.
    fn dead_webhooks(&self, limit: usize) -> Reply<'_, Vec<DeadWebhook>>;

    /// Puts a webhook that was given up back on the outbox; false if there is none of this id.
    fn replay_webhook(&self, id: i64, now: Timestamp) -> Reply<'_, bool>;

    /// Changes accounts, keys, numbers, templates, prices, opt-outs or barred numbers.
    fn change(&self, change: ConfigChange, now: Timestamp) -> Reply<'_, ()>;

    /// Reads everything that [`Store::change`] can change.
    fn directory(&self) -> Reply<'_, DirectoryRows>;

    /// Adds to an account's balance, once per `key`; answers the balance.
    fn credit(&self, credit: Credit) -> Reply<'_, Option<Amount>>;

    /// Returns an account's balance.
    fn balance(&self, account: AccountId) -> Reply<'_, Option<Amount>>;

    /// Adds an account's whole ledger up, which takes time: the sum is always the balance.
    fn audit(&self, account: AccountId) -> Reply<'_, Option<Balance>>;

    /// Adds to the figures of what became of attempts. It is not repeated after an unknown commit:
    /// figures may miss a few seconds, and count none twice.
    fn add_figures(&self, rows: Vec<FigureRow>) -> Reply<'_, ()>;

    /// Sums figures up: the newest period first, and in it what there was most of.
    fn figures(&self, query: FigureQuery) -> Reply<'_, Vec<FigureSum>>;

    /// Returns a verification.
    fn verification(&self, id: VerificationId) -> Reply<'_, Option<VerificationView>>;

    /// Returns a message.
    fn message(&self, id: MessageId) -> Reply<'_, Option<MessageView>>;

    /// Lists the verifications of an account, newest first, from before `before`.
    fn verifications(
        &self,
        account: AccountId,
        before: Option<VerificationId>,
        limit: usize,
    ) -> Reply<'_, Vec<VerificationView>>;

    /// Returns the calls that a link placed since then and that reached a phone, the first one
    /// first. A number that was erased is not told.
    fn calls_since(&self, link: String, since: Timestamp) -> Reply<'_, Vec<EarlierCall>>;

    /// Deletes what is too old, at most `limit` rows of each kind; answers how many went. It is
    /// not one step, and need not be: what was not reached goes with the next call.
    fn purge(&self, retention: Retention, limit: usize) -> Reply<'_, usize>;

    /// Forgets a phone number everywhere but in keyed pseudonyms; answers how many rows held it.
    fn erase(&self, number: u64, now: Timestamp) -> Reply<'_, usize>;

    /// Returns when the next machine, send or webhook is due.
    fn next_due(&self) -> Reply<'_, Due>;

    /// Returns how much waits, for metrics.
    fn depth(&self) -> usize;
}

/// A failure of the store: the operation may or may not have happened.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// The queue is full; nothing happened.
    #[error("the store's queue is full")]
    Busy {
        /// When to try again.
        retry_after: Duration,
    },
    /// The store has ended, and only a restart of the process helps.
    #[error("the store has stopped")]
    Stopped,
    /// The database failed.
    #[error("the database cannot be used: {0}")]
    Unavailable(String),
    /// A stored row is in no legal state.
    #[error("table {table} holds an illegal row {row}: {reason}")]
    Corrupt {
        /// The table.
        table: &'static str,
        /// The row's key.
        row: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// The key of a repeated start, and what it was a key for.
#[derive(Clone, Debug)]
pub struct IdempotencyKey {
    /// A digest of the caller's key.
    pub key: [u8; 16],
    /// A digest of the request.
    pub fingerprint: [u8; 16],
}

/// The keyed pseudonyms that a start is counted under.
#[derive(Clone, Copy, Debug)]
pub struct NumberKeys {
    /// Of the number.
    pub number: u64,
    /// Of the block of numbers around it.
    pub prefix: u64,
}

/// A verification to start.
#[derive(Clone, Debug)]
pub struct StartVerification {
    /// The machine's part.
    pub new: NewVerification,
    /// The number's digits.
    pub number: u64,
    /// Its pseudonyms.
    pub keys: NumberKeys,
    /// What the texts need.
    pub details: VerificationDetails,
    /// The campaign that its messages are sent under, whose opt-outs apply.
    pub campaign: Option<u32>,
    /// The rates it must keep to.
    pub limits: Limits,
    /// Makes a repeat harmless.
    pub idempotency: Option<IdempotencyKey>,
    /// The time.
    pub now: Timestamp,
    /// Who sends the first attempt, and until when it has the time to.
    pub lease: Lease,
}

/// What the texts of a verification need, fixed at its start.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct VerificationDetails {
    /// The brand to name.
    pub brand: String,
    /// The locale to speak.
    pub locale: engine::Locale,
    /// Who the messages are from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub originator: Option<String>,
    /// Whether the account wants to hear of the outcome.
    #[serde(default)]
    pub notify: bool,
}

/// A message to send.
#[derive(Clone, Debug)]
pub struct StartMessage {
    /// The machine's part.
    pub new: NewMessage,
    /// The number's digits.
    pub number: u64,
    /// Its pseudonyms.
    pub keys: NumberKeys,
    /// What its receipts and webhooks need.
    pub details: MessageDetails,
    /// Names this request: a repeat has the same, a message that drew the same identifier another.
    pub nonce: u64,
    /// The rates it must keep to.
    pub limits: Limits,
    /// Makes a repeat harmless.
    pub idempotency: Option<IdempotencyKey>,
    /// The time.
    pub now: Timestamp,
    /// Who sends the attempt, and until when it has the time to.
    pub lease: Lease,
}

/// What the receipts of a message need, fixed when it was accepted.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct MessageDetails {
    /// The short code or sender it is from.
    pub originator: String,
    /// The campaign whose opt-outs apply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub campaign: Option<u32>,
    /// The caller's own reference.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_ref: Option<String>,
    /// The mobile network, as MCC and MNC.
    pub network: String,
    /// Who hears of its receipts.
    pub notify: Notify,
}

/// Who hears of a message's receipts.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Notify {
    /// Nobody.
    #[default]
    Nobody,
    /// The account's own URL, whatever that is when the receipt comes.
    Account,
    /// The URL that the request named.
    Url(String),
}

/// A node that has taken something up, and until when it has the time to finish it.
#[derive(Clone, Copy, Debug)]
pub struct Lease {
    /// After this, others may take it up.
    pub until: Timestamp,
}

/// A wish for due work.
#[derive(Clone, Copy, Debug)]
pub struct Claim {
    /// The time.
    pub now: Timestamp,
    /// How much at most.
    pub limit: usize,
    /// For how long.
    pub lease: Lease,
}

/// A start that was let in.
#[derive(Clone, Debug)]
pub struct Started {
    /// What was started: on a replay, the first time.
    pub subject: Subject,
    /// What it costs, or will.
    pub price: Amount,
    /// The balance afterwards; the balance now, on a repeat that has no idempotency key.
    pub balance: Amount,
    /// How many parts a message has.
    pub parts: u8,
    /// Whether this is the repeat of an earlier start.
    pub replayed: bool,
    /// What to do now.
    pub effects: Effects,
}

/// What to do once an operation is durable.
#[derive(Clone, Debug, Default)]
pub struct Effects {
    /// Attempts to send; they are leased to the caller.
    pub sends: Vec<SendJob>,
    /// Attempts to stop.
    pub withdrawals: Vec<AttemptId>,
    /// Verifications that ended, and how.
    pub outcomes: Vec<Outcome>,
    /// Webhooks to deliver; they are leased to the caller, as its operation asked.
    pub leased_webhooks: Vec<WebhookJob>,
    /// Whether webhooks wait that nobody has leased.
    pub webhooks: bool,
    /// What became known of attempts.
    pub news: Vec<News>,
    /// Whether a number opted out of a campaign, or in again.
    pub opt_outs: bool,
}

impl Effects {
    /// Adds a webhook: one that is leased, or else one that waits.
    pub fn tell(&mut self, leased: Option<WebhookJob>) {
        match leased {
            Some(job) => self.leased_webhooks.push(job),
            None => self.webhooks = true,
        }
    }

    /// Adds what another operation left to do.
    pub fn extend(&mut self, other: Self) {
        self.sends.extend(other.sends);
        self.withdrawals.extend(other.withdrawals);
        self.outcomes.extend(other.outcomes);
        self.leased_webhooks.extend(other.leased_webhooks);
        self.webhooks |= other.webhooks;
        self.news.extend(other.news);
        self.opt_outs |= other.opt_outs;
    }
}

/// One attempt to send.
#[derive(Clone, Debug)]
pub struct SendJob {
    /// Its name.
    pub attempt: AttemptId,
    /// Who pays.
    pub account: AccountId,
    /// The channel to use.
    pub channel: Channel,
    /// The number's digits.
    pub number: u64,
    /// Who it is from.
    pub originator: Option<String>,
    /// What to say.
    pub content: Content,
    /// When its verification or message was accepted.
    pub accepted_at: Timestamp,
    /// Since when it waits: since then, since its step began, or since it is to be sent once more.
    pub queued_at: Timestamp,
    /// After this, it is worthless.
    pub expires_at: Timestamp,
    /// How often it was tried before.
    pub tries: u32,
    /// The links that were passed over then, and why.
    pub passed_over: Vec<PassedOver>,
    /// The link to avoid, because nobody knows whether it has sent this already.
    pub avoid: Option<String>,
}

/// What an attempt says.
#[derive(Clone, Debug)]
pub enum Content {
    /// A code, in the words of its account and locale.
    Code {
        /// The code.
        code: Code,
        /// The brand to name.
        brand: String,
        /// The locale to speak.
        locale: engine::Locale,
        /// How long it can be typed, from the start.
        lifetime: Duration,
    },
    /// A text that is ready.
    Text(SecretText),
}

/// A typed code to compare.
#[derive(Clone, Debug)]
pub struct CheckCode {
    /// Whose verification it must be.
    pub account: AccountId,
    /// Which one.
    pub id: VerificationId,
    /// What was typed.
    pub typed: TypedCode,
    /// Names this request.
    pub nonce: u64,
    /// The time.
    pub now: Timestamp,
}

/// A verification to cancel.
#[derive(Clone, Copy, Debug)]
pub struct CancelVerification {
    /// Whose verification it must be.
    pub account: AccountId,
    /// Which one.
    pub id: VerificationId,
    /// Names this request.
    pub nonce: u64,
    /// The time.
    pub now: Timestamp,
}

/// A check that was answered.
#[derive(Clone, Debug)]
pub struct Checked {
    /// Whether it was right.
    pub verdict: Verdict,
    /// What to do now.
    pub effects: Effects,
}

/// A conversion that was kept.
#[derive(Clone, Debug)]
pub struct Converted {
    /// The link that carried the code.
    pub link: String,
    /// What to do now.
    pub effects: Effects,
}

/// Machines that were woken.
#[derive(Clone, Debug, Default)]
pub struct Woken {
    /// How many.
    pub count: usize,
    /// What to do now.
    pub effects: Effects,
}

/// When things are due next.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Due {
    /// A machine, or one that has ended since.
    pub machine: Option<Timestamp>,
    /// A send that nobody has leased any longer.
    pub send: Option<Timestamp>,
    /// A webhook.
    pub webhook: Option<Timestamp>,
}

/// Money to add to a balance.
#[derive(Clone, Debug)]
pub struct Credit {
    /// Whose.
    pub account: AccountId,
    /// How much; negative to take away.
    pub amount: Amount,
    /// Names this credit, so that a repeat does not count.
    pub key: String,
    /// The time.
    pub now: Timestamp,
}

/// A call that was placed, for whoever caps calls.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct EarlierCall {
    /// The number's digits.
    pub number: u64,
    /// When the phone was reached.
    pub at: Timestamp,
    /// What the carrier takes for it; of one that goes on, what it takes at least.
    pub cost: Amount,
}

/// What is too old to be kept.
#[derive(Clone, Copy, Debug)]
pub struct Retention {
    /// Verifications and messages that were started before this and have ended, messages from
    /// handsets that came before it, and webhooks that were given up before it.
    pub ended_before: Timestamp,
    /// First answers to starts before this.
    pub answered_before: Timestamp,
    /// What carriers call the parts of attempts that were handed over before this.
    pub receipts_before: Timestamp,
    /// Receipts that came before this and that nobody has claimed.
    pub early_before: Timestamp,
    /// Figures of minutes, hours and days that began before these.
    pub figures_before: [Timestamp; 3],
}

/// An account's money.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Balance {
    /// What it has.
    pub balance: Amount,
    /// What its ledger sums to.
    pub ledger: Amount,
}

/// A verification as it is stored, without its code.
#[derive(Clone, Debug)]
pub struct VerificationView {
    /// The machine's part.
    pub record: VerificationRecord,
    /// The number's digits, `None` once erased.
    pub number: Option<u64>,
    /// What its texts need.
    pub details: VerificationDetails,
}

/// A message as it is stored, without its text.
#[derive(Clone, Debug)]
pub struct MessageView {
    /// The machine's part.
    pub record: MessageRecord,
    /// The number's digits, `None` once erased.
    pub number: Option<u64>,
    /// What its receipts need.
    pub details: MessageDetails,
}
