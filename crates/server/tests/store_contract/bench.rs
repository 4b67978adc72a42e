//! A store, a clock that a story moves, and short words for what stories do.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a broken story fails its test")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use countersign::seal::{KeyRing, Sealer};
use countersign::store::sqlite::{CommitObserver, SqliteOptions, SqliteStore};
use countersign::store::{
    AccountRecord, AccountSettings, Busy, CancelVerification, CarrierKey, CarrierPart,
    CarrierReceipt, CheckCode, Checked, Claim, ConfigChange, Effects, IdempotencyKey, Lease,
    MessageDetails, Notify, NumberKeys, Postponement, ReceiptReport, Retention, SendJob,
    SettledTry, Settlement, StartMessage, StartVerification, Started, Store, StoreError,
    SubmitReport, VerificationDetails, WebhookJob, Woken,
};
use engine::{
    AccountId, Amount, AttemptId, Bucket, Call, Code, ErrorCode, Handover, Limit, Limits, Locale,
    MessageId, MessageRecord, NewMessage, NewVerification, Outcome, PassedOver, Policy, Receipt,
    ReceiptStatus, Refusal, SecretText, Subject, SubmitOutcome, Timestamp, TypedCode, Verdict,
    VerificationId, VerificationRecord, VerificationState, Workflow,
};
use tempfile::TempDir;

/// A place where a store keeps its data.
pub(crate) trait Backend {
    /// Opens the store; whatever was kept there before is still there.
    fn open(&self, now: Timestamp) -> Arc<dyn Store>;
}

/// The embedded store in a directory of its own.
pub(crate) struct Sqlite {
    dir: TempDir,
}

impl Sqlite {
    pub(crate) fn fresh() -> Self {
        Self { dir: TempDir::new().unwrap() }
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }
}

impl Backend for Sqlite {
    fn open(&self, now: Timestamp) -> Arc<dyn Store> {
        Arc::new(open_sqlite(self.path(), SqliteOptions::default(), now, unobserved()).unwrap())
    }
}

pub(crate) fn open_sqlite(
    dir: &Path,
    options: SqliteOptions,
    now: Timestamp,
    observer: CommitObserver,
) -> Result<SqliteStore, StoreError> {
    SqliteStore::open(dir, options, sealer(), now, observer)
}

fn sealer() -> Sealer {
    Sealer::new(&KeyRing::parse("test:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=").unwrap())
}

pub(crate) fn unobserved() -> CommitObserver {
    Box::new(|_| ())
}

/// What a story plays on. It starts at [`NOON`] with [`ALICE`] and [`BOB`], who have 100 each.
pub(crate) struct Bench {
    backend: Box<dyn Backend>,
    store: Option<Arc<dyn Store>>,
    pub(crate) now: Timestamp,
    drawn: u64,
}

impl Bench {
    pub(crate) async fn open(backend: impl Backend + 'static) -> Self {
        let store = Some(backend.open(NOON));
        let bench = Self { backend: Box::new(backend), store, now: NOON, drawn: 0 };
        for account in [ALICE, BOB] {
            bench.put_account(account, 100).await;
        }
        bench
    }

    /// Closes the store.
    pub(crate) fn close(&mut self) {
        self.store = None;
    }

    pub(crate) fn store(&self) -> &Arc<dyn Store> {
        self.store.as_ref().unwrap()
    }

    pub(crate) fn pass(&mut self, seconds: u64) {
        self.now = self.now.after(Duration::from_secs(seconds));
    }

    /// Closes the store and opens it again, as a restart does.
    pub(crate) fn reopen(&mut self) {
        self.close();
        self.store = Some(self.backend.open(self.now));
    }

    pub(crate) async fn put_account(&self, id: AccountId, units: i64) {
        let account = AccountRecord {
            id,
            name: format!("account {id}"),
            settings: AccountSettings::default(),
            created_at: self.now,
        };
        let credit = Amount::from_units(units);
        self.change(ConfigChange::PutAccount { account, credit }).await;
    }

    pub(crate) async fn change(&self, change: ConfigChange) {
        self.store().change(change, self.now).await.unwrap();
    }

    pub(crate) fn lease(&self) -> Lease {
        Lease { until: self.now.after(LEASE) }
    }

    /// A verification to start: an SMS, a call after 60 s, the end after 300 s; it costs 5.
    pub(crate) fn verification(&mut self, account: AccountId, number: u64) -> StartVerification {
        self.drawn += 1;
        let bucket = Bucket::of(account, number);
        StartVerification {
            campaign: None,
            new: NewVerification {
                id: VerificationId::compose(self.now, bucket, self.drawn),
                account,
                policy: Policy {
                    workflow: Workflow::preset(5, Duration::from_mins(1)).unwrap(),
                    lifetime: Duration::from_mins(5),
                    cancel_after: Duration::from_secs(30),
                    checks_max: 3,
                    unconfirmed: None,
                },
                price: Amount::from_units(5),
                code: Code::parse(CODE).unwrap(),
            },
            number,
            keys: keys(number),
            details: VerificationDetails {
                brand: "Acme".to_owned(),
                locale: Locale::parse("en-us").unwrap(),
                originator: None,
                notify: true,
            },
            limits: unlimited(),
            idempotency: None,
            now: self.now,
            lease: self.lease(),
        }
    }

