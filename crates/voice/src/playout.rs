//! Decides what the next 20 ms of a call carry; it is told of time only by being asked.

use std::time::Duration;

use crate::g711::Codec;
use crate::rtp::Key;
use crate::script::{Gate, Item, Script};

/// Plays a script packet by packet.
///
/// Each packet asked for is one tick of 20 ms. Clips follow each other without a gap: what is left
/// of a packet when one ends is filled by the next.
#[derive(Debug)]
pub struct Playout {
    script: Script,
    phase: Phase,
    cursor: Cursor,
    repeats: u8,
    bodies: u32,
}

/// What a playout has to say when asked for a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// The packet was filled.
    Packet,
    /// All has been played; nothing was filled.
    Over(Finish),
}

/// How a script came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finish {
    /// The items were played to their end.
    Played,
    /// Nobody pressed the key that the gate asks for, so the items were not played.
    Unopened,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Prompt { plays: u8 },
    AwaitKey { plays: u8 },
    Body,
    Listen,
    Farewell,
    Over(Finish),
}

/// A place in a list of items.
#[derive(Debug, Clone, Copy, Default)]
struct Cursor {
    item: usize,
    sample: usize,
}

impl Playout {
    /// Begins a script.
    pub fn new(script: Script) -> Self {
        let phase = match &script.gate {
            Some(gate) if gate.plays_max == 0 => Phase::Over(Finish::Unopened),
            Some(_) => Phase::Prompt { plays: 1 },
            None => Phase::Body,
        };
        Self { script, phase, cursor: Cursor::default(), repeats: 0, bodies: 0 }
    }

    /// Returns how often the items were played to their end.
    pub fn bodies_played(&self) -> u32 {
        self.bodies
    }

    /// Takes a key: any opens the gate, 1 plays the items again while repeats are left.
    pub fn handle_key(&mut self, key: Key) {
        match self.phase {
            Phase::Prompt { .. } | Phase::AwaitKey { .. } => self.enter(Phase::Body),
            Phase::Body | Phase::Listen | Phase::Farewell => {
                if key == Key::ONE && self.repeats < self.script.repeats_max {
                    self.repeats += 1;
                    self.enter(Phase::Body);
                }
            }
            Phase::Over(_) => {}
        }
    }

    /// Fills the payload of the next packet.
    pub fn poll_packet(&mut self, codec: Codec, payload: &mut [u8; PACKET_SAMPLES]) -> Next {
        let mut rest: &mut [u8] = payload;
        while !rest.is_empty() {
            if let Phase::Over(finish) = self.phase {
                // A packet that was begun is sent, and the end is told at the next.
                if rest.len() == PACKET_SAMPLES {
                    return Next::Over(finish);
                }
                rest.fill(codec.silence());
                return Next::Packet;
            }
            let filled = self.fill(codec, rest);
            if filled == 0 {
                self.advance();
            }
            rest = rest.get_mut(filled..).unwrap_or_default();
        }
        Next::Packet
    }

    /// Fills as much as the current item gives; nothing at the end of the phase.
    fn fill(&mut self, codec: Codec, rest: &mut [u8]) -> usize {
        let waited;
        let items: &[Item] = match self.phase {
            Phase::Prompt { .. } => self.script.gate.as_ref().map_or(&[], |gate| &gate.prompt),
            Phase::AwaitKey { .. } => {
                waited = [Item::Silence(self.script.gate.as_ref().map_or(Duration::ZERO, wait_of))];
                &waited
            }
            Phase::Body => &self.script.items,
            Phase::Listen => {
                waited = [Item::Silence(self.script.listen)];
                &waited
            }
            Phase::Farewell => &self.script.farewell,
            Phase::Over(_) => &[],
        };
        while let Some(item) = items.get(self.cursor.item) {
            let filled = match item {
                Item::Clip(clip) => {
                    let ahead = clip.octets(codec).get(self.cursor.sample..).unwrap_or_default();
                    copy(ahead, rest)
                }
                Item::Silence(time) => {
                    let ahead = samples_of(*time).saturating_sub(self.cursor.sample);
                    let count = ahead.min(rest.len());
                    rest.get_mut(..count).unwrap_or_default().fill(codec.silence());
                    count
                }
            };
            if filled > 0 {
                self.cursor.sample += filled;
                return filled;
            }
            self.cursor = Cursor { item: self.cursor.item + 1, sample: 0 };
        }
        0
    }

