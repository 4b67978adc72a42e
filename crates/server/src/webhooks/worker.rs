//! The worker of the outbox of webhooks: takes what is due, sends it, and settles it.

use std::sync::Arc;
use std::time::Duration;

use engine::Timestamp;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};

use super::inlet::{Arrivals, exchange_max, lease};
use super::render::{Rendered, render};
use super::schedule::{JITTER_MAX, Schedule};
use super::sender::{
    DeliveryResult, FailedReason, RefusedReason, Sender, SenderConfig, SenderError,
};
use super::traffic::{Leased, Limits, Traffic};
use crate::clock::{self, Stopwatch};
use crate::config::Config;
use crate::driver::Driver;
use crate::store::{
    Claim, Lease, SettledTry, Settlement, Store, StoreError, WebhookEvent, WebhookJob,
};

/// Delivers webhooks for as long as the server runs, each at least once.
pub struct Worker {
    tries: Arc<Tries>,
    arrivals: Arrivals,
    traffic: Traffic,
    under_way: JoinSet<Ended>,
    /// What has ended and waits to be settled.
    unsettled: Vec<(SettledTry, Option<Verdict>)>,
    /// Whether others are being settled. One operation at a time: while it is being written, more
    /// end, and the next one settles all of them.
    is_settling: bool,
    /// Whether a look at the outbox is under way.
    is_looking: bool,
    /// When to look at the outbox again, if nothing happens before.
    look_at: Timestamp,
    /// When to look again after the store has failed, whatever happens.
    rest_until: Timestamp,
    /// Whether something that is due may be waiting there, for want of room.
    has_backlog: bool,
    exchange_max: Duration,
    lease: Duration,
    grace: Duration,
}

/// What a look at the outbox has found.
enum Look {
    /// These are due; there may be more.
    Claimed(Vec<Leased>),
    /// Nothing that could be sent now. The next is due then, which is in the past if it waits for
    /// its endpoint.
    Nothing { now: Timestamp, due_at: Option<Timestamp> },
    /// The store did not answer.
    Failed(StoreError),
}

/// What a try is counted as.
type Verdict = &'static str;

/// What the worker's tasks end with.
enum Ended {
    /// A look at the outbox.
    Look(Look),
    /// An endpoint has answered, or there was nothing to send.
    Try(SettledTry, Option<Verdict>),
    /// These are settled.
    Settled(Vec<(i64, u32)>),
}

/// What a try to deliver needs.
struct Tries {
    driver: Arc<Driver>,
    sender: Sender,
    schedule: Schedule,
}

impl Worker {
    /// Builds a worker for the driver's outbox and inlet.
    ///
    /// # Errors
    /// The HTTP client cannot be built.
    pub fn new(
        driver: Arc<Driver>,
        arrivals: Arrivals,
        config: &Config,
    ) -> Result<Self, SenderError> {
        let webhooks = &config.webhooks;
        let sender = Sender::new(SenderConfig {
            connect_timeout: webhooks.connect_timeout,
            // The configuration limits the whole exchange.
            answer_timeout: webhooks.answer_timeout.saturating_sub(webhooks.connect_timeout),
            allow_private: webhooks.allow_private,
            ..SenderConfig::default()
        })?;
        let limits = Limits {
            in_flight: webhooks.in_flight_max,
            per_account: webhooks.per_account_max,
            per_endpoint: webhooks.per_endpoint_max,
        };
        let schedule = Schedule { waits: webhooks.schedule, give_up: webhooks.give_up };
        Ok(Self {
            tries: Arc::new(Tries { driver, sender, schedule }),
            arrivals,
            traffic: Traffic::new(limits),
            under_way: JoinSet::new(),
            unsettled: Vec::new(),
            is_settling: false,
            is_looking: false,
            look_at: AT_ONCE,
            rest_until: AT_ONCE,
            has_backlog: false,
            exchange_max: exchange_max(webhooks),
            lease: lease(webhooks),
            grace: config.server.shutdown_grace,
        })
    }

