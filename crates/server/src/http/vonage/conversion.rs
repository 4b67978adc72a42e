//! The conversion API: an account tells whether its user got in with the code.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use engine::{MessageId, Subject, Timestamp, VerificationId};
use jiff::civil::DateTime;
use jiff::tz::Offset;
use serde_json::json;

use super::login::{self, LoginFault};
use crate::config::ConversionBody;
use crate::http::params::Params;
use crate::http::{App, Incoming, Unanswered, with_retry_after};
use crate::store::StoreError;

/// `/conversions/sms` and `/conversions/voice`
///
/// What the identifier names tells which channel it was, so the two do the same.
pub(super) async fn convert(State(app): State<Arc<App>>, request: Request) -> Response {
    let answer = async {
        let incoming =
            Incoming::read(&app, request).await.map_err(|why| fault(why.status(), why.text()))?;
        let params = Params::decode(&incoming.query, incoming.content_type(), &incoming.body)
            .map_err(|error| fault(BAD_PARAMS, &format!("cannot {error}")))?;
        let account = login::authenticate(&app, &incoming, &params).map_err(not_let_in)?;
        if account.settings.conversion != Some(true) {
            let text = "conversions are not enabled for this account";
            return Err(fault(StatusCode::PAYMENT_REQUIRED, text));
        }
        let conversion = ConversionRequest::parse(&params, app.driver.clock.now())
            .map_err(|text| fault(BAD_PARAMS, text))?;
        let ConversionRequest { subject, delivered, at } = conversion;
        match app.driver.convert(&account, subject, delivered, at).await {
            Ok(true) => Ok(accepted(app.config.vonage.conversion_body)),
            Ok(false) => Err(fault(StatusCode::LOCKED, "message-id is unknown")),
            Err(error) => Err(failed(&error)),
        }
    };
    answer.await.unwrap_or_else(|response: Response| response)
}

/// What a conversion says, once every parameter has been found right.
#[derive(Debug, PartialEq, Eq)]
struct ConversionRequest {
    subject: Subject,
    delivered: bool,
    at: Timestamp,
}

impl ConversionRequest {
    fn parse(params: &Params, now: Timestamp) -> Result<Self, &'static str> {
        let id = params.given("message-id").ok_or("message-id is missing")?;
        let message = || MessageId::parse(id).map(Subject::Message);
        let verification = || VerificationId::parse(id).map(Subject::Verification);
        let call = || VerificationId::parse_call_name(id).map(|(id, _)| Subject::Verification(id));
        let subject =
            message().or_else(verification).or_else(call).ok_or("message-id is not one of ours")?;
        let delivered = params.given("delivered").ok_or("delivered is missing")?;
        let delivered = match delivered.to_ascii_lowercase().as_str() {
            "true" | "1" => true,
            "false" | "0" => false,
            _ => return Err("delivered is neither true nor false"),
        };
        // A signed request has the time of its signature under the same name.
        let written = params.given("timestamp").filter(|_| params.given("sig").is_none());
        let at = match written {
            None => now,
            Some(text) => utc_time(text).ok_or("timestamp is not yyyy-MM-dd HH:mm:ss")?,
        };
        Ok(Self { subject, delivered, at })
    }
}

fn utc_time(text: &str) -> Option<Timestamp> {
    let time = DateTime::strptime("%Y-%m-%d %H:%M:%S", text).ok()?;
    let millis = Offset::UTC.to_timestamp(time).ok()?.as_millisecond();
    u64::try_from(millis).ok().map(Timestamp::from_millis)
}

fn accepted(body: ConversionBody) -> Response {
    let (content_type, body) = match body {
        ConversionBody::Ok => ("text/plain; charset=utf-8", "OK"),
        ConversionBody::Json => ("application/json", "{}"),
    };
    (StatusCode::OK, [(header::CONTENT_TYPE, content_type)], body).into_response()
}

