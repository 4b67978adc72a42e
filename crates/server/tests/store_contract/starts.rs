//! Starts: admission, leases, slots, repeats.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a broken story fails its test")]

use std::time::Duration;

use countersign::store::{BarredNumber, ConfigChange, Content};
use engine::{Channel, Limit, Outcome, Refusal, Subject};

use crate::bench::{
    ALICE, BOB, Bench, CODE, NUMBER, STRANGER, attempts, idempotency, keys, step, verification_of,
};

pub(crate) async fn a_start_hands_out_its_send_under_a_lease(mut bench: Bench) {
    let start = bench.verification(ALICE, NUMBER);
    let started = bench.try_start(start).await.unwrap();
    let id = verification_of(&started);
    assert!(!started.replayed);
    let [job] = started.effects.sends.as_slice() else { panic!("one send, not {started:?}") };
    assert_eq!(job.attempt, step(id, 0));
    assert_eq!((job.account, job.number, job.channel), (ALICE, NUMBER, Channel::Sms));
    assert_eq!((job.tries, job.expires_at), (0, bench.now.after(Duration::from_mins(5))));
    let Content::Code { code, brand, .. } = &job.content else { panic!("a code, not {job:?}") };
    assert_eq!((code.reveal(), brand.as_str()), (CODE, "Acme"));
    assert!(bench.claim_sends().await.is_empty(), "the caller has leased it");
}

pub(crate) async fn a_repeated_start_gets_its_first_answer(mut bench: Bench) {
    let mut start = bench.verification(ALICE, NUMBER);
    start.idempotency = Some(idempotency(1, 1));
    let first = bench.try_start(start).await.unwrap();

    let mut repeat = bench.verification(ALICE, NUMBER);
    repeat.idempotency = Some(idempotency(1, 1));
    let second = bench.try_start(repeat.clone()).await.unwrap();
    assert!(second.replayed && second.effects.sends.is_empty(), "nothing is sent again");
    assert_eq!((second.subject, second.price), (first.subject, first.price));
    assert_eq!(second.balance, first.balance);

    bench.verify(ALICE, verification_of(&first)).await;
    bench.reopen();
    let third = bench.try_start(repeat.clone()).await.unwrap();
    assert_eq!((third.replayed, third.subject), (true, first.subject), "even when it has ended");
    let asked = async |key| bench.store().first_answer(ALICE, key).await.unwrap();
    let answer = asked(idempotency(1, 1)).await.unwrap().unwrap();
    assert_eq!((answer.subject, answer.balance), (first.subject, first.balance));
    let refusal = asked(idempotency(1, 2)).await.unwrap().unwrap_err();
    assert_eq!(refusal, Refusal::IdempotencyMismatch);
    assert!(asked(idempotency(2, 1)).await.is_none(), "a new key has no answer yet");

    repeat.idempotency = Some(idempotency(1, 2));
    assert_eq!(bench.try_start(repeat.clone()).await.unwrap_err(), Refusal::IdempotencyMismatch);
    let mut others = bench.verification(BOB, NUMBER);
    others.idempotency = Some(idempotency(1, 1));
    assert!(!bench.try_start(others).await.unwrap().replayed, "keys are each account's own");
}

pub(crate) async fn a_repeated_message_is_charged_once(mut bench: Bench) {
    let mut start = bench.message(ALICE, NUMBER);
    start.idempotency = Some(idempotency(1, 1));
    let first = bench.try_send(start.clone()).await.unwrap();
    assert_eq!((first.parts, first.balance.units()), (2, 92));
    let second = bench.try_send(start).await.unwrap();
    assert_eq!((second.replayed, second.subject, second.parts), (true, first.subject, 2));
    assert!(second.effects.sends.is_empty());
    assert_eq!(bench.balance(ALICE).await, 92);
}

pub(crate) async fn a_start_sent_again_without_a_key_is_known_by_its_name(mut bench: Bench) {
    let start = bench.verification(ALICE, NUMBER);
    let first = bench.try_start(start.clone()).await.unwrap();
    let message = bench.message(ALICE, NUMBER);
    let sent = bench.try_send(message.clone()).await.unwrap();
    bench.verify(ALICE, verification_of(&first)).await;
    for _ in 0..2 {
        bench.reopen();
        let again = bench.try_start(start.clone()).await.unwrap();
        assert_eq!(
            (again.replayed, again.subject, again.price),
            (true, first.subject, first.price)
        );
        let again = bench.try_send(message.clone()).await.unwrap();
        assert_eq!((again.replayed, again.subject), (true, sent.subject));
        assert_eq!((again.parts, again.price, again.balance.units()), (2, sent.price, 87));
        assert!(again.effects.sends.is_empty() && !again.effects.webhooks);
    }
    assert_eq!(bench.balance(ALICE).await, 100 - 5 - 8, "each is charged once");

    let mut open = bench.verification(ALICE, STRANGER);
    open.limits.number = Limit::new(1, Duration::from_hours(1));
    bench.try_start(open.clone()).await.unwrap();
    assert!(
        bench.try_start(open).await.unwrap().replayed,
        "its own slot and rate do not refuse it"
    );
}

pub(crate) async fn one_is_open_per_account_and_number(mut bench: Bench) {
    let id = bench.start(ALICE, NUMBER).await;
    let again = bench.verification(ALICE, NUMBER);
    assert_eq!(bench.try_start(again).await.unwrap_err(), Refusal::AlreadyOpen(id));
    let others = bench.start(BOB, NUMBER).await;
    bench.start(ALICE, STRANGER).await;

    bench.verify(ALICE, id).await;
    bench.start(ALICE, NUMBER).await;
    assert_eq!(bench.outcome(others).await, None, "the other account's goes on");
}

pub(crate) async fn a_slot_past_its_expiry_admits_before_any_timer_fires(mut bench: Bench) {
    let old = bench.start(ALICE, NUMBER).await;
    bench.pass(299);
    let early = bench.verification(ALICE, NUMBER);
    assert_eq!(bench.try_start(early).await.unwrap_err(), Refusal::AlreadyOpen(old));
    bench.pass(1);
    let start = bench.verification(ALICE, NUMBER);
    let started = bench.try_start(start).await.unwrap();
    assert_eq!(started.effects.outcomes, [Outcome::Expired], "the old one has ended");
    assert_eq!(started.effects.withdrawals, [step(old, 0)]);
    let Subject::Verification(new) = started.subject else { panic!("{started:?}") };
    assert_eq!(attempts(&started.effects.sends), [step(new, 0)]);
    assert_eq!(bench.outcome(old).await, Some(Outcome::Expired));
    assert_eq!(bench.wake().await.count, 0, "the old one's timer is gone");
}

pub(crate) async fn a_refused_start_leaves_an_overdue_one_to_its_timer(mut bench: Bench) {
    let old = bench.start(ALICE, NUMBER).await;
    bench.pass(300);
    let bar = BarredNumber {
        number_key: keys(NUMBER).number,
        number: None,
        reason: String::new(),
        at: bench.now,
    };
    bench.change(ConfigChange::Bar(bar)).await;
    let start = bench.verification(ALICE, NUMBER);
    assert_eq!(bench.try_start(start).await.unwrap_err(), Refusal::NumberBarred);
    let woken = bench.wake().await;
    assert_eq!(woken.effects.outcomes, [Outcome::Expired], "nothing that followed was lost");
    assert_eq!(woken.effects.withdrawals, [step(old, 0)]);
}
