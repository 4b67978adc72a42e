//! The GSM 7-bit alphabet: characters to septets and back (3GPP TS 23.038, section 6.2.1).
//!
//! Septets are unpacked here, one in each octet, as SMPP carries them.

/// The septet that announces a character of the extension table.
pub const ESCAPE: u8 = 0x1B;

/// How one character is written in the GSM 7-bit alphabet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Septets {
    /// A character of the basic table: one septet, 0 to 127, never [`ESCAPE`].
    Basic(u8),
    /// A character of the extension table: [`ESCAPE`], then this septet.
    Extended(u8),
}

impl Septets {
    /// Looks a character up; `None` if the alphabet lacks it and the text must go as UCS-2.
    pub fn of(character: char) -> Option<Self> {
        if character > HIGHEST {
            return None;
        }
        // Most of ASCII has its own number in the basic table, which spares the search.
        let ascii = u8::try_from(character).ok();
        if let Some(same) = ascii.filter(|same| decode_basic(*same) == Some(character)) {
            return Some(Self::Basic(same));
        }
        let basic = (0..=127_u8).find(|septet| decode_basic(*septet) == Some(character));
        let extended = || EXTENSION.iter().find(|(_, extended)| *extended == character);
        basic.map(Self::Basic).or_else(|| extended().map(|(septet, _)| Self::Extended(*septet)))
    }

    /// Returns how many septets the character takes: 1 or 2.
    pub const fn count(self) -> usize {
        match self {
            Self::Basic(_) => 1,
            Self::Extended(_) => 2,
        }
    }
}

/// Returns the character of the basic table, or `None` for [`ESCAPE`] and for 128 and above.
pub fn decode_basic(septet: u8) -> Option<char> {
    if septet == ESCAPE {
        return None;
    }
    BASIC.get(usize::from(septet)).copied()
}

/// Returns the character that follows an [`ESCAPE`], or `None` where the table is empty.
pub fn decode_extended(septet: u8) -> Option<char> {
    EXTENSION.iter().find(|(extended, _)| *extended == septet).map(|(_, character)| *character)
}

/// Encodes a text, one septet in each octet; `None` if any character is outside the alphabet.
pub fn encode(text: &str) -> Option<Vec<u8>> {
    let mut septets = Vec::with_capacity(text.len().saturating_mul(2));
    for character in text.chars() {
        match Septets::of(character)? {
            Septets::Basic(septet) => septets.push(septet),
            Septets::Extended(septet) => septets.extend([ESCAPE, septet]),
        }
    }
    Some(septets)
}

/// Decodes unpacked septets; never fails, because what carriers send is not always clean.
///
/// After an [`ESCAPE`], a septet the extension table lacks is read from the basic table, and a
/// second or last [`ESCAPE`] is a space, as the specification asks of a receiver.
/// An octet of 128 or above becomes U+FFFD.
pub fn decode(septets: &[u8]) -> String {
    let mut text = String::with_capacity(septets.len());
    let mut rest = septets.iter().copied();
    while let Some(septet) = rest.next() {
        if septet != ESCAPE {
            text.push(decode_basic(septet).unwrap_or(char::REPLACEMENT_CHARACTER));
            continue;
        }
        text.push(match rest.next() {
            None | Some(ESCAPE) => ' ',
            Some(escaped) => decode_extended(escaped)
                .or_else(|| decode_basic(escaped))
                .unwrap_or(char::REPLACEMENT_CHARACTER),
        });
    }
    text
}

/// The basic character table, one row for each 16 septets; the escape's place holds U+001B.
#[rustfmt::skip]
const BASIC: [char; 128] = [
    '@', '£', '$', '¥', 'è', 'é', 'ù', 'ì', 'ò', 'Ç', '\n', 'Ø', 'ø', '\r', 'Å', 'å',
    'Δ', '_', 'Φ', 'Γ', 'Λ', 'Ω', 'Π', 'Ψ', 'Σ', 'Θ', 'Ξ', '\u{1B}', 'Æ', 'æ', 'ß', 'É',
    ' ', '!', '"', '#', '¤', '%', '&', '\'', '(', ')', '*', '+', ',', '-', '.', '/',
    '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', ':', ';', '<', '=', '>', '?',
    '¡', 'A', 'B', 'C', 'D', 'E', 'F', 'G', 'H', 'I', 'J', 'K', 'L', 'M', 'N', 'O',
    'P', 'Q', 'R', 'S', 'T', 'U', 'V', 'W', 'X', 'Y', 'Z', 'Ä', 'Ö', 'Ñ', 'Ü', '§',
    '¿', 'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k', 'l', 'm', 'n', 'o',
    'p', 'q', 'r', 's', 't', 'u', 'v', 'w', 'x', 'y', 'z', 'ä', 'ö', 'ñ', 'ü', 'à',
];

/// The character of both tables with the highest number; nothing above it needs a search.
const HIGHEST: char = '€';

/// The extension table: the septet after the escape, and its character (U+000C ends a page).
const EXTENSION: [(u8, char); 10] = [
    (0x0A, '\u{0C}'),
    (0x14, '^'),
    (0x28, '{'),
    (0x29, '}'),
    (0x2F, '\\'),
    (0x3C, '['),
    (0x3D, '~'),
    (0x3E, ']'),
    (0x40, '|'),
    (0x65, '€'),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_character_of_unicode_is_read_back_as_itself_or_refused() {
        let mut basic = 0;
        let mut extended = 0;
        for character in '\0'..=char::MAX {
            match Septets::of(character) {
                Some(Septets::Basic(septet)) => {
                    assert_eq!(decode_basic(septet), Some(character));
                    basic += 1;
                }
                Some(Septets::Extended(septet)) => {
                    assert_eq!(decode_extended(septet), Some(character));
                    extended += 1;
                }
                None => continue,
            }
            let text = character.to_string();
            assert_eq!(decode(&encode(&text).unwrap()), text);
        }
        assert_eq!((basic, extended), (127, 10));
    }

    #[test]
    fn the_characters_that_are_not_at_their_ascii_place_follow_the_specification() {
        let septets = encode("@$_€Ωé").unwrap();
        assert_eq!(septets, [0x00, 0x02, 0x11, 0x1B, 0x65, 0x15, 0x05]);
        assert_eq!(encode("AZaz09\n"), Some(b"AZaz09\n".to_vec()));
        assert_eq!(Septets::of('€').map(Septets::count), Some(2));
    }

    #[test]
    fn a_text_with_one_foreign_character_is_not_encoded() {
        for text in ["ç", "`", "\t", "\u{1B}", "PIN 4815 ✓"] {
            assert_eq!(encode(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_damaged_text_is_read_as_far_as_it_goes() {
        assert_eq!(decode(&[0x1B]), " ");
        assert_eq!(decode(&[0x1B, 0x1B, 0x41]), " A");
        assert_eq!(decode(&[0x1B, 0x41, 0x42]), "AB");
        assert_eq!(decode(&[0x41, 0x80, 0x1B, 0xFF]), "A\u{FFFD}\u{FFFD}");
    }
}
