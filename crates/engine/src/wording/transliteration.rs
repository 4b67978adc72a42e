//! Typographic characters, written plainly where that keeps a text in the GSM 7-bit alphabet.

use super::parts::{Alphabet, Cutting};
use super::secret_text::SecretText;
use super::segments::Segments;

/// Writes the typographic characters of `text` plainly, or returns `None` to leave it as it is.
///
/// The rule: a text that fits in `alphabet` is left alone; so is one that would not fit even when
/// written plainly, because UCS-2 carries it as it is; and so is one that would take more segments
/// written plainly. Only quotes, dashes, spaces, dots and marks without width are rewritten:
/// letters never are, as that could make another word.
pub fn transliterate(text: &str, alphabet: Alphabet) -> Option<SecretText> {
    let fits = |character| alphabet.has(character);
    if text.chars().all(fits) {
        return None;
    }
    let plain_fits = |character: char| match plain(character) {
        Some(written) if !fits(character) => written.chars().all(fits),
        Some(_) | None => fits(character),
    };
    if !text.chars().all(plain_fits) {
        return None;
    }
    let mut pieces = Vec::with_capacity(text.len());
    for piece in text.split_inclusive(|character| !fits(character)) {
        let last = piece.chars().next_back().filter(|last| !fits(*last));
        let kept = last.map_or(piece.len(), |last| piece.len() - last.len_utf8());
        pieces.push(piece.get(..kept).unwrap_or_default());
        pieces.extend(last.and_then(plain));
    }
    let written = SecretText::concat(&pieces);
    let cutting = Cutting { alphabet, ..Cutting::default() };
    let segments = |text: &str| Segments::of_written(text, cutting).count;
    (segments(written.reveal()) <= segments(text)).then_some(written)
}

/// Returns the plain form of a typographic character.
fn plain(character: char) -> Option<&'static str> {
    let written = match character {
        // Quotes, primes and accents that stand alone.
        '\u{2018}'..='\u{201B}'
        | '\u{2032}'
        | '\u{2035}'
        | '\u{2039}'
        | '\u{203A}'
        | '\u{02B9}'
        | '\u{02BC}'
        | '\u{00B4}'
        | '`' => "'",
        '\u{201C}'..='\u{201F}' | '\u{2033}' | '\u{2036}' | '«' | '»' => "\"",
        // Hyphens, dashes, the minus sign and bullets.
        '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{2022}' | '\u{2043}' => "-",
        '\u{2024}' | '\u{00B7}' => ".",
        '\u{2025}' => "..",
        '\u{2026}' => "...",
        '\u{2044}' | '\u{2215}' => "/",
        // Spaces of every width.
        '\t' | '\u{00A0}' | '\u{2000}'..='\u{200A}' | '\u{202F}' | '\u{205F}' | '\u{3000}' => " ",
        '\u{2028}' | '\u{2029}' => "\n",
        // Marks without width: soft hyphen, joiners, directions, byte order, variation.
        '\u{00AD}'
        | '\u{200B}'..='\u{200F}'
        | '\u{2060}'
        | '\u{FE0E}'
        | '\u{FE0F}'
        | '\u{FEFF}' => "",
        _ => return None,
    };
    Some(written)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wording::gsm;

    fn written(text: &str) -> Option<String> {
        transliterate(text, Alphabet::Gsm).map(|written| written.reveal().to_owned())
    }

    #[test]
    fn typographic_characters_are_written_plainly_where_the_rest_is_gsm() {
        for (text, plain) in [
            ("Don’t share “4815” — ever…", "Don't share \"4815\" - ever..."),
            ("Code:\u{A0}4815", "Code: 4815"),
            ("4\u{200B}8\u{AD}15", "4815"),
            ("« 4815 »\u{2028}€5", "\" 4815 \"\n€5"),
            ("a\tb`c", "a b'c"),
            ("’", "'"),
        ] {
            assert_eq!(written(text).as_deref(), Some(plain), "{text:?}");
        }
    }

    #[test]
    fn a_text_that_fits_or_cannot_fit_is_left_as_it_is() {
        for text in ["", "Don't share 4815", "é€[]", "Don’t, друг", "ça va…", "✓ “4815”"]
        {
            assert_eq!(written(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_text_is_left_as_it_is_where_plain_writing_would_cost_more() {
        assert_eq!(written(&"…".repeat(53)).unwrap().len(), 159);
        assert_eq!(written(&"…".repeat(54)), None);
    }

    #[test]
    fn what_is_written_depends_on_what_the_smsc_can_take() {
        assert!(transliterate("é’", Alphabet::Latin1).is_some());
        assert!(transliterate("é’", Alphabet::Ascii).is_none());
        assert!(transliterate("€’", Alphabet::Latin1).is_none());
    }

    #[test]
    fn every_plain_form_is_ascii_of_the_gsm_alphabet_for_what_is_outside_it() {
        for character in '\0'..=char::MAX {
            if let Some(written) = plain(character) {
                assert_eq!(gsm::Septets::of(character), None, "{character:?}");
                assert!(written.is_ascii() && gsm::encode(written).is_some(), "{character:?}");
            }
        }
    }

    proptest! {
        #[test]
        fn writing_plainly_settles_and_never_costs_more(
            text in prop_oneof!["[a-c’…\u{A0}é]{0,200}", any::<String>()],
        ) {
            if let Some(written) = transliterate(&text, Alphabet::Gsm) {
                prop_assert!(gsm::encode(&text).is_none());
                prop_assert!(gsm::encode(written.reveal()).is_some());
                prop_assert!(transliterate(written.reveal(), Alphabet::Gsm).is_none());
                let before = Segments::of_written(&text, Cutting::default()).count;
                prop_assert!(Segments::of(&text).count <= before);
            }
        }
    }
}
