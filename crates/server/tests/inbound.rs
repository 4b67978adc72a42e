//! What handsets send to our numbers: opt-outs and answers over the real doors, and webhooks.
#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "functions beside the tests fail as the tests do"
)]

// The condition is always true, and tells the lints that these are tests.
#[cfg(test)]
#[expect(dead_code, reason = "it is shared with the tests of webhooks")]
#[path = "webhooks/receiver.rs"]
mod receiver;
#[cfg(test)]
#[expect(dead_code, reason = "it is shared with the tests of webhooks")]
#[path = "webhooks/stage.rs"]
mod stage;
mod support;

use std::time::Duration;

use countersign::driver::InboundMessage;
use countersign::http::vonage::signature::{SignatureMethod, verify};
use countersign::store::{Concat, ConfigChange};
use engine::SecretText;
use receiver::{Receiver, Seen};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use stage::Stage;
use support::TestServer;

#[tokio::test]
async fn a_stop_is_answered_102_until_the_account_lets_the_number_in_again() {
    let server = TestServer::start().await;
    assert_eq!(two_factor(&server).await, "0");
    assert_eq!(write(&server, "Stop.").await, json!({ "understood_as": "stop" }));
    assert_eq!(two_factor(&server).await, "102");
    let list = vonage(&server, "/sc/us/alert/opt-in/query/json", &[]).await;
    assert_eq!(list["opt-in-list"][0]["msisdn"], HANDSET);
    assert_eq!(list["opt-in-list"][0]["opt-out"], "true");
    assert_eq!(server.admin_get("/opt-outs").await["items"][0]["campaign"], 1);
    write(&server, "START").await;
    assert_eq!(two_factor(&server).await, "102", "this campaign does not allow it");
    let let_in = vonage(&server, "/sc/us/alert/opt-in/manage/json", &[("msisdn", HANDSET)]).await;
    assert_eq!(let_in["opt-in"], "true");
    assert_eq!(two_factor(&server).await, "0");
}

#[tokio::test]
async fn a_start_is_heeded_where_the_campaign_allows_it() {
    let mut server = TestServer::start().await;
    support::offline::set_up(&mut server, |rows, _| {
        let mut number = rows.numbers.iter().find(|row| row.campaign.is_some()).unwrap().clone();
        number.campaign.as_mut().unwrap().start_allowed = true;
        vec![ConfigChange::PutNumber(number)]
    })
    .await;
    write(&server, "STOP").await;
    assert_eq!(two_factor(&server).await, "102");
    write(&server, "Start").await;
    assert_eq!(two_factor(&server).await, "0");
}

#[tokio::test]
async fn help_is_answered_from_the_same_number_and_costs_nothing() {
    let server = TestServer::start().await;
    let account = format!("/accounts/{}", server.demo("account_id"));
    let before = server.admin_get(&account).await["balance"].clone();
    write(&server, "help").await;
    let text = server.nth_text(HANDSET, 1).await;
    assert_eq!(text, "Countersign demo: codes that you asked for. Reply STOP to end.");
    assert_eq!(server.inbox(HANDSET).await["messages"][0]["from"], CODE);
    assert_eq!(server.admin_get(&account).await["balance"], before);
    write(&server, "HELP").await;
    write(&server, "INFO").await;
    server.advance(600).await;
    assert_eq!(server.inbox(HANDSET).await["messages"].as_array().unwrap().len(), 1);
    write(&server, "Help!").await;
    server.nth_text(HANDSET, 2).await;
}

#[tokio::test]
async fn every_message_reaches_the_account_signed_and_by_the_method_it_chose() {
    let mut receiver = Receiver::start().await;
    let server = TestServer::start().await;
    for (method, line) in
        [("get", "GET /in?msisdn="), ("post", "POST /in "), ("post-json", "POST /in ")]
    {
        listen(
            &server,
            json!({
                "inbound_url": receiver.url("/in"), "inbound_method": method, "dlr_signed": true,
            }),
        )
        .await;
        write(&server, "Stop, please & thanks").await;
        let seen = receiver.next().await;
        assert!(seen.line.starts_with(line), "{}", seen.line);
        let names: Vec<&str> = seen.params.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, SIGNED_FIELDS);
        let told = ["msisdn", "to", "text", "type", "keyword"].map(|name| seen.param(name));
        assert_eq!(told, [HANDSET, CODE, "Stop, please & thanks", "text", "STOP"]);
        assert_eq!(seen.param("api-key"), server.demo("api_key"));
        assert_eq!(seen.param("messageId").len(), 16);
        let pairs = seen.params.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let secret = server.demo("signature_secret");
        assert!(verify(pairs, &seen.param("sig"), &secret, SignatureMethod::Md5Hash));
    }
    receiver.assert_quiet().await;
}

