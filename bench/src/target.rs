//! A server under load: a process of its own, and what it costs.

use std::io::{Error, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

/// The keys of the demo account.
#[derive(Clone, Default)]
pub(crate) struct Keys {
    pub(crate) username: String,
    pub(crate) key: String,
    pub(crate) api_key: String,
    pub(crate) api_secret: String,
}

/// A server that was started here; it ends with this value.
pub(crate) struct Target {
    child: Child,
    pub(crate) address: SocketAddr,
    pub(crate) keys: Keys,
}

impl Target {
    /// Starts `program` with `arguments`, a data directory and a free loopback port, and waits
    /// until it listens.
    ///
    /// # Errors
    /// It cannot be started, or does not get ready in time.
    pub(crate) async fn start(
        program: &Path,
        arguments: &[&str],
        dir: &Path,
    ) -> std::io::Result<Self> {
        // Whoever takes the port between here and the child's start makes the child fail.
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let log = std::fs::File::create(dir.with_extension("log"))?;
        let child = Command::new(program)
            .args(arguments)
            .arg("--data")
            .arg(dir)
            .arg("--listen")
            .arg(address.to_string())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .map_err(|e| Error::new(e.kind(), format!("start {}: {e}", program.display())))?;
        let mut target = Self { child, address, keys: Keys::default() };
        target.keys = target.wait_until_ready(dir).await?;
        Ok(target)
    }

    async fn wait_until_ready(&mut self, dir: &Path) -> std::io::Result<Keys> {
        let began = Instant::now();
        loop {
            // The file is written after the socket listens and before it is served.
            if let Ok(json) = std::fs::read(dir.join("demo.json")) {
                let file: Value = serde_json::from_slice(&json).map_err(Error::from)?;
                let text = |name| file.get(name).and_then(Value::as_str).unwrap_or_default();
                return Ok(Keys {
                    username: text("username").to_owned(),
                    key: text("key").to_owned(),
                    api_key: text("api_key").to_owned(),
                    api_secret: text("api_secret").to_owned(),
                });
            }
            if let Some(status) = self.child.try_wait()? {
                let log = std::fs::read_to_string(dir.with_extension("log")).unwrap_or_default();
                return Err(Error::other(format!("the server ended with {status}: {log}")));
            }
            if began.elapsed() > READY_MAX {
                return Err(ErrorKind::TimedOut.into());
            }
            tokio::time::sleep(READY_POLL).await;
        }
    }

    /// Returns the process's id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        // By its own id, and waited for, so that its directory can go.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const READY_MAX: Duration = Duration::from_secs(20);
const READY_POLL: Duration = Duration::from_millis(20);
