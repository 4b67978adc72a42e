//! The state machine of one verification.

mod need;
mod record;

use std::collections::VecDeque;

use crate::attempt::RESENDS_MAX;
use crate::{
    AccountId, Amount, Attempt, AttemptId, Call, Channel, Code, Conversion, Corrupt, Handover,
    Machine, Notice, Output, Passage, Policy, Progress, Receipt, ReceiptStatus, Refusal, Subject,
    SubmitOutcome, Then, Timestamp, TypedCode, VerificationId,
};
pub use need::Need;
pub use record::{Check, Outcome, Verdict, VerificationRecord, VerificationState};

/// One request to prove that a user holds a phone number, from its start to its only end.
#[derive(Debug)]
pub struct Verification {
    record: VerificationRecord,
    /// There as long as the verification is open; wiped with its end.
    code: Option<Code>,
    outputs: VecDeque<Output>,
}

/// What is asked for when a verification starts.
#[derive(Clone, Debug)]
pub struct NewVerification {
    /// Its name.
    pub id: VerificationId,
    /// Who pays.
    pub account: AccountId,
    /// The rules it runs under.
    pub policy: Policy,
    /// What its success costs.
    pub price: Amount,
    /// The code to prove.
    pub code: Code,
}

impl Verification {
    /// Starts a verification and queues the attempt of its first step.
    pub fn start(new: NewVerification, now: Timestamp) -> Self {
        let expires_at = now.after(new.policy.lifetime);
        let mut this = Self {
            record: VerificationRecord {
                id: new.id,
                account: new.account,
                created_at: now,
                policy: new.policy,
                price: new.price,
                state: VerificationState::Open { step: 0, next_step_at: None, expires_at },
                attempts: Vec::new(),
                checks: Vec::new(),
                cancelled_by: None,
                conversion: None,
            },
            code: Some(new.code),
            outputs: VecDeque::new(),
        };
        this.send_step(0, now);
        this
    }

    /// Takes up a stored verification again.
    ///
    /// # Errors
    /// The record is in no legal state.
    pub fn restore(record: VerificationRecord, code: Option<Code>) -> Result<Self, Corrupt> {
        record.prove(code.is_some())?;
        Ok(Self { record, code, outputs: VecDeque::new() })
    }

    /// Returns everything but the code.
    pub fn record(&self) -> &VerificationRecord {
        &self.record
    }

    /// Returns the code while the verification is open.
    pub fn code(&self) -> Option<&Code> {
        self.code.as_ref()
    }

    /// Returns the record and wipes the code.
    pub fn into_record(self) -> VerificationRecord {
        self.record
    }

    /// Compares a code that the user typed. A `nonce` that was seen before gets the answer that
    /// it got then and counts no second time.
    ///
    /// # Errors
    /// [`Refusal::Ended`] once the verification is over, which it is from its expiry on even if
    /// no timer has fired yet.
    pub fn check(
        &mut self,
        typed: &TypedCode,
        nonce: u64,
        now: Timestamp,
    ) -> Result<Verdict, Refusal> {
        if let Some(verdict) = self.verdict_of(nonce) {
            return Ok(verdict);
        }
        self.refuse_after_end(now)?;
        let right = self.code.as_ref().is_some_and(|code| code.matches(typed));
        self.record.checks.push(Check { nonce, at: now, right });
        if right {
            self.end(Outcome::Verified, now);
            return Ok(Verdict::Match);
        }
        let checks_left = self.checks_left();
        if checks_left == 0 {
            self.end(Outcome::Failed, now);
        }
        Ok(Verdict::Mismatch { checks_left })
    }

    /// Ends the verification at the account's wish. The `nonce` of the cancel that did so gets the
    /// same answer again.
    ///
    /// # Errors
    /// [`Refusal::CancelTooEarly`] in the first moments, [`Refusal::Ended`] afterwards.
    pub fn cancel(&mut self, nonce: u64, now: Timestamp) -> Result<(), Refusal> {
        if self.record.cancelled_by == Some(nonce) {
            return Ok(());
        }
        self.refuse_after_end(now)?;
        let age = now.since(self.record.created_at);
        if let Some(retry_after) = self.record.policy.cancel_after.checked_sub(age)
            && !retry_after.is_zero()
        {
            return Err(Refusal::CancelTooEarly { retry_after });
        }
        self.record.cancelled_by = Some(nonce);
        self.end(Outcome::Cancelled, now);
        Ok(())
    }

