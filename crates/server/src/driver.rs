//! The way of every request: screen, draw, store, and only then do what follows.

mod inbound;

use std::sync::Arc;
use std::time::Duration;

use engine::{
    AttemptId, Bucket, Call, Channel, Code, Conversion, Handover, Locale, MessageId, NewMessage,
    NewVerification, Originator, PhoneNumber, PriceItem, Receipt, Refusal, SecretText, Subject,
    Timestamp, Timing, TypedCode, Unconfirmed, Verdict, VerificationId,
};
use tokio::sync::Mutex;

use crate::channels::Channels;
use crate::clock::{self, Clock};
use crate::directory::{Account, Directories};
use crate::quality::Quality;
use crate::store::{
    CancelVerification, CarrierKey, CarrierPart, CarrierReceipt, CheckCode, Claim, Effects,
    FigureKey, IdempotencyKey, Lease, MessageDetails, News, Notify, ReceiptReport, StartMessage,
    StartVerification, Started, Store, StoreError, SubmitReport, VerificationDetails,
};
use crate::telemetry::{Label, Metrics};
use crate::webhooks::{Inlet, Seat};

pub use inbound::{InboundMessage, TEXT_CHARS_MAX};

/// Why a request was not carried out.
#[derive(Debug)]
pub enum Denial {
    /// The engine's answer is no.
    Refused(Refusal),
    /// The store failed, or has too much to do.
    Failed(StoreError),
}

impl From<Refusal> for Denial {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<StoreError> for Denial {
    fn from(error: StoreError) -> Self {
        Self::Failed(error)
    }
}

/// A verification that a door asks for.
#[derive(Clone, Debug)]
pub struct VerificationRequest {
    /// Whom to reach.
    pub number: PhoneNumber,
    /// The brand to name.
    pub brand: String,
    /// How many digits the code has, 4 to 10.
    pub code_length: u8,
    /// The locale to speak; that of the number's country if `None`.
    pub locale: Option<Locale>,
    /// Whom it should be from.
    pub originator: Option<String>,
    /// Which preset workflow, 1 to 7.
    pub workflow: u8,
    /// What differs from the account's timing.
    pub timing: Timing,
    /// Makes a repeat harmless.
    pub idempotency: Option<IdempotencyKey>,
}

/// A message that a door asks for.
#[derive(Debug)]
pub struct MessageRequest {
    /// Whom to reach.
    pub number: PhoneNumber,
    /// What to say, with the PIN in it.
    pub text: SecretText,
    /// How many parts that makes.
    pub parts: u8,
    /// Whom it is from.
    pub originator: Originator,
    /// The campaign whose opt-outs apply.
    pub campaign: Option<u32>,
    /// The caller's own reference.
    pub client_ref: Option<String>,
    /// How long to wait for a final receipt; the configured time if `None`.
    pub lifetime: Option<Duration>,
    /// Who hears of its receipts.
    pub notify: Notify,
    /// Makes a repeat harmless.
    pub idempotency: Option<IdempotencyKey>,
}

/// Carries requests out, and does what is due.
pub struct Driver {
    /// The system of record.
    pub store: Arc<dyn Store>,
    /// The time.
    pub clock: Clock,
    /// What operators set up.
    pub directories: Directories,
    /// The ways out.
    pub channels: Channels,
    /// The figures of this process.
    pub metrics: Arc<Metrics>,
    /// The figures of routes, links and countries.
    pub quality: Quality,
    /// Where webhooks are brought to their worker.
    pub webhooks: Inlet,
    /// Held by whoever does what is due: who finds nothing must know that nobody else is still
    /// between taking something up and sending it off.
    pub ticking: Mutex<()>,
    /// How long messages wait for a final receipt.
    pub message_lifetime: Duration,
    /// What follows when nobody knows whether a carrier took a message.
    pub unconfirmed: Option<Unconfirmed>,
}

impl Driver {
    /// Starts a verification.
    ///
    /// # Errors
    /// The engine refuses, or the store fails.
    pub async fn start_verification(
        self: &Arc<Self>,
        account: &Account,
        request: VerificationRequest,
    ) -> Result<Started, Denial> {
        let key = request.idempotency.clone();
        let start = match self.plan_verification(account, request) {
            Ok(start) => start,
            Err(refusal) => return self.first_answer(account, key, refusal).await,
        };
        let driver = Arc::clone(self);
        finish(async move {
            let mut started = driver.store.start_verification(start).await??;
            driver.carry_out(std::mem::take(&mut started.effects));
            Ok(started)
        })
        .await
    }

