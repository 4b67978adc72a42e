//! What holds in any order of events, of both machines.
//!
//! A failure prints the seed that replays it and the shortest list of events that still fails.

#![expect(clippy::panic, clippy::unwrap_used, reason = "a broken property fails its test")]

#[path = "properties/strategies.rs"]
mod strategies;

use core::time::Duration;
use std::hash::{BuildHasher as _, RandomState};

use engine::{
    Amount, AttemptId, Channel, Conversion, Handover, Machine, Message, MessageStatus, NewMessage,
    NewVerification, Notice, Outcome, Output, Progress, Receipt, Refusal, Subject, Then, Timestamp,
    Turn, TypedCode, Verdict, Verification, VerificationState,
};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use strategies::{
    MessageEvent, PARTS, Pause, START, STEPS_MAX, Typed, VerificationEvent, message_event,
    new_message, new_verification, pause, verification_event,
};

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_verification_keeps_its_promises_in_any_order_of_events(
        new in new_verification(),
        events in prop::collection::vec((pause(), verification_event()), 0..40),
    ) {
        let mut watched = Watched::start(new);
        for (pause, event) in events {
            watched.let_pass(pause);
            watched.happen(event);
        }
        watched.invariant_it_ends_in_time();
    }

    #[test]
    fn a_message_keeps_its_promises_in_any_order_of_events(
        new in new_message(),
        events in prop::collection::vec((pause(), message_event()), 0..30),
    ) {
        let mut watched = WatchedMessage::start(new);
        for (pause, event) in events {
            watched.let_pass(pause);
            watched.happen(event);
        }
        watched.invariant_it_ends_in_time();
    }
}

/// A verification, its twin that is stored and read back before each event, and what an observer
/// of its outputs remembers.
struct Watched {
    new: NewVerification,
    machine: Verification,
    twin: Verification,
    now: Timestamp,
    sends: Vec<Channel>,
    sent_again: Vec<u8>,
    withdrawn: Vec<u8>,
    charged: Vec<Amount>,
    outcomes: Vec<(Outcome, Timestamp)>,
    answered: Vec<(u64, Verdict)>,
    cancelled_by: Option<u64>,
}

/// What an event was answered with.
type Answer = Option<Result<Option<Verdict>, Refusal>>;

impl Watched {
    fn start(new: NewVerification) -> Self {
        let started = || Turn::take(Verification::start(new.clone(), START), |_| ()).0;
        let (turn, twin) = (started(), started().machine);
        let mut this = Self {
            new: new.clone(),
            machine: turn.machine,
            twin,
            now: START,
            sends: Vec::new(),
            sent_again: Vec::new(),
            withdrawn: Vec::new(),
            charged: Vec::new(),
            outcomes: Vec::new(),
            answered: Vec::new(),
            cancelled_by: None,
        };
        this.observe(&turn.outputs, false);
        this
    }

    fn let_pass(&mut self, pause: Pause) {
        self.now = later(self.now, pause, self.machine.poll_timeout(), self.new.policy.lifetime);
    }

    fn happen(&mut self, event: VerificationEvent) {
        let before = self.machine.record().clone();
        let had_ended = is_ended(&self.machine);
        let now = self.now;
        let machine = replace(&mut self.machine, &self.new);
        let (turn, answer) = Turn::take(machine, |machine| apply(machine, &event, now));
        self.machine = turn.machine;
        let twin = restored(replace(&mut self.twin, &self.new));
        let (twin_turn, twin_answer) = Turn::take(twin, |machine| apply(machine, &event, now));
        self.twin = twin_turn.machine;

        assert_eq!(turn.outputs, twin_turn.outputs, "a restored machine does the same");
        assert_eq!(answer, twin_answer, "a restored machine answers the same");
        assert_eq!(self.machine.record(), self.twin.record(), "and becomes the same");
        assert_eq!(turn.wake_at, twin_turn.wake_at, "and sleeps as long");
        if let Some(Err(_)) = answer {
            assert_eq!(*self.machine.record(), before, "a refusal changes nothing");
            assert!(turn.outputs.is_empty(), "a refusal does nothing");
        }
        for (then, is) in before.attempts.iter().zip(&self.machine.record().attempts) {
            if matches!(then.progress, Progress::Reported(r) if r.status.is_final()) {
                assert_eq!(then.progress, is.progress, "a final receipt stands");
            }
        }
        self.observe(&turn.outputs, had_ended);
        self.invariant_checks_are_limited_and_answered_truly(&event, &answer);
        self.invariant_the_cancel_that_ended_it_is_answered_the_same(&event, &answer);
        self.invariant_an_end_is_an_end();
        if matches!(event, VerificationEvent::Timeout) {
            self.invariant_a_timeout_is_done_with_at_once();
        }
    }

