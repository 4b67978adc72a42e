//! The benchmark: the server and its limit, side by side under the same load.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use clap::Args;
use tokio::time::sleep;

use crate::canned;
use crate::flow::Kind;
use crate::load::{self, Outcome, Plan};
use crate::numbers::Numbers;
use crate::report::{Measurement, megabytes, print_head, say};
use crate::target::{Keys, Target};
use crate::usage::{Usage, resident_bytes};

/// What to measure.
#[derive(Args)]
pub(crate) struct Options {
    /// How many connections run one flow after the other.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 64, 512])]
    connections: Vec<usize>,
    /// How long each run is measured, in seconds.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// How long each run goes on before that, in seconds.
    #[arg(long, default_value_t = 1)]
    warmup: u64,
    /// How often each run is repeated, in turns; of each, the one with the least other load on the
    /// machine counts.
    #[arg(long, default_value_t = 1)]
    rounds: usize,
    /// Begin so many flows per second instead, whether or not earlier ones have ended.
    #[arg(long)]
    rate: Option<f64>,
    /// Send 2FA messages instead of verifications.
    #[arg(long)]
    messages: bool,
    /// Measure the server only, and not its limit.
    #[arg(long)]
    no_limit: bool,
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
/// A server cannot be started, or standard output is gone.
pub(crate) async fn run(options: Options) -> std::io::Result<()> {
    let parent = options.dir.clone().unwrap_or_else(std::env::temp_dir);
    let dir = tempfile::Builder::new().prefix("countersign-bench-").tempdir_in(parent)?;
    let here = std::env::current_exe()?;
    let server = options.server.clone().unwrap_or_else(|| here.with_file_name("countersign"));
    let mut bench = Bench::new(&options);
    let sqlite = bench.start("sqlite", &server, SERVE, dir.path()).await?;
    let limit = if options.no_limit {
        None
    } else {
        Some(bench.start("limit", &here, &["ceiling-server"], dir.path()).await?)
    };
    print_head()?;
    if let Some(rate) = options.rate {
        for target in [Some(&sqlite), limit.as_ref()].into_iter().flatten() {
            bench.open(target, rate).await?;
        }
        return Ok(());
    }
    let mut ratios = Vec::new();
    let mut half = None;
    for &connections in &options.connections {
        let (mut ours, mut roofs) = (Vec::new(), Vec::new());
        for _ in 0..options.rounds.max(1) {
            ours.push(bench.closed(&sqlite, connections).await?);
            if let Some(limit) = &limit {
                roofs.push(bench.closed(limit, connections).await?);
            }
        }
        let Some(measured) = quietest(&ours) else { continue };
        if connections == HALF_LOAD_OF {
            half = Some(measured.per_second() / 2.0);
        }
        if let Some(roof) = quietest(&roofs) {
            let percent = measured.per_second() * 100.0 / roof.per_second().max(1.0);
            ratios.push(format!("{connections} connections: {percent:.0} %"));
        }
    }
    if let Some(rate) = half {
        let mut ours = Vec::new();
        for _ in 0..options.rounds.max(1) {
            ours.push(bench.open(&sqlite, rate).await?);
        }
        let p99 = quietest(&ours).map(Measurement::start_p99).unwrap_or_default();
        say(&format!("p99 of a start at half load: {:.1} ms", p99.as_secs_f64() * 1e3))?;
    }
    if !ratios.is_empty() {
        say(&format!("sqlite against the limit: {}", ratios.join(", ")))?;
    }
    Ok(())
}

/// Returns the measurement that the rest of the machine disturbed least.
fn quietest(measurements: &[Measurement]) -> Option<&Measurement> {
    measurements.iter().min_by_key(|measurement| measurement.foreign())
}

/// Measures the load generator alone, against answers that cost next to nothing.
///
/// # Errors
/// Standard output is gone.
pub(crate) async fn run_generator(options: Options) -> std::io::Result<()> {
    let address = canned::start()?;
    let bench = Bench::new(&options);
    print_head()?;
    for &connections in &options.connections {
        let plan = bench.plan(address, Keys::default());
        let looks = RefCell::new(Vec::new());
        let outcome = load::closed(plan, connections, || look(&looks, std::process::id())).await;
        let load = format!("{connections} connections");
        bench.measurement(outcome, &looks, std::process::id()).print("none", &load)?;
    }
    Ok(())
}

struct Bench {
    kind: Kind,
    measured: Duration,
    warmup: Duration,
    numbers: Rc<RefCell<Numbers>>,
}

struct Named {
    name: &'static str,
    target: Target,
}

impl Bench {
    fn new(options: &Options) -> Self {
        Self {
            kind: if options.messages { Kind::Message } else { Kind::Verification },
            measured: Duration::from_secs(options.seconds),
            warmup: Duration::from_secs(options.warmup),
            numbers: Rc::default(),
        }
    }

