//! PDUs octet by octet, as the specification lays them out.

use smpp::{
    Address, Bind, BindKind, BindResp, Body, INTERFACE_VERSION, MessageResp, Password, Pdu,
    SHORT_MESSAGE_OCTETS_MAX, ShortMessage, Status, Tlvs, command, frame, tag,
};

#[test]
fn the_sample_bind_of_the_specification_is_read_and_written() {
    let octets =
        hex("0000002F 00000002 00000000 00000001 534D50503354455354 00 7365637265743038 00
         5355424D495431 00 00 01 01 00");
    let bind = Bind {
        kind: BindKind::Transmitter,
        system_id: "SMPP3TEST".to_owned(),
        password: Password::new("secret08".to_owned()),
        system_type: "SUBMIT1".to_owned(),
        interface_version: 0,
        address_range: Address { ton: 1, npi: 1, text: String::new() },
    };
    check(&octets, &Pdu::request(1, Body::Bind(bind)));
}

#[test]
fn a_bind_response_tells_the_version_in_a_parameter() {
    let octets = hex("0000001A 80000009 00000000 00000001 534D5343 00 0210 0001 34");
    let mut tlvs = Tlvs::default();
    tlvs.push(tag::SC_INTERFACE_VERSION, [INTERFACE_VERSION].as_slice());
    let resp = BindResp { system_id: "SMSC".to_owned(), tlvs };
    assert_eq!(resp.interface_version(), Some(0x34));
    check(&octets, &Pdu::response(Status::ROK, 1, Body::BindResp(BindKind::Transceiver, resp)));
}

#[test]
fn a_submit_has_its_fields_in_the_order_of_section_4_4_1() {
    let octets = hex(
        "00000050 00000004 00000000 7FFFFFFF 00 05 00 41434D45 00 01 01 34393135313132333435363738
         00 40 00 01 00 30303030303030303130303030303052 00 01 00 08 00 08 050003AA02010430
         0204 0002 0102",
    );
    let mut tlvs = Tlvs::default();
    tlvs.push(tag::USER_MESSAGE_REFERENCE, [1, 2].as_slice());
    let message = ShortMessage {
        source: Address::alphanumeric("ACME"),
        destination: Address::international("+4915112345678"),
        esm_class: 0x40,
        priority: 1,
        validity_period: "000000001000000R".to_owned(),
        registered_delivery: 1,
        data_coding: 8,
        short_message: [5, 0, 3, 0xAA, 2, 1, 4, 0x30].as_slice().into(),
        tlvs,
        ..ShortMessage::default()
    };
    check(&octets, &Pdu::request(0x7FFF_FFFF, Body::SubmitSm(message)));
}

#[test]
fn a_data_sm_has_its_text_in_a_parameter() {
    let octets =
        hex("00000021 00000103 00000000 00000002 00 01 01 31 00 00 00 00 04 01 03 0424 0002 6162");
    let mut tlvs = Tlvs::default();
    tlvs.push(tag::MESSAGE_PAYLOAD, b"ab".as_slice());
    let message = ShortMessage {
        source: Address::international("1"),
        esm_class: 4,
        registered_delivery: 1,
        data_coding: 3,
        tlvs,
        ..ShortMessage::default()
    };
    assert_eq!(message.octets(), b"ab");
    check(&octets, &Pdu::request(2, Body::DataSm(message)));
}

#[test]
fn responses_without_a_body_are_sixteen_octets() {
    for (command_id, status, body) in [
        (command::ENQUIRE_LINK, Status::ROK, Body::EnquireLink),
        (0x8000_0015, Status::ROK, Body::EnquireLinkResp),
        (command::UNBIND, Status::ROK, Body::Unbind),
        (0x8000_0006, Status::ROK, Body::UnbindResp),
        (command::GENERIC_NACK, Status::RINVCMDID, Body::GenericNack),
        (0x8000_0004, Status::RTHROTTLED, Body::SubmitSmResp(MessageResp::default())),
        (0x8000_0001, Status::RINVPASWD, Body::BindResp(BindKind::Receiver, BindResp::default())),
    ] {
        let octets = [16, command_id, status.0, 7].into_iter().flat_map(u32::to_be_bytes);
        check(&octets.collect::<Vec<_>>(), &Pdu::response(status, 7, body));
    }
}

#[test]
fn a_text_too_long_for_its_field_is_sent_as_a_parameter() {
    for (length, is_parameter) in
        [(SHORT_MESSAGE_OCTETS_MAX, false), (SHORT_MESSAGE_OCTETS_MAX + 1, true), (65_535, true)]
    {
        let short_message = vec![b'a'; length].into();
        let message = ShortMessage { short_message, ..ShortMessage::default() };
        let mut octets = Vec::new();
        Pdu::request(1, Body::SubmitSm(message)).render(&mut octets);
        let Body::SubmitSm(read) = Pdu::parse(frame(&octets).unwrap().unwrap()).body else {
            panic!("no submit")
        };
        assert_eq!(read.tlvs.find(tag::MESSAGE_PAYLOAD).is_some(), is_parameter, "{length}");
        assert_eq!(read.octets().len(), length);
    }
}

#[test]
fn a_frame_waits_for_all_of_its_octets_and_refuses_impossible_lengths() {
    let octets = hex("00000010 00000015 00000000 00000001 0000");
    for cut in 0..16 {
        assert_eq!(frame(&octets[..cut]), Ok(None), "{cut}");
    }
    assert_eq!(frame(&octets), Ok(Some(&octets[..16])));
    for length in [0, 15, 70_001, u32::MAX] {
        assert_eq!(frame(&length.to_be_bytes()).unwrap_err().0, length);
    }
    assert_eq!(frame(&70_000_u32.to_be_bytes()), Ok(None));
}

#[test]
fn commands_the_specification_knows_are_told_from_those_it_does_not() {
    let known = [command::QUERY_SM, command::CANCEL_SM, 0x8000_0003, command::GENERIC_NACK];
    assert!(known.into_iter().all(command::is_known));
    assert!(![0, 0x0A, 0x8000_000B, 0x8000_0102, 0x0001_0200].into_iter().any(command::is_known));
}

fn check(octets: &[u8], pdu: &Pdu) {
    assert_eq!(Pdu::parse(octets), *pdu);
    let mut written = Vec::new();
    pdu.render(&mut written);
    assert_eq!(written, octets);
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u32> = text.chars().filter_map(|digit| digit.to_digit(16)).collect();
    let octets = digits.chunks(2).map(|pair| pair.iter().fold(0, |sum, digit| sum << 4 | digit));
    octets.map(|octet| u8::try_from(octet).unwrap_or(u8::MAX)).collect()
}
