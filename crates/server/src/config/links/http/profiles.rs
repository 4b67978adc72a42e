//! What is known of the APIs that many aggregators speak. A profile is what a file would say; each
//! of its keys can be written otherwise.

/// Returns the keys of a profile.
pub(super) fn profile(name: &str) -> Option<&'static str> {
    Some(match name {
        "kannel" => KANNEL,
        "jasmin" => JASMIN,
        "vonage" => VONAGE,
        "twilio" => TWILIO,
        _ => return None,
    })
}

pub(super) const NAMES: &str = "`kannel`, `jasmin`, `vonage`, `twilio`";

/// `sendsms` of Kannel's smsbox (user guide 1.4.5, tables 7-16 and 7-17 and chapter 10). It gives
/// a message no name in its answer, so its reports bring ours back. Reports: 1 delivered, 2
/// failed, 4 buffered, 8 with the SMSC, 16 refused by the SMSC; all are asked for. 34 and 66 are
/// what newer versions make of 2 for expired and unknown.
const KANNEL: &str = r#"
method = "GET"
body = "query"
accepted_status = ["202", "200"]
answer_patterns = ["{state}: {}"]
accepted_states = ["0", "3"]
coding = { gsm = "0", unicode = "2" }

[fields]
username = "{user}"
password = "{password}"
to = "{to_e164}"
from = "{from}"
text = "{text}"
charset = "UTF-8"
coding = "{coding}"
validity = "{validity_min}"
dlr-mask = "31"
dlr-url = "{dlr_url}?id={id}&state=%d&answer=%A"

[reports]
own_id = "id"
state = "state"
states = { 1 = "delivered", 2 = "failed", 4 = "buffered", 8 = "accepted", 16 = "rejected", 34 = "expired", 66 = "unknown" }

[inbound]
from = "from"
to = "to"
text = "text"
id = "id"
"#;

/// `/send` of Jasmin's HTTP API (documentation 0.11, "HTTP API"). It turns a text with coding 0
/// into GSM 03.38 itself and takes any other as octets. Reports of level 1 are SMPP command
/// statuses, those of level 2 receipts' states; each must be answered with `ACK/Jasmin`.
///
/// No `validity-period`: with one, Jasmin 0.11.0 drops one message in ten without a word. It writes
/// the end of the period in tenths of a second, and fails in the last tenth of each.
const JASMIN: &str = r#"
method = "POST"
body = "form"
answer_patterns = ['Success "{id}"', 'Error "{state}"']
temporary_states = ["User throughput exceeded"]
coding = { gsm = "0", unicode = "8" }

[fields]
username = "{user}"
password = "{password}"
to = "{to}"
from = "{from}"
content = "{text_gsm}"
hex-content = "{text_ucs2_hex}"
coding = "{coding}"
dlr = "yes"
dlr-level = "3"
dlr-method = "POST"
dlr-url = "{dlr_url}?own={id}"

[reports]
id = "id"
own_id = "own"
state = "message_status"
answer = "ACK/Jasmin"
states = { DELIVRD = "delivered", EXPIRED = "expired", UNDELIV = "failed", DELETED = "failed", REJECTD = "rejected", ACCEPTD = "accepted", ENROUTE = "buffered", UNKNOWN = "unknown", ESME_ROK = "accepted" }
otherwise = "rejected"
"#;

/// `/sms/json` of the SMS API that Vonage, formerly Nexmo, documents and others have copied. Each
/// part of a message has its own entry in the answer. States: 1 throttled, 5 internal error, 6
/// invalid message, 7 number barred; the others are matters of our account there.
const VONAGE: &str = r#"
method = "POST"
url = "https://rest.nexmo.com/sms/json"
body = "form"
answer_states = ["/messages/*/status"]
answer_id = "/messages/*/message-id"
accepted_states = ["0"]
temporary_states = ["1", "5"]
rejected_states = { 6 = 3, 7 = 9 }
coding = { gsm = "text", unicode = "unicode" }
validity = { min_s = 20, max_s = 604800 }

[fields]
api_key = "{user}"
api_secret = "{password}"
to = "{to}"
from = "{from}"
text = "{text}"
type = "{coding}"
ttl = "{validity_ms}"
status-report-req = "1"
client-ref = "{id}"
callback = "{dlr_url}"

[reports]
id = "messageId"
own_id = "client-ref"
state = "status"
error = "err-code"
states = { accepted = "accepted", buffered = "buffered", delivered = "delivered", expired = "expired", failed = "failed", rejected = "rejected", unknown = "unknown" }

[inbound]
from = "msisdn"
to = "to"
text = "text"
id = "messageId"
"#;

/// The Messages resource of the API that Twilio documents and others have copied. Errors 20429
/// and 63038 ask for less, 21610 is an opt-out, 21211 and 21614 are numbers that get no messages;
/// reports' errors 30003 to 30008 tell why.
const TWILIO: &str = r#"
method = "POST"
url = "https://api.twilio.com/2010-04-01/Accounts/{user}/Messages.json"
body = "form"
basic_auth = true
answer_states = ["/code", "/status"]
answer_id = "/sid"
accepted_states = ["accepted", "queued", "scheduled", "sending", "sent", "delivered"]
temporary_states = ["20429", "63038"]
rejected_states = { 21211 = 3, 21610 = 9, 21614 = 3 }
validity = { min_s = 1, max_s = 14400 }

[fields]
To = "{to_e164}"
From = "{from_e164}"
Body = "{text}"
ValidityPeriod = "{validity_s}"
StatusCallback = "{dlr_url}?own={id}"

[reports]
id = "MessageSid"
own_id = "own"
state = "MessageStatus"
error = "ErrorCode"
states = { accepted = "accepted", queued = "accepted", scheduled = "accepted", sending = "buffered", sent = "buffered", delivered = "delivered", read = "delivered", undelivered = "failed", failed = "failed", canceled = "failed" }
errors = { 30003 = 2, 30004 = 9, 30005 = 3, 30006 = 12, 30007 = 99, 30008 = 1 }

[inbound]
from = "From"
to = "To"
text = "Body"
id = "MessageSid"
"#;
