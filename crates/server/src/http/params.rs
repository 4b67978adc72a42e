//! Request parameters as clients really send them: query, form, JSON, or mislabelled.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

/// The most name-value pairs read from one request, query and body together.
/// Chosen: the largest documented request has fewer than twenty.
pub const PARAMS_MAX: usize = 64;

/// The longest decoded value, in bytes.
/// Chosen: above the 3200 characters that the vendor documents as the limit of a message text.
pub const VALUE_BYTES_MAX: usize = 4096;

/// The longest decoded name, in bytes. Chosen: names are documented words or template variables.
pub const NAME_BYTES_MAX: usize = 128;

/// The parameters of one request, decoded and without regard to how they travelled.
///
/// The values include secrets and phone numbers, so `Debug` prints only how many there are.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Params {
    values: BTreeMap<String, String>,
    pairs: usize,
}

/// Why the parameters of a request could not be read.
///
/// No variant carries a name or a value, since either may hold a phone number or a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParamsError {
    /// A `%` is not followed by two hexadecimal digits.
    #[error("decode a percent sequence")]
    PercentSequence,
    /// Bytes are not UTF-8, before or after percent decoding.
    #[error("decode UTF-8")]
    NotUtf8,
    /// The body is meant as JSON and is not well-formed.
    #[error("parse JSON")]
    Json,
    /// The body is well-formed JSON other than one object.
    #[error("find a JSON object")]
    NotAnObject,
    /// A JSON value is an array or an object, where only scalars have a meaning.
    #[error("flatten a nested JSON value")]
    Nested,
    /// A JSON number cannot be written back exactly; the client has to send it as a string.
    #[error("keep a JSON number exact")]
    InexactNumber,
    /// The content type promises neither JSON nor a form.
    #[error("read this content type")]
    ContentType,
    /// More than [`PARAMS_MAX`] parameters.
    #[error("keep that many parameters")]
    TooMany,
    /// A name beyond [`NAME_BYTES_MAX`] or a value beyond [`VALUE_BYTES_MAX`].
    #[error("keep a parameter that long")]
    TooLong,
}

impl Params {
    /// Decodes the parameters of one request.
    ///
    /// `query` comes without its `?`, `content_type` is the header as sent. An empty body leaves
    /// the query alone, as Vonage's older Node.js clients send it. A body is JSON if it begins with
    /// `{` and a form otherwise, whatever its label says: a Python client keeps labelling forms as
    /// JSON after its first JSON call. The body wins over the query, the last of equal names wins.
    ///
    /// # Errors
    ///
    /// Fails on the first thing that cannot be read; see [`ParamsError`].
    pub fn decode(
        query: &str,
        content_type: Option<&str>,
        body: &[u8],
    ) -> Result<Self, ParamsError> {
        let mut params = Self::default();
        params.add_form(query.as_bytes())?;

        let body = without_mark(body);
        if body.is_empty() {
            return Ok(params);
        }
        let mut of_body = Self::default();
        match BodyForm::sniff(content_type, body)? {
            BodyForm::Json => of_body.add_json(body)?,
            BodyForm::Urlencoded => of_body.add_form(body)?,
        }
        params.values.append(&mut of_body.values);
        params.pairs += of_body.pairs;
        if params.pairs > PARAMS_MAX {
            return Err(ParamsError::TooMany);
        }
        Ok(params)
    }

    /// Returns the last value of a name; an empty value is a value.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// Returns the last value of a name; an empty value counts as none.
    pub fn given(&self, name: &str) -> Option<&str> {
        self.get(name).filter(|value| !value.is_empty())
    }

    /// Returns each name with its last value, in byte order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.values.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Whether a body is meant as JSON, whatever its label says.
    pub fn is_json(body: &[u8]) -> bool {
        without_mark(body).starts_with(b"{")
    }

    fn add_form(&mut self, text: &[u8]) -> Result<(), ParamsError> {
        // Clients leave a trailing `&` behind, so empty pairs are skipped.
        for pair in text.split(|&byte| byte == b'&').filter(|pair| !pair.is_empty()) {
            let mut halves = pair.splitn(2, |&byte| byte == b'=');
            let name = decode_form_text(halves.next().unwrap_or_default())?;
            let value = decode_form_text(halves.next().unwrap_or_default())?;
            self.add(name, value)?;
        }
        Ok(())
    }

