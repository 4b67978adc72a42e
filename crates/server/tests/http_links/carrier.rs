//! A server in this process whose messages leave over HTTP links.

use std::sync::Arc;
use std::time::Duration;

use countersign::channels::Link;
use countersign::channels::http::callback::{inbound_url, receipts_url};
use countersign::config::Config;
use countersign::directory::DirectoryError;
use countersign::driver::MessageRequest;
use countersign::http::App;
use countersign::server::{End, Server};
use countersign::store::{ConfigChange, Notify};
use countersign::telemetry::Metrics;
use engine::{
    AccountId, Amount, ErrorCode, MessageId, MessageRecord, MessageStatus, Numbering, Originator,
    PhoneNumber, Receipt, ReceiptStatus, SecretText, Subject,
};
use reqwest::{Client, RequestBuilder, StatusCode};
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// A number for which the sandbox itself reports nothing.
pub(crate) const NUMBER: u64 = 447_700_900_991;

pub(crate) struct Stage {
    app: Arc<App>,
    address: String,
    client: Client,
    _running: (watch::Sender<bool>, JoinHandle<End>),
    _dir: TempDir,
}

impl Stage {
    /// Starts a server with a link `one` of these settings, and perhaps a link `two` after it. The
    /// password of all is `pass&word`.
    pub(crate) async fn start(link: &str) -> Self {
        use std::os::unix::fs::PermissionsExt as _;
        let _ = rustls::crypto::ring::default_provider().install_default();
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().display();
        let password = dir.path().join("password");
        std::fs::write(&password, "pass&word\n").unwrap();
        std::fs::set_permissions(&password, std::fs::Permissions::from_mode(0o600)).unwrap();
        let second = if link.contains("[link.two]") { ", 'two'" } else { "" };
        let link =
            link.replace("profile =", &format!("password_file = '{folder}/password'\nprofile ="));
        let link = if link.contains("password_file") {
            link
        } else {
            format!("password_file = '{folder}/password'\n{link}")
        };
        let file = format!(
            "data.dir = '{folder}'\nsandbox.enabled = true\nwebhooks.allow_private = true\n\
             [server]\nlisten = '127.0.0.1:0'\npublic_url = 'https://public.example/base/'\n\
             [route.all]\nlinks = ['one'{second}]\n[link.one]\nkind = 'http'\n{link}\n"
        );
        let path = dir.path().join("countersign.toml");
        std::fs::write(&path, file).unwrap();
        let nothing: [(&str, &str); 0] = [];
        let config = Config::load(Some(&path), nothing).unwrap();
        let server = Server::start_with(config, true, Arc::new(Metrics::new())).await.unwrap();
        let address = format!("http://{}", server.address().unwrap());
        let app = Arc::clone(server.app());
        let (stop, stopped) = watch::channel(false);
        let done = tokio::spawn(server.run(stopped));
        let client = Client::builder().no_proxy().build().unwrap();
        Self { app, address, client, _running: (stop, done), _dir: dir }
    }

    /// Sends a message for the demo account.
    pub(crate) async fn send(&self, text: &str, dlr_url: &str) -> MessageId {
        let account = self.app.driver.directories.current();
        let account = Arc::clone(account.account(AccountId(1)).unwrap());
        let number = format!("+{NUMBER}");
        let request = MessageRequest {
            number: PhoneNumber::parse(&number, None, Numbering::WithFiction).unwrap(),
            text: SecretText::concat(&[text]),
            parts: 1,
            originator: Originator::parse("12345").unwrap(),
            campaign: None,
            client_ref: None,
            lifetime: None,
            notify: Notify::Url(dlr_url.to_owned()),
            idempotency: None,
        };
        let started = self.app.driver.send_message(&account, request).await.unwrap();
        match started.subject {
            Subject::Message(id) => id,
            Subject::Verification(_) => panic!("a message was started"),
        }
    }

