//! One outgoing call, from the INVITE to the BYE.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rsipstack::dialog::DialogId;
use rsipstack::dialog::dialog::{DialogState, DialogStateReceiver, TransactionHandle};
use rsipstack::dialog::invitation::{InviteAsyncResult, InviteOption};
use rsipstack::dialog::invite_dialog::InviteDialog;
use rsipstack::sip::{Header, Method, Request, Response, StatusCode, Uri};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::g711::Codec;
use crate::outcome::{CallOutcome, CallRecord, Heard, parse_retry_after};
use crate::pacer::{Line, MediaReport, StreamSeed};
use crate::playout::Finish;
use crate::rtp::Key;
use crate::script::Script;
use crate::sdp::{LocalMedia, RemoteMedia};
use crate::trunk::{Inner, TrunkFault, draw_seed};
use ending::end_dialog;

mod ending;

/// What to call, as whom, and what to say.
pub struct CallRequest {
    /// The number in the form the trunk wants: digits, `*`, and `+` in front.
    pub to: String,
    /// The caller id in the form the trunk wants: letters, digits, and `+-._`.
    pub caller: String,
    /// What is played once the phone answers.
    pub script: Script,
    /// How long it may ring, at most [`RING_MAX`].
    pub ring_timeout: Duration,
    /// Names the call in its Call-ID: letters, digits and `-.`; drawn if absent.
    pub call_id: Option<String>,
}

/// What happens to a call while it happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallEvent {
    /// The phone rings.
    Ringing,
    /// Somebody answered.
    Answered,
    /// It is over; the record tells how.
    Ended,
}

/// Places a call on a task of its own, so that it is hung up even if nobody waits for it.
pub(crate) async fn place(
    trunk: Arc<Inner>,
    request: CallRequest,
    events: mpsc::UnboundedSender<CallEvent>,
    hang_up: CancellationToken,
) -> CallRecord {
    let call = Call::new(trunk, events, hang_up);
    let started = call.started;
    let over = tokio::spawn(call.place(request)).await;
    over.unwrap_or_else(|_| CallRecord {
        ended_at: started.elapsed(),
        ..CallRecord::new(CallOutcome::TrunkFailed { retry_after: None })
    })
}

/// A call under way.
struct Call {
    trunk: Arc<Inner>,
    events: mpsc::UnboundedSender<CallEvent>,
    hang_up: CancellationToken,
    started: Instant,
    record: CallRecord,
    local: LocalMedia,
    seed: StreamSeed,
    early_media: Option<RemoteMedia>,
    sign: Sign,
}

/// What the other side has shown of a call before its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sign {
    /// Nothing at all.
    Nothing,
    /// The trunk has the INVITE; whether a phone knows of it is open.
    Heard,
    /// A phone rings, or what is heard before an answer may be its ring tone, since then.
    Progress(Instant),
}

/// An INVITE on its way: the dialog, what it says, and its end.
struct Invite {
    dialog: InviteDialog,
    states: DialogStateReceiver,
    answer: JoinHandle<InviteAsyncResult>,
}

enum Rung {
    Answered(Box<(DialogId, Response)>),
    Ended(CallOutcome),
}

impl Call {
    fn new(
        trunk: Arc<Inner>,
        events: mpsc::UnboundedSender<CallEvent>,
        hang_up: CancellationToken,
    ) -> Self {
        let (seed, session) = draw_seed();
        let local = LocalMedia { address: trunk.told_address(0), session, version: 1 };
        Self {
            trunk,
            events,
            hang_up,
            started: Instant::now(),
            record: CallRecord::new(CallOutcome::Withdrawn),
            local,
            seed,
            early_media: None,
            sign: Sign::Nothing,
        }
    }

    async fn place(mut self, request: CallRequest) -> CallRecord {
        self.record.outcome = self.run(request).await;
        if self.record.ended_at.is_zero() {
            self.record.ended_at = self.started.elapsed();
        }
        self.tell(CallEvent::Ended);
        self.record
    }