    fn add_json(&mut self, text: &[u8]) -> Result<(), ParamsError> {
        let text = std::str::from_utf8(text).map_err(|_| ParamsError::NotUtf8)?;
        let Value::Object(members) = serde_json::from_str(text).map_err(|_| ParamsError::Json)?
        else {
            return Err(ParamsError::NotAnObject);
        };
        for (name, value) in members {
            match value {
                Value::Null => {}
                Value::Bool(value) => self.add(name, value.to_string())?,
                Value::Number(number) => self.add(name, render_number(&number)?)?,
                Value::String(value) => self.add(name, value)?,
                Value::Array(_) | Value::Object(_) => return Err(ParamsError::Nested),
            }
        }
        Ok(())
    }

    fn add(&mut self, name: String, value: String) -> Result<(), ParamsError> {
        if name.len() > NAME_BYTES_MAX || value.len() > VALUE_BYTES_MAX {
            return Err(ParamsError::TooLong);
        }
        if self.pairs >= PARAMS_MAX {
            return Err(ParamsError::TooMany);
        }
        self.pairs += 1;
        self.values.insert(name, value);
        Ok(())
    }
}

impl fmt::Debug for Params {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Params({} hidden)", self.values.len())
    }
}

/// Reads the name and the password of an `Authorization: Basic` header (RFC 7617).
///
/// Returns `None` for any other scheme and for credentials that are not base64 of UTF-8 text with a
/// colon. The password may contain colons, the name may not.
pub fn basic_credentials(header: &str) -> Option<(String, String)> {
    let (scheme, encoded) = header.trim().split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let text = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (name, password) = text.split_once(':')?;
    Some((name.to_owned(), password.to_owned()))
}

fn without_mark(body: &[u8]) -> &[u8] {
    body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body).trim_ascii()
}

enum BodyForm {
    Json,
    Urlencoded,
}

impl BodyForm {
    fn sniff(content_type: Option<&str>, body: &[u8]) -> Result<Self, ParamsError> {
        if body.starts_with(b"{") {
            return Ok(Self::Json);
        }
        let label = content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim();
        let label = label.to_ascii_lowercase();
        if label.starts_with("multipart/") {
            return Err(ParamsError::ContentType);
        }
        // An array or a string under a JSON label is JSON; the rest there is a mislabelled form.
        if JSON_TYPES.contains(&label.as_str())
            && (body.starts_with(b"[") || body.starts_with(b"\""))
        {
            return Err(ParamsError::NotAnObject);
        }
        Ok(Self::Urlencoded)
    }
}

fn decode_form_text(text: &[u8]) -> Result<String, ParamsError> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.iter().copied();
    while let Some(byte) = rest.next() {
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => {
                let high = rest.next().and_then(hex_digit).ok_or(ParamsError::PercentSequence)?;
                let low = rest.next().and_then(hex_digit).ok_or(ParamsError::PercentSequence)?;
                high << 4 | low
            }
            byte => byte,
        });
    }
    String::from_utf8(decoded).map_err(|_| ParamsError::NotUtf8)
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

/// Writes a JSON number as the client would have written it in a form.
fn render_number(number: &serde_json::Number) -> Result<String, ParamsError> {
    // A long run of digits is parsed as a float and would lose its tail without a word.
    if number.as_f64().is_some_and(|value| number.is_f64() && value.abs() >= EXACT_FLOAT_MAX) {
        return Err(ParamsError::InexactNumber);
    }
    Ok(number.to_string())
}

/// From here on, 2^53, a 64-bit float no longer holds every integer.
const EXACT_FLOAT_MAX: f64 = 9_007_199_254_740_992.0;