    /// Decides what can be decided without the store, and draws what a verification needs.
    fn plan_verification(
        &self,
        account: &Account,
        request: VerificationRequest,
    ) -> Result<StartVerification, Refusal> {
        screen(account, &request.number)?;
        let policy = account.policy(request.workflow, request.timing).ok_or(Refusal::Unroutable)?;
        if !policy.workflow.channels().any(|channel| self.channels.reach(channel)) {
            return Err(Refusal::Unroutable);
        }
        let needs_originator = policy.workflow.channels().any(|c| c == Channel::Sms);
        let originator = engine::choose_originator(
            request.originator.as_deref(),
            &account.originators,
            &request.number,
        );
        if needs_originator && originator.is_none() {
            return Err(Refusal::NoOriginator);
        }
        let short_code = account.short_code.as_ref();
        let campaign = short_code.filter(|code| originator.as_ref() == Some(&code.originator));
        let campaign = campaign.map(|code| code.id);
        let now = self.clock.now();
        let digits = clock::draw_digits(request.code_length);
        let code = Code::parse(&digits).ok_or(Refusal::Unroutable)?;
        let bucket = Bucket::of(account.id, request.number.digits());
        let random = u64::from_be_bytes(clock::random_bytes());
        let region = request.number.region();
        let price = account.prices.lookup(PriceItem::Verification, request.number.digits());
        Ok(StartVerification {
            new: NewVerification {
                id: VerificationId::compose(now, bucket, random),
                account: account.id,
                policy,
                price,
                code,
            },
            number: request.number.digits(),
            keys: self.directories.number_keys(&request.number),
            details: VerificationDetails {
                brand: request.brand,
                locale: request.locale.unwrap_or_else(|| Locale::for_region(region.as_str())),
                originator: originator.map(|from| from.as_str().into_owned()),
                notify: account.settings.webhook_url.is_some(),
            },
            campaign,
            limits: account.limits,
            idempotency: request.idempotency,
            now,
            lease: lease(now),
        })
    }

    /// Sends a message.
    ///
    /// # Errors
    /// The engine refuses, or the store fails.
    pub async fn send_message(
        self: &Arc<Self>,
        account: &Account,
        request: MessageRequest,
    ) -> Result<Started, Denial> {
        let key = request.idempotency.clone();
        let start = match self.plan_message(account, request) {
            Ok(start) => start,
            Err(refusal) => return self.first_answer(account, key, refusal).await,
        };
        let driver = Arc::clone(self);
        finish(async move {
            let mut started = driver.store.start_message(start).await??;
            driver.carry_out(std::mem::take(&mut started.effects));
            Ok(started)
        })
        .await
    }

    /// Decides what can be decided without the store, and draws what a message needs.
    fn plan_message(
        &self,
        account: &Account,
        request: MessageRequest,
    ) -> Result<StartMessage, Refusal> {
        screen(account, &request.number)?;
        if !self.channels.reach(Channel::Sms) {
            return Err(Refusal::Unroutable);
        }
        let now = self.clock.now();
        let digits = request.number.digits();
        let [sequence] = clock::random_bytes();
        let price = account.prices.lookup(PriceItem::Sms, digits).times(request.parts);
        Ok(StartMessage {
            new: NewMessage {
                id: MessageId::compose(now, Bucket::of(account.id, digits), sequence),
                account: account.id,
                expires_at: now.after(request.lifetime.unwrap_or(self.message_lifetime)),
                parts: request.parts,
                price,
                text: request.text,
                unconfirmed: self.unconfirmed,
            },
            number: digits,
            keys: self.directories.number_keys(&request.number),
            details: MessageDetails {
                originator: request.originator.as_str().into_owned(),
                campaign: request.campaign,
                client_ref: request.client_ref,
                network: self.channels.network(),
                notify: request.notify,
            },
            nonce: u64::from_be_bytes(clock::random_bytes()),
            limits: account.limits,
            idempotency: request.idempotency,
            now,
            lease: lease(now),
        })
    }

    /// Answers a start that never reaches the store: a repeat is not refused for what has changed
    /// since it was first answered.
    async fn first_answer(
        &self,
        account: &Account,
        key: Option<IdempotencyKey>,
        refusal: Refusal,
    ) -> Result<Started, Denial> {
        let Some(key) = key else { return Err(refusal.into()) };
        match self.store.first_answer(account.id, key).await? {
            Some(answer) => Ok(answer?),
            None => Err(refusal.into()),
        }
    }

