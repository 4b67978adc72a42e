//! Webhooks from a carrier's receipt or a verification's end to the receiver's socket.

// The condition is always true, and tells the lints that these are tests.
#[cfg(test)]
#[path = "webhooks/receiver.rs"]
mod receiver;
#[cfg(test)]
#[path = "webhooks/stage.rs"]
mod stage;

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use countersign::http::vonage::signature::{SignatureMethod, verify};
use countersign::store::{Busy, Claim, DlrMethod, Lease, Notify};
use receiver::Receiver;
use serde_json::Value;
use stage::{NUMBER, Stage};

const FIELDS: [&str; 11] = [
    "msisdn",
    "to",
    "network-code",
    "messageId",
    "price",
    "status",
    "scts",
    "err-code",
    "api-key",
    "client-ref",
    "message-timestamp",
];

#[tokio::test]
async fn a_receipt_arrives_by_get_for_each_part_with_every_field_in_order() {
    let mut receiver = Receiver::start().await;
    let stage = Stage::start().await;
    let message = stage.send(NUMBER, 2, Notify::Url(receiver.url("/dlr?own=1"))).await;
    stage.report_delivered(message).await;

    let mut seen = vec![receiver.next().await, receiver.next().await];
    seen.sort_by_key(|request| request.param("messageId"));
    for (part, request) in (0..).zip(&seen) {
        assert!(request.line.starts_with("GET /dlr?own=1&msisdn="), "{}", request.line);
        let names: Vec<&str> = request.params.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names.strip_prefix(&["own"]), Some(FIELDS.as_slice()));
        assert_eq!(request.param("messageId"), message.part(part));
        assert_eq!(request.param("msisdn"), NUMBER.to_string());
        assert_eq!(request.param("to"), "12345");
        assert_eq!(request.param("network-code"), "00101");
        assert_eq!(request.param("price"), "0.03330000", "the price is that of one part");
        assert_eq!(request.param("status"), "delivered");
        assert_eq!(request.param("err-code"), "0");
        assert_eq!(request.param("api-key"), stage.demo("api_key"));
        assert_eq!(request.param("client-ref"), "my-ref");
    }
    receiver.assert_quiet().await;
}

#[tokio::test]
async fn an_accounts_own_url_gets_receipts_by_the_method_it_chose() {
    let mut receiver = Receiver::start().await;
    let stage = Stage::start().await;
    let methods = [
        (DlrMethod::Post, "application/x-www-form-urlencoded; charset=UTF-8"),
        (DlrMethod::PostJson, "application/json"),
    ];
    for (method, content_type) in methods {
        let url = receiver.url("/dlr");
        stage
            .change_settings(|settings| {
                settings.dlr_url = Some(url);
                settings.dlr_method = method;
            })
            .await;
        let message = stage.send(NUMBER, 1, Notify::Account).await;
        stage.report_delivered(message).await;
        let request = receiver.next().await;
        assert_eq!(request.line, "POST /dlr HTTP/1.1");
        assert_eq!(request.header("content-type"), content_type);
        let names: Vec<&str> = request.params.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, FIELDS);
        assert_eq!(request.param("messageId"), message.part(0));
    }
}

#[tokio::test]
async fn a_receipt_for_which_the_account_has_no_url_is_let_go() {
    let mut receiver = Receiver::start().await;
    let stage = Stage::start().await;
    let message = stage.send(NUMBER, 1, Notify::Account).await;
    stage.report_delivered(message).await;
    stage.wait_until_nothing_waits().await;
    assert!(stage.dead().await.is_empty());
    receiver.assert_quiet().await;
}

#[tokio::test]
async fn a_receipt_of_an_erased_number_is_let_go() {
    let mut receiver = Receiver::start().await;
    receiver.will_answer(500);
    let stage = Stage::start().await;
    let message = stage.send(NUMBER, 1, Notify::Url(receiver.url("/dlr"))).await;
    stage.report_delivered(message).await;
    receiver.next().await;
    stage.wait_for_metric("countersign_webhooks_total{result=\"retry\"} 1").await;
    let now = stage.app().driver.clock.now();
    assert!(stage.app().driver.store.erase(NUMBER, now).await.unwrap() > 0);
    stage.advance(Duration::from_secs(5)).await;
    stage.wait_until_nothing_waits().await;
    receiver.assert_quiet().await;
}

