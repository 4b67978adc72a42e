//! An attempt as the short messages that carry it.

use engine::wording::{self, Cutting, Encoding, Joined};
use engine::{Originator, Timestamp};
use smpp::{
    Address, DATA_CODING_UCS2, Joining, Octets, Part, REGISTERED_DELIVERY_FINAL, ShortMessage,
    relative_validity,
};

use crate::channels::Dispatch;
use crate::config::{Segmentation, SmppConfig, TonNpi};

/// Writes an attempt as short messages, one a part; all parts of one message share `reference`.
pub(super) fn short_messages(
    config: &SmppConfig,
    dispatch: &Dispatch,
    reference: u16,
) -> Vec<ShortMessage> {
    let (joined, joining) = match config.segmentation {
        Segmentation::Udh => (Joined::ByReference8, Joining::Udh8),
        Segmentation::Sar => (Joined::ByReference8, Joining::Sar),
        Segmentation::Payload => (Joined::BySmsc, Joining::Udh8),
    };
    let cutting = Cutting { alphabet: config.alphabet, joined };
    let cut = wording::split(dispatch.text.reveal(), cutting);
    let total = u8::try_from(cut.parts.len()).unwrap_or(u8::MAX);
    let whole = ShortMessage {
        service_type: config.service_type.clone(),
        source: source(config, dispatch.originator.as_deref()),
        destination: address(config.numbering.destination, dispatch.number.to_string()),
        registered_delivery: if config.registered_delivery { REGISTERED_DELIVERY_FINAL } else { 0 },
        data_coding: match cut.encoding {
            // What the SMSC takes it for is the link's alphabet.
            Encoding::Gsm7 => 0,
            Encoding::Ucs2 => DATA_CODING_UCS2,
        },
        ..ShortMessage::default()
    };
    (1..=total)
        .zip(&cut.parts)
        .map(|(index, octets)| {
            let short_message = Octets::from(octets.reveal());
            let mut message = ShortMessage { short_message, ..whole.clone() };
            if total > 1 {
                Part { reference, total, index }.mark(joining, &mut message);
            }
            message
        })
        .collect()
}

/// Writes how long the SMSC may try, which is no longer than the code lives; `None` if that is too
/// short to be written.
pub(super) fn validity(now: Timestamp, expires_at: Timestamp) -> Option<String> {
    let left = expires_at.since(now);
    (left.as_secs() > 0).then(|| relative_validity(left))
}

fn source(config: &SmppConfig, originator: Option<&str>) -> Address {
    // The SMSC then takes the number that it has for the bind.
    let Some(originator) = originator else { return Address::default() };
    let plans = config.numbering;
    match Originator::parse(originator) {
        Ok(sender) => {
            let plan = match sender {
                Originator::ShortCode(_) => plans.short_code,
                Originator::LongNumber(_) => plans.long_number,
                Originator::Alphanumeric(_) => plans.alphanumeric,
            };
            address(plan, sender.as_str().into_owned())
        }
        Err(_) => address(plans.alphanumeric, originator.to_owned()),
    }
}

fn address(TonNpi { ton, npi }: TonNpi, text: String) -> Address {
    Address { ton, npi, text }
}
