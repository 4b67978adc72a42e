//! A server in this process, with a sandbox and a demo account, whose parts the tests can reach.

use std::sync::Arc;
use std::time::Duration;

use countersign::config::Config;
use countersign::directory::{DirectoryError, signature_context};
use countersign::driver::{MessageRequest, VerificationRequest};
use countersign::http::App;
use countersign::server::Server;
use countersign::store::{
    AccountRecord, AccountSettings, ConfigChange, DeadWebhook, KeyKind, KeyRecord, Notify,
};
use countersign::telemetry::Metrics;
use countersign::webhooks::standard::WebhookSecret;
use engine::{
    AccountId, Amount, AttemptId, ErrorCode, MessageId, Numbering, Originator, PhoneNumber,
    Receipt, ReceiptStatus, SecretText, Subject, TypedCode, Verdict,
};
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// A number for which the sandbox itself reports nothing.
pub(crate) const NUMBER: u64 = 447_700_900_991;

pub(crate) struct Stage {
    dir: TempDir,
    app: Arc<App>,
    running: Option<Running>,
}

struct Running {
    stop: watch::Sender<bool>,
    done: JoinHandle<countersign::server::End>,
}

impl Stage {
    pub(crate) async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// Starts a server with further settings, written as variables of the environment.
    pub(crate) async fn start_with(settings: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let server = open(&dir, settings).await.unwrap();
        Self::run(dir, server)
    }

