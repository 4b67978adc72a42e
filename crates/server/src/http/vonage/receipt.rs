//! Delivery receipts in Vonage's words.

use engine::{Amount, ReceiptStatus};

use super::push::{Push, wire_scts};
use crate::webhooks::sender::OutgoingRequest;

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

impl Dlr {
    /// Renders the request that pushes the receipt to `url`.
    pub fn render(&self, url: &str, push: Push<'_>) -> OutgoingRequest {
        push.render(url, self.fields())
    }

    /// Returns the fields in the order seen on the wire.
    fn fields(&self) -> Vec<(&'static str, String)> {
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
        fields
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::params::Params;
    use crate::http::vonage::push::Signing;
    use crate::http::vonage::signature::{SignatureMethod, verify};
    use crate::store::DlrMethod;
    use crate::webhooks::sender::Method;

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

    fn pushed(method: DlrMethod) -> Push<'static> {
        Push { method, at: PUSHED_AT, signing: None }
    }

    const PUSHED_AT: i64 = 1_594_953_275_900;

    const QUERY: &str = "msisdn=14845552121&to=16105553939&network-code=310004\
        &messageId=14000000F9DBBBBB&price=0.00845000&status=delivered&scts=2007170233&err-code=0\
        &api-key=a1234567&client-ref=my-ref&message-timestamp=2020-07-17+02%3A34%3A35";

    #[test]
    fn a_receipt_by_get_is_written_as_recorded() {
        let request = recorded().render("https://example.com/dlr", pushed(DlrMethod::Get));
        assert_eq!(request.method, Method::Get);
        assert_eq!(request.url, format!("https://example.com/dlr?{QUERY}"));
        assert_eq!(request.body, b"");
    }

    #[test]
    fn a_url_keeps_the_query_it_has() {
        let url_of = |url: &str| recorded().render(url, pushed(DlrMethod::Get)).url;
        assert_eq!(url_of("http://h/?a=b"), format!("http://h/?a=b&{QUERY}"));
        assert_eq!(url_of("http://h/?a=b&"), format!("http://h/?a=b&{QUERY}"));
        assert_eq!(url_of("http://h/?"), format!("http://h/?{QUERY}"));
        assert_eq!(url_of("http://h/?a=b#top?"), format!("http://h/?a=b&{QUERY}"));
    }

    #[test]
    fn a_receipt_by_post_carries_the_same_fields() {
        let form = recorded().render("http://h/?a=b", pushed(DlrMethod::Post));
        assert_eq!((form.method, form.url.as_str()), (Method::Post, "http://h/?a=b"));
        assert_eq!(form.body, QUERY.as_bytes());
        assert!(form.headers.contains(&(
            "content-type",
            "application/x-www-form-urlencoded; charset=UTF-8".to_owned()
        )));

        let json = recorded().render("http://h/", pushed(DlrMethod::PostJson));
        assert!(json.headers.contains(&("content-type", "application/json".to_owned())));
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
        assert!(!dlr.render("http://h/", pushed(DlrMethod::Get)).url.contains("client-ref"));
    }

    #[test]
    fn a_signed_receipt_proves_itself_to_its_receiver() {
        let dlr = Dlr { client_ref: Some("a&b=c d".to_owned()), ..recorded() };
        let nonce = "c11236f4-00bf-4b89-84ba-88b25df97315";
        for method in SignatureMethod::ALL {
            let signing = Some(Signing { secret: "sigsecret", method, nonce });
            let request = dlr.render("http://h/", Push { signing, ..pushed(DlrMethod::Post) });
            let params = Params::decode("", None, &request.body).unwrap();
            let sig = params.get("sig").unwrap();
            assert!(verify(params.iter(), sig, "sigsecret", method), "{method:?}");
            assert_eq!(params.get("timestamp"), Some("1594953275"));
            assert_eq!(params.get("nonce"), Some(nonce));
        }
    }
}