    /// Goes on when the items of a phase have been played.
    fn advance(&mut self) {
        let next = match self.phase {
            Phase::Prompt { plays } => Phase::AwaitKey { plays },
            Phase::AwaitKey { plays } => {
                let more = self.script.gate.as_ref().is_some_and(|gate| plays < gate.plays_max);
                if more {
                    Phase::Prompt { plays: plays.saturating_add(1) }
                } else {
                    Phase::Over(Finish::Unopened)
                }
            }
            Phase::Body => {
                self.bodies += 1;
                if self.repeats < self.script.repeats_max { Phase::Listen } else { Phase::Farewell }
            }
            Phase::Listen => Phase::Farewell,
            Phase::Farewell => Phase::Over(Finish::Played),
            Phase::Over(finish) => Phase::Over(finish),
        };
        self.enter(next);
    }

    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.cursor = Cursor::default();
    }
}

fn wait_of(gate: &Gate) -> Duration {
    gate.wait
}

fn copy(from: &[u8], to: &mut [u8]) -> usize {
    let count = from.len().min(to.len());
    for (to, from) in to.iter_mut().zip(from) {
        *to = *from;
    }
    count
}

fn samples_of(time: Duration) -> usize {
    usize::try_from(time.as_micros() / MICROS_PER_SAMPLE).unwrap_or(usize::MAX)
}

/// 20 ms at 8000 samples a second.
pub const PACKET_SAMPLES: usize = 160;

/// How much time a packet carries.
pub const TICK: Duration = Duration::from_millis(20);

