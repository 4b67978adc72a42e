//! Calls to the sandbox's handsets, and what they hear.

use engine::Locale;
use reqwest::Method;
use serde_json::{Value, json};
use voice::g711::Codec;

use crate::listener::Listener;
use crate::support::{TestServer, code_in};

#[tokio::test]
async fn while_a_phone_is_off_calls_follow_the_message_at_their_times() {
    let server = TestServer::start().await;
    let phone = "447700900123";
    let id = start(&server, phone, 1).await;
    server.nth_text(phone, 1).await;
    let called = async |seconds: u32| {
        server.advance(seconds).await;
        server.inbox(phone).await["calls"].as_array().unwrap().len()
    };
    assert_eq!(called(59).await, 0);
    assert_eq!(called(2).await, 1, "the first call, after a minute");
    assert_eq!(called(57).await, 1);
    assert_eq!(called(3).await, 2, "the second, after two");
    let inbox = server.inbox(phone).await;
    let code = code_in(inbox["messages"][0]["text"].as_str().unwrap());
    let body = json!({ "verifyId": id, "code": code });
    let answer = server.textmagic(Method::PUT, "/api/v2/verify").json(&body).send().await.unwrap();
    assert_eq!(answer.status(), 204);
    let calls = server.inbox(phone).await["calls"].clone();
    assert!(
        calls[1]["ended_at"].as_str() < inbox["calls"][1]["ended_at"].as_str(),
        "the right code ends the call in progress"
    );
}

#[tokio::test]
async fn a_message_that_cannot_be_delivered_is_followed_by_a_call_at_once() {
    let server = TestServer::start().await;
    start(&server, "447700900992", 1).await;
    server.advance(2).await;
    let inbox = server.inbox("447700900992").await;
    assert_eq!(inbox["messages"], json!([]));
    assert!(!inbox["calls"].as_array().unwrap().is_empty(), "{inbox}");
}

#[tokio::test]
async fn what_a_handset_hears_is_the_code() {
    let server = TestServer::start().await;
    let (phone, again) = ("447700900151", "447700900982");
    for (phone, readings) in [(phone, 2), (again, 4)] {
        let id = start(&server, phone, 7).await;
        // Over, and all was said.
        server.advance(60).await;
        let digits = heard(&server, phone).await;
        assert_eq!(digits.len(), 4 * readings, "{digits}");
        let code = digits[..4].to_owned();
        assert_eq!(digits, code.repeat(readings));
        let body = json!({ "verifyId": id, "code": code });
        let check = server.textmagic(Method::PUT, "/api/v2/verify").json(&body);
        assert_eq!(check.send().await.unwrap().status(), 204);
    }
}

#[tokio::test]
async fn who_hangs_up_early_or_lets_a_machine_answer_hears_no_code() {
    let server = TestServer::start().await;
    start(&server, "447700900981", 7).await;
    server.advance(60).await;
    assert_eq!(heard(&server, "447700900981").await, "");

    let machine = "447700900983";
    start(&server, machine, 7).await;
    server.advance(60).await;
    assert_eq!(heard(&server, machine).await.len(), 8, "a machine is told all without a gate");

    server.cli(&["account", "set", &server.demo("account_id"), "voice_gate=true"]);
    server.advance(600).await;
    let id = start(&server, machine, 7).await;
    server.advance(60).await;
    let call = last_call(&server, machine).await;
    assert!(!call["transcript"].as_str().unwrap().contains("verification code."), "{call}");
    assert_eq!(heard(&server, machine).await, "", "behind a gate it is not");
    let story = server.admin_get(&format!("/verifications/{id}")).await;
    assert_eq!(story["attempts"][0]["progress"], "failed");

    let person = "447700900152";
    start(&server, person, 7).await;
    server.advance(60).await;
    assert_eq!(heard(&server, person).await.len(), 8, "a person presses a key");
}

