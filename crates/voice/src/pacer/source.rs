//! Where a call's packets go, and whose are taken.

use std::net::{IpAddr, SocketAddr};

use crate::rtp::Header;

/// The other end of a call's audio.
///
/// It is where the description says. Behind an address translation it is where the audio comes
/// from, and that is believed with care: whoever guesses the port could turn the call to himself.
/// So it must be a stream, in the codec that was agreed on; and where the description names an
/// address that can be reached from here, only its port may be another.
#[derive(Debug)]
pub(super) struct Source {
    address: SocketAddr,
    /// Where the last description said.
    described: SocketAddr,
    /// Whether audio may come from elsewhere, and is then answered there.
    symmetric: bool,
    /// Whether anything has come from the address.
    heard: bool,
    /// How many ticks nothing has come from it.
    silent_ticks: u32,
    /// Who has sent one packet that fits.
    candidate: Option<Candidate>,
}

#[derive(Debug)]
struct Candidate {
    from: SocketAddr,
    header: Header,
    /// How many ticks ago.
    age: u32,
}

impl Source {
    pub(super) fn new(address: SocketAddr, symmetric: bool) -> Self {
        Self {
            address,
            described: address,
            symmetric,
            heard: false,
            silent_ticks: 0,
            candidate: None,
        }
    }

    /// Returns where packets go now.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes a new description; one that says the same again changes nothing.
    pub(super) fn aim(&mut self, address: SocketAddr) {
        if address != self.described {
            *self = Self::new(address, self.symmetric);
        }
    }

    /// Lets 20 ms pass, in which all that came was read.
    pub(super) fn tick(&mut self) {
        self.silent_ticks = self.silent_ticks.saturating_add(1);
        if let Some(candidate) = &mut self.candidate {
            candidate.age += 1;
        }
        self.candidate.take_if(|candidate| candidate.age > CANDIDATE_TICKS);
    }

    /// Returns whether a packet is the other end's; `fits` tells whether its payload was agreed on.
    pub(super) fn takes(&mut self, from: SocketAddr, header: Header, fits: bool) -> bool {
        if from != self.address {
            let is_free = !self.heard || self.silent_ticks >= SILENT_TICKS;
            let is_near = from.ip() == self.described.ip() || is_hidden(self.described.ip());
            if !self.symmetric || !fits || !is_free || !is_near {
                return false;
            }
            let last = self.candidate.replace(Candidate { from, header, age: 0 });
            if last.is_none_or(|last| last.from != from || !follows(last.header, header)) {
                return false;
            }
            self.address = from;
        }
        (self.heard, self.silent_ticks, self.candidate) = (true, 0, None);
        true
    }
}

/// Returns whether one packet comes right after another in a stream; the same one once more does not.
fn follows(last: Header, next: Header) -> bool {
    let passed = next.timestamp.wrapping_sub(last.timestamp);
    // All packets of a key carry the time of its start.
    let is_key = next.payload_type >= DYNAMIC_TYPES && next.payload_type == last.payload_type;
    let is_later = passed < HALF_OF_TIME && (passed > 0 || is_key);
    next.ssrc == last.ssrc && next.sequence == last.sequence.wrapping_add(1) && is_later
}

/// Returns whether an address is one of a network of its own, and means nothing outside of it.
fn is_hidden(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            // RFC 6598: between a carrier and its customers.
            let [a, b, ..] = v4.octets();
            let is_shared = a == 100 && b & 0xC0 == 64;
            let is_local = v4.is_loopback() || v4.is_link_local() || v4.is_unspecified();
            v4.is_private() || is_shared || is_local
        }
        IpAddr::V6(v6) => {
            let is_local = v6.is_unique_local() || v6.is_unicast_link_local();
            is_local || v6.is_loopback() || v6.is_unspecified()
        }
    }
}

/// 200 ms: three of the longest packets that phones send.
const CANDIDATE_TICKS: u32 = 10;

/// RFC 3551 section 6: from here on types are agreed on by name, as those of keys are.
const DYNAMIC_TYPES: u8 = 96;

/// A timestamp wraps; what is further ahead than this is behind.
const HALF_OF_TIME: u32 = 1 << 31;

