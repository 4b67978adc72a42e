//! How the door says no: problems of RFC 9457, and the one table of refusals.

use std::time::Duration;

use axum::body::Body;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use engine::Refusal;
use serde::Serialize;
use utoipa::ToSchema;

use crate::directory::DirectoryError;
use crate::driver::Denial;
use crate::http::{App, with_retry_after};
use crate::store::StoreError;

/// The media type of a problem. Source: RFC 9457 section 3.
pub(super) const CONTENT_TYPE: &str = "application/problem+json";

/// An answer that is not a success.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    code: &'static str,
    detail: String,
    faults: Vec<Fault>,
    retry_after: Option<Duration>,
}

/// What is wrong with one field of a request.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Fault {
    /// The field.
    pub(super) field: String,
    /// What is wrong with it.
    pub(super) detail: String,
}

/// A problem of RFC 9457, with a word for programs and the fields at fault.
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub(super) struct ProblemBody {
    /// Always `about:blank`: `code` tells problems apart.
    r#type: &'static str,
    /// The status in words.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// What is wrong, in a sentence for people.
    detail: String,
    /// What is wrong, in a word for programs, such as `invalid`, `not_found` or `opted_out`.
    code: &'static str,
    /// The fields at fault, if it was fields.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<Fault>,
}

impl Fault {
    pub(super) fn new(field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { field: field.into(), detail: detail.into() }
    }
}

impl Problem {
    pub(super) fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self { status, code, detail: detail.into(), faults: Vec::new(), retry_after: None }
    }

    /// The request is not what this resource expects.
    pub(super) fn malformed(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "malformed", detail)
    }

    /// One field is wrong.
    pub(super) fn field(field: &str, detail: impl Into<String>) -> Self {
        Self::fields(vec![Fault::new(field, detail)])
    }

    /// Some fields are wrong.
    pub(super) fn fields(faults: Vec<Fault>) -> Self {
        let each: Vec<String> =
            faults.iter().map(|fault| format!("{}: {}", fault.field, fault.detail)).collect();
        let detail = each.join("; ");
        Self { faults, ..Self::new(StatusCode::BAD_REQUEST, "invalid", detail) }
    }

    /// What the path or a field names does not exist.
    pub(super) fn unknown(what: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", format!("There is no such {what}."))
    }

    /// What is asked for contradicts what is there.
    pub(super) fn conflict(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "conflict", detail)
    }

    /// The token is missing or wrong.
    pub(super) fn unauthorized() -> Self {
        let detail = "Send the content of the admin token file as a bearer token.";
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", detail)
    }

    /// Too many wrong tokens came from the caller's address.
    pub(super) fn locked(wait: Duration) -> Self {
        let detail = "Too many wrong tokens came from your address.";
        Self::new(StatusCode::TOO_MANY_REQUESTS, "too_many_failures", detail).after(wait)
    }

    /// Something failed that the caller can do nothing about.
    pub(super) fn internal() -> Self {
        let detail = "The server failed; its log tells why.";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail)
    }

    fn after(self, wait: Duration) -> Self {
        Self { retry_after: Some(wait), ..self }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = ProblemBody {
            r#type: "about:blank",
            title: self.status.canonical_reason().unwrap_or_default(),
            status: self.status.as_u16(),
            detail: self.detail,
            code: self.code,
            errors: self.faults,
        };
        let body = Body::from(serde_json::to_vec(&body).unwrap_or_default());
        let mut response =
            (self.status, [(header::CONTENT_TYPE, CONTENT_TYPE)], body).into_response();
        if self.status == StatusCode::UNAUTHORIZED {
            let scheme = header::HeaderValue::from_static("Bearer");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
        }
        match self.retry_after {
            Some(wait) => with_retry_after(response, wait),
            None => response,
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Busy { retry_after } => {
                let detail = "The server is busy; try again in a moment.";
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "busy", detail).after(retry_after)
            }
            StoreError::Stopped | StoreError::Unavailable(_) | StoreError::Corrupt { .. } => {
                tracing::error!(%error, "cannot carry an admin request out");
                Self::internal()
            }
        }
    }
}

impl From<DirectoryError> for Problem {
    fn from(error: DirectoryError) -> Self {
        match error {
            DirectoryError::Store(error) => error.into(),
            DirectoryError::Seal { .. } | DirectoryError::Length { .. } => {
                tracing::error!(%error, "cannot read what is set up");
                Self::internal()
            }
        }
    }
}

/// Counts a refusal and puts it into this door's words.
pub(super) fn denied(app: &App, denial: Denial) -> Problem {
    match denial {
        Denial::Refused(refusal) => {
            app.driver.metrics.refusal(super::status::DOOR, refusal.as_str());
            refused(refusal)
        }
        Denial::Failed(error) => error.into(),
    }
}

/// The one table of refusals in this door's words.
pub(super) fn refused(refusal: Refusal) -> Problem {
    let say = |status, detail: &str| Problem::new(status, refusal.as_str(), detail);
    let unprocessable = |detail| say(StatusCode::UNPROCESSABLE_ENTITY, detail);
    match refusal {
        Refusal::AccountThrottled { retry_after } => {
            say(StatusCode::TOO_MANY_REQUESTS, "The account sends faster than it may.")
                .after(retry_after)
        }
        Refusal::NumberThrottled { retry_after } => {
            say(StatusCode::TOO_MANY_REQUESTS, "This number is asked for too often.")
                .after(retry_after)
        }
        Refusal::PrefixThrottled { retry_after } => {
            say(StatusCode::TOO_MANY_REQUESTS, "Numbers near this one are asked for too often.")
                .after(retry_after)
        }
        Refusal::AlreadyOpen(id) => {
            let detail = format!("The account has an open verification of this number: {id}.");
            say(StatusCode::CONFLICT, &detail)
        }
        Refusal::AccountSuspended => say(StatusCode::FORBIDDEN, "The account is suspended."),
        Refusal::NumberBarred => unprocessable("This number is barred."),
        Refusal::OptedOut => unprocessable("The owner of this number has opted out."),
        Refusal::CountryRefused => unprocessable("The country of this number is not served."),
        Refusal::NoCampaign => {
            unprocessable("The account has no short code with a campaign for this.")
        }
        Refusal::NoOriginator => unprocessable(
            "The account has no short code, number or name that may send to this number.",
        ),
        Refusal::Unroutable => unprocessable("No link leads to this number."),
        Refusal::InsufficientBalance => {
            say(StatusCode::PAYMENT_REQUIRED, "The account's balance is too low.")
        }
        Refusal::Unknown => say(StatusCode::NOT_FOUND, "There is no such verification."),
        Refusal::Ended(outcome) => {
            say(StatusCode::CONFLICT, &format!("The verification has ended: {}.", outcome.as_str()))
        }
        Refusal::CancelTooEarly { retry_after } => {
            say(StatusCode::CONFLICT, "It is too early to cancel the verification.")
                .after(retry_after)
        }
        Refusal::IdempotencyMismatch => {
            unprocessable("The idempotency key was used for another request.")
        }
    }
}
