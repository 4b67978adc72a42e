//! What the door's operations take in and give back: the operator, bodies, names, answers.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{ConnectInfo, FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use engine::{AccountId, Amount, NumberError, PhoneNumber};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Door;
use super::problem::Problem;
use crate::directory::{Account, Directory, numbering};
use crate::http::Unreadable;
use crate::http::{App, Incoming, auth};
use crate::store::IdempotencyKey;

/// Proves that the caller has the admin token. As the first argument of an operation it is looked
/// at before anything else of the request.
pub(super) struct Operator;

impl FromRequestParts<Arc<App>> for Operator {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let door = parts.extensions.get::<Arc<Door>>().ok_or_else(Problem::internal)?;
        let given = parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let given = given.and_then(|value| value.split_once(' '));
        let pepper = &app.driver.directories.secrets().pepper;
        match given {
            Some((scheme, token))
                if scheme.eq_ignore_ascii_case("bearer")
                    && door.token.matches(pepper, token.trim()) =>
            {
                Ok(Self)
            }
            Some(_) | None => {
                let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0);
                let trusted = &app.config.server.trusted_proxies;
                let address = auth::client_address(peer, &parts.headers, trusted);
                let per_minute = app.config.limits.failed_auth_per_minute;
                // The token has no name.
                let wait = app.logins.failed(address, "", per_minute, app.driver.clock.now());
                Err(wait.map_or_else(Problem::unauthorized, Problem::locked))
            }
        }
    }
}

/// The JSON body of a request.
pub(super) struct Input<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<Arc<App>> for Input<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Problem> {
        let incoming = Incoming::read(app, request).await.map_err(unreadable)?;
        parse(&incoming.body).map(Self)
    }
}

/// The JSON body of a request that may be repeated, and the key that makes a repeat harmless.
pub(super) struct Repeatable<T> {
    pub(super) body: T,
    pub(super) idempotency: Option<IdempotencyKey>,
}

impl<T: DeserializeOwned> FromRequest<Arc<App>> for Repeatable<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Problem> {
        let path = request.uri().path().to_owned();
        let incoming = Incoming::read(app, request).await.map_err(unreadable)?;
        let idempotency = incoming
            .idempotency(app, &path)
            .map_err(|_| Problem::malformed("The Idempotency-Key must be 1 to 255 characters."))?;
        Ok(Self { body: parse(&incoming.body)?, idempotency })
    }
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(body)
        .map_err(|error| Problem::malformed(format!("The request body is wrong: {error}.")))
}

fn unreadable(why: Unreadable) -> Problem {
    let code = match why {
        Unreadable::TooLarge => "too_large",
        Unreadable::Broken | Unreadable::TooSlow => "malformed",
    };
    Problem::new(why.status(), code, why.text())
}

/// What the path names; a name of the wrong form names nothing.
pub(super) struct Named<T>(pub(super) T);

impl<T: DeserializeOwned + Send> FromRequestParts<Arc<App>> for Named<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let path = Path::<T>::from_request_parts(parts, app).await;
        path.map(|Path(named)| Self(named)).map_err(|_| Problem::unknown("resource"))
    }
}

/// The query of a request.
pub(super) struct Search<T>(pub(super) T);

impl<T: DeserializeOwned + Send> FromRequestParts<Arc<App>> for Search<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let query = Query::<T>::from_request_parts(parts, app).await;
        query.map(|Query(search)| Self(search)).map_err(|error| {
            Problem::malformed(format!("The query is wrong: {}.", error.body_text()))
        })
    }
}

/// A JSON answer.
pub(super) struct Answer<T>(pub(super) StatusCode, pub(super) T);

impl<T> Answer<T> {
    pub(super) const fn ok(value: T) -> Self {
        Self(StatusCode::OK, value)
    }

    pub(super) const fn created(value: T) -> Self {
        Self(StatusCode::CREATED, value)
    }
}

