//! How many short messages a text takes, because each of them is paid for.

use super::gsm::Septets;
use super::parts::{Alphabet, Cutting, Joined};
use super::transliteration::transliterate;

/// Segments a caller may send as one message; a longer text is refused, not cut.
///
/// A choice: Vonage takes 3200 characters, but a code never needs a tenth of that.
pub const SEGMENTS_MAX: u16 = 10;

/// The alphabet a short message is sent in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// The GSM 7-bit alphabet with its extension table.
    Gsm7,
    /// UCS-2, in practice UTF-16; used as soon as one character is outside GSM 7-bit.
    Ucs2,
}

/// What a text costs on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Segments {
    /// The alphabet, chosen for the whole text.
    pub encoding: Encoding,
    /// Length in septets (GSM 7-bit) or in UTF-16 units (UCS-2).
    pub units: usize,
    /// Short messages needed, 1 at least, as even an empty text is sent once.
    pub count: u16,
}

impl Segments {
    /// Measures what is sent of `text` over a link of the usual kind.
    ///
    /// That is the text as [`transliterate`] leaves it, and characters that take two units are
    /// never split over two segments.
    pub fn of(text: &str) -> Self {
        Self::cut(text, Cutting::default())
    }

    /// Measures what is sent of `text` over a link that cuts it in its own way.
    pub fn cut(text: &str, cutting: Cutting) -> Self {
        match transliterate(text, cutting.alphabet) {
            Some(written) => Self::of_written(written.reveal(), cutting),
            None => Self::of_written(text, cutting),
        }
    }

    /// Measures a text that is sent letter by letter.
    pub(super) fn of_written(text: &str, cutting: Cutting) -> Self {
        let encoding = Encoding::of_written(text, cutting.alphabet);
        let capacity = Capacity::of(encoding, cutting.joined);
        let costs = text.chars().map(|character| encoding.units(character));
        let units = costs.clone().sum();
        Self { encoding, units, count: count(units, costs, capacity) }
    }
}

impl Encoding {
    /// Chooses for a text that is sent letter by letter: one letter decides for all.
    pub(super) fn of_written(text: &str, alphabet: Alphabet) -> Self {
        let has = |character| alphabet.has(character);
        if text.chars().all(has) { Self::Gsm7 } else { Self::Ucs2 }
    }

    /// Returns what one character takes up in a segment.
    pub(super) fn units(self, character: char) -> usize {
        match self {
            // Whatever the SMSC's own alphabet is, it is the GSM 7-bit one on the air.
            Self::Gsm7 => Septets::of(character).map_or(1, Septets::count),
            Self::Ucs2 => character.len_utf16(),
        }
    }
}

/// Counts segments of a text of `units`, given each character's cost in units.
fn count(units: usize, costs: impl Iterator<Item = usize>, capacity: Capacity) -> u16 {
    if units <= capacity.single {
        return 1;
    }
    let mut segments: u16 = 1;
    let mut filled = 0;
    for cost in costs {
        if filled + cost > capacity.part {
            segments = segments.saturating_add(1);
            filled = 0;
        }
        filled += cost;
    }
    segments
}

/// Units that fit in one short message.
#[derive(Clone, Copy)]
pub(super) struct Capacity {
    /// When the text is sent alone.
    pub(super) single: usize,
    /// When it is one part of several, and a header takes its share.
    pub(super) part: usize,
}

