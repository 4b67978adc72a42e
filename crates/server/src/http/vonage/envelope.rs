//! The `messages[]` envelope of the short-code APIs, and their opt-in answers, in JSON and in XML.

use std::borrow::Cow;

use engine::Amount;
use quick_xml::escape::escape;
use serde_json::Value;

use super::push::wire_datetime;
use super::status::WireStatus;

/// The format of an answer, chosen by the suffix of the request's path alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Path suffix `/json`.
    Json,
    /// Path suffix `/xml`.
    Xml,
}

impl Format {
    /// Both formats.
    pub const ALL: [Self; 2] = [Self::Json, Self::Xml];

    /// Returns the last segment of the paths that are answered so.
    pub const fn suffix(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Xml => "xml",
        }
    }

    /// Returns the value of the answer's `Content-Type` header; some clients fail without one.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Xml => "text/xml",
        }
    }
}

/// One accepted part of a message.
pub struct AcceptedPart {
    /// Upper-case hexadecimal digits or a UUID.
    pub message_id: String,
    /// The recipient in digits, without a plus.
    pub to: String,
    /// What the request named its message, if it did.
    pub client_ref: Option<String>,
    /// What is left of the account's credit.
    pub remaining_balance: Amount,
    /// What this part costs.
    pub message_price: Amount,
    /// The recipient's network, as MCC and MNC.
    pub network: String,
}

/// One refused part of a message.
///
/// Whatever is known may be set; the envelope sends what the vendor sends with the status, which is
/// `to` with 1, 9 and 29, `network` with 1 and 9, balance and price with 9.
pub struct RefusedPart {
    /// Why it was refused.
    pub status: WireStatus,
    /// The text sent to the client.
    pub error_text: Cow<'static, str>,
    /// The recipient in digits, without a plus.
    pub to: Option<String>,
    /// What the request named its message, if it did.
    pub client_ref: Option<String>,
    /// What is left of the account's credit.
    pub remaining_balance: Option<Amount>,
    /// What this part would cost.
    pub message_price: Option<Amount>,
    /// The recipient's network, as MCC and MNC.
    pub network: Option<String>,
}

impl RefusedPart {
    /// Makes a part that says the status and its text, and nothing else.
    pub fn new(status: WireStatus) -> Self {
        Self {
            status,
            error_text: status.error_text(),
            to: None,
            client_ref: None,
            remaining_balance: None,
            message_price: None,
            network: None,
        }
    }

    /// Makes the part that says which mandatory parameter is missing.
    pub fn missing(name: &str) -> Self {
        let error_text = match name {
            "api_key" | "username" => format!("Missing {name}"),
            _ => format!("Missing {name} param"),
        };
        Self { error_text: error_text.into(), ..Self::new(WireStatus::MissingParams) }
    }

    /// Makes the part that says which parameter should have been digits.
    pub fn not_numeric(name: &str) -> Self {
        let error_text = match name {
            "to" => "to address is not numeric".to_owned(),
            _ => format!("{name} is not numeric"),
        };
        Self { error_text: error_text.into(), ..Self::new(WireStatus::InvalidParams) }
    }
}

/// What became of one part of a message.
pub enum Part {
    /// It will be sent.
    Accepted(AcceptedPart),
    /// It will not be sent.
    Refused(RefusedPart),
}

