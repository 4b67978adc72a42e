//! Seals what must not be read from a stolen database, and hashes what need never be read again.

mod fingerprint;
mod key_ring;
mod private_file;

use std::fmt;
use std::sync::Arc;

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use thiserror::Error;
use zeroize::Zeroizing;

pub use fingerprint::{Pepper, PseudonymKey, SecretHash, WrongKeyLength};
pub use key_ring::{KEY_BYTES, KeyRing, KeyRingError};
pub use private_file::{PrivateFileError, read_or_create_private, read_private};

use crate::clock::random_bytes;

/// Seals and opens values under the keys of a [`KeyRing`], with AES-256-GCM.
///
/// A clone shares the keys.
/// A key should seal no more than 2^32 values (NIST SP 800-38D section 8.3, random nonces); an
/// operator who comes near that number puts a fresh key first.
#[derive(Clone)]
pub struct Sealer {
    keys: Arc<Keys>,
}

struct Keys {
    // Seals; also the first of those tried when opening.
    current: Key,
    earlier: Vec<Key>,
}

struct Key {
    id: String,
    cipher: LessSafeKey,
}

impl Sealer {
    /// Makes a sealer whose new values are sealed under the first key of `ring`.
    pub fn new(ring: &KeyRing) -> Self {
        let (current, earlier) = ring.split();
        let keys = Keys {
            current: Key::new(current.id(), current.bytes()),
            earlier: earlier.iter().map(|key| Key::new(key.id(), key.bytes())).collect(),
        };
        Self { keys: Arc::new(keys) }
    }

    /// Seals `plain` so that it opens only with the same `context`.
    ///
    /// The context names the place of the value (table, column, row), so that a sealed value moved
    /// to another place does not open there.
    /// The result is longer than `plain` by 30 bytes and the key's id.
    #[expect(clippy::panic, reason = "the cipher refuses only texts beyond 64 GiB")]
    pub fn seal(&self, context: &[u8], plain: &[u8]) -> Vec<u8> {
        let key = &self.keys.current;
        let nonce: [u8; NONCE_LEN] = random_bytes();
        let header = render_header(&key.id);
        let mut body = plain.to_vec();
        let Ok(tag) = key.cipher.seal_in_place_separate_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(bind(&header, context)),
            &mut body,
        ) else {
            panic!("a value of {} bytes is too long to seal", plain.len());
        };
        [header.as_slice(), &nonce, &body, tag.as_ref()].concat()
    }

    /// Opens what [`Sealer::seal`] made with the same `context`; the text is wiped when dropped.
    ///
    /// Fails if the value was never sealed, if its key is not in the ring, and if the value or the
    /// context is not what was sealed.
    pub fn open(&self, context: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let parts = Parts::parse(sealed)?;
        let key =
            self.key(parts.id).ok_or_else(|| SealError::KeyMissing { id: parts.id.to_owned() })?;
        let mut text = Zeroizing::new(parts.body.to_vec());
        let length = key
            .cipher
            .open_in_place(
                Nonce::assume_unique_for_key(parts.nonce),
                Aad::from(bind(parts.header, context)),
                text.as_mut_slice(),
            )
            .map_err(|_| SealError::Altered { id: parts.id.to_owned() })?
            .len();
        text.truncate(length);
        Ok(text)
    }

    /// Reports whether `sealed` is under the key that seals now; if not, it should be resealed.
    ///
    /// A value that was never sealed is not current.
    pub fn is_current(&self, sealed: &[u8]) -> bool {
        Parts::parse(sealed).is_ok_and(|parts| parts.id == self.keys.current.id)
    }

    fn key(&self, id: &str) -> Option<&Key> {
        std::iter::once(&self.keys.current).chain(&self.keys.earlier).find(|key| key.id == id)
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealer").field("current", &self.keys.current.id).finish_non_exhaustive()
    }
}

/// Why a sealed value could not be opened; none of the variants is worth a second try.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum SealError {
    /// The bytes do not have the form of a sealed value.
    #[error("open a sealed value: the bytes were never sealed, or were cut short")]
    NotSealed,
    /// The ring lacks the key the value was sealed under.
    #[error(
        "open a sealed value: key `{id}` is not in the key ring (seal.key in the data folder, \
         unless set otherwise); put its line back, below the first, until everything it sealed has \
         been resealed"
    )]
    KeyMissing {
        /// The id of the missing key.
        id: String,
    },
    /// The value, or the place it was found in, is not what was sealed.
    #[error(
        "open a sealed value: it was altered or moved since it was sealed under key `{id}`, or \
         that key's bytes were replaced"
    )]
    Altered {
        /// The id of the key it claims to be sealed under.
        id: String,
    },
}

impl Key {
    #[expect(clippy::panic, reason = "the array has the one length that the cipher takes")]
    fn new(id: &str, bytes: &[u8; KEY_BYTES]) -> Self {
        let Ok(key) = UnboundKey::new(&AES_256_GCM, bytes) else {
            panic!("AES-256 takes {KEY_BYTES} bytes");
        };
        Self { id: id.to_owned(), cipher: LessSafeKey::new(key) }
    }
}

/// A sealed value taken apart: version, length of the key's id, the id, nonce, text with tag.
struct Parts<'a> {
    header: &'a [u8],
    id: &'a str,
    nonce: [u8; NONCE_LEN],
    body: &'a [u8],
}

