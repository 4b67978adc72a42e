//! Who asks at this door: a key with its secret, a signed request, or HTTP Basic.

use std::sync::Arc;
use std::time::Duration;

use axum::http::header;
use engine::Timestamp;

use super::signature::{is_fresh, verify};
use crate::directory::{Account, Key};
use crate::http::params::{Params, basic_credentials};
use crate::http::{App, Incoming, auth};
use crate::store::KeyKind;

/// The parameters that say who asks; nothing of them is ever part of a message.
pub(super) const NAMES: [&str; 6] =
    ["api_key", "api_secret", "password", "sig", "timestamp", "username"];

/// Why a caller is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LoginFault {
    /// This parameter, which names the key, is missing.
    MissingName(&'static str),
    /// There is neither a secret nor a signature with its timestamp.
    MissingSecret,
    /// There is no such key, or its secret is another.
    WrongSecret,
    /// There is no such key, or the signature is another or too old.
    WrongSignature,
    /// The signature is right, and the secret was sent as well.
    SignatureAndSecret,
    /// Too many wrong secrets came from this address.
    MustWait(Duration),
}

/// Finds the account of a request. Wrong secrets and signatures are counted, and
/// right ones never kept waiting.
pub(super) fn authenticate(
    app: &App,
    incoming: &Incoming,
    params: &Params,
) -> Result<Arc<Account>, LoginFault> {
    let credentials = Credentials::read(params, incoming.header(header::AUTHORIZATION))?;
    let wrong = |name: &str, fault| {
        let per_minute = app.config.limits.failed_auth_per_minute;
        let now = app.driver.clock.now();
        let wait = app.logins.failed(incoming.address, name, per_minute, now);
        wait.map_or(fault, LoginFault::MustWait)
    };
    match credentials {
        Credentials::Secret { name, secret } => {
            auth::authenticate(app, KeyKind::Vonage, &name, &secret)
                .map(|caller| caller.account)
                .ok_or_else(|| wrong(&name, LoginFault::WrongSecret))
        }
        Credentials::Signature { name, sig, timestamp, with_secret } => {
            match signed(app, params, name, sig, timestamp) {
                None => Err(wrong(name, LoginFault::WrongSignature)),
                // A wrong signature is told first, as the vendor does.
                Some(_) if with_secret => Err(LoginFault::SignatureAndSecret),
                Some(account) => Ok(account),
            }
        }
    }
}

fn signed(
    app: &App,
    params: &Params,
    name: &str,
    sig: &str,
    timestamp: &str,
) -> Option<Arc<Account>> {
    let directory = app.driver.directories.current();
    let signs = |key: &&Arc<Key>| {
        let secret = key.signature_secret.as_ref();
        secret.is_some_and(|secret| verify(params.iter(), sig, secret, key.signature_method))
    };
    let key = directory.keys(KeyKind::Vonage, name).iter().find(signs)?;
    let now = i64::try_from(callers_time(app).as_millis()).ok()?;
    let fresh = is_fresh(timestamp, now, app.config.vonage.signature_tolerance);
    fresh.then(|| directory.account(key.account).cloned()).flatten()
}

/// A sandbox's clock can be moved ahead, and callers know nothing of it.
fn callers_time(app: &App) -> Timestamp {
    app.driver.clock.now().before(app.driver.clock.offset())
}

/// What a request shows for itself.
#[cfg_attr(test, derive(Debug, PartialEq, Eq))]
enum Credentials<'a> {
    Secret { name: String, secret: String },
    Signature { name: &'a str, sig: &'a str, timestamp: &'a str, with_secret: bool },
}

impl<'a> Credentials<'a> {
    /// Parameters come before the header, which counts only if they hold no secret and no
    /// signature.
    fn read(params: &'a Params, authorization: Option<&str>) -> Result<Self, LoginFault> {
        let (name, secret) = match params.given("api_key") {
            Some(name) => (Some(name), params.given("api_secret")),
            // The older names of the two.
            None => (
                params.given("username"),
                params.given("api_secret").or_else(|| params.given("password")),
            ),
        };
        let sig = params.given("sig");
        if secret.is_none()
            && sig.is_none()
            && let Some((name, secret)) = authorization.and_then(basic_credentials)
        {
            return Ok(Self::Secret { name, secret });
        }
        let Some(name) = name else {
            let old = params.given("password").is_some();
            return Err(LoginFault::MissingName(if old { "username" } else { "api_key" }));
        };
        match (sig, secret) {
            (Some(sig), secret) => {
                let timestamp = params.given("timestamp").ok_or(LoginFault::MissingSecret)?;
                Ok(Self::Signature { name, sig, timestamp, with_secret: secret.is_some() })
            }
            (None, Some(secret)) => {
                Ok(Self::Secret { name: name.to_owned(), secret: secret.to_owned() })
            }
            (None, None) => Err(LoginFault::MissingSecret),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `k:s` in base64.
    const BASIC: Option<&str> = Some("Basic azpz");

    #[track_caller]
    fn assert_reads(
        query: &str,
        authorization: Option<&str>,
        expected: Result<Credentials<'_>, LoginFault>,
    ) {
        let params = Params::decode(query, None, b"").unwrap();
        assert_eq!(Credentials::read(&params, authorization), expected, "{query}");
    }

    fn secret(name: &str, secret: &str) -> Credentials<'static> {
        Credentials::Secret { name: name.to_owned(), secret: secret.to_owned() }
    }

    #[test]
    fn a_key_and_its_secret_travel_under_either_pair_of_names_or_in_the_header() {
        assert_reads("api_key=k&api_secret=s", None, Ok(secret("k", "s")));
        assert_reads("username=k&password=s", None, Ok(secret("k", "s")));
        assert_reads("to=1", BASIC, Ok(secret("k", "s")));
        assert_reads("api_key=other&api_secret=o", BASIC, Ok(secret("other", "o")));
    }

    #[test]
    fn a_key_without_its_secret_is_completed_by_the_header() {
        assert_reads("api_key=k", BASIC, Ok(secret("k", "s")));
        assert_reads("api_key=k&api_secret=", BASIC, Ok(secret("k", "s")));
    }

    #[test]
    fn what_is_missing_is_told_by_the_name_that_was_in_use() {
        assert_reads("to=1", None, Err(LoginFault::MissingName("api_key")));
        assert_reads("api_secret=s", None, Err(LoginFault::MissingName("api_key")));
        assert_reads("password=s", None, Err(LoginFault::MissingName("username")));
        assert_reads("api_key=k", None, Err(LoginFault::MissingSecret));
        assert_reads("api_key=k", Some("Bearer x"), Err(LoginFault::MissingSecret));
    }

    #[test]
    fn a_signature_needs_its_timestamp_and_remembers_a_secret_beside_it() {
        let signature = |with_secret| {
            Ok(Credentials::Signature { name: "k", sig: "ab", timestamp: "7", with_secret })
        };
        assert_reads("api_key=k&sig=ab&timestamp=7", BASIC, signature(false));
        assert_reads("api_key=k&sig=ab&timestamp=7&api_secret=s", None, signature(true));
        assert_reads("api_key=k&sig=ab", None, Err(LoginFault::MissingSecret));
    }
}