    fn observe(&mut self, outputs: &[Output], had_ended: bool) {
        assert!(!had_ended || outputs.is_empty(), "after the end nothing comes out: {outputs:?}");
        for output in outputs {
            match *output {
                Output::Send { attempt, .. } if usize::from(attempt.step) < self.sends.len() => {
                    self.invariant_only_the_unconfirmed_is_sent_again(attempt.step);
                }
                Output::Send { attempt, channel } => {
                    assert_eq!(usize::from(attempt.step), self.sends.len(), "once and in order");
                    let step = self.new.policy.workflow.step(attempt.step).unwrap();
                    assert_eq!(channel, step.channel, "each over its own channel");
                    assert!(self.now < self.expires_at(), "nothing is sent once it has expired");
                    self.sends.push(channel);
                }
                Output::Withdraw { attempt } => {
                    let AttemptId { subject, step } = attempt;
                    assert_eq!(subject, Subject::Verification(self.new.id));
                    assert!(usize::from(step) < self.sends.len(), "only what was sent");
                    assert!(!self.withdrawn.contains(&step), "once");
                    self.withdrawn.push(step);
                }
                Output::Charge { amount } => self.charged.push(amount),
                Output::Notify(Notice::Outcome(outcome)) => {
                    self.outcomes.push((outcome, self.now));
                }
                Output::Notify(Notice::Receipt(_)) => panic!("a verification tells no receipts"),
            }
        }
        assert_eq!(self.sends.len(), self.machine.record().attempts.len(), "all is on record");
    }

    fn invariant_only_the_unconfirmed_is_sent_again(&mut self, step: u8) {
        let policy = self.new.policy.unconfirmed.unwrap();
        assert_eq!(policy.then, Then::NextLink, "only if the operator wishes it");
        assert_eq!(usize::from(step) + 1, self.sends.len(), "only the current step");
        assert!(!self.sent_again.contains(&step), "and only once");
        self.sent_again.push(step);
    }

    fn invariant_the_cancel_that_ended_it_is_answered_the_same(
        &mut self,
        event: &VerificationEvent,
        answer: &Answer,
    ) {
        let (&VerificationEvent::Cancel { nonce }, Some(answer)) = (event, answer) else { return };
        let first = self.cancelled_by.or(answer.is_ok().then_some(nonce));
        assert_eq!(answer.is_ok(), first == Some(nonce), "and no other is");
        self.cancelled_by = first;
    }

    fn invariant_an_end_is_an_end(&self) {
        let policy = &self.new.policy;
        match self.machine.record().state {
            VerificationState::Open { .. } => {
                assert!(self.outcomes.is_empty() && self.charged.is_empty());
                assert!(self.withdrawn.is_empty(), "what is open goes on");
                assert!(self.machine.code().is_some());
                assert!(self.machine.poll_timeout().unwrap() <= self.expires_at());
            }
            VerificationState::Ended { outcome, at } => {
                assert_eq!(self.outcomes, [(outcome, at)], "it ends once");
                let free = self.new.price == Amount::ZERO || outcome != Outcome::Verified;
                let price = if free { vec![] } else { vec![self.new.price] };
                assert_eq!(self.charged, price, "charged once if and only if verified");
                assert!(self.machine.code().is_none(), "the code is forgotten");
                assert_eq!(self.machine.poll_timeout(), None, "no timer after the end");
                assert_eq!(outcome == Outcome::Expired, at >= self.expires_at());
                let cancellable = at >= START.after(policy.cancel_after);
                assert!(outcome != Outcome::Cancelled || cancellable);
            }
        }
    }

