//! Forgetting: what is purged, what is erased, and what must go on working without it.

#![expect(clippy::unwrap_used, reason = "a broken story fails its test")]

use std::time::Duration;

use countersign::store::{
    BarredNumber, ConfigChange, Notify, OptOut, Settlement, StartVerification,
};
use engine::{Limit, Limits, Outcome, ReceiptStatus, Refusal};

use crate::bench::{
    ALICE, BOB, Bench, CAMPAIGN, NEIGHBOUR, NUMBER, STRANGER, attempt_of, attempts,
    everything_before, idempotency, keys, message_of, step, unlimited, verification_of,
};

pub(crate) async fn only_what_has_ended_is_purged(mut bench: Bench) {
    let ended = bench.start(ALICE, NUMBER).await;
    bench.verify(ALICE, ended).await;
    let mut remembered = bench.verification(ALICE, STRANGER);
    remembered.idempotency = Some(idempotency(1, 1));
    let open = verification_of(&bench.try_start(remembered.clone()).await.unwrap());
    let delivered = bench.send(ALICE, NUMBER).await;
    bench.receipt(attempt_of(delivered), ReceiptStatus::Delivered).await;
    let waiting = bench.send(ALICE, NUMBER).await;
    tell_all(&bench).await;
    bench.pass(60);
    let fresh = bench.start(BOB, NUMBER).await;
    bench.verify(BOB, fresh).await;
    tell_all(&bench).await;

    let all = everything_before(bench.now);
    assert_eq!(bench.store().purge(all, 100).await.unwrap(), 3, "two machines and an answer");
    assert!(bench.store().verification(ended).await.unwrap().is_none());
    assert!(bench.store().message(delivered).await.unwrap().is_none());
    for id in [open, fresh] {
        assert!(bench.store().verification(id).await.unwrap().is_some());
    }
    assert!(bench.store().message(waiting).await.unwrap().is_some());
    assert_eq!(bench.balance(ALICE).await, 100 - 5 - 2 * 8, "money is not forgotten");
    bench.verify(ALICE, open).await;
    bench.submitted(attempt_of(waiting), engine::SubmitOutcome::Accepted).await;
    assert_eq!(bench.store().purge(all, 0).await.unwrap(), 0, "no more than asked for");
}

pub(crate) async fn what_a_webhook_still_tells_of_is_not_purged(mut bench: Bench) {
    let id = bench.start(ALICE, NUMBER).await;
    bench.verify(ALICE, id).await;
    let message = bench.send(ALICE, NUMBER).await;
    bench.receipt(attempt_of(message), ReceiptStatus::Delivered).await;
    bench.pass(60);
    let all = everything_before(bench.now);
    assert_eq!(bench.store().purge(all, 100).await.unwrap(), 0);
    let claimed = bench.claim_webhooks().await;
    assert_eq!(claimed.len(), 3, "one outcome and two parts");
    for (index, job) in claimed.iter().enumerate() {
        let dead = Settlement::Dead { at: bench.now, error: String::new() };
        let settlement = if index == 0 { dead } else { Settlement::Done };
        bench.settle(job.id, job.tries, settlement).await;
    }
    assert_eq!(bench.store().purge(all, 100).await.unwrap(), 1, "the message");
    bench.pass(1);
    let all = everything_before(bench.now);
    assert_eq!(bench.store().purge(all, 100).await.unwrap(), 2, "what was given up, and its own");
    assert!(bench.store().verification(id).await.unwrap().is_none());
}

