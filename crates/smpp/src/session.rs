//! One bind from the side of the ESME, without I/O: octets and time in, octets and events out.

mod config;
mod event;
mod pace;
mod window;

pub use config::SessionConfig;
pub use event::{CloseReason, DeliveryToken, Event, Outcome, PeerFacts, SubmitRefusal};
pub use pace::Pace;
pub use window::LATE_RESPONSES_MAX;

use alloc::collections::{BTreeMap, VecDeque};
use core::fmt;
use core::time::Duration;

use zeroize::Zeroize;

use crate::pdu::{
    BindKind, BindResp, Body, HEADER_OCTETS, MESSAGE_PAYLOAD_OCTETS_MAX, MessageResp, Octets, Pdu,
    ShortMessage, Status, command, frame,
};
use window::{Unanswered, Window};

/// Answers that may wait for the caller to take them; a peer that asks for more is cut off.
///
/// A choice: of 16 octets or little more each, so under 100 KB, and no honest peer has as many
/// requests of its own under way.
pub const REPLIES_QUEUED_MAX: usize = 4096;

/// One bind, from its request to its end.
pub struct Session {
    kind: BindKind,
    state: State,
    now: Duration,
    response_timeout: Duration,
    enquire_interval: Duration,
    deliveries_max: usize,
    pace: Pace,
    window: Window,
    /// What has come in of a PDU whose end has not.
    input: Vec<u8>,
    output: VecDeque<Outgoing>,
    replies_queued: usize,
    deliveries: BTreeMap<u64, Delivery>,
    deliveries_seen: u64,
    heard_at: Duration,
    enquired_at: Option<Duration>,
    events: VecDeque<Event>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The bind is not answered.
    Binding {
        deadline: Duration,
    },
    Bound,
    /// Our unbind waits for the answers that are due, on both sides.
    Draining {
        deadline: Duration,
    },
    /// Our unbind is not answered.
    Unbinding {
        deadline: Duration,
    },
    /// The answer to the peer's unbind waits for those that are due.
    DrainingForPeer {
        deadline: Duration,
        sequence: u32,
    },
    Closed,
}

struct Outgoing {
    /// The submit it is, if it is one.
    submit: Option<u32>,
    octets: Octets,
}

/// What the response to a delivery needs.
struct Delivery {
    sequence: u32,
    is_data: bool,
}

impl Session {
    /// Begins with the bind request; time is counted from whatever moment the caller likes.
    pub fn new(config: SessionConfig, now: Duration) -> Self {
        let deadline = now.saturating_add(config.response_timeout);
        let mut session = Self {
            kind: config.bind.kind,
            state: State::Binding { deadline },
            now,
            response_timeout: config.response_timeout,
            enquire_interval: config.enquire_interval,
            deliveries_max: config.deliveries_max,
            pace: config.pace,
            window: Window::new(config.window_pdus_max, config.response_timeout),
            input: Vec::new(),
            output: VecDeque::new(),
            replies_queued: 0,
            deliveries: BTreeMap::new(),
            deliveries_seen: 0,
            heard_at: now,
            enquired_at: None,
            events: VecDeque::new(),
        };
        session.request(Body::Bind(config.bind));
        session
    }

    /// Takes octets the peer has sent, cut anywhere.
    pub fn handle_bytes(&mut self, octets: &[u8], now: Duration) {
        self.advance_clock(now);
        if self.state == State::Closed {
            return;
        }
        let mut joined = core::mem::take(&mut self.input);
        joined.extend_from_slice(octets);
        let mut rest = joined.as_slice();
        while self.state != State::Closed {
            match frame(rest) {
                Ok(Some(pdu)) => {
                    rest = rest.get(pdu.len()..).unwrap_or_default();
                    self.handle_pdu(Pdu::parse(pdu));
                }
                Ok(None) => break,
                Err(impossible) => self.close(CloseReason::ImpossibleLength(impossible)),
            }
        }
        self.input = rest.to_vec();
        // A receipt may quote the text it is about.
        joined.as_mut_slice().zeroize();
        self.advance_unbind();
    }

