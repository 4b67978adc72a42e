//! The Textmagic Verify door over the real binary: every documented answer.
#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "functions beside the tests fail as the tests do"
)]

mod support;

use reqwest::Method;
use serde_json::{Value, json};
use support::{TestServer, code_in, shown};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const PHONE: &str = "447700900123";

#[tokio::test]
async fn a_code_goes_out_and_is_checked_once() {
    let server = TestServer::start().await;
    let (status, started) = start(&server, &json!({})).await;
    assert_eq!(status, 200, "{started}");
    assert_eq!(started.as_object().unwrap().len(), 2, "exactly two members: {started}");
    assert_eq!(started["price"], json!(0.05));
    let code = code_in(&server.nth_text(PHONE, 1).await);
    assert_eq!(code.len(), 4);

    let wrong = check(&server, &started, &json!(other_than(&code))).await;
    insta::assert_snapshot!(wrong, @r#"400 {"code":400,"errors":{"common":[],"fields":{"code":["The code is wrong."]}},"message":"Validation Failed"}"#);
    assert_eq!(check(&server, &started, &json!(code)).await, "204 ");
    let again = check(&server, &started, &json!(code)).await;
    insta::assert_snapshot!(again, @r#"400 {"code":400,"errors":{"common":[],"fields":{"verifyId":["The phone number has already been verified."]}},"message":"Validation Failed"}"#);
    assert_eq!(balance(&server).await, json!(9_999_999.95), "charged once");
    assert_eq!(start(&server, &json!({})).await.0, 200, "the number is free again");
}

#[tokio::test]
async fn a_code_sent_as_a_number_has_lost_its_leading_zeros() {
    let server = TestServer::start().await;
    // One code in ten begins with a zero: three hundred numbers find one all but surely.
    for last in 100..400 {
        let phone = format!("447700900{last}");
        let (_, started) = start(&server, &json!({ "phone": phone })).await;
        let code = code_in(&server.nth_text(&phone, 1).await);
        if code.starts_with('0') {
            let number: u64 = code.parse().unwrap();
            assert_eq!(check(&server, &started, &json!(number)).await, "204 ");
            return;
        }
    }
    panic!("three hundred codes and none begins with a zero");
}

#[tokio::test]
async fn three_wrong_codes_fail_the_verification() {
    let server = TestServer::start().await;
    let (_, started) = start(&server, &json!({})).await;
    let code = code_in(&server.nth_text(PHONE, 1).await);
    let wrong = json!(other_than(&code));
    for _ in 0..2 {
        assert!(check(&server, &started, &wrong).await.contains("The code is wrong."));
    }
    insta::assert_snapshot!(check(&server, &started, &wrong).await, @r#"400 {"code":400,"errors":{"common":[],"fields":{"code":["The code is wrong. There have been too many wrong codes: the verification has failed."]}},"message":"Validation Failed"}"#);
    insta::assert_snapshot!(check(&server, &started, &json!(code)).await, @r#"400 {"code":400,"errors":{"common":[],"fields":{"verifyId":["There have been too many wrong codes: the verification has failed."]}},"message":"Validation Failed"}"#);
    server.advance(300).await;
    assert_eq!(server.inbox(PHONE).await["calls"], json!([]), "no further step");
    assert_eq!(balance(&server).await, json!(10_000_000.0), "a failure costs nothing");
}

#[tokio::test]
async fn workflow_1_writes_then_calls_twice_then_expires() {
    let server = TestServer::start().await;
    let (_, started) = start(&server, &json!({ "workflowId": "1", "language": "fr-fr" })).await;
    let text = server.nth_text(PHONE, 1).await;
    let code = code_in(&text);
    insta::assert_snapshot!(text.replace(&code, "0000"), @"Votre code PIN Acme est 0000");
    server.advance(59).await;
    assert_eq!(calls(&server).await, 0);
    server.advance(1).await;
    assert_eq!(calls(&server).await, 1);
    server.advance(60).await;
    assert_eq!(calls(&server).await, 2);
    server.advance(200).await;
    insta::assert_snapshot!(check(&server, &started, &json!(code)).await, @r#"400 {"code":400,"errors":{"common":[],"fields":{"verifyId":["The verification has expired."]}},"message":"Validation Failed"}"#);
    assert_eq!(calls(&server).await, 2);
}

#[tokio::test]
async fn an_undeliverable_message_is_followed_by_the_call_at_once() {
    let server = TestServer::start().await;
    let phone = "447700900992";
    start(&server, &json!({ "phone": phone, "workflowId": 5 })).await;
    server.advance(2).await;
    let inbox = server.inbox(phone).await;
    assert_eq!(inbox["messages"], json!([]), "it never arrived");
    assert_eq!(inbox["calls"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_number_has_one_open_verification_and_a_cancel_frees_it() {
    let server = TestServer::start().await;
    let (_, started) = start(&server, &json!({})).await;
    let (status, body) = start(&server, &json!({})).await;
    assert_eq!(status, 409);
    insta::assert_snapshot!(body, @r#"{"code":409,"errors":null,"message":"A verification of this phone number is already in progress."}"#);
    let early = cancel(&server, &started).await;
    insta::assert_snapshot!(early, @r#"400 {"code":400,"errors":{"common":["The verification cannot be cancelled in the first 30 seconds."],"fields":{}},"message":"Validation Failed"}"#);
    server.advance(30).await;
    assert_eq!(cancel(&server, &started).await, "204 ");
    insta::assert_snapshot!(cancel(&server, &started).await, @r#"404 {"code":404,"errors":null,"message":"Resource does not exist."}"#);
    assert_eq!(start(&server, &json!({})).await.0, 200);
}

#[tokio::test]
async fn every_wrong_field_is_named() {
    let server = TestServer::start().await;
    let body = json!({
        "phone": "12", "brand": "a brand that is much too long", "codeLength": 5,
        "language": "xx-yy", "country": "ZZZ", "workflowId": 8, "senderId": ["x"], "more": 1,
    });
    let answer = server.textmagic(Method::POST, "/api/v2/verify").json(&body).send().await.unwrap();
    insta::assert_snapshot!(shown(answer).await);
    let answer = server.textmagic(Method::POST, "/api/v2/verify").send().await.unwrap();
    insta::assert_snapshot!(shown(answer).await);
    for body in ["{", "[1]", "{\"phone\":", "\u{fffd}"] {
        let request = server.textmagic(Method::POST, "/api/v2/verify").body(body);
        assert_eq!(request.send().await.unwrap().status(), 400, "{body}");
    }
    let request = server.textmagic(Method::POST, "/api/v2/verify").body(vec![0xff, 0xfe, b'{']);
    assert_eq!(request.send().await.unwrap().status(), 400);
    let request = server.textmagic(Method::POST, "/api/v2/verify").body(vec![b'a'; 70_000]);
    assert_eq!(request.send().await.unwrap().status(), 413);
}

#[tokio::test]
async fn the_documents_own_samples_work_as_printed() {
    let server = TestServer::start().await;
    let sample = json!({
        "phone": "447860021130", "brand": "Textmagic", "codeLength": 4, "workflowId": "6",
        "language": "en-gb", "senderId": "Textmagic", "country": "US",
    });
    let answer = server.textmagic(Method::POST, "/api/v2/verify").json(&sample).send().await;
    let started: Value = answer.unwrap().json().await.unwrap();
    let id = started["verifyId"].as_str().unwrap();
    server.advance(31).await;
    let quoted = server.textmagic(Method::DELETE, &format!("/api/v2/verify/%22{id}%22?"));
    let quoted = quoted.header("content-type", "application/json").send().await.unwrap();
    assert_eq!(quoted.status(), 204, "a pasted sample carries its quotes along");
}

#[tokio::test]
async fn both_logins_and_both_body_forms_are_taken() {
    let server = TestServer::start().await;
    let form = [("phone", "+447700900124"), ("brand", "Acme"), ("codeLength", "6")];
    let answer = server
        .post("/api/v2/verify")
        .basic_auth(server.demo("username"), Some(server.demo("key")))
        .form(&form)
        .send()
        .await
        .unwrap();
    let started: Value = answer.json().await.unwrap();
    let code = code_in(&server.nth_text("447700900124", 1).await);
    assert_eq!(code.len(), 6);
    let id = started["verifyId"].as_str().unwrap();
    let form = [("verifyId", id), ("code", &code)];
    let answer = server.textmagic(Method::PUT, "/api/v2/verify").form(&form).send().await.unwrap();
    assert_eq!(shown(answer).await, "204 ");
}

#[tokio::test]
async fn a_wrong_login_is_told_in_json_and_is_not_asked_again() {
    let server = TestServer::start().await;
    let answer = server.get("/api/v2/ping").basic_auth("demo", Some("x")).send().await.unwrap();
    assert_eq!(answer.headers().get("www-authenticate"), None);
    insta::assert_snapshot!(shown(answer).await, @r#"401 {"code":401,"errors":null,"message":"Wrong username and token combination."}"#);
    assert_eq!(server.get("/api/v2/user").send().await.unwrap().status(), 401);
}

#[tokio::test]
async fn a_stranger_who_guesses_behind_the_same_proxy_locks_nobody_out() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("countersign.toml");
    let text = "server.trusted_proxies = ['127.0.0.1']\nlimits.failed_auth_per_minute = 2\n";
    std::fs::write(&config, text).unwrap();
    let server = TestServer::start_with(&["--config", config.to_str().unwrap()]).await;
    let guess = async |address: &str| {
        let ping = server.get("/api/v2/ping").header("X-Forwarded-For", address);
        ping.basic_auth(server.demo("username"), Some("x")).send().await.unwrap().status()
    };
    let stranger = "192.0.2.1, 203.0.113.7";
    assert_eq!([guess(stranger).await, guess(stranger).await], [401, 401]);
    assert_eq!(guess("192.0.2.2, 203.0.113.7").await, 429, "the first entry is the stranger's own");
    assert_eq!(guess("203.0.113.8").await, 401);
    let right = server.textmagic(Method::GET, "/api/v2/ping").header("X-Forwarded-For", stranger);
    assert_eq!(right.send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn every_path_that_leads_nowhere_is_answered_in_json() {
    let server = TestServer::start().await;
    for (method, path, status) in [
        (Method::DELETE, "/api/v2/verify/%ff", 404),
        (Method::GET, "/api/v2", 404),
        (Method::GET, "/api/v2/", 404),
        (Method::GET, "/api/v2/%ff", 404),
        (Method::GET, "/api/v1/ping", 404),
        (Method::PATCH, "/api/v2/verify", 405),
    ] {
        let answer = server.textmagic(method, path).send().await.unwrap();
        assert_eq!(answer.status(), status, "{path}");
        let body: Value = answer.json().await.unwrap();
        assert_eq!((&body["code"], &body["errors"]), (&json!(status), &Value::Null), "{path}");
    }
}

#[tokio::test]
async fn a_body_that_never_comes_is_missed_in_the_words_of_its_door() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("countersign.toml");
    std::fs::write(&config, "server = { header_timeout_ms = 100, request_timeout_ms = 100 }")
        .unwrap();
    let server = TestServer::start_with(&["--config", config.to_str().unwrap()]).await;
    let mut told = String::new();
    for path in [
        "/api/v2/verify",
        "/sc/us/2fa/json",
        "/sc/us/2fa/xml",
        "/conversions/sms",
        "/sandbox/v1/clock",
    ] {
        let (head, body) = stall(&server, path).await;
        assert!(head.starts_with("HTTP/1.1 408 "), "{head}");
        let hardened = head.contains("x-content-type-options: nosniff");
        assert_eq!(hardened, path.starts_with("/sc") || path.starts_with("/conv"), "{head}");
        told = format!("{told}{path} {body}\n");
    }
    insta::assert_snapshot!(told, @r#"
    /api/v2/verify {"code":408,"errors":{"common":["The request body came too slowly"],"fields":{}},"message":"Validation Failed"}
    /sc/us/2fa/json {"message-count":"1","messages":[{"status":"3","error-text":"The request body came too slowly"}]}
    /sc/us/2fa/xml <?xml version='1.0' encoding='UTF-8' ?><mt-submission-response><messages count='1'><message><status>3</status><errorText>The request body came too slowly</errorText></message></messages></mt-submission-response>
    /conversions/sms {"error-code":"408","error-code-label":"The request body came too slowly","error_title":"The request body came too slowly"}
    /sandbox/v1/clock {"error":"The request body came too slowly"}
    "#);
}

#[tokio::test]
async fn a_cancel_that_comes_too_early_is_told_the_account_s_own_wait() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("countersign.toml");
    std::fs::write(&config, "engine.cancel_after_s = 45").unwrap();
    let server = TestServer::start_with(&["--config", config.to_str().unwrap()]).await;
    let (_, started) = start(&server, &json!({})).await;
    insta::assert_snapshot!(cancel(&server, &started).await, @r#"400 {"code":400,"errors":{"common":["The verification cannot be cancelled in the first 45 seconds."],"fields":{}},"message":"Validation Failed"}"#);
}

#[tokio::test]
async fn ids_of_others_and_of_nobody_look_alike() {
    let server = TestServer::start().await;
    for id in ["123e4567-e89b-12d3-a456-426655440000", "nonsense", "1"] {
        let answer = check(&server, &json!({ "verifyId": id }), &json!("1234")).await;
        insta::allow_duplicates! {
            insta::assert_snapshot!(answer, @r#"404 {"code":404,"errors":null,"message":"Resource does not exist."}"#);
        }
    }
    let answer = server.textmagic(Method::PATCH, "/api/v2/verify").send().await.unwrap();
    insta::assert_snapshot!(shown(answer).await, @r#"405 {"code":405,"errors":null,"message":"Method Not Allowed"}"#);
}

#[tokio::test]
async fn a_repeat_with_the_same_key_gets_the_first_answer() {
    let server = TestServer::start().await;
    let body = json!({ "phone": PHONE, "brand": "Acme", "codeLength": 4 });
    let send = |body: Value| {
        let request = server.textmagic(Method::POST, "/api/v2/verify");
        request.header("Idempotency-Key", "abc").json(&body).send()
    };
    let first = shown(send(body.clone()).await.unwrap()).await;
    let second = shown(send(body).await.unwrap()).await;
    assert_eq!(first, second);
    let reordered = format!(r#"{{"codeLength": "4", "brand": "Acme", "phone": "{PHONE}"}}"#);
    let request = server.textmagic(Method::POST, "/api/v2/verify").body(reordered);
    let third = shown(request.header("Idempotency-Key", "abc").send().await.unwrap()).await;
    assert_eq!(third, first, "the order of the fields says nothing");
    let other = json!({ "phone": PHONE, "brand": "Other", "codeLength": 4 });
    assert_eq!(send(other).await.unwrap().status(), 422);
    server.nth_text(PHONE, 1).await;
    assert_eq!(server.inbox(PHONE).await["messages"].as_array().unwrap().len(), 1, "sent once");
}

#[tokio::test]
async fn of_64_right_checks_at_once_exactly_one_wins() {
    let server = TestServer::start().await;
    let (_, started) = start(&server, &json!({})).await;
    let code = json!(code_in(&server.nth_text(PHONE, 1).await));
    let mut checks = tokio::task::JoinSet::new();
    for _ in 0..64 {
        let body = json!({ "verifyId": started["verifyId"], "code": code });
        let request = server.textmagic(Method::PUT, "/api/v2/verify").json(&body);
        checks.spawn(async move { request.send().await.unwrap().status().as_u16() });
    }
    let statuses = checks.join_all().await;
    assert_eq!(statuses.iter().filter(|status| **status == 204).count(), 1, "{statuses:?}");
    assert_eq!(balance(&server).await, json!(9_999_999.95), "charged once");
}

#[tokio::test]
async fn ping_user_and_senders_are_told() {
    let server = TestServer::start().await;
    let ping: Value = get(&server, "/api/v2/ping").await;
    assert_eq!(ping["ping"], "pong");
    assert!(ping["utcDateTime"].as_str().unwrap().ends_with('Z'));
    let user = get(&server, "/api/v2/user").await;
    assert_eq!(user["balance"], json!(10_000_000.0));
    let sources = get(&server, "/api/v2/sources").await;
    assert_eq!(sources["senderIds"], json!(["Countersign"]));
    let american = get(&server, "/api/v2/sources?country=US").await;
    assert_eq!(american["senderIds"], json!([]), "names do not reach the US");
    assert_eq!(american["dedicated"][0], "12345");
    let page = get(&server, "/api/v2/senderids?limit=1").await;
    assert_eq!(page["resources"][0]["senderId"], "Countersign");
}

async fn start(server: &TestServer, changes: &Value) -> (u16, Value) {
    let mut body = json!({ "phone": PHONE, "brand": "Acme", "codeLength": 4 });
    for (name, value) in changes.as_object().unwrap() {
        body[name] = value.clone();
    }
    let request = server.textmagic(Method::POST, "/api/v2/verify").json(&body);
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

async fn check(server: &TestServer, started: &Value, code: &Value) -> String {
    let body = json!({ "verifyId": started["verifyId"], "code": code });
    let request = server.textmagic(Method::PUT, "/api/v2/verify").json(&body);
    shown(request.send().await.unwrap()).await
}

async fn cancel(server: &TestServer, started: &Value) -> String {
    let path = format!("/api/v2/verify/{}", started["verifyId"].as_str().unwrap());
    shown(server.textmagic(Method::DELETE, &path).send().await.unwrap()).await
}

async fn get(server: &TestServer, path: &str) -> Value {
    server.textmagic(Method::GET, path).send().await.unwrap().json().await.unwrap()
}

/// Promises a body and never sends it; returns the head and the body of the answer.
async fn stall(server: &TestServer, path: &str) -> (String, String) {
    let address = server.url.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("POST {path} HTTP/1.1\r\nhost: h\r\ncontent-length: 9\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}

async fn balance(server: &TestServer) -> Value {
    get(server, "/api/v2/user").await["balance"].clone()
}

async fn calls(server: &TestServer) -> usize {
    server.inbox(PHONE).await["calls"].as_array().unwrap().len()
}

fn other_than(code: &str) -> String {
    let first = code.as_bytes()[0];
    let other = if first == b'9' { '0' } else { char::from(first + 1) };
    format!("{other}{}", &code[1..])
}
