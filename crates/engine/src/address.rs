//! Phone numbers and originators: who a message goes to, and who it is from.

use core::fmt;

use rlibphonenumber::{
    NumberLengthType, PHONE_NUMBER_UTIL, ParseError, PhoneNumberFormat, PhoneNumberType,
    ValidationError,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

mod fiction;
mod originator;
mod region;

pub use originator::{
    ORIGINATOR_CHARACTERS_MAX, Originator, OriginatorError, OriginatorRule, SenderName,
    choose_originator,
};
pub use region::Region;

/// A recipient's number in E.164 form, known to be one that can be sent to.
///
/// `Debug` and `Display` show the calling code and the last two digits only; the whole number
/// comes out of [`PhoneNumber::digits`] and [`PhoneNumber::reveal`]. Stored as its digits: region
/// and kind follow from them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PhoneNumber {
    digits: u64,
    region: Region,
    kind: NumberKind,
}

/// What a number is used for, as the numbering metadata tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NumberKind {
    /// A mobile subscriber.
    Mobile,
    /// A landline.
    FixedLine,
    /// Either; the plan does not tell them apart (North America).
    FixedOrMobile,
    /// A number of an Internet telephone.
    Voip,
    /// Free for the caller.
    TollFree,
    /// Paid by the caller at a rate the callee sets.
    PremiumRate,
    /// Paid by caller and callee.
    SharedCost,
    /// Follows a person over several lines.
    PersonalNumber,
    /// A pager.
    Pager,
    /// A company-wide number (universal access number).
    Uan,
    /// A voicemail box.
    Voicemail,
    /// None of these; only for stored numbers whose range was withdrawn since.
    Unknown,
}

/// Whether numbers reserved for fiction are accepted.
///
/// A sandbox wants them, because its messages can never reach anybody. A live server does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Numbering {
    /// Only numbers that somebody may hold.
    Real,
    /// Also the ranges reserved for films and documentation.
    WithFiction,
}

/// Why a text is no number that can be sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NumberError {
    /// Nothing but spaces.
    Empty,
    /// Characters no phone number has, or an extension, which no message can reach.
    NotANumber,
    /// The country is none, or no country has the calling code.
    UnknownCountry,
    /// Fewer digits than the shortest number of its country.
    TooShort,
    /// More digits than the longest number of its country, than E.164 allows, or a text longer
    /// than [`NUMBER_BYTES_MAX`].
    TooLong,
    /// The right length, but in no range that is in use, or in a range reserved for fiction.
    Unallocated,
    /// A kind of number refused as a bait for toll fraud; see [`NumberKind::is_refused`].
    Premium,
}

impl fmt::Display for NumberError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "a phone number is empty",
            Self::NotANumber => "a phone number has characters that do not belong to one",
            Self::UnknownCountry => {
                "a phone number has an unknown country; begin with + and the country's code"
            }
            Self::TooShort => "a phone number is too short",
            Self::TooLong => "a phone number is too long",
            Self::Unallocated => "a phone number is in no range that is in use",
            Self::Premium => "a phone number is of a kind that costs extra",
        })
    }
}

impl core::error::Error for NumberError {}

impl NumberKind {
    /// Whether numbers of this kind are refused as recipients.
    ///
    /// Premium-rate and shared-cost numbers pay whoever holds them for each call, so anybody
    /// could earn by asking for codes; universal access numbers and pagers never belong to one
    /// person at a keyboard. This is a choice: no vendor documents its own.
    pub fn is_refused(self) -> bool {
        match self {
            Self::PremiumRate | Self::SharedCost | Self::Pager | Self::Uan => true,
            Self::Mobile
            | Self::FixedLine
            | Self::FixedOrMobile
            | Self::Voip
            | Self::TollFree
            | Self::PersonalNumber
            | Self::Voicemail
            | Self::Unknown => false,
        }
    }

