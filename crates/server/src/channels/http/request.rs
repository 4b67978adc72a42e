//! Writes the request for one message, with everything in it escaped as its place asks.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use engine::wording::{Encoding, Segments};
use engine::{AttemptId, Timestamp};
use http_body_util::Full;
use hyper::Request;
use hyper::body::Bytes;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue, USER_AGENT};
use reqwest::Url;
use serde_json::{Map, Value as Json};
use zeroize::Zeroizing;

use super::super::Dispatch;
use super::super::routing::sender_kind;
use super::callback::receipts_url;
use crate::config::{BodyKind, Field, HttpConfig, SenderKind, Slot, Template};
use crate::directory::ServerSecrets;
use crate::seal::read_private;

/// Writes the requests of one link.
pub(super) struct Requests {
    link: String,
    config: HttpConfig,
    password: Zeroizing<String>,
    secrets: BTreeMap<String, Zeroizing<String>>,
}

/// Our own name of an attempt towards an aggregator, from which nobody can tell whose it is.
pub(super) fn own_id(attempt: AttemptId, secrets: &ServerSecrets) -> String {
    let digest = secrets.pepper.digest(format!("http link attempt {attempt}").as_bytes());
    format!("{:032x}", u128::from_be_bytes(digest))
}

impl Requests {
    pub(super) fn open(link: &str, config: &HttpConfig) -> Result<Self, String> {
        let read = |path: &std::path::PathBuf| {
            let text = read_private(path).map_err(|error| error.told())?;
            Ok::<_, String>(Zeroizing::new(text.trim().to_owned()))
        };
        let password = config.password_file.as_ref().map(read).transpose()?.unwrap_or_default();
        let mut secrets = BTreeMap::new();
        for (name, path) in &config.secret_files {
            secrets.insert(name.clone(), read(path)?);
        }
        Ok(Self { link: link.to_owned(), config: config.clone(), password, secrets })
    }

    /// Writes the request for a message.
    ///
    /// # Errors
    /// What cannot be written, in a few words without secrets.
    pub(super) fn render(
        &self,
        dispatch: &Dispatch,
        now: Timestamp,
        secrets: &ServerSecrets,
    ) -> Result<Request<Full<Bytes>>, String> {
        let message = Message { requests: self, dispatch, now, secrets };
        let url = self.config.url.render(|slot| path_escaped(&message.fill(slot)));
        let mut url = Url::parse(&url).map_err(|_| "its URL cannot be written".to_owned())?;
        let (content_type, body) = match self.config.body {
            BodyKind::Query => {
                url.query_pairs_mut().extend_pairs(message.pairs());
                (None, Vec::new())
            }
            BodyKind::Form => {
                let mut form = form_urlencoded::Serializer::new(String::new());
                form.extend_pairs(message.pairs());
                (Some("application/x-www-form-urlencoded"), form.finish().into_bytes())
            }
            BodyKind::Json => {
                let object = message.object(&self.config.fields);
                (Some("application/json"), Json::Object(object).to_string().into_bytes())
            }
        };
        let method = if self.config.post { "POST" } else { "GET" };
        let mut builder = Request::builder().method(method).uri(url.as_str());
        if let Some(content_type) = content_type {
            builder = builder.header(CONTENT_TYPE, content_type);
        }
        for (name, template) in &self.config.headers {
            builder = builder.header(name, template.render(|slot| message.fill(slot)));
        }
        if self.config.basic_auth {
            let pair = Zeroizing::new(format!("{}:{}", self.config.user, *self.password));
            let value = format!("Basic {}", STANDARD.encode(pair.as_bytes()));
            builder = builder.header(AUTHORIZATION, value);
        }
        let mut request = builder
            .body(Full::from(body))
            .map_err(|_| "a header of it cannot be written".to_owned())?;
        let headers = request.headers_mut();
        headers.entry(ACCEPT).or_insert(HeaderValue::from_static("*/*"));
        headers.entry(USER_AGENT).or_insert(HeaderValue::from_static(OURSELVES));
        Ok(request)
    }
}

/// A message on its way into a request.
struct Message<'a> {
    requests: &'a Requests,
    dispatch: &'a Dispatch,
    now: Timestamp,
    secrets: &'a ServerSecrets,
}

