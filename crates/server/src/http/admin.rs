//! The operator's door: everything that can be set up and looked at, as JSON over HTTP.

mod accounts;
mod answer;
mod keys;
mod links;
mod messages;
mod money;
mod numbers;
mod passage;
mod problem;
mod recipients;
mod routes;
mod settings;
mod stats;
mod status;
mod templates;
mod verifications;
mod webhooks;

use std::sync::Arc;

use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{any, get};
use axum::{Extension, Router};
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    Components, Content, InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder, Ref,
    ResponseBuilder, ServerBuilder,
};
use utoipa::{PartialSchema as _, ToSchema as _};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use self::problem::{Problem, ProblemBody};
use super::{App, Unanswered, auth};
use crate::clock::Stopwatch;
use crate::seal::{SecretHash, read_or_create_private};

/// What the door itself needs, fixed when the server starts.
struct Door {
    token: SecretHash,
    running: Stopwatch,
}

/// Builds the door's routes. Without a token to compare with, there are none.
pub(super) fn routes(app: &App) -> Router<Arc<App>> {
    let token = match read_or_create_private(&app.config.admin.token_file, auth::draw_token) {
        Ok(token) => token,
        Err(error) => {
            tracing::error!(%error, "the admin API stays closed: its token cannot be read");
            return Router::new();
        }
    };
    let pepper = &app.driver.directories.secrets().pepper;
    let token = SecretHash::of(pepper, token.trim());
    let door = Arc::new(Door { token, running: Stopwatch::start() });
    let document = render(&document());
    let (operations, _) = operations().split_for_parts();
    operations
        .route(
            DOCUMENT_PATH,
            get(move || async { ([(header::CONTENT_TYPE, "application/json")], document) }),
        )
        .method_not_allowed_fallback(|| async { Problem::wrong_method().into_response() })
        .route("/admin/v1/{*rest}", any(|_: Request| async { Problem::no_route().into_response() }))
        .layer(Extension(door))
}

/// Answers where no operation does.
pub(super) fn unanswered(why: Unanswered) -> Response {
    match why {
        Unanswered::NoRoute => Problem::no_route(),
        Unanswered::Panicked => Problem::internal(),
        Unanswered::TookTooLong => {
            let detail = "The request took too long; whether it was carried out is not known.";
            Problem::new(why.status(), "timeout", detail)
        }
    }
    .into_response()
}

/// Returns the OpenAPI 3.1 document of the admin API, as indented JSON with a final line feed.
pub fn openapi() -> String {
    render(&document())
}

fn operations() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::default()
        .routes(routes!(accounts::list_accounts, accounts::create_account))
        .routes(routes!(accounts::show_account, accounts::change_account))
        .routes(routes!(keys::list_keys, keys::create_key))
        .routes(routes!(keys::change_key, keys::drop_key))
        .routes(routes!(numbers::list_numbers, numbers::add_number))
        .routes(routes!(numbers::drop_number))
        .routes(routes!(templates::list_templates, templates::put_template))
        .routes(routes!(templates::drop_template))
        .routes(routes!(money::show_balance))
        .routes(routes!(money::add_credit))
        .routes(routes!(money::list_prices, money::put_price, money::drop_price))
        .routes(routes!(recipients::list_opt_outs))
        .routes(routes!(recipients::show_opt_out, recipients::opt_out, recipients::opt_in))
        .routes(routes!(recipients::list_barred))
        .routes(routes!(recipients::show_barred, recipients::bar, recipients::unbar))
        .routes(routes!(recipients::erase))
        .routes(routes!(verifications::list_verifications, verifications::start_verification))
        .routes(routes!(verifications::show_verification, verifications::cancel_verification))
        .routes(routes!(verifications::check_verification))
        .routes(routes!(messages::send_message))
        .routes(routes!(messages::show_message))
        .routes(routes!(webhooks::list_dead_webhooks))
        .routes(routes!(webhooks::replay_webhook))
        .routes(routes!(links::list_links))
        .routes(routes!(links::show_link))
        .routes(routes!(links::pause_link))
        .routes(routes!(links::resume_link))
        .routes(routes!(links::drain_link))
        .routes(routes!(links::reload))
        .routes(routes!(routes::list_routes, routes::put_routes, routes::reset_routes))
        .routes(routes!(stats::show_stats))
        .routes(routes!(status::show_status))
}

fn document() -> OpenApi {
    let (_, mut api) = operations().split_for_parts();
    let mut components = api.components.take().unwrap_or_default();
    describe_problem(&mut components);
    let scheme = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("The content of the file that `admin.token_file` names."))
        .build();
    components.add_security_scheme(TOKEN_SCHEME, SecurityScheme::Http(scheme));
    for item in api.paths.paths.values_mut() {
        for operation in operations_of(item) {
            operation.responses.responses.insert("default".to_owned(), refused().into());
            // Some readers of such documents show the description only.
            operation.description = operation.description.take().or(operation.summary.clone());
        }
    }
    let info = InfoBuilder::new()
        .title("Countersign admin API")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(ABOUT))
        .license(Some(
            LicenseBuilder::new().name("Apache-2.0").identifier(Some("Apache-2.0")).build(),
        ))
        .build();
    OpenApiBuilder::new()
        .info(info)
        .servers(Some([ServerBuilder::new().url("/").build()]))
        .paths(api.paths)
        .components(Some(components))
        .security(Some([SecurityRequirement::new(TOKEN_SCHEME, Vec::<String>::new())]))
        .build()
}

fn operations_of(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    let methods = [&mut item.get, &mut item.put, &mut item.post, &mut item.delete, &mut item.patch];
    methods.into_iter().flatten()
}

fn describe_problem(components: &mut Components) {
    let mut schemas = vec![(ProblemBody::name().into_owned(), ProblemBody::schema())];
    ProblemBody::schemas(&mut schemas);
    components.schemas.extend(schemas);
}

fn refused() -> utoipa::openapi::Response {
    let schema = Ref::from_schema_name(ProblemBody::name());
    ResponseBuilder::new()
        .description("Why not, as a problem of RFC 9457.")
        .content(problem::CONTENT_TYPE, Content::new(Some(schema)))
        .build()
}

/// A document that cannot be written would be a mistake that the test of the committed one finds.
fn render(document: &OpenApi) -> String {
    document.to_pretty_json().map(|json| json + "\n").unwrap_or_default()
}

impl Problem {
    fn no_route() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", "There is no such resource.")
    }

    fn wrong_method() -> Self {
        let detail = "This resource does not take this method.";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail)
    }
}

const DOCUMENT_PATH: &str = "/admin/v1/openapi.json";
const TOKEN_SCHEME: &str = "token";
const ABOUT: &str = "Sets up accounts with their keys, numbers, templates and prices, starts and \
    checks verifications, sends messages, and tells what became of them. Phone numbers are shown \
    masked, codes never. Secrets are shown once, in the answer that creates them.";
