//! Verifications: started, checked, cancelled, and told from beginning to end.

#![expect(unused_qualifications, reason = "utoipa's macro writes them for query parameters")]

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use engine::wording::BRAND_CHARS_MAX;
use engine::{
    AccountId, Attempt, Code, Locale, Progress, Subject, Timing, TimingError, TypedCode, Verdict,
    VerificationId, VerificationState,
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::answer::{
    Answer, IDEMPOTENCY, Input, Named, Operator, Repeatable, Search, account, masked, recipient,
    text,
};
use super::passage::{CallStory, PassageStory};
use super::problem::{Problem, denied, refused};
use crate::driver::VerificationRequest;
use crate::http::{App, utc};
use crate::store::VerificationView;

/// A verification to start.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewVerification {
    /// Who pays.
    account: u32,
    /// The number to verify, in international form or as dialled in `country`.
    #[schema(example = "+447700900123")]
    phone: String,
    /// The country in which `phone` is dialled, by ISO 3166 code.
    #[serde(default)]
    country: Option<String>,
    /// The brand to name, 1 to 18 characters.
    brand: String,
    /// How many digits the code has, 4 to 10; 4 if left out.
    #[serde(default)]
    code_length: Option<u8>,
    /// The locale to speak, such as `en-gb`; that of the number's country if left out.
    #[serde(default)]
    locale: Option<String>,
    /// Which of the preset workflows, 1 to 7; 1 if left out.
    #[serde(default)]
    workflow: Option<u8>,
    /// Seconds between two steps, 15 to 900; what the account has if left out.
    #[serde(default)]
    step_wait_s: Option<u32>,
    /// Seconds that the code can be typed, 60 to 3600; what the account has if left out.
    #[serde(default)]
    lifetime_s: Option<u32>,
    /// Which of the account's originators to prefer.
    #[serde(default)]
    sender: Option<String>,
}

/// A verification that was started.
#[derive(Serialize, ToSchema)]
pub(super) struct StartedVerification {
    /// Its identifier.
    id: String,
    /// What its success will cost.
    price: String,
    /// What the account has.
    balance: String,
}

/// A code that the user typed.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewCheck {
    /// The code.
    #[schema(example = "4815")]
    code: String,
}

/// The answer to a check.
#[derive(Serialize, ToSchema)]
pub(super) struct CheckAnswer {
    /// `match` or `mismatch`.
    verdict: &'static str,
    /// How many more checks there may be, after a mismatch; at 0 the verification has failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    checks_left: Option<u8>,
}

/// A verification from its beginning to its end, without its code.
#[derive(Serialize, ToSchema)]
pub(super) struct VerificationStory {
    /// Its identifier.
    id: String,
    /// Who pays.
    account: u32,
    /// The number, masked; `null` once erased.
    phone: Option<String>,
    /// The brand it names.
    brand: String,
    /// The locale it speaks.
    locale: String,
    /// Whom its messages are from.
    originator: Option<String>,
    /// What its success costs.
    price: String,
    /// When it started.
    created_at: String,
    /// `open`, or how it ended: `verified`, `failed`, `expired` or `cancelled`.
    state: &'static str,
    /// When the next step is due, while it is open.
    next_step_at: Option<String>,
    /// When it ends by itself, while it is open.
    expires_at: Option<String>,
    /// When it ended.
    ended_at: Option<String>,
    /// What was sent, in order.
    attempts: Vec<AttemptStory>,
    /// What was typed, in order.
    checks: Vec<CheckStory>,
    /// Whether the account said that its user came back.
    converted: Option<bool>,
}

/// One send of the code.
#[derive(Serialize, ToSchema)]
pub(super) struct AttemptStory {
    /// `sms` or `voice`.
    channel: &'static str,
    /// When it was due.
    queued_at: String,
    /// How far it got: `queued`, `submitted`, `unconfirmed`, `withdrawn`, or what its receipt says.
    progress: &'static str,
    /// When it got there.
    progress_at: String,
    /// Why it failed: the 2FA API's `err-code`.
    error: Option<u8>,
    /// The way it went.
    #[serde(flatten)]
    passage: PassageStory,
    /// The call that it made.
    #[serde(skip_serializing_if = "Option::is_none")]
    call: Option<CallStory>,
}

/// One code that was typed.
#[derive(Serialize, ToSchema)]
pub(super) struct CheckStory {
    /// When it came.
    at: String,
    /// Whether it was right.
    right: bool,
}