    async fn start(
        &mut self,
        name: &'static str,
        program: &Path,
        arguments: &[&str],
        dir: &Path,
    ) -> std::io::Result<Named> {
        let target = Target::start(program, arguments, &dir.join(name)).await?;
        sleep(SETTLE).await;
        let idle = megabytes(resident_bytes(target.id()));
        say(&format!("{name}: process {}, idle RSS {idle:.1} MB", target.id()))?;
        Ok(Named { name, target })
    }

    async fn closed(&self, target: &Named, connections: usize) -> std::io::Result<Measurement> {
        let Named { name, target } = target;
        let plan = self.plan(target.address, target.keys.clone());
        let looks = RefCell::new(Vec::new());
        let outcome = load::closed(plan, connections, || look(&looks, target.id())).await;
        let measurement = self.measurement(outcome, &looks, target.id());
        measurement.print(name, &format!("{connections} connections"))?;
        measurement.print_threads()?;
        sleep(SETTLE).await;
        Ok(measurement)
    }

    async fn open(&self, target: &Named, rate: f64) -> std::io::Result<Measurement> {
        let Named { name, target } = target;
        let plan = self.plan(target.address, target.keys.clone());
        // The first requests of a server's life are slow, and an open loop would pile up on them.
        let first = Plan { measured: Duration::ZERO, ..plan.clone() };
        load::closed(first, FIRST_CONNECTIONS, || {}).await;
        let looks = RefCell::new(Vec::new());
        let outcome = load::open(plan, rate, || look(&looks, target.id())).await;
        let measurement = self.measurement(outcome, &looks, target.id());
        measurement.print(name, &format!("{rate:.0}/s"))?;
        sleep(SETTLE).await;
        Ok(measurement)
    }

    fn plan(&self, address: std::net::SocketAddr, keys: Keys) -> Plan {
        Plan {
            address,
            keys,
            kind: self.kind,
            warmup: self.warmup,
            measured: self.measured,
            numbers: Rc::clone(&self.numbers),
        }
    }

    fn measurement(
        &self,
        outcome: Outcome,
        looks: &RefCell<Vec<Usage>>,
        process: u32,
    ) -> Measurement {
        let looks = looks.borrow();
        let usage = match looks.as_slice() {
            [from, to] => to.since(from),
            _ => Usage::default(),
        };
        let resident_bytes = resident_bytes(process);
        Measurement { outcome, measured: self.measured, usage, resident_bytes }
    }
}

fn look(looks: &RefCell<Vec<Usage>>, process: u32) {
    looks.borrow_mut().push(Usage::of(process));
}

const SERVE: &[&str] = &["serve", "--sandbox", "--demo-account"];

/// Half of what so many connections get through is the load of the open run.
const HALF_LOAD_OF: usize = 64;

const FIRST_CONNECTIONS: usize = 16;

/// Long enough for checkpoints and receipts of the last run to be done.
const SETTLE: Duration = Duration::from_millis(1500);
