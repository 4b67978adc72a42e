//! Recipients: who wants no more, who gets no more, and who is forgotten.

#![expect(unused_qualifications, reason = "utoipa's macro writes them for query parameters")]

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use engine::PhoneNumber;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::answer::{Answer, Input, Named, Operator, Search, held_number, masked, text};
use super::problem::Problem;
use crate::directory::Directory;
use crate::http::{App, utc};
use crate::store::{BarredNumber, ConfigChange, OptOut};

/// A number whose owner opted out of a campaign, or in again.
#[derive(Serialize, ToSchema)]
pub(super) struct OptOutView {
    /// The campaign: the identifier of its short code.
    campaign: u32,
    /// The number, masked; `null` once erased.
    number: Option<String>,
    /// When it was opted out; `null` if it is opted in.
    opted_out_at: Option<String>,
    /// When it was last opted in again.
    opted_in_at: Option<String>,
}

/// Some opt-outs.
#[derive(Serialize, ToSchema)]
pub(super) struct OptOutList {
    /// The opt-outs.
    items: Vec<OptOutView>,
}

/// Whose opt-outs to list.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct OptOutFilter {
    /// Only those of this campaign; all if left out.
    campaign: Option<u32>,
}

/// A number that nobody may send to.
#[derive(Serialize, ToSchema)]
pub(super) struct BarredView {
    /// The number, masked; `null` once erased.
    number: Option<String>,
    /// Why it is barred.
    reason: String,
    /// Since when.
    at: String,
}

/// The barred numbers.
#[derive(Serialize, ToSchema)]
pub(super) struct BarredList {
    /// The numbers.
    items: Vec<BarredView>,
}

/// Why a number is barred.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewBar {
    /// Why, 1 to 160 characters; no phone number belongs in here.
    reason: String,
}

/// A number to forget.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Erasure {
    /// The number in international form.
    #[schema(example = "+447700900123")]
    number: String,
}

/// What was forgotten.
#[derive(Serialize, ToSchema)]
pub(super) struct Erased {
    /// How many rows held the number.
    rows: usize,
}

/// Lists opt-outs, and numbers that were opted in again.
#[utoipa::path(
    get, path = "/admin/v1/opt-outs", tag = "recipients", params(OptOutFilter),
    responses((status = 200, description = "The opt-outs.", body = OptOutList)),
)]
pub(super) async fn list_opt_outs(
    _: Operator,
    State(app): State<Arc<App>>,
    Search(filter): Search<OptOutFilter>,
) -> Result<Answer<OptOutList>, Problem> {
    let directory = app.driver.directories.fresh().await?;
    let wanted = |row: &&OptOut| filter.campaign.is_none_or(|campaign| campaign == row.campaign);
    let items = directory.rows.opt_outs.iter().filter(wanted).map(opt_out_view).collect();
    Ok(Answer::ok(OptOutList { items }))
}

/// Shows whether a number is opted out of a campaign.
#[utoipa::path(
    get, path = "/admin/v1/opt-outs/{campaign}/{number}", tag = "recipients",
    params(
        ("campaign" = u32, Path, description = "The campaign: the identifier of its short code."),
        ("number" = String, Path, description = "The number in international form."),
    ),
    responses((status = 200, description = "What the owner wants.", body = OptOutView)),
)]
pub(super) async fn show_opt_out(
    _: Operator,
    State(app): State<Arc<App>>,
    Named((campaign, number)): Named<(u32, String)>,
) -> Result<Answer<OptOutView>, Problem> {
    let number = held_number(&app, "number", &number)?;
    let directory = app.driver.directories.fresh().await?;
    let row = known_opt_out(&app, &directory, campaign, &number);
    row.map(|row| Answer::ok(opt_out_view(row))).ok_or_else(|| Problem::unknown("opt-out"))
}