impl<T: Serialize> IntoResponse for Answer<T> {
    fn into_response(self) -> Response {
        let Ok(body) = serde_json::to_vec(&self.1) else {
            return Problem::internal().into_response();
        };
        // Some answers hold a secret, and none is worth keeping by anybody on the way.
        let headers =
            [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
        (self.0, headers, Body::from(body)).into_response()
    }
}

/// Finds an account that the path or a field names.
pub(super) fn account(directory: &Directory, id: u32) -> Result<Arc<Account>, Problem> {
    let account = directory.account(AccountId(id)).map(Arc::clone);
    account.ok_or_else(|| Problem::unknown("account"))
}

/// Reads a number to send to.
pub(super) fn recipient(
    app: &App,
    field: &str,
    text: &str,
    country: Option<&str>,
) -> Result<PhoneNumber, Problem> {
    PhoneNumber::parse(text, country, numbering(&app.config)).map_err(|error| match error {
        NumberError::UnknownCountry if country.is_some() => {
            Problem::field("country", "this is no ISO 3166 country code of two letters")
        }
        NumberError::UnknownCountry
        | NumberError::Empty
        | NumberError::NotANumber
        | NumberError::TooShort
        | NumberError::TooLong
        | NumberError::Unallocated
        | NumberError::Premium => Problem::field(field, error.to_string()),
    })
}

/// Reads a number that somebody holds, even one that nothing would be sent to any more.
pub(super) fn held_number(app: &App, field: &str, text: &str) -> Result<PhoneNumber, Problem> {
    recipient(app, field, text, None).or_else(|problem| {
        let digits = text.trim().trim_start_matches('+');
        let plain = (HELD_DIGITS_MIN..=engine::E164_DIGITS_MAX).contains(&digits.len())
            && digits.bytes().all(|byte| byte.is_ascii_digit());
        let number = plain.then(|| digits.parse().ok()).flatten();
        number.and_then(|number| PhoneNumber::from_digits(number).ok()).ok_or(problem)
    })
}

/// Shows digits as far as an operator needs them to tell numbers apart.
pub(super) fn masked(digits: Option<u64>) -> Option<String> {
    digits.and_then(|digits| PhoneNumber::from_digits(digits).ok()).map(|number| number.to_string())
}

/// Reads an amount of money of at most [`AMOUNT_MAX`].
pub(super) fn amount(field: &str, text: &str) -> Result<Amount, Problem> {
    let amount = Amount::parse(text.trim()).ok_or_else(|| {
        Problem::field(field, "this is no decimal number with at most eight decimals, like 0.0333")
    })?;
    if amount.units().unsigned_abs() > AMOUNT_MAX.units().unsigned_abs() {
        return Err(Problem::field(field, "this must be at most a thousand million"));
    }
    Ok(amount)
}

/// Reads ISO 3166 codes, and writes them in capitals.
pub(super) fn countries(codes: &[String]) -> Result<Vec<String>, String> {
    let read = |code: &String| {
        let region = engine::Region::parse(code.trim()).filter(|region| region.has_numbers());
        region
            .map(|region| region.as_str().to_owned())
            .ok_or_else(|| format!("`{code}` is no ISO 3166 country code of two letters"))
    };
    codes.iter().map(read).collect()
}

/// Checks the length of a text for people, in characters, and that it is printable.
pub(super) fn text(field: &str, text: &str, max: usize) -> Result<String, Problem> {
    let text = text.trim();
    let length = text.chars().count();
    if length == 0 || length > max || text.chars().any(char::is_control) {
        let detail = format!("this must be 1 to {max} printable characters");
        return Err(Problem::field(field, detail));
    }
    Ok(text.to_owned())
}

/// The next free identifier of a table.
pub(super) fn next_id(ids: impl Iterator<Item = u32>) -> u32 {
    ids.max().unwrap_or_default().saturating_add(1)
}

/// The shortest international number in use has seven digits.
const HELD_DIGITS_MIN: usize = 7;

/// The longest name of an account, key or campaign, in characters. A choice.
pub(super) const NAME_CHARS_MAX: usize = 64;

/// What the header of that name does.
pub(super) const IDEMPOTENCY: &str = "Makes a repeat harmless: the same key with the same body starts nothing new and is answered \
     as the first time. 1 to 255 characters, remembered for a day unless configured otherwise.";

/// The largest amount that is set or added at once. A choice: so many times as much fits an
/// account's ledger that its sum cannot overflow by a slip of the finger.
pub(super) const AMOUNT_MAX: Amount = Amount::from_units(1_000_000_000 * 100_000_000);