    async fn run(&mut self, request: CallRequest) -> CallOutcome {
        let hang_up = self.hang_up.clone();
        let taken = tokio::select! {
            biased;
            () = hang_up.cancelled() => return CallOutcome::Withdrawn,
            taken = self.trunk.take_channel() => taken,
        };
        let Some(_channel) = taken else { return CallOutcome::NoChannel };
        let Ok(mut line) = self.trunk.pacer.open_line() else { return CallOutcome::NoChannel };
        self.local.address.set_port(line.port);
        let contact = match self.connect().await {
            Ok(contact) => contact,
            Err(outcome) => return outcome,
        };
        let Some(option) = self.invite_option(&request, contact) else {
            return CallOutcome::Unspeakable;
        };
        let (sender, states) = self.trunk.dialogs.new_dialog_state_channel();
        let Ok((dialog, answer)) = self.trunk.dialogs.do_invite_async(option, sender) else {
            return CallOutcome::TrunkUnreachable;
        };
        let mut invite = Invite { dialog, states, answer };
        let ring_timeout = request.ring_timeout.min(RING_MAX);
        match self.ring(&mut invite, &mut line, ring_timeout).await {
            Rung::Answered(answered) => {
                let (id, response) = *answered;
                self.talk(invite, id, &response, &mut line, request.script).await
            }
            Rung::Ended(outcome) => {
                line.stop();
                self.take_report(&mut line).await;
                outcome
            }
        }
    }

    async fn connect(&self) -> Result<Uri, CallOutcome> {
        let config = &self.trunk.config;
        let connected = tokio::select! {
            biased;
            () = self.hang_up.cancelled() => return Err(CallOutcome::Withdrawn),
            connected = self.trunk.wire.connect(&self.trunk.endpoint, config.answer_wait) => connected,
        };
        match connected {
            Ok(local) => Ok(self.trunk.wire.contact(&local, config.public_address)),
            Err(fault) => {
                self.trunk.health.hear(&config.name, Err(fault));
                Err(CallOutcome::TrunkUnreachable)
            }
        }
    }

