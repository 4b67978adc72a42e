//! For whoever runs the server: is it alive, can it take work, what are its figures.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;

use super::{App, json, plain};
use crate::telemetry::METRICS_CONTENT_TYPE;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/healthz", get(|| async { plain(StatusCode::OK, "ok\n") }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
}

/// 200 when the store answers and the server is not shutting down, else 503.
async fn ready(State(app): State<Arc<App>>) -> Response {
    if !app.is_ready() {
        let body = serde_json::json!({ "ready": false, "reason": "the server is stopping" });
        return json(StatusCode::SERVICE_UNAVAILABLE, &body);
    }
    match app.driver.store.next_due().await {
        Ok(_) => json(StatusCode::OK, &serde_json::json!({ "ready": true })),
        Err(error) => {
            tracing::warn!(%error, "not ready");
            let body = serde_json::json!({ "ready": false, "reason": "the store does not answer" });
            json(StatusCode::SERVICE_UNAVAILABLE, &body)
        }
    }
}

async fn metrics(State(app): State<Arc<App>>) -> Response {
    let depth = u32::try_from(app.driver.store.depth()).unwrap_or(u32::MAX);
    app.driver.metrics.store_queue(depth);
    ([(header::CONTENT_TYPE, METRICS_CONTENT_TYPE)], app.driver.metrics.encode()).into_response()
}