    /// Takes note of what a link did with an attempt.
    pub fn handle_submitted(&mut self, step: u8, handover: &Handover, now: Timestamp) {
        let Some(attempt) = self.record.attempts.get_mut(usize::from(step)) else {
            return;
        };
        // A receipt that overtook the confirmation already says more than it, and what a carrier
        // has taken once is not undone by what became of a second copy.
        if matches!(attempt.progress, Progress::Reported(_) | Progress::Submitted) {
            attempt.passage.note(handover, false);
            attempt.settle_cost();
            return;
        }
        attempt.passage.note(handover, true);
        attempt.settle_cost();
        attempt.progress_at = now;
        match handover.outcome {
            SubmitOutcome::Accepted => attempt.progress = Progress::Submitted,
            SubmitOutcome::Unknown => attempt.progress = Progress::Unconfirmed,
            SubmitOutcome::Rejected(error) => {
                let receipt = Receipt { status: ReceiptStatus::Rejected, error };
                attempt.progress = Progress::Reported(receipt);
                self.move_on_from(step, now);
            }
        }
    }

    /// Takes note of a delivery receipt. One for an attempt that is settled changes nothing; a
    /// definite failure of the current step sends the next step at once.
    pub fn handle_receipt(&mut self, step: u8, receipt: Receipt, now: Timestamp) {
        let Some(attempt) = self.record.attempts.get_mut(usize::from(step)) else {
            return;
        };
        if attempt.progress.is_final() {
            return;
        }
        attempt.progress = Progress::Reported(receipt);
        attempt.progress_at = now;
        if receipt.status.is_definite_failure() {
            self.move_on_from(step, now);
        }
    }

    /// Takes note of a delivery receipt of one part, counted from zero, of an attempt of several.
    pub fn handle_part_receipt(
        &mut self,
        step: u8,
        part: u8,
        parts: u8,
        receipt: Receipt,
        now: Timestamp,
    ) {
        let attempt = self.record.attempts.get_mut(usize::from(step));
        let whole = attempt.and_then(|a| a.passage.part_receipts.fold(part, parts, receipt));
        if let Some(receipt) = whole {
            self.handle_receipt(step, receipt, now);
        }
    }

    /// Takes note of the call that an attempt made.
    pub fn handle_call(&mut self, step: u8, call: Call) {
        if let Some(attempt) = self.record.attempts.get_mut(usize::from(step)) {
            attempt.call = Some(call);
            attempt.settle_cost();
        }
    }

    /// Takes note of what the account says about its user; the last word counts.
    pub fn handle_conversion(&mut self, conversion: Conversion) {
        self.record.conversion = Some(conversion);
    }

