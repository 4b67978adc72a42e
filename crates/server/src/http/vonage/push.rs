//! How Vonage pushes what it tells: a GET with a query, a posted form, or posted JSON.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::Offset;

use super::envelope::json_object;
use super::signature::{SignatureMethod, sign};
use crate::store::DlrMethod;
use crate::webhooks::sender::{Method, OutgoingRequest};

/// One try to push.
#[derive(Clone, Copy)]
pub struct Push<'a> {
    /// How the account wants it.
    pub method: DlrMethod,
    /// When, in milliseconds since 1970.
    pub at: i64,
    /// How it is signed, if it is.
    pub signing: Option<Signing<'a>>,
}

/// What it takes to sign.
#[derive(Clone, Copy)]
pub struct Signing<'a> {
    /// The signature secret of the account.
    pub secret: &'a str,
    /// The signature method of the account.
    pub method: SignatureMethod,
    /// A fresh UUID.
    pub nonce: &'a str,
}

impl Push<'_> {
    /// Renders the request that pushes some fields to `url`, with those that every push has.
    ///
    /// Each try is rendered anew, since it says when it was made and its signature covers that. The
    /// URL may have a query of its own, which comes first; a fragment is dropped.
    pub fn render(self, url: &str, fields: Vec<(&'static str, String)>) -> OutgoingRequest {
        let fields = self.complete(fields);
        let accept = ("accept", "*/*".to_owned());
        match self.method {
            DlrMethod::Get => OutgoingRequest {
                method: Method::Get,
                url: with_query(url, &form(&fields)),
                headers: vec![accept],
                body: Vec::new(),
            },
            DlrMethod::Post => OutgoingRequest {
                method: Method::Post,
                url: url.to_owned(),
                headers: vec![accept, ("content-type", FORM_TYPE.to_owned())],
                body: form(&fields).into_bytes(),
            },
            DlrMethod::PostJson => OutgoingRequest {
                method: Method::Post,
                url: url.to_owned(),
                headers: vec![accept, ("content-type", JSON_TYPE.to_owned())],
                body: json_object(fields).into_bytes(),
            },
        }
    }

    fn complete(self, mut fields: Vec<(&'static str, String)>) -> Vec<(&'static str, String)> {
        fields.push(("message-timestamp", wire_datetime(self.at)));
        if let Some(signing) = self.signing {
            fields.push(("timestamp", self.at.div_euclid(1000).to_string()));
            fields.push(("nonce", signing.nonce.to_owned()));
            let signed = fields.iter().map(|(name, value)| (*name, value.as_str()));
            let sig = sign(signed, signing.secret, signing.method);
            fields.push(("sig", sig));
        }
        fields
    }
}

/// Renders milliseconds since 1970 as `YYYY-MM-DD HH:MM:SS` in UTC.
pub fn wire_datetime(milliseconds: i64) -> String {
    let at = utc(milliseconds);
    format!(
        "{:04}-{:02}-{:02} {:02}:{:02}:{:02}",
        at.year(),
        at.month(),
        at.day(),
        at.hour(),
        at.minute(),
        at.second()
    )
}

/// Renders milliseconds since 1970 as `YYMMDDHHMM` in UTC, as carriers stamp a receipt.
pub fn wire_scts(milliseconds: i64) -> String {
    let at = utc(milliseconds);
    let year = at.year().rem_euclid(100);
    format!("{year:02}{:02}{:02}{:02}{:02}", at.month(), at.day(), at.hour(), at.minute())
}

/// Instants beyond the year 9999 are drawn back to it, so that rendering cannot fail.
fn utc(milliseconds: i64) -> DateTime {
    let nearest = if milliseconds < 0 { Timestamp::MIN } else { Timestamp::MAX };
    Offset::UTC.to_datetime(Timestamp::from_millisecond(milliseconds).unwrap_or(nearest))
}

fn form(fields: &[(&'static str, String)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
}

fn with_query(url: &str, query: &str) -> String {
    let base = url.split_once('#').map_or(url, |(base, _)| base);
    let separator = match base.split_once('?') {
        None => "?",
        Some((_, own)) if own.is_empty() || own.ends_with('&') => "",
        Some(_) => "&",
    };
    format!("{base}{separator}{query}")
}

const FORM_TYPE: &str = "application/x-www-form-urlencoded; charset=UTF-8";
const JSON_TYPE: &str = "application/json";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_written_in_utc_over_the_whole_range() {
        assert_eq!(wire_datetime(0), "1970-01-01 00:00:00");
        assert_eq!(wire_datetime(-1), "1969-12-31 23:59:59");
        assert_eq!(wire_datetime(1_709_251_199_999), "2024-02-29 23:59:59");
        assert_eq!(wire_scts(1_709_251_199_999), "2402292359");
        assert_eq!(wire_datetime(i64::MAX).len(), "9999-12-30 22:00:00".len());
        assert_eq!(wire_scts(i64::MIN).len(), 10);
    }
}
