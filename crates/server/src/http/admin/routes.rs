//! Routes: which attempts go over which links.

use std::sync::Arc;

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::answer::{Answer, Input, Operator};
use super::problem::Problem;
use crate::channels::switchboard::has_own_routes;
use crate::config::RouteEntry;
use crate::http::App;

/// The whole table of routes.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewRoutes {
    /// The routes; the first that fits an attempt is followed.
    routes: Vec<RouteEntry>,
}

/// The table of routes in effect.
#[derive(Serialize, ToSchema)]
pub(super) struct RouteTable {
    /// Where they come from: `config` or `admin`.
    source: &'static str,
    /// The routes; the first that fits an attempt is followed. Without any, all links are tried in
    /// the order of their names.
    routes: Vec<RouteEntry>,
}

/// Shows the routes in effect.
#[utoipa::path(
    get, path = "/admin/v1/routes", tag = "links",
    responses((status = 200, description = "The routes.", body = RouteTable)),
)]
pub(super) async fn list_routes(_: Operator, State(app): State<Arc<App>>) -> Answer<RouteTable> {
    Answer::ok(table(&app))
}

/// Replaces all routes, at once and until they are reset.
#[utoipa::path(
    put, path = "/admin/v1/routes", tag = "links", request_body = NewRoutes,
    responses((status = 200, description = "The routes as they are now.", body = RouteTable)),
)]
pub(super) async fn put_routes(
    _: Operator,
    State(app): State<Arc<App>>,
    Input(new): Input<NewRoutes>,
) -> Result<Answer<RouteTable>, Problem> {
    app.switchboard.set_routes(&app.driver, Some(&new.routes)).await?;
    tracing::info!(routes = new.routes.len(), "routes set");
    Ok(Answer::ok(table(&app)))
}

/// Resets the routes to those of the configuration.
#[utoipa::path(
    delete, path = "/admin/v1/routes", tag = "links",
    responses((status = 200, description = "The routes as they are now.", body = RouteTable)),
)]
pub(super) async fn reset_routes(
    _: Operator,
    State(app): State<Arc<App>>,
) -> Result<Answer<RouteTable>, Problem> {
    app.switchboard.set_routes(&app.driver, None).await?;
    tracing::info!("routes reset");
    Ok(Answer::ok(table(&app)))
}

fn table(app: &App) -> RouteTable {
    let routes = app.driver.channels.ways();
    let routes = routes.routing.routes().iter().map(RouteEntry::from).collect();
    let source = if has_own_routes(&app.driver) { "admin" } else { "config" };
    RouteTable { source, routes }
}
