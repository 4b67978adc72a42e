//! Hears a code in what a phone recorded, by the very clips of its voice.

use countersign::channels::Spoken;
use countersign::config::VoiceConfig;
use countersign::speech::{VoiceWishes, Voices};
use engine::{Code, Locale};
use voice::g711::Codec;
use voice::script::Item;

/// Whoever knows how the digits sound.
pub(crate) struct Listener {
    digits: Vec<Vec<i16>>,
}

impl Listener {
    /// Writes down the digits of a locale in a recording, on a thread of its own: what else goes on
    /// meanwhile must not wait.
    pub(crate) async fn hear_in(locale: Locale, codec: Codec, recording: Vec<i16>) -> String {
        let listener = Self::of(locale, codec).await;
        tokio::task::spawn_blocking(move || listener.hear(&recording)).await.unwrap()
    }

    /// Learns the ten digits of a locale, as a codec makes them sound.
    async fn of(locale: Locale, codec: Codec) -> Self {
        let voices = Voices::new(&VoiceConfig::default());
        let code = Code::parse("0123456789").unwrap();
        let wishes = VoiceWishes::default();
        let spoken = Spoken { locale, brand: String::new(), code, wishes };
        let prompt = voices.prompt(&spoken).await.unwrap();
        let clips = prompt.body.iter().filter_map(|item| match item {
            Item::Clip(clip) => Some(clip),
            Item::Silence(_) => None,
        });
        // The greeting comes before them.
        let digits = clips
            .skip(1)
            .take(10)
            .map(|clip| clip.octets(codec).iter().map(|octet| codec.decode(*octet)).collect());
        Self { digits: digits.collect() }
    }

    /// Returns the digits that are said, in order: each where most of its clip is, sample by sample.
    fn hear(&self, recording: &[i16]) -> String {
        let mut heard: Vec<(usize, char)> = Vec::new();
        for (digit, clip) in ('0'..='9').zip(&self.digits) {
            heard.extend(places(recording, clip).into_iter().map(|at| (at, digit)));
        }
        heard.sort_unstable();
        heard.into_iter().map(|(_, digit)| digit).collect()
    }
}

/// Finds where a clip begins, even if a packet or two of it came too late to be heard.
fn places(recording: &[i16], clip: &[i16]) -> Vec<usize> {
    let loud = |(_, probe): &(usize, &[i16])| probe[0].unsigned_abs() > QUIET;
    let probes = (0..clip.len().saturating_sub(PROBE)).map(|at| (at, &clip[at..at + PROBE]));
    // Spread over the clip, each begun where few other samples are alike.
    let mut probes: Vec<(usize, &[i16])> = probes.filter(loud).collect();
    let step = probes.len() / PROBES;
    assert!(step > 0, "a digit is too quiet to be told");
    probes = probes.into_iter().step_by(step).take(PROBES).collect();
    let mut hits: Vec<(usize, usize)> = Vec::new();
    for (offset, probe) in &probes {
        for at in occurrences(recording, probe) {
            let start = at.saturating_sub(*offset);
            match hits.iter_mut().find(|(known, _)| known.abs_diff(start) <= SHIFT_MAX) {
                Some((_, count)) => *count += 1,
                None => hits.push((start, 1)),
            }
        }
    }
    hits.into_iter().filter(|(_, count)| 2 * count > probes.len()).map(|(at, _)| at).collect()
}

fn occurrences(recording: &[i16], probe: &[i16]) -> Vec<usize> {
    let is_same = |said: &i16, heard: &i16| said.abs_diff(*heard) <= ZERO_IN_BARESIP;
    let windows = recording.windows(probe.len()).enumerate();
    windows
        .filter(|(_, window)| probe.iter().zip(*window).all(|(said, heard)| is_same(said, heard)))
        .map(|(at, _)| at)
        .collect()
}

/// 20 ms: what one packet carries.
const PROBE: usize = 160;

/// How many pieces of a digit are looked for.
const PROBES: usize = 9;

/// Pauses sound like each other.
const QUIET: u16 = 2000;

/// Packets that were lost, or filled up, move what comes after them by up to 200 ms.
const SHIFT_MAX: usize = 1600;

/// Its table decodes the two zeros of µ-law as 2 and -2.
const ZERO_IN_BARESIP: u16 = 2;