/// 1 s / 8000 samples.
const MICROS_PER_SAMPLE: u128 = 125;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::script::Clip;

    /// A clip of one value, so that what is played can be read back as a word of letters.
    fn clip(letter: u8, samples: usize) -> Item {
        let octets: Vec<u8> = vec![letter; samples];
        Item::Clip(Clip { ulaw: octets.clone().into(), alaw: octets.into() })
    }

    fn ticks(count: u64) -> Duration {
        TICK * u32::try_from(count).unwrap()
    }

    /// Plays until the end, presses keys at the ticks given, and returns one letter a packet.
    fn play(script: Script, keys: &[(usize, u8)]) -> (String, Finish) {
        let mut playout = Playout::new(script);
        let mut heard = String::new();
        for tick in 0..1_000 {
            for (_, event) in keys.iter().filter(|(at, _)| *at == tick) {
                playout.handle_key(Key::from_event(&[*event, 0, 0, 0]).unwrap());
            }
            let mut payload = [0; PACKET_SAMPLES];
            match playout.poll_packet(Codec::Pcmu, &mut payload) {
                Next::Over(finish) => return (heard, finish),
                Next::Packet => heard.push(match payload[0] {
                    0xFF => '.',
                    letter => char::from(letter),
                }),
            }
        }
        panic!("the script does not end: {heard}");
    }

    fn script() -> Script {
        Script {
            gate: None,
            items: vec![clip(b'c', 320), Item::Silence(TICK)],
            repeats_max: 2,
            listen: ticks(3),
            farewell: vec![clip(b'f', 160)],
        }
    }

    fn gated() -> Script {
        let prompt = vec![clip(b'p', 160)];
        Script { gate: Some(Gate { prompt, plays_max: 2, wait: ticks(2) }), ..script() }
    }

    #[test]
    fn without_a_key_the_items_are_played_once_then_the_farewell() {
        assert_eq!(play(script(), &[]), ("cc....f".to_owned(), Finish::Played));
    }

    #[test]
    fn key_1_plays_the_items_again_as_often_as_allowed() {
        let (heard, _) = play(script(), &[(4, 1), (9, 1), (14, 1)]);
        // The third press is one too many: nothing is listened for, and the farewell goes on.
        assert_eq!(heard, "cc..cc...cc.f");
    }

    #[test]
    fn key_1_in_the_middle_of_the_items_begins_them_anew() {
        assert_eq!(play(script(), &[(1, 1)]).0, "ccc....f");
    }

    #[test]
    fn key_1_during_the_farewell_is_still_heard() {
        assert_eq!(play(script(), &[(6, 1)]).0, "cc....cc....f");
    }

    #[test]
    fn other_keys_do_nothing_once_the_items_play() {
        assert_eq!(play(script(), &[(1, 2), (4, 11)]).0, "cc....f");
    }

    #[test]
    fn nobody_at_the_gate_hears_nothing_but_the_prompt() {
        assert_eq!(play(gated(), &[]), ("p..p..".to_owned(), Finish::Unopened));
    }

    #[test]
    fn any_key_opens_the_gate_and_the_first_is_not_a_repeat() {
        assert_eq!(play(gated(), &[(2, 5)]), ("p.cc....f".to_owned(), Finish::Played));
        let once = Script { repeats_max: 1, ..gated() };
        assert_eq!(play(once, &[(0, 1), (1, 1)]).0, "ccc.f");
    }

    #[test]
    fn a_gate_that_may_not_ask_ends_the_call_without_the_code() {
        let mut script = gated();
        script.gate.as_mut().unwrap().plays_max = 0;
        assert_eq!(play(script, &[(0, 1)]), (String::new(), Finish::Unopened));
    }

    #[test]
    fn clips_follow_each_other_inside_a_packet_and_the_last_is_filled_up() {
        let items =
            vec![clip(b'a', 100), clip(b'b', 0), Item::Silence(Duration::ZERO), clip(b'c', 70)];
        let mut playout = Playout::new(Script::once(items));
        let mut payload = [0; PACKET_SAMPLES];
        assert_eq!(playout.poll_packet(Codec::Pcma, &mut payload), Next::Packet);
        assert_eq!((payload[99], payload[100], payload[159]), (b'a', b'c', b'c'));
        assert_eq!(playout.poll_packet(Codec::Pcma, &mut payload), Next::Packet);
        assert_eq!((payload[9], payload[10], payload[159]), (b'c', 0xD5, 0xD5));
        assert_eq!(playout.poll_packet(Codec::Pcma, &mut payload), Next::Over(Finish::Played));
        assert_eq!(playout.bodies_played(), 1);
    }

    #[test]
    fn a_script_of_nothing_is_over_at_once() {
        assert_eq!(play(Script::once(vec![]), &[]), (String::new(), Finish::Played));
    }

    proptest! {
        #[test]
        fn invariant_the_code_is_never_played_before_a_key_opened_the_gate(
            plays_max in 0_u8..4, key_at in 0_usize..20, event in 0_u8..16,
        ) {
            let mut script = gated();
            script.gate.as_mut().unwrap().plays_max = plays_max;
            let (heard, _) = play(script, &[(key_at, event)]);
            prop_assert!(heard.find('c').is_none_or(|first| first >= key_at));
        }

        #[test]
        fn invariant_the_items_are_played_at_most_as_often_as_allowed(
            keys in prop::collection::vec((0_usize..60, 0_u8..16), 0..30), repeats_max in 0_u8..4,
        ) {
            let (heard, _) = play(Script { repeats_max, ..script() }, &keys);
            let most = 2 * (usize::from(repeats_max) + 1);
            prop_assert!(heard.matches('c').count() <= most);
        }
    }
}
