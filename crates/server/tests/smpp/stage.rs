//! A server in this process, with a demo account and links to SMSCs.

use std::fmt::Write as _;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use countersign::channels::{LinkState, Standing};
use countersign::config::Config;
use countersign::directory::DirectoryError;
use countersign::driver::VerificationRequest;
use countersign::http::App;
use countersign::server::{End, Server};
use countersign::store::{AccountSettings, ConfigChange, MessageView, TemplateRecord};
use countersign::telemetry::Metrics;
use engine::{
    AccountId, Amount, MessageId, MessageStatus, Numbering, PhoneNumber, Subject, VerificationId,
};
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::smsc::{PASSWORD, Smsc};

/// A link to an SMSC, as it is configured.
pub(crate) struct LinkTo<'a> {
    pub(crate) name: &'a str,
    pub(crate) host: String,
    /// Further keys, as in the file.
    pub(crate) keys: &'a str,
}

impl<'a> LinkTo<'a> {
    pub(crate) fn new(smsc: &Smsc, keys: &'a str) -> Self {
        Self { name: "north", host: smsc.address.to_string(), keys }
    }
}

pub(crate) struct Stage {
    dir: TempDir,
    app: Arc<App>,
    url: String,
    client: reqwest::Client,
    stop: watch::Sender<bool>,
    done: JoinHandle<End>,
}

