//! The outbox of webhooks: claims, tries, what is given up and put back.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a broken story fails its test")]

use std::collections::BTreeSet;
use std::time::Duration;

use countersign::store::{
    Busy, Notify, SettledTry, Settlement, WebhookEvent, WebhookJob, WebhookSubject,
};
use engine::{Outcome, ReceiptStatus, SubmitOutcome};

use crate::bench::{ALICE, BOB, Bench, LEASE, NUMBER, attempt_of, message_of};

pub(crate) async fn a_webhook_is_leased_and_tried_again_when_due(mut bench: Bench) {
    let id = bench.start(ALICE, NUMBER).await;
    let mut quiet = bench.verification(BOB, NUMBER);
    quiet.details.notify = false;
    let quiet = bench.try_start(quiet).await.unwrap();
    assert!(bench.verify(ALICE, id).await.webhooks);
    assert!(!bench.verify(BOB, crate::bench::verification_of(&quiet)).await.webhooks);

    let claimed = bench.claim_webhooks().await;
    let [job] = claimed.as_slice() else { panic!("one webhook, not {claimed:?}") };
    assert_eq!((job.account, job.tries, job.created_at), (ALICE, 0, bench.now));
    let WebhookEvent::Outcome { verification, outcome, at } = &job.event else { panic!("{job:?}") };
    assert_eq!((verification.record.id, *outcome, *at), (id, Outcome::Verified, bench.now));
    assert!(bench.claim_webhooks().await.is_empty(), "it is leased");
    assert_eq!(bench.store().next_due().await.unwrap().webhook, Some(bench.now.after(LEASE)));

    let due_at = bench.now.after(Duration::from_mins(1));
    settle(&bench, job, Settlement::Retry { due_at, error: "500".to_owned() }).await;
    bench.pass(59);
    assert!(bench.claim_webhooks().await.is_empty(), "not before it is due");
    bench.pass(1);
    let again = bench.claim_webhooks().await;
    assert_eq!(again.first().map(|again| (again.id, again.tries)), Some((job.id, 1)));
    bench.pass(20);
    let again = bench.claim_webhooks().await;
    assert_eq!(again.first().map(|again| (again.id, again.tries)), Some((job.id, 1)), "lease over");
    settle(&bench, job, Settlement::Done).await;
    bench.pass(1000);
    assert!(bench.claim_webhooks().await.is_empty());
    assert_eq!(bench.store().next_due().await.unwrap().webhook, None);
}

pub(crate) async fn a_webhook_is_leased_by_the_turn_that_makes_it(mut bench: Bench) {
    let mut message = bench.message(ALICE, NUMBER);
    message.new.parts = 1;
    let id = message_of(&bench.try_send(message).await.unwrap());
    bench.submitted(attempt_of(id), SubmitOutcome::Accepted).await;
    let lease = Some(bench.lease());
    let mut effects = bench.receipt_under(attempt_of(id), ReceiptStatus::Delivered, lease).await;
    assert!(!effects.webhooks, "nothing waits on the outbox");
    let leased = effects.leased_webhooks.pop().unwrap();
    assert!(bench.claim_webhooks().await.is_empty(), "it is leased");
    bench.pass(20);
    let claimed = bench.claim_webhooks().await.pop().unwrap();
    assert_eq!(format!("{leased:?}"), format!("{claimed:?}"), "whoever comes after tells the same");
    bench.reopen();
    let again = bench.claim_webhooks().await.pop().unwrap();
    assert_eq!((again.id, again.tries), (leased.id, 0), "the dead process's lease is released");
    settle(&bench, &leased, Settlement::Done).await;
    assert_eq!(bench.store().next_due().await.unwrap().webhook, None);
}