#[tokio::test]
async fn a_long_unicode_message_arrives_as_one() {
    let mut receiver = Receiver::start().await;
    let server = TestServer::start().await;
    listen(&server, json!({ "inbound_url": receiver.url("/in") })).await;
    let text = "Привет, мир 🔑 ".repeat(11);
    assert!((135..=201).contains(&text.encode_utf16().count()), "three parts");
    write(&server, &text).await;
    let seen = receiver.next().await;
    assert_eq!((seen.param("text"), seen.param("type")), (text, "unicode".to_owned()));
    assert_eq!(seen.param("keyword"), "ПРИВЕТ");
    assert!(!seen.line.contains("concat"), "{}", seen.line);
    receiver.assert_quiet().await;
    let metrics = server.get("/metrics").send().await.unwrap().text().await.unwrap();
    let parts = "countersign_inbound_total{link=\"sandbox\",result=\"part\"} 2";
    assert!(metrics.contains(parts), "{metrics}");
    assert!(!server.log().contains("Привет"), "a text is in the log");
}

#[tokio::test]
async fn a_long_number_only_forwards() {
    let mut receiver = Receiver::start().await;
    let server = TestServer::start().await;
    listen(&server, json!({ "inbound_url": receiver.url("/in") })).await;
    let (status, _) = send(&server, "447700900000", "STOP").await;
    assert_eq!(status, StatusCode::OK);
    let seen = receiver.next().await;
    assert_eq!((seen.param("to"), seen.param("keyword")), ("447700900000".into(), "STOP".into()));
    assert_eq!(two_factor(&server).await, "0", "the short code's campaign goes on");
}

