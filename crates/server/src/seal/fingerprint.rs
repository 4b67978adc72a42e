//! Keyed hashes: a number's pseudonym, and API secrets that are compared and never read again.

use std::fmt;

use ring::hmac;
use thiserror::Error;
use zeroize::Zeroizing;

use super::KEY_BYTES;
use crate::clock::random_bytes;

/// Turns phone numbers into pseudonyms that mean nothing without this key.
///
/// It is made once for a store and kept there sealed: pseudonyms made under another key do not
/// match.
#[derive(Clone)]
pub struct PseudonymKey(FingerprintKey);

impl PseudonymKey {
    /// Makes a fresh key.
    pub fn generate() -> Self {
        Self(FingerprintKey::generate())
    }

    /// Takes back what [`PseudonymKey::expose`] gave; fails unless it is 32 bytes long.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, WrongKeyLength> {
        FingerprintKey::from_bytes(bytes).map(Self)
    }

    /// Returns the key itself, to be sealed and stored and shown to nobody.
    pub fn expose(&self) -> &[u8; KEY_BYTES] {
        &self.0.bytes
    }

    /// Returns the pseudonym of a phone number given as its E.164 digits without the plus sign.
    ///
    /// It is the first 64 bits of HMAC-SHA256, so two of a hundred million numbers share one with
    /// a probability of about 1 in 3,700.
    pub fn pseudonym(&self, number: u64) -> u64 {
        let tag = self.0.sign(&number.to_be_bytes());
        // The fold reads at most eight bytes of the 32.
        tag.as_ref().iter().take(8).fold(0, |word, byte| (word << 8) | u64::from(*byte))
    }
}

impl fmt::Debug for PseudonymKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PseudonymKey(hidden)")
    }
}

/// The key that API secrets are hashed under, so that a stolen table cannot be guessed at.
///
/// It is made once for a store and kept there sealed: hashes made under another pepper do not
/// match.
#[derive(Clone)]
pub struct Pepper(FingerprintKey);

impl Pepper {
    /// Makes a fresh pepper.
    pub fn generate() -> Self {
        Self(FingerprintKey::generate())
    }

    /// Takes back what [`Pepper::expose`] gave; fails unless it is 32 bytes long.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, WrongKeyLength> {
        FingerprintKey::from_bytes(bytes).map(Self)
    }

    /// Returns the pepper itself, to be sealed and stored and shown to nobody.
    pub fn expose(&self) -> &[u8; KEY_BYTES] {
        &self.0.bytes
    }

    /// Returns 128 bits that tell two inputs apart, and from which neither can be guessed.
    pub fn digest(&self, data: &[u8]) -> [u8; 16] {
        let mut short = [0; 16];
        for (to, from) in short.iter_mut().zip(self.0.sign(data).as_ref()) {
            *to = *from;
        }
        short
    }
}

impl fmt::Debug for Pepper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pepper(hidden)")
    }
}

/// The hash of an API secret, HMAC-SHA256 under a [`Pepper`].
///
/// Our secrets are long and random, so a fast hash is enough; it would not be for passwords that
/// people choose.
#[derive(Clone)]
pub struct SecretHash([u8; KEY_BYTES]);

impl SecretHash {
    /// Hashes `secret`.
    pub fn of(pepper: &Pepper, secret: &str) -> Self {
        let mut hash = [0; KEY_BYTES];
        hash.copy_from_slice(pepper.0.sign(secret.as_bytes()).as_ref());
        Self(hash)
    }

    /// Takes back what [`SecretHash::as_bytes`] gave.
    pub const fn from_bytes(bytes: [u8; KEY_BYTES]) -> Self {
        Self(bytes)
    }

    /// Returns the hash as it is stored.
    pub const fn as_bytes(&self) -> &[u8; KEY_BYTES] {
        &self.0
    }

    /// Reports whether `secret` is the one that was hashed, in a time that tells nothing about how
    /// nearly it is.
    pub fn matches(&self, pepper: &Pepper, secret: &str) -> bool {
        hmac::verify(&pepper.0.prepared, secret.as_bytes(), &self.0).is_ok()
    }
}

impl fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretHash(hidden)")
    }
}

/// A stored key does not have the length of a key.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error("take a stored key: it is {length} bytes long and must be {KEY_BYTES}")]
pub struct WrongKeyLength {
    /// The length found, in bytes.
    pub length: usize,
}

#[derive(Clone)]
struct FingerprintKey {
    bytes: Zeroizing<[u8; KEY_BYTES]>,
    prepared: hmac::Key,
}

impl FingerprintKey {
    fn generate() -> Self {
        Self::new(Zeroizing::new(random_bytes()))
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, WrongKeyLength> {
        <[u8; KEY_BYTES]>::try_from(bytes)
            .map(|bytes| Self::new(Zeroizing::new(bytes)))
            .map_err(|_| WrongKeyLength { length: bytes.len() })
    }

    fn new(bytes: Zeroizing<[u8; KEY_BYTES]>) -> Self {
        let prepared = hmac::Key::new(hmac::HMAC_SHA256, bytes.as_slice());
        Self { bytes, prepared }
    }

    fn sign(&self, data: &[u8]) -> hmac::Tag {
        hmac::sign(&self.prepared, data)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pseudonym_is_the_start_of_the_hmac_of_the_number() {
        // Computed with an independent HMAC: key 32 times 0x0b, data the number in eight bytes.
        let key = PseudonymKey::from_bytes(&[0x0b; KEY_BYTES]).unwrap();
        assert_eq!(key.pseudonym(491_701_234_567), 0x4bfa_b379_b5c5_a31c);
    }

    #[test]
    fn a_number_keeps_its_pseudonym_when_the_key_was_stored() {
        let key = PseudonymKey::generate();
        let restored = PseudonymKey::from_bytes(key.expose()).unwrap();
        assert_eq!(key.pseudonym(491_701_234_567), restored.pseudonym(491_701_234_567));
        assert_ne!(key.pseudonym(491_701_234_567), key.pseudonym(491_701_234_568));
        let other = PseudonymKey::generate();
        assert_ne!(key.pseudonym(491_701_234_567), other.pseudonym(491_701_234_567));
    }

    #[test]
    fn only_the_secret_that_was_hashed_matches() {
        let pepper = Pepper::generate();
        let stored = *SecretHash::of(&pepper, "abcDEF123").as_bytes();
        let hash = SecretHash::from_bytes(stored);
        assert!(hash.matches(&Pepper::from_bytes(pepper.expose()).unwrap(), "abcDEF123"));
        for wrong in ["", "abcDEF12", "abcDEF124", "abcDEF1234"] {
            assert!(!hash.matches(&pepper, wrong), "{wrong}");
        }
        assert!(!hash.matches(&Pepper::generate(), "abcDEF123"));
    }

    #[test]
    fn a_stored_key_of_another_length_is_refused() {
        assert_eq!(Pepper::from_bytes(&[0; 31]).unwrap_err(), WrongKeyLength { length: 31 });
        assert_eq!(PseudonymKey::from_bytes(&[]).unwrap_err(), WrongKeyLength { length: 0 });
    }

    #[test]
    fn neither_key_nor_hash_is_shown_by_debug() {
        let pepper = Pepper::from_bytes(&[171; KEY_BYTES]).unwrap();
        let shown = format!(
            "{:?} {:?} {:?}",
            PseudonymKey::from_bytes(&[171; KEY_BYTES]).unwrap(),
            SecretHash::from_bytes([171; KEY_BYTES]),
            pepper
        );
        assert_eq!(shown, "PseudonymKey(hidden) SecretHash(hidden) Pepper(hidden)");
    }
}
