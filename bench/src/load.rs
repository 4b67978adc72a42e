//! The two kinds of load: as fast as the server answers, or at a rate that it does not choose.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use tokio::task::LocalSet;
use tokio::time::Instant;

use crate::client::Client;
use crate::flow::{Failure, Flow, Kind, Timings};
use crate::numbers::Numbers;
use crate::target::Keys;

/// Where the load goes, and for how long.
#[derive(Clone)]
pub(crate) struct Plan {
    pub(crate) address: SocketAddr,
    pub(crate) keys: Keys,
    pub(crate) kind: Kind,
    /// Flows that end in this time are not counted.
    pub(crate) warmup: Duration,
    /// Flows that end in this time are.
    pub(crate) measured: Duration,
    /// Numbers to send to: every run goes on where the last one stopped.
    pub(crate) numbers: Rc<RefCell<Numbers>>,
}

/// What came of it.
#[derive(Default)]
pub(crate) struct Outcome {
    /// Of every flow that ended well in the measured time.
    pub(crate) timings: Vec<Timings>,
    /// How many failed, in all of the time.
    pub(crate) errors: u64,
    /// The first failure, in words.
    pub(crate) first_error: Option<String>,
}

impl Outcome {
    fn fail(&mut self, failure: &Failure) {
        self.errors += 1;
        self.first_error.get_or_insert_with(|| failure.to_string());
    }
}

struct Run {
    plan: Plan,
    outcome: RefCell<Outcome>,
    from: Instant,
    until: Instant,
}

impl Run {
    fn new(plan: Plan) -> Self {
        let from = Instant::now() + plan.warmup;
        let until = from + plan.measured;
        Self { plan, outcome: RefCell::default(), from, until }
    }

    fn flow(&self) -> Flow {
        Flow::new(self.plan.address.to_string(), self.plan.keys.clone())
    }

    fn number(&self) -> u64 {
        self.plan.numbers.borrow_mut().next().unwrap_or_default()
    }

    fn record(&self, done: Result<Timings, Failure>) {
        let mut outcome = self.outcome.borrow_mut();
        let now = Instant::now();
        match done {
            Ok(timings) if now >= self.from && now < self.until => outcome.timings.push(timings),
            Ok(_) => {}
            Err(failure) => outcome.fail(&failure),
        }
    }
}

/// Runs one flow after the other on each of so many connections. `midway` is called at the
/// beginning and at the end of the measured time.
pub(crate) async fn closed(plan: Plan, connections: usize, midway: impl FnMut()) -> Outcome {
    let run = Rc::new(Run::new(plan));
    let tasks = LocalSet::new();
    for _ in 0..connections {
        let run = Rc::clone(&run);
        tasks.spawn_local(async move {
            let mut flow = run.flow();
            let mut client = None;
            while Instant::now() < run.until {
                // Connecting is no part of a flow over a connection that is kept.
                if client.is_none() {
                    client = Client::connect(run.plan.address).await.ok();
                }
                let done = on_connection(&run, &mut flow, &mut client, Instant::now()).await;
                if done.is_err() {
                    client = None;
                    tokio::time::sleep(AFTER_ERROR).await;
                }
                run.record(done);
            }
        });
    }
    finish(run, tasks, midway).await
}

/// Begins so many flows per second, whether or not earlier ones have ended. One that begins late
/// because everything is busy is measured from when it should have begun.
pub(crate) async fn open(plan: Plan, rate: f64, midway: impl FnMut()) -> Outcome {
    let run = Rc::new(Run::new(plan));
    let tasks = LocalSet::new();
    let starter = Rc::clone(&run);
    tasks.spawn_local(async move {
        let idle: Rc<RefCell<Vec<(Instant, Client, Flow)>>> = Rc::default();
        let began = Instant::now();
        for ticket in 0_u32.. {
            let due = began + Duration::from_secs_f64(f64::from(ticket) / rate);
            if due >= starter.until {
                break;
            }
            // The timer's steps are of a millisecond; within one, what is due goes together.
            if due > Instant::now() {
                tokio::time::sleep_until(due).await;
            }
            let run = Rc::clone(&starter);
            let idle = Rc::clone(&idle);
            tokio::task::spawn_local(async move {
                let begins = Instant::now();
                let late = begins.duration_since(due);
                let begins = if late > TIMER_STEP { due } else { begins };
                let free = idle.borrow_mut().pop().filter(|(at, ..)| at.elapsed() < IDLE_MAX);
                let (mut client, mut flow) = match free {
                    Some((_, client, flow)) => (Some(client), flow),
                    None => (None, run.flow()),
                };
                let done = on_connection(&run, &mut flow, &mut client, begins).await;
                if let (Ok(_), Some(client)) = (&done, client) {
                    idle.borrow_mut().push((Instant::now(), client, flow));
                }
                run.record(done);
            });
        }
    });
    finish(run, tasks, midway).await
}

async fn finish(run: Rc<Run>, tasks: LocalSet, mut midway: impl FnMut()) -> Outcome {
    let (from, until) = (run.from, run.until);
    let looks = async {
        tokio::time::sleep_until(from).await;
        midway();
        tokio::time::sleep_until(until).await;
        midway();
    };
    tasks.run_until(looks).await;
    let _ = tokio::time::timeout(LAST_FLOWS_MAX, tasks).await;
    run.outcome.take()
}

async fn on_connection(
    run: &Run,
    flow: &mut Flow,
    client: &mut Option<Client>,
    begins: Instant,
) -> Result<Timings, Failure> {
    let open = match client.take() {
        Some(open) => open,
        None => Client::connect(run.plan.address).await?,
    };
    flow.run(client.insert(open), run.plan.kind, run.number(), begins).await
}

/// A server that refuses must not be asked again at once.
const AFTER_ERROR: Duration = Duration::from_millis(10);

/// Tokio's timers fire up to so much late; that is not the server's fault.
const TIMER_STEP: Duration = Duration::from_millis(2);

/// The server closes connections that say nothing for five seconds.
const IDLE_MAX: Duration = Duration::from_secs(2);

/// Flows that still run at the end are given so long.
const LAST_FLOWS_MAX: Duration = Duration::from_secs(10);