    fn from_metadata(kind: PhoneNumberType) -> Self {
        match kind {
            PhoneNumberType::Mobile => Self::Mobile,
            PhoneNumberType::FixedLine => Self::FixedLine,
            PhoneNumberType::FixedLineOrMobile => Self::FixedOrMobile,
            PhoneNumberType::VoIP => Self::Voip,
            PhoneNumberType::TollFree => Self::TollFree,
            PhoneNumberType::PremiumRate => Self::PremiumRate,
            PhoneNumberType::SharedCost => Self::SharedCost,
            PhoneNumberType::PersonalNumber => Self::PersonalNumber,
            PhoneNumberType::Pager => Self::Pager,
            PhoneNumberType::UAN => Self::Uan,
            PhoneNumberType::VoiceMail => Self::Voicemail,
            PhoneNumberType::Unknown => Self::Unknown,
        }
    }
}

impl PhoneNumber {
    /// Reads a number as people and clients write it.
    ///
    /// A leading `+` or `00` makes it international and `country` is ignored. Otherwise it is
    /// read as dialled within `country` (alpha-2 code in any case; blank means none), and if that
    /// is nobody's number, as international digits without their `+`. The national reading comes
    /// first because one in thirty national numbers is also somebody else's international one.
    ///
    /// Spaces, punctuation and invisible marks are dropped, digits of any script are accepted,
    /// and so are three or more letters on a keypad ("1-800-FLOWERS").
    pub fn parse(
        text: &str,
        country: Option<&str>,
        numbering: Numbering,
    ) -> Result<Self, NumberError> {
        let written = Written::read(text)?;
        let country = country.map(str::trim).filter(|country| !country.is_empty());
        let reading = match country {
            Some(country) if !written.international => {
                let region = Region::parse(country).filter(|region| region.has_numbers());
                let region = region.ok_or(NumberError::UnknownCountry)?;
                let national = Reading::national(&written.digits, region);
                match national {
                    Ok(reading) if reading.is_somewhere() => reading,
                    national => Reading::international(&written.digits)
                        .ok()
                        .filter(Reading::is_somewhere)
                        .map_or(national, Ok)?,
                }
            }
            Some(_) | None => Reading::international(&written.digits)?,
        };
        reading.admit(numbering)
    }

    /// Restores a stored number of 1 to 15 digits.
    ///
    /// Asks nothing of the numbering plan, so that a number stays readable when its range is
    /// withdrawn or the policy changes; its kind is then [`NumberKind::Unknown`].
    pub fn from_digits(digits: u64) -> Result<Self, NumberError> {
        if digits == 0 {
            return Err(NumberError::Empty);
        }
        if digits > E164_MAX {
            return Err(NumberError::TooLong);
        }
        let Ok(reading) = Reading::international(&digits.to_string()) else {
            return Ok(Self { digits, region: Region::WORLD, kind: NumberKind::Unknown });
        };
        let (region, kind) = match reading.standing {
            Standing::Allocated(region, kind) | Standing::Fictional(region, kind) => (region, kind),
            Standing::Nobodys(_) => (reading.home, NumberKind::Unknown),
        };
        // The digits are kept even where the metadata would now write them differently.
        Ok(Self { digits, region, kind })
    }

    /// All digits, calling code first, without `+`; at most 15 of them.
    pub fn digits(&self) -> u64 {
        self.digits
    }

    /// The whole number as `+` and digits, for links and doors, never for a log.
    pub fn reveal(&self) -> String {
        format!("+{}", self.digits)
    }

    /// Where the number belongs.
    pub fn region(&self) -> Region {
        self.region
    }

    /// What the number is used for.
    pub fn kind(&self) -> NumberKind {
        self.kind
    }

    /// The number without its last `dropped` digits: the key under which neighbouring numbers are
    /// counted together. Zero if nothing is left.
    ///
    /// It is not masked: fewer than four dropped digits still point at a person.
    pub fn prefix(&self, dropped: u32) -> u64 {
        10_u64.checked_pow(dropped).map_or(0, |unit| self.digits / unit)
    }
}

impl fmt::Display for PhoneNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&mask(self.digits))
    }
}

impl fmt::Debug for PhoneNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PhoneNumber({self})")
    }
}

impl Serialize for PhoneNumber {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.digits)
    }
}

