//! The door for carriers: what they send to the secret path of a link.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;

use super::{App, Incoming, Unanswered, plain, with_retry_after};
use crate::channels::http::callback::{Callback, is_token};

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new().route("/links/{link}/{token}/receipts", get(receipts).post(receipts))
}

/// 200 once every report is stored, 503 if one cannot be: the carrier then brings it again.
async fn receipts(
    State(app): State<Arc<App>>,
    Path((link, token)): Path<(String, String)>,
    request: Request,
) -> Response {
    let secrets = app.driver.directories.secrets();
    let nothing = || plain(Unanswered::NoRoute.status(), Unanswered::NoRoute.text());
    if !is_token(&link, &token, secrets) {
        return nothing();
    }
    let Some(gate) = app.driver.channels.ways().gate(&link) else { return nothing() };
    let Some(callbacks) = gate.link.callbacks() else { return nothing() };
    let incoming = match Incoming::read(&app, request).await {
        Ok(incoming) => incoming,
        Err(unreadable) => return plain(unreadable.status(), "the body cannot be read\n"),
    };
    let callback = Callback::read(&incoming.query, incoming.content_type(), &incoming.body);
    let reports = callbacks.reports(&callback, secrets);
    if reports.is_empty() {
        tracing::warn!(link, "a report was not understood");
        return plain(StatusCode::BAD_REQUEST, "no report is understood\n");
    }
    for report in reports {
        let driver = &app.driver;
        let told = driver.handle_carrier_receipt(&link, report.keys, report.receipt).await;
        if let Err(error) = told {
            tracing::warn!(link, %error, "a report cannot be stored");
            let busy = plain(StatusCode::SERVICE_UNAVAILABLE, "it cannot be stored now\n");
            return with_retry_after(busy, BUSY_RETRY);
        }
    }
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, PLAIN);
    (StatusCode::OK, headers, callbacks.answer().to_owned()).into_response()
}

const PLAIN: header::HeaderValue = header::HeaderValue::from_static("text/plain; charset=utf-8");

/// A store that is busy has caught up by then.
const BUSY_RETRY: std::time::Duration = std::time::Duration::from_secs(5);
