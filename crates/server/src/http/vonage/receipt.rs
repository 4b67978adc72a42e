//! Delivery receipts as Vonage pushes them: a GET with a query, a posted form, or posted JSON.

use engine::{Amount, ReceiptStatus};
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::Offset;

use super::envelope::json_object;
use super::signature::{SignatureMethod, sign};
use crate::store::DlrMethod;
use crate::webhooks::sender::{Method, OutgoingRequest};

/// One delivery receipt in the vendor's terms.
pub struct Dlr {
    /// `msisdn`: the recipient in digits.
    pub msisdn: String,
    /// `to`: the originator, seen from the handset that would answer it.
    pub to: String,
    /// `network-code`: the recipient's network, as MCC and MNC.
    pub network_code: String,
    /// `messageId`: as in the answer to the send.
    pub message_id: String,
    /// `price`: what the part costs.
    pub price: Amount,
    /// `status`: what became of it.
    pub status: ReceiptStatus,
    /// `scts`: when the carrier's receipt arrived, in milliseconds since 1970.
    pub received_at: i64,
    /// `err-code`: 0 to 99, as in the vendor's table.
    pub err_code: u8,
    /// `api-key`: the key of the account.
    pub api_key: String,
    /// `client-ref`: what the request named its message, if it did.
    pub client_ref: Option<String>,
}

/// What it takes to sign a receipt.
#[derive(Clone, Copy)]
pub struct DlrSigning<'a> {
    /// The signature secret of the account.
    pub secret: &'a str,
    /// The signature method of the account.
    pub method: SignatureMethod,
    /// A fresh UUID.
    pub nonce: &'a str,
}

impl Dlr {
    /// Renders the request that pushes the receipt to `url` at `pushed_at`, in milliseconds since
    /// 1970.
    ///
    /// Each try is rendered anew, since it says when it was made and its signature covers that. The
    /// URL may have a query of its own, which comes first; a fragment is dropped.
    pub fn render(
        &self,
        url: &str,
        method: DlrMethod,
        pushed_at: i64,
        signing: Option<DlrSigning<'_>>,
    ) -> OutgoingRequest {
        let fields = self.fields(pushed_at, signing);
        let accept = ("accept", "*/*".to_owned());
        match method {
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

    /// Returns the fields in the order seen on the wire.
    fn fields(
        &self,
        pushed_at: i64,
        signing: Option<DlrSigning<'_>>,
    ) -> Vec<(&'static str, String)> {
        let mut fields = vec![
            ("msisdn", self.msisdn.clone()),
            ("to", self.to.clone()),
            ("network-code", self.network_code.clone()),
            ("messageId", self.message_id.clone()),
            ("price", self.price.to_string()),
            ("status", self.status.as_str().to_owned()),
            ("scts", wire_scts(self.received_at)),
            ("err-code", self.err_code.to_string()),
            ("api-key", self.api_key.clone()),
        ];
        fields.extend(self.client_ref.clone().map(|reference| ("client-ref", reference)));
        fields.push(("message-timestamp", wire_datetime(pushed_at)));
        if let Some(signing) = signing {
            fields.push(("timestamp", pushed_at.div_euclid(1000).to_string()));
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
    use crate::http::params::Params;
    use crate::http::vonage::signature::verify;

    /// The example that the vendor's PHP client is tested with, but for its impossible `scts`.
    fn recorded() -> Dlr {
        Dlr {
            msisdn: "14845552121".to_owned(),
            to: "16105553939".to_owned(),
            network_code: "310004".to_owned(),
            message_id: "14000000F9DBBBBB".to_owned(),
            price: Amount::from_units(845_000),
            status: ReceiptStatus::Delivered,
            received_at: PUSHED_AT - 60_000,
            err_code: 0,
            api_key: "a1234567".to_owned(),
            client_ref: Some("my-ref".to_owned()),
        }
    }

    const PUSHED_AT: i64 = 1_594_953_275_900;

    const QUERY: &str = "msisdn=14845552121&to=16105553939&network-code=310004\
        &messageId=14000000F9DBBBBB&price=0.00845000&status=delivered&scts=2007170233&err-code=0\
        &api-key=a1234567&client-ref=my-ref&message-timestamp=2020-07-17+02%3A34%3A35";

    #[test]
    fn a_receipt_by_get_is_written_as_recorded() {
        let request = recorded().render("https://example.com/dlr", DlrMethod::Get, PUSHED_AT, None);
        assert_eq!(request.method, Method::Get);
        assert_eq!(request.url, format!("https://example.com/dlr?{QUERY}"));
        assert_eq!(request.body, b"");
    }

    #[test]
    fn a_url_keeps_the_query_it_has() {
        let url_of = |url: &str| recorded().render(url, DlrMethod::Get, PUSHED_AT, None).url;
        assert_eq!(url_of("http://h/?a=b"), format!("http://h/?a=b&{QUERY}"));
        assert_eq!(url_of("http://h/?a=b&"), format!("http://h/?a=b&{QUERY}"));
        assert_eq!(url_of("http://h/?"), format!("http://h/?{QUERY}"));
        assert_eq!(url_of("http://h/?a=b#top?"), format!("http://h/?a=b&{QUERY}"));
    }

    #[test]
    fn a_receipt_by_post_carries_the_same_fields() {
        let form = recorded().render("http://h/?a=b", DlrMethod::Post, PUSHED_AT, None);
        assert_eq!((form.method, form.url.as_str()), (Method::Post, "http://h/?a=b"));
        assert_eq!(form.body, QUERY.as_bytes());
        assert!(form.headers.contains(&("content-type", FORM_TYPE.to_owned())));

        let json = recorded().render("http://h/", DlrMethod::PostJson, PUSHED_AT, None);
        assert!(json.headers.contains(&("content-type", JSON_TYPE.to_owned())));
        assert_eq!(
            String::from_utf8(json.body).unwrap(),
            concat!(
                r#"{"msisdn":"14845552121","to":"16105553939","network-code":"310004","#,
                r#""messageId":"14000000F9DBBBBB","price":"0.00845000","status":"delivered","#,
                r#""scts":"2007170233","err-code":"0","api-key":"a1234567","#,
                r#""client-ref":"my-ref","message-timestamp":"2020-07-17 02:34:35"}"#,
            )
        );
    }

    #[test]
    fn a_reference_that_was_not_given_is_not_sent() {
        let dlr = Dlr { client_ref: None, ..recorded() };
        assert!(
            !dlr.render("http://h/", DlrMethod::Get, PUSHED_AT, None).url.contains("client-ref")
        );
    }

    #[test]
    fn a_signed_receipt_proves_itself_to_its_receiver() {
        let dlr = Dlr { client_ref: Some("a&b=c d".to_owned()), ..recorded() };
        let nonce = "c11236f4-00bf-4b89-84ba-88b25df97315";
        for method in SignatureMethod::ALL {
            let signing = DlrSigning { secret: "sigsecret", method, nonce };
            let request = dlr.render("http://h/", DlrMethod::Post, PUSHED_AT, Some(signing));
            let params = Params::decode("", None, &request.body).unwrap();
            let sig = params.get("sig").unwrap();
            assert!(verify(params.iter(), sig, "sigsecret", method), "{method:?}");
            assert_eq!(params.get("timestamp"), Some("1594953275"));
            assert_eq!(params.get("nonce"), Some(nonce));
        }
    }

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
