//! What a session does, told as scenarios in which time is passed in.
#![expect(clippy::unwrap_used, reason = "functions beside the tests fail as the tests do")]

use std::num::NonZeroU32;
use std::time::Duration;

use smpp::{
    Address, BindKind, BindResp, Body, CloseReason, DeliveryToken, Event, ImpossibleLength,
    MessageResp, Outcome, Password, Pdu, REPLIES_QUEUED_MAX, Session, SessionConfig, ShortMessage,
    Status, SubmitRefusal, Tlvs, command, frame, tag,
};

#[test]
fn a_bind_is_asked_for_with_the_credentials_and_then_submits_are_taken() {
    let mut bench = Bench::unbound(usual());
    let Body::Bind(bind) = bench.written().remove(0).body else { panic!("no bind") };
    assert_eq!((bind.kind, bind.interface_version), (BindKind::Transceiver, 0x34));
    assert_eq!((bind.system_id.as_str(), bind.password.reveal()), ("esme1", "secret8"));
    assert_eq!(bench.submit(1), Err(SubmitRefusal::NotBound));
    let mut tlvs = Tlvs::default();
    tlvs.push(tag::SC_INTERFACE_VERSION, [0x34].as_slice());
    let resp = BindResp { system_id: "SMSC".to_owned(), tlvs };
    bench.hear(Status::ROK, 1, Body::BindResp(BindKind::Transceiver, resp));
    let [Event::Bound(facts)] = &bench.events()[..] else { panic!("not bound") };
    assert_eq!((facts.system_id.as_str(), facts.interface_version), ("SMSC", Some(0x34)));
    assert_eq!(bench.submit(1), Ok(()));
}

#[test]
fn a_bind_response_without_a_body_binds() {
    let mut bench = Bench::unbound(usual());
    bench.hear_octets(&[0, 0, 0, 16, 0x80, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 1]);
    assert!(matches!(&bench.events()[..], [Event::Bound(facts)] if facts.system_id.is_empty()));
}

#[test]
fn a_refused_bind_says_why_and_ends_the_session() {
    for body in [Body::BindResp(BindKind::Transceiver, BindResp::default()), Body::GenericNack] {
        let mut bench = Bench::unbound(usual());
        bench.hear(Status::RINVPASWD, 1, body);
        let status = Status::RINVPASWD;
        let closed = closed(CloseReason::BindRefused(status));
        assert_eq!(bench.events(), [Event::BindRefused { status }, closed]);
        assert_eq!(bench.submit(1), Err(SubmitRefusal::Closing));
    }
}

#[test]
fn a_bind_that_is_not_answered_ends_after_the_response_timeout() {
    let mut bench = Bench::unbound(usual());
    bench.pass(9_999);
    assert_eq!(bench.events(), []);
    bench.pass(1);
    assert_eq!(bench.events(), [closed(CloseReason::BindTimedOut)]);
    assert_eq!(bench.session.poll_timeout(), None);
}

#[test]
fn a_submit_is_accepted_under_the_id_of_the_response() {
    let mut bench = Bench::bound();
    bench.submit(7).unwrap();
    let sequence = bench.written_submits()[0];
    assert_eq!(bench.events(), [Event::Written { token: 7 }]);
    bench.accept(sequence, "7f");
    assert_eq!(bench.events(), [accepted(7, "7f")]);
}

#[test]
fn a_response_may_have_no_id_and_an_error_no_body() {
    let mut bench = Bench::bound();
    let sequences = bench.submit_and_write(0..3);
    bench.accept(sequences[0], "");
    let [_, _, third] = sequences[..] else { panic!("three were written") };
    bench.hear_octets(&header(command::SUBMIT_SM | command::RESPONSE, 0, sequences[1]));
    bench.hear_octets(&header(command::SUBMIT_SM | command::RESPONSE, 0x0B, third));
    let refused = rejected(2, Status::RINVDSTADR);
    assert_eq!(bench.events(), [accepted(0, ""), accepted(1, ""), refused]);
}

