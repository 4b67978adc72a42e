//! One call: from the hand-over to its record.

use std::sync::Arc;
use std::time::Duration;

use engine::{AttemptId, Call, ErrorCode, Receipt, ReceiptStatus, Timestamp};
use tokio::sync::{mpsc, oneshot};
use voice::CancellationToken;
use voice::call::{CallEvent, CallRequest};
use voice::g711::Codec;
use voice::outcome::{CallOutcome, CallRecord, Heard};
use voice::script::Script;
use voice::trunk::Trunk;

use super::{Inner, Ticket};
use crate::channels::{Submission, Timing, call_name};
use crate::store::StoreError;

/// A call that is to be placed.
pub(super) struct PlacedCall {
    pub(super) link: Arc<Inner>,
    pub(super) attempt: AttemptId,
    pub(super) digits: u64,
    pub(super) caller: String,
    pub(super) script: Script,
    /// Whether the code is only said once a key was pressed.
    pub(super) is_gated: bool,
    pub(super) ticket: Ticket,
    pub(super) timing: Timing,
    /// Told once what became of the hand-over.
    pub(super) tell: Option<oneshot::Sender<Submission>>,
}

impl PlacedCall {
    /// Places the call, and reports what it comes to.
    pub(super) async fn run(mut self, trunk: &Trunk, hang_up: CancellationToken) {
        let call_id = call_name(self.attempt);
        let request = CallRequest {
            to: format!("{}{}", self.link.config.dial_prefix, self.digits),
            caller: std::mem::take(&mut self.caller),
            script: std::mem::replace(&mut self.script, Script::once(Vec::new())),
            ring_timeout: self.link.config.ring_timeout,
            call_id: Some(call_id.clone()),
        };
        let started = self.link.context.clock.now();
        let mut call = Call { call_id, ..Call::default() };
        let (events, mut happened) = mpsc::unbounded_channel();
        self.timing.written(&self.link.name);
        let placed = trunk.call(request, events, hang_up);
        tokio::pin!(placed);
        let record = loop {
            tokio::select! {
                biased;
                Some(event) = happened.recv() => self.handle_event(event, &mut call).await,
                record = &mut placed => break record,
            }
        };
        while let Ok(event) = happened.try_recv() {
            self.handle_event(event, &mut call).await;
        }
        self.finish(&record, started, call).await;
    }

    async fn handle_event(&mut self, event: CallEvent, call: &mut Call) {
        let now = self.link.context.clock.now();
        match event {
            CallEvent::Ringing => {
                call.rang_at = Some(now);
                self.hand_over(Submission::Accepted(Vec::new()));
            }
            CallEvent::Answered => {
                call.rang_at.get_or_insert(now);
                call.answered_at = Some(now);
                self.hand_over(Submission::Accepted(Vec::new()));
                // Behind a gate it is not known yet whether it was a person.
                let receipt = (!self.is_gated).then_some(DELIVERED);
                self.report(receipt, Some(call.clone())).await;
            }
            CallEvent::Ended => {}
        }
    }

    /// Answers the hand-over, unless that was done before.
    fn hand_over(&mut self, submission: Submission) {
        if let Some(tell) = self.tell.take() {
            // Whoever handed it over may have ended with the server.
            let _ = tell.send(submission);
        }
    }

