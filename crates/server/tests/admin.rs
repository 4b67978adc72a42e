//! The operator's door and the command line, over the real binary.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test ends at the first surprise"
)]

mod support;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use support::{TestServer, code_in};

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../openapi.json");

/// Sets up an account with a key, a name, a price and 25 of balance.
struct Shop {
    server: TestServer,
    username: String,
    key: String,
}

impl Shop {
    async fn open() -> Self {
        let server = TestServer::start_empty().await;
        let account = json!({ "name": "Shop", "balance": "25.00" });
        assert_eq!(server.admin_post("/accounts", account).await["id"], 1);
        let key = server.admin_post("/accounts/1/keys", json!({ "kind": "textmagic" })).await;
        let (username, key) = (text(&key["name"]), text(&key["secret"]));
        server.admin_post("/accounts/1/numbers", json!({ "value": "MyShop" })).await;
        let campaign = json!({ "name": "Codes", "help_text": "Codes of Shop" });
        let short_code = json!({ "value": "12345", "campaign": campaign });
        assert_eq!(server.admin_post("/accounts/1/numbers", short_code).await["id"], 2);
        Self { server, username, key }
    }

    /// Starts a verification as a client of the Textmagic API does.
    async fn verify(&self, phone: &str) -> (StatusCode, Value) {
        let body = json!({ "phone": phone, "brand": "Shop", "codeLength": 4, "workflowId": 6 });
        self.textmagic(Method::POST, body).await
    }

    /// Checks a code as a client of the Textmagic API does.
    async fn check(&self, id: &Value, code: &str) -> StatusCode {
        self.textmagic(Method::PUT, json!({ "verifyId": id, "code": code })).await.0
    }

