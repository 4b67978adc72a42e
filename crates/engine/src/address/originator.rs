//! Who a message is from, and which of an account's originators may reach a destination.

use core::fmt;
use std::borrow::Cow;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use super::{E164_DIGITS_MAX, PhoneNumber, Region, is_punctuation, mask};

/// Who a message is from.
///
/// `Debug` masks a long number like any other phone number.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Originator {
    /// A national short code of five or six digits, not starting with 0.
    ShortCode(u32),
    /// A number in international form, 7 to 15 digits. Not checked against the numbering plan,
    /// because the carrier that leases the number knows better.
    LongNumber(u64),
    /// A name of 1 to 11 characters, at least one of them a letter.
    Alphanumeric(SenderName),
}

/// The text of an alphanumeric originator; made only by [`Originator::parse`].
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SenderName(Box<str>);

impl SenderName {
    /// The name as it was registered.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why a text is no originator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OriginatorError {
    /// Nothing but spaces.
    Empty,
    /// A name of more than 11 characters, or a number of more than 15 digits.
    TooLong,
    /// A character outside letters, digits, space, dot, dash, underscore.
    BadCharacter,
    /// Digits that are neither a short code nor an international number.
    BadNumber,
}

impl fmt::Display for OriginatorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "a sender is empty",
            Self::TooLong => {
                "a sender's name has at most 11 characters, its number at most 15 digits"
            }
            Self::BadCharacter => {
                "a sender's name has only letters, digits, spaces, dots, dashes, underscores"
            }
            Self::BadNumber => {
                "a sender of digits is a short code of 5 or 6 digits, or an international number"
            }
        })
    }
}

impl core::error::Error for OriginatorError {}

impl Originator {
    /// Reads a short code, a number in international form with or without `+`, or a name.
    ///
    /// Spaces around it are dropped; a number may be written with punctuation.
    pub fn parse(text: &str) -> Result<Self, OriginatorError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(OriginatorError::Empty);
        }
        if text.chars().any(char::is_alphabetic) {
            return Self::parse_name(text);
        }
        Self::parse_number(text)
    }

    fn parse_name(text: &str) -> Result<Self, OriginatorError> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, ' ' | '.' | '_' | '-');
        if !text.chars().all(allowed) {
            return Err(OriginatorError::BadCharacter);
        }
        if text.len() > ORIGINATOR_CHARACTERS_MAX {
            return Err(OriginatorError::TooLong);
        }
        Ok(Self::Alphanumeric(SenderName(text.into())))
    }

    fn parse_number(text: &str) -> Result<Self, OriginatorError> {
        let (text, international) = match text.strip_prefix('+') {
            Some(rest) => (rest, true),
            None => (text, false),
        };
        if !text.chars().all(|c| c.is_ascii_digit() || is_punctuation(c)) {
            return Err(OriginatorError::BadCharacter);
        }
        let digits: String = text.chars().filter(char::is_ascii_digit).collect();
        if digits.is_empty() || digits.starts_with('0') {
            return Err(OriginatorError::BadNumber);
        }
        match digits.len() {
            5..=6 if !international => {
                digits.parse().map(Self::ShortCode).map_err(|_| OriginatorError::BadNumber)
            }
            LONG_NUMBER_DIGITS_MIN..=E164_DIGITS_MAX => {
                digits.parse().map(Self::LongNumber).map_err(|_| OriginatorError::BadNumber)
            }
            length if length > E164_DIGITS_MAX => Err(OriginatorError::TooLong),
            _ => Err(OriginatorError::BadNumber),
        }
    }

    /// The originator as a link sends it: digits without `+`, or the name.
    pub fn as_str(&self) -> Cow<'_, str> {
        match self {
            Self::ShortCode(code) => Cow::Owned(code.to_string()),
            Self::LongNumber(digits) => Cow::Owned(digits.to_string()),
            Self::Alphanumeric(name) => Cow::Borrowed(name.as_str()),
        }
    }

    /// Whether two originators are the same sender: names are compared without case, because
    /// accounts retype them.
    fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Alphanumeric(a), Self::Alphanumeric(b)) => {
                a.as_str().eq_ignore_ascii_case(b.as_str())
            }
            (Self::ShortCode(a), Self::ShortCode(b)) => a == b,
            (Self::LongNumber(a), Self::LongNumber(b)) => a == b,
            (Self::ShortCode(_) | Self::LongNumber(_) | Self::Alphanumeric(_), _) => false,
        }
    }
}

