//! How an operator wants to be spoken for.

use std::collections::BTreeMap;
use std::time::Duration;

use super::engine::Engine;

/// Engines and limits; the default is espeak-ng for everything.
#[derive(Clone, Debug)]
pub struct SpeechSettings {
    /// The engines of every locale, in the order to try them.
    pub engines: Vec<Engine>,
    /// The engines of single locales, instead of those above.
    pub engines_of: BTreeMap<String, Vec<Engine>>,
    /// How fast espeak-ng speaks, in words a minute; it takes 80 to 450.
    pub speed_wpm: u16,
    /// How long a call waits for the clips of a voice that was not used before.
    pub voice_bound: Duration,
    /// How long a call waits for a greeting with a brand that was not said before; then it goes
    /// out with the greeting without a brand.
    pub brand_bound: Duration,
    /// How long a program may take for one line before it is killed.
    pub child_bound: Duration,
    /// How many programs run at a time.
    pub children_max: usize,
    /// How many brands are waited for at a time; more go out without their brand.
    pub brands_pending_max: usize,
    /// How much memory the greetings with brands take, in bytes.
    pub brand_cache_bytes_max: usize,
}

impl Default for SpeechSettings {
    fn default() -> Self {
        Self {
            engines: vec![Engine::espeak()],
            engines_of: BTreeMap::new(),
            // Of the speeds tried, the one at which a recogniser got every code right.
            speed_wpm: 130,
            // All clips of espeak-ng take a fraction of a second; of a neural voice, some seconds.
            voice_bound: Duration::from_secs(10),
            // The phone has not rung yet, so nobody hears this wait.
            brand_bound: Duration::from_secs(2),
            child_bound: Duration::from_secs(10),
            // Rendering must leave a small machine's other core to the calls in progress.
            children_max: 2,
            // With espeak-ng, that many are done within the bound.
            brands_pending_max: 64,
            // About 300 brands at 50 kB.
            brand_cache_bytes_max: 16 * 1024 * 1024,
        }
    }
}
