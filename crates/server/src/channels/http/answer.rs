//! What an aggregator's answer to a message means, by the link's rules.

use std::time::Duration;

use engine::ErrorCode;
use serde_json::Value as Json;

use super::exchange::Answered;
use crate::config::{AnswerRules, Found};

/// What the aggregator means.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Verdict {
    /// It took the message, and calls its parts so.
    Accepted(Vec<String>),
    /// Nobody will take it.
    Rejected(ErrorCode),
    /// It may take it later.
    NotSent(String, Option<Duration>),
    /// It will not, for reasons of its own.
    LinkRefused(String),
    /// Nobody knows.
    Unknown(String),
}

/// What an exchange says of the aggregator itself.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Health {
    /// It answers, whatever it says.
    Fine,
    /// Something is broken there.
    Broken,
}

/// Judges an answer. What it says counts before its HTTP status, because many say everything with
/// status 200.
pub(super) fn judge(rules: &AnswerRules, answered: &Answered) -> (Verdict, Health) {
    let status = answered.status;
    let is = |ranges: &[(u16, u16)]| ranges.iter().any(|(a, b)| (*a..=*b).contains(&status));
    let health = if status >= 500 { Health::Broken } else { Health::Fine };
    let told = read(rules, &answered.body);
    let states = told.iter().flat_map(|told| &told.states);
    let mut refused = states.filter(|state| !rules.accepted.contains(*state)).peekable();
    let words = told.as_ref().and_then(|_| refused.peek()).map(|state| shown(state));
    let said = match &words {
        Some(words) => format!("it answered {status}, {words}"),
        None => format!("it answered {status}"),
    };
    let any_accepted =
        told.iter().flat_map(|told| &told.states).any(|state| rules.accepted.contains(state));
    let verdict = if let (Some(state), false) = (refused.peek(), any_accepted) {
        if let Some(error) = rules.rejected.get(*state) {
            Verdict::Rejected(*error)
        } else if rules.temporary.contains(*state) || is(&rules.temporary_status) {
            Verdict::NotSent(said, answered.retry_after)
        } else if is(&rules.unknown_status) {
            Verdict::Unknown(said)
        } else {
            Verdict::LinkRefused(said)
        }
    } else if refused.peek().is_some() {
        // Some parts went out, and others did not: to send all anew would be wrong, too.
        Verdict::Unknown(format!("{said}, for a part of it"))
    } else if is(&rules.temporary_status) {
        Verdict::NotSent(said, answered.retry_after)
    } else if is(&rules.unknown_status) {
        Verdict::Unknown(said)
    } else if !is(&rules.accepted_status) {
        Verdict::LinkRefused(said)
    } else {
        match told {
            Some(told) => Verdict::Accepted(told.ids),
            None => Verdict::Unknown(format!("{said} and nothing that is understood")),
        }
    };
    (verdict, health)
}

/// What an answer tells.
#[derive(Debug, Default)]
struct Told {
    states: Vec<String>,
    ids: Vec<String>,
}

/// Reads an answer; `None` if it is not what the rules expect.
fn read(rules: &AnswerRules, body: &[u8]) -> Option<Told> {
    if !rules.patterns.is_empty() {
        let text = String::from_utf8_lossy(body);
        let found: Found = rules.patterns.iter().find_map(|pattern| pattern.find(&text))?;
        let list = |value: Option<String>| value.into_iter().filter(|id| !id.is_empty()).collect();
        return Some(Told { states: list(found.state), ids: list(found.id) });
    }
    if rules.states.is_empty() && rules.id.is_none() {
        return Some(Told::default());
    }
    let json: Json = serde_json::from_slice(body).ok()?;
    let ids = rules.id.as_ref().map(|pointer| all_at(&json, pointer)).unwrap_or_default();
    let states = rules.states.iter().map(|pointer| all_at(&json, pointer));
    let states = states.into_iter().find(|states| !states.is_empty()).unwrap_or_default();
    let is_expected = !states.is_empty() || (rules.states.is_empty() && !ids.is_empty());
    is_expected.then_some(Told { states, ids })
}

/// Finds what a JSON pointer (RFC 6901) leads to, where `*` is every entry of a list.
pub(super) fn all_at(json: &Json, pointer: &str) -> Vec<String> {
    let (before, after) = match pointer.split_once("/*") {
        Some((before, after)) => (before, Some(after)),
        None => (pointer, None),
    };
    let found = json.pointer(before);
    match (found, after) {
        (None, _) => Vec::new(),
        (Some(found), None) => word(found).into_iter().collect(),
        (Some(found), Some(after)) => {
            let items = found.as_array().into_iter().flatten();
            items.flat_map(|item| all_at(item, after)).collect()
        }
    }
}

