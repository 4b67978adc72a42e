//! Addresses: type of number, numbering plan, and the number or name itself.

use core::fmt;

use crate::pdu::octets::{Reader, write_c_string};

/// Characters in an address of a short message (SMPP 3.4, section 4.4.1: 21 octets with the NUL).
pub const ADDRESS_CHARACTERS_MAX: usize = 20;

/// A source or destination; `Debug` shows its kind alone.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Address {
    /// Type of number (section 5.2.5).
    pub ton: u8,
    /// Numbering plan indicator (section 5.2.6).
    pub npi: u8,
    /// The number without `+`, or the name.
    pub text: String,
}

impl Address {
    /// Makes the address of a phone number from its digits with the country code.
    pub fn international(digits: &str) -> Self {
        Self { ton: TON_INTERNATIONAL, npi: NPI_ISDN, text: digits.trim_start_matches('+').into() }
    }

    /// Makes the address of a sender that has a name instead of a number.
    pub fn alphanumeric(name: &str) -> Self {
        Self { ton: TON_ALPHANUMERIC, npi: NPI_UNKNOWN, text: name.into() }
    }

    /// Makes the address of a short code.
    pub fn short_code(digits: &str) -> Self {
        Self { ton: TON_NETWORK, npi: NPI_UNKNOWN, text: digits.into() }
    }

    pub(crate) fn parse(reader: &mut Reader<'_>) -> Self {
        Self { ton: reader.octet(), npi: reader.octet(), text: reader.c_string() }
    }

    pub(crate) fn render(&self, out: &mut Vec<u8>) {
        out.extend([self.ton, self.npi]);
        write_c_string(out, &self.text);
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address(ton {}, npi {})", self.ton, self.npi)
    }
}

const TON_INTERNATIONAL: u8 = 1;
/// Network specific, which is how most SMSCs want short codes.
const TON_NETWORK: u8 = 3;
const TON_ALPHANUMERIC: u8 = 5;
const NPI_UNKNOWN: u8 = 0;
/// ISDN, the plan of phone numbers (E.163, E.164).
const NPI_ISDN: u8 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_written_without_its_plus() {
        let address = Address::international("+4915112345678");
        assert_eq!((address.ton, address.npi, address.text.as_str()), (1, 1, "4915112345678"));
    }

    #[test]
    fn an_address_prints_neither_number_nor_name() {
        let printed = format!("{:?} {:?}", Address::short_code("4711"), Address::alphanumeric("X"));
        assert_eq!(printed, "Address(ton 3, npi 0) Address(ton 5, npi 0)");
    }
}
