//! The sandbox network: a carrier of our own with virtual handsets, for development and tests.

mod inbox;
mod scenario;

use std::collections::BTreeMap;
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use engine::{AttemptId, Channel, ErrorCode, Receipt, ReceiptStatus, Timestamp};
use tokio::sync::Notify;

use super::{Dispatch, Link, Submission};
use crate::clock::Clock;
use crate::config::SandboxConfig;
use crate::driver::Driver;
use crate::seal::Sealer;

use inbox::Entry;
pub use inbox::{Call, Inbox, InboxError, Inboxes, Sms};
use scenario::Scenario;

/// The network and its handsets.
pub struct Sandbox {
    inboxes: Inboxes,
    clock: Clock,
    latency: Duration,
    pending: Mutex<Pending>,
    changed: Notify,
}

/// What the network will report, by when.
#[derive(Default)]
struct Pending {
    reports: BTreeMap<(Timestamp, u64), (AttemptId, Receipt)>,
    next: u64,
}

impl Sandbox {
    /// Opens the network's own file in the data directory, with every handset's inbox and the
    /// clock as they were.
    ///
    /// # Errors
    /// The file cannot be opened or read.
    pub fn open(
        dir: &Path,
        sealer: Sealer,
        clock: Clock,
        config: &SandboxConfig,
    ) -> Result<Self, InboxError> {
        let (inboxes, kept) = Inboxes::open(
            &dir.join("sandbox.db"),
            sealer,
            config.inbox_per_handset_max,
            config.messages_max,
        )?;
        clock.set_offset(kept.offset);
        let sandbox = Self {
            inboxes,
            clock,
            latency: config.latency,
            pending: Mutex::default(),
            changed: Notify::new(),
        };
        for (due_at, attempt, receipt) in kept.reports {
            sandbox.report_at(due_at, attempt, receipt);
        }
        Ok(sandbox)
    }

    /// Returns what a handset has received.
    ///
    /// # Errors
    /// An entry cannot be unsealed.
    pub fn inbox(&self, digits: u64) -> Result<Inbox, InboxError> {
        self.inboxes.inbox(digits)
    }

    /// Forgets what a handset has received.
    pub fn erase(&self, digits: u64) {
        self.inboxes.erase(digits);
    }

    /// Returns the attempt that brought a handset its last code.
    pub fn last_attempt(&self, digits: u64) -> Option<AttemptId> {
        self.inboxes.last_attempt(digits)
    }

    /// Reports what is due, for as long as the driver lives.
    pub async fn run(self: Arc<Self>, driver: Weak<Driver>) {
        loop {
            let changed = self.changed.notified();
            let next = self.next_due();
            match next {
                None => changed.await,
                Some(at) => tokio::select! {
                    () = self.clock.sleep_until(at) => {}
                    () = changed => continue,
                },
            }
            let Some(driver) = driver.upgrade() else { return };
            self.report_due(&driver).await;
        }
    }

    /// Moves the clock forward, stopping wherever something is due, so that it happens in order;
    /// answers when everything due by then has been taken up.
    ///
    /// # Errors
    /// The store fails; the clock may have been moved part of the way.
    pub async fn advance(
        &self,
        driver: &Arc<Driver>,
        step: Duration,
    ) -> Result<Timestamp, crate::store::StoreError> {
        let target = self.clock.now().after(step);
        loop {
            self.settle(driver).await?;
            let due = driver.store.next_due().await?;
            let next = [due.machine, due.send, self.next_due()].into_iter().flatten().min();
            let now = self.clock.now();
            let Some(next) = next.filter(|next| *next <= target) else { break };
            self.clock.advance(next.since(now));
        }
        self.clock.advance(target.since(self.clock.now()));
        self.settle(driver).await?;
        self.inboxes.keep_offset(self.clock.offset());
        driver.webhooks.notify_one();
        Ok(self.clock.now())
    }

    /// Does what is due until nothing is.
    async fn settle(&self, driver: &Arc<Driver>) -> Result<(), crate::store::StoreError> {
        loop {
            let mut count = driver.tick().await?;
            while driver.channels.in_flight() > 0 {
                tokio::time::sleep(SETTLE_POLL).await;
            }
            count += self.report_due(driver).await;
            if count == 0 && driver.channels.in_flight() == 0 {
                return Ok(());
            }
        }
    }