impl<'de> Deserialize<'de> for PhoneNumber {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::from_digits(u64::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

/// What a client wrote, reduced to ASCII digits and keypad letters.
struct Written {
    digits: String,
    international: bool,
}

impl Written {
    fn read(text: &str) -> Result<Self, NumberError> {
        if text.len() > NUMBER_BYTES_MAX {
            return Err(NumberError::TooLong);
        }
        if text.trim().is_empty() {
            return Err(NumberError::Empty);
        }
        let mut digits = String::with_capacity(text.len());
        let (mut plus, mut letters) = (false, 0_usize);
        for c in text.chars() {
            match c {
                '+' | '\u{FF0B}' if digits.is_empty() && !plus => plus = true,
                '0'..='9' => digits.push(c),
                // A number does not begin with letters: "tel:" and the like are not stripped.
                'a'..='z' | 'A'..='Z' if !digits.is_empty() => {
                    letters += 1;
                    digits.push(c);
                }
                _ if is_punctuation(c) => {}
                _ if c.is_numeric() => {
                    let folded = PHONE_NUMBER_UTIL.normalize_digits_only(c.to_string());
                    if folded.is_empty() {
                        return Err(NumberError::NotANumber);
                    }
                    digits.push_str(&folded);
                }
                _ => return Err(NumberError::NotANumber),
            }
        }
        if digits.is_empty() || (1..KEYPAD_LETTERS_MIN).contains(&letters) {
            return Err(NumberError::NotANumber);
        }
        let without_access_code = if plus { None } else { digits.strip_prefix("00") };
        Ok(match without_access_code {
            Some(rest) => Self { digits: rest.to_owned(), international: true },
            None => Self { digits, international: plus },
        })
    }
}

/// One way to understand what was written.
struct Reading {
    digits: u64,
    standing: Standing,
    /// The main region of the calling code, which is known even for a number nobody holds.
    home: Region,
}

/// What the numbering plan says about a reading.
enum Standing {
    Allocated(Region, NumberKind),
    Fictional(Region, NumberKind),
    Nobodys(NumberError),
}

impl Reading {
    fn international(digits: &str) -> Result<Self, NumberError> {
        Self::parse(&format!("+{digits}"), None)
    }

    fn national(digits: &str, region: Region) -> Result<Self, NumberError> {
        Self::parse(digits, region.metadata_region())
    }

    fn parse(text: &str, region: Option<rlibphonenumber::Region>) -> Result<Self, NumberError> {
        let plan = &*PHONE_NUMBER_UTIL;
        let number = plan.parse(text, region).map_err(|error| match error {
            ParseError::InvalidCountryCode => NumberError::UnknownCountry,
            ParseError::NotANumber(_) => NumberError::NotANumber,
            ParseError::TooShortAfterIdd | ParseError::TooShortNsn => NumberError::TooShort,
            ParseError::TooLongNsn => NumberError::TooLong,
        })?;
        if number.extension.is_some() {
            return Err(NumberError::NotANumber);
        }
        let e164 = plan.format(&number, PhoneNumberFormat::E164);
        let digits = e164.trim_start_matches('+').parse().map_err(|_| NumberError::TooLong)?;
        if digits > E164_MAX {
            return Err(NumberError::TooLong);
        }
        let home = plan
            .get_region_for_country_code(number.country_code)
            .map_or(Region::WORLD, Region::from_metadata);
        let allocated = plan.is_valid_number(&number).then(|| {
            let region = plan.get_region_for_number(&number).map(Region::from_metadata);
            (region.unwrap_or(home), NumberKind::from_metadata(plan.get_number_type(&number)))
        });
        let standing = match (fiction::fictional(digits, allocated), allocated) {
            (Some((region, kind)), _) => Standing::Fictional(region, kind),
            (None, Some((region, kind))) => Standing::Allocated(region, kind),
            (None, None) => Standing::Nobodys(fault(plan.is_possible_number_with_reason(&number))),
        };
        Ok(Self { digits, standing, home })
    }

    /// Whether the number is on the map, be it a fictional one.
    ///
    /// A fictional reading must end the search even where fiction is refused, or
    /// "2015550123" in the US would become an Egyptian landline.
    fn is_somewhere(&self) -> bool {
        match self.standing {
            Standing::Allocated(..) | Standing::Fictional(..) => true,
            Standing::Nobodys(_) => false,
        }
    }

    fn admit(self, numbering: Numbering) -> Result<PhoneNumber, NumberError> {
        match (self.standing, numbering) {
            (Standing::Allocated(_, kind), _) if kind.is_refused() => Err(NumberError::Premium),
            (Standing::Allocated(region, kind), _)
            | (Standing::Fictional(region, kind), Numbering::WithFiction) => {
                Ok(PhoneNumber { digits: self.digits, region, kind })
            }
            (Standing::Fictional(..), Numbering::Real) => Err(NumberError::Unallocated),
            (Standing::Nobodys(error), _) => Err(error),
        }
    }
}

fn fault(possible: Result<NumberLengthType, ValidationError>) -> NumberError {
    match possible {
        Ok(NumberLengthType::IsPossible) | Err(ValidationError::InvalidLength) => {
            NumberError::Unallocated
        }
        Ok(NumberLengthType::IsPossibleLocalOnly) | Err(ValidationError::TooShort) => {
            NumberError::TooShort
        }
        Err(ValidationError::TooLong) => NumberError::TooLong,
        Err(ValidationError::InvalidCountryCode) => NumberError::UnknownCountry,
    }
}

/// Whether a character only groups digits, or is an invisible mark that address books paste.
fn is_punctuation(c: char) -> bool {
    c.is_whitespace()
        || matches!(c, '-' | '.' | '/' | '(' | ')' | '[' | ']' | '~' | '\'')
        // Dashes, and their full-width forms; soft hyphen; joiners and direction marks.
        || matches!(c, '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{FF0D}'..='\u{FF0F}')
        || matches!(c, '\u{FF08}' | '\u{FF09}' | '\u{FF3B}' | '\u{FF3D}' | '\u{30FC}')
        || matches!(c, '\u{AD}' | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}')
        || matches!(c, '\u{2060}'..='\u{2069}' | '\u{FEFF}')
}

/// `+`, the calling code, dots, and at most the last two digits; at least four digits stay hidden.
fn mask(digits: u64) -> String {
    let text = digits.to_string();
    let head = calling_code_length(&text);
    let tail = text.len().saturating_sub(head + MASKED_DIGITS_MIN).min(SHOWN_DIGITS_MAX);
    let shown = |position: usize| position < head || position >= text.len() - tail;
    let masked =
        text.chars().enumerate().map(|(position, c)| if shown(position) { c } else { '•' });
    core::iter::once('+').chain(masked).collect()
}

/// How many leading digits are the calling code, by the zones of ITU-T E.164.
fn calling_code_length(digits: &str) -> usize {
    let mut zone = digits.bytes();
    match (zone.next(), zone.next()) {
        (Some(b'1' | b'7'), _) => 1,
        (Some(b'2'), Some(b'0' | b'7'))
        | (Some(b'3'), Some(b'0'..=b'4' | b'6' | b'9'))
        | (Some(b'4'), Some(b'0' | b'1' | b'3'..=b'9'))
        | (Some(b'5'), Some(b'1'..=b'8'))
        | (Some(b'6'), Some(b'0'..=b'6'))
        | (Some(b'8'), Some(b'1' | b'2' | b'4' | b'6'))
        | (Some(b'9'), Some(b'0'..=b'5' | b'8')) => 2,
        _ => 3,
    }
}

/// The longest text read as a number, in bytes: 15 digits of any script with generous
/// punctuation. A choice; it bounds the work a stranger can ask for.
pub const NUMBER_BYTES_MAX: usize = 128;

/// ITU-T E.164 section 6: an international number has at most 15 digits.
pub const E164_DIGITS_MAX: usize = 15;

/// The largest number of [`E164_DIGITS_MAX`] digits.
const E164_MAX: u64 = 999_999_999_999_999;

/// Fewer letters than these are a slip of the finger, not a keypad word; libphonenumber's rule.
const KEYPAD_LETTERS_MIN: usize = 3;

/// How many digits a masked number hides at least; a choice.
const MASKED_DIGITS_MIN: usize = 4;

/// How many digits a masked number shows at its end at most; a choice.
const SHOWN_DIGITS_MAX: usize = 2;

#[cfg(test)]
mod tests;
