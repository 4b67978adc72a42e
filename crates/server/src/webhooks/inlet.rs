//! How the worker hears of webhooks, and their short way to it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use engine::Timestamp;
use tokio::sync::Notify;
use tokio::sync::mpsc::{self, Permit, Receiver, Sender};

use super::traffic::Leased;
use crate::config::WebhooksConfig;
use crate::store::{Lease, WebhookJob};

/// Where webhooks are brought to the worker.
///
/// While nothing waits on the outbox, the turn that makes a webhook leases it to this node, and it
/// is brought here without being claimed. Once something waits, everything goes by way of the
/// outbox, which knows whose turn it is.
pub struct Inlet {
    door: Arc<Door>,
    places: Sender<Leased>,
    lease: Duration,
}

/// The worker's side of it.
pub struct Arrivals {
    door: Arc<Door>,
    brought: Receiver<Leased>,
}

struct Door {
    waiting: Notify,
    is_open: AtomicBool,
}

/// A place at the worker for one webhook.
pub struct Place<'a> {
    permit: Permit<'a, Leased>,
    lease: Lease,
}

impl Inlet {
    /// Makes one for a worker that keeps to these settings.
    pub fn new(settings: &WebhooksConfig) -> (Self, Arrivals) {
        let (places, brought) = mpsc::channel(PLACES);
        let door = Arc::new(Door { waiting: Notify::new(), is_open: AtomicBool::new(false) });
        let inlet = Self { door: Arc::clone(&door), places, lease: lease(settings) };
        (inlet, Arrivals { door, brought })
    }

    /// Tells that webhooks wait on the outbox.
    pub fn notify(&self) {
        self.door.waiting.notify_one();
    }

    /// Returns a place for a webhook that may come about at `now`, if one is free.
    pub fn place(&self, now: Timestamp) -> Option<Place<'_>> {
        if !self.door.is_open.load(Ordering::Acquire) {
            return None;
        }
        let permit = self.places.try_reserve().ok()?;
        Some(Place { permit, lease: Lease { until: now.after(self.lease) } })
    }
}

impl Place<'_> {
    /// Returns the lease under which the webhook is to be made.
    pub fn lease(&self) -> Lease {
        self.lease
    }

    /// Brings the webhook to the worker.
    pub fn fill(self, job: WebhookJob) {
        self.permit.send(Leased { job, until: self.lease.until });
    }
}

impl Arrivals {
    /// Waits until webhooks are told of (`None`) or brought.
    pub(super) async fn next(&mut self) -> Option<Leased> {
        tokio::select! {
            () = self.door.waiting.notified() => None,
            Some(leased) = self.brought.recv() => Some(leased),
        }
    }

    /// Returns what has been brought.
    pub(super) fn try_next(&mut self) -> Option<Leased> {
        self.brought.try_recv().ok()
    }

    /// Says whether the short way may be taken.
    pub(super) fn set_open(&self, is_open: bool) {
        self.door.is_open.store(is_open, Ordering::Release);
    }
}

/// How long one exchange may take.
pub(super) fn exchange_max(settings: &WebhooksConfig) -> Duration {
    settings.connect_timeout.max(settings.answer_timeout)
}

/// How long webhooks are leased to this node.
pub(super) fn lease(settings: &WebhooksConfig) -> Duration {
    exchange_max(settings) + HELD_MAX
}

/// How long a webhook may be held back before it is left to the store again.
const HELD_MAX: Duration = Duration::from_secs(30);

/// Places for what comes about before the worker looks again.
const PLACES: usize = 256;