    /// Works until `stop` is true, then lets what is under way finish for as long as the
    /// configured grace. What is cut off then is delivered again after the next start.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let driver = Arc::clone(&self.tries.driver);
        loop {
            let now = driver.clock.now();
            // While others wait on the outbox, the last place is kept for what a look finds: else
            // those whose webhooks are held back would pass it on among themselves.
            self.send_off(now, usize::from(self.has_backlog));
            self.settle();
            self.look(now);
            self.arrivals.set_open(!self.has_backlog && self.traffic.held() < HELD_BACK_MAX);
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => break,
                arrival = self.arrivals.next() => match arrival {
                    Some(leased) => self.traffic.arrive(leased),
                    None => self.look_at = AT_ONCE,
                },
                Some(ended) = self.under_way.join_next() => self.finish(ended),
                () = driver.clock.sleep_until(self.look_at.max(self.rest_until)),
                    if !self.is_looking => {}
            }
            // Much may have happened by now: one look serves it all.
            while let Some(leased) = self.arrivals.try_next() {
                self.traffic.arrive(leased);
            }
            while let Some(ended) = self.under_way.try_join_next() {
                self.finish(ended);
            }
        }
        self.arrivals.set_open(false);
        let grace = self.grace;
        let drained = async {
            while let Some(ended) = self.under_way.join_next().await {
                // What a look finds now is left to the next start.
                if !matches!(ended, Ok(Ended::Look(_))) {
                    self.finish(ended);
                }
                self.settle();
            }
        };
        if tokio::time::timeout(grace, drained).await.is_err() {
            tracing::warn!("some webhooks were still under way; they are sent at the next start");
        }
    }

    /// Begins to look at the outbox, if it is time and there is room for what is found.
    fn look(&mut self, now: Timestamp) {
        if self.is_looking || self.look_at.max(self.rest_until) > now {
            return;
        }
        let limit = self.traffic.room().min(CLAIM_MAX);
        if limit == 0 {
            self.has_backlog = true;
            self.look_at = now.after(TICK);
            return;
        }
        self.is_looking = true;
        let until = now.after(self.lease);
        let claim = Claim { now, limit, lease: Lease { until } };
        let busy = self.traffic.busy();
        let store = Arc::clone(&self.tries.driver.store);
        self.under_way.spawn(async move {
            let found = match store.claim_webhooks(claim, busy).await {
                Ok(jobs) if jobs.is_empty() => match store.next_due().await {
                    Ok(due) => Look::Nothing { now, due_at: due.webhook },
                    Err(error) => Look::Failed(error),
                },
                Ok(jobs) => {
                    Look::Claimed(jobs.into_iter().map(|job| Leased { job, until }).collect())
                }
                Err(error) => Look::Failed(error),
            };
            Ended::Look(found)
        });
        // Whoever tells of more from here on is told of by another look.
        self.look_at = now.after(TICK);
    }

    fn looked(&mut self, found: Look) {
        self.is_looking = false;
        let now = self.tries.driver.clock.now();
        match found {
            Look::Claimed(jobs) => {
                for leased in jobs {
                    self.traffic.arrive(leased);
                }
                self.has_backlog = true;
                self.look_at = AT_ONCE;
            }
            Look::Nothing { now, due_at } => {
                self.has_backlog = due_at.is_some_and(|due_at| due_at <= now);
                if let Some(due_at) = due_at.filter(|due_at| *due_at > now) {
                    self.look_at = self.look_at.min(due_at);
                }
            }
            Look::Failed(error) => {
                tracing::error!(%error, "cannot take up webhooks");
                self.has_backlog = true;
                self.rest_until = now.after(TICK);
            }
        }
        // Whatever it has found, nobody else wants the last place now.
        self.send_off(now, 0);
    }

    /// Sends what may be sent, but leaves so many places free.
    fn send_off(&mut self, now: Timestamp, places_kept: usize) {
        while self.traffic.room() > places_kept
            && let Some(job) = self.traffic.depart(now.after(self.exchange_max))
        {
            let tries = Arc::clone(&self.tries);
            self.under_way.spawn(async move {
                let (settled, verdict) = tries.make(job).await;
                Ended::Try(settled, verdict)
            });
        }
    }

    /// Begins to settle what has ended, unless others are being settled.
    fn settle(&mut self) {
        if self.is_settling || self.unsettled.is_empty() {
            return;
        }
        self.is_settling = true;
        let count = self.unsettled.len().min(SETTLED_MAX);
        let (settled, verdicts): (Vec<_>, Vec<_>) = self.unsettled.drain(..count).unzip();
        let driver = Arc::clone(&self.tries.driver);
        self.under_way.spawn(async move {
            let which = settled.iter().map(|one| (one.id, one.tries)).collect();
            settle(&*driver.store, settled.into()).await;
            for verdict in verdicts.into_iter().flatten() {
                driver.metrics.webhook(verdict);
            }
            Ended::Settled(which)
        });
    }

    fn finish(&mut self, ended: Result<Ended, JoinError>) {
        match ended {
            Ok(Ended::Look(found)) => return self.looked(found),
            Ok(Ended::Try(settled, verdict)) => {
                self.traffic.answer(settled.id, settled.tries);
                self.unsettled.push((settled, verdict));
            }
            Ok(Ended::Settled(which)) => {
                self.is_settling = false;
                let had_room = self.traffic.room() > 0;
                for (id, tries) in which {
                    self.traffic.finish(id, tries);
                }
                if had_room {
                    return;
                }
            }
            // The state is on disk, and a clean start from it is the recovery that is tested.
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(_) => {}
        }
        if self.has_backlog {
            // There is room for some of it now.
            self.look_at = AT_ONCE;
        }
    }
}

