//! The Textmagic Verify door: wire types on top, handlers in the middle, refusals at the end.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{any, delete, get, post};
use engine::wording::BRAND_CHARS_MAX;
use engine::{
    Locale, NumberError, OriginatorRule, Outcome, PhoneNumber, Refusal, Region, Subject, Timing,
    TypedCode, Verdict, VerificationId,
};
use serde_json::{Value, json};

use super::auth::{self, Caller};
use super::fields::Fields;
use super::params::basic_credentials;
use super::{App, Incoming, Unanswered, utc, with_retry_after};
use crate::directory::{Account, numbering};
use crate::driver::{Denial, VerificationRequest};
use crate::store::{KeyKind, StoreError};

pub(super) fn routes() -> Router<Arc<App>> {
    let wrong_method = || any(|| async { WireError::wrong_method().render() });
    let base = Router::new()
        .route("/api/v2/verify", post(start).put(check).fallback_service(wrong_method()))
        .route("/api/v2/verify/{id}", delete(cancel).fallback_service(wrong_method()))
        .route("/api/v2/ping", get(ping).fallback_service(wrong_method()))
        .route("/api/v2/user", get(user).fallback_service(wrong_method()))
        .route("/api/v2/sources", get(sources).fallback_service(wrong_method()))
        .route("/api/v2/senderids", get(sender_ids).fallback_service(wrong_method()));
    base.route("/api/v2/{*rest}", any(|| async { WireError::not_found().render() }))
}

/// Answers where no handler does.
pub(super) fn unanswered(why: Unanswered) -> Response {
    let error = match why {
        Unanswered::NoRoute => WireError::not_found(),
        Unanswered::Panicked => WireError::internal(),
        Unanswered::TookTooLong => WireError::new(why.status(), "The request took too long."),
    };
    error.render()
}

/// What `POST /api/v2/verify` asks for, once every field has been found right.
struct StartRequest {
    number: PhoneNumber,
    brand: String,
    code_length: u8,
    locale: Option<Locale>,
    sender: Option<String>,
    workflow: u8,
}

impl StartRequest {
    fn parse(app: &App, fields: &Fields) -> Result<Self, WireError> {
        let mut faults = Faults::default();
        let country = faults.text(fields, "country");
        let number = faults.required(fields, "phone").and_then(|phone| {
            let country = country.as_deref();
            match PhoneNumber::parse(&phone, country, numbering(&app.config)) {
                Ok(number) => Some(number),
                Err(error) => {
                    let (field, fault) = number_fault(error);
                    faults.add(field, fault);
                    None
                }
            }
        });
        let brand = faults.required(fields, "brand").filter(|brand| {
            let fault = brand_fault(brand);
            if let Some(fault) = fault {
                faults.add("brand", fault);
            }
            fault.is_none()
        });
        let code_length = faults.required(fields, "codeLength").and_then(|length| {
            let length = length.parse().ok().filter(|length| matches!(length, 4 | 6));
            if length.is_none() {
                faults.add("codeLength", "This value should be 4 or 6.");
            }
            length
        });
        let locale = faults.text(fields, "language").and_then(|language| {
            let locale = Locale::parse(&language);
            if locale.is_none() {
                faults.add("language", "This language is not available.");
            }
            locale
        });
        let workflow = faults.text(fields, "workflowId").map_or(Some(1), |workflow| {
            let workflow = workflow.parse().ok().filter(|id| (1..=7).contains(id));
            if workflow.is_none() {
                faults.add("workflowId", "This value should be a number from 1 to 7.");
            }
            workflow
        });
        let sender = faults.text(fields, "senderId");
        match (number, brand, code_length, workflow, faults.is_empty()) {
            (Some(number), Some(brand), Some(code_length), Some(workflow), true) => {
                Ok(Self { number, brand, code_length, locale, sender, workflow })
            }
            _ => Err(faults.into_error()),
        }
    }
}

