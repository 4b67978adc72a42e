//! The fields of a form or of a JSON object, with their JSON types kept.

use std::collections::BTreeMap;

use serde_json::Value;

/// Named fields. A form's values are all text.
pub(super) struct Fields(BTreeMap<String, Value>);

/// The body is neither a form nor a JSON object.
pub(super) struct Malformed;

impl Fields {
    /// Reads a body: JSON if it begins with `{`, a form otherwise, whatever its label says.
    pub(super) fn read(body: &[u8]) -> Result<Self, Malformed> {
        let body = body.trim_ascii();
        if body.is_empty() {
            return Ok(Self(BTreeMap::new()));
        }
        if matches!(body.first(), Some(b'{' | b'[')) {
            let fields: BTreeMap<String, Value> =
                serde_json::from_slice(body).map_err(|_| Malformed)?;
            return Self::bounded(fields);
        }
        if std::str::from_utf8(body).is_err() {
            return Err(Malformed);
        }
        let pairs = form_urlencoded::parse(body);
        Self::bounded(pairs.map(|(k, v)| (k.into_owned(), Value::String(v.into_owned()))).collect())
    }

    fn bounded(fields: BTreeMap<String, Value>) -> Result<Self, Malformed> {
        if fields.len() > FIELDS_MAX { Err(Malformed) } else { Ok(Self(fields)) }
    }

    /// Returns a field; `null` and empty text count as absent.
    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name).filter(|value| match value {
            Value::Null => false,
            Value::String(text) => !text.trim().is_empty(),
            Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => true,
        })
    }

    /// Writes down what is asked, the same for the same request in another order or form.
    pub(super) fn canonical(&self) -> String {
        let mut asked = String::new();
        for (name, value) in self.0.keys().filter_map(|name| Some((name, self.get(name)?))) {
            let text = match value {
                Value::String(text) => text.trim().to_owned(),
                Value::Null
                | Value::Bool(_)
                | Value::Number(_)
                | Value::Array(_)
                | Value::Object(_) => value.to_string(),
            };
            // With its length in front, no value can pass for the beginning of another field.
            for text in [name, &text] {
                asked.push_str(&text.len().to_string());
                asked.push(':');
                asked.push_str(text);
            }
        }
        asked
    }

    /// Returns a field as text: a number is written as it is.
    pub(super) fn text(&self, name: &str) -> Option<Result<String, NotText>> {
        Some(match self.get(name)? {
            Value::String(text) => Ok(text.trim().to_owned()),
            Value::Number(number) => Ok(number.to_string()),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => Err(NotText),
        })
    }
}

/// A field that should be text is a list, an object, or true or false.
pub(super) struct NotText;

/// More fields than any request has.
const FIELDS_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_request_is_written_down_the_same() {
        let asked = |body: &str| Fields::read(body.as_bytes()).ok().unwrap().canonical();
        let first = asked(r#"{"phone":"447700900123","codeLength":4}"#);
        for same in [
            r#"{ "codeLength": 4, "phone": "447700900123" }"#,
            r#"{"codeLength":"4","phone":" 447700900123","senderId":null,"brand":""}"#,
            "codeLength=4&phone=447700900123",
        ] {
            assert_eq!(asked(same), first, "{same}");
        }
        for other in [
            r#"{"phone":"447700900123","codeLength":6}"#,
            r#"{"phone":"447700900123","codeLength":4,"brand":"Acme"}"#,
            r#"{"phone":"447700900123","codeLength":[4]}"#,
            r#"{"phone":"44770090012","codeLength":"34"}"#,
        ] {
            assert_ne!(asked(other), first, "{other}");
        }
    }
}