    /// Does what has become due; calling it too early or too often changes nothing.
    pub fn handle_timeout(&mut self, now: Duration) {
        self.advance_clock(now);
        while let Some((sequence, request)) = self.window.give_up(self.now) {
            self.output.retain(|outgoing| outgoing.submit != Some(sequence));
            self.end_unanswered(&request);
        }
        match self.state {
            State::Binding { deadline } if deadline <= self.now => {
                self.close(CloseReason::BindTimedOut);
            }
            State::Unbinding { deadline } if deadline <= self.now => {
                self.close(CloseReason::Unbound);
            }
            State::Bound => self.enquire(),
            State::Binding { .. }
            | State::Unbinding { .. }
            | State::Draining { .. }
            | State::DrainingForPeer { .. }
            | State::Closed => {}
        }
        self.advance_unbind();
    }

    /// Takes note that the link died: what was taken and not answered is unknown, the rest unsent.
    pub fn handle_closed(&mut self, now: Duration) {
        self.advance_clock(now);
        self.output.clear();
        self.close(CloseReason::LinkClosed);
    }

    /// Queues a submit; exactly one [`Event::Submitted`] with its token follows.
    ///
    /// The SMSC's time to answer counts from here. A submit whose octets were not taken by then
    /// is withdrawn.
    pub fn submit(
        &mut self,
        token: u64,
        message: &ShortMessage,
        now: Duration,
    ) -> Result<(), SubmitRefusal> {
        self.advance_clock(now);
        match self.state {
            State::Bound => {}
            State::Binding { .. } => return Err(SubmitRefusal::NotBound),
            State::Draining { .. }
            | State::Unbinding { .. }
            | State::DrainingForPeer { .. }
            | State::Closed => return Err(SubmitRefusal::Closing),
        }
        if self.kind == BindKind::Receiver {
            return Err(SubmitRefusal::ReceiverOnly);
        }
        if message.short_message.len() > MESSAGE_PAYLOAD_OCTETS_MAX {
            return Err(SubmitRefusal::TooLong);
        }
        if self.window.is_full() {
            return Err(SubmitRefusal::WindowFull);
        }
        self.pace.take(self.now).map_err(|until| SubmitRefusal::Paced { until })?;
        let sequence = self.window.next_sequence();
        self.window.insert(sequence, token, self.now);
        let pdu = Pdu::request(sequence, Body::SubmitSm(message.clone()));
        self.output.push_back(Outgoing { submit: Some(sequence), octets: rendered(&pdu) });
        Ok(())
    }

    /// Answers a delivery; returns `false` if it was answered before or the session is over.
    ///
    /// A temporary status makes the SMSC repeat it.
    pub fn answer(&mut self, delivery: DeliveryToken, status: Status, now: Duration) -> bool {
        self.advance_clock(now);
        let Some(Delivery { sequence, is_data }) = self.deliveries.remove(&delivery.0) else {
            return false;
        };
        // A peer that delivers and delivers without reading our answers is cut off as well.
        self.reply(status, sequence, delivery_resp(is_data));
        self.advance_unbind();
        true
    }

    /// Ends the bind once everything due is answered, at the latest after the response timeout.
    pub fn unbind(&mut self, now: Duration) {
        self.advance_clock(now);
        match self.state {
            State::Binding { .. } => self.close(CloseReason::Unbound),
            State::Bound => self.state = State::Draining { deadline: self.response_deadline() },
            State::Draining { .. }
            | State::Unbinding { .. }
            | State::DrainingForPeer { .. }
            | State::Closed => {}
        }
        self.advance_unbind();
    }

    /// Appends everything that is to be written to `out`; from here on it counts as written.
    pub fn take_output(&mut self, out: &mut Vec<u8>) {
        self.replies_queued = 0;
        for outgoing in self.output.drain(..) {
            out.extend_from_slice(outgoing.octets.reveal());
            let token = outgoing.submit.and_then(|sequence| self.window.written(sequence));
            self.events.extend(token.map(|token| Event::Written { token }));
        }
    }

    /// Returns what has happened, the oldest first.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Returns when [`Session::handle_timeout`] is due; `None` once the session is over.
    pub fn poll_timeout(&self) -> Option<Duration> {
        let of_state = match self.state {
            State::Closed => return None,
            State::Bound => match self.enquired_at {
                Some(at) => at.saturating_add(self.response_timeout),
                None => self.heard_at.saturating_add(self.enquire_interval),
            },
            State::Binding { deadline }
            | State::Draining { deadline }
            | State::Unbinding { deadline }
            | State::DrainingForPeer { deadline, .. } => deadline,
        };
        Some(self.window.deadline().map_or(of_state, |deadline| deadline.min(of_state)))
    }