/// Some verifications, newest first.
#[derive(Serialize, ToSchema)]
pub(super) struct VerificationList {
    /// The verifications.
    items: Vec<VerificationStory>,
    /// What to give as `before` to see older ones; `null` at the end.
    next: Option<String>,
}

/// Which verifications to list.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct VerificationFilter {
    /// Whose.
    account: u32,
    /// Only those that started before this one: `next` of an earlier answer.
    before: Option<String>,
    /// How many, 1 to 100; 20 if left out.
    limit: Option<usize>,
}

/// Lists an account's verifications, newest first.
#[utoipa::path(
    get, path = "/admin/v1/verifications", tag = "verifications", params(VerificationFilter),
    responses((status = 200, description = "Some verifications.", body = VerificationList)),
)]
pub(super) async fn list_verifications(
    _: Operator,
    State(app): State<Arc<App>>,
    Search(filter): Search<VerificationFilter>,
) -> Result<Answer<VerificationList>, Problem> {
    let account = account(&app.driver.directories.current(), filter.account)?;
    let limit = filter.limit.unwrap_or(LIST_DEFAULT);
    if !(1..=LIST_MAX).contains(&limit) {
        return Err(Problem::field("limit", format!("is {limit}; must be 1 to {LIST_MAX}")));
    }
    let before = filter.before.as_deref().map(parse_id).transpose()?;
    let found = app.driver.store.verifications(account.id, before, limit).await?;
    let last = found.last().map(|view| view.record.id.to_string());
    let next = last.filter(|_| found.len() == limit);
    Ok(Answer::ok(VerificationList { items: found.iter().map(story).collect(), next }))
}

/// Starts a verification.
#[utoipa::path(
    post, path = "/admin/v1/verifications", tag = "verifications",
    request_body = NewVerification,
    params(("Idempotency-Key" = Option<String>, Header, description = IDEMPOTENCY)),
    responses((status = 201, description = "It has started.", body = StartedVerification)),
)]
pub(super) async fn start_verification(
    _: Operator,
    State(app): State<Arc<App>>,
    Repeatable { body, idempotency }: Repeatable<NewVerification>,
) -> Result<Answer<StartedVerification>, Problem> {
    let account = account(&app.driver.directories.current(), body.account)?;
    let request = VerificationRequest { idempotency, ..request(&app, body)? };
    app.driver.metrics.start(super::status::DOOR);
    let started = app.driver.start_verification(&account, request).await;
    let started = started.map_err(|denial| denied(&app, denial))?;
    let Subject::Verification(id) = started.subject else { return Err(Problem::internal()) };
    Ok(Answer::created(StartedVerification {
        id: id.to_string(),
        price: started.price.to_string(),
        balance: started.balance.to_string(),
    }))
}

/// Tells what became of a verification: every attempt and every check.
#[utoipa::path(
    get, path = "/admin/v1/verifications/{id}", tag = "verifications",
    params(("id" = String, Path, description = "The verification.")),
    responses((status = 200, description = "Its whole story.", body = VerificationStory)),
)]
pub(super) async fn show_verification(
    _: Operator,
    State(app): State<Arc<App>>,
    Named(id): Named<String>,
) -> Result<Answer<VerificationStory>, Problem> {
    find(&app, &id).await.map(|view| Answer::ok(story(&view)))
}

/// Cancels a verification.
///
/// In its first moments that is refused.
#[utoipa::path(
    delete, path = "/admin/v1/verifications/{id}", tag = "verifications",
    params(("id" = String, Path, description = "The verification.")),
    responses((status = 204, description = "It is cancelled.")),
)]
pub(super) async fn cancel_verification(
    _: Operator,
    State(app): State<Arc<App>>,
    Named(id): Named<String>,
) -> Result<StatusCode, Problem> {
    let record = find(&app, &id).await?.record;
    let account = account(&app.driver.directories.current(), record.account.0)?;
    let cancelled = app.driver.cancel(&account, record.id).await;
    cancelled.map_err(|denial| denied(&app, denial))?;
    Ok(StatusCode::NO_CONTENT)
}

/// Compares a code that the user typed.
#[utoipa::path(
    post, path = "/admin/v1/verifications/{id}/check", tag = "verifications",
    request_body = NewCheck, params(("id" = String, Path, description = "The verification.")),
    responses((status = 200, description = "Whether it is right.", body = CheckAnswer)),
)]
pub(super) async fn check_verification(
    _: Operator,
    State(app): State<Arc<App>>,
    Named(id): Named<String>,
    Input(check): Input<NewCheck>,
) -> Result<Answer<CheckAnswer>, Problem> {
    let record = find(&app, &id).await?.record;
    let account = account(&app.driver.directories.current(), record.account.0)?;
    let verdict = app.driver.check(&account, record.id, TypedCode::text(&check.code)).await;
    Ok(Answer::ok(match verdict.map_err(|denial| denied(&app, denial))? {
        Verdict::Match => CheckAnswer { verdict: "match", checks_left: None },
        Verdict::Mismatch { checks_left } => {
            CheckAnswer { verdict: "mismatch", checks_left: Some(checks_left) }
        }
    }))
}

