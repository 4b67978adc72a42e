//! The outbox of attempts: leases, postponements, withdrawals, and what links report.

#![expect(clippy::unwrap_used, reason = "a broken story fails its test")]

use std::time::Duration;

use countersign::store::{EarlierCall, NewsEvent, Postponement};
use engine::{
    Amount, Call, Conversion, ErrorCode, Outcome, Progress, Receipt, ReceiptStatus, Subject,
    SubmitOutcome, Timestamp, VerificationId, Workflow,
};

use crate::bench::{
    ALICE, Bench, CODE, LEASE, NUMBER, attempt_of, attempts, step, verification_of,
};

pub(crate) async fn a_leased_send_is_claimed_once_until_the_lease_runs_out(mut bench: Bench) {
    let id = bench.start(ALICE, NUMBER).await;
    let due = bench.store().next_due().await.unwrap();
    assert_eq!(due.send, Some(bench.now.after(LEASE)));
    bench.pass(19);
    assert!(bench.claim_sends().await.is_empty(), "the start has leased it");
    bench.pass(1);
    let claimed = bench.claim_sends().await;
    assert_eq!(attempts(&claimed), [step(id, 0)]);
    assert_eq!(claimed.first().unwrap().tries, 1, "the start was the first to try");
    assert!(bench.claim_sends().await.is_empty(), "the claim has leased it");
    bench.pass(20);
    assert_eq!(bench.claim_sends().await.first().unwrap().tries, 2);
}

pub(crate) async fn a_lease_is_over_at_once_after_a_reopening(mut bench: Bench) {
    let id = bench.start(ALICE, NUMBER).await;
    bench.reopen();
    assert_eq!(attempts(&bench.claim_sends().await), [step(id, 0)]);
    bench.reopen();
    assert_eq!(attempts(&bench.claim_sends().await), [step(id, 0)]);
    bench.submitted(step(id, 0), SubmitOutcome::Accepted).await;
    bench.reopen();
    assert!(bench.claim_sends().await.is_empty(), "what was sent stays sent");
}

pub(crate) async fn a_postponed_send_comes_back_when_it_is_due(mut bench: Bench) {
    let id = bench.start(ALICE, NUMBER).await;
    let due_at = bench.now.after(Duration::from_secs(200));
    bench.postpone(step(id, 0), 0, due_at).await;
    bench.pass(25);
    assert!(bench.claim_sends().await.is_empty(), "not yet, though the lease has run out");
    // A due time is no clock: what is due in 200 seconds does not make it 200 seconds later.
    let woken = bench.wake().await;
    assert_eq!(woken.count, 0, "no step is due");
    bench.pass(175);
    let claimed = bench.claim_sends().await;
    assert_eq!(attempts(&claimed), [step(id, 0)]);
    let job = claimed.first().unwrap();
    assert_eq!(job.tries, 1, "one try, however often it was put back");
    assert_eq!(job.passed_over.first().unwrap().reason, "it is down");
}

pub(crate) async fn calls_are_told_by_their_link_and_their_time(mut bench: Bench) {
    let id = bench.start(ALICE, NUMBER).await;
    bench.submitted(step(id, 0), SubmitOutcome::Accepted).await;
    bench.pass(60);
    bench.wake().await;
    bench.submitted(step(id, 1), SubmitOutcome::Accepted).await;
    let rang_at = bench.now;
    for ended_at in [None, Some(rang_at.after(Duration::from_secs(9)))] {
        let cost = ended_at.map_or(Amount::ZERO, |_| Amount::from_units(7));
        let call = Call { rang_at: Some(rang_at), ended_at, cost, ..Call::default() };
        bench.called(step(id, 1), call).await;
        bench.reopen();
        let since = |link: &str, at| bench.store().calls_since(link.to_owned(), at);
        let told = since("carrier", rang_at).await.unwrap();
        assert_eq!(told, [EarlierCall { number: NUMBER, at: rang_at, cost }]);
        let later = rang_at.after(Duration::from_millis(1));
        assert!(since("carrier", later).await.unwrap().is_empty());
        assert!(since("other", rang_at).await.unwrap().is_empty());
    }
}

