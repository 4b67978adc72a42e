//! What aggregators send to a link's secret path: who may, and what it means.

use std::fmt;
use std::sync::Arc;

use engine::{ErrorCode, Receipt, ReceiptStatus, SecretText};
use serde_json::Value as Json;

use super::super::seen::{Said, Seen};
use super::answer::word;
use crate::config::{InboundRules, ReportRules};
use crate::directory::ServerSecrets;
use crate::driver::InboundMessage;
use crate::seal::SecretHash;
use crate::store::{CarrierKey, CarrierPart};

/// Returns where a link's aggregator reports to, below `server.public_url`. Only the aggregator and
/// the operator may know it.
pub fn receipts_url(public_url: &str, link: &str, secrets: &ServerSecrets) -> String {
    format!("{public_url}/links/{link}/{}/receipts", token(link, secrets))
}

/// Returns where a link's aggregator brings what handsets send, as secret as the other.
pub fn inbound_url(public_url: &str, link: &str, secrets: &ServerSecrets) -> String {
    format!("{public_url}/links/{link}/{}/inbound", token(link, secrets))
}

/// Whether a token is the link's, in a time that tells nothing about how nearly it is.
pub fn is_token(link: &str, given: &str, secrets: &ServerSecrets) -> bool {
    // Both are hashed first, so that no length and no beginning is told by the time.
    let right = SecretHash::of(&secrets.pepper, &token(link, secrets));
    right.matches(&secrets.pepper, given)
}

/// Derived, so that it is kept nowhere and stays the same as long as the data.
fn token(link: &str, secrets: &ServerSecrets) -> String {
    let digest = secrets.pepper.digest(format!("http link callback {link}").as_bytes());
    format!("{:032x}", u128::from_be_bytes(digest))
}

/// How a number is named where a message has no other name.
pub(super) fn number_id(digits: u64, secrets: &ServerSecrets) -> String {
    format!("to:{}", secrets.pseudonyms.pseudonym(digits))
}

/// Reads what one link's aggregator sends.
#[derive(Debug)]
pub struct Callbacks {
    link: String,
    reports: ReportRules,
    inbound: Option<InboundRules>,
    seen: Arc<Seen>,
}

/// What came: the parameters of the query, then those of the body.
#[derive(Default)]
pub struct Callback {
    /// Of the query and of a form.
    pub pairs: Vec<(String, String)>,
    /// The body, if it is JSON.
    pub json: Option<Json>,
}

/// A report that was understood.
#[derive(Debug)]
pub struct Report {
    /// The names that its message may have, the best first; none if it comes again.
    pub keys: Vec<CarrierKey>,
    /// What it says.
    pub receipt: Receipt,
    /// Those of its names that are of its message alone.
    own: Vec<CarrierKey>,
    /// Where it is final and has none of its own, what it says.
    said: Option<Said>,
}

impl fmt::Debug for Callback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Callback(hidden)")
    }
}

impl Callback {
    /// Reads a request's query and body. A body is JSON if it says so or looks so.
    pub fn read(query: &str, content_type: Option<&str>, body: &[u8]) -> Self {
        let mut pairs: Vec<(String, String)> =
            form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        let is_json = content_type.is_some_and(|kind| kind.contains("json"))
            || matches!(body.trim_ascii_start().first(), Some(b'{' | b'['));
        let json = is_json.then(|| serde_json::from_slice(body).ok()).flatten();
        if !is_json {
            pairs.extend(form_urlencoded::parse(body).into_owned());
        }
        Self { pairs, json }
    }

    /// Returns everything that is said of one item, in one text.
    fn said(&self, item: Option<&Json>) -> String {
        let mut said = form_urlencoded::Serializer::new(String::new());
        said.extend_pairs(&self.pairs);
        format!("{}{}", said.finish(), item.map(Json::to_string).unwrap_or_default())
    }

    /// Returns what the body lists, or the body as the only item.
    fn items(&self, each: Option<&String>) -> Vec<Option<&Json>> {
        match (each, &self.json) {
            (Some(pointer), Some(json)) => {
                let items = json.pointer(pointer).and_then(Json::as_array);
                items.into_iter().flatten().take(ITEMS_MAX).map(Some).collect()
            }
            (None | Some(_), json) => vec![json.as_ref()],
        }
    }

    /// Returns a field's value: a JSON pointer leads into `item`, a name is one of the pairs or of
    /// the members of `item`.
    fn field(&self, item: Option<&Json>, name: Option<&String>) -> Option<String> {
        let name = name?;
        if name.starts_with('/') {
            return word(item?.pointer(name)?);
        }
        let pair = self.pairs.iter().find(|(key, _)| key == name);
        pair.map(|(_, value)| value.clone())
            .filter(|value| !value.is_empty())
            .or_else(|| word(item?.get(name)?))
    }
}

