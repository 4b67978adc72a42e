//! From any sampling rate down to the telephone's, without folding what lies above it back in.

use std::f64::consts::PI;

use super::wav::Sound;
use crate::script::SAMPLE_RATE_HZ;

/// Resamples to 8 kHz through a windowed sinc, one precomputed filter for each phase.
///
/// The band is flat to 3.3 kHz and 50 dB down from 4 kHz on.
pub(crate) fn to_telephone(sound: &Sound) -> Vec<f32> {
    if sound.rate_hz == SAMPLE_RATE_HZ {
        return sound.samples.clone();
    }
    let divisor = greatest_common_divisor(sound.rate_hz, SAMPLE_RATE_HZ);
    let phases = usize_of(SAMPLE_RATE_HZ / divisor);
    let step = usize_of(sound.rate_hz / divisor);
    let bank = FilterBank::design(sound.rate_hz, phases);
    let count = sound.samples.len().saturating_mul(phases) / step;
    (0..count).map(|output| bank.apply(&sound.samples, output * step)).collect()
}

/// The filters for all positions that an output sample can have between two input samples.
struct FilterBank {
    phases: usize,
    taps: usize,
    coefficients: Vec<f32>,
}

impl FilterBank {
    fn design(rate_hz: u32, phases: usize) -> Self {
        let cutoff = CUTOFF_HZ / f64::from(rate_hz);
        let half = (HALF_WIDTH_SECONDS * f64::from(rate_hz)).ceil();
        let taps = 2 * usize_of_positive(half);
        let mut coefficients = Vec::with_capacity(phases * taps);
        for phase in 0..phases {
            let fraction = float(phase) / float(phases);
            let kernel = (0..taps).map(|tap| {
                let distance = float(tap) + 1.0 - half - fraction;
                2.0 * cutoff * sinc(2.0 * cutoff * distance) * kaiser(distance / half)
            });
            let kernel: Vec<f64> = kernel.collect();
            let gain: f64 = kernel.iter().sum();
            coefficients.extend(kernel.iter().map(|tap| narrow(tap / gain)));
        }
        Self { phases, taps, coefficients }
    }

    /// Computes the sample at `position`, counted in input samples times `phases`.
    fn apply(&self, input: &[f32], position: usize) -> f32 {
        let (whole, phase) = (position / self.phases, position % self.phases);
        let start = phase * self.taps;
        let filter = self.coefficients.get(start..start + self.taps).unwrap_or_default();
        // The filter begins before the sound does at its first few samples.
        let before = self.taps / 2 - 1;
        let skipped = before.saturating_sub(whole);
        let heard = input.get(whole.saturating_sub(before)..).unwrap_or_default();
        heard.iter().zip(filter.iter().skip(skipped)).map(|(sample, tap)| sample * tap).sum()
    }
}

fn sinc(x: f64) -> f64 {
    if x.abs() < 1e-9 { 1.0 } else { (PI * x).sin() / (PI * x) }
}

/// The Kaiser window, for positions from -1 to 1.
fn kaiser(position: f64) -> f64 {
    bessel_i0(KAISER_BETA * (1.0 - position * position).max(0.0).sqrt()) / bessel_i0(KAISER_BETA)
}

/// The modified Bessel function of order zero, by its series.
fn bessel_i0(x: f64) -> f64 {
    let (mut sum, mut term) = (1.0, 1.0);
    for order in 1..=BESSEL_TERMS {
        term *= (x / (2.0 * f64::from(order))).powi(2);
        sum += term;
    }
    sum
}

fn greatest_common_divisor(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

fn usize_of(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

#[expect(clippy::cast_precision_loss, reason = "a tap or a phase, a few thousand at most")]
fn float(number: usize) -> f64 {
    number as f64
}

#[expect(clippy::cast_possible_truncation, reason = "a coefficient needs no more than f32 has")]
fn narrow(number: f64) -> f32 {
    number as f32
}

#[expect(clippy::cast_possible_truncation, reason = "half the taps, a few hundred at most")]
#[expect(clippy::cast_sign_loss, reason = "rates are positive")]
fn usize_of_positive(number: f64) -> usize {
    number as usize
}

/// Between the telephone's 3.4 kHz and the 4 kHz that 8000 samples a second can carry.
const CUTOFF_HZ: f64 = 3650.0;

/// With this width the filter falls from 3.3 to 4 kHz (Kaiser's formula for 50 dB).
const HALF_WIDTH_SECONDS: f64 = 0.002_2;

/// Kaiser's shape for 50 dB of stop band.
const KAISER_BETA: f64 = 4.55;

/// The series has converged to f32's precision by then for arguments up to the shape above.
const BESSEL_TERMS: u32 = 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(rate_hz: u32, tone_hz: f64) -> Sound {
        let turns = 2.0 * PI * tone_hz / f64::from(rate_hz);
        let samples =
            (0..rate_hz / 4).map(|at| narrow(10_000.0 * (turns * f64::from(at)).sin())).collect();
        Sound { rate_hz, samples }
    }

    /// The loudness of the middle, as a share of the tone's that went in.
    fn gain(rate_hz: u32, tone_hz: f64) -> f32 {
        let out = to_telephone(&tone(rate_hz, tone_hz));
        let middle = &out[200..out.len() - 200];
        let power = middle.iter().map(|sample| sample * sample).sum::<f32>() / 1600.0;
        power.sqrt() / 7071.0
    }

    #[test]
    fn a_second_stays_a_second_at_every_rate() {
        for rate_hz in [8000, 11_025, 16_000, 22_050, 24_000, 44_100, 48_000, 12_345] {
            let out = to_telephone(&Sound { rate_hz, samples: vec![100.0; usize_of(rate_hz)] });
            assert_eq!(out.len(), 8000, "{rate_hz} Hz");
            let level = out[4000];
            assert!((level - 100.0).abs() < 0.01, "{rate_hz} Hz: constant became {level}");
        }
    }

    #[test]
    fn the_voice_band_passes_unchanged() {
        for rate_hz in [11_025, 16_000, 22_050, 44_100, 48_000] {
            for tone_hz in [300.0, 1000.0, 2400.0, 3200.0] {
                let gain = gain(rate_hz, tone_hz);
                assert!((gain - 1.0).abs() < 0.02, "{tone_hz} Hz of {rate_hz}: {gain}");
            }
        }
    }

    #[test]
    fn what_the_telephone_cannot_carry_is_not_folded_back() {
        for (rate_hz, tone_hz) in [(22_050, 4100.0), (22_050, 7000.0), (48_000, 9500.0)] {
            let gain = gain(rate_hz, tone_hz);
            assert!(gain < 0.004, "{tone_hz} Hz of {rate_hz}: {gain}");
        }
    }

    #[test]
    fn a_tone_keeps_its_pitch_and_its_place() {
        let out = to_telephone(&tone(22_050, 500.0));
        let expected = tone(8000, 500.0).samples;
        let worst = out.iter().zip(&expected).skip(100).take(1600).map(|(a, b)| (a - b).abs());
        assert!(worst.fold(0.0, f32::max) < 30.0);
    }
}