    /// Compares a code that a user typed.
    ///
    /// # Errors
    /// The engine refuses, or the store fails.
    pub async fn check(
        self: &Arc<Self>,
        account: &Account,
        id: VerificationId,
        typed: TypedCode,
    ) -> Result<Verdict, Denial> {
        let nonce = u64::from_be_bytes(clock::random_bytes());
        let now = self.clock.now();
        let check = CheckCode { account: account.id, id, typed, nonce, now };
        let driver = Arc::clone(self);
        finish(async move {
            let checked = driver.store.check(check).await??;
            driver.metrics.check(match checked.verdict {
                Verdict::Match => "match",
                Verdict::Mismatch { .. } => "mismatch",
            });
            driver.carry_out(checked.effects);
            Ok(checked.verdict)
        })
        .await
    }

    /// Ends a verification at its account's wish.
    ///
    /// # Errors
    /// The engine refuses, or the store fails.
    pub async fn cancel(
        self: &Arc<Self>,
        account: &Account,
        id: VerificationId,
    ) -> Result<(), Denial> {
        let nonce = u64::from_be_bytes(clock::random_bytes());
        let cancel = CancelVerification { account: account.id, id, nonce, now: self.clock.now() };
        let driver = Arc::clone(self);
        finish(async move {
            let effects = driver.store.cancel(cancel).await??;
            driver.carry_out(effects);
            Ok(())
        })
        .await
    }

    /// Keeps what an account says about its user, and counts it for the link that carried the
    /// code; false if the account has no such message or verification.
    ///
    /// # Errors
    /// The store fails.
    pub async fn convert(
        self: &Arc<Self>,
        account: &Account,
        subject: Subject,
        converted: bool,
        at: Timestamp,
    ) -> Result<bool, StoreError> {
        let conversion = Conversion { converted, at };
        let (driver, account) = (Arc::clone(self), account.id);
        finish(async move {
            let taken = driver.store.convert(account, subject, conversion).await?;
            let Some(taken) = taken else { return Ok(false) };
            driver.metrics.conversion(&Label::link(&taken.link), converted);
            driver.carry_out(taken.effects);
            Ok(true)
        })
        .await
    }

    /// Takes note of what a link did with an attempt, and of what the carrier calls its parts.
    ///
    /// # Errors
    /// The store fails; the attempt's lease will run out, and it is taken up again.
    pub async fn handle_submitted(
        self: &Arc<Self>,
        attempt: AttemptId,
        handover: Handover,
        parts: Vec<CarrierPart>,
    ) -> Result<(), StoreError> {
        let now = self.clock.now();
        let report = SubmitReport { attempt, handover, parts, now, lease: lease(now) };
        let effects = self.store.submitted(report).await?;
        self.carry_out(effects);
        Ok(())
    }

    /// Takes note of a delivery receipt, or of the call, of an attempt that its link knows by name.
    ///
    /// # Errors
    /// The store fails; whoever brought the receipt must bring it again.
    pub async fn handle_receipt(
        self: &Arc<Self>,
        attempt: AttemptId,
        link: &str,
        receipt: Option<Receipt>,
        call: Option<Call>,
    ) -> Result<(), StoreError> {
        let driver = Arc::clone(self);
        let told = finish(async move {
            let now = driver.clock.now();
            let seat = driver.webhooks.seat(now);
            let webhook_lease = seat.as_ref().map(Seat::lease);
            let lease = lease(now);
            let report = ReceiptReport { attempt, receipt, call, now, lease, webhook_lease };
            let effects = driver.store.receipt(report).await?;
            driver.carry_out_with(seat, effects);
            Ok::<_, StoreError>(())
        });
        told.await?;
        if let Some(receipt) = receipt {
            self.metrics.receipt(&Label::link(link), receipt.status.as_str());
        }
        Ok(())
    }

    /// Takes note of a delivery receipt that names its attempt as the carrier does, by any of
    /// `keys`, the best first. One for what the store cannot read is logged, counted and dropped:
    /// the carrier would bring it again for ever.
    ///
    /// # Errors
    /// The store fails; the carrier must bring the receipt again.
    pub async fn handle_carrier_receipt(
        self: &Arc<Self>,
        link: &str,
        keys: Vec<CarrierKey>,
        receipt: Receipt,
    ) -> Result<(), StoreError> {
        let driver = Arc::clone(self);
        let told = finish(async move {
            let now = driver.clock.now();
            let seat = driver.webhooks.seat(now);
            let webhook_lease = seat.as_ref().map(Seat::lease);
            let report = CarrierReceipt { keys, receipt, now, lease: lease(now), webhook_lease };
            let effects = driver.store.carrier_receipt(report).await?;
            driver.carry_out_with(seat, effects);
            Ok::<_, StoreError>(())
        });
        self.drop_unreadable(link, told.await)?;
        self.metrics.receipt(&Label::link(link), receipt.status.as_str());
        Ok(())
    }