impl Tries {
    /// Tries to deliver a webhook once; answers what became of it, and what to count it as.
    async fn make(&self, job: WebhookJob) -> (SettledTry, Option<Verdict>) {
        let stopwatch = Stopwatch::start();
        let directory = self.driver.directories.current();
        let rendered = render(&job, &directory, self.driver.clock.now());
        drop(directory);
        let (settlement, verdict) = match rendered {
            Rendered::Request(request) => {
                let result = self.sender.send(request).await;
                let settlement = self.judge(&job, result);
                log(&job, result, &settlement, stopwatch.elapsed());
                let verdict = match &settlement {
                    Settlement::Done => "delivered",
                    Settlement::Retry { .. } => "retry",
                    Settlement::Dead { .. } => "dead",
                };
                (settlement, Some(verdict))
            }
            Rendered::Unwanted => (Settlement::Done, None),
            Rendered::Unsigned => {
                tracing::warn!(webhook.id = %name(&job), "there is no key to sign a webhook with");
                (self.dead("the account has no key to sign it with"), Some("dead"))
            }
        };
        (SettledTry { id: job.id, tries: job.tries, settlement }, verdict)
    }

    fn judge(&self, job: &WebhookJob, result: DeliveryResult) -> Settlement {
        let (reason, retry_after) = match result {
            DeliveryResult::Delivered(_) => return Settlement::Done,
            DeliveryResult::Gone => match &job.event {
                WebhookEvent::Outcome { .. } => {
                    return self.dead("the receiver wants no more (got 410)");
                }
                // The vendor promises to repeat a receipt for days, whatever the answer says; that
                // 410 means the end is a rule of Standard Webhooks, which outcomes follow.
                WebhookEvent::Receipt { .. } | WebhookEvent::Inbound(_) => {
                    (FailedReason::Status(410), None)
                }
            },
            DeliveryResult::Refused { reason: RefusedReason::Url(problem) } => {
                return self.dead(&format!("cannot {problem}"));
            }
            DeliveryResult::Refused { reason: RefusedReason::Malformed } => {
                return self.dead(&format!("cannot {}", RefusedReason::Malformed));
            }
            DeliveryResult::Failed { reason, retry_after } => (reason, retry_after),
        };
        let error = format!("cannot {reason}");
        let now = self.driver.clock.now();
        let jitter = clock::uniform_below(JITTER_MAX + 1);
        let asked = retry_after.map(|seconds| Duration::from_secs(u64::from(seconds)));
        let tries = job.tries.saturating_add(1);
        let schedule = match &job.event {
            WebhookEvent::Receipt { .. } | WebhookEvent::Outcome { .. } => self.schedule,
            WebhookEvent::Inbound(_) => self.schedule.of_inbound(),
        };
        match schedule.next(job.created_at, tries, now, jitter, asked) {
            Some(due_at) => Settlement::Retry { due_at, error },
            None => Settlement::Dead { at: now, error },
        }
    }

