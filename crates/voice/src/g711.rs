//! G.711: µ-law and A-law octets from linear samples and back.

/// How a call's audio is written on the wire; both are 8000 octets a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Codec {
    /// µ-law, RTP payload type 0 (RFC 3551 section 6).
    Pcmu,
    /// A-law, RTP payload type 8 (RFC 3551 section 6).
    Pcma,
}

impl Codec {
    /// Returns the static RTP payload type.
    pub fn payload_type(self) -> u8 {
        match self {
            Self::Pcmu => 0,
            Self::Pcma => 8,
        }
    }

    /// Returns the codec of a static RTP payload type, if it is one of ours.
    pub fn from_payload_type(payload_type: u8) -> Option<Self> {
        match payload_type {
            0 => Some(Self::Pcmu),
            8 => Some(Self::Pcma),
            _ => None,
        }
    }

    /// Returns the name of the encoding in SDP.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pcmu => "PCMU",
            Self::Pcma => "PCMA",
        }
    }

    /// Returns the octet that stands for silence.
    pub fn silence(self) -> u8 {
        match self {
            Self::Pcmu => 0xFF,
            Self::Pcma => 0xD5,
        }
    }

    /// Encodes one linear sample.
    pub fn encode(self, sample: i16) -> u8 {
        match self {
            Self::Pcmu => ulaw_from_linear(sample),
            Self::Pcma => alaw_from_linear(sample),
        }
    }

    /// Decodes one octet to a linear sample.
    pub fn decode(self, octet: u8) -> i16 {
        match self {
            Self::Pcmu => linear_from_ulaw(octet),
            Self::Pcma => linear_from_alaw(octet),
        }
    }
}

/// Encodes a linear sample as µ-law (G.711 table 2a), with the sixteen bits scaled to fourteen.
pub fn ulaw_from_linear(sample: i16) -> u8 {
    let sign = if sample < 0 { 0x80 } else { 0 };
    let biased = sample.unsigned_abs().min(ULAW_CLIP) + ULAW_BIAS;
    // The bias makes the smallest value 132, so its highest bit is bit 7 to bit 14.
    let exponent = 8 - biased.leading_zeros().min(8);
    let mantissa = (biased >> (exponent + 3)) & 0x0F;
    !(sign | low_octet(exponent) << 4 | low_octet(u32::from(mantissa)))
}

/// Decodes a µ-law octet to a linear sample of sixteen bits.
pub fn linear_from_ulaw(octet: u8) -> i16 {
    let plain = !octet;
    let exponent = (plain >> 4) & 0x07;
    let mantissa = i16::from(plain & 0x0F);
    let magnitude = (((mantissa << 3) + 132) << exponent) - 132;
    if plain & 0x80 == 0 { magnitude } else { -magnitude }
}

/// Encodes a linear sample as A-law (G.711 table 1a), with the sixteen bits scaled to thirteen.
pub fn alaw_from_linear(sample: i16) -> u8 {
    // A negative value is its one's complement, so that both halves have the same steps.
    let (sign, magnitude) = if sample < 0 { (0, !sample) } else { (0x80, sample) };
    let scaled = u32::from(magnitude.unsigned_abs()) >> 4;
    let exponent = (u32::BITS - scaled.leading_zeros()).saturating_sub(4);
    let mantissa = if exponent < 2 { scaled & 0x0F } else { (scaled >> (exponent - 1)) & 0x0F };
    (sign | low_octet(exponent) << 4 | low_octet(mantissa)) ^ ALAW_EVEN_BITS
}

/// Decodes an A-law octet to a linear sample of sixteen bits.
pub fn linear_from_alaw(octet: u8) -> i16 {
    let plain = octet ^ ALAW_EVEN_BITS;
    let exponent = (plain >> 4) & 0x07;
    let mantissa = i16::from(plain & 0x0F);
    let magnitude = if exponent == 0 {
        (mantissa << 4) + 8
    } else {
        ((mantissa << 4) + 0x108) << (exponent - 1)
    };
    if plain & 0x80 == 0 { -magnitude } else { magnitude }
}

/// Keeps the low octet of a value that fits it.
fn low_octet(value: u32) -> u8 {
    let [low, ..] = value.to_le_bytes();
    low
}

