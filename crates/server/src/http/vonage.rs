//! The Vonage door: 2FA by short code, delivery receipts and conversions in Vonage's own words.

mod conversion;
pub mod envelope;
pub mod inbound;
mod login;
mod opt_in;
pub mod push;
pub mod receipt;
mod request;
pub mod signature;
pub mod status;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::handler::Handler;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::map_response;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{MethodRouter, any, get};
use engine::{MessageId, PriceItem, Refusal, Subject};

use self::envelope::{AcceptedPart, Format, Part, RefusedPart};
use self::login::LoginFault;
use self::status::WireStatus;
use super::params::Params;
use super::{App, BadKey, Incoming, Unanswered, plain, with_retry_after};
use crate::directory::Account;
use crate::driver::{Denial, MessageRequest};
use crate::store::{IdempotencyKey, Started, StoreError};

pub(super) fn routes() -> Router<Arc<App>> {
    let mut routes = Router::new();
    for format in Format::ALL {
        let suffix = format.suffix();
        let send = move |State(app): State<Arc<App>>, request: Request| async move {
            two_factor(&app, request, format).await
        };
        let query = move |State(app): State<Arc<App>>, request: Request| async move {
            opt_in::query(&app, request, format).await
        };
        let manage = move |State(app): State<Arc<App>>, request: Request| async move {
            opt_in::manage(&app, request, format).await
        };
        routes = routes
            .route(&format!("{TWO_FACTOR}/{suffix}"), get_or_post(send))
            .route(&format!("/sc/us/alert/opt-in/query/{suffix}"), get_or_post(query))
            .route(&format!("/sc/us/alert/opt-in/manage/{suffix}"), get_or_post(manage));
    }
    routes
        .route("/conversions/sms", get_or_post(conversion::convert))
        .route("/conversions/voice", get_or_post(conversion::convert))
        .route("/sc/{*rest}", any(nothing))
        .route("/conversions/{*rest}", any(nothing))
        .layer(map_response(async |response| harden(response)))
}

/// A HEAD is answered apart: it would otherwise run as a GET and send a message.
fn get_or_post<H, T>(handler: H) -> MethodRouter<Arc<App>>
where
    H: Handler<T, Arc<App>>,
    T: 'static,
{
    get(handler.clone()).post(handler).head(|| async { StatusCode::OK }).fallback(nothing)
}

async fn nothing() -> Response {
    plain(StatusCode::NOT_FOUND, Unanswered::NoRoute.text())
}

/// Answers where no handler does.
pub(super) fn unanswered(path: &str, why: Unanswered) -> Response {
    let response = match why {
        Unanswered::NoRoute => plain(why.status(), why.text()),
        Unanswered::Panicked | Unanswered::TookTooLong if path.starts_with("/conversions/") => {
            conversion::unanswered(why)
        }
        Unanswered::Panicked | Unanswered::TookTooLong => {
            let suffix = path.rsplit('/').next();
            let format = Format::ALL.into_iter().find(|format| suffix == Some(format.suffix()));
            let error = WireError::new(WireStatus::InternalError);
            WireError { http: why.status(), ..error }.render(format.unwrap_or(Format::Json))
        }
    };
    harden(response)
}

