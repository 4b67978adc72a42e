//! Clients that hang up, stores that have too much to do, and a stop in the middle of it.

mod support;

use std::io::Write as _;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Method;
use serde_json::{Value, json};
use support::{TestServer, code_in};

#[tokio::test]
async fn a_client_that_hangs_up_loses_no_code() {
    let server = TestServer::start().await;
    let login = format!("{}:{}", server.demo("username"), server.demo("key"));
    let address = server.url.strip_prefix("http://").unwrap();
    for last in 100..200 {
        let body = format!("phone=447700900{last}&brand=Acme&codeLength=4&workflowId=6");
        let request = format!(
            "POST /api/v2/verify HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {}\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
            STANDARD.encode(&login),
            body.len()
        );
        let mut client = TcpStream::connect(address).unwrap();
        client.write_all(request.as_bytes()).unwrap();
        tokio::time::sleep(Duration::from_micros(last * 10)).await;
        drop(client);
    }
    // Whatever was started is on its handset: nothing waits for a lease to run out.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let mut rang = 0;
    for last in 100..200 {
        let phone = format!("447700900{last}");
        let count = server.inbox(&phone).await["messages"].as_array().unwrap().len();
        let again = json!({ "phone": phone, "brand": "Acme", "codeLength": 4, "workflowId": 6 });
        let request = server.textmagic(Method::POST, "/api/v2/verify").json(&again);
        let started = request.send().await.unwrap().status() == 409;
        assert_eq!(count, usize::from(started), "handset {phone}");
        rang += count;
    }
    assert!(rang > 0, "some requests got through before their client hung up");
}

#[tokio::test]
async fn a_busy_store_hands_nothing_over_twice() {
    let config = std::env::temp_dir().join("countersign-narrow.toml");
    std::fs::write(&config, "[store]\nqueue_max = 8\nbatch_max = 4\n").unwrap();
    let server = TestServer::start_with(&["--config", config.to_str().unwrap()]).await;
    let mut clients = tokio::task::JoinSet::new();
    for client in 0..32_u64 {
        let requests: Vec<_> = (0..20_u64)
            .map(|n| {
                let phone = (447_400_200_000 + client * 100 + n).to_string();
                let body = json!({ "phone": phone, "brand": "Acme", "codeLength": 4 });
                (phone, server.textmagic(Method::POST, "/api/v2/verify").json(&body))
            })
            .collect();
        clients.spawn(async move {
            let mut started = Vec::new();
            for (phone, request) in requests {
                let answer = request.send().await.unwrap();
                match answer.status().as_u16() {
                    200 => started.push(phone),
                    503 => assert!(answer.headers().contains_key("retry-after")),
                    other => panic!("{other}"),
                }
            }
            started
        });
    }
    let started: Vec<String> = clients.join_all().await.into_iter().flatten().collect();
    assert!(!started.is_empty() && started.len() < 640, "some are refused: {}", started.len());
    for phone in &started {
        server.nth_text(phone, 1).await;
    }
    // A report that was lost would leave its attempt on the outbox until the lease runs out.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let metrics = server.get("/metrics").send().await.unwrap().text().await.unwrap();
    let line =
        metrics.lines().find(|line| line.contains("attempts_total") && line.contains("accepted"));
    let count = line.and_then(|line| line.rsplit(' ').next()).unwrap();
    assert_eq!(count, started.len().to_string(), "handed over once each");
    assert!(!server.log().contains("cannot report"), "{}", server.log());
}