/// Three seconds: longer than a phone that suppresses silence takes between two packets of comfort
/// noise, and short enough for a key to be heard after a translation has moved.
const SILENT_TICKS: u32 = 150;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_sends_two_packets_of_a_stream_is_followed() {
        let mut source = Source::new(at(1), true);
        assert!(!source.takes(at(2), packet(7, 1), true), "one packet is no stream");
        assert!(!source.takes(at(2), packet(8, 2), true), "nor are two of different streams");
        assert!(!source.takes(at(2), packet(8, 2), true), "nor is one that came twice");
        assert!(!source.takes(at(2), packet(8, 4), true), "nor two with others between them");
        let still = Header { sequence: 5, ..packet(8, 4) };
        assert!(!source.takes(at(2), still, true), "nor two of one moment");
        assert!(source.takes(at(2), packet(8, 6), true));
        assert_eq!(source.address(), at(2));
    }

    #[test]
    fn the_packets_of_a_key_are_a_stream_though_they_tell_one_moment() {
        let mut source = Source::new(at(1), true);
        let key = |sequence| Header { payload_type: 101, sequence, ..packet(7, 1) };
        assert!(!source.takes(at(2), key(1), true) && source.takes(at(2), key(2), true));
    }

    #[test]
    fn a_second_packet_that_comes_too_late_is_a_first_one() {
        let mut source = Source::new(at(1), true);
        assert!(!source.takes(at(2), packet(7, 1), true));
        for _ in 0..=CANDIDATE_TICKS {
            source.tick();
        }
        assert!(
            !source.takes(at(2), packet(7, 2), true) && source.takes(at(2), packet(7, 3), true)
        );
    }

    #[test]
    fn an_address_that_can_be_reached_is_left_for_another_port_of_its_own_only() {
        let public = SocketAddr::from(([198, 51, 100, 7], 4000));
        let port = SocketAddr::from(([198, 51, 100, 7], 4002));
        let follows = |described, from| {
            let mut source = Source::new(described, true);
            source.takes(from, packet(7, 1), true);
            source.takes(from, packet(7, 2), true)
        };
        assert!(follows(public, port) && !follows(public, at(1)));
        for hidden in ["10.1.2.3", "192.168.0.2", "172.16.0.9", "169.254.1.1", "100.127.0.1"] {
            let hidden: IpAddr = hidden.parse().unwrap();
            assert!(follows(SocketAddr::new(hidden, 4000), public), "{hidden}");
        }
        assert!(!follows(SocketAddr::from(([100, 128, 0, 1], 4000)), public));
    }

    #[test]
    fn what_was_not_agreed_on_leads_nowhere() {
        let mut source = Source::new(at(1), true);
        for sequence in 0..3 {
            assert!(!source.takes(at(2), packet(7, sequence), false));
        }
        assert!(
            source.takes(at(1), packet(7, 3), false),
            "from where it should come, noise may too"
        );
        assert_eq!(source.address(), at(1));
    }

    #[test]
    fn nobody_takes_a_call_over_from_whom_is_heard_until_he_has_long_been_silent() {
        let mut source = Source::new(at(1), true);
        assert!(source.takes(at(1), packet(1, 1), true));
        for tick in (1..).take(SILENT_TICKS as usize - 1) {
            source.tick();
            assert!(!source.takes(at(2), packet(7, tick), true));
        }
        source.tick();
        assert!(!source.takes(at(2), packet(7, 200), true));
        assert!(source.takes(at(2), packet(7, 201), true), "a translation that has moved");
        assert!(!source.takes(at(1), packet(1, 2), true));
    }

    #[test]
    fn without_symmetry_only_the_description_counts() {
        let mut source = Source::new(at(1), false);
        assert!(
            !source.takes(at(2), packet(7, 1), true) && !source.takes(at(2), packet(7, 2), true)
        );
        source.aim(at(2));
        assert!(source.takes(at(2), packet(7, 3), true));
    }

    #[test]
    fn a_description_that_says_the_same_again_changes_nothing() {
        let mut source = Source::new(at(1), true);
        assert!(
            !source.takes(at(2), packet(7, 1), true) && source.takes(at(2), packet(7, 2), true)
        );
        source.aim(at(1));
        assert_eq!(source.address(), at(2), "whom it follows, it goes on to follow");
        assert!(
            !source.takes(at(3), packet(8, 1), true) && !source.takes(at(3), packet(8, 2), true)
        );
        source.aim(at(4));
        assert_eq!(source.address(), at(4));
    }

    fn at(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    fn packet(ssrc: u32, sequence: u16) -> Header {
        let timestamp = u32::from(sequence) * 160;
        Header { marker: false, payload_type: 0, sequence, timestamp, ssrc }
    }
}
