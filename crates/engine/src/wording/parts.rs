//! A text as the octets of the short messages that carry it.

use core::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop};

use super::gsm::{ESCAPE, Septets};
use super::segments::{Capacity, Encoding, Segments};
use super::transliteration::transliterate;

/// What an SMSC takes octets for when it is told no alphabet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Alphabet {
    /// The GSM 7-bit alphabet, one septet in each octet, as it should be.
    #[default]
    Gsm,
    /// ASCII.
    Ascii,
    /// ISO 8859-1.
    Latin1,
}

impl Alphabet {
    /// Tells whether a character can be sent in it and is in the GSM alphabet of the air too.
    pub fn has(self, character: char) -> bool {
        let taken = match self {
            Self::Gsm => true,
            Self::Ascii => character.is_ascii(),
            Self::Latin1 => u8::try_from(character).is_ok(),
        };
        taken && Septets::of(character).is_some()
    }

    fn push(self, character: char, octets: &mut Vec<u8>) {
        match (self, Septets::of(character)) {
            (Self::Gsm, Some(Septets::Basic(septet))) => octets.push(septet),
            (Self::Gsm, Some(Septets::Extended(septet))) => octets.extend([ESCAPE, septet]),
            // Whoever asks has seen that the alphabet has the character.
            (Self::Gsm, None) => debug_assert!(false, "a character outside the alphabet"),
            (Self::Ascii | Self::Latin1, _) => octets.extend(u8::try_from(character)),
        }
    }
}

/// How the parts of a long text find together again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Joined {
    /// A header of 6 octets, with a reference of 8 bits; `sar_*` parameters become one.
    #[default]
    ByReference8,
    /// A header of 7 octets, with a reference of 16 bits.
    ByReference16,
    /// The SMSC gets the whole text and cuts it; counted as if by a reference of 8 bits.
    BySmsc,
}

/// How a link wants its texts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Cutting {
    /// What the SMSC takes octets for.
    pub alphabet: Alphabet,
    /// How long texts are cut.
    pub joined: Joined,
}

/// Octets that carry a code: hidden from `Debug`, wiped when dropped.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct SecretOctets(Vec<u8>);

impl SecretOctets {
    /// Gives the octets to the link that carries them; they must not reach a log or an error.
    pub fn reveal(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for SecretOctets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretOctets(..)")
    }
}

/// A text, ready to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parts {
    /// [`Encoding::Gsm7`] is the link's [`Alphabet`]; [`Encoding::Ucs2`] is sent high octet first.
    pub encoding: Encoding,
    /// One part or several, without headers, in their order.
    pub parts: Vec<SecretOctets>,
}

/// Cuts a text as it is sent, which is as [`transliterate`] leaves it.
///
/// There are as many parts as [`Segments::cut`] counts, except that there is one of a text that
/// the SMSC cuts. Neither an escaped character nor a surrogate pair is ever split.
pub fn split(text: &str, cutting: Cutting) -> Parts {
    match transliterate(text, cutting.alphabet) {
        Some(written) => split_written(written.reveal(), cutting),
        None => split_written(text, cutting),
    }
}

fn split_written(text: &str, cutting: Cutting) -> Parts {
    let Segments { encoding, units, count } = Segments::of_written(text, cutting);
    let capacity = match (cutting.joined, count) {
        (Joined::BySmsc, _) | (_, 1) => units,
        (Joined::ByReference8 | Joined::ByReference16, _) => {
            Capacity::of(encoding, cutting.joined).part
        }
    };
    // An octet is at most one unit of either encoding's halves, so nothing grows and stays behind.
    let room = 2 * capacity;
    let mut parts = Vec::with_capacity(usize::from(count));
    let mut octets = Vec::with_capacity(room);
    let mut filled = 0;
    for character in text.chars() {
        let cost = encoding.units(character);
        if filled + cost > capacity {
            parts.push(SecretOctets(core::mem::replace(&mut octets, Vec::with_capacity(room))));
            filled = 0;
        }
        filled += cost;
        match encoding {
            Encoding::Gsm7 => cutting.alphabet.push(character, &mut octets),
            Encoding::Ucs2 => push_utf16(character, &mut octets),
        }
    }
    parts.push(SecretOctets(octets));
    Parts { encoding, parts }
}

