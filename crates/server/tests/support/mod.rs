//! Starts the real binary on a free port with its own data directory, and talks to it.
#![allow(dead_code, reason = "each test file uses its own part of this")]
#![expect(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "this fails as the tests do, and waits for a process that has a clock of its own"
)]

pub(crate) mod offline;
pub(crate) mod operator;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use reqwest::{Client, RequestBuilder, Response, StatusCode};
use serde_json::Value;
use tempfile::TempDir;

/// A running server, ended with this value.
pub(crate) struct TestServer {
    child: Option<Child>,
    dir: TempDir,
    demo_account: bool,
    args: Vec<String>,
    pub(crate) url: String,
    pub(crate) client: Client,
}

impl TestServer {
    /// Starts a sandbox server with its demo account.
    pub(crate) async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// Starts one with further arguments for `serve`.
    pub(crate) async fn start_with(args: &[&str]) -> Self {
        Self::start_as(true, args).await
    }

    /// Starts a sandbox server without any account.
    pub(crate) async fn start_empty() -> Self {
        Self::start_as(false, &[]).await
    }

    async fn start_as(demo_account: bool, args: &[&str]) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut server = Self {
            child: None,
            dir: tempfile::tempdir().unwrap(),
            demo_account,
            args: args.iter().map(|arg| (*arg).to_owned()).collect(),
            url: String::new(),
            client: Client::builder().no_proxy().timeout(Duration::from_secs(20)).build().unwrap(),
        };
        server.launch().await;
        server
    }

    /// The data directory.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn binary() -> PathBuf {
        PathBuf::from(env!("CARGO_BIN_EXE_countersign"))
    }

    /// Kills the process where it stands.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// The process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.as_ref().expect("the server runs").id()
    }

    /// Asks the process to stop and waits until it has.
    pub(crate) fn stop(&mut self) {
        let child = self.child.as_mut().expect("the server runs");
        let pid = child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        assert!(child.wait().unwrap().success(), "a stop is a success");
        self.child = None;
    }

    /// Starts the process, again if it was stopped, over the same data.
    pub(crate) async fn launch(&mut self) {
        let log = std::fs::OpenOptions::new()
            .create(true)
            .truncate(true)
            .write(true)
            .open(self.dir().join("log"))
            .unwrap();
        let mut child = Command::new(Self::binary())
            .args(["serve", "--sandbox", "--listen", "127.0.0.1:0", "--data"])
            .arg(self.dir())
            .args(self.demo_account.then_some("--demo-account"))
            .args(&self.args)
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            assert!(child.try_wait().unwrap().is_none(), "the server ended: {}", self.log());
            assert!(Instant::now() < deadline, "the server does not get ready: {}", self.log());
            self.url = self.own_address().unwrap_or_default();
            if !self.url.is_empty()
                && let Ok(answer) = self.client.get(format!("{}/readyz", self.url)).send().await
                && answer.status() == StatusCode::OK
            {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.child = Some(child);
    }

    /// The log so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.dir().join("log")).unwrap_or_default()
    }

    /// `demo.json`.
    pub(crate) fn demo(&self, field: &str) -> String {
        let text = std::fs::read_to_string(self.dir().join("demo.json")).unwrap();
        let demo: Value = serde_json::from_str(&text).unwrap();
        match &demo[field] {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        }
    }

    pub(crate) fn get(&self, path: &str) -> RequestBuilder {
        self.client.get(format!("{}{path}", self.url))
    }

    pub(crate) fn post(&self, path: &str) -> RequestBuilder {
        self.client.post(format!("{}{path}", self.url))
    }

    pub(crate) fn request(&self, method: reqwest::Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.url))
    }

    /// A request to the Verify door with the demo account's key.
    pub(crate) fn textmagic(&self, method: reqwest::Method, path: &str) -> RequestBuilder {
        self.request(method, path)
            .header("X-TM-Username", self.demo("username"))
            .header("X-TM-Key", self.demo("key"))
    }

    /// Moves the sandbox's clock forward.
    pub(crate) async fn advance(&self, seconds: u32) {
        let body = serde_json::json!({ "advance_s": seconds });
        let answer = self.post("/sandbox/v1/clock").json(&body).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
    }

    /// What a handset has received.
    pub(crate) async fn inbox(&self, digits: &str) -> Value {
        let path = format!("/sandbox/v1/handsets/{digits}/inbox");
        self.get(&path).send().await.unwrap().json().await.unwrap()
    }

    /// Waits until a handset has received so many messages, and returns the text of the last.
    pub(crate) async fn nth_text(&self, digits: &str, count: usize) -> String {
        for _ in 0..400 {
            let inbox = self.inbox(digits).await;
            let messages = inbox["messages"].as_array().unwrap();
            if messages.len() >= count {
                return messages[count - 1]["text"].as_str().unwrap().to_owned();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("handset {digits} did not receive {count} messages; log: {}", self.log());
    }

    /// The address that this process listens on, once it says so.
    fn own_address(&self) -> Option<String> {
        let log = self.log();
        let line = log.lines().rev().find(|line| line.contains(" ready "))?;
        let (_, address) = line.split_once("listen=")?;
        Some(format!("http://{}", address.trim()))
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The digits at the end of a text.
pub(crate) fn code_in(text: &str) -> String {
    let digits: String = text.chars().rev().take_while(char::is_ascii_digit).collect();
    digits.chars().rev().collect()
}

/// Status, and body as JSON or text, for a snapshot.
pub(crate) async fn shown(answer: Response) -> String {
    let status = answer.status().as_u16();
    let body = answer.text().await.unwrap();
    format!("{status} {body}")
}
