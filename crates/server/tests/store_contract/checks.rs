//! Checks: who wins, who pays, who may ask.

#![expect(clippy::unwrap_used, reason = "a broken story fails its test")]

use std::sync::Arc;

use countersign::store::CheckCode;
use engine::{Conversion, Outcome, Refusal, Subject, TypedCode, Verdict};
use tokio::task::JoinSet;

use crate::bench::{ALICE, BOB, Bench, CODE, NUMBER, step};

pub(crate) async fn of_64_right_checks_at_once_one_wins_and_is_charged(mut bench: Bench) {
    let id = bench.start(ALICE, NUMBER).await;
    let mut checks = JoinSet::new();
    for nonce in 0..64 {
        let store = Arc::clone(bench.store());
        let typed = TypedCode::text(CODE);
        let check = CheckCode { account: ALICE, id, typed, nonce, now: bench.now };
        checks.spawn(async move { store.check(check).await.unwrap() });
    }
    let answers = checks.join_all().await;
    let won: Vec<_> = answers.iter().filter_map(|answer| answer.as_ref().ok()).collect();
    assert_eq!(won.len(), 1);
    assert_eq!(won.first().unwrap().verdict, Verdict::Match);
    for lost in answers.iter().filter_map(|answer| answer.as_ref().err()) {
        assert_eq!(*lost, Refusal::Ended(Outcome::Verified));
    }
    assert_eq!(bench.balance(ALICE).await, 95, "charged exactly once");
    assert_eq!(bench.claim_webhooks().await.len(), 1, "told exactly once");
    assert_eq!(bench.record(id).await.checks.len(), 1);
}

pub(crate) async fn the_third_wrong_check_fails_and_frees_the_slot(mut bench: Bench) {
    let id = bench.start(ALICE, NUMBER).await;
    for checks_left in [2, 1] {
        let checked = bench.check(ALICE, id, "9999").await.unwrap();
        assert_eq!(checked.verdict, Verdict::Mismatch { checks_left });
        assert!(checked.effects.outcomes.is_empty());
    }
    let last = bench.check(ALICE, id, "9999").await.unwrap();
    assert_eq!(last.verdict, Verdict::Mismatch { checks_left: 0 });
    assert_eq!(last.effects.outcomes, [Outcome::Failed]);
    assert_eq!(last.effects.withdrawals, [step(id, 0)]);
    let late = bench.check(ALICE, id, CODE).await.unwrap_err();
    assert_eq!(late, Refusal::Ended(Outcome::Failed), "not even the right code helps");
    assert_eq!(bench.balance(ALICE).await, 100, "a failure costs nothing");
    bench.start(ALICE, NUMBER).await;
}

pub(crate) async fn a_check_that_is_sent_again_is_answered_the_same(mut bench: Bench) {
    let id = bench.start(ALICE, NUMBER).await;
    let check = |typed, nonce, now| CheckCode {
        account: ALICE,
        id,
        typed: TypedCode::text(typed),
        nonce,
        now,
    };
    let now = bench.now;
    for _ in 0..4 {
        let checked = bench.store().check(check("9999", 501, now)).await.unwrap().unwrap();
        assert_eq!(checked.verdict, Verdict::Mismatch { checks_left: 2 }, "it counts once");
    }
    for _ in 0..2 {
        let checked = bench.store().check(check(CODE, 502, now)).await.unwrap().unwrap();
        assert_eq!(checked.verdict, Verdict::Match);
        bench.reopen();
    }
    assert_eq!(bench.balance(ALICE).await, 95);
}

pub(crate) async fn an_account_knows_nothing_of_anothers_verification(mut bench: Bench) {
    let id = bench.start(ALICE, NUMBER).await;
    let message = bench.send(ALICE, NUMBER).await;
    bench.pass(31);
    assert_eq!(bench.check(BOB, id, CODE).await.unwrap_err(), Refusal::Unknown);
    assert_eq!(bench.cancel(BOB, id).await.unwrap_err(), Refusal::Unknown);
    let conversion = Conversion { converted: true, at: bench.now };
    for subject in [Subject::Verification(id), Subject::Message(message)] {
        let theirs = bench.store().convert(BOB, subject, conversion).await.unwrap();
        assert!(theirs.is_none(), "{subject:?}");
        let own = bench.store().convert(ALICE, subject, conversion).await.unwrap();
        assert!(own.is_some(), "{subject:?}");
    }
    assert_eq!(bench.outcome(id).await, None);
    assert!(bench.record(id).await.checks.is_empty(), "a stranger uses up no check");
    assert_eq!(bench.record(id).await.conversion, Some(conversion));
    assert_eq!(bench.message_record(message).await.conversion, Some(conversion));
}

pub(crate) async fn a_refused_check_leaves_the_end_to_the_timer(mut bench: Bench) {
    let id = bench.start(ALICE, NUMBER).await;
    bench.pass(300);
    let refusal = bench.check(ALICE, id, CODE).await.unwrap_err();
    assert_eq!(refusal, Refusal::Ended(Outcome::Expired), "though no timer has fired");
    assert_eq!(bench.cancel(ALICE, id).await.unwrap_err(), refusal);
    let woken = bench.wake().await;
    assert_eq!(woken.effects.outcomes, [Outcome::Expired]);
    assert_eq!(woken.effects.withdrawals, [step(id, 0)], "whoever is called hears no more");
    assert_eq!(bench.balance(ALICE).await, 100);
}
