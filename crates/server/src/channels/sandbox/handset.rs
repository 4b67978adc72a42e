//! What a handset sends: one message, or as many parts as its text takes.

use std::sync::Arc;

use engine::SecretText;
use engine::wording::Segments;

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
    if Segments::of(text).count == 1 {
        return vec![text];
    }
    let encoding = Segments::of(text).encoding;
    let mut parts = Vec::new();
    let (mut begin, mut filled) = (0, 0);
    for (at, character) in text.char_indices() {
        let units = encoding.units(character);
        if filled + units > encoding.part_units() {
            parts.extend(text.get(begin..at));
            (begin, filled) = (at, 0);
        }
        filled += units;
    }
    parts.extend(text.get(begin..));
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_into_as_many_parts_as_it_is_counted() {
        let snowmen = "☃".repeat(140);
        let euros = "€".repeat(100);
        for text in ["", "STOP", &"a".repeat(160), &"a".repeat(161), &snowmen, &euros] {
            let parts = parts(text);
            assert_eq!(parts.len(), usize::from(Segments::of(text).count), "{text}");
            assert_eq!(parts.concat(), text);
        }
    }
}