impl Callbacks {
    pub(super) fn new(
        link: &str,
        reports: ReportRules,
        inbound: Option<InboundRules>,
        seen: Arc<Seen>,
    ) -> Self {
        Self { link: link.to_owned(), reports, inbound, seen }
    }

    /// What the link was given and has told in the last minutes.
    pub(super) fn seen(&self) -> &Seen {
        &self.seen
    }

    /// Takes note that a report is stored; one that is dropped instead may come again.
    pub fn settle(&self, report: Report) {
        if !report.receipt.status.is_final() {
            return;
        }
        self.seen.settle(&report.own);
        if let Some(said) = report.said {
            said.stored();
        }
    }

    /// How messages from handsets are read; `None` if there are none.
    pub fn inbound_rules(&self) -> Option<&InboundRules> {
        self.inbound.as_ref()
    }

    /// Reads messages from handsets; those that are from no number, to none, or say nothing are
    /// left out.
    pub fn inbound(&self, rules: &InboundRules, callback: &Callback) -> Vec<InboundMessage> {
        let read = |item: Option<&Json>| {
            let field = |name: &String| callback.field(item, Some(name));
            let from = field(&rules.from)?;
            let from = from.trim().trim_start_matches('+').parse().ok()?;
            Some(InboundMessage {
                from,
                to: field(&rules.to)?.trim().to_owned(),
                text: SecretText::concat(&[&field(&rules.text)?]),
                concat: None,
                id: rules.id.as_ref().and_then(field),
            })
        };
        callback.items(rules.each.as_ref()).into_iter().filter_map(read).collect()
    }

    /// What a report that was taken is answered with.
    pub fn answer(&self) -> &str {
        &self.reports.answer
    }

    /// Names the parts of a message as the aggregator does.
    pub(super) fn parts(&self, ids: &[String]) -> Vec<CarrierPart> {
        let ids: Vec<&String> = ids.iter().take(PARTS_MAX).collect();
        let parts = u8::try_from(ids.len()).unwrap_or(u8::MAX);
        (0..).zip(ids).map(|(part, id)| CarrierPart { part, parts, key: self.key(id) }).collect()
    }

    /// Reads reports; those that name no message or no state are left out.
    pub fn reports(&self, callback: &Callback, secrets: &ServerSecrets) -> Vec<Report> {
        let items = callback.items(self.reports.each.as_ref());
        items.into_iter().filter_map(|item| self.report(callback, item, secrets)).collect()
    }

    fn report(
        &self,
        callback: &Callback,
        item: Option<&Json>,
        secrets: &ServerSecrets,
    ) -> Option<Report> {
        let rules = &self.reports;
        let field = |name: &Option<String>| callback.field(item, name.as_ref());
        let number: Option<u64> = field(&rules.to).and_then(|text| {
            let digits: String = text.chars().filter(char::is_ascii_digit).collect();
            digits.parse().ok()
        });
        // Ours first: whatever becomes of the answer, it is known by that name, and a report that
        // comes before the answer waits under its first name.
        let names = [field(&rules.own_id), field(&rules.id)];
        let own: Vec<CarrierKey> = names.iter().flatten().map(|id| self.key(id)).collect();
        let state = field(&rules.state)?;
        let otherwise = rules.otherwise.unwrap_or(ReceiptStatus::Unknown);
        let status = rules.states.get(&state).copied().unwrap_or(otherwise);
        let error = match field(&rules.error) {
            Some(error) if !status.is_final() || status.is_definite_failure() => {
                self.error(&error, status)
            }
            Some(_) | None => Self::no_error(status),
        };
        if own.is_empty() && number.is_none() {
            return None;
        }
        let mut keys = own.clone();
        let mut said = None;
        if let Some(digits) = number.filter(|_| own.is_empty() && status.is_final()) {
            let digest = self.key(&format!("said:{}", callback.said(item)));
            said = self.seen.say(vec![digits], digest);
            if said.is_none() {
                return Some(Report { keys, receipt: Receipt { status, error }, own, said });
            }
        }
        if let Some(digits) = number
            && self.seen.may_go_by_number(&own, digits)
        {
            keys.push(self.key(&number_id(digits, secrets)));
        }
        Some(Report { keys, receipt: Receipt { status, error }, own, said })
    }

    fn error(&self, error: &str, status: ReceiptStatus) -> ErrorCode {
        let mapped = self.reports.errors.get(error).copied();
        let plain = || error.parse().ok().filter(|code| *code <= ErrorCode::GENERAL.0);
        mapped.or_else(|| plain().map(ErrorCode)).unwrap_or_else(|| Self::no_error(status))
    }

