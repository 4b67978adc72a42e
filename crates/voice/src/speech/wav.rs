//! WAV files as synthesisers and people make them, and the one we write.

use std::error::Error;
use std::fmt;

/// Sound of one channel, as a WAV file held it.
#[derive(Clone, PartialEq)]
pub(crate) struct Sound {
    /// Samples in a second.
    pub(crate) rate_hz: u32,
    /// The samples in the scale of 16 bits, the channels mixed into one.
    pub(crate) samples: Vec<f32>,
}

/// Parses a WAV file of 8- or 16-bit PCM, one or two channels, 8 to 48 kHz.
///
/// Sizes in headers are upper bounds only: a program that streams writes its header before it
/// knows them, and leaves zero or the largest number it can.
pub(crate) fn parse(octets: &[u8]) -> Result<Sound, WavError> {
    let riff = octets.get(..4) == Some(b"RIFF") && octets.get(8..12) == Some(b"WAVE");
    let mut rest = octets.get(12..).filter(|_| riff).ok_or(WavError::NotWav)?;
    let mut format = None;
    while let Some((name, after_name)) = rest.split_first_chunk::<4>() {
        let (size, body) = after_name.split_first_chunk().ok_or(WavError::NotWav)?;
        let size = usize::try_from(u32::from_le_bytes(*size)).unwrap_or(usize::MAX);
        if name == b"data" {
            let format: Format = format.ok_or(WavError::NotWav)?;
            let streamed = size == 0 || size > body.len();
            let data = if streamed { body } else { body.get(..size).unwrap_or(body) };
            return Ok(Sound { rate_hz: format.rate_hz, samples: format.samples(data) });
        }
        if name == b"fmt " {
            format = Some(Format::parse(body)?);
        }
        // Chunks are padded to an even length (RIFF, "chunks").
        rest = body.get(size.saturating_add(size % 2)..).unwrap_or_default();
    }
    Err(WavError::NoData)
}

/// Renders samples as a WAV file of 16-bit PCM with one channel.
pub(crate) fn render(samples: &[i16], rate_hz: u32) -> Vec<u8> {
    let data_bytes = u32::try_from(samples.len().saturating_mul(2)).unwrap_or(u32::MAX);
    let mut wav = Vec::with_capacity(HEADER_BYTES + samples.len() * 2);
    wav.extend(b"RIFF");
    wav.extend(data_bytes.saturating_add(36).to_le_bytes());
    wav.extend(b"WAVEfmt ");
    wav.extend(16_u32.to_le_bytes());
    wav.extend(FORMAT_PCM.to_le_bytes());
    wav.extend(1_u16.to_le_bytes());
    wav.extend(rate_hz.to_le_bytes());
    wav.extend((rate_hz * 2).to_le_bytes());
    wav.extend(2_u16.to_le_bytes());
    wav.extend(16_u16.to_le_bytes());
    wav.extend(b"data");
    wav.extend(data_bytes.to_le_bytes());
    wav.extend(samples.iter().flat_map(|sample| sample.to_le_bytes()));
    wav
}

/// What the `fmt ` chunk says about the samples.
#[derive(Clone, Copy)]
struct Format {
    rate_hz: u32,
    channels: u16,
    bits: u16,
}

impl Format {
    fn parse(body: &[u8]) -> Result<Self, WavError> {
        let kind = two_octets(body, 0)?;
        // An extensible format names the real one at the start of its GUID.
        let kind = if kind == FORMAT_EXTENSIBLE { two_octets(body, 24)? } else { kind };
        let rate = body.get(4..8).and_then(|octets| octets.first_chunk());
        let rate_hz = u32::from_le_bytes(*rate.ok_or(WavError::NotWav)?);
        let format = Self { rate_hz, channels: two_octets(body, 2)?, bits: two_octets(body, 14)? };
        if kind != FORMAT_PCM || !matches!(format.bits, 8 | 16) {
            return Err(WavError::Encoding { kind, bits: format.bits });
        }
        if !matches!(format.channels, 1 | 2) {
            return Err(WavError::Channels(format.channels));
        }
        if !(RATE_HZ_MIN..=RATE_HZ_MAX).contains(&rate_hz) {
            return Err(WavError::Rate(rate_hz));
        }
        Ok(format)
    }

    /// Reads whole frames; what is left of a broken one is dropped.
    fn samples(self, data: &[u8]) -> Vec<f32> {
        let channels = usize::from(self.channels);
        let octets_a_sample = usize::from(self.bits / 8);
        let frames = data.chunks_exact(channels * octets_a_sample);
        let sample = |octets: &[u8]| match *octets {
            [low, high] => f32::from(i16::from_le_bytes([low, high])),
            // Eight bits are unsigned around 128, sixteen are signed.
            [octet] => (f32::from(octet) - 128.0) * 256.0,
            _ => 0.0,
        };
        let mixed = |frame: &[u8]| {
            frame.chunks_exact(octets_a_sample).map(sample).sum::<f32>() / f32::from(self.channels)
        };
        frames.map(mixed).collect()
    }
}

fn two_octets(body: &[u8], at: usize) -> Result<u16, WavError> {
    let octets = body.get(at..).and_then(|rest| rest.first_chunk());
    octets.map(|octets| u16::from_le_bytes(*octets)).ok_or(WavError::NotWav)
}