fn request(app: &App, new: NewVerification) -> Result<VerificationRequest, Problem> {
    let code_length = new.code_length.unwrap_or(CODE_LENGTH);
    if !(Code::DIGITS_MIN..=Code::DIGITS_MAX).contains(&usize::from(code_length)) {
        let detail = format!("is {code_length}; must be 4 to 10 digits");
        return Err(Problem::field("code_length", detail));
    }
    let workflow = new.workflow.unwrap_or(1);
    if !(1..=7).contains(&workflow) {
        return Err(Problem::field("workflow", format!("is {workflow}; must be 1 to 7")));
    }
    let timing = Timing::parse(new.step_wait_s, new.lifetime_s).map_err(|error| {
        let (field, low, high) = match error {
            TimingError::StepWait(low, high) => ("step_wait_s", low, high),
            TimingError::Lifetime(low, high) => ("lifetime_s", low, high),
        };
        Problem::field(field, format!("must be {low} to {high} seconds"))
    })?;
    let locale = new.locale.as_deref().map(|name| {
        let unknown = || Problem::field("locale", "there are no texts in this locale");
        Locale::parse(name).ok_or_else(unknown)
    });
    Ok(VerificationRequest {
        number: recipient(app, "phone", &new.phone, new.country.as_deref())?,
        brand: text("brand", &new.brand, BRAND_CHARS_MAX)?,
        code_length,
        locale: locale.transpose()?,
        originator: new.sender,
        workflow,
        timing,
        idempotency: None,
    })
}

async fn find(app: &App, id: &str) -> Result<VerificationView, Problem> {
    let found = app.driver.store.verification(parse_id(id)?).await?;
    found.ok_or_else(|| refused(engine::Refusal::Unknown))
}

fn parse_id(text: &str) -> Result<VerificationId, Problem> {
    VerificationId::parse(text).ok_or_else(|| refused(engine::Refusal::Unknown))
}

fn story(view: &VerificationView) -> VerificationStory {
    let record = &view.record;
    let AccountId(account) = record.account;
    let (state, next_step_at, expires_at, ended_at) = match record.state {
        VerificationState::Open { next_step_at, expires_at, .. } => {
            ("open", next_step_at, Some(expires_at), None)
        }
        VerificationState::Ended { outcome, at } => (outcome.as_str(), None, None, Some(at)),
    };
    VerificationStory {
        id: record.id.to_string(),
        account,
        phone: masked(view.number),
        brand: view.details.brand.clone(),
        locale: view.details.locale.as_str().to_owned(),
        originator: view.details.originator.clone(),
        price: record.price.to_string(),
        created_at: utc(record.created_at),
        state,
        next_step_at: next_step_at.map(utc),
        expires_at: expires_at.map(utc),
        ended_at: ended_at.map(utc),
        attempts: record.attempts.iter().map(attempt_story).collect(),
        checks: record
            .checks
            .iter()
            .map(|check| CheckStory { at: utc(check.at), right: check.right })
            .collect(),
        converted: record.conversion.map(|conversion| conversion.converted),
    }
}

fn attempt_story(attempt: &Attempt) -> AttemptStory {
    let (progress, error) = match attempt.progress {
        Progress::Queued => ("queued", None),
        Progress::Submitted => ("submitted", None),
        Progress::Unconfirmed => ("unconfirmed", None),
        Progress::Withdrawn => ("withdrawn", None),
        Progress::Reported(receipt) => (receipt.status.as_str(), Some(receipt.error.0)),
    };
    AttemptStory {
        channel: attempt.channel.as_str(),
        queued_at: utc(attempt.queued_at),
        progress,
        progress_at: utc(attempt.progress_at),
        error: error.filter(|error| *error != 0),
        passage: PassageStory::of(&attempt.passage),
        call: attempt.call.as_ref().map(CallStory::of),
    }
}

/// As short as codes are: it is typed into a telephone.
const CODE_LENGTH: u8 = 4;

const LIST_DEFAULT: usize = 20;
const LIST_MAX: usize = 100;
