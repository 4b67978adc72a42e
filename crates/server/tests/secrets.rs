//! What must never be seen: codes, PINs and numbers in logs, figures, answers or files.
#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "functions beside the tests fail as the tests do"
)]

mod support;

use reqwest::Method;
use serde_json::{Value, json};
use support::{TestServer, code_in};

/// Ten digits that stand nowhere by chance.
const PIN: &str = "8675309142";
const PHONE: &str = "447400123456";
const AMERICAN: &str = "12015550147";

#[tokio::test]
async fn no_code_and_no_number_reaches_a_log_or_a_figure() {
    let server = TestServer::start_with(&["--config", &loud_config()]).await;
    let code = every_kind_of_request(&server).await;
    let metrics = server.get("/metrics").send().await.unwrap().text().await.unwrap();
    let log = server.log();
    assert!(log.lines().count() > 10, "the log is loud: {log}");
    for secret in [PIN, PHONE, AMERICAN, &PHONE[2..], &AMERICAN[1..], &code] {
        for (name, text) in [("log", &log), ("metrics", &metrics)] {
            let line = text.lines().find(|line| holds(line, secret));
            assert_eq!(line, None, "{secret} is in the {name}");
        }
    }
}

#[tokio::test]
async fn no_code_is_readable_in_any_file() {
    let mut server = TestServer::start().await;
    let code = every_kind_of_request(&server).await;
    server.kill();
    for entry in std::fs::read_dir(server.dir()).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        for secret in [PIN.to_owned(), format!("PIN is {code}"), format!("\"{code}\"")] {
            let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "a code is in {}", path.display());
        }
    }
}

#[tokio::test]
async fn no_answer_of_the_doors_tells_the_code() {
    let server = TestServer::start().await;
    let body = json!({ "phone": PHONE, "brand": "Acme", "codeLength": 6 });
    let answer = server.textmagic(Method::POST, "/api/v2/verify").json(&body).send().await.unwrap();
    let headers = format!("{:?}", answer.headers());
    let started: Value = answer.json().await.unwrap();
    let code = code_in(&server.nth_text(PHONE, 1).await);
    assert!(!started.to_string().contains(&code) && !headers.contains(&code));
    let wrong = json!({ "verifyId": started["verifyId"], "code": "000000x" });
    let answer = server.textmagic(Method::PUT, "/api/v2/verify").json(&wrong).send().await.unwrap();
    let text = answer.text().await.unwrap();
    assert!(!text.contains(&code) && !text.contains("000000x"), "{text}");
}

/// Right, wrong and broken requests at every door; returns the code that was drawn.
async fn every_kind_of_request(server: &TestServer) -> String {
    let body = json!({ "phone": PHONE, "brand": "Acme", "codeLength": 6 });
    let start = || server.textmagic(Method::POST, "/api/v2/verify").json(&body).send();
    let started: Value = start().await.unwrap().json().await.unwrap();
    start().await.unwrap();
    let code = code_in(&server.nth_text(PHONE, 1).await);
    for typed in ["123456", &code, &code] {
        let body = json!({ "verifyId": started["verifyId"], "code": typed });
        server.textmagic(Method::PUT, "/api/v2/verify").json(&body).send().await.unwrap();
    }
    let broken = format!("{{\"phone\":\"{PHONE}\",\"code\":\"{code}\"");
    server.textmagic(Method::POST, "/api/v2/verify").body(broken).send().await.unwrap();
    let (key, secret) = (server.demo("api_key"), server.demo("api_secret"));
    for to in [AMERICAN, PHONE, "12015550193", "nonsense"] {
        let form = [("api_key", &*key), ("api_secret", &*secret), ("to", to), ("pin", PIN)];
        server.post("/sc/us/2fa/json").form(&form).send().await.unwrap();
        let query = format!("/sc/us/2fa/xml?api_key={key}&api_secret=wrong&to={to}&pin={PIN}");
        server.get(&query).send().await.unwrap();
    }
    server.nth_text(AMERICAN, 1).await;
    let path = format!("/api/v2/verify/{PHONE}");
    server.textmagic(Method::DELETE, &path).send().await.unwrap();
    server.get(&format!("/nowhere/{PHONE}?pin={PIN}")).send().await.unwrap();
    server.advance(120).await;
    code
}

fn holds(line: &str, secret: &str) -> bool {
    // Separators that people and libraries put between digits do not hide a number.
    let squeezed: String =
        line.chars().filter(|c| !matches!(c, ' ' | '-' | '.' | '(' | ')')).collect();
    line.contains(secret) || (secret.len() > 8 && squeezed.contains(secret))
}

/// A configuration that logs everything there is.
fn loud_config() -> String {
    let path = std::env::temp_dir().join("countersign-loud.toml");
    std::fs::write(&path, "[log]\nlevel = \"trace\"\n").unwrap();
    path.to_str().unwrap().to_owned()
}
