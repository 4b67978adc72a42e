//! Kannel, as Debian packages it: a bearerbox with an SMPP link and a smsbox with `sendsms`.

use std::io::{Error, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::net::TcpStream;

/// Kannel's two processes; they end with this value.
pub(super) struct Kannel {
    bearerbox: Child,
    smsbox: Child,
    pub(super) address: SocketAddr,
}

impl Kannel {
    /// Starts it with a link to an SMSC, and waits until it takes messages.
    ///
    /// # Errors
    /// It is not installed, or does not get ready in time.
    pub(super) async fn start(smsc: SocketAddr, dir: &Path) -> std::io::Result<Self> {
        std::fs::create_dir_all(dir)?;
        let [admin, boxes, sendsms] = [free_port()?, free_port()?, free_port()?];
        let file = dir.join("kannel.conf");
        std::fs::write(&file, configuration(smsc, admin, boxes, sendsms))?;
        let start = |program: &str| {
            let log = std::fs::File::create(dir.join(program).with_extension("log"))?;
            Command::new(format!("/usr/sbin/{program}"))
                .arg(&file)
                .stdin(Stdio::null())
                .stdout(log.try_clone()?)
                .stderr(log)
                .spawn()
                .map_err(|e| Error::new(e.kind(), format!("start {program} ({INSTALL}): {e}")))
        };
        let bearerbox = start("bearerbox")?;
        wait_for((Ipv4Addr::LOCALHOST, boxes).into()).await?;
        let smsbox = start("smsbox")?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, sendsms));
        let this = Self { bearerbox, smsbox, address };
        wait_for(address).await?;
        // Its link to the SMSC is up a moment after its boxes have found each other.
        tokio::time::sleep(LINK_WAIT).await;
        Ok(this)
    }

    /// Returns the ids of its processes.
    pub(super) fn ids(&self) -> [u32; 2] {
        [self.bearerbox.id(), self.smsbox.id()]
    }
}

impl Drop for Kannel {
    fn drop(&mut self) {
        for child in [&mut self.smsbox, &mut self.bearerbox] {
            // By its own id, and waited for, so that its directory can go.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn configuration(smsc: SocketAddr, admin: u16, boxes: u16, sendsms: u16) -> String {
    format!(
        r#"
group = core
admin-port = {admin}
admin-password = bench
smsbox-port = {boxes}
box-allow-ip = "127.0.0.1"
box-deny-ip = "*.*.*.*"
log-level = 4
dlr-storage = internal

group = smsc
smsc = smpp
smsc-id = bench
host = {host}
port = {port}
transceiver-mode = true
smsc-username = bench
smsc-password = bench
system-type = ""
source-addr-ton = 3
source-addr-npi = 0
dest-addr-ton = 1
dest-addr-npi = 1
max-pending-submits = {WINDOW}
log-level = 4

group = smsbox
bearerbox-host = 127.0.0.1
sendsms-port = {sendsms}
log-level = 4

group = sendsms-user
username = bench
password = bench
max-messages = 1
concatenation = true

group = sms-service
keyword = default
max-messages = 0
text = ""
"#,
        host = smsc.ip(),
        port = smsc.port(),
    )
}

async fn wait_for(address: SocketAddr) -> std::io::Result<()> {
    for _ in 0..READY_POLLS {
        if TcpStream::connect(address).await.is_ok() {
            return Ok(());
        }
        tokio::time::sleep(READY_POLL).await;
    }
    Err(Error::new(ErrorKind::TimedOut, "Kannel does not listen"))
}

fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// As wide as the server's own.
pub(super) const WINDOW: usize = 100;

const INSTALL: &str = "from Debian's package `kannel`";
const LINK_WAIT: Duration = Duration::from_secs(2);
const READY_POLL: Duration = Duration::from_millis(50);
const READY_POLLS: usize = 200;
