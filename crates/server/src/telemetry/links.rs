//! The figures of one link's connections.

use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::Histogram;

/// What a link counts; cheap to clone.
#[derive(Clone, Debug)]
pub struct LinkFigures {
    pub(super) answers: Histogram,
    pub(super) throttles: Counter,
}

impl LinkFigures {
    /// The carrier has answered to a submit, whatever it said.
    pub fn answered(&self, elapsed: Duration) {
        self.answers.observe(elapsed.as_secs_f64());
    }

    /// The carrier has asked to be sent less.
    pub fn throttled(&self) {
        self.throttles.inc();
    }
}
