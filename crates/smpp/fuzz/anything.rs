//! What must hold for any octets a peer may send; the fuzz target and the corpus test share it.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::time::Duration;

use smpp::{
    BindKind, DeliveryReceipt, Event, MessageIdForm, Part, Password, Pdu, Session, SessionConfig,
    ShortMessage, Status, correlation_candidates, frame,
};

/// Reads `octets` as PDUs and as what a peer sends to a session; panics if a promise is broken.
pub(crate) fn exercise(octets: &[u8]) {
    parse(octets);
    // Cut in different places, the same octets are heard the same.
    let whole = hear(octets, octets.len().max(1));
    let pieces = hear(octets, 7);
    assert_eq!(whole, pieces, "what is heard depends on where it was cut");
}

fn parse(octets: &[u8]) {
    let _anything = Pdu::parse(octets);
    let mut rest = octets;
    while let Ok(Some(found)) = frame(rest) {
        let pdu = Pdu::parse(found);
        let mut written = Vec::new();
        pdu.render(&mut written);
        assert_eq!(frame(&written), Ok(Some(written.as_slice())), "what we write is one PDU");
        rest = rest.split_at(found.len()).1;
    }
}

/// Returns how often each kind of event came.
fn hear(octets: &[u8], piece: usize) -> [usize; 7] {
    let mut now = Duration::from_secs(1);
    let rate = NonZeroU32::new(1000).unwrap_or(NonZeroU32::MIN);
    let config = SessionConfig::new(BindKind::Transceiver, "esme", Password::default(), rate);
    let mut session = Session::new(config, now);
    let mut seen = Seen::default();
    seen.drain(&mut session, now);
    session.handle_bytes(&BOUND, now);
    seen.drain(&mut session, now);
    for token in 0..SUBMITS {
        let taken = session.submit(token, &ShortMessage::default(), now);
        assert_eq!(taken, Ok(()), "a new bind takes a few submits");
    }
    seen.drain(&mut session, now);
    for piece in octets.chunks(piece) {
        session.handle_bytes(piece, now);
        seen.drain(&mut session, now);
    }
    for _ in 0..TIMEOUTS_MAX {
        let Some(due) = session.poll_timeout() else { break };
        now = now.max(due);
        session.handle_timeout(now);
        seen.drain(&mut session, now);
    }
    session.handle_closed(now);
    seen.drain(&mut session, now);
    assert_eq!(seen.ended.len() as u64, SUBMITS, "each submit has ended");
    assert_eq!(seen.counts[6], 1, "a session ends once");
    assert_eq!(session.poll_timeout(), None, "nothing is due after the end");
    seen.counts
}

#[derive(Default)]
struct Seen {
    counts: [usize; 7],
    ended: BTreeSet<u64>,
}

impl Seen {
    fn drain(&mut self, session: &mut Session, now: Duration) {
        let mut written = Vec::new();
        session.take_output(&mut written);
        let mut rest = written.as_slice();
        while let Ok(Some(pdu)) = frame(rest) {
            rest = rest.split_at(pdu.len()).1;
        }
        assert!(rest.is_empty(), "whole PDUs are written");
        while let Some(event) = session.poll_event() {
            assert_eq!(self.counts[6], 0, "nothing happens after the end");
            let _printed = format!("{event:?}");
            self.counts[self.count(&event, session, now)] += 1;
        }
    }

    fn count(&mut self, event: &Event, session: &mut Session, now: Duration) -> usize {
        match event {
            Event::Bound(_) => 0,
            Event::BindRefused { .. } => 1,
            Event::Written { .. } => 2,
            Event::Submitted { token, .. } => {
                assert!(self.ended.insert(*token), "a submit ends once");
                3
            }
            Event::Late { token, .. } => {
                assert!(self.ended.contains(token), "only what has ended is late");
                4
            }
            Event::Delivered { delivery, message } => {
                read(message);
                session.answer(*delivery, Status::ROK, now);
                5
            }
            Event::Closed { .. } => 6,
        }
    }
}

fn read(message: &ShortMessage) {
    let _part = Part::of(message);
    assert!(message.text().len() <= message.octets().len(), "a text is part of its octets");
    if let Some(receipt) = DeliveryReceipt::of(message) {
        for form in [
            MessageIdForm::Same,
            MessageIdForm::RespHexReceiptDec,
            MessageIdForm::RespDecReceiptHex,
        ] {
            let keys = correlation_candidates(form, &receipt);
            assert!(keys.iter().all(|key| !key.is_empty()), "a key is something");
        }
    }
}

const BOUND: [u8; 16] = [0, 0, 0, 16, 0x80, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 1];
const SUBMITS: u64 = 3;

/// More than an idle session needs to find out that its peer is silent.
const TIMEOUTS_MAX: usize = 100;