#[test]
fn a_full_window_refuses_until_a_response_comes_in_any_order() {
    let mut bench = Bench::bound_with(SessionConfig { window_pdus_max: 3, ..usual() });
    let sequences = bench.submit_and_write(0..3);
    assert_eq!(bench.submit(3), Err(SubmitRefusal::WindowFull));
    bench.accept(sequences[1], "b");
    assert_eq!(bench.events(), [accepted(1, "b")]);
    assert_eq!(bench.submit(3), Ok(()));
    assert_eq!(bench.submit(4), Err(SubmitRefusal::WindowFull));
}

#[test]
fn all_that_is_queued_is_taken_at_once() {
    let mut bench = Bench::bound();
    for token in 0..50 {
        bench.submit(token).unwrap();
    }
    let mut octets = Vec::new();
    bench.session.take_output(&mut octets);
    assert_eq!(pdus(&octets).len(), 50);
    assert_eq!(bench.written(), []);
}

#[test]
fn a_late_response_within_the_timeout_is_as_good_as_any() {
    let mut bench = Bench::bound();
    let sequences = bench.submit_and_write(0..1);
    bench.pass(9_999);
    bench.accept(sequences[0], "1");
    assert_eq!(bench.events(), [accepted(0, "1")]);
}

#[test]
fn a_response_after_the_timeout_still_tells_the_id_once() {
    let mut bench = Bench::bound();
    let sequences = bench.submit_and_write(0..1);
    bench.pass(10_000);
    assert_eq!(bench.events(), [ended(0, Outcome::Unknown)]);
    bench.accept(sequences[0], "1");
    bench.accept(sequences[0], "1");
    let outcome = Outcome::Accepted { id: "1".to_owned() };
    assert_eq!(bench.events(), [Event::Late { token: 0, outcome }]);
}

#[test]
fn a_submit_that_nobody_took_in_time_is_withdrawn_unsent() {
    let mut bench = Bench::bound();
    bench.submit(0).unwrap();
    bench.pass(10_000);
    assert_eq!(bench.events(), [ended(0, Outcome::NotSent)]);
    assert!(bench.written().iter().all(|pdu| !matches!(pdu.body, Body::SubmitSm(_))));
}

#[test]
fn a_receipt_may_come_before_the_response_to_its_submit() {
    let mut bench = Bench::bound();
    let sequences = bench.submit_and_write(0..1);
    bench.hear(Status::ROK, 900, Body::DeliverSm(ShortMessage::default()));
    bench.accept(sequences[0], "1");
    let events = bench.events();
    let [Event::Delivered { delivery, .. }, last] = &events[..] else { panic!("{events:?}") };
    assert_eq!(*last, accepted(0, "1"));
    assert_eq!(bench.written(), [], "nothing is answered before it is stored");
    bench.answer(*delivery, Status::ROK);
    let resp = Body::DeliverSmResp(MessageResp::default());
    assert_eq!(bench.written(), [Pdu::response(Status::ROK, 900, resp)]);
}

#[test]
fn a_data_sm_is_answered_in_its_own_kind_and_a_delivery_only_once() {
    let mut bench = Bench::bound();
    bench.hear(Status::ROK, 5, Body::DataSm(ShortMessage::default()));
    let delivery = bench.deliveries()[0];
    assert!(bench.answer(delivery, Status::ROK));
    assert!(!bench.answer(delivery, Status::ROK));
    let resp = Body::DataSmResp(MessageResp::default());
    assert_eq!(bench.written(), [Pdu::response(Status::ROK, 5, resp)]);
}

#[test]
fn above_the_bound_of_unanswered_deliveries_the_smsc_is_told_to_repeat() {
    let mut bench = Bench::bound_with(SessionConfig { deliveries_max: 2, ..usual() });
    for sequence in 1..=3 {
        bench.hear(Status::ROK, sequence, Body::DeliverSm(ShortMessage::default()));
    }
    let deliveries = bench.deliveries();
    assert_eq!(deliveries.len(), 2);
    let resp = Body::DeliverSmResp(MessageResp::default());
    assert_eq!(bench.written(), [Pdu::response(Status::RX_T_APPN, 3, resp)]);
    bench.answer(deliveries[0], Status::ROK);
    bench.hear(Status::ROK, 3, Body::DeliverSm(ShortMessage::default()));
    assert_eq!(bench.deliveries().len(), 1);
}

