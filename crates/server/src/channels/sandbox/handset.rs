//! What a handset sends: one message, or as many parts as its text takes.

use std::sync::Arc;

use engine::SecretText;
use engine::wording::gsm::Septets;

use super::NAME;
use crate::clock;
use crate::driver::{Driver, InboundMessage};
use crate::store::{Concat, StoreError};

/// Sends a text from a handset to one of our numbers, as its owner would.
///
/// # Errors
/// The store fails; some of the parts may have been taken.
pub async fn send(driver: &Arc<Driver>, from: u64, to: &str, text: &str) -> Result<(), StoreError> {
    let parts = parts(text);
    let total = u8::try_from(parts.len()).unwrap_or(u8::MAX);
    let reference = u16::from_be_bytes(clock::random_bytes());
    for (part, text) in (1..=total).zip(parts) {
        let message = InboundMessage {
            from,
            to: to.to_owned(),
            text: SecretText::concat(&[text]),
            concat: Concat::new(reference, total, part),
            id: Some(format!("{:016x}", u64::from_be_bytes(clock::random_bytes()))),
        };
        driver.handle_inbound(NAME, message).await?;
    }
    Ok(())
}

/// Cuts a text where a handset does: as late as a part has room.
fn parts(text: &str) -> Vec<&str> {
    let septets = |character| Septets::of(character).map(Septets::count);
    let is_gsm = text.chars().all(|character| septets(character).is_some());
    let units = |character: char| {
        if is_gsm { septets(character).unwrap_or_default() } else { character.len_utf16() }
    };
    let (single, part) = if is_gsm { GSM_UNITS } else { UCS2_UNITS };
    if text.chars().map(units).sum::<usize>() <= single {
        return vec![text];
    }
    let mut parts = Vec::new();
    let (mut begin, mut filled) = (0, 0);
    for (at, character) in text.char_indices() {
        if filled + units(character) > part {
            parts.extend(text.get(begin..at));
            (begin, filled) = (at, 0);
        }
        filled += units(character);
    }
    parts.extend(text.get(begin..));
    parts
}

/// How much a message alone holds, and a part of several (3GPP TS 23.040, section 9.2.3.24).
const GSM_UNITS: (usize, usize) = (160, 153);
const UCS2_UNITS: (usize, usize) = (70, 67);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_into_parts_that_make_it_up_again() {
        let text = |character: &str, times| character.repeat(times);
        for (text, count) in [
            (String::new(), 1),
            (text("a", 160), 1),
            (text("a", 161), 2),
            (text("€", 80), 1),
            (text("€", 81), 2),
            (text("☃", 70), 1),
            (text("☃", 71), 2),
            (text("🔑", 67), 3),
        ] {
            let parts = parts(&text);
            assert_eq!((parts.len(), parts.concat()), (count, text));
        }
    }
}
