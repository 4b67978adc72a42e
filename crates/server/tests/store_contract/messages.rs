//! Messages: parts, receipts, names, and the end after 72 hours.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a broken story fails its test")]

use std::time::Duration;

use countersign::store::{Content, Settlement, WebhookEvent};
use engine::{ErrorCode, MessageId, MessageStatus, ReceiptStatus, SubmitOutcome};

use crate::bench::{ALICE, BOB, Bench, NUMBER, TEXT, attempt_of, attempts, message_of};

pub(crate) async fn each_receipt_is_told_once_per_part(mut bench: Bench) {
    let start = bench.message(ALICE, NUMBER);
    let started = bench.try_send(start).await.unwrap();
    assert_eq!(bench.balance(ALICE).await, 92, "charged when it is accepted");
    let id = message_of(&started);
    let [job] = started.effects.sends.as_slice() else { panic!("one send, not {started:?}") };
    let Content::Text(text) = &job.content else { panic!("a text, not {job:?}") };
    assert_eq!((text.reveal(), job.originator.as_deref()), (TEXT, Some("12345")));

    let effects = bench.submitted(attempt_of(id), SubmitOutcome::Accepted).await;
    assert!(!effects.webhooks, "a submit is not told");
    bench.pass(3);
    for status in [ReceiptStatus::Buffered, ReceiptStatus::Buffered, ReceiptStatus::Delivered] {
        bench.receipt(attempt_of(id), status).await;
    }
    let mut told = Vec::new();
    for job in bench.claim_webhooks().await {
        let WebhookEvent::Receipt { message, part, receipt, at } = job.event else {
            panic!("a receipt, not {:?}", job.event)
        };
        assert_eq!((message.record.id, message.number, at), (id, Some(NUMBER), bench.now));
        told.push((receipt.status, part));
        bench.settle(job.id, job.tries, Settlement::Done).await;
    }
    let expected = [
        (ReceiptStatus::Buffered, 0),
        (ReceiptStatus::Buffered, 1),
        (ReceiptStatus::Delivered, 0),
        (ReceiptStatus::Delivered, 1),
    ];
    assert_eq!(told, expected);
    bench.pass(100);
    assert!(bench.claim_webhooks().await.is_empty(), "what was delivered is not told again");
}

pub(crate) async fn receipts_may_come_in_any_order(mut bench: Bench) {
    let id = bench.send(ALICE, NUMBER).await;
    bench.receipt(attempt_of(id), ReceiptStatus::Delivered).await;
    bench.submitted(attempt_of(id), SubmitOutcome::Accepted).await;
    let late = bench.receipt(attempt_of(id), ReceiptStatus::Failed).await;
    assert!(!late.webhooks, "a final state never changes");
    assert_eq!(reported(&bench, id).await, Some(ReceiptStatus::Delivered));
    bench.pass(100);
    assert!(bench.claim_sends().await.is_empty());

    let id = bench.send(ALICE, NUMBER).await;
    bench.submitted(attempt_of(id), SubmitOutcome::Unknown).await;
    assert_eq!(bench.message_record(id).await.status, MessageStatus::Unconfirmed);
    bench.pass(100);
    assert!(bench.claim_sends().await.is_empty(), "it is never sent again blindly");
    bench.receipt(attempt_of(id), ReceiptStatus::Delivered).await;
    assert_eq!(reported(&bench, id).await, Some(ReceiptStatus::Delivered));

    let id = bench.send(ALICE, NUMBER).await;
    let rejected = SubmitOutcome::Rejected(ErrorCode::NONE);
    assert!(bench.submitted(attempt_of(id), rejected).await.webhooks);
    assert_eq!(reported(&bench, id).await, Some(ReceiptStatus::Rejected));
}

pub(crate) async fn two_messages_never_share_a_name(mut bench: Bench) {
    let first = bench.message(ALICE, NUMBER);
    let mut second = bench.message(ALICE, NUMBER);
    second.new.id = first.new.id;
    let first = message_of(&bench.try_send(first).await.unwrap());
    let second = message_of(&bench.try_send(second).await.unwrap());
    assert_ne!(first, second);
    let mut others = bench.message(BOB, NUMBER);
    others.new.id = first;
    let others = bench.try_send(others.clone()).await.map(|_| others).unwrap();
    let again = bench.try_send(others).await.unwrap();
    assert!(again.replayed, "it is known under the name that it got");
    let third = message_of(&again);
    assert!(third != first && third != second);
    bench.pass(20);
    let claimed = bench.claim_sends().await;
    assert_eq!(attempts(&claimed), [attempt_of(first), attempt_of(second), attempt_of(third)]);
    let Some(Content::Text(text)) = claimed.last().map(|job| &job.content) else {
        panic!("{claimed:?}")
    };
    assert_eq!(text.reveal(), TEXT, "sealed under the name that it got");
}

pub(crate) async fn a_message_without_a_final_receipt_expires_after_a_reopening(mut bench: Bench) {
    let id = bench.send(ALICE, NUMBER).await;
    bench.submitted(attempt_of(id), SubmitOutcome::Accepted).await;
    let expiry = bench.now.after(Duration::from_secs(HOURS_72));
    let due = bench.store().next_due().await.unwrap().machine;
    assert_eq!(due, Some(expiry), "nothing is due before, however far away it is");
    bench.pass(HOURS_72 / 2);
    assert_eq!(bench.wake().await.count, 0);
    bench.reopen();
    bench.pass(HOURS_72 / 2 - 1);
    assert_eq!(bench.wake().await.count, 0);
    let due = bench.store().next_due().await.unwrap().machine.unwrap();
    bench.pass(1);
    assert_eq!(due, bench.now, "its timer is near");
    let woken = bench.wake().await;
    assert_eq!((woken.count, woken.effects.webhooks), (1, true));
    assert_eq!(reported(&bench, id).await, Some(ReceiptStatus::Expired));
    bench.receipt(attempt_of(id), ReceiptStatus::Delivered).await;
    assert_eq!(reported(&bench, id).await, Some(ReceiptStatus::Expired), "too late");
    assert_eq!(bench.wake().await.count, 0);
}

/// Returns the last state that was reported, `None` if there is none.
async fn reported(bench: &Bench, id: MessageId) -> Option<ReceiptStatus> {
    match bench.message_record(id).await.status {
        MessageStatus::Reported(receipt) => Some(receipt.status),
        MessageStatus::Queued | MessageStatus::Submitted | MessageStatus::Unconfirmed => None,
    }
}

const HOURS_72: u64 = 72 * 3600;
