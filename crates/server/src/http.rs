//! The HTTP side of the server: limits that hold for every request, and one module for each door.

pub mod admin;
pub mod auth;
mod fields;
mod links;
mod operations;
pub mod params;
mod sandbox;
mod textmagic;
pub mod vonage;

use std::net::{IpAddr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use http_body_util::LengthLimitError;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tower_service::Service as _;
use tracing::Instrument as _;

use crate::channels::sandbox::Sandbox;
use crate::channels::switchboard::Switchboard;
use crate::clock::{self, Stopwatch, utc};
use crate::config::Config;
use crate::driver::Driver;
use crate::speech::Voices;
use crate::store::IdempotencyKey;

/// What the doors work with.
pub struct App {
    /// Carries requests out.
    pub driver: Arc<Driver>,
    /// The configuration.
    pub config: Arc<Config>,
    /// The sandbox network, if there is one.
    pub sandbox: Option<Arc<Sandbox>>,
    /// What speaks codes.
    pub voices: Arc<Voices>,
    /// Where links are changed.
    pub switchboard: Switchboard,
    /// Failed logins by address.
    pub logins: auth::Logins,
    /// Whether the server can take work.
    pub ready: AtomicBool,
}

/// Builds the router with every door that the configuration opens.
pub fn router(app: &Arc<App>) -> Router {
    let mut router = Router::new().merge(operations::routes());
    if app.config.textmagic.enabled {
        router = router.merge(textmagic::routes());
    }
    if app.config.vonage.enabled {
        router = router.merge(vonage::routes());
    }
    if app.config.admin.enabled {
        router = router.merge(admin::routes(app));
    }
    if app.config.server.public_url.is_some() {
        router = router.merge(links::routes());
    }
    if app.sandbox.is_some() {
        router = router.merge(sandbox::routes());
    }
    router
        .fallback(async |request: Request| {
            DoorName::of(request.uri().path()).answer(request.uri().path(), Unanswered::NoRoute)
        })
        .layer(middleware::from_fn_with_state(Arc::clone(app), surround))
        .with_state(Arc::clone(app))
}

/// Serves connections until `stop` is true, then lets the requests under way finish, for as long
/// as the configured grace.
pub async fn serve(listener: TcpListener, app: Arc<App>, mut stop: watch::Receiver<bool>) {
    let router = router(&app);
    let connections = Arc::new(Semaphore::new(app.config.server.connections_max));
    let graceful = GracefulShutdown::new();
    loop {
        let next = async {
            // The listener's own queue holds who comes when all connections are taken.
            let permit = Arc::clone(&connections).acquire_owned().await.ok();
            (permit, listener.accept().await)
        };
        let (permit, (stream, peer)) = tokio::select! {
            (permit, accepted) = next => match accepted {
                Ok(accepted) => (permit, accepted),
                Err(error) => {
                    // Out of file descriptors, most likely: a pause lets connections end.
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_RETRY).await;
                    continue;
                }
            },
            // What it answers is a lock that must not be held across the pause above.
            () = async { drop(stop.wait_for(|stop| *stop).await) } => break,
        };
        let _ = stream.set_nodelay(true);
        let router = router.clone();
        // Not as a layer, which would be built anew for each connection.
        let service = service_fn(move |mut request: hyper::Request<hyper::body::Incoming>| {
            request.extensions_mut().insert(ConnectInfo(peer));
            router.clone().call(request)
        });
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(app.config.server.header_timeout)
            .serve_connection(TokioIo::new(stream), service);
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            // A client that goes away in the middle is its own affair.
            let _ = connection.await;
            drop(permit);
        });
    }
    drop(listener);
    let grace = app.config.server.shutdown_grace;
    if tokio::time::timeout(grace, graceful.shutdown()).await.is_err() {
        tracing::warn!("some requests were still under way when the grace was over");
    }
}

