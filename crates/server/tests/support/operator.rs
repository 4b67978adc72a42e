//! Asks a server as its operator does: through the admin API and with commands.
#![allow(dead_code, reason = "each test file uses its own part of this")]

use std::process::{Command, Output};

use reqwest::{Method, StatusCode};
use serde_json::Value;

use super::TestServer;

impl TestServer {
    /// The admin token.
    pub(crate) fn token(&self) -> String {
        std::fs::read_to_string(self.dir().join("admin.token")).unwrap().trim().to_owned()
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
    pub(crate) async fn admin_get(&self, path: &str) -> Value {
        let (status, answer) = self.admin(Method::GET, path, Value::Null).await;
        assert_eq!(status, StatusCode::OK, "GET {path}: {answer}");
        answer
    }

    /// Posts to the admin API what it must accept.
    pub(crate) async fn admin_post(&self, path: &str, body: Value) -> Value {
        let (status, answer) = self.admin(Method::POST, path, body).await;
        assert!(status.is_success(), "POST {path}: {status} {answer}");
        answer
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

    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(Self::binary());
        command.args(arguments).arg("--data").arg(self.dir()).current_dir(self.dir());
        command.output().unwrap()
    }
}
