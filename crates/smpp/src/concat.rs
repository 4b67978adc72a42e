//! Long messages: how each part says which part of what it is.

use crate::pdu::{ESM_CLASS_UDHI, Octets, ShortMessage, tag};

/// How a link tells the SMSC that a message has several parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Joining {
    /// A user data header with a reference of 8 bits (3GPP TS 23.040, section 9.2.3.24.1).
    Udh8,
    /// A user data header with a reference of 16 bits (section 9.2.3.24.8).
    Udh16,
    /// The three `sar_*` parameters (SMPP 3.4, sections 5.3.2.22 to 5.3.2.24).
    Sar,
}

/// Which part of which message one short message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Part {
    /// What all parts of the message share, between one sender and one recipient.
    pub reference: u16,
    /// How many parts there are, from 1.
    pub total: u8,
    /// Which one this is, from 1.
    pub index: u8,
}

impl Part {
    /// Marks `message` as this part; its text must be set already, as it goes behind the header.
    ///
    /// With [`Joining::Udh8`] the upper half of the reference is not sent.
    pub fn mark(self, joining: Joining, message: &mut ShortMessage) {
        let [high, low] = self.reference.to_be_bytes();
        match joining {
            Joining::Udh8 => {
                prepend(&[0x05, IE_CONCAT_8, 3, low, self.total, self.index], message);
            }
            Joining::Udh16 => {
                prepend(&[0x06, IE_CONCAT_16, 4, high, low, self.total, self.index], message);
            }
            Joining::Sar => {
                message.tlvs.push(tag::SAR_MSG_REF_NUM, [high, low].as_slice());
                message.tlvs.push(tag::SAR_TOTAL_SEGMENTS, [self.total].as_slice());
                message.tlvs.push(tag::SAR_SEGMENT_SEQNUM, [self.index].as_slice());
            }
        }
    }

    /// Reads which part `message` is; `None` of one that stands alone, or whose numbers cannot be.
    pub fn of(message: &ShortMessage) -> Option<Self> {
        let header = message.has_header().then(|| split_header(message.octets()).0);
        header.and_then(Self::of_header).or_else(|| Self::of_sar(message))
    }

    fn of_header(header: &[u8]) -> Option<Self> {
        let mut rest = header;
        while let [element, length, behind @ ..] = rest {
            let (data, next) = behind.split_at_checked(usize::from(*length))?;
            let found = match (*element, data) {
                (IE_CONCAT_8, [low, total, index]) => {
                    Self::checked(u16::from(*low), *total, *index)
                }
                (IE_CONCAT_16, [high, low, total, index]) => {
                    Self::checked(u16::from_be_bytes([*high, *low]), *total, *index)
                }
                (_, _) => None,
            };
            if found.is_some() {
                return found;
            }
            rest = next;
        }
        None
    }

    fn of_sar(message: &ShortMessage) -> Option<Self> {
        let total = message.tlvs.octet(tag::SAR_TOTAL_SEGMENTS)?;
        let index = message.tlvs.octet(tag::SAR_SEGMENT_SEQNUM)?;
        Self::checked(message.tlvs.integer(tag::SAR_MSG_REF_NUM)?, total, index)
    }

    /// A part outside its message is ignored, as the specification of the header asks.
    fn checked(reference: u16, total: u8, index: u8) -> Option<Self> {
        (1..=total).contains(&index).then_some(Self { reference, total, index })
    }
}

impl ShortMessage {
    /// Returns the text without a user data header, from wherever the peer has put it.
    pub fn text(&self) -> &[u8] {
        if self.has_header() { split_header(self.octets()).1 } else { self.octets() }
    }
}

/// Splits header (without its length) and text; a header longer than everything is everything.
fn split_header(octets: &[u8]) -> (&[u8], &[u8]) {
    let Some((length, rest)) = octets.split_first() else { return (&[], &[]) };
    rest.split_at_checked(usize::from(*length)).unwrap_or((rest, &[]))
}

fn prepend(header: &[u8], message: &mut ShortMessage) {
    let joined = [header, message.short_message.reveal()].concat();
    message.short_message = Octets::from(joined);
    message.esm_class |= ESM_CLASS_UDHI;
}

/// Information element: concatenated short messages, 8-bit reference.
const IE_CONCAT_8: u8 = 0x00;

/// Information element: concatenated short messages, 16-bit reference.
const IE_CONCAT_16: u8 = 0x08;

#[cfg(test)]
mod tests {
    use super::*;

    const PART: Part = Part { reference: 0x1234, total: 3, index: 2 };

    fn marked(joining: Joining) -> ShortMessage {
        let short_message = b"text".as_slice().into();
        let mut message = ShortMessage { short_message, ..ShortMessage::default() };
        PART.mark(joining, &mut message);
        message
    }

    #[test]
    fn a_header_of_8_bits_is_six_octets_before_the_text() {
        let message = marked(Joining::Udh8);
        assert_eq!(message.octets(), b"\x05\x00\x03\x34\x03\x02text");
        assert_eq!((message.esm_class, message.text()), (0x40, b"text".as_slice()));
        assert_eq!(Part::of(&message), Some(Part { reference: 0x34, ..PART }));
    }

    #[test]
    fn a_header_of_16_bits_is_seven_octets_before_the_text() {
        let message = marked(Joining::Udh16);
        assert_eq!(message.octets(), b"\x06\x08\x04\x12\x34\x03\x02text");
        assert_eq!((Part::of(&message), message.text()), (Some(PART), b"text".as_slice()));
    }

    #[test]
    fn parameters_leave_the_text_as_it_is() {
        let message = marked(Joining::Sar);
        assert_eq!((message.esm_class, message.octets()), (0, b"text".as_slice()));
        assert_eq!((Part::of(&message), message.text()), (Some(PART), b"text".as_slice()));
    }

    #[test]
    fn a_part_is_found_behind_other_elements_and_in_the_payload_parameter() {
        let mut message = ShortMessage { esm_class: ESM_CLASS_UDHI, ..ShortMessage::default() };
        let octets = b"\x0B\x05\x04\x0B\x84\x00\x00\x00\x03\x07\x02\x01text";
        message.tlvs.push(tag::MESSAGE_PAYLOAD, octets.as_slice());
        assert_eq!(Part::of(&message), Some(Part { reference: 7, total: 2, index: 1 }));
        assert_eq!(message.text(), b"text");
    }

    #[test]
    fn a_broken_header_makes_a_message_that_stands_alone() {
        for octets in [
            b"".as_slice(),
            b"\xFFtext",
            b"\x05\x00\x09\x01\x02\x01",
            b"\x05\x00\x03\x07\x02\x03text",
            b"\x05\x00\x03\x07\x00\x00text",
            b"\x01\x00text",
        ] {
            let mut message =
                ShortMessage { short_message: octets.into(), ..ShortMessage::default() };
            message.esm_class = ESM_CLASS_UDHI;
            assert_eq!(Part::of(&message), None, "{octets:?}");
            let _text = message.text();
        }
    }
}
