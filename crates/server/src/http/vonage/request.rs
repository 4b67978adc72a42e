//! What a send asks for: every parameter of the 2FA API checked, in the vendor's order.

use std::collections::BTreeMap;
use std::time::Duration;

use engine::wording::{PIN, RenderError, SEGMENTS_MAX, Segments, Template};
use engine::{NumberError, Originator, PhoneNumber, Refusal, SecretText};

use super::envelope::RefusedPart;
use super::status::WireStatus;
use super::{WireError, login, wire};
use crate::config::Config;
use crate::directory::{Account, ShortCode, numbering};
use crate::driver::MessageRequest;
use crate::http::params::Params;
use crate::store::Notify;
use crate::webhooks::destination::check_callback;

/// Reads a send of an account; its idempotency key is left out.
pub(super) fn parse(
    params: &Params,
    account: &Account,
    config: &Config,
) -> Result<MessageRequest, WireError> {
    let to = recipient(params)?;
    check_pin(params)?;
    let index = template_index(params)?;
    check_kind(params)?;
    let client_ref = client_ref(params)?;
    let lifetime = lifetime(params)?;
    let notify = notify(params, account.settings.dlr_url.is_some(), config.webhooks.allow_private)?;
    let short_code = account.short_code.as_ref().ok_or_else(|| wire(Refusal::NoCampaign))?;
    let text = text(params, &account.templates, index)?;
    let parts = parts(&text)?;
    let number = PhoneNumber::parse(to, None, numbering(config)).map_err(unreachable_number)?;
    let (originator, campaign) = originator(account, short_code, &number)?;
    Ok(MessageRequest {
        number,
        text,
        parts,
        originator,
        campaign,
        client_ref,
        lifetime,
        notify,
        idempotency: None,
    })
}

/// Reads `to`: digits, with a plus or without.
pub(super) fn recipient(params: &Params) -> Result<&str, WireError> {
    // A plus that was not encoded has become a space.
    let to = params.given("to").map(str::trim).filter(|to| !to.is_empty());
    let to = to.ok_or_else(|| RefusedPart::missing("to"))?;
    let digits = to.strip_prefix('+').unwrap_or(to);
    if is_numeric(digits) { Ok(digits) } else { Err(RefusedPart::not_numeric("to").into()) }
}

/// Reads `client-ref`; documented with 40 characters for this API and with 100 for its sibling.
pub(super) fn client_ref(params: &Params) -> Result<Option<String>, WireError> {
    let Some(client_ref) = params.given("client-ref") else { return Ok(None) };
    if client_ref.chars().count() > CLIENT_REF_CHARS_MAX {
        return Err(WireError::invalid("client-ref is too long"));
    }
    Ok(Some(client_ref.to_owned()))
}

fn check_pin(params: &Params) -> Result<(), WireError> {
    let pin = params.given(PIN).ok_or_else(|| RefusedPart::missing(PIN))?;
    if !is_numeric(pin) {
        return Err(RefusedPart::not_numeric(PIN).into());
    }
    if pin.len() > PIN_DIGITS_MAX {
        return Err(WireError::invalid("pin is too long"));
    }
    Ok(())
}

fn template_index(params: &Params) -> Result<u32, WireError> {
    match params.given("template") {
        None => Ok(0),
        Some(index) if !is_numeric(index) => Err(RefusedPart::not_numeric("template").into()),
        // No account has a template of a number that large.
        Some(index) => index.parse().map_err(|_| wire(Refusal::NoCampaign)),
    }
}

/// The alphabet follows from the text, whatever `type` wishes.
fn check_kind(params: &Params) -> Result<(), WireError> {
    match params.given("type") {
        None | Some("text" | "unicode") => Ok(()),
        Some(_) => Err(WireError::invalid("type is neither text nor unicode")),
    }
}

fn lifetime(params: &Params) -> Result<Option<Duration>, WireError> {
    let Some(ttl) = params.given("ttl") else { return Ok(None) };
    let ttl = ttl.parse().ok().filter(|ttl| (TTL_MS_MIN..=TTL_MS_MAX).contains(ttl));
    let ttl = ttl.ok_or_else(|| WireError::new(WireStatus::InvalidTtl))?;
    Ok(Some(Duration::from_millis(ttl)))
}

/// The request's own `callback` comes before the account's URL.
fn notify(params: &Params, has_url: bool, allow_private: bool) -> Result<Notify, WireError> {
    let callback = params.given("callback");
    if let Some(url) = callback
        && check_callback(url, allow_private).is_err()
    {
        let bare = !url.contains("://");
        let text = if bare { "Bad callback :: Missing Protocol" } else { "Invalid callback URL" };
        return Err(WireError::text(WireStatus::InvalidCallback, text));
    }
    let unwanted = params
        .given("status-report-req")
        .is_some_and(|wish| wish == "0" || wish.eq_ignore_ascii_case("false"));
    Ok(match callback {
        _ if unwanted => Notify::Nobody,
        Some(url) => Notify::Url(url.to_owned()),
        None if has_url => Notify::Account,
        None => Notify::Nobody,
    })
}

