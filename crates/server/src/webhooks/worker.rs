//! The worker of the outbox of webhooks: takes what is due, sends it, and settles it.

use std::sync::Arc;
use std::time::Duration;

use engine::Timestamp;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};

use super::render::{Rendered, render};
use super::schedule::{JITTER_MAX, Schedule};
use super::sender::{
    DeliveryResult, FailedReason, RefusedReason, Sender, SenderConfig, SenderError,
};
use super::traffic::{Leased, Limits, Traffic};
use crate::clock::{self, Stopwatch};
use crate::config::Config;
use crate::driver::Driver;
use crate::store::{Claim, Lease, Settlement, StoreError, WebhookEvent, WebhookJob};

/// Delivers webhooks for as long as the server runs, each at least once.
pub struct Worker {
    tries: Arc<Tries>,
    traffic: Traffic,
    /// Each answers with its webhook's id.
    under_way: JoinSet<(i64, u32)>,
    /// Longer than the slowest exchange.
    exchange_max: Duration,
    grace: Duration,
}

/// What a try to deliver needs.
struct Tries {
    driver: Arc<Driver>,
    sender: Sender,
    schedule: Schedule,
}

impl Worker {
    /// Builds a worker for the driver's outbox.
    ///
    /// # Errors
    /// The HTTP client cannot be built.
    pub fn new(driver: Arc<Driver>, config: &Config) -> Result<Self, SenderError> {
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
            traffic: Traffic::new(limits),
            under_way: JoinSet::new(),
            exchange_max: webhooks.connect_timeout.max(webhooks.answer_timeout),
            grace: config.server.shutdown_grace,
        })
    }

    /// Works until `stop` is true, then lets what is under way finish for as long as the
    /// configured grace. What is cut off then is delivered again after the next start.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let driver = Arc::clone(&self.tries.driver);
        loop {
            let look_again_at = self.take_up().await;
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => break,
                () = driver.webhooks.notified() => {}
                Some(done) = self.under_way.join_next() => self.finish(done),
                () = driver.clock.sleep_until(look_again_at) => {}
            }
            // Many may have ended by now: one look at the outbox serves them all.
            while let Some(done) = self.under_way.try_join_next() {
                self.finish(done);
            }
        }
        let drained = async { while self.under_way.join_next().await.is_some() {} };
        if tokio::time::timeout(self.grace, drained).await.is_err() {
            tracing::warn!("some webhooks were still under way; they are sent at the next start");
        }
    }

    /// Sends what may be sent; answers when to look again if nothing happens before.
    async fn take_up(&mut self) -> Timestamp {
        loop {
            let now = self.tries.driver.clock.now();
            // The last place is given away only after a look at the outbox: else those whose
            // webhooks are held back would pass it on among themselves.
            self.send_off(now, 1);
            let limit = self.traffic.room().min(CLAIM_MAX);
            if limit == 0 {
                return now.after(TICK);
            }
            let claimed = self.claim(now, limit).await;
            self.send_off(now, 0);
            match claimed {
                Ok(0) => return self.next_due(now).await.unwrap_or(now.after(TICK)),
                Ok(_) => {}
                Err(error) => {
                    tracing::error!(%error, "cannot take up webhooks");
                    return now.after(TICK);
                }
            }
        }
    }

    /// Sends what may be sent, but leaves so many places free.
    fn send_off(&mut self, now: Timestamp, places_kept: usize) {
        while self.traffic.room() > places_kept
            && let Some(job) = self.traffic.depart(now.after(self.exchange_max))
        {
            let tries = Arc::clone(&self.tries);
            self.under_way.spawn(async move {
                let this = (job.id, job.tries);
                tries.make(job).await;
                this
            });
        }
    }

    async fn claim(&mut self, now: Timestamp, limit: usize) -> Result<usize, StoreError> {
        let until = now.after(self.exchange_max + HELD_MAX);
        let claim = Claim { now, limit, lease: Lease { until } };
        let jobs = self.tries.driver.store.claim_webhooks(claim, self.traffic.busy()).await?;
        let count = jobs.len();
        for job in jobs {
            self.traffic.arrive(Leased { job, until });
        }
        Ok(count)
    }

    /// Returns when something comes due, if that is soon. What is due already waits for its
    /// endpoint, whose next free place is what to wait for.
    async fn next_due(&self, now: Timestamp) -> Option<Timestamp> {
        let due = self.tries.driver.store.next_due().await.ok()?.webhook?;
        (due > now).then(|| due.min(now.after(TICK)))
    }

    fn finish(&mut self, done: Result<(i64, u32), JoinError>) {
        match done {
            Ok((webhook, tries)) => self.traffic.finish(webhook, tries),
            // The state is on disk, and a clean start from it is the recovery that is tested.
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(_) => {}
        }
    }
}

impl Tries {
    /// Tries to deliver a webhook once, and settles it.
    async fn make(&self, job: WebhookJob) {
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
        self.settle(&job, settlement).await;
        if let Some(verdict) = verdict {
            self.driver.metrics.webhook(verdict);
        }
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

    /// Settles a webhook, more than once if the store is busy. If that fails, its lease is what
    /// keeps it from being sent again at once.
    async fn settle(&self, job: &WebhookJob, settlement: Settlement) {
        for tries_left in (0..SETTLE_TRIES).rev() {
            let settled =
                self.driver.store.settle_webhook(job.id, job.tries, settlement.clone()).await;
            let Err(error) = settled else {
                return;
            };
            if tries_left == 0 {
                tracing::error!(webhook.id = %name(job), %error, "cannot settle a webhook");
                return;
            }
            tokio::time::sleep(SETTLE_RETRY).await;
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

/// How many webhooks are taken up at once. Few enough that what is held back for one endpoint
/// stays small.
const CLAIM_MAX: usize = 64;

/// How long a webhook may be held back before it is left to the store again.
const HELD_MAX: Duration = Duration::from_secs(30);

/// How late a webhook may be of which nothing has told the worker, such as one that is replayed.
const TICK: Duration = Duration::from_millis(500);

const SETTLE_TRIES: u32 = 3;
const SETTLE_RETRY: Duration = Duration::from_secs(1);
