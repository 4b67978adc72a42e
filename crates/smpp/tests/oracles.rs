//! Generated PDUs, read back as they were written, by us and by codecs that others wrote.

use bytes::{Buf, BytesMut};
use proptest::prelude::*;
use rusmpp::decode::DecodeWithLength;
use rusmpp::encode::Length;
use rusmpp::encode::owned::Encode;
use smpp::{
    Address, AlertNotification, Bind, BindKind, BindResp, Body, MessageResp, Octets, Outbind,
    Password, Pdu, ShortMessage, Status, Tlvs, command, frame, tag,
};
use smpp34::CommandHeader;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(CASES))]

    #[test]
    fn what_is_written_is_read_back_as_it_was(pdu in any_pdu()) {
        let octets = rendered(&pdu);
        prop_assert_eq!(frame(&octets), Ok(Some(octets.as_slice())));
        prop_assert_eq!(&Pdu::parse(&octets), &pdu);
    }

    #[test]
    fn any_octets_are_read_and_what_was_read_settles(
        octets in prop::collection::vec(any::<u8>(), 0..300),
        command_id in prop::sample::select(COMMANDS),
    ) {
        let mut octets = octets;
        if let Some(place) = octets.get_mut(4..8) {
            place.copy_from_slice(&command_id.to_be_bytes());
        }
        // What the odd octets meant is written cleanly, and from then on nothing changes.
        let cleaned = rendered(&Pdu::parse(&octets));
        let again = rendered(&Pdu::parse(&cleaned));
        prop_assert_eq!(cleaned, again);
    }

    #[test]
    fn rusmpp_reads_what_we_write_and_writes_the_same_octets(pdu in any_pdu()) {
        let octets = rendered(&pdu);
        let mut source = BytesMut::from(octets.as_slice());
        source.advance(4);
        let length = source.len();
        let decoded = rusmpp::Command::decode(&mut source, length);
        let (decoded, _) = decoded.map_err(|error| TestCaseError::fail(format!("{error:?} {pdu:?}")))?;
        prop_assert_eq!(decoded.sequence_number(), pdu.sequence);
        let mut encoded = BytesMut::with_capacity(decoded.length());
        decoded.encode(&mut encoded);
        prop_assert_eq!(&encoded[..], &octets[4..], "{:?}", pdu);
    }

    #[test]
    fn smpp34_reads_the_same_fields_of_a_short_message_and_writes_the_same_octets(
        message in short_message(),
        sequence in 1_u32..0x7FFF_FFFF,
    ) {
        let octets = rendered(&Pdu::request(sequence, Body::SubmitSm(message.clone())));
        let header = CommandHeader::decode(&octets).map_err(refused)?;
        let theirs = smpp34::submit_sm::decode(header, &octets).map_err(refused)?;
        prop_assert_eq!(&theirs.service_type, &message.service_type);
        prop_assert_eq!(&theirs.source_addr, &message.source.text);
        prop_assert_eq!(&theirs.destination_addr, &message.destination.text);
        prop_assert_eq!(theirs.esm_class, message.esm_class);
        prop_assert_eq!(theirs.priority_flag, message.priority);
        prop_assert_eq!(&theirs.validity_period, &message.validity_period);
        prop_assert_eq!(theirs.registered_delivery, message.registered_delivery);
        prop_assert_eq!(theirs.data_coding, message.data_coding);
        prop_assert_eq!(&theirs.short_message[..], message.short_message.reveal());
        let tlvs: Vec<_> = message.tlvs.iter().map(|tlv| (tlv.tag, tlv.value.reveal())).collect();
        let their_tlvs: Vec<_> = theirs.tlvs.iter().map(|tlv| (tlv.tag, &tlv.value[..])).collect();
        prop_assert_eq!(tlvs, their_tlvs);
        prop_assert_eq!(theirs.encode(), octets);
    }

    #[test]
    fn smpp34_writes_deliveries_and_data_that_we_read(
        message in short_message(),
        sequence in 1_u32..0x7FFF_FFFF,
    ) {
        let octets = rendered(&Pdu::request(sequence, Body::DeliverSm(message)));
        let header = CommandHeader::decode(&octets).map_err(refused)?;
        let theirs = smpp34::deliver_sm::decode(header, &octets).map_err(refused)?;
        prop_assert_eq!(Pdu::parse(&theirs.encode()), Pdu::parse(&octets));
    }

    #[test]
    fn smpp34_reads_our_data_sm(message in data_message(), sequence in 1_u32..0x7FFF_FFFF) {
        let octets = rendered(&Pdu::request(sequence, Body::DataSm(message)));
        let header = CommandHeader::decode(&octets).map_err(refused)?;
        let theirs = smpp34::data_sm::decode(header, &octets).map_err(refused)?;
        prop_assert_eq!(theirs.encode(), octets);
    }
}

