//! The octets of a body: strings that end in NUL, integers, and texts that never print.

use core::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop};

/// Octets that may carry a text: hidden from `Debug`, wiped when dropped.
#[derive(Clone, Default, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct Octets(Vec<u8>);

impl Octets {
    /// Gives the octets to whoever carries or reads them; they must not reach a log.
    pub fn reveal(&self) -> &[u8] {
        &self.0
    }

    /// Returns how many octets there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Tells whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<Vec<u8>> for Octets {
    fn from(octets: Vec<u8>) -> Self {
        Self(octets)
    }
}

impl From<&[u8]> for Octets {
    fn from(octets: &[u8]) -> Self {
        Self(octets.to_vec())
    }
}

impl fmt::Debug for Octets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Octets(len {})", self.0.len())
    }
}

/// Reads a body from its front; what is missing reads as zero or as nothing.
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn new(octets: &'a [u8]) -> Self {
        Self(octets)
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        self.0
    }

    pub(crate) fn octet(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or(0)
    }

    pub(crate) fn u16(&mut self) -> u16 {
        u16::from(self.octet()) << 8 | u16::from(self.octet())
    }

    pub(crate) fn u32(&mut self) -> u32 {
        u32::from(self.u16()) << 16 | u32::from(self.u16())
    }

    /// Takes `count` octets, or all there are.
    pub(crate) fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// Takes a string up to its NUL, or all there is; the length rules are not asked about.
    pub(crate) fn c_string(&mut self) -> String {
        let end = self.0.iter().position(|octet| *octet == 0).unwrap_or(self.0.len());
        let text = latin1(self.take(end));
        self.take(1);
        text
    }
}

/// Reads each octet as the character of the same number, so that no octet is lost or refused.
pub(crate) fn latin1(octets: &[u8]) -> String {
    octets.iter().copied().map(char::from).collect()
}

/// Writes a string and its NUL; what follows a NUL inside is left out, as it would be a field.
pub(crate) fn write_c_string(out: &mut Vec<u8>, text: &str) {
    let octets = text.chars().map(|character| u8::try_from(character).unwrap_or(b'?'));
    out.extend(octets.take_while(|octet| *octet != 0));
    out.push(0);
}
