//! Which voice of espeak-ng speaks which locale.

use super::engine::Gender;

/// A voice as espeak-ng 1.51 names it, and what it lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EspeakVoice {
    /// The name after `-v`, without a variant.
    pub(crate) name: &'static str,
    /// What a listener of this locale will notice.
    pub(crate) shortcoming: Option<&'static str>,
}

/// Looks up the voice for a locale such as `fr-ca`.
pub(crate) fn voice_of(locale: &str) -> Option<EspeakVoice> {
    let found = VOICES.iter().find(|(of, _, _)| *of == locale);
    found.map(|(_, name, shortcoming)| EspeakVoice { name, shortcoming: *shortcoming })
}

/// Returns the arguments that make espeak-ng read UTF-8 from its input and write a WAV file.
pub(crate) fn arguments(voice: &str, gender: Option<Gender>, speed_wpm: u16) -> Vec<String> {
    let variant = match gender {
        Some(Gender::Female) => FEMALE,
        Some(Gender::Male) => MALE,
        None => "",
    };
    let mut arguments = vec!["-v".to_owned(), format!("{voice}{variant}")];
    arguments.extend(["-s".to_owned(), speed_wpm.to_string()]);
    arguments.extend(["-b", "1", "--stdin", "--stdout"].map(str::to_owned));
    arguments
}

/// Takes out of a text what espeak-ng would not read but obey: `[[` begins phonemes.
pub(crate) fn plain(text: &str) -> String {
    text.replace(['[', ']'], " ")
}

/// Variants of espeak-ng's own, with which the digits of every locale stay apart in the template
/// test.
const FEMALE: &str = "+f2";
const MALE: &str = "+m3";

/// `cmn` would spell most Chinese characters as English letters; the pinyin voice reads both scripts.
const VOICES: [(&str, &str, Option<&str>); 24] = [
    ("de-de", "de", None),
    ("en-au", "en-gb", Some("speaks with a British accent, there is no Australian voice")),
    ("en-gb", "en-gb", None),
    ("en-in", "en-gb", Some("speaks with a British accent, there is no Indian voice")),
    ("en-us", "en-us", None),
    ("es-es", "es", None),
    ("es-mx", "es-419", Some("speaks general Latin American Spanish")),
    ("es-us", "es-419", Some("speaks general Latin American Spanish")),
    ("fr-ca", "fr-fr", Some("speaks with the accent of France, there is no Canadian voice")),
    ("fr-fr", "fr-fr", None),
    ("is-is", "is", None),
    ("it-it", "it", None),
    ("ja-jp", "ja", Some("reads brands in Latin letters as English, and no kanji")),
    ("ko-kr", "ko", Some("reads brands in Latin letters as English")),
    ("nl-nl", "nl", None),
    ("pl-pl", "pl", None),
    ("pt-br", "pt-br", None),
    ("pt-pt", "pt", None),
    ("ro-ro", "ro", None),
    ("ru-ru", "ru", Some("reads brands in Latin letters as English")),
    ("sv-se", "sv", None),
    ("tr-tr", "tr", None),
    ("zh-cn", "cmn-latn-pinyin", Some("reads brands in Latin letters as English")),
    (
        "zh-tw",
        "cmn-latn-pinyin",
        Some("speaks with a Mainland accent, and reads brands in Latin letters as English"),
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_never_among_the_arguments() {
        let arguments = arguments("de", Some(Gender::Female), 130);
        assert_eq!(arguments, ["-v", "de+f2", "-s", "130", "-b", "1", "--stdin", "--stdout"]);
    }

    #[test]
    fn a_brand_cannot_switch_to_phonemes() {
        assert!(!plain("[[h@'loU]] Acme").contains('['));
    }
}