#[test]
fn a_link_that_dies_with_100_in_flight_tells_what_was_written_from_what_was_not() {
    let mut bench = Bench::bound();
    bench.submit_and_write(0..60);
    for token in 60..100 {
        bench.submit(token).unwrap();
    }
    bench.session.handle_closed(bench.now);
    let mut expected: Vec<Event> = (0..60).map(|token| ended(token, Outcome::Unknown)).collect();
    expected.extend((60..100).map(|token| ended(token, Outcome::NotSent)));
    expected.push(closed(CloseReason::LinkClosed));
    assert_eq!(bench.events(), expected);
    assert_eq!(bench.submit(100), Err(SubmitRefusal::Closing));
    assert_eq!((bench.written(), bench.session.poll_timeout()), (vec![], None));
    bench.pass(60_000);
    assert_eq!(bench.events(), [], "nothing waits for a timeout");
}

#[test]
fn a_throttled_bind_slows_down_and_recovers() {
    let mut bench = Bench::bound_with(SessionConfig { window_pdus_max: 1000, ..config(100) });
    assert_eq!(bench.session.pace().rate_millis(bench.now), 100_000);
    let sequences = bench.submit_and_write(0..10);
    let Err(SubmitRefusal::Paced { until }) = bench.submit(99) else { panic!("not paced") };
    assert!(until > bench.now && until <= bench.now + Duration::from_millis(10));
    bench.pass(5);
    for (sequence, status) in
        sequences.into_iter().zip([Status::RTHROTTLED, Status::RMSGQFUL].into_iter().cycle())
    {
        bench.hear(status, sequence, Body::SubmitSmResp(MessageResp::default()));
    }
    assert_eq!(bench.session.pace().rate_millis(bench.now), 70_000, "one window is one cut");
    assert!(matches!(bench.events()[0], Event::Submitted {
        token: 0, outcome: Outcome::Rejected { status },
    } if status.is_temporary()));
    bench.pass(9_000);
    assert_eq!(bench.session.pace().rate_millis(bench.now), 85_000);
    bench.pass(9_000);
    assert_eq!(bench.session.pace().rate_millis(bench.now), 100_000);
}

#[test]
fn a_silent_peer_is_asked_after_the_interval_and_given_up_after_the_timeout() {
    let mut bench = Bench::bound();
    bench.pass(19_999);
    assert_eq!(bench.written(), []);
    bench.pass(1);
    assert_eq!(bench.written()[0].body, Body::EnquireLink);
    bench.pass(9_999);
    assert_eq!(bench.events(), []);
    bench.pass(1);
    assert_eq!(bench.events(), [closed(CloseReason::PeerSilent)]);
    assert_eq!(usual().silence_max(), Duration::from_secs(30));
}

#[test]
fn a_peer_that_answers_nothing_is_noticed_within_the_bound_though_we_go_on_submitting() {
    let mut bench = Bench::bound_with(SessionConfig { window_pdus_max: 10_000, ..usual() });
    let mut events = Vec::new();
    for second in 0..30 {
        bench.submit(second).unwrap();
        let _written = bench.written();
        bench.pass(1_000);
        events.extend(bench.events());
    }
    assert_eq!(events.last(), Some(&closed(CloseReason::PeerSilent)));
    let ends = events.iter().filter(|event| matches!(event, Event::Submitted { .. })).count();
    assert_eq!(ends, 30, "each submit has ended");
}