/// Samples of one second of a telephone call.
pub const SAMPLES_PER_SECOND: u32 = 8_000;

/// G.711 adds 33 at fourteen bits before it looks for the segment; this is that at sixteen.
const ULAW_BIAS: u16 = 132;

/// The largest magnitude that can be biased without leaving fifteen bits.
const ULAW_CLIP: u16 = 32_635;

/// G.711 section 3.2: the even bits of an A-law character are inverted.
const ALAW_EVEN_BITS: u8 = 0x55;

#[cfg(test)]
mod tests {
    use super::*;

    /// The positive decision values of G.711 table 2a: the ends of the segments and their octets.
    const ULAW_SEGMENTS: [(i16, u8); 9] = [
        (0, 0xFF),
        (31 * 4, 0xEF),
        (95 * 4, 0xDF),
        (223 * 4, 0xCF),
        (479 * 4, 0xBF),
        (991 * 4, 0xAF),
        (2_015 * 4, 0x9F),
        (4_063 * 4, 0x8F),
        (8_031 * 4, 0x80),
    ];

    /// The positive decision values of G.711 table 1a, in thirteen bits.
    const ALAW_SEGMENTS: [(i16, u8); 8] = [
        (0, 0xD5),
        (32 * 8, 0xD5 ^ 0x10),
        (64 * 8, 0xD5 ^ 0x20),
        (128 * 8, 0xD5 ^ 0x30),
        (256 * 8, 0xD5 ^ 0x40),
        (512 * 8, 0xD5 ^ 0x50),
        (1_024 * 8, 0xD5 ^ 0x60),
        (2_048 * 8, 0xD5 ^ 0x70),
    ];

    #[test]
    fn the_segments_of_mu_law_begin_where_table_2a_says() {
        for (sample, octet) in ULAW_SEGMENTS {
            assert_eq!(ulaw_from_linear(sample), octet, "{sample}");
        }
        assert_eq!(ulaw_from_linear(i16::MAX), 0x80);
        assert_eq!(ulaw_from_linear(i16::MIN), 0x00);
    }

    #[test]
    fn the_segments_of_a_law_begin_where_table_1a_says() {
        for (sample, octet) in ALAW_SEGMENTS {
            assert_eq!(alaw_from_linear(sample), octet, "{sample}");
        }
        assert_eq!(alaw_from_linear(i16::MAX), 0xAA);
        assert_eq!(alaw_from_linear(i16::MIN), 0x2A);
        assert_eq!(alaw_from_linear(-1), 0x55);
    }

    #[test]
    fn the_largest_values_decode_as_the_tables_say() {
        assert_eq!(linear_from_ulaw(0x80), 8_031 * 4);
        assert_eq!(linear_from_ulaw(0x00), -8_031 * 4);
        assert_eq!(linear_from_alaw(0xAA), 4_032 * 8);
        assert_eq!(linear_from_alaw(0x2A), -4_032 * 8);
    }

    #[test]
    fn every_octet_survives_decoding_and_encoding() {
        for octet in 0..=u8::MAX {
            assert_eq!(alaw_from_linear(linear_from_alaw(octet)), octet);
            // µ-law has two zeros, and the negative one is not written by an encoder.
            let expected = if octet == 0x7F { 0xFF } else { octet };
            assert_eq!(ulaw_from_linear(linear_from_ulaw(octet)), expected);
        }
    }

    #[test]
    fn no_sample_is_further_from_its_decoding_than_half_a_step() {
        for sample in i16::MIN..=i16::MAX {
            let magnitude = i32::from(sample).abs();
            // A step is at most a sixteenth of the segment's start, plus the finest step's half.
            let allowed = magnitude / 16 / 2 + magnitude / 32 + 16;
            for codec in [Codec::Pcmu, Codec::Pcma] {
                let error = i32::from(codec.decode(codec.encode(sample))) - i32::from(sample);
                assert!(error.abs() <= allowed, "{codec:?} {sample} {error}");
            }
        }
    }

    #[test]
    fn silence_decodes_to_the_middle() {
        assert_eq!(Codec::Pcmu.decode(Codec::Pcmu.silence()), 0);
        assert_eq!(Codec::Pcma.decode(Codec::Pcma.silence()), 8);
    }
}
