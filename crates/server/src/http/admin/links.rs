//! Links: how they stand, what the operator lets them do, and reading the configuration again.

use std::sync::Arc;

use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::answer::{Answer, Named, Operator};
use super::problem::{Fault, Problem};
use crate::channels::gate::{Control, Gate};
use crate::channels::switchboard::SwitchError;
use crate::config::{ConfigMistakes, Grade};
use crate::http::{App, utc};

/// A link as it is now.
#[derive(Serialize, ToSchema)]
pub(super) struct LinkView {
    /// Its name in the configuration.
    name: String,
    /// What kind of link it is: `smpp`, `http`, `sip` or `sandbox`.
    kind: &'static str,
    /// Whether it works: `up`, `connecting`, `down`, or `refused` if the carrier
    /// refuses its credentials, or the connection again and again.
    standing: &'static str,
    /// Since when.
    since: String,
    /// What went wrong last.
    last_error: Option<String>,
    /// Whether the operator lets it be used: `running`, `paused` or `draining`.
    control: &'static str,
    /// How many hand-overs wait for the carrier's answer.
    in_flight: usize,
    /// How many of its connections work.
    connected: usize,
    /// How many there should be.
    connections: usize,
    /// How many hand-overs there were today, from midnight UTC.
    today: u64,
    /// How many there may be in a day.
    daily_max: Option<u64>,
    /// How many there may be in a second.
    per_s: Option<u32>,
    /// What its receipts prove: `handset`, `carrier` or `none`; what is usual in the country if
    /// `null`.
    receipts: Option<&'static str>,
    /// The network that it reaches, as MCC and MNC.
    network: String,
}

/// All links.
#[derive(Serialize, ToSchema)]
pub(super) struct LinkList {
    /// The links, in the order in which they are tried without routes.
    items: Vec<LinkView>,
}

/// What a reload changed.
#[derive(Serialize, ToSchema)]
pub(super) struct ReloadView {
    /// Links that there are now.
    added: Vec<String>,
    /// Links that were started anew with other settings.
    changed: Vec<String>,
    /// Links that there are no more; they end once nothing is under way.
    removed: Vec<String>,
    /// Sections of the configuration that differ and take effect with the next start only.
    needs_restart: Vec<&'static str>,
}

/// Lists the links.
#[utoipa::path(
    get, path = "/admin/v1/links", tag = "links",
    responses((status = 200, description = "The links.", body = LinkList)),
)]
pub(super) async fn list_links(_: Operator, State(app): State<Arc<App>>) -> Answer<LinkList> {
    let ways = app.driver.channels.ways();
    Answer::ok(LinkList { items: ways.gates.iter().map(|gate| view(&app, gate)).collect() })
}

/// Shows a link.
#[utoipa::path(
    get, path = "/admin/v1/links/{name}", tag = "links",
    params(("name" = String, Path, description = "The link.")),
    responses((status = 200, description = "The link.", body = LinkView)),
)]
pub(super) async fn show_link(
    _: Operator,
    State(app): State<Arc<App>>,
    Named(name): Named<String>,
) -> Result<Answer<LinkView>, Problem> {
    let gate = app.driver.channels.ways().gate(&name).ok_or_else(|| Problem::unknown("link"))?;
    Ok(Answer::ok(view(&app, &gate)))
}

/// Pauses a link.
///
/// It keeps its connections and takes receipts; attempts take another link of their route, or wait.
#[utoipa::path(
    post, path = "/admin/v1/links/{name}/pause", tag = "links",
    params(("name" = String, Path, description = "The link.")),
    responses((status = 200, description = "The link.", body = LinkView)),
)]
pub(super) async fn pause_link(
    _: Operator,
    State(app): State<Arc<App>>,
    Named(name): Named<String>,
) -> Result<Answer<LinkView>, Problem> {
    control(&app, &name, Control::Paused).await
}

/// Lets a link be used again that was paused or drained.
#[utoipa::path(
    post, path = "/admin/v1/links/{name}/resume", tag = "links",
    params(("name" = String, Path, description = "The link.")),
    responses((status = 200, description = "The link.", body = LinkView)),
)]
pub(super) async fn resume_link(
    _: Operator,
    State(app): State<Arc<App>>,
    Named(name): Named<String>,
) -> Result<Answer<LinkView>, Problem> {
    control(&app, &name, Control::Running).await
}

/// Drains a link.
///
/// Nothing new is handed to it, and it ends its connections once nothing is under way.
#[utoipa::path(
    post, path = "/admin/v1/links/{name}/drain", tag = "links",
    params(("name" = String, Path, description = "The link.")),
    responses((status = 200, description = "The link.", body = LinkView)),
)]
pub(super) async fn drain_link(
    _: Operator,
    State(app): State<Arc<App>>,
    Named(name): Named<String>,
) -> Result<Answer<LinkView>, Problem> {
    control(&app, &name, Control::Draining).await
}

/// Reads the configuration again.
///
/// Its links and routes take effect at once. Links whose settings are the same are left alone, but
/// one whose credentials are refused reads them from their files again. A configuration with
/// mistakes changes nothing.
#[utoipa::path(
    post, path = "/admin/v1/reload", tag = "links",
    responses((status = 200, description = "What has changed.", body = ReloadView)),
)]
pub(super) async fn reload(
    _: Operator,
    State(app): State<Arc<App>>,
) -> Result<Answer<ReloadView>, Problem> {
    let done = app.switchboard.reload(&app.driver).await?;
    tracing::info!("configuration reloaded");
    Ok(Answer::ok(ReloadView {
        added: done.added,
        changed: done.changed,
        removed: done.removed,
        needs_restart: done.needs_restart,
    }))
}

async fn control(app: &App, name: &str, control: Control) -> Result<Answer<LinkView>, Problem> {
    let gate = app.switchboard.control(&app.driver, name, control).await?;
    tracing::info!(link.name = name, control = control.as_str(), "link controlled");
    Ok(Answer::ok(view(app, &gate)))
}

fn view(app: &App, gate: &Gate) -> LinkView {
    let state = gate.link.state();
    let (today, daily_max) = gate.today(app.driver.clock.now());
    LinkView {
        name: gate.link.name().to_owned(),
        kind: gate.link.kind(),
        standing: state.standing.as_str(),
        since: utc(state.since),
        last_error: state.last_error.map(|error| error.text),
        control: gate.control().as_str(),
        in_flight: state.in_flight,
        connected: state.connections.0,
        connections: state.connections.1,
        today,
        daily_max,
        per_s: gate.config().and_then(|config| config.per_s),
        receipts: gate.config().and_then(|config| config.receipts).map(Grade::as_str),
        network: gate.link.network().to_owned(),
    }
}

impl From<SwitchError> for Problem {
    fn from(error: SwitchError) -> Self {
        match error {
            SwitchError::Mistakes(mistakes) => mistakes.into(),
            SwitchError::Link(error) => Self::conflict(format!("Cannot {error}.")),
            SwitchError::Directory(error) => error.into(),
            SwitchError::UnknownLink(_) => Self::unknown("link"),
            SwitchError::NoSource => {
                Self::conflict("The configuration of this server cannot be read again.")
            }
        }
    }
}

impl From<ConfigMistakes> for Problem {
    fn from(mistakes: ConfigMistakes) -> Self {
        let fault = |mistake: &crate::config::Mistake| Fault::new(&mistake.place, &mistake.problem);
        Self::fields(mistakes.iter().map(fault).collect())
    }
}