/// Every kind of wrong login is the same 401 here.
fn not_let_in(fault_found: LoginFault) -> Response {
    match fault_found {
        LoginFault::MissingName(_)
        | LoginFault::MissingSecret
        | LoginFault::WrongSecret
        | LoginFault::WrongSignature
        | LoginFault::SignatureAndSecret => {
            fault(StatusCode::UNAUTHORIZED, "authentication failed")
        }
        LoginFault::MustWait(wait) => {
            with_retry_after(fault(StatusCode::TOO_MANY_REQUESTS, "please wait"), wait)
        }
    }
}

fn failed(error: &StoreError) -> Response {
    match error {
        StoreError::Busy { retry_after } => {
            let response = fault(StatusCode::TOO_MANY_REQUESTS, "please wait");
            with_retry_after(response, *retry_after)
        }
        StoreError::Stopped | StoreError::Unavailable(_) | StoreError::Corrupt { .. } => {
            tracing::error!(%error, "cannot keep a conversion");
            fault(StatusCode::INTERNAL_SERVER_ERROR, "Server Error")
        }
    }
}

/// Answers where the handler does not.
pub(super) fn unanswered(why: Unanswered) -> Response {
    fault(why.status(), why.text().trim_end())
}

/// JSON, because the Node.js client cannot read anything else; the first two members are those of
/// the vendor's account API, the last is what its PHP client shows.
fn fault(status: StatusCode, text: &str) -> Response {
    let body = json!({
        "error-code": status.as_str(), "error-code-label": text, "error_title": text,
    });
    crate::http::json(status, &body)
}

/// 420, which the vendor uses and no RFC defines.
const BAD_PARAMS: StatusCode = match StatusCode::from_u16(420) {
    Ok(status) => status,
    Err(_) => StatusCode::BAD_REQUEST,
};

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_123);

    fn parse(query: &str) -> Result<ConversionRequest, &'static str> {
        let params = Params::decode(query, None, b"").map_err(|_| "the query is broken")?;
        ConversionRequest::parse(&params, NOW)
    }

    #[test]
    fn every_client_s_word_for_true_and_false_is_understood() {
        for (word, expected) in [
            ("True", true),
            ("true", true),
            ("1", true),
            ("False", false),
            ("FALSE", false),
            ("0", false),
        ] {
            let query = format!("message-id=0A0000001234567B&delivered={word}");
            assert_eq!(parse(&query).unwrap().delivered, expected, "{word}");
        }
        assert!(parse("message-id=0A0000001234567B&delivered=yes").is_err());
        assert!(parse("message-id=0A0000001234567B").is_err());
    }

    #[test]
    fn any_part_names_its_message_and_a_uuid_names_a_verification() {
        let subject = |id: &str| parse(&format!("delivered=1&message-id={id}")).map(|c| c.subject);
        let message = Subject::Message(MessageId::from_u64(0x0a00_0000_1234_5670));
        assert_eq!(subject("0A00000012345670"), Ok(message));
        assert_eq!(subject("0a0000001234567b"), Ok(message));
        let id = "c11236f4-00bf-4b89-84ba-88b25df97315";
        let verification = Subject::Verification(VerificationId::parse(id).unwrap());
        assert_eq!(subject(id), Ok(verification));
        assert_eq!(subject(&format!("{id}-1")), Ok(verification), "a call-id");
        assert!(subject("12345").is_err());
        assert!(parse("delivered=1").is_err());
    }

    #[test]
    fn a_conversion_is_dated_by_its_timestamp_unless_that_belongs_to_the_signature() {
        let at = |rest: &str| {
            let query = format!("message-id=0A0000001234567B&delivered=1{rest}");
            parse(&query).map(|conversion| conversion.at.as_millis())
        };
        assert_eq!(at(""), Ok(NOW.as_millis()));
        assert_eq!(at("&timestamp=2023-11-14+22%3A13%3A20"), Ok(1_700_000_000_000));
        assert_eq!(at("&timestamp=1700000000&sig=ab"), Ok(NOW.as_millis()));
        assert!(at("&timestamp=1700000000").is_err());
        assert!(at("&timestamp=1969-12-31+23%3A59%3A59").is_err());
    }
}
