//! Calls over trunks that are others' programs.

use std::collections::BTreeSet;
use std::net::UdpSocket;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use engine::Locale;
use reqwest::Method;
use serde_json::{Value, json};
use voice::g711::Codec;

use crate::listener::Listener;
use crate::stage::{Peer, baresip, now, recording, sipp, sipp_echo};
use crate::support::{TestServer, code_in};

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_is_told_the_code_that_verifies_its_number() {
    let account = format!(
        "<sip:{PHONE}@127.0.0.1:@SIP_PORT@>;regint=0;answermode=auto;audio_codecs=PCMU/8000/1"
    );
    let (phone, port) = baresip(&account);
    let server = Stage::new(&[("trunk", port, "costs = ['voice:44=0.02']")]).start().await;
    let id = start(&server, 7, "en-us").await;
    let call = ended_call(&server, &id, 0).await;
    assert_eq!(
        (&call["cause"], &call["codec"], &call["status"]),
        (&json!("completed"), &json!("PCMU"), &json!(200))
    );
    let (seconds, packets) = (call["seconds"].as_u64().unwrap(), call["packets_sent"].as_u64());
    assert!((10..60).contains(&seconds) && packets.unwrap() > 500, "{call}");
    assert!(call["rang_at"].as_str() <= call["answered_at"].as_str());
    assert!(call["answered_at"].as_str() < call["ended_at"].as_str());
    let story = story(&server, &id).await;
    let attempt = &story["attempts"][0];
    assert_eq!((&attempt["progress"], &attempt["link"]), (&json!("delivered"), &json!("trunk")));
    assert_eq!(attempt["cost"], "0.02000000", "one minute begun");
    assert_eq!(call["call_id"], format!("{id}-0"));

    let heard = heard_by(&phone).await;
    let digits = Listener::hear_in(Locale::EnUs, Codec::Pcmu, heard).await;
    assert_eq!(digits.len(), 8, "{digits}");
    assert_eq!(digits[..4], digits[4..], "the second reading is the first");
    assert_eq!(check(&server, &id, &digits[..4]).await, 204);
    assert_privacy(&server, &digits[..4]);

    let shown = server.cli(&["verify", "show", &id]);
    assert!(shown.contains("cause=completed") && shown.contains(&format!("{id}-0")), "{shown}");
    let converted = convert(&server, &format!("{id}-0")).await;
    assert_eq!(converted, 200, "the Conversion API knows the call by its name");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_that_wants_a_law_is_told_the_code_in_it() {
    let account = format!(
        "<sip:{PHONE}@127.0.0.1:@SIP_PORT@>;regint=0;answermode=auto;audio_codecs=PCMA/8000/1"
    );
    let (phone, port) = baresip(&account);
    let server = Stage::new(&[("trunk", port, "")]).start().await;
    let id = start(&server, 7, "en-us").await;
    let call = ended_call(&server, &id, 0).await;
    assert_eq!((&call["cause"], &call["codec"]), (&json!("completed"), &json!("PCMA")));
    let digits = Listener::hear_in(Locale::EnUs, Codec::Pcma, heard_by(&phone).await).await;
    assert_eq!(digits[..4], digits[4..], "the second reading is the first");
    assert_eq!(check(&server, &id, &digits[..4]).await, 204);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_phone_is_called_by_the_next_step_at_once() {
    let (busy, port) = sipp("refuse", &[("STATUS", "486 Busy Here")]);
    let server = Stage::new(&[("trunk", port, "")]).start().await;
    let id = start(&server, 3, "en-us").await;
    let call = ended_call(&server, &id, 0).await;
    assert_eq!((&call["cause"], &call["status"]), (&json!("busy"), &json!(486)));
    until(&server, &id, |story| story["attempts"].as_array().unwrap().len() == 2).await;
    let story = story(&server, &id).await;
    assert_eq!(
        (&story["attempts"][0]["progress"], &story["attempts"][0]["error"]),
        (&json!("failed"), &json!(7))
    );
    assert_eq!(story["attempts"][0]["cost"], Value::Null);
    tokio::task::spawn_blocking(|| busy.ends_content()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn each_refusal_of_a_phone_has_its_error_code() {
    for (status, cause, progress, error) in [
        ("603 Decline", "declined", "failed", 4),
        ("480 Temporarily Unavailable", "no_answer", "failed", 2),
    ] {
        let (peer, port) = sipp("refuse", &[("STATUS", status)]);
        let server = Stage::new(&[("trunk", port, "")]).start().await;
        let id = start(&server, 7, "en-us").await;
        assert_eq!(ended_call(&server, &id, 0).await["cause"], cause);
        let attempt = story(&server, &id).await["attempts"][0].clone();
        assert_eq!((&attempt["progress"], &attempt["error"]), (&json!(progress), &json!(error)));
        tokio::task::spawn_blocking(|| peer.ends_content()).await.unwrap();
    }
    let (peer, port) = sipp("refuse", &[("STATUS", "404 Not Found")]);
    let server = Stage::new(&[("trunk", port, "")]).start().await;
    let id = start(&server, 7, "en-us").await;
    until(&server, &id, |story| story["attempts"][0]["progress"] == "rejected").await;
    let attempt = story(&server, &id).await["attempts"][0].clone();
    assert_eq!(attempt["error"], 3);
    let call = &attempt["call"];
    assert_eq!((&call["cause"], &call["status"]), (&json!("invalid_number"), &json!(404)));
    assert!(!call["ended_at"].is_null(), "{call}");
    tokio::task::spawn_blocking(|| peer.ends_content()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trunk_that_is_mute_or_fails_leaves_the_call_to_the_next_within_seconds() {
    let mute = UdpSocket::bind("127.0.0.1:0").unwrap();
    let (failing, failing_port) = sipp("refuse", &[("STATUS", "503 Service Unavailable")]);
    let (_phone, port) = sipp_echo(&[]);
    let mute_port = mute.local_addr().unwrap().port();
    let trunks = [("mute", mute_port, ""), ("failing", failing_port, ""), ("well", port, "")];
    let server = Stage::new(&trunks).start().await;
    let begun = now();
    let id = start(&server, 7, "en-us").await;
    until(&server, &id, |story| story["attempts"][0]["progress"] == "delivered").await;
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    let attempt = story(&server, &id).await["attempts"][0].clone();
    assert_eq!((&attempt["link"], &attempt["call"]["ended_at"]), (&json!("well"), &Value::Null));
    tokio::task::spawn_blocking(|| failing.ends_content()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trunk_that_takes_a_call_and_gets_no_phone_leaves_it_to_the_next_of_the_route() {
    let (stalled, stalled_port) = sipp("ring", &[("STATUS", "100 Trying")]);
    let (failing, failing_port) = sipp("progress", &[("STATUS", "503 No Circuit")]);
    let (_phone, port) = sipp_echo(&[]);
    let trunks = [
        ("stalled", stalled_port, "post_dial_wait_s = 4"),
        ("failing", failing_port, ""),
        ("well", port, ""),
    ];
    let server = Stage::new(&trunks).start().await;
    let begun = now();
    let id = start(&server, 3, "en-us").await;
    until(&server, &id, |story| story["attempts"][0]["progress"] == "delivered").await;
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    let story = story(&server, &id).await;
    let attempts = story["attempts"].as_array().unwrap();
    assert_eq!((attempts.len(), &attempts[0]["link"]), (1, &json!("well")), "the same step");
    let why = [
        ("stalled", "it did not let the phone ring in time"),
        ("failing", "it cannot place the call"),
    ];
    let why = why.map(|(link, reason)| json!({ "link": link, "reason": reason }));
    assert_eq!(attempts[0]["passed_over"], json!(why));
    // Each saw its leg end: by our CANCEL, and by its own refusal.
    tokio::task::spawn_blocking(|| stalled.ends_content()).await.unwrap();
    tokio::task::spawn_blocking(|| failing.ends_content()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trunk_that_asks_to_be_left_alone_is_given_no_call_until_then() {
    let (busy, busy_port) = sipp("refuse", &[("STATUS", "503 Service Unavailable")]);
    let (_phone, port) = sipp_echo(&[]);
    let server = Stage::new(&[("busy", busy_port, ""), ("well", port, "")]).start().await;
    let passed_over = async |phone: &str| {
        let id = start_to(&server, phone, 7, "en-us").await;
        until(&server, &id, |story| story["attempts"][0]["progress"] == "delivered").await;
        let attempt = story(&server, &id).await["attempts"][0].clone();
        assert_eq!(attempt["link"], "well");
        attempt["passed_over"][0]["reason"].as_str().unwrap().to_owned()
    };
    assert_eq!(passed_over("447700900171").await, "it cannot place the call");
    tokio::task::spawn_blocking(|| busy.ends_content()).await.unwrap();
    let link = server.admin_get("/links/busy").await;
    assert!(link["last_error"].as_str().unwrap().contains("left alone"), "{link}");
    assert!(passed_over("447700900172").await.contains("left alone"));
    // It has said seven seconds; its program has ended since.
    server.advance(8).await;
    assert_eq!(passed_over("447700900173").await, "it does not answer");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_that_rang_is_not_called_again_by_the_next_trunk() {
    let (peer, port) = sipp("ring", &[("STATUS", "180 Ringing")]);
    let second = UdpSocket::bind("127.0.0.1:0").unwrap();
    second.set_nonblocking(true).unwrap();
    let second_port = second.local_addr().unwrap().port();
    let trunks = [("first", port, ""), ("second", second_port, "")];
    let server = Stage::new(&trunks).start().await;
    let id = start(&server, 7, "en-us").await;
    let call = ended_call(&server, &id, 0).await;
    assert_eq!(call["cause"], "no_answer");
    let attempt = story(&server, &id).await["attempts"][0].clone();
    assert_eq!((&attempt["link"], &attempt["progress"]), (&json!("first"), &json!("failed")));
    tokio::task::spawn_blocking(|| peer.ends_content()).await.unwrap();
    // The workflow's next step calls again, over either of them.
    let call_id = format!("{id}-0");
    let mut datagram = [0; 4096];
    while let Ok(length) = second.recv(&mut datagram) {
        let text = String::from_utf8_lossy(&datagram[..length]);
        assert!(!text.contains(&call_id), "it was called again: {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_that_answered_without_a_codec_is_not_called_again_by_the_next_trunk() {
    let (peer, port) = sipp("other_codec", &[]);
    let (_phone, second_port) = sipp_echo(&[]);
    let costs = "costs = ['voice:=0.10']\nbilling = 'call'";
    let server = Stage::new(&[("first", port, costs), ("second", second_port, "")]).start().await;
    let id = start(&server, 3, "en-us").await;
    let call = ended_call(&server, &id, 0).await;
    assert_eq!((&call["cause"], &call["status"]), (&json!("no_codec"), &json!(200)));
    until(&server, &id, |story| story["attempts"].as_array().unwrap().len() == 2).await;
    let attempt = story(&server, &id).await["attempts"][0].clone();
    assert_eq!((&attempt["link"], &attempt["progress"]), (&json!("first"), &json!("failed")));
    assert_eq!(attempt["cost"], "0.10000000", "it was answered");
    tokio::task::spawn_blocking(|| peer.ends_content()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trunk_that_got_no_phone_is_not_asked_again_when_its_attempt_comes_back() {
    let (stalled, mute) = (UdpSocket::bind("127.0.0.1:0"), UdpSocket::bind("127.0.0.1:0"));
    let (stalled, mute) = (stalled.unwrap(), mute.unwrap());
    let ports = [&stalled, &mute].map(|socket| socket.local_addr().unwrap().port());
    let trunks = [("stalled", ports[0], "post_dial_wait_s = 4"), ("mute", ports[1], "")];
    let calls = |socket: UdpSocket, answers: bool| {
        let branches = Arc::new(Mutex::new(BTreeSet::new()));
        let kept = Arc::clone(&branches);
        std::thread::spawn(move || take_calls(&socket, answers, &kept));
        move || branches.lock().unwrap().len()
    };
    let (of_stalled, of_mute) = (calls(stalled, true), calls(mute, false));
    let server = Stage::new(&trunks).start().await;
    start(&server, 7, "en-us").await;
    // The mute one sends the attempt back, and it is offered to both again.
    let begun = now();
    while of_mute() < 2 {
        assert!(begun.elapsed() < PATIENCE, "{}", server.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(of_stalled(), 1, "a phone may have rung twice");
}

/// Takes calls and gets them nowhere; keeps which there were.
fn take_calls(socket: &UdpSocket, answers: bool, branches: &Mutex<BTreeSet<String>>) {
    let mut datagram = [0; 4096];
    while let Ok((length, from)) = socket.recv_from(&mut datagram) {
        let text = String::from_utf8_lossy(&datagram[..length]);
        if !text.starts_with("INVITE") {
            continue;
        }
        let head = |name: &str| text.lines().find(|line| line.starts_with(name)).unwrap();
        branches.lock().unwrap().insert(head("Via:").to_owned());
        if !answers {
            continue;
        }
        let names = ["Via:", "From:", "To:", "Call-ID:", "CSeq:"].map(head).join("\r\n");
        let trying = format!("SIP/2.0 100 Trying\r\n{names}\r\nContent-Length: 0\r\n\r\n");
        socket.send_to(trying.as_bytes(), from).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_right_code_hangs_up_the_call_that_is_going_on() {
    let (phone, port) = sipp_echo(&["-m", "1"]);
    let server = Stage::new(&[("trunk", port, "costs = ['voice:=0.10']\nbilling = 'call'")]);
    let server = server.start().await;
    let id = start(&server, 5, "en-us").await;
    let code = code_in(&server.nth_text(PHONE, 1).await);
    server.advance(60).await;
    until(&server, &id, |story| !story["attempts"][1]["call"]["answered_at"].is_null()).await;
    assert_eq!(check(&server, &id, &code).await, 204);
    let call = ended_call(&server, &id, 1).await;
    assert_eq!(call["cause"], "withdrawn");
    assert!(call["seconds"].as_u64() < Some(12), "{call}");
    let story = story(&server, &id).await;
    assert_eq!(story["state"], "verified");
    assert_eq!(
        (&story["attempts"][1]["progress"], &story["attempts"][1]["cost"]),
        (&json!("delivered"), &json!("0.10000000"))
    );
    tokio::task::spawn_blocking(|| phone.ends_content()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn only_countries_that_are_listed_are_called_and_none_too_often() {
    let (_phone, port) = sipp_echo(&[]);
    let server = Stage::new(&[("trunk", port, "calls_per_number_hour = 1")]).start().await;
    for (phone, why) in [("12015550123", "countries do not list US"), ("447012345678", "personal")]
    {
        let id = start_to(&server, phone, 7, "en-us").await;
        until(&server, &id, |story| story["attempts"][0]["progress"] == "rejected").await;
        let attempt = story(&server, &id).await["attempts"][0].clone();
        assert_eq!(attempt["error"], 11);
        let reason = attempt["passed_over"][0]["reason"].as_str().unwrap();
        assert!(reason.contains(why), "{reason}");
    }

    call_and_cancel(&server).await;
    assert_called_too_often(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_of_the_last_hour_count_after_the_server_was_killed_and_after_a_reload() {
    let (_phone, port) = sipp_echo(&[]);
    let file = Stage::new(&[("trunk", port, "calls_per_number_hour = 1")]).file();
    let mut server = TestServer::start_with(&["--config", file.path().to_str().unwrap()]).await;
    call_and_cancel(&server).await;
    server.kill();
    server.launch().await;
    assert_called_too_often(&server).await;

    let other = Stage::new(&[("trunk", port, "calls_per_number_hour = 1\nchannels_max = 7")]);
    std::fs::write(file.path(), &other.config).unwrap();
    server.cli(&["reload"]);
    server.advance(600).await;
    assert_called_too_often(&server).await;
    server.advance(3600).await;
    let id = start(&server, 7, "en-us").await;
    until(&server, &id, |story| story["attempts"][0]["progress"] == "delivered").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn under_a_cap_on_cost_no_number_is_called_whose_cost_is_not_known() {
    let (_phone, port) = sipp_echo(&[]);
    let more = "cost_per_prefix_hour = '1'\ncosts = ['voice:4479=0.1', 'sms:=0.1']";
    let server = Stage::new(&[("trunk", port, more)]).start().await;
    let id = start(&server, 7, "en-us").await;
    until(&server, &id, |story| story["attempts"][0]["progress"] == "rejected").await;
    let story = story(&server, &id).await;
    let reason = story["attempts"][0]["passed_over"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("cap on cost"), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cap_on_cost_must_have_room_for_the_longest_call() {
    let (_phone, port) = sipp_echo(&[]);
    let more = "cost_per_prefix_hour = '0.15'\ncosts = ['voice:=0.1']\ncall_length_max_s = 61";
    let server = Stage::new(&[("trunk", port, more)]).start().await;
    let id = start(&server, 7, "en-us").await;
    until(&server, &id, |story| story["attempts"][0]["progress"] == "rejected").await;
    let story = story(&server, &id).await;
    let reason = story["attempts"][0]["passed_over"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("cost too much"), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_a_gate_a_machine_that_answers_is_not_told_the_code() {
    let (_machine, port) = sipp_echo(&[]);
    let server = Stage::new(&[("trunk", port, "")]).start().await;
    let account = server.demo("account_id");
    server.cli(&["account", "set", &account, "voice_gate=true"]);
    let id = start(&server, 3, "en-us").await;
    let call = ended_call(&server, &id, 0).await;
    assert_eq!(call["cause"], "no_key");
    let story = story(&server, &id).await;
    let attempts = story["attempts"].as_array().unwrap();
    assert_eq!((&attempts[0]["progress"], &attempts[0]["error"]), (&json!("failed"), &json!(2)));
    assert_eq!(attempts.len(), 2, "the next step begins at once");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_voice_no_call_is_placed_and_the_operator_is_told_why() {
    let (_phone, port) = sipp_echo(&[]);
    let mut stage = Stage::new(&[("trunk", port, "")]);
    stage.config.push_str("[voice]\nengines = ['command /nowhere/say']\n");
    let server = stage.start().await;
    let id = start(&server, 7, "fr-fr").await;
    until(&server, &id, |story| story["attempts"][0]["progress"] == "rejected").await;
    let story = story(&server, &id).await;
    let reason = story["attempts"][0]["passed_over"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("no voice for fr-fr") && reason.contains("/nowhere/say"), "{reason}");
}

/// A server whose messages go to the sandbox and whose calls go over trunks, the first one first.
struct Stage {
    config: String,
}

impl Stage {
    /// Sets up trunks, each with its port and further keys.
    fn new(trunks: &[(&str, u16, &str)]) -> Self {
        let names: Vec<String> = trunks.iter().map(|(name, ..)| format!("'{name}'")).collect();
        let mut config = format!(
            "[route.sms]\nchannel = 'sms'\nlinks = ['sandbox']\n\
             [route.voice]\nchannel = 'voice'\nlinks = [{}]\n",
            names.join(", ")
        );
        for (name, port, more) in trunks {
            let trunk = format!(
                "[link.{name}]\nkind = 'sip'\nhost = '127.0.0.1'\nport = {port}\n\
                 domain = '127.0.0.1:{port}'\ncaller = '+442079460000'\ncountries = ['GB']\n\
                 dial_prefix = ''\nrtp_ports = [23000, 24999]\nring_timeout_s = 10\nping_s = 0\n\
                 {more}\n"
            );
            config.push_str(&trunk);
        }
        Self { config }
    }

    /// Writes the configuration to a file.
    fn file(&self) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), &self.config).unwrap();
        file
    }

    async fn start(self) -> TestServer {
        let file = self.file();
        TestServer::start_with(&["--config", file.path().to_str().unwrap()]).await
    }
}

async fn start(server: &TestServer, workflow: u8, language: &str) -> String {
    start_to(server, PHONE, workflow, language).await
}

async fn start_to(server: &TestServer, phone: &str, workflow: u8, language: &str) -> String {
    let body = json!({
        "phone": phone, "brand": "Acme", "codeLength": 4, "workflowId": workflow,
        "language": language,
    });
    let request = server.textmagic(Method::POST, "/api/v2/verify").json(&body);
    let started: Value = request.send().await.unwrap().json().await.unwrap();
    started["verifyId"].as_str().unwrap_or_else(|| panic!("{started}")).to_owned()
}

/// Calls the phone, and cancels the verification once it was answered.
async fn call_and_cancel(server: &TestServer) {
    let id = start(server, 7, "en-us").await;
    until(server, &id, |story| story["attempts"][0]["progress"] == "delivered").await;
    server.advance(31).await;
    let path = format!("/api/v2/verify/{id}");
    assert_eq!(server.textmagic(Method::DELETE, &path).send().await.unwrap().status(), 204);
    assert_eq!(ended_call(server, &id, 0).await["cause"], "withdrawn");
}

/// Asks for a call that is refused by the cap on calls to one number.
async fn assert_called_too_often(server: &TestServer) {
    let id = start(server, 7, "en-us").await;
    until(server, &id, |story| story["attempts"][0]["progress"] == "rejected").await;
    let story = story(server, &id).await;
    let reason = story["attempts"][0]["passed_over"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("called too often"), "{reason}");
}

async fn check(server: &TestServer, id: &str, code: &str) -> u16 {
    let body = json!({ "verifyId": id, "code": code });
    let request = server.textmagic(Method::PUT, "/api/v2/verify").json(&body);
    request.send().await.unwrap().status().as_u16()
}

async fn convert(server: &TestServer, call_id: &str) -> u16 {
    server.cli(&["account", "set", &server.demo("account_id"), "conversion=true"]);
    let form = [
        ("api_key", server.demo("api_key")),
        ("api_secret", server.demo("api_secret")),
        ("message-id", call_id.to_owned()),
        ("delivered", "true".to_owned()),
    ];
    server.post("/conversions/voice").form(&form).send().await.unwrap().status().as_u16()
}

async fn story(server: &TestServer, id: &str) -> Value {
    server.admin_get(&format!("/verifications/{id}")).await
}

/// Waits until something can be told of a verification.
async fn until(server: &TestServer, id: &str, holds: impl Fn(&Value) -> bool) {
    let begun = now();
    loop {
        let story = story(server, id).await;
        if holds(&story) {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "{story:#}\n{}", server.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Waits until the call of a step is over.
async fn ended_call(server: &TestServer, id: &str, step: usize) -> Value {
    until(server, id, |story| !story["attempts"][step]["call"]["ended_at"].is_null()).await;
    story(server, id).await["attempts"][step]["call"].clone()
}

/// Reads what a phone heard, once it has written all of it down.
async fn heard_by(phone: &Peer) -> Vec<i16> {
    let mut known = Vec::new();
    for _ in 0..100 {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let heard = recording(phone.folder.path());
        if !heard.is_empty() && heard.len() == known.len() {
            return heard;
        }
        known = heard;
    }
    panic!("the phone does not end its recording");
}

/// Neither the number nor the code may be in the log.
fn assert_privacy(server: &TestServer, code: &str) {
    let log = server.log();
    assert!(!log.contains(PHONE), "{log}");
    assert!(!log.contains("rsipstack") && !log.contains("INVITE"), "{log}");
    // Four digits can be part of a time; a code stands by itself.
    let words = log.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| word == code);
    assert!(!words, "{log}");
}

/// Not the one that the server suggests to try it with.
const PHONE: &str = "447700900177";

/// Far longer than any call here.
const PATIENCE: Duration = Duration::from_secs(90);