/// `POST /api/v2/verify`
async fn start(State(app): State<Arc<App>>, request: Request) -> Response {
    let answer = async {
        let incoming = read(&app, request).await?;
        let account = authenticate(&app, &incoming)?;
        let fields = Fields::read(&incoming.body).map_err(|_| WireError::malformed())?;
        let request = StartRequest::parse(&app, &fields)?;
        let asked = ["/api/v2/verify".as_bytes(), fields.canonical().as_bytes()].concat();
        let idempotency = incoming.idempotency_over(&app, &[&asked]).map_err(|_| {
            WireError::common(StatusCode::BAD_REQUEST, "The Idempotency-Key is empty or too long.")
        })?;
        let request = VerificationRequest {
            number: request.number,
            brand: request.brand,
            code_length: request.code_length,
            locale: request.locale,
            originator: request.sender,
            workflow: request.workflow,
            timing: Timing::default(),
            idempotency,
        };
        app.driver.metrics.start(DOOR);
        let started = app
            .driver
            .start_verification(&account, request)
            .await
            .map_err(|denial| denied(&app, &account, denial))?;
        let Subject::Verification(id) = started.subject else {
            return Err(wire(&account, Refusal::IdempotencyMismatch));
        };
        let body = json!({ "verifyId": id.to_string(), "price": decimal(started.price) });
        Ok(super::json(StatusCode::OK, &body))
    };
    answer.await.unwrap_or_else(WireError::render)
}

/// `PUT /api/v2/verify`
async fn check(State(app): State<Arc<App>>, request: Request) -> Response {
    let answer = async {
        let incoming = read(&app, request).await?;
        let account = authenticate(&app, &incoming)?;
        let fields = Fields::read(&incoming.body).map_err(|_| WireError::malformed())?;
        let mut faults = Faults::default();
        let id = faults.required(&fields, "verifyId");
        let typed = faults.code(&fields);
        let (Some(id), Some(typed), true) = (id, typed, faults.is_empty()) else {
            return Err(faults.into_error());
        };
        let id = verification_id(&id)?;
        let verdict = app.driver.check(&account, id, typed).await;
        match verdict.map_err(|denial| denied(&app, &account, denial))? {
            Verdict::Match => Ok(StatusCode::NO_CONTENT.into_response()),
            Verdict::Mismatch { checks_left: 0 } => Err(WireError::field(
                "code",
                "The code is wrong. There have been too many wrong codes: the verification has failed.",
            )),
            Verdict::Mismatch { .. } => Err(WireError::field("code", "The code is wrong.")),
        }
    };
    answer.await.unwrap_or_else(WireError::render)
}

/// `DELETE /api/v2/verify/{verifyId}`
async fn cancel(
    State(app): State<Arc<App>>,
    id: Result<Path<String>, PathRejection>,
    request: Request,
) -> Response {
    let answer = async {
        let incoming = read(&app, request).await?;
        let account = authenticate(&app, &incoming)?;
        // What is not even text names nothing.
        let Path(id) = id.map_err(|_| WireError::not_found())?;
        let id = verification_id(&id)?;
        match app.driver.cancel(&account, id).await {
            Ok(()) => Ok(StatusCode::NO_CONTENT.into_response()),
            // There is nothing left to cancel: to a cancel, what has ended is gone.
            Err(Denial::Refused(Refusal::Ended(_))) => Err(WireError::not_found()),
            Err(denial) => Err(denied(&app, &account, denial)),
        }
    };
    answer.await.unwrap_or_else(WireError::render)
}

/// `GET /api/v2/ping`
async fn ping(State(app): State<Arc<App>>, request: Request) -> Response {
    let answer = async {
        let incoming = read(&app, request).await?;
        let account = authenticate(&app, &incoming)?;
        let now = utc(app.driver.clock.now());
        let body = json!({ "ping": "pong", "userId": account.id.0, "utcDateTime": now });
        Ok(super::json(StatusCode::OK, &body))
    };
    answer.await.unwrap_or_else(WireError::render)
}