    /// Returns how many submits are unanswered.
    pub fn unanswered(&self) -> usize {
        self.window.len()
    }

    /// Returns the pace, to be shown or to go on with after the next bind.
    pub fn pace(&self) -> &Pace {
        &self.pace
    }

    /// Tells whether a submit can be taken, as far as the state goes.
    pub fn is_bound(&self) -> bool {
        self.state == State::Bound
    }
}

/// What the peer says.
impl Session {
    fn handle_pdu(&mut self, pdu: Pdu) {
        // Whoever says anything is there, though it may not know our question.
        self.heard_at = self.now;
        self.enquired_at = None;
        let Pdu { status, sequence, body } = pdu;
        match body {
            Body::BindResp(_, resp) => self.handle_bind_resp(status, resp),
            Body::SubmitSmResp(MessageResp { message_id, .. }) => {
                self.handle_submit_resp(sequence, status, message_id);
            }
            Body::GenericNack => self.handle_nack(sequence, status),
            Body::DeliverSm(message) => self.handle_delivery(sequence, false, message),
            Body::DataSm(message) => self.handle_delivery(sequence, true, message),
            Body::EnquireLink => self.reply(Status::ROK, sequence, Body::EnquireLinkResp),
            Body::Unbind => self.handle_unbind(sequence),
            Body::UnbindResp => {
                if matches!(self.state, State::Unbinding { .. }) {
                    self.close(CloseReason::Unbound);
                }
            }
            // These end nothing of ours, and want no answer.
            Body::AlertNotification(_)
            | Body::EnquireLinkResp
            | Body::DeliverSmResp(_)
            | Body::DataSmResp(_)
            | Body::Outbind(_) => {}
            Body::Bind(_) | Body::SubmitSm(_) => self.nack(sequence),
            Body::Other { command_id, .. } => {
                // An answer to an answer could go on for ever.
                if command_id & command::RESPONSE == 0 {
                    self.nack(sequence);
                }
            }
        }
    }

    fn handle_bind_resp(&mut self, status: Status, resp: BindResp) {
        if !matches!(self.state, State::Binding { .. }) {
            return;
        }
        if !status.is_ok() {
            self.events.push_back(Event::BindRefused { status });
            self.close(CloseReason::BindRefused(status));
            return;
        }
        self.state = State::Bound;
        let interface_version = resp.interface_version();
        let facts = PeerFacts { system_id: resp.system_id, interface_version };
        self.events.push_back(Event::Bound(facts));
    }

    fn handle_submit_resp(&mut self, sequence: u32, status: Status, id: String) {
        let outcome =
            if status.is_ok() { Outcome::Accepted { id } } else { Outcome::Rejected { status } };
        if let Some(request) = self.window.answered(sequence) {
            if status.is_throttle() {
                self.pace.throttled(request.submitted_at, self.now);
            }
            self.events.push_back(Event::Submitted { token: request.token, outcome });
        } else if let Some(token) = self.window.late(sequence) {
            self.events.push_back(Event::Late { token, outcome });
        }
    }

    /// A nack answers whatever of ours has its number.
    fn handle_nack(&mut self, sequence: u32, status: Status) {
        let status = if status.is_ok() { Status::RUNKNOWNERR } else { status };
        match self.state {
            State::Binding { .. } => self.handle_bind_resp(status, BindResp::default()),
            State::Unbinding { .. } => self.close(CloseReason::Unbound),
            State::Bound
            | State::Draining { .. }
            | State::DrainingForPeer { .. }
            | State::Closed => self.handle_submit_resp(sequence, status, String::new()),
        }
    }

    fn handle_delivery(&mut self, sequence: u32, is_data: bool, message: ShortMessage) {
        if matches!(self.state, State::Binding { .. }) {
            return self.reply(Status::RINVBNDSTS, sequence, delivery_resp(is_data));
        }
        if self.deliveries.len() >= self.deliveries_max {
            return self.reply(DELIVERIES_FULL, sequence, delivery_resp(is_data));
        }
        self.deliveries_seen += 1;
        self.deliveries.insert(self.deliveries_seen, Delivery { sequence, is_data });
        let delivery = DeliveryToken(self.deliveries_seen);
        self.events.push_back(Event::Delivered { delivery, message: Box::new(message) });
    }

