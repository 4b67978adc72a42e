//! The country or territory a phone number belongs to.

use core::fmt;

use rlibphonenumber::PHONE_NUMBER_UTIL;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// A country or territory: an ISO 3166-1 alpha-2 code, or "001" for numbers that belong to none
/// (international toll-free, satellite networks).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Region([u8; 2]);

impl Region {
    /// The United States.
    pub const US: Self = Self(*b"US");
    /// Canada.
    pub const CA: Self = Self(*b"CA");
    /// The United Kingdom.
    pub const GB: Self = Self(*b"GB");
    /// No country: the UN M.49 code of the world, as the numbering metadata names it.
    pub const WORLD: Self = Self(*b"01");

    /// Reads an alpha-2 code in any case, or "001".
    ///
    /// Any two ASCII letters are a region; whether anybody has a number there is
    /// [`Region::has_numbers`].
    pub fn parse(text: &str) -> Option<Self> {
        if text == WORLD_TEXT {
            return Some(Self::WORLD);
        }
        let letters: [u8; 2] = text.as_bytes().try_into().ok()?;
        let alphabetic = letters.iter().all(u8::is_ascii_alphabetic);
        alphabetic.then(|| Self(letters.map(|letter| letter.to_ascii_uppercase())))
    }

    /// The upper-case alpha-2 code, or "001".
    pub fn as_str(&self) -> &str {
        match core::str::from_utf8(&self.0) {
            Ok(letters) if *self != Self::WORLD => letters,
            // The letters are ASCII by construction, so only the world ends here.
            Ok(_) | Err(_) => WORLD_TEXT,
        }
    }

    /// Whether the numbering metadata knows a country calling code for this region.
    ///
    /// False for "001", which has many calling codes and no national form.
    pub fn has_numbers(self) -> bool {
        self.metadata_region()
            .is_some_and(|region| PHONE_NUMBER_UTIL.get_country_code_for_region(region).is_some())
    }

    /// The metadata's name for this region.
    pub(super) fn metadata_region(self) -> Option<rlibphonenumber::Region> {
        rlibphonenumber::Region::from_code(self.as_str()).ok()
    }

    /// Our name for the metadata's region.
    pub(super) fn from_metadata(region: rlibphonenumber::Region) -> Self {
        Self::parse(region.as_region_str().as_str()).unwrap_or(Self::WORLD)
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Region({self})")
    }
}

impl Serialize for Region {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Region {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| D::Error::custom("a region is two letters or 001"))
    }
}

/// UN M.49 code of the world, the region of non-geographic numbers in libphonenumber's metadata.
const WORLD_TEXT: &str = "001";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_is_two_letters_in_any_case_or_the_world() {
        assert_eq!(Region::parse("gb"), Some(Region::GB));
        assert_eq!(Region::parse("001"), Some(Region::WORLD));
        assert_eq!(Region::WORLD.to_string(), "001");
        for wrong in ["", "G", "GBR", "01", "G1", "é", "002"] {
            assert_eq!(Region::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_region_nobody_has_a_number_in_is_told_apart() {
        assert!(Region::CA.has_numbers());
        assert!(!Region::parse("ZZ").unwrap().has_numbers());
        assert!(!Region::WORLD.has_numbers());
    }

    #[test]
    fn a_region_is_stored_as_its_letters() {
        assert_eq!(serde_json::to_string(&Region::US).unwrap(), "\"US\"");
        assert_eq!(serde_json::from_str::<Region>("\"001\"").unwrap(), Region::WORLD);
        assert!(serde_json::from_str::<Region>("\"U5\"").is_err());
    }
}
