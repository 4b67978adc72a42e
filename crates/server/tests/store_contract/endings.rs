//! Timers and ends: what comes by itself, what frees what, what survives a reopening.

#![expect(clippy::unwrap_used, reason = "a broken story fails its test")]

use std::time::Duration;

use countersign::store::CancelVerification;
use engine::{Outcome, Refusal, Timestamp};

use crate::bench::{ALICE, BOB, Bench, NOON, NUMBER, STRANGER, attempts, step};

pub(crate) async fn steps_and_expiry_come_in_order(mut bench: Bench) {
    let id = bench.start(ALICE, NUMBER).await;
    assert_eq!(machine_due(&bench).await, after_noon(60));
    bench.pass(59);
    assert_eq!(bench.wake().await.count, 0);
    bench.pass(1);
    let woken = bench.wake().await;
    assert_eq!(attempts(&woken.effects.sends), [step(id, 1)]);
    assert_eq!(bench.wake().await.count, 0, "once");
    assert_eq!(machine_due(&bench).await, after_noon(300));
    bench.pass(240);
    let woken = bench.wake().await;
    assert_eq!(woken.effects.outcomes, [Outcome::Expired]);
    assert_eq!(woken.effects.withdrawals, [step(id, 0), step(id, 1)]);
    assert!(woken.effects.webhooks && woken.effects.sends.is_empty());
    assert_eq!(bench.outcome(id).await, Some(Outcome::Expired));
    assert_eq!(bench.balance(ALICE).await, 100, "an expiry costs nothing");
    bench.start(ALICE, NUMBER).await;
}

pub(crate) async fn a_machine_that_ended_is_woken_no_more(mut bench: Bench) {
    let id = bench.start(ALICE, NUMBER).await;
    bench.verify(ALICE, id).await;
    bench.pass(600);
    assert_eq!(bench.wake().await.count, 0);
    bench.reopen();
    assert_eq!(bench.wake().await.count, 0);
    assert_eq!(bench.outcome(id).await, Some(Outcome::Verified));
}

pub(crate) async fn as_many_are_woken_as_were_asked_for(mut bench: Bench) {
    for number in [NUMBER, STRANGER] {
        bench.start(ALICE, number).await;
    }
    bench.start(BOB, NUMBER).await;
    bench.pass(60);
    let mut sent = Vec::new();
    for count in [2, 1, 0] {
        let woken = bench.store().wake(bench.now, 2).await.unwrap();
        assert_eq!(woken.count, count);
        sent.extend(attempts(&woken.effects.sends));
    }
    sent.dedup();
    assert_eq!(sent.len(), 3, "each of them once");
}

pub(crate) async fn a_cancel_frees_slot_and_money(mut bench: Bench) {
    let id = bench.start(ALICE, NUMBER).await;
    bench.pass(10);
    let retry_after = Duration::from_secs(20);
    assert_eq!(bench.cancel(ALICE, id).await.unwrap_err(), Refusal::CancelTooEarly { retry_after });
    bench.pass(20);
    let effects = bench.cancel(ALICE, id).await.unwrap();
    assert_eq!(effects.outcomes, [Outcome::Cancelled]);
    assert_eq!(effects.withdrawals, [step(id, 0)]);
    let again = bench.cancel(ALICE, id).await.unwrap_err();
    assert_eq!(again, Refusal::Ended(Outcome::Cancelled));
    assert_eq!(bench.balance(ALICE).await, 100);
    bench.start(ALICE, NUMBER).await;
}

pub(crate) async fn a_cancel_that_is_sent_again_is_answered_the_same(mut bench: Bench) {
    let id = bench.start(ALICE, NUMBER).await;
    bench.pass(40);
    let cancel = |nonce| CancelVerification { account: ALICE, id, nonce, now: after_noon(40) };
    let first = bench.store().cancel(cancel(7)).await.unwrap().unwrap();
    assert_eq!(first.outcomes, [Outcome::Cancelled]);
    bench.reopen();
    let again = bench.store().cancel(cancel(7)).await.unwrap().unwrap();
    assert!(again.outcomes.is_empty() && again.withdrawals.is_empty(), "nothing is done twice");
    let other = bench.store().cancel(cancel(8)).await.unwrap().unwrap_err();
    assert_eq!(other, Refusal::Ended(Outcome::Cancelled));
    assert_eq!(bench.claim_webhooks().await.len(), 1, "told once");
}

pub(crate) async fn what_was_open_goes_on_after_a_reopening(mut bench: Bench) {
    let id = bench.start(ALICE, NUMBER).await;
    bench.check(ALICE, id, "9999").await.unwrap();
    bench.pass(59);
    bench.reopen();
    let again = bench.verification(ALICE, NUMBER);
    assert_eq!(bench.try_start(again).await.unwrap_err(), Refusal::AlreadyOpen(id), "the slot");
    let mut dear = bench.verification(ALICE, STRANGER);
    dear.new.price = engine::Amount::from_units(96);
    let refusal = bench.try_start(dear).await.unwrap_err();
    assert_eq!(refusal, Refusal::InsufficientBalance, "the money that it holds");
    assert_eq!(machine_due(&bench).await, after_noon(60), "its timer");
    bench.pass(1);
    assert_eq!(attempts(&bench.wake().await.effects.sends), [step(id, 1)]);
    bench.reopen();
    bench.verify(ALICE, id).await;
    bench.reopen();
    assert_eq!(bench.balance(ALICE).await, 95);
    assert_eq!(bench.outcome(id).await, Some(Outcome::Verified));
}

async fn machine_due(bench: &Bench) -> Timestamp {
    bench.store().next_due().await.unwrap().machine.unwrap()
}

fn after_noon(seconds: u64) -> Timestamp {
    NOON.after(Duration::from_secs(seconds))
}