#[tokio::test]
async fn a_number_that_nobody_has_takes_nothing() {
    let server = TestServer::start().await;
    let (status, answer) = send(&server, "99999", "STOP").await;
    assert_eq!(
        (status, answer),
        (StatusCode::NOT_FOUND, json!({ "error": "no account has this number" }))
    );
    assert_eq!(two_factor(&server).await, "0");
    let stage = Stage::start().await;
    bring(&stage, "99999", "STOP", None, "a").await;
    stage
        .wait_for_metric(r#"countersign_inbound_total{link="carrier",result="unknown_number"} 1"#)
        .await;
}

#[tokio::test]
async fn what_a_carrier_brings_again_after_a_lost_answer_is_told_once() {
    let mut receiver = Receiver::start().await;
    let stage = Stage::start().await;
    listen_on(&stage, receiver.url("/in")).await;
    for _ in 0..3 {
        bring(&stage, CODE, "Hello", None, "a").await;
    }
    bring(&stage, CODE, "Hello", None, "b").await;
    let ids = [receiver.next().await, receiver.next().await].map(|seen| seen.param("messageId"));
    assert_ne!(ids[0], ids[1]);
    receiver.assert_quiet().await;
}

#[tokio::test]
async fn a_message_is_joined_over_a_restart_between_its_parts() {
    let mut receiver = Receiver::start().await;
    let stage = Stage::idle().await;
    listen_on(&stage, receiver.url("/in")).await;
    bring(&stage, CODE, "two ", Concat::new(5, 3, 2), "b").await;
    let stage = stage.restart().await;
    bring(&stage, CODE, "three", Concat::new(5, 3, 3), "c").await;
    bring(&stage, CODE, "two ", Concat::new(5, 3, 2), "b").await;
    bring(&stage, CODE, "one ", Concat::new(5, 3, 1), "a").await;
    assert_eq!(receiver.next().await.param("text"), "one two three");
    receiver.assert_quiet().await;
}

#[tokio::test]
async fn a_part_whose_others_never_come_says_which_it_is() {
    let mut receiver = Receiver::start().await;
    let stage = Stage::start().await;
    listen_on(&stage, receiver.url("/in")).await;
    bring(&stage, CODE, "two", Concat::new(5, 3, 2), "b").await;
    stage.advance(Duration::from_secs(599)).await;
    receiver.assert_quiet().await;
    stage.advance(Duration::from_secs(1)).await;
    let seen = receiver.next().await;
    let told = ["text", "concat", "concat-ref", "concat-total", "concat-part"];
    assert_eq!(told.map(|name| seen.param(name)), ["two", "true", "5", "3", "2"]);
}

#[tokio::test]
async fn an_inbound_webhook_is_given_up_after_a_day_and_can_be_replayed() {
    let mut receiver = Receiver::start().await;
    receiver.will_keep_answering(500);
    let stage = Stage::start().await;
    listen_on(&stage, receiver.url("/in")).await;
    bring(&stage, CODE, "Hello", None, "a").await;
    stage.wait_for_metric("countersign_webhooks_total{result=\"retry\"} 1").await;
    stage.advance(Duration::from_hours(23)).await;
    assert!(stage.dead().await.is_empty(), "an hour is left");
    stage.advance(Duration::from_hours(1)).await;
    stage.wait_for_metric("countersign_webhooks_total{result=\"dead\"} 1").await;
    let dead = stage.dead().await;
    receiver.will_keep_answering(200);
    let now = stage.app().driver.clock.now();
    assert!(stage.app().driver.store.replay_webhook(dead[0].id, now).await.unwrap());
    let seen: Seen = receiver.next().await;
    assert_eq!(seen.param("text"), "Hello");
    stage.wait_until_nothing_waits().await;
}

/// Sends a text from the handset to the demo account's short code.
async fn write(server: &TestServer, text: &str) -> Value {
    let (status, answer) = send(server, CODE, text).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    answer
}

async fn send(server: &TestServer, to: &str, text: &str) -> (StatusCode, Value) {
    let path = format!("/sandbox/v1/handsets/{HANDSET}/send");
    let answer = server.post(&path).json(&json!({ "to": to, "text": text })).send().await.unwrap();
    (answer.status(), answer.json().await.unwrap())
}

/// Asks for a 2FA message to the handset; answers its status.
async fn two_factor(server: &TestServer) -> String {
    let answer = vonage(server, "/sc/us/2fa/json", &[("to", HANDSET), ("pin", "4815")]).await;
    answer["messages"][0]["status"].as_str().unwrap().to_owned()
}

async fn vonage(server: &TestServer, path: &str, more: &[(&str, &str)]) -> Value {
    let (key, secret) = (server.demo("api_key"), server.demo("api_secret"));
    let mut form = vec![("api_key", key.as_str()), ("api_secret", secret.as_str())];
    form.extend(more);
    server.post(path).form(&form).send().await.unwrap().json().await.unwrap()
}

/// Changes the demo account's settings through the admin API.
async fn listen(server: &TestServer, settings: Value) {
    let path = format!("/accounts/{}", server.demo("account_id"));
    let (status, answer) = server.admin(Method::PATCH, &path, settings).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
}

async fn listen_on(stage: &Stage, url: String) {
    stage.change_settings(|settings| settings.inbound_url = Some(url)).await;
}

/// A carrier brings a message, under a name of its own.
async fn bring(stage: &Stage, to: &str, text: &str, concat: Option<Concat>, id: &str) {
    let message = InboundMessage {
        from: HANDSET.parse().unwrap(),
        to: to.to_owned(),
        text: SecretText::concat(&[text]),
        concat,
        id: Some(id.to_owned()),
    };
    stage.app().driver.handle_inbound("carrier", message).await.unwrap();
}

/// The fields of a message, in order.
const SIGNED_FIELDS: [&str; 11] = [
    "msisdn",
    "to",
    "messageId",
    "text",
    "type",
    "keyword",
    "api-key",
    "message-timestamp",
    "timestamp",
    "nonce",
    "sig",
];

const HANDSET: &str = "12015550123";

/// The demo account's short code.
const CODE: &str = "12345";
