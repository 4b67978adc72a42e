//! Ears for any language: digits are told by how they sound next to samples of the same voice.
//!
//! Mel cepstra and dynamic time warping, as recognisers of spoken digits worked before there
//! were models. Spectra are taken at fixed frequencies, so that a sample may have a rate of its
//! own and need not have gone through what is under test.

use std::f32::consts::PI;

/// Sound with its rate, in the scale of 16 bits.
pub(crate) struct Sound {
    pub(crate) rate_hz: usize,
    pub(crate) samples: Vec<f32>,
}

impl Sound {
    /// Reads 16-bit mono PCM with a header of 44 bytes, whatever sizes the header tells.
    pub(crate) fn of_wav(wav: &[u8]) -> Self {
        let rate = u32::from_le_bytes(wav[24..28].try_into().unwrap());
        let samples = wav[44..].chunks_exact(2);
        let samples = samples.map(|pair| f32::from(i16::from_le_bytes([pair[0], pair[1]])));
        Self { rate_hz: usize::try_from(rate).unwrap(), samples: samples.collect() }
    }

    fn milliseconds(&self, count: usize) -> usize {
        self.rate_hz * count / 1000
    }

    fn part(&self, (start, end): (usize, usize)) -> Self {
        let end = end.min(self.samples.len());
        Self { rate_hz: self.rate_hz, samples: self.samples[start..end].to_vec() }
    }
}

/// Splits sound at pauses of at least `pause` milliseconds.
pub(crate) fn split(sound: &Sound, pause: usize) -> Vec<Sound> {
    let frame = sound.milliseconds(10);
    let is_loud = |frame: &[f32]| frame.iter().any(|sample| sample.abs() > LOUD);
    let mut parts: Vec<(usize, usize)> = Vec::new();
    for (at, _) in sound.samples.chunks(frame).enumerate().filter(|(_, frame)| is_loud(frame)) {
        let (start, end) = (at * frame, (at + 1) * frame);
        match parts.last_mut() {
            Some(last) if start - last.1 < sound.milliseconds(pause) => last.1 = end,
            _ => parts.push((start, end)),
        }
    }
    parts.into_iter().map(|part| sound.part(part)).collect()
}

/// Ears that know the ten digits of one voice.
pub(crate) struct Ears {
    digits: Vec<Vec<Features>>,
}

/// Cepstrum and its slope at one moment.
type Features = [f32; 2 * CEPSTRA];

impl Ears {
    pub(crate) fn of(digits: &[Sound]) -> Self {
        let learn = |digit: &Sound| {
            let parts = split(digit, 400);
            assert_eq!(parts.len(), 1, "a digit is one word");
            features(&parts[0])
        };
        Self { digits: digits.iter().map(learn).collect() }
    }

    /// Returns the digit that the sound is most like.
    pub(crate) fn hear(&self, sound: &Sound) -> char {
        let heard = features(sound);
        let distances = self.digits.iter().map(|digit| warped_distance(digit, &heard));
        let nearest = distances.enumerate().min_by(|a, b| a.1.total_cmp(&b.1)).unwrap().0;
        char::from_digit(u32::try_from(nearest).unwrap(), 10).unwrap()
    }
}

/// Describes a sound every 10 ms, independent of its loudness.
fn features(sound: &Sound) -> Vec<Features> {
    let (length, hop) = (sound.milliseconds(25), sound.milliseconds(10));
    let mut cepstra: Vec<[f32; CEPSTRA]> =
        sound.samples.windows(length).step_by(hop).map(|at| cepstrum(at, sound.rate_hz)).collect();
    let count = cepstra.len() as f32;
    for coefficient in 0..CEPSTRA {
        let mean = cepstra.iter().map(|at| at[coefficient]).sum::<f32>() / count;
        for at in &mut cepstra {
            at[coefficient] -= mean;
        }
    }
    let last = cepstra.len() - 1;
    let described = |at: usize| {
        let (before, after) = (&cepstra[at.saturating_sub(2)], &cepstra[(at + 2).min(last)]);
        std::array::from_fn(|index| match index.checked_sub(CEPSTRA) {
            None => cepstra[at][index],
            Some(index) => after[index] - before[index],
        })
    };
    (0..=last).map(described).collect()
}

fn cepstrum(frame: &[f32], rate_hz: usize) -> [f32; CEPSTRA] {
    let length = frame.len() as f32;
    let hann = |at: usize| 0.5 - 0.5 * (2.0 * PI * at as f32 / length).cos();
    let frame: Vec<f32> = frame.iter().enumerate().map(|(at, one)| one * hann(at)).collect();
    let mut bands = [1.0_f32; BANDS];
    for bin in 4..=LAST_BIN {
        let hertz = bin as f32 * BIN_HZ;
        let band = (mel(hertz) - mel(150.0)) / (mel(3400.0) - mel(150.0)) * BANDS as f32;
        bands[(band as usize).min(BANDS - 1)] += power(&frame, hertz / rate_hz as f32);
    }
    let logarithms = bands.map(|power| (power + FLOOR).ln());
    std::array::from_fn(|order| {
        let turn = PI * (order + 1) as f32 / BANDS as f32;
        logarithms.iter().enumerate().map(|(at, log)| log * (turn * (at as f32 + 0.5)).cos()).sum()
    })
}

/// The power at one frequency, in turns a sample (Goertzel).
fn power(frame: &[f32], turns: f32) -> f32 {
    let length = frame.len() as f32;
    let factor = 2.0 * (2.0 * PI * turns).cos();
    let (mut one, mut two) = (0.0, 0.0);
    for sample in frame {
        let next = sample + factor * one - two;
        (two, one) = (one, next);
    }
    (one * one + two * two - factor * one * two) / (length * length)
}

fn mel(hertz: f32) -> f32 {
    (1.0 + hertz / 700.0).ln()
}

/// The mean distance along the best way through both at once.
fn warped_distance(a: &[Features], b: &[Features]) -> f32 {
    let mut row = vec![f32::INFINITY; b.len() + 1];
    row[0] = 0.0;
    for one in a {
        let mut diagonal = std::mem::replace(&mut row[0], f32::INFINITY);
        for (at, other) in b.iter().enumerate() {
            let square = one.iter().zip(other).map(|(x, y)| (x - y) * (x - y)).sum::<f32>();
            let best = diagonal.min(row[at]).min(row[at + 1]);
            diagonal = std::mem::replace(&mut row[at + 1], best + square.sqrt());
        }
    }
    row[b.len()] / (a.len() + b.len()) as f32
}

const CEPSTRA: usize = 12;
const BANDS: usize = 20;
const BIN_HZ: f32 = 40.0;
const LAST_BIN: usize = 85;

/// Below this a sample is silence; speech is at some thousands.
const LOUD: f32 = 130.0;

/// Keeps what is far below speech from mattering: the steps of µ-law, for one.
const FLOOR: f32 = 30.0;
