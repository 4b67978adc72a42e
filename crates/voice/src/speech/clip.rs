//! A piece of sound, ready for the wire in both laws of G.711.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::g711::{alaw_encode, ulaw_encode};

/// Samples in a second of everything that is spoken.
pub const SAMPLE_RATE_HZ: u32 = 8000;

/// A sound that was rendered once and is played many times: 8 kHz, one octet a sample.
///
/// Cloning shares the octets. `Debug` shows nothing, because a clip may be a digit of a code.
#[derive(Clone, PartialEq, Eq)]
pub struct Clip {
    /// The octets for PCMU.
    pub ulaw: Arc<[u8]>,
    /// The octets for PCMA, as many.
    pub alaw: Arc<[u8]>,
}

impl Clip {
    /// Encodes samples of 8 kHz in both laws.
    pub fn from_samples(samples: &[i16]) -> Self {
        Self {
            ulaw: samples.iter().map(|sample| ulaw_encode(*sample)).collect(),
            alaw: samples.iter().map(|sample| alaw_encode(*sample)).collect(),
        }
    }

    /// Returns how long the clip plays.
    pub fn duration(&self) -> Duration {
        let samples = u64::try_from(self.ulaw.len()).unwrap_or(u64::MAX);
        Duration::from_micros(samples.saturating_mul(MICROSECONDS_A_SAMPLE))
    }

    /// Returns how much memory the octets take, in bytes.
    pub fn size_bytes(&self) -> usize {
        self.ulaw.len() + self.alaw.len()
    }
}

impl fmt::Debug for Clip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clip").finish_non_exhaustive()
    }
}

/// 1 / 8000 s.
const MICROSECONDS_A_SAMPLE: u64 = 125;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clip_has_an_octet_a_sample_in_both_laws() {
        let clip = Clip::from_samples(&[0; 8000]);
        assert_eq!(clip.duration(), Duration::from_secs(1));
        assert_eq!(clip.size_bytes(), 16_000);
        assert!(clip.ulaw.iter().all(|octet| *octet == 0xFF));
        assert!(clip.alaw.iter().all(|octet| *octet == 0xD5));
    }

    #[test]
    fn a_clip_shows_nothing_of_its_sound() {
        let long = Clip::from_samples(&[0; 4815]);
        assert_eq!(format!("{long:?}"), "Clip { .. }");
    }
}