    async fn finish(mut self, record: &CallRecord, started: Timestamp, mut call: Call) {
        let at = |offset: Duration| started.after(offset);
        call.rang_at = call.rang_at.or(record.rang_at.map(at));
        call.ended_at = Some(at(record.ended_at));
        cause(record.outcome).clone_into(&mut call.cause);
        call.status = record.sip_status.unwrap_or_default();
        let talked = record.talked_for();
        let begun = u64::from(talked.subsec_nanos() > 0);
        call.seconds = u32::try_from(talked.as_secs() + begun).unwrap_or(u32::MAX);
        record.codec.map_or("", codec_name).clone_into(&mut call.codec);
        call.packets_sent = u32::try_from(record.packets_sent).unwrap_or(u32::MAX);
        if let Some(time) = rest_wanted(record) {
            self.link.rest_for(time);
        }
        if record.answered_at.is_some() {
            call.cost = self.link.cost(self.digits, call.seconds);
        }
        if self.tell.is_some()
            && let Some(submission) = never_reached(record)
        {
            let is_rejected = matches!(submission, Submission::Rejected(_));
            if record.may_have_rung() || is_rejected {
                // It has been called, and may not be called for ever.
                self.link.caps.settle(self.ticket, call.cost);
                self.link.give_up_on(self.attempt);
            } else {
                self.link.caps.take_back(self.ticket);
            }
            if is_rejected {
                // No other trunk is asked, so that this call is what there is to tell.
                self.report(None, Some(call)).await;
            }
            self.hand_over(submission);
            return;
        }
        self.link.caps.settle(self.ticket, call.cost);
        // The phone was reached though it did not ring: it is in use, off, or refuses the call.
        self.hand_over(Submission::Accepted(Vec::new()));
        let was_answered = call.answered_at.is_some();
        call.answered_at = call.answered_at.or(record.answered_at.map(at));
        let receipt = last_receipt(record, was_answered, self.is_gated);
        self.report(receipt, Some(call)).await;
    }

    /// Reports, again and again while the store has too much to do.
    async fn report(&self, receipt: Option<Receipt>, call: Option<Call>) {
        let Some(driver) = self.link.context.reports.driver() else { return };
        for _ in 0..REPORTS_MAX {
            let (name, call) = (&self.link.name, call.clone());
            match driver.handle_receipt(self.attempt, name, receipt, call).await {
                Ok(()) => return,
                Err(StoreError::Busy { .. } | StoreError::Unavailable(_)) => {
                    tokio::time::sleep(REPORT_RETRY).await;
                }
                Err(error @ (StoreError::Stopped | StoreError::Corrupt { .. })) => {
                    tracing::error!(attempt.id = %self.attempt, %error, "cannot report a call");
                    return;
                }
            }
        }
        tracing::error!(attempt.id = %self.attempt, "the record of a call is lost");
    }
}

/// How long the trunk wants to be left alone.
///
/// With another status than 503 it is about this call alone (RFC 3261 section 20.33). So it may be
/// after progress: then it can come from whoever was called, who must not silence a trunk.
fn rest_wanted(record: &CallRecord) -> Option<Duration> {
    let CallOutcome::TrunkFailed { retry_after } = record.outcome else { return None };
    let is_trunks = record.heard < Heard::Progress;
    retry_after.filter(|_| is_trunks && record.sip_status == Some(SERVICE_UNAVAILABLE))
}

/// What becomes of the hand-over of a call that ended before it rang; `None` if it reached a phone
/// all the same.
///
/// What may have rung is refused for good: what is only not sent is tried again and again.
fn never_reached(record: &CallRecord) -> Option<Submission> {
    // Even if nothing could be said to it: another trunk would only let it ring once more.
    if record.answered_at.is_some() {
        return None;
    }
    let not_sent = |reason: &str, retry_after| {
        Some(Submission::NotSent { reason: reason.to_owned(), retry_after })
    };
    let refused = |reason: &str| Some(Submission::LinkRefused(reason.to_owned()));
    match record.outcome {
        CallOutcome::TrunkUnreachable => not_sent("it does not answer", None),
        CallOutcome::TrunkStalled => refused("it did not let the phone ring in time"),
        CallOutcome::TrunkFailed { .. } if record.may_have_rung() => {
            refused("it cannot place the call")
        }
        CallOutcome::TrunkFailed { retry_after } => {
            not_sent("it cannot place the call", retry_after)
        }
        CallOutcome::NoChannel => not_sent("all its channels are taken", None),
        CallOutcome::Withdrawn => not_sent("it was withdrawn", None),
        CallOutcome::CredentialsRefused => refused("it refuses our credentials"),
        CallOutcome::CredentialsWanted => refused("it wants a user and a password"),
        CallOutcome::TrunkRefused => refused("it does not place this call"),
        CallOutcome::NoCodec => refused("it has no codec in common with us"),
        CallOutcome::Unspeakable => refused("the number or caller cannot be told in SIP"),
        CallOutcome::InvalidNumber => Some(Submission::Rejected(ErrorCode::ABSENT_PERMANENT)),
        CallOutcome::Busy
        | CallOutcome::NoAnswer
        | CallOutcome::Declined
        | CallOutcome::Completed
        | CallOutcome::NoKey
        | CallOutcome::HungUp
        | CallOutcome::TooLong => None,
    }
}