/// Some Windows clients put it before JSON, where RFC 8259 lets a reader ignore it.
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// The content types that the vendor's documentation accepts as JSON.
const JSON_TYPES: [&str; 7] = [
    "application/json",
    "application/jsonrequest",
    "application/x-javascript",
    "text/json",
    "text/javascript",
    "text/x-javascript",
    "text/x-json",
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FORM: Option<&str> = Some("application/x-www-form-urlencoded");
    const JSON: Option<&str> = Some("application/json");

    #[track_caller]
    fn assert_decodes(
        query: &str,
        content_type: Option<&str>,
        body: &str,
        expected: &[(&str, &str)],
    ) {
        let params = Params::decode(query, content_type, body.as_bytes()).unwrap();
        assert_eq!(params.iter().collect::<Vec<_>>(), expected);
    }

    #[track_caller]
    fn assert_refused(query: &str, content_type: Option<&str>, body: &[u8], expected: ParamsError) {
        assert_eq!(Params::decode(query, content_type, body), Err(expected));
    }

    #[test]
    fn a_form_body_is_decoded() {
        assert_decodes(
            "",
            FORM,
            "to=16365553226&pin=1234&client-ref=a%26b%3Dc+d%C3%A9",
            &[("client-ref", "a&b=c dé"), ("pin", "1234"), ("to", "16365553226")],
        );
    }

    #[test]
    fn a_query_is_enough_when_the_body_is_empty() {
        for content_type in [None, FORM, JSON] {
            assert_decodes("pin=1234&to=1", content_type, "", &[("pin", "1234"), ("to", "1")]);
            assert_decodes("pin=1234&to=1", content_type, " \r\n", &[("pin", "1234"), ("to", "1")]);
        }
    }

    #[test]
    fn every_documented_json_type_is_read_as_json() {
        for label in JSON_TYPES {
            let with_charset = format!("{}; charset=utf-8", label.to_uppercase());
            assert_decodes("", Some(label), r#"{"pin":"1234"}"#, &[("pin", "1234")]);
            assert_decodes("", Some(&with_charset), r#"{"pin":"1234"}"#, &[("pin", "1234")]);
            assert_refused("", Some(&with_charset), b"[1]", ParamsError::NotAnObject);
        }
    }

    #[test]
    fn the_first_byte_outweighs_the_label() {
        assert_decodes("", JSON, "to=1&pin=1234", &[("pin", "1234"), ("to", "1")]);
        assert_decodes("", FORM, "\n {\"pin\":\"1234\"}", &[("pin", "1234")]);
        assert_decodes("", None, "\u{feff}{\"pin\":\"1234\"}", &[("pin", "1234")]);
    }

    #[test]
    fn numbers_and_booleans_become_strings_and_null_is_absent() {
        assert_decodes(
            "kept=yes",
            JSON,
            r#"{"pin":1234,"to":441632960960,"ttl":-1,"rate":1.5,"on":true,"off":false,
                "kept":null}"#,
            &[
                ("kept", "yes"),
                ("off", "false"),
                ("on", "true"),
                ("pin", "1234"),
                ("rate", "1.5"),
                ("to", "441632960960"),
                ("ttl", "-1"),
            ],
        );
    }

    #[test]
    fn a_number_that_would_change_is_refused() {
        assert_decodes("", JSON, r#"{"n":18446744073709551615}"#, &[("n", "18446744073709551615")]);
        assert_refused("", JSON, br#"{"n":18446744073709551617}"#, ParamsError::InexactNumber);
    }

    #[test]
    fn the_body_wins_over_the_query_and_the_last_over_the_first() {
        assert_decodes("a=1&b=2", FORM, "b=3&b=4&", &[("a", "1"), ("b", "4")]);
    }

    #[test]
    fn an_empty_value_is_a_value_but_gives_nothing() {
        let params = Params::decode("ref=&pin=1", None, b"").unwrap();
        assert_eq!((params.get("ref"), params.given("ref")), (Some(""), None));
        assert_eq!((params.get("pin"), params.given("pin")), (Some("1"), Some("1")));
        assert_eq!((params.get("to"), params.given("to")), (None, None));
    }

    #[test]
    fn the_last_value_of_a_repeated_name_counts() {
        assert_decodes("id=b&id=a&id=c", None, "", &[("id", "c")]);
    }

    #[test]
    fn stray_separators_and_missing_values_are_tolerated() {
        assert_decodes("a=1&&b&c=&=d&", None, "", &[("", "d"), ("a", "1"), ("b", ""), ("c", "")]);
        assert_decodes("", FORM, "a=b=c", &[("a", "b=c")]);
    }

    #[test]
    fn nested_and_broken_json_are_told_apart() {
        assert_refused("", JSON, br#"{"to":["1"]}"#, ParamsError::Nested);
        assert_refused("", JSON, br#"{"to":{}}"#, ParamsError::Nested);
        assert_refused("", JSON, br#"{"to":"1""#, ParamsError::Json);
        assert_refused("", JSON, b"{\"to\":\"\xff\"}", ParamsError::NotUtf8);
        assert_refused("", JSON, "{\"a\":".repeat(10_000).as_bytes(), ParamsError::Json);
    }

    #[test]
    fn broken_encodings_are_refused() {
        for broken in ["a=%", "a=%4", "a=%zz", "%+1=a", "a=%4%31"] {
            assert_refused(broken, None, b"", ParamsError::PercentSequence);
            assert_refused("", FORM, broken.as_bytes(), ParamsError::PercentSequence);
        }
        assert_refused("a=%ff", None, b"", ParamsError::NotUtf8);
        assert_refused("", FORM, b"a=\xc3", ParamsError::NotUtf8);
    }

    #[test]
    fn a_multipart_body_is_refused_instead_of_misread() {
        let label = Some("multipart/form-data; boundary=x");
        assert_refused("", label, b"--x\r\n", ParamsError::ContentType);
    }

    #[test]
    fn the_limits_hold_for_query_and_body_together() {
        let pairs = |from: usize, to: usize| {
            (from..to).map(|n| format!("p{n}=1")).collect::<Vec<_>>().join("&")
        };
        assert!(Params::decode(&pairs(0, PARAMS_MAX), None, b"").is_ok());
        assert_refused(&pairs(0, PARAMS_MAX + 1), None, b"", ParamsError::TooMany);
        assert_refused(&pairs(0, 40), FORM, pairs(40, 80).as_bytes(), ParamsError::TooMany);
        assert_refused(&"a=1&".repeat(PARAMS_MAX + 1), None, b"", ParamsError::TooMany);

        let longest = "x".repeat(VALUE_BYTES_MAX);
        assert_decodes("", FORM, &format!("a={longest}"), &[("a", &longest)]);
        assert_refused("", FORM, format!("a={longest}x").as_bytes(), ParamsError::TooLong);
        assert_refused(&"n".repeat(NAME_BYTES_MAX + 1), None, b"", ParamsError::TooLong);
    }

    #[test]
    fn parameters_never_show_in_debug() {
        let params = Params::decode("to=16365553226&pin=1234", None, b"").unwrap();
        assert_eq!(format!("{params:?}"), "Params(2 hidden)");
    }

    #[test]
    fn basic_credentials_are_read_up_to_the_first_colon() {
        // The first is the example of RFC 7617, section 2.
        let cases = [
            ("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==", Some(("Aladdin", "open sesame"))),
            ("basic  YTpiOmM=", Some(("a", "b:c"))),
            ("Basic Og==", Some(("", ""))),
            ("Bearer YTpiOmM=", None),
            ("Basic YWJj", None),
            ("Basic !!!", None),
            ("Basic /w==", None),
            ("Basic", None),
            ("", None),
        ];
        for (header, expected) in cases {
            let found = basic_credentials(header);
            let found = found.as_ref().map(|(name, password)| (name.as_str(), password.as_str()));
            assert_eq!(found, expected, "{header}");
        }
    }

    proptest! {
        #[test]
        fn what_a_form_encoder_writes_is_read_back(
            pairs in prop::collection::btree_map(".{0,8}", ".{0,20}", 0..8),
        ) {
            let mut encoder = form_urlencoded::Serializer::new(String::new());
            let text = encoder.extend_pairs(&pairs).finish();
            let params = Params::decode(&text, None, b"").unwrap();
            let expected = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()));
            prop_assert_eq!(params.iter().collect::<Vec<_>>(), expected.collect::<Vec<_>>());
        }

        #[test]
        fn any_bytes_are_read_or_refused_without_a_panic(
            query in ".{0,40}",
            body in prop::collection::vec(any::<u8>(), 0..80),
        ) {
            for content_type in [FORM, JSON] {
                if let Ok(params) = Params::decode(&query, content_type, &body) {
                    prop_assert!(params.iter().count() <= PARAMS_MAX);
                }
            }
        }
    }
}
