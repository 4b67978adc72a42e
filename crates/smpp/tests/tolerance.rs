//! PDUs that break the specification as real SMSCs do; none of them ends a session.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "functions beside the tests fail as the tests do"
)]

use std::num::NonZeroU32;
use std::time::Duration;

use smpp::{
    BindKind, DeliveryReceipt, Event, MessageState, Outcome, Password, Pdu, Session, SessionConfig,
    ShortMessage, Status, command, frame,
};

#[test]
fn every_odd_pdu_is_read_as_far_as_it_goes_and_the_session_goes_on() {
    for (name, odd, expected) in cases() {
        let mut session = bound();
        let sequence = submit(&mut session, 1);
        assert_eq!(sequence, SUBMIT, "{name}");
        session.handle_bytes(&odd, NOW);
        let written = written(&mut session);
        match (expected, &events(&mut session)[..]) {
            (Expected::Ends(outcome), [Event::Submitted { token: 1, outcome: found }]) => {
                assert_eq!(*found, outcome, "{name}");
            }
            (Expected::Delivers(check), [Event::Delivered { message, .. }]) => {
                assert!(check(message), "{name}");
            }
            (Expected::Is(command_id), []) => {
                assert_eq!(written.len(), 1, "{name}");
                assert_eq!(written[0].body.command_id(), command_id, "{name}");
            }
            (Expected::Nothing, []) => assert_eq!(written, [], "{name}"),
            (_, events) => panic!("{name}: {events:?}"),
        }
        goes_on(&mut session, name);
    }
}

enum Expected {
    /// The submit in flight ends.
    Ends(Outcome),
    /// A delivery is handed on.
    Delivers(fn(&ShortMessage) -> bool),
    /// One PDU of this command is written.
    Is(u32),
    Nothing,
}

fn cases() -> Vec<(&'static str, Vec<u8>, Expected)> {
    let mut cases = odd_responses();
    cases.extend(odd_deliveries());
    cases.extend(odd_commands());
    assert_eq!(cases.len(), 30);
    cases
}

fn odd_responses() -> Vec<(&'static str, Vec<u8>, Expected)> {
    let resp = |body: &[u8]| pdu(command::SUBMIT_SM | command::RESPONSE, 0, SUBMIT, body);
    let failed = |body: &[u8]| pdu(command::SUBMIT_SM | command::RESPONSE, 0x45, SUBMIT, body);
    let accepted = |id: &str| Expected::Ends(Outcome::Accepted { id: id.to_owned() });
    let rejected = || Expected::Ends(Outcome::Rejected { status: Status::RSUBMITFAIL });
    vec![
        ("message_id of Latin-1", resp(b"\xE9\xFF1\0"), accepted("éÿ1")),
        ("message_id over 64", resp(&[b'7'; 80]), accepted(&"7".repeat(80))),
        ("message_id without NUL", resp(b"7f"), accepted("7f")),
        ("message_id empty", resp(b"\0"), accepted("")),
        ("message_id missing", resp(b""), accepted("")),
        ("octets behind message_id", resp(b"7f\0\xAA"), accepted("7f")),
        ("vendor parameter in a response", resp(b"7f\0\x14\x00\x00\x01x"), accepted("7f")),
        ("error with header only", failed(b""), rejected()),
        ("error with an empty id", failed(b"\0"), rejected()),
        ("error with an id", failed(b"7f\0"), rejected()),
        (
            "status of a vendor",
            pdu(command::SUBMIT_SM | command::RESPONSE, 0x0400, SUBMIT, b""),
            Expected::Ends(Outcome::Rejected { status: Status(0x0400) }),
        ),
        ("generic_nack", pdu(command::GENERIC_NACK, 0x45, SUBMIT, b""), rejected()),
        ("generic_nack with a body", pdu(command::GENERIC_NACK, 0x45, SUBMIT, b"\0x"), rejected()),
    ]
}