/// `GET /api/v2/user`
async fn user(State(app): State<Arc<App>>, request: Request) -> Response {
    let answer = async {
        let incoming = read(&app, request).await?;
        let Caller { account, key } = login(&app, &incoming)?;
        let balance = app.driver.store.balance(account.id).await;
        let balance = balance.map_err(|error| failed(&error))?.ok_or_else(WireError::not_found)?;
        let currency = &app.config.currency.code;
        let body = json!({
            "id": account.id.0,
            "username": key.name,
            "firstName": account.name,
            "lastName": "",
            "email": "",
            "status": "A",
            "balance": decimal(balance),
            "phone": null,
            "company": null,
            "currency": { "id": currency, "unicodeSymbol": currency, "htmlSymbol": currency },
            "country": null,
            "timezone": { "id": 1, "area": "UTC", "dst": 0, "offset": 0, "timezone": "UTC" },
            "subaccountType": "P",
            "emailAccepted": true,
            "phoneAccepted": true,
            "avatar": { "href": null },
            "displayTimeFormat": "24h",
        });
        Ok(super::json(StatusCode::OK, &body))
    };
    answer.await.unwrap_or_else(WireError::render)
}

/// `GET /api/v2/sources`
async fn sources(State(app): State<Arc<App>>, request: Request) -> Response {
    let answer = async {
        let incoming = read(&app, request).await?;
        let account = authenticate(&app, &incoming)?;
        let mut pairs = form_urlencoded::parse(incoming.query.as_bytes());
        let country = pairs.find(|(key, value)| key == "country" && !value.is_empty());
        let region = match country {
            None => None,
            Some((_, code)) => Some(Region::parse(&code).ok_or_else(|| {
                let (field, fault) = number_fault(NumberError::UnknownCountry);
                WireError::field(field, fault)
            })?),
        };
        let (mut dedicated, mut names) = (Vec::new(), Vec::new());
        let serves = |rule: &&OriginatorRule| region.is_none_or(|region| rule.serves(region));
        for rule in account.originators.iter().filter(serves) {
            let value = rule.originator.as_str().into_owned();
            match &rule.originator {
                engine::Originator::ShortCode(_) | engine::Originator::LongNumber(_) => {
                    dedicated.push(value);
                }
                engine::Originator::Alphanumeric(_) => names.push(value),
            }
        }
        let none: [&str; 0] = [];
        let body = json!({
            "dedicated": dedicated,
            "user": none,
            "shared": none,
            "senderIds": names,
            "userCarrierTwilio": none,
            "userCarrierVonage": none,
        });
        Ok(super::json(StatusCode::OK, &body))
    };
    answer.await.unwrap_or_else(WireError::render)
}

/// `GET /api/v2/senderids`
async fn sender_ids(State(app): State<Arc<App>>, request: Request) -> Response {
    let answer = async {
        let incoming = read(&app, request).await?;
        let account = authenticate(&app, &incoming)?;
        let page_of = |name: &str| {
            let mut pairs = form_urlencoded::parse(incoming.query.as_bytes());
            pairs.find(|(key, _)| key == name).and_then(|(_, value)| value.parse::<usize>().ok())
        };
        let page = page_of("page").unwrap_or(1).max(1);
        let limit = page_of("limit").filter(|limit| (1..=100).contains(limit)).unwrap_or(10);
        let named = account
            .originators
            .iter()
            .filter(|rule| matches!(rule.originator, engine::Originator::Alphanumeric(_)));
        let all: Vec<Value> = (1..)
            .zip(named)
            .map(|(id, rule)| {
                let user = json!({ "id": account.id.0, "username": account.name });
                json!({ "id": id, "senderId": rule.originator.as_str(), "user": user, "status": "A" })
            })
            .collect();
        let pages = all.len().div_ceil(limit).max(1);
        let shown = all.into_iter().skip((page - 1).saturating_mul(limit)).take(limit);
        let resources: Vec<Value> = shown.collect();
        let body = json!({
            "page": page, "pageCount": pages, "limit": limit, "resources": resources,
        });
        Ok(super::json(StatusCode::OK, &body))
    };
    answer.await.unwrap_or_else(WireError::render)
}

async fn read(app: &App, request: Request) -> Result<Incoming, WireError> {
    Incoming::read(app, request).await.map_err(|why| WireError::common(why.status(), why.text()))
}

/// Both header pairs are accepted: `X-TM-Username` with `X-TM-Key`, and HTTP Basic. The answer
/// carries no `WWW-Authenticate`, which would make clients ask a second time.
fn authenticate(app: &App, incoming: &Incoming) -> Result<Arc<Account>, WireError> {
    login(app, incoming).map(|caller| caller.account)
}

