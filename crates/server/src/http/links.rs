//! The door for carriers: what they send to the secret path of a link.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;

use super::{App, Incoming, Unanswered, Unreadable, plain, with_retry_after};
use crate::channels::gate::Gate;
use crate::channels::http::callback::{Callback, is_token};

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/links/{link}/{token}/receipts", get(receipts).post(receipts))
        .route("/links/{link}/{token}/inbound", get(inbound).post(inbound))
}

/// 200 once every report is stored, 503 if one cannot be: the carrier then brings it again.
async fn receipts(
    State(app): State<Arc<App>>,
    Path((link, token)): Path<(String, String)>,
    request: Request,
) -> Response {
    let secrets = app.driver.directories.secrets();
    let Some(gate) = admit(&app, &link, &token) else { return nothing() };
    let Some(callbacks) = gate.link.callbacks() else { return nothing() };
    let callback = match read(&app, request).await {
        Ok(callback) => callback,
        Err(unreadable) => return plain(unreadable.status(), "the body cannot be read\n"),
    };
    let reports = callbacks.reports(&callback, secrets);
    if reports.is_empty() {
        tracing::warn!(link, "a report was not understood");
        return plain(StatusCode::BAD_REQUEST, "no report is understood\n");
    }
    for report in reports {
        let driver = &app.driver;
        let keys = report.keys.clone();
        let told = driver.handle_carrier_receipt(&link, keys, report.receipt).await;
        if let Err(error) = told {
            tracing::warn!(link, %error, "a report cannot be stored");
            return busy();
        }
        callbacks.settle(report);
    }
    taken(callbacks.answer())
}

/// The same for what handsets send.
async fn inbound(
    State(app): State<Arc<App>>,
    Path((link, token)): Path<(String, String)>,
    request: Request,
) -> Response {
    let Some(gate) = admit(&app, &link, &token) else { return nothing() };
    let callbacks = gate.link.callbacks();
    let Some((callbacks, rules)) = callbacks.and_then(|all| all.inbound_rules().map(|r| (all, r)))
    else {
        return nothing();
    };
    let callback = match read(&app, request).await {
        Ok(callback) => callback,
        Err(unreadable) => return plain(unreadable.status(), "the body cannot be read\n"),
    };
    let messages = callbacks.inbound(rules, &callback);
    if messages.is_empty() {
        tracing::warn!(link, "a message from a handset was not understood");
        return plain(StatusCode::BAD_REQUEST, "no message is understood\n");
    }
    for message in messages {
        if let Err(error) = app.driver.handle_inbound(&link, message).await {
            tracing::warn!(link, %error, "a message from a handset cannot be stored");
            return busy();
        }
    }
    taken(&rules.answer)
}

/// Finds the link of a path, if the token is that link's.
fn admit(app: &App, link: &str, token: &str) -> Option<Arc<Gate>> {
    let gate = || app.driver.channels.ways().gate(link);
    is_token(link, token, app.driver.directories.secrets()).then(gate).flatten()
}

async fn read(app: &App, request: Request) -> Result<Callback, Unreadable> {
    let incoming = Incoming::read(app, request).await?;
    Ok(Callback::read(&incoming.query, incoming.content_type(), &incoming.body))
}

fn nothing() -> Response {
    plain(Unanswered::NoRoute.status(), Unanswered::NoRoute.text())
}

fn busy() -> Response {
    let busy = plain(StatusCode::SERVICE_UNAVAILABLE, "it cannot be stored now\n");
    with_retry_after(busy, BUSY_RETRY)
}

fn taken(answer: &str) -> Response {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, PLAIN);
    (StatusCode::OK, headers, answer.to_owned()).into_response()
}

const PLAIN: header::HeaderValue = header::HeaderValue::from_static("text/plain; charset=utf-8");

/// A store that is busy has caught up by then.
const BUSY_RETRY: std::time::Duration = std::time::Duration::from_secs(5);