    pub(crate) async fn message(&self, id: MessageId) -> MessageRecord {
        self.app.driver.store.message(id).await.unwrap().unwrap().record
    }

    /// Waits until a message has got so far.
    pub(crate) async fn wait_for_status(&self, id: MessageId, status: &str) {
        for _ in 0..POLLS {
            if format!("{:?}", self.message(id).await.status) == status {
                return;
            }
            tokio::time::sleep(POLL).await;
        }
        panic!("no {status}: {:?}", self.message(id).await);
    }

    /// Waits until a message has this receipt.
    pub(crate) async fn wait_for_receipt(
        &self,
        id: MessageId,
        status: ReceiptStatus,
        error: ErrorCode,
    ) {
        let reported = MessageStatus::Reported(Receipt { status, error });
        self.wait_for_status(id, &format!("{reported:?}")).await;
    }

    pub(crate) async fn wait_until(&self, condition: impl Fn() -> bool) {
        for _ in 0..POLLS {
            if condition() {
                return;
            }
            tokio::time::sleep(POLL).await;
        }
        panic!("it never came to that");
    }

    /// Waits until the figures have this line.
    pub(crate) async fn wait_for_metric(&self, line: &str) {
        let encode = || self.app.driver.metrics.encode();
        for _ in 0..POLLS {
            if encode().lines().any(|shown| shown == line) {
                return;
            }
            tokio::time::sleep(POLL).await;
        }
        panic!("no {line} in {}", encode());
    }

    pub(crate) fn link(&self, name: &str) -> Arc<dyn Link> {
        Arc::clone(&self.app.driver.channels.ways().gate(name).unwrap().link)
    }

    /// Moves the sandbox's clock forward.
    pub(crate) async fn advance(&self, step: Duration) {
        let sandbox = self.app.sandbox.as_ref().unwrap();
        sandbox.advance(&self.app.driver, step).await.unwrap();
    }

    /// Where a link's reports are received, as its carrier knows it.
    pub(crate) fn dlr_url(&self, link: &str) -> String {
        receipts_url(PUBLIC_URL, link, self.app.driver.directories.secrets())
    }

    /// Where a link's carrier brings what handsets send.
    pub(crate) fn inbound_url(&self, link: &str) -> String {
        inbound_url(PUBLIC_URL, link, self.app.driver.directories.secrets())
    }

    /// Has the demo account told of what handsets send.
    pub(crate) async fn set_inbound_url(&self, url: String) {
        let changed = self.app.driver.directories.change(|directory| {
            let mut account = directory.rows.accounts[0].clone();
            account.settings.inbound_url = Some(url);
            let put = ConfigChange::PutAccount { account, credit: Amount::ZERO };
            Ok::<_, DirectoryError>((vec![put], ()))
        });
        changed.await.unwrap();
    }

    pub(crate) async fn get(&self, url: &str) -> (StatusCode, String) {
        answer_to(self.client.get(self.reachable(url))).await
    }

    pub(crate) async fn post(
        &self,
        url: &str,
        content_type: &str,
        body: &str,
    ) -> (StatusCode, String) {
        let request = self.client.post(self.reachable(url));
        answer_to(request.header("content-type", content_type).body(body.to_owned())).await
    }

    /// What stands at the public URL hands requests on.
    fn reachable(&self, url: &str) -> String {
        let path = url.strip_prefix(PUBLIC_URL).expect("carriers are told the public URL");
        format!("{}{path}", self.address)
    }
}

/// An answer with a body.
pub(crate) fn answer(status: u16, body: &str) -> String {
    format!("HTTP/1.1 {status} -\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

async fn answer_to(request: RequestBuilder) -> (StatusCode, String) {
    let answer = request.send().await.unwrap();
    (answer.status(), answer.text().await.unwrap())
}

const PUBLIC_URL: &str = "https://public.example/base";
const POLL: Duration = Duration::from_millis(10);
const POLLS: usize = 1500;
