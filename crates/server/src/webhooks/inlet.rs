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
/// While nothing waits on the outbox, the receipt that makes a webhook leases it to this node, and
/// it is brought here without being claimed. Once something waits, no more seats are given, and
/// everything else goes by way of the outbox, which knows whose turn it is.
pub struct Inlet {
    shared: Arc<Shared>,
    seats: Sender<Leased>,
    lease: Duration,
}

/// The worker's side of it.
pub struct Arrivals {
    shared: Arc<Shared>,
    brought: Receiver<Leased>,
}

struct Shared {
    waiting: Notify,
    is_open: AtomicBool,
}

/// A seat at the worker for one webhook.
pub struct Seat<'a> {
    permit: Permit<'a, Leased>,
    lease: Lease,
}

impl Inlet {
    /// Makes one for a worker that keeps to these settings.
    pub fn new(settings: &WebhooksConfig) -> (Self, Arrivals) {
        let (seats, brought) = mpsc::channel(SEATS);
        let shared = Arc::new(Shared { waiting: Notify::new(), is_open: AtomicBool::new(false) });
        let inlet = Self { shared: Arc::clone(&shared), seats, lease: lease(settings) };
        (inlet, Arrivals { shared, brought })
    }

    /// Tells that webhooks wait on the outbox.
    pub fn notify(&self) {
        self.shared.waiting.notify_one();
    }

    /// Returns a seat for a webhook that may come about at `now`, if one is free.
    pub fn seat(&self, now: Timestamp) -> Option<Seat<'_>> {
        if !self.shared.is_open.load(Ordering::Acquire) {
            return None;
        }
        let permit = self.seats.try_reserve().ok()?;
        Some(Seat { permit, lease: Lease { until: now.after(self.lease) } })
    }
}

impl Seat<'_> {
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
            () = self.shared.waiting.notified() => None,
            Some(leased) = self.brought.recv() => Some(leased),
        }
    }

    /// Returns what has been brought.
    pub(super) fn try_next(&mut self) -> Option<Leased> {
        self.brought.try_recv().ok()
    }

    /// Says whether the short way may be taken.
    pub(super) fn set_open(&self, is_open: bool) {
        self.shared.is_open.store(is_open, Ordering::Release);
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

/// How long a webhook may be held back before it is left to the store again. Chosen.
const HELD_MAX: Duration = Duration::from_secs(30);

/// Seats for what comes about before the worker looks again. Chosen: a few hundredths of a second's.
const SEATS: usize = 256;

#[cfg(test)]
mod tests {
    use engine::{AccountId, MessageId, SecretText};

    use super::*;
    use crate::store::{InboundView, WebhookEvent};

    const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    #[tokio::test]
    async fn what_is_brought_arrives_with_its_lease_while_there_are_seats() {
        let settings = WebhooksConfig::default();
        let (inlet, mut arrivals) = Inlet::new(&settings);
        assert!(inlet.seat(NOW).is_none(), "nobody has looked at the outbox yet");
        arrivals.set_open(true);
        let mut seats: Vec<Seat<'_>> = std::iter::from_fn(|| inlet.seat(NOW)).collect();
        assert_eq!(seats.len(), SEATS);
        seats.pop();
        let seat = inlet.seat(NOW).unwrap();
        assert_eq!(seat.lease().until, NOW.after(lease(&settings)));
        arrivals.set_open(false);
        assert!(inlet.seat(NOW).is_none(), "something waits");
        seat.fill(job(7));
        let arrived = arrivals.next().await.unwrap();
        assert_eq!((arrived.job.id, arrived.until), (7, NOW.after(lease(&settings))));
        drop(seats);
        inlet.notify();
        assert!(arrivals.next().await.is_none(), "nothing was brought, and something waits");
    }

    fn job(id: i64) -> WebhookJob {
        let message = InboundView {
            id: MessageId::from_u64(1),
            from: 447_700_900_123,
            to: "12345".to_owned(),
            text: SecretText::concat(&["hello"]),
            concat: None,
        };
        WebhookJob {
            id,
            account: AccountId(1),
            endpoint: 1,
            url: None,
            created_at: NOW,
            tries: 0,
            event: WebhookEvent::Inbound(Box::new(message)),
        }
    }
}
