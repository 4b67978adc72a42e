//! Whole messages through SMPP, with receipts and their webhooks: the server next to Kannel.

mod board;
mod kannel;
mod listener;
mod sink;
mod smsc;

use std::cell::RefCell;
use std::fs::Permissions;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tokio::task::LocalSet;
use tokio::time::{Instant, sleep};

use crate::client::Client;
use crate::numbers::Numbers;
use crate::report::say;
use crate::target::Target;
use crate::usage::Usage;
use board::{Board, Tally};
use kannel::{Kannel, WINDOW};

/// What to measure.
#[derive(Args)]
pub(crate) struct Options {
    /// How many connections send one message after the other.
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// How long each run is measured, in seconds.
    #[arg(long, default_value_t = 8)]
    seconds: u64,
    /// How long each run goes on before that, in seconds.
    #[arg(long, default_value_t = 2)]
    warmup: u64,
    /// Measure the server only, and not Kannel.
    #[arg(long)]
    no_kannel: bool,
    /// The server; `countersign` beside this program if not given.
    #[arg(long, value_name = "FILE")]
    server: Option<PathBuf>,
    /// Where the servers keep their files while this runs: it must be on a real disk.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// Runs it.
///
/// # Errors
/// A gateway cannot be started, or standard output is gone.
pub(crate) async fn run(options: Options) -> std::io::Result<()> {
    let parent = options.dir.clone().unwrap_or_else(std::env::temp_dir);
    let dir = tempfile::Builder::new().prefix("countersign-bench-").tempdir_in(parent)?;
    let server = match &options.server {
        Some(server) => server.clone(),
        None => std::env::current_exe()?.with_file_name("countersign"),
    };
    let board = Arc::new(Board::default());
    let smsc = smsc::start(Arc::clone(&board))?;
    let sink = sink::start(Arc::clone(&board))?;
    let bench = Bench { options, board, numbers: Rc::default() };
    say(HEAD)?;
    let ours = bench.ours(&server, smsc, sink, dir.path()).await?;
    if !bench.options.no_kannel {
        let theirs = bench.kannel(smsc, sink, dir.path()).await?;
        say(&format!("against Kannel: {:.1} times its rate", ours / theirs.max(1.0)))?;
    }
    Ok(())
}

struct Bench {
    options: Options,
    board: Arc<Board>,
    numbers: Rc<RefCell<Numbers>>,
}

/// A gateway under load.
struct Gateway {
    name: &'static str,
    address: SocketAddr,
    processes: Vec<u32>,
    /// Writes the request that sends a message to a number.
    request: Box<dyn Fn(u64) -> Vec<u8>>,
    /// The status of an answer that takes a message.
    taken: u16,
    /// What such an answer holds, if its status says too little.
    taken_body: Option<&'static [u8]>,
}

impl Bench {
    async fn ours(
        &self,
        server: &Path,
        smsc: SocketAddr,
        sink: SocketAddr,
        dir: &Path,
    ) -> std::io::Result<f64> {
        let file = dir.join("countersign.toml");
        let password = dir.join("smsc.password");
        std::fs::write(&password, "bench")?;
        std::fs::set_permissions(&password, Permissions::from_mode(0o600))?;
        std::fs::write(&file, configuration(smsc, &password))?;
        let file = file.display().to_string();
        let arguments = ["serve", "--sandbox", "--demo-account", "--config", &file];
        let target = Target::start(server, &arguments, &dir.join("ours")).await?;
        sleep(SETTLE).await;
        let (host, keys) = (target.address, target.keys.clone());
        let gateway = Gateway {
            name: "countersign",
            address: target.address,
            processes: vec![target.id()],
            request: Box::new(move |number| {
                let body = format!(
                    "api_key={}&api_secret={}&to={number}&pin=482913&callback=http://{sink}/r",
                    keys.api_key, keys.api_secret
                );
                format!(
                    "POST /sc/us/2fa/json HTTP/1.1\r\nhost: {host}\r\n\
                     content-type: application/x-www-form-urlencoded\r\n\
                     content-length: {}\r\n\r\n{body}",
                    body.len()
                )
                .into_bytes()
            }),
            taken: 200,
            taken_body: Some(br#""status":"0""#),
        };
        self.measure(gateway).await
    }

    async fn kannel(&self, smsc: SocketAddr, sink: SocketAddr, dir: &Path) -> std::io::Result<f64> {
        let kannel = Kannel::start(smsc, &dir.join("kannel")).await?;
        let host = kannel.address;
        let gateway = Gateway {
            name: "kannel",
            address: kannel.address,
            processes: kannel.ids().to_vec(),
            request: Box::new(move |number| {
                format!(
                    "GET /cgi-bin/sendsms?username=bench&password=bench&from=54321&to={number}\
                     &text=482913+is+your+code&dlr-mask=1\
                     &dlr-url=http%3A%2F%2F{sink}%2Fr%3Fmsisdn%3D{number}%26status%3D%25d \
                     HTTP/1.1\r\nhost: {host}\r\n\r\n"
                )
                .into_bytes()
            }),
            taken: 202,
            taken_body: None,
        };
        self.measure(gateway).await
    }

    /// Measures as fast as it goes, then at half of that; answers messages per second.
    async fn measure(&self, gateway: Gateway) -> std::io::Result<f64> {
        let gateway = &Rc::new(gateway);
        let whole = self.load(gateway, None).await?;
        let rate = whole / 2.0;
        self.load(gateway, Some(rate)).await?;
        Ok(whole)
    }

    async fn load(&self, gateway: &Rc<Gateway>, rate: Option<f64>) -> std::io::Result<f64> {
        let connections = u32::try_from(self.options.connections.max(1)).unwrap_or(u32::MAX);
        let began = Instant::now();
        let from = began + Duration::from_secs(self.options.warmup);
        let until = from + Duration::from_secs(self.options.seconds);
        let refused = Rc::new(RefCell::new(0));
        let tasks = LocalSet::new();
        for connection in 0..connections {
            let pace = rate.map(|rate| {
                let every = Duration::from_secs_f64(f64::from(connections) / rate.max(1.0));
                (began + every * connection / connections, every)
            });
            let sender = Sender {
                gateway: Rc::clone(gateway),
                numbers: Rc::clone(&self.numbers),
                board: Arc::clone(&self.board),
                refused: Rc::clone(&refused),
                until,
            };
            tasks.spawn_local(sender.run(pace));
        }
        let before: Vec<Usage> = gateway.processes.iter().map(|id| Usage::of(*id)).collect();
        () = tasks.run_until(tokio::time::sleep_until(until)).await;
        let _ = tokio::time::timeout(LAST_MESSAGES_MAX, tasks).await;
        self.settle().await;
        let spent = |(id, before): (&u32, &Usage)| Usage::of(*id).since(before);
        let usage: Vec<Usage> = gateway.processes.iter().zip(&before).map(spent).collect();
        let tally = self.board.tally(from, until);
        let load = rate
            .map_or_else(|| format!("{connections} connections"), |rate| format!("{rate:.0}/s"));
        print(gateway.name, &load, &tally, &usage, *refused.borrow())?;
        Ok(tally.per_second())
    }

    /// Waits until everything that was acknowledged has been told of, or no more will be.
    async fn settle(&self) {
        let began = Instant::now();
        while !self.board.is_settled() && began.elapsed() < SETTLED_MAX {
            sleep(SETTLE_POLL).await;
        }
        sleep(SETTLE).await;
    }
}

/// One connection that sends messages.
struct Sender {
    gateway: Rc<Gateway>,
    numbers: Rc<RefCell<Numbers>>,
    board: Arc<Board>,
    refused: Rc<RefCell<u64>>,
    until: Instant,
}

impl Sender {
    /// Sends one message after the other, or one at each beat of `pace`.
    async fn run(self, pace: Option<(Instant, Duration)>) {
        let mut due = pace.map(|(first, _)| first);
        let mut client = None;
        while Instant::now() < self.until {
            if let (Some(at), Some((_, every))) = (due, pace) {
                tokio::time::sleep_until(at).await;
                due = Some(at + every);
            }
            let number = self.numbers.borrow_mut().next().unwrap_or_default();
            if self.send(&mut client, number).await.is_err() {
                client = None;
                *self.refused.borrow_mut() += 1;
                sleep(AFTER_ERROR).await;
            }
        }
    }

