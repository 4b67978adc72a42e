//! Optional parameters: tag, length, value (SMPP 3.4, section 5.3).

use super::octets::{Octets, Reader, latin1};

/// Tags of the optional parameters that are read or written here (section 5.3.2).
pub mod tag {
    /// The id that a receipt is about.
    pub const RECEIPTED_MESSAGE_ID: u16 = 0x001E;
    /// A reference the ESME chooses.
    pub const USER_MESSAGE_REFERENCE: u16 = 0x0204;
    /// Which long message a part is of.
    pub const SAR_MSG_REF_NUM: u16 = 0x020C;
    /// How many parts a long message has.
    pub const SAR_TOTAL_SEGMENTS: u16 = 0x020E;
    /// Which part this is, from 1.
    pub const SAR_SEGMENT_SEQNUM: u16 = 0x020F;
    /// The version the SMSC speaks.
    pub const SC_INTERFACE_VERSION: u16 = 0x0210;
    /// The kind of network, and its own error code.
    pub const NETWORK_ERROR_CODE: u16 = 0x0423;
    /// The text, where `short_message` is too small for it.
    pub const MESSAGE_PAYLOAD: u16 = 0x0424;
    /// What became of a message.
    pub const MESSAGE_STATE: u16 = 0x0427;
}

/// One optional parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tlv {
    /// Which parameter it is.
    pub tag: u16,
    /// Its value, at most 65 535 octets.
    pub value: Octets,
}

/// The optional parameters of a body in their order, those nobody knows included.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tlvs(Vec<Tlv>);

impl Tlvs {
    /// Returns the first value under `tag`.
    pub fn find(&self, tag: u16) -> Option<&[u8]> {
        self.0.iter().find(|tlv| tlv.tag == tag).map(|tlv| tlv.value.reveal())
    }

    /// Returns the integer under `tag`, of whatever width the peer thought right.
    ///
    /// One of several octets that does not fit in a `u16` is taken as padded behind.
    pub fn integer(&self, tag: u16) -> Option<u16> {
        let value = self.find(tag)?;
        let first = value.first().copied()?;
        let folded = value.iter().try_fold(0_u16, |sum, octet| {
            sum.checked_mul(256).map(|shifted| shifted | u16::from(*octet))
        });
        Some(folded.unwrap_or(u16::from(first)))
    }

    /// Returns the integer of one octet under `tag`; a wider one is read as far as it makes sense.
    pub fn octet(&self, tag: u16) -> Option<u8> {
        let first = self.find(tag)?.first().copied()?;
        Some(self.integer(tag).and_then(|wide| u8::try_from(wide).ok()).unwrap_or(first))
    }

    /// Returns the string under `tag`, up to its NUL if it has one.
    pub fn c_string(&self, tag: u16) -> Option<String> {
        let value = self.find(tag)?;
        value.split(|octet| *octet == 0).next().map(latin1)
    }

    /// Adds a parameter behind the others; of a longer value the first 65 535 octets are sent.
    pub fn push(&mut self, tag: u16, value: impl Into<Octets>) {
        self.0.push(Tlv { tag, value: value.into() });
    }

    /// Goes over the parameters in their order.
    pub fn iter(&self) -> impl Iterator<Item = &Tlv> {
        self.0.iter()
    }

    /// Tells whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Reads what is left of a body: a value may be cut off, and fewer than 4 octets are nothing.
    pub(crate) fn parse(octets: &[u8]) -> Self {
        let mut reader = Reader::new(octets);
        let mut found = Vec::new();
        while reader.rest().len() >= HEADER_OCTETS {
            let tag = reader.u16();
            let length = usize::from(reader.u16());
            found.push(Tlv { tag, value: reader.take(length).into() });
        }
        Self(found)
    }

    pub(crate) fn render(&self, out: &mut Vec<u8>) {
        for tlv in &self.0 {
            render_one(tlv.tag, tlv.value.reveal(), out);
        }
    }
}

pub(crate) fn render_one(tag: u16, value: &[u8], out: &mut Vec<u8>) {
    let length = u16::try_from(value.len()).unwrap_or(u16::MAX);
    out.extend(tag.to_be_bytes());
    out.extend(length.to_be_bytes());
    out.extend(value.iter().take(usize::from(length)));
}

/// Tag and length (section 3.2.4.1).
const HEADER_OCTETS: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_integer_of_the_wrong_width_is_read_as_far_as_it_makes_sense() {
        for (value, octet, integer) in [
            (&[2][..], Some(2), Some(2)),
            (&[0, 2], Some(2), Some(2)),
            (&[2, 0], Some(2), Some(512)),
            (&[0, 0, 0, 2], Some(2), Some(2)),
            (&[2, 0, 0, 0], Some(2), Some(2)),
            (&[], None, None),
        ] {
            let mut tlvs = Tlvs::default();
            tlvs.push(tag::MESSAGE_STATE, value);
            assert_eq!(tlvs.octet(tag::MESSAGE_STATE), octet, "{value:?}");
            assert_eq!(tlvs.integer(tag::MESSAGE_STATE), integer, "{value:?}");
        }
    }

    #[test]
    fn a_value_that_is_cut_off_is_read_to_the_end_and_a_rest_is_skipped() {
        let tlvs = Tlvs::parse(&[0x00, 0x1E, 0x00, 0x09, b'a', b'b']);
        assert_eq!(tlvs.c_string(tag::RECEIPTED_MESSAGE_ID).unwrap(), "ab");
        assert!(Tlvs::parse(&[0, 0x1E, 0]).is_empty());
    }
}