impl Capacity {
    /// 140 octets are 160 septets or 70 units. A header with a reference of 8 bits is 6 octets,
    /// which are 7 septets or 3 units; one of 16 bits is 7 octets, which are 8 septets or 4 units
    /// (3GPP TS 23.040, section 9.2.3.24).
    pub(super) const fn of(encoding: Encoding, joined: Joined) -> Self {
        match (encoding, joined) {
            (Encoding::Gsm7, Joined::ByReference8 | Joined::BySmsc) => {
                Self { single: 160, part: 153 }
            }
            (Encoding::Gsm7, Joined::ByReference16) => Self { single: 160, part: 152 },
            (Encoding::Ucs2, Joined::ByReference8 | Joined::BySmsc) => {
                Self { single: 70, part: 67 }
            }
            (Encoding::Ucs2, Joined::ByReference16) => Self { single: 70, part: 66 },
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wording::gsm;

    fn counted(text: &str) -> (Encoding, usize, u16) {
        let Segments { encoding, units, count } = Segments::of(text);
        (encoding, units, count)
    }

    #[test]
    fn a_latin_text_is_one_segment_up_to_160_characters() {
        assert_eq!(counted(""), (Encoding::Gsm7, 0, 1));
        assert_eq!(counted(&"a".repeat(160)), (Encoding::Gsm7, 160, 1));
        assert_eq!(counted(&"a".repeat(161)), (Encoding::Gsm7, 161, 2));
        assert_eq!(counted(&"a".repeat(306)), (Encoding::Gsm7, 306, 2));
        assert_eq!(counted(&"a".repeat(307)), (Encoding::Gsm7, 307, 3));
    }

    #[test]
    fn one_foreign_character_makes_the_whole_text_ucs2() {
        assert_eq!(counted(&"я".repeat(70)), (Encoding::Ucs2, 70, 1));
        assert_eq!(counted(&("a".repeat(70) + "я")), (Encoding::Ucs2, 71, 2));
        assert_eq!(counted(&"я".repeat(135)), (Encoding::Ucs2, 135, 3));
    }

    #[test]
    fn an_escaped_character_that_would_straddle_two_parts_moves_to_the_next() {
        // 152 + 2 septets do not fit in a part of 153, so a septet is left empty.
        let straddling = "a".repeat(152) + "€" + &"a".repeat(152);
        assert_eq!(counted(&straddling), (Encoding::Gsm7, 306, 3));
        let aligned = "a".repeat(151) + "€" + &"a".repeat(153);
        assert_eq!(counted(&aligned), (Encoding::Gsm7, 306, 2));
    }

    #[test]
    fn a_surrogate_pair_that_would_straddle_two_parts_moves_to_the_next() {
        let straddling = "я".repeat(66) + "😀" + &"я".repeat(66);
        assert_eq!(counted(&straddling), (Encoding::Ucs2, 134, 3));
        assert_eq!(counted(&"😀".repeat(35)), (Encoding::Ucs2, 70, 1));
    }

    #[test]
    fn a_text_is_counted_as_it_is_sent() {
        let curly = "Don’t share your code — it’s “4815”…";
        assert_eq!(counted(&(curly.to_owned() + &"a".repeat(122))), (Encoding::Gsm7, 160, 1));
        assert_eq!(counted("Don’t, друг"), (Encoding::Ucs2, 11, 1));
    }

    #[test]
    fn a_link_with_longer_headers_or_a_smaller_alphabet_may_need_more() {
        let (alphabet, joined) = (Alphabet::Gsm, Joined::ByReference16);
        let text = "a".repeat(306);
        assert_eq!(Segments::cut(&text, Cutting { alphabet, joined }).count, 3);
        let text = "я".repeat(134);
        assert_eq!(Segments::cut(&text, Cutting { alphabet, joined }).count, 3);
        let ascii = Cutting { alphabet: Alphabet::Ascii, ..Cutting::default() };
        assert_eq!(Segments::cut(&"é".repeat(71), ascii).count, 2);
        assert_eq!(Segments::cut(&"[".repeat(81), ascii).count, 2, "it is two septets on the air");
    }

    /// Cuts an encoded text as a sender would: at the part's end, or one unit before it.
    fn naive_count<U: Copy>(units: &[U], single: usize, part: usize, opens: fn(U) -> bool) -> u16 {
        if units.len() <= single {
            return 1;
        }
        let (mut rest, mut count) = (units, 0);
        while !rest.is_empty() {
            let mut end = part.min(rest.len());
            if end < rest.len() && opens(rest[end - 1]) {
                end -= 1;
            }
            rest = &rest[end..];
            count += 1;
        }
        count
    }

    proptest! {
        #[test]
        fn counting_agrees_with_cutting_the_encoded_text(
            text in prop_oneof!["[a-c€{]{0,500}", "[aя😀]{0,300}", any::<String>()],
        ) {
            let segments = Segments::of(&text);
            let changed = transliterate(&text, Alphabet::Gsm);
            let text = changed.map_or(text, |changed| changed.reveal().to_owned());
            if let Some(septets) = gsm::encode(&text) {
                let count = naive_count(&septets, 160, 153, |septet| septet == gsm::ESCAPE);
                prop_assert_eq!(segments, Segments {
                    encoding: Encoding::Gsm7, units: septets.len(), count,
                });
            } else {
                let units: Vec<u16> = text.encode_utf16().collect();
                let count = naive_count(&units, 70, 67, |unit| (0xD800..0xDC00).contains(&unit));
                prop_assert_eq!(segments, Segments {
                    encoding: Encoding::Ucs2, units: units.len(), count,
                });
            }
        }
    }
}
