//! The same loudness for every clip, and no silence around it that was not asked for.

/// Cuts the silence before and after the sound to a short margin, and fades into what is left.
///
/// Returns nothing where there is no sound.
pub(crate) fn trim(samples: &[f32]) -> &[f32] {
    let peak = samples.iter().fold(0.0_f32, |peak, sample| peak.max(sample.abs()));
    if peak < AUDIBLE_PEAK {
        return &[];
    }
    let is_loud = |sample: &f32| sample.abs() > peak * QUIET_SHARE;
    let first = samples.iter().position(is_loud).unwrap_or_default();
    let last = samples.iter().rposition(is_loud).unwrap_or_default();
    let start = first.saturating_sub(LEAD_SAMPLES);
    let end = last.saturating_add(TAIL_SAMPLES).min(samples.len());
    samples.get(start..end).unwrap_or_default()
}

/// Brings a sound to the loudness of speech on a telephone line, and fades its ends.
///
/// No sample is clipped: a sound with high peaks stays quieter instead.
pub(crate) fn normalise(samples: &[f32]) -> Vec<i16> {
    let peak = samples.iter().fold(1.0_f32, |peak, sample| peak.max(sample.abs()));
    let gain = (ACTIVE_RMS / active_rms(samples)).min(PEAK_MAX / peak).min(GAIN_MAX);
    let last = samples.len().saturating_sub(1);
    let fade = |at: usize| f32::from(u16::try_from(at).unwrap_or(u16::MAX)) / FADE_SAMPLES;
    let faded = |(at, sample): (usize, &f32)| {
        sample * gain * fade(at.saturating_add(1)).min(fade(last - at + 1)).min(1.0)
    };
    samples.iter().enumerate().map(faded).map(whole).collect()
}

/// Measures the loudness of the frames that are not pauses (in the manner of ITU-T P.56).
fn active_rms(samples: &[f32]) -> f32 {
    let power = |frame: &[f32]| frame.iter().map(|sample| sample * sample).sum::<f32>();
    let powers: Vec<f32> = samples.chunks(FRAME_SAMPLES).map(power).collect();
    let loudest = powers.iter().copied().fold(0.0, f32::max);
    let active = powers.iter().filter(|power| **power > loudest * PAUSE_POWER_SHARE);
    let (sum, frames) =
        active.fold((0.0, 0_u16), |(sum, frames), power| (sum + power, frames.saturating_add(1)));
    (sum / (f32::from(frames.max(1)) * 160.0)).sqrt().max(1.0)
}

#[expect(clippy::cast_possible_truncation, reason = "clamped to what an i16 holds")]
fn whole(sample: f32) -> i16 {
    sample.clamp(f32::from(i16::MIN), f32::from(i16::MAX)).round() as i16
}

/// A recording whose loudest sample is below this is taken for silence: -56 dB of full scale.
const AUDIBLE_PEAK: f32 = 50.0;

/// What is more than 46 dB below the peak counts as silence at the ends of a clip.
const QUIET_SHARE: f32 = 0.005;

/// 60 ms before the first loud sample: an f is so much quieter than its vowel that a recogniser
/// took "five" for "I" without it.
const LEAD_SAMPLES: usize = 480;

/// 60 ms after the last loud sample, for the end of a t or an s.
const TAIL_SAMPLES: usize = 480;

/// 20 ms, in which speech does not change much.
const FRAME_SAMPLES: usize = 160;

/// Frames 26 dB below the loudest are pauses between words.
const PAUSE_POWER_SHARE: f32 = 0.0025;

/// -19 dB of full scale while speaking, the level of a clear voice on a digital line.
const ACTIVE_RMS: f32 = 3600.0;

/// -2 dB of full scale, below the clipping point of both laws.
const PEAK_MAX: f32 = 26_000.0;

/// 26 dB: a recording quieter than that would bring its noise along.
const GAIN_MAX: f32 = 20.0;

/// 5 ms, too short to hear and long enough not to click.
const FADE_SAMPLES: f32 = 40.0;

#[cfg(test)]
mod tests {
    use super::*;

    fn beep(amplitude: f32, samples: u16) -> Vec<f32> {
        (0..samples).map(|at| amplitude * (f32::from(at) * 0.5).sin()).collect()
    }

    fn rms(samples: &[i16]) -> f32 {
        let square = |sample: &i16| f32::from(*sample) * f32::from(*sample);
        (samples.iter().map(square).sum::<f32>() / 8000.0).sqrt()
    }

    #[test]
    fn silence_around_a_sound_is_cut_to_a_margin() {
        let sound = [vec![0.0; 4000], beep(9000.0, 800), vec![30.0; 6000]].concat();
        let kept = trim(&sound).len();
        assert!((1750..=1761).contains(&kept), "{kept} samples are left");
    }

    #[test]
    fn a_pause_inside_a_sound_stays() {
        let sound = [beep(9000.0, 800), vec![0.0; 3000], beep(9000.0, 800)].concat();
        assert!(trim(&sound).len() > 4590);
    }

    #[test]
    fn silence_is_nothing() {
        assert!(trim(&[]).is_empty());
        assert!(trim(&[3.0; 800]).is_empty());
    }

    #[test]
    fn loud_and_quiet_recordings_become_equally_loud() {
        for amplitude in [400.0, 2000.0, 30_000.0] {
            let level = rms(&normalise(&beep(amplitude, 8000)));
            assert!((3500.0..3700.0).contains(&level), "{amplitude} became {level}");
        }
    }

    #[test]
    fn a_pause_does_not_make_the_speech_louder() {
        let half = normalise(&[beep(2000.0, 4000), vec![0.0; 4000]].concat());
        let level = rms(&half) * 2.0_f32.sqrt();
        assert!((3500.0..3700.0).contains(&level), "{level}");
    }

    #[test]
    fn a_high_peak_is_not_clipped() {
        let mut sound = beep(300.0, 8000);
        sound[4000] = 20_000.0;
        let peak = normalise(&sound).iter().map(|sample| sample.unsigned_abs()).max();
        assert!(peak <= Some(26_000), "{peak:?}");
    }

    #[test]
    fn a_clip_begins_and_ends_softly() {
        let clip = normalise(&[20_000.0; 400]);
        assert!(clip[0] < 1000 && clip[399] < 1000, "{} and {}", clip[0], clip[399]);
    }
}