    /// The peer takes nothing more, but may still answer what it has taken.
    fn handle_unbind(&mut self, sequence: u32) {
        for withdrawn in self.output.iter().filter_map(|outgoing| outgoing.submit) {
            if let Some(request) = self.window.answered(withdrawn) {
                let token = request.token;
                self.events.push_back(Event::Submitted { token, outcome: Outcome::NotSent });
            }
        }
        self.output.retain(|outgoing| outgoing.submit.is_none());
        let deadline = match self.state {
            State::DrainingForPeer { deadline, .. } => deadline,
            State::Binding { .. }
            | State::Bound
            | State::Draining { .. }
            | State::Unbinding { .. }
            | State::Closed => self.response_deadline(),
        };
        self.state = State::DrainingForPeer { deadline, sequence };
    }
}

/// What we say of ourselves.
impl Session {
    /// Asks a peer that has been silent whether it is there, and ends if it was asked in vain.
    fn enquire(&mut self) {
        if let Some(asked_at) = self.enquired_at {
            if asked_at.saturating_add(self.response_timeout) > self.now {
                return;
            }
            return self.close(CloseReason::PeerSilent);
        }
        if self.heard_at.saturating_add(self.enquire_interval) <= self.now {
            self.enquired_at = Some(self.now);
            self.request(Body::EnquireLink);
        }
    }

    /// Goes on with an unbind once nothing is due any more, or its time is over.
    fn advance_unbind(&mut self) {
        let drained = self.window.len() == 0 && self.deliveries.is_empty();
        match self.state {
            State::Draining { deadline } if drained || deadline <= self.now => {
                self.request(Body::Unbind);
                self.state = State::Unbinding { deadline: self.response_deadline() };
            }
            State::DrainingForPeer { deadline, sequence } if drained || deadline <= self.now => {
                self.reply(Status::ROK, sequence, Body::UnbindResp);
                self.close(CloseReason::UnboundByPeer);
            }
            State::Draining { .. }
            | State::DrainingForPeer { .. }
            | State::Binding { .. }
            | State::Bound
            | State::Unbinding { .. }
            | State::Closed => {}
        }
    }

    fn close(&mut self, reason: CloseReason) {
        if self.state == State::Closed {
            return;
        }
        self.state = State::Closed;
        self.output.retain(|outgoing| outgoing.submit.is_none());
        for request in self.window.drain() {
            self.end_unanswered(&request);
        }
        self.deliveries.clear();
        self.events.push_back(Event::Closed { reason });
    }

    fn end_unanswered(&mut self, request: &Unanswered) {
        let outcome = if request.written { Outcome::Unknown } else { Outcome::NotSent };
        self.events.push_back(Event::Submitted { token: request.token, outcome });
    }

    fn request(&mut self, body: Body) {
        let sequence = self.window.next_sequence();
        let octets = rendered(&Pdu::request(sequence, body));
        self.output.push_back(Outgoing { submit: None, octets });
    }

    fn nack(&mut self, sequence: u32) {
        self.reply(Status::RINVCMDID, sequence, Body::GenericNack);
    }

    fn reply(&mut self, status: Status, sequence: u32, body: Body) {
        if self.replies_queued >= REPLIES_QUEUED_MAX {
            return self.close(CloseReason::PeerNotReading);
        }
        self.replies_queued += 1;
        let octets = rendered(&Pdu::response(status, sequence, body));
        self.output.push_back(Outgoing { submit: None, octets });
    }

    fn response_deadline(&self) -> Duration {
        self.now.saturating_add(self.response_timeout)
    }

    /// A clock that was set back stands still here.
    fn advance_clock(&mut self, now: Duration) {
        self.now = self.now.max(now);
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.input.zeroize();
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("kind", &self.kind)
            .field("state", &self.state)
            .field("unanswered", &self.window.len())
            .field("deliveries", &self.deliveries.len())
            .finish_non_exhaustive()
    }
}

fn delivery_resp(is_data: bool) -> Body {
    let resp = MessageResp::default();
    if is_data { Body::DataSmResp(resp) } else { Body::DeliverSmResp(resp) }
}

fn rendered(pdu: &Pdu) -> Octets {
    let mut octets = Vec::with_capacity(PDU_OCTETS_USUAL);
    pdu.render(&mut octets);
    octets.into()
}

/// The status that the specification has for an ESME that cannot take more now (section 5.1.3).
const DELIVERIES_FULL: Status = Status::RX_T_APPN;

/// A submit with a full text of 160 septets, so that rendering leaves no outgrown copy behind.
const PDU_OCTETS_USUAL: usize = HEADER_OCTETS + 384;