    fn invariant_checks_are_limited_and_answered_truly(
        &mut self,
        event: &VerificationEvent,
        answer: &Answer,
    ) {
        let &VerificationEvent::Check { typed, nonce } = event else { return };
        let Some(Ok(Some(verdict))) = *answer else { return };
        if let Some((_, first)) = self.answered.iter().find(|(known, _)| *known == nonce) {
            assert_eq!(*first, verdict, "a repeated check gets its first answer");
            return;
        }
        self.answered.push((nonce, verdict));
        let wrong = |(_, verdict): &&(u64, Verdict)| *verdict != Verdict::Match;
        let wrong = self.answered.iter().filter(wrong).count();
        let left = usize::from(self.new.policy.checks_max).checked_sub(wrong);
        let left = left.unwrap_or_else(|| panic!("{wrong} wrong checks were answered"));
        let expected = match typed {
            Typed::Right | Typed::RightNumber => Verdict::Match,
            Typed::Wrong => Verdict::Mismatch { checks_left: u8::try_from(left).unwrap() },
        };
        assert_eq!(verdict, expected);
        assert!(self.now < self.expires_at(), "no check is answered after the expiry");
        let failed = self.outcomes.contains(&(Outcome::Failed, self.now));
        assert_eq!(left == 0 && expected != Verdict::Match, failed, "the last wrong check fails");
    }

    fn invariant_a_timeout_is_done_with_at_once(&mut self) {
        let before = self.machine.record().clone();
        let now = self.now;
        let machine = replace(&mut self.machine, &self.new);
        let (turn, ()) = Turn::take(machine, |machine| machine.handle_timeout(now));
        assert_eq!(turn.outputs, [], "the second time at one instant does nothing");
        assert_eq!(*turn.machine.record(), before);
        assert!(turn.wake_at.is_none_or(|at| at > now), "and it does not ask for a third");
        self.machine = turn.machine;
    }

    fn invariant_it_ends_in_time(&mut self) {
        for _ in 0..=STEPS_MAX + 1 {
            let Some(at) = self.machine.poll_timeout() else { break };
            self.now = self.now.max(at);
            self.happen(VerificationEvent::Timeout);
        }
        assert_eq!(self.outcomes.len(), 1, "it ends by itself after its last timer");
    }

    fn expires_at(&self) -> Timestamp {
        START.after(self.new.policy.lifetime)
    }
}

/// A message, its twin that is stored and read back before each event, and what an observer of
/// its outputs remembers.
struct WatchedMessage {
    new: NewMessage,
    machine: Message,
    twin: Message,
    now: Timestamp,
    told: Vec<Receipt>,
}

impl WatchedMessage {
    fn start(new: NewMessage) -> Self {
        let started = || Turn::take(Message::start(new.clone(), START), |_| ()).0;
        let (turn, twin) = (started(), started().machine);
        let attempt = AttemptId { subject: Subject::Message(new.id), step: 0 };
        let mut expected = vec![Output::Send { attempt, channel: Channel::Sms }];
        if new.price != Amount::ZERO {
            expected.insert(0, Output::Charge { amount: new.price });
        }
        assert_eq!(turn.outputs, expected, "it is charged and sent when it is accepted");
        Self { new, machine: turn.machine, twin, now: START, told: Vec::new() }
    }

    fn let_pass(&mut self, pause: Pause) {
        let lifetime = self.new.expires_at.since(START);
        self.now = later(self.now, pause, self.machine.poll_timeout(), lifetime);
    }