pub(crate) async fn a_conversion_is_news_of_the_link_that_carried_the_code(mut bench: Bench) {
    let id = bench.send(ALICE, NUMBER).await;
    bench.submitted(attempt_of(id), SubmitOutcome::Accepted).await;
    let conversion = Conversion { converted: true, at: bench.now };
    for told in [1, 0] {
        let kept = bench.store().convert(ALICE, Subject::Message(id), conversion).await.unwrap();
        let kept = kept.unwrap();
        assert_eq!(kept.link, "carrier");
        let events: Vec<_> = kept.effects.news.iter().map(|news| news.event).collect();
        assert_eq!(events.len(), told, "it is told once");
        assert!(events.iter().all(|event| *event == NewsEvent::Converted));
    }
}

pub(crate) async fn a_postponement_without_a_try_counts_none(mut bench: Bench) {
    let id = bench.start(ALICE, NUMBER).await;
    for (tries, tried, expected) in [(0, false, 0), (0, true, 1), (1, false, 1), (1, true, 2)] {
        let (attempt, passed_over) = (step(id, 0), Vec::new());
        let due_at = bench.now.after(Duration::from_secs(1));
        let postponement = Postponement { attempt, tries, tried, due_at, passed_over };
        // The second copy of the report comes after an unknown commit of the first.
        bench.store().postpone(postponement.clone()).await.unwrap();
        bench.store().postpone(postponement).await.unwrap();
        bench.pass(1);
        assert_eq!(bench.claim_sends().await.first().unwrap().tries, expected);
    }
}

pub(crate) async fn whoever_lost_the_lease_postpones_nothing(mut bench: Bench) {
    let id = bench.start(ALICE, NUMBER).await;
    bench.pass(20);
    assert_eq!(bench.claim_sends().await.first().unwrap().tries, 1, "taken up by another");
    bench.postpone(step(id, 0), 0, bench.now).await;
    assert!(bench.claim_sends().await.is_empty(), "who is at it");
}

pub(crate) async fn a_conversion_does_not_move_the_stores_time(mut bench: Bench) {
    let id = bench.start(ALICE, NUMBER).await;
    let far = Timestamp::from_millis(bench.now.as_millis() * 2);
    let conversion = Conversion { converted: true, at: far };
    bench.store().convert(ALICE, Subject::Verification(id), conversion).await.unwrap();
    let other = bench.start(ALICE, NUMBER + 1).await;
    assert_eq!(bench.record(other).await.created_at, bench.now);
    assert!(bench.check(ALICE, id, CODE).await.is_ok(), "the code can still be typed");
}

pub(crate) async fn a_failed_send_hands_out_the_next_step(mut bench: Bench) {
    let id = bench.start(ALICE, NUMBER).await;
    bench.pass(5);
    let rejected = SubmitOutcome::Rejected(ErrorCode::UNREACHABLE);
    let effects = bench.submitted(step(id, 0), rejected).await;
    assert_eq!(attempts(&effects.sends), [step(id, 1)], "at once");
    let again = bench.submitted(step(id, 0), rejected).await;
    assert!(again.sends.is_empty(), "a repeated report sends nothing more");
    assert!(bench.claim_sends().await.is_empty(), "the reporter has leased it");
    bench.pass(20);
    assert_eq!(attempts(&bench.claim_sends().await), [step(id, 1)]);
    bench.submitted(step(id, 1), SubmitOutcome::Accepted).await;
    let effects = bench.receipt(step(id, 1), ReceiptStatus::Failed).await;
    assert!(effects.sends.is_empty() && effects.outcomes.is_empty(), "there is no third step");
    bench.pass(60);
    assert!(bench.claim_sends().await.is_empty());
    bench.verify(ALICE, id).await;
}

pub(crate) async fn what_no_link_took_is_claimed_again_once_all_later_steps_have_failed(
    mut bench: Bench,
) {
    let mut start = bench.verification(ALICE, NUMBER);
    start.new.policy.workflow = Workflow::preset(1, Duration::from_mins(1)).unwrap();
    let id = verification_of(&bench.try_start(start).await.unwrap());
    bench.postpone(step(id, 0), 0, bench.now.after(Duration::from_secs(70))).await;
    bench.pass(60);
    assert_eq!(attempts(&bench.wake().await.effects.sends), [step(id, 1)]);
    bench.pass(10);
    assert!(bench.claim_sends().await.is_empty(), "the next step has begun");
    let rejected = SubmitOutcome::Rejected(ErrorCode::UNROUTABLE);
    bench.submitted(step(id, 1), rejected).await;
    bench.pass(5);
    assert!(bench.claim_sends().await.is_empty(), "the last step has begun");
    bench.submitted(step(id, 2), rejected).await;
    assert_eq!(attempts(&bench.claim_sends().await), [step(id, 0)], "nothing else is left");
    bench.submitted(step(id, 0), SubmitOutcome::Accepted).await;
    bench.pass(30);
    assert!(bench.claim_sends().await.is_empty(), "it is sent once");
}

