//! The sandbox API: read a handset's inbox, type the code that it received, write from it, move the
//! clock.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use engine::{Keyword, TypedCode, Verdict};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{App, Incoming, Unanswered, utc};
use crate::channels::sandbox::{self, AudioError, Call, Sandbox, Sms};
use crate::driver::Denial;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/sandbox/v1/handsets/{digits}/inbox", get(inbox))
        .route("/sandbox/v1/handsets/{digits}/calls/{id}/audio", get(audio))
        .route("/sandbox/v1/handsets/{digits}/type", post(type_code))
        .route("/sandbox/v1/handsets/{digits}/send", post(send))
        .route("/sandbox/v1/clock", get(clock).post(advance))
}

/// What a handset's owner types.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TypeRequest {
    code: String,
}

/// What a handset's owner sends.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SendRequest {
    to: String,
    text: String,
}

/// How far to move the clock.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AdvanceRequest {
    advance_s: f64,
}

/// `GET /sandbox/v1/handsets/{digits}/inbox`
async fn inbox(State(app): State<Arc<App>>, Path(digits): Path<String>) -> Response {
    let answer = async {
        let digits = handset(&digits)?;
        let inbox = sandbox(&app)?.inbox(digits).map_err(|error| {
            tracing::error!(%error, "cannot read a handset's inbox");
            fault(StatusCode::INTERNAL_SERVER_ERROR, "the inbox cannot be read")
        })?;
        let messages: Vec<Value> = inbox.messages.iter().map(message).collect();
        let mut calls = Vec::with_capacity(inbox.calls.len());
        for told in &inbox.calls {
            calls.push(call(&app, digits, told).await);
        }
        Ok(super::json(StatusCode::OK, &json!({ "messages": messages, "calls": calls })))
    };
    answer.await.unwrap_or_else(Fault::render)
}

/// `GET /sandbox/v1/handsets/{digits}/calls/{id}/audio`
async fn audio(
    State(app): State<Arc<App>>,
    Path((digits, id)): Path<(String, String)>,
) -> Response {
    let answer = async {
        let audio = sandbox(&app)?.audio(handset(&digits)?, &id).await;
        match audio {
            Ok(Some(wav)) => Ok(([(header::CONTENT_TYPE, "audio/wav")], wav).into_response()),
            Ok(None) => Err(fault(StatusCode::NOT_FOUND, "nobody has answered such a call")),
            Err(AudioError::Speech(error)) if error.is_transient() => {
                Err(fault(StatusCode::SERVICE_UNAVAILABLE, "the voice is not ready yet"))
            }
            Err(AudioError::Speech(error)) => {
                tracing::warn!(%error, "a call cannot be spoken");
                Err(fault(StatusCode::NOT_FOUND, "there is no voice for this call"))
            }
            Err(AudioError::Inbox(error)) => {
                tracing::error!(%error, "cannot read a handset's inbox");
                Err(fault(StatusCode::INTERNAL_SERVER_ERROR, "the inbox cannot be read"))
            }
        }
    };
    answer.await.unwrap_or_else(Fault::render)
}

/// `POST /sandbox/v1/handsets/{digits}/type`
async fn type_code(
    State(app): State<Arc<App>>,
    Path(digits): Path<String>,
    request: Request,
) -> Response {
    let answer = async {
        let digits = handset(&digits)?;
        let typed: TypeRequest = body(&app, request).await?;
        let Some(id) = sandbox(&app)?.last_verification(digits) else {
            return Err(fault(StatusCode::NOT_FOUND, "this handset has received no verification"));
        };
        let found = app.driver.store.verification(id).await.ok().flatten();
        let directory = app.driver.directories.current();
        let account = found.and_then(|view| directory.account(view.record.account).cloned());
        let Some(account) = account else {
            return Err(fault(StatusCode::NOT_FOUND, "this verification has been deleted"));
        };
        let (status, body) =
            match app.driver.check(&account, id, TypedCode::text(&typed.code)).await {
                Ok(Verdict::Match) => (StatusCode::OK, json!({ "verdict": "match" })),
                Ok(Verdict::Mismatch { checks_left }) => {
                    (StatusCode::OK, json!({ "verdict": "mismatch", "checks_left": checks_left }))
                }
                Err(Denial::Refused(refusal)) => {
                    (StatusCode::CONFLICT, json!({ "error": refusal.as_str() }))
                }
                Err(Denial::Failed(error)) => {
                    tracing::error!(%error, "cannot check a code");
                    (StatusCode::SERVICE_UNAVAILABLE, json!({ "error": "the store failed" }))
                }
            };
        Ok(super::json(status, &body))
    };
    answer.await.unwrap_or_else(Fault::render)
}