/// Gives every request an id, a time limit and a line in the log; decides nothing.
async fn surround(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    let stopwatch = Stopwatch::start();
    let id = RequestId::of(request.headers());
    let path = request.uri().path().to_owned();
    let door = DoorName::of(&path);
    let method = request.method().clone();
    request.extensions_mut().insert(id.clone());
    // Whatever is logged on the way names the request that its caller was answered with. The level
    // is that of the lines that must never be without it.
    let span = tracing::error_span!("request", request.id = %id.0);
    let handler = guarded(next.run(request)).instrument(span);
    let answer = tokio::time::timeout(app.config.server.request_timeout, handler);
    let mut response = match answer.await {
        Ok(Some(response)) => response,
        Ok(None) => {
            tracing::error!(request.id = %id.0, "a request panicked");
            door.answer(&path, Unanswered::Panicked)
        }
        Err(_) => door.answer(&path, Unanswered::TookTooLong),
    };
    if let Ok(value) = HeaderValue::from_str(&id.0) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    let door = door.as_str();
    let elapsed = stopwatch.elapsed();
    let status = response.status();
    app.driver.metrics.http_request(door, status.as_u16(), elapsed);
    let duration_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
    let status = status.as_u16();
    if status >= 500 {
        tracing::warn!(request.id = %id.0, %method, door, status, duration_ms, "answered");
    } else {
        tracing::debug!(request.id = %id.0, %method, door, status, duration_ms, "answered");
    }
    response
}

/// Runs a handler; `None` if it panicked.
async fn guarded(handler: impl Future<Output = Response>) -> Option<Response> {
    let mut handler = Box::pin(handler);
    std::future::poll_fn(move |context| {
        match catch_unwind(AssertUnwindSafe(|| handler.as_mut().poll(context))) {
            Ok(Poll::Ready(response)) => Poll::Ready(Some(response)),
            Ok(Poll::Pending) => Poll::Pending,
            Err(_) => Poll::Ready(None),
        }
    })
    .await
}

/// Names one request in the answer and in the log.
#[derive(Clone, Debug)]
pub struct RequestId(pub String);

impl RequestId {
    /// Takes the caller's own id if it is a decent one, else draws one.
    fn of(headers: &HeaderMap) -> Self {
        let given = headers.get(&REQUEST_ID).and_then(|value| value.to_str().ok());
        let decent = |id: &&str| {
            (1..=REQUEST_ID_BYTES_MAX).contains(&id.len())
                && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
        };
        match given.filter(decent) {
            Some(id) => Self(id.to_owned()),
            None => Self(format!("{:032x}", u128::from_be_bytes(clock::random_bytes()))),
        }
    }
}

/// What every door reads of a request before it looks at the words.
pub(crate) struct Incoming {
    pub(crate) query: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// Where it comes from, as far as proxies are to be believed.
    pub(crate) address: IpAddr,
}

impl Incoming {
    /// Reads a request, with a body of the configured size at most.
    pub(crate) async fn read(app: &App, request: Request) -> Result<Self, Unreadable> {
        let (parts, body) = request.into_parts();
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0);
        let trusted = &app.config.server.trusted_proxies;
        let address = auth::client_address(peer, &parts.headers, trusted);
        let body = axum::body::to_bytes(body, app.config.server.body_bytes_max);
        let patience = app.config.server.request_timeout.mul_f32(BODY_SHARE);
        let body = match tokio::time::timeout(patience, body).await {
            Ok(Ok(body)) => body,
            Ok(Err(error)) => {
                let too_large = error.into_inner().is::<LengthLimitError>();
                return Err(if too_large { Unreadable::TooLarge } else { Unreadable::Broken });
            }
            Err(_) => return Err(Unreadable::TooSlow),
        };
        Ok(Self {
            query: parts.uri.query().unwrap_or_default().to_owned(),
            headers: parts.headers,
            body,
            address,
        })
    }

    /// Returns a header's text.
    pub(crate) fn header(&self, name: impl header::AsHeaderName) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// Returns the content type as it was sent.
    pub(crate) fn content_type(&self) -> Option<&str> {
        self.header(header::CONTENT_TYPE)
    }

    /// Returns the key that makes a repeat of this start harmless, if the caller gave one.
    pub(crate) fn idempotency(
        &self,
        app: &App,
        path: &str,
    ) -> Result<Option<IdempotencyKey>, BadKey> {
        let asked: [&[u8]; 5] = [path.as_bytes(), b"\n", self.query.as_bytes(), b"\n", &self.body];
        self.idempotency_over(app, &asked)
    }

    /// Like [`Incoming::idempotency`] where a repeat does not have the same bytes; `asked` is what
    /// it has in common. Both digests are keyed: what was asked may hold a number and a PIN.
    pub(crate) fn idempotency_over(
        &self,
        app: &App,
        asked: &[&[u8]],
    ) -> Result<Option<IdempotencyKey>, BadKey> {
        let Some(value) = self.headers.get(&IDEMPOTENCY_KEY) else { return Ok(None) };
        let key = value.to_str().map_err(|_| BadKey)?.trim();
        if key.is_empty() || key.len() > IDEMPOTENCY_KEY_BYTES_MAX {
            return Err(BadKey);
        }
        let pepper = &app.driver.directories.secrets().pepper;
        let key = pepper.digest(key.as_bytes());
        Ok(Some(IdempotencyKey { key, fingerprint: pepper.digest(&asked.concat()) }))
    }
}