    /// Does what is due. Calling it early, late or twice is harmless.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        // Expiry goes first: a step that is due at the same moment must not be sent.
        self.expire_if_due(now);
        if let VerificationState::Open { step, next_step_at: Some(at), .. } = self.record.state
            && at <= now
        {
            self.send_step(step.saturating_add(1), now);
        }
        if let Some((at, then)) = self.unconfirmed()
            && at <= now
        {
            self.clear_up(then, now);
        }
    }

    /// Returns until when the current attempt waits to be confirmed, and what follows then.
    fn unconfirmed(&self) -> Option<(Timestamp, Then)> {
        let VerificationState::Open { step, .. } = self.record.state else { return None };
        let policy = self.record.policy.unconfirmed?;
        let attempt = self.record.attempts.get(usize::from(step))?;
        let more = match policy.then {
            Then::NextStep => self.record.policy.workflow.step(step.saturating_add(1)).is_some(),
            Then::NextLink => attempt.passage.resends < RESENDS_MAX,
        };
        let waits = attempt.progress == Progress::Unconfirmed && more;
        waits.then(|| (attempt.progress_at.after(policy.wait), policy.then))
    }

    /// Goes on after an attempt of which no receipt has told in time.
    fn clear_up(&mut self, then: Then, now: Timestamp) {
        let VerificationState::Open { step, .. } = self.record.state else { return };
        match then {
            Then::NextStep => self.move_on_from(step, now),
            Then::NextLink => {
                let id = self.attempt_id(step);
                let Some(attempt) = self.record.attempts.get_mut(usize::from(step)) else { return };
                attempt.progress = Progress::Queued;
                attempt.progress_at = now;
                attempt.passage.resends = attempt.passage.resends.saturating_add(1);
                let channel = attempt.channel;
                self.outputs.push_back(Output::Send { attempt: id, channel });
            }
        }
    }

    fn verdict_of(&self, nonce: u64) -> Option<Verdict> {
        let index = self.record.checks.iter().position(|check| check.nonce == nonce)?;
        let check = self.record.checks.get(index)?;
        let wrong = u8::try_from(index).unwrap_or(u8::MAX).saturating_add(1);
        let checks_left = self.record.policy.checks_max.saturating_sub(wrong);
        Some(if check.right { Verdict::Match } else { Verdict::Mismatch { checks_left } })
    }

    fn checks_left(&self) -> u8 {
        let wrong = self.record.checks.iter().filter(|check| !check.right).count();
        self.record.policy.checks_max.saturating_sub(u8::try_from(wrong).unwrap_or(u8::MAX))
    }

    fn open_step(&self) -> Result<u8, Refusal> {
        match self.record.state {
            VerificationState::Open { step, .. } => Ok(step),
            VerificationState::Ended { outcome, .. } => Err(Refusal::Ended(outcome)),
        }
    }

    /// Refuses what comes too late. A refusal never changes anything, not even the state of what
    /// is overdue: whoever is refused has no place for what the end sets off.
    fn refuse_after_end(&self, now: Timestamp) -> Result<(), Refusal> {
        match self.record.state {
            VerificationState::Open { expires_at, .. } if expires_at <= now => {
                Err(Refusal::Ended(Outcome::Expired))
            }
            VerificationState::Open { .. } => Ok(()),
            VerificationState::Ended { outcome, .. } => Err(Refusal::Ended(outcome)),
        }
    }

    fn expire_if_due(&mut self, now: Timestamp) {
        if let VerificationState::Open { expires_at, .. } = self.record.state
            && expires_at <= now
        {
            self.end(Outcome::Expired, now);
        }
    }

    /// Sends the step after `step` if that is still the one we wait for.
    fn move_on_from(&mut self, step: u8, now: Timestamp) {
        self.expire_if_due(now);
        if self.open_step() == Ok(step) {
            self.send_step(step.saturating_add(1), now);
        }
    }

    /// Sends a step if the workflow has it; otherwise the code stays valid until it expires.
    fn send_step(&mut self, index: u8, now: Timestamp) {
        let VerificationState::Open { expires_at, step, .. } = self.record.state else {
            return;
        };
        let Some(next) = self.record.policy.workflow.step(index) else {
            let next_step_at = None;
            self.record.state = VerificationState::Open { step, next_step_at, expires_at };
            return;
        };
        let more = self.record.policy.workflow.step(index.saturating_add(1)).is_some();
        let next_step_at = more.then(|| now.after(next.wait));
        self.record.state = VerificationState::Open { step: index, next_step_at, expires_at };
        self.record.attempts.push(Attempt {
            channel: next.channel,
            queued_at: now,
            progress: Progress::Queued,
            progress_at: now,
            passage: Passage::default(),
            call: None,
        });
        let attempt = self.attempt_id(index);
        self.outputs.push_back(Output::Send { attempt, channel: next.channel });
    }

    fn end(&mut self, outcome: Outcome, at: Timestamp) {
        debug_assert!(self.open_step().is_ok(), "a verification ends once");
        self.record.state = VerificationState::Ended { outcome, at };
        self.code = None;
        for (index, attempt) in (0_u8..).zip(&mut self.record.attempts) {
            // A call that was answered goes on for as long as it takes to say the code twice.
            let may_go_on = attempt.channel == Channel::Voice
                && matches!(attempt.progress, Progress::Reported(receipt)
                    if receipt.status == ReceiptStatus::Delivered);
            if attempt.progress.is_final() && !may_go_on {
                continue;
            }
            if attempt.progress == Progress::Queued {
                attempt.progress = Progress::Withdrawn;
                attempt.progress_at = at;
            }
            let subject = Subject::Verification(self.record.id);
            let attempt = AttemptId { subject, step: index };
            self.outputs.push_back(Output::Withdraw { attempt });
        }
        if outcome == Outcome::Verified && self.record.price != Amount::ZERO {
            self.outputs.push_back(Output::Charge { amount: self.record.price });
        }
        self.outputs.push_back(Output::Notify(Notice::Outcome(outcome)));
    }

    fn attempt_id(&self, step: u8) -> AttemptId {
        AttemptId { subject: Subject::Verification(self.record.id), step }
    }
}

