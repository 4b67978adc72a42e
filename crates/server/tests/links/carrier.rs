//! A carrier that does as a test says, and the link to it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use countersign::channels::{Dispatch, Link, LinkState, Standing, Submission};
use engine::{AttemptId, Channel, Timestamp};

/// The far end of a link.
#[derive(Default)]
pub(crate) struct Carrier {
    pub(crate) handed: AtomicUsize,
    pub(crate) open: AtomicUsize,
    pub(crate) held: AtomicBool,
    pub(crate) closed: AtomicBool,
    pub(crate) refuses: AtomicBool,
    pub(crate) withdrawn: AtomicUsize,
    pub(crate) is_refused: AtomicBool,
    pub(crate) down: AtomicBool,
}

impl Carrier {
    pub(crate) fn hold(&self, held: bool) {
        self.held.store(held, Ordering::SeqCst);
    }

    pub(crate) fn handed(&self) -> usize {
        self.handed.load(Ordering::SeqCst)
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    pub(crate) async fn wait_until_handed(&self, count: usize) {
        while self.handed() < count {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub(crate) async fn wait_until_closed(&self) {
        while !self.is_closed() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// The link to it.
pub(crate) struct Wire {
    pub(crate) name: String,
    pub(crate) network: String,
    pub(crate) carrier: Arc<Carrier>,
}

impl Link for Wire {
    fn name(&self) -> &str {
        &self.name
    }

    fn kind(&self) -> &'static str {
        "smpp"
    }

    fn carries(&self, _channel: Channel) -> bool {
        true
    }

    fn ready(&self) -> Result<(), String> {
        if self.carrier.down.load(Ordering::SeqCst) {
            return Err("it is down".to_owned());
        }
        if self.carrier.is_closed() { Err("it is closed".to_owned()) } else { Ok(()) }
    }

    fn submit(&self, dispatch: Dispatch) -> Pin<Box<dyn Future<Output = Submission> + Send + '_>> {
        Box::pin(async move {
            dispatch.timing.written(&self.name);
            if self.carrier.refuses.load(Ordering::SeqCst) {
                return Submission::LinkRefused("it has no credit".to_owned());
            }
            self.carrier.open.fetch_add(1, Ordering::SeqCst);
            self.carrier.handed.fetch_add(1, Ordering::SeqCst);
            while self.carrier.held.load(Ordering::SeqCst) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            self.carrier.open.fetch_sub(1, Ordering::SeqCst);
            Submission::Accepted(Vec::new())
        })
    }

    fn withdraw(&self, _attempt: AttemptId) {
        self.carrier.withdrawn.fetch_add(1, Ordering::AcqRel);
    }

    fn network(&self) -> &str {
        &self.network
    }

    fn state(&self) -> LinkState {
        let is_refused = self.carrier.is_refused.load(Ordering::SeqCst);
        let alive = if is_refused { Standing::Refused } else { Standing::Up };
        LinkState {
            standing: if self.carrier.is_closed() { Standing::Down } else { alive },
            since: Timestamp::from_millis(0),
            last_error: None,
            in_flight: self.carrier.open.load(Ordering::SeqCst),
            connections: (1, 1),
        }
    }

    fn close(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        self.carrier.closed.store(true, Ordering::SeqCst);
        Box::pin(std::future::ready(()))
    }
}