impl<'a> Parts<'a> {
    fn parse(sealed: &'a [u8]) -> Result<Self, SealError> {
        Self::split(sealed).ok_or(SealError::NotSealed)
    }

    fn split(sealed: &'a [u8]) -> Option<Self> {
        let (&[version, id_length], _) = sealed.split_first_chunk::<2>()?;
        let (header, rest) = sealed.split_at_checked(2 + usize::from(id_length))?;
        let (nonce, body) = rest.split_first_chunk::<NONCE_LEN>()?;
        let id = std::str::from_utf8(header.get(2..)?).ok()?;
        let well_formed =
            version == FORMAT && key_ring::is_id(id) && body.len() >= AES_256_GCM.tag_len();
        well_formed.then_some(Self { header, id, nonce: *nonce, body })
    }
}

fn render_header(id: &str) -> Vec<u8> {
    // A ring admits no id longer than 32 bytes.
    let length = u8::try_from(id.len()).unwrap_or(u8::MAX);
    [[FORMAT, length].as_slice(), id.as_bytes()].concat()
}

/// The header carries its own length, so header and context cannot be confused with each other.
fn bind(header: &[u8], context: &[u8]) -> Vec<u8> {
    [header, context].concat()
}

/// The first byte of every sealed value (a choice): the layout and cipher above.
const FORMAT: u8 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    const ROW: &[u8] = b"verification.code 17";

    fn ring(ids: &[&str]) -> KeyRing {
        // The same id always gets the same key, so that rings of one test share theirs.
        let lines: Vec<String> = ids
            .iter()
            .map(|id| {
                let letter = id.as_bytes()[id.len() - 1];
                let bytes = base64::Engine::encode(
                    &base64::engine::general_purpose::STANDARD,
                    [letter; KEY_BYTES],
                );
                format!("{id}:{bytes}")
            })
            .collect();
        KeyRing::parse(&lines.join("\n")).unwrap()
    }

    #[test]
    fn what_is_sealed_for_a_row_opens_for_that_row() {
        let sealer = Sealer::new(&ring(&["k1"]));
        for plain in [b"".as_slice(), b"4821", &[7; 5_000]] {
            let value = sealer.seal(ROW, plain);
            assert_eq!(value.len(), plain.len() + 30 + "k1".len());
            assert_eq!(sealer.open(ROW, &value).unwrap().as_slice(), plain);
        }
    }

    #[test]
    fn the_same_text_is_never_sealed_into_the_same_bytes() {
        let sealer = Sealer::new(&ring(&["k1"]));
        assert_ne!(sealer.seal(ROW, b"4821"), sealer.seal(ROW, b"4821"));
    }

    #[test]
    fn a_value_moved_to_another_row_does_not_open() {
        let sealer = Sealer::new(&ring(&["k1"]));
        let value = sealer.seal(ROW, b"4821");
        let moved = sealer.open(b"verification.code 18", &value).unwrap_err();
        assert_eq!(moved, SealError::Altered { id: "k1".to_owned() });
    }

    #[test]
    fn a_value_with_any_one_bit_changed_does_not_open() {
        let sealer = Sealer::new(&ring(&["k1", "k2"]));
        let value = sealer.seal(ROW, b"4821");
        for bit in 0..value.len() * 8 {
            let mut altered = value.clone();
            altered[bit / 8] ^= 1 << (bit % 8);
            assert!(sealer.open(ROW, &altered).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_value_cut_short_anywhere_does_not_open() {
        let sealer = Sealer::new(&ring(&["k1"]));
        let value = sealer.seal(ROW, b"");
        for length in 0..value.len() {
            assert_eq!(sealer.open(ROW, &value[..length]).unwrap_err(), SealError::NotSealed);
        }
    }

    #[test]
    fn after_a_rotation_old_values_open_and_are_known_as_old() {
        let before = Sealer::new(&ring(&["k1"]));
        let old = before.seal(ROW, b"4821");
        assert!(before.is_current(&old));

        let after = Sealer::new(&ring(&["k2", "k1"]));
        assert_eq!(after.open(ROW, &old).unwrap().as_slice(), b"4821");
        assert!(!after.is_current(&old));
        assert!(after.is_current(&after.seal(ROW, b"4821")));
        assert!(!after.is_current(b"never sealed"));
    }

    #[test]
    fn a_retired_key_is_missed_by_its_name() {
        let old = Sealer::new(&ring(&["k1"])).seal(ROW, b"4821");
        let missing = Sealer::new(&ring(&["k2"])).open(ROW, &old).unwrap_err();
        assert_eq!(missing, SealError::KeyMissing { id: "k1".to_owned() });
        assert!(missing.to_string().contains("`k1`"));
    }

    #[test]
    fn another_key_under_the_same_name_does_not_open_a_value() {
        let old = Sealer::new(&ring(&["k1"])).seal(ROW, b"4821");
        let other = KeyRing::parse(&KeyRing::generate_line("k1").unwrap()).unwrap();
        let error = Sealer::new(&other).open(ROW, &old).unwrap_err();
        assert_eq!(error, SealError::Altered { id: "k1".to_owned() });
    }

    #[test]
    fn no_key_is_shown_by_debug() {
        let sealer = Sealer::new(&ring(&["k1"]));
        assert_eq!(format!("{sealer:?}"), r#"Sealer { current: "k1", .. }"#);
    }
}