    async fn send(&self, client: &mut Option<Client>, number: u64) -> std::io::Result<()> {
        let open = match client.take() {
            Some(open) => open,
            None => Client::connect(self.gateway.address).await?,
        };
        let request = (self.gateway.request)(number);
        let answer = client.insert(open).call(&request).await?;
        let taken = answer.status == self.gateway.taken
            && self
                .gateway
                .taken_body
                .is_none_or(|mark| answer.body.windows(mark.len()).any(|window| window == mark));
        if !taken {
            return Err(std::io::Error::other("the message was refused"));
        }
        self.board.acknowledged(number);
        Ok(())
    }
}

fn print(
    name: &str,
    load: &str,
    tally: &Tally,
    usage: &[Usage],
    refused: u64,
) -> std::io::Result<()> {
    let processor: Duration = usage.iter().map(|usage| usage.process).sum();
    let own = usage.first().map(|usage| usage.own).unwrap_or_default();
    let machine = usage.first().map(|usage| usage.machine).unwrap_or_default();
    let other = machine.saturating_sub(processor).saturating_sub(own);
    let told = f64::from(u32::try_from(tally.told.max(1)).unwrap_or(u32::MAX));
    let wait = |percent: usize| {
        let index = (tally.to_submit.len() * percent).div_ceil(100).saturating_sub(1);
        tally.to_submit.get(index).copied().unwrap_or_default().as_secs_f64() * 1e3
    };
    say(&format!(
        "| {name} | {load} | {:.0} | {:.0} | {:.1}/{:.1} | {:.2} | {refused} | {} | {} | {} |",
        tally.per_second(),
        processor.as_secs_f64() * 1e6 / told,
        wait(50),
        wait(99),
        other.as_secs_f64() / tally.lasted.as_secs_f64().max(1.0),
        tally.lost,
        tally.untold,
        tally.twice,
    ))
}

fn configuration(smsc: SocketAddr, password: &Path) -> String {
    format!(
        r#"
[log]
level = "warn"

[link.smsc]
kind = "smpp"
hosts = ["{smsc}"]
system_id = "bench"
password_file = "{}"
window = {WINDOW}
pdus_per_s = 100000

[route.messages]
channel = "sms"
links = ["smsc"]
"#,
        password.display()
    )
}

const HEAD: &str = "\
| gateway | load | messages/s, from the first answer to the last webhook | CPU us/message | time to submit ms p50/p99 \
| other cores | refused | lost | never told | sent twice |\n|---|---|---|---|---|---|---|---|---|---|";

/// Long enough for checkpoints and late receipts to be done.
const SETTLE: Duration = Duration::from_millis(1500);
const SETTLE_POLL: Duration = Duration::from_millis(50);

/// What has not been told of by then never will be.
const SETTLED_MAX: Duration = Duration::from_secs(30);

/// Messages that are under way at the end are given so long.
const LAST_MESSAGES_MAX: Duration = Duration::from_secs(10);

/// A gateway that refuses must not be asked again at once.
const AFTER_ERROR: Duration = Duration::from_millis(10);
