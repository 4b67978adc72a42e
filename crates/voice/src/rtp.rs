//! RTP packets (RFC 3550) and the keys in them (RFC 4733).

/// The fixed header of an RTP packet, without contributing sources.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Set on the first packet after silence in which nothing was sent.
    pub marker: bool,
    /// What the payload is; 7 bits.
    pub payload_type: u8,
    /// Counts packets and wraps.
    pub sequence: u16,
    /// Counts samples and wraps.
    pub timestamp: u32,
    /// Which stream the packet belongs to.
    pub ssrc: u32,
}

impl Header {
    /// Renders the header in front of a packet.
    pub fn render(&self) -> [u8; HEADER_BYTES] {
        let kind = u8::from(self.marker) << 7 | self.payload_type & 0x7F;
        let [q0, q1] = self.sequence.to_be_bytes();
        let [t0, t1, t2, t3] = self.timestamp.to_be_bytes();
        let [s0, s1, s2, s3] = self.ssrc.to_be_bytes();
        [VERSION_2, kind, q0, q1, t0, t1, t2, t3, s0, s1, s2, s3]
    }
}

/// A packet that was received, borrowed from its datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet<'a> {
    /// The fixed header.
    pub header: Header,
    /// What follows contributing sources and extension, without padding.
    pub payload: &'a [u8],
}

impl<'a> Packet<'a> {
    /// Parses a datagram; anything that is not RTP of version 2 is `None`.
    pub fn parse(datagram: &'a [u8]) -> Option<Self> {
        let (fixed, rest) = datagram.split_first_chunk::<HEADER_BYTES>()?;
        let [flags, kind, q0, q1, t0, t1, t2, t3, s0, s1, s2, s3] = *fixed;
        if flags >> 6 != 2 {
            return None;
        }
        let sources = usize::from(flags & 0x0F) * 4;
        let mut payload = rest.get(sources..)?;
        if flags & EXTENSION != 0 {
            let ([_, _, w0, w1], words) = payload.split_first_chunk::<4>()?;
            payload = words.get(usize::from(u16::from_be_bytes([*w0, *w1])) * 4..)?;
        }
        if flags & PADDING != 0 {
            let padding = usize::from(*payload.last()?);
            payload = payload.get(..payload.len().checked_sub(padding)?)?;
        }
        let header = Header {
            marker: kind & 0x80 != 0,
            payload_type: kind & 0x7F,
            sequence: u16::from_be_bytes([q0, q1]),
            timestamp: u32::from_be_bytes([t0, t1, t2, t3]),
            ssrc: u32::from_be_bytes([s0, s1, s2, s3]),
        };
        Some(Self { header, payload })
    }
}

/// A key of a telephone: a digit, star, hash, or one of the letters A to D.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Key(u8);

impl Key {
    /// The key that asks to hear it again.
    pub const ONE: Self = Self(1);

    /// Parses the payload of a telephone event (RFC 4733 section 2.3); other events are `None`.
    pub fn from_event(payload: &[u8]) -> Option<Self> {
        let [event, _, _, _, ..] = payload else { return None };
        (*event <= LAST_KEY_EVENT).then_some(Self(*event))
    }

    /// Parses the body of an INFO request with `Signal=5`, as `application/dtmf-relay` has it.
    pub fn from_relay(body: &str) -> Option<Self> {
        let (_, value) = body
            .lines()
            .filter_map(|line| line.split_once('='))
            .find(|(name, _)| name.trim().eq_ignore_ascii_case("signal"))?;
        let mut letters = value.trim().chars();
        let key = letters.next()?;
        let event = KEYS.chars().position(|known| known == key.to_ascii_uppercase())?;
        letters.next().is_none().then_some(())?;
        u8::try_from(event).ok().map(Self)
    }
}

/// Finds the presses of keys in a stream of events, each of which is sent many times.
#[derive(Debug, Clone, Copy, Default)]
pub struct KeyPresses {
    last: Option<u32>,
}

impl KeyPresses {
    /// Returns the key if the packet is the first seen of its press.
    ///
    /// All packets of a press carry its start as their timestamp (RFC 4733 section 2.5.1.2). The
    /// first that arrives counts, not the one with the end bit, because that can be lost.
    pub fn handle_event(&mut self, timestamp: u32, payload: &[u8]) -> Option<Key> {
        let key = Key::from_event(payload)?;
        let newer = self.last.is_none_or(|last| {
            let ahead = timestamp.wrapping_sub(last);
            ahead != 0 && ahead < HALF_OF_TIME
        });
        newer.then(|| {
            self.last = Some(timestamp);
            key
        })
    }
}