    fn happen(&mut self, event: MessageEvent) {
        let before = self.machine.record().clone();
        let now = self.now;
        let machine = replace_message(&mut self.machine, &self.new);
        let (turn, ()) = Turn::take(machine, |machine| apply_to_message(machine, &event, now));
        self.machine = turn.machine;
        let twin = restored_message(replace_message(&mut self.twin, &self.new));
        let (twin_turn, ()) = Turn::take(twin, |machine| apply_to_message(machine, &event, now));
        self.twin = twin_turn.machine;

        assert_eq!(turn.outputs, twin_turn.outputs, "a restored machine does the same");
        assert_eq!(self.machine.record(), self.twin.record(), "and becomes the same");
        assert_eq!(turn.wake_at, twin_turn.wake_at, "and sleeps as long");
        let record = self.machine.record();
        for output in &turn.outputs {
            match *output {
                Output::Notify(Notice::Receipt(receipt)) => {
                    assert_ne!(self.told.last(), Some(&receipt), "a state is not told twice");
                    assert_eq!(record.status, MessageStatus::Reported(receipt), "only what is so");
                    self.told.push(receipt);
                }
                Output::Withdraw { .. } => {
                    assert!(matches!(event, MessageEvent::Timeout), "only what is given up");
                    assert!(now >= self.new.expires_at);
                }
                Output::Send { .. } => {
                    let wish = self.new.unconfirmed.map(|policy| policy.then);
                    assert_eq!(wish, Some(Then::NextLink), "only if the operator wishes it");
                    assert_eq!(before.status, MessageStatus::Unconfirmed);
                    assert_eq!(record.passage.resends, 1, "and only once");
                }
                Output::Charge { .. } => panic!("a message is charged once, at its start"),
                Output::Notify(Notice::Outcome(_)) => panic!("a message has no outcome"),
            }
        }
        if before.status.is_final() {
            assert_eq!(before.status, record.status, "a final state never changes");
            assert!(turn.outputs.is_empty(), "after the end nothing comes out");
        }
        let told_last = self.told.last().is_some_and(|receipt| receipt.status.is_final());
        assert_eq!(record.status.is_final(), told_last, "the end is told");
        let timer = self.machine.poll_timeout();
        assert_eq!(timer.is_none(), record.status.is_final(), "no timer after the end");
        assert!(timer.is_none_or(|at| at <= self.new.expires_at));
        let may_be_sent = match record.status {
            MessageStatus::Queued => true,
            MessageStatus::Unconfirmed => {
                self.new.unconfirmed.is_some_and(|policy| policy.then == Then::NextLink)
                    && record.passage.resends == 0
            }
            MessageStatus::Submitted => false,
            // A receipt that overtook the confirmation of the submit.
            MessageStatus::Reported(r) => !r.status.is_final() && record.passage.link.is_none(),
        };
        assert_eq!(self.machine.text().is_some(), may_be_sent, "the text goes in time");
        if matches!(event, MessageEvent::Timeout) {
            let machine = replace_message(&mut self.machine, &self.new);
            let (turn, ()) = Turn::take(machine, |machine| machine.handle_timeout(now));
            assert_eq!(turn.outputs, [], "the second time at one instant does nothing");
            assert!(turn.wake_at.is_none_or(|at| at > now), "and it does not ask for a third");
            self.machine = turn.machine;
        }
    }

    fn invariant_it_ends_in_time(&mut self) {
        for _ in 0..2 {
            let Some(at) = self.machine.poll_timeout() else { break };
            self.now = self.now.max(at);
            self.happen(MessageEvent::Timeout);
        }
        assert!(self.machine.record().status.is_final(), "it ends by itself after its timer");
    }
}