pub(crate) async fn erasing_keeps_limits_and_opt_outs_working(mut bench: Bench) {
    let two_a_minute = Limit::new(2, Duration::from_mins(1));
    let limits = Limits { number: two_a_minute, ..unlimited() };
    let start = StartVerification { limits, ..bench.verification(ALICE, NUMBER) };
    let open = verification_of(&bench.try_start(start).await.unwrap());
    let start = StartVerification { limits, ..bench.verification(BOB, NUMBER) };
    bench.try_start(start).await.unwrap();
    let opt_out = OptOut {
        campaign: CAMPAIGN,
        number_key: keys(NUMBER).number,
        number: Some(NUMBER),
        opted_in_at: None,
        opted_out_at: Some(bench.now),
    };
    bench.change(ConfigChange::PutOptOut(opt_out)).await;
    let number_key = keys(NEIGHBOUR).number;
    let bar =
        BarredNumber { number_key, number: Some(NUMBER), reason: String::new(), at: bench.now };
    bench.change(ConfigChange::Bar(bar)).await;

    assert_eq!(bench.store().erase(NUMBER, bench.now).await.unwrap(), 4);
    assert_eq!(bench.store().erase(NUMBER, bench.now).await.unwrap(), 0, "nothing is left");
    assert_eq!(bench.store().verification(open).await.unwrap().unwrap().number, None);
    let directory = bench.store().directory().await.unwrap();
    assert!(directory.opt_outs.iter().all(|opt_out| opt_out.number.is_none()));
    assert!(directory.barred.iter().all(|barred| barred.number.is_none()));
    for _ in 0..2 {
        bench.reopen();
        let again = StartVerification { limits, ..bench.verification(ALICE, NUMBER) };
        assert_eq!(bench.try_start(again).await.unwrap_err(), Refusal::AlreadyOpen(open));
        bench.put_account(CAROL, 100).await;
        let again = StartVerification { limits, ..bench.verification(CAROL, NUMBER) };
        let refusal = bench.try_start(again).await.unwrap_err();
        assert!(matches!(refusal, Refusal::NumberThrottled { .. }), "{refusal:?}");
        let message = bench.message(ALICE, NUMBER);
        assert_eq!(bench.try_send(message).await.unwrap_err(), Refusal::OptedOut);
        let barred = bench.verification(ALICE, NEIGHBOUR);
        assert_eq!(bench.try_start(barred).await.unwrap_err(), Refusal::NumberBarred);
    }
}

pub(crate) async fn an_erased_number_is_sent_nothing_more(mut bench: Bench) {
    let id = bench.start(ALICE, NUMBER).await;
    let message = bench.send(ALICE, NUMBER).await;
    let other = bench.start(ALICE, STRANGER).await;
    bench.store().erase(NUMBER, bench.now).await.unwrap();
    bench.pass(20);
    assert_eq!(attempts(&bench.claim_sends().await), [step(other, 0)]);
    bench.pass(40);
    let woken = bench.wake().await;
    assert_eq!(attempts(&woken.effects.sends), [step(other, 1)], "no step follows either");
    bench.reopen();
    let claimed = attempts(&bench.claim_sends().await);
    assert_eq!(claimed, [step(other, 1)], "which has taken over from the first");
    assert!(bench.store().message(message).await.unwrap().unwrap().number.is_none());
    bench.pass(240);
    bench.wake().await;
    assert_eq!(bench.outcome(id).await, Some(Outcome::Expired), "it runs to its end");
}

pub(crate) async fn what_an_account_wrote_of_an_erased_number_goes_with_it(mut bench: Bench) {
    let mut sent = Vec::new();
    for (number, client_ref, url) in [
        (NUMBER, format!("user +{NUMBER}"), format!("https://app.example/dlr?to=%2B{NUMBER}")),
        (NUMBER, "order 7".to_owned(), "https://app.example/dlr".to_owned()),
        (STRANGER, "order 8".to_owned(), "https://app.example/dlr".to_owned()),
    ] {
        let mut start = bench.message(ALICE, number);
        start.new.parts = 1;
        start.details.client_ref = Some(client_ref);
        start.details.notify = Notify::Url(url);
        let id = message_of(&bench.try_send(start).await.unwrap());
        bench.receipt(attempt_of(id), ReceiptStatus::Buffered).await;
        sent.push(id);
    }
    assert_eq!(bench.store().erase(NUMBER, bench.now).await.unwrap(), 3, "with one webhook");
    let mut kept = Vec::new();
    for id in sent {
        let details = bench.store().message(id).await.unwrap().unwrap().details;
        kept.push((details.client_ref, details.notify));
    }
    let plain = Notify::Url("https://app.example/dlr".to_owned());
    let order = |number| (Some(format!("order {number}")), plain.clone());
    assert_eq!(kept, [(None, Notify::Nobody), order(7), order(8)]);
    let urls = bench.claim_webhooks().await.into_iter().map(|job| job.url);
    let plain = Some("https://app.example/dlr".to_owned());
    assert_eq!(urls.collect::<Vec<_>>(), [None, plain.clone(), plain]);
}

async fn tell_all(bench: &Bench) {
    for job in bench.claim_webhooks().await {
        bench.settle(job.id, job.tries, Settlement::Done).await;
    }
}

const CAROL: engine::AccountId = engine::AccountId(3);