/// RFC 3550 section 5.1: the header without contributing sources.
pub const HEADER_BYTES: usize = 12;

const VERSION_2: u8 = 2 << 6;
const PADDING: u8 = 1 << 5;
const EXTENSION: u8 = 1 << 4;

/// RFC 4733 section 3.2: events 0 to 15 are keys, in this order.
const LAST_KEY_EVENT: u8 = 15;
const KEYS: &str = "0123456789*#ABCD";

/// Of two wrapping timestamps the one less than half of the range ahead is the newer.
const HALF_OF_TIME: u32 = 1 << 31;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HEADER: Header = Header {
        marker: true,
        payload_type: 101,
        sequence: 0x1234,
        timestamp: 0x0102_0304,
        ssrc: 7,
    };

    #[test]
    fn a_header_is_rendered_as_rfc_3550_draws_it() {
        let expected = [0x80, 0xE5, 0x12, 0x34, 1, 2, 3, 4, 0, 0, 0, 7];
        assert_eq!(HEADER.render(), expected);
    }

    #[test]
    fn a_packet_with_sources_extension_and_padding_yields_its_payload_alone() {
        let mut datagram = HEADER.render().to_vec();
        datagram[0] |= PADDING | EXTENSION | 1;
        datagram.extend([9, 9, 9, 9]);
        datagram.extend([0xBE, 0xDE, 0, 1, 8, 8, 8, 8]);
        datagram.extend([42, 43, 0, 2]);
        let packet = Packet::parse(&datagram).unwrap();
        assert_eq!((packet.header, packet.payload), (HEADER, &[42, 43][..]));
    }

    #[test]
    fn what_is_not_rtp_is_not_parsed() {
        assert_eq!(Packet::parse(&[0x80; 11]), None);
        assert_eq!(Packet::parse(&[0x40; 12]), None, "version 1");
        assert_eq!(Packet::parse(&[0xA0; 13]), None, "more padding than payload");
    }

    #[test]
    fn a_key_held_for_many_packets_is_pressed_once() {
        let mut presses = KeyPresses::default();
        assert!(presses.handle_event(800, &[1, 10, 0, 160]) == Some(Key::ONE));
        assert!(presses.handle_event(800, &[1, 10, 1, 64]).is_none());
        assert!(presses.handle_event(800, &[1, 0x8A, 1, 224]).is_none());
        assert!(presses.handle_event(4_000, &[1, 10, 0, 160]) == Some(Key::ONE));
        assert!(presses.handle_event(800, &[1, 0x8A, 1, 224]).is_none(), "a straggler");
        assert!(presses.handle_event(4_000_000_000, &[1, 10, 0, 0]).is_none(), "from long ago");
    }

    #[test]
    fn a_press_counts_though_its_end_was_lost_and_across_the_wrap_of_time() {
        let mut presses = KeyPresses::default();
        assert!(presses.handle_event(u32::MAX, &[11, 10, 0, 160]).is_some());
        assert!(presses.handle_event(5, &[1, 10, 0, 160]) == Some(Key::ONE));
    }

    #[test]
    fn a_flash_of_the_hook_is_not_a_key_and_a_short_event_is_none() {
        assert!(Key::from_event(&[16, 0, 0, 0]).is_none());
        assert!(Key::from_event(&[1, 0, 0]).is_none());
    }

    #[test]
    fn a_key_is_read_from_an_info_request() {
        assert!(Key::from_relay("Signal= 1\r\nDuration=160\r\n") == Some(Key::ONE));
        assert!(Key::from_relay("signal=d").is_some());
        assert!(Key::from_relay("Signal=12").is_none());
        assert!(Key::from_relay("Duration=160").is_none());
    }

    proptest! {
        #[test]
        fn no_datagram_makes_the_parser_panic(datagram in prop::collection::vec(any::<u8>(), 0..80)) {
            if let Some(packet) = Packet::parse(&datagram) {
                KeyPresses::default().handle_event(packet.header.timestamp, packet.payload);
            }
        }

        #[test]
        fn what_is_rendered_is_parsed(
            marker: bool, payload_type in 0_u8..128, sequence: u16, timestamp: u32, ssrc: u32,
            payload in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            let header = Header { marker, payload_type, sequence, timestamp, ssrc };
            let mut datagram = header.render().to_vec();
            datagram.extend(&payload);
            prop_assert_eq!(Packet::parse(&datagram), Some(Packet { header, payload: &payload }));
        }

        #[test]
        fn no_info_makes_the_parser_panic(body in ".{0,60}") {
            let _: Option<Key> = Key::from_relay(&body);
        }
    }
}
