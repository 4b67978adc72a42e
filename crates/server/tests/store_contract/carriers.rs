//! What carriers call the parts of attempts, and the receipts that name them so.

#![expect(clippy::unwrap_used, reason = "a broken story fails its test")]

use countersign::store::NewsEvent;
use engine::{MessageStatus, Progress, ReceiptStatus};

use crate::bench::{ALICE, Bench, NUMBER, everything_before, step};

pub(crate) async fn a_receipt_finds_its_attempt_by_the_carriers_name(mut bench: Bench) {
    let id = bench.start(ALICE, NUMBER).await;
    let effects = bench.named(step(id, 0), &["a"]).await;
    assert_eq!(effects.news.first().unwrap().event, NewsEvent::Accepted);
    bench.reopen();
    assert!(bench.told(&["b"], ReceiptStatus::Delivered).await.news.is_empty(), "nobody's");
    let effects = bench.told(&["a"], ReceiptStatus::Delivered).await;
    let news = effects.news.first().unwrap();
    assert!(matches!(news.event, NewsEvent::Reported(receipt, _)
        if receipt.status == ReceiptStatus::Delivered));
    assert_eq!((news.link.as_str(), news.number), ("carrier", Some(NUMBER)));
    assert!(bench.told(&["a"], ReceiptStatus::Failed).await.news.is_empty(), "it is settled");
}

pub(crate) async fn a_receipt_that_came_before_the_submit_was_confirmed_counts_once(
    mut bench: Bench,
) {
    let id = bench.start(ALICE, NUMBER).await;
    assert!(bench.told(&["a"], ReceiptStatus::Failed).await.sends.is_empty(), "whose it is?");
    bench.reopen();
    let effects = bench.named(step(id, 0), &["a"]).await;
    assert_eq!(effects.sends.first().unwrap().attempt, step(id, 1), "the next step goes out");
    assert!(bench.told(&["a"], ReceiptStatus::Failed).await.sends.is_empty());
    let attempts = bench.record(id).await.attempts;
    assert!(matches!(attempts.first().unwrap().progress, Progress::Reported(_)));
    assert_eq!(attempts.len(), 2);
}

pub(crate) async fn a_message_of_two_parts_is_delivered_once_both_are(mut bench: Bench) {
    let id = bench.send(ALICE, NUMBER).await;
    let attempt = engine::AttemptId { subject: engine::Subject::Message(id), step: 0 };
    bench.named(attempt, &["a", "b"]).await;
    assert!(!bench.told(&["b"], ReceiptStatus::Delivered).await.webhooks);
    bench.reopen();
    assert!(bench.told(&["a"], ReceiptStatus::Delivered).await.webhooks);
    let status = bench.message_record(id).await.status;
    assert!(matches!(status, MessageStatus::Reported(r) if r.status == ReceiptStatus::Delivered));
}

pub(crate) async fn without_a_carriers_name_a_receipt_is_for_the_oldest_that_waits(
    mut bench: Bench,
) {
    let first = bench.send(ALICE, NUMBER).await;
    let attempt = |id| engine::AttemptId { subject: engine::Subject::Message(id), step: 0 };
    bench.named(attempt(first), &["to the number"]).await;
    bench.pass(1);
    let second = bench.send(ALICE, NUMBER).await;
    bench.named(attempt(second), &["to the number"]).await;
    bench.told(&["an unknown name", "to the number"], ReceiptStatus::Failed).await;
    assert!(bench.message_record(first).await.status.is_final());
    assert!(!bench.message_record(second).await.status.is_final());
    bench.told(&["to the number"], ReceiptStatus::Delivered).await;
    assert!(bench.message_record(second).await.status.is_final());
}

pub(crate) async fn a_final_receipt_takes_all_of_its_messages_names(mut bench: Bench) {
    let attempt = |id| engine::AttemptId { subject: engine::Subject::Message(id), step: 0 };
    let first = bench.send(ALICE, NUMBER).await;
    bench.named(attempt(first), &["to the number"]).await;
    bench.pass(1);
    // The carrier's own name for it came late.
    bench.named(attempt(first), &["a"]).await;
    let second = bench.send(ALICE, NUMBER).await;
    bench.named(attempt(second), &["to the number"]).await;
    bench.told(&["a", "to the number"], ReceiptStatus::Delivered).await;
    assert!(bench.message_record(first).await.status.is_final());
    assert!(!bench.message_record(second).await.status.is_final());
    bench.told(&["to the number"], ReceiptStatus::Failed).await;
    assert!(bench.message_record(second).await.status.is_final(), "it was for this one");
}

pub(crate) async fn what_no_carrier_told_of_is_purged_in_time(mut bench: Bench) {
    let id = bench.start(ALICE, NUMBER).await;
    bench.named(step(id, 0), &["a"]).await;
    bench.told(&["nobody's"], ReceiptStatus::Delivered).await;
    let before = everything_before(bench.now);
    assert_eq!(bench.store().purge(before, 100).await.unwrap(), 0, "not yet");
    bench.pass(1);
    let before = everything_before(bench.now);
    assert_eq!(bench.store().purge(before, 100).await.unwrap(), 2);
    assert!(bench.told(&["a"], ReceiptStatus::Failed).await.sends.is_empty(), "too late");
}