fn any_pdu() -> impl Strategy<Value = Pdu> {
    let request = prop_oneof![
        bind().prop_map(Body::Bind),
        short_message().prop_map(Body::SubmitSm),
        short_message().prop_map(Body::DeliverSm),
        data_message().prop_map(Body::DataSm),
        Just(Body::EnquireLink),
        Just(Body::Unbind),
        (text(15), text(8)).prop_map(|(system_id, password)| {
            Body::Outbind(Outbind { system_id, password: Password::new(password) })
        }),
        (address(), address()).prop_map(|(source, esme)| {
            Body::AlertNotification(AlertNotification { source, esme, tlvs: Tlvs::default() })
        }),
    ];
    let response = prop_oneof![
        (bind_kind(), text(15), version())
            .prop_map(|(kind, system_id, tlvs)| Body::BindResp(kind, BindResp { system_id, tlvs })),
        message_resp().prop_map(Body::SubmitSmResp),
        message_resp().prop_map(Body::DeliverSmResp),
        message_resp().prop_map(Body::DataSmResp),
        Just(Body::EnquireLinkResp),
        Just(Body::UnbindResp),
        Just(Body::GenericNack),
    ];
    let numbered = (1_u32..=0x7FFF_FFFF, any::<bool>());
    (request, response, numbered).prop_map(|(request, response, (sequence, asks))| {
        if asks {
            Pdu::request(sequence, request)
        } else {
            Pdu::response(Status::ROK, sequence, response)
        }
    })
}

fn bind_kind() -> impl Strategy<Value = BindKind> {
    prop::sample::select(vec![BindKind::Receiver, BindKind::Transmitter, BindKind::Transceiver])
}

fn bind() -> impl Strategy<Value = Bind> {
    (bind_kind(), text(15), text(8), text(12), any::<u8>(), address()).prop_map(
        |(kind, system_id, password, system_type, interface_version, address_range)| Bind {
            kind,
            system_id,
            password: Password::new(password),
            system_type,
            interface_version,
            address_range,
        },
    )
}

fn short_message() -> impl Strategy<Value = ShortMessage> {
    let times = prop_oneof![Just(String::new()), "[0-9]{15}[R+-]"];
    let flags = (any::<u8>(), any::<u8>(), any::<u8>(), any::<u8>(), any::<u8>());
    let octets = prop::collection::vec(any::<u8>(), 0..=254);
    (text(5), address(), address(), flags, times, octets, tlvs()).prop_map(
        |(service_type, source, destination, flags, validity_period, octets, tlvs)| {
            let (esm_class, protocol_id, priority, registered_delivery, data_coding) = flags;
            ShortMessage {
                service_type,
                source,
                destination,
                esm_class,
                protocol_id,
                priority,
                schedule_delivery_time: validity_period.clone(),
                validity_period,
                registered_delivery,
                replace_if_present: protocol_id & 1,
                data_coding,
                sm_default_msg_id: protocol_id,
                short_message: Octets::from(octets),
                tlvs,
            }
        },
    )
}

fn data_message() -> impl Strategy<Value = ShortMessage> {
    let octets = prop::collection::vec(any::<u8>(), 0..400);
    (short_message(), octets).prop_map(|(message, octets)| {
        let mut data = ShortMessage {
            service_type: message.service_type,
            source: message.source,
            destination: message.destination,
            esm_class: message.esm_class,
            registered_delivery: message.registered_delivery,
            data_coding: message.data_coding,
            ..ShortMessage::default()
        };
        data.tlvs.push(tag::MESSAGE_PAYLOAD, octets);
        data
    })
}

fn tlvs() -> impl Strategy<Value = Tlvs> {
    let vendor = (0x1400_u16..0x3FFF, prop::collection::vec(any::<u8>(), 0..20));
    let reference = any::<[u8; 2]>();
    (prop::collection::vec(vendor, 0..3), prop::option::of(reference)).prop_map(
        |(vendor, reference)| {
            let mut tlvs = Tlvs::default();
            if let Some(octets) = reference {
                tlvs.push(tag::USER_MESSAGE_REFERENCE, octets.as_slice());
                tlvs.push(tag::SAR_MSG_REF_NUM, octets.as_slice());
                tlvs.push(tag::SAR_TOTAL_SEGMENTS, [2].as_slice());
                tlvs.push(tag::SAR_SEGMENT_SEQNUM, [1].as_slice());
            }
            for (tag, value) in vendor {
                tlvs.push(tag, value);
            }
            tlvs
        },
    )
}

fn version() -> impl Strategy<Value = Tlvs> {
    prop::option::of(any::<u8>()).prop_map(|version| {
        let mut tlvs = Tlvs::default();
        if let Some(version) = version {
            tlvs.push(tag::SC_INTERFACE_VERSION, [version].as_slice());
        }
        tlvs
    })
}

fn message_resp() -> impl Strategy<Value = MessageResp> {
    text(64).prop_map(|message_id| MessageResp { message_id, tlvs: Tlvs::default() })
}

fn address() -> impl Strategy<Value = Address> {
    (any::<u8>(), any::<u8>(), text(20)).prop_map(|(ton, npi, text)| Address { ton, npi, text })
}

/// Printable, as the other codecs refuse what is not.
fn text(characters_max: usize) -> impl Strategy<Value = String> {
    prop::collection::vec(b' '..=b'~', 0..=characters_max)
        .prop_map(|octets| octets.into_iter().map(char::from).collect())
}

fn rendered(pdu: &Pdu) -> Vec<u8> {
    let mut octets = Vec::new();
    pdu.render(&mut octets);
    octets
}

fn refused(error: smpp34::SmppError) -> TestCaseError {
    TestCaseError::fail(format!("{error:?}"))
}

const COMMANDS: &[u32] = &[
    command::BIND_TRANSCEIVER,
    command::BIND_TRANSCEIVER | command::RESPONSE,
    command::OUTBIND,
    command::SUBMIT_SM,
    command::SUBMIT_SM | command::RESPONSE,
    command::DELIVER_SM,
    command::DATA_SM,
    command::ALERT_NOTIFICATION,
    command::QUERY_SM,
];

/// Each case is written and read in microseconds.
const CASES: u32 = 512;