/// Opts a number out of a campaign: its messages are refused from now on.
#[utoipa::path(
    put, path = "/admin/v1/opt-outs/{campaign}/{number}", tag = "recipients",
    params(
        ("campaign" = u32, Path, description = "The campaign: the identifier of its short code."),
        ("number" = String, Path, description = "The number in international form."),
    ),
    responses((status = 200, description = "The number is opted out.", body = OptOutView)),
)]
pub(super) async fn opt_out(
    _: Operator,
    State(app): State<Arc<App>>,
    Named((campaign, number)): Named<(u32, String)>,
) -> Result<Answer<OptOutView>, Problem> {
    put_opt_out(&app, campaign, &number, true).await.map(Answer::ok)
}

/// Opts a number in again.
#[utoipa::path(
    delete, path = "/admin/v1/opt-outs/{campaign}/{number}", tag = "recipients",
    params(
        ("campaign" = u32, Path, description = "The campaign: the identifier of its short code."),
        ("number" = String, Path, description = "The number in international form."),
    ),
    responses((status = 204, description = "The number is opted in.")),
)]
pub(super) async fn opt_in(
    _: Operator,
    State(app): State<Arc<App>>,
    Named((campaign, number)): Named<(u32, String)>,
) -> Result<StatusCode, Problem> {
    put_opt_out(&app, campaign, &number, false).await.map(|_| StatusCode::NO_CONTENT)
}

/// Lists the barred numbers.
#[utoipa::path(
    get, path = "/admin/v1/barred", tag = "recipients",
    responses((status = 200, description = "The barred numbers.", body = BarredList)),
)]
pub(super) async fn list_barred(
    _: Operator,
    State(app): State<Arc<App>>,
) -> Result<Answer<BarredList>, Problem> {
    let directory = app.driver.directories.current();
    Ok(Answer::ok(BarredList { items: directory.rows.barred.iter().map(barred_view).collect() }))
}

/// Shows whether and why a number is barred.
#[utoipa::path(
    get, path = "/admin/v1/barred/{number}", tag = "recipients",
    params(("number" = String, Path, description = "The number in international form.")),
    responses((status = 200, description = "The number is barred.", body = BarredView)),
)]
pub(super) async fn show_barred(
    _: Operator,
    State(app): State<Arc<App>>,
    Named(number): Named<String>,
) -> Result<Answer<BarredView>, Problem> {
    let number = held_number(&app, "number", &number)?;
    let key = app.driver.directories.number_keys(&number).number;
    let directory = app.driver.directories.current();
    let row = directory.rows.barred.iter().find(|row| row.number_key == key);
    row.map(|row| Answer::ok(barred_view(row))).ok_or_else(|| Problem::unknown("barred number"))
}

/// Bars a number for all accounts: nothing is sent to it from now on.
#[utoipa::path(
    put, path = "/admin/v1/barred/{number}", tag = "recipients", request_body = NewBar,
    params(("number" = String, Path, description = "The number in international form.")),
    responses((status = 200, description = "The number is barred.", body = BarredView)),
)]
pub(super) async fn bar(
    _: Operator,
    State(app): State<Arc<App>>,
    Named(number): Named<String>,
    Input(bar): Input<NewBar>,
) -> Result<Answer<BarredView>, Problem> {
    let number = held_number(&app, "number", &number)?;
    let reason = text("reason", &bar.reason, REASON_CHARS_MAX)?;
    let row = BarredNumber {
        number_key: app.driver.directories.number_keys(&number).number,
        number: Some(number.digits()),
        reason,
        at: app.driver.clock.now(),
    };
    let answer = barred_view(&row);
    let plan = |_: &Directory| Ok::<_, Problem>((vec![ConfigChange::Bar(row)], ()));
    app.driver.directories.change(plan).await?;
    tracing::info!("number barred");
    Ok(Answer::ok(answer))
}