    async fn report_due(&self, driver: &Arc<Driver>) -> usize {
        let mut count = 0;
        while let Some((key, attempt, receipt)) = self.take_due() {
            count += 1;
            match driver.handle_receipt(attempt, NAME, receipt).await {
                Ok(()) => self.inboxes.reported(attempt, receipt),
                Err(error) => {
                    tracing::warn!(attempt.id = %attempt, %error, "a receipt must wait");
                    let later = key.after(REPORT_RETRY).max(self.clock.now().after(REPORT_RETRY));
                    self.report_at(later, attempt, receipt);
                }
            }
        }
        count
    }

    fn take_due(&self) -> Option<(Timestamp, AttemptId, Receipt)> {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        let first = pending.reports.first_entry()?;
        let (at, _) = *first.key();
        if at > self.clock.now() {
            return None;
        }
        let (attempt, receipt) = first.remove();
        Some((at, attempt, receipt))
    }

    fn next_due(&self) -> Option<Timestamp> {
        let pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        pending.reports.first_key_value().map(|((at, _), _)| *at)
    }

    fn report_at(&self, at: Timestamp, attempt: AttemptId, receipt: Receipt) {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        pending.next += 1;
        let key = (at, pending.next);
        pending.reports.insert(key, (attempt, receipt));
        let is_first = pending.reports.first_key_value().is_some_and(|(first, _)| *first == key);
        drop(pending);
        if is_first {
            self.changed.notify_one();
        }
    }

    async fn take(&self, dispatch: Dispatch) -> Submission {
        let scenario = Scenario::of(dispatch.number);
        let now = self.clock.now();
        if scenario == Scenario::CarrierDown {
            return Submission::NotSent;
        }
        if scenario == Scenario::Rejected {
            return Submission::Rejected(ErrorCode::ABSENT_PERMANENT);
        }
        let reports: Vec<(Timestamp, Receipt)> = scenario
            .reports(dispatch.channel)
            .into_iter()
            .map(|report| (now.after(self.latency + report.after), report.receipt))
            .collect();
        let reaches = scenario.reaches(dispatch.channel);
        let entry = Entry::new(&dispatch, now, self.latency, reaches, reports.clone());
        match self.inboxes.deliver(entry).await {
            // After a crash the same attempt can come again; the handset rings once all the same.
            Ok(false) => return Submission::Accepted,
            Ok(true) => {}
            Err(error) => {
                tracing::error!(%error, "the sandbox cannot write its file");
                return Submission::NotSent;
            }
        }
        for (at, receipt) in reports {
            let at = if scenario == Scenario::ReceiptFirst { now } else { at };
            self.report_at(at, dispatch.attempt, receipt);
        }
        if scenario == Scenario::ReceiptFirst {
            // The confirmation comes well after the receipt.
            tokio::time::sleep(CONFIRMATION_DELAY).await;
        }
        Submission::Accepted
    }
}

impl Link for Sandbox {
    fn name(&self) -> &str {
        NAME
    }

    fn carries(&self, channel: Channel) -> bool {
        match channel {
            Channel::Sms | Channel::Voice => true,
        }
    }

    fn submit(&self, dispatch: Dispatch) -> Pin<Box<dyn Future<Output = Submission> + Send + '_>> {
        Box::pin(self.take(dispatch))
    }

    fn withdraw(&self, attempt: AttemptId) {
        self.inboxes.hang_up(attempt, self.clock.now());
    }

    fn network(&self) -> &str {
        NETWORK
    }
}

/// What the network reports, and how long after the usual delay.
#[derive(Clone, Copy, Debug)]
struct Report {
    after: Duration,
    receipt: Receipt,
}

impl Report {
    const fn new(after: Duration, status: ReceiptStatus, error: ErrorCode) -> Self {
        Self { after, receipt: Receipt { status, error } }
    }
}

const NAME: &str = "sandbox";

/// MCC 001 is for tests (ITU-T E.212).
const NETWORK: &str = "00101";

const REPORT_RETRY: Duration = Duration::from_secs(1);

const SETTLE_POLL: Duration = Duration::from_millis(1);

const CONFIRMATION_DELAY: Duration = Duration::from_millis(200);