    fn no_error(status: ReceiptStatus) -> ErrorCode {
        if status.is_definite_failure() { ErrorCode::UNKNOWN } else { ErrorCode::NONE }
    }

    fn key(&self, id: &str) -> CarrierKey {
        CarrierKey::of(&self.link, id)
    }
}

/// A message has at most so many parts (GSM 03.40, section 9.2.3.24.1).
const PARTS_MAX: usize = 255;

/// Chosen: more than any aggregator puts in one request, and a body's limit holds as well.
const ITEMS_MAX: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seal::{Pepper, PseudonymKey};

    fn secrets() -> ServerSecrets {
        ServerSecrets { pepper: Pepper::generate(), pseudonyms: PseudonymKey::generate() }
    }

    fn callbacks() -> Callbacks {
        let name = |name: &str| Some(name.to_owned());
        Callbacks::new(
            "one",
            ReportRules {
                each: name("/results"),
                id: name("/messageId"),
                own_id: name("own"),
                state: name("/status/name"),
                states: [("DONE".to_owned(), ReceiptStatus::Delivered)].into(),
                ..ReportRules::default()
            },
            None,
            Seen::new(),
        )
    }

    #[test]
    fn only_the_links_own_token_fits() {
        let secrets = secrets();
        let url = receipts_url("https://sms.example", "one", &secrets);
        let token = url.rsplit('/').nth(1).unwrap();
        assert!(is_token("one", token, &secrets));
        assert!(!is_token("two", token, &secrets));
        assert!(!is_token("one", &token[1..], &secrets));
        assert!(!is_token("one", "", &secrets));
    }

    #[test]
    fn one_request_may_bring_several_reports() {
        let body = br#"{"results":[{"messageId":7,"status":{"name":"DONE"}},
            {"messageId":"8","status":{"name":"OTHER"}},{"status":{"name":"DONE"}}, 5]}"#;
        let callback = Callback::read("", Some("application/json"), body);
        let reports = callbacks().reports(&callback, &secrets());
        let told: Vec<_> = reports.iter().map(|r| (r.keys[0], r.receipt.status)).collect();
        let key = |id| CarrierKey::of("one", id);
        let expected = [(key("7"), ReceiptStatus::Delivered), (key("8"), ReceiptStatus::Unknown)];
        assert_eq!(told, expected);
    }

    #[test]
    fn a_report_goes_by_its_number_only_if_it_is_not_that_of_another_message() {
        let name = |name: &str| Some(name.to_owned());
        let rules = ReportRules {
            id: name("id"),
            to: name("to"),
            state: name("state"),
            states: [("ok".to_owned(), ReceiptStatus::Delivered)].into(),
            ..ReportRules::default()
        };
        let (callbacks, secrets) = (Callbacks::new("one", rules, None, Seen::new()), secrets());
        let report = |query: &str| {
            let callback = Callback::read(query, None, b"");
            callbacks.reports(&callback, &secrets).pop().unwrap()
        };
        let by_number = CarrierKey::of("one", &number_id(447_700_900_123, &secrets));
        let named = report("id=7&to=%2B447700900123&state=ok");
        assert_eq!(named.keys, [CarrierKey::of("one", "7"), by_number]);
        callbacks.settle(named);
        let again = report("id=7&to=447700900123&state=ok");
        assert_eq!(again.keys, [CarrierKey::of("one", "7")], "it comes again");
        callbacks.seen().begin(447_700_900_123);
        let early = report("id=8&to=447700900123&state=ok");
        assert_eq!(early.keys, [CarrierKey::of("one", "8")], "it may be the one under way");

        let nameless = report("to=00447700900123&state=ok&at=9:00");
        assert_eq!(nameless.keys, [by_number]);
        callbacks.settle(nameless);
        assert_eq!(report("to=00447700900123&state=ok&at=9:00").keys, [], "it comes again");
        assert_eq!(report("to=00447700900123&state=ok&at=9:01").keys, [by_number]);
        callbacks.seen().begin(447_700_900_123);
        let next = report("to=00447700900123&state=ok&at=9:00");
        assert_eq!(next.keys, [by_number], "it is of the second message");
        drop(next);
        let again = report("to=00447700900123&state=ok&at=9:00");
        assert_eq!(again.keys, [by_number], "it could not be stored");
    }

    #[test]
    fn rubbish_is_no_report() {
        for body in ["", "{", "[]", "{\"results\":5}", "\u{0}\u{1}", "own=&own=x"] {
            let callback = Callback::read("%ff=%", None, body.as_bytes());
            assert!(callbacks().reports(&callback, &secrets()).is_empty(), "{body}");
        }
    }
}
