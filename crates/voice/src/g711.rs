//! G.711: 16-bit samples to the octets of PCMU and PCMA, and back.

/// Encodes a sample as µ-law (ITU-T G.711, table 2a), as PCMU carries it.
pub fn ulaw_encode(sample: i16) -> u8 {
    let magnitude = sample.unsigned_abs().min(ULAW_CLIP) + ULAW_BIAS;
    // The bias makes bit 7 or a higher one the leading one.
    let exponent = 8 - magnitude.leading_zeros().min(8);
    let mantissa = (magnitude >> (exponent + 3)) & 0x0F;
    let sign = if sample < 0 { 0x80 } else { 0 };
    !(sign | low_octet(exponent << 4) | low_octet(u32::from(mantissa)))
}

/// Decodes an octet of PCMU.
pub fn ulaw_decode(octet: u8) -> i16 {
    let octet = !octet;
    let exponent = (octet >> 4) & 0x07;
    let mantissa = i16::from(octet & 0x0F);
    let magnitude = (((mantissa << 3) + ULAW_STEP_BIAS) << exponent) - ULAW_STEP_BIAS;
    if octet & 0x80 == 0 { magnitude } else { -magnitude }
}

/// Encodes a sample as A-law (ITU-T G.711, table 1a), as PCMA carries it.
pub fn alaw_encode(sample: i16) -> u8 {
    // Negative samples are counted from -1, so that both halves of the scale have the same steps.
    let magnitude = if sample < 0 { !sample } else { sample }.unsigned_abs() >> 3;
    let exponent = (16 - magnitude.leading_zeros()).saturating_sub(5);
    let mantissa = (magnitude >> exponent.max(1)) & 0x0F;
    let sign = if sample < 0 { 0 } else { 0x80 };
    (sign | low_octet(exponent << 4) | low_octet(u32::from(mantissa))) ^ ALAW_TOGGLE
}

/// Decodes an octet of PCMA.
pub fn alaw_decode(octet: u8) -> i16 {
    let octet = octet ^ ALAW_TOGGLE;
    let exponent = (octet >> 4) & 0x07;
    let mantissa = i16::from(octet & 0x0F);
    let magnitude = match exponent {
        0 => (mantissa << 4) + 8,
        _ => ((mantissa << 4) + 0x108) << (exponent - 1),
    };
    if octet & 0x80 == 0 { -magnitude } else { magnitude }
}

/// Takes the low eight bits, which are all there are in what is built above.
fn low_octet(bits: u32) -> u8 {
    bits.to_le_bytes()[0]
}

/// The bias of the µ-law segments in the 16-bit scale.
const ULAW_BIAS: u16 = 0x84;

/// The same, as a signed number for the way back.
const ULAW_STEP_BIAS: i16 = 0x84;

/// The loudest magnitude that the bias does not carry beyond 15 bits.
const ULAW_CLIP: u16 = 32_635;

/// Every other bit of PCMA is inverted on the wire (ITU-T G.711, section 2.3).
const ALAW_TOGGLE: u8 = 0x55;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_samples_have_their_octets() {
        for (sample, ulaw, alaw) in [
            (0, 0xFF, 0xD5),
            (-1, 0x7F, 0x55),
            (8, 0xFE, 0xD5),
            (1000, 0xCE, 0xFA),
            (-1000, 0x4E, 0x7A),
            (i16::MAX, 0x80, 0xAA),
            (i16::MIN, 0x00, 0x2A),
        ] {
            assert_eq!(ulaw_encode(sample), ulaw, "µ-law of {sample}");
            assert_eq!(alaw_encode(sample), alaw, "A-law of {sample}");
        }
    }

    #[test]
    fn every_octet_survives_decoding_and_encoding() {
        for octet in 0..=u8::MAX {
            // µ-law has two zeros, of which the encoder writes the positive one.
            let same_ulaw = if octet == 0x7F { 0xFF } else { octet };
            assert_eq!(ulaw_encode(ulaw_decode(octet)), same_ulaw, "{octet:#04x}");
            assert_eq!(alaw_encode(alaw_decode(octet)), octet, "{octet:#04x}");
        }
    }

    #[test]
    fn a_sample_comes_back_within_a_step_of_its_loudness() {
        for sample in (i16::MIN..=i16::MAX).step_by(7) {
            let allowed = i32::from(sample.unsigned_abs()) / 16 + 20;
            for back in [ulaw_decode(ulaw_encode(sample)), alaw_decode(alaw_encode(sample))] {
                let off = (i32::from(back) - i32::from(sample)).abs();
                assert!(off <= allowed.max(140), "{sample} came back as {back}");
            }
        }
    }
}