    fn invite_option(&self, request: &CallRequest, contact: Uri) -> Option<InviteOption> {
        let config = &self.trunk.config;
        let is_number = |text: &str| {
            let digits = text.strip_prefix('+').unwrap_or(text);
            !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'*')
        };
        let is_caller = |text: &str| {
            let letter = |byte: u8| byte.is_ascii_alphanumeric() || b"+-._".contains(&byte);
            !text.is_empty() && text.bytes().all(letter)
        };
        let short = request.to.len() <= USER_BYTES_MAX && request.caller.len() <= USER_BYTES_MAX;
        let call_id = request.call_id.as_deref();
        let is_named = call_id.is_none_or(|id| {
            let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-.".contains(&byte);
            (1..=CALL_ID_BYTES_MAX).contains(&id.len()) && id.bytes().all(fits)
        });
        if !short || !is_named || !is_number(&request.to) || !is_caller(&request.caller) {
            return None;
        }
        let caller = Uri::try_from(format!("sip:{}@{}", request.caller, config.domain)).ok()?;
        let callee = Uri::try_from(format!("sip:{}@{}", request.to, config.domain)).ok()?;
        let mut headers = vec![Header::Allow(METHODS.into())];
        if config.asserted_identity {
            headers.push(Header::PAssertedIdentity(format!("<{caller}>").into()));
        }
        Some(InviteOption {
            caller,
            callee,
            contact,
            destination: Some(self.trunk.wire.destination()),
            content_type: Some(SDP.to_owned()),
            offer: Some(self.local.render_offer().into_bytes()),
            credential: self.trunk.credential(),
            headers: Some(headers),
            call_id: request.call_id.clone(),
            support_prack: config.reliable_provisionals,
            ..InviteOption::default()
        })
    }

    /// Waits until somebody answers, or nobody does.
    async fn ring(&mut self, invite: &mut Invite, line: &mut Line, ring_timeout: Duration) -> Rung {
        let hang_up = self.hang_up.clone();
        let trunk = Arc::clone(&self.trunk);
        let invited = Instant::now();
        loop {
            let (patient_until, outcome) = match self.sign {
                Sign::Nothing => {
                    (invited + trunk.config.answer_wait, CallOutcome::TrunkUnreachable)
                }
                Sign::Heard => (invited + trunk.config.post_dial_wait, CallOutcome::TrunkStalled),
                Sign::Progress(since) => (since + ring_timeout, CallOutcome::NoAnswer),
            };
            tokio::select! {
                biased;
                () = hang_up.cancelled() => return self.withdraw(invite, line, CallOutcome::Withdrawn).await,
                () = trunk.is_closing() => return self.withdraw(invite, line, CallOutcome::Withdrawn).await,
                Some(state) = invite.states.recv() => self.handle_early(state, line),
                answer = &mut invite.answer => return self.handle_answer(answer.ok(), &invite.dialog).await,
                () = sleep_until(patient_until) => {
                    if self.sign == Sign::Nothing {
                        self.trunk.health.hear(&trunk.config.name, Err(TrunkFault::Silent));
                    }
                    return self.withdraw(invite, line, outcome).await;
                }
            }
        }
    }

    fn handle_early(&mut self, state: DialogState, line: &mut Line) {
        match state {
            DialogState::Trying(_) => {
                self.record.heard = self.record.heard.max(Heard::Trying);
                self.hear(false);
            }
            DialogState::Early(_, response) => {
                self.record.heard = Heard::Progress;
                // Anything else may come from the trunk, before it knows whether it gets through.
                let rings = response.status_code == StatusCode::Ringing;
                if rings && self.record.rang_at.is_none() {
                    self.record.rang_at = Some(self.started.elapsed());
                    self.tell(CallEvent::Ringing);
                }
                let media = RemoteMedia::parse(&response.body).ok();
                self.hear(rings || media.is_some());
                if let Some(media) = media {
                    // Silence towards early media opens address translations on the way.
                    line.open(&media, media.codec, self.seed);
                    self.early_media = Some(media);
                }
            }
            DialogState::Calling(_)
            | DialogState::WaitAck(..)
            | DialogState::Confirmed(..)
            | DialogState::Updated(..)
            | DialogState::Publish(..)
            | DialogState::Notify(..)
            | DialogState::Refer(..)
            | DialogState::Message(..)
            | DialogState::Info(..)
            | DialogState::Options(..)
            | DialogState::Terminated(..) => {}
        }
    }

    fn hear(&mut self, progress: bool) {
        self.sign = match self.sign {
            Sign::Progress(since) => Sign::Progress(since),
            Sign::Nothing | Sign::Heard if progress => Sign::Progress(Instant::now()),
            Sign::Nothing | Sign::Heard => Sign::Heard,
        };
    }

    async fn handle_answer(
        &mut self,
        answer: Option<InviteAsyncResult>,
        dialog: &InviteDialog,
    ) -> Rung {
        let Some(Ok((id, Some(response)))) = answer else {
            return self.break_off(dialog).await;
        };
        let status = response.status_code.code();
        self.record.sip_status = Some(status);
        let is_unknown = self.is_unknown(status, dialog);
        let is_challenge = matches!(status, 401 | 407) || is_unknown;
        let news = match &self.trunk.config.credentials {
            _ if !is_challenge => Ok(()),
            Some(_) => Err(TrunkFault::CredentialsRefused),
            None => Err(TrunkFault::CredentialsWanted),
        };
        let is_without = news == Err(TrunkFault::CredentialsWanted);
        self.trunk.health.hear(&self.trunk.config.name, news);
        if response.status_code == StatusCode::OK {
            return Rung::Answered(Box::new((id, response)));
        }
        // The signalling keeps the dialog of any 2xx, and has ended one that is not 200.
        self.trunk.dialogs.remove_dialog(&id);
        let retry_after = response
            .headers
            .iter()
            .find(|header| header.name().eq_ignore_ascii_case("Retry-After"))
            .and_then(|header| parse_retry_after(header.value()));
        if is_without {
            return Rung::Ended(CallOutcome::CredentialsWanted);
        }
        if is_unknown {
            return Rung::Ended(CallOutcome::CredentialsRefused);
        }
        // Without a ring tone it is the trunk that had no answer from further on.
        if status == REQUEST_TIMEOUT && !matches!(self.sign, Sign::Progress(_)) {
            return Rung::Ended(CallOutcome::TrunkFailed { retry_after: None });
        }
        Rung::Ended(CallOutcome::from_status(status, retry_after))
    }

    /// Returns whether a refusal is the trunk's word on who we say we are.
    ///
    /// It is, if it asked for that and has never let us in with it; otherwise it means this call:
    /// whoever asks for calls to barred numbers must not raise an alarm about the trunk.
    fn is_unknown(&self, status: u16, dialog: &InviteDialog) -> bool {
        if !is_authorised(dialog) || matches!(status, 401 | 407) {
            return false;
        }
        let is_forbidden = status == FORBIDDEN && self.record.heard < Heard::Progress;
        if !is_forbidden {
            self.trunk.health.let_in();
        }
        is_forbidden && !self.trunk.health.was_let_in()
    }

    /// Plays the script to whoever answered, and hangs up.
    async fn talk(
        &mut self,
        mut invite: Invite,
        id: DialogId,
        response: &Response,
        line: &mut Line,
        script: Script,
    ) -> CallOutcome {
        let answered = self.started.elapsed();
        self.record.answered_at = Some(answered);
        self.record.rang_at.get_or_insert(answered);
        let media = RemoteMedia::parse(&response.body).ok().or_else(|| self.early_media.take());
        let mut report = None;
        let outcome = match media {
            None => CallOutcome::NoCodec,
            Some(media) => {
                // Whoever cannot be spoken to has not answered.
                self.tell(CallEvent::Answered);
                self.record.codec = Some(media.codec);
                line.open(&media, media.codec, self.seed);
                line.play(script);
                self.listen(&mut invite.states, line, media.codec, &mut report).await
            }
        };
        self.record.ended_at = self.started.elapsed();
        line.stop();
        match report {
            Some(report) => self.add_report(report),
            None => self.take_report(line).await,
        }
        // After a BYE of the other side this sends nothing.
        end_dialog(&self.trunk, &invite.dialog, id).await;
        outcome
    }

    /// Takes whatever comes first while the script plays.
    async fn listen(
        &mut self,
        states: &mut DialogStateReceiver,
        line: &mut Line,
        mut codec: Codec,
        report: &mut Option<MediaReport>,
    ) -> CallOutcome {
        let hang_up = self.hang_up.clone();
        let trunk = Arc::clone(&self.trunk);
        let limit = sleep(trunk.config.call_length_max);
        tokio::pin!(limit);
        loop {
            tokio::select! {
                biased;
                () = hang_up.cancelled() => return CallOutcome::Withdrawn,
                () = trunk.is_closing() => return CallOutcome::Withdrawn,
                state = states.recv() => match state {
                    None | Some(DialogState::Terminated(..)) => return CallOutcome::HungUp,
                    Some(state) => self.handle_request(state, line, &mut codec).await,
                },
                finished = line.finished() => {
                    *report = Some(finished);
                    return match finished.finish {
                        Some(Finish::Played) => CallOutcome::Completed,
                        Some(Finish::Unopened) => CallOutcome::NoKey,
                        None => CallOutcome::Withdrawn,
                    };
                }
                () = &mut limit => return CallOutcome::TooLong,
            }
        }
    }

    /// Answers a request that the other side makes during the call.
    ///
    /// An answer that cannot be handed over belongs to a call that is ending.
    async fn handle_request(&mut self, state: DialogState, line: &Line, codec: &mut Codec) {
        match state {
            DialogState::Updated(_, request, handle) => {
                self.handle_new_media(&request, &handle, line, codec).await;
            }
            DialogState::Info(_, request, handle) => {
                if let Some(key) = Key::from_relay(&String::from_utf8_lossy(&request.body)) {
                    line.press(key);
                }
                let _: Result<(), _> = handle.reply(StatusCode::OK).await;
            }
            DialogState::Options(_, _, handle) => {
                let _: Result<(), _> = handle.reply(StatusCode::OK).await;
            }
            DialogState::Refer(_, _, handle) => {
                let _: Result<(), _> = handle.reply(StatusCode::Decline).await;
            }
            DialogState::Message(_, _, handle)
            | DialogState::Notify(_, _, handle)
            | DialogState::Publish(_, _, handle) => {
                let _: Result<(), _> = handle.reply(StatusCode::MethodNotAllowed).await;
            }
            DialogState::Calling(_)
            | DialogState::Trying(_)
            | DialogState::Early(..)
            | DialogState::WaitAck(..)
            | DialogState::Confirmed(..)
            | DialogState::Terminated(..) => {}
        }
    }

    /// Answers a re-INVITE or UPDATE (RFC 3261 section 14, RFC 3311): hold, resume, a new address.
    async fn handle_new_media(
        &mut self,
        request: &Request,
        handle: &TransactionHandle,
        line: &Line,
        codec: &mut Codec,
    ) {
        let body = if request.body.is_empty() {
            // Without an offer a re-INVITE asks for ours, and UPDATE only tells the time.
            (request.method == Method::Invite).then(|| self.next_local().render_offer())
        } else {
            let Ok(offer) = RemoteMedia::parse(&request.body) else {
                let _: Result<(), _> = handle.reply(StatusCode::NotAcceptableHere).await;
                return;
            };
            if !offer.codecs.contains(codec) {
                *codec = offer.codec;
                self.record.codec = Some(offer.codec);
            }
            line.aim(&offer, *codec);
            Some(self.next_local().render_answer(&offer, *codec))
        };
        let headers = body.is_some().then(|| vec![Header::ContentType(SDP.into())]);
        let body = body.map(String::into_bytes);
        let _: Result<(), _> = handle.respond(StatusCode::OK, headers, body).await;
    }

    fn next_local(&mut self) -> &LocalMedia {
        self.local.version += 1;
        &self.local
    }

    async fn take_report(&mut self, line: &mut Line) {
        if line.is_open()
            && let Ok(report) = timeout(REPORT_WAIT, line.finished()).await
        {
            self.add_report(report);
        }
    }

    fn add_report(&mut self, report: MediaReport) {
        self.record.packets_sent = report.packets_sent;
        self.record.packets_received = report.packets_received;
        self.record.keys = report.keys;
        self.record.plays = report.plays;
        self.record.late_ticks = report.late_ticks;
    }

    fn tell(&self, event: CallEvent) {
        // Nobody needs to listen.
        let _: Result<(), _> = self.events.send(event);
    }
}