fn push_utf16(character: char, octets: &mut Vec<u8>) {
    let mut units = [0; 2];
    octets.extend(character.encode_utf16(&mut units).iter().flat_map(|unit| unit.to_be_bytes()));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wording::gsm;

    const GSM: Cutting = Cutting { alphabet: Alphabet::Gsm, joined: Joined::ByReference8 };

    fn lengths(text: &str, cutting: Cutting) -> Vec<usize> {
        split(text, cutting).parts.iter().map(|part| part.reveal().len()).collect()
    }

    /// Reads one part as a handset would.
    fn read(part: &SecretOctets, encoding: Encoding, alphabet: Alphabet) -> String {
        let octets = part.reveal();
        match (encoding, alphabet) {
            (Encoding::Gsm7, Alphabet::Gsm) => gsm::decode(octets),
            (Encoding::Gsm7, Alphabet::Ascii | Alphabet::Latin1) => {
                octets.iter().copied().map(char::from).collect()
            }
            (Encoding::Ucs2, _) => {
                let (pairs, rest) = octets.as_chunks::<2>();
                assert!(rest.is_empty(), "a unit is split");
                let units: Vec<u16> = pairs.iter().map(|pair| u16::from_be_bytes(*pair)).collect();
                String::from_utf16(&units).expect("a surrogate pair is split")
            }
        }
    }

    #[test]
    fn a_short_text_is_one_part_up_to_160_septets_or_70_units() {
        assert_eq!(lengths("", GSM), [0]);
        assert_eq!(lengths(&"a".repeat(160), GSM), [160]);
        assert_eq!(lengths(&"я".repeat(70), GSM), [140]);
    }

    #[test]
    fn a_long_text_leaves_room_for_the_header_of_its_link() {
        let joined = Joined::ByReference16;
        assert_eq!(lengths(&"a".repeat(307), GSM), [153, 153, 1]);
        assert_eq!(lengths(&"a".repeat(305), Cutting { joined, ..GSM }), [152, 152, 1]);
        assert_eq!(lengths(&"я".repeat(135), GSM), [134, 134, 2]);
        assert_eq!(lengths(&"я".repeat(133), Cutting { joined, ..GSM }), [132, 132, 2]);
        let joined = Joined::BySmsc;
        assert_eq!(lengths(&"a".repeat(1000), Cutting { joined, ..GSM }), [1000]);
    }

    #[test]
    fn an_escaped_character_and_a_surrogate_pair_move_to_the_next_part() {
        assert_eq!(lengths(&("a".repeat(152) + "€" + &"a".repeat(152)), GSM), [152, 153, 1]);
        assert_eq!(lengths(&("я".repeat(66) + "😀" + &"я".repeat(66)), GSM), [132, 134, 2]);
    }

    #[test]
    fn a_character_of_a_smaller_alphabet_is_one_octet_and_counts_as_on_the_air() {
        let ascii = Cutting { alphabet: Alphabet::Ascii, ..GSM };
        assert_eq!(split("[@]", ascii).parts[0].reveal(), b"[@]");
        assert_eq!(split("[@]", GSM).parts[0].reveal(), [0x1B, 0x3C, 0x00, 0x1B, 0x3E]);
        assert_eq!(lengths(&"[".repeat(81), ascii), [76, 5]);
        let latin1 = Cutting { alphabet: Alphabet::Latin1, ..GSM };
        assert_eq!(split("é’", latin1).parts[0].reveal(), b"\xE9'");
        assert_eq!(split("é", ascii).encoding, Encoding::Ucs2);
        assert_eq!(split("€", latin1).parts[0].reveal(), [0x20, 0xAC]);
    }

    #[test]
    fn parts_print_nothing_of_their_text() {
        assert_eq!(
            format!("{:?}", split("4815", GSM)),
            "Parts { encoding: Gsm7, parts: [SecretOctets(..)] }"
        );
    }

    fn cutting() -> impl Strategy<Value = Cutting> {
        let alphabets = vec![Alphabet::Gsm, Alphabet::Ascii, Alphabet::Latin1];
        let joined = vec![Joined::ByReference8, Joined::ByReference16, Joined::BySmsc];
        (prop::sample::select(alphabets), prop::sample::select(joined))
            .prop_map(|(alphabet, joined)| Cutting { alphabet, joined })
    }

    proptest! {
        #[test]
        fn counting_and_cutting_agree_and_the_parts_say_the_whole_text(
            text in prop_oneof![
                "[a-c€{é’…]{0,500}",
                "[a-c\\[]{0,500}",
                "[aя😀]{0,300}",
                any::<String>(),
            ],
            cutting in cutting(),
        ) {
            let Parts { encoding, parts } = split(&text, cutting);
            let segments = Segments::cut(&text, cutting);
            prop_assert_eq!(segments.encoding, encoding);
            if cutting.joined == Joined::BySmsc {
                prop_assert_eq!(parts.len(), 1);
            } else {
                prop_assert_eq!(parts.len(), usize::from(segments.count));
            }
            let read = |part| read(part, encoding, cutting.alphabet);
            let whole: String = parts.iter().map(read).collect();
            let written = transliterate(&text, cutting.alphabet);
            prop_assert_eq!(&whole, written.as_ref().map_or(text.as_str(), |text| text.reveal()));
            for part in parts.iter().filter(|_| parts.len() > 1) {
                let capacity = Capacity::of(encoding, cutting.joined).part;
                let units: usize = read(part).chars().map(|unit| encoding.units(unit)).sum();
                prop_assert!(units <= capacity && units > 0);
            }
        }
    }
}
