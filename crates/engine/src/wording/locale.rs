//! The 24 locales a message can be written and spoken in, and which one suits a number.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A language and region the product has texts for.
///
/// The set is that of Textmagic's `language` field and of `lg` in Vonage's Verify v1.
/// It is stored and sent as its lower-case string, such as `en-gb`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Locale {
    /// German.
    DeDe,
    /// English, Australia.
    EnAu,
    /// English, United Kingdom.
    EnGb,
    /// English, United States; the locale when nothing else fits.
    EnUs,
    /// English, India.
    EnIn,
    /// Spanish, Spain.
    EsEs,
    /// Spanish, Mexico and Latin America.
    EsMx,
    /// Spanish, United States.
    EsUs,
    /// French, Canada.
    FrCa,
    /// French, France.
    FrFr,
    /// Icelandic.
    IsIs,
    /// Italian.
    ItIt,
    /// Japanese.
    JaJp,
    /// Korean.
    KoKr,
    /// Dutch.
    NlNl,
    /// Polish.
    PlPl,
    /// Portuguese, Portugal.
    PtPt,
    /// Portuguese, Brazil.
    PtBr,
    /// Romanian.
    RoRo,
    /// Russian.
    RuRu,
    /// Swedish.
    SvSe,
    /// Turkish.
    TrTr,
    /// Chinese, simplified script.
    ZhCn,
    /// Chinese, traditional script.
    ZhTw,
}

impl Locale {
    /// Every locale, in the order in which the vendors document them.
    pub const ALL: [Self; 24] = [
        Self::DeDe,
        Self::EnAu,
        Self::EnGb,
        Self::EnUs,
        Self::EnIn,
        Self::EsEs,
        Self::EsMx,
        Self::EsUs,
        Self::FrCa,
        Self::FrFr,
        Self::IsIs,
        Self::ItIt,
        Self::JaJp,
        Self::KoKr,
        Self::NlNl,
        Self::PlPl,
        Self::PtPt,
        Self::PtBr,
        Self::RoRo,
        Self::RuRu,
        Self::SvSe,
        Self::TrTr,
        Self::ZhCn,
        Self::ZhTw,
    ];

    /// Parses `en-gb` in any letter case; `None` for anything that is not one of the 24.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|locale| locale.as_str().eq_ignore_ascii_case(text))
    }

    /// Returns the lower-case wire form, such as `en-gb`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DeDe => "de-de",
            Self::EnAu => "en-au",
            Self::EnGb => "en-gb",
            Self::EnUs => "en-us",
            Self::EnIn => "en-in",
            Self::EsEs => "es-es",
            Self::EsMx => "es-mx",
            Self::EsUs => "es-us",
            Self::FrCa => "fr-ca",
            Self::FrFr => "fr-fr",
            Self::IsIs => "is-is",
            Self::ItIt => "it-it",
            Self::JaJp => "ja-jp",
            Self::KoKr => "ko-kr",
            Self::NlNl => "nl-nl",
            Self::PlPl => "pl-pl",
            Self::PtPt => "pt-pt",
            Self::PtBr => "pt-br",
            Self::RoRo => "ro-ro",
            Self::RuRu => "ru-ru",
            Self::SvSe => "sv-se",
            Self::TrTr => "tr-tr",
            Self::ZhCn => "zh-cn",
            Self::ZhTw => "zh-tw",
        }
    }

    /// Chooses the locale for a number of `region` (ISO 3166 alpha-2, any letter case).
    ///
    /// The region must come from the whole number: +1, +7, +44, +590 and +599 are shared.
    /// The vendors document only that French numbers get French; the rest of the table is a
    /// choice, and regions it does not list get `en-us`, Vonage's default.
    pub fn for_region(region: &str) -> Self {
        match region.to_ascii_uppercase().as_str() {
            "DE" | "AT" | "CH" | "LI" | "LU" => Self::DeDe,
            "AU" | "NZ" => Self::EnAu,
            "GB" | "GG" | "JE" | "IM" | "IE" | "GI" | "MT" => Self::EnGb,
            "IN" => Self::EnIn,
            "ES" => Self::EsEs,
            "MX" | "AR" | "BO" | "CL" | "CO" | "CR" | "CU" | "DO" | "EC" | "GT" | "HN" | "NI"
            | "PA" | "PE" | "PY" | "SV" | "UY" | "VE" => Self::EsMx,
            "PR" => Self::EsUs,
            // France and its territories, Belgium, Monaco, and Africa where French is understood.
            "FR" | "MC" | "GP" | "MQ" | "GF" | "RE" | "YT" | "PM" | "BL" | "MF" | "NC" | "PF"
            | "WF" | "BE" | "BF" | "BI" | "BJ" | "CD" | "CF" | "CG" | "CI" | "CM" | "DJ" | "DZ"
            | "GA" | "GN" | "KM" | "MA" | "MG" | "ML" | "MR" | "NE" | "SN" | "TD" | "TG" | "TN" => {
                Self::FrFr
            }
            "IS" => Self::IsIs,
            "IT" | "SM" | "VA" => Self::ItIt,
            "JP" => Self::JaJp,
            "KR" => Self::KoKr,
            "NL" | "SR" | "AW" | "CW" | "SX" | "BQ" => Self::NlNl,
            "PL" => Self::PlPl,
            "PT" | "AO" | "MZ" | "CV" | "GW" | "ST" | "TL" => Self::PtPt,
            "BR" => Self::PtBr,
            "RO" | "MD" => Self::RoRo,
            "RU" | "BY" | "KZ" | "KG" => Self::RuRu,
            "SE" | "AX" => Self::SvSe,
            "TR" => Self::TrTr,
            "CN" => Self::ZhCn,
            "TW" | "HK" | "MO" => Self::ZhTw,
            _ => Self::EnUs,
        }
    }
}

