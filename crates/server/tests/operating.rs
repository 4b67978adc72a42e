//! What an operator sees and does while the real binary runs: links, routes, figures, reloads.

#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed"
)]

mod support;

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use support::TestServer;

#[tokio::test]
async fn links_are_told_by_api_command_readiness_and_metrics() {
    let server = TestServer::start().await;
    let link = server.admin_get("/links/sandbox").await;
    assert_eq!((&link["standing"], &link["control"]), (&json!("up"), &json!("running")));
    assert_eq!(server.admin_get("/links").await["items"][0]["name"], "sandbox");
    let listed = server.cli(&["link", "list"]);
    assert!(listed.contains("STANDING") && listed.contains("sandbox"), "{listed}");
    let ready: Value = server.get("/readyz").send().await.unwrap().json().await.unwrap();
    let told = json!([{
        "name": "sandbox", "standing": "up", "control": "running", "last_error": null
    }]);
    assert_eq!((&ready["ready"], &ready["links"]), (&json!(true), &told));
    let metrics = server.get("/metrics").send().await.unwrap().text().await.unwrap();
    let gauge = r#"countersign_link_standing{link="sandbox",standing="up",control="running"} 1"#;
    assert!(metrics.contains(gauge), "{metrics}");
    let (status, _) = server.admin(Method::GET, "/links/nobody", Value::Null).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert!(server.cli_refused(&["link", "pause", "nobody"]).contains("no such link"));
}

#[tokio::test]
async fn a_message_waits_while_its_link_is_paused_even_over_a_restart() {
    let mut server = TestServer::start().await;
    let paused = server.cli(&["link", "pause", "sandbox"]);
    assert!(paused.contains("paused"), "{paused}");
    start(&server, "447700900101").await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(server.inbox("447700900101").await["messages"], json!([]));
    server.kill();
    server.launch().await;
    let link = server.admin_get("/links/sandbox").await;
    assert_eq!(link["control"], "paused");
    server.cli(&["link", "resume", "sandbox"]);
    server.nth_text("447700900101", 1).await;
    server.cli(&["link", "drain", "sandbox"]);
    assert_eq!(server.admin_get("/links/sandbox").await["control"], "draining");
    server.cli(&["link", "resume", "sandbox"]);
    start(&server, "447700900102").await;
    server.nth_text("447700900102", 1).await;
}

#[tokio::test]
async fn routes_are_set_listed_and_reset_and_their_decision_is_shown() {
    let server = TestServer::start().await;
    let empty = server.admin_get("/routes").await;
    assert_eq!(empty, json!({ "source": "config", "routes": [] }));
    let table = json!({ "routes": [
        { "name": "us", "countries": ["US", "CA"], "links": ["sandbox"] },
        { "name": "uk", "prefixes": ["44"], "senders": ["alphanumeric"], "links": ["sandbox:5"] },
    ] });
    let file = server.dir().join("routes.json");
    std::fs::write(&file, table.to_string()).unwrap();
    let shown = server.cli(&["route", "set", file.to_str().unwrap()]);
    assert!(shown.contains("uk") && shown.contains("sandbox:5"), "{shown}");
    assert_eq!(server.admin_get("/routes").await["source"], "admin");
    let id = start(&server, "447700900103").await;
    server.nth_text("447700900103", 1).await;
    let story = settled(&server, &id).await;
    assert_eq!(story["attempts"][0]["route"], "uk");
    assert_eq!(story["attempts"][0]["link"], "sandbox");
    let shown = server.cli(&["verify", "show", &id]);
    assert!(shown.contains("route=uk"), "{shown}");

    let bad = json!({ "routes": [{ "name": "x", "countries": ["uk"], "links": ["nowhere"] }] });
    let (status, problem) = server.admin(Method::PUT, "/routes", bad).await;
    assert_eq!((status, problem["errors"].as_array().unwrap().len()), (StatusCode::BAD_REQUEST, 2));
    server.cli(&["route", "reset"]);
    assert_eq!(server.admin_get("/routes").await["source"], "config");
}

#[tokio::test]
async fn figures_tell_what_became_of_attempts_and_survive_a_restart() {
    let mut server = TestServer::start().await;
    // What cannot be delivered goes through all three steps at once.
    for (phone, checks, steps) in
        [("447700900104", true, 1), ("447700900105", false, 1), ("447700900992", false, 3)]
    {
        let id = start(&server, phone).await;
        settled_steps(&server, &id, steps).await;
        if checks {
            let code = support::code_in(&server.nth_text(phone, 1).await);
            let path = format!("/verifications/{id}/check");
            server.admin_post(&path, json!({ "code": code })).await;
        }
    }
    server.stop();
    server.launch().await;
    let stats = server.admin_get("/stats?by=country&period=minute").await;
    let sms = stats["items"].as_array().unwrap().iter().find(|item| item["channel"] == "sms");
    let sms = sms.unwrap();
    assert_eq!((&sms["name"], &sms["receipts"]), (&json!("GB"), &json!("handset")));
    for (figure, count) in
        [("attempts", 3), ("accepted", 3), ("delivered", 2), ("failed", 1), ("converted", 1)]
    {
        assert_eq!(sms[figure], count, "{figure}: {sms}");
    }
    assert_eq!(sms["delivery_rate"], 0.6667);
    assert!(sms["median_wait_s"].as_f64().unwrap() >= 0.0);
    assert_eq!(attempts(&stats), 5, "two of them calls: {stats}");
    let shown = server.cli(&["stats", "--by", "link", "--period", "day"]);
    assert!(shown.contains("sandbox") && shown.contains("66.7 %"), "{shown}");
    let each = server.admin_get("/stats?each=true&since=600").await;
    assert!(each["items"][0]["at"].as_str().unwrap().ends_with(":00:00.000Z"), "{each}");
    assert_eq!(server.admin_get("/links/sandbox").await["today"].as_u64(), Some(attempts(&stats)));
    let together = server.admin_get("/stats?by=route,country,network&period=minute").await;
    assert_eq!(together["by"], "route,country,network");
    assert!(together["items"][0]["name"].as_str().unwrap().contains("/GB/"), "{together}");
    for wrong in [
        "/stats?by=moon",
        "/stats?by=link,link",
        "/stats?period=year",
        "/stats?since=tomorrow",
        "/stats?x=1",
    ] {
        let (status, _) = server.admin(Method::GET, wrong, Value::Null).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{wrong}");
    }
}

