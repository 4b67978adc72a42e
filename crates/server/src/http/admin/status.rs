//! The state of the server at a glance.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use engine::Channel;
use serde::Serialize;
use utoipa::ToSchema;

use super::Door;
use super::answer::{Answer, Operator};
use super::problem::Problem;
use crate::http::{App, utc};

/// The state of the server.
#[derive(Serialize, ToSchema)]
pub(super) struct StatusView {
    /// The server's version.
    version: &'static str,
    /// How long it has been running, in seconds.
    uptime_s: u64,
    /// What time it is there; in a sandbox the clock can be moved.
    now: String,
    /// Whether it can take work.
    ready: bool,
    /// Whether messages go to virtual handsets instead of carriers.
    sandbox: bool,
    /// The ISO 4217 code of the currency.
    currency: String,
    /// How many operations wait for the store.
    store_queue: usize,
    /// How many attempts are being handed over to links.
    sending: usize,
    /// What waits to be done, and since or until when.
    due: DueView,
    /// The ways out.
    channels: Vec<ChannelView>,
}

/// When things are due next; `null` if nothing of the kind waits.
#[derive(Serialize, ToSchema)]
pub(super) struct DueView {
    /// A verification or message.
    machine: Option<String>,
    /// An attempt.
    send: Option<String>,
    /// A webhook.
    webhook: Option<String>,
}

/// A way to reach a phone.
#[derive(Serialize, ToSchema)]
pub(super) struct ChannelView {
    /// `sms` or `voice`.
    channel: &'static str,
    /// Whether any link carries it.
    reachable: bool,
}

/// Shows the state of the server.
#[utoipa::path(
    get, path = "/admin/v1/status", tag = "status",
    responses((status = 200, description = "The state of the server.", body = StatusView)),
)]
pub(super) async fn show_status(
    _: Operator,
    State(app): State<Arc<App>>,
    Extension(door): Extension<Arc<Door>>,
) -> Result<Answer<StatusView>, Problem> {
    let due = app.driver.store.next_due().await?;
    let channel = |channel: Channel| ChannelView {
        channel: channel.as_str(),
        reachable: app.driver.channels.reach(channel),
    };
    Ok(Answer::ok(StatusView {
        version: env!("CARGO_PKG_VERSION"),
        uptime_s: door.running.elapsed().as_secs(),
        now: utc(app.driver.clock.now()),
        ready: app.is_ready(),
        sandbox: app.sandbox.is_some(),
        currency: app.config.currency.code.clone(),
        store_queue: app.driver.store.depth(),
        sending: app.driver.channels.in_flight(),
        due: DueView {
            machine: due.machine.map(utc),
            send: due.send.map(utc),
            webhook: due.webhook.map(utc),
        },
        channels: [Channel::Sms, Channel::Voice].map(channel).into(),
    }))
}

/// This door's name in the metrics.
pub(super) const DOOR: &str = "admin";