impl fmt::Debug for Originator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ShortCode(code) => write!(f, "ShortCode({code})"),
            Self::LongNumber(digits) => write!(f, "LongNumber({})", mask(*digits)),
            Self::Alphanumeric(name) => write!(f, "Alphanumeric({name:?})"),
        }
    }
}

impl fmt::Debug for SenderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl Serialize for Originator {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.as_str())
    }
}

impl<'de> Deserialize<'de> for Originator {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(D::Error::custom)
    }
}

/// One originator of an account and where it may be used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OriginatorRule {
    /// Who the message is from.
    pub originator: Originator,
    /// The destinations it is registered for; empty means wherever its type works.
    #[serde(default)]
    pub regions: Vec<Region>,
    /// Used only when no other originator may be.
    #[serde(default)]
    pub fallback: bool,
}

impl OriginatorRule {
    /// Whether messages from this originator may be sent to `destination`.
    ///
    /// A name never reaches the US or Canada, whose networks carry only numeric originators,
    /// even if a rule lists them. A short code is a national number: it needs its regions, which
    /// default to the US and Canada.
    pub fn allows(&self, destination: &PhoneNumber) -> bool {
        self.serves(destination.region())
    }

    /// Whether messages from this originator may be sent to a region.
    pub fn serves(&self, region: Region) -> bool {
        let listed = self.regions.contains(&region);
        let american = matches!(region, Region::US | Region::CA);
        match self.originator {
            Originator::Alphanumeric(_) => !american && (self.regions.is_empty() || listed),
            Originator::ShortCode(_) => listed || (self.regions.is_empty() && american),
            Originator::LongNumber(_) => self.regions.is_empty() || listed,
        }
    }
}

/// Picks who a message to `destination` is from.
///
/// The wanted originator is taken if it is one of the account's and allowed there, spelled as the
/// account registered it. Otherwise the first allowed rule that is no fallback, then the first
/// allowed fallback. An unknown or unreadable wish is not an error (Textmagic, `senderId`: "a
/// default sender is used instead"). `None` means that nothing the account has may be used.
pub fn choose_originator(
    wanted: Option<&str>,
    rules: &[OriginatorRule],
    destination: &PhoneNumber,
) -> Option<Originator> {
    let wanted = wanted.and_then(|text| Originator::parse(text).ok());
    let allowed = || rules.iter().filter(|rule| rule.allows(destination));
    let as_wished =
        || allowed().find(|rule| wanted.as_ref().is_some_and(|w| w.is_same(&rule.originator)));
    as_wished()
        .or_else(|| allowed().find(|rule| !rule.fallback))
        .or_else(|| allowed().next())
        .map(|rule| rule.originator.clone())
}

/// SMPP 3.4 and GSM 03.40 leave room for eleven characters in an alphanumeric source address.
pub const ORIGINATOR_CHARACTERS_MAX: usize = 11;

/// The shortest international numbers carriers lease have seven digits with the calling code.
const LONG_NUMBER_DIGITS_MIN: usize = 7;

#[cfg(test)]
mod tests {
    use super::super::Numbering;
    use super::*;

    fn rule(originator: &str, regions: &[&str], fallback: bool) -> OriginatorRule {
        OriginatorRule {
            originator: Originator::parse(originator).unwrap(),
            regions: regions.iter().map(|r| Region::parse(r).unwrap()).collect(),
            fallback,
        }
    }

    fn chosen(wanted: Option<&str>, rules: &[OriginatorRule], destination: &str) -> Option<String> {
        let destination = PhoneNumber::parse(destination, None, Numbering::WithFiction).unwrap();
        choose_originator(wanted, rules, &destination).map(|o| o.as_str().into_owned())
    }

    const US: &str = "+14155552671";
    const CANADA: &str = "+15062345678";
    const BRITAIN: &str = "+447400123456";
    const JAMAICA: &str = "+18762101234";

