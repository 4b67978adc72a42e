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

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::time::Duration;

    use engine::wording::Alphabet;
    use engine::{AttemptId, Channel, MessageId, SecretText, Subject};

    use super::*;
    use crate::channels::Timing;
    use crate::config::{BindMode, NumberingPlans};

    #[test]
    fn a_sender_is_marked_by_its_kind_and_a_recipient_is_a_number() {
        for (from, text, ton, npi) in [
            (Some("12345"), "12345", 3, 0),
            (Some("447700900000"), "447700900000", 1, 1),
            (Some("Acme"), "Acme", 5, 0),
            (None, "", 0, 0),
        ] {
            let message = &short_messages(&config(), &dispatch("hi", from), 7)[0];
            let Address { ton: told_ton, npi: told_npi, text: told } = &message.source;
            assert_eq!((told.as_str(), *told_ton, *told_npi), (text, ton, npi));
            assert_eq!(message.destination.text, "12015550123");
            assert_eq!((message.destination.ton, message.destination.npi), (1, 1));
        }
    }

    #[test]
    fn a_link_marks_addresses_as_its_carrier_wishes_and_asks_for_receipts_or_not() {
        let mut config = config();
        config.numbering.short_code = TonNpi { ton: 0, npi: 1 };
        config.registered_delivery = false;
        config.service_type = "OTP".to_owned();
        let message = &short_messages(&config, &dispatch("hi", Some("12345")), 7)[0];
        assert_eq!((message.source.ton, message.source.npi), (0, 1));
        assert_eq!((message.registered_delivery, message.service_type.as_str()), (0, "OTP"));
    }

    #[test]
    fn parts_share_a_reference_and_a_whole_text_has_none() {
        let dispatch = dispatch(&"a".repeat(161), None);
        let parts = short_messages(&config(), &dispatch, 7);
        let read: Vec<_> = parts.iter().map(|message| Part::of(message).unwrap()).collect();
        let part = |index| Part { reference: 7, total: 2, index };
        assert_eq!(read, [part(1), part(2)]);
        let payload = SmppConfig { segmentation: Segmentation::Payload, ..config() };
        let whole = short_messages(&payload, &dispatch, 7);
        assert_eq!((whole.len(), Part::of(&whole[0]), whole[0].text().len()), (1, None, 161));
    }

    #[test]
    fn a_message_is_never_tried_for_longer_than_it_is_of_use() {
        let now = Timestamp::from_millis(1_000_000);
        let after = |millis| validity(now, now.after(Duration::from_millis(millis)));
        assert_eq!(after(90_999).as_deref(), Some("000000000130000R"));
        assert_eq!(after(1000).as_deref(), Some("000000000001000R"));
        assert_eq!(after(999), None);
    }

    fn config() -> SmppConfig {
        SmppConfig {
            hosts: Vec::new(),
            tls: None,
            system_id: "esme".to_owned(),
            password_file: "password".into(),
            system_type: String::new(),
            bind: BindMode::Transceiver,
            binds: 1,
            window: 10,
            pdus_per_s: NonZeroU32::MIN,
            enquire_link: Duration::from_secs(20),
            response_timeout: Duration::from_secs(10),
            ids: None,
            alphabet: Alphabet::Gsm,
            segmentation: Segmentation::Udh,
            registered_delivery: true,
            service_type: String::new(),
            numbering: NumberingPlans::default(),
        }
    }

    fn dispatch(text: &str, originator: Option<&str>) -> Dispatch {
        Dispatch {
            attempt: AttemptId { subject: Subject::Message(MessageId::from_u64(16)), step: 0 },
            channel: Channel::Sms,
            number: 12_015_550_123,
            originator: originator.map(str::to_owned),
            text: SecretText::concat(&[text]),
            spoken: None,
            expires_at: Timestamp::from_millis(1_000_000),
            timing: Timing::begin(Duration::ZERO),
        }
    }
}
