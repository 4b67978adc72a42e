//! Bodies of binds, their responses, and outbind (SMPP 3.4, section 4.1).

use core::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop};

use super::octets::{Reader, write_c_string};
use super::tlv::{Tlvs, tag};
use crate::address::Address;

/// Characters in a system id (section 5.2.1: 16 octets with the NUL).
pub const SYSTEM_ID_CHARACTERS_MAX: usize = 15;

/// Characters in a password (section 5.2.2: 9 octets with the NUL).
pub const PASSWORD_CHARACTERS_MAX: usize = 8;

/// SMPP 3.4 as `interface_version` writes it (section 5.2.4).
pub const INTERFACE_VERSION: u8 = 0x34;

/// Which way messages may go over a bind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BindKind {
    /// Only from the SMSC to us.
    Receiver,
    /// Only from us to the SMSC.
    Transmitter,
    /// Both ways.
    Transceiver,
}

/// A password: hidden from `Debug`, wiped when dropped.
#[derive(Clone, Default, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct Password(String);

impl Password {
    /// Takes a password over; the SMSC decides whether it is one.
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// Gives the password to whoever checks it; it must not reach a log.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

/// The body of the three bind requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bind {
    /// Which of the three it is.
    pub kind: BindKind,
    /// Who binds.
    pub system_id: String,
    /// What proves it.
    pub password: Password,
    /// The kind of system, mostly empty.
    pub system_type: String,
    /// The version the ESME speaks.
    pub interface_version: u8,
    /// The addresses the ESME serves, mostly empty.
    pub address_range: Address,
}

impl Bind {
    pub(crate) fn parse(kind: BindKind, reader: &mut Reader<'_>) -> Self {
        Self {
            kind,
            system_id: reader.c_string(),
            password: Password(reader.c_string()),
            system_type: reader.c_string(),
            interface_version: reader.octet(),
            address_range: Address::parse(reader),
        }
    }

    pub(crate) fn render(&self, out: &mut Vec<u8>) {
        write_c_string(out, &self.system_id);
        write_c_string(out, &self.password.0);
        write_c_string(out, &self.system_type);
        out.push(self.interface_version);
        self.address_range.render(out);
    }
}

/// The body of the three bind responses; SMSCs leave out any of it, or all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BindResp {
    /// What the SMSC calls itself.
    pub system_id: String,
    /// Optional parameters.
    pub tlvs: Tlvs,
}

impl BindResp {
    /// Returns the version the SMSC says it speaks.
    pub fn interface_version(&self) -> Option<u8> {
        self.tlvs.octet(tag::SC_INTERFACE_VERSION)
    }

    pub(crate) fn parse(reader: &mut Reader<'_>) -> Self {
        Self { system_id: reader.c_string(), tlvs: Tlvs::parse(reader.rest()) }
    }

    pub(crate) fn render(&self, out: &mut Vec<u8>) {
        write_c_string(out, &self.system_id);
        self.tlvs.render(out);
    }
}

/// The body with which an SMSC asks an ESME to bind (section 4.1.7).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outbind {
    /// Who asks.
    pub system_id: String,
    /// What proves it.
    pub password: Password,
}