pub(crate) async fn what_no_link_took_is_not_sent_beside_a_later_step_that_arrived(
    mut bench: Bench,
) {
    let id = bench.start(ALICE, NUMBER).await;
    bench.postpone(step(id, 0), 0, bench.now.after(Duration::from_secs(70))).await;
    bench.pass(60);
    bench.wake().await;
    bench.submitted(step(id, 1), SubmitOutcome::Accepted).await;
    bench.receipt(step(id, 1), ReceiptStatus::Delivered).await;
    for _ in 0..10 {
        bench.pass(10);
        assert!(bench.claim_sends().await.is_empty());
    }
}

pub(crate) async fn what_was_withdrawn_is_never_claimed(mut bench: Bench) {
    let id = bench.start(ALICE, NUMBER).await;
    assert_eq!(bench.verify(ALICE, id).await.withdrawals, [step(id, 0)]);
    bench.postpone(step(id, 0), 0, bench.now).await;
    bench.pass(100);
    assert!(bench.claim_sends().await.is_empty());
    bench.reopen();
    assert!(bench.claim_sends().await.is_empty());
    assert_eq!(progress(&bench, id).await, Progress::Withdrawn);
}

pub(crate) async fn a_receipt_may_overtake_its_submit(mut bench: Bench) {
    let id = bench.start(ALICE, NUMBER).await;
    let receipt = Receipt { status: ReceiptStatus::Delivered, error: ErrorCode::NONE };
    bench.receipt(step(id, 0), receipt.status).await;
    bench.submitted(step(id, 0), SubmitOutcome::Accepted).await;
    assert_eq!(progress(&bench, id).await, Progress::Reported(receipt));
    let link = bench.record(id).await.attempts.first().unwrap().passage.link.clone();
    assert_eq!(link.as_deref(), Some("carrier"), "who carried it is known nevertheless");
    bench.pass(30);
    assert!(bench.claim_sends().await.is_empty(), "it is not sent again");
}

pub(crate) async fn what_a_receipt_told_of_is_not_sent_again(mut bench: Bench) {
    let id = bench.start(ALICE, NUMBER).await;
    let message = bench.send(ALICE, NUMBER).await;
    bench.receipt(step(id, 0), ReceiptStatus::Delivered).await;
    bench.receipt(attempt_of(message), ReceiptStatus::Buffered).await;
    // Whoever handed them over died before it could report that.
    bench.reopen();
    assert!(bench.claim_sends().await.is_empty(), "the carrier has them");
    assert_eq!(bench.store().next_due().await.unwrap().send, None);
    bench.submitted(step(id, 0), SubmitOutcome::Accepted).await;
    bench.verify(ALICE, id).await;
}

pub(crate) async fn receipts_after_the_end_are_kept_and_set_nothing_off(mut bench: Bench) {
    let id = bench.start(ALICE, NUMBER).await;
    bench.submitted(step(id, 0), SubmitOutcome::Accepted).await;
    bench.verify(ALICE, id).await;
    let told = bench.claim_webhooks().await.len();
    let effects = bench.receipt(step(id, 0), ReceiptStatus::Failed).await;
    assert!(effects.sends.is_empty() && effects.outcomes.is_empty() && !effects.webhooks);
    let receipt = Receipt { status: ReceiptStatus::Failed, error: ErrorCode::NONE };
    assert_eq!(progress(&bench, id).await, Progress::Reported(receipt));
    assert_eq!(bench.outcome(id).await, Some(Outcome::Verified));
    assert_eq!((told, bench.balance(ALICE).await), (1, 95));
    let nobody = step(VerificationId::from_u128(5), 0);
    let effects = bench.receipt(nobody, ReceiptStatus::Failed).await;
    assert!(effects.sends.is_empty(), "a receipt of nothing changes nothing");
}

async fn progress(bench: &Bench, id: VerificationId) -> Progress {
    bench.record(id).await.attempts.first().unwrap().progress
}