fn login(app: &App, incoming: &Incoming) -> Result<Caller, WireError> {
    let pair = match (incoming.header("x-tm-username"), incoming.header("x-tm-key")) {
        (Some(name), Some(key)) => Some((name.to_owned(), key.to_owned())),
        _ => incoming.header(header::AUTHORIZATION).and_then(basic_credentials),
    };
    let (name, key) = pair.unwrap_or_default();
    auth::authenticate(app, KeyKind::Textmagic, &name, &key).ok_or_else(|| {
        let per_minute = app.config.limits.failed_auth_per_minute;
        let now = app.driver.clock.now();
        let wait = app.logins.failed(incoming.address, &name, per_minute, now);
        wait.map_or_else(WireError::wrong_login, WireError::too_many)
    })
}

/// The documents' own samples carry quotes inside the id; they are taken off.
fn verification_id(text: &str) -> Result<VerificationId, WireError> {
    let id = text.trim().trim_matches(|c| matches!(c, '"' | '\'' | '“' | '”'));
    VerificationId::parse(id).ok_or_else(WireError::not_found)
}

/// What is wrong with the fields of a request.
#[derive(Default)]
struct Faults(BTreeMap<&'static str, Vec<&'static str>>);

impl Faults {
    fn add(&mut self, field: &'static str, fault: &'static str) {
        self.0.entry(field).or_default().push(fault);
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn text(&mut self, fields: &Fields, name: &'static str) -> Option<String> {
        let text = fields.text(name)?;
        if text.is_err() {
            self.add(name, "This value should be of type string.");
        }
        text.ok()
    }

    fn required(&mut self, fields: &Fields, name: &'static str) -> Option<String> {
        if fields.get(name).is_none() {
            self.add(name, "This value should not be blank.");
            return None;
        }
        self.text(fields, name)
    }

    /// Typed clients send the code as a number, without its leading zeros.
    fn code(&mut self, fields: &Fields) -> Option<TypedCode> {
        match fields.get("code") {
            Some(Value::Number(number)) => {
                let number = number.as_u64();
                if number.is_none() {
                    self.add("code", "This value should consist of digits.");
                }
                number.map(TypedCode::Number)
            }
            _ => self.required(fields, "code").map(|text| TypedCode::text(&text)),
        }
    }

    fn into_error(self) -> WireError {
        let fields = json!(self.0);
        WireError {
            status: StatusCode::BAD_REQUEST,
            message: "Validation Failed",
            errors: json!({ "common": [], "fields": fields }),
            retry_after: None,
        }
    }
}

fn number_fault(error: NumberError) -> (&'static str, &'static str) {
    match error {
        NumberError::Empty => ("phone", "This value should not be blank."),
        NumberError::UnknownCountry => {
            ("country", "This value should be an ISO 3166 country code of two letters.")
        }
        NumberError::NotANumber => ("phone", "This value is not a phone number."),
        NumberError::TooShort => ("phone", "This phone number is too short."),
        NumberError::TooLong => ("phone", "This phone number is too long."),
        NumberError::Unallocated => ("phone", "This phone number is not valid."),
        NumberError::Premium => ("phone", "This type of phone number is not supported."),
    }
}

fn brand_fault(brand: &str) -> Option<&'static str> {
    let alphanumeric = |c: char| c.is_alphanumeric() || BRAND_MARKS.contains(c);
    if brand.chars().count() > BRAND_CHARS_MAX {
        return Some("This value is too long. It should have 18 characters or less.");
    }
    (!brand.chars().all(alphanumeric))
        .then_some("This value should consist of letters, digits and spaces.")
}

/// An answer that is not a success, in Textmagic's shape.
struct WireError {
    status: StatusCode,
    message: &'static str,
    errors: Value,
    retry_after: Option<Duration>,
}

impl WireError {
    fn new(status: StatusCode, message: &'static str) -> Self {
        Self { status, message, errors: Value::Null, retry_after: None }
    }

    fn common(status: StatusCode, fault: &str) -> Self {
        let errors = json!({ "common": [fault], "fields": {} });
        Self { status, message: "Validation Failed", errors, retry_after: None }
    }

    fn field(name: &'static str, fault: &'static str) -> Self {
        let mut faults = Faults::default();
        faults.add(name, fault);
        faults.into_error()
    }