/// `POST /sandbox/v1/handsets/{digits}/send`
async fn send(
    State(app): State<Arc<App>>,
    Path(digits): Path<String>,
    request: Request,
) -> Response {
    let answer = async {
        let digits = handset(&digits)?;
        let message: SendRequest = body(&app, request).await?;
        sandbox(&app)?;
        if app.driver.directories.current().our_numbers(&message.to).is_empty() {
            return Err(fault(StatusCode::NOT_FOUND, "no account has this number"));
        }
        sandbox::send(&app.driver, digits, &message.to, &message.text).await.map_err(|error| {
            tracing::error!(%error, "cannot take a handset's message in");
            fault(StatusCode::SERVICE_UNAVAILABLE, "the store failed")
        })?;
        let keyword = Keyword::of(&message.text).as_str();
        Ok(super::json(StatusCode::OK, &json!({ "understood_as": keyword })))
    };
    answer.await.unwrap_or_else(Fault::render)
}

/// `GET /sandbox/v1/clock`
async fn clock(State(app): State<Arc<App>>) -> Response {
    let clock = &app.driver.clock;
    let moving = app.sandbox.as_ref().is_some_and(|sandbox| sandbox.is_moving());
    let ahead = clock.offset().as_secs_f64();
    let body = json!({ "now": utc(clock.now()), "ahead_s": ahead, "moving": moving });
    super::json(StatusCode::OK, &body)
}

/// `POST /sandbox/v1/clock`
async fn advance(State(app): State<Arc<App>>, request: Request) -> Response {
    let answer = async {
        let step: AdvanceRequest = body(&app, request).await?;
        let step = Duration::try_from_secs_f64(step.advance_s)
            .ok()
            .filter(|step| *step <= ADVANCE_MAX)
            .ok_or_else(|| fault(StatusCode::BAD_REQUEST, "advance_s is from 0 to 31536000"))?;
        // Answered before the limit of every request would cut it off without a word.
        let patience = app.config.server.request_timeout.mul_f64(PATIENCE);
        let moved = tokio::time::timeout(patience, sandbox(&app)?.advance(&app.driver, step));
        let Ok(moved) = moved.await else {
            let mut answer = fault(StatusCode::SERVICE_UNAVAILABLE, STILL_MOVING).render();
            answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            return Ok(answer);
        };
        let now = moved.map_err(|error| {
            tracing::error!(%error, "cannot move the clock");
            fault(StatusCode::SERVICE_UNAVAILABLE, "the store failed")
        })?;
        let ahead = app.driver.clock.offset().as_secs_f64();
        Ok(super::json(StatusCode::OK, &json!({ "now": utc(now), "ahead_s": ahead })))
    };
    answer.await.unwrap_or_else(Fault::render)
}

fn message(message: &Sms) -> Value {
    json!({
        "id": message.id,
        "from": message.from,
        "text": message.text.reveal(),
        "received_at": utc(message.received_at),
    })
}

async fn call(app: &App, digits: u64, call: &Call) -> Value {
    let audio_url = match &call.heard {
        Some(heard) if app.voices.speak(heard.spoken.locale, heard.spoken.wishes).await => {
            Some(format!("/sandbox/v1/handsets/{digits}/calls/{}/audio", call.id))
        }
        Some(_) | None => None,
    };
    json!({
        "id": call.id,
        "from": call.from,
        "started_at": utc(call.started_at),
        "answered_at": call.answered_at.map(utc),
        "ended_at": utc(call.ended_at),
        "transcript": call.transcript.reveal(),
        "audio_url": audio_url,
    })
}

fn sandbox(app: &App) -> Result<&Arc<Sandbox>, Fault> {
    app.sandbox.as_ref().ok_or_else(|| fault(StatusCode::NOT_FOUND, "there is no sandbox"))
}

fn handset(digits: &str) -> Result<u64, Fault> {
    let digits = digits.strip_prefix('+').unwrap_or(digits);
    let valid = (4..=15).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    let number = valid.then(|| digits.parse().ok()).flatten();
    number.ok_or_else(|| {
        fault(StatusCode::BAD_REQUEST, "a handset is named by its number in international digits")
    })
}

async fn body<T: for<'de> Deserialize<'de>>(app: &App, request: Request) -> Result<T, Fault> {
    let incoming =
        Incoming::read(app, request).await.map_err(|why| fault(why.status(), why.text()))?;
    serde_json::from_slice(&incoming.body).map_err(|_| {
        fault(StatusCode::BAD_REQUEST, "the request body is not the JSON expected here")
    })
}

/// An answer that is not a success.
struct Fault {
    status: StatusCode,
    text: &'static str,
}

impl Fault {
    fn render(self) -> Response {
        super::json(self.status, &json!({ "error": self.text }))
    }
}

fn fault(status: StatusCode, text: &'static str) -> Fault {
    Fault { status, text }
}

/// Answers where no handler does.
pub(super) fn unanswered(why: Unanswered) -> Response {
    fault(why.status(), why.text().trim_end()).render()
}

/// A client that asks again would move the clock twice: it should look instead.
const STILL_MOVING: &str =
    "the clock is still being moved and will get there; GET tells when it has";

/// The part of a request's time that a move of the clock may take.
const PATIENCE: f64 = 0.9;

/// A year.
const ADVANCE_MAX: Duration = Duration::from_hours(24 * 365);
