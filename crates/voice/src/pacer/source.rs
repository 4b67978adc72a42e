//! Where a call's packets go, and whose are taken.

use std::net::SocketAddr;

use crate::rtp::Header;

/// The other end of a call's audio.
///
/// It is where the description says. Behind an address translation it is where the audio comes
/// from, and that is believed with care: whoever guesses the port could turn the call to himself.
#[derive(Debug)]
pub(super) struct Source {
    address: SocketAddr,
    /// Whether audio may come from elsewhere, and is then answered there.
    symmetric: bool,
    /// Whether anything has come from the address.
    heard: bool,
    /// How many ticks nothing has come from it.
    silent_ticks: u32,
    /// Who has sent one packet that fits, and under which synchronisation source.
    candidate: Option<(SocketAddr, u32)>,
}

impl Source {
    pub(super) fn new(address: SocketAddr, symmetric: bool) -> Self {
        Self { address, symmetric, heard: false, silent_ticks: 0, candidate: None }
    }

    /// Returns where packets go now.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes a new description; one that says the same again changes nothing.
    pub(super) fn aim(&mut self, address: SocketAddr) {
        if address != self.address {
            *self = Self::new(address, self.symmetric);
        }
    }

    /// Lets 20 ms pass.
    pub(super) fn tick(&mut self) {
        self.silent_ticks = self.silent_ticks.saturating_add(1);
    }

    /// Returns whether a packet is the other end's; `fits` tells whether its payload was agreed on.
    pub(super) fn takes(&mut self, from: SocketAddr, header: Header, fits: bool) -> bool {
        if from != self.address {
            let is_free = !self.heard || self.silent_ticks >= SILENT_TICKS;
            if !self.symmetric || !fits || !is_free {
                return false;
            }
            let candidate = Some((from, header.ssrc));
            if self.candidate != candidate {
                self.candidate = candidate;
                return false;
            }
            self.address = from;
        }
        (self.heard, self.silent_ticks, self.candidate) = (true, 0, None);
        true
    }
}

/// Three seconds: longer than a phone that suppresses silence takes between two packets of comfort
/// noise, and short enough for a key to be heard after a translation has moved.
const SILENT_TICKS: u32 = 150;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_sends_twice_what_was_agreed_on_is_followed() {
        let mut source = Source::new(at(1), true);
        assert!(!source.takes(at(2), packet(7), true), "one packet is no stream");
        assert!(!source.takes(at(2), packet(8), true), "nor are two of different streams");
        assert!(source.takes(at(2), packet(8), true));
        assert_eq!(source.address(), at(2));
    }

    #[test]
    fn what_was_not_agreed_on_leads_nowhere() {
        let mut source = Source::new(at(1), true);
        for _ in 0..3 {
            assert!(!source.takes(at(2), packet(7), false));
        }
        assert!(source.takes(at(1), packet(7), false), "from where it should come, noise may too");
        assert_eq!(source.address(), at(1));
    }

    #[test]
    fn nobody_takes_a_call_over_from_whom_is_heard_until_he_has_long_been_silent() {
        let mut source = Source::new(at(1), true);
        assert!(source.takes(at(1), packet(1), true));
        for _ in 1..SILENT_TICKS {
            source.tick();
            assert!(!source.takes(at(2), packet(7), true));
        }
        source.tick();
        assert!(!source.takes(at(2), packet(7), true));
        assert!(source.takes(at(2), packet(7), true), "a translation that has moved");
        assert!(!source.takes(at(1), packet(1), true));
    }

    #[test]
    fn without_symmetry_only_the_description_counts() {
        let mut source = Source::new(at(1), false);
        assert!(!source.takes(at(2), packet(7), true) && !source.takes(at(2), packet(7), true));
        source.aim(at(2));
        assert!(source.takes(at(2), packet(7), true));
    }

    #[test]
    fn a_description_that_says_the_same_again_changes_nothing() {
        let mut source = Source::new(at(1), true);
        assert!(source.takes(at(1), packet(1), true));
        source.aim(at(1));
        assert!(!source.takes(at(2), packet(7), true) && !source.takes(at(2), packet(7), true));
    }

    fn at(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    fn packet(ssrc: u32) -> Header {
        Header { marker: false, payload_type: 0, sequence: 1, timestamp: 1, ssrc }
    }
}