    /// A message of two parts to send; it costs 8 and is given up after 72 h.
    pub(crate) fn message(&mut self, account: AccountId, number: u64) -> StartMessage {
        self.drawn += 1;
        let bucket = Bucket::of(account, number);
        let sequence = u8::try_from(self.drawn % 128).unwrap();
        StartMessage {
            new: NewMessage {
                id: MessageId::compose(self.now, bucket, sequence),
                account,
                expires_at: self.now.after(Duration::from_hours(72)),
                parts: 2,
                price: Amount::from_units(8),
                text: SecretText::concat(&[TEXT]),
                unconfirmed: None,
            },
            number,
            keys: keys(number),
            details: MessageDetails {
                originator: "12345".to_owned(),
                campaign: Some(CAMPAIGN),
                client_ref: None,
                network: "23415".to_owned(),
                notify: Notify::Account,
            },
            nonce: self.drawn,
            limits: unlimited(),
            idempotency: None,
            now: self.now,
            lease: self.lease(),
        }
    }

    pub(crate) async fn try_start(&self, start: StartVerification) -> Result<Started, Refusal> {
        self.store().start_verification(start).await.unwrap()
    }

    pub(crate) async fn start(&mut self, account: AccountId, number: u64) -> VerificationId {
        let start = self.verification(account, number);
        verification_of(&self.try_start(start).await.unwrap())
    }

    pub(crate) async fn try_send(&self, start: StartMessage) -> Result<Started, Refusal> {
        self.store().start_message(start).await.unwrap()
    }

    pub(crate) async fn send(&mut self, account: AccountId, number: u64) -> MessageId {
        let start = self.message(account, number);
        message_of(&self.try_send(start).await.unwrap())
    }

    pub(crate) async fn check(
        &mut self,
        account: AccountId,
        id: VerificationId,
        typed: &str,
    ) -> Result<Checked, Refusal> {
        self.drawn += 1;
        let check = CheckCode {
            account,
            id,
            typed: TypedCode::text(typed),
            nonce: self.drawn,
            now: self.now,
        };
        self.store().check(check).await.unwrap()
    }

    pub(crate) async fn verify(&mut self, account: AccountId, id: VerificationId) -> Effects {
        let checked = self.check(account, id, CODE).await.unwrap();
        assert_eq!(checked.verdict, Verdict::Match);
        checked.effects
    }

    pub(crate) async fn cancel(
        &mut self,
        account: AccountId,
        id: VerificationId,
    ) -> Result<Effects, Refusal> {
        self.drawn += 1;
        let cancel = CancelVerification { account, id, nonce: self.drawn, now: self.now };
        self.store().cancel(cancel).await.unwrap()
    }

    pub(crate) async fn wake(&self) -> Woken {
        self.store().wake(self.now, 100).await.unwrap()
    }

    /// An attempt that was tried `tries` times before could not be sent this time either.
    pub(crate) async fn postpone(&self, attempt: AttemptId, tries: u32, due_at: Timestamp) {
        let passed_over =
            vec![PassedOver { link: "carrier".to_owned(), reason: "it is down".to_owned() }];
        let postponement = Postponement { attempt, tries, tried: true, due_at, passed_over };
        self.store().postpone(postponement).await.unwrap();
    }

    /// The carrier takes an attempt, and calls its parts so.
    pub(crate) async fn named(&self, attempt: AttemptId, names: &[&str]) -> Effects {
        let parts = u8::try_from(names.len()).unwrap();
        let part = |(part, name): (u8, &&str)| CarrierPart {
            part,
            parts,
            key: CarrierKey::of("carrier", name),
        };
        let parts = (0_u8..).zip(names).map(part).collect();
        let handover = Handover::new("carrier", SubmitOutcome::Accepted);
        let (now, lease) = (self.now, self.lease());
        let report = SubmitReport { attempt, handover, parts, now, lease };
        self.store().submitted(report).await.unwrap()
    }

    /// The carrier tells of a part, by the names that it may have.
    pub(crate) async fn told(&self, names: &[&str], status: ReceiptStatus) -> Effects {
        let keys = names.iter().map(|name| CarrierKey::of("carrier", name)).collect();
        let receipt = Receipt { status, error: ErrorCode::NONE };
        let (now, lease) = (self.now, self.lease());
        let receipt = CarrierReceipt { keys, receipt, now, lease, webhook_lease: None };
        self.store().carrier_receipt(receipt).await.unwrap()
    }

    pub(crate) async fn submitted(&self, attempt: AttemptId, outcome: SubmitOutcome) -> Effects {
        let handover = Handover::new("carrier", outcome);
        let (now, lease) = (self.now, self.lease());
        let report = SubmitReport { attempt, handover, parts: Vec::new(), now, lease };
        self.store().submitted(report).await.unwrap()
    }