/// Lifts the bar on a number.
#[utoipa::path(
    delete, path = "/admin/v1/barred/{number}", tag = "recipients",
    params(("number" = String, Path, description = "The number in international form.")),
    responses((status = 204, description = "The number is not barred any more.")),
)]
pub(super) async fn unbar(
    _: Operator,
    State(app): State<Arc<App>>,
    Named(number): Named<String>,
) -> Result<StatusCode, Problem> {
    let number = held_number(&app, "number", &number)?;
    let key = app.driver.directories.number_keys(&number).number;
    let lifted = app.driver.directories.change(|directory| {
        if !directory.rows.barred.iter().any(|row| row.number_key == key) {
            return Err(Problem::unknown("barred number"));
        }
        Ok((vec![ConfigChange::Unbar(key)], ()))
    });
    lifted.await?;
    tracing::info!("number unbarred");
    Ok(StatusCode::NO_CONTENT)
}

/// Forgets a number.
///
/// It stays nowhere but in keyed pseudonyms, which keep rates, bars and opt-outs at work. What is
/// open to it ends without another message.
#[utoipa::path(
    post, path = "/admin/v1/erase", tag = "recipients", request_body = Erasure,
    responses((status = 200, description = "The number is forgotten.", body = Erased)),
)]
pub(super) async fn erase(
    _: Operator,
    State(app): State<Arc<App>>,
    Input(erasure): Input<Erasure>,
) -> Result<Answer<Erased>, Problem> {
    let number = held_number(&app, "number", &erasure.number)?;
    let rows = app.driver.directories.erase(&number).await?;
    if let Some(sandbox) = &app.sandbox {
        sandbox.erase(number.digits());
    }
    tracing::info!(rows, "number erased");
    Ok(Answer::ok(Erased { rows }))
}

async fn put_opt_out(
    app: &App,
    campaign: u32,
    number: &str,
    out: bool,
) -> Result<OptOutView, Problem> {
    let number = held_number(app, "number", number)?;
    let now = app.driver.clock.now();
    let changed = app.driver.directories.change(|directory| {
        let short_code = |row: &&crate::store::NumberRecord| row.id == campaign;
        let row = directory.rows.numbers.iter().find(short_code);
        if row.is_none_or(|row| row.campaign.is_none()) {
            return Err(Problem::unknown("campaign"));
        }
        let known = known_opt_out(app, directory, campaign, &number);
        if !out && known.is_none() {
            return Err(Problem::unknown("opt-out"));
        }
        let row = OptOut {
            campaign,
            number_key: app.driver.directories.number_keys(&number).number,
            number: Some(number.digits()),
            opted_in_at: if out { known.and_then(|row| row.opted_in_at) } else { Some(now) },
            opted_out_at: out.then(|| known.and_then(|row| row.opted_out_at).unwrap_or(now)),
        };
        let answer = opt_out_view(&row);
        Ok((vec![ConfigChange::PutOptOut(row)], answer))
    });
    let changed = changed.await?;
    tracing::info!(campaign, out, "opt-out changed");
    Ok(changed)
}

fn known_opt_out<'a>(
    app: &App,
    directory: &'a Directory,
    campaign: u32,
    number: &PhoneNumber,
) -> Option<&'a OptOut> {
    let key = app.driver.directories.number_keys(number).number;
    directory.rows.opt_outs.iter().find(|row| row.campaign == campaign && row.number_key == key)
}

fn opt_out_view(row: &OptOut) -> OptOutView {
    OptOutView {
        campaign: row.campaign,
        number: masked(row.number),
        opted_out_at: row.opted_out_at.map(utc),
        opted_in_at: row.opted_in_at.map(utc),
    }
}

fn barred_view(row: &BarredNumber) -> BarredView {
    BarredView { number: masked(row.number), reason: row.reason.clone(), at: utc(row.at) }
}

/// The longest reason of a bar, in characters. A choice.
const REASON_CHARS_MAX: usize = 160;
