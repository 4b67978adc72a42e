//! Messages to our numbers.

use std::sync::Arc;

use engine::SecretText;
use engine::wording::{Alphabet, gsm};
use smpp::{DATA_CODING_LATIN1, DATA_CODING_UCS2, ESM_CLASS_TYPE, Part, ShortMessage, Status, tag};

use super::Shared;
use super::deliveries::REPEAT;
use super::names::number;
use crate::driver::{Driver, InboundMessage};
use crate::store::Concat;

/// Has a message stored.
pub(super) async fn store(shared: &Shared, driver: &Arc<Driver>, message: &ShortMessage) -> Status {
    let Some(inbound) = read(message, shared.config.alphabet) else {
        // To have it brought again would change nothing.
        tracing::debug!(link = shared.name, "what no phone has written is dropped");
        return Status::ROK;
    };
    match driver.handle_inbound(&shared.name, inbound).await {
        Ok(()) => Status::ROK,
        Err(error) => {
            tracing::warn!(link = shared.name, %error, "cannot store a message to one of our numbers");
            REPEAT
        }
    }
}

/// Reads a message; `None` of what is no text, or from nobody who has a number.
fn read(message: &ShortMessage, alphabet: Alphabet) -> Option<InboundMessage> {
    if message.esm_class & ESM_CLASS_TYPE != 0 {
        // An acknowledgement or a notification of the network.
        return None;
    }
    let part = Part::of(message);
    Some(InboundMessage {
        from: number(&message.source.text)?,
        to: message.destination.text.clone(),
        text: text(message, alphabet)?,
        concat: part.and_then(|part| Concat::new(part.reference, part.total, part.index)),
        id: message.tlvs.c_string(tag::RECEIPTED_MESSAGE_ID).filter(|id| !id.is_empty()),
    })
}

/// Decodes a text by its `data_coding` (SMPP 3.4, section 5.2.19; 3GPP TS 23.038, section 4).
fn text(message: &ShortMessage, alphabet: Alphabet) -> Option<SecretText> {
    let octets = message.text();
    let is_general = message.data_coding & NOT_GENERAL == 0;
    let text = match message.data_coding {
        coding if is_general && coding & ALPHABET_BITS == DATA_CODING_UCS2 => {
            let (pairs, _) = octets.as_chunks::<2>();
            let units = pairs.iter().map(|pair| u16::from_be_bytes(*pair));
            let read = char::decode_utf16(units);
            read.map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
        }
        DATA_CODING_ASCII | DATA_CODING_LATIN1 => latin1(octets),
        coding if is_general && coding & ALPHABET_BITS == 0 => match alphabet {
            Alphabet::Gsm => gsm::decode(octets),
            Alphabet::Ascii | Alphabet::Latin1 => latin1(octets),
        },
        _ => return None,
    };
    Some(SecretText::concat(&[&text]))
}

/// Latin-1 holds ASCII, and each of its octets is the character of the same number.
fn latin1(octets: &[u8]) -> String {
    octets.iter().copied().map(char::from).collect()
}

/// The bits that are zero in the general group of codings.
const NOT_GENERAL: u8 = 0xC0;
/// The bits that tell the alphabet there.
const ALPHABET_BITS: u8 = 0x0C;
const DATA_CODING_ASCII: u8 = 0x01;

#[cfg(test)]
mod tests {
    use smpp::{Address, ESM_CLASS_UDHI};

    use super::*;

    #[test]
    fn a_text_is_read_in_the_alphabet_that_it_says_or_that_the_link_has() {
        for (coding, octets, alphabet, text) in [
            (0, b"STOP \x00".as_slice(), Alphabet::Gsm, "STOP @"),
            (0, b"STOP @", Alphabet::Ascii, "STOP @"),
            (1, b"STOP @", Alphabet::Gsm, "STOP @"),
            (3, b"ARR\xCAT", Alphabet::Gsm, "ARRÊT"),
            (8, b"\x04\x21\x04\x22", Alphabet::Gsm, "СТ"),
            (0x18, b"\x00S", Alphabet::Gsm, "S"),
        ] {
            let read = read(&message(coding, octets), alphabet).unwrap();
            assert_eq!(read.text.reveal(), text);
            assert_eq!((read.from, read.to.as_str()), (12_015_550_123, "12345"));
        }
    }

    #[test]
    fn a_part_says_which_it_is() {
        let octets = b"\x05\x00\x03\x2A\x02\x01STO";
        let message = ShortMessage { esm_class: ESM_CLASS_UDHI, ..message(0, octets) };
        let read = read(&message, Alphabet::Gsm).unwrap();
        assert_eq!((read.text.reveal(), read.concat), ("STO", Concat::new(0x2A, 2, 1)));
    }

    #[test]
    fn what_is_no_text_or_from_nobody_is_dropped() {
        assert!(read(&message(4, b"\x00\x01"), Alphabet::Gsm).is_none(), "binary");
        let notification = ShortMessage { esm_class: 0x20, ..message(0, b"x") };
        assert!(read(&notification, Alphabet::Gsm).is_none());
        let source = Address::alphanumeric("Acme");
        let nobody = ShortMessage { source, ..message(0, b"x") };
        assert!(read(&nobody, Alphabet::Gsm).is_none());
    }

    fn message(data_coding: u8, octets: &[u8]) -> ShortMessage {
        ShortMessage {
            source: Address::international("+12015550123"),
            destination: Address::short_code("12345"),
            data_coding,
            short_message: octets.into(),
            ..ShortMessage::default()
        }
    }
}
