//! The keys a server seals with, as an operator writes them down.

use std::fmt;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use thiserror::Error;
use zeroize::Zeroizing;

use super::private_file::{PrivateFileError, read_or_create_private};
use crate::clock::random_bytes;

/// The keys of a server, at least one: the first seals, all of them open.
///
/// As text it is one key a line, `<id>:<32 bytes in base64>`; a comma may stand for a new line,
/// because not every place that sets environment variables can hold one.
/// From `#` to the end of a line is a comment.
/// An id is 1 to 32 letters, digits, `-` or `_`.
#[derive(Clone)]
pub struct KeyRing {
    first: RingKey,
    rest: Vec<RingKey>,
}

/// One key of a ring; its bytes are wiped from memory when dropped.
#[derive(Clone)]
pub(super) struct RingKey {
    id: String,
    bytes: Zeroizing<[u8; KEY_BYTES]>,
}

impl KeyRing {
    /// Parses a ring; fails on the first line that is not a key, without repeating what it says.
    pub fn parse(text: &str) -> Result<Self, KeyRingError> {
        let mut keys: Vec<RingKey> = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let written = line.split('#').next().unwrap_or_default();
            for entry in written.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
                let key = RingKey::parse(entry, index + 1)?;
                if keys.iter().any(|other| other.id == key.id) {
                    return Err(KeyRingError::Duplicate { line: index + 1, id: key.id });
                }
                if keys.len() == KEYS_MAX {
                    return Err(KeyRingError::TooMany);
                }
                keys.push(key);
            }
        }
        let mut keys = keys.into_iter();
        let first = keys.next().ok_or(KeyRingError::Empty)?;
        Ok(Self { first, rest: keys.collect() })
    }

    /// Reads the ring in the file at `path`, which only its owner may be able to read; if there is
    /// no such file, creates it with one fresh key and mode 0600.
    ///
    /// The fresh key gets a random id, so that a lost file is later reported as a missing key and
    /// not as altered data.
    pub fn load_or_create(path: &Path) -> Result<Self, KeyRingError> {
        let text = read_or_create_private(path, || {
            let id = format!("k{:08x}", u32::from_be_bytes(random_bytes()));
            let line = render_line(&id, &Zeroizing::new(random_bytes()));
            Zeroizing::new([NEW_FILE_COMMENT, line.as_str(), "\n"].concat())
        })?;
        Self::parse(&text)
    }

    /// Makes the line of a fresh key, to be put first in a ring; fails if `id` is not an id.
    pub fn generate_line(id: &str) -> Result<Zeroizing<String>, KeyRingError> {
        if !is_id(id) {
            return Err(KeyRingError::BadId { line: 1 });
        }
        Ok(render_line(id, &Zeroizing::new(random_bytes())))
    }

    /// Returns the ids of the keys, the one that seals first.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&self.first).chain(&self.rest).map(RingKey::id)
    }

    pub(super) fn split(&self) -> (&RingKey, &[RingKey]) {
        (&self.first, &self.rest)
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyRing")?;
        f.debug_list().entries(self.ids()).finish()
    }
}

impl RingKey {
    fn parse(entry: &str, line: usize) -> Result<Self, KeyRingError> {
        let (id, encoded) = entry.split_once(':').ok_or(KeyRingError::NoId { line })?;
        if !is_id(id) {
            return Err(KeyRingError::BadId { line });
        }
        let wrong = || KeyRingError::BadKey { line, id: id.to_owned() };
        let decoded = Zeroizing::new(STANDARD.decode(encoded.trim_start()).map_err(|_| wrong())?);
        let mut bytes = Zeroizing::new([0; KEY_BYTES]);
        if decoded.len() != KEY_BYTES {
            return Err(wrong());
        }
        bytes.copy_from_slice(&decoded);
        Ok(Self { id: id.to_owned(), bytes })
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn bytes(&self) -> &[u8; KEY_BYTES] {
        &self.bytes
    }
}

/// Why there is no key ring; no message repeats any part of a key.
#[derive(Debug, Error)]
pub enum KeyRingError {
    /// There is no line with a key.
    #[error("read the key ring: it holds no key; {HOW_TO_MAKE}")]
    Empty,
    /// A line has no colon.
    #[error("read the key ring: line {line} is not `<id>:<base64>`; {HOW_TO_MAKE}")]
    NoId {
        /// The number of the line, from 1.
        line: usize,
    },
    /// What stands before the colon is not an id.
    #[error("read the key ring: the id in line {line} must be 1 to 32 letters, digits, `-` or `_`")]
    BadId {
        /// The number of the line, from 1.
        line: usize,
    },
    /// What stands behind the colon is not a key.
    #[error(
        "read the key ring: key `{id}` in line {line} must be exactly 32 bytes in base64 (44 \
         characters); {HOW_TO_MAKE}"
    )]
    BadKey {
        /// The number of the line, from 1.
        line: usize,
        /// The id of the key.
        id: String,
    },
    /// Two keys have the same id.
    #[error(
        "read the key ring: id `{id}` in line {line} is taken by an earlier line; give each key \
         its own id"
    )]
    Duplicate {
        /// The number of the second line, from 1.
        line: usize,
        /// The id they share.
        id: String,
    },
    /// There are more keys than anyone rotates through.
    #[error("read the key ring: it holds more than {KEYS_MAX} keys; remove those long retired")]
    TooMany,
    /// The file cannot be used.
    #[error("read the key ring")]
    File(#[from] PrivateFileError),
}