#[tokio::test]
async fn a_signed_receipt_verifies_with_the_accounts_secret() {
    let mut receiver = Receiver::start().await;
    let stage = Stage::start().await;
    stage.change_settings(|settings| settings.dlr_signed = true).await;
    let message = stage.send(NUMBER, 1, Notify::Url(receiver.url("/dlr"))).await;
    stage.report_delivered(message).await;

    let request = receiver.next().await;
    let sig = request.param("sig");
    let pairs = || request.params.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let secret = stage.demo("signature_secret");
    assert!(verify(pairs(), &sig, &secret, SignatureMethod::Md5Hash), "{sig}");
    let nonce = request.param("nonce");
    assert_eq!((nonce.len(), nonce.as_bytes()[14]), (36, b'4'), "a version 4 UUID: {nonce}");
    let tampered =
        pairs().map(|(name, value)| if name == "status" { (name, "x") } else { (name, value) });
    assert!(!verify(tampered, &sig, &secret, SignatureMethod::Md5Hash));
}

#[tokio::test]
async fn a_webhook_that_failed_is_tried_again_after_five_seconds() {
    let mut receiver = Receiver::start().await;
    receiver.will_answer(500);
    let stage = Stage::start().await;
    let message = stage.send(NUMBER, 1, Notify::Url(receiver.url("/dlr"))).await;
    stage.report_delivered(message).await;

    let first = receiver.next().await;
    stage.wait_for_metric("countersign_webhooks_total{result=\"retry\"} 1").await;
    receiver.assert_quiet().await;
    stage.advance(Duration::from_secs(5)).await;
    let second = receiver.next().await;
    assert_eq!(second.param("messageId"), first.param("messageId"));
    assert_eq!(second.param("scts"), first.param("scts"));
    stage.wait_for_metric("countersign_webhooks_total{result=\"delivered\"} 1").await;
    stage.wait_until_nothing_waits().await;
}

#[tokio::test]
async fn a_receiver_that_asks_for_patience_gets_it() {
    let mut receiver = Receiver::start().await;
    receiver.will_answer_with("HTTP/1.1 503 Busy\r\nretry-after: 60\r\ncontent-length: 0\r\n\r\n");
    let stage = Stage::start().await;
    let message = stage.send(NUMBER, 1, Notify::Url(receiver.url("/dlr"))).await;
    stage.report_delivered(message).await;
    receiver.next().await;
    stage.wait_for_metric("countersign_webhooks_total{result=\"retry\"} 1").await;
    stage.advance(Duration::from_secs(55)).await;
    receiver.assert_quiet().await;
    stage.advance(Duration::from_secs(5)).await;
    receiver.next().await;
}

#[tokio::test]
async fn an_endpoint_that_never_answers_delays_nobody_else() {
    let mut silent = Receiver::silent().await;
    let mut healthy = Receiver::start().await;
    let stage = Stage::start().await;
    for last in 100..120 {
        let url = silent.url("/dlr");
        let message = stage.send(447_700_900_000 + last, 10, Notify::Url(url)).await;
        stage.report_delivered(message).await;
    }
    let message = stage.send(NUMBER, 1, Notify::Url(healthy.url("/dlr"))).await;
    stage.report_delivered(message).await;
    let request = tokio::time::timeout(Duration::from_secs(1), healthy.next()).await;
    assert_eq!(request.expect("within a second").param("messageId"), message.part(0));
    for _ in 0..8 {
        silent.next().await;
    }
    silent.assert_quiet().await;
}

#[tokio::test]
async fn a_slow_endpoint_with_the_only_place_is_told_everything() {
    let mut slow = Receiver::answering_after(Duration::from_millis(700)).await;
    let stage = Stage::start_with(&[
        ("COUNTERSIGN_WEBHOOKS__IN_FLIGHT_MAX", "1"),
        ("COUNTERSIGN_WEBHOOKS__PER_ENDPOINT_MAX", "1"),
    ])
    .await;
    let mut messages = Vec::new();
    for _ in 0..4 {
        let message = stage.send(NUMBER, 1, Notify::Url(slow.url("/"))).await;
        stage.report_delivered(message).await;
        messages.push(message.part(0));
    }
    let mut told = Vec::new();
    for _ in 0..4 {
        told.push(slow.next().await.param("messageId"));
    }
    told.sort();
    messages.sort();
    assert_eq!(told, messages);
}

