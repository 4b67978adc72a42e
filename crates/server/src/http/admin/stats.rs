//! The figures of what became of attempts, by route, link, country or network.

#![expect(unused_qualifications, reason = "utoipa's macro writes them for query parameters")]

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use engine::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::answer::{Answer, Operator, Search};
use super::problem::Problem;
use crate::http::{App, utc};
use crate::store::{FigureQuery, FigureSum, FiguresBy, Period};

/// Which figures to show.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct StatsFilter {
    /// What to sum up by: `route`, `link`, `country` or `network`, or several of them with commas
    /// between them, like `route,country,network`; `route` if left out.
    by: Option<String>,
    /// From figures of each `minute` (kept for 2 hours), `hour` (14 days) or `day` (400 days);
    /// `hour` if left out.
    period: Option<String>,
    /// From when on: an RFC 3339 time, or seconds back from now. If left out, the last 60 periods
    /// for minutes, 24 for hours, 30 for days.
    since: Option<String>,
    /// Whether each period is shown for itself, the newest first.
    #[serde(default)]
    each: bool,
}

/// Some figures.
#[derive(Serialize, ToSchema)]
pub(super) struct StatsView {
    /// What they are summed up by.
    by: String,
    /// The periods that they are summed up from.
    period: &'static str,
    /// The beginning of the first period.
    since: String,
    /// The figures, at most 1000: what there was most of first.
    items: Vec<FiguresView>,
}

/// The figures of one route, link, country or network. Each is counted when it became known; those
/// of the last seconds may be missing.
#[derive(Serialize, ToSchema)]
pub(super) struct FiguresView {
    /// The beginning of the period, if each is shown for itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<String>,
    /// The route, link, country or network; empty if there was none or it is not known. Of several,
    /// with a `/` between them, like `main/GB/23415`.
    name: String,
    /// `sms` or `voice`.
    channel: &'static str,
    /// What a receipt proves: `handset` if the phone has the message, `carrier` if the next network
    /// has, `none` if there are no receipts.
    receipts: &'static str,
    /// Handed over.
    attempts: u64,
    /// Taken by the carrier.
    accepted: u64,
    /// Refused for good when they were handed over.
    rejected: u64,
    /// Delivered, as far as `receipts` says.
    delivered: u64,
    /// Taken, and not delivered.
    failed: u64,
    /// Nobody knew whether the carrier took them.
    unknown: u64,
    /// Not told of in time.
    expired: u64,
    /// Their code came back, or the account said that its user did.
    converted: u64,
    /// Delivered of those attempted, 0 to 1, `null` without attempts or receipts.
    delivery_rate: Option<f64>,
    /// Converted of those attempted, 0 to 1.
    conversion_rate: Option<f64>,
    /// The median time from the hand-over to the final receipt, in seconds.
    median_wait_s: Option<f64>,
}

/// Shows what became of attempts.
#[utoipa::path(
    get, path = "/admin/v1/stats", tag = "stats", params(StatsFilter),
    responses((status = 200, description = "The figures.", body = StatsView)),
)]
pub(super) async fn show_stats(
    _: Operator,
    State(app): State<Arc<App>>,
    Search(filter): Search<StatsFilter>,
) -> Result<Answer<StatsView>, Problem> {
    let by_name = filter.by.unwrap_or_else(|| FiguresBy::Route.as_str().to_owned());
    let by = by(&by_name)?;
    let asked = filter.period.as_deref().unwrap_or(Period::Hour.as_str());
    let period = Period::ALL.into_iter().find(|period| period.as_str() == asked);
    let period = period.ok_or_else(|| Problem::field("period", "must be minute, hour or day"))?;
    let now = app.driver.clock.now();
    let since = match filter.since.as_deref() {
        None => now.before(period.length() * usual_periods(period)),
        Some(text) => since(text, now)?,
    };
    let since = period.begin(since);
    let query = FigureQuery { period, by, each: filter.each, since, limit: SUMS_MAX };
    let sums = app.driver.store.figures(query).await?;
    let items = sums.into_iter().map(view).collect();
    Ok(Answer::ok(StatsView { by: by_name, period: period.as_str(), since: utc(since), items }))
}

/// Reads what to sum up by, each once.
fn by(names: &str) -> Result<Vec<FiguresBy>, Problem> {
    let mut by = Vec::new();
    for name in names.split(',') {
        let known = FiguresBy::ALL.into_iter().find(|known| known.as_str() == name.trim());
        let Some(known) = known.filter(|known| !by.contains(known)) else {
            let right = "must be route, link, country or network, or several, each once";
            return Err(Problem::field("by", right));
        };
        by.push(known);
    }
    Ok(by)
}

fn since(text: &str, now: Timestamp) -> Result<Timestamp, Problem> {
    if let Ok(seconds) = text.parse() {
        return Ok(now.before(Duration::from_secs(seconds)));
    }
    let at: Option<jiff::Timestamp> = text.parse().ok();
    let at = at.and_then(|at| u64::try_from(at.as_millisecond()).ok());
    at.map(Timestamp::from_millis).ok_or_else(|| {
        let right = "must be a time like 2026-11-25T12:00:00Z, or seconds back from now";
        Problem::field("since", right)
    })
}

const fn usual_periods(period: Period) -> u32 {
    match period {
        Period::Minute => 60,
        Period::Hour => 24,
        Period::Day => 30,
    }
}

fn view(sum: FigureSum) -> FiguresView {
    let figures = sum.figures;
    let told = figures.delivered + figures.failed + figures.expired > 0;
    FiguresView {
        at: sum.at.map(utc),
        name: sum.name,
        channel: sum.channel.as_str(),
        receipts: sum.grade.as_str(),
        attempts: figures.attempts,
        accepted: figures.accepted,
        rejected: figures.rejected,
        delivered: figures.delivered,
        failed: figures.failed,
        unknown: figures.unknown,
        expired: figures.expired,
        converted: figures.converted,
        delivery_rate: rate(figures.delivered, figures.attempts).filter(|_| told),
        conversion_rate: rate(figures.converted, figures.attempts),
        median_wait_s: figures.median_wait_s().map(|wait| (wait * 10.0).round() / 10.0),
    }
}

/// A share with four decimals. Over a short time more can come back than went out.
#[expect(clippy::cast_precision_loss, reason = "four decimals are shown")]
fn rate(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| (part as f64 / whole as f64 * 10_000.0).round() / 10_000.0)
}

/// Far more than anyone reads.
const SUMS_MAX: usize = 1000;