impl fmt::Display for Locale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Locale {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Locale {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| {
            de::Error::invalid_value(
                de::Unexpected::Str(&text),
                &"one of the 24 locales, such as en-gb",
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_locale_is_listed_once_and_read_back_in_any_letter_case() {
        let mut names: Vec<_> = Locale::ALL.iter().map(|locale| locale.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), 24, "two locales share a name");
        for locale in Locale::ALL {
            assert_eq!(Locale::parse(locale.as_str()), Some(locale));
            assert_eq!(Locale::parse(&locale.as_str().to_ascii_uppercase()), Some(locale));
        }
    }

    #[test]
    fn a_language_without_its_region_is_not_a_locale() {
        for text in ["", "en", "en_gb", "en-gb ", "da-dk", "enゞgb"] {
            assert_eq!(Locale::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_number_is_addressed_in_the_language_of_its_region() {
        for (region, locale) in [
            ("AT", "de-de"),
            ("NZ", "en-au"),
            ("IM", "en-gb"),
            ("IN", "en-in"),
            ("ES", "es-es"),
            ("AR", "es-mx"),
            ("PR", "es-us"),
            ("FR", "fr-fr"),
            ("SN", "fr-fr"),
            ("CA", "en-us"),
            ("VA", "it-it"),
            ("SR", "nl-nl"),
            ("AO", "pt-pt"),
            ("BR", "pt-br"),
            ("MD", "ro-ro"),
            ("KZ", "ru-ru"),
            ("AX", "sv-se"),
            ("CN", "zh-cn"),
            ("hk", "zh-tw"),
        ] {
            assert_eq!(Locale::for_region(region).as_str(), locale, "{region}");
        }
    }

    #[test]
    fn an_unlisted_region_is_addressed_in_american_english() {
        for region in ["US", "FI", "001", "ZZ", ""] {
            assert_eq!(Locale::for_region(region), Locale::EnUs, "{region:?}");
        }
    }

    #[test]
    fn only_the_french_of_canada_is_never_chosen_by_region() {
        // Canadian numbers do not tell the province, so fr-ca is spoken on request only.
        let letters = 'A'..='Z';
        let regions = letters.clone().flat_map(|a| letters.clone().map(move |b| format!("{a}{b}")));
        let mut chosen: Vec<_> = regions.map(|region| Locale::for_region(&region)).collect();
        chosen.sort_unstable();
        chosen.dedup();
        let missing: Vec<_> = Locale::ALL.into_iter().filter(|l| !chosen.contains(l)).collect();
        assert_eq!(missing, [Locale::FrCa]);
    }

    #[test]
    fn a_locale_is_stored_as_its_string() {
        assert_eq!(serde_json::to_string(&Locale::PtBr).unwrap(), r#""pt-br""#);
        assert_eq!(serde_json::from_str::<Locale>(r#""PT-br""#).unwrap(), Locale::PtBr);
        let error = serde_json::from_str::<Locale>(r#""da-dk""#).unwrap_err().to_string();
        assert!(error.contains("one of the 24 locales"), "{error}");
    }
}