#[tokio::test]
async fn what_is_logged_of_a_failure_names_the_request_that_was_answered() {
    let mut server = TestServer::start().await;
    let body = json!({ "phone": "447700900151", "brand": "Acme", "codeLength": 4 });
    let request = server.textmagic(Method::POST, "/api/v2/verify").json(&body);
    let started: Value = request.send().await.unwrap().json().await.unwrap();
    server.stop();
    let database = rusqlite::Connection::open(server.dir().join("countersign.db")).unwrap();
    database.execute("UPDATE verification SET record = '{}'", []).unwrap();
    drop(database);
    server.launch().await;
    let body = json!({ "verifyId": started["verifyId"], "code": "1234" });
    let answer = server.textmagic(Method::PUT, "/api/v2/verify").json(&body).send().await.unwrap();
    assert_eq!(answer.status(), 500);
    let id = format!("request.id={}", answer.headers()["x-request-id"].to_str().unwrap());
    let told = |log: String| {
        let line = log.lines().find(|line| line.contains("cannot carry a request out"));
        line.map(|line| line.contains(&id))
    };
    // The log is written in a thread of its own.
    let mut found = None;
    for _ in 0..500 {
        tokio::time::sleep(Duration::from_millis(10)).await;
        found = found.or_else(|| told(server.log()));
        if found.is_some() {
            break;
        }
    }
    assert_eq!(found, Some(true), "{id}: {}", server.log());
}

#[tokio::test]
async fn the_right_code_hangs_the_call_up_that_speaks_it() {
    let server = TestServer::start().await;
    let phone = "447700900150";
    let body = json!({ "phone": phone, "brand": "Acme", "codeLength": 4, "workflowId": 7, "language": "en-gb" });
    let request = server.textmagic(Method::POST, "/api/v2/verify").json(&body);
    let started: Value = request.send().await.unwrap().json().await.unwrap();
    // The call is answered, and says so, well before it is over.
    server.advance(2).await;
    let call = server.inbox(phone).await["calls"][0].clone();
    let words = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"];
    let transcript = call["transcript"].as_str().unwrap();
    let code: String = transcript
        .split(|c: char| !c.is_ascii_alphabetic())
        .filter_map(|word| words.iter().position(|digit| word.eq_ignore_ascii_case(digit)))
        .take(4)
        .map(|digit| digit.to_string())
        .collect();
    let body = json!({ "verifyId": started["verifyId"], "code": code });
    let answer = server.textmagic(Method::PUT, "/api/v2/verify").json(&body).send().await.unwrap();
    assert_eq!(answer.status(), 204, "{transcript}");
    let ended = server.inbox(phone).await["calls"][0]["ended_at"].clone();
    assert!(
        ended.as_str() < call["ended_at"].as_str(),
        "{ended} is not before {}",
        call["ended_at"]
    );
}