/// Returns whether the last INVITE of a dialog had our answer to a challenge.
fn is_authorised(dialog: &InviteDialog) -> bool {
    dialog.initial_request().headers.iter().any(|header| {
        let name = header.name();
        ["Authorization", "Proxy-Authorization"].iter().any(|own| name.eq_ignore_ascii_case(own))
    })
}

impl CallRecord {
    pub(crate) fn new(outcome: CallOutcome) -> Self {
        Self {
            rang_at: None,
            answered_at: None,
            ended_at: Duration::ZERO,
            outcome,
            heard: Heard::Nothing,
            sip_status: None,
            codec: None,
            packets_sent: 0,
            packets_received: 0,
            keys: 0,
            plays: 0,
            late_ticks: 0,
        }
    }
}

// Number and script are what nobody may read in a log.
impl fmt::Debug for CallRequest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("CallRequest(..)")
    }
}

/// No phone rings longer before the network gives up (ITU-T E.180 leaves it to the operator; 60 to
/// 120 s are usual), and the signalling itself gives up after 180 s.
pub const RING_MAX: Duration = Duration::from_mins(2);

/// E.164 numbers have 15 digits; prefixes of trunks and alphanumeric callers fit as well.
const USER_BYTES_MAX: usize = 40;

/// A UUID and a step take 38; a name that a log or a person keeps is no longer than this.
const CALL_ID_BYTES_MAX: usize = 64;

/// A stopped stream reports at its next tick, 20 ms later.
const REPORT_WAIT: Duration = Duration::from_millis(200);

/// RFC 3261 section 21.4.4.
const FORBIDDEN: u16 = 403;

/// RFC 3261 section 21.4.9.
const REQUEST_TIMEOUT: u16 = 408;

const SDP: &str = "application/sdp";

const METHODS: &str = "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, UPDATE, PRACK";
