//! Identifiers: ordered by time, and carrying the bucket of their account and number.

use core::fmt;

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// Names an account.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AccountId(pub u32);

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One of 4096 shards. Everything that concerns one account and one number has the same bucket,
/// so that several nodes can divide the work without a transaction ever crossing two of them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Bucket(u16);

impl Bucket {
    /// Returns the bucket of an account and the digits of a number.
    pub fn of(account: AccountId, digits: u64) -> Self {
        // SplitMix64's finaliser: cheap, and spreads neighbouring numbers over all buckets.
        let mut x = digits ^ (u64::from(account.0) << 40) ^ 0x9e37_79b9_7f4a_7c15;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Self(u16::try_from((x >> 32) & u64::from(Self::MASK)).unwrap_or(0))
    }

    /// Returns the bucket's number, 0 to 4095.
    pub fn index(self) -> u16 {
        self.0
    }

    const MASK: u16 = 0xfff;
}

/// Names a verification: a UUID (version 8, RFC 9562 section 5.8) whose first 48 bits are the
/// milliseconds of its start and whose 12 bits after the version are its bucket.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct VerificationId(u128);

impl VerificationId {
    /// Builds an identifier; of `random` the low 62 bits are used.
    pub fn compose(at: Timestamp, bucket: Bucket, random: u64) -> Self {
        let millis = u128::from(at.as_millis() & 0xffff_ffff_ffff);
        let random = u128::from(random & (u64::MAX >> 2));
        Self((millis << 80) | (0x8 << 76) | (u128::from(bucket.0) << 64) | (0b10 << 62) | random)
    }

    /// Wraps a stored identifier.
    pub const fn from_u128(id: u128) -> Self {
        Self(id)
    }

    /// Returns the identifier as a number.
    pub const fn as_u128(self) -> u128 {
        self.0
    }

    /// Parses the UUID text form, with or without hyphens, in any case.
    pub fn parse(text: &str) -> Option<Self> {
        let hyphens_fit = match text.len() {
            32 => !text.contains('-'),
            36 => text.char_indices().all(|(i, c)| (c == '-') == matches!(i, 8 | 13 | 18 | 23)),
            _ => false,
        };
        let hex = text.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
        if !hyphens_fit || !hex {
            return None;
        }
        u128::from_str_radix(&text.replace('-', ""), 16).ok().map(Self)
    }

    /// Names the call that a step makes, on the wire and for whoever asks about it.
    pub fn call_name(self, step: u8) -> String {
        format!("{self}-{step}")
    }

    /// Parses the name of a call, and returns the verification and the step that made it.
    pub fn parse_call_name(text: &str) -> Option<(Self, u8)> {
        let (id, step) = text.rsplit_once('-')?;
        let is_step = (1..=3).contains(&step.len()) && step.bytes().all(|b| b.is_ascii_digit());
        let id = (id.len() == 36).then(|| Self::parse(id)).flatten()?;
        is_step.then(|| step.parse().ok()).flatten().map(|step| (id, step))
    }

    /// Returns the smallest identifier of a verification that started at `at` or later.
    pub fn first_at(at: Timestamp) -> Self {
        Self(u128::from(at.as_millis() & 0xffff_ffff_ffff) << 80)
    }
}

impl fmt::Display for VerificationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = self.0;
        write!(
            f,
            "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            id >> 96,
            (id >> 80) & 0xffff,
            (id >> 64) & 0xffff,
            (id >> 48) & 0xffff,
            id & 0xffff_ffff_ffff
        )
    }
}

impl fmt::Debug for VerificationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// How many parts a message can have: its identifier leaves four bits for them.
pub const PARTS_MAX: u8 = 16;

/// Names a message and, in its low four bits, one of its parts. On the wire it is 16 upper-case
/// hexadecimal digits, which is the longest form that clients of the 2FA API expect.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MessageId(u64);

impl MessageId {
    /// Builds an identifier: 41 bits of milliseconds since 2024, the bucket, 7 bits of `sequence`.
    pub fn compose(at: Timestamp, bucket: Bucket, sequence: u8) -> Self {
        let millis = at.as_millis().saturating_sub(MESSAGE_EPOCH_MS) & 0x1ff_ffff_ffff;
        Self((millis << 23) | (u64::from(bucket.0) << 11) | (u64::from(sequence & 0x7f) << 4))
    }

