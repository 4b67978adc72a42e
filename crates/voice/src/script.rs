//! What a call plays, and what the keys of the phone do to it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::g711::Codec;

/// A recording in both codecs: 8000 samples a second, one octet each.
#[derive(Clone, PartialEq, Eq)]
pub struct Clip {
    /// The samples as µ-law.
    pub ulaw: Arc<[u8]>,
    /// The same samples as A-law.
    pub alaw: Arc<[u8]>,
}

/// One part of what is played.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// A recording.
    Clip(Clip),
    /// Nothing for this long.
    Silence(Duration),
}

/// Asks for a key before anything secret is said, so that voicemail is not told the code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gate {
    /// Played until a key is pressed.
    pub prompt: Vec<Item>,
    /// How often the prompt is played at most before the call ends.
    pub plays_max: u8,
    /// How long a key is waited for after each prompt.
    pub wait: Duration,
}

/// All that a call plays, from the answer to the hang-up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    /// Comes first, if there is one; only a key opens it.
    pub gate: Option<Gate>,
    /// What the call is for.
    pub items: Vec<Item>,
    /// How often key 1 plays the items again.
    pub repeats_max: u8,
    /// How long key 1 is waited for after the items; nothing is waited for if no repeat is left.
    pub listen: Duration,
    /// Said before hanging up.
    pub farewell: Vec<Item>,
}

impl Clip {
    /// Makes a clip of linear samples at 8000 a second.
    pub fn from_linear(samples: &[i16]) -> Self {
        let encode = |codec: Codec| samples.iter().map(|sample| codec.encode(*sample)).collect();
        Self { ulaw: encode(Codec::Pcmu), alaw: encode(Codec::Pcma) }
    }

    /// Returns the octets of one codec.
    pub fn octets(&self, codec: Codec) -> &[u8] {
        match codec {
            Codec::Pcmu => &self.ulaw,
            Codec::Pcma => &self.alaw,
        }
    }

    /// Returns how much memory the octets take, in bytes.
    pub fn size_bytes(&self) -> usize {
        self.ulaw.len() + self.alaw.len()
    }

    /// Returns how long the clip plays.
    pub fn duration(&self) -> Duration {
        Duration::from_micros(self.ulaw.len() as u64 * MICROS_PER_SAMPLE)
    }
}

// A clip can be a spoken digit, so not even its length is shown.
impl fmt::Debug for Clip {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Clip(..)")
    }
}

impl Script {
    /// Makes a script that plays the items once and hangs up.
    pub fn once(items: Vec<Item>) -> Self {
        Self { gate: None, items, repeats_max: 0, listen: Duration::ZERO, farewell: Vec::new() }
    }
}

/// Samples in a second of everything that is played.
pub const SAMPLE_RATE_HZ: u32 = 8000;

/// 1 s / 8000 samples.
const MICROS_PER_SAMPLE: u64 = 125;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clip_holds_the_same_samples_in_both_codecs_and_knows_how_long_they_last() {
        let clip = Clip::from_linear(&[0, 1_000, -1_000, 0, 0, 0, 0, 0]);
        assert_eq!(clip.octets(Codec::Pcmu)[0], 0xFF);
        assert_eq!(clip.octets(Codec::Pcma)[0], 0xD5);
        assert_eq!(clip.duration(), Duration::from_millis(1));
    }

    #[test]
    fn what_a_call_plays_is_not_shown() {
        let script = Script::once(vec![Item::Clip(Clip::from_linear(&[0x0123; 5]))]);
        assert!(format!("{script:?}").contains("[Clip(Clip(..))]"));
    }
}