    async fn textmagic(&self, method: Method, body: Value) -> (StatusCode, Value) {
        let request = self.server.request(method, "/api/v2/verify").json(&body);
        let request = request.header("x-tm-username", &self.username).header("x-tm-key", &self.key);
        let response = request.send().await.unwrap();
        let status = response.status();
        (status, serde_json::from_str(&response.text().await.unwrap()).unwrap_or_default())
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

/// The fields that an answer finds fault with.
fn fields_at_fault(answer: &Value) -> Vec<String> {
    let errors = answer["errors"].as_array().into_iter().flatten();
    errors.map(|error| text(&error["field"])).collect()
}

fn document() -> Value {
    serde_json::from_str(&countersign::http::admin::openapi()).unwrap()
}

#[tokio::test]
async fn no_operation_can_be_had_without_the_token() {
    let server = TestServer::start_empty().await;
    for (path, operations) in document()["paths"].as_object().unwrap() {
        for method in operations.as_object().unwrap().keys() {
            let method: Method = method.to_uppercase().parse().unwrap();
            let response = server.request(method.clone(), path).send().await.unwrap();
            assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{method} {path}");
            assert_eq!(response.headers()["content-type"], "application/problem+json");
        }
    }
    let wrong = server.request(Method::GET, "/admin/v1/accounts").bearer_auth("guessed");
    assert_eq!(wrong.send().await.unwrap().status(), StatusCode::UNAUTHORIZED);
    assert_eq!(server.admin_get("/accounts").await, json!({ "items": [] }));
}

#[tokio::test]
async fn whoever_guesses_tokens_must_wait() {
    let server = TestServer::start_empty().await;
    let guess = || server.request(Method::GET, "/admin/v1/accounts").bearer_auth("guessed").send();
    for _ in 0..60 {
        assert_eq!(guess().await.unwrap().status(), StatusCode::UNAUTHORIZED);
    }
    let response = guess().await.unwrap();
    assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
    assert!(response.headers().contains_key("retry-after"));
    // Whoever has the token is not kept out by whoever has not.
    assert_eq!(server.admin_get("/accounts").await, json!({ "items": [] }));
}

#[tokio::test]
async fn an_account_that_was_just_set_up_verifies_and_pays() {
    let shop = Shop::open().await;
    let server = &shop.server;
    let template = json!({ "locale": "en-gb", "text": "Shop says ${pin}" });
    assert_eq!(server.admin_post("/accounts/1/templates", template).await["segments"], 1);
    let price = json!({ "account": 1, "item": "verification", "prefix": "+44", "amount": "0.05" });
    let (status, price) = server.admin(Method::PUT, "/prices", price).await;
    assert_eq!((status, &price["prefix"]), (StatusCode::OK, &json!("44")));
    let credit = json!({ "amount": "5", "key": "invoice-1" });
    assert_eq!(
        server.admin_post("/accounts/1/credits", credit.clone()).await["balance"],
        "30.00000000"
    );
    assert_eq!(server.admin_post("/accounts/1/credits", credit).await["balance"], "30.00000000");

    let (status, started) = shop.verify("+447700900123").await;
    assert_eq!(status, StatusCode::OK, "{started}");
    let text_message = server.nth_text("447700900123", 1).await;
    let code = code_in(&text_message);
    assert_eq!(text_message, format!("Shop says {code}"));
    let wrong = if code == "0000" { "1111" } else { "0000" };
    assert_eq!(shop.check(&started["verifyId"], wrong).await, StatusCode::BAD_REQUEST);
    assert_eq!(shop.check(&started["verifyId"], &code).await, StatusCode::NO_CONTENT);

    let balance = server.admin_get("/accounts/1/balance").await;
    let expected = json!({ "balance": "29.95000000", "ledger": "29.95000000", "currency": "EUR" });
    assert_eq!(balance, expected);
    let story = server.admin_get(&format!("/verifications/{}", text(&started["verifyId"]))).await;
    assert_eq!((&story["state"], &story["originator"]), (&json!("verified"), &json!("MyShop")));
    assert_eq!(story["phone"], "+44••••••••23");
    assert_eq!(story["attempts"][0]["link"], "sandbox");
    let right: Vec<&Value> =
        story["checks"].as_array().unwrap().iter().map(|check| &check["right"]).collect();
    assert_eq!(right, [false, true]);
    assert!(!story.to_string().contains(&code), "the story tells the code");
    let listed = server.admin_get("/verifications?account=1").await;
    assert_eq!((&listed["items"], &listed["next"]), (&json!([story]), &Value::Null));
    let log = server.log();
    assert!(log.contains("account created"), "{log}");
    for secret in ["7700900123", &code, &shop.key, &server.token()] {
        assert!(!log.contains(secret), "the log tells a secret");
    }
}

#[tokio::test]
async fn one_verification_may_have_its_own_timing_within_bounds() {
    let server = TestServer::start().await;
    let start = |timing: Value| {
        let mut body = json!({ "account": 1, "phone": "447700900131", "brand": "Acme" });
        for (name, value) in timing.as_object().unwrap() {
            body[name] = value.clone();
        }
        server.admin(Method::POST, "/verifications", body)
    };
    for (field, value) in [("step_wait_s", 14), ("step_wait_s", 901), ("lifetime_s", 59)] {
        let (status, problem) = start(json!({ field: value })).await;
        assert_eq!(status, 400, "{field} {value}: {problem}");
        assert!(problem.to_string().contains(field), "{problem}");
    }
    let (status, _) = start(json!({ "step_wait_s": 15, "lifetime_s": 60 })).await;
    assert_eq!(status, 201);
    server.advance(45).await;
    let calls = server.inbox("447700900131").await["calls"].as_array().unwrap().len();
    assert_eq!(calls, 2, "after 15 and 30 seconds");
    server.advance(20).await;
    assert_eq!(start(json!({})).await.0, 201, "the first is over after a minute");
}

#[tokio::test]
async fn a_list_of_verifications_goes_on_where_it_ended() {
    let shop = Shop::open().await;
    for last in 1..=3 {
        let phone = format!("+44770090012{last}");
        let new = json!({ "account": 1, "phone": phone, "brand": "Shop", "workflow": 6 });
        shop.server.admin_post("/verifications", new).await;
    }
    let first = shop.server.admin_get("/verifications?account=1&limit=2").await;
    let rest = format!("/verifications?account=1&limit=2&before={}", text(&first["next"]));
    let rest = shop.server.admin_get(&rest).await;
    assert_eq!(rest["next"], Value::Null);
    let pages = [&first, &rest].map(|page| page["items"].as_array().unwrap().clone()).concat();
    let phones: Vec<String> = pages.iter().map(|story| text(&story["phone"])).collect();
    assert_eq!(phones, ["+44••••••••23", "+44••••••••22", "+44••••••••21"]);
}

#[tokio::test]
async fn secrets_are_shown_once() {
    let server = TestServer::start_empty().await;
    let hook = json!({ "webhook_url": "http://127.0.0.1:9/outcomes" });
    let account = server.admin_post("/accounts", json!({ "name": "Shop", "settings": hook })).await;
    let own = json!({
        "kind": "vonage", "name": "a1b2c3d4", "secret": "0123456789abcdef",
        "signature_secret": "the-vendors-own-signature", "signature_method": "sha256",
    });
    let vonage = server.admin_post("/accounts/1/keys", own.clone()).await;
    assert_eq!(vonage["secret"], own["secret"]);
    let textmagic = server.admin_post("/accounts/1/keys", json!({ "kind": "textmagic" })).await;
    let secrets = [
        &account["webhook_secret"],
        &vonage["secret"],
        &vonage["signature_secret"],
        &textmagic["secret"],
    ]
    .map(text);
    assert!(secrets[0].starts_with("whsec_"), "the account got no webhook secret");

    let (_, changed) = server.admin(Method::PATCH, "/accounts/1", hook).await;
    let mut answers = changed.to_string();
    for path in ["/accounts", "/accounts/1", "/accounts/1/keys", "/status"] {
        answers += &server.admin_get(path).await.to_string();
    }
    assert!(answers.contains("a1b2c3d4"));
    for secret in secrets {
        assert!(!answers.contains(&secret), "an answer repeats a secret");
    }
    let kinds: Vec<Value> = server.admin_get("/accounts/1/keys").await["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|key| json!([key["kind"], key["signature_method"]]))
        .collect();
    let expected =
        [json!(["webhook", null]), json!(["vonage", "sha256"]), json!(["textmagic", null])];
    assert_eq!(kinds, expected);
}

#[tokio::test]
async fn outcome_webhooks_never_lose_their_last_secret() {
    let server = TestServer::start_empty().await;
    server.admin_post("/accounts", json!({ "name": "Shop" })).await;
    let hook = json!({ "webhook_url": "http://127.0.0.1:9/" });
    let (_, first) = server.admin(Method::PATCH, "/accounts/1", hook.clone()).await;
    assert!(first["webhook_secret"].is_string());
    let (_, again) = server.admin(Method::PATCH, "/accounts/1", hook).await;
    assert_eq!(again.get("webhook_secret"), None);
    let drop_first = || server.admin(Method::DELETE, "/accounts/1/keys/1", Value::Null);
    assert_eq!(drop_first().await.0, StatusCode::CONFLICT);
    let own = json!({ "kind": "webhook", "secret": first["webhook_secret"] });
    let second = server.admin_post("/accounts/1/keys", own).await;
    assert_eq!(second["secret"], first["webhook_secret"]);
    assert_eq!(drop_first().await.0, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn a_key_is_replaced_without_a_pause_and_nobody_else_can_take_its_name() {
    let shop = Shop::open().await;
    let server = &shop.server;
    server.admin_post("/accounts", json!({ "name": "Other" })).await;
    let same_name = json!({ "kind": "textmagic", "name": shop.username });
    let (status, taken) = server.admin(Method::POST, "/accounts/2/keys", same_name.clone()).await;
    assert_eq!(status, StatusCode::CONFLICT, "{taken}");
    let second = server.admin_post("/accounts/1/keys", same_name).await;

    let opens = |key: String| {
        let request = server.request(Method::GET, "/api/v2/ping");
        let request = request.header("x-tm-username", &shop.username).header("x-tm-key", key);
        async move { request.send().await.unwrap().status() }
    };
    assert_eq!(opens(shop.key.clone()).await, StatusCode::OK);
    assert_eq!(opens(text(&second["secret"])).await, StatusCode::OK);
    let (status, _) = server.admin(Method::DELETE, "/accounts/2/keys/1", Value::Null).await;
    assert_eq!(status, StatusCode::NOT_FOUND, "another account's key was deleted");
    let (status, _) = server.admin(Method::DELETE, "/accounts/1/keys/1", Value::Null).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    assert_eq!(opens(shop.key.clone()).await, StatusCode::UNAUTHORIZED);
    assert_eq!(opens(text(&second["secret"])).await, StatusCode::OK);
}

#[tokio::test]
async fn a_wrong_setting_is_refused_by_its_name_and_changes_nothing() {
    let shop = Shop::open().await;
    let before = shop.server.admin_get("/accounts/1").await;
    let wrong = [
        json!({ "account_per_s": 100_001 }),
        json!({ "number_starts_max": 0 }),
        json!({ "prefix_starts_max": 1_000_001 }),
        json!({ "step_wait_s": 14 }),
        json!({ "lifetime_s": 3601 }),
        json!({ "lifetime_s": "long" }),
        json!({ "cancel_after_s": 300 }),
        json!({ "checks_max": 11 }),
        json!({ "checks_max": -1 }),
        json!({ "suspended": "yes" }),
        json!({ "countries_allow": ["DE", "XX"] }),
        json!({ "countries_deny": "DE" }),
        json!({ "dlr_url": "ftp://example.com/" }),
        json!({ "dlr_url": "https://user:word@example.com/" }),
        json!({ "dlr_method": "put" }),
        json!({ "dlr_signed": 1 }),
        json!({ "webhook_url": "example.com" }),
        json!({ "webotp_host": "https://example.com" }),
        json!({ "android_hash": "short" }),
        json!({ "colour": "red" }),
    ];
    for patch in wrong {
        let (status, answer) = shop.server.admin(Method::PATCH, "/accounts/1", patch.clone()).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{patch}");
        let named: Vec<&String> = patch.as_object().unwrap().keys().collect();
        assert_eq!(fields_at_fault(&answer), named.into_iter().cloned().collect::<Vec<_>>());
    }
    let both = json!({ "webotp_host": "example.com", "android_hash": "FA+9qCX9VSu" });
    let (status, _) = shop.server.admin(Method::PATCH, "/accounts/1", both).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert_eq!(shop.server.admin_get("/accounts/1").await, before);
}

#[tokio::test]
async fn a_repeat_gets_its_first_answer_though_the_account_is_suspended_since() {
    let shop = Shop::open().await;
    let verify = async |key: &str| {
        let body = json!({ "phone": "447700900123", "brand": "Shop", "codeLength": 4 });
        let request = shop.server.post("/api/v2/verify").json(&body);
        let request = request.header("x-tm-username", &shop.username).header("x-tm-key", &shop.key);
        let response = request.header("Idempotency-Key", key).send().await.unwrap();
        (response.status(), response.text().await.unwrap())
    };
    let first = verify("first").await;
    assert_eq!(first.0, StatusCode::OK, "{}", first.1);
    let suspended = json!({ "suspended": true });
    shop.server.admin(Method::PATCH, "/accounts/1", suspended).await;
    assert_eq!(verify("second").await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(verify("first").await, first);
}

#[tokio::test]
async fn no_credit_takes_the_ledger_beyond_what_it_can_sum_up() {
    let shop = Shop::open().await;
    let credit = async |amount: &str, key: String| {
        let body = json!({ "amount": amount, "key": key });
        let (status, answer) = shop.server.admin(Method::POST, "/accounts/1/credits", body).await;
        assert!(status == StatusCode::OK || fields_at_fault(&answer) == ["amount"], "{answer}");
        status == StatusCode::OK
    };
    for amount in ["1000000000.00000001", "-1000000000.00000001", "92233720368.54775807"] {
        assert!(!credit(amount, "too-much".to_owned()).await, "{amount}");
    }
    for n in 0..12 {
        // Ten thousand million are the limit, and the account began with some.
        assert_eq!(credit("1000000000", format!("credit-{n}")).await, n < 9, "credit {n}");
    }
    let after = shop.server.admin_get("/accounts/1/balance").await;
    assert_eq!(after["balance"], after["ledger"]);
}

#[tokio::test]
async fn null_takes_a_setting_back_to_its_default() {
    let shop = Shop::open().await;
    let before = shop.server.admin_get("/accounts/1").await;
    let set = json!({
        "dlr_url": "http://127.0.0.1:9/", "dlr_method": "post-json", "dlr_signed": true,
        "checks_max": 10, "countries_allow": ["gb"],
    });
    let (status, changed) = shop.server.admin(Method::PATCH, "/accounts/1", set.clone()).await;
    assert_eq!(status, StatusCode::OK, "{changed}");
    assert_eq!(changed["settings"]["dlr_method"], "post-json");
    assert_eq!(changed["settings"]["countries_allow"], json!(["GB"]));
    let nulls = set.as_object().unwrap().keys().map(|key| (key.clone(), Value::Null)).collect();
    shop.server.admin(Method::PATCH, "/accounts/1", Value::Object(nulls)).await;
    assert_eq!(shop.server.admin_get("/accounts/1").await, before);
}

#[tokio::test]
async fn a_text_that_no_phone_would_understand_is_not_saved() {
    let server = TestServer::start_empty().await;
    let settings = json!({ "android_hash": "FA+9qCX9VSu" });
    server.admin_post("/accounts", json!({ "name": "Shop", "settings": settings })).await;
    let long = format!("${{pin}} {}", "a".repeat(130));
    let wrong = [
        json!({ "index": 0, "text": "no code" }),
        json!({ "index": 0, "text": "${pin} ${" }),
        json!({ "locale": "en-gb", "text": "${pin} for ${name}" }),
        json!({ "locale": "en-gb", "text": long }),
        json!({ "index": 0, "text": format!("${{pin}} {}", "я".repeat(700)) }),
    ];
    for template in wrong {
        let (status, answer) =
            server.admin(Method::POST, "/accounts/1/templates", template.clone()).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{template}");
        assert_eq!(fields_at_fault(&answer), ["text"], "{template}");
    }
    // The hash is appended to verifications only, so a 2FA message may be longer.
    server.admin_post("/accounts/1/templates", json!({ "index": 0, "text": long })).await;
    // The same index again takes its place.
    server.admin_post("/accounts/1/templates", json!({ "index": 0, "text": "PIN: ${pin}" })).await;
    let saved = server.admin_get("/accounts/1/templates").await;
    assert_eq!(saved["items"][0]["text"], "PIN: ${pin}");
    assert_eq!(saved["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn the_command_line_tells_the_same_story() {
    let server = TestServer::start_empty().await;
    server.cli(&["account", "create", "Shop", "--balance", "25", "checks_max=5"]);
    let set = ["account", "set", "1", "dlr_url=http://127.0.0.1:9/", "dlr_method=post"];
    assert!(server.cli(&set).contains("http://127.0.0.1:9/"));
    let complaint = server.cli_refused(&["account", "set", "1", "checks_max=99"]);
    assert_eq!(complaint, "countersign: checks_max: is 99; must be 1 to 10 checks\n");

    std::fs::write(server.dir().join("secret"), "the-vendors-own-key\n").unwrap();
    let key =
        ["--account", "1", "--kind", "textmagic", "--name", "shop", "--secret-file", "secret"];
    assert!(
        server.cli(&[&["key", "create"], key.as_slice()].concat()).contains("the-vendors-own-key")
    );
    assert!(!server.cli(&["key", "list", "--account", "1"]).contains("the-vendors-own-key"));
    server.cli(&["number", "add", "--account", "1", "MyShop"]);
    let campaign = ["--campaign", "Codes", "--help-text", "Codes of Shop", "--country", "us"];
    server.cli(&[&["number", "add", "--account", "1", "12345"], campaign.as_slice()].concat());
    server.cli(&["template", "add", "--account", "1", "Your PIN is ${pin}", "--index", "0"]);
    server.cli(&["price", "set", "verification", "0.05", "--account", "1"]);
    server.cli(&["balance", "credit", "--account", "1", "-5"]);

    let start =
        ["verify", "start", "--account", "1", "+447700900123", "Shop", "--workflow", "6", "--json"];
    let started: Value = serde_json::from_str(&server.cli(&start)).unwrap();
    let id = text(&started["id"]);
    let code = code_in(&server.nth_text("447700900123", 1).await);
    let wrong = if code == "0000" { "1111" } else { "0000" };
    let complaint = server.cli_refused(&["verify", "check", &id, wrong]);
    assert_eq!(complaint, "countersign: The code is wrong; checks left: 4.\n");
    assert_eq!(server.cli(&["verify", "check", &id, &code]), "The code is right.\n");
    assert!(server.cli(&["verify", "show", &id]).contains("verified"));
    assert!(server.cli_refused(&["verify", "cancel", &id]).contains("has ended: verified"));
    assert!(server.cli(&["verify", "list", "--account", "1"]).contains(&id));

    let send =
        ["send", "--account", "1", "+12015550123", "--pin", "4815", "--template", "0", "--json"];
    let sent: Value = serde_json::from_str(&server.cli(&send)).unwrap();
    assert_eq!(code_in(&server.nth_text("12015550123", 1).await), "4815");
    let shown = server.cli(&["message", "show", &text(&sent["id"])]);
    assert!(shown.contains("12345") && !shown.contains("4815"), "{shown}");
    insta::assert_snapshot!(server.cli(&["balance", "show", "--account", "1"]), @r"
    balance   19.95000000
    currency  EUR
    ledger    19.95000000
    ");
    insta::assert_snapshot!(server.cli(&["number", "list", "--account", "1"]), @r"
    ID  VALUE   COUNTRIES  FALLBACK  CAMPAIGN.NAME
    1   MyShop  -          no        -
    2   12345   US         no        Codes
    ");
    assert!(server.cli(&["status"]).contains("uptime_s"));
    assert!(server.cli(&["webhook", "dead"]).starts_with("ID"));
    assert!(server.cli_refused(&["webhook", "replay", "7"]).contains("no such webhook"));
}

#[tokio::test]
async fn a_command_without_a_server_tells_how_to_start_one() {
    let server = TestServer::start_empty().await;
    let nowhere =
        ["account", "list", "--server", "http://127.0.0.1:1", "--token-file", "admin.token"];
    let complaint = server.cli_refused(&nowhere);
    assert!(complaint.contains("countersign serve --data"), "{complaint}");
    std::fs::remove_file(server.dir().join("admin.json")).unwrap();
    let complaint = server.cli_refused(&["account", "list"]);
    assert!(complaint.contains("admin.json is not there"), "{complaint}");
    assert!(complaint.contains("countersign serve --data"), "{complaint}");
}

#[tokio::test]
async fn an_erased_number_is_nowhere_and_stays_barred() {
    let shop = Shop::open().await;
    let server = &shop.server;
    let (_, started) = shop.verify("+447700900123").await;
    let id = text(&started["verifyId"]);
    server.nth_text("447700900123", 1).await;
    let reason = json!({ "reason": "asked by its owner" });
    let (status, _) = server.admin(Method::PUT, "/barred/+447700900123", reason).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(server.admin_get("/barred").await["items"][0]["number"], "+44••••••••23");

    let erased = server.admin_post("/erase", json!({ "number": "+44 7700 900123" })).await;
    assert_eq!(erased, json!({ "rows": 2 }));
    assert_eq!(server.inbox("447700900123").await["messages"], json!([]));
    assert_eq!(server.admin_get("/barred").await["items"][0]["number"], Value::Null);
    assert_eq!(server.admin_get(&format!("/verifications/{id}")).await["phone"], Value::Null);
    assert_eq!(server.admin_get("/barred/447700900123").await["reason"], "asked by its owner");
    let (status, refused) = shop.verify("+447700900123").await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{refused}");
    let (status, _) = server.admin(Method::DELETE, "/barred/447700900123", Value::Null).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    assert_eq!(server.admin_get("/barred").await["items"], json!([]));
}

#[tokio::test]
async fn whoever_opted_out_gets_no_message_until_they_opt_in() {
    let shop = Shop::open().await;
    let message =
        json!({ "account": 1, "to": "+12015550123", "text": "PIN ${pin}", "pin": "4815" });
    shop.server.admin_post("/messages", message.clone()).await;
    let path = "/opt-outs/2/+12015550123";
    let (status, _) = shop.server.admin(Method::PUT, "/opt-outs/1/12015550123", Value::Null).await;
    assert_eq!(status, StatusCode::NOT_FOUND, "a name has no campaign");
    let (status, out) = shop.server.admin(Method::PUT, path, Value::Null).await;
    assert_eq!((status, &out["number"]), (StatusCode::OK, &json!("+1••••••••23")));
    let (status, refused) = shop.server.admin(Method::POST, "/messages", message.clone()).await;
    assert_eq!((status.as_u16(), &refused["code"]), (422, &json!("opted_out")));
    shop.server.admin(Method::DELETE, path, Value::Null).await;
    let back = shop.server.admin_get(path).await;
    assert_eq!((&back["opted_out_at"], back["opted_in_at"].is_string()), (&Value::Null, true));
    shop.server.admin_post("/messages", message).await;
}

#[tokio::test]
async fn a_repeated_message_is_sent_and_paid_once() {
    let shop = Shop::open().await;
    let price = json!({ "item": "sms", "amount": "1" });
    shop.server.admin(Method::PUT, "/prices", price).await;
    let send = |pin: &str| {
        let body = json!({ "account": 1, "to": "+12015550123", "text": "${pin}", "pin": pin });
        let request = shop.server.post("/admin/v1/messages").bearer_auth(shop.server.token());
        let request = request.header("idempotency-key", "order-7").json(&body);
        async move {
            let answer = request.send().await.unwrap();
            (answer.status().as_u16(), answer.json::<Value>().await.unwrap())
        }
    };
    let first = send("4815").await;
    assert_eq!(first.1["balance"], "24.00000000");
    assert_eq!(send("4815").await, first);
    assert_eq!(send("4816").await.1["code"], "idempotency_mismatch");
    assert_eq!(shop.server.admin_get("/accounts/1/balance").await["balance"], "24.00000000");
}

#[tokio::test]
async fn what_is_stored_out_of_range_does_not_stand_in_the_way_of_a_change() {
    // The demo account's rates are more than anybody may set.
    let server = TestServer::start().await;
    let path = format!("/accounts/{}", server.demo("account_id"));
    let patch =
        json!({ "dlr_url": "http://127.0.0.1:9/", "dlr_method": "get", "dlr_signed": false });
    let (status, changed) = server.admin(Method::PATCH, &path, patch).await;
    assert_eq!(
        (status, &changed["settings"]["dlr_url"]),
        (StatusCode::OK, &json!("http://127.0.0.1:9/"))
    );
}

#[tokio::test]
async fn a_rotated_seal_key_opens_all_that_the_old_one_sealed() {
    let shop = Shop::open().await;
    let signing = shop.server.admin_post("/accounts/1/keys", json!({ "kind": "vonage" })).await;
    let (_, started) = shop.verify("+447700900123").await;
    let code = code_in(&shop.server.nth_text("447700900123", 1).await);
    let Shop { mut server, username, key } = shop;
    let told = server.cli(&["seal-key", "rotate"]);
    assert!(told.contains("Restart the server"), "{told}");

    server.kill();
    server.launch().await;
    let mut shop = Shop { server, username, key };
    assert_eq!(shop.check(&started["verifyId"], &code).await, StatusCode::NO_CONTENT);
    assert_eq!(code_in(&shop.server.nth_text("447700900123", 1).await), code);
    let keys = shop.server.admin_get("/accounts/1/keys").await;
    assert_eq!(keys["items"][1]["name"], signing["name"]);

    // A second start opens what the first one sealed anew.
    shop.server.kill();
    shop.server.launch().await;
    assert_eq!(shop.verify("+447700900124").await.0, StatusCode::OK);
}

/// `UPDATE=1 cargo test -p countersign --test admin` writes the document anew.
#[test]
fn the_committed_document_is_what_the_code_says() {
    let current = countersign::http::admin::openapi();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(DOCUMENT, &current).unwrap();
    }
    let committed = std::fs::read_to_string(DOCUMENT).unwrap();
    assert!(committed == current, "openapi.json is out of date: run this test with UPDATE=1");
}

#[test]
fn every_operation_is_described_and_can_be_refused() {
    let document = document();
    assert_eq!(document["openapi"], "3.1.0");
    let described = |value: &Value| value["description"].as_str().is_some_and(|d| !d.is_empty());
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            assert!(described(operation), "{method} {path}");
            for parameter in operation["parameters"].as_array().into_iter().flatten() {
                assert!(described(parameter), "{method} {path}: {parameter}");
            }
            let responses = operation["responses"].as_object().unwrap();
            assert!(responses.contains_key("default"), "{method} {path}");
            assert!(responses.values().all(described), "{method} {path}");
        }
    }
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        assert!(described(schema), "{name}");
        let fields = schema["properties"].as_object().into_iter().flatten();
        for (field, schema) in fields.filter(|(_, schema)| schema.get("$ref").is_none()) {
            let told = described(schema) || schema.get("oneOf").is_some();
            assert!(told, "{name}.{field}");
        }
    }
}