pub(super) fn is_id(id: &str) -> bool {
    (1..=ID_BYTES_MAX).contains(&id.len())
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

fn render_line(id: &str, bytes: &[u8; KEY_BYTES]) -> Zeroizing<String> {
    let encoded = Zeroizing::new(STANDARD.encode(bytes));
    Zeroizing::new([id, ":", encoded.as_str()].concat())
}

/// Length of a key in bytes, given by AES-256.
pub const KEY_BYTES: usize = 32;
/// A choice: an id is copied into every sealed value.
const ID_BYTES_MAX: usize = 32;
/// A choice: one key a month for five years.
const KEYS_MAX: usize = 60;
const HOW_TO_MAKE: &str = "make a line with: echo \"k1:$(openssl rand -base64 32)\"";
const NEW_FILE_COMMENT: &str = "# Seals the database: without this file its secrets are lost. \
    Keep a copy elsewhere.\n# The first key seals, all of them open.\n";

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// 32 times the letter A.
    const AAAA: &str = "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE=";

    #[test]
    fn a_ring_is_read_with_comments_blank_lines_and_commas() {
        let text = format!("# ours\n\n k2:{AAAA} # since May\nk1: {AAAA},k0:{AAAA}\r\n");
        let ring = KeyRing::parse(&text).unwrap();
        assert_eq!(ring.ids().collect::<Vec<_>>(), ["k2", "k1", "k0"]);
        assert_eq!(ring.split().0.bytes(), &[b'A'; KEY_BYTES]);
    }

    #[test]
    fn each_mistake_in_a_ring_is_told_by_its_line_and_none_repeats_the_key() {
        let long = "a".repeat(33);
        let mistakes = [
            ("# nothing yet\n".to_owned(), "openssl rand -base64 32"),
            (format!("k1:{AAAA}\n{AAAA}"), "line 2 is not `<id>:<base64>`"),
            (format!("k 1:{AAAA}"), "the id in line 1 must be"),
            (format!("{long}:{AAAA}"), "the id in line 1 must be"),
            ("k1:QUFBQUFBQUE=".to_owned(), "key `k1` in line 1 must be exactly 32 bytes"),
            (format!("k1:{AAAA}?"), "key `k1` in line 1 must be exactly 32 bytes"),
            (format!("k1:{AAAA}\n\nk1:{AAAA}"), "id `k1` in line 3 is taken"),
        ];
        for (text, expected) in mistakes {
            let error = KeyRing::parse(&text).unwrap_err();
            let shown = format!("{error} {error:?}");
            assert!(shown.contains(expected), "{shown}");
            assert!(!shown.contains("QUFB"), "{shown}");
        }
    }

    #[test]
    fn a_ring_does_not_grow_without_end() {
        let lines: Vec<String> = (0..=KEYS_MAX).map(|n| format!("k{n}:{AAAA}")).collect();
        assert!(KeyRing::parse(&lines[1..].join("\n")).is_ok());
        assert!(matches!(KeyRing::parse(&lines.join("\n")), Err(KeyRingError::TooMany)));
    }

    #[test]
    fn a_generated_line_is_a_ring_of_one_fresh_key() {
        let line = KeyRing::generate_line("2026-05").unwrap();
        assert_eq!(KeyRing::parse(&line).unwrap().ids().collect::<Vec<_>>(), ["2026-05"]);
        assert_ne!(line, KeyRing::generate_line("2026-05").unwrap());
        assert!(KeyRing::generate_line("no spaces").is_err());
    }

    #[test]
    fn a_missing_key_file_is_made_once_and_is_private() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("seal.key");
        let made = KeyRing::load_or_create(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let again = KeyRing::load_or_create(&path).unwrap();
        assert_eq!(made.split().0.bytes(), again.split().0.bytes());
        assert!(made.ids().eq(again.ids()));
    }

    #[test]
    fn no_key_is_shown_by_debug() {
        let ring = KeyRing::parse(&format!("k2:{AAAA}\nk1:{AAAA}")).unwrap();
        assert_eq!(format!("{ring:?}"), r#"KeyRing["k2", "k1"]"#);
    }
}