    /// Wraps a stored identifier.
    pub const fn from_u64(id: u64) -> Self {
        Self(id & !0xf)
    }

    /// Returns the identifier as a number.
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// Parses the wire form of any part and returns the message that it belongs to.
    pub fn parse(text: &str) -> Option<Self> {
        let hex = text.len() == 16 && text.bytes().all(|b| b.is_ascii_hexdigit());
        hex.then(|| u64::from_str_radix(text, 16).ok().map(Self::from_u64)).flatten()
    }

    /// Renders the wire form of a part, counted from zero.
    pub fn part(self, index: u8) -> String {
        format!("{:016X}", self.0 | u64::from(index & 0xf))
    }

    /// Returns the next candidate after a collision.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.wrapping_add(0x10))
    }

    /// Returns the smallest identifier of a message that was accepted at `at` or later.
    pub fn first_at(at: Timestamp) -> Self {
        Self((at.as_millis().saturating_sub(MESSAGE_EPOCH_MS) & 0x1ff_ffff_ffff) << 23)
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.part(0))
    }
}

impl fmt::Debug for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What an attempt is made for.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
pub enum Subject {
    /// A verification, whose steps each make one attempt.
    Verification(VerificationId),
    /// A message, which makes one attempt.
    Message(MessageId),
}

/// Names one attempt: one send of a code over a channel.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
pub struct AttemptId {
    /// What it is made for.
    pub subject: Subject,
    /// The index of the step that made it, counted from zero.
    pub step: u8,
}

impl fmt::Display for AttemptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.subject {
            Subject::Verification(id) => write!(f, "{id}/{}", self.step),
            Subject::Message(id) => write!(f, "{id}/{}", self.step),
        }
    }
}

/// 2024-01-01T00:00:00Z: 41 bits of milliseconds then last until 2093.
const MESSAGE_EPOCH_MS: u64 = 1_704_067_200_000;

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_795_300_000_000);

    #[test]
    fn a_verification_id_survives_its_text_form() {
        let bucket = Bucket::of(AccountId(7), 447_700_900_123);
        let id = VerificationId::compose(NOW, bucket, u64::MAX);
        assert_eq!(VerificationId::parse(&id.to_string()), Some(id));
        assert_eq!(VerificationId::parse(&id.to_string().to_uppercase()), Some(id));
        assert!(id >= VerificationId::first_at(NOW));
        assert!(id < VerificationId::first_at(Timestamp::from_millis(NOW.as_millis() + 1)));
        assert_eq!((id.as_u128() >> 64) & 0xfff, u128::from(bucket.index()));
    }

    #[test]
    fn the_name_of_a_call_leads_back_to_its_verification_and_step() {
        let id = VerificationId::compose(NOW, Bucket::of(AccountId(7), 1), 5);
        assert_eq!(VerificationId::parse_call_name(&id.call_name(2)), Some((id, 2)));
        for text in [id.to_string(), format!("{id}-"), format!("{id}-+1"), format!("{id}-999")] {
            assert_eq!(VerificationId::parse_call_name(&text), None, "{text}");
        }
    }

    #[test]
    fn text_that_is_no_uuid_is_not_an_id() {
        for text in [
            "",
            "123",
            "+23e4567-e89b-12d3-a456-426655440000",
            "123e4567e89b-12d3-a456-426655440000-",
        ] {
            assert_eq!(VerificationId::parse(text), None, "{text}");
        }
    }

    #[test]
    fn every_part_of_a_message_leads_back_to_it() {
        let id = MessageId::compose(NOW, Bucket::of(AccountId(1), 1), 93);
        for part in 0..PARTS_MAX {
            assert_eq!(MessageId::parse(&id.part(part)), Some(id));
        }
        assert!(id >= MessageId::first_at(NOW));
    }

    #[test]
    fn neighbouring_numbers_spread_over_the_buckets() {
        let buckets: std::collections::BTreeSet<u16> =
            (0..1000).map(|n| Bucket::of(AccountId(1), 447_700_900_000 + n).index()).collect();
        assert!(buckets.len() > 800, "only {} buckets", buckets.len());
    }
}