/// Adds the headers that the vendor sends with every answer; decides nothing.
fn harden(mut response: Response) -> Response {
    for (name, value) in SECURITY_HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

/// `/sc/us/2fa/{json|xml}`
async fn two_factor(app: &Arc<App>, request: Request, format: Format) -> Response {
    let answer = async {
        let incoming = read(app, request).await?;
        let params = decode(&incoming, format)?;
        let account = login::authenticate(app, &incoming, &params)?;
        match send(app, &account, &incoming, &params).await {
            Ok(parts) => Ok(respond(StatusCode::OK, format, envelope::render(&parts, format))),
            Err(error) => Err(describe(app, &account, &params, error).await),
        }
    };
    answer.await.unwrap_or_else(|error: WireError| error.render(format))
}

async fn send(
    app: &Arc<App>,
    account: &Account,
    incoming: &Incoming,
    params: &Params,
) -> Result<Vec<Part>, WireError> {
    let idempotency = idempotency(app, incoming, params)?;
    // The vendor looks at the account before it looks at the parameters. What may be a repeat goes
    // on: its first answer is not taken back.
    if account.settings.suspended && idempotency.is_none() {
        return Err(denied(app, Denial::Refused(Refusal::AccountSuspended)));
    }
    let request = request::parse(params, account, &app.config)?;
    let request = MessageRequest { idempotency, ..request };
    let (to, client_ref) = (request.number.digits().to_string(), request.client_ref.clone());
    app.driver.metrics.start(DOOR);
    let started = app.driver.send_message(account, request).await;
    let started = started.map_err(|denial| denied(app, denial))?;
    let Subject::Message(id) = started.subject else {
        return Err(wire(Refusal::IdempotencyMismatch));
    };
    Ok(accepted(&started, id, &to, client_ref.as_deref(), &app.driver.channels.network()))
}

/// All parts are paid for at once, so each of them says the balance after the last.
fn accepted(
    started: &Started,
    id: MessageId,
    to: &str,
    client_ref: Option<&str>,
    network: &str,
) -> Vec<Part> {
    let parts = started.parts.max(1);
    let part = |index| {
        Part::Accepted(AcceptedPart {
            message_id: id.part(index),
            to: to.to_owned(),
            client_ref: client_ref.map(str::to_owned),
            remaining_balance: started.balance,
            message_price: started.price.shared(parts),
            network: network.to_owned(),
        })
    };
    (0..parts).map(part).collect()
}

/// A signed repeat has another timestamp and signature, and one after a change of keys has other
/// credentials: it is the same request nevertheless. Secrets would have no business in a digest
/// that is stored, either.
fn idempotency(
    app: &App,
    incoming: &Incoming,
    params: &Params,
) -> Result<Option<IdempotencyKey>, WireError> {
    let mut asked = TWO_FACTOR.to_owned();
    for (name, value) in params.iter().filter(|(name, _)| !login::NAMES.contains(name)) {
        // With its length in front, no value can pass for the beginning of another parameter.
        for text in [name, value] {
            asked.push_str(&text.len().to_string());
            asked.push(':');
            asked.push_str(text);
        }
    }
    incoming
        .idempotency_over(app, &[asked.as_bytes()])
        .map_err(|BadKey| WireError::invalid("The Idempotency-Key is empty or too long"))
}

async fn read(app: &App, request: Request) -> Result<Incoming, WireError> {
    Incoming::read(app, request)
        .await
        .map_err(|why| WireError { http: why.status(), ..WireError::invalid(why.text()) })
}

fn decode(incoming: &Incoming, format: Format) -> Result<Params, WireError> {
    if format == Format::Xml && Params::is_json(&incoming.body) {
        return Err(WireError::invalid("A JSON body is read under the path suffix json only"));
    }
    Params::decode(&incoming.query, incoming.content_type(), &incoming.body).map_err(|error| {
        WireError::invalid(format!("The request was not understood: cannot {error}"))
    })
}

fn respond(status: StatusCode, format: Format, body: String) -> Response {
    (status, [(header::CONTENT_TYPE, format.content_type())], body).into_response()
}

/// Adds what is known of a message that was refused; the envelope keeps what goes with its status.
async fn describe(
    app: &App,
    account: &Account,
    params: &Params,
    mut error: WireError,
) -> WireError {
    let part = error.part.as_mut();
    let digits = request::recipient(params).ok();
    part.to = digits.map(str::to_owned);
    part.client_ref = request::client_ref(params).ok().flatten();
    part.network = Some(app.driver.channels.network());
    if part.status == WireStatus::QuotaExceeded {
        let digits = digits.and_then(|digits| digits.parse().ok());
        let price = digits.map(|digits| account.prices.lookup(PriceItem::Sms, digits));
        part.message_price = price;
        part.remaining_balance = app.driver.store.balance(account.id).await.ok().flatten();
    }
    error
}

/// An answer that is not a success: one refused part, and nearly always HTTP 200 around it.
struct WireError {
    http: StatusCode,
    part: Box<RefusedPart>,
    retry_after: Option<Duration>,
}

impl WireError {
    fn new(status: WireStatus) -> Self {
        RefusedPart::new(status).into()
    }

    fn text(status: WireStatus, text: impl Into<Cow<'static, str>>) -> Self {
        RefusedPart { error_text: text.into(), ..RefusedPart::new(status) }.into()
    }

    fn invalid(text: impl Into<Cow<'static, str>>) -> Self {
        Self::text(WireStatus::InvalidParams, text)
    }

    /// The account is too fast by itself, which is over in a moment.
    fn too_fast(wait: Duration) -> Self {
        // Rounded up: a client that waits as told must not be early.
        let wait_ms = u64::try_from(wait.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX);
        Self::new(WireStatus::Throttled { wait_ms: Some(wait_ms) })
    }

    /// It may take an hour until this number may be sent to again.
    fn throttled() -> Self {
        Self::new(WireStatus::Throttled { wait_ms: None })
    }

    /// Refused before anything was looked at, as the vendor's front end does under load.
    fn overload(wait: Duration) -> Self {
        Self { http: StatusCode::TOO_MANY_REQUESTS, retry_after: Some(wait), ..Self::throttled() }
    }

    fn render(self, format: Format) -> Response {
        let body = envelope::render(&[Part::Refused(*self.part)], format);
        let response = respond(self.http, format, body);
        match self.retry_after {
            Some(wait) => with_retry_after(response, wait),
            None => response,
        }
    }
}

impl From<RefusedPart> for WireError {
    fn from(part: RefusedPart) -> Self {
        Self { http: StatusCode::OK, part: Box::new(part), retry_after: None }
    }
}

impl From<LoginFault> for WireError {
    fn from(fault: LoginFault) -> Self {
        match fault {
            LoginFault::MissingName(name) => RefusedPart::missing(name).into(),
            LoginFault::MissingSecret => Self::new(WireStatus::MissingParams),
            LoginFault::WrongSecret => Self::new(WireStatus::InvalidCredentials),
            LoginFault::WrongSignature => Self::new(WireStatus::InvalidSignature),
            LoginFault::SignatureAndSecret => Self::new(WireStatus::SignatureAndSecret),
            LoginFault::MustWait(wait) => Self::overload(wait),
        }
    }
}

fn denied(app: &App, denial: Denial) -> WireError {
    match denial {
        Denial::Refused(refusal) => {
            app.driver.metrics.refusal(DOOR, refusal.as_str());
            wire(refusal)
        }
        Denial::Failed(error) => failed(&error),
    }
}

fn failed(error: &StoreError) -> WireError {
    match error {
        StoreError::Busy { retry_after } => WireError::overload(*retry_after),
        StoreError::Stopped | StoreError::Unavailable(_) | StoreError::Corrupt { .. } => {
            tracing::error!(%error, "cannot carry a request out");
            WireError::new(WireStatus::InternalError)
        }
    }
}

/// The one table of refusals in this door's words.
fn wire(refusal: Refusal) -> WireError {
    match refusal {
        Refusal::AccountThrottled { retry_after } => WireError::too_fast(retry_after),
        Refusal::NumberThrottled { .. } | Refusal::PrefixThrottled { .. } => WireError::throttled(),
        Refusal::AccountSuspended => WireError::new(WireStatus::AccountBarred),
        Refusal::NumberBarred => WireError::new(WireStatus::NumberBarred),
        Refusal::OptedOut => WireError::new(WireStatus::OptedOut),
        // The vendor has no status for countries: what it says of a destination that an account
        // is not let send to comes nearest.
        Refusal::CountryRefused => WireError::new(WireStatus::NotAllowListed),
        Refusal::NoCampaign => WireError::new(WireStatus::InvalidAccountForCampaign),
        Refusal::NoOriginator => WireError::new(WireStatus::IllegalOriginator),
        Refusal::Unroutable => WireError::new(WireStatus::InvalidMessage),
        Refusal::InsufficientBalance => WireError::new(WireStatus::QuotaExceeded),
        Refusal::IdempotencyMismatch => {
            WireError::invalid("The Idempotency-Key was used for another request")
        }
        // No message is refused so: verifications alone are open, ended, cancelled or looked up.
        Refusal::AlreadyOpen(_)
        | Refusal::Unknown
        | Refusal::Ended(_)
        | Refusal::CancelTooEarly { .. } => WireError::new(WireStatus::InternalError),
    }
}

const DOOR: &str = "vonage";

const TWO_FACTOR: &str = "/sc/us/2fa";

/// As recorded from the vendor's gateway.
const SECURITY_HEADERS: [(HeaderName, &str); 3] = [
    (header::X_XSS_PROTECTION, "1; mode=block"),
    (header::STRICT_TRANSPORT_SECURITY, "max-age=31536000; includeSubdomains"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
];