/// Fills the places of a template with the parameters of the same names.
fn text(
    params: &Params,
    templates: &BTreeMap<u32, Template>,
    index: u32,
) -> Result<SecretText, WireError> {
    let template = templates.get(&index).ok_or_else(|| wire(Refusal::NoCampaign))?;
    // Such a template cannot be filled in by any request: it is the campaign that is wrong.
    if template.placeholders().any(is_reserved) {
        return Err(wire(Refusal::NoCampaign));
    }
    template.render(|name| params.given(name)).map_err(|error| match error {
        RenderError::MissingParameter(name) => RefusedPart::missing(&name).into(),
        RenderError::ValueTooLong(name) => WireError::invalid(format!("{name} is too long")),
        RenderError::ControlCharacter(name) => {
            WireError::invalid(format!("{name} has a control character"))
        }
        RenderError::UnspeakableCode => RefusedPart::not_numeric(PIN).into(),
    })
}

fn is_reserved(name: &str) -> bool {
    login::NAMES.contains(&name) || OWN_NAMES.contains(&name)
}

fn parts(text: &SecretText) -> Result<u8, WireError> {
    let count = Segments::of(text.reveal()).count;
    let count = u8::try_from(count).ok().filter(|_| count <= SEGMENTS_MAX);
    count.ok_or_else(|| WireError::new(WireStatus::MessageTooLong))
}

fn unreachable_number(error: NumberError) -> WireError {
    match error {
        NumberError::Empty => RefusedPart::missing("to").into(),
        NumberError::NotANumber => RefusedPart::not_numeric("to").into(),
        NumberError::UnknownCountry
        | NumberError::TooShort
        | NumberError::TooLong
        | NumberError::Unallocated
        | NumberError::Premium => WireError::new(WireStatus::InvalidMessage),
    }
}

/// A short code is a national number: elsewhere the message is from whatever else the account has,
/// and no campaign's opt-outs apply. The documentation's own example goes to the United Kingdom.
fn originator(
    account: &Account,
    short_code: &ShortCode,
    number: &PhoneNumber,
) -> Result<(Originator, Option<u32>), WireError> {
    let served = &short_code.countries;
    if served.is_empty() || served.contains(number.region().as_str()) {
        return Ok((short_code.originator.clone(), Some(short_code.id)));
    }
    engine::choose_originator(None, &account.originators, number)
        .map(|originator| (originator, None))
        .ok_or_else(|| wire(Refusal::NoOriginator))
}