    /// Lets a carrier have its answer where bringing something again would change nothing.
    fn drop_unreadable(&self, link: &str, taken: Result<(), StoreError>) -> Result<(), StoreError> {
        match taken {
            Err(error @ StoreError::Corrupt { .. }) => {
                tracing::error!(link, %error, "what a carrier brought is dropped");
                self.metrics.delivery_dropped(&Label::link(link));
                Ok(())
            }
            taken => taken,
        }
    }

    /// Wakes what is due and takes up sends that nobody has leased; answers how many there were.
    ///
    /// # Errors
    /// The store fails; the next call does what this one did not.
    pub async fn tick(self: &Arc<Self>) -> Result<usize, StoreError> {
        let _one_at_a_time = self.ticking.lock().await;
        let now = self.clock.now();
        let woken = self.store.wake(now, TICK_MAX).await?;
        self.carry_out(woken.effects);
        let claim = Claim { now, limit: TICK_MAX, lease: lease(now) };
        let jobs = self.store.claim_sends(claim).await?;
        let count = woken.count + jobs.len();
        for job in jobs {
            self.channels.dispatch(self, job, false);
        }
        Ok(count)
    }

    /// Does what is due, for as long as the store lives.
    pub async fn run(self: Arc<Self>) {
        loop {
            match self.tick().await {
                // There may be more of it.
                Ok(count) if count >= TICK_MAX => {}
                Ok(_) => self.clock.sleep_until(self.clock.now().after(TICK)).await,
                Err(StoreError::Stopped) => return,
                Err(error) => {
                    tracing::error!(%error, "cannot do what is due");
                    self.clock.sleep_until(self.clock.now().after(TICK_AFTER_FAILURE)).await;
                }
            }
        }
    }

    /// Does what an operation left to do, once it is durable. If it leased a webhook, and it leases
    /// one at most, that takes the seat for which it was leased.
    fn carry_out_with(self: &Arc<Self>, seat: Option<Seat<'_>>, mut effects: Effects) {
        if let (Some(seat), Some(job)) = (seat, effects.leased_webhooks.pop()) {
            seat.fill(job);
        }
        self.carry_out(effects);
    }

    /// Does what an operation left to do that leased no webhook.
    fn carry_out(self: &Arc<Self>, effects: Effects) {
        debug_assert!(
            effects.leased_webhooks.is_empty(),
            "nobody would send it until its lease ends"
        );
        for attempt in effects.withdrawals {
            self.channels.withdraw(attempt);
        }
        for job in effects.sends {
            self.channels.dispatch(self, job, true);
        }
        for outcome in effects.outcomes {
            self.metrics.outcome(outcome.as_str());
        }
        for news in effects.news {
            self.count(news);
        }
        if effects.webhooks {
            self.webhooks.notify();
        }
        if effects.opt_outs {
            self.directories.outdate();
        }
    }

    /// Counts what became known of an attempt for its route, link and country.
    fn count(&self, news: News) {
        let number = news.number.and_then(|digits| self.directories.number(digits));
        let country = number.map_or_else(String::new, |n| n.region().as_str().to_owned());
        let gate = self.channels.ways().gate(&news.link);
        let grade = gate.as_ref().map(|gate| gate.grade(&country)).unwrap_or_default();
        let network = gate.map_or_else(String::new, |gate| gate.link.network().to_owned());
        let News { channel, link, route, event, .. } = news;
        let route = route.unwrap_or_default();
        let key = FigureKey { route, link, channel, country, network, grade };
        self.quality.count(self.clock.now(), key, event);
    }
}

/// What can be decided without the store.
fn screen(account: &Account, number: &PhoneNumber) -> Result<(), Refusal> {
    if account.settings.suspended {
        return Err(Refusal::AccountSuspended);
    }
    if !account.countries.permits(number.region().as_str()) {
        return Err(Refusal::CountryRefused);
    }
    Ok(())
}

/// Lets an operation and what follows from it finish, also when whoever asked has hung up: what is
/// committed is leased to this process, and nobody else would send it before the lease runs out.
async fn finish<T: Send + 'static, E: From<StoreError> + Send + 'static>(
    operation: impl Future<Output = Result<T, E>> + Send + 'static,
) -> Result<T, E> {
    let panicked = || StoreError::Unavailable("the operation panicked".to_owned());
    tokio::spawn(operation).await.unwrap_or_else(|_| Err(panicked().into()))
}

fn lease(now: Timestamp) -> Lease {
    Lease { until: now.after(LEASE) }
}

/// How long a node has to send what it took up before others may.
const LEASE: Duration = Duration::from_mins(1);

/// How often the clock is looked at: a step is late by no more than this.
const TICK: Duration = Duration::from_millis(100);

const TICK_AFTER_FAILURE: Duration = Duration::from_secs(1);

/// How many machines and sends are taken up at once.
const TICK_MAX: usize = 500;