/// Why the body of a request cannot be read.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Unreadable {
    /// It is larger than configured.
    TooLarge,
    /// It ended early, or is framed wrongly.
    Broken,
    /// It did not come in time.
    TooSlow,
}

impl Unreadable {
    pub(crate) const fn status(self) -> StatusCode {
        match self {
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Broken => StatusCode::BAD_REQUEST,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
        }
    }

    /// A sentence for people, without its full stop.
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::TooLarge => "The request body is too large",
            Self::Broken => "The request body ended early",
            Self::TooSlow => "The request body came too slowly",
        }
    }
}

/// An idempotency key that is empty, too long, or not text.
pub(crate) struct BadKey;

/// Which door a path belongs to, whether or not the configuration opens it.
#[derive(Clone, Copy)]
enum DoorName {
    Textmagic,
    Vonage,
    Sandbox,
    Admin,
    Operations,
    Links,
    Other,
}

/// Why no handler answers a request.
#[derive(Clone, Copy)]
enum Unanswered {
    NoRoute,
    Panicked,
    TookTooLong,
}

impl DoorName {
    fn of(path: &str) -> Self {
        match path.split('/').nth(1) {
            Some("api") => Self::Textmagic,
            Some("sc" | "conversions") => Self::Vonage,
            Some("sandbox") => Self::Sandbox,
            Some("admin") => Self::Admin,
            Some("links") => Self::Links,
            Some("healthz" | "readyz" | "metrics") => Self::Operations,
            _ => Self::Other,
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Textmagic => "textmagic",
            Self::Vonage => "vonage",
            Self::Sandbox => "sandbox",
            Self::Admin => "admin",
            Self::Operations => "operations",
            Self::Links => "links",
            Self::Other => "other",
        }
    }

    /// Answers in place of a handler, in the form that the door's clients can read.
    fn answer(self, path: &str, why: Unanswered) -> Response {
        match self {
            Self::Textmagic => textmagic::unanswered(why),
            Self::Vonage => vonage::unanswered(path, why),
            Self::Sandbox => sandbox::unanswered(why),
            Self::Admin => admin::unanswered(why),
            Self::Operations | Self::Links | Self::Other => plain(why.status(), why.text()),
        }
    }
}

impl Unanswered {
    const fn status(self) -> StatusCode {
        match self {
            Self::NoRoute => StatusCode::NOT_FOUND,
            Self::Panicked => StatusCode::INTERNAL_SERVER_ERROR,
            Self::TookTooLong => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    const fn text(self) -> &'static str {
        match self {
            Self::NoRoute => "there is nothing here\n",
            Self::Panicked => "internal error\n",
            Self::TookTooLong => "the request took too long\n",
        }
    }
}

fn plain(status: StatusCode, text: &'static str) -> Response {
    (status, [(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response()
}

fn json(status: StatusCode, value: &serde_json::Value) -> Response {
    let body = Body::from(value.to_string());
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}

/// Adds how long to wait, in whole seconds, at least one.
fn with_retry_after(mut response: Response, wait: Duration) -> Response {
    let seconds = wait.as_millis().div_ceil(1000).max(1);
    if let Ok(value) = HeaderValue::from_str(&seconds.to_string()) {
        response.headers_mut().insert(header::RETRY_AFTER, value);
    }
    response
}

impl App {
    /// Whether the server can take work.
    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }
}

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const REQUEST_ID_BYTES_MAX: usize = 64;
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const IDEMPOTENCY_KEY_BYTES_MAX: usize = 255;
/// The part of a request's time in which its body must have come: the rest is for the answer.
const BODY_SHARE: f32 = 0.75;
const ACCEPT_RETRY: Duration = Duration::from_millis(100);
