//! The GSM 7-bit alphabet, every character of Unicode compared with a table that others wrote.

use engine::wording::gsm;
use rusmpp_extra::encoding::gsm7bit::Gsm7BitUnpacked;

#[test]
fn every_character_of_unicode_is_encoded_as_another_table_does() {
    let theirs = Gsm7BitUnpacked::new();
    let mut shared = 0;
    // The other table lacks the page break, which the specification has (TS 23.038, 6.2.1.1).
    for character in ('\0'..=char::MAX).filter(|character| *character != '\u{0C}') {
        let text = character.to_string();
        let encoded = gsm::encode(&text);
        assert_eq!(encoded, theirs.encode_to_vec(&text).ok(), "{character:?}");
        shared += usize::from(encoded.is_some());
    }
    assert_eq!(shared, 136);
}