#[tokio::test]
async fn an_account_with_many_silent_endpoints_delays_no_other_account() {
    let mut healthy = Receiver::start().await;
    let stage = Stage::start_with(&[
        ("COUNTERSIGN_WEBHOOKS__IN_FLIGHT_MAX", "4"),
        ("COUNTERSIGN_WEBHOOKS__PER_ACCOUNT_MAX", "2"),
        ("COUNTERSIGN_WEBHOOKS__PER_ENDPOINT_MAX", "1"),
    ])
    .await;
    let other = stage.add_account().await;
    let mut silent = Vec::new();
    for last in 100..108 {
        let receiver = Receiver::silent().await;
        let url = receiver.url("/dlr");
        let message = stage.send(447_700_900_000 + last, 1, Notify::Url(url)).await;
        stage.report_delivered(message).await;
        silent.push(receiver);
    }
    for receiver in silent.iter_mut().take(2) {
        receiver.next().await;
    }
    let url = healthy.url("/dlr");
    let message = stage.send_for(other, NUMBER, 1, Notify::Url(url)).await;
    stage.report_delivered(message).await;
    let request = tokio::time::timeout(Duration::from_secs(1), healthy.next()).await;
    assert_eq!(request.expect("within a second").param("messageId"), message.part(0));
    for receiver in silent.iter_mut().skip(2).take(1) {
        receiver.assert_quiet().await;
    }
}

#[tokio::test]
async fn a_webhook_is_given_up_after_three_days_and_can_be_replayed() {
    let mut receiver = Receiver::start().await;
    receiver.will_keep_answering(500);
    let stage = Stage::start().await;
    let message = stage.send(NUMBER, 1, Notify::Url(receiver.url("/dlr"))).await;
    stage.report_delivered(message).await;
    stage.wait_for_metric("countersign_webhooks_total{result=\"retry\"} 1").await;
    stage.advance(Duration::from_hours(71)).await;
    assert!(stage.dead().await.is_empty(), "an hour is left");
    stage.advance(Duration::from_hours(1)).await;
    stage.wait_for_metric("countersign_webhooks_total{result=\"dead\"} 1").await;

    let dead = stage.dead().await;
    let [dead] = dead.as_slice() else { panic!("one webhook is dead: {dead:?}") };
    assert_eq!(dead.error, "cannot get a 2xx answer (got 500)");
    receiver.will_keep_answering(200);
    let now = stage.app().driver.clock.now();
    assert!(stage.app().driver.store.replay_webhook(dead.id, now).await.unwrap());
    assert_eq!(receiver.next().await.param("messageId"), message.part(0));
    stage.wait_until_nothing_waits().await;
    assert!(stage.dead().await.is_empty());
}

#[tokio::test]
async fn a_receiver_of_outcomes_that_is_gone_is_called_once() {
    let mut receiver = Receiver::start().await;
    receiver.will_answer(410);
    let stage = Stage::start().await;
    stage.add_webhook_keys(&[[7; 32]]).await;
    let url = receiver.url("/outcome");
    stage.change_settings(|settings| settings.webhook_url = Some(url)).await;
    stage.verify(NUMBER).await;
    receiver.next().await;
    stage.wait_for_metric("countersign_webhooks_total{result=\"dead\"} 1").await;
    assert_eq!(stage.dead().await.len(), 1);
}

#[tokio::test]
async fn a_receipt_is_repeated_even_if_its_receiver_says_it_is_gone() {
    let mut receiver = Receiver::start().await;
    receiver.will_answer(410);
    let stage = Stage::start().await;
    let message = stage.send(NUMBER, 1, Notify::Url(receiver.url("/dlr"))).await;
    stage.report_delivered(message).await;
    receiver.next().await;
    stage.wait_for_metric("countersign_webhooks_total{result=\"retry\"} 1").await;
    stage.advance(Duration::from_secs(5)).await;
    assert_eq!(receiver.next().await.param("messageId"), message.part(0));
    stage.wait_until_nothing_waits().await;
}