impl Message<'_> {
    fn fill(&self, slot: &Slot) -> String {
        let Self { requests, dispatch, now, secrets } = self;
        let config = &requests.config;
        let from = || dispatch.originator.as_deref().unwrap_or_default();
        let text = dispatch.text.reveal();
        let is_gsm = Segments::of(text).encoding == Encoding::Gsm7;
        // Never longer than it is of use, unless the aggregator has no shorter time.
        let (shortest, longest) = config.validity_s;
        let seconds = dispatch.expires_at.since(*now).as_secs().clamp(shortest, longest);
        match slot {
            Slot::To => dispatch.number.to_string(),
            Slot::ToE164 => format!("+{}", dispatch.number),
            Slot::FromE164 if sender_kind(from()) == Some(SenderKind::LongNumber) => {
                format!("+{}", from().trim_start_matches('+'))
            }
            Slot::From | Slot::FromE164 => from().to_owned(),
            Slot::Text => text.to_owned(),
            Slot::TextGsm => if is_gsm { text } else { "" }.to_owned(),
            Slot::TextUcs2Hex if is_gsm => String::new(),
            Slot::TextUcs2Hex => hexadecimal(text),
            Slot::Coding if is_gsm => config.coding.0.clone(),
            Slot::Coding => config.coding.1.clone(),
            Slot::DlrUrl => {
                let base = config.public_url.as_deref().unwrap_or_default();
                receipts_url(base, &requests.link, secrets)
            }
            Slot::Id => own_id(dispatch.attempt, secrets),
            Slot::User => config.user.clone(),
            Slot::Password => requests.password.to_string(),
            Slot::ValiditySeconds => seconds.to_string(),
            Slot::ValidityMinutes => minutes(seconds, shortest).to_string(),
            Slot::ValidityMillis => seconds.saturating_mul(1000).to_string(),
            Slot::Secret(name) => {
                requests.secrets.get(name).map(|secret| secret.to_string()).unwrap_or_default()
            }
        }
    }

    /// The fields as names and values; those that are empty are left out.
    fn pairs(&self) -> Vec<(String, String)> {
        let pair = |(name, field): &(String, Field)| {
            let value = match field {
                Field::Text(template) => self.text(template)?,
                Field::Fixed(Json::String(text)) => text.clone(),
                Field::Fixed(other) => other.to_string(),
                // The configuration has neither outside of JSON.
                Field::List(_) | Field::Object(_) => return None,
            };
            Some((name.clone(), value))
        };
        self.requests.config.fields.iter().filter_map(pair).collect()
    }

    fn object(&self, fields: &[(String, Field)]) -> Map<String, Json> {
        let member = |(name, field): &(String, Field)| Some((name.clone(), self.json(field)?));
        fields.iter().filter_map(member).collect()
    }

    fn json(&self, field: &Field) -> Option<Json> {
        Some(match field {
            Field::Text(template) => Json::String(self.text(template)?),
            Field::Fixed(value) => value.clone(),
            Field::List(items) => items.iter().filter_map(|item| self.json(item)).collect(),
            Field::Object(fields) => Json::Object(self.object(fields)),
        })
    }

    fn text(&self, template: &Template) -> Option<String> {
        Some(template.render(|slot| self.fill(slot))).filter(|text| !text.is_empty())
    }
}

/// Writes a text as UTF-16BE in hexadecimal.
fn hexadecimal(text: &str) -> String {
    text.encode_utf16().fold(String::new(), |mut written, unit| {
        // Writing to a string cannot fail.
        let _ = write!(written, "{unit:04x}");
        written
    })
}

/// Escapes all but the unreserved characters (RFC 3986, section 2.3), so that nothing that fills a
/// slot can end the segment of the path that it is in.
fn path_escaped(text: &str) -> String {
    let escape = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
            char::from(byte).to_string()
        }
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(escape).collect()
}

/// Whole minutes: no longer than so many seconds, unless that were less than the carrier allows.
fn minutes(seconds: u64, shortest: u64) -> u64 {
    (seconds / 60).max(shortest.div_ceil(60))
}

const OURSELVES: &str = concat!("Countersign/", env!("CARGO_PKG_VERSION"));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minutes_are_rounded_down_but_not_below_what_the_carrier_allows() {
        let told = [(300, 1), (299, 1), (59, 1), (90, 90), (119, 90), (180, 90)];
        assert_eq!(told.map(|(seconds, min)| minutes(seconds, min)), [5, 4, 1, 2, 2, 3]);
    }
}
