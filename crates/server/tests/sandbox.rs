//! The sandbox's clock, moved as a test of somebody's sign-up would move it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::io::Write as _;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use support::{TestServer, code_in};

#[tokio::test]
async fn a_year_in_which_little_is_due_passes_within_one_request() {
    let server = TestServer::start().await;
    start(&server, 447_700_900_123).await;
    server.nth_text("447700900123", 1).await;
    server.advance(365 * 24 * 60 * 60).await;
    let inbox = server.inbox("447700900123").await;
    assert_eq!(inbox["calls"].as_array().unwrap().len(), 2, "nothing was left out on the way");
    // The seconds that the move itself took are part of the year.
    assert!(clock(&server).await["ahead_s"].as_f64() > Some(31_535_990.0));
}

#[tokio::test]
async fn a_code_can_be_typed_though_a_pin_of_the_accounts_own_came_after_it() {
    let server = TestServer::start().await;
    let phone = "447700900124";
    let typed = |code: String| {
        let request = server.post(&format!("/sandbox/v1/handsets/{phone}/type"));
        request.json(&json!({ "code": code })).send()
    };
    let pin = [
        ("api_key", server.demo("api_key")),
        ("api_secret", server.demo("api_secret")),
        ("to", phone.to_owned()),
        ("pin", "7654321".to_owned()),
    ];
    server.post("/sc/us/2fa/json").form(&pin).send().await.unwrap();
    server.nth_text(phone, 1).await;
    assert_eq!(typed("7654321".to_owned()).await.unwrap().status(), 404, "a PIN is no code");
    start(&server, 447_700_900_124).await;
    let code = code_in(&server.nth_text(phone, 2).await);
    server.post("/sc/us/2fa/json").form(&pin).send().await.unwrap();
    server.nth_text(phone, 3).await;
    let verdict: Value = typed(code).await.unwrap().json().await.unwrap();
    assert_eq!(verdict["verdict"], "match", "{verdict}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_minute_passes_on_a_server_that_is_never_at_rest() {
    let server = Arc::new(TestServer::start().await);
    let stop = Arc::new(AtomicBool::new(false));
    let started = Arc::new(AtomicU64::new(0));
    let clients: Vec<_> = (0..6)
        .map(|_| {
            let (server, stop) = (Arc::clone(&server), Arc::clone(&stop));
            let started = Arc::clone(&started);
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let nth = started.fetch_add(1, Ordering::Relaxed);
                    start(&server, FIRST_PHONE + nth).await;
                }
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before = started.load(Ordering::Relaxed);
    server.advance(60).await;
    assert!(started.load(Ordering::Relaxed) > before, "they went on meanwhile");
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.unwrap();
    }
}

#[tokio::test]
async fn a_move_is_finished_and_kept_though_its_client_goes_away() {
    let mut server = TestServer::start().await;
    for nth in 0..40 {
        start(&server, FIRST_PHONE + nth).await;
    }
    let mut client = TcpStream::connect(server.url.strip_prefix("http://").unwrap()).unwrap();
    let body = r#"{"advance_s":86400}"#;
    let length = body.len();
    write!(
        client,
        "POST /sandbox/v1/clock HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n"
    )
    .unwrap();
    client.write_all(body.as_bytes()).unwrap();
    while clock(&server).await["moving"] != json!(true) {
        assert!(clock(&server).await["ahead_s"].as_f64() < Some(86_400.0), "it was over too soon");
    }
    drop(client);
    while clock(&server).await["moving"] == json!(true) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let ahead = clock(&server).await["ahead_s"].as_f64().unwrap();
    assert!(ahead > 86_390.0, "it stopped after {ahead} s");
    server.kill();
    server.launch().await;
    assert_eq!(clock(&server).await["ahead_s"].as_f64(), Some(ahead));
}

#[tokio::test]
async fn a_kill_in_the_middle_of_a_move_does_not_turn_the_clock_back() {
    let mut server = TestServer::start().await;
    for nth in 0..40 {
        start(&server, FIRST_PHONE + nth).await;
    }
    let moved = server.post("/sandbox/v1/clock").json(&json!({ "advance_s": 86_400 })).send();
    let moved = tokio::spawn(moved);
    let mut told = 0.0;
    while told < 61.0 {
        told = clock(&server).await["ahead_s"].as_f64().unwrap();
    }
    server.kill();
    drop(moved);
    server.launch().await;
    let kept = clock(&server).await["ahead_s"].as_f64().unwrap();
    assert!(kept >= told, "{kept} s after the kill, {told} s before");
}

async fn start(server: &TestServer, phone: u64) {
    let body = json!({ "phone": phone.to_string(), "brand": "Acme", "codeLength": 4 });
    let answer = server.textmagic(Method::POST, "/api/v2/verify").json(&body).send().await;
    assert_eq!(answer.unwrap().status(), 200);
}

async fn clock(server: &TestServer) -> Value {
    server.get("/sandbox/v1/clock").send().await.unwrap().json().await.unwrap()
}

/// The first of a hundred thousand British mobile numbers that are all allocated.
const FIRST_PHONE: u64 = 447_400_100_000;
