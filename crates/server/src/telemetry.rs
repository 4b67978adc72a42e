//! What the server tells its operator: a log without secrets, and metrics without names.

use std::io::Write;

use jiff::Timestamp;
use prometheus_client::metrics::counter::Counter;
use tracing_subscriber::filter::FilterFn;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, registry};
use voice::privacy::may_be_logged;

mod layer;
mod links;
mod metrics;
mod queue;
mod scrub;

pub use links::LinkFigures;
pub use metrics::{LINK_LABEL_CHARACTERS_MAX, Label, LinkStand, METRICS_CONTENT_TYPE, Metrics};
pub use queue::{FLUSH_WAIT, LOG_QUEUE_LINES_MAX, LogGuard};
pub use scrub::scrub;

/// How a log line is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// `2026-01-02T03:04:05.678Z INFO target message key=value`.
    #[default]
    Text,
    /// One JSON object with `time`, `level`, `target`, `message` and `fields`.
    Json,
}

/// Why the log could not be started.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter is not of the form `info,countersign=debug`.
    #[error("read the log filter")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// The operating system has no thread left for the log.
    #[error("start the log's thread")]
    Thread(#[from] std::io::Error),
    /// The log was started before.
    #[error("install the log")]
    Installed(#[from] tracing_subscriber::util::TryInitError),
}

/// Starts the log of this process.
///
/// `filter` is a list of directives as in `info,countersign=debug`; `clock` tells the time of each
/// line; `writer` is usually standard output, and only one thread of its own ever waits for it.
/// `dropped` counts lines lost to a full queue ([`Metrics::log_lines_dropped`]). The log ends when
/// the guard is dropped, which writes out what is queued.
pub fn start_log(
    filter: &str,
    format: LogFormat,
    clock: impl Fn() -> Timestamp + Send + Sync + 'static,
    writer: impl Write + Send + 'static,
    dropped: Counter,
) -> Result<LogGuard, TelemetryError> {
    let filter = EnvFilter::try_new(filter)?;
    // The signalling of calls would log numbers and credentials.
    let private = FilterFn::new(may_be_logged);
    let (queue, guard) = queue::LogQueue::start(writer, dropped)?;
    let sink = move |line| queue.push(line);
    registry()
        .with(filter)
        .with(private)
        .with(layer::LineLayer { format, clock, sink })
        .try_init()?;
    Ok(guard)
}

#[cfg(test)]
mod tests;