#[test]
fn a_peer_that_says_anything_is_there_and_its_own_question_is_answered() {
    let mut bench = Bench::bound();
    for round in 0..10 {
        bench.pass(20_000);
        assert_eq!(bench.written()[0].body, Body::EnquireLink);
        match round % 3 {
            0 => bench.hear(Status::ROK, 1, Body::EnquireLinkResp),
            1 => bench.hear(Status::RINVCMDID, 1, Body::GenericNack),
            _ => {
                bench.hear(Status::ROK, 77, Body::EnquireLink);
                let answer = Pdu::response(Status::ROK, 77, Body::EnquireLinkResp);
                assert_eq!(bench.written(), [answer]);
            }
        }
    }
    assert_eq!(bench.events(), []);
}

#[test]
fn a_generic_nack_rejects_the_submit_it_names_and_no_other() {
    let mut bench = Bench::bound();
    let sequences = bench.submit_and_write(0..2);
    bench.hear(Status::RINVCMDLEN, 0, Body::GenericNack);
    bench.hear(Status::RTHROTTLED, sequences[1], Body::GenericNack);
    assert_eq!(bench.events(), [rejected(1, Status::RTHROTTLED)]);
    assert!(bench.session.pace().rate_millis(bench.now) < 1_000_000_000);
}

#[test]
fn an_unknown_request_is_nacked_and_an_unknown_response_is_not() {
    let mut bench = Bench::bound();
    for command_id in [0x0001_0200, command::QUERY_SM, command::CANCEL_SM, 0x8000_0777] {
        bench.hear_octets(&header(command_id, 0, 5));
    }
    let nack = Pdu::response(Status::RINVCMDID, 5, Body::GenericNack);
    assert_eq!(bench.written(), [nack.clone(), nack.clone(), nack]);
    assert_eq!(bench.events(), []);
}

#[test]
fn our_unbind_waits_for_what_is_in_flight_on_both_sides() {
    let mut bench = Bench::bound();
    let sequences = bench.submit_and_write(0..1);
    bench.hear(Status::ROK, 5, Body::DeliverSm(ShortMessage::default()));
    let delivery = bench.deliveries()[0];
    bench.session.unbind(bench.now);
    assert_eq!(bench.submit(1), Err(SubmitRefusal::Closing));
    assert_eq!(bench.written(), []);
    bench.accept(sequences[0], "1");
    assert_eq!((bench.events(), bench.written()), (vec![accepted(0, "1")], vec![]));
    bench.answer(delivery, Status::ROK);
    let bodies: Vec<_> = bench.written().into_iter().map(|pdu| pdu.body).collect();
    assert_eq!(bodies, [Body::DeliverSmResp(MessageResp::default()), Body::Unbind]);
    bench.hear(Status::ROK, 3, Body::UnbindResp);
    assert_eq!(bench.events(), [closed(CloseReason::Unbound)]);
}

#[test]
fn an_unbind_is_over_after_two_timeouts_whatever_the_peer_does() {
    let mut bench = Bench::bound();
    bench.submit_and_write(0..1);
    bench.session.unbind(bench.now);
    bench.pass(10_000);
    assert_eq!(bench.events(), [ended(0, Outcome::Unknown)]);
    assert_eq!(bench.written()[0].body, Body::Unbind);
    bench.pass(10_000);
    assert_eq!(bench.events(), [closed(CloseReason::Unbound)]);
}

#[test]
fn the_peers_unbind_withdraws_what_is_unsent_and_is_answered_after_what_is_sent() {
    let mut bench = Bench::bound();
    let sequences = bench.submit_and_write(0..1);
    bench.submit(1).unwrap();
    bench.hear(Status::ROK, 44, Body::Unbind);
    assert_eq!(bench.events(), [ended(1, Outcome::NotSent)]);
    assert_eq!((bench.submit(2), bench.written()), (Err(SubmitRefusal::Closing), vec![]));
    bench.accept(sequences[0], "1");
    assert_eq!(bench.events(), [accepted(0, "1"), closed(CloseReason::UnboundByPeer)]);
    assert_eq!(bench.written(), [Pdu::response(Status::ROK, 44, Body::UnbindResp)]);
}