#[tokio::test]
async fn a_call_that_nobody_takes_has_no_audio_and_its_own_error() {
    let server = TestServer::start().await;
    for (phone, error) in [("447700900980", 4), ("447700900994", 7), ("447700900995", 2)] {
        let id = start(&server, phone, 7).await;
        server.advance(60).await;
        let call = last_call(&server, phone).await;
        assert_eq!((&call["answered_at"], &call["audio_url"]), (&Value::Null, &Value::Null));
        let story = server.admin_get(&format!("/verifications/{id}")).await;
        assert_eq!(story["attempts"][0]["error"], error);
        let path =
            format!("/sandbox/v1/handsets/{phone}/calls/{}/audio", call["id"].as_str().unwrap());
        assert_eq!(server.get(&path).send().await.unwrap().status(), 404);
    }
}

#[tokio::test]
async fn without_a_voice_there_is_no_audio_and_the_transcript_stays() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "[voice]\nengines = ['command /nowhere/say']").unwrap();
    let config = file.path().to_str().unwrap();
    let server = TestServer::start_with(&["--config", config]).await;
    start(&server, "447700900153", 7).await;
    server.advance(5).await;
    let call = last_call(&server, "447700900153").await;
    assert_eq!(call["audio_url"], Value::Null);
    assert!(call["transcript"].as_str().unwrap().contains("Acme"), "{call}");
}

#[test]
fn commands_render_a_call_and_tell_what_each_locale_is_spoken_with() {
    let dir = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| {
        let mut command = std::process::Command::new(TestServer::binary());
        command.args(arguments).current_dir(dir.path()).output().unwrap()
    };
    let render = ["speech", "render", "--language", "fr-fr", "--brand", "Acme", "--code", "4815"];
    let output = run(&[&render[..], &["out.wav"]].concat());
    assert!(output.status.success(), "{output:?}");
    let wav = std::fs::read(dir.path().join("out.wav")).unwrap();
    assert!(wav.starts_with(b"RIFF") && wav.len() > 80_000, "{} octets", wav.len());

    let output = run(&["speech", "check"]);
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && told.lines().count() == 24, "{told}");
    assert!(told.contains("fr-ca  espeak-ng") && told.contains("accent"), "{told}");

    std::fs::write(dir.path().join("c.toml"), "[voice]\nengines = ['command /nowhere/say']")
        .unwrap();
    let output = run(&["speech", "check", "--config", "c.toml"]);
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && told.contains("SMS only"), "{told}");
    let output = run(&["speech", "render", "--language", "xx-xx", "out.wav"]);
    assert!(String::from_utf8(output.stderr).unwrap().contains("xx-xx is no locale"));
}

async fn start(server: &TestServer, phone: &str, workflow: u8) -> String {
    let body = json!({
        "phone": phone, "brand": "Acme", "codeLength": 4, "workflowId": workflow,
        "language": "en-us",
    });
    let request = server.textmagic(Method::POST, "/api/v2/verify").json(&body);
    let started: Value = request.send().await.unwrap().json().await.unwrap();
    started["verifyId"].as_str().unwrap_or_else(|| panic!("{started}")).to_owned()
}

async fn last_call(server: &TestServer, phone: &str) -> Value {
    server.inbox(phone).await["calls"].as_array().unwrap().last().unwrap().clone()
}

/// The digits in the audio of the last call.
async fn heard(server: &TestServer, phone: &str) -> String {
    let call = last_call(server, phone).await;
    let url = call["audio_url"].as_str().unwrap_or_else(|| panic!("{call}")).to_owned();
    let answer = server.get(&url).send().await.unwrap();
    assert_eq!(answer.headers()["content-type"], "audio/wav");
    let wav = answer.bytes().await.unwrap();
    let samples = wav[44..].chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]]));
    let samples: Vec<i16> = samples.collect();
    Listener::hear_in(Locale::EnUs, Codec::Pcmu, samples).await
}