fn odd_deliveries() -> Vec<(&'static str, Vec<u8>, Expected)> {
    let deliver = |body: &[u8]| pdu(command::DELIVER_SM, 0, 9, body);
    let is_delivered: fn(&ShortMessage) -> bool =
        |message| DeliveryReceipt::of(message).unwrap().state == MessageState::Delivered;
    vec![
        (
            "receipted_message_id without NUL",
            deliver(&delivery(b"1", b"", b"\x00\x1E\x00\x027f")),
            Expected::Delivers(|message| DeliveryReceipt::of(message).unwrap().id() == Some("7f")),
        ),
        (
            "source_addr of Latin-1",
            deliver(&delivery(b"Caf\xE9", b"", b"")),
            Expected::Delivers(|message| message.source.text == "Café"),
        ),
        (
            "source_addr over 20",
            deliver(&delivery(&[b'1'; 40], b"", b"")),
            Expected::Delivers(|message| message.source.text.len() == 40),
        ),
        (
            "message_state of two octets",
            deliver(&delivery(b"1", b"", b"\x04\x27\x00\x02\x00\x02")),
            Expected::Delivers(is_delivered),
        ),
        (
            "network_error_code of two octets",
            deliver(&delivery(b"1", b"", b"\x04\x23\x00\x02\x00\x05")),
            Expected::Delivers(|message| {
                DeliveryReceipt::of(message).unwrap().network_error.unwrap().code == 5
            }),
        ),
        (
            "trailing octet",
            deliver(&delivery(b"1", b"", b"\x04\x27\x00\x01\x02\xFF")),
            Expected::Delivers(is_delivered),
        ),
        (
            "vendor parameter before a known one",
            deliver(&delivery(b"1", b"", b"\x14\x00\x00\x01x\x04\x27\x00\x01\x02")),
            Expected::Delivers(is_delivered),
        ),
        (
            "parameter longer than the body",
            deliver(&delivery(b"1", b"", b"\x04\x24\xFF\xFFstat:DELIVRD")),
            Expected::Delivers(is_delivered),
        ),
        (
            "schedule time of four octets",
            deliver(&delivery(b"1", b"2611", b"\x04\x27\x00\x01\x02")),
            Expected::Delivers(|message| message.schedule_delivery_time == "2611"),
        ),
        (
            "sm_length over the body",
            deliver(b"\0\x01\x011\0\x01\x012\0\x04\0\0\0\0\0\0\0\0\xFFstat:DELIVRD"),
            Expected::Delivers(is_delivered),
        ),
        (
            "body of nothing",
            deliver(b""),
            Expected::Delivers(|message| *message == ShortMessage::default()),
        ),
        (
            "data_sm with a receipt",
            pdu(command::DATA_SM, 0, 9, b"\0\x01\x011\0\x01\x012\0\x04\0\0\x04\x27\x00\x01\x02"),
            Expected::Delivers(is_delivered),
        ),
    ]
}

fn odd_commands() -> Vec<(&'static str, Vec<u8>, Expected)> {
    let answer = command::ENQUIRE_LINK | command::RESPONSE;
    vec![
        ("unknown command", pdu(0x0001_0200, 0, 9, b"what?"), Expected::Is(command::GENERIC_NACK)),
        ("unknown response", pdu(0x8001_0200, 0, 9, b"what?"), Expected::Nothing),
        ("enquire_link with a body", pdu(command::ENQUIRE_LINK, 0, 9, b"hi"), Expected::Is(answer)),
        (
            "enquire_link with a status",
            pdu(command::ENQUIRE_LINK, 0x45, 0, b""),
            Expected::Is(answer),
        ),
        (
            "response to nothing",
            pdu(command::SUBMIT_SM | command::RESPONSE, 0, 0xFFFF_FFFF, b"1\0"),
            Expected::Nothing,
        ),
    ]
}

fn delivery(source: &[u8], schedule: &[u8], tlvs: &[u8]) -> Vec<u8> {
    let start = b"\0\x01\x01".as_slice();
    let middle = b"\0\x01\x012\0\x04\0\0".as_slice();
    let end = b"\0\0\0\0\0\0\0".as_slice();
    [start, source, middle, schedule, end, tlvs].concat()
}

fn pdu(command_id: u32, status: u32, sequence: u32, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(16 + body.len()).unwrap();
    let header = [length, command_id, status, sequence].into_iter().flat_map(u32::to_be_bytes);
    header.chain(body.iter().copied()).collect()
}

fn bound() -> Session {
    let password = Password::new("secret8".to_owned());
    let rate = NonZeroU32::new(1000).unwrap();
    let config = SessionConfig::new(BindKind::Transceiver, "esme1", password, rate);
    let mut session = Session::new(config, NOW);
    session.handle_bytes(&pdu(command::BIND_TRANSCEIVER | command::RESPONSE, 0, 1, b""), NOW);
    let _bind = written(&mut session);
    assert!(matches!(&events(&mut session)[..], [Event::Bound(_)]));
    session
}

fn submit(session: &mut Session, token: u64) -> u32 {
    session.submit(token, &ShortMessage::default(), NOW).unwrap();
    let sequence = written(session)[0].sequence;
    assert_eq!(events(session), [Event::Written { token }]);
    sequence
}

fn goes_on(session: &mut Session, name: &str) {
    let sequence = submit(session, 2);
    let resp = pdu(command::SUBMIT_SM | command::RESPONSE, 0, sequence, b"ok\0");
    session.handle_bytes(&resp, NOW);
    let outcome = Outcome::Accepted { id: "ok".to_owned() };
    assert_eq!(events(session), [Event::Submitted { token: 2, outcome }], "{name}");
}

fn events(session: &mut Session) -> Vec<Event> {
    std::iter::from_fn(|| session.poll_event()).collect()
}

fn written(session: &mut Session) -> Vec<Pdu> {
    let mut octets = Vec::new();
    session.take_output(&mut octets);
    let mut rest = octets.as_slice();
    let mut found = Vec::new();
    while let Some(pdu) = frame(rest).unwrap() {
        found.push(Pdu::parse(pdu));
        rest = rest.split_at(pdu.len()).1;
    }
    found
}

const NOW: Duration = Duration::from_secs(1);

/// The bind was the first request.
const SUBMIT: u32 = 2;