/// Renders the answer to a send: one entry for each part, of which there is at least one.
pub fn render(parts: &[Part], format: Format) -> String {
    debug_assert!(!parts.is_empty(), "an answer has no part");
    let entries = parts.iter().map(Entry::of);
    match format {
        Format::Json => {
            let entries: Vec<_> = entries.map(|entry| json_object(entry.json_fields())).collect();
            format!(r#"{{"message-count":"{}","messages":[{}]}}"#, parts.len(), entries.join(","))
        }
        Format::Xml => {
            let entries: String = entries.map(|entry| entry.xml_element()).collect();
            format!(
                "{XML_DECLARATION}<mt-submission-response><messages count='{}'>{entries}\
                 </messages></mt-submission-response>",
                parts.len()
            )
        }
    }
}

/// Whether one number takes part in a campaign.
pub struct OptIn {
    /// The number in digits, without a plus.
    pub msisdn: String,
    /// Whether it takes part.
    pub opted_in: bool,
    /// When it last began to, in milliseconds since 1970.
    pub opted_in_at: Option<i64>,
    /// When it last ended to, in milliseconds since 1970.
    pub opted_out_at: Option<i64>,
}

/// Renders one page of the answer to `opt-in/query`; `total` counts the numbers on all pages.
pub fn render_opt_in_list(total: usize, page: &[OptIn], format: Format) -> String {
    match format {
        Format::Json => {
            let entries: Vec<_> = page.iter().map(|entry| json_object(entry.fields())).collect();
            format!(r#"{{"opt-in-count":"{total}","opt-in-list":[{}]}}"#, entries.join(","))
        }
        Format::Xml => {
            let entries: String = page.iter().map(OptIn::xml_element).collect();
            format!(
                r#"{XML_DECLARATION}<opt-in-list opt-in-count="{total}">{entries}</opt-in-list>"#
            )
        }
    }
}

/// Renders the answer to `opt-in/manage`.
pub fn render_opt_in(opt_in: &OptIn, format: Format) -> String {
    match format {
        Format::Json => json_object(opt_in.fields()),
        Format::Xml => format!("{XML_DECLARATION}{}", opt_in.xml_element()),
    }
}

/// Renders an object of strings in the given order, which a JSON map would lose.
pub(super) fn json_object<'a>(
    fields: impl IntoIterator<Item = (&'a str, impl Into<String>)>,
) -> String {
    let members: Vec<_> = fields
        .into_iter()
        .map(|(name, value)| format!("{}:{}", Value::from(name), Value::from(value.into())))
        .collect();
    format!("{{{}}}", members.join(","))
}

/// One part with every value as it stands on the wire; `None` is not sent.
struct Entry<'a> {
    message_id: Option<&'a str>,
    to: Option<&'a str>,
    client_ref: Option<&'a str>,
    status: WireStatus,
    error_text: Option<&'a str>,
    remaining_balance: Option<String>,
    message_price: Option<String>,
    network: Option<&'a str>,
}

impl<'a> Entry<'a> {
    fn of(part: &'a Part) -> Self {
        match part {
            Part::Accepted(part) => Self {
                message_id: Some(&part.message_id),
                to: Some(&part.to),
                client_ref: part.client_ref.as_deref(),
                status: WireStatus::Success,
                error_text: None,
                remaining_balance: Some(part.remaining_balance.to_string()),
                message_price: Some(part.message_price.to_string()),
                network: Some(&part.network),
            },
            Part::Refused(part) => {
                let status = part.status;
                let with_money = status == WireStatus::QuotaExceeded;
                let with_network = with_money || matches!(status, WireStatus::Throttled { .. });
                let with_to = with_network || status == WireStatus::NotAllowListed;
                Self {
                    message_id: None,
                    to: part.to.as_deref().filter(|_| with_to),
                    client_ref: part.client_ref.as_deref(),
                    status,
                    error_text: Some(&part.error_text),
                    remaining_balance: part
                        .remaining_balance
                        .filter(|_| with_money)
                        .map(|amount| amount.to_string()),
                    message_price: part
                        .message_price
                        .filter(|_| with_money)
                        .map(|amount| amount.to_string()),
                    network: part.network.as_deref().filter(|_| with_network),
                }
            }
        }
    }

    /// The order of the documented JSON examples.
    fn json_fields(&self) -> impl Iterator<Item = (&'static str, String)> {
        [
            ("to", self.to.map(str::to_owned)),
            ("message-id", self.message_id.map(str::to_owned)),
            ("status", Some(self.status.number().to_string())),
            ("error-text", self.error_text.map(str::to_owned)),
            ("remaining-balance", self.remaining_balance.clone()),
            ("message-price", self.message_price.clone()),
            ("network", self.network.map(str::to_owned)),
            ("client-ref", self.client_ref.map(str::to_owned)),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
    }

    /// The order of the documented XML examples.
    fn xml_element(&self) -> String {
        let status = self.status.number().to_string();
        let children: String = [
            ("messageId", self.message_id),
            ("to", self.to),
            ("clientRef", self.client_ref),
            ("status", Some(status.as_str())),
            ("errorText", self.error_text),
            ("remainingBalance", self.remaining_balance.as_deref()),
            ("messagePrice", self.message_price.as_deref()),
            ("network", self.network),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some(format!("<{name}>{}</{name}>", xml_text(value?))))
        .collect();
        format!("<message>{children}</message>")
    }
}

impl OptIn {
    fn fields(&self) -> impl Iterator<Item = (&'static str, String)> {
        [
            ("msisdn", Some(self.msisdn.clone())),
            ("opt-in", Some(self.opted_in.to_string())),
            ("opt-in-date", self.opted_in_at.map(wire_datetime)),
            ("opt-out", Some((!self.opted_in).to_string())),
            ("opt-out-date", self.opted_out_at.map(wire_datetime)),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
    }

    fn xml_element(&self) -> String {
        let attributes: Vec<_> = self
            .fields()
            .map(|(name, value)| format!(r#"{name}="{}""#, xml_text(&value)))
            .collect();
        format!("<opt-in {}/>", attributes.join(" "))
    }
}

/// Escapes a text, and replaces the characters that XML 1.0 (section 2.2) cannot hold at all.
fn xml_text(text: &str) -> Cow<'_, str> {
    if text.contains(is_beyond_xml) {
        Cow::Owned(escape(text.replace(is_beyond_xml, "\u{fffd}")).into_owned())
    } else {
        escape(text)
    }
}

fn is_beyond_xml(character: char) -> bool {
    matches!(
        character,
        '\0'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}'
    )
}

/// Byte for byte as the vendor writes it, with single quotes and a space before the end.
const XML_DECLARATION: &str = "<?xml version='1.0' encoding='UTF-8' ?>";

#[cfg(test)]
mod tests {
    use super::*;

    fn accepted(client_ref: Option<&str>) -> Part {
        Part::Accepted(AcceptedPart {
            message_id: "0A0000001234567B".to_owned(),
            to: "16365553226".to_owned(),
            client_ref: client_ref.map(str::to_owned),
            remaining_balance: Amount::from_units(314_159_265),
            message_price: Amount::from_units(3_330_000),
            network: "310004".to_owned(),
        })
    }

    /// A refusal for which everything is known.
    fn refused(status: WireStatus) -> Part {
        Part::Refused(RefusedPart {
            to: Some("16365553226".to_owned()),
            client_ref: None,
            remaining_balance: Some(Amount::ZERO),
            message_price: Some(Amount::from_units(3_330_000)),
            network: Some("310004".to_owned()),
            ..RefusedPart::new(status)
        })
    }

    #[test]
    fn an_accepted_message_is_all_strings_in_json() {
        assert_eq!(
            render(&[accepted(Some("ref-1"))], Format::Json),
            concat!(
                r#"{"message-count":"1","messages":[{"to":"16365553226","#,
                r#""message-id":"0A0000001234567B","status":"0","remaining-balance":"3.14159265","#,
                r#""message-price":"0.03330000","network":"310004","client-ref":"ref-1"}]}"#,
            )
        );
    }

    #[test]
    fn an_accepted_message_is_one_line_of_xml() {
        assert_eq!(
            render(&[accepted(Some("ref-1"))], Format::Xml),
            concat!(
                "<?xml version='1.0' encoding='UTF-8' ?><mt-submission-response>",
                "<messages count='1'><message><messageId>0A0000001234567B</messageId>",
                "<to>16365553226</to><clientRef>ref-1</clientRef><status>0</status>",
                "<remainingBalance>3.14159265</remainingBalance>",
                "<messagePrice>0.03330000</messagePrice><network>310004</network></message>",
                "</messages></mt-submission-response>",
            )
        );
    }

    #[test]
    fn bad_credentials_are_answered_byte_for_byte_as_seen_on_the_wire() {
        let parts = [refused(WireStatus::InvalidCredentials)];
        assert_eq!(
            render(&parts, Format::Json),
            r#"{"message-count":"1","messages":[{"status":"4","error-text":"Bad Credentials"}]}"#
        );
        assert_eq!(
            render(&parts, Format::Xml),
            "<?xml version='1.0' encoding='UTF-8' ?><mt-submission-response><messages count='1'>\
             <message><status>4</status><errorText>Bad Credentials</errorText></message>\
             </messages></mt-submission-response>"
        );
    }

    #[test]
    fn each_status_brings_the_fields_the_vendor_sends_with_it() {
        let shown = |status| {
            let json = render(&[refused(status)], Format::Json);
            ["to", "network", "remaining-balance", "message-price"]
                .map(|name| json.contains(&format!("\"{name}\":")))
        };
        assert_eq!(shown(WireStatus::Throttled { wait_ms: None }), [true, true, false, false]);
        assert_eq!(shown(WireStatus::QuotaExceeded), [true, true, true, true]);
        assert_eq!(shown(WireStatus::NotAllowListed), [true, false, false, false]);
        assert_eq!(shown(WireStatus::OptedOut), [false, false, false, false]);
    }

    #[test]
    fn a_missing_or_misshapen_parameter_is_named_in_the_vendor_s_words() {
        for (part, status, text) in [
            (RefusedPart::missing("to"), 2, "Missing to param"),
            (RefusedPart::missing("pin"), 2, "Missing pin param"),
            (RefusedPart::missing("api_key"), 2, "Missing api_key"),
            (RefusedPart::not_numeric("to"), 3, "to address is not numeric"),
            (RefusedPart::not_numeric("pin"), 3, "pin is not numeric"),
        ] {
            assert_eq!((part.status.number(), part.error_text.as_ref()), (status, text));
        }
    }

    #[test]
    fn parts_are_counted_and_listed_in_order() {
        let parts = [accepted(None), refused(WireStatus::InternalError)];
        let json: Value = serde_json::from_str(&render(&parts, Format::Json)).unwrap();
        assert_eq!(json["message-count"], "2");
        assert_eq!(json["messages"][0].get("client-ref"), None);
        assert_eq!(json["messages"][1]["error-text"], "Server Error");
        assert!(render(&parts, Format::Xml).contains("<messages count='2'><message><messageId>"));
    }

    #[test]
    fn a_hostile_reference_cannot_break_out_of_its_field() {
        let parts = [accepted(Some("\"</clientRef>\u{1}&'\u{e9}"))];
        let json: Value = serde_json::from_str(&render(&parts, Format::Json)).unwrap();
        assert_eq!(json["messages"][0]["client-ref"], "\"</clientRef>\u{1}&'\u{e9}");
        assert!(
            render(&parts, Format::Xml).contains(
                "<clientRef>&quot;&lt;/clientRef&gt;\u{fffd}&amp;&apos;\u{e9}</clientRef>"
            )
        );
    }

    #[test]
    fn opt_ins_are_listed_in_both_formats() {
        let out = OptIn {
            msisdn: "15558937009".to_owned(),
            opted_in: false,
            opted_in_at: None,
            opted_out_at: Some(1_403_893_893_000),
        };
        assert_eq!(
            render_opt_in_list(3, std::slice::from_ref(&out), Format::Json),
            concat!(
                r#"{"opt-in-count":"3","opt-in-list":[{"msisdn":"15558937009","opt-in":"false","#,
                r#""opt-out":"true","opt-out-date":"2014-06-27 18:31:33"}]}"#,
            )
        );
        assert_eq!(
            render_opt_in_list(3, &[out], Format::Xml),
            concat!(
                r"<?xml version='1.0' encoding='UTF-8' ?>",
                r#"<opt-in-list opt-in-count="3"><opt-in msisdn="15558937009" opt-in="false" "#,
                r#"opt-out="true" opt-out-date="2014-06-27 18:31:33"/></opt-in-list>"#,
            )
        );
    }

    #[test]
    fn a_number_that_was_taken_in_again_is_answered_in_both_formats() {
        let taken_in = OptIn {
            msisdn: "15559301529".to_owned(),
            opted_in: true,
            opted_in_at: Some(1_408_642_487_000),
            opted_out_at: None,
        };
        assert_eq!(
            render_opt_in(&taken_in, Format::Json),
            concat!(
                r#"{"msisdn":"15559301529","opt-in":"true","#,
                r#""opt-in-date":"2014-08-21 17:34:47","opt-out":"false"}"#,
            )
        );
        assert_eq!(
            render_opt_in(&taken_in, Format::Xml),
            concat!(
                r"<?xml version='1.0' encoding='UTF-8' ?>",
                r#"<opt-in msisdn="15559301529" opt-in="true" "#,
                r#"opt-in-date="2014-08-21 17:34:47" opt-out="false"/>"#,
            )
        );
    }
}