pub(crate) async fn of_several_webhooks_of_a_turn_the_first_is_leased_and_all_are_settled_at_once(
    mut bench: Bench,
) {
    let id = bench.send(ALICE, NUMBER).await;
    bench.submitted(attempt_of(id), SubmitOutcome::Accepted).await;
    let lease = Some(bench.lease());
    let effects = bench.receipt_under(attempt_of(id), ReceiptStatus::Delivered, lease).await;
    let claimed = bench.claim_webhooks().await;
    assert!(effects.webhooks, "the other part's waits");
    let jobs: Vec<&WebhookJob> = effects.leased_webhooks.iter().chain(&claimed).collect();
    assert_eq!(jobs.len(), 2);
    let gone = SettledTry { id: 1 << 40, tries: 0, settlement: Settlement::Done };
    let done = |job: &&WebhookJob| SettledTry {
        id: job.id,
        tries: job.tries,
        settlement: Settlement::Done,
    };
    let settled = std::iter::once(gone).chain(jobs.iter().map(done)).collect();
    bench.store().settle_webhooks(settled).await.unwrap();
    bench.pass(1000);
    assert!(bench.claim_webhooks().await.is_empty());
}

pub(crate) async fn a_try_counts_once_however_often_it_is_reported(mut bench: Bench) {
    let id = bench.start(ALICE, NUMBER).await;
    bench.verify(ALICE, id).await;
    let late = bench.claim_webhooks().await.pop().unwrap();
    bench.pass(20);
    let job = bench.claim_webhooks().await.pop().unwrap();
    let due_at = bench.now.after(Duration::from_mins(1));
    let failed = Settlement::Retry { due_at, error: "500".to_owned() };
    settle(&bench, &job, failed.clone()).await;
    settle(&bench, &job, failed).await;
    // Whoever held the lease before tells of the same try, and plans it for another time.
    let sooner = bench.now.after(Duration::from_secs(1));
    settle(&bench, &late, Settlement::Retry { due_at: sooner, error: "502".to_owned() }).await;
    let at = bench.now;
    settle(&bench, &late, Settlement::Dead { at, error: "502".to_owned() }).await;
    assert!(bench.store().dead_webhooks(10).await.unwrap().is_empty(), "it has another try");
    assert_eq!(bench.store().next_due().await.unwrap().webhook, Some(due_at));
    bench.pass(60);
    let again = bench.claim_webhooks().await.pop().unwrap();
    assert_eq!(again.tries, 1);
    let at = bench.now;
    for _ in 0..2 {
        settle(&bench, &again, Settlement::Dead { at, error: "500".to_owned() }).await;
    }
    assert_eq!(bench.store().dead_webhooks(10).await.unwrap().pop().unwrap().tries, 2);
    settle(&bench, &late, Settlement::Done).await;
    assert!(bench.store().dead_webhooks(10).await.unwrap().is_empty(), "it has been told");
}

pub(crate) async fn busy_endpoints_are_left_out(mut bench: Bench) {
    for url in ["https://slow.example/a", "https://slow.example/b", "https://fast.example/"] {
        let mut start = bench.message(ALICE, NUMBER);
        start.new.parts = 1;
        start.details.notify = Notify::Url(url.to_owned());
        let id = message_of(&bench.try_send(start).await.unwrap());
        bench.receipt(attempt_of(id), ReceiptStatus::Delivered).await;
    }
    let one = countersign::store::Claim { limit: 1, ..bench.claim() };
    let first = bench.store().claim_webhooks(one, Busy::default()).await.unwrap();
    let [slow] = first.as_slice() else { panic!("one webhook, not {first:?}") };
    assert_eq!(slow.url.as_deref(), Some("https://slow.example/a"));
    let busy = Busy { endpoints: BTreeSet::from([slow.endpoint]), ..Busy::default() };
    let rest = bench.store().claim_webhooks(bench.claim(), busy).await.unwrap();
    let urls: Vec<_> = rest.iter().filter_map(|job| job.url.as_deref()).collect();
    assert_eq!(urls, ["https://fast.example/"], "the slow host's other one waits");
    let rest = bench.claim_webhooks().await;
    let urls: Vec<_> = rest.iter().filter_map(|job| job.url.as_deref()).collect();
    assert_eq!(urls, ["https://slow.example/b"]);
}