fn apply(machine: &mut Verification, event: &VerificationEvent, now: Timestamp) -> Answer {
    match *event {
        VerificationEvent::Check { typed, nonce } => {
            let typed = match typed {
                Typed::Right => TypedCode::text("0042"),
                Typed::RightNumber => TypedCode::Number(42),
                Typed::Wrong => TypedCode::text("42"),
            };
            return Some(machine.check(&typed, nonce, now).map(Some));
        }
        VerificationEvent::Cancel { nonce } => {
            return Some(machine.cancel(nonce, now).map(|()| None));
        }
        VerificationEvent::Submitted { step, outcome } => {
            machine.handle_submitted(step, &Handover::new("link", outcome), now);
        }
        VerificationEvent::Receipt { step, receipt } => machine.handle_receipt(step, receipt, now),
        VerificationEvent::PartReceipt { step, part, receipt } => {
            machine.handle_part_receipt(step, part, PARTS, receipt, now);
        }
        VerificationEvent::Conversion { converted } => {
            machine.handle_conversion(Conversion { converted, at: now });
        }
        VerificationEvent::Timeout => machine.handle_timeout(now),
    }
    None
}

fn apply_to_message(machine: &mut Message, event: &MessageEvent, now: Timestamp) {
    match *event {
        MessageEvent::Submitted { outcome } => {
            machine.handle_submitted(&Handover::new("link", outcome), now);
        }
        MessageEvent::Receipt { receipt } => machine.handle_receipt(receipt, now),
        MessageEvent::PartReceipt { part, receipt } => {
            machine.handle_part_receipt(part, PARTS, receipt, now);
        }
        MessageEvent::Conversion { converted } => {
            machine.handle_conversion(Conversion { converted, at: now });
        }
        MessageEvent::Timeout => machine.handle_timeout(now),
    }
}

/// Stores a verification and reads it back, as a restart does.
fn restored(machine: Verification) -> Verification {
    let code = machine.code().cloned();
    let record = machine.into_record();
    let json = serde_json::to_string(&record).unwrap();
    let read = serde_json::from_str(&json).unwrap();
    assert_eq!(record, read, "a record survives its stored form");
    Verification::restore(read, code).unwrap()
}

/// Stores a message and reads it back, as a restart does.
fn restored_message(machine: Message) -> Message {
    let text = machine.text().cloned();
    let record = machine.into_record();
    let json = serde_json::to_string(&record).unwrap();
    let read = serde_json::from_str(&json).unwrap();
    assert_eq!(record, read, "a record survives its stored form");
    Message::restore(read, text).unwrap()
}

fn replace(machine: &mut Verification, new: &NewVerification) -> Verification {
    core::mem::replace(machine, Verification::start(new.clone(), START))
}

fn replace_message(machine: &mut Message, new: &NewMessage) -> Message {
    core::mem::replace(machine, Message::start(new.clone(), START))
}

fn is_ended(machine: &Verification) -> bool {
    match machine.record().state {
        VerificationState::Open { .. } => false,
        VerificationState::Ended { .. } => true,
    }
}

fn later(now: Timestamp, pause: Pause, timer: Option<Timestamp>, lifetime: Duration) -> Timestamp {
    match pause {
        Pause::Millis(millis) => now.after(Duration::from_millis(millis)),
        Pause::UntilTimer => now.max(timer.unwrap_or(now)),
        Pause::JustBeforeTimer => {
            now.max(timer.map_or(now, |at| at.before(Duration::from_millis(1))))
        }
        Pause::Lifetime => now.after(lifetime),
    }
}

/// Draws a seed if the environment names none, and tells it: what is told is shown with a failure.
#[expect(clippy::print_stderr, reason = "it is how a failure is replayed")]
fn config() -> ProptestConfig {
    // The default reads the environment.
    let config = ProptestConfig::with_cases(512);
    let seed = match config.rng_seed {
        RngSeed::Fixed(seed) => seed,
        RngSeed::Random => RandomState::new().hash_one(START),
    };
    eprintln!("replay: PROPTEST_RNG_SEED={seed} cargo test -p engine --test properties");
    ProptestConfig { rng_seed: RngSeed::Fixed(seed), failure_persistence: None, ..config }
}