#[test]
fn only_an_impossible_length_ends_a_session() {
    let mut bench = Bench::bound();
    let mut odd = header(command::DELIVER_SM, 0, 5);
    odd.extend([0xFF; 7]);
    odd[3] += 7;
    bench.hear_octets(&odd);
    assert_eq!(bench.deliveries().len(), 1);
    bench.hear_octets(&[0, 0, 0, 15]);
    let reason = CloseReason::ImpossibleLength(ImpossibleLength(15));
    assert_eq!(bench.events(), [closed(reason)]);
}

#[test]
fn octets_may_be_cut_anywhere() {
    let mut bench = Bench::bound();
    let sequences = bench.submit_and_write(0..3);
    let mut octets = Vec::new();
    for sequence in &sequences {
        let resp = MessageResp { message_id: "77".to_owned(), ..MessageResp::default() };
        Pdu::response(Status::ROK, *sequence, Body::SubmitSmResp(resp)).render(&mut octets);
    }
    for octet in octets {
        bench.hear_octets(&[octet]);
    }
    assert_eq!(bench.events(), [accepted(0, "77"), accepted(1, "77"), accepted(2, "77")]);
}

#[test]
fn a_peer_that_asks_without_reading_is_cut_off() {
    let mut bench = Bench::bound();
    let question = header(command::ENQUIRE_LINK, 0, 1);
    bench.hear_octets(&question.repeat(REPLIES_QUEUED_MAX));
    assert_eq!(bench.events(), []);
    bench.hear_octets(&question);
    assert_eq!(bench.events(), [closed(CloseReason::PeerNotReading)]);
}

#[test]
fn a_peer_that_delivers_without_reading_the_answers_is_cut_off() {
    let mut bench = Bench::bound();
    let mut delivered = 0;
    let last = loop {
        bench.hear(Status::ROK, 1, Body::DeliverSm(ShortMessage::default()));
        let events = bench.events();
        let [Event::Delivered { delivery, .. }] = events.as_slice() else { break events };
        bench.answer(*delivery, Status::ROK);
        delivered += 1;
        assert!(delivered <= REPLIES_QUEUED_MAX + 1, "its answers pile up");
    };
    assert_eq!(last, [closed(CloseReason::PeerNotReading)]);
}

#[test]
fn nothing_is_submitted_over_a_receiver_or_longer_than_any_pdu() {
    let mut receiver = usual();
    receiver.bind.kind = BindKind::Receiver;
    assert_eq!(Bench::bound_with(receiver).submit(1), Err(SubmitRefusal::ReceiverOnly));
    let mut bench = Bench::bound();
    let long = ShortMessage { short_message: vec![b'a'; 65_536].into(), ..Default::default() };
    assert_eq!(bench.session.submit(1, &long, bench.now), Err(SubmitRefusal::TooLong));
}

#[test]
fn time_that_goes_back_stands_still() {
    let mut bench = Bench::bound();
    bench.submit_and_write(0..1);
    bench.session.handle_timeout(Duration::ZERO);
    bench.session.handle_timeout(Duration::ZERO);
    assert_eq!(bench.events(), []);
    bench.pass(10_000);
    assert_eq!(bench.events(), [ended(0, Outcome::Unknown)]);
}

#[test]
fn a_session_and_its_events_print_no_secret() {
    let mut bench = Bench::unbound(usual());
    let printed = format!("{:?} {:?}", usual(), bench.session);
    assert!(!printed.contains("secret8"), "{printed}");
    bench.hear(Status::ROK, 1, Body::BindResp(BindKind::Transceiver, BindResp::default()));
    bench.hear(Status::ROK, 5, Body::DeliverSm(message()));
    let printed = format!("{:?} {:?}", bench.events(), message());
    assert!(!printed.contains("4815") && !printed.contains("49151"), "{printed}");
}

struct Bench {
    session: Session,
    now: Duration,
}

impl Bench {
    fn unbound(config: SessionConfig) -> Self {
        let now = Duration::from_secs(1000);
        Self { session: Session::new(config, now), now }
    }

    fn bound() -> Self {
        Self::bound_with(usual())
    }