/// Returns a text or a number as it is written, if it is something.
pub(super) fn word(json: &Json) -> Option<String> {
    match json {
        Json::String(text) => Some(text.clone()),
        Json::Number(number) => Some(number.to_string()),
        Json::Bool(truth) => Some(truth.to_string()),
        Json::Null | Json::Array(_) | Json::Object(_) => None,
    }
    .filter(|text| !text.is_empty())
}

/// Returns a state for the operator, unless it might hold a number, a code or a whole text.
fn shown(state: &str) -> String {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, ' ' | '_' | '-' | '.');
    let digits = state.chars().filter(char::is_ascii_digit).count();
    if state.len() <= SHOWN_BYTES_MAX && digits <= SHOWN_DIGITS_MAX && state.chars().all(fits) {
        format!("`{state}`")
    } else {
        "in words that are not kept".to_owned()
    }
}

/// The longest state of a known API is a sentence of about so many bytes.
const SHOWN_BYTES_MAX: usize = 64;

/// An error of five digits is shown; a PIN of six and a phone number are not.
const SHOWN_DIGITS_MAX: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Pattern;

    fn rules() -> AnswerRules {
        AnswerRules {
            accepted_status: vec![(200, 299)],
            temporary_status: vec![(429, 429), (503, 503)],
            unknown_status: vec![(500, 502), (504, 599)],
            patterns: Vec::new(),
            states: vec!["/messages/*/status".to_owned()],
            id: Some("/messages/*/id".to_owned()),
            accepted: vec!["0".to_owned()],
            temporary: vec!["1".to_owned()],
            rejected: [("7".to_owned(), ErrorCode(9))].into(),
        }
    }

    fn verdict(rules: &AnswerRules, status: u16, body: &str) -> Verdict {
        let body = body.to_owned().into();
        judge(rules, &Answered { status, body, retry_after: None }).0
    }

    #[test]
    fn each_part_has_its_state_and_its_name() {
        let both = r#"{"messages":[{"status":"0","id":"a"},{"status":0,"id":"b"}]}"#;
        let ids = vec!["a".to_owned(), "b".to_owned()];
        assert_eq!(verdict(&rules(), 200, both), Verdict::Accepted(ids));
    }

    #[test]
    fn a_message_that_went_out_in_part_is_not_sent_anew() {
        let half = r#"{"messages":[{"status":"0","id":"a"},{"status":"1"}]}"#;
        assert!(matches!(verdict(&rules(), 200, half), Verdict::Unknown(_)));
    }

    #[test]
    fn what_is_said_counts_before_the_status() {
        let says = |state: &str| format!(r#"{{"messages":[{{"status":"{state}"}}]}}"#);
        assert!(matches!(verdict(&rules(), 200, &says("1")), Verdict::NotSent(..)));
        assert_eq!(verdict(&rules(), 400, &says("7")), Verdict::Rejected(ErrorCode(9)));
        let refused = Verdict::LinkRefused("it answered 200, `4`".to_owned());
        assert_eq!(verdict(&rules(), 200, &says("4")), refused);
    }

    #[test]
    fn without_a_word_the_status_counts() {
        for (status, expected) in [
            (503, Verdict::NotSent("it answered 503".to_owned(), None)),
            (500, Verdict::Unknown("it answered 500".to_owned())),
            (404, Verdict::LinkRefused("it answered 404".to_owned())),
        ] {
            assert_eq!(verdict(&rules(), status, "<html>"), expected);
        }
        assert!(matches!(verdict(&rules(), 200, "<html>"), Verdict::Unknown(_)));
        assert!(matches!(verdict(&rules(), 200, "{}"), Verdict::Unknown(_)));
    }

    #[test]
    fn a_state_with_a_number_in_it_is_not_repeated() {
        let text = AnswerRules {
            patterns: vec![Pattern::parse("Error {state}").unwrap()],
            states: Vec::new(),
            id: None,
            ..rules()
        };
        let Verdict::LinkRefused(said) = verdict(&text, 400, "Error for 447700900991") else {
            panic!("it was refused");
        };
        assert!(!said.contains("4477"), "{said}");
    }
}