/// What the end of a call that reached a phone tells of its attempt, if anything new.
fn last_receipt(record: &CallRecord, was_answered: bool, is_gated: bool) -> Option<Receipt> {
    let failed = |error| Some(Receipt { status: ReceiptStatus::Failed, error });
    let opened = record.keys > 0 || record.plays > 0;
    match record.outcome {
        CallOutcome::Busy => failed(ErrorCode::BUSY),
        CallOutcome::NoAnswer => failed(ErrorCode::ABSENT_TEMPORARY),
        CallOutcome::Declined => failed(ErrorCode::BARRED_BY_USER),
        CallOutcome::InvalidNumber => failed(ErrorCode::ABSENT_PERMANENT),
        // Its answer was reported when it came.
        _ if was_answered && !is_gated => None,
        _ if was_answered && opened => Some(DELIVERED),
        CallOutcome::Withdrawn => None,
        CallOutcome::NoKey
        | CallOutcome::HungUp
        | CallOutcome::TooLong
        | CallOutcome::Completed => failed(ErrorCode::ABSENT_TEMPORARY),
        CallOutcome::CredentialsRefused
        | CallOutcome::CredentialsWanted
        | CallOutcome::NoCodec
        | CallOutcome::TrunkUnreachable
        | CallOutcome::TrunkStalled
        | CallOutcome::TrunkRefused
        | CallOutcome::TrunkFailed { .. }
        | CallOutcome::NoChannel
        | CallOutcome::Unspeakable => failed(ErrorCode::UNREACHABLE),
    }
}

const fn cause(outcome: CallOutcome) -> &'static str {
    match outcome {
        CallOutcome::Completed => "completed",
        CallOutcome::NoKey => "no_key",
        CallOutcome::HungUp => "hung_up",
        CallOutcome::Withdrawn => "withdrawn",
        CallOutcome::TooLong => "too_long",
        CallOutcome::Busy => "busy",
        CallOutcome::NoAnswer => "no_answer",
        CallOutcome::Declined => "declined",
        CallOutcome::InvalidNumber => "invalid_number",
        CallOutcome::CredentialsRefused => "credentials_refused",
        CallOutcome::CredentialsWanted => "credentials_wanted",
        CallOutcome::NoCodec => "no_codec",
        CallOutcome::TrunkUnreachable => "trunk_unreachable",
        CallOutcome::TrunkStalled => "trunk_stalled",
        CallOutcome::TrunkRefused => "trunk_refused",
        CallOutcome::TrunkFailed { .. } => "trunk_failed",
        CallOutcome::NoChannel => "no_channel",
        CallOutcome::Unspeakable => "unspeakable",
    }
}

fn codec_name(codec: Codec) -> &'static str {
    match codec {
        Codec::Pcmu => "PCMU",
        Codec::Pcma => "PCMA",
    }
}

const DELIVERED: Receipt = Receipt { status: ReceiptStatus::Delivered, error: ErrorCode::NONE };

/// RFC 3261 section 21.5.4.
const SERVICE_UNAVAILABLE: u16 = 503;

