//! What reaches the socket of the real binary on a bad day: crowds, drips, floods and rubbish.
#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "functions beside the tests fail as the tests do"
)]

// The condition is always true, and tells the lints that these are tests.
#[cfg(test)]
#[path = "wire/rubbish.rs"]
mod rubbish;
mod support;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::{Method, RequestBuilder};
use rubbish::{Draw, SEED};
use serde_json::{Value, json};
use support::{TestServer, code_in, shown};
use tempfile::NamedTempFile;

const JSON: &str = "/sc/us/2fa/json";
const VERIFY: &str = "/api/v2/verify";
const PHONE: &str = "447400123456";
const AMERICAN: &str = "12015550147";

/// How many ask at the same moment.
const CROWD: usize = 64;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_verification_asked_for_by_a_crowd_under_one_key_starts_once() {
    let server = TestServer::start().await;
    let body = json!({ "phone": PHONE, "brand": "Acme", "codeLength": 4 });
    let start = || server.textmagic(Method::POST, VERIFY).header(KEY, "one").json(&body);
    let answers = crowd(start).await;
    let (answer, count) = answers.first_key_value().unwrap();
    assert_eq!((answers.len(), *count), (1, CROWD), "{answers:?}");
    assert!(answer.starts_with("200 "), "{answer}");
    assert_eq!(settled_texts(&server, PHONE).await, 1);
    let code = code_in(&server.nth_text(PHONE, 1).await);
    let typed = server.post(&format!("/sandbox/v1/handsets/{PHONE}/type"));
    let typed = shown(typed.json(&json!({ "code": code })).send().await.unwrap()).await;
    assert_eq!(typed, r#"200 {"verdict":"match"}"#);
    let user = server.textmagic(Method::GET, "/api/v2/user").send().await.unwrap();
    let user: Value = user.json().await.unwrap();
    assert_eq!(user["balance"].to_string(), "9999999.95", "it was paid for once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_asked_for_by_a_crowd_under_one_key_is_sent_once() {
    let server = TestServer::start().await;
    let form = credentials(&server) + "&to=" + AMERICAN + "&pin=4815";
    let send =
        || server.post(JSON).header(KEY, "one").header("content-type", FORM).body(form.clone());
    let answers = crowd(send).await;
    let (answer, count) = answers.first_key_value().unwrap();
    assert_eq!((answers.len(), *count), (1, CROWD), "{answers:?}");
    assert!(answer.contains(r#""status":"0""#), "{answer}");
    assert!(answer.contains(r#""remaining-balance":"9999999.96670000""#), "{answer}");
    assert_eq!(settled_texts(&server, AMERICAN).await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_without_a_key_opens_one_verification_for_a_number() {
    let server = TestServer::start().await;
    let body = json!({ "phone": PHONE, "brand": "Acme", "codeLength": 4 });
    let answers = crowd(|| server.textmagic(Method::POST, VERIFY).json(&body)).await;
    let of = |status: &str| -> usize {
        answers.iter().filter(|(answer, _)| answer.starts_with(status)).map(|(_, n)| n).sum()
    };
    assert_eq!((of("200 "), of("409 ")), (1, CROWD - 1), "{answers:?}");
    assert_eq!(settled_texts(&server, PHONE).await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_drips_its_headers_or_says_nothing_is_cut() {
    let config = config("[server]\nheader_timeout_ms = 400\n");
    let server = TestServer::start_with(&["--config", config.path().to_str().unwrap()]).await;
    let openings = ["", "GET /hea", "GET /healthz HTTP/1.1\r\nHost: h\r\nX-Slow: "];
    for (opening, drip) in openings.into_iter().zip(["", "l", "a"]) {
        let mut slow = connect(&server);
        slow.set_read_timeout(Some(DRIP)).unwrap();
        slow.write_all(opening.as_bytes()).unwrap();
        let (drips, answer) = drip_until_cut(&mut slow, drip);
        assert!(drips > 3, "{opening:?} was cut at once, with {answer:?}");
        assert!(drips < DRIPS_MAX, "{opening:?} was never cut");
        assert!(!answer.contains(" 200 "), "{answer}");
    }
    let answer = exchange(&server, format!("GET /healthz HTTP/1.1\r\n{CLOSE}\r\n").as_bytes());
    assert!(answer.ends_with("ok\n"), "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_connections_keep_nobody_else_waiting() {
    let server = TestServer::start().await;
    let slow: Vec<TcpStream> = (0..200)
        .map(|_| {
            let mut stream = connect(&server);
            stream
                .write_all(b"POST /api/v2/verify HTTP/1.1\r\nContent-Length: 9\r\n\r\n{")
                .unwrap();
            stream
        })
        .collect();
    let ping = server.textmagic(Method::GET, "/api/v2/ping").timeout(Duration::from_secs(2));
    let answer = shown(ping.send().await.unwrap()).await;
    assert!(answer.starts_with(r#"200 {"ping":"pong""#), "{answer}");
    drop(slow);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_beyond_the_limit_gets_the_door_s_own_error() {
    let server = TestServer::start().await;
    let (key, token) = (server.demo("key"), server.token());
    let textmagic = format!("X-TM-Username: demo\r\nX-TM-Key: {key}\r\n");
    let admin = format!("Authorization: Bearer {token}\r\n");
    let plain = String::new();
    let doors = [
        (
            "POST",
            VERIFY,
            &textmagic,
            "application/json",
            r#"{"code":413,"message":"Validation Failed","errors":{"common":["The request body is too large"],"fields":{}}}"#,
        ),
        (
            "PUT",
            VERIFY,
            &textmagic,
            "application/json",
            r#"{"code":413,"message":"Validation Failed","errors":{"common":["The request body is too large"],"fields":{}}}"#,
        ),
        (
            "POST",
            JSON,
            &plain,
            "application/json",
            r#"{"message-count":"1","messages":[{"status":"3","error-text":"The request body is too large"}]}"#,
        ),
        (
            "POST",
            "/sc/us/2fa/xml",
            &plain,
            "text/xml",
            "<status>3</status><errorText>The request body is too large</errorText>",
        ),
        (
            "POST",
            "/sc/us/alert/opt-in/manage/json",
            &plain,
            "application/json",
            "The request body is too large",
        ),
        ("POST", "/conversions/sms", &plain, "application/json", "The request body is too large"),
        ("POST", "/admin/v1/accounts", &admin, "application/problem+json", r#""code":"too_large""#),
        ("POST", "/admin/v1/messages", &admin, "application/problem+json", r#""code":"too_large""#),
        (
            "POST",
            "/sandbox/v1/clock",
            &plain,
            "application/json",
            r#"{"error":"The request body is too large"}"#,
        ),
    ];
    for (method, path, headers, content_type, expected) in doors {
        for size in [BODY_BYTES_MAX + 1, 4_000_000] {
            for chunked in [false, true] {
                let answer = exchange(&server, &flood(method, path, headers, size, chunked));
                let place =
                    format!("{method} {path}, {size} bytes, chunked: {chunked}: {answer:?}");
                assert_eq!(status_of(&answer), 413, "{place}");
                assert!(answer.contains(&format!("content-type: {content_type}\r\n")), "{place}");
                assert!(sorted_json(&answer).contains(&sorted_json(expected)), "{place}");
            }
        }
        let answer = exchange(&server, &flood(method, path, headers, BODY_BYTES_MAX, false));
        assert_ne!(status_of(&answer), 413, "{method} {path} takes the limit itself: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn head_and_options_are_answered_without_a_body_and_do_nothing() {
    let server = TestServer::start().await;
    let query = format!("{}&to={AMERICAN}&pin=4815&message-id=0&delivered=1", credentials(&server));
    let vonage = [JSON, "/sc/us/2fa/xml", "/sc/us/alert/opt-in/manage/json", "/conversions/sms"];
    let others = ["/api/v2/verify", "/api/v2/ping", "/admin/v1/accounts", "/sandbox/v1/clock", "/"];
    for path in vonage.into_iter().chain(others) {
        for method in ["HEAD", "OPTIONS", "TRACE", "PATCH", "BREW"] {
            let two = format!(
                "{method} {path}?{query} HTTP/1.1\r\nHost: h\r\nX-Request-Id: first\r\n\r\n\
                 GET /healthz HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
            );
            let answer = exchange(&server, two.as_bytes());
            let wanted = match method {
                "HEAD" if vonage.contains(&path) => 200..=200,
                "HEAD" => 200..=405,
                _ => 400..=405,
            };
            assert!(wanted.contains(&status_of(&answer)), "{method} {path}: {answer}");
            assert!(answer.contains("x-request-id: first\r\n"), "{method} {path}: {answer}");
            assert!(answer.ends_with("\r\n\r\nok\n"), "{method} {path}: {answer}");
            if method == "HEAD" {
                let (_, rest) = answer.split_once("\r\n\r\n").unwrap();
                assert!(rest.starts_with("HTTP/1.1 200 "), "{path} has a body: {answer}");
            }
        }
    }
    assert_eq!(settled_texts(&server, AMERICAN).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn header_values_of_ten_thousand_characters_are_read_or_refused() {
    let config = config(UNLOCKED);
    let server = TestServer::start_with(&["--config", config.path().to_str().unwrap()]).await;
    let long = "a".repeat(10_000);
    let base64 = STANDARD.encode(format!("demo:{long}"));
    let values =
        [long.clone(), format!("Basic {base64}"), format!("Bearer {long}"), "é".repeat(5000)];
    let names = ["Authorization", "X-TM-Username", "X-TM-Key", KEY, "X-Request-Id", "Content-Type"];
    let own_key = format!("X-TM-Username: demo\r\nX-TM-Key: {}\r\n", server.demo("key"));
    for (method, path) in [("GET", "/api/v2/ping"), ("GET", JSON), ("GET", "/admin/v1/accounts")] {
        for name in names {
            for value in &values {
                let request = format!("{method} {path} HTTP/1.1\r\n{name}: {value}\r\n{CLOSE}\r\n");
                let answer = exchange(&server, request.as_bytes());
                assert!((200..500).contains(&status_of(&answer)), "{path} {name}: {answer}");
                let echoed = answer.contains(&value[..100]);
                assert!(!echoed, "{name} comes back from {path}: {answer}");
            }
        }
    }
    let body = json!({ "phone": PHONE, "brand": "Acme", "codeLength": 4 }).to_string();
    let start = format!(
        "POST {VERIFY} HTTP/1.1\r\n{own_key}{KEY}: {long}\r\nContent-Length: {}\r\n{CLOSE}\r\n{body}",
        body.len()
    );
    let answer = exchange(&server, start.as_bytes());
    assert_eq!(status_of(&answer), 400, "{answer}");
    assert!(answer.contains("The Idempotency-Key is empty or too long."), "{answer}");
    assert_eq!(settled_texts(&server, PHONE).await, 0);
    let endless =
        format!("GET /healthz HTTP/1.1\r\nCookie: {}\r\n{CLOSE}\r\n", "a".repeat(1_000_000));
    assert_eq!(status_of(&exchange(&server, endless.as_bytes())), 431);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_in_one_go_are_answered_in_their_order() {
    let server = TestServer::start().await;
    let own_key = format!("X-TM-Username: demo\r\nX-TM-Key: {}\r\n", server.demo("key"));
    let mut pipeline = String::new();
    for index in 0..40 {
        let body =
            json!({ "phone": format!("+44740012{index:04}"), "brand": "Acme", "codeLength": 4 });
        let body = body.to_string();
        let (method, path, body) = match index % 4 {
            0 => ("GET", "/healthz", ""),
            1 => ("POST", VERIFY, body.as_str()),
            2 => ("GET", "/api/v2/ping", ""),
            _ => ("POST", "/nowhere", body.as_str()),
        };
        let length = body.len();
        let close = if index == 39 { CLOSE } else { "" };
        write!(
            pipeline,
            "{method} {path} HTTP/1.1\r\nHost: h\r\n{own_key}X-Request-Id: number-{index}\r\n\
             Content-Length: {length}\r\n{close}\r\n{body}"
        )
        .unwrap();
    }
    let answer = exchange(&server, pipeline.as_bytes());
    let statuses: Vec<u16> =
        answer.match_indices("HTTP/1.1 ").map(|(at, _)| status_of(&answer[at..])).collect();
    assert_eq!(statuses, [200, 200, 200, 404].repeat(10), "{answer}");
    let ids: Vec<&str> = answer.lines().filter_map(|l| l.strip_prefix("x-request-id: ")).collect();
    let expected: Vec<String> = (0..40).map(|index| format!("number-{index}")).collect();
    assert_eq!(ids, expected);
    assert_eq!(settled_texts(&server, "447400120001").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rubbish_on_every_route_is_refused_and_the_server_goes_on() {
    let seed = rubbish::seed();
    println!("replay with {SEED}={seed}");
    let mut draw = Draw(seed);
    let config = config(UNLOCKED);
    let server = TestServer::start_with(&["--config", config.path().to_str().unwrap()]).await;
    let pair = format!("{}:{}", server.demo("api_key"), server.demo("api_secret"));
    let basic = format!("Authorization: Basic {}\r\n", STANDARD.encode(pair));
    let logins = [
        ("/api", format!("X-TM-Username: demo\r\nX-TM-Key: {}\r\n", server.demo("key"))),
        ("/sc", basic.clone()),
        ("/conversions", basic),
        ("/admin", format!("Authorization: Bearer {}\r\n", server.token())),
    ];
    let mut answered: BTreeMap<u16, usize> = BTreeMap::new();
    for (method, route) in rubbish::routes() {
        for round in 0..RUBBISH_A_ROUTE {
            let request = rubbish::request(&mut draw, &method, &route, &logins);
            let answer = exchange(&server, &request);
            let status = status_of(&answer);
            let told = || String::from_utf8_lossy(&request[..request.len().min(2000)]).into_owned();
            let fine = (200..500).contains(&status);
            assert!(fine, "{SEED}={seed}, {method} {route} {round}: {answer:?} to {:?}", told());
            *answered.entry(status).or_default() += 1;
        }
    }
    // Most of it was let in, so that it reached more than the logins.
    let count = |status: u16| answered.get(&status).copied().unwrap_or_default();
    let reached = [200, 400, 404].iter().all(|status| count(*status) > count(401) / 2);
    assert!(reached, "{SEED}={seed}, the rubbish reached little: {answered:?}");
    for _ in 0..200 {
        let mut stream = connect(&server);
        let _ = stream.write_all(&draw.bytes(1500));
        // Noise may look like the beginning of a request, so the server is told that it is all.
        let _ = stream.shutdown(Shutdown::Write);
        let answer = heard(stream);
        assert!(
            answer.is_empty() || (400..500).contains(&status_of(&answer)),
            "{SEED}={seed}: {answer}"
        );
    }
    let answer = exchange(&server, format!("GET /readyz HTTP/1.1\r\n{CLOSE}\r\n").as_bytes());
    assert!(answer.contains(r#""ready":true"#), "{SEED}={seed}: {answer}");
    let log = server.log();
    let trouble: Vec<_> =
        log.lines().filter(|l| l.contains("panick") || l.contains("ERROR")).collect();
    assert!(trouble.is_empty(), "{SEED}={seed}: {trouble:?}");
}

/// Sends the same request many times at once; returns how often each answer came.
async fn crowd(request: impl Fn() -> RequestBuilder) -> BTreeMap<String, usize> {
    let mut waiting = tokio::task::JoinSet::new();
    for _ in 0..CROWD {
        let request = request();
        waiting.spawn(async move { shown(request.send().await.unwrap()).await });
    }
    let mut answers = BTreeMap::new();
    for answer in waiting.join_all().await {
        *answers.entry(answer).or_default() += 1;
    }
    answers
}

/// How many texts a handset has once everything that is due was done.
async fn settled_texts(server: &TestServer, digits: &str) -> usize {
    // Returns when everything that fell due was taken up; not long enough for another step.
    server.advance(5).await;
    server.inbox(digits).await["messages"].as_array().unwrap().len()
}

fn connect(server: &TestServer) -> TcpStream {
    let stream = TcpStream::connect(server.url.strip_prefix("http://").unwrap()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Sends bytes and returns all that comes back until the server hangs up.
fn exchange(server: &TestServer, request: &[u8]) -> String {
    let mut stream = connect(server);
    // A server that has seen enough may hang up before everything is sent, and still has answered.
    let _ = stream.write_all(request);
    heard(stream)
}

/// All that comes back until the server hangs up.
fn heard(mut stream: TcpStream) -> String {
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

/// Sends a little again and again; returns how often, and what came back.
fn drip_until_cut(slow: &mut TcpStream, drip: &str) -> (usize, String) {
    let (mut answer, mut buffer) = (String::new(), [0; 1024]);
    for drips in 0..DRIPS_MAX {
        let _ = slow.write_all(drip.as_bytes());
        match slow.read(&mut buffer) {
            Ok(0) => return (drips, answer),
            Ok(count) => answer.push_str(&String::from_utf8_lossy(&buffer[..count])),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => return (drips, answer),
        }
    }
    (DRIPS_MAX, answer)
}

/// A request whose body has so many bytes, all the same.
fn flood(method: &str, path: &str, headers: &str, size: usize, chunked: bool) -> Vec<u8> {
    let head =
        format!("{method} {path} HTTP/1.1\r\nHost: h\r\n{headers}{CLOSE}Content-Type: {FORM}\r\n");
    let body = "a".repeat(size);
    if chunked {
        format!("{head}Transfer-Encoding: chunked\r\n\r\n{size:x}\r\n{body}\r\n0\r\n\r\n")
            .into_bytes()
    } else {
        format!("{head}Content-Length: {size}\r\n\r\n{body}").into_bytes()
    }
}

/// The status of an answer, or 0 if there was none.
fn status_of(answer: &str) -> u16 {
    let status = answer.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3));
    status.and_then(|status| status.parse().ok()).unwrap_or_default()
}

/// The text with its last line in one order of members, if that is JSON.
fn sorted_json(text: &str) -> String {
    let body = text.rsplit("\r\n").next().unwrap_or_default();
    serde_json::from_str::<Value>(body).map_or_else(|_| text.to_owned(), |json| json.to_string())
}

fn credentials(server: &TestServer) -> String {
    format!("api_key={}&api_secret={}", server.demo("api_key"), server.demo("api_secret"))
}

fn config(text: &str) -> NamedTempFile {
    let file = NamedTempFile::with_suffix(".toml").unwrap();
    std::fs::write(file.path(), text).unwrap();
    file
}

/// Lets a test fail to log in as often as it likes.
const UNLOCKED: &str = "[limits]\nfailed_auth_per_minute = 100000\n";

/// The default of `server.body_bytes_max`.
const BODY_BYTES_MAX: usize = 65_536;

const KEY: &str = "Idempotency-Key";
const FORM: &str = "application/x-www-form-urlencoded";
const CLOSE: &str = "Connection: close\r\n";
const PATIENCE: Duration = Duration::from_secs(15);
const DRIP: Duration = Duration::from_millis(20);
const DRIPS_MAX: usize = 400;

/// Enough to hit every kind of mistake on a route in some run, and few enough for every run.
const RUBBISH_A_ROUTE: usize = 30;