/// Why a WAV file cannot be used; `Display` says what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WavError {
    /// The octets are not a WAV file, or break off in its header.
    NotWav,
    /// The file ends without sound.
    NoData,
    /// The samples are compressed or of another size.
    Encoding {
        /// The format tag of the file.
        kind: u16,
        /// Its bits per sample.
        bits: u16,
    },
    /// There are more than two channels, or none.
    Channels(u16),
    /// The sampling rate in hertz is outside of 8 to 48 kHz.
    Rate(u32),
}

impl fmt::Display for WavError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotWav => f.write_str("it is not a WAV file"),
            Self::NoData => f.write_str("the WAV file has no sound in it"),
            Self::Encoding { kind, bits } => write!(
                f,
                "the WAV file has format {kind} with {bits} bits: save it as PCM of 8 or 16 bits"
            ),
            Self::Channels(channels) => {
                write!(f, "the WAV file has {channels} channels: save it as mono or stereo")
            }
            Self::Rate(rate_hz) => write!(
                f,
                "the WAV file has {rate_hz} samples a second: save it with {RATE_HZ_MIN} to \
                 {RATE_HZ_MAX}"
            ),
        }
    }
}

impl Error for WavError {}

/// The telephone's own rate: less would have to be invented.
const RATE_HZ_MIN: u32 = 8000;

/// The highest rate that synthesisers and sound cards commonly write.
const RATE_HZ_MAX: u32 = 48_000;

/// `WAVE_FORMAT_PCM` and `WAVE_FORMAT_EXTENSIBLE` (RFC 2361, appendix A, and mmreg.h).
const FORMAT_PCM: u16 = 1;
const FORMAT_EXTENSIBLE: u16 = 0xFFFE;

/// The header of what `render` writes.
const HEADER_BYTES: usize = 44;

#[cfg(test)]
mod tests {
    use super::*;

    fn wav(rate_hz: u32, channels: u16, bits: u16, size: u32, data: &[u8]) -> Vec<u8> {
        let mut wav = b"RIFF\xFF\xFF\xFF\x7FWAVELIST\x03\0\0\0abc\0fmt \x10\0\0\0\x01\0".to_vec();
        wav.extend(channels.to_le_bytes());
        wav.extend(rate_hz.to_le_bytes());
        wav.extend([0; 6]);
        wav.extend(bits.to_le_bytes());
        wav.extend(b"data");
        wav.extend(size.to_le_bytes());
        wav.extend(data);
        wav
    }

    fn samples(octets: &[u8]) -> Vec<f32> {
        parse(octets).unwrap_or_else(|error| panic!("{error}")).samples
    }

    #[test]
    fn what_we_write_we_read() {
        let sound = parse(&render(&[0, 1, -1, i16::MAX, i16::MIN], 8000)).ok().unwrap();
        assert_eq!(sound.rate_hz, 8000);
        assert_eq!(sound.samples, [0.0, 1.0, -1.0, 32_767.0, -32_768.0]);
    }

    #[test]
    fn a_stream_with_a_bogus_size_is_read_to_its_end() {
        for size in [0, 0x7FFF_F000, u32::MAX] {
            assert_eq!(samples(&wav(22_050, 1, 16, size, &[1, 0, 2, 0])), [1.0, 2.0]);
        }
    }

    #[test]
    fn what_follows_the_sound_is_not_played() {
        assert_eq!(samples(&wav(8000, 1, 16, 2, b"\x01\0LIST\x04\0\0\0abcd")), [1.0]);
    }

    #[test]
    fn two_channels_are_mixed_and_eight_bits_widened() {
        assert_eq!(samples(&wav(44_100, 2, 16, 8, &[2, 0, 4, 0, 6, 0, 8, 0])), [3.0, 7.0]);
        assert_eq!(samples(&wav(8000, 1, 8, 3, &[128, 255, 0])), [0.0, 32_512.0, -32_768.0]);
    }

    #[test]
    fn half_a_sample_at_the_end_is_dropped() {
        assert_eq!(samples(&wav(8000, 1, 16, 0, &[1, 0, 2])), [1.0]);
    }

    #[test]
    fn what_cannot_be_used_is_told_apart() {
        let refused = |octets: &[u8]| parse(octets).err();
        assert_eq!(refused(b""), Some(WavError::NotWav));
        assert_eq!(refused(b"ID3 and so on, an MP3 file"), Some(WavError::NotWav));
        assert_eq!(refused(b"RIFF\0\0\0\0WAVE"), Some(WavError::NoData));
        assert_eq!(refused(&wav(8000, 6, 16, 0, &[])), Some(WavError::Channels(6)));
        assert_eq!(refused(&wav(4000, 1, 16, 0, &[])), Some(WavError::Rate(4000)));
        let encoding = WavError::Encoding { kind: 1, bits: 24 };
        assert_eq!(refused(&wav(8000, 1, 24, 0, &[])), Some(encoding));
    }

    #[test]
    fn no_beginning_of_a_file_makes_the_parser_fall_over() {
        let whole = wav(22_050, 2, 16, 8, &[1, 0, 2, 0, 3, 0, 4, 0]);
        for end in 0..whole.len() {
            let _ = parse(&whole[..end]);
        }
    }
}