impl Stage {
    /// Starts a server whose messages go over these links, the first first, and waits until the
    /// first of them is up.
    pub(crate) async fn start(links: &[LinkTo<'_>]) -> Self {
        let stage = Self::start_unbound(links, PASSWORD).await;
        stage.wait_for_standing(links[0].name, Standing::Up).await;
        stage
    }

    /// Starts a server and waits for nothing.
    pub(crate) async fn start_unbound(links: &[LinkTo<'_>], password: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = configuration(&dir, links, password, 0o600);
        let server = Server::start_with(config, true, Arc::new(Metrics::new())).await.unwrap();
        let app = Arc::clone(server.app());
        let path = dir.path().join("countersign.toml");
        app.switchboard.read_with(Box::new(move || Config::load(Some(&path), [("", ""); 0])));
        let url = format!("http://{}", server.address().unwrap());
        let (stop, stopped) = watch::channel(false);
        let done = tokio::spawn(server.run(stopped));
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { dir, app, url, client, stop, done }
    }

    /// Tries to start a server whose password everybody on the machine can read; answers why it
    /// does not.
    pub(crate) async fn refused_with_readable_password(link: LinkTo<'_>) -> String {
        let dir = tempfile::tempdir().unwrap();
        let config = configuration(&dir, &[link], PASSWORD, 0o644);
        let started = Server::start_with(config, true, Arc::new(Metrics::new())).await;
        started.err().expect("it must not start").to_string()
    }

    /// Stops the server and waits until it has.
    pub(crate) async fn stop(self) {
        self.stop.send(true).unwrap();
        let end = tokio::time::timeout(BOUND, self.done).await.expect("the server stops");
        assert_eq!(end.unwrap(), End::Asked);
    }

    /// Tells the server to stop, and lets it go on with that.
    pub(crate) fn ask_to_stop(&self) {
        self.stop.send(true).unwrap();
    }

    /// Reads links with other settings, as an operator would have them read.
    pub(crate) async fn reload(&self, links: &[LinkTo<'_>]) {
        configuration(&self.dir, links, PASSWORD, 0o600);
        self.app.switchboard.reload(&self.app.driver).await.unwrap();
    }

    pub(crate) fn app(&self) -> &Arc<App> {
        &self.app
    }

    /// Has the 2FA API send a PIN; answers the message's id as the API tells it.
    pub(crate) async fn send_pin(&self, to: &str, pin: &str) -> String {
        let message = self.ask_for_pin(to, pin).await;
        assert_eq!(message["status"], "0", "{message}");
        message["message-id"].as_str().unwrap().to_owned()
    }

    /// Asks the 2FA API to send a PIN; answers what it tells of the first part.
    pub(crate) async fn ask_for_pin(&self, to: &str, pin: &str) -> Value {
        let (key, secret) = (self.demo("api_key"), self.demo("api_secret"));
        let query = [("api_key", key.as_str()), ("api_secret", &secret), ("to", to), ("pin", pin)];
        let request = self.client.post(format!("{}/sc/us/2fa/json", self.url)).form(&query);
        let answer: Value = request.send().await.unwrap().json().await.unwrap();
        answer["messages"][0].clone()
    }

    /// Starts a verification over a preset workflow.
    pub(crate) async fn verify(&self, to: u64, workflow: u8) -> VerificationId {
        let driver = &self.app.driver;
        let account = Arc::clone(driver.directories.current().account(ACCOUNT).unwrap());
        let request = VerificationRequest {
            timing: engine::Timing::default(),
            number: PhoneNumber::parse(&format!("+{to}"), None, Numbering::WithFiction).unwrap(),
            brand: "Acme".to_owned(),
            code_length: 6,
            locale: None,
            originator: None,
            workflow,
            idempotency: None,
        };
        match driver.start_verification(&account, request).await.unwrap().subject {
            Subject::Verification(id) => id,
            Subject::Message(_) => panic!("a verification was started"),
        }
    }

    /// Has every receipt told to a URL.
    pub(crate) async fn report_to(&self, url: String) {
        self.change_settings(|settings| settings.dlr_url = Some(url)).await;
    }

    pub(crate) async fn change_settings(&self, change: impl FnOnce(&mut AccountSettings)) {
        let changed = self.app.driver.directories.change(|directory| {
            let mut account = directory.rows.accounts[0].clone();
            change(&mut account.settings);
            let put = ConfigChange::PutAccount { account, credit: Amount::ZERO };
            Ok::<_, DirectoryError>((vec![put], ()))
        });
        changed.await.unwrap();
    }

    /// Makes messages of the 2FA API say something else.
    pub(crate) async fn change_template(&self, text: &str) {
        let changed = self.app.driver.directories.change(|directory| {
            let old = directory.rows.templates[0].clone();
            let template = TemplateRecord { text: text.to_owned(), ..old };
            Ok::<_, DirectoryError>((vec![ConfigChange::PutTemplate(template)], ()))
        });
        changed.await.unwrap();
    }

    /// What is known of a message, by the id that the API told.
    pub(crate) async fn message(&self, id: &str) -> MessageView {
        let id = MessageId::parse(id).expect("an id of a message");
        self.app.driver.store.message(id).await.unwrap().expect("a message")
    }

    /// Waits until a message is in a state.
    pub(crate) async fn wait_for_message(&self, id: &str, state: MessageStatus) -> MessageView {
        for _ in 0..POLLS {
            let view = self.message(id).await;
            if view.record.status == state {
                return view;
            }
            tokio::time::sleep(POLL).await;
        }
        panic!("{state:?} was to come, and there is {:?}", self.message(id).await.record.status);
    }

    pub(crate) fn link(&self, name: &str) -> LinkState {
        self.app.driver.channels.ways().gate(name).unwrap().link.state()
    }

    pub(crate) async fn wait_for_standing(&self, link: &str, standing: Standing) {
        self.wait_until(|| self.link(link).standing == standing, "the link stands otherwise").await;
    }

    pub(crate) async fn wait_until(&self, condition: impl Fn() -> bool, otherwise: &str) {
        for _ in 0..POLLS {
            if condition() {
                return;
            }
            tokio::time::sleep(POLL).await;
        }
        panic!("{otherwise}: {}", self.metrics());
    }

    pub(crate) fn metrics(&self) -> String {
        self.app.driver.metrics.encode()
    }

    /// Whether the figures have this line.
    pub(crate) fn counts(&self, line: &str) -> bool {
        self.metrics().lines().any(|told| told == line)
    }

    /// The file of the store.
    pub(crate) fn database(&self) -> PathBuf {
        self.dir.path().join("data/countersign.db")
    }

    fn demo(&self, field: &str) -> String {
        let text = std::fs::read_to_string(self.dir.path().join("data/demo.json")).unwrap();
        let demo: Value = serde_json::from_str(&text).unwrap();
        demo[field].as_str().unwrap().to_owned()
    }
}

/// Writes a configuration with links to SMSCs, and the file with their password.
fn configuration(dir: &TempDir, links: &[LinkTo<'_>], password: &str, mode: u32) -> Config {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let password_file = dir.path().join("password");
    std::fs::write(&password_file, format!("{password}\n")).unwrap();
    std::fs::set_permissions(&password_file, Permissions::from_mode(mode)).unwrap();
    let mut file = SETTINGS.replace("DIR", dir.path().to_str().unwrap());
    for LinkTo { name, host, keys } in links {
        let password_file = password_file.display();
        write!(
            file,
            "\n[link.{name}]\nkind = \"smpp\"\nhosts = [\"{host}\"]\nsystem_id = \"esme\"\n\
             password_file = \"{password_file}\"\n{keys}\n"
        )
        .unwrap();
    }
    let names: Vec<String> = links.iter().map(|link| format!("\"{}\"", link.name)).collect();
    write!(file, "[route.all]\nlinks = [{}]\n", names.join(", ")).unwrap();
    let path: PathBuf = dir.path().join("countersign.toml");
    std::fs::write(&path, file).unwrap();
    Config::load(Some(&path), [("", ""); 0]).unwrap()
}

const SETTINGS: &str = "
[data]
dir = \"DIR/data\"
[server]
listen = \"127.0.0.1:0\"
[sandbox]
enabled = true
[webhooks]
allow_private = true
[engine]
unconfirmed_wait_s = 900
";

/// The demo account is the first of its server.
const ACCOUNT: AccountId = AccountId(1);

const POLL: Duration = Duration::from_millis(10);
const POLLS: usize = 2000;
const BOUND: Duration = Duration::from_secs(20);