    fn bound_with(config: SessionConfig) -> Self {
        let kind = config.bind.kind;
        let mut bench = Self::unbound(config);
        bench.hear(Status::ROK, 1, Body::BindResp(kind, BindResp::default()));
        let _bind = bench.written();
        let _bound = bench.events();
        bench
    }

    /// Lets time pass, and wakes the session whenever it asked to be.
    fn pass(&mut self, millis: u64) {
        let end = self.now + Duration::from_millis(millis);
        while let Some(due) = self.session.poll_timeout().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.session.handle_timeout(self.now);
        }
        self.now = end;
    }

    fn submit(&mut self, token: u64) -> Result<(), SubmitRefusal> {
        self.session.submit(token, &message(), self.now)
    }

    fn submit_and_write(&mut self, tokens: std::ops::Range<u64>) -> Vec<u32> {
        for token in tokens {
            self.submit(token).unwrap();
        }
        let sequences = self.written_submits();
        let _written = self.events();
        sequences
    }

    fn hear(&mut self, status: Status, sequence: u32, body: Body) {
        let mut octets = Vec::new();
        Pdu { status, sequence, body }.render(&mut octets);
        self.hear_octets(&octets);
    }

    fn hear_octets(&mut self, octets: &[u8]) {
        self.session.handle_bytes(octets, self.now);
    }

    fn accept(&mut self, sequence: u32, id: &str) {
        let resp = MessageResp { message_id: id.to_owned(), ..MessageResp::default() };
        self.hear(Status::ROK, sequence, Body::SubmitSmResp(resp));
    }

    fn answer(&mut self, delivery: DeliveryToken, status: Status) -> bool {
        self.session.answer(delivery, status, self.now)
    }

    fn written(&mut self) -> Vec<Pdu> {
        let mut octets = Vec::new();
        self.session.take_output(&mut octets);
        pdus(&octets)
    }

    fn written_submits(&mut self) -> Vec<u32> {
        let submits = self.written().into_iter();
        submits
            .filter(|pdu| matches!(pdu.body, Body::SubmitSm(_)))
            .map(|pdu| pdu.sequence)
            .collect()
    }

    fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.session.poll_event()).collect()
    }

    fn deliveries(&mut self) -> Vec<DeliveryToken> {
        let delivery = |event| {
            if let Event::Delivered { delivery, .. } = event { Some(delivery) } else { None }
        };
        self.events().into_iter().filter_map(delivery).collect()
    }
}

fn usual() -> SessionConfig {
    config(1_000_000)
}

fn config(rate: u32) -> SessionConfig {
    let password = Password::new("secret8".to_owned());
    let rate = NonZeroU32::new(rate).unwrap();
    SessionConfig::new(BindKind::Transceiver, "esme1", password, rate)
}

fn message() -> ShortMessage {
    ShortMessage {
        source: Address::alphanumeric("ACME"),
        destination: Address::international("4915112345678"),
        short_message: b"Your code is 4815".as_slice().into(),
        ..ShortMessage::default()
    }
}

fn header(command_id: u32, status: u32, sequence: u32) -> Vec<u8> {
    [16, command_id, status, sequence].into_iter().flat_map(u32::to_be_bytes).collect()
}

fn pdus(octets: &[u8]) -> Vec<Pdu> {
    let mut rest = octets;
    let mut found = Vec::new();
    while let Some(pdu) = frame(rest).unwrap() {
        found.push(Pdu::parse(pdu));
        rest = rest.split_at(pdu.len()).1;
    }
    assert!(rest.is_empty());
    found
}

fn ended(token: u64, outcome: Outcome) -> Event {
    Event::Submitted { token, outcome }
}

fn accepted(token: u64, id: &str) -> Event {
    ended(token, Outcome::Accepted { id: id.to_owned() })
}

fn rejected(token: u64, status: Status) -> Event {
    ended(token, Outcome::Rejected { status })
}

fn closed(reason: CloseReason) -> Event {
    Event::Closed { reason }
}