/// A store that is busy for ten minutes will not be saved by asking it once more.
const REPORTS_MAX: usize = 6000;
const REPORT_RETRY: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn before_it_rings_a_fault_of_the_trunk_goes_to_the_next_and_one_of_the_phone_does_not() {
        let retry_after = Some(Duration::from_secs(7));
        let to_next = |outcome| {
            let submission = never_reached(&ended(outcome, Heard::Trying, Some(500)));
            matches!(submission, Some(Submission::NotSent { .. } | Submission::LinkRefused(_)))
        };
        for outcome in [
            CallOutcome::TrunkUnreachable,
            CallOutcome::TrunkStalled,
            CallOutcome::TrunkRefused,
            CallOutcome::TrunkFailed { retry_after },
            CallOutcome::NoChannel,
            CallOutcome::CredentialsRefused,
            CallOutcome::NoCodec,
        ] {
            assert!(outcome.is_trunks_fault() && to_next(outcome), "{outcome:?}");
        }
        for outcome in [CallOutcome::Busy, CallOutcome::NoAnswer, CallOutcome::Declined] {
            assert_eq!(never_reached(&ended(outcome, Heard::Trying, Some(486))), None);
        }
        assert_eq!(
            never_reached(&ended(CallOutcome::InvalidNumber, Heard::Trying, Some(404))),
            Some(Submission::Rejected(ErrorCode::ABSENT_PERMANENT))
        );
    }

    #[test]
    fn what_may_have_rung_is_refused_for_good() {
        let is_refused =
            |record: &CallRecord| matches!(never_reached(record), Some(Submission::LinkRefused(_)));
        let failed = CallOutcome::TrunkFailed { retry_after: None };
        assert!(is_refused(&ended(CallOutcome::TrunkStalled, Heard::Trying, None)));
        assert!(is_refused(&ended(failed, Heard::Progress, Some(503))));
        assert!(!is_refused(&ended(failed, Heard::Trying, Some(503))), "it says so itself");
    }

    #[test]
    fn a_phone_that_answered_is_not_called_by_the_next_trunk_and_its_step_has_failed() {
        let answered_at = Some(Duration::from_secs(1));
        let record = ended(CallOutcome::NoCodec, Heard::Trying, Some(200));
        let record = CallRecord { answered_at, ..record };
        assert_eq!(never_reached(&record), None);
        let failed = Receipt { status: ReceiptStatus::Failed, error: ErrorCode::UNREACHABLE };
        assert_eq!(last_receipt(&record, false, false), Some(failed));
    }

    #[test]
    fn only_a_trunk_that_knows_of_no_progress_is_left_alone() {
        let retry_after = Some(Duration::from_secs(7));
        let rest = |heard, status| {
            rest_wanted(&ended(CallOutcome::TrunkFailed { retry_after }, heard, Some(status)))
        };
        assert_eq!(rest(Heard::Trying, 503), retry_after);
        assert_eq!(rest(Heard::Nothing, 503), retry_after);
        assert_eq!(rest(Heard::Progress, 503), None, "a phone may have said it");
        assert_eq!(rest(Heard::Trying, 500), None, "it is about one call");
    }

    #[test]
    fn behind_a_gate_only_a_key_makes_an_answer_a_delivery() {
        let record = |outcome, keys| CallRecord {
            answered_at: Some(Duration::ZERO),
            keys,
            ..ended(outcome, Heard::Progress, Some(200))
        };
        let machine = record(CallOutcome::NoKey, 0);
        let failed = Receipt { status: ReceiptStatus::Failed, error: ErrorCode::ABSENT_TEMPORARY };
        assert_eq!(last_receipt(&machine, true, true), Some(failed));
        for outcome in [CallOutcome::Completed, CallOutcome::HungUp, CallOutcome::Withdrawn] {
            assert_eq!(last_receipt(&record(outcome, 1), true, true), Some(DELIVERED));
            assert_eq!(last_receipt(&record(outcome, 1), true, false), None, "told before");
        }
        assert_eq!(last_receipt(&record(CallOutcome::Withdrawn, 0), true, true), None);
    }

    fn ended(outcome: CallOutcome, heard: Heard, sip_status: Option<u16>) -> CallRecord {
        CallRecord {
            rang_at: None,
            answered_at: None,
            ended_at: Duration::from_secs(9),
            outcome,
            heard,
            sip_status,
            codec: None,
            packets_sent: 0,
            packets_received: 0,
            keys: 0,
            plays: 0,
            late_ticks: 0,
        }
    }
}
