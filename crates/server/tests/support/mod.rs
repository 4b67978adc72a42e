//! The real binary on a port of its own, for tests that talk to it as its users do.

#![allow(dead_code, clippy::allow_attributes, reason = "no test file uses all of this")]

use std::io::Read as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::Value;
use tempfile::TempDir;

/// The binary under test.
pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_countersign");

/// A running server with a folder of its own. It ends with this value.
pub(crate) struct TestServer {
    dir: TempDir,
    child: Child,
    url: String,
    client: reqwest::Client,
}

impl TestServer {
    /// Starts a server with a sandbox and without any account.
    pub(crate) async fn start() -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), &["--sandbox"]).await
    }

    /// Starts a server in a folder that another may have run in before.
    pub(crate) async fn start_in(dir: TempDir, arguments: &[&str]) -> Self {
        let address_file = dir.path().join("admin.json");
        let _ = std::fs::remove_file(&address_file);
        let mut child = command(dir.path())
            .args(["serve", "--listen", "127.0.0.1:0", "--data"])
            .arg(dir.path())
            .args(arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        for _ in 0..POLLS_MAX {
            if let Ok(json) = std::fs::read_to_string(&address_file) {
                let address: Value = serde_json::from_str(&json).unwrap();
                let url = address["url"].as_str().unwrap().to_owned();
                // Fails if the process has a provider already, and any provider will do.
                let _ = rustls::crypto::ring::default_provider().install_default();
                let client = reqwest::Client::builder().no_proxy().build().unwrap();
                return Self { dir, child, url, client };
            }
            if let Some(status) = child.try_wait().unwrap() {
                let mut said = String::new();
                child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
                panic!("the server ended with {status}: {said}");
            }
            tokio::time::sleep(POLL).await;
        }
        let _ = child.kill();
        panic!("the server did not start");
    }

    /// Ends the server without a warning and returns its folder.
    pub(crate) fn stop(mut self) -> TempDir {
        self.end();
        std::mem::replace(&mut self.dir, tempfile::tempdir().unwrap())
    }

    /// The folder that the server keeps its data in.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The admin token.
    pub(crate) fn token(&self) -> String {
        std::fs::read_to_string(self.dir().join("admin.token")).unwrap().trim().to_owned()
    }

    /// A request of any door.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.url))
    }

    /// Asks the admin API with the token; `null` stands for no body, in both directions.
    pub(crate) async fn admin(
        &self,
        method: Method,
        path: &str,
        body: Value,
    ) -> (StatusCode, Value) {
        let request = self.request(method, &format!("/admin/v1{path}")).bearer_auth(self.token());
        let request = if body.is_null() { request } else { request.json(&body) };
        let response = request.send().await.unwrap();
        let status = response.status();
        let text = response.text().await.unwrap();
        (status, serde_json::from_str(&text).unwrap_or_default())
    }

    /// Asks the admin API for something that it must have.
    #[track_caller]
    pub(crate) fn get(&self, path: &str) -> impl Future<Output = Value> {
        let path = path.to_owned();
        async move {
            let (status, answer) = self.admin(Method::GET, &path, Value::Null).await;
            assert_eq!(status, StatusCode::OK, "GET {path}: {answer}");
            answer
        }
    }

    /// Posts to the admin API what it must accept.
    pub(crate) async fn post(&self, path: &str, body: Value) -> Value {
        let (status, answer) = self.admin(Method::POST, path, body).await;
        assert!(status.is_success(), "POST {path}: {status} {answer}");
        answer
    }

    /// Runs a command of the binary against this server.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        command(self.dir()).args(arguments).arg("--data").arg(self.dir()).output().unwrap()
    }

    /// Runs a command that must succeed; returns what it prints.
    #[track_caller]
    pub(crate) fn cli(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let complaint = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{arguments:?}: {complaint}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs a command that must be refused with exit code 1; returns what it complains of.
    #[track_caller]
    pub(crate) fn cli_refused(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        String::from_utf8(output.stderr).unwrap()
    }

    /// Reads the code out of the newest message of a handset, once there are `count` messages.
    pub(crate) async fn code_from_inbox(&self, digits: &str, count: usize) -> String {
        let path = format!("/sandbox/v1/handsets/{digits}/inbox");
        for _ in 0..POLLS_MAX {
            let response = self.request(Method::GET, &path).send().await.unwrap();
            let inbox: Value = response.json().await.unwrap();
            let messages = inbox["messages"].as_array().unwrap();
            if messages.len() >= count {
                let text = messages.last().unwrap()["text"].as_str().unwrap();
                let mut words = text.split(|c: char| !c.is_ascii_digit());
                return words.find(|word| word.len() >= 4).unwrap().to_owned();
            }
            tokio::time::sleep(POLL).await;
        }
        panic!("the handset received fewer than {count} messages");
    }

    fn end(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.end();
    }
}

/// The binary without what the tester's own environment would tell it.
fn command(dir: &Path) -> Command {
    let mut command = Command::new(BINARY);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("COUNTERSIGN_") {
            command.env_remove(name);
        }
    }
    command.current_dir(dir);
    command
}

const POLL: Duration = Duration::from_millis(20);

/// Twenty seconds: a busy machine is slow to start a process.
const POLLS_MAX: usize = 1000;
