//! The sandbox network: a carrier of our own with virtual handsets, for development and tests.

mod audio;
mod entry;
mod handset;
mod inbox;
mod scenario;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use engine::{AttemptId, Channel, ErrorCode, Receipt, ReceiptStatus, Timestamp, VerificationId};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use voice::speech::SpeechError;

use super::{Dispatch, Link, LinkState, Standing, Submission};
use crate::clock::Clock;
use crate::config::SandboxConfig;
use crate::driver::Driver;
use crate::seal::Sealer;
use crate::speech::Voices;
use crate::store::StoreError;

use entry::{Entry, Times};
pub use handset::send;
pub use inbox::{Call, Heard, Inbox, InboxError, Inboxes, Sms};
use scenario::Scenario;

/// The network and its handsets.
pub struct Sandbox {
    inboxes: Inboxes,
    clock: Clock,
    voices: Arc<Voices>,
    latency: Duration,
    started_at: Timestamp,
    pending: Mutex<Pending>,
    changed: Notify,
    /// Held by who reports.
    reporting: tokio::sync::Mutex<()>,
    /// Held by who moves the clock.
    turn: tokio::sync::Mutex<()>,
    /// How many moves of the clock go on or wait.
    moves: AtomicUsize,
}

/// Why the clock was not moved as far as was asked.
#[derive(Debug, thiserror::Error)]
pub enum AdvanceError {
    /// The store fails.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It cannot be kept how far the clock is ahead.
    #[error(transparent)]
    File(#[from] InboxError),
    /// The server has ended.
    #[error("move the clock: the server has stopped")]
    Stopped,
}

/// Why it cannot be rendered what a handset heard.
#[derive(Debug, thiserror::Error)]
pub enum AudioError {
    /// The call cannot be read.
    #[error(transparent)]
    Inbox(#[from] InboxError),
    /// There is no voice.
    #[error("speak: {0}")]
    Speech(#[from] SpeechError),
}

/// A move of the clock that goes on or waits, told by [`Sandbox::is_moving`] until it is dropped.
struct Moving {
    sandbox: Arc<Sandbox>,
}

impl Moving {
    fn begin(sandbox: Arc<Sandbox>) -> Self {
        sandbox.moves.fetch_add(1, Ordering::AcqRel);
        Self { sandbox }
    }
}

impl Drop for Moving {
    fn drop(&mut self) {
        self.sandbox.moves.fetch_sub(1, Ordering::AcqRel);
    }
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
        voices: Arc<Voices>,
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
            started_at: clock.now(),
            clock,
            voices,
            latency: config.latency,
            pending: Mutex::default(),
            changed: Notify::new(),
            reporting: tokio::sync::Mutex::default(),
            turn: tokio::sync::Mutex::default(),
            moves: AtomicUsize::new(0),
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

    /// Renders what a handset heard of a call, as a WAV file; `None` if it has had no such call, or
    /// nobody answered.
    ///
    /// # Errors
    /// An entry cannot be unsealed, or there is no voice.
    pub async fn audio(&self, digits: u64, call: &str) -> Result<Option<Vec<u8>>, AudioError> {
        let inbox = self.inboxes.inbox(digits)?;
        let call = inbox.calls.into_iter().find(|known| known.id == call);
        let Some(Heard { spoken, pickup, length_max }) = call.and_then(|call| call.heard) else {
            return Ok(None);
        };
        Ok(Some(audio::heard(&self.voices, &spoken, pickup, length_max).await?))
    }

    /// Returns what speaks codes.
    pub fn voices(&self) -> &Arc<Voices> {
        &self.voices
    }

    /// Forgets what a handset has received.
    pub fn erase(&self, digits: u64) {
        self.inboxes.erase(digits);
    }

    /// Returns the verification that a handset has last heard of.
    pub fn last_verification(&self, digits: u64) -> Option<VerificationId> {
        self.inboxes.last_verification(digits)
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
            self.report_due(&driver, self.clock.now()).await;
        }
    }

    /// Moves the clock forward, stopping wherever something is due, so that it happens in order;
    /// answers when everything due by then has been taken up. Of several moves one is made after
    /// the other. What is begun is finished: to drop the answer does not stop it.
    ///
    /// # Errors
    /// See [`AdvanceError`]; the clock may have been moved part of the way.
    pub async fn advance(
        self: &Arc<Self>,
        driver: &Arc<Driver>,
        step: Duration,
    ) -> Result<Timestamp, AdvanceError> {
        // A guard of its own, so that a move that waits for another is told as well.
        let moving = Moving::begin(Arc::clone(self));
        let driver = Arc::downgrade(driver);
        let task = tokio::spawn(async move { moving.sandbox.move_clock(&driver, step).await });
        task.await.unwrap_or(Err(AdvanceError::Stopped))
    }

    /// Whether the clock is being moved.
    pub fn is_moving(&self) -> bool {
        self.moves.load(Ordering::Acquire) > 0
    }

    async fn move_clock(
        &self,
        driver: &Weak<Driver>,
        step: Duration,
    ) -> Result<Timestamp, AdvanceError> {
        let _turn = self.turn.lock().await;
        let target = self.clock.now().after(step);
        let mut stop_from = self.clock.now();
        loop {
            // Upgraded for each stop, so that a long move does not outlive the server.
            let driver = driver.upgrade().ok_or(AdvanceError::Stopped)?;
            let now = self.clock.now();
            let rested = self.settle(&driver).await?;
            if now >= target {
                driver.webhooks.notify();
                return Ok(self.clock.now());
            }
            let next = self.first_due(&driver).await?.map_or(target, |next| next.max(stop_from));
            stop_from = next.after(if rested { STOPS_APART } else { BUSY_STOPS_APART });
            let ahead = next.min(target).since(self.clock.now());
            // Kept first: after a crash in between, time has been moved, but never goes back.
            self.inboxes.keep_offset(self.clock.offset().saturating_add(ahead)).await?;
            self.clock.advance(ahead);
        }
    }

    async fn first_due(&self, driver: &Driver) -> Result<Option<Timestamp>, StoreError> {
        let due = driver.store.next_due().await?;
        Ok([due.machine, due.send, self.next_due()].into_iter().flatten().min())
    }

    /// Does what is due, and what follows from it, until nothing is left; false if clients begin
    /// so much meanwhile that this does not come to rest, where only what was due is waited for.
    async fn settle(&self, driver: &Arc<Driver>) -> Result<bool, StoreError> {
        let mut rounds = 0;
        loop {
            rounds += 1;
            let by = self.clock.now();
            let mut count = driver.tick().await?;
            // Not for all of them: those that clients begin from now on may never end.
            let mut begun: HashSet<_> = driver.channels.attempts_in_flight().into_iter().collect();
            count += begun.len();
            while !begun.is_empty() {
                tokio::time::sleep(SETTLE_POLL).await;
                let present = driver.channels.attempts_in_flight();
                begun = present.into_iter().filter(|attempt| begun.contains(attempt)).collect();
            }
            count += self.report_due(driver, by).await;
            if self.first_due(driver).await?.is_some_and(|next| next <= by) {
                continue;
            }
            if count == 0 || rounds >= SETTLE_ROUNDS_MAX {
                return Ok(count == 0);
            }
        }
    }

    /// Reports what is due by `by`, and answers how many reports there were.
    async fn report_due(&self, driver: &Arc<Driver>, by: Timestamp) -> usize {
        let mut count = 0;
        loop {
            // Who finds nothing due must know that nobody else is still reporting it.
            let _turn = self.reporting.lock().await;
            let batch = self.take_due(by);
            if batch.is_empty() {
                return count;
            }
            count += batch.len();
            let mut reports = JoinSet::new();
            for (attempt, receipt) in batch {
                let driver = Arc::clone(driver);
                reports.spawn(async move {
                    let told = driver.handle_receipt(attempt, NAME, Some(receipt), None).await;
                    (attempt, receipt, told)
                });
            }
            while let Some(done) = reports.join_next().await {
                match done {
                    Ok((attempt, receipt, Ok(()))) => self.inboxes.reported(attempt, receipt),
                    Ok((attempt, receipt, Err(error))) => {
                        tracing::warn!(attempt.id = %attempt, %error, "a receipt must wait");
                        self.report_at(self.clock.now().after(REPORT_RETRY), attempt, receipt);
                    }
                    Err(error) => tracing::error!(%error, "a receipt is lost until a restart"),
                }
            }
        }
    }

    /// Takes what is due by `by`, at most one report of an attempt and [`REPORTS_AT_ONCE`].
    fn take_due(&self, by: Timestamp) -> HashMap<AttemptId, Receipt> {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        let mut batch = HashMap::new();
        while batch.len() < REPORTS_AT_ONCE
            && let Some(first) = pending.reports.first_entry()
            && first.key().0 <= by
            && !batch.contains_key(&first.get().0)
        {
            let (attempt, receipt) = first.remove();
            batch.insert(attempt, receipt);
        }
        batch
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
            return not_sent("its carrier is down");
        }
        dispatch.timing.written(NAME);
        if scenario == Scenario::Rejected {
            return Submission::Rejected(ErrorCode::ABSENT_PERMANENT);
        }
        let wishes = dispatch.spoken.as_ref().map(|spoken| spoken.wishes).unwrap_or_default();
        let manner = self.voices.manner(wishes);
        let reports: Vec<(Timestamp, Receipt)> = scenario
            .reports(dispatch.channel, manner.gate)
            .into_iter()
            .map(|report| (now.after(self.latency + report.after), report.receipt))
            .collect();
        let reaches = scenario.reaches(dispatch.channel);
        let times = Times { now, latency: self.latency };
        let entry =
            Entry::new(&dispatch, times, reaches, scenario.pickup(), manner, reports.clone());
        match self.inboxes.deliver(entry).await {
            // After a crash the same attempt can come again; the handset rings once all the same.
            Ok(false) => return Submission::Accepted(Vec::new()),
            Ok(true) => {}
            Err(error) => {
                tracing::error!(%error, "the sandbox cannot write its file");
                return not_sent("it cannot write its file");
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
        Submission::Accepted(Vec::new())
    }
}

fn not_sent(reason: &str) -> Submission {
    Submission::NotSent { reason: reason.to_owned(), retry_after: None }
}

impl Link for Sandbox {
    fn name(&self) -> &str {
        NAME
    }

    fn kind(&self) -> &'static str {
        NAME
    }

    fn ready(&self) -> Result<(), String> {
        Ok(())
    }

    fn state(&self) -> LinkState {
        LinkState {
            standing: Standing::Up,
            since: self.started_at,
            last_error: None,
            in_flight: 0,
            connections: (1, 1),
        }
    }

    fn close(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(std::future::ready(()))
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

/// What follows from what was due is a chain of at most so many links: a step's send is rejected,
/// and so is the next one's.
const SETTLE_ROUNDS_MAX: u32 = 4;

/// The clock stops no more often than the driver looks at it.
const STOPS_APART: Duration = Duration::from_millis(100);

/// Under load there is no order to keep between clients, and something is due all the time.
const BUSY_STOPS_APART: Duration = Duration::from_secs(1);

/// So many receipts share a commit of the store.
const REPORTS_AT_ONCE: usize = 64;

const CONFIRMATION_DELAY: Duration = Duration::from_millis(200);