impl Machine for Verification {
    fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<Timestamp> {
        match self.record.state {
            VerificationState::Open { next_step_at, expires_at, .. } => {
                let unconfirmed = self.unconfirmed().map(|(at, _)| at);
                [Some(expires_at), next_step_at, unconfirmed].into_iter().flatten().min()
            }
            VerificationState::Ended { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;
    use crate::{ErrorCode, Turn, Workflow};

    #[test]
    fn what_a_carrier_has_taken_is_not_undone_by_a_second_copy() {
        for second in [SubmitOutcome::Rejected(ErrorCode::UNREACHABLE), SubmitOutcome::Unknown] {
            let mut machine = started();
            machine.handle_submitted(0, &Handover::new("first", SubmitOutcome::Accepted), NOW);
            machine.handle_submitted(
                0,
                &Handover::new("second", second),
                NOW.after(Duration::from_secs(1)),
            );
            let attempt = machine.record().attempts.first().unwrap();
            assert_eq!(attempt.progress, Progress::Submitted, "after {second:?}");
            assert_eq!(attempt.passage.link.as_deref(), Some("first"));
            assert_eq!(machine.record().attempts.len(), 1, "no step was skipped");
        }
    }

    #[test]
    fn the_answer_to_what_nobody_could_confirm_still_counts() {
        let mut machine = started();
        let rejected = SubmitOutcome::Rejected(ErrorCode::GENERAL);
        machine.handle_submitted(0, &Handover::new("link", SubmitOutcome::Unknown), NOW);
        machine.handle_submitted(0, &Handover::new("link", rejected), NOW);
        assert_eq!(machine.record().attempts.len(), 2);
    }

    #[test]
    fn an_unconfirmed_attempt_moves_on_after_its_wait_if_the_operator_wishes() {
        let mut machine = unconfirmed(Then::NextStep);
        let at = NOW.after(Duration::from_secs(20));
        assert_eq!(machine.poll_timeout(), Some(at), "before the step is due");
        machine.handle_timeout(at.before(Duration::from_millis(1)));
        assert_eq!(machine.record().attempts.len(), 1);
        machine.handle_timeout(at);
        assert_eq!(machine.record().attempts.len(), 2);
    }

    #[test]
    fn an_unconfirmed_attempt_is_sent_once_more_if_the_operator_wishes() {
        let mut machine = unconfirmed(Then::NextLink);
        let at = NOW.after(Duration::from_secs(20));
        let (turn, ()) = Turn::take(machine, |machine| machine.handle_timeout(at));
        let attempt =
            AttemptId { subject: Subject::Verification(turn.machine.record().id), step: 0 };
        assert_eq!(turn.outputs, [Output::Send { attempt, channel: Channel::Sms }]);
        machine = turn.machine;
        machine.handle_submitted(0, &Handover::new("second", SubmitOutcome::Unknown), at);
        let step_at = NOW.after(Duration::from_mins(1));
        assert_eq!(machine.poll_timeout(), Some(step_at), "not a third time");
    }

    #[test]
    fn a_receipt_clears_an_unconfirmed_attempt_up() {
        let mut machine = unconfirmed(Then::NextStep);
        let delivered = Receipt { status: ReceiptStatus::Delivered, error: ErrorCode::NONE };
        machine.handle_receipt(0, delivered, NOW);
        machine.handle_timeout(NOW.after(Duration::from_secs(20)));
        assert_eq!(machine.record().attempts.len(), 1);
    }

    #[test]
    fn a_record_that_could_not_have_come_about_is_refused() {
        let refused = |why: &str, spoil: &dyn Fn(&mut VerificationRecord, &mut Option<Code>)| {
            let machine = started();
            let (mut code, mut record) = (machine.code().cloned(), machine.into_record());
            spoil(&mut record, &mut code);
            let Corrupt(reason) = Verification::restore(record, code).unwrap_err();
            assert!(reason.contains(why), "{reason:?} does not tell of {why:?}");
        };
        let check = |right| Check { nonce: 1, at: NOW, right };
        let ended = |outcome| VerificationState::Ended { outcome, at: NOW };
        let open =
            |step, next| VerificationState::Open { step, next_step_at: next, expires_at: NOW };

        refused("no code", &|_, code| *code = None);
        refused("still has its code", &|record, _| record.state = ended(Outcome::Expired));
        refused("at least one attempt", &|record, _| record.attempts.clear());
        refused("match the workflow", &|record, _| {
            record.attempts.first_mut().unwrap().channel = Channel::Voice;
        });
        refused("match the workflow", &|record, _| {
            let attempt = record.attempts.first().unwrap().clone();
            record.attempts.extend([attempt.clone(), attempt]);
        });
        refused("match the step", &|record, _| record.state = open(1, None));
        refused("does not have", &|record, _| {
            let mut attempt = record.attempts.first().unwrap().clone();
            attempt.channel = Channel::Voice;
            record.attempts.push(attempt);
            record.state = open(1, Some(NOW));
        });
        refused("of one that ended", &|record, _| record.checks = vec![check(true)]);
        refused("of one that ended", &|record, _| record.checks = vec![check(false); 3]);
        refused("match the outcome", &|record, code| {
            (record.state, *code) = (ended(Outcome::Verified), None);
        });
        refused("match the outcome", &|record, code| {
            record.checks = vec![check(true)];
            (record.state, *code) = (ended(Outcome::Expired), None);
        });
        refused("has been cancelled", &|record, _| record.cancelled_by = Some(1));
        refused("match the outcome", &|record, code| {
            record.cancelled_by = Some(1);
            (record.state, *code) = (ended(Outcome::Expired), None);
        });
    }

    #[test]
    fn debug_shows_no_code() {
        let shown = format!("{:?}", started());
        assert!(!shown.contains("4815"), "{shown}");
    }

    const NOW: Timestamp = Timestamp::from_millis(1_795_300_000_000);

    #[test]
    fn an_attempt_that_no_link_has_taken_is_wanted_until_the_next_step_begins() {
        let mut machine = started();
        let needs = |machine: &Verification| [0, 1].map(|step| machine.need(step));
        assert_eq!(needs(&machine), [Need::Now, Need::Never]);
        machine.handle_timeout(NOW.after(Duration::from_mins(1)));
        assert_eq!(needs(&machine), [Need::Perhaps, Need::Now]);
        machine.handle_submitted(1, &Handover::new("link", SubmitOutcome::Accepted), NOW);
        assert_eq!(needs(&machine), [Need::Perhaps, Need::Never], "the call may fail");
        let delivered = Receipt { status: ReceiptStatus::Delivered, error: ErrorCode::NONE };
        machine.handle_receipt(1, delivered, NOW);
        assert_eq!(needs(&machine), [Need::Never, Need::Never]);
    }

    #[test]
    fn an_attempt_that_no_link_has_taken_is_wanted_again_once_all_later_steps_have_failed() {
        let mut machine = started();
        machine.record.policy.workflow = Workflow::preset(1, Duration::from_mins(1)).unwrap();
        machine.handle_timeout(NOW.after(Duration::from_mins(1)));
        let rejected = Handover::new("none", SubmitOutcome::Rejected(ErrorCode::UNROUTABLE));
        machine.handle_submitted(1, &rejected, NOW);
        assert_eq!(machine.need(0), Need::Perhaps, "the last step has begun");
        machine.handle_submitted(2, &rejected, NOW);
        assert_eq!([0, 1, 2].map(|step| machine.need(step)), [Need::Now, Need::Never, Need::Never]);
        let again = Handover::new("link", SubmitOutcome::Accepted);
        machine.handle_submitted(0, &again, NOW);
        assert_eq!(machine.need(0), Need::Never, "a carrier has it");
        machine.handle_timeout(NOW.after(Duration::from_mins(5)));
        assert_eq!(machine.need(0), Need::Never);
    }

    #[test]
    fn a_call_that_was_answered_is_hung_up_when_the_code_comes_back() {
        let mut machine = started();
        let answered = Receipt { status: ReceiptStatus::Delivered, error: ErrorCode::NONE };
        machine.handle_timeout(NOW.after(Duration::from_mins(1)));
        machine.handle_receipt(0, answered, NOW);
        machine.handle_receipt(1, answered, NOW);
        let (turn, verdict) =
            Turn::take(machine, |machine| machine.check(&TypedCode::text("4815"), 1, NOW));
        assert_eq!(verdict, Ok(Verdict::Match));
        let withdrawn = |output: &&Output| matches!(output, Output::Withdraw { .. });
        let withdrawn: Vec<_> = turn.outputs.iter().filter(withdrawn).collect();
        let call = AttemptId { subject: Subject::Verification(turn.machine.record().id), step: 1 };
        assert_eq!(withdrawn, [&Output::Withdraw { attempt: call }], "the call, not the message");
    }

    #[test]
    fn what_a_call_did_cost_takes_the_place_of_what_it_was_expected_to() {
        let expected = Handover {
            cost: Amount::from_units(5),
            ..Handover::new("trunk", SubmitOutcome::Accepted)
        };
        let over = Call { ended_at: Some(NOW), cost: Amount::from_units(9), ..Call::default() };
        let cost = |machine: &Verification| machine.record().attempts.first().unwrap().passage.cost;
        let mut machine = started();
        machine.handle_submitted(0, &expected, NOW);
        machine.handle_call(0, Call { ended_at: None, ..over.clone() });
        assert_eq!(cost(&machine), Amount::from_units(5), "while it goes on");
        machine.handle_call(0, over.clone());
        assert_eq!(cost(&machine), Amount::from_units(9));
        let mut early = started();
        early.handle_call(0, over);
        early.handle_submitted(0, &expected, NOW);
        assert_eq!(cost(&early), Amount::from_units(9), "in either order");
    }

    /// A verification whose first attempt nobody could confirm, and is waited for 20 seconds.
    fn unconfirmed(then: Then) -> Verification {
        let mut machine = started();
        let wait = Duration::from_secs(20);
        machine.record.policy.unconfirmed = Some(crate::Unconfirmed { wait, then });
        machine.handle_submitted(0, &Handover::new("link", SubmitOutcome::Unknown), NOW);
        machine
    }

    fn started() -> Verification {
        let new = NewVerification {
            id: VerificationId::from_u128(1),
            account: AccountId(1),
            policy: Policy {
                workflow: Workflow::preset(5, Duration::from_mins(1)).unwrap(),
                lifetime: Duration::from_mins(5),
                cancel_after: Duration::from_secs(30),
                checks_max: 3,
                unconfirmed: None,
            },
            price: Amount::from_units(5),
            code: Code::parse("4815").unwrap(),
        };
        Turn::take(Verification::start(new, NOW), |_| ()).0.machine
    }
}