#[tokio::test]
async fn a_private_address_is_not_called_unless_allowed() {
    let mut receiver = Receiver::start().await;
    let stage = Stage::start_with(&[("COUNTERSIGN_WEBHOOKS__ALLOW_PRIVATE", "false")]).await;
    let message = stage.send(NUMBER, 1, Notify::Url(receiver.url("/dlr"))).await;
    stage.report_delivered(message).await;
    stage.wait_for_metric("countersign_webhooks_total{result=\"dead\"} 1").await;
    assert_eq!(stage.dead().await[0].error, "cannot call a private address");
    receiver.assert_quiet().await;
}

#[tokio::test]
async fn an_outcome_is_signed_with_every_key_of_the_account() {
    let mut receiver = Receiver::start().await;
    receiver.will_answer(500);
    let stage = Stage::start().await;
    let secrets = [[7_u8; 32], [9; 32]];
    stage.add_webhook_keys(&secrets).await;
    let url = receiver.url("/outcome");
    stage.change_settings(|settings| settings.webhook_url = Some(url)).await;
    let (id, code) = stage.verify(NUMBER).await;

    let first = receiver.next().await;
    stage.wait_for_metric("countersign_webhooks_total{result=\"retry\"} 1").await;
    stage.advance(Duration::from_secs(5)).await;
    let second = receiver.next().await;
    for request in [&first, &second] {
        assert_eq!(request.line, "POST /outcome HTTP/1.1");
        assert_eq!(request.header("webhook-id"), format!("msg_{}", id.replace('-', "")));
        let signed = format!(
            "{}.{}.{}",
            request.header("webhook-id"),
            request.header("webhook-timestamp"),
            request.body
        );
        let expected = secrets.map(|secret| {
            let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &secret);
            format!("v1,{}", STANDARD.encode(ring::hmac::sign(&key, signed.as_bytes())))
        });
        assert_eq!(request.header("webhook-signature"), expected.join(" "));
    }
    assert_eq!(first.body, second.body);
    let event: Value = serde_json::from_str(&first.body).unwrap();
    assert_eq!(event["type"], "verification.verified");
    assert_eq!(event["timestamp"], event["data"]["ended_at"]);
    assert_eq!(event["data"]["verify_id"], id);
    assert_eq!(event["data"]["phone"], format!("+{NUMBER}"));
    assert_eq!(event["data"]["price"], "0.05000000");
    assert_eq!(event["data"]["checks"], 1);
    assert_eq!(event["data"]["attempts"][0]["channel"], "sms");
    assert!(!first.body.contains(&format!("\"{code}\"")), "the code is nobody's but the user's");
}

#[tokio::test]
async fn an_outcome_is_never_sent_unsigned() {
    let mut receiver = Receiver::start().await;
    let stage = Stage::start().await;
    let url = receiver.url("/outcome");
    stage.change_settings(|settings| settings.webhook_url = Some(url)).await;
    stage.verify(NUMBER).await;
    stage.wait_for_metric("countersign_webhooks_total{result=\"dead\"} 1").await;
    assert_eq!(stage.dead().await[0].error, "the account has no key to sign it with");
    receiver.assert_quiet().await;
}

#[tokio::test]
async fn a_restart_between_commit_and_delivery_delivers_once() {
    let mut receiver = Receiver::start().await;
    let stage = Stage::idle().await;
    let message = stage.send(NUMBER, 1, Notify::Url(receiver.url("/dlr"))).await;
    stage.report_delivered(message).await;
    // A worker that is killed now has taken the webhook up and not sent it.
    let now = stage.app().driver.clock.now();
    let lease = Lease { until: now.after(Duration::from_hours(1)) };
    let claim = Claim { now, limit: 10, lease };
    let claimed = stage.app().driver.store.claim_webhooks(claim, Busy::default()).await.unwrap();
    assert_eq!(claimed.len(), 1);

    let stage = stage.restart().await;
    assert_eq!(receiver.next().await.param("messageId"), message.part(0));
    stage.wait_until_nothing_waits().await;
    receiver.assert_quiet().await;
}

#[tokio::test]
async fn a_stop_lets_a_webhook_that_is_under_way_finish() {
    let mut receiver = Receiver::answering_after(Duration::from_millis(300)).await;
    let stage = Stage::start().await;
    let message = stage.send(NUMBER, 1, Notify::Url(receiver.url("/dlr"))).await;
    stage.report_delivered(message).await;
    receiver.next().await;
    let app = stage.stop().await;
    assert_eq!(app.driver.store.next_due().await.unwrap().webhook, None);
}
