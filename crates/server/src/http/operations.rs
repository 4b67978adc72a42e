//! For whoever runs the server: is it alive, can it take work, what are its figures.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;

use super::{App, json, plain};
use crate::telemetry::{Label, LinkStand, METRICS_CONTENT_TYPE};

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/healthz", get(|| async { plain(StatusCode::OK, "ok\n") }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
}

/// 200 when the store answers and the server is not shutting down, else 503. Links are told of and
/// decide nothing: while one is down the server takes work all the same, and holds it.
async fn ready(State(app): State<Arc<App>>) -> Response {
    if !app.is_ready() {
        let body = serde_json::json!({ "ready": false, "reason": "the server is stopping" });
        return json(StatusCode::SERVICE_UNAVAILABLE, &body);
    }
    match app.driver.store.next_due().await {
        Ok(_) => {
            let body = serde_json::json!({ "ready": true, "links": links(&app) });
            json(StatusCode::OK, &body)
        }
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
    let now = app.driver.clock.now();
    app.driver.metrics.links(app.driver.channels.ways().gates.iter().map(|gate| {
        let state = gate.link.state();
        LinkStand {
            link: Label::link(gate.link.name()),
            standing: state.standing.as_str(),
            control: gate.control().as_str(),
            last_error: state.last_error.map(|error| error.kind.as_str()),
            in_flight: i64::try_from(state.in_flight).unwrap_or(i64::MAX),
            today: i64::try_from(gate.today(now).0).unwrap_or(i64::MAX),
        }
    }));
    ([(header::CONTENT_TYPE, METRICS_CONTENT_TYPE)], app.driver.metrics.encode()).into_response()
}

/// How each link stands, without what only the operator should see.
fn links(app: &App) -> Vec<serde_json::Value> {
    let ways = app.driver.channels.ways();
    let told = ways.gates.iter().map(|gate| {
        let state = gate.link.state();
        serde_json::json!({
            "name": gate.link.name(),
            "standing": state.standing.as_str(),
            "control": gate.control().as_str(),
            "last_error": state.last_error.map(|error| error.text),
        })
    });
    told.collect()
}