pub(crate) async fn accounts_take_turns_and_a_busy_one_waits(mut bench: Bench) {
    for account in [ALICE, ALICE, ALICE, BOB] {
        let start = bench.message(account, NUMBER);
        let id = message_of(&bench.try_send(start).await.unwrap());
        bench.receipt(attempt_of(id), ReceiptStatus::Delivered).await;
    }
    let two = countersign::store::Claim { limit: 2, ..bench.claim() };
    let first = bench.store().claim_webhooks(two, Busy::default()).await.unwrap();
    let accounts: Vec<_> = first.iter().map(|job| job.account).collect();
    assert_eq!(accounts, [ALICE, BOB], "the one who has waited longer does not take both");
    let busy = Busy { accounts: BTreeSet::from([ALICE]), ..Busy::default() };
    let rest = bench.store().claim_webhooks(bench.claim(), busy).await.unwrap();
    assert!(rest.iter().all(|job| job.account == BOB), "Alice has her share: {rest:?}");
    assert!(!bench.claim_webhooks().await.is_empty());
}

pub(crate) async fn a_given_up_webhook_can_be_put_back_and_tells_when_it_happened(
    mut bench: Bench,
) {
    let id = bench.start(ALICE, NUMBER).await;
    bench.verify(ALICE, id).await;
    let ended_at = bench.now;
    let job = bench.claim_webhooks().await.pop().unwrap();
    bench.pass(10);
    let at = bench.now;
    settle(&bench, &job, Settlement::Dead { at, error: "refused".to_owned() }).await;
    bench.reopen();
    bench.pass(1000);
    assert!(bench.claim_webhooks().await.is_empty());
    let dead = bench.store().dead_webhooks(10).await.unwrap();
    let [dead] = dead.as_slice() else { panic!("one given up, not {dead:?}") };
    assert_eq!(
        (dead.id, dead.account, dead.subject),
        (job.id, ALICE, WebhookSubject::Verification(id))
    );
    assert_eq!((dead.created_at, dead.dead_at, dead.tries), (ended_at, at, 1));
    assert_eq!(dead.error, "refused");

    assert!(bench.store().replay_webhook(job.id, bench.now).await.unwrap());
    assert!(!bench.store().replay_webhook(job.id, bench.now).await.unwrap(), "once");
    assert!(!bench.store().replay_webhook(999, bench.now).await.unwrap(), "nobody knows it");
    assert!(bench.store().dead_webhooks(10).await.unwrap().is_empty());
    let again = bench.claim_webhooks().await.pop().unwrap();
    assert_eq!((again.id, again.tries, again.created_at), (job.id, 0, bench.now));
    let WebhookEvent::Outcome { at, .. } = again.event else { panic!("{again:?}") };
    assert_eq!(at, ended_at, "a replay does not change when it happened");
}

pub(crate) async fn webhooks_wait_through_a_reopening(mut bench: Bench) {
    let id = bench.start(ALICE, NUMBER).await;
    bench.verify(ALICE, id).await;
    let job = bench.claim_webhooks().await.pop().unwrap();
    bench.reopen();
    let again = bench.claim_webhooks().await.pop().unwrap();
    assert_eq!(again.id, job.id, "the lease went with the process that held it");
    let due_at = bench.now.after(Duration::from_mins(1));
    settle(&bench, &job, Settlement::Retry { due_at, error: "500".to_owned() }).await;
    bench.reopen();
    assert!(bench.claim_webhooks().await.is_empty(), "a planned try keeps its time");
    bench.pass(60);
    assert_eq!(bench.claim_webhooks().await.len(), 1);
}

async fn settle(bench: &Bench, job: &WebhookJob, settlement: Settlement) {
    bench.settle(job.id, job.tries, settlement).await;
}