    fn dead(&self, error: &str) -> Settlement {
        Settlement::Dead { at: self.driver.clock.now(), error: error.to_owned() }
    }
}

/// Settles webhooks, however often the store has to be asked: to give up would send all of them
/// again. Meanwhile so many wait that no more are sent.
async fn settle(store: &dyn Store, settled: Arc<[SettledTry]>) {
    while let Err(error) = store.settle_webhooks(Arc::clone(&settled)).await {
        match error {
            StoreError::Busy { .. } | StoreError::Unavailable(_) => {
                tracing::warn!(count = settled.len(), %error, "cannot settle webhooks yet");
                tokio::time::sleep(SETTLE_RETRY).await;
            }
            StoreError::Stopped | StoreError::Corrupt { .. } => {
                tracing::error!(count = settled.len(), %error, "cannot settle webhooks");
                return;
            }
        }
    }
}

/// The URL is not logged: its query, if not its path, is the account's secret.
fn log(job: &WebhookJob, result: DeliveryResult, settlement: &Settlement, elapsed: Duration) {
    let duration_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
    let status = match result {
        DeliveryResult::Delivered(status)
        | DeliveryResult::Failed { reason: FailedReason::Status(status), .. } => Some(status),
        DeliveryResult::Gone => Some(410),
        DeliveryResult::Failed { .. } | DeliveryResult::Refused { .. } => None,
    };
    let webhook = name(job);
    match settlement {
        Settlement::Done => {
            tracing::debug!(webhook.id = %webhook, status, duration_ms, "a webhook was delivered");
        }
        Settlement::Retry { error, .. } => {
            tracing::debug!(webhook.id = %webhook, status, duration_ms, %error, "a webhook failed");
        }
        Settlement::Dead { error, .. } => {
            tracing::warn!(webhook.id = %webhook, status, duration_ms, %error, "a webhook is dead");
        }
    }
}

/// What a webhook is about: the name that its account and its operator both know it by.
fn name(job: &WebhookJob) -> String {
    match &job.event {
        WebhookEvent::Receipt { message, part, .. } => message.record.id.part(*part),
        WebhookEvent::Outcome { verification, .. } => verification.record.id.to_string(),
        WebhookEvent::Inbound(message) => message.id.to_string(),
    }
}

/// How many webhooks are taken up at once. Chosen: with a quarter of it, the looks did not keep up
/// with the receipts of a server under full load; as one operation it makes a start wait for some
/// milliseconds at most.
const CLAIM_MAX: usize = 256;

/// How many may be held back before no more seats are given: as many as a look takes up.
const HELD_BACK_MAX: usize = CLAIM_MAX;

/// Before any time that the clock tells.
const AT_ONCE: Timestamp = Timestamp::from_millis(0);

/// How late a webhook may be of which nothing has told the worker, such as one that is replayed.
const TICK: Duration = Duration::from_millis(500);

/// How many are settled in one operation. Chosen as [`CLAIM_MAX`].
const SETTLED_MAX: usize = 256;

const SETTLE_RETRY: Duration = Duration::from_secs(1);