    #[test]
    fn an_originator_is_a_short_code_a_number_or_a_name() {
        assert_eq!(Originator::parse(" 60777 "), Ok(Originator::ShortCode(60_777)));
        let number = Originator::LongNumber(14_155_552_671);
        assert_eq!(Originator::parse("+1 (415) 555-2671"), Ok(number.clone()));
        assert_eq!(Originator::parse("14155552671"), Ok(number));
        for name in ["VERIFY", "Oh My Dog", "A.b_c-1", "4Finance"] {
            assert_eq!(Originator::parse(name).unwrap().as_str(), name);
        }
    }

    #[test]
    fn what_no_network_carries_is_no_originator() {
        use OriginatorError::{BadCharacter, BadNumber, Empty, TooLong};
        let cases = [
            ("", Empty),
            ("   ", Empty),
            ("twelve chars", TooLong),
            ("Müller", BadCharacter),
            ("a\nb", BadCharacter),
            ("a@b", BadCharacter),
            ("!!!", BadCharacter),
            ("...", BadNumber),
            ("1234", BadNumber),
            ("01234", BadNumber),
            ("+60777", BadNumber),
            ("1234567890123456", TooLong),
        ];
        for (text, error) in cases {
            assert_eq!(Originator::parse(text), Err(error), "{text}");
        }
    }

    #[test]
    fn the_wanted_originator_is_used_as_the_account_registered_it() {
        let rules = [rule("Countersign", &[], false), rule("Acme", &[], false)];
        assert_eq!(chosen(Some("ACME"), &rules, BRITAIN).as_deref(), Some("Acme"));
    }

    #[test]
    fn an_originator_the_account_does_not_have_is_replaced_and_never_refused() {
        let rules = [rule("14155552672", &[], true), rule("Acme", &[], false)];
        for wish in [None, Some("MyBank"), Some("\u{1F600}"), Some("")] {
            assert_eq!(chosen(wish, &rules, BRITAIN).as_deref(), Some("Acme"));
        }
    }

    #[test]
    fn a_name_never_reaches_the_us_or_canada_even_if_a_rule_lists_them() {
        let rules =
            [rule("Acme", &["US", "CA", "JM", "GB"], false), rule("14155552672", &[], true)];
        for destination in [US, CANADA] {
            assert_eq!(chosen(Some("Acme"), &rules, destination).as_deref(), Some("14155552672"));
        }
        assert_eq!(chosen(Some("Acme"), &rules, JAMAICA).as_deref(), Some("Acme"));
    }

    #[test]
    fn a_short_code_stays_in_its_regions_which_are_the_us_and_canada_unless_listed() {
        let national = [rule("60777", &[], false)];
        assert_eq!(chosen(None, &national, CANADA).as_deref(), Some("60777"));
        assert_eq!(chosen(Some("60777"), &national, BRITAIN), None);
        let british = [rule("60777", &["GB"], false)];
        assert_eq!(chosen(None, &british, BRITAIN).as_deref(), Some("60777"));
        assert_eq!(chosen(None, &british, US), None);
    }

    #[test]
    fn the_fallback_serves_only_when_nothing_else_may() {
        let rules = [rule("Spare", &[], true), rule("447400123456", &["GB"], false)];
        assert_eq!(chosen(None, &rules, BRITAIN).as_deref(), Some("447400123456"));
        assert_eq!(chosen(None, &rules, JAMAICA).as_deref(), Some("Spare"));
        assert_eq!(chosen(Some("Spare"), &rules, BRITAIN).as_deref(), Some("Spare"));
        assert_eq!(chosen(None, &rules, US), None);
    }

    #[test]
    fn an_originator_is_stored_as_text_and_debug_hides_a_number() {
        let rule = rule("+14155552671", &["GB"], true);
        let stored = serde_json::to_string(&rule).unwrap();
        assert_eq!(stored, r#"{"originator":"14155552671","regions":["GB"],"fallback":true}"#);
        assert_eq!(serde_json::from_str::<OriginatorRule>(&stored).unwrap(), rule);
        assert!(!format!("{rule:?}").contains("555"));
    }
}