#[tokio::test]
async fn american_receipts_are_not_read_as_handset_delivery() {
    let mut server = TestServer::start().await;
    let id = start(&server, "12015550150").await;
    settled(&server, &id).await;
    server.stop();
    server.launch().await;
    let stats = server.admin_get("/stats?by=country&period=hour").await;
    assert_eq!(stats["items"][0]["name"], "US");
    assert_eq!(stats["items"][0]["receipts"], "carrier");
}

#[tokio::test]
async fn a_reload_by_signal_or_command_takes_routes_and_names_what_must_wait() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("countersign.toml");
    std::fs::write(&file, "").unwrap();
    let server = TestServer::start_with(&["--config", file.to_str().unwrap()]).await;
    std::fs::write(&file, "[route.all]\nlinks = ['sandbox']\n[engine]\nchecks_max = 5").unwrap();
    let done = server.cli(&["reload"]);
    assert!(done.contains("needs_restart") && done.contains("engine"), "{done}");
    assert_eq!(server.admin_get("/routes").await["routes"][0]["name"], "all");

    std::fs::write(&file, "[route.all]\nlinks = ['nowhere']\nchannel = 'fax'").unwrap();
    let refused = server.cli_refused(&["reload"]);
    assert!(refused.contains("nowhere") && refused.contains("fax"), "{refused}");
    assert_eq!(server.admin_get("/routes").await["routes"][0]["name"], "all");

    std::fs::write(&file, "[route.other]\nlinks = ['sandbox']").unwrap();
    server.hang_up();
    for _ in 0..500 {
        if server.admin_get("/routes").await["routes"][0]["name"] == "other" {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the signal had no effect: {}", server.log());
}

#[tokio::test]
async fn a_link_that_is_down_is_told_of_passed_over_and_can_be_taken_out() {
    let dir = tempfile::tempdir().unwrap();
    let (file, password) = (dir.path().join("countersign.toml"), dir.path().join("password"));
    std::fs::write(&password, "secret").unwrap();
    std::fs::set_permissions(&password, Permissions::from_mode(0o600)).unwrap();
    let dead = format!(
        "[link.dead]\nkind = 'smpp'\nhosts = ['127.0.0.1:1']\nsystem_id = 'us'\n\
         password_file = '{}'\n[route.all]\nlinks = ['dead', 'sandbox']",
        password.display()
    );
    std::fs::write(&file, dead).unwrap();
    let server = TestServer::start_with(&["--config", file.to_str().unwrap()]).await;
    let id = start(&server, "447700900106").await;
    server.nth_text("447700900106", 1).await;
    let story = settled(&server, &id).await;
    let attempt = &story["attempts"][0];
    assert_eq!((&attempt["link"], &attempt["route"]), (&json!("sandbox"), &json!("all")));
    assert_eq!(attempt["passed_over"][0]["link"], "dead");
    let link = server.admin_get("/links/dead").await;
    assert!(["down", "connecting"].contains(&link["standing"].as_str().unwrap()), "{link}");
    let ready = server.get("/readyz").send().await.unwrap();
    assert_eq!(ready.status(), StatusCode::OK, "the server itself can take work");
    assert!(ready.text().await.unwrap().contains("\"dead\""));
    std::fs::write(&file, "").unwrap();
    let done = server.admin_post("/reload", Value::Null).await;
    assert_eq!(done["removed"], json!(["dead"]));
    assert_eq!(server.admin_get("/links").await["items"].as_array().unwrap().len(), 1);
}

async fn start(server: &TestServer, phone: &str) -> String {
    let body = json!({ "account": 1, "phone": format!("+{phone}"), "brand": "Acme" });
    let started = server.admin_post("/verifications", body).await;
    started["id"].as_str().unwrap().to_owned()
}

/// Waits until the first attempt of a verification has been reported.
async fn settled(server: &TestServer, id: &str) -> Value {
    settled_steps(server, id, 1).await
}

/// Waits until so many attempts of a verification have been reported.
async fn settled_steps(server: &TestServer, id: &str, steps: usize) -> Value {
    let waits =
        |attempt: &Value| ["queued", "submitted"].contains(&attempt["progress"].as_str().unwrap());
    for _ in 0..1000 {
        let story = server.admin_get(&format!("/verifications/{id}")).await;
        let attempts = story["attempts"].as_array().unwrap();
        if attempts.len() >= steps && !attempts.iter().take(steps).any(waits) {
            return story;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("not every receipt came: {}", server.log());
}

fn attempts(stats: &Value) -> u64 {
    stats["items"].as_array().unwrap().iter().map(|item| item["attempts"].as_u64().unwrap()).sum()
}

impl TestServer {
    fn hang_up(&self) {
        let pid = self.pid().to_string();
        assert!(Command::new("kill").args(["-HUP", &pid]).status().unwrap().success());
    }
}