    fn malformed() -> Self {
        Self::common(StatusCode::BAD_REQUEST, "The request body is neither a form nor JSON.")
    }

    fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "Resource does not exist.")
    }

    fn wrong_method() -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed")
    }

    fn wrong_login() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "Wrong username and token combination.")
    }

    fn internal() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error")
    }

    fn too_many(wait: Duration) -> Self {
        let error = Self::new(StatusCode::TOO_MANY_REQUESTS, "Too many requests.");
        Self { retry_after: Some(wait), ..error }
    }

    /// The `errors` key is always there and every error has a JSON body: old clients rely on it.
    fn render(self) -> Response {
        let body = json!({
            "code": self.status.as_u16(), "message": self.message, "errors": self.errors,
        });
        let response = super::json(self.status, &body);
        match self.retry_after {
            Some(wait) => with_retry_after(response, wait),
            None => response,
        }
    }
}

fn denied(app: &App, account: &Account, denial: Denial) -> WireError {
    match denial {
        Denial::Refused(refusal) => {
            app.driver.metrics.refusal(DOOR, refusal.as_str());
            wire(account, refusal)
        }
        Denial::Failed(error) => failed(&error),
    }
}

fn failed(error: &StoreError) -> WireError {
    match error {
        StoreError::Busy { retry_after } => {
            let busy = "The server is busy, please try again.";
            let error = WireError::new(StatusCode::SERVICE_UNAVAILABLE, busy);
            WireError { retry_after: Some(*retry_after), ..error }
        }
        StoreError::Stopped | StoreError::Unavailable(_) | StoreError::Corrupt { .. } => {
            tracing::error!(%error, "cannot carry a request out");
            WireError::internal()
        }
    }
}

/// The one table of refusals in this door's words.
fn wire(account: &Account, refusal: Refusal) -> WireError {
    let bad = |fault: &str| WireError::common(StatusCode::BAD_REQUEST, fault);
    match refusal {
        Refusal::AccountThrottled { retry_after }
        | Refusal::NumberThrottled { retry_after }
        | Refusal::PrefixThrottled { retry_after } => WireError::too_many(retry_after),
        Refusal::AlreadyOpen(_) => WireError::new(
            StatusCode::CONFLICT,
            "A verification of this phone number is already in progress.",
        ),
        Refusal::AccountSuspended => {
            WireError::new(StatusCode::UNAUTHORIZED, "This account is suspended.")
        }
        Refusal::NumberBarred => WireError::field("phone", "This phone number is blocked."),
        Refusal::OptedOut => WireError::field("phone", "This phone number has opted out."),
        Refusal::CountryRefused => {
            WireError::field("phone", "Phone numbers of this country are not supported.")
        }
        Refusal::NoCampaign | Refusal::NoOriginator => {
            bad("The account has no sender that may reach this phone number.")
        }
        Refusal::Unroutable => bad("This phone number cannot be reached."),
        Refusal::InsufficientBalance => bad("Your account balance is too low."),
        Refusal::Unknown => WireError::not_found(),
        Refusal::Ended(outcome) => WireError::field("verifyId", ended(outcome)),
        Refusal::CancelTooEarly { retry_after } => {
            let seconds = account.cancel_after().as_secs();
            let fault =
                format!("The verification cannot be cancelled in the first {seconds} seconds.");
            WireError { retry_after: Some(retry_after), ..bad(&fault) }
        }
        Refusal::IdempotencyMismatch => WireError::common(
            StatusCode::UNPROCESSABLE_ENTITY,
            "The Idempotency-Key was used for another request.",
        ),
    }
}

fn ended(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Cancelled => "The verification has been cancelled.",
        Outcome::Expired => "The verification has expired.",
        Outcome::Failed => "There have been too many wrong codes: the verification has failed.",
        Outcome::Verified => "The phone number has already been verified.",
    }
}

/// A JSON number: amounts have eight decimals, which a double holds for any real price.
fn decimal(amount: engine::Amount) -> Value {
    amount.to_string().parse::<f64>().map_or(Value::Null, |number| json!(number))
}

const DOOR: &str = "textmagic";

/// Marks that real brands carry beside letters, digits and spaces.
const BRAND_MARKS: &str = " -.&'!_+";
