//! What a handset hears of a call, made when somebody asks for it.

use std::time::Duration;

use voice::g711::Codec;
use voice::playout::{Next, PACKET_SAMPLES, Playout, TICK};
use voice::rtp::Key;
use voice::script::{Item, Script};
use voice::speech::{SpeechError, recording};

use super::scenario::Pickup;
use crate::channels::Spoken;
use crate::speech::Voices;

/// Renders what a handset hears as a WAV file: 16-bit samples, 8000 a second.
///
/// What a call plays is played here as well, and whoever holds the handset presses keys.
pub(super) async fn heard(
    voices: &Voices,
    spoken: &Spoken,
    pickup: Pickup,
    length_max: Option<Duration>,
) -> Result<Vec<u8>, SpeechError> {
    let script = voices.script(spoken).await?;
    let keys = keys(&script, pickup);
    let mut playout = Playout::new(script);
    let mut samples = Vec::new();
    let mut payload = [0; PACKET_SAMPLES];
    for tick in 0..TICKS_MAX {
        let at = TICK * tick;
        if length_max.is_some_and(|max| at >= max) {
            break;
        }
        if keys.contains(&tick) {
            playout.handle_key(Key::ONE);
        }
        match playout.poll_packet(Codec::Pcmu, &mut payload) {
            Next::Packet => samples.extend_from_slice(&payload),
            Next::Over(_) => break,
        }
    }
    Ok(recording(&samples))
}

/// Returns when whoever holds the handset presses 1: as soon as it has been asked for.
fn keys(script: &Script, pickup: Pickup) -> Vec<u32> {
    let mut keys = Vec::new();
    let mut at = Duration::ZERO;
    let mut press = |at: Duration| {
        let ticks = at.as_millis() / TICK.as_millis();
        keys.push(u32::try_from(ticks).unwrap_or(u32::MAX));
    };
    match pickup {
        Pickup::Machine => return Vec::new(),
        Pickup::Person | Pickup::HangsUp | Pickup::PressesOne => {}
    }
    if let Some(gate) = &script.gate {
        at += length(&gate.prompt).saturating_sub(BEFORE_END);
        press(at);
    }
    if pickup == Pickup::PressesOne {
        at += length(&script.items).saturating_sub(BEFORE_END);
        press(at);
    }
    keys
}

fn length(items: &[Item]) -> Duration {
    let length = |item: &Item| match item {
        Item::Clip(clip) => clip.duration(),
        Item::Silence(time) => *time,
    };
    items.iter().map(length).sum()
}

/// What asks for a key ends with the time to press it, of which this much is left then.
const BEFORE_END: Duration = Duration::from_secs(2);

/// The longest call of the configuration's range.
const TICKS_MAX: u32 = 600 * 50;
