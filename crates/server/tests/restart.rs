//! Pull the plug: SIGKILL at random moments under load, then an audit of everything that was
//! acknowledged.
#![expect(
    clippy::cast_precision_loss,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "functions beside the tests fail as the tests do"
)]

// The condition is always true, and tells the lints that this is a test.
#[cfg(test)]
#[path = "webhooks/receiver.rs"]
#[expect(dead_code, reason = "this file uses its own part of it")]
mod receiver;
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use receiver::Receiver;
use reqwest::{Client, Method};
use serde_json::{Value, json};
use support::{TestServer, code_in};

/// What one flow saw before the plug was pulled.
#[derive(Clone, Debug)]
struct Flow {
    phone: String,
    id: String,
    /// Whether a right check was acknowledged.
    verified: bool,
    /// The id of a message to the same handset, if one was acknowledged.
    message: Option<String>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_was_acknowledged_is_lost_or_done_twice() {
    let mut server = TestServer::start().await;
    let mut receiver = Receiver::start().await;
    // Some receipts have to be told again, by another process than the first.
    (0..RECEIPTS_FAILED).for_each(|_| receiver.will_answer(500));
    let settings = json!({ "dlr_url": receiver.url("/dlr"), "dlr_method": "get" });
    let (status, answer) = server.admin(Method::PATCH, "/accounts/1", settings).await;
    assert!(status.is_success(), "{answer}");
    let next = Arc::new(AtomicU64::new(0));
    let mut flows: Vec<Flow> = Vec::new();
    for round in 0..ROUNDS {
        let stop = Arc::new(AtomicBool::new(false));
        let mut clients = tokio::task::JoinSet::new();
        for _ in 0..CLIENTS {
            let client = FlowClient::new(&server);
            clients.spawn(client.run(Arc::clone(&next), Arc::clone(&stop)));
        }
        let wait = 150 + u64::from(u16::from_be_bytes(countersign::clock::random_bytes()) % 700);
        println!("round {round}: the plug is pulled after {wait} ms");
        tokio::time::sleep(Duration::from_millis(wait)).await;
        server.kill();
        stop.store(true, Ordering::Relaxed);
        flows.extend(clients.join_all().await.into_iter().flatten());
        server.launch().await;
    }
    assert!(flows.iter().any(|flow| flow.verified), "the load reaches the checks");
    audit_receipts(&server, &mut receiver, &flows).await;
    audit(&mut server, &flows).await;
}

/// Every acknowledged message's receipt was told at least once, and always the same.
async fn audit_receipts(server: &TestServer, receiver: &mut Receiver, flows: &[Flow]) {
    let mut awaited: BTreeSet<&str> =
        flows.iter().filter_map(|flow| flow.message.as_deref()).collect();
    assert!(!awaited.is_empty(), "the load reaches the messages");
    server.advance(60).await;
    let mut told: BTreeMap<String, BTreeSet<[String; 3]>> = BTreeMap::new();
    let mut requests = 0;
    // Whatever is told again comes within a tick of the worker.
    while let Ok(receipt) = tokio::time::timeout(RECEIPTS_QUIET, receiver.next()).await {
        requests += 1;
        let id = receipt.param("messageId");
        awaited.remove(id.as_str());
        let story = ["status", "err-code", "scts"].map(|name| receipt.param(name));
        told.entry(id).or_default().insert(story);
    }
    assert!(awaited.is_empty(), "their receipts were never told: {awaited:?}");
    for (id, stories) in &told {
        assert_eq!(stories.len(), 1, "message {id} is told differently: {stories:?}");
        assert!(stories.iter().all(|[status, ..]| status == "delivered"), "{id}: {stories:?}");
    }
    assert!(requests > told.len(), "some were told again");
}

async fn audit(server: &mut TestServer, flows: &[Flow]) {
    for flow in flows {
        // A code that had not gone out when the plug was pulled goes out now, and only once.
        let code = code_in(&server.nth_text(&flow.phone, 1).await);
        let body = json!({ "verifyId": flow.id, "code": code });
        let request = server.textmagic(Method::PUT, "/api/v2/verify").json(&body);
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        let text = answer.text().await.unwrap();
        if flow.verified {
            assert!(text.contains("already been verified"), "accepted twice: {flow:?} {text}");
        } else {
            let earlier = text.contains("already been verified");
            assert!(status == 204 || earlier, "lost: {flow:?} {status} {text}");
        }
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    for flow in flows {
        // The code, and the PIN that followed it. A PIN that was not acknowledged may have come.
        let inbox = server.inbox(&flow.phone).await;
        let texts: Vec<&str> = inbox["messages"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|m| m["text"].as_str())
            .collect();
        let pins = texts.iter().filter(|text| text.contains("7654321")).count();
        assert_eq!(texts.len() - pins, 1, "handset {} rang wrongly: {texts:?}", flow.phone);
        assert!(pins <= 1 && (pins == 1 || flow.message.is_none()), "{flow:?}: {texts:?}");
    }
    let user = server.textmagic(Method::GET, "/api/v2/user").send().await.unwrap();
    let user: Value = user.json().await.unwrap();
    let spent = 10_000_000.0 - user["balance"].as_f64().unwrap();

    server.stop();
    let database = rusqlite::Connection::open(server.dir().join("countersign.db")).unwrap();
    let count = |sql: &str| -> i64 { database.query_row(sql, [], |row| row.get(0)).unwrap() };
    assert_eq!(
        count("SELECT balance FROM account WHERE id = 1"),
        count("SELECT sum(amount) FROM ledger WHERE account = 1"),
        "the ledger sums to the balance"
    );
    // A start or send whose answer was cut off may have happened; what happened was paid for.
    let verified = count(
        "SELECT count(*) FROM verification
         WHERE json_extract(record, '$.state.ended.outcome') = 'verified'",
    );
    assert_eq!(verified, i64::try_from(flows.len()).unwrap(), "each was verified");
    let messages = count("SELECT count(*) FROM message");
    let expected = 0.05 * verified as f64 + 0.0333 * messages as f64;
    assert!((spent - expected).abs() < 0.001, "spent {spent}, expected {expected}");
    for id in flows.iter().filter_map(|flow| flow.message.as_ref()) {
        let id = u64::from_str_radix(id, 16).unwrap().cast_signed();
        let delivered = "SELECT count(*) FROM message WHERE id = ?1
            AND json_extract(record, '$.status.reported.status') = 'delivered'";
        let found: i64 = database.query_row(delivered, [id], |row| row.get(0)).unwrap();
        assert_eq!(found, 1, "message {id:X} is there with its receipt");
    }
    assert_eq!(
        count("SELECT count(*) FROM (SELECT 1 FROM ledger GROUP BY subject HAVING count(*) > 1)"),
        0,
        "nothing is charged twice"
    );
    let receipts = "SELECT count(*) FROM verification
        WHERE json_extract(record, '$.attempts[0].progress.reported.status') = 'delivered'";
    assert!(count(receipts) >= i64::try_from(flows.len()).unwrap(), "every receipt is there");
    assert_eq!(count("SELECT count(*) FROM outbox"), 0, "nothing waits any more");
    let kept = "SELECT count(*) FROM verification WHERE code IS NOT NULL AND wake_at IS NULL";
    assert_eq!(count(kept), 0, "no ended verification keeps its code");
}

struct FlowClient {
    client: Client,
    url: String,
    username: String,
    key: String,
    api_key: String,
    api_secret: String,
}

impl FlowClient {
    fn new(server: &TestServer) -> Self {
        Self {
            client: server.client.clone(),
            url: server.url.clone(),
            username: server.demo("username"),
            key: server.demo("key"),
            api_key: server.demo("api_key"),
            api_secret: server.demo("api_secret"),
        }
    }

    /// Starts and checks until the plug is pulled; returns what was acknowledged.
    async fn run(self, next: Arc<AtomicU64>, stop: Arc<AtomicBool>) -> Vec<Flow> {
        let mut flows = Vec::new();
        while !stop.load(Ordering::Relaxed) {
            let phone = (447_400_100_000 + next.fetch_add(1, Ordering::Relaxed)).to_string();
            let body = json!({ "phone": phone, "brand": "Acme", "codeLength": 6, "workflowId": 6 });
            let Some((200, started)) = self.send(Method::POST, &body).await else { continue };
            let started: Value = serde_json::from_str(&started).unwrap();
            let id = started["verifyId"].as_str().unwrap().to_owned();
            flows.push(Flow {
                phone: phone.clone(),
                id: id.clone(),
                verified: false,
                message: None,
            });
            let Some(code) = self.code(&phone).await else { continue };
            let body = json!({ "verifyId": id, "code": code });
            if let Some((204, _)) = self.send(Method::PUT, &body).await {
                flows.last_mut().unwrap().verified = true;
            }
            flows.last_mut().unwrap().message = self.message(&phone).await;
        }
        flows
    }

    async fn code(&self, phone: &str) -> Option<String> {
        let url = format!("{}/sandbox/v1/handsets/{phone}/inbox", self.url);
        for _ in 0..200 {
            let inbox: Value = self.client.get(&url).send().await.ok()?.json().await.ok()?;
            if let Some(text) = inbox["messages"][0]["text"].as_str() {
                return Some(code_in(text));
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        None
    }

    /// Sends a PIN the Vonage way; returns the message's id if it was acknowledged.
    async fn message(&self, phone: &str) -> Option<String> {
        let (key, secret) = (&*self.api_key, &*self.api_secret);
        let form = [("api_key", key), ("api_secret", secret), ("to", phone), ("pin", "7654321")];
        let request = self.client.post(format!("{}/sc/us/2fa/json", self.url)).form(&form);
        let answer: Value = request.send().await.ok()?.json().await.ok()?;
        assert_eq!(answer["messages"][0]["status"], "0", "{answer}");
        answer["messages"][0]["message-id"].as_str().map(str::to_owned)
    }

    async fn send(&self, method: Method, body: &Value) -> Option<(u16, String)> {
        let request = self
            .client
            .request(method, format!("{}/api/v2/verify", self.url))
            .basic_auth(&self.username, Some(&self.key))
            .json(body);
        let answer = request.send().await.ok()?;
        let status = answer.status().as_u16();
        Some((status, answer.text().await.ok()?))
    }
}

const ROUNDS: usize = 5;
const CLIENTS: usize = 8;

/// So many receipts are answered with a failure.
const RECEIPTS_FAILED: usize = 20;

/// So long without a receipt means that none is left to be told.
const RECEIPTS_QUIET: Duration = Duration::from_secs(3);