fn is_numeric(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The parameters with a meaning of their own, which no template can use.
const OWN_NAMES: [&str; 7] =
    ["callback", "client-ref", "status-report-req", "template", "to", "ttl", "type"];

/// The longer of the two documented limits.
const CLIENT_REF_CHARS_MAX: usize = 100;

/// Chosen: no limit is documented.
const PIN_DIGITS_MAX: usize = 10;

/// The documented range of `ttl`: 20 seconds to 7 days.
const TTL_MS_MIN: u64 = 20_000;
const TTL_MS_MAX: u64 = 604_800_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn params(query: &str) -> Params {
        Params::decode(query, None, b"").unwrap()
    }

    /// The number and the text of the answer, or none if the parameter is right.
    fn fault<T>(result: Result<T, WireError>) -> Option<(u8, String)> {
        result.err().map(|error| (error.part.status.number(), error.part.error_text.into_owned()))
    }

    #[track_caller]
    fn assert_fault<T>(result: Result<T, WireError>, number: u8, text: &str) {
        assert_eq!(fault(result), Some((number, text.to_owned())));
    }

    #[test]
    fn a_recipient_is_digits_with_or_without_a_plus() {
        for query in ["to=16365553226", "to=%2B16365553226", "to=+16365553226"] {
            assert_eq!(recipient(&params(query)).ok(), Some("16365553226"), "{query}");
        }
        for query in ["", "to=", "to=+"] {
            assert_fault(recipient(&params(query)), 2, "Missing to param");
        }
        for query in ["to=abc", "to=1-636-555", "to=%2B", "to=%D9%A1%D9%A2", "to=%2B%2B1"] {
            assert_fault(recipient(&params(query)), 3, "to address is not numeric");
        }
    }

    #[test]
    fn a_pin_is_one_to_ten_digits() {
        assert_eq!(fault(check_pin(&params("pin=0"))), None);
        assert_eq!(fault(check_pin(&params("pin=0123456789"))), None);
        assert_fault(check_pin(&params("")), 2, "Missing pin param");
        assert_fault(check_pin(&params("pin=12-34")), 3, "pin is not numeric");
        assert_fault(check_pin(&params("pin=01234567890")), 3, "pin is too long");
    }

    #[test]
    fn a_time_to_live_outside_the_documented_range_is_refused() {
        let read = |query| lifetime(&params(query)).ok().unwrap();
        assert_eq!(read(""), None);
        assert_eq!(read("ttl=20000"), Some(Duration::from_secs(20)));
        assert_eq!(read("ttl=604800000"), Some(Duration::from_hours(7 * 24)));
        for query in ["ttl=19999", "ttl=604800001", "ttl=-1", "ttl=soon", "ttl=20000.5"] {
            assert_fault(lifetime(&params(query)), 16, "value for ttl field out of range");
        }
    }

    #[test]
    fn a_client_reference_has_a_hundred_characters_at_most() {
        let query = format!("client-ref={}", "%C3%A9".repeat(100));
        assert_eq!(client_ref(&params(&query)).ok().unwrap(), Some("é".repeat(100)));
        assert_eq!(client_ref(&params("client-ref=")).ok().unwrap(), None);
        assert_fault(client_ref(&params(&format!("{query}x"))), 3, "client-ref is too long");
    }

    #[test]
    fn receipts_go_to_the_callback_before_the_account_and_to_nobody_on_request() {
        let of = |query: &str, has_url| notify(&params(query), has_url, false).ok().unwrap();
        let callback = "callback=https://example.com/dlr";
        assert_eq!(of("", false), Notify::Nobody);
        assert_eq!(of("", true), Notify::Account);
        assert_eq!(of("status-report-req=1", true), Notify::Account);
        assert_eq!(of(callback, true), Notify::Url("https://example.com/dlr".to_owned()));
        for wish in ["0", "false", "False"] {
            let query = format!("{callback}&status-report-req={wish}");
            assert_eq!(of(&query, true), Notify::Nobody);
        }
    }

    #[test]
    fn a_callback_that_cannot_be_called_is_refused_even_if_no_receipt_is_wanted() {
        for (url, text) in [
            ("example.com/dlr", "Bad callback :: Missing Protocol"),
            ("ftp://example.com/", "Invalid callback URL"),
            ("http://127.0.0.1/", "Invalid callback URL"),
        ] {
            let query = format!("status-report-req=0&callback={url}");
            assert_fault(notify(&params(&query), true, false), 23, text);
        }
        let query = "callback=http://127.0.0.1/";
        assert!(notify(&params(query), true, true).is_ok(), "a sandbox may call its own machine");
    }

    #[test]
    fn a_template_is_filled_with_parameters_of_the_same_names() {
        let templates = BTreeMap::from([
            (0, Template::parse("PIN ${pin}").unwrap()),
            (1, Template::parse("${server}: ${pin}").unwrap()),
            (2, Template::parse("${api_secret} ${pin}").unwrap()),
            (3, Template::parse("${to} ${pin}").unwrap()),
        ]);
        let render = |query: &str, index| text(&params(query), &templates, index);
        let shown = |query: &str, index| render(query, index).ok().unwrap().reveal().to_owned();
        assert_eq!(shown("pin=1234", 0), "PIN 1234");
        assert_eq!(shown("pin=1234&server=host3", 1), "host3: 1234");
        assert_fault(render("pin=1234", 1), 2, "Missing server param");
        let long = format!("pin=1234&server={}", "x".repeat(257));
        assert_fault(render(&long, 1), 3, "server is too long");
        assert_fault(render("pin=1&server=%07", 1), 3, "server has a control character");
        for index in [2, 3, 4] {
            let unusable = render("pin=1&api_secret=s&to=1", index);
            assert_fault(unusable, 101, "Invalid Account for Campaign");
        }
    }

    #[test]
    fn a_template_is_named_by_its_number_and_is_the_first_by_default() {
        let read = |query| template_index(&params(query)).ok();
        assert_eq!(read(""), Some(0));
        assert_eq!(read("template=1"), Some(1));
        assert_fault(template_index(&params("template=-1")), 3, "template is not numeric");
        let huge = template_index(&params("template=99999999999"));
        assert_fault(huge, 101, "Invalid Account for Campaign");
    }

    #[test]
    fn a_message_has_ten_parts_at_most() {
        let of = |chars| parts(&SecretText::concat(&[&"a".repeat(chars)]));
        assert_eq!(of(160).ok(), Some(1));
        assert_eq!(of(1530).ok(), Some(10));
        assert_fault(of(1531), 12, "Message too long");
    }

    #[test]
    fn only_text_and_unicode_are_kinds_of_a_message() {
        assert!(check_kind(&params("type=unicode")).is_ok());
        assert_fault(check_kind(&params("type=wappush")), 3, "type is neither text nor unicode");
    }
}