    pub(crate) async fn receipt(&self, attempt: AttemptId, status: ReceiptStatus) -> Effects {
        self.receipt_under(attempt, status, None).await
    }

    /// The link tells of an attempt, and somebody has a place for the webhook of that.
    pub(crate) async fn receipt_under(
        &self,
        attempt: AttemptId,
        status: ReceiptStatus,
        webhook_lease: Option<Lease>,
    ) -> Effects {
        let receipt = Some(Receipt { status, error: ErrorCode::NONE });
        let (now, lease) = (self.now, self.lease());
        let report = ReceiptReport { attempt, receipt, call: None, now, lease, webhook_lease };
        self.store().receipt(report).await.unwrap()
    }

    /// A link tells of a call.
    pub(crate) async fn called(&self, attempt: AttemptId, call: Call) {
        let (now, lease) = (self.now, self.lease());
        let call = Some(call);
        let report =
            ReceiptReport { attempt, receipt: None, call, now, lease, webhook_lease: None };
        self.store().receipt(report).await.unwrap();
    }

    pub(crate) fn claim(&self) -> Claim {
        Claim { now: self.now, limit: 100, lease: self.lease() }
    }

    pub(crate) async fn claim_sends(&self) -> Vec<SendJob> {
        self.store().claim_sends(self.claim()).await.unwrap()
    }

    pub(crate) async fn claim_webhooks(&self) -> Vec<WebhookJob> {
        self.store().claim_webhooks(self.claim(), Busy::default()).await.unwrap()
    }

    /// A try to deliver a webhook, after so many others, has ended.
    pub(crate) async fn settle(&self, id: i64, tries: u32, settlement: Settlement) {
        self.store().settle_webhooks([SettledTry { id, tries, settlement }].into()).await.unwrap();
    }

    pub(crate) async fn record(&self, id: VerificationId) -> VerificationRecord {
        self.store().verification(id).await.unwrap().unwrap().record
    }

    pub(crate) async fn message_record(&self, id: MessageId) -> MessageRecord {
        self.store().message(id).await.unwrap().unwrap().record
    }

    /// Returns how a verification ended, `None` while it is open.
    pub(crate) async fn outcome(&self, id: VerificationId) -> Option<Outcome> {
        match self.record(id).await.state {
            VerificationState::Open { .. } => None,
            VerificationState::Ended { outcome, .. } => Some(outcome),
        }
    }

    /// Returns a balance, which its ledger must agree with.
    pub(crate) async fn balance(&self, account: AccountId) -> i64 {
        let money = self.store().audit(account).await.unwrap().unwrap();
        assert_eq!(money.balance, money.ledger, "a balance is the sum of its ledger");
        money.balance.units()
    }
}

pub(crate) fn verification_of(started: &Started) -> VerificationId {
    match started.subject {
        Subject::Verification(id) => id,
        Subject::Message(id) => panic!("{id} is a message"),
    }
}

pub(crate) fn message_of(started: &Started) -> MessageId {
    match started.subject {
        Subject::Message(id) => id,
        Subject::Verification(id) => panic!("{id} is a verification"),
    }
}

pub(crate) fn step(id: VerificationId, step: u8) -> AttemptId {
    AttemptId { subject: Subject::Verification(id), step }
}

pub(crate) fn attempt_of(id: MessageId) -> AttemptId {
    AttemptId { subject: Subject::Message(id), step: 0 }
}

pub(crate) fn attempts(jobs: &[SendJob]) -> Vec<AttemptId> {
    jobs.iter().map(|job| job.attempt).collect()
}

/// The pseudonyms of a number; neighbours share the block of a hundred.
pub(crate) fn keys(number: u64) -> NumberKeys {
    NumberKeys { number: !number, prefix: !(number / 100) }
}

/// A key of a repeated start, and what it was a key for.
pub(crate) fn idempotency(key: u8, payload: u8) -> IdempotencyKey {
    IdempotencyKey { key: [key; 16], fingerprint: [payload; 16] }
}

pub(crate) fn unlimited() -> Limits {
    let limit = Limit::new(100_000, Duration::from_secs(1));
    Limits { account: limit, number: limit, prefix: limit }
}

pub(crate) const NOON: Timestamp = Timestamp::from_millis(1_795_305_600_000);
pub(crate) const LEASE: Duration = Duration::from_secs(20);
pub(crate) const ALICE: AccountId = AccountId(1);
pub(crate) const BOB: AccountId = AccountId(2);
pub(crate) const CAMPAIGN: u32 = 7;
pub(crate) const NUMBER: u64 = 447_700_900_123;
pub(crate) const NEIGHBOUR: u64 = 447_700_900_124;
pub(crate) const STRANGER: u64 = 12_015_550_123;
pub(crate) const CODE: &str = "0048159";
pub(crate) const TEXT: &str = "Your Acme PIN is 7362514.";

/// A purge of all that is older than `at`, or was never claimed by then.
pub(crate) fn everything_before(at: Timestamp) -> Retention {
    Retention {
        ended_before: at,
        answered_before: at,
        receipts_before: at,
        early_before: at,
        figures_before: [at; 3],
    }
}
