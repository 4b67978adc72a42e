//! Webhooks that were given up, and their second chance.

#![expect(unused_qualifications, reason = "utoipa's macro writes them for query parameters")]

use std::sync::Arc;

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::answer::{Answer, Named, Operator, Search};
use super::problem::Problem;
use crate::http::{App, utc};
use crate::store::{DeadWebhook, WebhookSubject};

/// A webhook that was given up.
#[derive(Serialize, ToSchema)]
pub(super) struct DeadWebhookView {
    /// Its identifier.
    id: i64,
    /// Whose it is.
    account: u32,
    /// Where it was to go, if the request named it; else it goes where the account says.
    url: Option<String>,
    /// The message that it tells of.
    message: Option<String>,
    /// The verification that it tells of.
    verification: Option<String>,
    /// The message from a handset that it tells of.
    inbound: Option<String>,
    /// When it came about.
    created_at: String,
    /// When it was given up.
    dead_at: String,
    /// How often it was tried.
    tries: u32,
    /// Why the last try failed.
    error: String,
}

/// Webhooks that were given up.
#[derive(Serialize, ToSchema)]
pub(super) struct DeadWebhookList {
    /// The webhooks, newest first.
    items: Vec<DeadWebhookView>,
}

/// How many webhooks to list.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct DeadWebhookFilter {
    /// How many, 1 to 1000; 100 if left out.
    limit: Option<usize>,
}

/// A webhook that is tried again.
#[derive(Serialize, ToSchema)]
pub(super) struct Replayed {
    /// Its identifier.
    id: i64,
}

/// Lists webhooks that were given up, newest first.
#[utoipa::path(
    get, path = "/admin/v1/webhooks/dead", tag = "webhooks", params(DeadWebhookFilter),
    responses((status = 200, description = "The webhooks.", body = DeadWebhookList)),
)]
pub(super) async fn list_dead_webhooks(
    _: Operator,
    State(app): State<Arc<App>>,
    Search(filter): Search<DeadWebhookFilter>,
) -> Result<Answer<DeadWebhookList>, Problem> {
    let limit = filter.limit.unwrap_or(LIST_DEFAULT);
    if !(1..=LIST_MAX).contains(&limit) {
        return Err(Problem::field("limit", format!("is {limit}; must be 1 to {LIST_MAX}")));
    }
    let dead = app.driver.store.dead_webhooks(limit).await?;
    Ok(Answer::ok(DeadWebhookList { items: dead.into_iter().map(view).collect() }))
}

/// Tries a webhook again that was given up.
#[utoipa::path(
    post, path = "/admin/v1/webhooks/{id}/replay", tag = "webhooks",
    params(("id" = i64, Path, description = "The webhook.")),
    responses((status = 200, description = "It is on its way again.", body = Replayed)),
)]
pub(super) async fn replay_webhook(
    _: Operator,
    State(app): State<Arc<App>>,
    Named(id): Named<i64>,
) -> Result<Answer<Replayed>, Problem> {
    if !app.driver.store.replay_webhook(id, app.driver.clock.now()).await? {
        return Err(Problem::unknown("webhook that was given up"));
    }
    app.driver.webhooks.notify();
    tracing::info!(webhook.id = id, "webhook replayed");
    Ok(Answer::ok(Replayed { id }))
}

fn view(dead: DeadWebhook) -> DeadWebhookView {
    let (mut message, mut verification, mut inbound) = (None, None, None);
    match dead.subject {
        WebhookSubject::Message(id) => message = Some(id.to_string()),
        WebhookSubject::Verification(id) => verification = Some(id.to_string()),
        WebhookSubject::Inbound(id) => inbound = Some(id.to_string()),
    }
    DeadWebhookView {
        id: dead.id,
        account: dead.account.0,
        url: dead.url,
        message,
        verification,
        inbound,
        created_at: utc(dead.created_at),
        dead_at: utc(dead.dead_at),
        tries: dead.tries,
        error: dead.error,
    }
}

const LIST_DEFAULT: usize = 100;
const LIST_MAX: usize = 1000;