    /// Opens a server that takes requests in this process and does nothing by itself.
    pub(crate) async fn idle() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let server = open(&dir, &[]).await.unwrap();
        Self { dir, app: Arc::clone(server.app()), running: None }
    }

    /// Drops an idle server and starts another one over the same data.
    pub(crate) async fn restart(self) -> Self {
        drop(self.app);
        // The data directory is free once the last task of the first server has ended.
        for _ in 0..500 {
            if let Ok(server) = open(&self.dir, &[]).await {
                return Self::run(self.dir, server);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the data directory stays in use");
    }

    fn run(dir: TempDir, server: Server) -> Self {
        let app = Arc::clone(server.app());
        let (stop, stopped) = watch::channel(false);
        let done = tokio::spawn(server.run(stopped));
        Self { dir, app, running: Some(Running { stop, done }) }
    }

    /// Stops the server, waits until it has, and returns what is left of it.
    pub(crate) async fn stop(self) -> Arc<App> {
        let running = self.running.expect("the server runs");
        running.stop.send(true).unwrap();
        running.done.await.unwrap();
        self.app
    }

    pub(crate) fn app(&self) -> &App {
        &self.app
    }

    /// A field of `demo.json`.
    pub(crate) fn demo(&self, field: &str) -> String {
        let text = std::fs::read_to_string(self.dir.path().join("demo.json")).unwrap();
        let demo: Value = serde_json::from_str(&text).unwrap();
        demo[field].as_str().unwrap().to_owned()
    }

    /// Sends a message for the demo account.
    pub(crate) async fn send(&self, number: u64, parts: u8, notify: Notify) -> MessageId {
        self.send_for(ACCOUNT, number, parts, notify).await
    }

    /// Sends a message for an account.
    pub(crate) async fn send_for(
        &self,
        account: AccountId,
        number: u64,
        parts: u8,
        notify: Notify,
    ) -> MessageId {
        let account = Arc::clone(self.app.driver.directories.current().account(account).unwrap());
        let request = MessageRequest {
            number: phone(number),
            text: SecretText::concat(&["Your PIN is 4815"]),
            parts,
            originator: Originator::parse("12345").unwrap(),
            campaign: None,
            client_ref: Some("my-ref".to_owned()),
            lifetime: None,
            notify,
            idempotency: None,
        };
        let started = self.app.driver.send_message(&account, request).await.unwrap();
        match started.subject {
            Subject::Message(id) => id,
            Subject::Verification(_) => panic!("a message was started"),
        }
    }

    /// Reports a message as delivered.
    pub(crate) async fn report_delivered(&self, message: MessageId) {
        let attempt = AttemptId { subject: Subject::Message(message), step: 0 };
        let receipt = Receipt { status: ReceiptStatus::Delivered, error: ErrorCode::NONE };
        self.app.driver.handle_receipt(attempt, "sandbox", Some(receipt), None).await.unwrap();
    }

    /// Runs a verification to its good end; answers its id and its code.
    pub(crate) async fn verify(&self, number: u64) -> (String, String) {
        let driver = &self.app.driver;
        let account = Arc::clone(driver.directories.current().account(ACCOUNT).unwrap());
        let request = VerificationRequest {
            timing: engine::Timing::default(),
            number: phone(number),
            brand: "Acme".to_owned(),
            code_length: 6,
            locale: None,
            originator: None,
            workflow: 1,
            idempotency: None,
        };
        let started = driver.start_verification(&account, request).await.unwrap();
        let Subject::Verification(id) = started.subject else { panic!("a verification started") };
        let text = loop {
            let inbox = self.app.sandbox.as_ref().unwrap().inbox(number).unwrap();
            if let Some(message) = inbox.messages.last() {
                break message.text.reveal().to_owned();
            }
            tokio::time::sleep(POLL).await;
        };
        let words = text.split(|c: char| !c.is_ascii_digit());
        let code = words.into_iter().find(|word| word.len() == 6).unwrap().to_owned();
        let verdict = driver.check(&account, id, TypedCode::text(&code)).await.unwrap();
        assert_eq!(verdict, Verdict::Match);
        (id.to_string(), code)
    }

    /// Changes the settings of the demo account.
    pub(crate) async fn change_settings(&self, change: impl FnOnce(&mut AccountSettings)) {
        let changed = self.app.driver.directories.change(|directory| {
            let mut account: AccountRecord = directory.rows.accounts[0].clone();
            change(&mut account.settings);
            let put = ConfigChange::PutAccount { account, credit: Amount::ZERO };
            Ok::<_, DirectoryError>((vec![put], ()))
        });
        changed.await.unwrap();
    }

    /// Opens a second account like the demo account.
    pub(crate) async fn add_account(&self) -> AccountId {
        let id = AccountId(2);
        let changed = self.app.driver.directories.change(|directory| {
            let demo = directory.rows.accounts[0].clone();
            let account = AccountRecord { id, name: "Second".to_owned(), ..demo };
            let put =
                ConfigChange::PutAccount { account, credit: Amount::from_units(1_000_000_000) };
            Ok::<_, DirectoryError>((vec![put], ()))
        });
        changed.await.unwrap();
        id
    }

    /// Gives the demo account keys for its webhooks.
    pub(crate) async fn add_webhook_keys(&self, secrets: &[[u8; 32]]) {
        let directories = &self.app.driver.directories;
        let key = |id: u32, secret: &[u8; 32]| {
            let text = WebhookSecret::from_bytes(secret).unwrap().render();
            ConfigChange::PutKey(KeyRecord {
                id,
                account: ACCOUNT,
                kind: KeyKind::Webhook,
                name: format!("webhook-{id}"),
                secret_hash: Vec::new(),
                signature: Some(directories.sealer().seal(&signature_context(id), text.as_bytes())),
                signature_method: "md5hash".to_owned(),
                label: String::new(),
                created_at: self.app.driver.clock.now(),
            })
        };
        let changes = (100..).zip(secrets).map(|(id, secret)| key(id, secret)).collect();
        directories.change(|_| Ok::<_, DirectoryError>((changes, ()))).await.unwrap();
    }

    /// Moves the sandbox's clock forward.
    pub(crate) async fn advance(&self, step: Duration) {
        let sandbox = self.app.sandbox.as_ref().unwrap();
        sandbox.advance(&self.app.driver, step).await.unwrap();
    }

    pub(crate) async fn dead(&self) -> Vec<DeadWebhook> {
        self.app.driver.store.dead_webhooks(100).await.unwrap()
    }

    /// Waits until no webhook is on the outbox.
    pub(crate) async fn wait_until_nothing_waits(&self) {
        for _ in 0..POLLS {
            if self.app.driver.store.next_due().await.unwrap().webhook.is_none() {
                return;
            }
            tokio::time::sleep(POLL).await;
        }
        panic!("a webhook still waits");
    }

    /// Waits until the figures have this line.
    pub(crate) async fn wait_for_metric(&self, line: &str) {
        for _ in 0..POLLS {
            if self.app.driver.metrics.encode().lines().any(|shown| shown == line) {
                return;
            }
            tokio::time::sleep(POLL).await;
        }
        panic!("no {line} in {}", self.app.driver.metrics.encode());
    }
}

async fn open(dir: &TempDir, settings: &[(&str, &str)]) -> Result<Server, String> {
    let path = dir.path().to_str().unwrap();
    let ours = [
        ("COUNTERSIGN_DATA__DIR", path),
        ("COUNTERSIGN_SERVER__LISTEN", "127.0.0.1:0"),
        ("COUNTERSIGN_SANDBOX__ENABLED", "true"),
        ("COUNTERSIGN_WEBHOOKS__ALLOW_PRIVATE", "true"),
    ];
    let ours = ours.iter().filter(|(name, _)| !settings.iter().any(|(other, _)| other == name));
    let all: Vec<(&str, &str)> = ours.chain(settings).copied().collect();
    let config = Config::load(None, all).unwrap();
    let server = Server::start_with(config, true, Arc::new(Metrics::new())).await;
    server.map_err(|error| error.to_string())
}

fn phone(digits: u64) -> PhoneNumber {
    PhoneNumber::parse(&format!("+{digits}"), None, Numbering::WithFiction).unwrap()
}

/// The demo account is the first of its server.
const ACCOUNT: AccountId = AccountId(1);

const POLL: Duration = Duration::from_millis(10);
const POLLS: usize = 1000;