#[tokio::test]
async fn a_stop_is_heard_while_every_connection_is_taken() {
    let config = std::env::temp_dir().join("countersign-two.toml");
    std::fs::write(&config, "[server]\nconnections_max = 2\nshutdown_grace_ms = 1000\n").unwrap();
    let mut server = TestServer::start_with(&["--config", config.to_str().unwrap()]).await;
    let (_, started) = {
        let body = json!({ "phone": "447700900151", "brand": "Acme", "codeLength": 4 });
        let request = server.textmagic(Method::POST, "/api/v2/verify").json(&body);
        let answer = request.send().await.unwrap();
        (answer.status(), answer.json::<Value>().await.unwrap())
    };
    assert!(started["verifyId"].is_string());
    assert_eq!(code_in(&server.nth_text("447700900151", 1).await).len(), 4);
    let address = server.url.strip_prefix("http://").unwrap().to_owned();
    let idle: Vec<_> = (0..4).map(|_| TcpStream::connect(&address).unwrap()).collect();
    tokio::time::sleep(Duration::from_millis(200)).await;
    let stopped = tokio::time::timeout(
        Duration::from_secs(15),
        tokio::task::spawn_blocking(move || server.stop()),
    );
    assert!(stopped.await.is_ok(), "it does not stop");
    drop(idle);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_call_goes_on_that_was_begun_at_the_moment_of_the_right_code() {
    let server = Arc::new(TestServer::start().await);
    let mut clients = tokio::task::JoinSet::new();
    for last in 0..200_u64 {
        let phone = (447_400_300_000 + last).to_string();
        let body = json!({ "phone": phone, "brand": "Acme", "codeLength": 4, "workflowId": 5 });
        let request = server.textmagic(Method::POST, "/api/v2/verify").json(&body);
        let started: Value = request.send().await.unwrap().json().await.unwrap();
        let code = code_in(&server.nth_text(&phone, 1).await);
        let check = json!({ "verifyId": started["verifyId"], "code": code });
        let check = server.textmagic(Method::PUT, "/api/v2/verify").json(&check);
        clients.spawn(async move {
            // Spread over the time in which the calls begin.
            tokio::time::sleep(Duration::from_millis(last)).await;
            check.send().await.unwrap().status().as_u16()
        });
        if last % 40 == 39 {
            server.advance(60).await;
            while let Some(status) = clients.join_next().await {
                assert_eq!(status.unwrap(), 204);
            }
            server.advance(1).await;
        }
    }
    // A call that nobody hangs up goes on for twenty seconds after it was answered.
    let mut cut_short = 0;
    for last in 0..200_u64 {
        let inbox = server.inbox(&(447_400_300_000 + last).to_string()).await;
        for call in inbox["calls"].as_array().unwrap() {
            let [answered, ended] = ["answered_at", "ended_at"]
                .map(|at| call[at].as_str().unwrap().parse::<jiff::Timestamp>().unwrap());
            assert!(ended.duration_since(answered).as_secs() < 20, "nobody hung up: {call}");
            cut_short += 1;
        }
    }
    println!("{cut_short} calls had begun when their code came back");
}

#[tokio::test]
async fn a_lost_seal_key_is_missed_and_not_made_anew() {
    let mut server = TestServer::start().await;
    server.stop();
    let key = server.dir().join("seal.key");
    let kept = std::fs::read(&key).unwrap();
    std::fs::remove_file(&key).unwrap();
    let mut serve = std::process::Command::new(TestServer::binary());
    serve.args(["serve", "--sandbox", "--listen", "127.0.0.1:0", "--data"]).arg(server.dir());
    let output = serve.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("restore it"), "{said}");
    assert!(!key.exists(), "a new key would only hide the loss");
    std::fs::write(&key, kept).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&key, mode).unwrap();
    server.launch().await;
}

#[tokio::test]
async fn a_seal_key_that_others_can_read_is_refused_with_the_remedy() {
    let mut server = TestServer::start().await;
    server.stop();
    let exposed = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    std::fs::set_permissions(server.dir().join("seal.key"), exposed).unwrap();
    let mut serve = std::process::Command::new(TestServer::binary());
    serve.args(["serve", "--sandbox", "--listen", "127.0.0.1:0", "--data"]).arg(server.dir());
    let output = serve.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("chmod 600"), "{said}");
}

#[tokio::test]
async fn a_body_that_breaks_off_or_drips_is_told_so_in_the_doors_words() {
    let config = std::env::temp_dir().join("countersign-hasty.toml");
    std::fs::write(&config, "[server]\nrequest_timeout_ms = 1000\nheader_timeout_ms = 1000\n")
        .unwrap();
    let server = TestServer::start_with(&["--config", config.to_str().unwrap()]).await;
    let address = server.url.strip_prefix("http://").unwrap().to_owned();
    for (rest, status, text) in [
        ("Transfer-Encoding: chunked\r\n\r\nzz\r\n", "400", "ended early"),
        ("Content-Length: 100\r\n\r\n{", "408", "too slowly"),
    ] {
        let address = address.clone();
        let request = format!("POST /api/v2/verify HTTP/1.1\r\nHost: x\r\n{rest}");
        let answer = tokio::task::spawn_blocking(move || {
            use std::io::Read as _;
            let mut client = TcpStream::connect(address).unwrap();
            client.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
            client.write_all(request.as_bytes()).unwrap();
            let mut answer = [0; 1024];
            let length = client.read(&mut answer).unwrap();
            String::from_utf8_lossy(&answer[..length]).into_owned()
        });
        let answer = answer.await.unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
        assert!(answer.contains("application/json") && answer.contains(text), "{answer}");
    }
}
